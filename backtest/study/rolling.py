"""Abnormal sums of many dates of one series: each window a difference of cumulated sums, not a copy of its bars.

A placebo fits the same coin on every date that a shift can bring it to. Sums of y, x, y^2, xy and x^2 over any window
are differences of two entries of their cumulated series, so a date costs the same whatever the length of its windows,
and a coin costs its bars once. Series are centred first and cumulated in two steps (inside blocks, then over blocks):
what is lost is the rounding of the cumulated sum itself. A date whose residual scatter is small against that sum
(`LEAST_SHARE`), whose benchmarks are nearly collinear, or whose forecast error is small against its rounding is fitted
from its own bars (`backtest.study.abnormal.fit`) instead, so that all others agree with that to `BOUND`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backtest.market.record import Flags, Floats
from backtest.study.abnormal import Measure, Series, effects, fit
from backtest.study.alignment import FitRow
from backtest.study.models import Ints, Windows

BOUND = 1e-9
"""Most relative difference of a forecast error, and most difference of a standardised sum, from a fit of the bars."""
LEAST_SHARE = 1e-5
"""Least share of a cumulated sum of squares at which a window's scatter is taken from it."""
_LEAST_DETERMINANT = 1e-2
_BLOCK = 1_024
_ROUNDING = 64 * np.finfo(np.float64).eps


@dataclass(frozen=True, slots=True, eq=False)
class SeasonTable:
    """Bars by season: `counts` (p + 1, S) bars of each season before each bar of a period of p bars.

    `starts` (S,) places of each season in `sums` and `known` (T + S,), cumulated over the bars of one season alone.
    """

    counts: Ints
    starts: Ints
    sums: Floats
    known: Ints

    @property
    def period(self) -> int:
        """P."""
        return len(self.counts) - 1

    def before(self, bars: Ints) -> Ints:
        """(..., S) bars of each season before each of `bars`."""
        whole, rest = np.divmod(bars, self.period)
        found: Ints = self.counts[rest] + whole[..., None] * self.counts[-1]
        return found

    def within(self, first: Ints, last: Ints) -> tuple[Ints, Floats]:
        """(..., S) known bars and sums of each season from `first` to before `last`."""
        low, high = self.before(first) + self.starts, self.before(last) + self.starts
        return self.known[high] - self.known[low], self.sums[high] - self.sums[low]


@dataclass(frozen=True, slots=True, eq=False)
class CumulatedSeries:
    """One series to explain and its M benchmarks over T bars, cumulated; unknown bars count as zero in every sum.

    Attributes
    ----------
    value : (T,) float64
        What is explained less its mean `centre`; NaN where it or a benchmark is unknown.
    known : (T + 1,) int64
        Known bars before each.
    changes : (T + 1,) int64
        Bars before each on which what is explained is not what it was on the known bar before.
    total, squares, own : (T + 1,) float64
        Sums of `value`, of its square, and of the square of the series itself (another where a benchmark is taken off).
    own_total : (T + 1,) float64
    x, xy : (T + 1, M) float64
        Sums of the centred benchmarks, and of their products with `value`.
    xx : (T + 1, M, M) float64
    offset : float
        Intercept of a model that estimates none, else NaN.
    centre : float
    centres : (M,) float64
    season : (T,) int64 or None
    seasons : SeasonTable or None
    """

    value: Floats
    known: Ints
    changes: Ints
    total: Floats
    squares: Floats
    own: Floats
    own_total: Floats
    x: Floats
    xy: Floats
    xx: Floats
    offset: float
    centre: float
    centres: Floats
    season: Ints | None
    seasons: SeasonTable | None

    @property
    def bars(self) -> int:
        """T."""
        return len(self.value)


@dataclass(frozen=True, slots=True, eq=False)
class RollingSums:
    """Sums of R dates over V spans: `car` and `scar` (R, V), NaN where rejected or a bar is missing.

    `coefficient` (R, P) holds each date's model for `CumulatedSeries`: intercept and slopes, or a mean a season.
    """

    car: Floats
    scar: Floats
    coefficient: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Model:
    """Fits of R dates: coefficients, residual scatter against `own`, and how a sum over a span errs (S or M)."""

    coefficient: Floats
    usable: Ints
    scatter: Floats
    parameters: int
    mean: Floats
    spread: Floats
    rejected: Flags
    trusted: Flags


def cumulated(values: Floats) -> Floats:
    """(T + 1, ...) sums of (T, ...) values before each bar, in blocks: the error of a window grows with its blocks."""
    count = len(values)
    blocks = -(-count // _BLOCK)
    padded = np.zeros((blocks * _BLOCK, *values.shape[1:]))
    padded[:count] = values
    inside = np.cumsum(padded.reshape(blocks, _BLOCK, *values.shape[1:]), axis=1)
    before = np.zeros((blocks, *values.shape[1:]))
    np.cumsum(inside[:-1, -1], axis=0, out=before[1:])
    sums = np.zeros((count + 1, *values.shape[1:]))
    sums[1:] = (inside + before[:, None]).reshape(padded.shape)[:count]
    return sums


def cumulated_series(source: Series, columns: Sequence[int], benchmarks: Sequence[int]) -> CumulatedSeries:
    """The equal-weighted mean of some columns, and what explains it, cumulated."""
    y = source.values[:, list(columns)].mean(axis=1)
    x = source.values[:, list(benchmarks)]
    known = ~(np.isnan(y) | np.isnan(x).any(axis=1))
    own, _ = _centred(y[:, None], known)
    changed = np.zeros(len(y) + 1, dtype=np.int64)
    changed[1:][np.flatnonzero(known)[1:]] = np.diff(y[known]) != 0.0
    adjusted = source.model == "market_adjusted" and source.seasons is None
    if adjusted:
        y, x = y - x.mean(axis=1), x[:, :0]
    value, centre = _centred(y[:, None], known)
    x, centres = _centred(x, known)
    y = value[:, 0]
    season = source.seasons
    return CumulatedSeries(
        value=np.where(known, y, np.nan),
        known=np.concatenate(([0], np.cumsum(known))),
        changes=np.cumsum(changed),
        total=cumulated(y),
        squares=cumulated(np.square(y)),
        own=cumulated(np.square(own[:, 0])),
        own_total=cumulated(own[:, 0]),
        x=cumulated(x),
        xy=cumulated(x * y[:, None]),
        xx=cumulated(x[:, :, None] * x[:, None, :]),
        offset=-float(centre[0]) if adjusted else np.nan,
        centre=float(centre[0]),
        centres=centres,
        season=season,
        seasons=None if season is None else _season_table(season, y, known),
    )


def _centred(values: Floats, known: Flags) -> tuple[Floats, Floats]:
    """(T, M) values less their mean over the known bars (M,), zero elsewhere."""
    inside = np.where(known[:, None], values, 0.0)
    mean = inside.sum(axis=0) / max(int(known.sum()), 1)
    return np.where(known[:, None], inside - mean, 0.0), mean


def _season_table(season: Ints, value: Floats, known: Flags) -> SeasonTable:
    number = int(season.max()) + 1
    period = _period(season)
    counts = np.zeros((period + 1, number), dtype=np.int64)
    np.cumsum(season[:period, None] == np.arange(number), axis=0, out=counts[1:])
    order = np.argsort(season, kind="stable")
    size = np.bincount(season, minlength=number)
    # Each season begins with a zero of its own.
    starts = np.cumsum(size + 1) - size - 1
    sums, counted = np.zeros(len(order) + number), np.zeros(len(order) + number, dtype=np.int64)
    for one in range(number):
        part = order[starts[one] - one : starts[one] - one + size[one]]
        sums[starts[one] : starts[one] + size[one] + 1] = cumulated(value[part])
        counted[starts[one] + 1 : starts[one] + size[one] + 1] = np.cumsum(known[part])
    return SeasonTable(counts, starts, sums, counted)


def _period(season: Ints) -> int:
    """Fewest bars after which the seasons repeat; all of them where they never do."""
    head = 4_096
    for period in (np.flatnonzero(season[1:] == season[0]) + 1).tolist():
        near = season[period : period + head]
        if (near == season[: len(near)]).all() and (season[period:] == season[:-period]).all():
            return int(period)
    return len(season)


def rolling_sums(
    measure: Measure,
    source: Series,
    series: CumulatedSeries,
    row: FitRow,
    onset: Ints,
    windows: Windows,
    minimum: int,
    spans: Ints,
) -> RollingSums:
    """Sums over `spans` of a row moved to each of R onsets; `series` is that of the row's columns and benchmarks."""
    first, last = raw_bars(spans, row.width)
    start, end = _inside(onset[:, None] + first, series), _inside(onset[:, None] + last, series)
    bars = (last - first).astype(np.float64)
    model = (_seasonal if series.seasons is not None else _regressed)(series, onset, row, windows)
    total = series.total[end] - series.total[start]
    if series.seasons is not None:
        counts = series.seasons.before(end) - series.seasons.before(start)
        car = total - (counts * model.coefficient[:, None, :]).sum(axis=2)
        correction = bars + (np.square(counts) * model.spread[:, None, :]).sum(axis=2)
    else:
        moved = series.x[end] - series.x[start]
        car = total - bars * model.coefficient[:, :1] - (moved * model.coefficient[:, None, 1:]).sum(axis=2)
        correction = np.broadcast_to(bars, car.shape)
        if np.isnan(series.offset):
            away = moved - bars[:, None] * model.mean[:, None, :]
            uncertain = (np.einsum("rvm,rml->rvl", away, model.spread) * away).sum(axis=2)
            correction = bars + np.square(bars) / np.maximum(model.usable, 1)[:, None] + uncertain
    sigma = np.sqrt(np.maximum(model.scatter, 0.0) / np.maximum(model.usable - model.parameters, 1))
    unit = sigma[:, None] * np.sqrt(correction)
    short = model.usable < minimum
    rejected = model.rejected | short
    largest = float(np.abs(series.total).max())
    # Whether a date is rejected is counted, so no rounding reaches it.
    trusted = rejected | (model.trusted & (_ROUNDING * largest <= BOUND * unit.min(axis=1)))
    missing = (series.known[end] - series.known[start] < bars) | rejected[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        scar = np.where(missing, np.nan, car / unit)
    car = np.where(missing, np.nan, car / bars if measure == "volume" else car)
    coefficient = np.where(rejected[:, None], np.nan, model.coefficient)
    if not trusted.all():
        own = _refitted(measure, source, series, row, onset[~trusted], windows, minimum, spans)
        car[~trusted], scar[~trusted], coefficient[~trusted] = own.car, own.scar, own.coefficient
    return RollingSums(car, scar, coefficient)


def path_sums(
    measure: Measure, series: CumulatedSeries, width: int, onset: Ints, coefficient: Floats, steps: Ints
) -> Floats:
    """(R, W) sums over `steps`, for volume the mean of each step's bars, under given coefficients (R, P)."""
    first, last = raw_bars(steps, width)
    start, end = _inside(onset[:, None] + first, series), _inside(onset[:, None] + last, series)
    bars = last - first
    sums = series.total[end] - series.total[start]
    if series.seasons is not None:
        phase = onset % series.seasons.period
        for one in np.unique(phase).tolist():
            # Dates of one phase have the same seasons; those of whole days apart are of one phase.
            rows = np.flatnonzero(phase == one)
            counts = series.seasons.before(end[rows[0]]) - series.seasons.before(start[rows[0]])
            sums[rows] -= coefficient[rows] @ counts.T
    else:
        sums -= bars * coefficient[:, :1]
        for place in range(series.x.shape[1]):
            x = np.ascontiguousarray(series.x[:, place])
            sums -= (x[end] - x[start]) * coefficient[:, place + 1, None]
    sums[series.known[end] - series.known[start] < bars] = np.nan
    return sums / bars if measure == "volume" else sums


def raw_bars(spans: Ints, width: int) -> tuple[Ints, Ints]:
    """(V,) first bar of each span and the bar after its last, relative to an onset whose bar 0 is `width` bars."""
    first, last = spans[:, 0], spans[:, 1] + 1
    return np.where(first > 0, first + width - 1, first), np.where(last > 0, last + width - 1, last)


def _inside(bars: Ints, series: CumulatedSeries) -> Ints:
    # A bar outside the data is a missing one: fewer are known than the window has.
    return np.clip(bars, 0, series.bars)


def _estimation(series: CumulatedSeries, onset: Ints, row: FitRow, windows: Windows) -> list[tuple[int, Ints, Ints]]:
    """Sign, first bar and bar after the last of the estimation window, and of the parts of it that are left out."""
    start, stop = windows.start, windows.start + windows.estimation
    parts = [(1, start, stop)]
    reached = start
    for first, last in sorted(row.unused):
        low, high = max(first, reached), min(last + 1, stop)
        if low < high:
            parts.append((-1, low, high))
            reached = high
    return [(sign, _inside(onset + first, series), _inside(onset + last, series)) for sign, first, last in parts]


def _flat(series: CumulatedSeries, parts: Sequence[tuple[int, Ints, Ints]]) -> Flags:
    """(R,) whether what is explained never changes in the estimation window: it has no variance."""
    _, first, last = parts[0]
    flat: Flags = series.changes[last] == series.changes[np.minimum(first + 1, last)]
    return flat


def _over(parts: Sequence[tuple[int, Ints, Ints]], sums: Floats | Ints) -> Floats:
    """(R, ...) sums over the estimation window without what is left out of it."""
    return np.asarray(sum(sign * (sums[last] - sums[first]) for sign, first, last in parts), dtype=np.float64)


def _regressed(series: CumulatedSeries, onset: Ints, row: FitRow, windows: Windows) -> _Model:
    """Least squares on the benchmarks, or the spread alone where the model has an intercept of its own."""
    parts = _estimation(series, onset, row, windows)
    last = parts[0][2]
    usable = _over(parts, series.known).astype(np.int64)
    n = np.maximum(usable, 1).astype(np.float64)
    count = series.x.shape[1]
    mean_y, mean_x = _over(parts, series.total) / n, _over(parts, series.x) / n[:, None]
    yy = _over(parts, series.squares) - n * np.square(mean_y)
    xy = _over(parts, series.xy) - n[:, None] * mean_x * mean_y[:, None]
    xx = _over(parts, series.xx) - n[:, None, None] * mean_x[:, :, None] * mean_x[:, None, :]
    scale = np.diagonal(xx, axis1=1, axis2=2)
    # Where the cumulated sum is far larger than the window's, its rounding is not small against the window.
    before = np.diagonal(series.xx[last], axis1=1, axis2=2)
    trusted = np.asarray((scale > LEAST_SHARE * before).all(axis=1))
    if count > 1:
        safe = np.where(trusted[:, None, None], xx, np.eye(count))
        root = np.sqrt(np.diagonal(safe, axis1=1, axis2=2))
        trusted &= np.linalg.det(safe / (root[:, :, None] * root[:, None, :])) > _LEAST_DETERMINANT
    inverse = np.linalg.inv(np.where(trusted[:, None, None], xx, np.eye(count)))
    beta = (inverse * xy[:, None, :]).sum(axis=2)
    scatter = yy - (beta * xy).sum(axis=1)
    trusted &= scatter > LEAST_SHARE * (series.squares[last] + (np.square(beta) * before).sum(axis=1))
    own = _over(parts, series.own) - np.square(_over(parts, series.own_total)) / n
    trusted &= scatter > LEAST_SHARE * own
    fixed = not np.isnan(series.offset)
    alpha = np.full(len(onset), series.offset) if fixed else mean_y - (beta * mean_x).sum(axis=1)
    coefficient = np.concatenate((alpha[:, None], beta), axis=1)
    flat = _flat(series, parts) & (not fixed)
    return _Model(coefficient, usable, scatter, 1 if fixed else count + 1, mean_x, inverse, flat, trusted | flat)


def _seasonal(series: CumulatedSeries, onset: Ints, row: FitRow, windows: Windows) -> _Model:
    """A mean a season; a season without a known bar rejects the date."""
    assert series.seasons is not None
    parts = _estimation(series, onset, row, windows)
    held = [(sign, *series.seasons.within(first, last)) for sign, first, last in parts]
    number = np.asarray(sum(sign * counted for sign, counted, _ in held))
    total = np.asarray(sum(sign * summed for sign, _, summed in held))
    usable = _over(parts, series.known).astype(np.int64)
    n = np.maximum(number, 1)
    mean = total / n
    scatter = _over(parts, series.squares) - (number * np.square(mean)).sum(axis=1)
    rejected = (number == 0).any(axis=1) | _flat(series, parts)
    own = _over(parts, series.own) - np.square(_over(parts, series.own_total)) / np.maximum(usable, 1)
    trusted = rejected | (scatter > LEAST_SHARE * np.maximum(series.squares[parts[0][2]], own))
    return _Model(mean, usable, scatter, number.shape[1], mean, 1.0 / n, rejected, trusted)


def _refitted(
    measure: Measure,
    source: Series,
    series: CumulatedSeries,
    row: FitRow,
    onset: Ints,
    windows: Windows,
    minimum: int,
    spans: Ints,
) -> RollingSums:
    """What `rolling_sums` gives, each date fitted from its own bars."""
    rows = [replace(row, onset=at) for at in onset.tolist()]
    returns = fit(source, rows, windows, minimum)
    found = effects(measure, returns, spans, np.full(len(rows), row.width, dtype=np.int64))
    if series.seasons is not None:
        means = np.concatenate((returns.alpha[:, None], returns.alpha[:, None] + returns.beta), axis=1)
        coefficient = means - series.centre
    elif np.isnan(series.offset):
        alpha = returns.alpha - series.centre + returns.beta @ series.centres
        coefficient = np.concatenate((alpha[:, None], returns.beta), axis=1)
    else:
        coefficient = np.where(returns.kept, series.offset, np.nan)[:, None]
    return RollingSums(found.car, found.scar, coefficient)
