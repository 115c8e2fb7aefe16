"""The aligned panel of bars that everything downstream reads."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.base.arguments import checked
from backtest.base.display import Cell, Shown, View, cell, plain_percent, price
from backtest.base.errors import MarketError, UsageError, near_miss
from backtest.base.units import TimeRange, format_ms, timeframe_ms
from backtest.market.auxiliary import AuxiliarySeries
from backtest.market.frames import read_frames
from backtest.market.instrument import DOLLARS as DOLLARS
from backtest.market.instrument import RECONSTRUCTED as RECONSTRUCTED
from backtest.market.instrument import Flags as Flags
from backtest.market.instrument import Floats as Floats
from backtest.market.instrument import Instrument as Instrument
from backtest.market.instrument import Kind as Kind
from backtest.market.instrument import Origin as Origin
from backtest.market.instrument import Provenance as Provenance
from backtest.market.series import EXTRA, PANELS, SERIES

_NEVER = 2**62
# Asked for hundreds of times a run.
_length_ms = cache(timeframe_ms)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Market(Shown):
    """One aligned panel of T bars by N instruments; arrays are read-only.

    Attributes
    ----------
    index : DatetimeIndex (T,), UTC, milliseconds
        Bar opens on a regular grid of one `timeframe`: a missing bar is a row of NaN, never a missing row.
    timeframe : str
        ccxt timeframe, `1h`.
    instruments : tuple of N Instrument
        Columns, in order.
    open, high, low, close : (T, N) float64, quote currency
        All four are NaN where the bar is missing; nothing is forward-filled.
    volume : (T, N) float64, base currency
        NaN where unknown.
    open_interest : (T, N) float64, quote notional
        As known at the bar's close; NaN when stale or unknown.
    funding : (T, N) float64
        Sum of the rates settled in (open_t, close_t]; 0 where known that none settled, NaN where unknown.
    provenance : Provenance
    series : mapping of str to (T, N) float64
        Further declared series (`backtest.market.series`) with any known value, read by `panel`.
    auxiliary : mapping of str to AuxiliarySeries
        Series that no venue quotes (flows, supply, assets under management), by name, read by `reading`.

    Raises
    ------
    MarketError
        For a shape, grid, series name, price or funding value that violates the above.
    """

    index: pd.DatetimeIndex
    timeframe: str
    instruments: tuple[Instrument, ...]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    open_interest: Floats
    funding: Floats
    provenance: Provenance = field(default=Provenance("memory", "built in memory"))
    series: Mapping[str, Floats] = field(default_factory=dict)
    auxiliary: Mapping[str, AuxiliarySeries] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.index), len(self.instruments))
        if 0 in shape:
            raise MarketError(f"market {self.provenance.name!r} is empty: {shape[0]} bars of {shape[1]} instruments")
        symbols = self.symbols
        if len(set(symbols)) != len(symbols):
            twice = next(symbol for symbol in symbols if symbols.count(symbol) > 1)
            raise MarketError(f"duplicate instrument {twice!r} in market {self.provenance.name!r}: keep one")
        for name in PANELS:
            object.__setattr__(self, name, _panel(name, getattr(self, name), shape))
        for name in self.series:
            if name not in EXTRA:
                raise MarketError(f"series {name!r} is not declared; {near_miss(name, EXTRA)}")
        kept = {name: _panel(name, self.series[name], shape) for name in EXTRA if name in self.series}
        kept = {name: values for name, values in kept.items() if not np.isnan(values).all()}
        object.__setattr__(self, "series", MappingProxyType(kept))
        object.__setattr__(self, "auxiliary", MappingProxyType(dict(self.auxiliary)))
        if self.index.tz is None:
            raise MarketError(f"index of market {self.provenance.name!r} has no time zone: use UTC")
        object.__setattr__(self, "index", self.index.tz_convert("UTC").as_unit("ms"))
        self._check_grid()
        self._check_prices()

    def __reduce__(self) -> tuple[Callable[..., Market], tuple[dict[str, Any]]]:
        # A read-only mapping cannot be pickled, and worker processes must receive markets.
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return _restored, (values | {"series": dict(self.series), "auxiliary": dict(self.auxiliary)},)

    def _check_grid(self) -> None:
        steps = np.diff(self.open_ms)
        wrong = np.flatnonzero(steps != self.bar_ms)
        if wrong.size:
            row = int(wrong[0])
            raise MarketError(
                f"bar after {format_ms(int(self.open_ms[row]))} is {int(steps[row]) / 1000:g} s later, but the "
                f"timeframe {self.timeframe} asks for {self.bar_ms / 1000:g} s: put missing bars in as NaN rows"
            )

    def _check_prices(self) -> None:
        o, h, l, c = self.open, self.high, self.low, self.close  # noqa: E741
        missing = np.isnan(o)
        others = [np.isnan(prices) for prices in (h, l, c)]
        self._refuse(
            np.logical_or.reduce([missing != one for one in others]), "has some of its prices and lacks others"
        )
        with np.errstate(invalid="ignore"):
            self._refuse(np.isinf(h) | (l <= 0), "has a price that is not positive and finite")
            self._refuse((h < l) | (h < o) | (h < c) | (l > o) | (l > c), "has a high or low that its prices leave")
            self._refuse((self.volume < 0) | np.isinf(self.volume), "has a volume that is negative or infinite")
            for name, one in SERIES.items():
                if name in PANELS or name in self.series:
                    values = self.panel(name)
                    low = {"positive": values <= 0, "zero or more": values < 0, "finite": False}[one.values]
                    self._refuse(low | np.isinf(values), f"has a value of {one.words} that is not {one.values}", name)

    def _refuse(self, wrong: Flags, what: str, series: str = "") -> None:
        if wrong.any():
            row, column = (int(i) for i in np.argwhere(wrong)[0])
            shown = dict.fromkeys((*PANELS, series) if series else PANELS)
            prices = ", ".join(f"{name} {self.panel(name)[row, column]:g}" for name in shown)
            raise MarketError(
                f"{self.symbols[column]} at {format_ms(int(self.open_ms[row]))} {what} ({prices}): "
                "repair or drop the bar"
            )

    @classmethod
    def from_frames(
        cls,
        frames: Mapping[str, pd.DataFrame],
        *,
        timeframe: str | None = None,
        funding: Mapping[str, pd.Series | pd.DataFrame] | None = None,
        open_interest: Mapping[str, pd.DataFrame] | None = None,
        provenance: Provenance | None = None,
    ) -> Market:
        """Market of one bar frame per instrument, checked and repaired as files are (`backtest.market.quality`).

        Parameters
        ----------
        frames : mapping of unified symbol to DataFrame
            `open`, `high`, `low`, `close` (quote currency) and `volume` (base currency), NaN volume where unknown. Bar
            opens are the index or a column `timestamp`, `open_time`, `date`, `datetime` or `time`: aware datetimes of
            any zone, or epoch milliseconds. Columns named after declared series hold values at the close of their bar.
        timeframe : str, optional
            Defaults to the most common step between rows.
        funding : mapping of symbol to Series or DataFrame, optional
            Settlements: share of notional that longs pay, at the time of settlement. Unknown if not given.
        open_interest : mapping of symbol to DataFrame, optional
            Samples in `sum_open_interest` (coins) or `sum_open_interest_value` (quote notional), each known one period
            after its time.

        Raises
        ------
        UsageError
            For a symbol that is not unified, or funding or open interest of an instrument without bars.
        MarketError
            For times without a zone, a column that is missing, or a cell that `backtest.market.quality` refuses.
        """
        provenance = provenance or Provenance("memory", "pandas frames")
        framed = read_frames(provenance.name, frames, timeframe, funding or {}, open_interest or {})
        return cls(
            index=pd.DatetimeIndex(framed.aligned.open_ms.astype("datetime64[ms]"), tz="UTC"),
            timeframe=framed.timeframe,
            instruments=framed.instruments,
            provenance=replace(provenance, repairs=provenance.repairs + framed.aligned.repairs),
            **fields_of(framed.aligned.panels),
        )

    def to_frames(self) -> dict[str, pd.DataFrame]:
        """One frame per instrument, by symbol: each panel of the market by bar open; `from_frames` reads them."""
        return {
            symbol: pd.DataFrame({name: values[:, column] for name, values in self.panels.items()}, index=self.index)
            for column, symbol in enumerate(self.symbols)
        }

    @property
    def symbols(self) -> tuple[str, ...]:
        """Unified symbols of the columns."""
        return tuple(instrument.symbol for instrument in self.instruments)

    @property
    def bar_ms(self) -> int:
        """Length of one bar in milliseconds."""
        return _length_ms(self.timeframe)

    @property
    def open_ms(self) -> npt.NDArray[np.int64]:
        """(T,) bar opens, milliseconds UTC."""
        return np.asarray(self.index.asi8, dtype=np.int64)

    @property
    def start_ms(self) -> int:
        """Open of the first bar."""
        return int(self.open_ms[0])

    @property
    def end_ms(self) -> int:
        """Close of the last bar (exclusive end of the data)."""
        return int(self.open_ms[-1]) + self.bar_ms

    @property
    def span(self) -> str:
        """First and last bar open in words."""
        return f"{self.index[0]:%Y-%m-%d %H:%M} to {self.index[-1]:%Y-%m-%d %H:%M} UTC"

    @property
    def funding_known(self) -> Flags:
        """(T, N) whether the bar's funding is known."""
        return ~np.isnan(self.funding)

    @property
    def tradable(self) -> Flags:
        """(T, N) whether an order can fill in the bar: prices, a volume that is not zero, and no end of trading."""
        delisted = np.array([one.delisted_ms if one.delisted_ms is not None else _NEVER for one in self.instruments])
        closes_in_time = self.open_ms[:, None] + self.bar_ms <= delisted
        return np.asarray(~np.isnan(self.open) & (self.volume != 0) & closes_in_time)

    @property
    def currency(self) -> str:
        """The currency in which most instruments settle; ties go to USDT, USDC, USD, then alphabetical order."""
        settled = Counter(instrument.settle for instrument in self.instruments)
        preferred = {name: place for place, name in enumerate(DOLLARS)}
        return min(settled, key=lambda name: (-settled[name], preferred.get(name, len(DOLLARS)), name))

    def column(self, symbol: str) -> int:
        """Column of a unified symbol; an unknown one raises `UsageError`."""
        try:
            return self.symbols.index(symbol)
        except ValueError:
            raise UsageError(
                f"instrument {symbol!r} is not in market {self.provenance.name!r}; {near_miss(symbol, self.symbols)}"
            ) from None

    def column_of(self, base: str, kind: Kind | None = None) -> int | None:
        """Column of a coin: its swap first, then its spot; None if the market has neither.

        Of several, the one that settles in the currency of the market, by its own prices first. `kind` restricts the
        search to one kind.
        """
        currency = self.currency
        kinds = (kind,) if kind else ("swap", "spot")
        found = [
            (instrument.settle != currency, kinds.index(instrument.kind), bool(instrument.converted_by), column)
            for column, instrument in enumerate(self.instruments)
            if instrument.goes_by(base) and instrument.kind in kinds
        ]
        return min(found)[-1] if found else None

    def bar_at_or_after(self, moment_ms: int) -> int:
        """First bar with open >= `moment_ms`; len(index) if there is none."""
        return int(min(max(-(-(moment_ms - self.start_ms) // self.bar_ms), 0), len(self.index)))

    def between(self, timerange: TimeRange) -> Market:
        """Bars with open in [start, end).

        Raises
        ------
        UsageError
            If the range extends beyond the data or contains no bar.
        """
        start = self.start_ms if timerange.start_ms is None else timerange.start_ms
        end = self.end_ms if timerange.end_ms is None else timerange.end_ms
        rows = slice(self.bar_at_or_after(start), self.bar_at_or_after(end))
        if start < self.start_ms or end > self.end_ms or rows.start >= rows.stop:
            raise UsageError(
                f"timerange {format_ms(start)} to {format_ms(end)} holds no bar or extends beyond the data of "
                f"{self.provenance.name!r}, which runs from {format_ms(self.start_ms)} to {format_ms(self.end_ms)}: "
                "change it or fetch more"
            )
        end = int(self.open_ms[rows.stop - 1]) + self.bar_ms
        known = {name: one.until(end) for name, one in self.auxiliary.items()}
        index = self.index[rows]
        # A view of a few bars would keep all of them in memory.
        few = 2 * len(index) < len(self.index)
        panels = {name: values[rows].copy() if few else values[rows] for name, values in self.panels.items()}
        return self._unchecked(fields_of(panels) | {"index": index, "auxiliary": known})

    def select(self, symbols: tuple[str, ...]) -> Market:
        """The same bars of fewer instruments, in the order given."""
        columns = [self.column(symbol) for symbol in symbols]
        if not columns or len(set(columns)) < len(columns):
            return replace(self, instruments=tuple(self.instruments[column] for column in columns))
        found = fields_of({name: np.ascontiguousarray(values[:, columns]) for name, values in self.panels.items()})
        # Bars that were checked once are not checked, and not copied, again.
        return self._unchecked(found | {"instruments": tuple(self.instruments[column] for column in columns)})

    @property
    def panels(self) -> dict[str, Floats]:
        """Every panel of the market, by name: those of all markets, then further series."""
        return {name: getattr(self, name) for name in PANELS} | dict(self.series)

    def panel(self, name: str) -> Floats:
        """(T, N) one panel by name; all NaN if the market does not have a declared series.

        Raises
        ------
        UsageError
            For a name that is not declared.
        """
        if name in PANELS:
            return np.asarray(getattr(self, name))
        if name not in EXTRA:
            raise UsageError(f"panel {name!r} is unknown; {near_miss(name, (*PANELS, *EXTRA))}")
        found = self.series.get(name)
        return np.full(self.close.shape, np.nan) if found is None else found

    @checked
    def with_auxiliary(self, *series: AuxiliarySeries) -> Market:
        """The market with further auxiliary series; a name already in use, also by a panel, raises `UsageError`."""
        for one in series:
            if one.name in self.auxiliary or one.name in (*PANELS, *EXTRA, "return"):
                raise UsageError(
                    f"series {one.name!r} is in market {self.provenance.name!r} already: name it otherwise"
                )
        return replace(self, auxiliary={**self.auxiliary, **{one.name: one for one in series}})

    def reading(self, name: str) -> Floats:
        """(T,) an auxiliary series as known at each bar's close; all NaN if the market does not have it."""
        found = self.auxiliary.get(name)
        return np.full(len(self.index), np.nan) if found is None else found.at(self.open_ms + self.bar_ms)

    def with_panels(self, panels: Mapping[str, Floats], *, check: bool = True) -> Market:
        """The market with some panels replaced, by name; `check=False` for panels made here that cannot be wrong."""
        found = fields_of(self.panels | dict(panels))
        return replace(self, **found) if check else self._unchecked(found)

    def _unchecked(self, changes: dict[str, Any]) -> Market:
        """The market with other values of its fields, none of them copied or checked."""
        values = {one.name: getattr(self, one.name) for one in fields(self)} | changes
        series = {name: panel for name, panel in values["series"].items() if not np.isnan(panel).all()}
        return _restored(values | {"series": series})

    def frame(self, panel: str) -> pd.DataFrame:
        """One panel (`close`, `funding`, ...) as a DataFrame of index by symbol."""
        return pd.DataFrame(self.panel(panel), index=self.index, columns=list(self.symbols))

    def _line(self) -> str:
        return (
            f"{self.provenance.name}: {len(self.index):,} bars of {self.timeframe} by {len(self.instruments)} "
            f"instruments, {self.span}"
        )

    def _label(self) -> str:
        return self.provenance.label

    def _view(self) -> View:
        missing = np.isnan(self.close)
        known = [~np.isnan(getattr(self, panel)) for panel in ("open_interest", "funding")]
        rows: list[tuple[str | Cell, ...]] = []
        for column, one in enumerate(self.instruments):
            closes = self.close[~missing[:, column], column]
            rows.append(
                (
                    one.symbol,
                    cell(float(closes[0]) if len(closes) else np.nan, price, "it has no bar"),
                    cell(float(closes[-1]) if len(closes) else np.nan, price, "it has no bar"),
                    cell(float(missing[:, column].mean()), plain_percent),
                    *(cell(float(panel[:, column].mean()), plain_percent) for panel in known),
                )
            )
        columns = ("instrument", "first close", "last close", "bars missing", "OI known", "funding known")
        return View(columns, rows, (self.provenance.source,))

    def sha256(self) -> str:
        """Hash of everything that a replay reads: grid, instruments, panels, and further series."""
        digest = hashlib.sha256(repr((self.timeframe, self.symbols)).encode())
        rules = {instrument.symbol: instrument.rules for instrument in self.instruments if instrument.rules}
        if rules:
            digest.update(repr(rules).encode())
        digest.update(self.open_ms.tobytes())
        for name in PANELS:
            digest.update((getattr(self, name) + 0.0).tobytes())
        for name, values in self.series.items():
            digest.update(name.encode() + (values + 0.0).tobytes())
        for name in sorted(self.auxiliary):
            digest.update(name.encode() + self.auxiliary[name].available_ms.tobytes())
            digest.update((self.auxiliary[name].values + 0.0).tobytes())
        return digest.hexdigest()


def fields_of(panels: Mapping[str, Floats]) -> dict[str, Any]:
    """Panels by name as arguments of `Market`."""
    extra = {name: values for name, values in panels.items() if name not in PANELS}
    return {name: values for name, values in panels.items() if name in PANELS} | {"series": extra}


def _restored(values: dict[str, Any]) -> Market:
    """A market that was pickled: it was checked when it was made, and its arrays may be mapped, so none is copied."""
    market = object.__new__(Market)
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        object.__setattr__(market, name, value)
    for name in ("series", "auxiliary"):
        for value in values[name].values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        object.__setattr__(market, name, MappingProxyType(values[name]))
    return market


def _panel(name: str, given: Any, shape: tuple[int, int]) -> Floats:
    # What nobody can write to, such as the bars of another market, is not copied.
    frozen = isinstance(given, np.ndarray) and given.flags.owndata and not given.flags.writeable
    values = np.array(given, dtype=np.float64, order="C", copy=None if frozen else True)
    if values.shape != shape:
        raise MarketError(f"{name} has shape {values.shape}, but the index and instruments ask for {shape}")
    values.flags.writeable = False
    return values
