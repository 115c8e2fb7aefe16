"""Every path on a grid of prices: what a position, or an order that rests, can come to inside its bars.

The search knows nothing of closed forms: it moves a price by one step of the grid up or down, fills the order at its
level, follows the peak, and leaves at the first level that it meets. A trailing stop follows peaks of the grid only, so
its exits are those of the continuous path to within one step. All else is equal to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from backtest.engine.layout import NEVER

STEP = 0.25
Bar = tuple[float, ...]


@dataclass
class Leg:
    """One order and its levels, unsigned; `level` is where it rests, None for a market order at the first open."""

    long: bool
    stop_loss: float | None = None
    take_profit: float | None = None
    trailing_stop: float | None = None
    activation: float | None = None
    second_trailing_stop: float | None = None
    second_activation: float | None = None
    break_even: float | None = None
    late_take_profit: float | None = None
    late: int = NEVER
    rests: bool = False
    leverage: float = 1.0
    hold: int = NEVER
    exit_row: int = NEVER
    level: float | None = None
    is_limit: bool = False
    half_spread: float = 0.0
    maker: bool = False
    reference: float = 100.0
    entry_row: int = 0
    is_late: bool = False

    @property
    def sign(self) -> int:
        return 1 if self.long else -1

    @property
    def entry(self) -> float:
        """What it paid for a unit."""
        return self.reference * (1 + (0.0 if self.maker else self.sign * self.half_spread))

    def at(self, share: float | None, sign: int) -> float | None:
        return None if share is None else self.entry * (1 + sign * self.sign * share)

    @property
    def stop(self) -> float | None:
        return self.at(self.stop_loss, -1)

    @property
    def target(self) -> float | None:
        return self.at(self.late_take_profit if self.is_late else self.take_profit, 1)

    @property
    def liquidation(self) -> float | None:
        return None if self.long and self.leverage == 1.0 else self.at(1.0 / self.leverage, -1)

    @property
    def stages(self) -> list[tuple[float | None, float | None]]:
        """From which peak on (None: from the first) a stop follows at which distance (None: it lies at the fill)."""
        found: list[tuple[float | None, float | None]] = []
        if self.trailing_stop is not None:
            found.append((self.at(self.activation, 1), self.trailing_stop))
        if self.second_trailing_stop is not None:
            found.append((self.at(self.second_activation, 1), self.second_trailing_stop))
        if self.break_even is not None:
            found.append((self.at(self.break_even, 1), None))
        return found

    def trail(self, peak: float) -> float | None:
        """The nearest of the levels whose stage the peak has begun."""
        levels = [
            self.entry if distance is None else peak * (1 - self.sign * distance)
            for begins, distance in self.stages
            if begins is None or self.sign * peak >= self.sign * begins
        ]
        if not levels:
            return None
        return max(levels) if self.long else min(levels)

    def met(self, before: float, price: float, peak: float) -> float | None:
        """Where a move of one step leaves, if it does; adverse levels first, the nearest of them."""
        sign = self.sign
        adverse = [level for level in (self.stop, self.trail(peak), self.liquidation) if level is not None]
        reached = [level for level in adverse if sign * price <= sign * level <= sign * before]
        if reached:
            return max(reached) if self.long else min(reached)
        if self.pays(price):
            return self.received(self.target)
        return None

    def received(self, target: float | None) -> float | None:
        """The price from which a taker would get what a target pays: one that rests pays no half-spread."""
        if target is None or not self.rests:
            return target
        return target / (1 - self.sign * self.half_spread)

    def pays(self, price: float) -> bool:
        """Whether the target is met: touched by a taker, passed by an order that rests."""
        if self.target is None:
            return False
        gain = self.sign * (price - self.target)
        return gain > 0 if self.rests else gain >= 0

    def leaves_at(self, opening: float, peak: float, row: int) -> float | None:
        """Price of leaving at an open at or beyond a level: a target that rested there fills at its own."""
        if not self.beyond(opening, peak):
            return None
        rested = self.rests and row != self.entry_row + self.late
        sign, trail = self.sign, self.trail(peak)
        adverse = [level for level in (self.stop, trail, self.liquidation) if level is not None]
        if rested and self.target is not None and not any(sign * opening <= sign * level for level in adverse):
            return self.received(self.target)
        return opening

    def beyond(self, price: float, peak: float) -> bool:
        """Whether an open lies at or beyond a level."""
        return self.met(np.inf if self.long else -np.inf, price, peak) is not None

    def raised(self, peak: float, price: float) -> float:
        return max(peak, price) if self.long else min(peak, price)

    def fills_on(self, before: float, price: float) -> bool:
        """Whether a move of one step fills the order that rests: a limit is passed, a stop is touched."""
        assert self.level is not None
        if self.is_limit:
            return self.sign * price < self.sign * self.level <= self.sign * before
        return self.sign * before < self.sign * self.level <= self.sign * price

    def net(self, quantity: float, price: float) -> float:
        """What leaving at a price nets: no more is lost than the margin."""
        got = price * (1 - self.sign * self.half_spread)
        return max(self.sign * quantity * (got - self.entry), -quantity * self.entry / self.leverage)


class State(NamedTuple):
    """A path on its way; `peak` is None while the order rests."""

    price: float
    peak: float | None
    at_high: bool
    at_low: bool


def grid(leg: Leg, low: float, high: float, marks: tuple[float, ...]) -> list[float]:
    """Prices of a stretch in steps, and the peaks between two steps at which something changes.

    They are the peaks whose trail just passes one of the `marks`, or just begins, and the last before the target; of a
    target that rests also the first beyond it.
    """
    places = {low + STEP * number for number in range(round((high - low) / STEP) + 1)}
    nudge = 1e-11 * leg.sign
    for begins, distance in leg.stages:
        for mark in marks if distance is not None else ():
            peak = mark / (1 - leg.sign * distance)
            places |= {peak * (1 + nudge), peak * (1 - nudge)}
        if begins is not None:
            places |= {begins, begins * (1 - nudge)}
    if leg.target is not None:
        places |= {leg.target * (1 - nudge), leg.target, leg.target * (1 + nudge)}
    return sorted(place for place in places if low <= place <= high)


def walk(
    leg: Leg, starts: set[State], low: float, high: float, close: float, marks: tuple[float, ...]
) -> tuple[set[float], set[State]]:
    """Prices at which paths of one stretch leave, and every state in which they end it at its close."""
    places = grid(leg, low, high, marks)
    exits, ends, seen, todo = set(), set(), set(starts), list(starts)
    while todo:
        price, peak, at_high, at_low = todo.pop()
        if price == close:
            ends.add(State(price, peak, at_high, at_low))
        at = places.index(price)
        for to in (*places[max(at - 1, 0) : at], *places[at + 1 : at + 2]):
            held = peak
            if held is None and leg.fills_on(price, to):
                held = leg.raised(leg.entry, leg.reference)
                if leg.beyond(leg.reference, held):
                    exits.add(leg.reference)
                    continue
            if held is not None:
                level = leg.met(leg.reference if peak is None else price, to, held)
                if level is not None:
                    exits.add(level)
                    continue
                held = leg.raised(held, to)
            state = State(to, held, at_high or to == high, at_low or to == low)
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return exits, ends


def search(leg: Leg, bar: Bar, peaks: set[float | None], marks: tuple[float, ...]) -> tuple[set[float], set[float]]:
    """Prices at which some path leaves a bar, and the peaks of those that stay; peak None: its order still rests."""
    opening, high, low, close = bar
    starts = {
        State(opening, None if peak is None else leg.raised(peak, opening), opening == high, opening == low)
        for peak in peaks
    }
    exits, ends = walk(leg, starts, low, high, close, marks)
    kept = {end.peak for end in ends if end.at_high and end.at_low}
    assert None not in kept
    return exits, {peak for peak in kept if peak is not None}


def search_trades(legs: list[Leg], bars: list[list[Bar]]) -> list[tuple[float, float]]:
    """Least and greatest exit price of each leg of one unit, whose other legs leave at the close when one has left.

    A lone leg may rest: it fills in its `entry_row`.
    """
    found: list[set[float]] = [set() for _ in legs]
    peaks: list[set[float | None]] = [{leg.entry} if leg.level is None else {None} for leg in legs]
    marks = [tuple(price for opening, _, low, close in bar for price in (opening, low, close)) for bar in bars]
    marks = [
        of if leg.long else tuple(price for opening, high, _, close in bar for price in (opening, high, close))
        for leg, bar, of in zip(legs, bars, marks, strict=True)
    ]
    for row in range(legs[0].entry_row, len(bars[0])):
        for place, leg in enumerate(legs):
            opening, leg.is_late = bars[place][row][0], row >= leg.entry_row + leg.late
            for peak in list(peaks[place]):
                price = None if peak is None else leg.leaves_at(opening, peak, row)
                if price is not None:
                    found[place].add(price)
                    peaks[place].discard(peak)
        timed = any(row > leg.entry_row and (row >= leg.entry_row + leg.hold or row >= leg.exit_row) for leg in legs)
        if timed or not all(peaks):
            for place, bar in enumerate(bars):
                if peaks[place]:
                    found[place].add(bar[row][0])
            break
        ends = [search(leg, bar[row], at, mark) for leg, bar, at, mark in zip(legs, bars, peaks, marks, strict=True)]
        for place, (exits, stays) in enumerate(ends):
            found[place] |= exits
            others = any(end[0] for other, end in enumerate(ends) if other != place)
            if stays and (others or (row == len(bars[0]) - 1 and all(end[1] for end in ends))):
                found[place].add(bars[place][row][3])
        if not all(stays for _, stays in ends):
            break
        peaks = [set(stays) for _, stays in ends]
    return [(min(prices), max(prices)) for prices in found]


def random_bars(random: np.random.Generator, count: int) -> list[Bar]:
    """Bars on the grid; a third of the opens jump."""
    price, found = 100.0, []
    for row in range(count):
        opening = price + (STEP * random.integers(-8, 9) if row and random.random() < 0.3 else 0.0)
        close = opening + STEP * random.integers(-12, 13)
        high = max(opening, close) + STEP * random.integers(0, 10)
        low = min(opening, close) - STEP * random.integers(0, 10)
        found.append((float(opening), float(high), float(low), float(close)))
        price = close
    return found


def search_detail(
    leg: Leg, bar: Bar, fine: list[Bar | None], peaks: set[float], marks: tuple[float, ...]
) -> tuple[set[float], set[float]]:
    """`search` along the finer bars of a bar, None where one is missing: there the path is free within the bar.

    The price jumps between two finer bars and nowhere else. Only paths count that reach the high and the low of the
    bar: in a finer bar that has them, or in a hole, before or after the exit.
    """
    opening, high, low, close = bar
    top = max((one[1] for one in fine if one), default=-np.inf) == high
    bottom = min((one[2] for one in fine if one), default=np.inf) == low
    exits: set[float] = set()
    states = {State(opening, leg.raised(peak, opening), opening == high, opening == low) for peak in peaks}
    slot = 0
    while slot < len(fine):
        one = fine[slot]
        if one is None:
            end = next((later for later in range(slot, len(fine)) if fine[later]), len(fine))
            after = fine[end] if end < len(fine) else None
            left, states = walk(leg, states, low, high, after[0] if after else close, marks)
            exits |= left
            slot = end
            continue
        if slot and fine[slot - 1]:
            exits |= {one[0] for state in states if state.peak is not None and leg.beyond(one[0], state.peak)}
            states = {state for state in states if state.peak is not None and not leg.beyond(one[0], state.peak)}
        hole_later = None in fine[slot:]
        ends = set()
        for seen in {(state.at_high, state.at_low) for state in states}:
            starts = {
                State(one[0], leg.raised(state.peak, one[0]), one[0] == one[1], one[0] == one[2])
                for state in states
                if state.peak is not None and (state.at_high, state.at_low) == seen
            }
            left, found = walk(leg, starts, one[2], one[1], one[3], marks)
            if (seen[0] or top or hole_later) and (seen[1] or bottom or hole_later):
                exits |= left
            ends |= {
                State(end.price, end.peak, seen[0] or one[1] == high, seen[1] or one[2] == low)
                for end in found
                if end.at_high and end.at_low
            }
        states = ends
        slot += 1
    return exits, {end.peak for end in states if end.at_high and end.at_low and end.peak is not None}


def search_with_detail(leg: Leg, bars: list[Bar], fines: list[list[Bar | None]]) -> tuple[float, float]:
    """Least and greatest exit price of a lone leg that entered at the first open, along the finer bars of each bar."""
    every = list(bars) + [one for fine in fines for one in fine if one]
    marks = tuple(price for bar in every for price in (bar[0], bar[2] if leg.long else bar[1], bar[3]))
    found: set[float] = set()
    peaks = {leg.entry}
    for bar, fine in zip(bars, fines, strict=True):
        out = {peak for peak in peaks if leg.beyond(bar[0], peak)}
        if out:
            found.add(bar[0])
        exits, peaks = search_detail(leg, bar, fine, peaks - out, marks)
        found |= exits
        if not peaks:
            break
    else:
        found.add(bars[-1][3])
    return min(found), max(found)


def random_detail(random: np.random.Generator, count: int, ratio: int) -> tuple[list[Bar], list[list[Bar | None]]]:
    """Bars and the finer bars that they are made of, some of which are missing."""
    price, bars, fines = 100.0, [], []
    for _ in range(count):
        fine: list[Bar] = []
        for slot in range(ratio):
            opening = price + (STEP * random.integers(-4, 5) if slot and random.random() < 0.3 else 0.0)
            price = opening + STEP * random.integers(-6, 7)
            high = max(opening, price) + STEP * random.integers(0, 4)
            low = min(opening, price) - STEP * random.integers(0, 4)
            fine.append((float(opening), float(high), float(low), float(price)))
        bars.append((fine[0][0], max(one[1] for one in fine), min(one[2] for one in fine), fine[-1][3]))
        missing = 0.0 if random.random() < 0.4 else random.choice([0.4, 1.0], p=[0.8, 0.2])
        fines.append([None if random.random() < missing else one for one in fine])
    return bars, fines
