"""The placebo of a study: the same events on the same coins, all of them moved by one common shift.

The data are taken for a circle of whole days and the whole calendar is turned on it, day by day: every distance between
events stays, so clusters, shared dates and the correlation between coins stay too, and the hour of the day. Under the
null every turn is alike, the observed one included, so p = (1 + #{|T*| >= |T|}) / (B + 1) is a randomisation test with
B + 1 the number of turns: it cannot fall below 1 / (B + 1). Source: Lehmann and Romano (2005), Testing Statistical
Hypotheses, section 15.2. T is the standardised t of Boehmer, Musumeci and Poulsen (1991), since a raw mean rejects
wherever events merely bring variance; correlation between events needs no correction, because every turn has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from backtest.base.estimate import ROWS
from backtest.base.progress import Progress, silent
from backtest.base.tasks import parts
from backtest.base.units import DAY_MS
from backtest.market.record import Flags, Floats
from backtest.study.abnormal import Measure, Series
from backtest.study.alignment import FitRow
from backtest.study.models import ROUNDING, Ints, Windows
from backtest.study.rolling import CumulatedSeries, cumulated_series, path_sums, rolling_sums

# Dates summed at once.
_ROWS = ROWS
# Cells of the mean paths of all groups held at once.
_CELLS = 4_000_000
# Rows of all turns together; beyond it fewer turns are taken, but never fewer than FEWEST_TURNS.
MOST_ROWS = 400_000
FEWEST_TURNS = 199
# Halvings by which the least effect is found.
_HALVINGS = 14
# The least effect is sought up to so many forecast errors of one event.
_WIDEST = 40.0
POWER = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """E events under B common shifts, on a panel laid end to end with itself.

    Attributes
    ----------
    kinds : tuple of FitRow
        What the dates are of, with onset 0: what is the same but for its onset shares its dates.
    kind : (R,) int64
        Of each date, in ascending order; dates of the same columns follow each other.
    onset : (R,) int64
    table : (B, E) int64
        Date of each event under each shift.
    bars : int
        Length of the circle.
    """

    kinds: tuple[FitRow, ...]
    kind: Ints
    onset: Ints
    table: Ints
    bars: int

    @property
    def count(self) -> int:
        """Number B of shifts, the observed one left out."""
        return len(self.table)

    def row(self, date: int) -> FitRow:
        """What is fitted on a date."""
        kind: FitRow = self.kinds[self.kind[date]]
        return replace(kind, onset=int(self.onset[date]))


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums of one measure on R dates: `car`, `scar` and `unit` = CAR / SCAR (R, V), NaN where a bar is missing.

    `coefficient` (R, P) is the model of each date, as in `RollingSums`.
    """

    car: Floats
    scar: Floats
    unit: Floats
    coefficient: Floats


def step_of(bar_ms: int, *, weekly: bool) -> int:
    """Bars from one turn to the next: the fewest that are whole days, or weeks."""
    period = 7 * DAY_MS if weekly else DAY_MS
    return period // math.gcd(period, bar_ms)


def most_turns(asked: int, events: int) -> int:
    """Turns that are taken of as many as are asked for: their dates together are bounded."""
    return min(asked, max(FEWEST_TURNS, MOST_ROWS // max(events, 1)))


def turn(observed: Sequence[FitRow], bars: int, step: int, windows: Windows, most: int, seed: int) -> Turns:
    """All turns of the calendar, or a seeded choice of `most`; none where the circle is shorter than the windows.

    `bars` is the length of the panel; the circle is as many whole steps as it holds.
    """
    circle = bars // step * step
    longest = windows.length + max((row.width for row in observed), default=1)
    turns = np.arange(1, circle // step, dtype=np.int64)
    if circle < longest or not len(observed):
        turns = turns[:0]
    most = most_turns(most, len(observed))
    if len(turns) > most:
        turns = np.sort(np.random.default_rng(seed).choice(turns, most, replace=False))
    onset = np.array([row.onset for row in observed], dtype=np.int64)
    moved = (onset + turns[:, None] * step) % max(circle, 1)
    # One bar more for the first return; what begins before the circle does is read from its second lap.
    moved += np.where(moved + windows.start < 1, circle, 0)
    table = np.empty(moved.shape, dtype=np.int64)
    alike: dict[FitRow, list[int]] = {}
    for event, row in enumerate(observed):
        alike.setdefault(replace(row, onset=0), []).append(event)
    kinds = sorted(alike, key=lambda row: (row.columns, row.width, row.unused))
    dates: list[Ints] = []
    count = 0
    for row in kinds:
        own, places = np.unique(moved[:, alike[row]], return_inverse=True)
        table[:, alike[row]] = places.reshape(len(turns), len(alike[row])) + count
        dates.append(own)
        count += len(own)
    kind = np.repeat(np.arange(len(kinds)), [len(own) for own in dates])
    return Turns(tuple(kinds), kind, np.concatenate((np.empty(0, dtype=np.int64), *dates)), table, circle)


def twice(source: Series, circle: int) -> Series:
    """The first `circle` bars of a series, and the same again."""
    double = np.concatenate((source.values[:circle], source.values[:circle]))
    seasons = source.seasons
    if seasons is not None:
        seasons = np.concatenate((seasons[:circle], seasons[:circle]))
    return replace(source, values=double, seasons=seasons)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitting:
    """What the tasks of a placebo share: dates of a series, and what they are summed over."""

    measure: Measure
    source: Series
    turns: Turns
    windows: Windows
    minimum: int
    spans: Ints
    bounds: tuple[int, ...]
    width: int


def placebo_sums(
    measure: Measure,
    source: Series,
    turns: Turns,
    windows: Windows,
    minimum: int,
    spans: Ints,
    cluster: str | None = None,
    progress: Progress = silent,
) -> Sums:
    """Sums of all R placebo dates over V `spans`; one whose model is rejected is NaN."""
    most = 1 + len(source.benchmarks) if source.seasons is None else int(source.seasons.max()) + 1
    width = 3 * len(spans) + most
    work = _Fitting(measure, twice(source, turns.bars), turns, windows, minimum, spans, _bounds(turns), width)
    found = np.empty((len(turns.onset), width))
    name, tasks = measure.replace("_", " "), len(work.bounds) - 1
    progress(name, 0, tasks)
    for done, (number, content) in enumerate(parts(_summed, work, range(tasks), cluster), 1):
        progress(name, done, tasks)
        rows = found[work.bounds[number] : work.bounds[number + 1]]
        rows[:] = np.frombuffer(content).reshape(rows.shape)
    car, scar, unit, coefficient = np.split(found, np.arange(1, 4) * len(spans), axis=1)
    return Sums(car, scar, unit, coefficient)


def _bounds(turns: Turns) -> tuple[int, ...]:
    """Where each task begins and the last ends: dates of one coin, and not too many."""
    columns = [kind.columns for kind in turns.kinds]
    first = {one: place for place, one in reversed(list(enumerate(columns)))}
    starts = [*np.searchsorted(turns.kind, sorted(first.values())).tolist(), len(turns.kind)]
    return (0, *(at for low, high in pairwise(starts) for at in (*range(low + _ROWS, high, _ROWS), high)))


def _summed(work: _Fitting, number: int) -> bytes:
    """One task: CAR, SCAR, unit and coefficients of some of the dates, side by side."""
    low, high = work.bounds[number], work.bounds[number + 1]
    found = np.full((high - low, work.width), np.nan)
    kind = work.turns.kind[low:high]
    for one in np.unique(kind).tolist():
        row, mine = work.turns.kinds[one], np.flatnonzero(kind == one)
        series = _cumulated_once(work.source, row.columns)
        onset = work.turns.onset[low:high][mine]
        sums = rolling_sums(work.measure, work.source, series, row, onset, work.windows, work.minimum, work.spans)
        told = np.concatenate((sums.car, sums.scar, unit_of(sums.car, sums.scar), sums.coefficient), axis=1)
        found[mine, : told.shape[1]] = told
    return found.tobytes()


# Several tasks, and the paths after them, ask for the same coin in turn.
@lru_cache(maxsize=1)
def _cumulated_once(source: Series, columns: tuple[int, ...]) -> CumulatedSeries:
    return cumulated_series(source, columns, source.benchmarks_of(FitRow(columns, 0, 1)))


def mean_paths(
    measure: Measure, source: Series, turns: Turns, placebo: Sums, steps: Ints, groups: Sequence[Ints]
) -> Floats:
    """(G, B, W) mean path of the events of each group under each shift over W `steps`, missing bars left out."""
    double = twice(source, turns.bars)
    held: dict[int, list[int]] = {}
    for place, events in enumerate(groups):
        for event in events.tolist():
            held.setdefault(event, []).append(place)
    paths = np.full((len(groups), turns.count, len(steps)), np.nan)
    if not turns.count:
        return paths
    kinds = turns.kind[turns.table[0]]
    ordered = sorted(held, key=lambda event: (kinds[event], event))
    block = max(_CELLS // max(len(groups) * turns.count, 1), 1)
    for first in range(0, len(steps), block):
        some = slice(first, first + block)
        total, count = np.zeros((2, *paths[:, :, some].shape))
        for event in ordered:
            row, dates = turns.kinds[kinds[event]], turns.table[:, event]
            series = _cumulated_once(double, row.columns)
            values = path_sums(measure, series, row.width, turns.onset[dates], placebo.coefficient[dates], steps[some])
            known = ~np.isnan(values)
            values[~known] = 0.0
            for place in held[event]:
                total[place] += values
                count[place] += known
        np.divide(total, count, out=paths[:, :, some], where=count > 0)
    _cumulated_once.cache_clear()
    return paths


def unit_of(car: Floats, scar: Floats) -> Floats:
    """Forecast-error standard deviation of each sum, by which it was standardised; NaN where it is unknown."""
    return np.where(np.abs(scar) > 0, car / np.where(scar == 0, 1.0, scar), np.nan)


def standardised_t(scar: Floats, sign: Floats) -> Floats:
    """(..., V) t = sqrt(n) mean / s of signed standardised sums (..., n, V); the sum itself where n = 1.

    NaN is left out; NaN where fewer than two of several events are known, or they do not vary.
    """
    return _shifted(scar * sign[:, None], None).t(0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Shifted:
    """Moments over events of s + e u, from which the t of any effect e follows; `lone` events are their own t."""

    count: Ints
    mean: Floats
    scatter: Floats
    slope: Floats
    product: Floats
    square: Floats
    lone: bool

    def t(self, effect: Floats | float) -> Floats:
        """(..., V) t of each cross-section where every event has `effect` (V,) more."""
        mean = self.mean + effect * self.slope
        if self.lone:
            return np.where(self.count > 0, mean, np.nan)
        scatter = self.scatter + effect * (2.0 * self.product + effect * self.square)
        variance = scatter / np.maximum(self.count - 1, 1)
        usable = (self.count > 1) & (variance > ROUNDING * np.square(mean))
        return np.where(usable, mean * np.sqrt(self.count) / np.sqrt(np.where(usable, variance, 1.0)), np.nan)


def _shifted(scar: Floats, unit: Floats | None) -> _Shifted:
    """Moments of (..., n, V) sums and of 1 / `unit`, over the events whose sum is known (and unit, where given)."""
    known = ~np.isnan(scar) if unit is None else ~(np.isnan(scar) | np.isnan(unit))
    count = known.sum(axis=-2)
    mean, away = _centred(scar, known, count)
    scatter = np.square(away).sum(axis=-2)
    lone = scar.shape[-2] == 1
    if unit is None:
        none = np.zeros(())
        return _Shifted(count, mean, scatter, none, none, none, lone)
    slope, steps = _centred(1.0 / unit, known, count)
    return _Shifted(count, mean, scatter, slope, (away * steps).sum(axis=-2), np.square(steps).sum(axis=-2), lone)


def _centred(values: Floats, known: Flags, count: Ints) -> tuple[Floats, Floats]:
    """(..., V) mean of the known events, and (..., n, V) deviations from it, zero where unknown."""
    mean = np.where(known, values, 0.0).sum(axis=-2) / np.maximum(count, 1)
    return mean, np.where(known, values - mean[..., None, :], 0.0)


def mean_of(values: Floats, sign: Floats) -> Floats:
    """(..., V) mean over n events of signed values (..., n, V), missing ones left out; NaN where all are."""
    signed = values * sign[:, None]
    known = ~np.isnan(signed)
    count = known.sum(axis=-2)
    return np.where(count > 0, np.where(known, signed, 0.0).sum(axis=-2) / np.maximum(count, 1), np.nan)


def least_effect(scar: Floats, unit: Floats, level: float) -> Floats:
    """(V,) least common effect that the placebo test would have found in 80 % of B turns (B, n, V); inf where none.

    The effect is added to every event of every turn and its |t| compared with the (1 - `level`) quantile of |t|
    without it: what the test could have seen on these very data. NaN where fewer than two turns are defined.
    """
    null = np.abs(standardised_t(scar, np.ones(scar.shape[-2])))
    defined = (~np.isnan(null)).sum(axis=0)
    # p <= level asks for at most k - 1 turns as extreme, so for more than the k-th largest.
    rank = np.maximum(((defined + 1) * level).astype(np.int64), 1)
    ordered = np.sort(np.where(np.isnan(null), -np.inf, null), axis=0)
    spans = np.arange(scar.shape[-1])
    critical = ordered[np.maximum(len(ordered) - rank, 0), spans] if len(ordered) else np.full(len(spans), np.nan)
    shifted = _shifted(scar, unit)
    low = np.zeros(len(spans))
    most = _WIDEST * np.array([np.median(by[~np.isnan(by)]) if not np.isnan(by).all() else 0.0 for by in unit.T])
    high = most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        found = np.abs(shifted.t(middle)) > critical
        enough = found.sum(axis=0) >= POWER * defined
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    none = ((defined + 1) * level < 1.0) | (high >= most)
    return np.where(defined < 2, np.nan, np.where(none, np.inf, high))
