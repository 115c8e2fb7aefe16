"""Time in the project's unit: int64 milliseconds since 1970-01-01 UTC, as in ccxt.

This module reads the forms people type: ccxt timeframes (`1h`), durations (`90m`, `3d`), ISO instants and time ranges.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from backtest.base.arguments import checked
from backtest.base.errors import UsageError, shortened

UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
DAY_MS = UNIT_MS["d"]
LONGEST_MS = 36_500 * DAY_MS
FIRST_YEAR, LAST_YEAR = 1970, 2100
_DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)


@checked
def duration_ms(text: str) -> int:
    """Milliseconds of a duration or ccxt timeframe: a whole number and one of s, m, h, d, w.

    Raises
    ------
    UsageError
        If `text` has another form.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{shortened(text)} is not a duration: write a whole number and one of s m h d w, as in 90m, 1h or 3d"
        )
    milliseconds = int(match[1]) * UNIT_MS[match[2]]
    if milliseconds > LONGEST_MS:
        raise UsageError(f"duration {text!r} is longer than {LONGEST_MS // DAY_MS} days: shorten it")
    return milliseconds


def timeframe_ms(text: str) -> int:
    """Milliseconds of one bar of a ccxt timeframe; months have no fixed length and are refused."""
    milliseconds = duration_ms(text)
    if milliseconds <= 0:
        raise UsageError(f"timeframe {text!r} has no length: use 1m, 5m, 1h, 4h, 1d or another ccxt timeframe")
    return milliseconds


def to_ms(moment: datetime) -> int:
    """Milliseconds UTC of an aware datetime, exact; a naive one raises `UsageError`."""
    if moment.tzinfo is None:
        raise UsageError(f"{moment.isoformat()} has no time zone: add Z for UTC or an offset such as +02:00")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """UTC datetime of milliseconds since 1970; one beyond the years 1 to 9999 raises `UsageError`."""
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(milliseconds))
    except OverflowError:
        raise UsageError(
            f"{shortened(int(milliseconds))} is not a time in milliseconds since 1970: check dates and durations"
        ) from None


def from_iso(text: str) -> int:
    """Milliseconds UTC of an ISO 8601 instant with a zone, as documents write it; another raises `UsageError`."""
    try:
        return to_ms(datetime.fromisoformat(text))
    except (TypeError, ValueError):
        raise UsageError(f"{shortened(text)} is not an instant: write it as 2025-10-01T00:00:00Z") from None


def format_ms(milliseconds: int) -> str:
    """`YYYY-MM-DD HH:MM` in UTC, with seconds only where they are not zero."""
    moment = from_ms(milliseconds)
    return moment.strftime("%Y-%m-%d %H:%M" if moment.second == 0 else "%Y-%m-%d %H:%M:%S")


class TimeRange(NamedTuple):
    """Half-open range [start_ms, end_ms); None is unbounded."""

    start_ms: int | None
    end_ms: int | None


@checked
def parse_timerange(text: str) -> TimeRange:
    """Read `20250901-20251116` (end exclusive, either side may be empty) or two ISO instants joined by `/`.

    Raises
    ------
    UsageError
        If a side is not a date, or the end is not after the start.
    """
    parts = text.split("/") if "/" in text else text.split("-") if text.count("-") == 1 else []
    if len(parts) != 2 or not any(parts):
        raise UsageError(
            f"timerange {shortened(text)} is not START-END: write 20250901-20251116 (end exclusive), "
            "20250901- or 2025-09-01/2025-11-16T12:00Z"
        )
    start, end = (_instant_ms(part) if part else None for part in parts)
    if start is not None and end is not None and end <= start:
        raise UsageError(f"timerange {text!r} is empty: its end must be after its start")
    return TimeRange(start, end)


def _instant_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{shortened(text)} is not a date: write 20250901, 2025-09-01 or 2025-09-01T12:00Z") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise UsageError(f"{text!r} is not between {FIRST_YEAR} and {LAST_YEAR}: check the year")
    dated_only = "T" not in text and " " not in text
    return to_ms(moment.replace(tzinfo=UTC) if dated_only and moment.tzinfo is None else moment)
