"""The research ledger: every trial on the same catalysts is kept with its null draws, so that p is adjusted for all."""
