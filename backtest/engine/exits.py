"""How positions leave, and what they pay while open: phases A, C, D and E of `backtest.engine.kernel`."""

from __future__ import annotations

import math

import numpy as np

from backtest.engine.compiling import inlined
from backtest.engine.layout import (
    AT_CLOSE,
    AT_OPEN,
    DELISTED,
    END_OF_DATA,
    FUNDING_ERROR,
    GROUP_EXIT,
    INSIDE,
    OPTIMISTIC,
    T_CASH,
    T_FAULT_COLUMN,
    T_FAULT_ROW,
    T_TRADE_SUM,
    T_TRADES,
    T_WINS,
    UNCUT,
    Bar,
    Bars,
    Book,
    Fill,
    Positions,
    Rules,
    Trade,
    Work,
)
from backtest.engine.path import (
    age,
    bar_of,
    charge,
    decided_reason,
    funding_of,
    gap_price,
    gap_reason,
    net_of,
    settle,
    trail_of,
    write_row,
)
from backtest.engine.segments import walk_bar
from backtest.engine.triggers import with_mark


@inlined
def _leave(
    p: int, t: int, phase: int, reference: float, reason: int, bars: Bars, rules: Rules, work: Work, book: Book,
    record: bool,
) -> None:  # fmt: skip
    """Close position p; its slot in the state is freed by `_compact`."""
    state = work.state
    column = state[p].column
    coefficient = bar_of(bars, state[p].column, t).impact
    if math.isnan(coefficient):
        coefficient = state[p].coefficient
    price, fee, half_spread, impact, liquidation, released = settle(state, p, reference, coefficient, reason, rules)
    net = net_of(state, p, price, fee, liquidation)
    notional = state[p].quantity * state[p].price
    work.tally[T_CASH] += released
    work.tally[T_TRADES] += 1.0
    if net > 0.0:
        work.tally[T_WINS] += 1.0
    work.tally[T_TRADE_SUM] += net / notional
    work.slot[np.uintp(column)] -= 1
    if record:
        traded = state[p].quantity * reference
        slippage, impact_cost = traded * half_spread, traded * impact
        fill = Fill(
            row=float(t),
            phase=float(phase),
            column=float(column),
            intent=float(state[p].intent),
            reason=float(reason),
            side=-state[p].side,
            quantity=state[p].quantity,
            reference=reference,
            price=price,
            fees=fee,
            slippage=slippage,
            impact=impact_cost,
            liquidation=liquidation,
            cut=float(UNCUT),
            granted=1.0,
        )
        trade = Trade(
            intent=float(state[p].intent),
            column=float(column),
            side=state[p].side,
            entry_row=float(state[p].entry_row),
            exit_row=float(t),
            quantity=state[p].quantity,
            entry_price=state[p].price,
            exit_price=price,
            gross=state[p].side * state[p].quantity * (reference - state[p].reference),
            fees=state[p].fees + fee,
            slippage=state[p].slippage + slippage,
            impact=state[p].impact + impact_cost,
            funding=state[p].funding,
            liquidation=liquidation,
            net=net,
            reason=float(reason),
            unknown_funding_bars=float(state[p].unknown_funding_bars),
            exit_phase=float(phase),
            entry_notional=notional,
        )
        write_row(book.fills, book.counts, 0, fill)
        write_row(book.trades, book.counts, 1, trade)
    state[p].column = -1


@inlined
def _compact(count: int, work: Work) -> int:
    """Drop closed positions, keeping the order of entry; returns how many are left."""
    state = work.state
    kept = 0
    for p in range(count):
        if state[p].column >= 0:
            if kept != p:
                state[kept] = state[p]
            kept += 1
    return kept


@inlined
def _call_group(count: int, group: int, t: int, bars: Bars, work: Work) -> None:
    """Tell the other legs of a group to leave: DUE where they can in this bar, else PENDING."""
    state = work.state
    for p in range(count):
        if state[p].column >= 0 and state[p].group == group and state[p].due == 0:
            if math.isnan(bar_of(bars, state[p].column, t).open):
                state[p].pending = True
            else:
                state[p].due = GROUP_EXIT


@inlined
def exits_at_open(
    count: int, t: int, entered_now: bool, bars: Bars, rules: Rules, work: Work, book: Book, record: bool
) -> int:
    """Phase A for positions entered before t, or the check of the open for those entered at it; positions left."""
    state = work.state
    any_due = False
    for p in range(count):
        state[p].due = 0
        late = age(state, p, t)
        price = bar_of(bars, state[p].column, t).open
        if math.isnan(price) or (state[p].entry_row == t) != entered_now:
            continue
        reason = gap_reason(
            state[p].side * price,
            state[p].stop,
            state[p].liquidation,
            state[p].target,
            trail_of(state, p),
            state[p].peak,
        )
        if late and state[p].side * price >= state[p].target:
            # Passed when it came to rest: a market order.
            state[p].resting = False
        if reason == 0 and not entered_now:
            reason = decided_reason(state, p, t, rules)
            if reason == 0 and state[p].pending:
                reason = GROUP_EXIT
        state[p].due = reason
        any_due = any_due or reason > 0
    if not any_due:
        return count
    for p in range(count):
        if state[p].due > 0 and state[p].group >= 0:
            _call_group(count, state[p].group, t, bars, work)
    for p in range(count):
        reason = state[p].due
        if reason > 0:
            at = state[p].side * bar_of(bars, state[p].column, t).open
            price = state[p].side * gap_price(reason, at, state[p].target, state[p].resting)
            _leave(p, t, AT_OPEN, price, reason, bars, rules, work, book, record)
    return _compact(count, work)


@inlined
def exits_inside(count: int, t: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool) -> int:
    """Phase C: exits inside the bar; returns how many left, their slots not yet freed."""
    state = work.state
    left = 0
    for p in range(count):
        if math.isnan(bar_of(bars, state[p].column, t).open):
            continue
        reason, level = walk_bar(state, p, t, bars, rules.stop_order)
        if state[p].marked:
            reason, level = with_mark(state, p, t, reason, level, bars, rules.stop_order)
        if reason > 0:
            group = state[p].group
            if rules.settles_inside:
                paid = _settle_inside(state, p, t, bar_of(bars, state[p].column, t), rules, work)
                if record:
                    book.funding[t] += paid
            _leave(p, t, INSIDE, state[p].side * level, reason, bars, rules, work, book, record)
            left += 1
            if group >= 0:
                _call_group(count, group, t, bars, work)
    return left


@inlined
def _funding_due(state: Positions, p: int, t: int, bar: Bar, rules: Rules, work: Work) -> float:
    """What a position pays for the settlements of a bar; an unknown rate is counted, or a fault."""
    rate = bar.funding
    if rate == 0.0:
        return 0.0
    if math.isnan(rate):
        state[p].unknown_funding_bars += 1
        if rules.funding_unknown == FUNDING_ERROR and work.tally[T_FAULT_ROW] < 0.0:
            work.tally[T_FAULT_ROW] = t
            work.tally[T_FAULT_COLUMN] = state[p].column
    return funding_of(state, p, bar, rules)


@inlined
def _settle_inside(state: Positions, p: int, t: int, bar: Bar, rules: Rules, work: Work) -> float:
    """What a position that leaves inside a bar pays for settlements before that: all or nothing, the worse of both."""
    due = _funding_due(state, p, t, bar, rules, work)
    paid = min(due, 0.0) if rules.stop_order == OPTIMISTIC else max(due, 0.0)
    state[p].margin -= paid
    state[p].funding += paid
    return paid


@inlined
def _charge_funding(state: Positions, p: int, t: int, bar: Bar, bars: Bars, rules: Rules, work: Work) -> float:
    """Phase D for one position; returns what it paid."""
    paid = _funding_due(state, p, t, bar, rules, work)
    charge(state, p, paid, bars, rules)
    return paid


@inlined
def close_of_bar(count: int, left: int, t: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool) -> int:
    """Phases D and E, after `left` positions have left inside the bar; returns the number that stay open."""
    state = work.state
    for p in range(count):
        if state[p].column >= 0 and state[p].end_row == t and state[p].due == 0:
            state[p].due = DELISTED if bars.ended[np.uintp(state[p].column)] else END_OF_DATA
    for p in range(count):
        if state[p].column >= 0 and state[p].due >= END_OF_DATA and state[p].group >= 0:
            _call_group(count, state[p].group, t, bars, work)
    for p in range(count):
        if state[p].column < 0:
            continue
        bar = bar_of(bars, state[p].column, t)
        paid = _charge_funding(state, p, t, bar, bars, rules, work)
        if record:
            book.funding[t] += paid
        if state[p].due > 0:
            _leave(p, t, AT_CLOSE, bar.close, state[p].due, bars, rules, work, book, record)
            left += 1
    return _compact(count, work) if left > 0 else count
