"""What the mark price triggers: liquidations, and stops by choice. It has a path of its own beside the last price.

Both paths are known by their bars alone, so wherever the bar of the mark price reaches a level, the exit can fill at
any last price of that bar that the position survives until then. Only in the bar of a fill inside it may the mark price
have been there before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backtest.engine.compiling import linked
from backtest.engine.layout import (
    AT_MARKET,
    LIQUIDATION,
    OPTIMISTIC,
    PESSIMISTIC,
    STOP_LOSS,
    TAKE_PROFIT,
    Bars,
    Positions,
    Rules,
)
from backtest.engine.path import bar_of


class Met(NamedTuple):
    """The level that the mark price reaches in a bar, signed prices; reason 0 where it reaches none.

    `lowest`, `highest`: last prices at which the exit can fill. `certain`: not before a fill inside the bar.
    """

    reason: int
    level: float
    lowest: float
    highest: float
    certain: bool


UNMET = Met(0, 0.0, 0.0, 0.0, False)


@linked
def put_on_mark(state: Positions, p: int, rules: Rules) -> None:
    """Let the mark price trigger what the rules say, and the last price no longer."""
    state[p].marked = True
    state[p].mark_liquidation = state[p].mark_stop = -np.inf
    if rules.liquidates_on_mark:
        state[p].mark_liquidation, state[p].liquidation = state[p].liquidation, -np.inf
    if rules.stops_on_mark:
        state[p].mark_stop, state[p].stop = state[p].stop, -np.inf


@linked
def mark_met(state: Positions, p: int, t: int, bars: Bars) -> Met:
    """The level of position p that the mark price reaches in bar t: on its path the nearer one comes first."""
    side, column, bar = state[p].side, np.uintp(state[p].column), bar_of(bars, state[p].column, t)
    reached = bars.mark[column, np.uintp(t), 0] if side > 0.0 else -bars.mark[column, np.uintp(t), 1]
    low, high, close = bar.low, bar.high, side * bars.mark[column, np.uintp(t), 2]
    if side < 0.0:
        low, high = -high, -low
    level = max(state[p].mark_liquidation, state[p].mark_stop)
    # Unknown reaches nothing.
    if not reached <= level:
        return UNMET
    entering = state[p].entered != AT_MARKET and state[p].entry_row == t
    lowest = max(low, state[p].stop, state[p].liquidation)
    reason = LIQUIDATION if state[p].mark_liquidation >= state[p].mark_stop else STOP_LOSS
    return Met(reason, level, lowest, max(min(high, state[p].target), lowest), not entering or close <= level)


@linked
def with_mark(
    state: Positions, p: int, t: int, reason: int, level: float, bars: Bars, stop_order: int
) -> tuple[int, float]:
    """Reason (0: stays) and signed level of bar t, given those of the last price alone.

    `pessimistic` fills at the worst last price, `adverse_first` and `optimistic` at the one nearest to the level;
    `optimistic` leaves as the last price does where it does.
    """
    met = mark_met(state, p, t, bars)
    entering = state[p].entered != AT_MARKET and state[p].entry_row == t
    if met.reason == 0 or reason == LIQUIDATION:
        return reason, level
    if entering and reason > 0 and level == state[p].side * state[p].reference:
        # Passed when it was filled: it left at once.
        return reason, level
    if stop_order == PESSIMISTIC:
        return met.reason, met.lowest
    first = reason > 0 and (stop_order == OPTIMISTIC or (reason != TAKE_PROFIT and level > met.level))
    if first or (stop_order == OPTIMISTIC and not met.certain):
        return reason, level
    return met.reason, min(max(met.level, met.lowest), met.highest)
