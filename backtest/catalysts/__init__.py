"""Event input: catalysts, their calendar, and the clock that says when each was known."""
