"""The arithmetic of the sample's paths: functions on arrays, no market and no plan."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def autoregressive(random: np.random.RandomState, length: int, half_life: float, deviation: float) -> Floats:
    """(length,) stationary AR(1) of mean 0 and the given standard deviation; half-life in steps."""
    decay = 0.5 ** (1.0 / half_life)
    shocks = random.standard_normal(length) * deviation * np.sqrt(1.0 - decay**2)
    shocks[0] /= np.sqrt(1.0 - decay**2)
    return np.asarray(lfilter([1.0], [1.0, -decay], shocks))


def rhythm(instants: Integers) -> Floats:
    """Share of activity by the UTC clock, about 1 on average: busy around 00 and 14, quiet at 06-10 and weekends."""
    hour = instants / HOUR_MS % 24
    # 1970-01-01 was a Thursday.
    weekend = (instants // DAY_MS + 3) % 7 >= 5
    daily = 1.0 + 0.25 * np.cos(2 * np.pi * (hour - 15) / 24) + 0.18 * np.cos(4 * np.pi * (hour - 2) / 24)
    return np.asarray(daily * np.where(weekend, 0.8, 1.0))


def fold(path: Floats, low: float, high: float) -> Floats:
    """The path reflected at both bounds, as often as it takes: the size of each step is kept, its sign may turn."""
    width = high - low
    if width <= 0.0:
        return np.full_like(path, low)
    away = np.mod(path - low, 2.0 * width)
    return np.asarray(low + np.minimum(away, 2.0 * width - away))


def bridged(steps: Floats, knots: list[int], levels: Floats, low: float, high: float) -> Floats:
    """(K + 1,) path of K steps through `levels` at `knots`, from the first to the last, inside the bounds between them.

    Each span is a Brownian bridge in the clock of its own variance, then reflected at the bounds.
    """
    path = np.empty(len(steps) + 1)
    for left, right, start, end in zip(knots, knots[1:], levels, levels[1:], strict=False):
        walk = np.concatenate(([0.0], np.cumsum(steps[left:right])))
        clock = np.concatenate(([0.0], np.cumsum(steps[left:right] ** 2 + 1e-18)))
        span = start + walk + (end - start - walk[-1]) * clock / clock[-1]
        path[left : right + 1] = fold(span, min(low, start, end), max(high, start, end))
        path[left + 1 : right] = np.clip(path[left + 1 : right], low, high)
    path[knots] = levels
    return path


def strayed(steps: Floats, knots: list[int], levels: Floats, low: float, high: float) -> Floats:
    """(M,) share of instants at which each of M bridges of steps (M, K) would leave the bounds."""
    outside = np.zeros(len(steps))
    for left, right, start, end in zip(knots, knots[1:], levels, levels[1:], strict=False):
        walk = np.cumsum(steps[:, left:right], axis=1)
        clock = np.cumsum(steps[:, left:right] ** 2 + 1e-18, axis=1)
        span = start + walk + (end - start - walk[:, -1:]) * clock / clock[:, -1:]
        outside += ((span[:, :-1] > high) | (span[:, :-1] < low)).sum(axis=1)
    return np.asarray(outside / steps.shape[1])


def nearest_correlation(matrix: Floats) -> Floats:
    """A positive definite matrix of unit diagonal near a symmetric one: negative eigenvalues are lifted."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    lifted = (vectors * np.maximum(values, 1e-4)) @ vectors.T
    scale = np.sqrt(np.diag(lifted))
    return np.asarray(lifted / np.outer(scale, scale))


def significant(values: Floats, digits: int) -> Floats:
    """Values rounded to significant digits; NaN stays. Decimal text gives the nearest double on every platform."""
    return np.array([float(f"{value:.{digits}g}") for value in values.tolist()])
