"""Placebo calendars on which a strategy decides anew: slower than moving its intents, but closer to real trading.

Catalysts move around the circle of the data by whole periods of the coarsest precision among them, so that each keeps
its precision; there are few such shifts, and all are taken if enough draws are requested. Keeps everything that the
null `shift` keeps, and lets a strategy react to the prices that it would have seen. Untimed catalysts, and those
outside the data, are not moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backtest.base.units import from_ms, to_ms
from backtest.catalysts.record import Calendar, Catalyst
from backtest.catalysts.timing import PRECISION_MS
from backtest.engine.layout import STATISTICS
from backtest.engine.prepared import Prepared
from backtest.engine.replay import replay_statistics
from backtest.market.record import Floats
from backtest.scoring.draws import Impossible, shifts_of
from backtest.signals.strategy import Strategy

FEWEST_PERIODS = 20


@dataclass(frozen=True, slots=True)
class MovedCalendars:
    """Calendars on which a strategy decides anew; `exact` if they are all calendars of the kind."""

    calendars: tuple[Calendar, ...]
    exact: bool


CalendarMover = Callable[[Prepared, Calendar, int, int], MovedCalendars | Impossible]
"""Maps prepared market, calendar, number of draws and seed to the moved calendars, or why there are none."""


def by_period(prepared: Prepared, calendar: Calendar, draws: int, seed: int) -> MovedCalendars | Impossible:
    """Every catalyst moved later by whole periods of the coarsest precision, wrapping at the end of the data."""
    circle = circle_of(prepared, calendar)
    if circle.periods < FEWEST_PERIODS:
        return Impossible(
            f"the data holds {circle.periods} periods of the catalysts' coarsest precision, at least {FEWEST_PERIODS} "
            "are needed"
        )
    shifts = shifts_of(circle.periods, draws, seed)
    calendars = tuple(moved_calendar(calendar, circle, int(shift)) for shift in shifts)
    return MovedCalendars(calendars, exact=len(shifts) == circle.periods - 1)


@dataclass(frozen=True, slots=True)
class Circle:
    """The span around which catalysts move: start of the first period, length of a period, number of periods."""

    start_ms: int
    period_ms: int
    periods: int

    def moved(self, catalyst: Catalyst, shift: int) -> Catalyst:
        """The catalyst moved later by `shift` periods, wrapping at the end; unchanged if outside the circle."""
        if catalyst.announced_at is None:
            return catalyst
        length = self.period_ms * self.periods
        since = to_ms(catalyst.announced_at) - self.start_ms
        if not 0 <= since < length:
            return catalyst
        by = (since + shift * self.period_ms) % length - since
        effective = None if catalyst.effective_at is None else from_ms(to_ms(catalyst.effective_at) + by)
        return replace(catalyst, announced_at=from_ms(self.start_ms + since + by), effective_at=effective)


def circle_of(prepared: Prepared, calendar: Calendar) -> Circle:
    """The circle of a market for a calendar: whole periods of its coarsest precision, no shorter than a bar."""
    market = prepared.market
    widths = [PRECISION_MS[one.precision] for one in calendar if one.timed]
    period = max([market.bar_ms, *widths])
    start = -(-market.start_ms // period) * period
    return Circle(start, period, max((market.end_ms - start) // period, 0))


def moved_calendar(calendar: Calendar, circle: Circle, shift: int) -> Calendar:
    """Every timed catalyst of the calendar moved around the circle by `shift` periods."""
    return Calendar(calendar.name, tuple(circle.moved(one, shift) for one in calendar))


def statistics_anew(
    strategy: Strategy[Any], replayed: Sequence[Prepared], calendars: Sequence[Calendar], *, net_only: bool = False
) -> Floats:
    """(P, B, 8) STATISTICS on each of P preparations of what a strategy decides on each of B calendars.

    Decisions read the market of the first preparation. With `net_only` Sharpe, Sortino and drawdown are NaN, and
    everything else is the same to the last bit.
    """
    values = np.empty((len(replayed), len(calendars), len(STATISTICS)))
    for place, calendar in enumerate(calendars):
        orders = replayed[0].orders(strategy.decide(replayed[0].market, calendar))
        for number, prepared in enumerate(replayed):
            values[number, place] = replay_statistics(orders, prepared, 1, net_only=net_only)[0]
    return values
