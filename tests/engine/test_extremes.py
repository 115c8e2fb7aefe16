"""Quiet bars that are skipped change no trade, no exposure and no net return, to the last bit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtest.engine import layout as codes
from backtest.engine.extremes import extremes_of
from backtest.engine.kernel import replay_many
from backtest.engine.layout import F8, Bars
from backtest.engine.variations import Orders
from tests.engine.markets import RULES, Scenario, any_scenario, bars_of, in_parts, orders_of, random_prices, scenarios

OF_A_PATH = [codes.SHARPE, codes.SORTINO, codes.MAX_DRAWDOWN]
OF_TRADES = [code for code in range(len(codes.STATISTICS)) if code not in OF_A_PATH]


def same(orders: Orders, bars: Bars, rules: codes.Rules, replays: int, workers: int = 1) -> F8:
    """The walk's statistics, once those of the skipping replay are found equal."""
    walked = replay_many(orders, bars, rules, replays, workers)
    skipped = replay_many(orders, bars, rules, replays, workers, extremes_of(bars))
    np.testing.assert_array_equal(skipped[:, OF_TRADES].view(np.int64), walked[:, OF_TRADES].view(np.int64))
    assert np.isnan(skipped[:, OF_A_PATH]).all()
    return walked


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(any_scenario, scenarios(marked=True), in_parts), st.integers(1, 3))
def test_random_markets_skipped_equal_walked(scenario: Scenario, workers: int) -> None:
    shifts = np.arange(scenario.bars.panel.shape[1], dtype=np.int32)
    same(scenario.orders._replace(shift=shifts), scenario.bars, scenario.rules, len(shifts), workers)


@pytest.mark.parametrize("seed", range(12))
def test_long_markets_skipped_equal_walked(seed: int) -> None:
    """Thousands of bars, so that every level of blocks is climbed; stops near and far, funding rare or unknown."""
    random = np.random.default_rng(seed)
    coins, rows = 3, int(random.integers(4_000, 6_000))
    prices, _ = random_prices(random, coins, rows, 1, 0.002)
    prices[:, 1:][random.random((coins, rows - 1)) < (0.0, 0.001, 0.2)[seed % 3]] = np.nan
    funding = np.where(np.arange(rows) % 480 == 479, 1e-4 * random.normal(size=(coins, rows)), 0.0)
    if seed % 4 == 3:
        funding[random.random(funding.shape) < 2e-4] = np.nan
    bars = bars_of(prices, swap=np.array([True, seed % 2 == 0, True]), funding=funding)
    intents = [
        {
            "column": int(random.integers(coins)),
            "earliest": int(random.integers(rows)),
            "side": int(random.choice([-1, 1])) if seed % 2 == 0 else 1,
            "weight": float(random.choice([0.1, 0.5])),
            "hold": int(random.choice([30, 700, 4_000])),
            "stop_loss": float(random.choice([0.01, 0.1, np.nan])),
            "take_profit": float(random.choice([0.02, 0.3, np.nan])),
            "trailing_stop": float(random.choice([0.05, np.nan, np.nan, np.nan])),
        }
        for _ in range(6)
    ]
    orders = orders_of(intents)
    rules = RULES._replace(
        fee_rate=5e-4,
        half_spread=2e-4,
        funding_unknown=(codes.FUNDING_CONST if seed % 8 == 7 else RULES.funding_unknown),
    )
    walked = same(orders._replace(shift=np.arange(0, rows, 97, dtype=np.int32)), bars, rules, -(-rows // 97))
    assert (walked[:, codes.TRADES] > 0).any()


def test_blocks_hold_the_extremes_of_their_bars() -> None:
    prices, _ = random_prices(np.random.default_rng(5), 2, 1_000, 1, 0.01)
    prices[0, 100:120] = np.nan
    bars = bars_of(prices)
    found = extremes_of(bars)
    assert found.starts.tolist() == [0, 0, 125, 141]
    for level, width in ((1, 8), (2, 64), (3, 512)):
        for block in range(-(-1_000 // width)):
            part = bars.panel[:, block * width : (block + 1) * width]
            low, high = part[:, :, codes.LOW], part[:, :, codes.HIGH]
            place = found.starts[level] + block
            expected = np.fmin.reduce(low, axis=1, initial=np.inf)
            np.testing.assert_array_equal(found.blocks[:, place, 0], expected)
            np.testing.assert_array_equal(found.blocks[:, place, 1], np.fmax.reduce(high, axis=1, initial=-np.inf))


def test_settlements_hold_their_bars_and_the_extremes_between_them() -> None:
    prices, _ = random_prices(np.random.default_rng(6), 3, 300, 1, 0.01)
    prices[1, :40] = np.nan
    funding = np.zeros((3, 300))
    funding[1, [30, 31, 128, 299]] = [1e-4, -1e-4, np.nan, 1e-4]
    funding[2, [0, 64]] = 1e-4
    bars = bars_of(prices, funding=funding)
    found = extremes_of(bars)
    assert found.settled.tolist() == [[300] * 5, [30, 31, 128, 299, 300], [0, 64, 300, 300, 300]]
    assert found.pointers.tolist() == [[0] * 5, [0, 2, 2, 3, 3], [0, 1, 2, 2, 2]]
    for column, rows in ((1, [30, 31, 128, 299]), (2, [0, 64])):
        np.testing.assert_array_equal(found.paying[column, : len(rows)], bars.panel[column, rows])
        for place, (before, row) in enumerate(itertools.pairwise([-1, *rows])):
            part = bars.panel[column, before + 1 : row + 1]
            low = np.fmin.reduce(part[:, codes.LOW], initial=np.inf)
            high = np.fmax.reduce(part[:, codes.HIGH], initial=-np.inf)
            assert found.between[column, place].tolist() == [low, high]


@pytest.mark.parametrize("seed", range(8))
def test_many_settlements_skipped_equal_walked(seed: int) -> None:
    """Positions held over dozens of settlements, with leverage, so that the funding paid moves their liquidation."""
    random = np.random.default_rng(100 + seed)
    coins, rows = 3, 6_000
    prices, _ = random_prices(random, coins, rows, 1, 0.003)
    prices[:, 1:][random.random((coins, rows - 1)) < (0.0, 0.01)[seed % 2]] = np.nan
    every = (8, 60, 480, 7)[seed % 4]
    paid = np.arange(rows)[None] % every == np.array([every - 1, every - 1, every // 2])[:, None]
    funding = np.where(paid, 1e-3 * random.normal(0.5, 1.0, (coins, rows)), 0.0)
    if seed % 3 == 2:
        funding[random.random(funding.shape) < 1e-3] = np.nan
    bars = bars_of(prices, swap=np.array([True, True, seed % 2 == 0]), funding=funding)
    intents = [
        {
            "column": int(random.integers(coins)),
            "earliest": int(random.integers(rows)),
            "side": int(random.choice([-1, 1])) if seed % 2 == 0 else 1,
            "weight": 0.2,
            "hold": int(random.choice([300, 2_000])),
            "stop_loss": float(random.choice([0.2, np.nan])),
            "take_profit": float(random.choice([0.3, np.nan])),
        }
        for _ in range(8)
    ]
    rules = RULES._replace(
        fee_rate=5e-4, leverage=3.0, funding_unknown=codes.FUNDING_CONST if seed == 2 else RULES.funding_unknown
    )
    shifts = np.arange(0, rows, 53, dtype=np.int32)
    walked = same(orders_of(intents)._replace(shift=shifts), bars, rules, len(shifts))
    assert (walked[:, codes.TRADES] > 0).any()
