"""Placebo calendars on which a strategy decides anew: slower than moving its intents, and closer to what happened.

Catalysts move around the circle of the data by whole periods of the coarsest precision among them, so that each keeps
its precision; there are few such shifts, and all are taken where the draws suffice. Keeps everything that the null
`shift` keeps, and lets a strategy react to the prices that it would have seen. Untimed catalysts, and those outside the
data, stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import numpy as np

from backtest.catalysts.record import Calendar, Catalyst
from backtest.catalysts.timing import PRECISION_MS
from backtest.engine.layout import EXPOSURE, TRADES
from backtest.progress import Progress, silent
from backtest.scoring.batch import Prepared, replay_statistics, statistic_code
from backtest.scoring.draws import shifts_of
from backtest.scoring.placebo import (
    PLACEBO,
    Null,
    Placebo,
    PlaceboPlan,
    evidence,
    observed_statistics,
    placebo_intents,
    without_events,
)
from backtest.signals.strategy import Intents, Strategy
from backtest.units import from_ms, to_ms

FEWEST_PERIODS = 20


def placebo_strategies(
    strategies: Sequence[Strategy[Any]],
    members: Sequence[Intents],
    prepared: Prepared,
    calendar: Calendar,
    plan: PlaceboPlan,
    processes: int = 1,
    progress: Progress = silent,
) -> tuple[Placebo, ...]:
    """Evidence of each strategy and what it decided; under `calendar` each decides anew, in so many processes.

    For kinds other than `calendar` the intents are moved, as `placebo_intents` does.
    """
    if plan.kind != "calendar":
        return placebo_intents(members, prepared, calendar, plan, progress)
    observed = observed_statistics(members, prepared)
    nulls = []
    for done, (strategy, row) in enumerate(zip(strategies, observed, strict=True)):
        progress(PLACEBO, done, len(strategies))
        reason = without_events(row[EXPOSURE], row[TRADES])
        if reason:
            nulls.append(Null(np.empty(0), reason=reason))
        else:
            nulls.append(null_anew(strategy, prepared, calendar, plan, processes))
    return evidence(observed[:, statistic_code(plan.statistic)], nulls, plan)


def null_anew(
    strategy: Strategy[Any], prepared: Prepared, calendar: Calendar, plan: PlaceboPlan, processes: int = 1
) -> Null:
    """Placebo statistics of a strategy that decides anew on every moved calendar."""
    circle = circle_of(prepared, calendar)
    if circle.periods < FEWEST_PERIODS:
        reason = (
            f"the data holds {circle.periods} periods of the catalysts' coarsest precision, at least {FEWEST_PERIODS} "
            "are needed"
        )
        return Null(np.empty(0), reason=reason)
    shifts = [int(shift) for shift in shifts_of(circle.periods, plan.draws, plan.seed)]
    values = _decided_anew(strategy, prepared, calendar, circle, shifts, plan, processes)
    return Null(np.array(values, dtype=np.float64), len(shifts) == circle.periods - 1)


@dataclass(frozen=True, slots=True)
class Circle:
    """The stretch of time that catalysts move around: first period's start, one period's length, how many."""

    start_ms: int
    period_ms: int
    periods: int

    def moved(self, catalyst: Catalyst, shift: int) -> Catalyst:
        """The catalyst so many periods later, round the end to the beginning; itself outside the circle."""
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


def _decided_anew(
    strategy: Strategy[Any],
    prepared: Prepared,
    calendar: Calendar,
    circle: Circle,
    shifts: list[int],
    plan: PlaceboPlan,
    processes: int,
) -> list[float]:
    if processes == 1:
        return _some_anew(strategy, prepared, calendar, circle, shifts, plan.statistic)
    # A forked child would inherit the kernel's threads in a state that they cannot be used in.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        pieces = [
            pool.submit(_some_anew, strategy, prepared, calendar, circle, shifts[first::processes], plan.statistic)
            for first in range(processes)
        ]
        values = np.empty(len(shifts))
        for first, piece in enumerate(pieces):
            values[first::processes] = piece.result()
    return [float(value) for value in values]


def _some_anew(
    strategy: Strategy[Any], prepared: Prepared, calendar: Calendar, circle: Circle, shifts: list[int], statistic: str
) -> list[float]:
    code = statistic_code(statistic)
    values = []
    for shift in shifts:
        intents = strategy.decide(prepared.market, moved_calendar(calendar, circle, shift))
        values.append(float(replay_statistics(prepared.orders(intents), prepared, 1)[0, code]))
    return values
