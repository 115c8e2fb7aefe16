"""Resamples of several strategies together: each gets what it would have got by itself, to the last bit."""

from __future__ import annotations

import math

import numpy as np

from backtest.scoring.bootstrap import drawn_together, stationary_indices
from backtest.scoring.long_bootstrap import suits_copies, summed_together
from backtest.scoring.metrics import bar_statistics, max_drawdown, of_sums, sharpe_ratio, sortino_ratio

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


def test_sums_over_blocks_are_those_of_the_copied_bars() -> None:
    """The same resamples: no figure differs by more than rounding, and what never moves or never loses stays exact."""
    rng = np.random.default_rng(7)
    flat = np.zeros(700)
    flat[300:330] = 0.01
    series = [rng.normal(0, 0.01, 700) * (rng.random(700) < share) for share in (0.1, 1.0)] + [flat]
    blocks = [33.0, 700.0, 60.0]
    copied = drawn_together(lambda rows: bar_statistics(rows, PER_YEAR), series, blocks, 300, 9)
    summed = summed_together(series, blocks, 300, 9)
    assert np.isnan(copied[2][2]).any()
    assert (copied[2][2] > 0).any()
    for one, sums in zip(copied, summed, strict=True):
        np.testing.assert_allclose(of_sums(sums, 700, PER_YEAR), one, rtol=1e-9, atol=1e-13)
    assert (of_sums(summed[2], 700, PER_YEAR)[4] == 0.0).all()
    assert suits_copies(series[0], 33.0)
    assert not suits_copies(series[0], 31.0)
    assert not suits_copies(np.append(series[0], -1.0), 33.0)


def test_what_is_undefined_stays_so() -> None:
    found = bar_statistics(np.zeros((1, 50)), PER_YEAR)[:, 0]
    np.testing.assert_array_equal(found, [0.0, 0.0, math.nan, math.nan, 0.0])
    assert drawn_together(lambda rows: rows, [], [], 100, 1) == summed_together([], [], 100, 1) == []
