"""Files into the store: Binance's archive, freqtrade's Feather, and the CSV, Feather and Parquet that `files` reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from backtest.errors import MarketError
from backtest.market.archive import archive_name, read_archive_path
from backtest.market.files import market_file, read_bars, read_funding, read_open_interest, told_kind
from backtest.market.record import Instrument, Kind
from backtest.market.rows import UNITS, Key, Rows
from backtest.market.spans import Span, slots
from backtest.market.store import Store
from backtest.progress import Progress, silent
from backtest.units import timeframe_ms

ARCHIVE_VENUE: dict[Kind, str] = {"swap": "binanceusdm", "spot": "binance"}
_READ = (".zip", ".csv", ".feather", ".parquet")


@dataclass(slots=True)
class Imported:
    """What an import did: new rows by series, what was repaired, and files that were not read and why.

    `set_aside` are sentences about files of the store that contradict it.
    """

    rows: dict[Key, int] = field(default_factory=dict)
    differing: dict[Key, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    set_aside: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """One line a series, then the notes."""
        lines = [f"{key}: {rows:,} new rows" for key, rows in sorted(self.rows.items())]
        lines += [
            f"{key}: {count:,} rows differ from what is stored, which was kept"
            for key, count in sorted(self.differing.items())
            if count
        ]
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


def import_paths(
    paths: Sequence[Path],
    store: Store,
    venue: str | None = None,
    kind: Kind | None = None,
    *,
    progress: Progress = silent,
) -> Imported:
    """Import files and folders (with their subfolders) as data of `venue`.

    The archive's own files name theirs (binance, binanceusdm) where `venue` is None; others need one.

    Raises
    ------
    MarketError
        Naming the first file that cannot be used; what came before it is in the store.
    """
    done = Imported()
    touched: dict[Key, None] = {}
    found = False
    files = tuple(_files(paths))
    for read, path in enumerate(files):
        progress("files", read, len(files))
        piece = _piece(path, venue, kind)
        if piece is None:
            done.notes.append(f"{path} not read: its name follows no known layout")
            continue
        found = True
        result = store.append(
            piece.key,
            piece.rows,
            source=piece.source,
            units=UNITS[piece.key.series],
            covered=piece.covered,
            gaps=piece.gaps,
        )
        touched[piece.key] = None
        done.rows[piece.key] = done.rows.get(piece.key, 0) + result.new
        done.differing[piece.key] = done.differing.get(piece.key, 0) + result.differing
        done.notes += [f"{path.name}: {repair}" for repair in piece.repairs]
        done.set_aside += result.set_aside
    for key in touched:
        store.compact(key)
    if not found:
        given = ", ".join(map(str, paths))
        raise MarketError(
            f"{given} holds nothing to import: name files as in ZECUSDT-1h-2025-10.zip (Binance's archive), "
            "ZEC_USDT_USDT-1h-futures.feather (freqtrade) or ZECUSDT-1h.csv"
        )
    return done


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if os.path.isdir(path):
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in _READ and os.path.isfile(p))
        elif os.path.lexists(path):
            yield path
        else:
            raise MarketError(f"{path} does not exist: check the path")


def _piece(path: Path, venue: str | None, kind: Kind | None) -> _Piece | None:
    told = archive_name(path.name)
    if told is not None:
        settled = kind or ("swap" if told.series != "ohlcv" else _archive_kind(path))
        key = Key.of(venue or ARCHIVE_VENUE[settled], told.symbol(settled), told.series, told.period)
        content = read_archive_path(path)
        return _Piece(key, content.rows, content.covered, content.gaps, content.repairs, "Binance public archive")
    file = market_file(path)
    if file is None:
        return None
    if venue is None:
        raise MarketError(f"{path} does not tell its venue: give --venue, as in --venue binanceusdm")
    swap_data = file.content != "bars"
    instrument = file.instrument(kind or file.kind or told_kind(path.parent, swap_data=swap_data))
    return _plain_piece(path, file.content, venue, instrument, file.period)


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
