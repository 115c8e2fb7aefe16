"""The arithmetic of reconstructed paths: functions on arrays, no market and no plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from backtest.errors import MarketError
from backtest.market.record import Flags, Floats
from backtest.units import UNIT_MS

Integers = npt.NDArray[np.int64]

# A move this many times larger than the path's own volatility makes nothing wilder.
WILDEST = 8.0
PACING_ROUNDS = 60
INTEREST_RATE = 0.0001
INTEREST_BAND = 0.0005
FUNDING_CAP = 0.02


@dataclass(frozen=True, slots=True)
class Candles:
    """Open, high, low and close of T bars, (T,) each."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats


def autoregressive(random: np.random.RandomState, length: int, half_life: float, deviation: float) -> Floats:
    """(length,) stationary AR(1) of mean 0 and the given standard deviation; half-life in steps."""
    decay = 0.5 ** (1.0 / half_life)
    shocks = random.standard_normal(length) * deviation * np.sqrt(1.0 - decay**2)
    shocks[0] /= np.sqrt(1.0 - decay**2)
    return np.asarray(lfilter([1.0], [1.0, -decay], shocks))


def rhythm(instants: Integers) -> Floats:
    """Share of activity by the UTC clock, about 1 on average: busy around 00 and 14, quiet at 06-10 and weekends."""
    hour = instants / UNIT_MS["h"] % 24
    # 1970-01-01 was a Thursday.
    weekend = (instants // UNIT_MS["d"] + 3) % 7 >= 5
    daily = 1.0 + 0.25 * np.cos(2 * np.pi * (hour - 15) / 24) + 0.18 * np.cos(4 * np.pi * (hour - 2) / 24)
    return np.asarray(daily * np.where(weekend, 0.8, 1.0))


def turbulence(knots: Sequence[int], levels: Floats, volatility: float, half_life: float) -> Floats:
    """(knots[-1],) multiple of the volatility: above 1 where the path must move more than it would by itself.

    `levels` are log prices at the knots, `volatility` a standard deviation a step; it decays with `half_life` steps.
    """
    lengths = np.diff(knots)
    needed = np.abs(np.diff(levels)) / (volatility * np.sqrt(lengths))
    variance = np.repeat(1.0 + (0.7 * np.minimum(needed, WILDEST)) ** 2, lengths)
    decay = 0.5 ** (1.0 / half_life)
    smooth, _ = lfilter([1.0 - decay], [1.0, -decay], variance, zi=[decay * variance[0]])
    return np.asarray(np.sqrt(smooth))


def bridge(path: Floats, clock: Floats, knots: Sequence[int], levels: Floats) -> Floats:
    """The path bent to pass `levels` at `knots`, the correction spread evenly over `clock`.

    With `clock` the cumulated variance of a random walk this is the Brownian bridge. Outside the knots the
    correction stays what it is at the nearest one.
    """
    return np.asarray(path + np.interp(clock, clock[list(knots)], levels - path[list(knots)]))


def fold(path: Floats, level: float, side: Literal["high", "low"], name: str) -> Floats:
    """The path reflected at `level`, so that none of it lies above a high or below a low.

    Raises
    ------
    MarketError
        If an end of the path is beyond the level, where reflection would tear it.
    """
    sign = 1.0 if side == "high" else -1.0
    if max(sign * (path[0] - level), sign * (path[-1] - level)) > 1e-12:
        raise MarketError(f"{name} is no {side}: an anchor beside it goes beyond; move one of them")
    return np.asarray(level - sign * np.abs(path - level))


def candles(path: Floats, steps: int, gaps: Floats) -> Candles:
    """Bars of `steps` steps of a log path (T * steps + 1,); `gaps` (T,) move each open off the close before it."""
    inside = path[:-1].reshape(-1, steps)
    close = path[steps::steps]
    opening = path[:-1:steps] + gaps
    high = np.maximum(np.maximum(inside[:, 1:].max(axis=1), close), opening)
    low = np.minimum(np.minimum(inside[:, 1:].min(axis=1), close), opening)
    return Candles(np.exp(opening), np.exp(high), np.exp(low), np.exp(close))


def paced(activity: Floats, spans: Sequence[Flags], totals: Sequence[float]) -> Floats:
    """Activity (T,) scaled smoothly in time until each span (T,) of bars sums to its total.

    The log of the scale is linear between the spans' centres of activity, and constant inside a bar.
    """
    rows = np.arange(len(activity), dtype=np.float64)
    centres = [float(np.average(rows[span], weights=activity[span])) for span in spans]
    logs = np.log([total / activity[span].sum() for span, total in zip(spans, totals, strict=True)])
    for _ in range(PACING_ROUNDS):
        flow = activity * np.exp(np.interp(rows, centres, logs))
        logs += 0.7 * np.log([total / flow[span].sum() for span, total in zip(spans, totals, strict=True)])
    flow = activity * np.exp(np.interp(rows, centres, logs))
    for span, total in zip(spans, totals, strict=True):
        flow[span] *= total / flow[span].sum()
    return np.asarray(flow)


def funding_rate(premium: Floats) -> Floats:
    """Rate per 8 hours of a mean premium of the perpetual over spot: P + clamp(I - P, -0.05 %, 0.05 %), capped at 2 %.

    Source: Binance, "Introduction to Binance Futures Funding Rates"; I is 0.01 % per 8 hours.
    """
    rate = premium + np.clip(INTEREST_RATE - premium, -INTEREST_BAND, INTEREST_BAND)
    return np.asarray(np.clip(rate, -FUNDING_CAP, FUNDING_CAP))


def significant(values: Floats, digits: int) -> Floats:
    """Values rounded to significant digits; NaN stays. Decimal text gives the nearest double on every platform."""
    return np.array([float(f"{value:.{digits}g}") for value in values.tolist()])
