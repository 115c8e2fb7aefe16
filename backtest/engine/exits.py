"""How positions leave, and what they pay while open: phases A, C, D and E of `backtest.engine.kernel`."""

from __future__ import annotations

import math

import numpy as np

from backtest.engine.compiling import inlined, linked
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
from backtest.engine.partial import begin_leaving, fill_part, leaving_quantity
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
def leave(
    p: int, t: int, phase: int, reference: float, reason: int, bars: Bars, rules: Rules, work: Work, book: Book,
    record: bool,
) -> None:  # fmt: skip
    """Close position p, or what the bar's capacity lets out of it; a closed one's slot is freed by `compact`."""
    state = work.state
    column = state[p].column
    if rules.partial_exits:
        part = _leaving_now(p, t, phase, reference, reason, bars, rules, work)
        _take(p, t, part * reference, work)
        if part < state[p].quantity:
            _leave_in_part(p, t, phase, reference, reason, part, bars, rules, work, book, record)
            return
    coefficient = bar_of(bars, state[p].column, t).impact
    if math.isnan(coefficient):
        coefficient = state[p].coefficient
    price, fee, half_spread, impact, liquidation, released = settle(state, p, reference, coefficient, reason, rules)
    net = net_of(state, p, price, fee, liquidation, rules.plain)
    notional = state[p].whole * state[p].price
    work.tally[T_CASH] += released
    work.tally[T_TRADES] += 1.0
    if net > 0.0:
        work.tally[T_WINS] += 1.0
    work.tally[T_TRADE_SUM] += net / notional
    work.slot[np.uintp(column)] -= 1
    if record:
        traded = state[p].quantity * reference
        slippage, impact_cost = traded * half_spread, traded * impact
        gross = state[p].side * state[p].quantity * (reference - state[p].reference)
        sold, average = state[p].whole - state[p].quantity, price
        if sold > 0.0:
            average = price * state[p].quantity + state[p].price * sold + state[p].side * state[p].gained
            average /= state[p].whole
            gross = net + state[p].fees + fee + state[p].slippage + slippage + state[p].impact + impact_cost
            gross += state[p].funding + state[p].lost + liquidation
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
            quantity=state[p].whole,
            entry_price=state[p].price,
            exit_price=average,
            gross=gross,
            fees=state[p].fees + fee,
            slippage=state[p].slippage + slippage,
            impact=state[p].impact + impact_cost,
            funding=state[p].funding,
            liquidation=state[p].lost + liquidation,
            net=net,
            reason=float(reason),
            unknown_funding_bars=float(state[p].unknown_funding_bars),
            exit_phase=float(phase),
            entry_notional=notional,
        )
        write_row(book.fills, book.counts, 0, fill)
        write_row(book.trades, book.counts, 1, trade)
    state[p].column = -1


@linked
def _leaving_now(
    p: int, t: int, phase: int, reference: float, reason: int, bars: Bars, rules: Rules, work: Work
) -> float:
    """How much of position p can leave; positions that are added to one another share what a bar lets out."""
    column = np.uintp(work.state[p].column)
    taken = work.taken[column] if work.taken_row[column] == t else 0.0
    return leaving_quantity(work.state, p, t, phase, reference, reason, taken, bars, rules)


@linked
def _take(p: int, t: int, notional: float, work: Work) -> None:
    """Count what leaves position p against what its instrument's bar lets out."""
    column = np.uintp(work.state[p].column)
    if work.taken_row[column] != t:
        work.taken[column], work.taken_row[column] = 0.0, t
    work.taken[column] += notional


@linked
def _leave_in_part(
    p: int, t: int, phase: int, reference: float, reason: int, part: float, bars: Bars, rules: Rules, work: Work,
    book: Book, record: bool,
) -> None:  # fmt: skip
    """Let out a part of position p; the rest leaves at its next opens."""
    state = work.state
    if part > 0.0:
        price, fee, half_spread, impact, liquidation, released = fill_part(
            state, p, t, reference, reason, part, bars, rules
        )
        work.tally[T_CASH] += released
        if record:
            fill = Fill(
                row=float(t),
                phase=float(phase),
                column=float(state[p].column),
                intent=float(state[p].intent),
                reason=float(reason),
                side=-state[p].side,
                quantity=part,
                reference=reference,
                price=price,
                fees=fee,
                slippage=part * reference * half_spread,
                impact=part * reference * impact,
                liquidation=liquidation,
                cut=float(UNCUT),
                granted=1.0,
            )
            write_row(book.fills, book.counts, 0, fill)
    begin_leaving(state, p, reason)


@inlined
def compact(count: int, work: Work) -> int:
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
def call_group(count: int, group: int, t: int, bars: Bars, work: Work) -> None:
    """Tell the other legs of a group to leave: DUE where they can in this bar, else PENDING."""
    state = work.state
    for p in range(count):
        if state[p].column >= 0 and state[p].group == group and state[p].due == 0 and state[p].leaving == 0:
            if math.isnan(bar_of(bars, state[p].column, t).open):
                state[p].leaving = GROUP_EXIT
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
        late = not rules.plain and age(state, p, t)
        price = bar_of(bars, state[p].column, t).open
        if math.isnan(price) or (state[p].entry_row == t) != entered_now:
            continue
        reason = gap_reason(
            state[p].side * price,
            state[p].stop,
            state[p].liquidation,
            state[p].target,
            trail_of(state, p, rules.plain),
            state[p].peak,
        )
        if late and state[p].side * price >= state[p].target:
            # Passed when it came to rest: a market order.
            state[p].resting = False
        if reason == 0 and not entered_now:
            reason = decided_reason(state, p, t, rules)
            if reason == 0 and not rules.plain:
                reason = state[p].leaving
        state[p].due = reason
        any_due = any_due or reason > 0
    if not any_due:
        return count
    for p in range(count):
        if not rules.plain and state[p].due > 0 and state[p].group >= 0:
            call_group(count, state[p].group, t, bars, work)
    for p in range(count):
        reason = state[p].due
        if reason > 0:
            at = state[p].side * bar_of(bars, state[p].column, t).open
            price = state[p].side * gap_price(reason, at, state[p].target, not rules.plain and state[p].resting)
            leave(p, t, AT_OPEN, price, reason, bars, rules, work, book, record)
    return compact(count, work)


@inlined
def exits_inside(count: int, t: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool) -> int:
    """Phase C: exits inside the bar; returns how many left, their slots not yet freed."""
    state = work.state
    left = 0
    for p in range(count):
        if math.isnan(bar_of(bars, state[p].column, t).open):
            continue
        reason, level = walk_bar(state, p, t, bars, rules.stop_order, rules.plain)
        if not rules.plain and state[p].marked:
            reason, level = with_mark(state, p, t, reason, level, bars, rules.stop_order)
        if reason > 0:
            group = -1 if rules.plain else state[p].group
            leave_inside(p, t, level, reason, bars, rules, work, book, record)
            left += 1
            if rules.partial_exits and state[p].column >= 0:
                _liquidate_rest(p, t, bars, rules, work, book, record)
            if group >= 0:
                call_group(count, group, t, bars, work)
    return left


@inlined
def leave_inside(
    p: int, t: int, level: float, reason: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool
) -> None:
    """Close position p inside a bar at a signed level, after what it pays for settlements before that."""
    state = work.state
    if rules.settles_inside:
        paid = _settle_inside(p, t, state[p].side * level, reason, bars, rules, work)
        if record:
            book.funding[t] += paid
    leave(p, t, INSIDE, state[p].side * level, reason, bars, rules, work, book, record)


@linked
def _liquidate_rest(p: int, t: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool) -> None:
    """Liquidate what is left of an exit inside the bar, if the bar still does: before the exit it did not."""
    state = work.state
    reason, level = walk_bar(state, p, t, bars, rules.stop_order)
    if state[p].marked:
        reason, level = with_mark(state, p, t, reason, level, bars, rules.stop_order)
    if reason > 0:
        leave_inside(p, t, level, reason, bars, rules, work, book, record)


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
def _settle_inside(p: int, t: int, reference: float, reason: int, bars: Bars, rules: Rules, work: Work) -> float:
    """What a position that leaves inside a bar pays for settlements before that: all or nothing, the worse of both."""
    state, counted = work.state, work.state[p].unknown_funding_bars
    due = _funding_due(state, p, t, bar_of(bars, state[p].column, t), rules, work)
    if rules.partial_exits:
        part = _leaving_now(p, t, INSIDE, reference, reason, bars, rules, work)
        if part < state[p].quantity:
            # The rest pays its own, and counts the bar.
            due *= part / state[p].quantity
            state[p].unknown_funding_bars = counted
    paid = min(due, 0.0) if rules.stop_order == OPTIMISTIC else max(due, 0.0)
    state[p].margin -= paid
    state[p].funding += paid
    return paid


@inlined
def charge_funding(state: Positions, p: int, t: int, bar: Bar, bars: Bars, rules: Rules, work: Work) -> float:
    """Phase D for one position; returns what it paid."""
    paid = _funding_due(state, p, t, bar, rules, work)
    charge(state, p, t, paid, bars, rules)
    return paid


@inlined
def close_of_bar(count: int, left: int, t: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool) -> int:
    """Phases D and E, after `left` positions have left inside the bar; returns the number that stay open."""
    state = work.state
    for p in range(count):
        if state[p].column >= 0 and state[p].end_row == t and state[p].due == 0:
            state[p].due = DELISTED if bars.ended[np.uintp(state[p].column)] else END_OF_DATA
    for p in range(count):
        if not rules.plain and state[p].column >= 0 and state[p].due >= END_OF_DATA and state[p].group >= 0:
            call_group(count, state[p].group, t, bars, work)
    for p in range(count):
        if state[p].column < 0:
            continue
        bar = bar_of(bars, state[p].column, t)
        paid = charge_funding(state, p, t, bar, bars, rules, work)
        if record:
            book.funding[t] += paid
        if state[p].due > 0:
            leave(p, t, AT_CLOSE, bar.close, state[p].due, bars, rules, work, book, record)
            left += 1
    return compact(count, work) if left > 0 else count
