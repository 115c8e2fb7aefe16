"""Imports into the store: Binance's archive, freqtrade's Feather, and the CSV, Feather and Parquet of `files`."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from backtest.base.documents import read_whole
from backtest.base.errors import MarketError
from backtest.base.progress import Progress, silent
from backtest.base.units import format_ms, timeframe_ms
from backtest.market.archive import LARGEST, archive_name, checked, read_archive_file, series_of_path
from backtest.market.files import market_file, told_kind
from backtest.market.plain_files import Piece, Said, StoredBars, plain_piece
from backtest.market.record import Kind
from backtest.market.rows import UNITS, Key
from backtest.market.seen_files import SeenFiles
from backtest.market.spans import intersect
from backtest.market.store import Store

ARCHIVE_VENUE: dict[Kind, str] = {"swap": "binanceusdm", "spot": "binance"}
# How far another clock may be ahead of this one.
FUTURE_MS = 5 * 60_000
_READ = (".zip", ".csv", ".tsv", ".txt", ".feather", ".parquet", ".json", ".gz", ".xlsx")


@dataclass(slots=True)
class Imported:
    """Result of an import: new rows by series, repairs, and files that were not read and why.

    `again` counts files imported before, `unvouched` archive files without a CHECKSUM or of a period that is not over;
    `set_aside` are sentences about files of the store that contradict it.
    """

    rows: dict[Key, int] = field(default_factory=dict)
    differing: dict[Key, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)
    again: int = 0
    unvouched: int = 0

    def lines(self) -> list[str]:
        """One line per series, then the notes."""
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


@dataclass(slots=True)
class _Import:
    """One import in progress: the store, what the user said about the files, and what was imported before."""

    store: Store
    said: Said
    now_ms: int
    done: Imported = field(default_factory=Imported)
    touched: dict[Key, None] = field(default_factory=dict)
    _known: dict[Key, set[str]] = field(default_factory=dict)
    _everywhere: set[str] | None = None
    bars: StoredBars = field(init=False)
    seen: SeenFiles = field(init=False)

    def __post_init__(self) -> None:
        self.bars, self.seen = StoredBars(self.store), SeenFiles(self.store.root)

    def known(self, key: Key, mark: str) -> bool:
        """Whether a file of this content was imported into a series."""
        if key not in self._known:
            manifest = self.store.manifest(key)
            self._known[key] = set(manifest.imported if manifest else ())
        return mark in self._known[key] or f"{mark}+" in self._known[key]

    def known_anywhere(self, mark: str) -> bool:
        """Whether a file of this content, read in this way, was imported into any series of the store."""
        if self._everywhere is None:
            manifests = (self.store.manifest(key) for key in self.store.contents())
            self._everywhere = {mark for one in manifests if one for mark in one.imported}
        return mark in self._everywhere

    def keep(self, path: Path, piece: Piece, mark: str) -> None:
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
            remarks=[f"{path.name}: {remark}" for remark in (*piece.remarks, *piece.repairs)],
        )
        self.bars.add(piece.key)
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
    said: Said | None = None,
    *,
    progress: Progress = silent,
    now_ms: int | None = None,
) -> Imported:
    """Import files and folders (with their subfolders), by what the user said about them.

    Files of the archive name their venue (binance, binanceusdm); others need one. A file in a folder that is not
    recognised is named in the notes; one that was given by name is an error.

    Raises
    ------
    MarketError
        Naming the first file that cannot be used; the files before it are in the store.
    """
    task = _Import(store, said or Said(), time.time_ns() // 1_000_000 if now_ms is None else now_ms)
    found = False
    files = tuple(_files(paths))
    try:
        for read, path in enumerate(files):
            progress("files", read, len(files))
            if archive_name(path.name) is not None:
                _archive_file(path, task)
            elif not _plain_file(path, task, given=path in paths):
                continue
            found = True
    finally:
        for key in task.touched:
            store.compact(key)
        task.seen.keep()
    if not found:
        given = ", ".join(map(str, paths))
        raise MarketError(
            f"{given} holds nothing to import: name files as in ZECUSDT-1h-2025-10.zip (Binance's archive), "
            "ZEC_USDT_USDT-1h-futures.feather (freqtrade) or ZECUSDT-1h.csv"
        )
    return task.done


def _until_now(path: Path, piece: Piece, now_ms: int, notes: list[str]) -> Piece:
    """The piece without a last bar that is still open; raises `MarketError` if a row is in the future."""
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
    named = series_of_path(path.resolve(), told) or (task.said.series if told.series == "ohlcv" else None)
    content = read_whole(path, MarketError, LARGEST)
    vouched = checked(path, content) and told.end_ms <= task.now_ms
    mark = hashlib.sha256(content).hexdigest()[:32]
    first = named or told.series
    read = False
    for series in ("oi", "ratios") if first == "oi" else (first,):
        settled = task.said.kind or ("swap" if series != "ohlcv" else _archive_kind(path))
        key = Key.of(task.said.venue or ARCHIVE_VENUE[settled], told.symbol(settled, series), series, told.period)
        if task.known(key, f"{mark}+") or (not vouched and task.known(key, mark)):
            continue
        read = True
        which = series if series == "ratios" else named
        skip = task.said.options.skip_bad
        found = read_archive_file(str(path), path.name, content, which, vouched=vouched, skip_bad=skip)
        piece = Piece(key, found.rows, found.covered, found.gaps, found.repairs, "Binance public archive")
        task.keep(path, piece, mark + "+" * vouched)
    task.done.again += not read
    task.done.unvouched += read and not vouched


def _plain_file(path: Path, task: _Import, *, given: bool) -> bool:
    """Whether a file was read; an unrecognised one that was not given by name is only mentioned."""
    wanted = given or market_file(path) is not None
    mark = task.seen.mark(path, task.said.key)
    if task.known_anywhere(mark):
        task.done.again += 1
        return True
    try:
        piece = plain_piece(path, task.said, task.bars)
    except MarketError as problem:
        if wanted or task.said.options.columns:
            raise
        task.done.notes.append(f"{path} not read: {problem}")
        return False
    task.keep(path, piece, mark)
    return True


def _archive_kind(path: Path) -> Kind:
    parts = {part.lower() for part in path.resolve().parts}
    if parts & {"um", "futures", "usdm"}:
        return "swap"
    return "spot" if "spot" in parts else told_kind(path.parent, swap_data=False)
