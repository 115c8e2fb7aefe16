"""The normal distribution at a number, against scipy's."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri

from backtest.base.normal import normal_cdf, normal_quantile


def test_it_is_that_of_scipy_within_the_stated_bounds() -> None:
    values = np.linspace(-30.0, 9.0, 4_001)
    assert np.max(np.abs(np.array(list(map(normal_cdf, values))) / ndtr(values) - 1.0)) < 3e-13
    shares = np.concatenate([np.logspace(-300, -1, 3_001), 1.0 - np.logspace(-15, -1, 3_000)])
    expected = ndtri(shares)
    assert np.max(np.abs(np.array(list(map(normal_quantile, shares))) - expected) / np.abs(expected)) < 1e-14


def test_the_ends_and_what_is_undefined() -> None:
    assert normal_cdf(1.959963984540054) == 0.975
    assert (normal_cdf(-math.inf), normal_cdf(math.inf)) == (0.0, 1.0)
    assert (normal_quantile(0.0), normal_quantile(1.0), normal_quantile(0.5)) == (-math.inf, math.inf, 0.0)
    assert all(math.isnan(value) for value in (normal_cdf(math.nan), *map(normal_quantile, (math.nan, -0.1, 1.1))))
