"""One position through one bar: its stretches of prices, detail bars and the holes between them, and where it leaves.

The rules are phase C in the docstring of `backtest.engine.kernel`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from backtest.engine.compiling import inlined, linked
from backtest.engine.layout import (
    ADVERSE_FIRST,
    AT_MARKET,
    CLOSE,
    HIGH,
    LIQUIDATION,
    LOW,
    MAKER_INSIDE,
    OPEN,
    OPTIMISTIC,
    PESSIMISTIC,
    SAME_PRICE,
    STOP_LOSS,
    TAKE_PROFIT,
    Bar,
    Bars,
    Positions,
)
from backtest.engine.path import (
    adverse_first,
    bar_of,
    chosen,
    gap_price,
    gap_reason,
    greatest_peak_after,
    peak_below,
    possible_exits,
    trail_of,
    under_target,
)


class Cover(NamedTuple):
    """Detail of one bar: `slots` rows from `first` on, its first and last missing slot (-1: none).

    `low_seen`, `high_seen`: whether the detail reaches the bar's own low and high, in unsigned prices. A `bare` bar is
    one missing slot.
    """

    first: int
    slots: int
    first_hole: int
    last_hole: int
    low_seen: bool
    high_seen: bool
    bare: bool


class Segment(NamedTuple):
    """A stretch of a bar, a detail bar or the hole between two: signed prices as `possible_exits` takes them."""

    open: float
    low: float
    high: float
    least_high: float
    most_low: float
    close: float
    jumps: bool
    end: int
    hole: bool


BARE = Cover(0, 1, 0, 0, False, False, True)


@inlined
def _missing(bars: Bars, finer: int, row: int) -> bool:
    return row < 0 or row >= bars.detail.shape[1] or math.isnan(bars.detail[finer, row, OPEN])


@linked
def cover_of(bars: Bars, column: int, t: int) -> Cover:
    """Detail of one bar; it is bare where it has none, or where its detail contradicts it.

    Detail contradicts a bar where it leaves its range, begins or ends at another price, or is whole and does not reach
    its high or its low.
    """
    finer = bars.detail_column[column]
    if finer < 0:
        return BARE
    bar = bar_of(bars, column, t)
    slack = SAME_PRICE * bar.high
    first = bars.detail_first + t * bars.detail_ratio
    first_hole, last_hole, top, bottom = -1, -1, -np.inf, np.inf
    for slot in range(bars.detail_ratio):
        if _missing(bars, finer, first + slot):
            first_hole = slot if first_hole < 0 else first_hole
            last_hole = slot
        else:
            top = max(top, bars.detail[finer, first + slot, HIGH])
            bottom = min(bottom, bars.detail[finer, first + slot, LOW])
    low_seen, high_seen = bottom <= bar.low + slack, top >= bar.high - slack
    whole, last = first_hole < 0, first + bars.detail_ratio - 1
    if not _missing(bars, finer, first) and abs(bars.detail[finer, first, OPEN] - bar.open) > slack:
        return BARE
    if not _missing(bars, finer, last) and abs(bars.detail[finer, last, CLOSE] - bar.close) > slack:
        return BARE
    if top == -np.inf or top > bar.high + slack or bottom < bar.low - slack:
        return BARE
    if whole and not (low_seen and high_seen):
        return BARE
    return Cover(first, bars.detail_ratio, first_hole, last_hole, low_seen, high_seen, False)


@inlined
def segment_at(bars: Bars, column: int, t: int, side: float, cover: Cover, slot: int, price: float) -> Segment:
    """The stretch that begins at a slot; `price` is the signed price at which the one before it ended."""
    finer, bar = bars.detail_column[column], bar_of(bars, column, t)
    end = slot + 1 if cover.bare else slot
    while not cover.bare and end < cover.slots and _missing(bars, finer, cover.first + end):
        end += 1
    if end > slot:
        low, high = (bar.low, bar.high) if side > 0.0 else (-bar.high, -bar.low)
        low_seen, high_seen = (cover.low_seen, cover.high_seen) if side > 0.0 else (cover.high_seen, cover.low_seen)
        close = side * (bar.close if end == cover.slots else bars.detail[finer, cover.first + end, OPEN])
        least_high = max(price, close) if high_seen or end <= cover.last_hole else high
        most_low = min(price, close) if low_seen or slot > cover.first_hole else low
        return Segment(price, low, high, least_high, most_low, close, False, end, True)
    row = cover.first + slot
    low, high = bars.detail[finer, row, LOW], bars.detail[finer, row, HIGH]
    if side < 0.0:
        low, high = -high, -low
    opening = side * bars.detail[finer, row, OPEN]
    jumps = slot > 0 and not _missing(bars, finer, row - 1)
    return Segment(opening, low, high, high, low, side * bars.detail[finer, row, CLOSE], jumps, slot + 1, False)


@linked
def walk_segments(state: Positions, p: int, t: int, bars: Bars, stop_order: int) -> tuple[int, float]:
    """`walk_bar` along the detail of a bar. Under `adverse_first` a hole has the low and the high that it must have."""
    side, column = state[p].side, state[p].column
    stop, liquidation, target = state[p].stop, state[p].liquidation, state[p].target
    trail, resting = trail_of(state, p), state[p].resting
    least = greatest = max(state[p].peak, side * bar_of(bars, column, t).open)
    cover = cover_of(bars, column, t)
    slot, price = 0, side * bar_of(bars, column, t).open
    while slot < cover.slots:
        segment = segment_at(bars, column, t, side, cover, slot, price)
        if segment.jumps:
            peak = least if stop_order == OPTIMISTIC else greatest
            reason = gap_reason(segment.open, stop, liquidation, target, trail, peak)
            if reason > 0:
                return reason, gap_price(reason, segment.open, target, resting)
            greatest = max(least, min(greatest, peak_below(trail, segment.open)))
        least, greatest = max(least, segment.open), max(greatest, segment.open)
        low, high, close = segment.low, segment.high, segment.close
        if stop_order == ADVERSE_FIRST:
            reason, level = adverse_first(
                segment.most_low, segment.least_high, close, stop, liquidation, target, trail, least
            )
        else:
            possible = possible_exits(
                low, high, segment.least_high, segment.most_low, close, stop, liquidation, target, trail,
                least, greatest,
            )  # fmt: skip
            reason, level = chosen(possible, target, stop_order)
        if reason > 0:
            return reason, level
        least = max(least, segment.least_high)
        greatest = greatest_peak_after(least, greatest, segment.most_low, high, close, target, trail)
        slot, price = segment.end, close
    return 0, 0.0


@inlined
def entry_segment(state: Positions, p: int, bar: Bar) -> Segment:
    """The rest of a bar from a fill inside it on: what the price did on the other side of it may have been before."""
    side = state[p].side
    high, low, close = bar.high, bar.low, side * bar.close
    if side < 0:
        high, low = -low, -high
    filled = side * state[p].reference
    # A limit was fallen through: its low is yet to come, its high may be past. A stop was risen through: the reverse.
    if state[p].entered == MAKER_INSIDE:
        return Segment(filled, low, high, max(filled, close), low, close, False, 1, False)
    return Segment(filled, low, high, high, min(filled, close), close, False, 1, False)


@linked
def walk_entry_bar(state: Positions, p: int, bar: Bar, stop_order: int) -> tuple[int, float]:
    """`walk_bar` from a fill inside the bar on.

    A level that the fill has already passed exits at once, at its reference. `adverse_first` meets only the lows that
    are yet to come; `pessimistic` takes a target only where the price is certain to reach it after the fill.
    """
    rest = entry_segment(state, p, bar)
    stop, liquidation, target = state[p].stop, state[p].liquidation, state[p].target
    trail, before = trail_of(state, p), max(state[p].peak, rest.open)
    passed = gap_reason(rest.open, stop, liquidation, target, trail, before)
    if passed > 0:
        return passed, rest.open
    if stop_order == ADVERSE_FIRST:
        reason, level = adverse_first(rest.most_low, rest.high, rest.close, stop, liquidation, target, trail, before)
    else:
        possible = possible_exits(
            rest.low, rest.high, rest.least_high, rest.most_low, rest.close, stop, liquidation, target, trail,
            before, before,
        )  # fmt: skip
        reason, level = chosen(possible, target, stop_order)
        if stop_order == PESSIMISTIC and reason == TAKE_PROFIT and rest.least_high < target:
            reason, level = 0, 0.0
    state[p].peak = max(before, rest.least_high if stop_order == OPTIMISTIC else min(rest.high, under_target(target)))
    return reason, level


@inlined
def _fixed_levels(
    low: float, high: float, stop: float, liquidation: float, target: float, stop_order: int
) -> tuple[int, float]:
    """`walk_bar` where no level moves inside the bar: what `chosen` and `adverse_first` come to, in fewer steps."""
    fixed = max(stop, liquidation)
    if low <= fixed and (stop_order != OPTIMISTIC or high < target):
        return LIQUIDATION if liquidation >= stop else STOP_LOSS, fixed
    return (TAKE_PROFIT, target) if high >= target else (0, 0.0)


@inlined
def walk_bar(state: Positions, p: int, t: int, bars: Bars, stop_order: int, plain: bool = False) -> tuple[int, float]:
    """Walk bar t for one position in a stop order; reason (0: stays) and signed level. The peak is as it ends."""
    side, bar = state[p].side, bar_of(bars, state[p].column, t)
    if not plain and state[p].entered != AT_MARKET and state[p].entry_row == t:
        return walk_entry_bar(state, p, bar, stop_order)
    high, low = bar.high, bar.low
    if side < 0:
        high, low = -low, -high
    stop, liquidation, target = state[p].stop, state[p].liquidation, state[p].target
    if not state[p].follows:
        if plain or bars.detail_column[state[p].column] < 0:
            return _fixed_levels(low, high, stop, liquidation, target, stop_order)
        if low > max(stop, liquidation) and high < target:
            return 0, 0.0
    trail, before = trail_of(state, p, plain), max(state[p].peak, side * bar.open)
    if not plain and bars.detail_column[state[p].column] >= 0:
        reason, level = walk_segments(state, p, t, bars, stop_order)
    elif stop_order == ADVERSE_FIRST:
        reason, level = adverse_first(low, high, side * bar.close, stop, liquidation, target, trail, before)
    else:
        possible = possible_exits(
            low, high, high, low, side * bar.close, stop, liquidation, target, trail, before, before
        )
        reason, level = chosen(possible, target, stop_order)
    state[p].peak = max(before, high)
    return reason, level
