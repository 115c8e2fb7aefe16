"""Events in: catalysts, the calendar that holds them, and the clock that says when each was known."""
