"""What only builds the embedded sample."""
