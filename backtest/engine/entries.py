"""How positions are sized and opened: phase B of `backtest.engine.kernel`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from backtest.engine.compiling import inlined, linked
from backtest.engine.layout import (
    ACCEPTED,
    AT_MARKET,
    AT_OPEN,
    BANKRUPT,
    CAPACITY_ZERO,
    CUT_CAPACITY,
    CUT_CASH,
    CUT_GROSS,
    ENTRY,
    EXTENDED,
    GROSS_CAP,
    GROUP_REJECTED,
    IN_POSITION,
    INSIDE,
    LEAST_SHARE,
    LEVERAGE,
    LIQUIDITY_UNKNOWN,
    MAKER_AT_OPEN,
    MAKER_INSIDE,
    NEVER,
    NO_CASH,
    SAME_STEP,
    T_CASH,
    TOO_SMALL,
    UNCUT,
    Bars,
    Book,
    Fill,
    Positions,
    Rules,
    Work,
)
from backtest.engine.path import bar_of, given, impact_share, on_tick, write_row
from backtest.engine.schedule import last_leg
from backtest.engine.tiers import has_tiers, liquidation_level, too_levered
from backtest.engine.triggers import put_on_mark
from backtest.engine.variations import Variation


@inlined
def _target(level: float, tick: float, rules: Rules) -> float:
    """Signed level of a target, inf for none; one that rests as a limit must be traded through."""
    if math.isnan(level):
        return np.inf
    level = on_tick(level, tick, True)
    return float(np.nextafter(level, np.inf)) if rules.maker_targets else level


@inlined
def _mark_before(state: Positions, p: int, t: int, bars: Bars) -> float:
    """Price at which a position counts for entries in bar t: the last mark, its own price where it entered in t."""
    return float(state[p].price if state[p].entry_row == t else bar_of(bars, state[p].column, t - 1).mark)


@inlined
def worth(state: Positions, p: int, mark: float, cross: bool) -> float:
    """What a position adds to equity at a mark: margin and profit, never below zero unless the account backs it."""
    value = state[p].margin + state[p].side * state[p].quantity * (mark - state[p].price)
    return value if cross else max(value, 0.0)


@inlined
def _verdict_of_leg(
    k: int, t: int, count: int, lone: bool, intent: Variation, bars: Bars, rules: Rules, work: Work
) -> int:
    """Why a leg cannot enter at t, whatever its size; under `extend` it lengthens the position held."""
    column = intent.column[k]
    if work.slot[np.uintp(column)] > 0:
        state = work.state
        for p in range(count):
            if state[p].column != column:
                continue
            stands = state[p].group == -1 and state[p].leaving == 0
            if rules.extend and lone and stands and state[p].side == intent.side[k]:
                state[p].time_row = max(state[p].time_row, t + intent.hold[k])
                state[p].signal_row = max(state[p].signal_row, work.exit_row[k])
                return EXTENDED
            if not rules.adds or state[p].side != intent.side[k]:
                return IN_POSITION
    bar = bar_of(bars, column, t)
    unknown = math.isnan(bar.impact) or math.isnan(bar.capacity)
    return LIQUIDITY_UNKNOWN if unknown else ACCEPTED


@inlined
def _scale(
    first: int, last: int, t: int, count: int, intent: Variation, bars: Bars, rules: Rules, work: Work
) -> tuple[float, int, int, int]:
    """Share of what is wanted that is granted, the cut and rejection it stands for, and the binding leg (-1: all)."""
    state = work.state
    cash, gross, tied = work.tally[T_CASH], 0.0, 0.0
    equity = cash
    for p in range(count):
        mark = _mark_before(state, p, t, bars)
        equity += worth(state, p, mark, rules.cross)
        gross += state[p].quantity * mark
        if rules.cross:
            tied += state[p].quantity * state[p].price / rules.leverage
    if equity <= LEAST_SHARE * rules.capital:
        return 0.0, CUT_CASH, BANKRUPT if rules.cross else NO_CASH, -1
    if rules.cross:
        # Losses that are not realised are not free for another margin, gains neither.
        cash = min(cash, equity - tied)
    margined, unmargined = 1.0 / rules.leverage + rules.fee_rate, 1.0 + rules.fee_rate
    total, need, parts = 0.0, 0.0, not rules.plain and intent.group[first] < -1
    scale, cut, verdict, culprit = 1.0, UNCUT, ACCEPTED, -1
    for k in range(first, last):
        fixed = given(intent.notional, k)
        wanted = intent.weight[k] * equity if math.isnan(fixed) else fixed
        work.wanted[k] = wanted
        total += wanted
        need += wanted * (margined if bars.swap[np.uintp(intent.column[k])] else unmargined)
        left = bar_of(bars, intent.column[k], t).capacity
        if rules.adds:
            for p in range(count):
                if state[p].column == intent.column[k] and state[p].entry_row == t:
                    left = max(left - state[p].quantity * state[p].price, 0.0)
        # Parts of one order share the volume: the last of them has seen all that is wanted.
        asked = total if parts else wanted
        if _less(left, asked, scale):
            scale, cut, verdict, culprit = left / asked, CUT_CAPACITY, CAPACITY_ZERO, -1 if parts else k
    left = rules.gross_cap * equity - gross
    if _less(left, total, scale):
        scale, cut, verdict, culprit = left / total, CUT_GROSS, GROSS_CAP, -1
    if _less(cash, need, scale):
        scale, cut, verdict, culprit = cash / need, CUT_CASH, NO_CASH, -1
    return scale, cut, verdict, culprit


@inlined
def _less(left: float, asked: float, scale: float) -> bool:
    """Whether left / asked is below a scale of 1 at most; most entries get everything: no division."""
    return (left < asked or scale < 1.0) and left / asked < scale


class _Size(NamedTuple):
    """What an entry would fill: prices before and after spread and impact, and the quantity, in whole lots."""

    reference: float
    price: float
    quantity: float
    half_spread: float
    impact: float
    parts: float


@inlined
def _size(k: int, t: int, scale: float, whole: float, intent: Variation, bars: Bars, rules: Rules, work: Work) -> _Size:
    """The fill of intent k; parts of one order pay the impact of the `whole` of it."""
    column, notional = intent.column[k], scale * work.wanted[k]
    entry = AT_MARKET if rules.plain else work.entry[k]
    bar = bar_of(bars, column, t)
    reference = bar.open if entry == AT_MARKET else work.level[k]
    maker = entry in (MAKER_AT_OPEN, MAKER_INSIDE)
    half_spread = 0.0 if maker else rules.half_spread
    parts = 1.0 if rules.plain or intent.group[k] >= -1 else math.sqrt(whole / work.wanted[k])
    impact = 0.0 if maker else impact_share(bar.impact * parts, notional, half_spread)
    price = reference * (1.0 + intent.side[k] * (half_spread + impact))
    quantity, lot = notional / price, bars.lot[np.uintp(column)]
    if lot > 0.0:
        quantity = lot * math.floor(quantity / lot + SAME_STEP)
    return _Size(reference, price, quantity, half_spread, impact, parts)


@inlined
def _too_small(size: _Size, column: int, bars: Bars) -> bool:
    """Whether an entry is less than one lot, or than the least notional."""
    least = bars.least_notional[np.uintp(column)] * (1.0 - SAME_STEP)
    return size.quantity * size.price < least or size.quantity <= 0.0


@linked
def _too_levered(
    k: int, first: int, last: int, t: int, count: int, scale: float, whole: float, intent: Variation, bars: Bars,
    rules: Rules, work: Work,
) -> bool:  # fmt: skip
    """Whether leg k asks for more leverage than the tiers in force allow to what is then held in its instrument."""
    column, state, together, notional = intent.column[k], work.state, 0.0, 0.0
    for p in range(count):
        if state[p].column == column:
            together += state[p].quantity * _mark_before(state, p, t, bars)
    for leg in range(first, last):
        if intent.column[leg] == column:
            size = _size(leg, t, scale, whole, intent, bars, rules, work)
            together += size.quantity * size.price
            notional = size.quantity * size.price if leg == k else notional
    return too_levered(t, column, together, notional, bars, rules)


@inlined
def _has_stages(intent: Variation) -> bool:
    """Whether any intent has a level that changes while a position is held."""
    late, second = intent.late_take_profit.shape[0], intent.second_trailing_stop.shape[0]
    return late + second + intent.activation.shape[0] + intent.break_even.shape[0] > 0


@linked
def _write_stages(k: int, t: int, p: int, tick: float, intent: Variation, rules: Rules, work: Work) -> None:
    """Levels of position p that come into force while it is held; most positions have none, and none of these."""
    state = work.state
    side, price = state[p].side, state[p].price
    late = given(intent.late_take_profit, k)
    if not math.isnan(late):
        state[p].late_row = t + intent.late[k]
    state[p].late_target = _target(price * (side + late), tick, rules)
    activation, even = given(intent.activation, k), given(intent.break_even, k)
    second, further = given(intent.second_trailing_stop, k), given(intent.second_activation, k)
    moves = not (math.isnan(second) and math.isnan(even))
    state[p].staged = moves
    state[p].follows = moves or state[p].follows
    state[p].activation = -np.inf if math.isnan(activation) else price * (side + activation)
    state[p].second_trail = np.inf if math.isnan(second) else second
    state[p].second_activation = np.inf if math.isnan(second) else price * (side + further)
    state[p].break_even = np.inf if math.isnan(even) else price * (side + even)
    state[p].filled = side * price


@inlined
def _open_position(
    k: int, t: int, p: int, scale: float, cut: int, size: _Size, intent: Variation, bars: Bars, rules: Rules,
    work: Work, book: Book, record: bool,
) -> None:  # fmt: skip
    column, side = intent.column[k], intent.side[k]
    entry = AT_MARKET if rules.plain else work.entry[k]
    coefficient = bar_of(bars, column, t).impact
    maker = entry in (MAKER_AT_OPEN, MAKER_INSIDE)
    reference, price, quantity, half_spread, impact = (
        size.reference, size.price, size.quantity, size.half_spread, size.impact,
    )  # fmt: skip
    lot, tick = bars.lot[np.uintp(column)], bars.tick[np.uintp(column)]
    notional = quantity * price if lot > 0.0 else scale * work.wanted[k]
    swap = bars.swap[np.uintp(column)]
    margin = notional / rules.leverage if swap else notional
    fee = (rules.maker_fee_rate if maker else rules.fee_rate) * notional
    work.tally[T_CASH] -= margin + fee
    state = work.state
    state[p].column = column
    state[p].side = side
    state[p].quantity = state[p].whole = quantity
    state[p].price = price
    state[p].reference = reference
    state[p].margin = margin
    stop, target, trail = intent.stop_loss[k], intent.take_profit[k], intent.trailing_stop[k]
    state[p].stop = -np.inf if math.isnan(stop) else on_tick(price * (side - stop), tick, False)
    state[p].target = _target(price * (side + target), tick, rules)
    state[p].trail = np.inf if math.isnan(trail) else trail
    state[p].follows = not math.isnan(trail)
    state[p].peak = side * price
    if not rules.plain:
        state[p].late_row = NEVER
        state[p].resting = rules.maker_targets
        state[p].staged = False
        state[p].activation = -np.inf
        state[p].parts = size.parts
        state[p].entered = entry if entry >= MAKER_INSIDE else AT_MARKET
        state[p].group = intent.group[k]
        state[p].leaving = 0
        state[p].gained = state[p].lost = 0.0
        if record or _has_stages(intent):
            _write_stages(k, t, p, tick, intent, rules, work)
    state[p].liquidation = liquidation_level(side, quantity, price, margin, column, t, bars, rules) if swap else -np.inf
    if not rules.plain:
        state[p].marked = False
        if bars.marked[np.uintp(column)]:
            put_on_mark(state, p, rules)
    state[p].time_row = t + intent.hold[k]
    state[p].signal_row = work.exit_row[k]
    state[p].end_row = bars.last_row[np.uintp(column)]
    state[p].intent = k
    state[p].entry_row = t
    state[p].coefficient = coefficient
    state[p].fees = fee
    state[p].slippage = quantity * reference * half_spread
    state[p].impact = quantity * reference * impact
    state[p].funding = 0.0
    state[p].unknown_funding_bars = 0
    state[p].due = 0
    state[p].settlement = -1
    work.slot[np.uintp(column)] += 1
    work.verdict[k] = ACCEPTED
    if record:
        book.entered[k] = state[p]
        fill = Fill(
            row=float(t),
            phase=float(INSIDE if entry >= MAKER_INSIDE else AT_OPEN),
            column=float(column),
            intent=float(k),
            reason=float(ENTRY),
            side=side,
            quantity=quantity,
            reference=reference,
            price=price,
            fees=fee,
            slippage=state[p].slippage,
            impact=state[p].impact,
            liquidation=0.0,
            cut=float(cut),
            granted=scale,
        )
        write_row(book.fills, book.counts, 0, fill)


@inlined
def _enter_unit(
    first: int,
    last: int,
    t: int,
    count: int,
    intent: Variation,
    bars: Bars,
    rules: Rules,
    work: Work,
    book: Book,
    record: bool,
) -> int:
    """Phase B for the legs from `first` to before `last`; returns the number of open positions."""
    verdict, culprit = ACCEPTED, -1
    for k in range(first, last):
        verdict = _verdict_of_leg(k, t, count, last - first == 1, intent, bars, rules, work)
        for other in range(first, k):
            if intent.column[other] == intent.column[k] and intent.group[k] >= 0:
                verdict = IN_POSITION
        if verdict != ACCEPTED:
            culprit = k
            break
    if verdict == ACCEPTED:
        scale, cut, verdict_if_small, culprit = _scale(first, last, t, count, intent, bars, rules, work)
        if scale < LEAST_SHARE:
            verdict = verdict_if_small
        else:
            whole, culprit = 0.0, -1
            for k in range(first, last):
                whole += work.wanted[k]
            size = _size(first, t, scale, whole, intent, bars, rules, work)
            for k in range(first, last):
                if k > first:
                    size = _size(k, t, scale, whole, intent, bars, rules, work)
                if verdict == ACCEPTED and _too_small(size, intent.column[k], bars):
                    verdict, culprit = TOO_SMALL, k
                if not rules.plain and verdict == ACCEPTED and has_tiers(bars):
                    refused = _too_levered(k, first, last, t, count, scale, whole, intent, bars, rules, work)
                    verdict, culprit = (LEVERAGE, k) if refused else (ACCEPTED, -1)
            if verdict == ACCEPTED:
                for k in range(first, last):
                    if last - first > 1:
                        size = _size(k, t, scale, whole, intent, bars, rules, work)
                    _open_position(k, t, count, scale, cut, size, intent, bars, rules, work, book, record)
                    count += 1
                return count
    for k in range(first, last):
        work.verdict[k] = verdict if culprit in (-1, k) else GROUP_REJECTED
    return count


@linked
def _enter_group(
    first: int, t: int, count: int, intent: Variation, bars: Bars, rules: Rules, work: Work, book: Book, record: bool
) -> int:
    """`enter` for several legs."""
    return _enter_unit(first, last_leg(intent.group, first), t, count, intent, bars, rules, work, book, record)


@inlined
def enter(
    first: int, t: int, count: int, intent: Variation, bars: Bars, rules: Rules, work: Work, book: Book, record: bool
) -> int:
    """Phase B for one unit; returns the number of open positions."""
    if rules.plain or intent.group[first] == -1:
        return _enter_unit(first, first + 1, t, count, intent, bars, rules, work, book, record)
    return _enter_group(first, t, count, intent, bars, rules, work, book, record)


@linked
def enter_inside(
    unit: int, last: int, t: int, count: int, intent: Variation, bars: Bars, rules: Rules, work: Work, book: Book,
    record: bool,
) -> int:  # fmt: skip
    """Those of the queued units from `unit` to before `last` that fill inside bar t; number of open positions."""
    for place in range(unit, last):
        if work.entry[work.queue[place]] >= MAKER_INSIDE:
            count = enter(work.queue[place], t, count, intent, bars, rules, work, book, record)
    return count
