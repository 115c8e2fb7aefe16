"""How positions are sized and opened: phase B of `backtest.engine.kernel`."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from backtest.engine.layout import (
    ACCEPTED,
    AT_OPEN,
    CAPACITY,
    CAPACITY_ZERO,
    CUT_CAPACITY,
    CUT_CASH,
    CUT_GROSS,
    ENTRY,
    EXTENDED,
    F8,
    GROSS_CAP,
    GROUP_REJECTED,
    IMPACT,
    IN_POSITION,
    LEAST_SHARE,
    LIQUIDITY_UNKNOWN,
    MARK,
    NO_CASH,
    OPEN,
    P_COEFFICIENT,
    P_COLUMN,
    P_ENTRY_ROW,
    P_FEES,
    P_GROUP,
    P_HALF_SPREAD,
    P_IMPACT,
    P_INTENT,
    P_LIQUIDATION,
    P_MARGIN,
    P_OTHER_NET,
    P_PEAK,
    P_PRICE,
    P_QUANTITY,
    P_REFERENCE,
    P_SIDE,
    P_SIGNAL_ROW,
    P_STOP,
    P_TARGET,
    P_TIME_ROW,
    P_TRAIL,
    T_CASH,
    UNCUT,
    Bars,
    Book,
    Intent,
    Rules,
    Work,
)
from backtest.engine.path import impact_share, liquidation_level
from backtest.engine.schedule import last_leg


@njit(cache=True, error_model="numpy", nogil=True)
def worth(s: F8, mark: float) -> float:
    """What a position adds to equity at a mark: margin and profit, never below zero."""
    return max(s[P_MARGIN] + s[P_SIDE] * s[P_QUANTITY] * (mark - s[P_PRICE]), 0.0)


@njit(cache=True, error_model="numpy", nogil=True)
def _verdict_of_leg(k: int, t: int, lone: bool, intent: Intent, bars: Bars, rules: Rules, work: Work) -> int:
    """Why a leg cannot enter at t, whatever its size; under `extend` it lengthens the position held."""
    column = intent.column[k]
    held = work.slot[column]
    if held >= 0:
        s = work.state[held]
        if rules.extend and lone and s[P_GROUP] < 0.0 and s[P_SIDE] == intent.side[k]:
            s[P_TIME_ROW] = max(s[P_TIME_ROW], float(t + intent.hold[k]))
            s[P_SIGNAL_ROW] = max(s[P_SIGNAL_ROW], float(work.exit_row[k]))
            return EXTENDED
        return IN_POSITION
    b = bars.panel[column, t]
    return LIQUIDITY_UNKNOWN if math.isnan(b[IMPACT]) or math.isnan(b[CAPACITY]) else ACCEPTED


@njit(cache=True, error_model="numpy", nogil=True)
def _scale(
    first: int, last: int, t: int, count: int, intent: Intent, bars: Bars, rules: Rules, work: Work
) -> tuple[float, int, int, int]:
    """Share of what is wanted that is granted, the cut and rejection it stands for, and the leg that binds (-1: all)."""
    equity, gross = work.tally[T_CASH], 0.0
    for p in range(count):
        s = work.state[p]
        mark = s[P_PRICE] if s[P_ENTRY_ROW] == t else bars.panel[int(s[P_COLUMN]), t - 1, MARK]
        equity += worth(s, mark)
        gross += s[P_QUANTITY] * mark
    if equity <= 0.0:
        return 0.0, CUT_CASH, NO_CASH, -1
    total, need = 0.0, 0.0
    scale, cut, verdict, culprit = 1.0, UNCUT, ACCEPTED, -1
    for k in range(first, last):
        wanted = intent.weight[k] * equity
        work.wanted[k] = wanted
        total += wanted
        leverage = rules.leverage if bars.swap[intent.column[k]] else 1.0
        need += wanted * (1.0 / leverage + rules.fee)
        share = bars.panel[intent.column[k], t, CAPACITY] / wanted
        if share < scale:
            scale, cut, verdict, culprit = share, CUT_CAPACITY, CAPACITY_ZERO, k
    share = (rules.gross_cap * equity - gross) / total
    if share < scale:
        scale, cut, verdict, culprit = share, CUT_GROSS, GROSS_CAP, -1
    share = work.tally[T_CASH] / need
    if share < scale:
        scale, cut, verdict, culprit = share, CUT_CASH, NO_CASH, -1
    return scale, cut, verdict, culprit


@njit(cache=True, error_model="numpy", nogil=True)
def _open_position(
    k: int, t: int, p: int, notional: float, cut: int, intent: Intent, bars: Bars, rules: Rules, work: Work,
    book: Book, record: bool,
) -> None:  # fmt: skip
    column, side = intent.column[k], intent.side[k]
    b = bars.panel[column, t]
    impact = impact_share(b[IMPACT], notional, rules.half_spread)
    price = b[OPEN] * (1.0 + side * (rules.half_spread + impact))
    quantity = notional / price
    swap = bars.swap[column]
    margin = notional / rules.leverage if swap else notional
    fee = rules.fee * notional
    work.tally[T_CASH] -= margin + fee
    s = work.state[p]
    s[:] = 0.0
    s[P_COLUMN] = column
    s[P_SIDE] = side
    s[P_QUANTITY] = quantity
    s[P_PRICE] = price
    s[P_REFERENCE] = b[OPEN]
    s[P_MARGIN] = margin
    stop, target, trail = intent.stop_loss[k], intent.take_profit[k], intent.trailing_stop[k]
    s[P_STOP] = -np.inf if math.isnan(stop) else price * (side - stop)
    s[P_TARGET] = np.inf if math.isnan(target) else price * (side + target)
    s[P_TRAIL] = np.inf if math.isnan(trail) else trail
    s[P_PEAK] = side * price
    s[P_LIQUIDATION] = liquidation_level(side, quantity, price, margin, rules.maintenance) if swap else -np.inf
    s[P_TIME_ROW] = t + intent.hold[k]
    s[P_SIGNAL_ROW] = work.exit_row[k]
    s[P_INTENT] = k
    s[P_ENTRY_ROW] = t
    s[P_COEFFICIENT] = b[IMPACT]
    s[P_GROUP] = intent.group[k]
    s[P_FEES] = fee
    s[P_HALF_SPREAD] = quantity * b[OPEN] * rules.half_spread
    s[P_IMPACT] = quantity * b[OPEN] * impact
    s[P_OTHER_NET] = np.nan
    work.slot[column] = p
    work.verdict[k] = ACCEPTED
    if record:
        fill = (t, AT_OPEN, column, k, ENTRY, side, quantity, b[OPEN], price, fee, s[P_HALF_SPREAD], s[P_IMPACT], 0.0,
                cut)  # fmt: skip
        for i in range(len(fill)):
            book.fills[book.counts[0], i] = fill[i]
        book.counts[0] += 1


@njit(cache=True, error_model="numpy", nogil=True)
def enter(
    first: int,
    t: int,
    count: int,
    intent: Intent,
    bars: Bars,
    rules: Rules,
    work: Work,
    book: Book,
    record: bool,
) -> int:
    """Phase B for one unit; returns the number of open positions."""
    last = last_leg(intent.group, first)
    verdict, culprit = ACCEPTED, -1
    for k in range(first, last):
        verdict = _verdict_of_leg(k, t, last - first == 1, intent, bars, rules, work)
        for other in range(first, k):
            if intent.column[other] == intent.column[k]:
                verdict = IN_POSITION
        if verdict != ACCEPTED:
            culprit = k
            break
    if verdict == ACCEPTED:
        scale, cut, verdict_if_small, culprit = _scale(first, last, t, count, intent, bars, rules, work)
        if scale < LEAST_SHARE:
            verdict = verdict_if_small
        else:
            for k in range(first, last):
                _open_position(k, t, count, scale * work.wanted[k], cut, intent, bars, rules, work, book, record)
                count += 1
            return count
    for k in range(first, last):
        work.verdict[k] = verdict if culprit in (-1, k) else GROUP_REJECTED
    return count
