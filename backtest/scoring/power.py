"""What a placebo could have found: its least detectable effect at 80 % power, computed from its own draws."""

from __future__ import annotations

import numpy as np

from backtest.base.dot import dot
from backtest.market.record import Floats

LEVEL, POWER, CONFIDENCE = 0.05, 0.8, 0.95
NAN = float("nan")


def slope(x: Floats, y: Floats) -> float:
    """Least-squares slope of `y` on `x`, both (B,), over the entries known in both; NaN if `x` does not vary."""
    known = np.isfinite(x) & np.isfinite(y)
    if np.count_nonzero(known) < 2:
        return NAN
    centred = x[known] - x[known].mean()
    scatter = dot(centred, centred)
    return dot(centred, y[known] - y[known].mean()) / scatter if scatter > 0.0 else NAN


def least_effect(drawn: Floats, response: float, calendars: float) -> float:
    """Least gain per trade that 80 % of the placebo calendars (B,) would have shown at 5 %; NaN if there is none.

    The draws are the simulation: a gain moves each by its `response`, and is found if it passes the critical value of
    the draws without it. There is none if the number of `calendars` is too small to reach p = 5 %.
    """
    values = np.sort(drawn[~np.isnan(drawn)])
    rank = int(LEVEL * (len(values) + 1) + 1e-9)
    if rank < 1 or LEVEL * calendars < 1.0 or not response > 0.0:
        return NAN
    return float((values[-rank] - np.quantile(values, 1.0 - POWER)) / response)


def clopper_pearson(count: int, n: int) -> tuple[float, float]:
    """95 % confidence bounds of a probability from `count` of `n`: Clopper and Pearson, Biometrika 26 (1934)."""
    # Imported here: the usual null lists every assignment and needs no such bounds.
    from scipy.special import betaincinv

    tail = (1.0 - CONFIDENCE) / 2.0
    low = float(betaincinv(count, n - count + 1, tail)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, n - count, 1.0 - tail)) if count < n else 1.0
    return low, high
