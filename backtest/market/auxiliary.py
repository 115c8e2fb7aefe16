"""Series that no venue quotes (on-chain counts, fund assets), known when they say they were."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.config import to_ms
from backtest.errors import DataError, UsageError
from backtest.market.record import Floats

_COLUMNS = ["available_at", "value"]
_NAME = re.compile(r"[a-z][a-z0-9_]{1,80}")


@dataclass(frozen=True, slots=True, eq=False)
class AuxiliarySeries:
    """K readings in order of when they became available.

    Attributes
    ----------
    name : str
    available_ms : (K,) int64, strictly increasing
        When each reading could be seen, milliseconds UTC; not what day it is about.
    values : (K,) float64
        In the unit of the series; NaN where it was withdrawn.
    """

    name: str
    available_ms: npt.NDArray[np.int64]
    values: Floats

    def at(self, moments_ms: npt.ArrayLike) -> Floats:
        """Last reading available at each moment, NaN before the first; a strategy asks at its bars' closes."""
        moments = np.asarray(moments_ms, dtype=np.int64)
        place = np.searchsorted(self.available_ms, moments, side="right") - 1
        return np.where(place >= 0, self.values[np.maximum(place, 0)], np.nan)


def read_series(path: Path, name: str | None = None) -> AuxiliarySeries:
    """Series of a CSV with the columns `available_at` (ISO with a zone, or milliseconds) and `value`.

    `name` is the file's own where it is not given.

    Raises
    ------
    UsageError
        For a name that is not lower-case letters, digits and underscores.
    DataError
        Where the file cannot be read, lacks a column, or a row is no instant and number in order.
    """
    title = path.stem if name is None else name
    if not _NAME.fullmatch(title):
        raise UsageError(f"series name {title!r}: use lower-case letters, digits and underscores")
    try:
        table = pd.read_csv(path, dtype=str)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: check the path") from None
    except (OSError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as CSV: {problem}") from None
    if list(table.columns) != _COLUMNS or table.empty:
        raise DataError(f"{path} has columns {', '.join(table.columns)}: a series needs available_at,value and a row")
    moments = np.array([_moment(path, row, text) for row, text in enumerate(table["available_at"], start=2)])
    for row in np.flatnonzero(np.diff(moments) <= 0):
        raise DataError(f"{path} row {row + 3}: available_at is not after that of the row before: sort the rows")
    values = pd.to_numeric(table["value"], errors="coerce").to_numpy(dtype=np.float64)
    for row in np.flatnonzero(~np.isfinite(values) & table["value"].notna().to_numpy()):
        raise DataError(f"{path} row {row + 2}: value {table['value'].iloc[row]!r} is not a finite number")
    return AuxiliarySeries(title, moments.astype(np.int64), values)


def _moment(path: Path, row: int, text: object) -> int:
    if isinstance(text, str) and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise DataError(
            f"{path} row {row}: available_at {text!r} is not an instant with a zone: write 2025-11-07T14:00Z"
        )
    return to_ms(moment)
