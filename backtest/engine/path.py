"""One position and one stretch of prices: which level it meets first, and what leaving there pays.

The rules are phases A and C and the exit rule in the docstring of `backtest.engine.kernel`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from backtest.engine.compiling import inlined, linked
from backtest.engine.layout import (
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
    MARK,
    MOST_SLIP,
    NEVER,
    OPEN,
    OPTIMISTIC,
    SAME_LEVEL,
    SAME_STEP,
    SIGNAL,
    STOP_LOSS,
    TAKE_PROFIT,
    TIME,
    TRAILING_STOP,
    Bar,
    Bars,
    Fill,
    Positions,
    Rules,
    Trade,
)
from backtest.engine.tiers import level_again


@inlined
def bar_of(bars: Bars, column: float, t: int) -> Bar:
    """One bar of one instrument."""
    return bar_in(bars.panel, column, t)


@inlined
def bar_in(panel: F8, column: float, t: int) -> Bar:
    """Row t of a panel; its indices are unsigned, since a check for negative ones costs more than the bar."""
    row, bar = np.uintp(column), np.uintp(t)
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
def given(values: F8, k: int) -> float:
    """Level k of an optional field of `Variation`; NaN where no intent has one."""
    return values[k] if values.shape[0] > 0 else np.nan


@inlined
def impact_share(coefficient: float, notional: float, half_spread: float) -> float:
    """Y * sigma * sqrt(notional / ADV) as a share of price, capped so that a sale stays above zero."""
    if coefficient == 0.0:
        return 0.0
    return min(coefficient * math.sqrt(notional), MOST_SLIP - half_spread)


class Trail(NamedTuple):
    """How a stop follows the peak of one position, in signed prices: fields as those of `Position`."""

    share: float
    activation: float
    staged: bool
    second: float
    second_activation: float
    break_even: float
    filled: float


@inlined
def trail_of(state: Positions, p: int, plain: bool = False) -> Trail:
    """How the stop of one position follows its peak; of one without stages no more is read than it needs."""
    if plain:
        return Trail(state[p].trail, -np.inf, False, np.inf, np.inf, np.inf, 0.0)
    if not state[p].staged:
        return Trail(state[p].trail, state[p].activation, False, np.inf, np.inf, np.inf, 0.0)
    return Trail(
        state[p].trail,
        state[p].activation,
        state[p].staged,
        state[p].second_trail,
        state[p].second_activation,
        state[p].break_even,
        state[p].filled,
    )


@inlined
def trail_level(trail: Trail, peak: float) -> float:
    """Signed level of a trailing stop under its peak; -inf where there is none, or the peak has not activated it.

    It never falls as the peak rises: the highest of the trail, its second stage and a break-even stop.
    """
    level = peak - trail.share * abs(peak) if trail.share < np.inf and peak >= trail.activation else -np.inf
    if trail.staged:
        if peak >= trail.second_activation:
            level = max(level, peak - trail.second * abs(peak))
        if peak >= trail.break_even:
            level = max(level, trail.filled)
    return level


@inlined
def short_of(price: float) -> float:
    """The signed price just short of one that is not reached."""
    return price - SAME_LEVEL * abs(price) if abs(price) < np.inf else price


@inlined
def under_target(target: float) -> float:
    """The greatest signed price at which a target is not met: a level that begins at the target comes too late."""
    return float(np.nextafter(target, -np.inf))


@inlined
def _turning(share: float, price: float) -> float:
    """The peak under which a trailing stop lies at a signed price; inf where it never does."""
    if share == np.inf or (price > 0.0 and share >= 1.0):
        return np.inf
    return price / (1.0 - share) if price > 0.0 else price / (1.0 + share)


@inlined
def peak_below(trail: Trail, price: float) -> float:
    """Greatest peak under which the trailing stop lies below a signed price, which has still to be passed."""
    most: float = np.inf
    if _turning(trail.share, price) < np.inf:
        most = max(short_of(trail.activation), short_of(_turning(trail.share, price)))
    if trail.staged:
        if _turning(trail.second, price) < np.inf:
            most = min(most, max(short_of(trail.second_activation), short_of(_turning(trail.second, price))))
        if trail.filled >= price:
            most = min(most, short_of(trail.break_even))
    return most


@inlined
def peak_reaching(trail: Trail, price: float) -> float:
    """Least peak under which the trailing stop lies at or above a signed price."""
    least = max(trail.activation, _turning(trail.share, price))
    least = min(least, max(trail.second_activation, _turning(trail.second, price)))
    return min(least, trail.break_even) if trail.filled >= price else least


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
    target: float, trail: Trail, least_peak: float, greatest_peak: float,
) -> Possible:  # fmt: skip
    """Every way to leave on a continuous path that stays within low and high, and whether one path does not leave.

    The path must rise to `least_high`, fall to `most_low` and end at `close`: for a bar its high and low. Its first
    price lies beyond no level. The peak before it lies between `least_peak` and `greatest_peak`.
    """
    fixed = max(stop, liquidation)
    start = trail_level(trail, least_peak)
    nearest = max(fixed, start)
    final = max(fixed, trail_level(trail, max(least_peak, least_high)))
    stays = least_high < target and most_low > nearest and close > final
    reason = 0
    if low <= fixed and fixed >= start:
        reason = LIQUIDATION if liquidation >= stop else STOP_LOSS
    trail_low, trail_high = np.inf, -np.inf
    if trail.share < np.inf or trail.staged:
        begins = trail.activation if trail.share < np.inf else np.inf
        # A new peak lies below the target; one from before may lie beyond a target that has come nearer since.
        last = max(greatest_peak, min(high, target))
        if trail.staged:
            begins = min(begins, trail.second_activation, trail.break_even)
            last = max(greatest_peak, min(high, under_target(target)))
        first = max(least_peak, begins)
        if first <= last and (first < target or first <= greatest_peak):
            lowest, highest = trail_level(trail, first), min(trail_level(trail, last), high)
            if highest >= low and highest > fixed:
                nearest = max(low, fixed)
                if trail.staged and lowest < nearest:
                    # The level may step over prices: the first that is not below those that a path reaches.
                    lowest = trail_level(trail, min(max(first, peak_reaching(trail, nearest)), last))
                trail_low, trail_high = max(lowest, nearest), highest
    return Possible(stays, reason, fixed, high >= target, trail_low, trail_high)


@inlined
def greatest_peak_after(
    least: float, greatest: float, low: float, high: float, close: float, target: float, trail: Trail
) -> float:  # fmt: skip
    """Greatest peak with which a path is still held after a stretch of prices; `least` is the least.

    It is one of those before, if the path could fall to `low` under it, or a new one, if it could end at `close`.
    """
    before = min(greatest, peak_below(trail, low))
    return max(least, before, min(high, under_target(target), peak_below(trail, close)))


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
    low: float, high: float, close: float, stop: float, liquidation: float, target: float, trail: Trail, peak: float
) -> tuple[int, float]:  # fmt: skip
    """Reason (0: stays) and signed level of one bar walked from its open to its low, its high and its close."""
    level, reason = nearest_adverse(stop, liquidation, trail_level(trail, peak))
    if low <= level:
        return reason, level
    if high >= target:
        return TAKE_PROFIT, target
    level = trail_level(trail, max(peak, high))
    return (TRAILING_STOP, level) if close <= level else (0, 0.0)


@inlined
def gap_reason(price: float, stop: float, liquidation: float, target: float, trail: Trail, peak: float) -> int:
    """Reason for an exit at a (signed) open that lies at or beyond a level; 0 where it does not."""
    if price <= liquidation:
        return LIQUIDATION
    if price <= stop:
        return STOP_LOSS
    if price <= trail_level(trail, peak):
        return TRAILING_STOP
    return TAKE_PROFIT if price >= target else 0


@inlined
def decided_reason(state: Positions, p: int, t: int, rules: Rules) -> int:  # noqa: ARG001 - for exits that have a setting
    """Reason for which a position leaves at the open of t whatever the price, 0 for none.

    It reads what is the same on every path on which the position is still held, so intervals stay exact.
    """
    if t >= state[p].signal_row:
        return SIGNAL
    return TIME if t >= state[p].time_row else 0


@inlined
def decided_row(state: Positions, p: int, t: int, rules: Rules) -> int:
    """First row from t on at which `decided_reason` may hold, if no position pays funding before it."""
    return t if decided_reason(state, p, t, rules) > 0 else min(state[p].time_row, state[p].signal_row)


@inlined
def on_tick(price: float, tick: float, up: bool) -> float:
    """The next signed price on the grid of ticks, up or down; as it is where there is no tick."""
    if tick == 0.0:
        return price
    return tick * (math.ceil(price / tick - SAME_STEP) if up else math.floor(price / tick + SAME_STEP))


@inlined
def gap_price(reason: int, at: float, target: float, resting: bool) -> float:
    """Signed price of leaving at an open: the open, or that of a target that rested there before it was passed."""
    return target if reason == TAKE_PROFIT and resting else at


@inlined
def settle(
    state: Positions, p: int, reference: float, coefficient: float, reason: int, rules: Rules
) -> tuple[float, float, float, float, float, float]:
    """Exit price, fee, half-spread, impact, liquidation cost and what returns to cash, of leaving at `reference`."""
    side, quantity = state[p].side, state[p].quantity
    maker = not rules.plain and state[p].resting and reason == TAKE_PROFIT
    half_spread = 0.0 if maker else rules.half_spread
    impact = (
        0.0
        if maker
        else impact_share(coefficient * (1.0 if rules.plain else state[p].parts), quantity * reference, half_spread)
    )
    price = reference * (1.0 - side * (half_spread + impact))
    fee = (rules.maker_fee_rate if maker else rules.fee_rate) * quantity * price
    liquidation = rules.liquidation_fee * quantity * price if reason == LIQUIDATION else 0.0
    released = state[p].margin + side * quantity * (price - state[p].price) - fee - liquidation
    if released < 0.0 and not rules.cross:
        liquidation += released
        released = 0.0
    return price, fee, half_spread, impact, liquidation, released


@inlined
def net_of(state: Positions, p: int, price: float, fee: float, liquidation: float, plain: bool = False) -> float:
    """Net profit of a position left at `price`, after every cost; what has left of it before is counted too."""
    net = (
        state[p].side * state[p].quantity * (price - state[p].price)
        - state[p].fees
        - fee
        - state[p].funding
        - liquidation
    )
    return net if plain else net + (state[p].gained - state[p].lost)


@inlined
def funding_of(state: Positions, p: int, bar: Bar, rules: Rules) -> float:
    """What a position pays for the settlements of a bar; of an unknown rate what the policy says, 0 under `error`."""
    if math.isnan(bar.funding):
        return state[p].quantity * bar.mark * rules.funding_const if rules.funding_unknown == FUNDING_CONST else 0.0
    return state[p].side * state[p].quantity * bar.mark * bar.funding


@inlined
def charge(state: Positions, p: int, t: int, paid: float, bars: Bars, rules: Rules) -> None:
    """Take funding out of the margin of a position; its liquidation level follows."""
    if paid != 0.0:
        state[p].margin -= paid
        state[p].funding += paid
        level_again(state, p, t, bars, rules)


@inlined
def age(state: Positions, p: int, t: int) -> bool:
    """Take the late target from its row on; whether it begins in this one."""
    if t < state[p].late_row:
        return False
    state[p].target, state[p].late_row = state[p].late_target, NEVER
    return True


@linked
def write_row(table: F8, counts: I4, which: int, values: Fill | Trade) -> None:
    """Append values to the next free row of a table of the book; where there is none they are counted only."""
    if counts[which] < table.shape[0]:
        for column in range(len(values)):
            table[counts[which], column] = values[column]
    counts[which] += 1
