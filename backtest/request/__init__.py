"""What a user asks for: the request as a record, and the strategies and searches that its texts name."""
