"""What the bars allow each trade: least and greatest net over every continuous path of prices through them.

While a position stays, its peak, margin and levels are known, so a bar offers a few prices and intervals of prices to
leave at, and staying is a yes or no: one walk over the bars on which the position may be held finds every end that it
can have. Theorem and proof stand in docs/methods.md. `OUTER` names what is only bounded.
"""

from __future__ import annotations

import math

import numpy as np

from backtest.engine.compiling import compiled, inlined, linked
from backtest.engine.ends import (
    DOUBT_FIXED,
    DOUBT_HIGH,
    DOUBT_INTENT,
    DOUBT_LOW,
    DOUBT_ROW,
    DOUBT_STAYS,
    DOUBT_WIDTH,
    EXITS,
    FIRST_ROW,
    IS_OUTER,
    LAST_ROW,
    NET_HIGH,
    NET_LOW,
    UNKNOWN_ROW,
    Walk,
    note,
    note_inside,
    note_range,
    pay,
)
from backtest.engine.layout import (
    ACCEPTED,
    AT_CLOSE,
    AT_MARKET,
    AT_OPEN,
    END_OF_DATA,
    GROUP_EXIT,
    I1,
    MAKER_INSIDE,
    TAKE_PROFIT,
    TRAILING_STOP,
    Bars,
    Positions,
    Rules,
    Work,
)
from backtest.engine.path import (
    age,
    bar_of,
    decided_reason,
    gap_price,
    gap_reason,
    greatest_peak_after,
    peak_below,
    possible_exits,
    trail_of,
)
from backtest.engine.schedule import last_leg, schedule
from backtest.engine.segments import BARE, cover_of, entry_segment, segment_at
from backtest.engine.tiers import change_from, level_again, levels_again
from backtest.engine.triggers import UNMET, mark_met
from backtest.engine.variations import Variation


@linked
def _leave_later(walk: Walk, i: int, t: int, unpaid: int, bars: Bars, rules: Rules) -> None:
    """The end of a leg whose group left at t while it could not: at its next open; funding is paid before `unpaid`."""
    state = walk.state
    margin, funding, liquidation = state[i].margin, state[i].funding, state[i].liquidation
    target, late_row, on_mark = state[i].target, state[i].late_row, state[i].mark_liquidation
    row = bars.next_tradable[np.uintp(state[i].column), np.uintp(t + 1)]
    if row >= bars.panel.shape[1]:
        return
    for held in range(unpaid, row):
        pay(walk, i, held, bars, rules)
    if bars.tier_rows.shape[0] > 1 and bars.swap[np.uintp(state[i].column)]:
        level_again(state, i, row, bars, rules)
    arrives = age(state, i, row) and late_row == row
    at = state[i].side * bar_of(bars, state[i].column, row).open
    reason = gap_reason(at, state[i].stop, state[i].liquidation, state[i].target, trail_of(state, i), walk.greatest[i])
    resting = state[i].resting
    state[i].resting = resting and not (arrives and at >= state[i].target)
    leaves = state[i].side * gap_price(reason, at, state[i].target, state[i].resting)
    note(walk, i, row, AT_OPEN, leaves, reason if reason > 0 else GROUP_EXIT, bars, rules)
    state[i].margin, state[i].funding, state[i].liquidation = margin, funding, liquidation
    state[i].target, state[i].late_row, state[i].resting = target, late_row, resting
    state[i].mark_liquidation = on_mark


@linked
def _at_open(walk: Walk, i: int, t: int, bars: Bars, rules: Rules) -> None:
    """Whether leg i may and must leave at an open, for a reason of its own; if it may, that end."""
    state = walk.state
    walk.may[i] = walk.must[i] = 0
    late = age(state, i, t)
    opening = bar_of(bars, state[i].column, t).open
    if math.isnan(opening) or (state[i].entered != AT_MARKET and state[i].entry_row == t):
        return
    at, trail = state[i].side * opening, trail_of(state, i)
    stop, liquidation, target = state[i].stop, state[i].liquidation, state[i].target
    reason = gap_reason(at, stop, liquidation, target, trail, walk.greatest[i])
    decided = t > state[i].entry_row and decided_reason(state, i, t, rules) > 0
    if reason > 0 or decided:
        walk.may[i] = 1
        walk.must[i] = decided or gap_reason(at, stop, liquidation, target, trail, walk.least[i]) > 0
        state[i].resting = state[i].resting and not (late and at >= target)
        leaves = state[i].side * gap_price(reason, at, target, state[i].resting)
        note(walk, i, t, AT_OPEN, leaves, reason if reason > 0 else GROUP_EXIT, bars, rules)
    walk.greatest[i] = max(walk.least[i], min(walk.greatest[i], peak_below(trail, at)))


@linked
def _inside(walk: Walk, i: int, t: int, bars: Bars, rules: Rules) -> None:
    """Every end that leg i can have inside a bar, whether it may have one, and whether it must."""
    state = walk.state
    walk.may[i] = walk.must[i] = 0
    levels = walk.levels
    levels[i, 0], levels[i, 1], levels[i, 2], levels[i, 3] = np.nan, np.nan, np.inf, -np.inf
    column, side = state[i].column, state[i].side
    bar = bar_of(bars, column, t)
    if math.isnan(bar.open):
        return
    stop, liquidation, target = state[i].stop, state[i].liquidation, state[i].target
    trail = trail_of(state, i)
    low, high = (bar.low, bar.high) if side > 0.0 else (-bar.high, -bar.low)
    entering = state[i].entered != AT_MARKET and state[i].entry_row == t
    rest = entry_segment(state, i, bar)
    opening = rest.open if entering else side * bar.open
    least, greatest = max(walk.least[i], opening), max(walk.greatest[i], opening)
    met = mark_met(state, i, t, bars) if state[i].marked else UNMET
    if met.reason == 0 and not state[i].follows and low > max(stop, liquidation) and high < target:
        walk.least[i], walk.greatest[i] = max(least, high), max(greatest, high)
        return
    passed = gap_reason(opening, stop, liquidation, target, trail, greatest) if entering else 0
    if passed > 0:
        walk.may[i] = walk.must[i] = 1
        note_inside(walk, i, t, opening, passed, bars, rules)
        return
    cover = BARE if entering else cover_of(bars, column, t)
    in_part = not cover.bare and cover.first_hole >= 0
    # Two followers: `free` has met no more of the bar's own high and low than it must have by now, `bound` all of it.
    free, slot, price = least, 0, opening
    bound, stays, alive = least, True, True
    while slot < cover.slots and alive:
        segment = rest if entering else segment_at(bars, column, t, side, cover, slot, price)
        if segment.jumps:
            reason = gap_reason(segment.open, stop, liquidation, target, trail, greatest)
            if reason > 0:
                walk.may[i] = 1
                note_inside(walk, i, t, gap_price(reason, segment.open, target, state[i].resting), reason, bars, rules)
            alive = gap_reason(segment.open, stop, liquidation, target, trail, free) == 0
            stays = stays and gap_reason(segment.open, stop, liquidation, target, trail, bound) == 0
            greatest = max(free, min(greatest, peak_below(trail, segment.open)))
        if not alive:
            break
        free, bound = max(free, segment.open), max(bound, segment.open)
        greatest = max(greatest, segment.open)
        ends = possible_exits(
            segment.low, segment.high, segment.least_high, segment.most_low, segment.close, stop, liquidation, target,
            trail, free, greatest,
        )  # fmt: skip
        if ends.fixed > 0:
            walk.may[i] = 1
            levels[i, 0] = ends.level
            note_inside(walk, i, t, ends.level, ends.fixed, bars, rules)
        if ends.target:
            walk.may[i] = 1
            levels[i, 1] = target
            note_inside(walk, i, t, target, TAKE_PROFIT, bars, rules)
        if ends.trail_low <= ends.trail_high:
            walk.may[i] = 1
            levels[i, 2] = min(levels[i, 2], ends.trail_low)
            levels[i, 3] = max(levels[i, 3], ends.trail_high)
            note_range(walk, i, t, ends.trail_low, ends.trail_high, TRAILING_STOP, bars, rules)
        near_high, near_low = segment.least_high, segment.most_low
        if segment.hole:
            near_high, near_low = max(segment.open, segment.close), min(segment.open, segment.close)
        loose = possible_exits(
            segment.low, segment.high, near_high, near_low, segment.close, stop, liquidation, target, trail,
            free, greatest,
        )  # fmt: skip
        full = possible_exits(
            segment.low, segment.high, segment.least_high, segment.most_low, segment.close, stop, liquidation, target,
            trail, bound, greatest,
        )  # fmt: skip
        alive, stays = loose.stays, stays and full.stays
        free, bound = max(free, near_high), max(bound, segment.least_high)
        greatest = greatest_peak_after(free, greatest, near_low, segment.high, segment.close, target, trail)
        slot, price = segment.end, segment.close
    if met.reason > 0:
        walk.may[i], walk.table[state[i].intent, IS_OUTER] = 1, 1.0
        stays = stays and not met.certain
        note_range(walk, i, t, met.lowest, met.highest, met.reason, bars, rules)
    if in_part and walk.may[i] > 0:
        walk.table[state[i].intent, IS_OUTER] = 1.0
    walk.must[i] = not (alive and stays)
    walk.least[i] = max(least, rest.least_high if entering else high)
    walk.greatest[i] = max(walk.least[i], greatest)


@inlined
def _doubt(walk: Walk, i: int, t: int) -> None:
    """Write down a bar that allows leg i an end inside it and something else."""
    stays = walk.must[i] == 0
    if walk.may[i] == 0 or (not stays and walk.bar_low[i] == walk.bar_high[i]):
        return
    row = walk.counts[0]
    walk.counts[0] += 1
    if row < walk.doubts.shape[0]:
        walk.doubts[row, DOUBT_INTENT], walk.doubts[row, DOUBT_ROW] = walk.state[i].intent, t
        walk.doubts[row, DOUBT_LOW], walk.doubts[row, DOUBT_HIGH] = walk.bar_low[i], walk.bar_high[i]
        walk.doubts[row, DOUBT_STAYS] = stays
        for level in range(DOUBT_WIDTH - DOUBT_FIXED):
            walk.doubts[row, DOUBT_FIXED + level] = walk.levels[i, level]


@inlined
def _leaves_with(walk: Walk, i: int, legs: int) -> bool:
    """Whether another leg of the unit may leave now."""
    others = False
    for j in range(legs):
        others = others or (j != i and walk.may[j] > 0)
    return others


@inlined
def _open(walk: Walk, legs: int, t: int, bars: Bars, rules: Rules) -> bool:
    """Phase A of a unit; whether it may go on."""
    for i in range(legs):
        walk.bar_low[i], walk.bar_high[i] = np.inf, -np.inf
        _at_open(walk, i, t, bars, rules)
    goes_on = True
    for i in range(legs):
        if walk.must[i] > 0:
            goes_on = False
        elif _leaves_with(walk, i, legs):
            opening = bar_of(bars, walk.state[i].column, t).open
            if math.isnan(opening):
                _leave_later(walk, i, t, t, bars, rules)
            else:
                note(walk, i, t, AT_OPEN, opening, GROUP_EXIT, bars, rules)
    return goes_on


@inlined
def _rest_of_bar(walk: Walk, legs: int, t: int, bars: Bars, rules: Rules) -> bool:
    """Phases C to E of a unit; whether it may go on."""
    state = walk.state
    goes_on, over = True, False
    for i in range(legs):
        walk.bar_low[i], walk.bar_high[i] = np.inf, -np.inf
        _inside(walk, i, t, bars, rules)
        _doubt(walk, i, t)
        goes_on = goes_on and walk.must[i] == 0
        over = over or state[i].end_row == t
    for i in range(legs):
        if walk.must[i] > 0:
            continue
        pay(walk, i, t, bars, rules)
        bar = bar_of(bars, state[i].column, t)
        if goes_on and state[i].end_row == t:
            note(walk, i, t, AT_CLOSE, bar.close, END_OF_DATA, bars, rules)
        elif _leaves_with(walk, i, legs) or (goes_on and over):
            if math.isnan(bar.open):
                _leave_later(walk, i, t, t + 1, bars, rules)
            else:
                note(walk, i, t, AT_CLOSE, bar.close, GROUP_EXIT, bars, rules)
    return goes_on and not over


@inlined
def _lengthen(unit: int, place: int, queued: int, t: int, intent: Variation, work: Work, walk: Walk) -> int:
    """Under `extend`, lone intents of the same side that fill at t lengthen a lone position; the next unit.

    Of those that fill in the bar of its entry only the ones that act after it: `place` is its own in the queue, and
    entries at the open act before those inside the bar.
    """
    state = walk.state
    inside = state[0].entered != AT_MARKET
    while unit < queued and work.fill_row[work.queue[unit]] <= t:
        k = work.queue[unit]
        same = intent.column[k] == state[0].column and intent.side[k] == state[0].side
        if t == state[0].entry_row:
            late = work.entry[k] >= MAKER_INSIDE
            same = same and (unit > place if late == inside else late)
        if same and last_leg(intent.group, k) == k + 1 and work.fill_row[k] == t:
            state[0].time_row = max(state[0].time_row, t + intent.hold[k])
            state[0].signal_row = max(state[0].signal_row, work.exit_row[k])
        unit += 1
    return unit


@compiled
def fill_rows(intent: Variation, bars: Bars, work: Work) -> None:
    """Write into `work` when each intent would fill, how, and at which price it would rest, if nothing rejects it."""
    schedule(intent, bars, work)


@compiled
def walk_trades(
    intent: Variation, bars: Bars, rules: Rules, verdict: I1, entered: Positions, work: Work, walk: Walk
) -> None:
    """Fill the tables of a walk for every position that a replay opened, each as it was entered."""
    queued = schedule(intent, bars, work) if rules.extend else 0
    walk.table[:, :] = np.nan
    first = 0
    while first < verdict.shape[0]:
        # Parts of one order enter together and leave on their own.
        last = first + 1 if intent.group[first] < 0 else last_leg(intent.group, first)
        if verdict[first] != ACCEPTED:
            first = last
            continue
        legs, later, place = last - first, 0, 0
        for i in range(legs):
            walk.state[i] = entered[first + i]
            walk.least[i] = walk.greatest[i] = walk.state[i].peak
            row = walk.table[first + i]
            row[NET_LOW], row[NET_HIGH], row[EXITS] = np.inf, -np.inf, 0.0
            row[FIRST_ROW], row[LAST_ROW], row[UNKNOWN_ROW], row[IS_OUTER] = -1.0, -1.0, -1.0, 0.0
        lengthens = rules.extend and legs == 1 and walk.state[0].group == -1
        while lengthens and place < queued and work.queue[place] != first:
            place += 1
        while lengthens and later < queued and work.fill_row[work.queue[later]] < work.fill_row[first]:
            later += 1
        t, goes_on = walk.state[0].entry_row, True
        while goes_on and t < bars.panel.shape[1]:
            if t > walk.state[0].entry_row and change_from(bars, t) == t:
                levels_again(walk.state, legs, t, bars, rules)
            goes_on = _open(walk, legs, t, bars, rules)
            if goes_on and lengthens:
                later = _lengthen(later, place, queued, t, intent, work, walk)
            goes_on = goes_on and _rest_of_bar(walk, legs, t, bars, rules)
            t += 1
        first = last
