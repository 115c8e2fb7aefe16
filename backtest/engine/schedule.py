"""When each intent fills, and in which order they act: everything known before the first bar is walked.

The rules are the first paragraph of the docstring of `backtest.engine.kernel`.
"""

from __future__ import annotations

import math

import numpy as np

from backtest.engine.compiling import inlined, linked
from backtest.engine.layout import (
    ACCEPTED,
    AT_MARKET,
    EXPIRED,
    GROUP_REJECTED,
    I4,
    MAKER_AT_OPEN,
    MAKER_INSIDE,
    MARK,
    NEVER,
    NO_BAR,
    PENDING,
    SPOT_SHORT,
    TAKER_INSIDE,
    UNFILLED,
    Bars,
    Work,
)
from backtest.engine.path import bar_of, given, on_tick
from backtest.engine.variations import Orders, Variation


@inlined
def sort_queue(queue: I4, buffer: I4, count: int, key: I4) -> None:
    """Stable natural merge sort of queue[:count] by key: linear where the queue is a rotation of sorted rows."""
    while True:
        runs = 0
        i = 0
        while i < count:
            middle = i + 1
            while middle < count and key[queue[middle - 1]] <= key[queue[middle]]:
                middle += 1
            end = middle
            if end < count:
                end += 1
                while end < count and key[queue[end - 1]] <= key[queue[end]]:
                    end += 1
            left, right = i, middle
            for place in range(i, end):
                if right >= end or (left < middle and key[queue[left]] <= key[queue[right]]):
                    buffer[place] = queue[left]
                    left += 1
                else:
                    buffer[place] = queue[right]
                    right += 1
            runs += 1
            i = end
        for place in range(count):
            queue[place] = buffer[place]
        if runs <= 1:
            return


@inlined
def last_leg(group: I4, first: int) -> int:
    """One past the last intent of the unit that starts at `first`: itself, or its whole group."""
    last = first + 1
    while group[first] != -1 and last < group.shape[0] and group[last] == group[first]:
        last += 1
    return last


@inlined
def _common_row(intent: Variation, first: int, last: int, row: int, bars: Bars) -> int:
    """First row at or after `row` that is tradable for every leg; T where there is none."""
    settled = False
    while not settled:
        settled = True
        for k in range(first, last):
            ready = bars.next_tradable[np.uintp(intent.column[k]), np.uintp(row)]
            if ready > row:
                row = ready
                settled = False
    return row


@linked
def _trigger(k: int, row: int, limit: int, intent: Variation, bars: Bars, work: Work) -> int:
    """Row in which a resting order fills, T where it does not; writes how, and at which price."""
    bar_count: int = bars.panel.shape[1]
    column, side = np.uintp(intent.column[k]), intent.side[k]
    if row >= bar_count or row < 1:
        return bar_count
    reference = bars.panel[column, np.uintp(row - 1), MARK]
    if math.isnan(reference):
        return bar_count
    limited = given(intent.limit, k)
    resting = not math.isnan(limited)
    level = reference * (side - limited) if resting else reference * (side + given(intent.stop_entry, k))
    level = on_tick(level, bars.tick[column], not resting)
    work.level[k] = side * level
    t = int(bars.next_tradable[column, np.uintp(row)])
    first = t
    while t < bar_count and t <= limit:
        bar = bar_of(bars, float(column), t)
        at, high, low = side * bar.open, bar.high, bar.low
        if side < 0.0:
            high, low = -low, -high
        if resting:
            if at <= level and t == first:
                work.entry[k] = AT_MARKET
                return t
            if at < level or low < level:
                work.entry[k] = MAKER_AT_OPEN if at < level else MAKER_INSIDE
                return t
        elif at >= level:
            work.entry[k] = AT_MARKET
            return t
        elif high >= level:
            work.entry[k] = TAKER_INSIDE
            return t
        t = int(bars.next_tradable[column, np.uintp(t + 1)])
    return bar_count


@inlined
def _fit(first: int, last: int, shift: int, intent: Variation, bars: Bars, work: Work, plain: bool) -> bool:
    """Fill row and first verdict of one unit; whether it is queued."""
    bar_count = bars.panel.shape[1]
    row, limit = 0, NEVER
    for k in range(first, last):
        earliest, latest, exit_row = intent.earliest[k], intent.latest[k], intent.exit_row[k]
        if shift != 0 and earliest < bar_count:
            moved = shift if earliest + shift < bar_count else shift - bar_count
            earliest += moved
            latest += moved
            exit_row = exit_row + moved if exit_row < NEVER else exit_row
        work.exit_row[k] = exit_row
        work.entry[k] = AT_MARKET
        row = max(row, earliest)
        limit = min(limit, latest)
    resting = not plain and not (math.isnan(given(intent.limit, first)) and math.isnan(given(intent.stop_entry, first)))
    arrived = _common_row(intent, first, last, min(row, bar_count), bars)
    row = _trigger(first, row, limit, intent, bars, work) if resting else arrived
    fault, culprit = ACCEPTED, -1
    if arrived >= bar_count or arrived > limit:
        fault = NO_BAR
    elif row >= bar_count or row > limit:
        fault = UNFILLED
    else:
        for k in range(first, last):
            if intent.side[k] < 0 and not bars.swap[np.uintp(intent.column[k])]:
                fault, culprit = SPOT_SHORT, k
                break
            if work.exit_row[k] <= row:
                fault, culprit = EXPIRED, k
                break
    for k in range(first, last):
        work.fill_row[k] = row
        if resting:
            work.entry[k], work.level[k] = work.entry[first], work.level[first]
        work.verdict[k] = PENDING if fault == ACCEPTED else fault if culprit in (-1, k) else GROUP_REJECTED
    return fault == ACCEPTED


@inlined
def schedule(intent: Variation, bars: Bars, work: Work, plain: bool = False) -> int:
    """Fill row and first verdict of every intent; returns how many units are queued, by fill row."""
    shift = intent.shift % bars.panel.shape[1]
    queued = 0
    first = 0
    while first < intent.earliest.shape[0]:
        if plain or intent.group[first] == -1:
            last = first + 1
            fits = _fit(first, first + 1, shift, intent, bars, work, plain)
        else:
            last = last_leg(intent.group, first)
            fits = _fit(first, last, shift, intent, bars, work, plain)
        if fits:
            work.queue[queued] = first
            queued += 1
        first = last
    sort_queue(work.queue, work.buffer, queued, work.fill_row)
    return queued


@inlined
def variation_of(orders: Orders, v: int) -> Variation:
    """Variation v; a field of one row is that of every variation."""
    return Variation(
        orders.earliest[min(v, orders.earliest.shape[0] - 1)],
        orders.latest[min(v, orders.latest.shape[0] - 1)],
        orders.exit_row[min(v, orders.exit_row.shape[0] - 1)],
        orders.hold[min(v, orders.hold.shape[0] - 1)],
        orders.column[min(v, orders.column.shape[0] - 1)],
        orders.side[min(v, orders.side.shape[0] - 1)],
        orders.weight[min(v, orders.weight.shape[0] - 1)],
        orders.stop_loss[min(v, orders.stop_loss.shape[0] - 1)],
        orders.take_profit[min(v, orders.take_profit.shape[0] - 1)],
        orders.trailing_stop[min(v, orders.trailing_stop.shape[0] - 1)],
        orders.activation[min(v, orders.activation.shape[0] - 1)],
        orders.second_trailing_stop[min(v, orders.second_trailing_stop.shape[0] - 1)],
        orders.second_activation[min(v, orders.second_activation.shape[0] - 1)],
        orders.break_even[min(v, orders.break_even.shape[0] - 1)],
        orders.late_take_profit[min(v, orders.late_take_profit.shape[0] - 1)],
        orders.late[min(v, orders.late.shape[0] - 1)],
        orders.notional[min(v, orders.notional.shape[0] - 1)],
        orders.limit[min(v, orders.limit.shape[0] - 1)],
        orders.stop_entry[min(v, orders.stop_entry.shape[0] - 1)],
        orders.group[min(v, orders.group.shape[0] - 1)],
        orders.shift[min(v, orders.shift.shape[0] - 1)],
    )
