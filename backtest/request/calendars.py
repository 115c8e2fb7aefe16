"""Which calendars a request means where it names none, one or several."""

from __future__ import annotations

from collections.abc import Sequence

from backtest.catalysts.reading import merge_calendars, open_calendar
from backtest.catalysts.record import Calendar

CALENDAR = "privacy-2025"
"""Read where no calendar is named."""


def calendar_of(names: Sequence[str]) -> Calendar:
    """The catalysts of these calendars, names or files; several are merged.

    Raises
    ------
    UsageError
        For a name that is neither.
    CalendarError
        For a file with a fault, or an id that two of them hold.
    """
    calendars = [open_calendar(name) for name in names or (CALENDAR,)]
    return calendars[0] if len(calendars) == 1 else merge_calendars(calendars)
