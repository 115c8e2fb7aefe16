"""How long the blocks of a stationary bootstrap should be.

Implemented here because importing the library that computes it takes a second that nothing else needs at start-up; the
tests compare it with that library.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from backtest.base.dot import dot
from backtest.base.estimate import LONG_BARS
from backtest.market.record import Floats

FEWEST = 30
"""Fewest bars for which a block length is computed."""
LONG = LONG_BARS
"""Bars from which a series counts as long: computations that visit every bar per lag or draw are then replaced."""
_QUIET_LAGS = 5
"""Least number of autocorrelations in a row that must look like noise before the lag window is cut there."""


def block_length(returns: npt.ArrayLike) -> float:
    """Mean block length in bars, at least 1, for the mean of `returns` (T,), or the average over trials (T, N).

    A series that never varies has no length; NaN if no series has one, or below 30 bars. Politis and White, Econometric
    Reviews 23 (2004), doi:10.1081/ETC-120028836, as corrected by Patton, Politis and White, Econometric Reviews 28
    (2009), doi:10.1080/07474930802459016.
    """
    columns = np.asarray(returns, dtype=np.float64)
    if len(columns) < FEWEST:
        return math.nan
    columns = columns.reshape(len(columns), -1)
    varying = columns[:, np.ptp(columns, axis=0) > 0.0]
    if not varying.size:
        return math.nan
    return float(np.mean([max(_length(column), 1.0) for column in varying.T]))


def _length(values: Floats) -> float:
    """B = ((2 G^2 / D) T)^(1/3), D = 2 g(0)^2, with flat-top lag windows; NaN counts as no dependence."""
    count = len(values)
    quiet = max(_QUIET_LAGS, int(math.log10(count)))
    most_lags = math.ceil(math.sqrt(count)) + quiet
    centred = values - values.mean()
    products = _products(centred, most_lags) if count < LONG else _products_by_transform(centred, most_lags)
    bandwidth = _bandwidth(np.abs(_correlations(centred, products)), quiet, count)
    lags = np.arange(1, bandwidth + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - lags / bandwidth))
    covariances = products[1 : bandwidth + 1] / count
    slope = 2.0 * float(np.sum(window * lags * covariances))
    spectrum = products[0] / count + 2.0 * float(np.sum(window * covariances))
    if spectrum == 0.0:
        return math.nan
    longest = math.ceil(min(3.0 * math.sqrt(count), count / 3.0))
    return float(min((slope**2 / spectrum**2 * count) ** (1.0 / 3.0), longest))


def _products(centred: Floats, most_lags: int) -> Floats:
    """(M + 1,) sums of products of values 0 to M bars apart."""
    return np.array([dot(centred[lag:], centred[: len(centred) - lag]) for lag in range(most_lags + 1)])


def _products_by_transform(centred: Floats, most_lags: int) -> Floats:
    """The same up to rounding, by Fourier transform, because the number of lags grows with the root of the bars."""
    size = 1 << (len(centred) + most_lags).bit_length()
    spectrum = np.fft.rfft(centred, size)
    return np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[: most_lags + 1]


def _correlations(centred: Floats, products: Floats) -> Floats:
    """(M + 1,) cross products divided by the roots of both sums of squares; NaN where one of these is 0."""
    squares = np.concatenate(([0.0], np.cumsum(centred**2)))
    ends = np.arange(1, len(products) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(products / np.sqrt((squares[-1] - squares[ends]) * squares[len(centred) - ends]))


def _bandwidth(correlations: Floats, quiet: int, count: int) -> int:
    """Twice the first lag after which `quiet` correlations in a row look like noise; all lags where none does."""
    most = len(correlations) - 1
    noise = correlations < 2.0 * math.sqrt(math.log10(count) / count)
    runs = np.convolve(noise[:most], np.ones(quiet), "valid") == quiet
    first = np.flatnonzero(runs)
    return min(2 * max(int(first[0]), 1), most) if first.size else most
