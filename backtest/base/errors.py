"""Every error this project raises on purpose, with the exit code the command line gives it.

    BacktestError                1
    ├── UsageError               2   an argument, option or parameter that cannot be used
    │   └── ConfigError          2   a run configuration, recipe or strategy parameter
    ├── DataError                3   data that is missing, malformed or does not cover the request
    │   ├── MarketError          3   bars, funding or open interest
    │   └── CalendarError        3   catalysts
    ├── BaselineError            4   a metric left its tolerance
    └── LookaheadError           5   a decision changed when only its future did

Each message is one sentence that names the thing, the value received, what is allowed and the next step.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import date
from typing import ClassVar

LONGEST, LONGEST_SHOWN, MOST_COMPARED = 8_000, 80, 1_000


class BacktestError(Exception):
    """Root of the tree; `exit_code` is the exit code of the command line.

    As text it is one printable line of at most `LONGEST` characters, whatever a file or venue put into it.
    """

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


class UsageError(BacktestError):
    """An argument, option or parameter that cannot be used as given."""

    exit_code: ClassVar[int] = 2


class ConfigError(UsageError):
    """A run configuration, recipe or strategy parameter is unknown or out of range."""


class DataError(BacktestError):
    """Data is missing, malformed or does not cover the request."""

    exit_code: ClassVar[int] = 3


class MarketError(DataError):
    """Bars, funding or open interest cannot be used."""


class CalendarError(DataError):
    """A catalyst or calendar cannot be used."""


class BaselineError(BacktestError):
    """A strategy metric left the tolerance of its recorded baseline."""

    exit_code: ClassVar[int] = 4


class LookaheadError(BacktestError):
    """A decision changed when only data after it was changed."""

    exit_code: ClassVar[int] = 5


def one_line(text: str) -> str:
    """The text on one line, cut at `LONGEST` characters, with unprintable characters as Python escapes."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 3]}..."
    if text.isprintable():
        return text
    text = " ".join(part for line in re.split(r"[\r\n]", text) if (part := line.strip()))
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def near_miss(name: str, allowed: Iterable[str]) -> str:
    """Text for an unknown `name`: the allowed name that it begins, is part of or comes closest to, then all allowed
    names. Case does not matter.
    """
    names, wanted = sorted(allowed), name[:LONGEST_SHOWN].casefold()
    lower = {one[:LONGEST_SHOWN].casefold(): one for one in reversed(names[:MOST_COMPARED])}
    begun = [one for one in names if wanted and one.casefold().startswith(wanted)]
    inside = [one for one in names if len(wanted) > 2 and wanted in one.casefold()]
    close = begun or inside or [lower[one] for one in difflib.get_close_matches(wanted, lower, n=1)]
    hint = f"did you mean {close[0]!r}? " if close else ""
    between = "; " if any("," in one for one in names) else ", "
    return f"{hint}allowed: {between.join(names) or 'none'}"


def shortened(value: object) -> str:
    """The value as Python writes it, shortened if long, for use in a message."""
    if isinstance(value, int) and value.bit_length() > 256:
        return "a whole number of more than 77 digits"
    if isinstance(value, date):
        return f"'{value}'"
    text = repr(value[: LONGEST_SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."
