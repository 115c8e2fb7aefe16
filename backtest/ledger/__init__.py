"""The research ledger: keeps every trial on the same catalysts with its null draws, so that p is adjusted for all."""
