"""A user's request as a record, and the strategies and searches that it names."""
