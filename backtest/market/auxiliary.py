"""Series that no venue quotes (on-chain counts, fund assets), each reading known from its `available_at` on."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from backtest.base.arguments import checked
from backtest.base.documents import read_whole
from backtest.base.errors import DataError, UsageError, shortened
from backtest.base.units import DAY_MS
from backtest.market.instrument import Floats
from backtest.market.parsing import parse_number, parse_time
from backtest.market.quality import EARLIEST_MS, LATEST_MS

_COLUMNS = ["available_at", "value"]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,80}")


_live: WeakSet[AuxiliarySeries] = WeakSet()
_corrupted_after: list[tuple[int, int]] = []
_corrupted_from: list[int] = []


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class AuxiliarySeries:
    """K readings in order of when they became available.

    Attributes
    ----------
    name : str
    available_ms : (K,) int64, strictly increasing
        When each reading became visible, milliseconds UTC; not the day it is about.
    values : (K,) float64
        In the unit of the series; NaN if it was withdrawn.
    """

    name: str
    available_ms: npt.NDArray[np.int64]
    values: Floats

    def __post_init__(self) -> None:
        _live.add(self)
        for moment, seed in _corrupted_after:
            _corrupt(self, moment, seed)

    def __reduce__(self) -> tuple[type[AuxiliarySeries], tuple[str, npt.NDArray[np.int64], Floats]]:
        # A copy in another process is built by the constructor, so that the audit there reaches it.
        return AuxiliarySeries, (self.name, self.available_ms, self.values)

    @property
    def coin(self) -> str:
        """The first part of its name in capitals: the coin it is about, if a market holds one of that name."""
        return self.name.partition("_")[0].upper()

    def until(self, moment_ms: int) -> AuxiliarySeries:
        """The readings available at a moment."""
        kept = int(np.searchsorted(self.available_ms, moment_ms, side="right"))
        return AuxiliarySeries(self.name, self.available_ms[:kept], self.values[:kept])

    def at(self, moments_ms: npt.ArrayLike) -> Floats:
        """Last reading available at each moment, NaN before the first; a strategy asks at its bars' closes."""
        moments = np.asarray(moments_ms, dtype=np.int64)
        if not len(self.values):
            return np.full(moments.shape, np.nan)
        place = np.searchsorted(self.available_ms, moments, side="right") - 1
        return np.where(place >= 0, self.values[np.maximum(place, 0)], np.nan)


def corrupt_after(moment_ms: int, seed: int = 1) -> None:
    """Corrupt, in this whole process, each reading that became available only after a moment.

    It is multiplied by noise from 1/4 to 4 and delayed, but not past the next one. Series that are read later are
    corrupted too. Meant for a process of the look-ahead audit, which then ends.
    """
    _corrupted_after.append((moment_ms, seed))
    for one in list(_live):
        _corrupt(one, moment_ms, seed)


def first_corrupted() -> int | None:
    """When the first corrupted reading of any series became available; None if there is none."""
    return min(_corrupted_from, default=None)


def _corrupt(series: AuxiliarySeries, moment_ms: int, seed: int) -> None:
    first = int(np.searchsorted(series.available_ms, moment_ms, side="right"))
    if first < len(series.values):
        values, at = series.values.copy(), int(series.available_ms[first])
        values[first:] *= np.exp2(np.random.default_rng(seed).uniform(-2.0, 2.0, len(values)))[first:]
        object.__setattr__(series, "values", values)
        later = series.available_ms.copy()
        room = np.diff(later, append=later[-1] + DAY_MS)[first:]
        share = np.random.default_rng(seed + 1).uniform(0.0, 0.9, len(later))[first:]
        later[first:] += (room * share).astype(np.int64)
        object.__setattr__(series, "available_ms", later)
        _corrupted_from.append(at)


@checked
def read_series(path: Path | str, name: str | None = None) -> AuxiliarySeries:
    """Series of a CSV with the columns `available_at` (ISO with a zone, or milliseconds) and `value`.

    `name` defaults to the name of the file.

    Raises
    ------
    UsageError
        For a name that is not lower-case letters, digits and underscores.
    DataError
        If the file cannot be read, lacks a column, or has a row that is not a time and a number in order.
    """
    path = Path(path)
    title = path.stem if name is None else name
    if not _NAME.fullmatch(title):
        raise UsageError(f"series name {shortened(title)}: use lower-case letters, digits and underscores")
    data = read_whole(path, DataError)
    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        table = [(rows.line_num, cells) for cells in rows if any(cell.strip() for cell in cells)]
    except (csv.Error, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read as CSV: {problem}") from None
    header = [cell.strip() for cell in table[0][1]] if table else []
    if header != _COLUMNS or len(table) == 1:
        first = shortened(",".join(header)) if table else "nothing"
        raise DataError(f"{path} begins with {first}: a series needs the header available_at,value and a row")
    read = [_reading(f"{path} line {line}", cells) for line, cells in table[1:]]
    moments = np.array([moment for moment, _ in read], dtype=np.int64)
    for place in np.flatnonzero(np.diff(moments) <= 0):
        raise DataError(
            f"{path} line {table[place + 2][0]}: available_at is not after that of the row before: sort the rows"
        )
    return AuxiliarySeries(title, moments, np.array([value for _, value in read]))


def _reading(where: str, cells: list[str]) -> tuple[int, float]:
    if len(cells) != len(_COLUMNS):
        raise DataError(f"{where} has {len(cells)} fields, not available_at,value: complete or drop it")
    moment, value = (cell.strip() for cell in cells)
    at = parse_time(moment, f"{where}, column available_at")
    if not EARLIEST_MS <= at < LATEST_MS:
        raise DataError(
            f"{where}: available_at {shortened(moment)} is not a time from 2009 to 2100 in milliseconds: fix it"
        )
    number = parse_number(value, f"{where}, column value")
    if np.isinf(number):
        raise DataError(f"{where}: value {shortened(value)} is not a finite number: fix or empty it")
    return at, number
