"""Cross margin: one account backs all of its contracts, so what is liquidated is the account, not a position.

The account is its cash and what each open contract is worth, without a floor; it must exceed the maintenance margin of
all contracts, those of one instrument taken together. Inside a bar all contracts move together and straight, from their
opens to their worst prices: the common path. A stop or trail that it meets on the way fills first, at its own price;
where the account no longer exceeds its maintenance margin all that is left is closed at the prices of that point.
Targets fill only in a bar that the account survives.
"""

from __future__ import annotations

import math

import numpy as np

from backtest.engine.compiling import inlined, linked
from backtest.engine.entries import worth
from backtest.engine.exits import call_group, compact, leave, leave_inside
from backtest.engine.layout import (
    AT_MARKET,
    AT_OPEN,
    LIQUIDATION,
    STOP_LOSS,
    T_CASH,
    TAKE_PROFIT,
    TRAILING_STOP,
    Bars,
    Book,
    Positions,
    Rules,
    Work,
)
from backtest.engine.partial import begin_leaving
from backtest.engine.path import bar_of
from backtest.engine.segments import walk_bar
from backtest.engine.tiers import maintenance_of
from backtest.engine.triggers import with_mark


@inlined
def _way_of_last(state: Positions, p: int, t: int, bars: Bars) -> tuple[float, float]:
    """Signed last prices at which contract p begins bar t and at its worst; its last mark where it does not trade."""
    side, bar = state[p].side, bar_of(bars, state[p].column, t)
    if math.isnan(bar.open):
        mark = side * bar_of(bars, state[p].column, t - 1).mark
        return mark, mark
    entering = state[p].entered != AT_MARKET and state[p].entry_row == t
    start = side * (state[p].reference if entering else bar.open)
    return start, min(bar.low if side > 0.0 else -bar.high, start)


@inlined
def _way(state: Positions, p: int, t: int, bars: Bars, rules: Rules) -> tuple[float, float]:
    """Signed prices that value contract p as `_way_of_last`: mark prices where they trigger its liquidation."""
    start, worst = _way_of_last(state, p, t, bars)
    if state[p].marked and rules.liquidates_on_mark:
        side, column = state[p].side, np.uintp(state[p].column)
        low = bars.mark[column, np.uintp(t), 0] if side > 0.0 else -bars.mark[column, np.uintp(t), 1]
        if t > 0 and not math.isnan(bars.mark[column, np.uintp(t - 1), 2]):
            start = side * bars.mark[column, np.uintp(t - 1), 2]
        worst = start if math.isnan(low) else low
    return start, worst


@linked
def _slack(count: int, t: int, share: float, bars: Bars, rules: Rules, work: Work) -> float:
    """The account less its maintenance margin, a share of the way along the common path of bar t."""
    state = work.state
    slack: float = work.tally[T_CASH]
    for p in range(count):
        column, notional, first = state[p].column, 0.0, True
        if column < 0:
            continue
        for other in range(count):
            if state[other].column == column:
                start, worst = _way(state, other, t, bars, rules)
                price = state[other].side * (start + share * (worst - start))
                notional += state[other].quantity * price
                first = first and other >= p
                if other == p:
                    slack += worth(state, p, price, True)
        if first:
            slack -= maintenance_of(column, t, notional, bars, rules)
    return slack


@inlined
def _reached(count: int, t: int, begin: float, end: float, bars: Bars, rules: Rules, work: Work) -> float:
    """Share of the way at which the account meets its maintenance margin: it is concave along the path, so once."""
    while True:
        middle = 0.5 * (begin + end)
        if middle <= begin or middle >= end:
            return end
        if _slack(count, t, middle, bars, rules, work) > 0.0:
            begin = middle
        else:
            end = middle


@linked
def account_at_open(count: int, t: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool) -> int:
    """Close every contract at the open of bar t if the account does not exceed its maintenance; positions left.

    One that does not trade in this bar leaves at its next open.
    """
    state = work.state
    if count == 0 or _slack(count, t, 0.0, bars, rules, work) > 0.0:
        return count
    for p in range(count):
        opening = bar_of(bars, state[p].column, t).open
        if math.isnan(opening):
            begin_leaving(state, p, LIQUIDATION)
        else:
            leave(p, t, AT_OPEN, opening, LIQUIDATION, bars, rules, work, book, record)
    return compact(count, work)


@inlined
def _stops(state: Positions, p: int) -> bool:
    """Whether the exit that the bar allows position p is a stop, which the path meets on its way."""
    return bool(state[p].due == STOP_LOSS or state[p].due == TRAILING_STOP)


@linked
def _leave_by_level(p: int, count: int, t: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool) -> None:
    """The exit of position p that bar t allows it, and its group told."""
    state, group = work.state, work.state[p].group
    leave_inside(p, t, state[p].ceiling, state[p].due, bars, rules, work, book, record)
    if group >= 0:
        call_group(count, group, t, bars, work)


@linked
def _close_all(
    count: int, t: int, share: float, bars: Bars, rules: Rules, work: Work, book: Book, record: bool
) -> int:  # fmt: skip
    """Close every contract inside bar t, this share of the way along the common path; how many left.

    The mark price has a way of its own: what it triggers fills at the worst last price that no stop forestalls.
    """
    state, left = work.state, 0
    for p in range(count):
        if state[p].column < 0:
            continue
        if math.isnan(bar_of(bars, state[p].column, t).open):
            begin_leaving(state, p, LIQUIDATION)
            continue
        start, worst = _way_of_last(state, p, t, bars)
        level = start + share * (worst - start)
        if state[p].marked and rules.liquidates_on_mark:
            level = max(worst, state[p].ceiling) if _stops(state, p) else worst
        leave_inside(p, t, level, LIQUIDATION, bars, rules, work, book, record)
        left += 1
    return left


@linked
def account_inside(count: int, t: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool) -> int:
    """Phase C under cross margin; returns how many left, their slots not yet freed.

    `due`, `ceiling` and `floor` of a position hold the exit that the bar allows it, its level, and how far along the
    common path that lies.
    """
    state, left = work.state, 0
    for p in range(count):
        if math.isnan(bar_of(bars, state[p].column, t).open):
            continue
        reason, level = walk_bar(state, p, t, bars, rules.stop_order)
        if state[p].marked:
            reason, level = with_mark(state, p, t, reason, level, bars, rules.stop_order)
        start, worst = _way_of_last(state, p, t, bars)
        state[p].due, state[p].ceiling = reason, level
        state[p].floor = min(max((start - level) / (start - worst), 0.0), 1.0) if start > worst else 0.0
    begin = 0.0
    fails = _slack(count, t, begin, bars, rules, work) <= 0.0
    while not fails:
        nearest, end = -1, 1.0
        for p in range(count):
            if state[p].column >= 0 and _stops(state, p) and (nearest < 0 or state[p].floor < end):
                nearest, end = p, state[p].floor
        fails = _slack(count, t, end, bars, rules, work) <= 0.0
        if fails:
            begin = _reached(count, t, begin, end, bars, rules, work)
        elif nearest < 0:
            break
        else:
            _leave_by_level(nearest, count, t, bars, rules, work, book, record)
            left, begin = left + 1, end
            fails = _slack(count, t, begin, bars, rules, work) <= 0.0
    if fails:
        return left + _close_all(count, t, begin, bars, rules, work, book, record)
    for p in range(count):
        if state[p].column >= 0 and state[p].due == TAKE_PROFIT:
            _leave_by_level(p, count, t, bars, rules, work, book, record)
            left += 1
    return left
