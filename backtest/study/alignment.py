"""Event time: which bars lie before a catalyst's announcement, in it and after it.

Two clocks, one axis. Bar 0 is the announcement period, from the bar that holds `announced_at` to the last bar that
opens before `known_at`, summed into one: a day of 24 hourly bars where only the day is known, one bar where the
minute is. Bars -1, -2, ... end before `announced_at` (the run-up); bars 1, 2, ... open at or after `known_at`, so
only they could have been traded. No hour is invented, and bars 1 of all catalysts mean the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from backtest.base.errors import MarketError, UsageError
from backtest.base.units import UNIT_MS, duration_ms, timeframe_ms, to_ms
from backtest.catalysts.record import Catalyst
from backtest.catalysts.timing import known_at_ms
from backtest.market.record import Floats, Market
from backtest.study.models import Ints


class Exclusion(StrEnum):
    """Why a catalyst did not reach a model; the value is the sentence to show."""

    UNTIMED = "not even the day of the announcement is known"
    OUTSIDE_DATA = "announced before the first bar or after the last"
    NO_INSTRUMENT = "the market has no instrument of the coin"
    NO_BENCHMARK = "the only benchmark is the catalyst's own coin"
    OVERLAP = "its event window holds another catalyst of the coin"
    MISSING_BAR = "a bar of the span is missing or lies outside the data"


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """What the study reads of a market, on its own timeframe: (T, N) arrays, NaN where unknown.

    `close` and `open_interest` are as known at the bar's close, `volume` is summed over the bar.
    """

    start_ms: int
    bar_ms: int
    close: Floats
    volume: Floats
    open_interest: Floats

    @property
    def open_ms(self) -> Ints:
        """(T,) bar opens, milliseconds UTC."""
        return self.start_ms + self.bar_ms * np.arange(len(self.close), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class FitRow:
    """One series to fit: the equal-weighted mean of `columns`, bar 0 of which is `width` bars from bar `onset`.

    `unused` are the bars of the estimation window, from first to last and relative to `onset`, that are left out.
    """

    columns: tuple[int, ...]
    onset: int
    width: int
    unused: tuple[tuple[int, int], ...] = ()


def resample(market: Market, timeframe: str | None) -> Panel:
    """The market in bars of a coarser `timeframe` on the UTC grid (None: its own), each made of its own past only.

    The close and open interest are those of the last bar inside, the volume the sum; each is NaN where a bar that
    it needs is missing, and periods that the data do not cover whole are left out.

    Raises
    ------
    UsageError
        Where the timeframe is not a multiple of the market's.
    MarketError
        Where the market does not cover one whole bar.
    """
    own = market.bar_ms
    bar = own if timeframe is None else timeframe_ms(timeframe)
    if bar % own:
        raise UsageError(f"timeframe {timeframe!r} is not a multiple of the market's {market.timeframe}: choose one")
    if bar == own:
        return Panel(market.start_ms, own, market.close, market.volume, market.open_interest)
    start = -(-market.start_ms // bar) * bar
    count, share = (market.end_ms - start) // bar, bar // own
    if count < 1 or (start - market.start_ms) % own:
        raise MarketError(
            f"market {market.provenance.name!r} covers no whole bar of {timeframe}: use {market.timeframe} or more data"
        )
    first = (start - market.start_ms) // own
    inside = slice(first, first + count * share)
    volume = market.volume[inside].reshape(count, share, -1).sum(axis=1)
    last = slice(first + share - 1, first + count * share, share)
    return Panel(start, bar, market.close[last], volume, market.open_interest[last])


def whole_bars(name: str, duration: str, bar_ms: int, *, least: int = 1) -> int:
    """Bars in a duration; one that is not a whole number of at least `least` bars raises `UsageError`."""
    bars, rest = divmod(duration_ms(duration), bar_ms)
    if rest or bars < least:
        hours = bar_ms / UNIT_MS["h"]
        raise UsageError(f"{name} = {duration!r} is not a whole number of bars of {hours:g} h: give a multiple of that")
    return bars


def place(catalyst: Catalyst, columns: tuple[int, ...], panel: Panel) -> FitRow | None:
    """The catalyst's bar 0 in a panel, which may lie outside it; None where untimed."""
    known = known_at_ms(catalyst)
    if catalyst.announced_at is None or known is None:
        return None
    onset = (to_ms(catalyst.announced_at) - panel.start_ms) // panel.bar_ms
    # The first bar that opens at or after the announcement was certainly public.
    after = -((panel.start_ms - known) // panel.bar_ms)
    return FitRow(columns, onset, after - onset)
