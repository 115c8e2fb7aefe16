"""Scores: what a run earned, how sure that is, and whether it was luck."""
