"""The vectorbt portfolio of a run's fills is an independent audit of its equity, for shorts and leverage too."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtest.base.config import RunConfig
from backtest.engine.book import audited_equity, reserve_of
from backtest.engine.layout import STATISTICS
from backtest.engine.replay import replay
from backtest.engine.run import Run
from backtest.market.record import Market
from backtest.signals.strategy import Intent, Intents
from backtest.testing import synthetic_market

HOUR = 3_600_000
SYMBOLS = ("ZEC/USDT:USDT", "DASH/USDT:USDT", "ZEC/USDT")


def random_market(seed: int, bars: int = 200, holes: bool = True) -> Market:
    return synthetic_market(bars, seed=seed, volatility=0.02, gaps=0.05 if holes else 0.0, spot=("ZEC",))


def random_intents(seed: int, market: Market, count: int = 12) -> Intents:
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        symbol = SYMBOLS[generator.integers(len(SYMBOLS))]
        rows.append(
            Intent(
                instrument=symbol,
                decided_at_ms=market.start_ms + int(generator.integers(24, len(market.index))) * HOUR,
                side=1 if symbol == "ZEC/USDT" else int(generator.choice((1, -1))),
                weight=float(generator.uniform(0.1, 1.2)),
                hold_ms=int(generator.integers(1, 60)) * HOUR,
                stop_loss=float(generator.choice((np.nan, 0.01, 0.05))),
                take_profit=float(generator.choice((np.nan, 0.01, 0.1))),
                trailing_stop=float(generator.choice((np.nan, 0.03))),
                catalyst_id=f"c{number}",
            )
        )
    return Intents(tuple(rows))


def random_run(seed: int, **changes: object) -> Run:
    market = random_market(seed)
    base = {"gross_cap": 3.0, "leverage": 5.0, "maintenance_margin": 0.02}
    return replay(market, random_intents(seed, market), RunConfig(**(base | changes)))  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6))
def test_equity_equals_vectorbt_and_the_funding_ledger(seed: int) -> None:
    run = random_run(seed)
    assert len(run.fills) > 0
    gap = (audited_equity(run) - run.equity).abs().max()
    assert gap < 1e-9 * (run.config.capital + reserve_of(run))


def test_a_planted_error_of_one_cent_is_seen() -> None:
    run = random_run(3)
    wrong = run.equity.copy()
    wrong.iloc[100:] += 0.01
    assert (audited_equity(run) - wrong).abs().max() > 0.009


def test_an_unleveraged_long_needs_no_reserve_and_reads_like_any_vectorbt_portfolio() -> None:
    market = random_market(1, holes=False)
    config = RunConfig(impact=0.0, participation=float("inf"))
    rows = (
        Intent(instrument="ZEC/USDT", decided_at_ms=market.start_ms + 30 * HOUR, exit_at_ms=market.end_ms - 9 * HOUR),
    )
    run = replay(market, Intents(rows), config)
    assert reserve_of(run) == 0
    assert float(run.portfolio.total_return()) == pytest.approx(run.equity.iloc[-1] / config.capital - 1, rel=1e-12)
    assert len(run.portfolio.trades.records) == 1


def test_two_fills_of_one_instrument_in_one_bar_keep_their_order() -> None:
    """Left at the open by its time limit, and entered again at that open."""
    market = random_market(5, holes=False)
    first = market.start_ms + 30 * HOUR
    rows = tuple(
        Intent(instrument="DASH/USDT:USDT", decided_at_ms=first + shift * HOUR, hold_ms=6 * HOUR) for shift in (0, 6)
    )
    run = replay(market, Intents(rows), RunConfig())
    assert run.fills["bar"].duplicated().any()
    assert (audited_equity(run) - run.equity).abs().max() < 1e-9 * run.config.capital


def test_a_run_without_fills_has_a_flat_portfolio() -> None:
    market = random_market(2)
    run = replay(market, Intents(()), RunConfig())
    assert (run.equity == run.config.capital).all()
    assert (audited_equity(run) == run.config.capital).all()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6))
def test_every_ratio_of_the_account_is_the_runs_own(seed: int) -> None:
    run = random_run(seed)
    # What follows the statistics says where a fault was.
    portfolio, mine = run.portfolio, dict(zip(STATISTICS, run.statistics[: len(STATISTICS)], strict=True))
    np.testing.assert_allclose(portfolio.value().to_numpy(), run.equity.to_numpy(), rtol=1e-9)
    assert float(portfolio.total_return()) == pytest.approx(mine["net_return"], rel=1e-9, abs=1e-12)
    assert -float(portfolio.max_drawdown()) == pytest.approx(mine["max_drawdown"], rel=1e-9)
    assert float(portfolio.drawdowns.max_drawdown()) == pytest.approx(-mine["max_drawdown"], rel=1e-9)
    shown = portfolio.stats()
    assert float(shown["Sharpe Ratio"]) == pytest.approx(mine["sharpe"], rel=1e-9)
    assert float(shown["Sortino Ratio"]) == pytest.approx(mine["sortino"], rel=1e-9)
    assert float(shown["Total Return [%]"]) == pytest.approx(100 * mine["net_return"], rel=1e-9, abs=1e-9)
    assert float(shown["Start Value"]) == run.config.capital
    assert not {"Max Gross Exposure [%]", "Win Rate [%]", "Total Fees Paid"} & set(shown.index)
    assert float(portfolio.trades.records["pnl"].sum()) == pytest.approx(run.trades["net"].sum(), rel=1e-6, abs=1e-4)
