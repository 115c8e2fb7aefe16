"""Replay: one kernel for one run and for millions, its costs, and the book that audits it."""
