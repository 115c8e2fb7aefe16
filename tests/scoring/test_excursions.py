"""Excursions and the rolling Sharpe ratio, worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from backtest import Market, RunConfig, replay
from backtest.catalysts.record import Calendar
from backtest.engine.run import Run
from backtest.scoring.excursions import excursions, rolling_sharpe
from backtest.signals.strategy import Intent, Intents

FREE = RunConfig(fee_rate=0.0, half_spread=0.0, impact=0.0, reaction="0m", funding_unknown="zero")
HOUR = 3_600_000


def market(rows: list[tuple[float, float, float, float]]) -> Market:
    """Hourly bars of open, high, low and close."""
    index = pd.date_range("2025-10-01", periods=len(rows), freq="h", tz="UTC")
    frame = pd.DataFrame(rows, index, columns=["open", "high", "low", "close"]).assign(volume=1e9)
    return Market.from_frames({"ZEC/USDT:USDT": frame})


def held(bars: Market, side: int, **exits: float) -> Run:
    """One position decided at the open of the third bar, left after three hours."""
    intent = Intent(
        instrument="ZEC/USDT:USDT",
        decided_at_ms=bars.start_ms + (LEAD + 2) * HOUR,
        side=side,
        weight=0.1,
        hold_ms=3 * HOUR,
        **exits,
    )
    return replay(bars, Intents((intent,)), FREE, calendar=Calendar("none", ()))


FLAT = (100.0, 101.0, 99.0, 100.0)
LEAD = 60
"""Quiet bars before, from which liquidity is known."""
PATH = [FLAT] * (LEAD + 10)
PATH[LEAD + 2] = (100.0, 108.0, 97.0, 104.0)
PATH[LEAD + 3] = (104.0, 120.0, 103.0, 110.0)
PATH[LEAD + 4] = (110.0, 112.0, 90.0, 95.0)
# The exit is at this open: its high and low come after it.
PATH[LEAD + 5] = (96.0, 200.0, 1.0, 100.0)


def test_bars_held_whole_and_the_exit_count_and_no_other() -> None:
    bars = market(PATH)
    for side, adverse, favourable in ((1, 90.0, 120.0), (-1, 120.0, 90.0)):
        run = held(bars, side)
        (trade,) = run.trades.to_dict("records")
        entry = trade["entry_price"]
        assert trade["entry_time"] == bars.index[LEAD + 2]
        assert trade["exit_time"] == bars.index[LEAD + 5]
        found = excursions(run)
        assert found.adverse[0] == pytest.approx(side * (adverse / entry - 1.0))
        assert found.favourable[0] == pytest.approx(side * (favourable / entry - 1.0))


def test_a_bar_that_ended_the_trade_inside_counts_by_its_exit_alone() -> None:
    run = held(market(PATH), 1, stop_loss=0.05)
    (trade,) = run.trades.to_dict("records")
    assert (trade["exit_phase"], trade["reason"]) == ("inside", "stop_loss")
    found = excursions(run)
    # Bars 2 and 3 were held whole; bar 4 goes to 90 after the stop at 95, which the trade never saw.
    assert found.adverse[0] == pytest.approx(trade["exit_price"] / trade["entry_price"] - 1.0)
    assert found.adverse[0] == pytest.approx(-0.05, abs=1e-3)
    assert found.favourable[0] == pytest.approx(120.0 / trade["entry_price"] - 1.0)


def test_no_trade_has_no_excursion() -> None:
    run = replay(market(PATH), Intents(()), FREE, calendar=Calendar("none", ()))
    assert len(excursions(run).adverse) == len(run.trades) == 0


def test_the_rolling_sharpe_ratio_is_that_of_daily_closes() -> None:
    steps = np.random.default_rng(3).normal(0.0, 0.01, 24 * 12)
    close = 100.0 * np.exp(np.cumsum(steps))
    opened = np.concatenate(([100.0], close[:-1]))
    edges = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    bars = market(list(zip(opened, *edges, close, strict=True)))
    intent = Intent(
        instrument="ZEC/USDT:USDT", decided_at_ms=bars.start_ms + 24 * HOUR, side=1, weight=0.5, hold_ms=24 * 10 * HOUR
    )
    run = replay(bars, Intents((intent,)), FREE, calendar=Calendar("none", ()))
    found = rolling_sharpe(run, 5)
    ends = np.array([run.equity.iloc[24 * day + 23] for day in range(12)])
    returns = np.diff(np.concatenate(([run.config.capital], ends))) / np.concatenate(([run.config.capital], ends[:-1]))
    assert list(found.index) == [bars.index[0] + pd.Timedelta(days=day + 1) for day in range(12)]
    assert np.isnan(found.to_numpy()[:4]).all()
    assert len(run.trades) == 1
    for day in range(5, 12):
        window = returns[day - 4 : day + 1]
        wanted = window.mean() / window.std(ddof=1) * np.sqrt(365.0)
        assert found.iloc[day] == pytest.approx(wanted)
