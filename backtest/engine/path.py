"""One position through one bar: which level its price meets first, and what leaving there pays.

The rules are phases A and C and the exit rule in the docstring of `backtest.engine.kernel`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from backtest.engine.compiling import compiled, inlined
from backtest.engine.layout import (
    ADVERSE_FIRST,
    AT_MARKET,
    CAPACITY,
    CLOSE,
    F8,
    FUNDING,
    FUNDING_CONST,
    HIGH,
    I4,
    IMPACT,
    LIQUIDATION,
    LOW,
    MAKER_INSIDE,
    MARK,
    MOST_SLIP,
    OPEN,
    OPTIMISTIC,
    PESSIMISTIC,
    SAME_PRICE,
    STOP_LOSS,
    TAKE_PROFIT,
    TRAILING_STOP,
    Bar,
    Bars,
    Fill,
    Positions,
    Rules,
    Trade,
)


@inlined
def bar_of(bars: Bars, column: float, t: int) -> Bar:
    """One bar of one instrument; its indices are unsigned, since a look for negative ones costs more than the bar."""
    row, bar = np.uintp(column), np.uintp(t)
    panel = bars.panel
    return Bar(
        panel[row, bar, OPEN],
        panel[row, bar, HIGH],
        panel[row, bar, LOW],
        panel[row, bar, CLOSE],
        panel[row, bar, MARK],
        panel[row, bar, FUNDING],
        panel[row, bar, IMPACT],
        panel[row, bar, CAPACITY],
    )


@inlined
def impact_share(coefficient: float, notional: float, half_spread: float) -> float:
    """Y * sigma * sqrt(notional / ADV) as a share of price, capped so that a sale stays above zero."""
    if coefficient == 0.0:
        return 0.0
    return min(coefficient * math.sqrt(notional), MOST_SLIP - half_spread)


@inlined
def trail_level(trail: float, activation: float, peak: float) -> float:
    """Signed level of a trailing stop under its peak; -inf where there is none, or the peak has not activated it."""
    return peak - trail * abs(peak) if trail < np.inf and peak >= activation else -np.inf


@inlined
def nearest_adverse(stop: float, liquidation: float, trail: float) -> tuple[float, int]:
    """Nearest adverse level, in signed prices, and its reason."""
    if liquidation >= stop and liquidation >= trail:
        return liquidation, LIQUIDATION
    if stop >= trail:
        return stop, STOP_LOSS
    return trail, TRAILING_STOP


class Possible(NamedTuple):
    """What one stretch of prices allows a position, levels signed (Theorem 1 of docs/methods.md).

    `stays`: some path does not leave. `fixed`: reason of the nearer of stop and liquidation where a path meets it
    first, else 0, and its `level`. `target`: whether a path meets it first. `trail_low`, `trail_high`: lowest and
    highest price at which a path meets the trailing stop first, inf and -inf where none does.
    """

    stays: bool
    fixed: int
    level: float
    target: bool
    trail_low: float
    trail_high: float


@inlined
def possible_exits(
    low: float, high: float, least_high: float, most_low: float, close: float, stop: float, liquidation: float,
    target: float, trail: float, activation: float, least_peak: float, greatest_peak: float,
) -> Possible:  # fmt: skip
    """Every way to leave on a continuous path that stays within low and high, and whether one path does not leave.

    The path must rise to `least_high`, fall to `most_low` and end at `close`: for a bar its high and low. Its first
    price lies beyond no level. The peak before it lies between `least_peak` and `greatest_peak`.
    """
    fixed = max(stop, liquidation)
    start = trail_level(trail, activation, least_peak)
    nearest = max(fixed, start)
    final = max(fixed, trail_level(trail, activation, max(least_peak, least_high)))
    stays = least_high < target and most_low > nearest and close > final
    reason = 0
    if low <= fixed and fixed >= start:
        reason = LIQUIDATION if liquidation >= stop else STOP_LOSS
    trail_low, trail_high = np.inf, -np.inf
    if trail < np.inf:
        first, last = max(least_peak, activation), min(max(greatest_peak, high), target)
        lowest, highest = first - trail * abs(first), min(last - trail * abs(last), high)
        if first <= last and first < target and highest >= low and highest > fixed:
            trail_low, trail_high = max(lowest, low, fixed), highest
    return Possible(stays, reason, fixed, high >= target, trail_low, trail_high)


@inlined
def chosen(possible: Possible, target: float, stop_order: int) -> tuple[int, float]:
    """Reason (0: stays) and signed level of the pessimistic or the optimistic stop order."""
    trails = possible.trail_low <= possible.trail_high
    if stop_order == OPTIMISTIC:
        if possible.stays:
            return 0, 0.0
        if possible.target:
            return TAKE_PROFIT, target
        if trails:
            return TRAILING_STOP, possible.trail_high
        return possible.fixed, possible.level
    if possible.fixed > 0:
        return possible.fixed, possible.level
    if trails:
        return TRAILING_STOP, possible.trail_low
    return (TAKE_PROFIT, target) if possible.target else (0, 0.0)


@inlined
def adverse_first(
    low: float, high: float, close: float, stop: float, liquidation: float, target: float, trail: float,
    activation: float, peak: float,
) -> tuple[int, float]:  # fmt: skip
    """Reason (0: stays) and signed level of one bar walked from its open to its low, its high and its close."""
    level, reason = nearest_adverse(stop, liquidation, trail_level(trail, activation, peak))
    if low <= level:
        return reason, level
    if high >= target:
        return TAKE_PROFIT, target
    level = trail_level(trail, activation, max(peak, high))
    return (TRAILING_STOP, level) if close <= level else (0, 0.0)


@inlined
def gap_reason(
    price: float, stop: float, liquidation: float, target: float, trail: float, activation: float, peak: float
) -> int:
    """Reason for an exit at a (signed) open that lies at or beyond a level; 0 where it does not."""
    if price <= liquidation:
        return LIQUIDATION
    if price <= stop:
        return STOP_LOSS
    if price <= trail_level(trail, activation, peak):
        return TRAILING_STOP
    return TAKE_PROFIT if price >= target else 0


@inlined
def liquidation_level(side: float, quantity: float, price: float, margin: float, maintenance: float) -> float:
    """Signed price at which margin + side * quantity * (p - price) = maintenance * quantity * p."""
    return side * (price - side * margin / quantity) / (1.0 - side * maintenance)


@inlined
def settle(
    state: Positions, p: int, reference: float, coefficient: float, reason: int, rules: Rules
) -> tuple[float, float, float, float, float]:
    """Exit price, fee, impact share, liquidation cost and what returns to cash, of leaving at `reference`."""
    side, quantity = state[p].side, state[p].quantity
    impact = impact_share(coefficient, quantity * reference, rules.half_spread)
    price = reference * (1.0 - side * (rules.half_spread + impact))
    fee = rules.fee_rate * quantity * price
    liquidation = rules.liquidation_fee * quantity * price if reason == LIQUIDATION else 0.0
    released = state[p].margin + side * quantity * (price - state[p].price) - fee - liquidation
    if released < 0.0:
        liquidation += released
        released = 0.0
    return price, fee, impact, liquidation, released


@inlined
def net_of(state: Positions, p: int, price: float, fee: float, liquidation: float) -> float:
    """Net profit of a position left at `price`, after every cost."""
    return (
        state[p].side * state[p].quantity * (price - state[p].price)
        - state[p].fees
        - fee
        - state[p].funding
        - liquidation
    )


@inlined
def funding_of(state: Positions, p: int, bar: Bar, rules: Rules) -> float:
    """What a position pays for the settlements of a bar; of an unknown rate what the policy says, 0 under `error`."""
    if math.isnan(bar.funding):
        return state[p].quantity * bar.mark * rules.funding_const if rules.funding_unknown == FUNDING_CONST else 0.0
    return state[p].side * state[p].quantity * bar.mark * bar.funding


@inlined
def charge(state: Positions, p: int, paid: float, rules: Rules) -> None:
    """Take funding out of the margin of a position; its liquidation level follows."""
    if paid != 0.0:
        state[p].margin -= paid
        state[p].funding += paid
        state[p].liquidation = liquidation_level(
            state[p].side, state[p].quantity, state[p].price, state[p].margin, rules.maintenance_margin
        )


@compiled
def write_row(table: F8, counts: I4, which: int, values: Fill | Trade) -> None:
    """Append values to the next free row of a table of the book."""
    for column in range(len(values)):
        table[counts[which], column] = values[column]
    counts[which] += 1


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


@compiled
def cover_of(bars: Bars, column: int, t: int) -> Cover:
    """Detail of one bar; it is bare where it has none, or where its detail contradicts it.

    Detail contradicts a bar where it leaves its range, or is whole and does not reach its high or its low.
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
    whole = first_hole < 0
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


@compiled
def walk_segments(state: Positions, p: int, t: int, bars: Bars, stop_order: int) -> tuple[int, float]:
    """`walk_bar` along the detail of a bar. `adverse_first` uses detail that covers the whole bar, no other."""
    side, column = state[p].side, state[p].column
    stop, liquidation, target = state[p].stop, state[p].liquidation, state[p].target
    trail, activation = state[p].trail, state[p].activation
    least = greatest = max(state[p].peak, side * bar_of(bars, column, t).open)
    cover = cover_of(bars, column, t)
    if stop_order == ADVERSE_FIRST and cover.first_hole >= 0:
        cover = BARE
    slot, price = 0, side * bar_of(bars, column, t).open
    while slot < cover.slots:
        segment = segment_at(bars, column, t, side, cover, slot, price)
        if segment.jumps:
            peak = least if stop_order == OPTIMISTIC else greatest
            reason = gap_reason(segment.open, stop, liquidation, target, trail, activation, peak)
            if reason > 0:
                return reason, segment.open
        least, greatest = max(least, segment.open), max(greatest, segment.open)
        low, high, close = segment.low, segment.high, segment.close
        if stop_order == ADVERSE_FIRST:
            reason, level = adverse_first(low, high, close, stop, liquidation, target, trail, activation, least)
        else:
            possible = possible_exits(
                low, high, segment.least_high, segment.most_low, close, stop, liquidation, target, trail, activation,
                least, greatest,
            )  # fmt: skip
            reason, level = chosen(possible, target, stop_order)
        if reason > 0:
            return reason, level
        least, greatest = max(least, segment.least_high), max(greatest, high)
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


@inlined
def walk_entry_bar(state: Positions, p: int, bar: Bar, stop_order: int) -> tuple[int, float]:
    """`walk_bar` from a fill inside the bar on.

    A level that the fill has already passed exits at once, at its reference. `adverse_first` meets only the lows that
    are yet to come; `pessimistic` takes a target only where the price is certain to reach it after the fill.
    """
    rest = entry_segment(state, p, bar)
    stop, liquidation, target = state[p].stop, state[p].liquidation, state[p].target
    trail, activation, before = state[p].trail, state[p].activation, max(state[p].peak, rest.open)
    passed = gap_reason(rest.open, stop, liquidation, target, trail, activation, before)
    if passed > 0:
        return passed, rest.open
    if stop_order == ADVERSE_FIRST:
        reason, level = adverse_first(
            rest.most_low, rest.high, rest.close, stop, liquidation, target, trail, activation, before
        )
    else:
        possible = possible_exits(
            rest.low, rest.high, rest.least_high, rest.most_low, rest.close, stop, liquidation, target, trail,
            activation, before, before,
        )  # fmt: skip
        reason, level = chosen(possible, target, stop_order)
        if stop_order == PESSIMISTIC and reason == TAKE_PROFIT and rest.least_high < target:
            reason, level = 0, 0.0
    state[p].peak = max(before, rest.least_high if stop_order == OPTIMISTIC else rest.high)
    return reason, level


@inlined
def walk_bar(state: Positions, p: int, t: int, bars: Bars, stop_order: int) -> tuple[int, float]:
    """Walk bar t for one position in a stop order; reason (0: stays) and signed level. The peak is as it ends."""
    side, bar = state[p].side, bar_of(bars, state[p].column, t)
    if state[p].entered != AT_MARKET and state[p].entry_row == t:
        return walk_entry_bar(state, p, bar, stop_order)
    high, low = bar.high, bar.low
    if side < 0:
        high, low = -low, -high
    stop, liquidation, target = state[p].stop, state[p].liquidation, state[p].target
    trail, activation = state[p].trail, state[p].activation
    if trail == np.inf and low > max(stop, liquidation) and high < target:
        return 0, 0.0
    before = max(state[p].peak, side * bar.open)
    if bars.detail_column[state[p].column] >= 0:
        reason, level = walk_segments(state, p, t, bars, stop_order)
    elif stop_order == ADVERSE_FIRST:
        reason, level = adverse_first(low, high, side * bar.close, stop, liquidation, target, trail, activation, before)
    else:
        possible = possible_exits(
            low, high, high, low, side * bar.close, stop, liquidation, target, trail, activation, before, before
        )
        reason, level = chosen(possible, target, stop_order)
    state[p].peak = max(before, high)
    return reason, level
