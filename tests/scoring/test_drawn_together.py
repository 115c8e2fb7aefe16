"""Resamples of several strategies together: each gets what it would have got by itself, to the last bit."""

from __future__ import annotations

import math

import numpy as np

from backtest.scoring.bootstrap import drawn_together, stationary_indices
from backtest.scoring.metrics import bar_statistics, max_drawdown, sharpe_ratio, sortino_ratio

PER_YEAR = 8_766.0


def test_each_of_several_series_gets_the_bits_that_it_has_alone() -> None:
    rng = np.random.default_rng(5)
    series = [rng.normal(0, 0.01, 700) * (rng.random(700) < share) for share in (0.1, 0.5, 1.0)]
    blocks = [3.0, 40.0, 700.0]
    together = drawn_together(lambda rows: bar_statistics(rows, PER_YEAR), series, blocks, 120, 9)
    for values, block, drawn in zip(series, blocks, together, strict=True):
        rows = np.concatenate(list(stationary_indices(700, block, 120, 9)))
        expected = np.array(
            [
                [
                    math.prod((1.0 + one).tolist()) - 1.0,
                    one.std(ddof=1) * math.sqrt(PER_YEAR),
                    sharpe_ratio(one, PER_YEAR),
                    sortino_ratio(one, PER_YEAR),
                    max_drawdown(np.cumprod(1.0 + one), 1.0),
                ]
                for one in values[rows]
            ]
        ).T
        np.testing.assert_array_equal(drawn, expected)


def test_what_is_undefined_stays_so() -> None:
    found = bar_statistics(np.zeros((1, 50)), PER_YEAR)[:, 0]
    np.testing.assert_array_equal(found, [0.0, 0.0, math.nan, math.nan, 0.0])
    assert drawn_together(lambda rows: rows, [], [], 100, 1) == []
