"""Reads the instants of a calendar."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

from backtest.base.units import FIRST_YEAR, LAST_YEAR


def instant(value: object) -> datetime:
    """UTC datetime of an aware datetime, a bare date or an ISO string; `ValueError` for others and a missing zone."""
    if isinstance(value, str):
        text = value
        try:
            value = date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else datetime.fromisoformat(text)
        except ValueError:
            raise ValueError("not a date: write 2025-10-01 or 2025-10-01T14:30:00Z") from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("the timestamp has no time zone: add Z for UTC or an offset such as +02:00")
        _check_year(value)
        return value.astimezone(UTC)
    if isinstance(value, date):
        _check_year(value)
        return datetime.combine(value, time(), UTC)
    raise ValueError("not a date: write 2025-10-01 or 2025-10-01T14:30:00Z")


def _check_year(day: date) -> None:
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"not between {FIRST_YEAR} and {LAST_YEAR}: check the year")
