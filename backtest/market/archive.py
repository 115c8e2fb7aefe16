"""Files of Binance's public archive: bars, funding and open-interest metrics, as zips or the CSV inside them.

    spot/monthly/klines/ZECUSDT/1h/ZECUSDT-1h-2025-10.zip
    futures/um/daily/klines/ZECUSDT/1h/ZECUSDT-1h-2025-10-01.zip
    futures/um/daily/metrics/ZECUSDT/ZECUSDT-metrics-2025-10-01.zip
    futures/um/monthly/fundingRate/ZECUSDT/ZECUSDT-fundingRate-2025-10.zip

The folder gives the kind of bars: klines are bars of trades; markPriceKlines, indexPriceKlines and premiumIndexKlines
are not, under the same file names. Outside such a folder, bars whose volume is zero throughout are refused, because
their kind is unknown.

A file may or may not have a header, and its times may be in milliseconds or microseconds: both are detected, per file
and per row. A zip is read in memory, never unpacked: it must hold one CSV of its own name and of bounded size. A file
covers the whole period in its name if its CHECKSUM confirms it and the period is over, else only its rows.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from backtest.base.documents import read_whole
from backtest.base.errors import MarketError, shortened
from backtest.base.units import DAY_MS, timeframe_ms, to_ms
from backtest.market.arrow_files import room_for
from backtest.market.files import QUOTES
from backtest.market.quality import (
    EARLIEST_MS,
    LATEST_MS,
    Int64s,
    RawTable,
    clean_bars,
    clean_funding,
    clean_open_interest,
    clean_price_bars,
    clean_ratios,
    epoch_ms,
    snap,
)
from backtest.market.record import Floats, Kind
from backtest.market.rows import PRICE_SERIES, Rows, SeriesName
from backtest.market.skipping import without_bad_rows
from backtest.market.spans import Span, runs, slots

LARGEST = 512 * 2**20
_LIMIT = f"{LARGEST >> 20} MiB, which no file of the archive does"
METRICS_PERIOD = "5m"
_NAME = re.compile(
    r"(?P<code>[A-Z0-9]{1,40})-(?P<what>metrics|fundingRate|[1-9][0-9]{0,3}[smhdw])-(?P<date>\d{4}-\d{2}(?:-\d{2})?)\.(?:zip|csv)"
)
_CREATED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_KLINE = ("open_time", "open", "high", "low", "close", "volume")
_METRICS = ("create_time", "sum_open_interest", "sum_open_interest_value")
_FUNDING = ("calc_time", "last_funding_rate")
_HEADERLESS: dict[SeriesName, tuple[str, ...]] = {
    "ohlcv": (
        *_KLINE,
        *("close_time", "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
    ),
    "oi": (
        *("create_time", "symbol", "sum_open_interest", "sum_open_interest_value"),
        *("count_toptrader_long_short_ratio", "sum_toptrader_long_short_ratio"),
        *("count_long_short_ratio", "sum_taker_long_short_vol_ratio"),
    ),
    "funding": ("calc_time", "funding_interval_hours", "last_funding_rate"),
}
_SAMPLED = ("oi", "ratios")
_RATIOS = (
    *("count_toptrader_long_short_ratio", "sum_toptrader_long_short_ratio"),
    *("count_long_short_ratio", "sum_taker_long_short_vol_ratio"),
)
_WANTED: dict[SeriesName, tuple[str, ...]] = {
    "ohlcv": _KLINE,
    **dict.fromkeys(PRICE_SERIES, _KLINE[:5]),
    "oi": _METRICS,
    "ratios": ("create_time", *_RATIOS),
    "funding": _FUNDING,
}
FOLDERS: dict[str, SeriesName] = {
    "klines": "ohlcv",
    "markPriceKlines": "mark",
    "indexPriceKlines": "index",
    "premiumIndexKlines": "premium",
    "metrics": "oi",
    "fundingRate": "funding",
}
_OF_FOLDER = {name.lower(): series for name, series in FOLDERS.items()}


@dataclass(frozen=True, slots=True)
class ArchiveName:
    """The name of an archive file, parsed: coin pair, series, its period, and the time [start, end) it covers."""

    base: str
    quote: str
    series: SeriesName
    period: str
    start_ms: int
    end_ms: int

    def symbol(self, kind: Kind, series: SeriesName) -> str:
        """The unified symbol of a series; only bars of trades can be of spot."""
        swap = kind == "swap" or series != "ohlcv"
        return f"{self.base}/{self.quote}" + (f":{self.quote}" if swap else "")


@dataclass(frozen=True, slots=True)
class ArchiveContent:
    """Rows of one file, the spans they cover, and the gaps inside these: a slot that a complete file lacks is a gap."""

    rows: Rows
    covered: tuple[Span, ...]
    gaps: tuple[Span, ...]
    repairs: tuple[str, ...]


def archive_name(name: str) -> ArchiveName | None:
    """The parsed name of a file; None if it is not a name of the archive."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    code, what, date = match["code"], match["what"], match["date"]
    quote = next((quote for quote in QUOTES if code.endswith(quote) and code != quote), "")
    try:
        start = datetime.fromisoformat(date if len(date) > 7 else f"{date}-01").replace(tzinfo=UTC)
    except ValueError:
        return None
    if not quote or not EARLIEST_MS <= to_ms(start) < LATEST_MS:
        return None
    following = start.replace(day=1, year=start.year + start.month // 12, month=start.month % 12 + 1)
    end_ms = to_ms(start) + DAY_MS if len(date) > 7 else to_ms(following)
    series: SeriesName = "oi" if what == "metrics" else "funding" if what == "fundingRate" else "ohlcv"
    period = METRICS_PERIOD if series == "oi" else what
    return ArchiveName(code.removesuffix(quote), quote, series, period, to_ms(start), end_ms)


def series_of_path(path: Path, told: ArchiveName) -> SeriesName | None:
    """Series given by the folders of a file; None if they do not give one.

    Raises
    ------
    MarketError
        If folder and name contradict each other.
    """
    found = [series for part in path.parts[:-1] if (series := _OF_FOLDER.get(part.lower())) is not None]
    if not found:
        return None
    if (told.series == "ohlcv") != (found[-1] not in ("oi", "funding")):
        raise MarketError(f"{path} is named as {told.series}, but its folder says {found[-1]}: put it where it belongs")
    return found[-1]


def verify_checksum(name: str, content: bytes, checksum: str) -> None:
    """Compare a file with the `sha256  name` line of its CHECKSUM file; raises `MarketError` if they differ."""
    words = checksum.split()
    if len(words) != 2 or words[1].lstrip("*") != name or not re.fullmatch(r"[0-9a-fA-F]{64}", words[0]):
        raise MarketError(f"the checksum of {name} reads {checksum[:80]!r}, which is not its sha256: download it again")
    found = hashlib.sha256(content).hexdigest()
    if found != words[0].lower():
        raise MarketError(f"{name} has sha256 {found[:16]}, but its checksum is {words[0][:16]}: download it again")


def read_archive_file(
    where: str,
    name: str,
    content: bytes,
    series: SeriesName | None = None,
    *,
    vouched: bool = False,
    skip_bad: bool = False,
) -> ArchiveContent:
    """Rows of an archive file (zip, or the CSV itself), cleaned as every source is.

    `series` comes from the folder, None if that does not give one. Only if `vouched` does a file cover the whole period
    in its name; otherwise it covers its rows. With `skip_bad` rows that cannot be used are left out, each with a
    sentence, and a file with such rows covers only the others.

    Raises
    ------
    MarketError
        If the zip is unsafe or damaged, if its bars are of something that does not trade and no folder says so, or
        naming the line and column of a cell that cannot be used.
    """
    told = archive_name(name)
    if told is None:
        raise MarketError(f"{where}: {name} is not a file name of Binance's archive, as in ZECUSDT-1h-2025-10.zip")
    text = _unzipped(where, name, content) if name.endswith(".zip") else content
    wanted = series or told.series
    table = _table(where, told, text, wanted, skip_bad=skip_bad)
    if skip_bad:
        table = without_bad_rows(table, wanted, told.period or "1h")
        vouched = vouched and not table.repairs
    if wanted == "funding":
        funding = clean_funding(table)
        whole = ((told.start_ms, told.end_ms),) if vouched else ()
        return ArchiveContent(Rows(funding.settled_ms, funding.rate[:, np.newaxis]), whole, (), funding.repairs)
    rows, repairs = _cleaned(table, wanted, told.period)
    if wanted == "ohlcv" and series is None and rows.time_ms.size > 1 and not rows.values[:, 4].any():
        raise MarketError(
            f"{where} has no volume in any bar, so it may be of a mark price, an index or a premium: keep the "
            f"archive's folders ({', '.join(FOLDERS)}) or say which with `series`"
        )
    return _content(told, wanted, rows, repairs, vouched=vouched)


def _cleaned(table: RawTable, series: SeriesName, period: str) -> tuple[Rows, tuple[str, ...]]:
    if series == "oi":
        # A tolerance of one minute in the stamp would put a sample into the wrong period.
        samples = clean_open_interest(table, period)
        return Rows(samples.sampled_ms, np.column_stack((samples.coins, samples.value))), samples.repairs
    if series == "ohlcv":
        bars = clean_bars(table, period)
        return Rows(
            bars.open_ms, np.column_stack((bars.open, bars.high, bars.low, bars.close, bars.volume))
        ), bars.repairs
    clean = (
        clean_ratios(table, period)
        if series == "ratios"
        else clean_price_bars(table, period, positive=series != "premium")
    )
    return Rows(clean.time_ms, clean.values), clean.repairs


def _content(
    told: ArchiveName, series: SeriesName, rows: Rows, repairs: tuple[str, ...], *, vouched: bool
) -> ArchiveContent:
    period_ms = timeframe_ms(told.period)
    if not vouched:
        return ArchiveContent(rows, slots(rows.time_ms, period_ms), (), repairs)
    expected = np.arange(told.start_ms, told.end_ms, period_ms, dtype=np.int64)
    if series in _SAMPLED and rows.time_ms.size and rows.time_ms[0] > told.start_ms:
        # Such files run from 00:05 to the next midnight: the first slot is in the file of the previous day.
        expected = expected[1:]
        if rows.time_ms[-1] == told.end_ms:
            expected = np.append(expected, np.int64(told.end_ms))
    gaps = runs(expected, ~np.isin(expected, rows.time_ms), period_ms) if period_ms <= DAY_MS else ()
    first = int(min(told.start_ms, rows.time_ms[0])) if rows.time_ms.size else 0
    covered = (first, int(expected[-1]) + period_ms) if rows.time_ms.size else (0, 0)
    return ArchiveContent(rows, (covered,), gaps, repairs)


def checked(path: Path, content: bytes) -> bool:
    """Whether `NAME.CHECKSUM` is beside a file and confirms it; raises `MarketError` if it contradicts it."""
    beside = path.with_name(path.name + ".CHECKSUM")
    if not os.path.lexists(beside):
        return False
    verify_checksum(path.name, content, read_whole(beside, MarketError, 4096).decode("utf-8", "replace"))
    return True


def _unzipped(where: str, name: str, content: bytes) -> bytes:
    inside = name.removesuffix(".zip") + ".csv"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if names != [inside]:
                raise MarketError(f"{where} holds {', '.join(names[:4]) or 'nothing'}, but {inside} alone is expected")
            member_info = archive.infolist()[0]
            if member_info.flag_bits & 1:
                raise MarketError(f"{where} is encrypted, which no file of the archive is")
            if member_info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise MarketError(f"{where} is not packed as the archive packs (stored or deflated): download it again")
            most = min(LARGEST, room_for(len(content)))
            if member_info.file_size > most:
                raise MarketError(f"{where} unpacks to more than {_LIMIT}")
            with archive.open(inside) as member:
                text = member.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, OSError, ValueError) as problem:
        raise MarketError(f"{where} is not a complete zip file ({problem}): download it again") from None
    if len(text) > most:
        raise MarketError(f"{where} unpacks to more than {_LIMIT}")
    return text


def _table(where: str, told: ArchiveName, text: bytes, series: SeriesName, *, skip_bad: bool) -> RawTable:
    first = text.split(b"\n", 1)[0].decode("utf-8", "replace").lstrip("\ufeff").strip()
    cells = [cell.strip().strip('"') for cell in first.split(",")]
    header = not re.match(r"\d", cells[0])
    columns = [cell.lower() for cell in cells] if header else list(_HEADERLESS[told.series])
    wanted = _WANTED[series]
    absent = [name for name in wanted if name not in columns]
    if absent or (not header and len(cells) < len(columns)):
        raise MarketError(f"{where} has no column {', '.join(absent) or columns[len(cells)]}: it begins {first[:80]!r}")
    stamp = pa.string() if series in _SAMPLED else pa.int64()
    kinds = {wanted[0]: stamp, **dict.fromkeys(wanted[1:], pa.float64())}
    try:
        parsed = pa.csv.read_csv(
            pa.BufferReader(text),
            pa.csv.ReadOptions(column_names=columns if header else columns[: len(cells)], skip_rows=int(header)),
            convert_options=pa.csv.ConvertOptions(
                column_types=kinds, include_columns=list(wanted), null_values=["", "null", "NaN", "nan"]
            ),
        )
    except pa.ArrowException as problem:
        if skip_bad:
            names = columns if header else columns[: len(cells)]
            return _cell_by_cell(where, text, names, wanted, first=1 + header, sampled=series in _SAMPLED)
        raise MarketError(f"{where} cannot be read as CSV: {' '.join(str(problem).split())[:200]}") from None
    if parsed.num_rows == 0 or parsed[wanted[0]].null_count:
        raise MarketError(f"{where} has {'a row without a time' if parsed.num_rows else 'no rows'}: download it again")
    times = _sampled_ms(where, parsed[wanted[0]]) if series in _SAMPLED else _stamps(parsed[wanted[0]])
    values: Floats = np.column_stack([parsed[name].to_numpy() for name in wanted[1:]])
    numbers = np.arange(times.size, dtype=np.int64) + (2 if header else 1)
    return RawTable(where, wanted, times, values, numbers, "line")


def _cell_by_cell(
    where: str, text: bytes, names: list[str], wanted: tuple[str, ...], *, first: int, sampled: bool
) -> RawTable:
    """Table of the lines in which every wanted cell can be read; every other line gives a sentence."""
    places = [names.index(name) for name in wanted]
    times, values, numbers, skipped = [], [], [], []
    for number, line in enumerate(text.decode("utf-8", "replace").splitlines()[first - 1 :], start=first):
        cells = [cell.strip().strip('"') for cell in line.split(",")]
        try:
            stamp, *amounts = (cells[place] for place in places)
            if sampled and not _CREATED.fullmatch(stamp):
                raise ValueError(stamp)
            moment = int(np.datetime64(stamp, "ms").astype(np.int64)) if sampled else int(stamp)
            read = [np.nan if cell in ("", "null", "NaN", "nan") else float(cell) for cell in amounts]
        except (ValueError, IndexError):
            skipped.append(f"line {number} skipped: a cell is not a number or time")
            continue
        times.append(moment)
        values.append(read)
        numbers.append(number)
    if not times:
        raise MarketError(f"{where} has no row that can be read: download it again")
    stamps = np.array(times, dtype=np.int64)
    stamps = snap(stamps) if sampled else epoch_ms(stamps)
    table = np.array(values, dtype=np.float64)
    return RawTable(where, wanted, stamps, table, np.array(numbers, dtype=np.int64), "line", tuple(skipped))


def _stamps(column: Any) -> Int64s:
    return epoch_ms(column.to_numpy())


def _sampled_ms(where: str, column: Any) -> Int64s:
    """Milliseconds of `create_time` texts, taken as the start of the five minutes after which a sample is known.

    The end of the period that a stamp names has changed, and old files were restamped: value divided by coins in files
    of 2025 is the price five minutes after `create_time`. So the later instant is assumed, unless bars decide
    (`backtest.market.labels`).
    """
    texts = column.to_pylist()
    wrong = next((text for text in texts if not _CREATED.fullmatch(text)), None)
    if wrong is not None:
        raise MarketError(
            f"{where}, column create_time: {shortened(wrong)} is not as 2025-10-01 00:05:00: download it again"
        )
    try:
        times: npt.NDArray[np.datetime64] = np.array(texts, dtype="datetime64[ms]")
    except ValueError as problem:
        raise MarketError(f"{where}, column create_time: {problem}: download it again") from None
    return snap(times.astype(np.int64))
