"""How positions leave, and what they pay while open: phases A, C, D and E of `backtest.engine.kernel`."""

from __future__ import annotations

import math

from numba import njit

from backtest.engine.layout import (
    AT_CLOSE,
    AT_OPEN,
    CLOSE,
    END_OF_DATA,
    F8,
    FUNDING,
    FUNDING_CONST,
    FUNDING_ERROR,
    GROUP_EXIT,
    IMPACT,
    INSIDE,
    MARK,
    OPEN,
    P_AMBIGUOUS,
    P_COEFFICIENT,
    P_COLUMN,
    P_DUE,
    P_ENTRY_ROW,
    P_FEES,
    P_FUNDING_PAID,
    P_GROUP,
    P_HALF_SPREAD,
    P_IMPACT,
    P_INTENT,
    P_LIQUIDATION,
    P_MARGIN,
    P_OTHER_NET,
    P_PEAK,
    P_PENDING,
    P_PRICE,
    P_QUANTITY,
    P_REFERENCE,
    P_SIDE,
    P_SIGNAL_ROW,
    P_STOP,
    P_TARGET,
    P_TIME_ROW,
    P_TRAIL,
    P_UNKNOWN,
    SIGNAL,
    T_CASH,
    T_FAULT_COLUMN,
    T_FAULT_ROW,
    T_TRADE_SUM,
    T_TRADES,
    T_WINS,
    TIME,
    UNCUT,
    Bars,
    Book,
    Rules,
    Work,
)
from backtest.engine.path import gap_reason, liquidation_level, net_of, settle, walk_bar


@njit(cache=True, error_model="numpy", nogil=True)
def _leave(
    p: int, t: int, phase: int, reference: float, reason: int, bars: Bars, rules: Rules, work: Work, book: Book,
    record: bool,
) -> None:  # fmt: skip
    """Close position p; its slot in the state is freed by `_compact`."""
    s = work.state[p]
    column = int(s[P_COLUMN])
    coefficient = bars.panel[column, t, IMPACT]
    if math.isnan(coefficient):
        coefficient = s[P_COEFFICIENT]
    price, fee, impact, liquidation, released = settle(s, reference, coefficient, reason, rules)
    net = net_of(s, price, fee, liquidation)
    notional = s[P_QUANTITY] * s[P_PRICE]
    work.tally[T_CASH] += released
    work.tally[T_TRADES] += 1.0
    if net > 0.0:
        work.tally[T_WINS] += 1.0
    work.tally[T_TRADE_SUM] += net / notional
    work.slot[column] = -1
    if record:
        traded = s[P_QUANTITY] * reference
        half_spread = traded * rules.half_spread
        fill = (t, phase, column, s[P_INTENT], reason, -s[P_SIDE], s[P_QUANTITY], reference, price, fee,
                half_spread, traded * impact, liquidation, UNCUT)  # fmt: skip
        for i in range(len(fill)):
            book.fills[book.counts[0], i] = fill[i]
        book.counts[0] += 1
        gross = s[P_SIDE] * s[P_QUANTITY] * (reference - s[P_REFERENCE])
        trade = (s[P_INTENT], column, s[P_SIDE], s[P_ENTRY_ROW], t, s[P_QUANTITY], s[P_PRICE], price, gross,
                 s[P_FEES] + fee, s[P_HALF_SPREAD] + half_spread, s[P_IMPACT] + traded * impact,
                 s[P_FUNDING_PAID], liquidation, net, reason, s[P_AMBIGUOUS], s[P_OTHER_NET], s[P_UNKNOWN],
                 phase, notional)  # fmt: skip
        for i in range(len(trade)):
            book.trades[book.counts[1], i] = trade[i]
        book.counts[1] += 1
    s[P_COLUMN] = -1.0


@njit(cache=True, error_model="numpy", nogil=True)
def _compact(count: int, work: Work) -> int:
    """Drop closed positions, keeping the order of entry; returns how many are left."""
    kept = 0
    for p in range(count):
        if work.state[p, P_COLUMN] >= 0.0:
            if kept != p:
                work.state[kept] = work.state[p]
                work.slot[int(work.state[p, P_COLUMN])] = kept
            kept += 1
    return kept


@njit(cache=True, error_model="numpy", nogil=True)
def _call_group(count: int, group: float, t: int, bars: Bars, work: Work) -> None:
    """Tell the other legs of a group to leave: DUE where they can in this bar, else PENDING."""
    for p in range(count):
        if work.state[p, P_COLUMN] >= 0.0 and work.state[p, P_GROUP] == group and work.state[p, P_DUE] == 0.0:
            if math.isnan(bars.panel[int(work.state[p, P_COLUMN]), t, OPEN]):
                work.state[p, P_PENDING] = 1.0
            else:
                work.state[p, P_DUE] = GROUP_EXIT


@njit(cache=True, error_model="numpy", nogil=True)
def exits_at_open(
    count: int, t: int, entered_now: bool, bars: Bars, rules: Rules, work: Work, book: Book, record: bool
) -> int:
    """Phase A for positions entered before t, or the check of the open for those entered at it; positions left."""
    any_due = False
    for p in range(count):
        s = work.state[p]
        s[P_DUE] = 0.0
        price = bars.panel[int(s[P_COLUMN]), t, OPEN]
        if math.isnan(price) or (s[P_ENTRY_ROW] == t) != entered_now:
            continue
        reason = gap_reason(s[P_SIDE] * price, s[P_STOP], s[P_LIQUIDATION], s[P_TARGET], s[P_TRAIL], s[P_PEAK])
        if reason == 0 and not entered_now:
            if t >= s[P_SIGNAL_ROW]:
                reason = SIGNAL
            elif t >= s[P_TIME_ROW]:
                reason = TIME
            elif s[P_PENDING] > 0.0:
                reason = GROUP_EXIT
        s[P_DUE] = reason
        any_due = any_due or reason > 0
    if not any_due:
        return count
    for p in range(count):
        if work.state[p, P_DUE] > 0.0 and work.state[p, P_GROUP] >= 0.0:
            _call_group(count, work.state[p, P_GROUP], t, bars, work)
    for p in range(count):
        reason = int(work.state[p, P_DUE])
        if reason > 0:
            price = bars.panel[int(work.state[p, P_COLUMN]), t, OPEN]
            _leave(p, t, AT_OPEN, price, reason, bars, rules, work, book, record)
    return _compact(count, work)


@njit(cache=True, error_model="numpy", nogil=True)
def exits_inside(count: int, t: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool) -> None:
    """Phase C: exits inside the bar."""
    for p in range(count):
        s = work.state[p]
        if math.isnan(bars.panel[int(s[P_COLUMN]), t, OPEN]):
            continue
        reason, level, other, other_level = walk_bar(s, t, bars, rules.favourable_first)
        if other != 0 and s[P_AMBIGUOUS] == 0.0:
            s[P_AMBIGUOUS] = 1.0
            coefficient = bars.panel[int(s[P_COLUMN]), t, IMPACT]
            if math.isnan(coefficient):
                coefficient = s[P_COEFFICIENT]
            price, fee, _, liquidation, _ = settle(s, s[P_SIDE] * other_level, coefficient, other, rules)
            s[P_OTHER_NET] = net_of(s, price, fee, liquidation)
        if reason > 0:
            group = s[P_GROUP]
            _leave(p, t, INSIDE, s[P_SIDE] * level, reason, bars, rules, work, book, record)
            if group >= 0.0:
                _call_group(count, group, t, bars, work)


@njit(cache=True, error_model="numpy", nogil=True)
def _charge_funding(s: F8, t: int, b: F8, rules: Rules, work: Work) -> float:
    """Phase D for one position; returns what it paid."""
    rate = b[FUNDING]
    if rate == 0.0:
        return 0.0
    if math.isnan(rate):
        s[P_UNKNOWN] += 1.0
        if rules.funding_unknown == FUNDING_ERROR and work.tally[T_FAULT_ROW] < 0.0:
            work.tally[T_FAULT_ROW] = t
            work.tally[T_FAULT_COLUMN] = s[P_COLUMN]
        if rules.funding_unknown != FUNDING_CONST:
            return 0.0
        paid = s[P_QUANTITY] * b[MARK] * rules.funding_const
    else:
        paid = s[P_SIDE] * s[P_QUANTITY] * b[MARK] * rate
    s[P_MARGIN] -= paid
    s[P_FUNDING_PAID] += paid
    s[P_LIQUIDATION] = liquidation_level(s[P_SIDE], s[P_QUANTITY], s[P_PRICE], s[P_MARGIN], rules.maintenance)
    return paid


@njit(cache=True, error_model="numpy", nogil=True)
def close_of_bar(
    count: int, t: int, final: bool, bars: Bars, rules: Rules, work: Work, book: Book, record: bool
) -> int:
    """Phases D and E; returns the number of positions left."""
    for p in range(count):
        s = work.state[p]
        if s[P_COLUMN] < 0.0:
            continue
        b = bars.panel[int(s[P_COLUMN]), t]
        paid = _charge_funding(s, t, b, rules, work)
        if record:
            book.funding[t] += paid
        if s[P_DUE] > 0.0:
            _leave(p, t, AT_CLOSE, b[CLOSE], GROUP_EXIT, bars, rules, work, book, record)
        elif final:
            _leave(p, t, AT_CLOSE, b[MARK], END_OF_DATA, bars, rules, work, book, record)
    return _compact(count, work)
