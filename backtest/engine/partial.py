"""Exits that take no more of a bar than its capacity: what leaves now, and what the rest becomes.

Once an exit has begun it is completed at the market: its other levels are gone, only a liquidation or the end of the
instrument comes before the next open. A liquidation is whole, since the venue takes the position over, and so is the
last close of an instrument.
"""

from __future__ import annotations

import math

import numpy as np

from backtest.engine.compiling import linked
from backtest.engine.layout import AT_CLOSE, LIQUIDATION, NEVER, SAME_STEP, Bars, Positions, Rules
from backtest.engine.path import bar_of, settle
from backtest.engine.tiers import level_again


@linked
def leaving_quantity(
    state: Positions, p: int, t: int, phase: int, reference: float, reason: int, taken: float, bars: Bars, rules: Rules
) -> float:
    """What can leave of position p at an unsigned price of bar t, of whose capacity others took `taken`; whole lots.

    A part of an order may take its share of the capacity, as of the impact. Where the capacity is unknown it is that of
    the entry.
    """
    quantity, column = state[p].quantity, state[p].column
    if reason == LIQUIDATION or (phase == AT_CLOSE and state[p].end_row == t):
        return quantity
    capacity = bar_of(bars, column, t).capacity
    if math.isnan(capacity):
        capacity = bar_of(bars, column, state[p].entry_row).capacity
    if rules.adds:
        capacity = max(capacity - taken, 0.0)
    else:
        capacity /= state[p].parts * state[p].parts
    most, lot = capacity / reference, bars.lot[np.uintp(column)]
    if lot > 0.0 and most < quantity:
        most = lot * math.floor(most / lot + SAME_STEP)
    return quantity if most >= quantity * (1.0 - SAME_STEP) else most


@linked
def fill_part(
    state: Positions, p: int, t: int, reference: float, reason: int, part: float, bars: Bars, rules: Rules
) -> tuple[float, float, float, float, float, float]:
    """Take a part and its share of the margin out of position p; what `settle` gives of it."""
    quantity, margin = state[p].quantity, state[p].margin
    coefficient = bar_of(bars, state[p].column, t).impact
    if math.isnan(coefficient):
        coefficient = state[p].coefficient
    state[p].quantity, state[p].margin = part, margin * (part / quantity)
    settled = settle(state, p, reference, coefficient, reason, rules)
    price, fee, half_spread, impact, liquidation, _ = settled
    state[p].gained += state[p].side * part * (price - state[p].price)
    state[p].lost += liquidation
    state[p].fees += fee
    state[p].slippage += part * reference * half_spread
    state[p].impact += part * reference * impact
    state[p].quantity, state[p].margin = quantity - part, margin - margin * (part / quantity)
    if bars.swap[np.uintp(state[p].column)]:
        level_again(state, p, t, bars, rules)
    return settled


@linked
def begin_leaving(state: Positions, p: int, reason: int) -> None:
    """Leave nothing in force but the liquidation; the rest leaves at its next opens, for the same reason."""
    state[p].leaving, state[p].due = reason, 0
    state[p].stop = state[p].mark_stop = -np.inf
    state[p].target = state[p].trail = np.inf
    state[p].resting = state[p].staged = state[p].follows = False
    state[p].late_row = state[p].time_row = state[p].signal_row = NEVER
