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

import numpy as np

from backtest.base.estimate import ROWS
from backtest.base.progress import Progress, silent
from backtest.base.tasks import parts
from backtest.base.units import DAY_MS
from backtest.market.record import Floats
from backtest.study.abnormal import Measure, Series, effects, fit, sums
from backtest.study.alignment import FitRow
from backtest.study.cumulation import ROUNDING
from backtest.study.models import Ints, Windows

# Rows fitted at once: a model's residuals are dropped before the next rows are fitted.
_ROWS = ROWS
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
    """E events under B common shifts.

    Attributes
    ----------
    rows : tuple of R Row
        Each placebo row once, on a panel laid end to end with itself.
    table : (B, E) int64
        Row of each event under each shift.
    bars : int
        Length of the circle.
    """

    rows: tuple[FitRow, ...]
    table: Ints
    bars: int

    @property
    def count(self) -> int:
        """Number B of shifts, the observed one left out."""
        return len(self.table)


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums of one measure: `car`, `scar` and `unit` = CAR / SCAR (..., V), `path` (..., W); NaN where a bar is missing.

    Of E observed events (E, V), or of R placebo rows (R, V).
    """

    car: Floats
    scar: Floats
    unit: Floats
    path: Floats


def step_of(bar_ms: int, *, weekly: bool) -> int:
    """Bars from one turn to the next: the fewest that are whole days, or weeks."""
    period = 7 * DAY_MS if weekly else DAY_MS
    return period // math.gcd(period, bar_ms)


def turn(observed: Sequence[FitRow], bars: int, step: int, windows: Windows, most: int, seed: int) -> Turns:
    """All turns of the calendar, or a seeded choice of `most`; none where the circle is shorter than the windows.

    `bars` is the length of the panel; the circle is as many whole steps as it holds.
    """
    places: list[FitRow] = []
    alike: dict[FitRow, dict[int, int]] = {}
    circle = bars // step * step
    longest = windows.length + max((row.width for row in observed), default=1)
    turns = np.arange(1, circle // step, dtype=np.int64)
    if circle < longest or not len(observed):
        turns = turns[:0]
    most = min(most, max(FEWEST_TURNS, MOST_ROWS // max(len(observed), 1)))
    if len(turns) > most:
        turns = np.sort(np.random.default_rng(seed).choice(turns, most, replace=False))
    onset = np.array([row.onset for row in observed], dtype=np.int64)
    moved = (onset + turns[:, None] * step) % max(circle, 1)
    # One bar more for the first return; what begins before the circle does is read from its second lap.
    moved += np.where(moved + windows.start < 1, circle, 0)
    table = np.empty(moved.shape, dtype=np.int64)
    for event, row in enumerate(observed):
        # What is the same but for its onset shares its rows.
        of_onset = alike.setdefault(replace(row, onset=0), {})
        for at in moved[:, event].tolist():
            if at not in of_onset:
                of_onset[at] = len(places)
                places.append(replace(row, onset=at))
        table[:, event] = [of_onset[at] for at in moved[:, event].tolist()]
    return Turns(tuple(places), table, circle)


def twice(source: Series, circle: int) -> Series:
    """The first `circle` bars of a series, and the same again."""
    double = np.concatenate((source.values[:circle], source.values[:circle]))
    seasons = source.seasons
    if seasons is not None:
        seasons = np.concatenate((seasons[:circle], seasons[:circle]))
    return replace(source, values=double, seasons=seasons)


@dataclass(frozen=True, slots=True, eq=False)
class _Fitting:
    """What the tasks of a placebo share: rows of a series, and what they are summed over."""

    measure: Measure
    source: Series
    rows: tuple[FitRow, ...]
    windows: Windows
    minimum: int
    spans: Ints
    steps: Ints


def placebo_sums(
    measure: Measure,
    source: Series,
    turns: Turns,
    windows: Windows,
    minimum: int,
    spans: Ints,
    steps: Ints,
    cluster: str | None = None,
    progress: Progress = silent,
) -> Sums:
    """Sums of all R placebo rows over V `spans` and along W `steps`; a row whose model is rejected is NaN."""
    count = len(turns.rows)
    work = _Fitting(measure, twice(source, turns.bars), turns.rows, windows, minimum, spans, steps)
    found = np.empty((count, 3 * len(spans) + len(steps)))
    name, tasks = measure.replace("_", " "), -(-count // _ROWS)
    progress(name, 0, tasks)
    for done, (number, content) in enumerate(parts(_fitted, work, range(tasks), cluster), 1):
        progress(name, done, tasks)
        rows = found[number * _ROWS : (number + 1) * _ROWS]
        rows[:] = np.frombuffer(content).reshape(rows.shape)
    car, scar, unit, path = np.split(found, np.arange(1, 4) * len(spans), axis=1)
    return Sums(car, scar, unit, path)


def _fitted(work: _Fitting, number: int) -> bytes:
    """One task: CAR, SCAR, unit and path of some of the rows, side by side."""
    rows = work.rows[number * _ROWS : (number + 1) * _ROWS]
    returns = fit(work.source, rows, work.windows, work.minimum)
    width = np.array([row.width for row in rows], dtype=np.int64)
    found = effects(work.measure, returns, work.spans, width)
    path = sums(work.measure, returns, work.steps, width)
    return np.concatenate((found.car, found.scar, unit_of(found.car, found.scar), path), axis=1).tobytes()


def unit_of(car: Floats, scar: Floats) -> Floats:
    """Forecast-error standard deviation of each sum, by which it was standardised; NaN where it is unknown."""
    return np.where(np.abs(scar) > 0, car / np.where(scar == 0, 1.0, scar), np.nan)


def standardised_t(scar: Floats, sign: Floats) -> Floats:
    """(..., V) t = sqrt(n) mean / s of signed standardised sums (..., n, V); the sum itself where n = 1.

    NaN is left out; NaN where fewer than two of several events are known, or they do not vary.
    """
    values = scar * sign[:, None]
    if values.shape[-2] == 1:
        return np.asarray(values[..., 0, :])
    known = ~np.isnan(values)
    count = known.sum(axis=-2)
    mean = np.where(known, values, 0.0).sum(axis=-2) / np.maximum(count, 1)
    scatter = np.square(np.where(known, values - mean[..., None, :], 0.0)).sum(axis=-2)
    variance = scatter / np.maximum(count - 1, 1)
    usable = (count > 1) & (variance > ROUNDING * np.square(mean))
    return np.where(usable, mean * np.sqrt(count) / np.sqrt(np.where(usable, variance, 1.0)), np.nan)


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
    one = np.ones(scar.shape[-2])
    null = np.abs(standardised_t(scar, one))
    defined = (~np.isnan(null)).sum(axis=0)
    # p <= level asks for at most k - 1 turns as extreme, so for more than the k-th largest.
    rank = np.maximum(((defined + 1) * level).astype(np.int64), 1)
    ordered = np.sort(np.where(np.isnan(null), -np.inf, null), axis=0)
    spans = np.arange(scar.shape[-1])
    critical = ordered[np.maximum(len(ordered) - rank, 0), spans] if len(ordered) else np.full(len(spans), np.nan)
    low = np.zeros(len(spans))
    most = _WIDEST * np.array([np.median(by[~np.isnan(by)]) if not np.isnan(by).all() else 0.0 for by in unit.T])
    high = most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        found = np.abs(standardised_t(scar + middle / unit, one)) > critical
        enough = found.sum(axis=0) >= POWER * defined
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    none = ((defined + 1) * level < 1.0) | (high >= most)
    return np.where(defined < 2, np.nan, np.where(none, np.inf, high))
