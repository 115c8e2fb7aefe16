"""Resamples that are summed by blocks are the resamples that copying would have made."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.scoring import block_length, long_bootstrap
from backtest.scoring.block_length import _products, _products_by_transform
from backtest.scoring.bootstrap import row_intervals, stationary_indices
from backtest.scoring.long_bootstrap import _blocks, _StretchTree, resampled_sums, suits
from backtest.scoring.metrics import max_drawdowns, of_sums, sharpe_ratios, sortino_ratios

PER_YEAR = 8760.0


def returns_of(bars: int, seed: int = 5) -> np.ndarray:
    """Mostly nothing, as of a strategy that is seldom in the market."""
    rng = np.random.default_rng(seed)
    held = np.repeat(rng.random(bars // 10 + 1) < 0.3, 10)[:bars]
    return np.where(held, rng.standard_normal(bars) * 0.004, 0.0)


def measured(drawn: np.ndarray) -> np.ndarray:
    """The five statistics as they are measured on copied resamples (C, T)."""
    return np.stack(
        (
            np.prod(1.0 + drawn, axis=1) - 1.0,
            drawn.std(axis=1, ddof=1) * math.sqrt(PER_YEAR),
            sharpe_ratios(drawn, PER_YEAR),
            sortino_ratios(drawn, PER_YEAR),
            max_drawdowns(np.cumprod(1.0 + drawn, axis=1), 1.0),
        )
    )


def test_every_statistic_is_that_of_the_bars_of_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_bootstrap, "_BLOCKS", 200)
    returns, block, draws = returns_of(997), 25.0, 40
    found = of_sums(resampled_sums(returns, block, draws, 3), len(returns), PER_YEAR)
    # The same random numbers, in the same chunks, copied bar by bar.
    rng = np.random.default_rng(3)
    at_most = math.ceil(997 / block + 6.0 * math.sqrt(997 / block) + 10.0)
    rows, size = [], max(200 // at_most, 1)
    for first in range(0, draws, size):
        start, length = _blocks(rng, min(size, draws - first), 997, block, at_most)
        for begins, counts in zip(start, length, strict=True):
            pieces = [np.arange(s, s + n) % 997 for s, n in zip(begins, counts, strict=True)]
            rows.append(returns[np.concatenate(pieces)])
    copied = np.array(rows)
    assert copied.shape == (draws, 997)
    np.testing.assert_allclose(found, measured(copied), rtol=1e-9, atol=1e-13)
    assert found[4].min() > 0.0


def test_blocks_fill_the_bars_and_are_as_long_as_asked() -> None:
    start, length = _blocks(np.random.default_rng(1), 500, 2_000, 40.0, 70)
    assert (length.sum(axis=1) == 2_000).all()
    assert start.min() >= 0
    assert start.max() < 2_000
    inner = length[:, :20]
    assert inner.mean() == pytest.approx(40.0, rel=0.03)
    assert (inner == 1).mean() == pytest.approx(1.0 / 40.0, rel=0.2)
    short = _blocks(np.random.default_rng(1), 5, 2_000, 40.0, 3)[1]
    assert (short.sum(axis=1) == 2_000).all()


def test_the_tree_knows_the_moves_of_every_stretch() -> None:
    logs = np.random.default_rng(2).standard_normal(37)
    tree = _StretchTree(logs)
    start, end = (part.ravel() for part in np.meshgrid(np.arange(38), np.arange(38), indexing="ij"))
    start, end = start[start <= end], end[start <= end]
    found = tree.moves(start, end)
    for place, (low, high) in enumerate(zip(start, end, strict=True)):
        path = np.concatenate(([0.0], np.cumsum(logs[low:high])))
        wanted = (path[-1], path.min(), path.max(), (np.maximum.accumulate(path) - path).max())
        assert [part[place] for part in found] == pytest.approx(wanted, abs=1e-12)


def test_bounds_agree_with_those_of_copied_resamples() -> None:
    returns, block, draws = returns_of(3_000), 60.0, 4_000
    by_blocks = of_sums(resampled_sums(returns, block, draws, 1), len(returns), PER_YEAR)
    copied = np.concatenate([measured(returns[rows]) for rows in stationary_indices(3_000, block, draws, 2)], axis=1)
    for one, other in zip(by_blocks, copied, strict=True):
        # Standard error of a 5 % quantile of 4,000 draws is some 0.035 standard deviations.
        for share in (0.05, 0.5, 0.95):
            assert abs(np.quantile(one, share) - np.quantile(other, share)) < 0.15 * other.std()


def test_short_series_short_blocks_and_total_losses_are_copied_as_before() -> None:
    long = np.zeros(block_length.LONG)
    assert suits(long, 100.0)
    assert not suits(long[:-1], 100.0)
    assert not suits(long, 63.0)
    long[5] = -1.0
    assert not suits(long, 100.0)
    returns = returns_of(400)
    plain = row_intervals([lambda rows: rows.mean(axis=1)], returns, seed=1, block=20.0)
    assert (
        row_intervals([lambda rows: rows.mean(axis=1)], returns, seed=1, block=20.0, drawing=lambda *_: None) == plain
    )


def test_products_of_a_long_series_are_those_of_each_lag() -> None:
    values = returns_of(5_000) - returns_of(5_000).mean()
    slow, fast = _products(values, 90), _products_by_transform(values, 90)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-12 * slow[0])


def test_the_block_of_a_long_series_is_the_same_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = returns_of(4_000)
    slow = block_length.block_length(returns)
    monkeypatch.setattr(block_length, "LONG", 4_000)
    monkeypatch.setattr(block_length, "_products", None)
    assert block_length.block_length(returns) == pytest.approx(slow, rel=1e-9)
