"""How positions leave, and what they pay while open: phases A, C, D and E of `backtest.engine.kernel`."""

from __future__ import annotations

import math

from backtest.engine.compiling import inlined
from backtest.engine.layout import (
    AT_CLOSE,
    AT_OPEN,
    END_OF_DATA,
    F8,
    FUNDING_CONST,
    FUNDING_ERROR,
    GROUP_EXIT,
    INSIDE,
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
    POSITION_WIDTH,
    SIGNAL,
    T_CASH,
    T_FAULT_COLUMN,
    T_FAULT_ROW,
    T_TRADE_SUM,
    T_TRADES,
    T_WINS,
    TIME,
    UNCUT,
    Bar,
    Bars,
    Book,
    Rules,
    Work,
)
from backtest.engine.path import bar_of, gap_reason, liquidation_level, net_of, settle, walk_bar, write_row


@inlined
def _leave(
    p: int, t: int, phase: int, reference: float, reason: int, bars: Bars, rules: Rules, work: Work, book: Book,
    record: bool,
) -> None:  # fmt: skip
    """Close position p; its slot in the state is freed by `_compact`."""
    state = work.state
    column = int(state[p, P_COLUMN])
    coefficient = bar_of(bars, state[p, P_COLUMN], t).impact
    if math.isnan(coefficient):
        coefficient = state[p, P_COEFFICIENT]
    price, fee, impact, liquidation, released = settle(state, p, reference, coefficient, reason, rules)
    net = net_of(state, p, price, fee, liquidation)
    notional = state[p, P_QUANTITY] * state[p, P_PRICE]
    work.tally[T_CASH] += released
    work.tally[T_TRADES] += 1.0
    if net > 0.0:
        work.tally[T_WINS] += 1.0
    work.tally[T_TRADE_SUM] += net / notional
    work.slot[column] = -1
    if record:
        traded = state[p, P_QUANTITY] * reference
        half_spread, impact_cost = traded * rules.half_spread, traded * impact
        fill = (
            float(t), float(phase), float(column), state[p, P_INTENT], float(reason), -state[p, P_SIDE],
            state[p, P_QUANTITY], reference, price, fee, half_spread, impact_cost, liquidation, float(UNCUT),
        )  # fmt: skip
        trade = (
            state[p, P_INTENT], float(column), state[p, P_SIDE], state[p, P_ENTRY_ROW], float(t), state[p, P_QUANTITY],
            state[p, P_PRICE], price, state[p, P_SIDE] * state[p, P_QUANTITY] * (reference - state[p, P_REFERENCE]),
            state[p, P_FEES] + fee, state[p, P_HALF_SPREAD] + half_spread, state[p, P_IMPACT] + impact_cost,
            state[p, P_FUNDING_PAID], liquidation, net, float(reason), state[p, P_AMBIGUOUS], state[p, P_OTHER_NET],
            state[p, P_UNKNOWN], float(phase), notional,
        )  # fmt: skip
        write_row(book.fills, book.counts, 0, fill)
        write_row(book.trades, book.counts, 1, trade)
    state[p, P_COLUMN] = -1.0


@inlined
def _compact(count: int, work: Work) -> int:
    """Drop closed positions, keeping the order of entry; returns how many are left."""
    state = work.state
    kept = 0
    for p in range(count):
        if state[p, P_COLUMN] >= 0.0:
            if kept != p:
                for field in range(POSITION_WIDTH):
                    state[kept, field] = state[p, field]
                work.slot[int(state[p, P_COLUMN])] = kept
            kept += 1
    return kept


@inlined
def _call_group(count: int, group: float, t: int, bars: Bars, work: Work) -> None:
    """Tell the other legs of a group to leave: DUE where they can in this bar, else PENDING."""
    state = work.state
    for p in range(count):
        if state[p, P_COLUMN] >= 0.0 and state[p, P_GROUP] == group and state[p, P_DUE] == 0.0:
            if math.isnan(bar_of(bars, state[p, P_COLUMN], t).open):
                state[p, P_PENDING] = 1.0
            else:
                state[p, P_DUE] = GROUP_EXIT


@inlined
def exits_at_open(
    count: int, t: int, entered_now: bool, bars: Bars, rules: Rules, work: Work, book: Book, record: bool
) -> int:
    """Phase A for positions entered before t, or the check of the open for those entered at it; positions left."""
    state = work.state
    any_due = False
    for p in range(count):
        state[p, P_DUE] = 0.0
        price = bar_of(bars, state[p, P_COLUMN], t).open
        if math.isnan(price) or (state[p, P_ENTRY_ROW] == t) != entered_now:
            continue
        reason = gap_reason(
            state[p, P_SIDE] * price,
            state[p, P_STOP],
            state[p, P_LIQUIDATION],
            state[p, P_TARGET],
            state[p, P_TRAIL],
            state[p, P_PEAK],
        )
        if reason == 0 and not entered_now:
            if t >= state[p, P_SIGNAL_ROW]:
                reason = SIGNAL
            elif t >= state[p, P_TIME_ROW]:
                reason = TIME
            elif state[p, P_PENDING] > 0.0:
                reason = GROUP_EXIT
        state[p, P_DUE] = reason
        any_due = any_due or reason > 0
    if not any_due:
        return count
    for p in range(count):
        if state[p, P_DUE] > 0.0 and state[p, P_GROUP] >= 0.0:
            _call_group(count, state[p, P_GROUP], t, bars, work)
    for p in range(count):
        reason = int(state[p, P_DUE])
        if reason > 0:
            price = bar_of(bars, state[p, P_COLUMN], t).open
            _leave(p, t, AT_OPEN, price, reason, bars, rules, work, book, record)
    return _compact(count, work)


@inlined
def exits_inside(count: int, t: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool) -> int:
    """Phase C: exits inside the bar; returns how many left, their slots not yet freed."""
    state = work.state
    left = 0
    for p in range(count):
        if math.isnan(bar_of(bars, state[p, P_COLUMN], t).open):
            continue
        reason, level, other, other_level = walk_bar(state, p, t, bars, rules.favourable_first)
        if record and other != 0 and state[p, P_AMBIGUOUS] == 0.0:
            state[p, P_AMBIGUOUS] = 1.0
            coefficient = bar_of(bars, state[p, P_COLUMN], t).impact
            if math.isnan(coefficient):
                coefficient = state[p, P_COEFFICIENT]
            price, fee, _, liquidation, _ = settle(state, p, state[p, P_SIDE] * other_level, coefficient, other, rules)
            state[p, P_OTHER_NET] = net_of(state, p, price, fee, liquidation)
        if reason > 0:
            group = state[p, P_GROUP]
            _leave(p, t, INSIDE, state[p, P_SIDE] * level, reason, bars, rules, work, book, record)
            left += 1
            if group >= 0.0:
                _call_group(count, group, t, bars, work)
    return left


@inlined
def _charge_funding(state: F8, p: int, t: int, bar: Bar, rules: Rules, work: Work) -> float:
    """Phase D for one position; returns what it paid."""
    rate = bar.funding
    if rate == 0.0:
        return 0.0
    if math.isnan(rate):
        state[p, P_UNKNOWN] += 1.0
        if rules.funding_unknown == FUNDING_ERROR and work.tally[T_FAULT_ROW] < 0.0:
            work.tally[T_FAULT_ROW] = t
            work.tally[T_FAULT_COLUMN] = state[p, P_COLUMN]
        if rules.funding_unknown != FUNDING_CONST:
            return 0.0
        paid = state[p, P_QUANTITY] * bar.mark * rules.funding_const
    else:
        paid = state[p, P_SIDE] * state[p, P_QUANTITY] * bar.mark * rate
    state[p, P_MARGIN] -= paid
    state[p, P_FUNDING_PAID] += paid
    state[p, P_LIQUIDATION] = liquidation_level(
        state[p, P_SIDE], state[p, P_QUANTITY], state[p, P_PRICE], state[p, P_MARGIN], rules.maintenance
    )
    return paid


@inlined
def close_of_bar(count: int, left: int, t: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool) -> int:
    """Phases D and E, after `left` positions have left inside the bar; returns the number that stay open."""
    state = work.state
    final = t == bars.panel.shape[1] - 1
    for p in range(count):
        if state[p, P_COLUMN] < 0.0:
            continue
        bar = bar_of(bars, state[p, P_COLUMN], t)
        paid = _charge_funding(state, p, t, bar, rules, work)
        if record:
            book.funding[t] += paid
        if state[p, P_DUE] > 0.0:
            _leave(p, t, AT_CLOSE, bar.close, GROUP_EXIT, bars, rules, work, book, record)
            left += 1
        elif final:
            _leave(p, t, AT_CLOSE, bar.mark, END_OF_DATA, bars, rules, work, book, record)
            left += 1
    return _compact(count, work) if left > 0 else count
