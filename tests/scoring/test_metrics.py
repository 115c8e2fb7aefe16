"""Metrics by hand arithmetic, their undefined values, and agreement with the kernel's and with vectorbt's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.base.config import RunConfig
from backtest.engine.costs import bars_per_year, kernel_bars, kernel_rules
from backtest.engine.kernel import replay_many
from backtest.engine.layout import STATISTICS
from backtest.engine.orders import kernel_orders
from backtest.engine.replay import replay
from backtest.scoring.metrics import (
    bar_returns,
    longest_drawdown,
    max_drawdown,
    max_drawdowns,
    named,
    score_run,
    sharpe_ratio,
    sharpe_ratios,
    sortino_ratio,
    sortino_ratios,
    with_intervals,
)
from backtest.signals.strategy import Intent, Intents
from tests.engine.test_book import HOUR, random_intents, random_market, random_run

EQUITY = np.array([110.0, 99.0, 99.0, 118.8])
RETURNS = np.array([0.1, -0.1, 0.0, 0.2])


def test_returns_start_from_the_capital() -> None:
    np.testing.assert_allclose(bar_returns(EQUITY, 100.0), RETURNS, rtol=1e-12)
    np.testing.assert_array_equal(bar_returns(np.array([50.0, 0.0, 0.0]), 100.0), [-0.5, -1.0, 0.0])


def test_ratios_by_hand() -> None:
    """Mean 0.05; deviations 0.05, -0.15, -0.05, 0.15: variance 0.05 / 3. Downside: 0.01 / 4."""
    assert sharpe_ratio(RETURNS, 4.0) == pytest.approx(0.05 / math.sqrt(0.05 / 3) * 2, rel=1e-12)
    assert sortino_ratio(RETURNS, 4.0) == pytest.approx(0.05 / 0.05 * 2, rel=1e-12)
    assert math.isnan(sharpe_ratio(np.zeros(5), 4.0))
    assert math.isnan(sortino_ratio(np.array([0.1, 0.2]), 4.0))


def test_rows_are_scored_each_for_itself() -> None:
    """By hand: 110 to 99 is a tenth, 100 to 80 a fifth; the second row never varies and never loses."""
    np.testing.assert_allclose(max_drawdowns(np.array([[110.0, 99.0, 120.0], [90.0, 80.0, 100.0]]), 100.0), [0.1, 0.2])
    rows = np.stack([RETURNS, np.full(len(RETURNS), 0.1)])
    ratio = 0.05 / math.sqrt(0.05 / 3) * 2
    np.testing.assert_allclose(sharpe_ratios(rows, 4.0), [ratio, np.nan], rtol=1e-12)
    np.testing.assert_allclose(sortino_ratios(rows, 4.0), [2.0, np.nan], rtol=1e-12)


def test_drawdowns_by_hand() -> None:
    """Peak 110, trough 99: a tenth; two bars end below it."""
    assert max_drawdown(EQUITY, 100.0) == pytest.approx(0.1, rel=1e-12)
    assert longest_drawdown(EQUITY, 100.0) == 2
    assert max_drawdown(np.array([90.0]), 100.0) == pytest.approx(0.1)
    assert longest_drawdown(np.array([100.0, 101.0]), 100.0) == 0
    assert longest_drawdown(np.array([90.0, 95.0, 80.0]), 100.0) == 3


@pytest.mark.parametrize("seed", range(6))
def test_the_kernel_streams_the_same_numbers(seed: int) -> None:
    run = random_run(seed)
    market = run.market
    streamed = replay_many(
        kernel_orders(run.intents, market, run.config),
        kernel_bars(market, run.config),
        kernel_rules(run.config, market.bar_ms),
        1,
        1,
    )[0]
    scores = named(score_run(run))
    assert run.exposure > 0
    for place, name in enumerate(STATISTICS):
        assert streamed[place] == pytest.approx(scores[name].value, rel=1e-9, abs=1e-12, nan_ok=True), name


def test_sharpe_sortino_and_drawdown_agree_with_vectorbt() -> None:
    market = random_market(11, holes=False)
    rows = (
        Intent(instrument="ZEC/USDT", decided_at_ms=market.start_ms + 30 * HOUR, exit_at_ms=market.end_ms - 9 * HOUR),
    )
    run = replay(market, Intents(rows), RunConfig(impact=0.0, participation=float("inf")))
    scores = named(score_run(run))
    portfolio = run.portfolio
    year = {"freq": "1h", "year_freq": "365 days"}
    assert float(portfolio.returns_acc(**year).sharpe_ratio()) == pytest.approx(scores["sharpe"].value, rel=1e-9)
    assert float(portfolio.returns_acc(**year).sortino_ratio()) == pytest.approx(scores["sortino"].value, rel=1e-9)
    assert -float(portfolio.max_drawdown()) == pytest.approx(scores["max_drawdown"].value, rel=1e-9)
    assert bars_per_year(HOUR) == 365 * 24


def test_scores_of_trades_follow_the_trades() -> None:
    run = random_run(8)
    scores = named(score_run(run))
    net = run.trades["net"]
    assert scores["trades"].value == len(net) > 3
    assert scores["hit_rate"].value == (net > 0).mean()
    assert scores["profit_factor"].value == pytest.approx(net[net > 0].sum() / -net[net < 0].sum())
    drag = sum(scores[f"{kind}_drag"].value for kind in ("fees", "slippage", "impact", "funding", "liquidation"))
    assert drag * run.config.capital == pytest.approx(run.costs.gross - run.costs.net, abs=0.01)
    assert run.equity.iloc[-1] - run.config.capital == pytest.approx(run.costs.net, abs=0.01)


def test_undefined_is_nan_with_a_reason_and_only_then() -> None:
    market = random_market(2)
    for intents in (Intents(()), random_intents(2, market)):
        for score in score_run(replay(market, intents, RunConfig())):
            assert math.isnan(score.value) == bool(score.reason), score
            assert not math.isinf(score.value)


def test_growth_is_annualised_only_above_a_year() -> None:
    scores = named(score_run(random_run(1)))
    assert "less than one" in scores["cagr"].reason
    assert math.isnan(scores["calmar"].value)


def test_intervals_hold_their_value_and_say_why_where_there_is_none() -> None:
    run = random_run(8)
    plain = named(score_run(run))
    scores = named(with_intervals(run, score_run(run), draws=200))
    assert {name: score.value for name, score in scores.items()} == pytest.approx(
        {name: score.value for name, score in plain.items()}, nan_ok=True
    )
    bounded = [score for score in scores.values() if not math.isnan(score.low)]
    assert {"sharpe", "net_return", "max_drawdown"} <= {score.name for score in bounded}
    for score in bounded:
        assert score.low <= score.high
    assert scores["sharpe"].low < plain["sharpe"].value < scores["sharpe"].high
    again = named(with_intervals(run, score_run(run), draws=200))
    assert again["sharpe"].low == scores["sharpe"].low, "the same seed draws the same bounds"
    few = named(with_intervals(random_run(1), score_run(random_run(1)), draws=200))["mean_trade"]
    assert math.isnan(few.low)
    assert few.reason
