"""Alignment shared by every source: series of single instruments -> panels on one regular grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from backtest.base.errors import MarketError
from backtest.base.units import format_ms, timeframe_ms
from backtest.market.instrument import Floats, Instrument
from backtest.market.labels import sample_label
from backtest.market.quality import CheckedBars, CheckedFunding, Int64s, OpenInterest
from backtest.market.series import BASE, PANELS, SERIES

MANY_MISSING = 0.25
"""Share of missing bars from which the venue's way of writing them is asked for."""
SPARSE_CELLS = 20_000_000
LONGEST_CADENCE_MS = 8 * 3_600_000


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Values of one further series in order of time: `known_ms` (k,) int64 when each became known, `value` (k,).

    A value is unknown again more than `stale_ms` after it became known.
    """

    known_ms: Int64s
    value: Floats
    stale_ms: int


@dataclass(frozen=True, slots=True)
class InstrumentData:
    """Everything that a source knows about one instrument, cleaned by `backtest.market.quality`.

    `further` holds declared series (`backtest.market.series`) by name.
    """

    instrument: Instrument
    bars: CheckedBars
    funding: CheckedFunding | None = None
    open_interest: OpenInterest | None = None
    further: Mapping[str, Known] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """Disjoint spans (after, until] of time in order, milliseconds UTC: two (c,) int64 arrays."""

    after_ms: Int64s
    until_ms: Int64s


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """All instruments on one grid: `open_ms` (T,) int64, `panels` of (T, N) float64 by name, `repairs` as sentences."""

    open_ms: Int64s
    panels: dict[str, Floats]
    repairs: tuple[str, ...]


def align(name: str, timeframe: str, series: Sequence[InstrumentData]) -> Aligned:
    """The series, in their order, on one regular grid from the first open to the last open of any series.

    Missing bars are NaN. Funding of spot is 0, of a swap `funding_per_bar`, or NaN if there is none; open interest is
    `open_interest_at_close`. Repairs and gaps are reported, each after its symbol; `name` is that of the market, for
    errors.

    Raises
    ------
    MarketError
        If there is nothing to align, spot has funding or open interest, the grids differ, or the span is absurd for
        the number of bars.
    """
    _check_series(name, series)
    bar_ms = timeframe_ms(timeframe)
    start = min(int(one.bars.open_ms[0]) for one in series)
    end = max(int(one.bars.open_ms[-1]) for one in series)
    _check_grids(series, start, end, timeframe)
    open_ms = np.arange(start, end + bar_ms, bar_ms, dtype=np.int64)
    carried = dict.fromkeys((*PANELS, *(name for one in series for name in one.further)))
    panels = {panel: np.full((open_ms.size, len(series)), np.nan) for panel in carried}
    repairs: list[str] = []
    for column, one in enumerate(series):
        rows = (one.bars.open_ms - start) // bar_ms
        for panel in BASE:
            panels[panel][rows, column] = getattr(one.bars, panel)
        if one.instrument.kind == "spot":
            panels["funding"][:, column] = SERIES["funding"].of_spot
        elif one.funding is not None:
            panels["funding"][:, column] = funding_per_bar(one.funding, open_ms, bar_ms)
        if one.open_interest is not None:
            close = panels["close"][:, column]
            label = sample_label(one.open_interest, one.bars.open_ms, one.bars.open)
            panels["open_interest"][:, column] = open_interest_at_close(
                one.open_interest, open_ms + bar_ms, close, label.lag_ms
            )
            if label.words:
                repairs.append(f"{one.instrument.symbol} open interest {label.words}")
        for name, known in one.further.items():
            panels[name][:, column] = last_known(known, open_ms + bar_ms)
        repairs += _sentences(one, {panel: values[:, column] for panel, values in panels.items()}, open_ms)
    return Aligned(open_ms, panels, tuple(repairs))


def funding_coverage(settled_ms: Int64s) -> Coverage:
    """Spans in which every settlement is known, as proven by the cadence of the settlements.

    Two settlements cover the time between them where they are at most 1.5 cadences apart. The cadence there is
    the (lower) median of the three intervals before or of the three after, whichever is longer, so that a venue
    may go from 8 h to 4 h to 1 h and back; it is at most 8 h, since no venue settles less often, and 8 h if
    there is no other interval. Before the first settlement and after the last one the coverage is shorter than
    the shortest of the three intervals there. A single settlement shows no cadence and covers nothing.
    """
    gaps = np.diff(settled_ms).astype(np.float64)
    if gaps.size == 0:
        return Coverage(np.empty(0, np.int64), np.empty(0, np.int64))
    # At the borders this padding gives the lower median of the two intervals there, or the only one.
    border = np.array([-np.inf, np.inf, -np.inf])
    medians = np.sort(sliding_window_view(np.concatenate((border, gaps, border)), 3), axis=1)[:, 1]
    cadence = np.maximum(medians[: gaps.size], medians[4:])
    cadence[(cadence < 0) | (cadence > LONGEST_CADENCE_MS)] = LONGEST_CADENCE_MS
    holes = gaps > 1.5 * cadence
    before = int(min(gaps[:3].min(), LONGEST_CADENCE_MS))
    after = int(min(gaps[-3:].min(), LONGEST_CADENCE_MS))
    return Coverage(
        np.concatenate(([settled_ms[0] - before], settled_ms[1:][holes])),
        np.concatenate((settled_ms[:-1][holes], [settled_ms[-1] + after - 1])),
    )


def funding_per_bar(funding: CheckedFunding, open_ms: Int64s, bar_ms: int) -> Floats:
    """(T,) sum of the rates settled in (open, close] of each bar of a regular grid.

    0 if the bar is covered and nothing settles; NaN if it is not wholly inside one span of `funding_coverage`, or if
    a rate in it is unknown.
    """
    bar = -(-(funding.settled_ms - open_ms[0]) // bar_ms) - 1
    inside = (bar >= 0) & (bar < open_ms.size)
    total = np.bincount(bar[inside], weights=funding.rate[inside], minlength=open_ms.size)
    coverage = funding_coverage(funding.settled_ms)
    span = np.searchsorted(coverage.after_ms, open_ms, side="right") - 1
    known = span >= 0
    known[known] = open_ms[known] + bar_ms <= coverage.until_ms[span[known]]
    return np.where(known, total, np.nan)


def open_interest_at_close(samples: OpenInterest, close_ms: Int64s, close: Floats, lag_ms: int | None = None) -> Floats:
    """(T,) quote notional of the newest sample known at each close.

    A sample is known `lag_ms` after its stamp, or one period if that is None. The result is its value if the source has
    one, else coins times `close` (T,), the price then; NaN before the first sample, and more than two periods after the
    last known one.
    """
    known_ms = samples.sampled_ms + (samples.period_ms if lag_ms is None else lag_ms)
    newest = np.searchsorted(known_ms, close_ms, side="right") - 1
    fresh = newest >= 0
    fresh[fresh] = close_ms[fresh] - known_ms[newest[fresh]] <= 2 * samples.period_ms
    sample = newest[fresh]
    notional = np.full(close_ms.size, np.nan)
    notional[fresh] = np.where(
        np.isnan(samples.value[sample]), samples.coins[sample] * close[fresh], samples.value[sample]
    )
    return notional


def last_known(series: Known, close_ms: Int64s) -> Floats:
    """(T,) newest value known at each close; NaN before the first, and where it is stale."""
    newest = np.searchsorted(series.known_ms, close_ms, side="right") - 1
    fresh = newest >= 0
    fresh[fresh] = close_ms[fresh] - series.known_ms[newest[fresh]] <= series.stale_ms
    return (
        np.where(fresh, series.value[np.maximum(newest, 0)], np.nan)
        if series.value.size
        else np.full(close_ms.size, np.nan)
    )


def _check_series(name: str, series: Sequence[InstrumentData]) -> None:
    if not series:
        raise MarketError(f"market {name!r} has no instruments: give it at least one")
    for one in series:
        if one.bars.open_ms.size == 0:
            raise MarketError(f"market {name!r} has no bars of {one.instrument.symbol}: fetch them or leave it out")
        if one.instrument.kind == "spot" and (one.funding or one.open_interest):
            raise MarketError(
                f"{one.instrument.symbol} of market {name!r} is spot, which has neither funding nor open interest: "
                "take their files away or read the bars as of a swap"
            )


def _check_grids(series: Sequence[InstrumentData], start: int, end: int, timeframe: str) -> None:
    bar_ms = timeframe_ms(timeframe)
    for one in series:
        if (int(one.bars.open_ms[0]) - start) % bar_ms:
            raise MarketError(
                f"{one.instrument.symbol}: its {timeframe} bars open at {format_ms(int(one.bars.open_ms[0]))}, which "
                f"is off the grid of the others, from {format_ms(start)}: put it into a folder of its own"
            )
    cells = ((end - start) // bar_ms + 1) * len(series)
    bars = sum(one.bars.open_ms.size for one in series)
    if cells > SPARSE_CELLS and bars < cells / 100:
        raise MarketError(
            f"the bars run from {format_ms(start)} to {format_ms(end)}, but only {bars} of {cells} are there: "
            "check the first and the last time of each file"
        )


def _sentences(one: InstrumentData, panels: dict[str, Floats], open_ms: Int64s) -> list[str]:
    sentences = [f"bars: {repair}" for repair in one.bars.repairs]
    gaps = _inner_gaps("bars missing", panels["close"], open_ms)
    if gaps and np.isnan(panels["close"]).mean() >= MANY_MISSING and not one.instrument.omits_empty_bars:
        gaps[0] += (
            "; if its venue writes no bar where nothing traded, say omits_empty_bars = true of it in instruments.toml, "
            "else its liquidity may stay unknown"
        )
    sentences += gaps
    first, last = int(one.bars.open_ms[0]), int(one.bars.open_ms[-1])
    if first > open_ms[0] or last < open_ms[-1]:
        sentences.append(f"bars only from {format_ms(first)} to {format_ms(last)}")
    if one.funding is not None:
        sentences += [f"funding: {repair}" for repair in one.funding.repairs]
        sentences += _inner_gaps("funding unknown", panels["funding"], open_ms)
    if one.open_interest is not None:
        sentences += [f"open interest: {repair}" for repair in one.open_interest.repairs]
        sentences += _inner_gaps("open interest unknown", panels["open_interest"], open_ms)
    return [f"{one.instrument.symbol} {sentence}" for sentence in sentences]


def _inner_gaps(what: str, column: Floats, open_ms: Int64s) -> list[str]:
    known = np.flatnonzero(~np.isnan(column))
    if known.size == 0:
        return [f"{what} in every bar"]
    gaps = known[0] + np.flatnonzero(np.isnan(column[known[0] : known[-1]]))
    if gaps.size == 0:
        return []
    return [f"{what}: {gaps.size} between the first and the last known, first {format_ms(int(open_ms[gaps[0]]))}"]
