"""Files from any common program as tables: times and numbers of the columns that a profile found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from backtest.base.errors import MarketError, UsageError
from backtest.market.local_time import from_local
from backtest.market.parsing import EMPTY, parse_number
from backtest.market.profiles import Profile, ReadOptions, recognised
from backtest.market.quality import EARLIEST_MS, LATEST_MS, Int64s, RawTable
from backtest.market.raw_cells import RawCells, read_raw_cells
from backtest.market.record import Floats
from backtest.market.rows import COLUMNS, SeriesName

UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_FORMATS = ("%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y.%m.%d", "%Y/%m/%d")


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """A file that was read: its profile, its table (columns as `COLUMNS` of its series), and helper columns.

    `helpers` are `quote_volume`, `interval_hours` and `settles` if the file has them, one value per row; `described`
    is what the file was recognised as.
    """

    profile: Profile
    table: RawTable
    helpers: Mapping[str, Floats]
    instrument: str
    described: str


def read_foreign(
    path: Path,
    options: ReadOptions,
    series: SeriesName | None = None,
    base: str = "",
    *,
    say: Callable[[str], None] = lambda _: None,
    most: int | None = None,
) -> Foreign:
    """A file from any common program; `say` is called with what it was recognised as before its rows are read.

    Raises
    ------
    MarketError
        Naming line and column of the first cell that cannot be read, or what the user has to specify.
    """
    raw = read_raw_cells(path, most)
    profile = recognised(path, raw, options, series, base)
    described = profile.describe(raw.form)
    say(f"{path.name}: {described}")
    if raw.rows == 0:
        raise MarketError(f"{path} has a header and no rows: fetch or export it again")
    skipped: list[str] = []
    numbers = np.arange(raw.rows, dtype=np.int64) + raw.first
    stamps, bad_time = _times(path, raw, profile, numbers, options)
    columns: dict[str, Floats] = {}
    bad = bad_time
    for meaning, place in profile.places.items():
        if meaning == "symbol":
            continue
        values, wrong = _numbers(path, raw, place, numbers, skip_bad=options.skip_bad)
        columns[meaning] = values
        bad = bad | wrong
    instrument = _one_symbol(path, raw, profile)
    if bad.any():
        skipped = [f"{raw.unit} {numbers[row]} skipped: a cell is not a number or time" for row in np.flatnonzero(bad)]
    wanted = COLUMNS[profile.series]
    source = "rate" if "rate" in columns else "open"
    named = {"rate": columns.get(source)} if profile.series == "funding" else columns
    absent = np.full(raw.rows, np.nan)
    # Each column in one piece: checks read column by column.
    panel = np.stack([absent if (found := named.get(name)) is None else found for name in wanted]).T
    labels = ("time", *(profile.names.get(name, profile.names.get("open", name)) for name in wanted))
    table = RawTable(str(path), labels, stamps, panel, numbers, "line" if raw.unit == "line" else "row", profile.notes)
    helpers = {name: columns[name][~bad] for name in _HELPERS if name in columns}
    return Foreign(profile, table.take(~bad, *skipped), helpers, instrument, described)


_HELPERS = ("quote_volume", "interval_hours", "settles")


def _one_symbol(path: Path, raw: RawCells, profile: Profile) -> str:
    place = profile.places.get("symbol")
    if place is None:
        return ""
    found = [str(name) for name in pa.chunked_array([raw.columns[place]]).unique().to_pylist()]
    if len(found) > 1:
        raise MarketError(f"{path} holds {len(found)} instruments ({', '.join(found[:4])}): keep one per file")
    return found[0] if found else ""


def _numbers(path: Path, raw: RawCells, place: int, numbers: Int64s, *, skip_bad: bool) -> tuple[Floats, Any]:
    column = raw.columns[place]
    none = np.zeros(raw.rows, dtype=np.bool_)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), none
    name = raw.header[place] if raw.header else str(place + 1)
    try:
        filled = pa.compute.if_else(pa.compute.is_in(column, pa.array(EMPTY)), None, column)
        return filled.cast(pa.float64()).to_numpy(zero_copy_only=False), none
    except pa.ArrowException:
        texts = column.cast(pa.string()).to_pylist()
    values = np.full(raw.rows, np.nan)
    for row, text in enumerate(texts):
        cell = "" if text is None else text.strip().strip('"')
        try:
            values[row] = float(cell) if cell not in EMPTY and not _odd(cell) else parse_number(cell, "")
        except (ValueError, MarketError):
            if not skip_bad:
                parse_number(cell, f"{path} {raw.unit} {numbers[row]}, column {name}")
            none[row] = True
    return values, none


def _odd(cell: str) -> bool:
    """Whether Python's own parser accepts a text that is not a plain number."""
    return "_" in cell or not cell.isascii()


def _times(
    path: Path, raw: RawCells, profile: Profile, numbers: Int64s, options: ReadOptions
) -> tuple[Int64s, npt.NDArray[np.bool_]]:
    column = raw.columns[profile.times[0]]
    bad = np.zeros(raw.rows, dtype=np.bool_)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _of_timestamps(path, column, raw, profile, numbers, options)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return _of_numbers(path, values, profile, raw, numbers), bad
    if len(profile.times) == 1 and pa.types.is_string(column.type):
        try:
            values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            return _of_numbers(path, values, profile, raw, numbers), bad
        except pa.ArrowException:
            pass
    parts = [raw.columns[place].cast(pa.string()).to_pylist() for place in profile.times]
    texts = [" ".join((cell or "").strip().strip('"') for cell in cells) for cells in zip(*parts, strict=True)]
    stamps = np.zeros(raw.rows, dtype=np.int64)
    numeric = np.full(raw.rows, np.nan)
    zone = _zone(profile.zone)
    local: dict[int, datetime] = {}
    for row, text in enumerate(texts):
        try:
            if text.replace(".", "", 1).isdigit() and len(text) >= 9:
                numeric[row] = float(text)
                continue
            moment = _moment(text)
            if moment.tzinfo is None and zone is None:
                raise UsageError("has no time zone: say which with `tz`, as in `tz=UTC`")
            if moment.tzinfo is None:
                local[row] = moment
            else:
                stamps[row] = round(moment.timestamp() * 1000)
        except (ValueError, UsageError) as problem:
            if not options.skip_bad or isinstance(problem, UsageError):
                name = raw.header[profile.times[0]] if raw.header else str(profile.times[0] + 1)
                why = str(problem) if isinstance(problem, UsageError) else "is not a time: write 2025-10-01T00:00:00Z"
                raise MarketError(f"{path} {raw.unit} {numbers[row]}, column {name}: {text[:40]!r} {why}") from None
            bad[row] = True
    if zone is not None and local:
        rows = np.array(list(local), dtype=np.int64)
        stamps[rows], wrong = _local(path, list(local.values()), zone, raw, profile, numbers[rows], options)
        bad[rows] |= wrong
    plainly = ~np.isnan(numeric)
    if plainly.any():
        stamps[plainly] = _of_numbers(path, numeric[plainly], profile, raw, numbers[plainly])
    return stamps, bad


def _zone(name: str) -> ZoneInfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise UsageError(f"`tz` {name!r} is not a time zone: write UTC or Europe/Berlin") from None


def _moment(text: str) -> datetime:
    """A written time, naive if it names no zone; `ValueError` if it is not a time."""
    with suppress(ValueError):
        return datetime.fromisoformat(text.replace(" UTC", "+00:00"))
    for form in _FORMATS:
        with suppress(ValueError):
            return datetime.strptime(text, form)
    raise ValueError(text)


def _local(
    path: Path,
    moments: list[datetime],
    zone: ZoneInfo,
    raw: RawCells,
    profile: Profile,
    numbers: Int64s,
    options: ReadOptions,
) -> tuple[Int64s, npt.NDArray[np.bool_]]:
    """Instants of local times, and the rows whose instant is not known; the first is an error unless they may go."""
    found = from_local(moments, zone)
    if found.problems and not options.skip_bad:
        row, why = min(found.problems.items())
        where = f"{path} {raw.unit} {numbers[row]}, column {profile.names['time']}"
        raise MarketError(f"{where}: {moments[row]} {why}, or leave such rows out with `skip_bad`")
    bad = np.zeros(len(moments), dtype=np.bool_)
    bad[list(found.problems)] = True
    return found.time_ms, bad


def _of_timestamps(
    path: Path, column: Any, raw: RawCells, profile: Profile, numbers: Int64s, options: ReadOptions
) -> tuple[Int64s, npt.NDArray[np.bool_]]:
    kind = column.type
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise MarketError(f"{path} {raw.unit} {numbers[row]}, column {profile.names['time']}: the time is missing")
    if pa.types.is_date(kind) or kind.tz is None:
        zone = _zone(profile.zone)
        if zone is None:
            raise MarketError(f"{path}: its times have no time zone: say which with `tz`, as in `tz=UTC`")
        texts = column.cast(pa.timestamp("ms")).to_pylist()
        return _local(path, texts, zone, raw, profile, numbers, options)
    stamps = column.cast(pa.timestamp("ms", kind.tz), safe=False).cast(pa.int64()).to_numpy()
    return np.asarray(stamps, dtype=np.int64), np.zeros(raw.rows, dtype=np.bool_)


def _of_numbers(path: Path, values: Floats, profile: Profile, raw: RawCells, numbers: Int64s) -> Int64s:
    """Milliseconds of epoch stamps: in the given unit, else by magnitude in each row, seconds included."""
    said = profile.units.get("time", "")
    if said:
        if said not in UNIT_NS:
            raise UsageError(f"`unit time={said}` is unknown; allowed: {', '.join(UNIT_NS)}")
        return np.asarray(np.floor(values * UNIT_NS[said] / 1_000_000), dtype=np.int64)
    stamps = np.full(values.size, -1, dtype=np.int64)
    for unit in UNIT_NS.values():
        scaled = values * unit / 1_000_000
        rows = (scaled >= EARLIEST_MS) & (scaled < LATEST_MS)
        if rows.all():
            return np.asarray(np.floor(scaled), dtype=np.int64)
        stamps[rows] = np.floor(scaled[rows]).astype(np.int64)
    wrong = np.flatnonzero(stamps < 0)
    if wrong.size:
        where = f"{path} {raw.unit} {numbers[wrong[0]]}, column {profile.names['time']}"
        raise MarketError(
            f"{where}: {values[wrong[0]]:g} is not a time from 2009 to 2100 in s, ms, us or ns: see `map`"
        )
    return stamps
