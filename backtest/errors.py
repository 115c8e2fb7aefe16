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

from typing import ClassVar


class BacktestError(Exception):
    """Root of the tree; `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1


class UsageError(BacktestError):
    """An argument, option or parameter that cannot be used as given."""

    exit_code: ClassVar[int] = 2


class ConfigError(UsageError):
    """A run configuration, recipe or strategy parameter is unknown or out of range."""


class DataError(BacktestError):
    """Data is missing, malformed or does not cover what was asked of it."""

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
