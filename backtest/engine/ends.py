"""The ends that a position can have: what each nets, an exit in parts included, goes into the bounds of its interval.

`OUTER` names what is only bounded.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from backtest.engine.compiling import inlined, linked
from backtest.engine.layout import (
    AT_CLOSE,
    AT_MARKET,
    AT_OPEN,
    END_OF_DATA,
    F8,
    FUNDING_ERROR,
    I1,
    I4,
    INSIDE,
    LIQUIDATION,
    MOST_SLIP,
    SAME_PRICE,
    TIME,
    Bars,
    Positions,
    Rules,
)
from backtest.engine.partial import begin_leaving, fill_part, leaving_quantity
from backtest.engine.path import bar_of, charge, funding_of, impact_share, net_of, settle
from backtest.engine.segments import entry_segment
from backtest.engine.tiers import change_from, level_again
from backtest.engine.triggers import mark_met

OUTER = (
    "exits inside a bar that detail covers in part",
    "funding settled inside bars: all or none of a bar's is counted",
    "exits that the mark price triggers: at any last price of the bar",
    "exits in parts that begin at a range of prices, or share the volume with positions added to one another",
    "every trade under cross margin: at any price of any bar on which its limits let it be held",
)
"""Where the interval is sound but may be wider than what the paths allow; everywhere else it is exact."""

NET_LOW, NET_HIGH, EXITS, FIRST_ROW, LAST_ROW, UNKNOWN_ROW, IS_OUTER = range(7)
TABLE_WIDTH = 7
"""Columns of the table of intervals: bounds of net, bars on which it may end (NaN row where none), the first and last
of them, first bar of unknown funding on the way (-1 for none), whether an `OUTER` applies."""

DOUBT_INTENT, DOUBT_ROW, DOUBT_LOW, DOUBT_HIGH, DOUBT_STAYS = range(5)
DOUBT_FIXED, DOUBT_TARGET, DOUBT_TRAIL_LOW, DOUBT_TRAIL_HIGH = range(5, 9)
DOUBT_WIDTH = 9
"""Columns of the table of doubtful bars: those that allow an end and something else. Bounds of net of their ends,
whether it may stay, and the signed levels of these ends: stop or liquidation and target (NaN where not met), and the
lowest and highest of the trailing stop (inf and -inf where none)."""


class Walk(NamedTuple):
    """One unit of legs on its way, and where it writes.

    (P + 1,) each leg, and one more for an exit in parts: `state`, the `least` and `greatest` that its peak may be,
    whether it `may` and `must` leave now, and the bounds of net of its ends in this bar; (P + 1, 4) `levels` of these
    ends. `table` (K, TABLE_WIDTH); `doubts` (D, DOUBT_WIDTH), `counts` (1,) of them: rows past the last are counted,
    not written.
    """

    state: Positions
    least: F8
    greatest: F8
    may: I1
    must: I1
    bar_low: F8
    bar_high: F8
    levels: F8
    table: F8
    doubts: F8
    counts: I4


@linked
def note(walk: Walk, i: int, t: int, phase: int, reference: float, reason: int, bars: Bars, rules: Rules) -> None:
    """One possible end of leg i, or the beginning of one in parts."""
    if rules.partial_exits:
        if rules.adds and reason != LIQUIDATION and (phase != AT_CLOSE or walk.state[i].end_row > t):
            level = walk.state[i].side * reference
            _note_spread(walk, i, t, phase, level, level, bars, rules)
            return
        part = leaving_quantity(walk.state, i, t, phase, reference, reason, 0.0, bars, rules)
        if part < walk.state[i].quantity:
            _note_parts(walk, i, t, phase, reference, reason, bars, rules)
            return
    _note_end(walk, i, t, t, reference, reason, bars, rules)


@linked
def _note_end(walk: Walk, i: int, begun: int, t: int, reference: float, reason: int, bars: Bars, rules: Rules) -> None:
    """One possible end of leg i, of an exit that began in bar `begun`."""
    state = walk.state
    coefficient = bar_of(bars, state[i].column, t).impact
    if math.isnan(coefficient):
        coefficient = state[i].coefficient
    price, fee, _, _, liquidation, _ = settle(state, i, reference, coefficient, reason, rules)
    net = net_of(state, i, price, fee, liquidation)
    _note_nets(walk, i, begun, net, net)


@linked
def _note_nets(walk: Walk, i: int, t: int, low: float, high: float) -> None:
    """What ends of leg i that begin in bar t net: into the bounds of its intent and of its bar."""
    table, k = walk.table, walk.state[i].intent
    table[k, NET_LOW], table[k, NET_HIGH] = min(table[k, NET_LOW], low), max(table[k, NET_HIGH], high)
    if table[k, LAST_ROW] != t:
        table[k, EXITS] += 1.0
        table[k, LAST_ROW] = t
    if table[k, FIRST_ROW] < 0.0:
        table[k, FIRST_ROW] = t
    walk.bar_low[i], walk.bar_high[i] = min(walk.bar_low[i], low), max(walk.bar_high[i], high)


@linked
def _note_parts(
    walk: Walk, i: int, t: int, phase: int, reference: float, reason: int, bars: Bars, rules: Rules
) -> None:
    """The ends of an exit of leg i that begins at one price and is larger than the capacity of its bar."""
    state, spare = walk.state, walk.least.shape[0] - 1
    state[spare] = state[i]
    walk.bar_low[spare], walk.bar_high[spare] = np.inf, -np.inf
    row, side, at, goes_on = t, state[i].side, reference, True
    while goes_on:
        if row > t and change_from(bars, row) == row and bars.swap[np.uintp(state[spare].column)]:
            level_again(state, spare, row, bars, rules)
        if phase == AT_OPEN and row > t and side * at <= state[spare].liquidation:
            _note_end(walk, spare, t, row, at, LIQUIDATION, bars, rules)
            break
        if row == t or not math.isnan(at):
            part = leaving_quantity(state, spare, row, phase, at, reason, 0.0, bars, rules)
            if part == state[spare].quantity:
                _note_end(walk, spare, t, row, at, reason, bars, rules)
                break
            if part > 0.0:
                fill_part(state, spare, row, at, reason, part, bars, rules)
            begin_leaving(state, spare, reason)
        if phase != AT_CLOSE:
            goes_on = not _liquidates(walk, spare, t, row, bars, rules)
            if goes_on:
                pay(walk, spare, row, bars, rules)
                if row == state[spare].end_row:
                    close = bar_of(bars, state[spare].column, row).close
                    _note_end(walk, spare, t, row, close, END_OF_DATA, bars, rules)
                    goes_on = False
        row, phase = row + 1, AT_OPEN
        goes_on = goes_on and row < bars.panel.shape[1]
        if goes_on:
            at = bar_of(bars, state[spare].column, row).open
    walk.bar_low[i] = min(walk.bar_low[i], walk.bar_low[spare])
    walk.bar_high[i] = max(walk.bar_high[i], walk.bar_high[spare])


@linked
def _liquidates(walk: Walk, spare: int, begun: int, t: int, bars: Bars, rules: Rules) -> bool:
    """Whether the rest of an exit in parts is certain to be liquidated inside bar t; notes it where it may be."""
    state = walk.state
    bar, side = bar_of(bars, state[spare].column, t), state[spare].side
    if math.isnan(bar.open):
        return False
    low = bar.low if side > 0.0 else -bar.high
    slack = SAME_PRICE * bar.high
    if state[spare].marked:
        met = mark_met(state, spare, t, bars)
        if met.reason > 0:
            walk.table[state[spare].intent, IS_OUTER] = 1.0
            for level in (met.lowest, met.highest):
                _note_end(walk, spare, begun, t, side * level, LIQUIDATION, bars, rules)
            for turning in _turning_points(state, spare, t, met.lowest, met.highest, bars, rules):
                _note_end(walk, spare, begun, t, side * turning, LIQUIDATION, bars, rules)
            if met.certain:
                return True
    level = state[spare].liquidation
    if low - slack <= level:
        _note_end(walk, spare, begun, t, side * level, LIQUIDATION, bars, rules)
    entering = state[spare].entered != AT_MARKET and state[spare].entry_row == t
    certain = entry_segment(state, spare, bar).most_low if entering else low + slack
    return certain <= level


@linked
def _note_spread(
    walk: Walk, i: int, t: int, phase: int, lowest: float, highest: float, bars: Bars, rules: Rules
) -> None:
    """Bounds of an exit of leg i that begins between two signed levels, its parts any share of the bars from there on.

    A part that leaves in a bar nets per unit no less than at the worst and no more than at the best price at which any
    can leave, so all of them together do not either; and never less than the margin.
    """
    state = walk.state
    column, side, quantity, swap = state[i].column, state[i].side, state[i].quantity, bars.swap[state[i].column]
    worst, best, dues, gains, greatest = np.inf, -np.inf, 0.0, 0.0, 0.0
    rest, k = quantity, state[i].intent
    for row in range(t, state[i].end_row + 1):
        bar = bar_of(bars, column, row)
        if row > t or phase != AT_CLOSE:
            due = funding_of(state, i, bar, rules)
            dues, gains = dues + max(due, 0.0), gains + max(-due, 0.0)
            if math.isnan(bar.funding) and rules.funding_unknown == FUNDING_ERROR and walk.table[k, UNKNOWN_ROW] < 0.0:
                walk.table[k, UNKNOWN_ROW] = row
        if math.isnan(bar.open):
            continue
        opens = side * bar.open
        low, high = (lowest, highest) if row == t else (opens, opens)
        coefficient = state[i].coefficient if math.isnan(bar.impact) else bar.impact
        if not rules.adds:
            dearest = max(abs(low), abs(high))
            rest -= leaving_quantity(state, i, row, phase if row == t else AT_OPEN, dearest, TIME, 0.0, bars, rules)
        if swap and (row > t or phase != AT_CLOSE):
            # A liquidation fills within its bar, under a mark price at any last price of it.
            low = min(low, bar.low if side > 0.0 else -bar.high)
            high = max(high, bar.high if side > 0.0 else -bar.low) if state[i].marked else high
        if row == state[i].end_row:
            low, high = min(low, side * bar.close), max(high, side * bar.close)
        worst, best, greatest = min(worst, low), max(best, high), max(greatest, coefficient)
        if rest <= 0.0:
            break
    dearest = quantity * max(abs(worst), abs(best))
    slip = rules.half_spread + impact_share(greatest * state[i].parts, dearest, rules.half_spread)
    fee = max(rules.fee_rate, rules.maker_fee_rate) + (rules.liquidation_fee if swap else 0.0)
    rebate = max(-min(rules.fee_rate, rules.maker_fee_rate), 0.0)
    worst -= slip * abs(worst)
    worst -= fee * abs(worst)
    best += rebate * abs(best) * (1.0 + slip)
    entry, floor = side * state[i].price, -state[i].margin
    low = max(quantity * (worst - entry) - dues, floor)
    high = max(quantity * (best - entry), floor) + gains
    paid = state[i].fees + state[i].funding
    walk.table[k, IS_OUTER] = 1.0
    _note_nets(walk, i, t, low - paid, high - paid)


@inlined
def note_inside(walk: Walk, i: int, t: int, level: float, reason: int, bars: Bars, rules: Rules) -> None:
    """An end inside a bar at a signed level; where funding settles inside bars, before and after it."""
    state, reference = walk.state, walk.state[i].side * level
    note(walk, i, t, INSIDE, reference, reason, bars, rules)
    if rules.settles_inside:
        due = funding_of(state, i, bar_of(bars, state[i].column, t), rules)
        if rules.partial_exits:
            due *= leaving_quantity(state, i, t, INSIDE, reference, reason, 0.0, bars, rules) / state[i].quantity
        if due != 0.0:
            state[i].margin -= due
            state[i].funding += due
            note(walk, i, t, INSIDE, reference, reason, bars, rules)
            state[i].margin += due
            state[i].funding -= due
            walk.table[state[i].intent, IS_OUTER] = 1.0


@inlined
def note_range(
    walk: Walk, i: int, t: int, lowest: float, highest: float, reason: int, bars: Bars, rules: Rules
) -> None:
    """Ends for one reason at every signed level of an interval: net is monotone in price but for a long whose impact
    grows faster than its price, where the turning points count too.
    """
    state = walk.state
    if rules.partial_exits and lowest < highest:
        dearest = max(abs(lowest), abs(highest))
        if leaving_quantity(state, i, t, INSIDE, dearest, reason, 0.0, bars, rules) < state[i].quantity:
            _note_spread(walk, i, t, INSIDE, lowest, highest, bars, rules)
            return
    note_inside(walk, i, t, lowest, reason, bars, rules)
    note_inside(walk, i, t, highest, reason, bars, rules)
    for turning in _turning_points(state, i, t, lowest, highest, bars, rules):
        note_inside(walk, i, t, turning, reason, bars, rules)


@inlined
def _turning_points(
    state: Positions, i: int, t: int, lowest: float, highest: float, bars: Bars, rules: Rules
) -> tuple[float, float]:
    """Signed levels between two at which net turns; `lowest` where it does not.

    price = p (1 - h - c sqrt(q p)) turns at sqrt(q p) = 2 (1 - h) / 3 c, and where the cap of impact sets in.
    """
    coefficient = bar_of(bars, state[i].column, t).impact
    if math.isnan(coefficient):
        coefficient = state[i].coefficient
    coefficient *= state[i].parts
    if state[i].side < 0.0 or not coefficient > 0.0:
        return lowest, lowest
    quantity, spread = state[i].quantity, rules.half_spread
    first = (2.0 * (1.0 - spread) / 3.0 / coefficient) ** 2 / quantity
    second = ((MOST_SLIP - spread) / coefficient) ** 2 / quantity
    return first if lowest < first < highest else lowest, second if lowest < second < highest else lowest


@inlined
def pay(walk: Walk, i: int, t: int, bars: Bars, rules: Rules) -> None:
    """Funding of a bar; the first unknown one is written down."""
    state, k = walk.state, walk.state[i].intent
    bar = bar_of(bars, state[i].column, t)
    if math.isnan(bar.funding) and rules.funding_unknown == FUNDING_ERROR and walk.table[k, UNKNOWN_ROW] < 0.0:
        walk.table[k, UNKNOWN_ROW] = t
    charge(state, i, t, funding_of(state, i, bar, rules), bars, rules)
