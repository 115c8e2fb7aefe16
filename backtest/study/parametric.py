"""Parametric tests of abnormal returns: cross-sectional, standardised, cross-correlation robust, portfolio.

Each takes `Cumulated`, K events by V spans, and answers for every span; n is the number of events with every bar of
the span, A_it = AR_it / (sigma_i sqrt(C_it)) a standardised abnormal return. Bars and cumulated spans are one case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from backtest.base.dot import dot
from backtest.base.errors import UsageError
from backtest.base.student import student_quantile
from backtest.market.record import Floats
from backtest.study.cumulation import (
    Cumulated,
    Moments,
    Pairs,
    StatisticOfTest,
    Undefined,
    conclude,
    divide,
    moments,
    normal_p,
    student_p,
    sum_over,
    thinnest,
)
from backtest.study.models import AbnormalReturns, Ints

# Fewer common bars than this say nothing about how two events' residuals move together.
PAIR_BARS = 10
# Cells of residuals compared at once.
_CELLS = 2_000_000
# Estimation bars from which pairs are correlated one by one.
_LONG = 2_000


def cross_sectional_t(cumulated: Cumulated) -> StatisticOfTest:
    """Cross-sectional t: t = CAAR / (s / sqrt(n)); Student's t, n - 1.

    s is the cross-sectional standard deviation of CAR_i. Allows for event-induced variance, not for cross-correlation.
    Source: Brown and Warner (1980), Journal of Financial Economics 8(3), 205-258, doi:10.1016/0304-405X(80)90002-1.
    """
    return _cross_sectional("cross_sectional_t", moments(cumulated.car))


def patell(cumulated: Cumulated) -> StatisticOfTest:
    """Patell: Z = sum_i SCAR_i / sqrt(sum_i d_i / (d_i - 2)), d_i residual degrees of freedom; N(0, 1).

    T - 2 and T - 4 for one benchmark. Allows for neither event-induced variance nor cross-correlation. Source: Patell
    (1976), Journal of Accounting Research 14(2), 246-276, doi:10.2307/2490543.
    """
    returns, scar = cumulated.returns, moments(cumulated.scar)
    variance = np.where(returns.kept, returns.degrees / np.maximum(returns.degrees - 2.0, 1.0), 0.0)
    value = divide(scar.mean * scar.n, np.sqrt(variance @ cumulated.known))
    return conclude("patell", value, normal_p(value), scar.n, ((Undefined.TOO_FEW_EVENTS, scar.n < 1),))


def bmp(cumulated: Cumulated) -> StatisticOfTest:
    """Boehmer-Musumeci-Poulsen: t = mean(SCAR) / (s / sqrt(n)); Student's t, n - 1.

    s is the cross-sectional standard deviation of SCAR_i, whose forecast-error correction includes that of the sum.
    Allows for event-induced variance, not for cross-correlation. Source: Boehmer, Musumeci and Poulsen (1991),
    Journal of Financial Economics 30(2), 253-272, doi:10.1016/0304-405X(91)90032-F.
    """
    return _cross_sectional("bmp", moments(cumulated.scar))


def kolari_pynnonen(cumulated: Cumulated) -> StatisticOfTest:
    """Adjusted BMP: t = t_BMP sqrt((1 - r) / (1 + (n - 1) r)), r from `mean_correlation`; Student's t, n - 1.

    Allows for event-induced variance and cross-correlation. Source: Kolari and Pynnonen (2010), Review of Financial
    Studies 23(11), 3996-4025, doi:10.1093/rfs/hhq072.
    """
    plain = bmp(cumulated)
    value = divide(plain.value, _inflation(cumulated))
    causes = (
        (Undefined.TOO_FEW_EVENTS, plain.n < 2),
        (Undefined.NO_VARIANCE, np.isnan(plain.value)),
        (Undefined.NO_CORRELATION, np.isnan(value)),
    )
    return conclude("kolari_pynnonen", value, student_p(value, plain.n - 1), plain.n, causes)


def kolari_pynnonen_patell(cumulated: Cumulated) -> StatisticOfTest:
    """Adjusted Patell: Z = Z_Patell / sqrt(1 + (n - 1) r), r from `mean_correlation`; N(0, 1).

    Allows for cross-correlation, not for event-induced variance. Source: Kolari and Pynnonen (2010), Review of
    Financial Studies 23(11), 3996-4025, doi:10.1093/rfs/hhq072.
    """
    plain = patell(cumulated)
    value = divide(plain.value, np.sqrt(_positive(1.0 + (plain.n - 1) * mean_correlation(cumulated))))
    # One event alone has nothing to be correlated with.
    value = np.where(plain.n == 1, plain.value, value)
    causes = ((Undefined.TOO_FEW_EVENTS, plain.n < 1), (Undefined.NO_CORRELATION, np.isnan(value)))
    return conclude("kolari_pynnonen_patell", value, normal_p(value), plain.n, causes)


def brown_warner_1980(cumulated: Cumulated) -> StatisticOfTest:
    """Brown-Warner 1980: t = CAAR / (sqrt(m sum_i sigma_i^2) / n).

    Student's t with the events' mean degrees of freedom. Allows for neither event-induced variance nor
    cross-correlation. Source: Brown and Warner (1980), Journal of Financial Economics 8(3), 205-258,
    doi:10.1016/0304-405X(80)90002-1.
    """
    returns, car = cumulated.returns, moments(cumulated.car)
    variances = np.where(returns.kept, np.square(returns.sigma), 0.0) @ cumulated.known
    degrees = divide(returns.degrees.astype(np.float64) @ cumulated.known, car.n)
    value = divide(car.mean * car.n, np.sqrt(variances * cumulated.length))
    return conclude(
        "brown_warner_1980", value, student_p(value, degrees), car.n, ((Undefined.TOO_FEW_EVENTS, car.n < 1),)
    )


def brown_warner_1985(cumulated: Cumulated) -> StatisticOfTest:
    """Brown-Warner 1985: t = sum_t AAR_t / (S sqrt(m)), S the standard deviation of AAR_t over the estimation window.

    A portfolio test: cross-correlation among events of one date is inside S, whose divisor is E - 1. Student's t,
    E - 1. Source: Brown and Warner (1985), Journal of Financial Economics 14(1), 3-31,
    doi:10.1016/0304-405X(85)90042-X.
    """
    returns = cumulated.returns
    event, estimation = moments(returns.abnormal), _portfolio(returns)
    value = divide(sum_over(cumulated.member, event.mean), np.sqrt(estimation.variance * cumulated.length))
    return _portfolio_statistic("brown_warner_1985", cumulated, value, student_p(value, estimation.n - 1))


def lamb(cumulated: Cumulated) -> StatisticOfTest:
    """Lamb: z = sum_t z_t / sqrt(m), z_t = AAR_t / (S sqrt(C_t)), S as in Brown-Warner (1985); N(0, 1).

    C_t is the events' mean forecast-error correction; estudy2 takes 1 / mean(E_i) for its mean(1 / E_i). Source: Lamb
    (1995), Journal of Risk and Insurance 62(1), 111-123, as implemented by estudy2.
    """
    returns = cumulated.returns
    event, estimation = moments(returns.abnormal), _portfolio(returns)
    correction = moments(np.where(np.isnan(returns.abnormal), np.nan, returns.correction)).mean
    if returns.convention == "estudy2" and returns.leverage.shape[2]:
        lengths = returns.usable[returns.kept]
        correction = correction + (1.0 / lengths.mean() - (1.0 / lengths).mean() if lengths.size else np.nan)
    bars = divide(event.mean, np.sqrt(estimation.variance * correction))
    value = sum_over(cumulated.member, bars) / np.sqrt(cumulated.length)
    return _portfolio_statistic("lamb", cumulated, value, normal_p(value))


@dataclass(frozen=True, slots=True, eq=False)
class Average:
    """CAAR of each span with its confidence interval: `mean`, `median`, `low`, `high` and `n`, each (V,)."""

    mean: Floats
    median: Floats
    low: Floats
    high: Floats
    n: Ints


def average(cumulated: Cumulated, level: float = 0.95) -> Average:
    """Mean and median CAR, the mean with the interval that goes with `kolari_pynnonen`.

    CAAR -+ t_{n-1} s / sqrt(n) sqrt((1 + (n - 1) r) / (1 - r)): wider than the cross-section alone says where events
    share dates. NaN where the test is undefined. A `level` outside (0, 1) raises `UsageError`.
    """
    if not 0.0 < level < 1.0:
        raise UsageError(f"level {level} is not a confidence level: give a number between 0 and 1, as in 0.95")
    car = moments(cumulated.car)
    error = np.sqrt(car.variance / np.maximum(car.n, 1)) * _inflation(cumulated)
    half = np.array([student_quantile(0.5 + level / 2.0, n - 1.0) for n in car.n.tolist()]) * error
    ordered = np.sort(cumulated.car, axis=0)
    columns = np.arange(ordered.shape[1])
    middle = (ordered[(car.n - 1) // 2, columns] + ordered[car.n // 2, columns]) / 2.0 if ordered.size else car.mean
    median = np.where(car.n > 0, middle, np.nan)
    return Average(car.mean, median, car.mean - half, car.mean + half, car.n)


# Every test of sums that are not part of a study asks for them anew.
@lru_cache(maxsize=2)
def overlapping_pairs(returns: AbnormalReturns) -> Pairs:
    """The pairs of `pairs_of`, remembered with the residuals."""
    return pairs_of(returns)


def pairs_of(returns: AbnormalReturns) -> Pairs:
    """Pairs of events whose event windows share a bar, correlated where they share at least `PAIR_BARS` bars.

    Memory and time grow with the number of pairs.
    """
    onset, width = returns.onset, returns.windows.width
    order = np.argsort(onset, kind="stable")
    ordered = onset[order]
    # Event number k in order of time pairs with those after it that begin before it ends.
    count = np.searchsorted(ordered, ordered + width, side="left") - np.arange(len(ordered)) - 1
    first = np.repeat(np.arange(len(ordered)), count)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    first, second = order[first], order[second]
    if returns.residual.shape[1] >= _LONG:
        correlation = _one_by_one(returns, first, second)
        return Pairs(np.minimum(first, second), np.maximum(first, second), correlation)
    z = np.asarray(divide(returns.residual, returns.sigma[:, None]), dtype=np.float64)
    correlation = np.full(len(first), np.nan)
    bars = z.shape[1]
    apart = onset[second] - onset[first]
    by_distance = np.argsort(apart, kind="stable")
    # Pairs equally far apart overlap in the same columns.
    for alike in np.split(by_distance, np.flatnonzero(np.diff(apart[by_distance])) + 1):
        lag = int(apart[alike[0]]) if len(alike) else bars
        step = max(_CELLS // max(bars - lag, 1), 1)
        for start in range(0, len(alike) if lag < bars else 0, step):
            part = alike[start : start + step]
            correlation[part] = _row_correlation(z[first[part], lag:], z[second[part], : bars - lag])
    return Pairs(np.minimum(first, second), np.maximum(first, second), correlation)


@dataclass(frozen=True, slots=True, eq=False)
class _Residuals:
    """Residuals of one event (E,), NaN where unknown, their sums and sums of squares before each bar (E + 1,)."""

    values: Floats
    sums: Floats
    squares: Floats
    whole: bool


def _residuals(values: Floats) -> _Residuals:
    values = np.array(values)
    known = np.where(np.isnan(values), 0.0, values)
    sums, squares = np.zeros((2, len(values) + 1))
    np.cumsum(known, out=sums[1:])
    np.cumsum(np.square(known), out=squares[1:])
    return _Residuals(values, sums, squares, not np.isnan(values).any())


def _one_by_one(returns: AbnormalReturns, first: Ints, second: Ints) -> Floats:
    """(P,) correlations of pairs in order of their `first` event, each event read once: for long estimation windows."""
    correlation = np.full(len(first), np.nan)
    bars = returns.residual.shape[1]
    apart = returns.onset[second] - returns.onset[first]
    held: dict[int, _Residuals] = {}
    before = -1
    for place, (one, other, lag) in enumerate(zip(first.tolist(), second.tolist(), apart.tolist(), strict=True)):
        if one != before:
            # Events are in order of time: one that was the first of its pairs is in no later pair.
            held.pop(before, None)
            before = one
        for event in (one, other):
            if event not in held:
                held[event] = _residuals(returns.residual[event])
        x, y, shared = held[one], held[other], bars - lag
        if shared < PAIR_BARS:
            continue
        if not (x.whole and y.whole):
            correlation[place] = _row_correlation(x.values[None, lag:], y.values[None, :shared])[0]
            continue
        x_sum, y_sum = x.sums[-1] - x.sums[lag], y.sums[shared]
        x_scatter = x.squares[-1] - x.squares[lag] - x_sum * x_sum / shared
        y_scatter = y.squares[shared] - y_sum * y_sum / shared
        covariance = dot(x.values[lag:], y.values[:shared]) - x_sum * y_sum / shared
        if x_scatter > 0.0 and y_scatter > 0.0:
            correlation[place] = min(max(covariance / math.sqrt(x_scatter * y_scatter), -1.0), 1.0)
    return correlation


def _row_correlation(x: Floats, y: Floats) -> Floats:
    """(P,) pairwise-complete correlation of the rows of two (P, B) arrays."""
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = np.where(known, x, 0.0), np.where(known, y, 0.0)
    shared = known.sum(axis=1).astype(np.float64)
    shared = np.where(shared >= PAIR_BARS, shared, np.nan)
    x_sum, y_sum = x.sum(axis=1), y.sum(axis=1)
    scatter = (np.square(x).sum(axis=1) - np.square(x_sum) / shared) * (
        np.square(y).sum(axis=1) - np.square(y_sum) / shared
    )
    covariance = (x * y).sum(axis=1) - x_sum * y_sum / shared
    return np.clip(divide(covariance, np.sqrt(_positive(scatter))), -1.0, 1.0)


def overlap_correlation(returns: AbnormalReturns, length: int, pairs: Pairs | None = None) -> Floats:
    """(K, K) correlation of two events' sums over a span of `length` bars: 1 on the diagonal, 0 where apart.

    The pair's residual correlation times the share of the span's bars that both have on the same dates; NaN where that
    is unknown. `pairs` are those of the events, where they were found already.
    """
    pairs = pairs or overlapping_pairs(returns)
    share = 1.0 - np.abs(returns.onset[pairs.first] - returns.onset[pairs.second]) / length
    weights = np.eye(len(returns.onset))
    weight = np.where(share > 0, pairs.correlation * share, 0.0)
    weights[pairs.first, pairs.second] = weights[pairs.second, pairs.first] = weight
    return weights


def mean_correlation(cumulated: Cumulated) -> Floats:
    """(V,) r: mean off-diagonal correlation of the SCARs of the n events of a span; NaN where no pair is known.

    r_ij is the pair's residual correlation times the share of the span's bars that the two events have on the same
    dates. Where all share one date this is Kolari and Pynnonen (2010); spans that overlap partly are weighted as in
    Kolari, Pape and Pynnonen (2018), "Event Study Testing with Cross-Sectional Correlation Due to Partially Overlapping
    Event Windows"; events far apart count as uncorrelated.
    """
    returns = cumulated.returns
    pairs = cumulated.pairs or overlapping_pairs(returns)
    apart = np.abs(returns.onset[pairs.first] - returns.onset[pairs.second])[:, None]
    correlation = pairs.correlation[:, None]
    present = cumulated.known & returns.kept[:, None]
    n = present.sum(axis=0).astype(np.float64)
    total, unknown = np.zeros((2, len(n)))
    step = max(_CELLS // max(len(apart), 1), 1)
    for first in range(0, len(n), step):
        part = slice(first, first + step)
        share = np.maximum(0.0, 1.0 - apart / cumulated.length[part])
        weight = np.where(share > 0, correlation * share, 0.0)
        both = present[pairs.first, part] & present[pairs.second, part]
        known = ~np.isnan(weight)
        total[part] = np.where(known & both, weight, 0.0).sum(axis=0)
        unknown[part] = (both & ~known).sum(axis=0)
    return divide(total, n * (n - 1.0) / 2.0 - unknown)


def _cross_sectional(name: str, sample: Moments) -> StatisticOfTest:
    value = divide(sample.mean * np.sqrt(sample.n), np.sqrt(sample.variance))
    causes = ((Undefined.TOO_FEW_EVENTS, sample.n < 2),)
    return conclude(name, value, student_p(value, sample.n - 1), sample.n, causes)


def _inflation(cumulated: Cumulated) -> Floats:
    """(V,) sqrt((1 + (n - 1) r) / (1 - r)): how much cross-correlation widens the cross-sectional standard error."""
    r = mean_correlation(cumulated)
    widening = _positive(1.0 + (cumulated.known.sum(axis=0) - 1) * r)
    return np.sqrt(widening / _positive(1.0 - r))


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)


def _portfolio(returns: AbnormalReturns) -> Moments:
    """Moments of AAR_t over the estimation window, each (1,)."""
    return moments(moments(returns.residual).mean[:, None])


def _portfolio_statistic(name: str, cumulated: Cumulated, value: Floats, p_value: Floats) -> StatisticOfTest:
    n = thinnest(cumulated)
    return conclude(name, value, p_value, n, ((Undefined.MISSING_BAR, n < 1),))
