"""One position through one bar: which level its price meets first, and what leaving there pays.

The rules are phases A and C and the exit rule in the docstring of `backtest.engine.kernel`.
"""

from __future__ import annotations

import math

import numpy as np

from backtest.engine.compiling import compiled, inlined
from backtest.engine.layout import (
    CAPACITY,
    CLOSE,
    F8,
    FUNDING,
    HIGH,
    I4,
    IMPACT,
    LIQUIDATION,
    LOW,
    MARK,
    MOST_SLIP,
    OPEN,
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
def trail_level(trail: float, peak: float) -> float:
    """Signed level of a trailing stop under its peak; -inf where there is none."""
    return peak - trail * abs(peak) if trail < np.inf else -np.inf


@inlined
def nearest_adverse(stop: float, liquidation: float, trail: float) -> tuple[float, int]:
    """Nearest adverse level, in signed prices, and its reason."""
    if liquidation >= stop and liquidation >= trail:
        return liquidation, LIQUIDATION
    if stop >= trail:
        return stop, STOP_LOSS
    return trail, TRAILING_STOP


@inlined
def path_through(
    low: float, high: float, close: float, stop: float, liquidation: float, target: float, trail: float, peak: float,
    favourable_first: bool,
) -> tuple[int, float, float]:  # fmt: skip
    """Reason (0: none), signed level and new peak of one bar walked along one of its two paths."""
    if favourable_first:
        if high >= target:
            return TAKE_PROFIT, target, peak
        peak = max(peak, high)
        level, reason = nearest_adverse(stop, liquidation, trail_level(trail, peak))
        return (reason, level, peak) if low <= level else (0, 0.0, peak)
    level, reason = nearest_adverse(stop, liquidation, trail_level(trail, peak))
    if low <= level:
        return reason, level, peak
    if high >= target:
        return TAKE_PROFIT, target, peak
    peak = max(peak, high)
    level = trail_level(trail, peak)
    return (TRAILING_STOP, level, peak) if close <= level else (0, 0.0, peak)


@inlined
def gap_reason(price: float, stop: float, liquidation: float, target: float, trail: float, peak: float) -> int:
    """Reason for an exit at a (signed) open that lies at or beyond a level; 0 where it does not."""
    if price <= liquidation:
        return LIQUIDATION
    if price <= stop:
        return STOP_LOSS
    if price <= trail_level(trail, peak):
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


@compiled
def write_row(table: F8, counts: I4, which: int, values: Fill | Trade) -> None:
    """Append values to the next free row of a table of the book."""
    for column in range(len(values)):
        table[counts[which], column] = values[column]
    counts[which] += 1


@inlined
def walk_bar(state: Positions, p: int, t: int, bars: Bars, favourable_first: bool) -> tuple[int, float, int, float]:
    """Walk bar t for one position; update its peak.

    Returns the reason (0: stays) and signed level, then the same for the other path: 0 and 0.0 where the two agree,
    -1 and the signed close where only the other path stays.
    """
    side, bar = state[p].side, bar_of(bars, state[p].column, t)
    high, low = bar.high, bar.low
    if side < 0:
        high, low = -low, -high
    stop, liquidation, target, trail, peak = (
        state[p].stop,
        state[p].liquidation,
        state[p].target,
        state[p].trail,
        state[p].peak,
    )
    peak = max(peak, side * bar.open)
    reached = low <= max(stop, liquidation, trail_level(trail, peak)) or high >= target
    if trail == np.inf and not reached:
        return 0, 0.0, 0, 0.0
    finer = bars.detail_column[state[p].column]
    other, other_level = 0, 0.0
    if finer >= 0:
        first = bars.detail_first + t * bars.detail_ratio
        seen, walked = False, peak
        for row in range(max(first, 0), min(first + bars.detail_ratio, bars.detail.shape[1])):
            at = side * bars.detail[finer, row, OPEN]
            if math.isnan(at):
                continue
            seen = True
            reason = gap_reason(at, stop, liquidation, target, trail, walked) if row > first else 0
            if reason > 0:
                return reason, at, other, other_level
            walked = max(walked, at)
            top, bottom = bars.detail[finer, row, HIGH], bars.detail[finer, row, LOW]
            if side < 0:
                top, bottom = -bottom, -top
            close = side * bars.detail[finer, row, CLOSE]
            reason, level, new_peak = path_through(
                bottom, top, close, stop, liquidation, target, trail, walked, favourable_first
            )
            twin, twin_level, _ = path_through(
                bottom, top, close, stop, liquidation, target, trail, walked, not favourable_first
            )
            if other == 0 and (reason != twin or level != twin_level):
                other, other_level = (twin, twin_level) if twin > 0 else (-1, close)
            walked = new_peak
            if reason > 0:
                return reason, level, other, other_level
        if seen and not reached:
            state[p].peak = max(walked, high)
            return 0, 0.0, other, other_level
    close = side * bar.close
    reason, level, new_peak = path_through(low, high, close, stop, liquidation, target, trail, peak, favourable_first)
    twin, twin_level, _ = path_through(low, high, close, stop, liquidation, target, trail, peak, not favourable_first)
    if other == 0 and (reason != twin or level != twin_level):
        other, other_level = (twin, twin_level) if twin > 0 else (-1, close)
    state[p].peak = new_peak
    return reason, level, other, other_level
