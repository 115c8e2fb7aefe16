"""Cross margin once more, for the reference: the account along the common path of a bar."""

from __future__ import annotations

import math
from dataclasses import dataclass

from backtest.engine import layout as codes
from backtest.engine.layout import Bars
from tests.engine.reference_records import Exit, Position


@dataclass
class Way:
    """Where an open contract is valued at the open of a bar and at its worst, and at which last prices it fills."""

    position: Position
    start: float
    worst: float
    opens: float | None
    reaches: float
    on_mark: bool

    def value(self, share: float) -> float:
        return self.start + share * (self.worst - self.start)

    def fill(self, share: float) -> float:
        assert self.opens is not None
        return self.opens + share * (self.reaches - self.opens)

    def share_of(self, price: float) -> float:
        """How far along its way a price lies."""
        assert self.opens is not None
        if self.opens == self.reaches:
            return 0.0
        return min(max((self.opens - price) / (self.opens - self.reaches), 0.0), 1.0)


def way_of(position: Position, bars: Bars, row: int, on_mark: bool) -> Way:
    column = position.wish.column
    opening, high, low = (float(bars.panel[column, row, what]) for what in (codes.OPEN, codes.HIGH, codes.LOW))
    dead = math.isnan(opening)
    arrival = position.arrival
    if arrival is not None and arrival.inside and position.entry.row == row:
        opening = arrival.price
    if dead:
        start = worst = float(bars.panel[column, row - 1, codes.MARK])
    else:
        start = opening
        worst = min(low, opening) if position.long else max(high, opening)
    way = Way(position, start, worst, None if dead else start, worst, on_mark)
    if on_mark:
        if row > 0 and not math.isnan(float(bars.mark[column, row - 1, 2])):
            way.start = float(bars.mark[column, row - 1, 2])
        reached = float(bars.mark[column, row, 0 if position.long else 1])
        way.worst = way.start if math.isnan(reached) else reached
    return way


def first_below(slack: object, begin: float, end: float) -> float:
    """Share of the way between two at which a falling function, positive at the first, reaches zero."""
    assert callable(slack)
    for _ in range(200):
        middle = (begin + end) / 2
        if slack(middle) > 0:
            begin = middle
        else:
            end = middle
    return end


@dataclass
class Planned:
    """The exit that a bar allows a position by its own levels, and how far along the common path it lies."""

    way: Way
    leaves: Exit

    @property
    def adverse(self) -> bool:
        return self.leaves.reason in (codes.STOP_LOSS, codes.TRAILING_STOP)

    @property
    def share(self) -> float:
        return self.way.share_of(self.leaves.price)
