"""Bars, funding and open interest from one CSV, Feather or Parquet file in the project's own layouts.

The layout follows from the file name. Columns are found by name, in any order and case; others are not read. The
separator of a CSV (comma, semicolon, tab or bar) is detected from its header:

    ZECUSDT-1h.csv                      bars: timestamp, open, high, low, close, volume
    ZECUSDT-funding.csv                 settlements: timestamp, funding_rate
    ZECUSDT-oi-4h.csv                   samples: timestamp, sum_open_interest, sum_open_interest_value
    ZECUSDT-1h.parquet                  any of these as Parquet
    ZEC_USDT_USDT-5m-futures.feather    freqtrade's bars of a swap: date, open, high, low, close, volume
    ZEC_USDT-5m.feather                 freqtrade's bars of a spot pair

A time is an epoch stamp (milli-, micro- or nanoseconds, by magnitude in each row) or ISO 8601 with a zone. A column
`symbol`, if present, must name the instrument of the file.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv

from backtest.base.documents import read_whole
from backtest.base.errors import MarketError
from backtest.market.arrow_files import read_arrow_file
from backtest.market.parsing import EMPTY, NUMBER, parse_number, parse_time
from backtest.market.quality import (
    CheckedBars,
    CheckedFunding,
    OpenInterest,
    RawTable,
    clean_bars,
    clean_funding,
    clean_open_interest,
    epoch_ms,
)
from backtest.market.record import Instrument, Kind

# Longest first: ZECFDUSD is ZEC/FDUSD, not ZECFD/USD.
QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "USD", "BTC", "ETH", "EUR")

_SWAP_FOLDER = re.compile(r"usdm|futures|swap|perp|(?<![a-z])um(?![a-z])")
_FORMS = tuple(
    re.compile(form.replace("WORD", "[A-Za-z0-9]+").replace("PERIOD", "[1-9][0-9]{0,8}[smhdw]"))
    for form in (
        r"(?P<code>WORD)-(?P<timeframe>PERIOD)\.(?:csv|parquet)",
        r"(?P<code>WORD)-(?P<funding>funding)\.(?:csv|parquet)",
        r"(?P<code>WORD)-oi-(?P<period>PERIOD)\.(?:csv|parquet)",
        r"(?P<base>WORD)_(?P<quote>WORD)_(?P<settle>(?P=quote))-(?P<timeframe>PERIOD)-futures\.feather",
        r"(?P<base>WORD)_(?P<quote>WORD)-(?P<timeframe>PERIOD)\.feather",
    )
)

LARGEST = 2 * 2**30
"""Bytes of the largest file that is read into memory."""

Content = Literal["bars", "funding", "open interest"]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Columns of one content, each with its accepted names; at least `least` of `values` must be present."""

    time: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    least: int


_TIME = ("timestamp", "open_time", "date", "datetime", "time")
_LAYOUTS: dict[Content, _Layout] = {
    "bars": _Layout(_TIME, (("open",), ("high",), ("low",), ("close",), ("volume",)), 5),
    "funding": _Layout((*_TIME, "calc_time"), (("funding_rate", "last_funding_rate", "fundingrate"),), 1),
    "open interest": _Layout(_TIME, (("sum_open_interest",), ("sum_open_interest_value",)), 1),
}


@dataclass(frozen=True, slots=True)
class _Columns:
    """Positions of the columns of a layout in a file's header; None for an absent one."""

    header: tuple[str, ...]
    time: int
    values: tuple[int | None, ...]
    symbol: int | None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple("" if column is None else self.header[column] for column in (self.time, *self.values))


@dataclass(frozen=True, slots=True)
class MarketFile:
    """A file whose name follows a layout; `kind` is None if the name does not give it."""

    path: Path
    content: Content
    code: str
    quote: str
    period: str
    kind: Kind | None

    def instrument(self, kind: Kind) -> Instrument:
        """The instrument of the file, of kind `kind` if its name does not give one."""
        base = self.code.removesuffix(self.quote)
        if not self.quote or not base:
            raise MarketError(
                f"{self.path}: {self.code} is not a coin followed by one of {', '.join(QUOTES)}: "
                "name the file as in ZECUSDT-1h.csv"
            )
        settle = f":{self.quote}" if (self.kind or kind) == "swap" else ""
        return Instrument.parse(f"{base}/{self.quote}{settle}")


def read_bars(path: Path, timeframe: str | None = None) -> CheckedBars:
    """Bars of one CSV, Feather or Parquet file; `timeframe` is read from its name if it is not given.

    Raises
    ------
    MarketError
        Naming file, line or row, and column of what `backtest.market.quality` refuses; or if the file cannot be read,
        or if no timeframe is given and its name does not contain one.
    """
    return clean_bars(_read(path, "bars"), timeframe or _period(path))


def read_funding(path: Path) -> CheckedFunding:
    """Funding settlements of one CSV, Feather or Parquet file; raises as `read_bars` does."""
    return clean_funding(_read(path, "funding"))


def read_open_interest(path: Path, period: str | None = None) -> OpenInterest:
    """Open-interest samples of one CSV, Feather or Parquet file; `period` and errors as in `read_bars`."""
    return clean_open_interest(_read(path, "open interest"), period or _period(path))


def market_file(path: Path) -> MarketFile | None:
    """The parsed name of a file; None if it follows no layout."""
    match = next((match for form in _FORMS if (match := form.fullmatch(path.name))), None)
    if match is None:
        return None
    part = {name: text.upper() for name, text in match.groupdict().items()}
    period = match.groupdict().get("timeframe") or match.groupdict().get("period") or ""
    if "base" in part:
        kind: Kind = "swap" if "settle" in part else "spot"
        return MarketFile(path, "bars", part["base"] + part["quote"], part["quote"], period, kind)
    content: Content = "funding" if "funding" in part else "open interest" if "period" in part else "bars"
    quote = next((quote for quote in QUOTES if part["code"].endswith(quote)), "")
    return MarketFile(path, content, part["code"], quote, period, None)


def _period(path: Path) -> str:
    file = market_file(path)
    if file is None or not file.period:
        raise MarketError(f"{path}: its name has no timeframe: name it as in ZECUSDT-1h.csv, or give one")
    return file.period


def told_kind(folder: Path, *, swap_data: bool) -> Kind:
    """Kind from the name of a folder, else swap if it has swap data; raises `MarketError` if neither decides."""
    name = folder.resolve().name.lower()
    swap, spot = _SWAP_FOLDER.search(name) is not None, "spot" in name
    if swap != spot:
        return "swap" if swap else "spot"
    if swap_data:
        return "swap"
    raise MarketError(
        f"{folder} does not say whether its bars are of swaps or of spot: put 'futures' or 'spot' into the name of "
        "the folder, as in my-futures"
    )


def _read(path: Path, content: Content) -> RawTable:
    data = read_whole(path, MarketError, LARGEST)
    if not data or data.isspace():
        raise MarketError(f"{path} is empty: fetch or export it again")
    file = market_file(path)
    code = file.code if file else ""
    read = _read_arrow if path.suffix in (".feather", ".parquet") else _read_csv
    return read(path, data, _LAYOUTS[content], code)


def _read_csv(path: Path, data: bytes, layout: _Layout, code: str) -> RawTable:
    first = data[: data.find(b"\n") + 1]
    usual = first and first.count(b'"') % 2 == 0 and b"\r" not in first[:-2] and len(first) <= csv.field_size_limit()
    if usual and data.isascii():
        # The usual file needs no second copy of itself as text.
        separator = _separator(first.decode())
        header = tuple(next(csv.reader([first.decode()], delimiter=separator), []))
        plain = _read_plain(path, data, _find(path, header, layout), code, separator)
        if plain is not None:
            return plain
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise MarketError(
            f"{path} line {line}: byte {data[problem.start]:#04x} is not UTF-8: save the file as UTF-8"
        ) from None
    separator = _separator(text[: text.find("\n") + 1] or text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        columns = _find(path, tuple(next(rows, [])), layout)
        plain = _read_plain(path, data, columns, code, separator)
        if plain is not None:
            return plain
        return _precise(path, ((rows.line_num, cells) for cells in rows), columns, "line", code)
    except csv.Error as problem:
        raise MarketError(f"{path} line {rows.line_num}: {problem}: export the file again as plain CSV") from None


def _separator(header: str) -> str:
    """Separator of the cells of a header: comma, semicolon, tab or bar."""
    return max(",;\t|", key=header.count)


def _read_plain(path: Path, data: bytes, columns: _Columns, code: str, separator: str) -> RawTable | None:
    """Table of a file whose cells Arrow can read directly, one row per line; None for any other."""
    body = data.rstrip(b"\r\n") if data.endswith((b"\n\n", b"\r\n")) else data
    table = _parse_csv(body, columns, separator)
    # Lines can be counted only if each holds one row.
    if table is None or table.num_rows != body.count(b"\n") - body.endswith(b"\n"):
        return None
    return _plain(path, table, columns, "line", code)


def _parse_csv(body: bytes, columns: _Columns, separator: str) -> Any:
    """Arrow table of the body, columns named by position; None if a cell does not have the type of its column."""
    types = {columns.time: pa.int64()} | {column: pa.float64() for column in columns.values if column is not None}
    if columns.symbol is not None:
        types[columns.symbol] = pa.string()
    try:
        return pa.csv.read_csv(
            pa.BufferReader(body),
            pa.csv.ReadOptions(column_names=[str(column) for column in range(len(columns.header))], skip_rows=1),
            pa.csv.ParseOptions(delimiter=separator),
            pa.csv.ConvertOptions(
                column_types={str(column): kind for column, kind in types.items()}, null_values=EMPTY
            ),
        )
    except pa.ArrowException:
        return None


def _read_arrow(path: Path, data: bytes, layout: _Layout, code: str) -> RawTable:
    table = read_arrow_file(path, data)
    columns = _find(path, tuple(table.column_names), layout)
    try:
        plain = _plain(path, table, columns, "row", code)
        if plain is not None:
            return plain
        cells = [["" if cell is None else str(cell) for cell in column.to_pylist()] for column in table.columns]
    except (pa.ArrowException, ArithmeticError, LookupError, OSError, ValueError) as problem:
        raise MarketError(f"{path} cannot be read as numbers ({str(problem)[:300]}): export it again") from None
    return _precise(path, enumerate(map(list, zip(*cells, strict=True))), columns, "row", code)


def _find(path: Path, header: tuple[str, ...], layout: _Layout) -> _Columns:
    names = [name.strip().lower() for name in header]

    def position(aliases: tuple[str, ...]) -> int | None:
        name = next((alias for alias in aliases if alias in names), None)
        if name is None:
            return None
        if names.count(name) > 1:
            raise MarketError(f"{path} has {names.count(name)} columns {name!r}: keep one")
        return names.index(name)

    time = position(layout.time)
    values = tuple(position(aliases) for aliases in layout.values)
    absent = [aliases[0] for aliases, column in zip(layout.values, values, strict=True) if column is None]
    if time is None or len(values) - len(absent) < layout.least:
        wanted = layout.time[0] if time is None else " or ".join(absent) if layout.least == 1 else absent[0]
        if names and all(NUMBER.fullmatch(name) for name in names):
            there = f"its first line is not a header but {', '.join(header)[:300]}"
        else:
            there = f"it has {', '.join(header)[:300]}" if header else "its header is empty"
        raise MarketError(f"{path} has no column {wanted}: {there}; rename or add it")
    return _Columns(header, time, values, position(("symbol",)))


def _plain(path: Path, table: Any, columns: _Columns, unit: Literal["line", "row"], code: str) -> RawTable | None:
    """Table of columns that are numbers already; None if some cell must be read or refused by itself."""
    times = table.column(columns.time)
    values = [None if column is None else table.column(column) for column in columns.values]
    symbols = [] if columns.symbol is None else table.column(columns.symbol).unique().to_pylist()
    zoned = pa.types.is_timestamp(times.type) and times.type.tz is not None
    if (
        table.num_rows == 0
        or times.null_count
        or not (zoned or pa.types.is_integer(times.type))
        or not all(value is None or _is_number(value.type) for value in values)
        or not all(_code(symbol) == (code or _code(symbols[0])) for symbol in symbols)
    ):
        return None
    if zoned:
        time_ms = times.cast(pa.timestamp("ms", times.type.tz), safe=False).cast(pa.int64()).to_numpy()
    else:
        time_ms = epoch_ms(times.cast(pa.int64()).to_numpy())
    absent = np.full(table.num_rows, np.nan)
    panel = [absent if value is None else value.cast(pa.float64(), safe=False).to_numpy() for value in values]
    numbers = np.arange(table.num_rows, dtype=np.int64) + (2 if unit == "line" else 0)
    return RawTable(str(path), columns.names, time_ms, np.stack(panel).T, numbers, unit)


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _code(symbol: object) -> str:
    """`ZECUSDT` of `ZECUSDT`, `ZEC/USDT:USDT`, `ZEC-USDT-SWAP` and `zec_usdt`."""
    return re.sub(r":.*|[-_](SWAP|PERP)$|[^A-Z0-9:]", "", str(symbol or "").upper())


def _precise(
    path: Path,
    rows: Iterable[tuple[int, list[str]]],
    columns: _Columns,
    unit: Literal["line", "row"],
    code: str,
) -> RawTable:
    """Table of rows of text, cell by cell: reads what `_plain` cannot, and names the cell that cannot be read."""
    times, values, numbers, blank = [], [], [], []
    for number, cells in rows:
        where = f"{path} {unit} {number}"
        if not any(cell.strip() for cell in cells):
            blank.append(number)
            continue
        if len(cells) != len(columns.header):
            counts = f"{len(cells)} fields under a header of {len(columns.header)}"
            raise MarketError(f"{where} has {counts}: complete or drop it")
        if columns.symbol is not None:
            symbol = cells[columns.symbol]
            code = code or _code(symbol)
            if _code(symbol) != code:
                raise MarketError(
                    f"{where}, column symbol: {symbol[:40]!r} is not {code}: keep one instrument per file"
                )
        times.append(parse_time(cells[columns.time].strip(), f"{where}, column {columns.header[columns.time][:40]}"))
        values.append(
            [
                np.nan
                if column is None
                else parse_number(cells[column].strip(), f"{where}, column {columns.header[column][:40]}")
                for column in columns.values
            ]
        )
        numbers.append(number)
    if not numbers:
        raise MarketError(f"{path} has a header and no rows: fetch or export it again")
    return RawTable(
        str(path),
        columns.names,
        epoch_ms(np.array(times, dtype=np.int64)),
        np.array(values, dtype=np.float64),
        np.array(numbers, dtype=np.int64),
        unit,
        (f"{len(blank)} blank {unit}{'s' * (len(blank) > 1)} dropped, first {unit} {blank[0]}",) if blank else (),
    )
