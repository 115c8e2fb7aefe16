"""Abnormal returns summed over spans of event time, and the record every test answers with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from backtest.base.errors import UsageError
from backtest.base.normal import normal_cdf
from backtest.base.student import student_tail
from backtest.market.record import Flags, Floats
from backtest.study.models import ROUNDING, AbnormalReturns, Ints


class Undefined(StrEnum):
    """Why a statistic has no value; the value is the sentence to show."""

    TOO_FEW_EVENTS = "too few events have every bar of the span"
    MISSING_BAR = "no event has a return in some bar of the span"
    NO_VARIANCE = "no variance to divide by"
    NO_CORRELATION = "residual correlations are unknown, or too extreme for this many events"


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """P pairs of events whose event windows share a bar: places `first` < `second`, and their `correlation` (P,).

    Correlation is that of the estimation residuals over the calendar bars that the two share, matched by calendar bar
    through `onset`, not by relative bar: two events a day apart are compared on the same days. NaN where too few bars
    are shared.
    """

    first: Ints
    second: Ints
    correlation: Floats

    def __post_init__(self) -> None:
        for values in (self.first, self.second, self.correlation):
            values.flags.writeable = False

    def among(self, rows: Ints, events: int) -> Pairs:
        """The pairs whose events are both among the chosen `rows` of all `events`, by their places there."""
        place = np.full(events, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        first, second = place[self.first], place[self.second]
        both = (first >= 0) & (second >= 0)
        first, second = first[both], second[both]
        return Pairs(np.minimum(first, second), np.maximum(first, second), self.correlation[both])


@dataclass(frozen=True, slots=True, eq=False)
class Cumulated:
    """Abnormal returns of K events summed over V spans [a, b] of relative bars; arrays are read-only.

    Attributes
    ----------
    returns : AbnormalReturns
    spans : (V, 2) int64
        First and last relative bar of each span, both inside it.
    member : (V, W) float64
        1 where the event bar belongs to the span, else 0.
    length : (V,) int64
        Bars in the span.
    car : (K, V) float64
        CAR_i(a, b), sum of AR_it; NaN unless every bar of the span is known.
    correction : (K, V) float64
        C_i(a, b) such that Var CAR_i(a, b) = sigma_i^2 C_i(a, b).
    scar : (K, V) float64
        SCAR_i(a, b) = CAR_i(a, b) / (sigma_i sqrt(C_i(a, b))).
    pairs : Pairs or None
        Events that overlap, where they were found already.
    """

    returns: AbnormalReturns
    spans: Ints
    member: Floats
    length: Ints
    car: Floats
    correction: Floats
    scar: Floats
    pairs: Pairs | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            values = getattr(self, field.name)
            if isinstance(values, np.ndarray):
                values.flags.writeable = False

    @property
    def known(self) -> Flags:
        """(K, V) whether the event has every bar of the span."""
        return ~np.isnan(self.car)


def cumulate(returns: AbnormalReturns, spans: npt.ArrayLike) -> Cumulated:
    """Sum abnormal returns over each span [a, b] and standardise the sums by their forecast error.

    C_i(a, b) = m + ||sum_{t=a..b} h_it||^2, m = b - a + 1: the m residual variances plus what the parameters' common
    estimation error adds, covariances between bars included. One bar gives Patell's (1976) 1 + x'(X'X)^-1 x; the sum
    is that of Mikkelson and Partch (1988), Journal of Financial and Quantitative Analysis 23(2), 119-133, and Salinger
    (1992), ibid. 27(1), 39-53, for any number of benchmarks.

    Parameters
    ----------
    returns : AbnormalReturns
    spans : (V, 2) whole numbers, relative bars a <= b inside the event window

    Raises
    ------
    UsageError
        For a span that is reversed or leaves the event window.
    """
    bars = returns.windows.bars
    spans = np.array(spans, dtype=np.int64)
    if spans.ndim != 2 or spans.shape[1] != 2:
        raise UsageError(f"spans has shape {spans.shape}: give rows of first and last relative bar, (V, 2)")
    wrong = (spans[:, 0] > spans[:, 1]) | (spans[:, 0] < bars[0]) | (spans[:, 1] > bars[-1])
    if wrong.any():
        first, last = spans[wrong][0].tolist()
        raise UsageError(f"span [{first}, {last}] is not inside the event window [{bars[0]}, {bars[-1]}]: narrow it")
    member = member_of(bars, spans)
    car = _summed(returns.abnormal, spans - bars[0])
    # A bar without leverage has no abnormal return, so a span that holds it has no CAR to correct.
    leverage = np.where(np.isnan(returns.leverage), 0.0, returns.leverage)
    summed = _summed(leverage, spans - bars[0])
    correction = member.sum(axis=1) + np.square(summed).sum(axis=2)
    return Cumulated(
        returns=returns,
        spans=spans,
        member=member,
        length=spans[:, 1] - spans[:, 0] + 1,
        car=car,
        correction=correction,
        scar=car / (returns.sigma[:, None] * np.sqrt(correction)),
    )


def _summed(values: Floats, spans: Ints) -> Floats:
    """(K, V, ...) sums of (K, W, ...) values over spans of places; NaN where one of them is.

    Slices are added, since products of thin matrices wait longer for the threads of BLAS than they compute.
    """
    total = np.empty((len(values), len(spans), *values.shape[2:]))
    for place, (first, last) in enumerate(spans.tolist()):
        total[:, place] = values[:, first : last + 1].sum(axis=1)
    return total


def member_of(bars: Ints, spans: Ints) -> Floats:
    """(V, W) one where a bar belongs to a span, else zero."""
    return ((bars >= spans[:, :1]) & (bars <= spans[:, 1:])).astype(np.float64)


def sum_over(member: Floats, series: Floats) -> Floats:
    """(..., V) sums of (..., W) series over spans; NaN where a bar of the span is missing."""
    missing = np.isnan(series)
    total: Floats = np.where(missing, 0.0, series) @ member.T
    holed = missing.any(axis=-1)
    if holed.any():
        total[holed] = np.where(missing[holed].astype(np.float64) @ member.T > 0, np.nan, total[holed])
    return total


def thinnest(cumulated: Cumulated) -> Ints:
    """(V,) number of events in the span's bar that has fewest."""
    n = (~np.isnan(cumulated.returns.abnormal)).sum(axis=0)
    fewest: Ints = np.where(cumulated.member > 0, n, len(cumulated.returns.kept)).min(axis=1)
    return fewest


@dataclass(frozen=True, slots=True, eq=False)
class StatisticOfTest:
    """One test's answer for each of V spans; NaN in `value` and `p_value` has its reason.

    Attributes
    ----------
    name : str
    value : (V,) float64
        The test statistic.
    p_value : (V,) float64
        Two-sided.
    n : (V,) int64
        Events that enter; for tests on bar-wise averages, in the span's thinnest bar.
    reasons : tuple of V Undefined or None
    """

    name: str
    value: Floats
    p_value: Floats
    n: Ints
    reasons: tuple[Undefined | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Cross-section over K events of (K, V) values: `n`, `mean`, `variance` (divisor n - 1), each (V,).

    NaN is left out; mean and variance are NaN where too few values are left.
    """

    n: Ints
    mean: Floats
    variance: Floats


def moments(values: Floats) -> Moments:
    """Cross-sectional moments; a variance that is only rounding is exactly 0."""
    known = ~np.isnan(values)
    n = known.sum(axis=0)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.where(n > 0, n, np.nan)
    scatter = np.square(np.where(known, values - mean, 0.0)).sum(axis=0)
    variance = scatter / np.where(n > 1, n - 1.0, np.nan)
    return Moments(n, mean, np.where(variance <= ROUNDING * np.square(mean), 0.0, variance))


def divide(numerator: Floats, denominator: Floats | Ints) -> Floats:
    """Quotient, NaN where the denominator is not positive."""
    return numerator / np.where(denominator > 0, denominator, np.nan)


def conclude(
    name: str, value: Floats, p_value: Floats, n: Ints, causes: tuple[tuple[Undefined, Flags], ...] = ()
) -> StatisticOfTest:
    """Statistic with a reason wherever it is NaN: the first of `causes` that holds, else no variance."""
    undefined = np.isnan(value)
    reasons = np.full(value.shape, None, dtype=object)
    for cause, holds in ((Undefined.NO_VARIANCE, undefined), *reversed(causes)):
        reasons[undefined & holds] = cause
    p_value = np.where(undefined, np.nan, p_value)
    return StatisticOfTest(name, value, p_value, np.asarray(n, dtype=np.int64), tuple(reasons.tolist()))


def normal_p(value: Floats) -> Floats:
    """Two-sided p under N(0, 1)."""
    return np.array([2.0 * normal_cdf(-abs(one)) for one in np.ravel(value).tolist()]).reshape(np.shape(value))


def student_p(value: Floats, degrees: Floats | Ints) -> Floats:
    """Two-sided p under Student's t; NaN where `degrees` is not positive."""
    value, degrees = np.broadcast_arrays(value, degrees)
    pairs = zip(np.abs(value).ravel().tolist(), degrees.ravel().tolist(), strict=True)
    return np.array([2.0 * student_tail(one, freedom) for one, freedom in pairs]).reshape(value.shape)
