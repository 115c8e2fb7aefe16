"""The inside of a bar once more, for the reference: stretches of prices, and where a stop order leaves them.

Prices stay unsigned: `better` and `worse` compare them for the side of a position.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from backtest.engine import layout as codes
from backtest.engine.layout import Bars
from tests.engine.reference_records import Exit, Position


@dataclass
class Stretch:
    """Detail bar or hole: prices a path may reach (`lowest`, `highest`), and those it must (`fall`, `rise`)."""

    open: float
    highest: float
    lowest: float
    rise: float
    fall: float
    close: float
    jumps: bool


def stretches(bars: Bars, column: int, row: int) -> list[Stretch]:
    """The stretches of a bar, itself where it has no detail, or one that contradicts it."""
    opening, high, low, close = (float(bars.panel[column, row, what]) for what in range(4))
    alone = [Stretch(opening, high, low, high, low, close, False)]
    axis, ratio = int(bars.detail_column[column]), bars.detail_ratio
    if axis < 0:
        return alone
    rows = range(bars.detail_first + row * ratio, bars.detail_first + (row + 1) * ratio)
    inside = [[float(p) for p in bars.detail[axis, r]] if 0 <= r < bars.detail.shape[1] else None for r in rows]
    fine = [prices if prices is not None and not math.isnan(prices[0]) else None for prices in inside]
    known = [prices for prices in fine if prices is not None]
    if not known:
        return alone
    slack = codes.SAME_PRICE * high
    if fine[0] is not None and abs(fine[0][0] - opening) > slack:
        return alone
    if fine[-1] is not None and abs(fine[-1][3] - close) > slack:
        return alone
    top, bottom = max(prices[1] for prices in known), min(prices[2] for prices in known)
    if top > high + slack or bottom < low - slack:
        return alone
    high_seen, low_seen = top >= high - slack, bottom <= low + slack
    if len(known) == ratio and not (high_seen and low_seen):
        return alone
    found: list[Stretch] = []
    price, number = opening, 0
    while number < ratio:
        prices = fine[number]
        if prices is not None:
            jumps = number > 0 and fine[number - 1] is not None
            found.append(Stretch(prices[0], prices[1], prices[2], prices[1], prices[2], prices[3], jumps))
            price, number = prices[3], number + 1
            continue
        first = number
        while number < ratio and fine[number] is None:
            number += 1
        after = fine[number] if number < ratio else None
        end = close if after is None else after[0]
        rise, fall = max(price, end), min(price, end)
        if not high_seen and None not in fine[number:]:
            rise = high
        if not low_seen and None not in fine[:first]:
            fall = low
        found.append(Stretch(price, high, low, rise, fall, end, False))
        price = end
    return found


def worse(position: Position, *prices: float | None) -> float:
    known = [price for price in prices if price is not None]
    return min(known) if position.long else max(known)


def better(position: Position, *prices: float | None) -> float:
    known = [price for price in prices if price is not None]
    return max(known) if position.long else min(known)


def nearest(position: Position, maintenance: float, peak: float, price: float) -> Exit | None:
    """The first adverse level met on the way to `price`."""
    met = [(reason, level) for reason, level in position.adverse(peak, maintenance) if position.loses_at(price, level)]
    if not met:
        return None
    first = better(position, *(level for _, level in met))
    return next(Exit(reason, level) for reason, level in met if level == first)


def adverse_first(position: Position, maintenance: float, part: Stretch, peak: float) -> Exit | None:
    """Open, adverse extreme, favourable extreme, close."""
    worst, best = worse(position, part.lowest, part.highest), better(position, part.lowest, part.highest)
    leaves = nearest(position, maintenance, peak, worst)
    if leaves is not None:
        return leaves
    target = position.target()
    if target is not None and position.gains_at(best, target):
        return Exit(codes.TAKE_PROFIT, target)
    trail = position.trail(better(position, peak, best))
    return Exit(codes.TRAILING_STOP, trail) if trail is not None and position.loses_at(part.close, trail) else None


def allowed(
    position: Position, maintenance: float, part: Stretch, least: float, greatest: float
) -> tuple[bool, list[Exit]]:
    """Whether a path may stay, and the exits it may take, the worst first; `least`, `greatest`: its peak before."""
    reach_worst, reach_best = worse(position, part.lowest, part.highest), better(position, part.lowest, part.highest)
    must_worst, must_best = worse(position, part.fall, part.rise), better(position, part.fall, part.rise)
    target, trail = position.target(), position.trail(least)
    fixed = nearest_fixed(position, maintenance)
    exits: list[Exit] = []
    if position.loses_at(reach_worst, fixed.price) and (
        trail is None or better(position, fixed.price, trail) == fixed.price
    ):
        exits.append(fixed)
    if position.follows:
        # New peaks lie short of the target; one from before may lie beyond a target that has come nearer.
        peak = better(position, greatest, worse(position, reach_best, before_target(position)))
        floor = better(position, reach_worst, fixed.price)
        last = position.trail(peak) if position.gains_at(peak, least) else None
        if last is not None:
            last = worse(position, last, reach_best)
            if not position.loses_at(last, fixed.price) and better(position, last, reach_worst) == last:
                exits.append(Exit(codes.TRAILING_STOP, worst_trail(position, least, peak, floor, last)))
                exits.append(Exit(codes.TRAILING_STOP, last))
    pays = target is not None and position.gains_at(reach_best, target)
    if pays and target is not None:
        exits.append(Exit(codes.TAKE_PROFIT, target))
    must_pay = target is not None and position.gains_at(must_best, target)
    falls = nearest(position, maintenance, least, must_worst)
    ends = nearest(position, maintenance, better(position, least, must_best), part.close)
    return not must_pay and falls is None and ends is None, exits


def worst_trail(position: Position, least: float, peak: float, floor: float, last: float) -> float:
    """The worst price, no worse than the floor, at which the stop can lie for some peak from least to `peak`.

    Between two beginnings of stages it moves without a step: piece by piece, the first that reaches the floor.
    """
    cuts = [begins for begins, _ in position.stages() if begins is not None and position.gains_at(peak, begins)]
    cuts = sorted({least, peak, *(one for one in cuts if position.gains_at(one, least))}, reverse=not position.long)
    for start, end in zip(cuts, [*cuts[1:], peak], strict=True):
        level = position.trail(start)
        if level is None:
            continue
        if position.gains_at(level, floor):
            return level
        # Where the piece ends, before the step that the next beginning brings.
        held = [one for one in position.stages() if one[0] is None or position.gains_at(start, one[0])]
        ends = better(position, *(position.stage_level(distance, end) for _, distance in held))
        if position.gains_at(ends, floor):
            return floor
    return last


def nearest_fixed(position: Position, maintenance: float) -> Exit:
    """The nearer of liquidation and stop."""
    levels = [Exit(reason, level) for reason, level in position.adverse(position.peak, maintenance)]
    fixed = [one for one in levels if one.reason != codes.TRAILING_STOP]
    if not fixed:
        return Exit(codes.STOP_LOSS, -math.inf if position.long else math.inf)
    first = better(position, *(one.price for one in fixed))
    return next(one for one in fixed if one.price == first)


def on_mark(
    position: Position, bars: Bars, row: int, maintenance: float, stop_order: int, leaves: Exit | None
) -> Exit | None:
    """Where a bar is left whose mark price triggers something; `leaves` is what the last price alone decides."""
    if not position.on_mark:
        return leaves
    low, high, close = (float(price) for price in bars.mark[position.wish.column, row])
    furthest = worse(position, low, high)
    met = [Exit(reason, level) for reason, level in position.marked(maintenance) if position.loses_at(furthest, level)]
    if not met or (leaves is not None and leaves.reason == codes.LIQUIDATION):
        return leaves
    first = next(one for one in met if one.price == better(position, *(each.price for each in met)))
    filled_inside = position.entry.row == row and position.entry.phase == codes.INSIDE
    if filled_inside and leaves is not None and leaves.price == position.entry.reference:
        return leaves
    _, top, bottom, _ = (float(price) for price in bars.panel[position.wish.column, row, :4])
    worst = worse(position, top, bottom)
    for reason, level in position.adverse(position.peak, maintenance):
        if reason != codes.TRAILING_STOP:
            worst = better(position, worst, level)
    best = better(position, worst, worse(position, better(position, top, bottom), position.target()))
    near = worse(position, best, better(position, worst, first.price))
    if stop_order == codes.PESSIMISTIC:
        return Exit(first.reason, worst)
    if stop_order == codes.OPTIMISTIC:
        stays = filled_inside and not position.loses_at(close, first.price)
        return leaves if leaves is not None or stays else Exit(first.reason, near)
    beyond = leaves is not None and leaves.reason != codes.TAKE_PROFIT and leaves.price != first.price
    if beyond and leaves is not None and position.gains_at(leaves.price, first.price):
        return leaves
    return Exit(first.reason, near)


def inside(position: Position, bars: Bars, row: int, maintenance: float, stop_order: int) -> Exit | None:
    """Where a stop order leaves a bar, if it does; moves the peak over the whole bar."""
    if position.entry.row == row and position.entry.phase == codes.INSIDE:
        return rest_of_bar(position, bars, row, maintenance, stop_order)
    column = position.wish.column
    opening, high, low = (float(bars.panel[column, row, what]) for what in range(3))
    least = greatest = position.raised(position.peak, opening, opening)
    position.peak = position.raised(least, high, low)
    for part in stretches(bars, column, row):
        if part.jumps:
            peak = least if stop_order == codes.OPTIMISTIC else greatest
            if nearest(position, maintenance, peak, part.open) is not None:
                return Exit(first_met(position, maintenance, peak, part.open), part.open)
            if position.gains_at(part.open, position.target()):
                target = position.target()
                return Exit(codes.TAKE_PROFIT, target if position.rests and target is not None else part.open)
            greatest = worse(position, greatest, peak_that_passes(position, part.open))
            greatest = better(position, least, greatest)
        least, greatest = position.raised(least, part.open, part.open), position.raised(greatest, part.open, part.open)
        leaves = None
        if stop_order == codes.ADVERSE_FIRST:
            leaves = adverse_first(position, maintenance, certain(part), least)
        else:
            stays, exits = allowed(position, maintenance, part, least, greatest)
            if exits and stop_order == codes.PESSIMISTIC:
                leaves = exits[0]
            elif exits and not stays:
                leaves = exits[-1]
        if leaves is not None:
            return leaves
        least = position.raised(least, part.rise, part.fall)
        must_worst = worse(position, part.fall, part.rise)
        old = worse(position, greatest, peak_that_passes(position, must_worst))
        new = worse(
            position,
            better(position, part.highest, part.lowest),
            before_target(position),
            peak_that_passes(position, part.close),
        )
        greatest = better(position, least, old, new)
    return None


def certain(part: Stretch) -> Stretch:
    """A stretch of which only the prices count that a path must reach."""
    return Stretch(part.open, part.rise, part.fall, part.rise, part.fall, part.close, part.jumps)


def peak_that_passes(position: Position, price: float) -> float | None:
    """The best peak under which a trailing stop is not met at a price, to within rounding; None for any peak."""
    found: list[float] = []
    for begins, distance in position.stages():
        if distance is None:
            if position.loses_at(price, position.entry.price):
                found.append(float(short_of(position, begins) or 0.0))
            continue
        peak = price / (1.0 - distance) if position.long else price / (1.0 + distance)
        found.append(better(position, short_of(position, peak), short_of(position, begins)))
    return worse(position, *found) if found else None


def before_target(position: Position) -> float | None:
    """The best price at which the target is not met: the number next to it."""
    target = position.target()
    return None if target is None else math.nextafter(target, -math.inf if position.long else math.inf)


def short_of(position: Position, price: float | None) -> float | None:
    """The price just short of one that is not reached."""
    return None if price is None else price * (1.0 - codes.SAME_LEVEL if position.long else 1.0 + codes.SAME_LEVEL)


def rest_of_bar(position: Position, bars: Bars, row: int, maintenance: float, stop_order: int) -> Exit | None:
    """The same from a fill inside the bar on: a bought limit was fallen through, a bought stop risen through."""
    _, high, low, close = (float(bars.panel[position.wish.column, row, what]) for what in range(4))
    filled = position.entry.reference
    assert position.arrival is not None
    low_to_come = position.arrival.maker == position.long
    rise, fall = (max(filled, close), low) if low_to_come else (high, min(filled, close))
    part = Stretch(filled, high, low, rise, fall, close, False)
    before = position.raised(position.peak, filled, filled)
    if nearest(position, maintenance, before, filled) is not None:
        return Exit(first_met(position, maintenance, before, filled), filled)
    if position.gains_at(filled, position.target()):
        return Exit(codes.TAKE_PROFIT, filled)
    if stop_order == codes.OPTIMISTIC:
        position.peak = position.raised(before, rise, fall)
    else:
        best = better(position, high, low)
        position.peak = better(position, before, worse(position, best, before_target(position)))
    if stop_order == codes.ADVERSE_FIRST:
        ahead = (high, fall) if position.long else (rise, low)
        return adverse_first(position, maintenance, Stretch(filled, *ahead, rise, fall, close, False), before)
    stays, exits = allowed(position, maintenance, part, before, before)
    if exits and stop_order == codes.PESSIMISTIC:
        certain = position.gains_at(better(position, rise, fall), position.target())
        return exits[0] if exits[0].reason != codes.TAKE_PROFIT or certain else None
    return exits[-1] if exits and not stays else None


def first_met(position: Position, maintenance: float, peak: float, price: float) -> int:
    """Reason at an open beyond a level: liquidation, stop, trail, in that order."""
    return next(reason for reason, level in position.adverse(peak, maintenance) if position.loses_at(price, level))
