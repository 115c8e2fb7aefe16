"""Quiet bars, on which nothing enters, leaves or pays: there the rules of `backtest.engine.kernel` only mark equity.

Most bars on which something is held are quiet. A few comparisons replace phases A to E; a bar in doubt is
left to those phases.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from backtest.engine.compiling import inlined, linked
from backtest.engine.curve import Curve, follow
from backtest.engine.layout import (
    F8,
    FUNDING,
    HIGH,
    LOW,
    MARK,
    T_CASH,
    Bars,
    Book,
    Positions,
    Rules,
    Work,
)
from backtest.engine.path import bar_of, decided_row
from backtest.engine.tiers import change_from


class Calm(NamedTuple):
    """Until where bars may be quiet (`end`, exclusive), cash, and the first position: in registers, not in memory.

    `floor` and `ceiling` are the prices at which that position may leave (of the others they are in the state),
    `exposure` its side times quantity.
    """

    end: int
    cash: float
    column: int
    floor: float
    ceiling: float
    exposure: float
    margin: float
    price: float


@inlined
def write_bounds(state: Positions, p: int) -> None:
    """Prices at which a position may leave, as the market quotes them."""
    adverse, favourable = max(state[p].stop, state[p].liquidation), state[p].target
    long = state[p].side > 0.0
    state[p].floor = adverse if long else -favourable
    state[p].ceiling = favourable if long else -adverse


@inlined
def calm_from(count: int, t: int, nearest: int, bars: Bars, rules: Rules, work: Work) -> Calm:
    """Bars from t on that may be quiet, all before `nearest`; none where an exit must be looked for on each."""
    state = work.state
    end = nearest if rules.plain else min(nearest, change_from(bars, t))
    if rules.cross:
        end = t
    for p in range(count):
        end = min(end, min(decided_row(state, p, t, rules), state[p].end_row))
        if not rules.plain:
            end = t if state[p].leaving > 0 or state[p].marked else min(end, state[p].late_row)
        if state[p].follows:
            end = t
        write_bounds(state, p)
    return Calm(
        end,
        work.tally[T_CASH],
        state[0].column,
        state[0].floor,
        state[0].ceiling,
        state[0].side * state[0].quantity,
        state[0].margin,
        state[0].price,
    )


@inlined
def quiet_equity(count: int, t: int, calm: Calm, bars: Bars, work: Work) -> float:
    """Equity at the close of bar t, NaN where the bar is not quiet."""
    state = work.state
    bar = bar_of(bars, calm.column, t)
    if bar.low <= calm.floor or bar.high >= calm.ceiling or bar.funding != 0.0:
        return np.nan
    equity = calm.cash + max(calm.margin + calm.exposure * (bar.mark - calm.price), 0.0)
    for p in range(1, count):
        bar = bar_of(bars, state[p].column, t)
        if bar.low <= state[p].floor or bar.high >= state[p].ceiling or bar.funding != 0.0:
            return np.nan
        profit = state[p].side * state[p].quantity * (bar.mark - state[p].price)
        equity += max(state[p].margin + profit, 0.0)
    return equity


@linked
def _follow_alone(curve: Curve, t: int, calm: Calm, panel: F8, equity: F8, record: bool) -> tuple[Curve, int]:
    """`follow_quiet` for one position over the bars (T, 8) of its instrument: a batch spends most of its time here.

    It is called, not inlined, so that all it follows stays in registers.
    """
    ahead = panel[t : calm.end]
    for row in range(ahead.shape[0]):
        if ahead[row, LOW] <= calm.floor or ahead[row, HIGH] >= calm.ceiling or ahead[row, FUNDING] != 0.0:
            return curve, t + row
        now = calm.cash + max(calm.margin + calm.exposure * (ahead[row, MARK] - calm.price), 0.0)
        curve = follow(curve, now)
        if record:
            equity[t + row] = now
    return curve, t + ahead.shape[0]


@inlined
def follow_quiet(
    curve: Curve, count: int, t: int, calm: Calm, bars: Bars, work: Work, book: Book, record: bool
) -> tuple[Curve, int]:
    """The curve after the quiet bars from t on, and the first bar that is not quiet."""
    if count > 1:
        while t < calm.end:
            equity = quiet_equity(count, t, calm, bars, work)
            if math.isnan(equity):
                break
            curve = follow(curve, equity)
            if record:
                book.equity[t] = equity
            t += 1
        return curve, t
    return _follow_alone(curve, t, calm, bars.panel[np.uintp(calm.column)], book.equity, record)
