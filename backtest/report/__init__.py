"""Output: what people and programs read of a run."""
