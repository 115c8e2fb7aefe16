"""Intervals for any metric of a return series by the stationary bootstrap, which keeps runs of bars together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from backtest.base.errors import UsageError, shortened
from backtest.market.record import Flags, Floats
from backtest.scoring.block_length import FEWEST, block_length

NAN = float("nan")
MOST_DRAWS = 100_000
MOST_UNDEFINED = 0.05
# Cells of one chunk of the index matrix: memory does not grow with bars or draws, and a chunk stays in the cache.
_CHUNK = 2**15

ReturnStatistic = Callable[[Floats], float]
Statistics = Callable[[Floats], Floats]
"""The same statistic of each row: (C, T) returns to (C,) numbers."""
Drawing = Callable[[Floats, float, int, int], Floats | None]
"""Maps returns (T,), mean block length, draws and seed to statistics (V, draws); None if it cannot do these returns."""
IntervalMethod = Literal["percentile", "bca"]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A metric with its confidence interval.

    `value` is the metric of the returns as they are, in its own unit; `low` and `high` enclose the true one with
    probability `level`, NaN with the `reason` where they are undefined. `block` is the mean block length in bars,
    `undefined` the number of the `draws` on which the metric was NaN (they are left out), `n` the number of returns.
    """

    value: float
    low: float
    high: float
    level: float
    block: float
    draws: int
    undefined: int
    n: int
    reason: str = ""


def stationary_indices(bars: int, block: float, draws: int, seed: int) -> Iterator[Indices]:
    """Rows of `draws` resamples of `bars` bars, in chunks (C, T) of bounded size.

    Each bar of a resample follows its predecessor, wrapping from the end to the beginning, but with probability
    1/`block` starts anew anywhere. Politis and Romano, Journal of the American Statistical Association 89 (1994),
    doi:10.1080/01621459.1994.10476870.
    """
    for uniform in uniforms(bars, draws, seed):
        yield _followed(uniform, block)


def uniforms(bars: int, draws: int, seed: int, cells: int | None = None) -> Iterator[Floats]:
    """Chunks (C, 2, T) of what decides whether a block starts at a bar, and which bar starts it."""
    rng = np.random.default_rng(seed)
    rows = max(1, (cells or _CHUNK) // bars)
    for first in range(0, draws, rows):
        # Row by row, so that the draws do not depend on the chunk size.
        yield rng.random((min(rows, draws - first), 2, bars))


def blocks_of(uniform: Floats, block: float) -> tuple[Indices, Indices, Indices, Indices]:
    """Resample, bar, first bar copied and length of each block (B,) of resamples, `block` bars long in the mean."""
    bars = uniform.shape[2]
    anew: Flags = uniform[:, 0] < 1.0 / block
    anew[:, 0] = True
    places = np.flatnonzero(anew)
    row, column = np.divmod(places, bars)
    return row, column, (uniform[row, 1, column] * bars).astype(np.int64), np.diff(places, append=anew.size)


def _followed(uniform: Floats, block: float) -> Indices:
    """Bars (C, T) of resamples whose blocks are `block` bars long in the mean."""
    count, _, bars = uniform.shape
    _, column, start, length = blocks_of(uniform, block)
    drawn = np.repeat(start - column, length).reshape(count, bars)
    drawn += np.arange(bars)
    np.subtract(drawn, bars, out=drawn, where=drawn >= bars)
    return drawn


def drawn_together(
    statistics: Statistics,
    series: Sequence[Floats],
    blocks: Sequence[float],
    draws: int,
    seed: int,
    report: Callable[[int], object] = lambda _: None,
) -> list[Floats]:
    """(V, draws) statistics of resamples of each of S series (T,) of one length, as each alone would have them.

    `statistics` takes (C, T) returns, which it may overwrite, to (V, C) numbers. The random numbers are drawn once.
    `report` is called with the number of draws that are done.
    """
    found: list[list[Floats]] = [[] for _ in series]
    done = 0
    for uniform in uniforms(len(series[0]), draws, seed) if series else ():
        report(done)
        done += len(uniform)
        for drawn, values, block in zip(found, series, blocks, strict=True):
            drawn.append(statistics(values[_followed(uniform, block)]))
    return [np.concatenate(drawn, axis=1) for drawn in found]


def interval(
    statistic: ReturnStatistic,
    returns: npt.ArrayLike,
    *,
    seed: int,
    level: float = 0.9,
    method: IntervalMethod = "percentile",
    draws: int = 1_000,
    block: float | None = None,
) -> Interval:
    """Interval of one `statistic`, which maps (T,) returns to a number; see `intervals`."""
    return intervals((statistic,), returns, seed=seed, level=level, method=method, draws=draws, block=block)[0]


def intervals(
    statistics: Sequence[ReturnStatistic],
    returns: npt.ArrayLike,
    *,
    seed: int,
    level: float = 0.9,
    method: IntervalMethod = "percentile",
    draws: int = 1_000,
    block: float | None = None,
) -> tuple[Interval, ...]:
    """Intervals of several statistics, each of one series, all on the same resamples; see `row_intervals`."""
    each = [_by_row(statistic) for statistic in statistics]
    return row_intervals(each, returns, seed=seed, level=level, method=method, draws=draws, block=block)


def _by_row(statistic: ReturnStatistic) -> Statistics:
    return lambda rows: np.array([statistic(row) for row in rows], dtype=np.float64)


def row_intervals(
    statistics: Sequence[Statistics],
    returns: npt.ArrayLike,
    *,
    seed: int,
    level: float = 0.9,
    method: IntervalMethod = "percentile",
    draws: int = 1_000,
    block: float | None = None,
    drawing: Drawing | None = None,
) -> tuple[Interval, ...]:
    """Intervals of several statistics of `returns` (T,), all on the same resamples; `block` defaults to `block_length`.

    `drawing`, where it can, computes the statistics of resamples without copying the bars.

    `percentile` takes the quantiles of the draws; `bca` corrects them for bias and skew with one more evaluation per
    block (delete-one-block jackknife): Efron, Journal of the American Statistical Association 82 (1987),
    doi:10.1080/01621459.1987.10478410. Bounds are NaN, with the reason, if fewer than 30 returns differ from 0, if
    the statistic is undefined, or if it is undefined on more than 5 % of the draws.

    Raises
    ------
    UsageError
        If `returns` is not a single finite series, or an option is out of range.
    """
    series = np.ascontiguousarray(returns, dtype=np.float64)
    _check(series, level, method, draws, block)
    moving = int(np.count_nonzero(series))
    length = block_length(series) if block is None else block
    reason = "the returns never vary" if math.isnan(length) else ""
    if moving < FEWEST:
        reason = f"{moving} of {len(series)} returns differ from 0, at least {FEWEST} are needed"
    if reason:
        values = [_of(statistic, series) if len(series) else NAN for statistic in statistics]
        return tuple(Interval(value, NAN, NAN, level, length, 0, 0, len(series), reason) for value in values)
    drawn = drawing(series, length, draws, seed) if drawing else None
    if drawn is None:
        drawn = _copied(statistics, series, length, draws, seed)
    return tuple(
        _bounds(statistic, series, values, level, method, length)
        for statistic, values in zip(statistics, drawn, strict=True)
    )


def _copied(statistics: Sequence[Statistics], series: Floats, block: float, draws: int, seed: int) -> Floats:
    """(V, draws) statistics of resamples of `series`, each made and measured."""
    drawn = np.empty((len(statistics), draws))
    done = 0
    for rows in stationary_indices(len(series), block, draws, seed):
        resamples = series[rows]
        for place, statistic in enumerate(statistics):
            drawn[place, done : done + len(rows)] = statistic(resamples)
        done += len(rows)
    return drawn


def _check(series: Floats, level: float, method: IntervalMethod, draws: int, block: float | None) -> None:
    if series.ndim != 1 or not np.isfinite(series).all():
        raise UsageError(f"returns {series.shape} must be one series (T,) of finite numbers: leave out unknown bars")
    if not 0.0 < level < 1.0:
        raise UsageError(f"level = {level} is not between 0 and 1: write 0.9 for a 90% interval")
    if method not in ("percentile", "bca"):
        raise UsageError(f"method {method!r} is unknown; allowed: percentile, bca")
    if draws < 100:
        raise UsageError(
            f"{draws} draws (`bootstrap`) are too few for the quantiles of an interval: use 100 or more, or 0 for none"
        )
    if draws > MOST_DRAWS:
        raise UsageError(f"draws = {shortened(draws)} are more than {MOST_DRAWS:,}: draw fewer")
    if block is not None and not 1.0 <= block <= max(len(series), 1):
        raise UsageError(f"block = {block} is not between 1 and the number of returns ({len(series)})")


def _bounds(
    statistic: Statistics, series: Floats, drawn: Floats, level: float, method: IntervalMethod, block: float
) -> Interval:
    value = _of(statistic, series)
    defined = drawn[~np.isnan(drawn)]
    undefined = len(drawn) - len(defined)
    tails = np.array([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    reason = ""
    if math.isnan(value):
        reason = "the statistic is undefined on these returns"
    elif undefined > MOST_UNDEFINED * len(drawn):
        reason = f"the statistic is undefined on {undefined} of {len(drawn)} draws"
    elif method == "bca":
        tails = _bca_tails(tails, value, defined, _without_blocks(statistic, series, block))
        reason = "" if np.isfinite(tails).all() else "the draws do not surround the statistic"
    low, high = np.quantile(defined, tails) if not reason else (NAN, NAN)
    return Interval(value, float(low), float(high), level, block, len(drawn), undefined, len(series), reason)


def _of(statistic: Statistics, series: Floats) -> float:
    return float(statistic(series[np.newaxis])[0])


def _without_blocks(statistic: Statistics, series: Floats, block: float) -> Floats:
    """The statistic with each block of ceil(`block`) bars left out in turn; undefined values are dropped."""
    size = math.ceil(block)
    left_out = (np.delete(series, slice(first, first + size)) for first in range(0, len(series), size))
    values = np.array([_of(statistic, rest) for rest in left_out], dtype=np.float64)
    return values[~np.isnan(values)]


def _bca_tails(tails: Floats, value: float, drawn: Floats, jackknife: Floats) -> Floats:
    """Share of the draws below each bound: bias z0 from the draws below the value, acceleration from the jackknife."""
    # Imported here: a run uses percentiles, and importing scipy.special costs as much as its whole bootstrap.
    from scipy.special import ndtr, ndtri

    below = (np.count_nonzero(drawn < value) + 0.5 * np.count_nonzero(drawn == value)) / len(drawn)
    away = jackknife.mean() - jackknife if len(jackknife) else np.zeros(1)
    spread = float((away**2).sum())
    acceleration = float((away**3).sum()) / (6.0 * spread**1.5) if spread > 0.0 else 0.0
    bias = float(ndtri(below))
    if not math.isfinite(bias):
        return np.full(2, NAN)
    shifted = bias + ndtri(tails)
    return np.asarray(ndtr(bias + shifted / (1.0 - acceleration * shifted)), dtype=np.float64)
