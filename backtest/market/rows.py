"""Rows of one stored series, and the Parquet files they are kept in."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from backtest.base.errors import MarketError, UsageError, shortened
from backtest.base.fields import Milliseconds
from backtest.base.units import UNIT_MS, timeframe_ms
from backtest.market.arrow_files import read_parquet, room_for
from backtest.market.quality import Int64s
from backtest.market.record import Floats, Instrument

SeriesName = Literal["ohlcv", "oi", "funding", "mark", "index", "premium", "ratios", "liquidations"]


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """A kind of stored series: its columns, their units, and its name for people."""

    columns: tuple[str, ...]
    units: dict[str, str]
    words: str


_PRICES = ("open", "high", "low", "close")
STORED: dict[SeriesName, StoredSeries] = {
    "ohlcv": StoredSeries((*_PRICES, "volume"), {"price": "quote", "volume": "base"}, "bars"),
    "oi": StoredSeries(("coins", "value"), {"coins": "base", "value": "quote"}, "open-interest history"),
    "funding": StoredSeries(("rate",), {"rate": "share of notional that longs pay"}, "funding history"),
    "mark": StoredSeries(_PRICES, {"price": "quote"}, "mark-price bars"),
    "index": StoredSeries(_PRICES, {"price": "quote"}, "index-price bars"),
    "premium": StoredSeries(_PRICES, {"price": "share of the index price"}, "premium-index bars"),
    "ratios": StoredSeries(
        ("top_accounts", "top_positions", "accounts", "taker"),
        {"top_accounts, top_positions, accounts": "longs by shorts", "taker": "bought by sold volume"},
        "long/short and taker ratios",
    ),
    "liquidations": StoredSeries(("long", "short"), {"long, short": "quote, summed over the period"}, "liquidations"),
}
COLUMNS: dict[SeriesName, tuple[str, ...]] = {name: one.columns for name, one in STORED.items()}
UNITS: dict[SeriesName, dict[str, str]] = {name: one.units for name, one in STORED.items()}
DEFAULT_SERIES: tuple[SeriesName, ...] = ("ohlcv", "oi", "funding")
PRICE_SERIES: tuple[SeriesName, ...] = ("mark", "index", "premium")
"""Bars without volume, of a price at which nothing trades."""
SETTLED = "settled"
MOST_ROWS = 100_000_000
FILE_NAME = re.compile(r"\d{1,15}-\d{1,15}-[0-9a-f]{12}\.parquet")
_SERIES_OF, _UNITS_OF = "backtest series", "backtest units"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Key of a series: venue (a ccxt id), unified symbol, content, and timeframe (`settled` for funding)."""

    venue: str
    symbol: str
    series: SeriesName
    timeframe: str

    @classmethod
    def of(cls, venue: str, symbol: str, series: SeriesName, timeframe: str) -> Key:
        """The key of a series; the timeframe is ignored if the content has none."""
        if not re.fullmatch(r"[a-z0-9]{2,40}", venue):
            raise UsageError(
                f"venue {shortened(venue)} is not a ccxt exchange id: write for example bybit or binanceusdm"
            )
        period = SETTLED if series == "funding" else plain_timeframe(timeframe)
        return cls(venue, Instrument.parse(symbol).symbol, series, period)

    @property
    def path(self) -> Path:
        """Folder below the root."""
        return Path(self.venue, re.sub("[/:]", "_", self.symbol), self.series, self.timeframe)

    def __str__(self) -> str:
        return f"{self.venue} {self.symbol} {self.series}" + ("" if self.series == "funding" else f" {self.timeframe}")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one series in order of time, without duplicates.

    `time_ms` (n,) int64 UTC; `values` (n, K) float64, columns as in `COLUMNS`, NaN if unknown: prices in quote currency
    per coin, base volume, base coins and quote notional of open interest, share of notional of funding.
    """

    time_ms: Int64s
    values: Floats

    @classmethod
    def empty(cls, series: SeriesName) -> Rows:
        """No rows."""
        return cls(np.empty(0, np.int64), np.empty((0, len(COLUMNS[series]))))

    def between(self, start_ms: int, end_ms: int) -> Rows:
        """Rows with time in [start, end)."""
        first, last = np.searchsorted(self.time_ms, (start_ms, end_ms))
        return Rows(self.time_ms[first:last], self.values[first:last])

    def joined(self, other: Rows) -> Rows:
        """Rows of both; for a time that both have, the row of this one."""
        times = np.concatenate((self.time_ms, other.time_ms))
        order = np.argsort(times, kind="stable")
        first = np.ones(times.size, dtype=np.bool_)
        first[1:] = times[order][1:] != times[order][:-1]
        kept = order[first]
        return Rows(times[kept], np.concatenate((self.values, other.values))[kept])


class StoredFile(BaseModel):
    """One Parquet file of a series, as the manifest lists it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^\d{1,15}-\d{1,15}-[0-9a-f]{12}\.parquet$")
    sha256: str
    rows: int = Field(ge=1, le=MOST_ROWS)
    first_ms: Milliseconds
    last_ms: Milliseconds


def plain_timeframe(timeframe: str) -> str:
    """The usual spelling of a length: `60m` is `1h`, `7d` is `1w`."""
    milliseconds = timeframe_ms(timeframe)
    unit = next(unit for unit in ("w", "d", "h", "m", "s") if milliseconds % UNIT_MS[unit] == 0)
    return f"{milliseconds // UNIT_MS[unit]}{unit}"


def series_names(text: str) -> tuple[SeriesName, ...]:
    """Names from `ohlcv,oi,funding`, in the order given.

    Raises
    ------
    UsageError
        For an unknown name.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or not names:
        raise UsageError(f"series {shortened(', '.join(unknown) or text)} is unknown; allowed: {', '.join(COLUMNS)}")
    return tuple(dict.fromkeys(names))  # type: ignore[arg-type]


def _schema(series: SeriesName) -> pa.Schema:
    return pa.schema([("timestamp", pa.int64()), *((name, pa.float64()) for name in COLUMNS[series])])


def write_file(folder: Path, rows: Rows, key: Key, units: dict[str, str]) -> StoredFile:
    """Write rows (at least one) into a new file named after them; the same rows of a series give the same bytes.

    The file contains its series and units, so that it can be adopted again without a manifest.
    """
    told = {_SERIES_OF: str(key.path.as_posix()), _UNITS_OF: json.dumps(units, sort_keys=True)}
    schema = _schema(key.series).with_metadata(told)
    arrays = [pa.array(rows.time_ms), *(pa.array(np.ascontiguousarray(column)) for column in rows.values.T)]
    table = pa.Table.from_arrays(arrays, schema=schema)
    content = _parquet(table, {"timestamp": "DELTA_BINARY_PACKED"})
    if table.nbytes > room_for(content.size):
        # A dead market packs so well that the reader would take its file for a bomb.
        content = _parquet(table, {})
    digest = hashlib.sha256(content).hexdigest()
    first, last = int(rows.time_ms[0]), int(rows.time_ms[-1])
    name = f"{first}-{last}-{digest[:12]}.parquet"
    replace_file(folder / name, content)
    return StoredFile(name=name, sha256=digest, rows=rows.time_ms.size, first_ms=first, last_ms=last)


def _parquet(table: pa.Table, encoding: dict[str, str]) -> pa.Buffer:
    """Bytes of a Parquet file; times differ all, so that a dictionary of them is work for nothing."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=table.column_names[1:],
        column_encoding=encoding,
        write_page_checksum=True,
    )
    return sink.getvalue()


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise MarketError(f"{path} is damaged ({problem}): restore it, or move its folder away and fetch") from None


def row_count(path: Path) -> int:
    """Number of rows that a file says it has."""
    with _damage_told(path):
        return int(pq.read_metadata(path).num_rows)


def read_file(path: Path, series: SeriesName) -> Any:
    """Arrow table of a file, its page checksums verified; `FileNotFoundError` passes through."""
    with _damage_told(path):
        table = read_parquet(path, _schema(series), page_checksums=True)
    if not table.schema.equals(_schema(series)):
        raise MarketError(
            f"{path} has columns {', '.join(table.column_names)}: move its folder away and fetch it again"
        )
    return table


def told_by_file(path: Path, key: Key) -> tuple[bool, dict[str, str]]:
    """Whether a file may belong to a series, and its units: those that it contains, else the default units.

    Raises
    ------
    MarketError
        If it is not a Parquet file.
    """
    with _damage_told(path):
        told = pq.read_schema(path).metadata or {}
        units = json.loads(told.get(_UNITS_OF.encode(), b"null")) or dict(UNITS[key.series])
    return told.get(_SERIES_OF.encode(), key.path.as_posix().encode()) == key.path.as_posix().encode(), units


def read_files(folder: Path, files: Sequence[StoredFile], series: SeriesName) -> Rows:
    """Rows of several files in order of time, whatever the order of the files; errors as in `read_file`."""
    for file in files:
        # No more rows are allocated than the files themselves say they have.
        found = row_count(folder / file.name)
        if found != file.rows:
            raise MarketError(f"{folder / file.name} has {found} rows, not {file.rows}: move its folder away and fetch")
    ends = np.cumsum([0, *(file.rows for file in files)])
    times = np.empty(ends[-1], dtype=np.int64)
    values = np.empty((len(COLUMNS[series]), ends[-1]))

    def fill(place: int) -> None:
        table = read_file(folder / files[place].name, series)
        if table.num_rows != files[place].rows or table["timestamp"].null_count:
            raise MarketError(f"{folder / files[place].name} is damaged: restore it, or move its folder away and fetch")
        part = slice(ends[place], ends[place + 1])
        times[part] = table["timestamp"].to_numpy()
        for name, row in zip(COLUMNS[series], values, strict=True):
            row[part] = table[name].to_numpy()

    if len(files) > 1:
        # Decoding one file while the other is copied.
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(fill, range(len(files))))
    elif files:
        fill(0)
    if (times[1:] > times[:-1]).all():
        return Rows(times, values.T)
    order = np.argsort(times, kind="stable")
    first = np.ones(times.size, dtype=np.bool_)
    first[1:] = times[order][1:] != times[order][:-1]
    return Rows(times[order[first]], values[:, order[first]].T)


def new_rows(folder: Path, rows: Rows, series: SeriesName, files: Sequence[StoredFile]) -> tuple[Rows, int]:
    """Rows at times that no file has, and how many of the others differ from the files."""
    if rows.time_ms.size == 0:
        return rows, 0
    first, last = int(rows.time_ms[0]), int(rows.time_ms[-1])
    near = [file for file in files if file.first_ms <= last and file.last_ms >= first]
    if not near:
        return rows, 0
    try:
        stored = read_files(folder, near, series).between(first, last + 1)
    except FileNotFoundError as problem:
        raise MarketError(
            f"{problem.filename} is missing though the manifest lists it: restore it, or move the manifest away and "
            "run `backtest data check`, which takes in the files that are there"
        ) from None
    place = np.searchsorted(stored.time_ms, rows.time_ms)
    known = np.zeros(rows.time_ms.size, dtype=np.bool_)
    inside = place < stored.time_ms.size
    known[inside] = stored.time_ms[place[inside]] == rows.time_ms[inside]
    same = np.isclose(stored.values[place[known]], rows.values[known], rtol=1e-9, atol=0, equal_nan=True)
    return Rows(rows.time_ms[~known], rows.values[~known]), int((~same.all(axis=1)).sum())


def replace_file(path: Path, content: bytes | pa.Buffer) -> None:
    """Write a file completely or not at all, and onto the disk before it gets its name."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        # An unfinished file must not fill a full disk further.
        with suppress(OSError):
            partial.unlink()
        raise
