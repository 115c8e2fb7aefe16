"""Trailing liquidity by a slow loop, and what the kernel is told of it at each open."""

from __future__ import annotations

import math
from dataclasses import replace

import numba
import numpy as np
import pandas as pd
import pytest

from backtest.base.config import RunConfig
from backtest.base.errors import MarketError
from backtest.engine.costs import kernel_bars, kernel_rules, next_tradable
from backtest.engine.layout import CAPACITY, CLOSE, FUNDING, IMPACT, MARK, OPEN
from backtest.engine.liquidity import impact_coefficient, trailing_liquidity
from tests.engine.test_book import random_market

HOUR, DAY = 3_600_000, 86_400_000


def test_liquidity_is_that_of_the_window_before_each_close() -> None:
    market = random_market(4)
    found = trailing_liquidity(market, 3 * DAY)
    for row, column in ((30, 0), (100, 1), (150, 2), (199, 0)):
        window = slice(max(row - 71, 0), row + 1)
        close, volume = market.close[:, column], market.volume[:, column]
        moves = [
            math.log(close[t] / close[t - 1])
            for t in range(max(row - 71, 1), row + 1)
            if not math.isnan(close[t]) and not math.isnan(close[t - 1])
        ]
        assert len(moves) > 20
        assert found.volatility[row, column] == pytest.approx(np.std(moves, ddof=1) * math.sqrt(24), rel=1e-9)
        traded = (close * volume)[window]
        assert found.daily_volume[row, column] == pytest.approx(np.mean(traded[~np.isnan(traded)]) * 24, rel=1e-9)


def test_liquidity_is_unknown_for_the_first_day() -> None:
    found = trailing_liquidity(random_market(1, holes=False), 7 * DAY)
    assert np.isnan(found.volatility[:23]).all()
    assert np.isnan(found.daily_volume[:23]).all()
    assert not np.isnan(found.volatility[23:]).any()
    assert not np.isnan(found.daily_volume[23:]).any()


def test_the_kernel_knows_at_an_open_only_what_closed_before_it() -> None:
    market = random_market(6, holes=False)
    config = RunConfig(impact=0.8, participation=0.05)
    panel = kernel_bars(market, config).panel
    liquidity = trailing_liquidity(market, 7 * DAY)
    coefficient = impact_coefficient(liquidity, 0.8)
    assert np.isnan(panel[:, 0, IMPACT]).all()
    np.testing.assert_array_equal(panel[:, 1:, IMPACT], coefficient[:-1].T)
    np.testing.assert_allclose(panel[:, 1:, CAPACITY], 0.05 * liquidity.daily_volume[:-1].T / 24, rtol=1e-12)
    later = replace(market, volume=np.vstack((market.volume[:100], market.volume[100:] * 7)))
    np.testing.assert_array_equal(kernel_bars(later, config).panel[:, :101, CAPACITY], panel[:, :101, CAPACITY])
    assert (kernel_bars(later, config).panel[:, 101, CAPACITY] != panel[:, 101, CAPACITY]).all()


def test_impact_is_the_square_root_law() -> None:
    """Y 1, daily volatility 4 %, 0.25 million of a daily volume of 25 million: 0.04 * sqrt(0.01) = 0.4 %."""
    market = random_market(1, holes=False)
    liquidity = replace(
        trailing_liquidity(market, DAY),
        volatility=np.array([[0.04, 0.04, 0.0]]),
        daily_volume=np.array([[25e6, 0.0, 0.0]]),
    )
    coefficient = impact_coefficient(liquidity, 1.0)
    assert coefficient[0, 0] * math.sqrt(0.25e6) == pytest.approx(0.004, rel=1e-12)
    assert np.isinf(coefficient[0, 1:]).all()
    assert (impact_coefficient(liquidity, 0.0) == 0).all()


def test_gaps_and_bars_without_volume_are_not_tradable_but_keep_a_mark() -> None:
    market = random_market(9)
    bars = kernel_bars(market, RunConfig())
    still = ~market.tradable.T
    assert still.any()
    assert np.isnan(bars.panel[:, :, OPEN][still]).all()
    assert np.isnan(bars.panel[:, :, CLOSE][still]).all()
    quiet = (market.volume == 0).T
    assert quiet.any()
    np.testing.assert_array_equal(bars.panel[:, :, MARK][quiet], market.close.T[quiet])
    assert (bars.panel[2, :, FUNDING] == 0).all(), "spot pays no funding"
    assert (bars.panel[0, :, FUNDING] != 0).any()


def test_next_tradable_by_a_slow_loop() -> None:
    tradable = np.random.default_rng(1).random((50, 3)) < 0.3
    table = next_tradable(tradable)
    for column in range(3):
        for row in range(51):
            ahead = [t for t in range(row, 50) if tradable[t, column]]
            assert table[column, row] == (ahead[0] if ahead else 50)


def test_rules_speak_of_one_bar() -> None:
    rules = kernel_rules(RunConfig(funding_const=0.0008), HOUR)
    assert rules.funding_const == pytest.approx(0.0001, rel=1e-12)
    assert rules.bars_per_year == 8760
    assert kernel_rules(RunConfig(), DAY).bars_per_year == 365


def test_detail_must_be_finer_and_in_step() -> None:
    market = random_market(1)
    with pytest.raises(MarketError, match="detail bars of 1h do not divide bars of 1h"):
        kernel_bars(market, RunConfig(), market)


def test_finer_bars_lie_in_memory_as_their_absence_does() -> None:
    """The kernel is compiled for a layout: another one would take the first user of finer bars another minute."""
    market = random_market(1, holes=False)
    index = pd.date_range(market.index[0], periods=len(market.index), freq="30min", unit="ms")
    finer = replace(market, index=index, timeframe="30m")
    without, bars = kernel_bars(market, RunConfig()), kernel_bars(market, RunConfig(), finer)
    assert [numba.typeof(one) for one in bars] == [numba.typeof(one) for one in without]
    np.testing.assert_array_equal(bars.detail[:, :, 1], market.high.T)
    assert bars.detail.shape == (3, 200, 4)
    assert bars.detail_ratio == 2
