"""Data in: bars, open interest and funding as one aligned panel."""
