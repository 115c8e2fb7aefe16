"""One cell of text: a number or a time, or an error that says where it is."""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np

from backtest.base.errors import MarketError, UsageError
from backtest.base.units import to_ms

EMPTY = ("", "nan", "NaN", "NAN", "null", "NULL", "None", "NA", "N/A", "n/a")
LONGEST_NUMBER = 400
NUMBER = re.compile(r"[+-]?(\d++(\.\d*+)?|\.\d++)(e[+-]?\d++)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE)
_EPOCH = re.compile(r"(\d{1,18}|[1-8]\d{18})(\.0*)?", re.ASCII)


def parse_number(text: str, where: str) -> float:
    """The number of a cell, NaN where it is empty; raises `MarketError` that begins with `where`."""
    if text in EMPTY:
        return np.nan
    if len(text) > LONGEST_NUMBER or not NUMBER.fullmatch(text):
        raise MarketError(f"{where}: {text[:40]!r} is not a number: write it plainly, as in 50.25")
    return float(text)


def parse_time(text: str, where: str) -> int:
    """The number of an epoch stamp as it is, or the milliseconds of an ISO instant, for `epoch_ms` to tell apart."""
    if _EPOCH.fullmatch(text):
        return int(text.partition(".")[0])
    try:
        return to_ms(datetime.fromisoformat(text))
    except ValueError:
        complaint = "is not a time: write epoch milliseconds or 2025-10-01T00:00:00Z"
    except UsageError:
        complaint = "has no time zone: add Z for UTC, or write epoch milliseconds"
    raise MarketError(f"{where}: {text[:40]!r} {complaint}")
