"""The event study: abnormal returns around catalysts, and whether they are more than luck."""
