"""Quiet bars that are skipped change no trade, no exposure and no net return, to the last bit."""

from __future__ import annotations

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
    funding = np.zeros((2, 1_000))
    funding[1, 700] = np.nan
    bars = bars_of(prices, funding=funding)
    found = extremes_of(bars)
    assert found.starts.tolist() == [0, 0, 125, 141]
    for level, width in ((1, 8), (2, 64), (3, 512)):
        for block in range(-(-1_000 // width)):
            part = bars.panel[:, block * width : (block + 1) * width]
            low, high = part[:, :, codes.LOW], part[:, :, codes.HIGH]
            expected = np.fmin.reduce(low, axis=1, initial=np.inf)
            expected[(part[:, :, codes.FUNDING] != 0.0).any(axis=1)] = -np.inf
            place = found.starts[level] + block
            np.testing.assert_array_equal(found.blocks[:, place, 0], expected)
            np.testing.assert_array_equal(found.blocks[:, place, 1], np.fmax.reduce(high, axis=1, initial=-np.inf))
