"""Files into the store: Binance's archive, freqtrade's Feather, and the CSV, Feather and Parquet that `files` reads."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from backtest.documents import read_whole
from backtest.errors import MarketError
from backtest.market.archive import LARGEST, archive_name, checked, read_archive_file, series_of_path
from backtest.market.files import market_file, read_bars, read_funding, read_open_interest, told_kind
from backtest.market.record import Instrument, Kind
from backtest.market.rows import UNITS, Key, Rows, SeriesName
from backtest.market.spans import Span, intersect, slots
from backtest.market.store import Store
from backtest.progress import Progress, silent
from backtest.units import format_ms, timeframe_ms

ARCHIVE_VENUE: dict[Kind, str] = {"swap": "binanceusdm", "spot": "binance"}
# By how much another clock may be ahead of this one.
FUTURE_MS = 5 * 60_000
_READ = (".zip", ".csv", ".feather", ".parquet")


@dataclass(slots=True)
class Imported:
    """What an import did: new rows by series, what was repaired, and files that were not read and why.

    `again` counts files that had been imported before, `unvouched` archive files without a CHECKSUM or of a time that
    is not over; `set_aside` are sentences about files of the store that contradict it.
    """

    rows: dict[Key, int] = field(default_factory=dict)
    differing: dict[Key, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    again: int = 0
    unvouched: int = 0

    def lines(self) -> list[str]:
        """One line a series, then the notes."""
        lines = [f"{key}: {rows:,} new rows" for key, rows in sorted(self.rows.items())]
        lines += [
            f"{key}: {count:,} rows differ from what is stored, which was kept"
            for key, count in sorted(self.differing.items())
            if count
        ]
        if self.again:
            lines.append(f"{self.again:,} files not read: imported before, by their sha256")
        if self.unvouched:
            lines.append(
                f"{self.unvouched:,} archive files count for the rows they hold alone: without a CHECKSUM, or before "
                "the end of the time that its name tells, a file does not prove that the rest is missing"
            )
        return lines + self.notes


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows of one file, ready for the store."""

    key: Key
    rows: Rows
    covered: tuple[Span, ...]
    gaps: tuple[Span, ...]
    repairs: tuple[str, ...]
    source: str


@dataclass(slots=True)
class _Import:
    """One import under way: where to, what the user said of the files, and what was imported before."""

    store: Store
    venue: str | None
    kind: Kind | None
    series: SeriesName | None
    now_ms: int
    done: Imported = field(default_factory=Imported)
    touched: dict[Key, None] = field(default_factory=dict)
    _known: dict[Key, set[str]] = field(default_factory=dict)

    def known(self, key: Key, mark: str) -> bool:
        """Whether a file of this content was imported into a series."""
        if key not in self._known:
            manifest = self.store.manifest(key)
            self._known[key] = set(manifest.imported if manifest else ())
        return mark in self._known[key] or f"{mark}+" in self._known[key]

    def keep(self, path: Path, piece: _Piece, mark: str) -> None:
        """Append the rows of a file."""
        piece = _until_now(path, piece, self.now_ms, self.done.notes)
        result = self.store.append(
            piece.key,
            piece.rows,
            source=piece.source,
            units=UNITS[piece.key.series],
            covered=piece.covered,
            gaps=piece.gaps,
            imported=mark,
        )
        done = self.done
        self.touched[piece.key] = None
        self._known.setdefault(piece.key, set()).add(mark)
        done.rows[piece.key] = done.rows.get(piece.key, 0) + result.new
        done.differing[piece.key] = done.differing.get(piece.key, 0) + result.differing
        done.notes += [f"{path.name}: {repair}" for repair in piece.repairs]
        done.set_aside += result.set_aside


def import_paths(
    paths: Sequence[Path],
    store: Store,
    venue: str | None = None,
    kind: Kind | None = None,
    *,
    series: SeriesName | None = None,
    progress: Progress = silent,
    now_ms: int | None = None,
) -> Imported:
    """Import files and folders (with their subfolders) as data of `venue`.

    The archive's own files name theirs (binance, binanceusdm) where `venue` is None; others need one. `series` is
    what bars are of where neither name nor folder tells.

    Raises
    ------
    MarketError
        Naming the first file that cannot be used; what came before it is in the store.
    """
    task = _Import(store, venue, kind, series, time.time_ns() // 1_000_000 if now_ms is None else now_ms)
    found = False
    files = tuple(_files(paths))
    try:
        for read, path in enumerate(files):
            progress("files", read, len(files))
            if archive_name(path.name) is not None:
                _archive_file(path, task)
            elif not _plain_file(path, task):
                task.done.notes.append(f"{path} not read: its name follows no known layout")
                continue
            found = True
    finally:
        for key in task.touched:
            store.compact(key)
    if not found:
        given = ", ".join(map(str, paths))
        raise MarketError(
            f"{given} holds nothing to import: name files as in ZECUSDT-1h-2025-10.zip (Binance's archive), "
            "ZEC_USDT_USDT-1h-futures.feather (freqtrade) or ZECUSDT-1h.csv"
        )
    return task.done


def _until_now(path: Path, piece: _Piece, now_ms: int, notes: list[str]) -> _Piece:
    """The piece without a last bar that is still open; raises `MarketError` where one is of the future."""
    times = piece.rows.time_ms
    if times.size == 0:
        return piece
    if int(times[-1]) > now_ms + FUTURE_MS:
        raise MarketError(
            f"{path} has a row of {format_ms(int(times[-1]))}, which is after now ({format_ms(now_ms)}): check its "
            "time column, zone and unit"
        )
    if piece.key.series == "funding" or int(times[-1]) + timeframe_ms(piece.key.timeframe) <= now_ms:
        return piece
    notes.append(f"{path.name}: the bar of {format_ms(int(times[-1]))} left out: it is not over yet")
    settled = [(0, int(times[-1]))]
    return replace(
        piece,
        rows=piece.rows.between(*settled[0]),
        covered=intersect(piece.covered, settled),
        gaps=intersect(piece.gaps, settled),
    )


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if os.path.isdir(path):
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in _READ and os.path.isfile(p))
        elif os.path.lexists(path):
            yield path
        else:
            raise MarketError(f"{path} does not exist: check the path")


def _archive_file(path: Path, task: _Import) -> None:
    told = archive_name(path.name)
    assert told is not None
    named = series_of_path(path.resolve(), told) or (task.series if told.series == "ohlcv" else None)
    content = read_whole(path, MarketError, LARGEST)
    vouched = checked(path, content) and told.end_ms <= task.now_ms
    mark = hashlib.sha256(content).hexdigest()[:32]
    first = named or told.series
    read = False
    for series in ("oi", "ratios") if first == "oi" else (first,):
        settled = task.kind or ("swap" if series != "ohlcv" else _archive_kind(path))
        key = Key.of(task.venue or ARCHIVE_VENUE[settled], told.symbol(settled, series), series, told.period)
        if task.known(key, f"{mark}+") or (not vouched and task.known(key, mark)):
            continue
        read = True
        which = series if series == "ratios" else named
        found = read_archive_file(str(path), path.name, content, which, vouched=vouched)
        piece = _Piece(key, found.rows, found.covered, found.gaps, found.repairs, "Binance public archive")
        task.keep(path, piece, mark + "+" * vouched)
    task.done.again += not read
    task.done.unvouched += read and not vouched


def _plain_file(path: Path, task: _Import) -> bool:
    """Whether a file's name follows a layout; its rows are kept then."""
    file = market_file(path)
    if file is None:
        return False
    if task.venue is None:
        raise MarketError(f"{path} does not tell its venue: give --venue, as in --venue binanceusdm")
    instrument = file.instrument(task.kind or file.kind or told_kind(path.parent, swap_data=file.content != "bars"))
    task.keep(path, _plain_piece(path, file.content, task.venue, instrument, file.period), "")
    return True


def _plain_piece(path: Path, content: str, venue: str, instrument: Instrument, period: str) -> _Piece:
    source = f"file {path.name}"
    if content == "bars":
        bars = read_bars(path)
        rows = Rows(bars.open_ms, np.column_stack((bars.open, bars.high, bars.low, bars.close, bars.volume)))
        key = Key.of(venue, instrument.symbol, "ohlcv", period)
        return _Piece(key, rows, slots(rows.time_ms, timeframe_ms(period)), (), bars.repairs, source)
    if content == "funding":
        funding = read_funding(path)
        rows = Rows(funding.settled_ms, funding.rate[:, np.newaxis])
        return _Piece(Key.of(venue, instrument.symbol, "funding", ""), rows, (), (), funding.repairs, source)
    samples = read_open_interest(path)
    rows = Rows(samples.sampled_ms, np.column_stack((samples.coins, samples.value)))
    key = Key.of(venue, instrument.symbol, "oi", period)
    return _Piece(key, rows, slots(rows.time_ms, timeframe_ms(period)), (), samples.repairs, source)


def _archive_kind(path: Path) -> Kind:
    parts = {part.lower() for part in path.resolve().parts}
    if parts & {"um", "futures", "usdm"}:
        return "swap"
    return "spot" if "spot" in parts else told_kind(path.parent, swap_data=False)
