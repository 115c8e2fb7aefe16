"""Markets from folders: files of the project's own layouts by their names, all others by their content.

Every file is read as in an import: the same profiles, the same unit checks. A folder has no options for what a file
does not say (its zone, its unit), so such a file is left out with the reason, or refused if there is no other: import
it with the option for that. Rules of the venue are read from `instruments.toml` beside the bars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backtest.base.errors import MarketError, UsageError
from backtest.base.units import timeframe_ms
from backtest.market.align import InstrumentData
from backtest.market.archive import archive_name
from backtest.market.assembling import assemble
from backtest.market.files import MarketFile, market_file, told_kind
from backtest.market.further import further_series
from backtest.market.instrument_file import with_rules
from backtest.market.plain_files import Piece, Said, plain_piece
from backtest.market.plausibility import check_open_interest
from backtest.market.quality import CheckedBars, CheckedFunding, OpenInterest
from backtest.market.record import Instrument, Kind, Market, Provenance
from backtest.market.redenomination import continued
from backtest.market.rows import SeriesName

DATA = (".csv", ".tsv", ".txt", ".feather", ".parquet", ".json", ".gz", ".xlsx", ".zip")
_VENUE = "folder"
_WORDS = {"ohlcv": "bars", "oi": "open interest"}


@dataclass(frozen=True, slots=True)
class _Read:
    """Pieces of the files whose names follow no layout, with their paths, and sentences about files not read."""

    pieces: tuple[tuple[Path, Piece], ...]
    notes: tuple[str, ...]


def read_folder(folder: Path, timeframe: str | None = None, kind: Kind | None = None) -> Market:
    """Market of the files in a folder (its subfolders are not read), all instruments on one grid.

    If `kind` is not given, it follows from freqtrade's file names, else from the folder name, else from the presence of
    funding or open interest. `timeframe` chooses if the folder holds several. A data file that is not read is named in
    the provenance of the market.

    Raises
    ------
    MarketError
        If the folder has no bars, or does not determine what was not given; or as `read_bars` and an import do.
    """
    files, unnamed = _recognised(folder)
    read = _by_content(unnamed, kind)
    swap_data = any(file.content != "bars" for file in files) or any(p.key.series != "ohlcv" for _, p in read.pieces)
    wanted = _timeframe(files, read, folder, timeframe)
    bars = [file for file in files if file.content == "bars" and timeframe_ms(file.period) == timeframe_ms(wanted)]
    untold = kind or (told_kind(folder, swap_data=swap_data) if any(file.kind is None for file in bars) else "swap")
    found: dict[tuple[Instrument, SeriesName], tuple[Path, Piece]] = {}
    notes = list(read.notes)
    chosen = [*bars, *(file for file in files if file.content != "bars")]
    with_bars = {file.instrument(_agreed(file, kind, untold)) for file in bars}
    with_bars |= {Instrument.parse(piece.key.symbol) for _, piece in _bars_of(read, wanted)}
    for file in chosen:
        instrument = file.instrument(_agreed(file, kind, untold))
        if instrument not in with_bars:
            notes.append(f"{file.path.name} not read: there are no {wanted} bars of {instrument.symbol}")
            continue
        series: SeriesName = {"bars": "ohlcv", "funding": "funding", "open interest": "oi"}[file.content]  # type: ignore[assignment]
        _no_twin(found, instrument, series, file.path)
        found[instrument, series] = file.path, plain_piece(file.path, Said(_VENUE, instrument.kind), None)
    others = [(path, piece) for path, piece in read.pieces if piece.key.series != "ohlcv"]
    for path, piece in (*_bars_of(read, wanted), *others):
        instrument = Instrument.parse(piece.key.symbol)
        if instrument not in with_bars:
            notes.append(f"{path.name} not read: there are no {wanted} bars of {instrument.symbol}")
            continue
        _no_twin(found, instrument, piece.key.series, path)
        found[instrument, piece.key.series] = path, piece
        notes.append(f"{path.name} read as {piece.described}")
    name = folder.resolve().name
    of: dict[Instrument, dict[SeriesName, tuple[Path, Piece]]] = {}
    for (instrument, series), one in found.items():
        of.setdefault(instrument, {})[series] = one
    ruled, told = with_rules(folder, with_bars)
    notes += told
    chosen_of = sorted(with_bars, key=lambda one: one.symbol)
    data = [_series(ruled[instrument.symbol], of.get(instrument, {})) for instrument in chosen_of]
    return continued(assemble(Provenance(name, f"files of folder {name}", repairs=tuple(notes)), wanted, data))


def _recognised(folder: Path) -> tuple[list[MarketFile], list[Path]]:
    """Files whose names follow a layout, and other files that may hold data."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as problem:
        raise MarketError(f"{folder} cannot be read as a folder of market files: {problem.strerror}") from None
    files, others = [], []
    for path in entries:
        if path.name.startswith(".") or path.suffix.lower() not in DATA or not path.is_file():
            continue
        file = market_file(path)
        if file is None:
            others.append(path)
        else:
            files.append(file)
    return files, others


def _by_content(paths: list[Path], kind: Kind | None) -> _Read:
    pieces, notes = [], []
    for path in paths:
        if archive_name(path.name) is not None:
            notes.append(f"{path.name} not read: a file of Binance's archive, for `backtest data import`")
            continue
        try:
            pieces.append((path, plain_piece(path, Said(_VENUE, kind), None)))
        except (MarketError, UsageError) as problem:
            notes.append(f"{path.name} not read: {str(problem).removeprefix(str(path)).lstrip(' :')}")
    return _Read(tuple(pieces), tuple(notes))


def _bars_of(read: _Read, timeframe: str) -> list[tuple[Path, Piece]]:
    wanted = timeframe_ms(timeframe)
    return [
        (path, piece)
        for path, piece in read.pieces
        if piece.key.series == "ohlcv" and timeframe_ms(piece.key.timeframe) == wanted
    ]


def _timeframe(files: list[MarketFile], read: _Read, folder: Path, timeframe: str | None) -> str:
    """The timeframe of the bars, or the chosen one, as the files write it."""
    told = [file.period for file in files if file.content == "bars"]
    told += [piece.key.timeframe for _, piece in read.pieces if piece.key.series == "ohlcv"]
    if not told:
        inside = sorted(path.name for path in folder.iterdir())
        why = f" ({'; '.join(read.notes[:3])})" if read.notes else ""
        raise MarketError(
            f"{folder} holds no bars: name files as in ZECUSDT-1h.csv or ZEC_USDT_USDT-1h-futures.feather; it holds "
            f"{', '.join(inside[:8]) or 'nothing'}{' and more' if len(inside) > 8 else ''}{why}"
        )
    periods = {timeframe_ms(period): period for period in reversed(told)}
    there = ", ".join(periods[milliseconds] for milliseconds in sorted(periods))
    if timeframe is None and len(periods) > 1:
        raise MarketError(f"{folder} holds bars of {there}: choose one with `timeframe`")
    if timeframe is not None and timeframe_ms(timeframe) not in periods:
        raise MarketError(f"{folder} has no {timeframe} bars: it holds {there}")
    return periods[timeframe_ms(timeframe or told[0])]


def _agreed(file: MarketFile, kind: Kind | None, untold: Kind) -> Kind:
    if kind and file.kind and kind != file.kind:
        raise MarketError(f"{file.path} is a {file.kind} by its name, but kind {kind!r} was asked for: leave kind out")
    return untold


def _no_twin(
    found: Mapping[tuple[Instrument, SeriesName], tuple[Path, Piece]],
    instrument: Instrument,
    series: SeriesName,
    path: Path,
) -> None:
    twin = found.get((instrument, series))
    if twin is not None:
        words = _WORDS.get(series, series)
        raise MarketError(f"{path} and {twin[0].name} both hold {words} of {instrument.symbol}: keep one")


def _series(instrument: Instrument, found: Mapping[SeriesName, tuple[Path, Piece]]) -> InstrumentData:
    piece = found["ohlcv"][1]
    open_, high, low, close, volume = piece.rows.values.T
    bars = CheckedBars(piece.rows.time_ms, open_, high, low, close, volume, piece.repairs)
    funding: CheckedFunding | None = None
    samples: OpenInterest | None = None
    if "funding" in found:
        settled = found["funding"][1]
        funding = CheckedFunding(settled.rows.time_ms, settled.rows.values[:, 0], settled.repairs)
    if "oi" in found:
        path, sampled = found["oi"]
        coins, value = sampled.rows.values.T
        samples = OpenInterest(sampled.rows.time_ms, timeframe_ms(sampled.key.timeframe), coins, value, sampled.repairs)
        check_open_interest(str(path), samples.sampled_ms, coins, value, bars.open_ms, bars.close, bars.volume)
    rows = {str(series): (one.key, one.rows) for series, (_, one) in found.items()}
    return InstrumentData(instrument, bars, funding, samples, further_series(rows, timeframe_ms(piece.key.timeframe)))
