from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.errors import MarketError
from backtest.market.paths import (
    autoregressive,
    bridge,
    candles,
    fold,
    funding_rate,
    paced,
    rhythm,
    significant,
    turbulence,
)
from backtest.market.record import RECONSTRUCTED
from backtest.market.series import PANELS
from backtest.market.synthetic import main, read_plan, reconstruct

PLAN = """
name = "small"
source = "typed for a test"
licence = "CC0-1.0"
how_made = "by hand"
seed = 7
timeframe = "1h"
start = 2025-01-01T00:00:00Z
end = 2025-01-05T00:00:00Z
steps = 12
quote = "USDT"
sector_volatility = 0.02
"""
COIN = """
[[coins]]
base = "BASE"
volatility = 0.04
market_beta = 0.5
price = [
  { at = 2025-01-01T00:00:00Z, level = 100 },
  { at = 2025-01-02T06:05:00Z, level = 130, extreme = "high" },
  { day = 2025-01-02, level = 120 },
  { at = 2025-01-03T06:05:00Z, level = 90, extreme = "low" },
  { day = 2025-01-04, level = 110.55 },
]
open_interest = [{ at = 2025-01-01T00:00:00Z, level = 5e6 }, { day = 2025-01-04, level = 8e6 }]
swap_turnover = [{ day = 2025-01-02, level = 3e6 }, { day = 2025-01-03, level = 9e6 }]
spot_turnover = [{ day = 2025-01-02, level = 1e6 }]
premium = [{ at = 2025-01-01T00:00:00Z, level = -0.004 }]
"""


def coin(base: str) -> str:
    return COIN.replace("BASE", base)


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    path = tmp_path / "anchors.toml"
    path.write_text(PLAN + coin("AAA") + coin("BBB"))
    return path


def test_the_path_passes_every_anchor_and_none_beyond_an_extreme(plan_file: Path) -> None:
    market = reconstruct(read_plan(plan_file))
    assert market.symbols == ("AAA/USDT:USDT", "BBB/USDT:USDT", "AAA/USDT", "BBB/USDT")
    assert market.provenance.label == RECONSTRUCTED
    assert len(market.index) == 96
    for column in (0, 1):
        # The opening gap of a basis point is not the anchor's.
        assert market.open[0, column] == pytest.approx(100.0, rel=0.001)
        assert market.close[47, column] == 120.0
        assert market.close[95, column] == 110.55
        assert market.high[:48, column].max() == 130.0
        assert market.low[48:, column].min() == 90.0
    assert market.open_interest[95, 0] == 8e6
    assert np.isnan(market.open_interest[:, 2:]).all()


def test_anchored_days_turn_over_what_they_must(plan_file: Path) -> None:
    market = reconstruct(read_plan(plan_file))
    quote = (market.volume * market.close).reshape(4, 24, 4).sum(axis=1)
    # Volumes are kept to four digits, so a day's sum to five.
    np.testing.assert_allclose(quote[1], [3e6, 3e6, 1e6, 1e6], rtol=1e-4)
    np.testing.assert_allclose(quote[2, :2], [9e6, 9e6], rtol=1e-4)


def test_funding_is_the_premium_by_the_venues_formula(plan_file: Path) -> None:
    market = reconstruct(read_plan(plan_file))
    settled = market.funding[7::8, :2]
    # A premium near -0.4 % is outside the band of 0.05 % around the interest, so 0.05 % comes back.
    assert settled.shape == (12, 2)
    assert settled.mean() == pytest.approx(-0.0035, abs=0.0012)
    unsettled = np.delete(market.funding, np.arange(7, 96, 8), axis=0)
    assert (unsettled == 0).all()
    basis = market.close[:, 0] / market.close[:, 2] - 1.0
    assert basis.mean() == pytest.approx(settled[:, 0].mean() - 0.0005, abs=0.0006)


def test_funding_rates_by_hand() -> None:
    # Within 0.05 % of the interest of 0.01 % the interest is paid; beyond it the premium less 0.05 %; 2 % at most.
    rates = funding_rate(np.array([0.0, 0.0004, -0.0003, 0.0008, -0.004, -0.03]))
    np.testing.assert_allclose(rates, [0.0001, 0.0001, 0.0001, 0.0003, -0.0035, -0.02])


def test_the_same_plan_gives_the_same_market_and_another_seed_another(plan_file: Path) -> None:
    first = reconstruct(read_plan(plan_file))
    assert reconstruct(read_plan(plan_file)).sha256() == first.sha256()
    plan_file.write_text(plan_file.read_text().replace("seed = 7", "seed = 8"))
    assert reconstruct(read_plan(plan_file)).sha256() != first.sha256()


def test_a_coin_more_leaves_the_others_as_they_are(plan_file: Path) -> None:
    two = reconstruct(read_plan(plan_file))
    plan_file.write_text(plan_file.read_text() + coin("CCC"))
    three = reconstruct(read_plan(plan_file)).select(two.symbols)
    for panel in PANELS:
        np.testing.assert_array_equal(getattr(two, panel), getattr(three, panel), err_msg=panel)


def test_coins_differ_and_share_the_market(plan_file: Path) -> None:
    returns = np.diff(np.log(reconstruct(read_plan(plan_file)).close[:, :2]), axis=0)
    assert 0.1 < np.corrcoef(returns.T)[0, 1] < 0.95


@pytest.mark.parametrize(
    ("found", "put", "complaint"),
    [
        ("market_beta", "market_bta", r"unknown key 'coins\.0\.market_bta'; did you mean 'market_beta'\?"),
        ("seed = 7", "seed = -1", "seed = -1"),
        ("steps = 12", "", "key 'steps' is missing"),
        ("level = 130, ", "level = -130, ", r"coins\.0\.price\.1\.level = -130"),
        ('extreme = "high"', 'extreme = "top"', r"coins\.0\.price\.1\.extreme = 'top'"),
        ("{ day = 2025-01-02, level = 120 }", "{ level = 120 }", "give one of day .* and at"),
        ("2025-01-02T06:05:00Z", "2025-01-02T06:05:00", r"coins\.0\.price\.1\.at"),
        ("2025-01-02T06:05:00Z", "2025-01-02T06:07:00Z", "price of AAA has an anchor at 2025-01-02 06:07, off"),
        ("{ day = 2025-01-02, level = 120 }", "{ day = 2025-01-01, level = 120 }", "at 2025-01-02 00:00 after a later"),
        ("at = 2025-01-01T00:00:00Z, level = 100", "day = 2025-01-01, level = 100", "needs an anchor at the plan"),
        ("{ day = 2025-01-02, level = 3e6 }", "{ day = 2025-01-09, level = 3e6 }", "turnover of AAA.* 2025-01-10"),
        ("level = 120 }", "level = 140 }", "AAA 130 is no high: an anchor beside it goes beyond"),
        ("level = 120 }", "level = 80 }", "AAA 90 is no low: an anchor beside it goes beyond"),
        ("end = 2025-01-05T00:00:00Z", "end = 2025-01-05T00:30:00Z", "is not a whole number of 1h bars of 12 steps"),
    ],
)  # fmt: skip
def test_a_broken_plan_is_named(plan_file: Path, found: str, put: str, complaint: str) -> None:
    text = plan_file.read_text()
    assert found in text
    plan_file.write_text(text.replace(found, put, 1))
    with pytest.raises(MarketError, match=complaint):
        reconstruct(read_plan(plan_file))


def test_the_entry_wants_one_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == "error: 0 arguments given, one is needed: the folder to write to\n"


@given(
    knots=st.lists(st.integers(0, 200), min_size=2, max_size=8, unique=True).map(sorted),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_bridge_passes_its_levels(knots: list[int], seed: int) -> None:
    random = np.random.RandomState(seed)
    path, levels = np.cumsum(random.standard_normal(201)), random.standard_normal(len(knots))
    clock = np.cumsum(random.uniform(0.1, 3.0, 201))
    np.testing.assert_allclose(bridge(path, clock, knots, levels)[knots], levels, atol=1e-9)


def test_a_bridge_spreads_the_correction_over_its_clock() -> None:
    # By hand: a flat path lifted to 3 at its end, where the clock's second step is twice the first.
    lifted = bridge(np.zeros(3), np.array([0.0, 1.0, 3.0]), [0, 2], np.array([0.0, 3.0]))
    np.testing.assert_allclose(lifted, [0.0, 1.0, 3.0])


def test_folding_reflects() -> None:
    np.testing.assert_allclose(fold(np.array([0.0, 3.0, 1.0]), 2.0, "high", "x"), [0.0, 1.0, 1.0])
    np.testing.assert_allclose(fold(np.array([0.0, -3.0, 1.0]), -2.0, "low", "x"), [0.0, -1.0, 1.0])
    with pytest.raises(MarketError, match="x is no high"):
        fold(np.array([0.0, 1.0, 3.0]), 2.0, "high", "x")


def test_turbulence_by_hand() -> None:
    # A move of 4 over 4 steps of 1: needed 4 / (1 * sqrt(4)) = 2, variance 1 + (0.7 * 2)^2 = 2.96, from the start on.
    np.testing.assert_allclose(turbulence([0, 4], np.array([0.0, 4.0]), 1.0, 3.0) ** 2, np.full(4, 2.96))
    # Then a calm stretch: half of the excess over 1 is left after each half-life of one step.
    calm = turbulence([0, 4, 6], np.array([0.0, 4.0, 4.0]), 1.0, 1.0) ** 2
    np.testing.assert_allclose(calm[4:], [1.98, 1.49])
    # However wild the move, the multiple ends at sqrt(1 + (0.7 * 8)^2).
    np.testing.assert_allclose(turbulence([0, 1], np.array([0.0, 99.0]), 1.0, 1.0) ** 2, [32.36])


def test_candles_by_hand() -> None:
    path = np.log([10.0, 12.0, 9.0, 11.0, 11.0, 8.0])[:5]
    bars = candles(path, 2, np.array([0.0, np.log(1.1)]))
    np.testing.assert_allclose(bars.open, [10.0, 9.9])
    np.testing.assert_allclose(bars.high, [12.0, 11.0])
    np.testing.assert_allclose(bars.low, [9.0, 9.9])
    np.testing.assert_allclose(bars.close, [9.0, 11.0])


@given(seed=st.integers(0, 2**32 - 1), totals=st.tuples(*[st.floats(1.0, 1e6)] * 3))
def test_pacing_meets_every_total(seed: int, totals: tuple[float, ...]) -> None:
    activity = np.random.RandomState(seed).uniform(0.1, 10.0, 120)
    spans = [np.arange(120) // 24 == day for day in (0, 2, 3)]
    flow = paced(activity, spans, totals)
    np.testing.assert_allclose([flow[span].sum() for span in spans], totals, rtol=1e-9)
    assert (flow > 0).all()


def test_pacing_is_smooth_where_it_can_be() -> None:
    """A total ten times larger is reached over the days between, not in a step at midnight."""
    days = np.arange(24 * 5) // 24
    flow = paced(np.ones(120), [days == 0, days == 4], [24.0, 240.0])
    assert np.abs(np.diff(np.log(flow))).max() < 0.1
    assert flow[60] == pytest.approx(10**0.5, rel=0.1)


def test_significant_digits_by_hand() -> None:
    values = np.array([123456.0, 0.0123456, 532.06, -98765.4, 0.0])
    np.testing.assert_array_equal(significant(values, 3), [123000.0, 0.0123, 532.0, -98800.0, 0.0])
    np.testing.assert_array_equal(significant(values, 5), [123460.0, 0.012346, 532.06, -98765.0, 0.0])
    assert np.isnan(significant(np.array([np.nan]), 3)).all()


def test_an_autoregressive_series_has_the_deviation_and_half_life_asked_for() -> None:
    series = autoregressive(np.random.RandomState(1), 400_000, 10.0, 0.5)
    # About 14,000 independent stretches: standard errors near 1 %.
    assert series.std() == pytest.approx(0.5, rel=0.03)
    assert np.corrcoef(series[10:], series[:-10])[0, 1] == pytest.approx(0.5, abs=0.03)
    starts = [autoregressive(np.random.RandomState(seed), 1, 10.0, 0.5)[0] for seed in range(2000)]
    assert np.std(starts) == pytest.approx(0.5, rel=0.06)


def test_the_rhythm_of_a_week_averages_to_one_but_for_the_weekend() -> None:
    monday = 1_762_128_000_000  # 2025-11-03 00:00 UTC
    hours = rhythm(monday + 3_600_000 * np.arange(168)).reshape(7, 24)
    np.testing.assert_allclose(hours.mean(axis=1), [1, 1, 1, 1, 1, 0.8, 0.8])
    assert hours[0].argmax() in (13, 14, 15)
    assert hours[0].argmin() in (6, 7, 8, 9)
