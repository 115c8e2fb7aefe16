"""Files outside Binance's archive, on their way into the store: the series of each, its rows, and its units."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from backtest.base.errors import MarketError
from backtest.base.units import UNIT_MS, timeframe_ms
from backtest.market.files import QUOTES, market_file, read_bars, read_funding, read_open_interest, told_kind
from backtest.market.foreign import Foreign, read_foreign
from backtest.market.plausibility import (
    check_cadence,
    check_open_interest,
    check_stamps,
    check_volumes,
    settlements,
)
from backtest.market.profiles import ReadOptions
from backtest.market.quality import (
    CheckedBars,
    CheckedFunding,
    Int64s,
    OpenInterest,
    RawTable,
    clean_bars,
    clean_funding,
    clean_open_interest,
    clean_price_bars,
    clean_ratios,
    once_in_order,
)
from backtest.market.record import Floats, Instrument, Kind
from backtest.market.rows import PRICE_SERIES, Key, Rows, SeriesName, plain_timeframe
from backtest.market.skipping import without_bad_rows
from backtest.market.spans import Span, slots
from backtest.market.store import Store

_HEAD = 2**20
_PAIR = re.compile(rf"([A-Z0-9]{{1,15}}?)[-_/]?({'|'.join(QUOTES)})(?![A-Z])")
_FREQTRADE = re.compile(
    r"(?P<base>[A-Z0-9]+)_(?P<quote>[A-Z0-9]+)(?P<settle>_(?P=quote))?-(?P<period>[1-9][0-9]*[smhdwM])"
    r"(?:-(?P<what>futures|mark|funding_rate))?\.(?:feather|parquet|json|json\.gz)"
)
_OF_FREQTRADE: dict[str, SeriesName] = {"mark": "mark", "funding_rate": "funding"}


@dataclass(frozen=True, slots=True)
class Said:
    """What the user says about the files of an import; what is empty is read from the files themselves."""

    venue: str | None = None
    kind: Kind | None = None
    series: SeriesName | None = None
    symbol: str = ""
    timeframe: str = ""
    options: ReadOptions = field(default_factory=ReadOptions)
    say: Callable[[str], None] = lambda _: None

    @property
    def key(self) -> str:
        """All of it as text: the same file read in another way counts as another import."""
        options = self.options
        told = (self.venue, self.kind, self.series, self.symbol, self.timeframe, options.zone, options.skip_bad)
        return repr((told, sorted(options.columns.items()), sorted(options.units.items())))


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one file, ready for the store.

    `described` is what its content was recognised as, `remarks` what a reader of a run has to know besides the repairs.
    """

    key: Key
    rows: Rows
    covered: tuple[Span, ...]
    gaps: tuple[Span, ...]
    repairs: tuple[str, ...]
    source: str
    described: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(slots=True)
class StoredBars:
    """Bars in a store by coin and kind, listed once for all files of an import."""

    store: Store
    _keys: dict[tuple[str, Kind], list[Key]] | None = None

    def of(self, instrument: Instrument) -> list[Key]:
        """Series of bars of the same coin and kind, of any venue."""
        if self._keys is None:
            self._keys = {}
            for key in self.store.contents():
                self.add(key)
        return list(self._keys.get((instrument.base, instrument.kind), ()))

    def add(self, key: Key) -> None:
        """Add a series that was stored after the store was listed."""
        if key.series != "ohlcv" or self._keys is None:
            return
        instrument = Instrument.parse(key.symbol)
        known = self._keys.setdefault((instrument.base, instrument.kind), [])
        if key not in known:
            known.append(key)
            known.sort()


@dataclass(frozen=True, slots=True)
class _Named:
    """The parsed name of a file: the pair, kind and series if given, and the period."""

    base: str = ""
    quote: str = ""
    kind: Kind | None = None
    series: SeriesName | None = None
    period: str = ""


def plain_piece(path: Path, said: Said, stored: StoredBars | None) -> Piece:
    """Rows of one file with their key, its units checked against itself and the bars of the store.

    Raises
    ------
    MarketError
        Naming what cannot be read, what the user has to specify because the file does not say it, or what is
        implausible.
    """
    options = said.options
    given = options.columns or options.zone or options.units or options.skip_bad or said.symbol or said.series
    file = market_file(path)
    if file is not None and not given:
        kind = said.kind or file.kind or told_kind(path.parent, swap_data=file.content != "bars")
        return _native(path, file.content, file.instrument(kind), said.timeframe or file.period, said, stored)
    named = _named(path)
    foreign = read_foreign(path, options, said.series or named.series, _base(said, named), say=said.say)
    told = [f"{name} said to be in {unit}" for name, unit in sorted(options.units.items())]
    told += [f"times read in zone {options.zone}"] * bool(options.zone)
    taken = f"read as {foreign.described}" + "".join(f", {one}" for one in told)
    piece = _foreign(path, foreign, named, said, stored)
    return replace(piece, described=foreign.described, remarks=(taken,))


def _foreign(path: Path, foreign: Foreign, named: _Named, said: Said, stored: StoredBars | None) -> Piece:
    options = said.options
    instrument = _instrument(path, foreign, named, said)
    series = foreign.profile.series
    table = foreign.table
    if series == "funding":
        table = without_bad_rows(table, series, "1h") if options.skip_bad else table
        table = settlements(table, foreign.helpers if not options.skip_bad else {}, options.units.get("rate", ""))
        return _funding(path, clean_funding(table), instrument, said)
    period = _period(path, table, named, said)
    table = without_bad_rows(table, series, period) if options.skip_bad else table
    if series == "oi":
        return _samples(path, clean_open_interest(table, period), instrument, period, said, stored)
    if series == "liquidations":
        sums = clean_ratios(table, period)
        key = Key.of(_venue(path, said), instrument.symbol, series, period)
        covered = slots(sums.time_ms, timeframe_ms(period))
        return Piece(key, Rows(sums.time_ms, sums.values), covered, (), sums.repairs, f"file {path.name}")
    if options.units.get("stamp") == "close":
        shifted = table.time_ms - timeframe_ms(period)
        table = RawTable(table.where, table.columns, shifted, table.values, table.numbers, table.unit, table.repairs)
    if series in PRICE_SERIES:
        clean = clean_price_bars(_priced(table), period, positive=series != "premium")
        key = Key.of(_venue(path, said), instrument.symbol, series, period)
        covered = slots(clean.time_ms, timeframe_ms(period))
        return Piece(key, Rows(clean.time_ms, clean.values), covered, (), clean.repairs, f"file {path.name}")
    table = check_volumes(table, foreign.helpers if not options.skip_bad else {}, options.units.get("volume", ""))
    return _bars(path, clean_bars(table, period), instrument, period, said, stored)


def _native(
    path: Path, content: str, instrument: Instrument, period: str, said: Said, stored: StoredBars | None
) -> Piece:
    if content == "funding":
        funding = read_funding(path)
        table = _table(path, funding.settled_ms, funding.rate[:, np.newaxis], funding.repairs)
        settlements(table, {})
        return _funding(path, funding, instrument, said)
    if content == "open interest":
        return _samples(path, read_open_interest(path), instrument, period, said, stored)
    bars = read_bars(path)
    if path.suffix == ".csv":
        head = read_foreign(path, ReadOptions(zone="UTC"), "ohlcv", instrument.base, most=_HEAD)
        check_volumes(head.table, head.helpers)
    return _bars(path, bars, instrument, period, said, stored)


def _bars(
    path: Path, bars: CheckedBars, instrument: Instrument, period: str, said: Said, stored: StoredBars | None
) -> Piece:
    rows = Rows(bars.open_ms, np.stack((bars.open, bars.high, bars.low, bars.close, bars.volume)).T)
    key = Key.of(_venue(path, said), instrument.symbol, "ohlcv", period)
    check_cadence(str(path), rows.time_ms, period)
    if "stamp" not in said.options.units and stored is not None:
        for other in stored.of(instrument):
            if other.timeframe == key.timeframe:
                held = stored.store.read(other, int(rows.time_ms[0]), int(rows.time_ms[-1]) + 1)
                check_stamps(str(path), rows.time_ms, bars.close, held.time_ms, held.values[:, 3], timeframe_ms(period))
    return Piece(key, rows, slots(rows.time_ms, timeframe_ms(period)), (), bars.repairs, f"file {path.name}")


def _funding(path: Path, funding: CheckedFunding, instrument: Instrument, said: Said) -> Piece:
    rows = Rows(funding.settled_ms, funding.rate[:, np.newaxis])
    key = Key.of(_venue(path, said), instrument.symbol, "funding", "")
    return Piece(key, rows, (), (), funding.repairs, f"file {path.name}")


def _samples(
    path: Path, samples: OpenInterest, instrument: Instrument, period: str, said: Said, stored: StoredBars | None
) -> Piece:
    rows = Rows(samples.sampled_ms, np.column_stack((samples.coins, samples.value)))
    key = Key.of(_venue(path, said), instrument.symbol, "oi", period)
    if "coins" not in said.options.units and rows.time_ms.size and stored is not None:
        bars = stored.of(instrument)
        for one in sorted(bars, key=lambda bar: (bar.venue != key.venue, timeframe_ms(bar.timeframe)))[:1]:
            held = stored.store.read(one, int(rows.time_ms[0]) - UNIT_MS["d"], int(rows.time_ms[-1]) + UNIT_MS["d"])
            closes, volumes = held.values[:, 3], held.values[:, 4]
            check_open_interest(str(path), rows.time_ms, samples.coins, samples.value, held.time_ms, closes, volumes)
    return Piece(key, rows, slots(rows.time_ms, timeframe_ms(period)), (), samples.repairs, f"file {path.name}")


def _priced(table: RawTable) -> RawTable:
    return RawTable(
        table.where, table.columns[:5], table.time_ms, table.values[:, :4], table.numbers, table.unit, table.repairs
    )


def _table(path: Path, times: Int64s, values: Floats, repairs: tuple[str, ...]) -> RawTable:
    numbers = np.arange(times.size, dtype=np.int64)
    return RawTable(str(path), ("time", "rate"), times, values, numbers, "row", repairs)


def _venue(path: Path, said: Said) -> str:
    if said.venue is None:
        raise MarketError(f"{path} does not name its venue: give `venue`, as in `venue=binanceusdm`")
    return said.venue


def _named(path: Path) -> _Named:
    match = _FREQTRADE.fullmatch(path.name)
    if match is not None:
        kind: Kind = "swap" if match["settle"] else "spot"
        series = _OF_FREQTRADE.get(match["what"] or "", "ohlcv")
        return _Named(match["base"], match["quote"], kind, series, match["period"])
    file = market_file(path)
    if file is not None:
        of: dict[str, SeriesName] = {"bars": "ohlcv", "funding": "funding", "open interest": "oi"}
        return _Named(file.code.removesuffix(file.quote), file.quote, file.kind, of[file.content], file.period)
    for token in re.split(r"[\s,_.\[\]()-]+", path.name.upper().replace("-USD", "USD").replace("_USD", "USD")):
        found = _PAIR.fullmatch(token)
        if found is not None and found[1] not in QUOTES:
            return _Named(found[1], found[2])
    return _Named()


def _base(said: Said, named: _Named) -> str:
    return Instrument.parse(said.symbol).base if said.symbol else named.base


def _instrument(path: Path, foreign: Foreign, named: _Named, said: Said) -> Instrument:
    if said.symbol:
        return Instrument.parse(said.symbol)
    base, quote = named.base, named.quote
    if not base and foreign.instrument:
        code = re.sub(r"[^A-Z0-9]", "", re.sub(r":.*|[-_](SWAP|PERP)$", "", foreign.instrument.upper()))
        quote = next((one for one in QUOTES if code.endswith(one) and code != one), "")
        base = code.removesuffix(quote)
    if not base or not quote:
        raise MarketError(f"{path} does not name its instrument: give `symbol`, as in `symbol=ZEC/USDT:USDT`")
    swap_data = foreign.profile.series != "ohlcv"
    kind = said.kind or named.kind or ("swap" if swap_data else told_kind(path.parent, swap_data=False))
    return Instrument.parse(f"{base}/{quote}" + (f":{quote}" if kind == "swap" else ""))


def _period(path: Path, table: RawTable, named: _Named, said: Said) -> str:
    if said.timeframe or named.period:
        return said.timeframe or named.period
    steps = np.diff(once_in_order(table.time_ms))
    if steps.size == 0:
        raise MarketError(f"{path} has one row and its name has no period: give `timeframe`, as in `timeframe=1h`")
    lengths, counts = np.unique(steps, return_counts=True)
    usual = int(lengths[np.argmax(counts)])
    if usual % UNIT_MS["s"] or usual < UNIT_MS["s"]:
        raise MarketError(f"{path}: its rows are {usual} ms apart, which is not a bar period: give `timeframe`")
    return plain_timeframe(f"{usual // UNIT_MS['s']}s")
