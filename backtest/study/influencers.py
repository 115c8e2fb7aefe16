"""What an actor's calls are worth: the mean abnormal return after them, shrunk the more the fewer calls there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtest.base.errors import UsageError
from backtest.market.record import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Shrunken:
    """Empirical-Bayes estimates of A means: `effect` (A,), `weight` (A,) kept of each mean, `spread` tau."""

    effect: Floats
    weight: Floats
    spread: float


def shrink(mean: Floats, variance: Floats) -> Shrunken:
    """Empirical Bayes towards no effect: theta_a = y_a tau^2 / (tau^2 + v_a).

    Model: y_a ~ N(theta_a, v_a), theta_a ~ N(0, tau^2). tau^2 solves sum_a y_a^2 / (v_a + tau^2) = A and is 0 where
    sum_a y_a^2 / v_a <= A, that is, where the means scatter no more than chance alone makes them. With equal v_a this
    is the positive-part James-Stein rule with A for its A - 2. Towards zero, not towards the grand mean: a handful of
    actors cannot tell what calls are worth on average. Source: Efron and Morris (1973), Journal of the American
    Statistical Association 68(341), 117-130, doi:10.1080/01621459.1973.10481350; unequal variances as in Morris (1983),
    ibid. 78(381), 47-55, doi:10.1080/01621459.1983.10477920.

    Parameters
    ----------
    mean : (A,) mean effects y_a; NaN is left out and stays NaN
    variance : (A,) their sampling variances v_a

    Raises
    ------
    UsageError
        For a variance of a known mean that is not positive.
    """
    known = ~np.isnan(mean)
    y, v = mean[known], variance[known]
    if not (v > 0).all():
        raise UsageError(f"variance holds {v[~(v > 0)][0]:g}: every known mean needs a positive sampling variance")

    # The sum falls and is convex in tau^2, so Newton's steps from 0 rise to the root and never pass it.
    tau_squared, before = 0.0, -1.0
    while tau_squared > before:
        scaled = np.square(y) / (v + tau_squared)
        slope = float((scaled / (v + tau_squared)).sum())
        before, tau_squared = tau_squared, tau_squared + max(float(scaled.sum()) - len(y), 0.0) / max(slope, 1e-300)
    weight = np.full(mean.shape, np.nan)
    weight[known] = tau_squared / (tau_squared + v)
    return Shrunken(mean * weight, weight, float(np.sqrt(tau_squared)))


def mean_variance(deviation: Floats, weights: Floats, sign: Floats) -> float:
    """Variance of the mean of n signed sums: sum_ij r_ij s_i s_j / n^2, so that calls of one week count as few.

    Parameters
    ----------
    deviation : (n,) forecast-error standard deviations s_i = sigma_i sqrt(C_i)
    weights : (n, n) correlations r_ij of the sums; NaN counts as 0 off the diagonal
    sign : (n,) +1 or -1
    """
    scaled = deviation * sign
    total = float(scaled @ np.where(np.isnan(weights), 0.0, weights) @ scaled)
    # Correlations estimated pair by pair need not be those of any joint distribution.
    return max(total, float(np.square(deviation).min())) / len(deviation) ** 2
