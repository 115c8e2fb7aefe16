"""Measured against what people use today: `python -m benchmarks`, or `make bench`."""
