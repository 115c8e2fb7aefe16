"""The kernel against `vectorbt.Portfolio.from_signals` on the rules that both know.

They agree under these settings, and differ by default for these reasons:

- vectorbt fills at the close that decided (`price` is the close): here the entry signal is set on the fill bar and
  `price` is its open, which is what the kernel always does.
- vectorbt anchors stops at the close of the entry bar: `stop_entry_price="fillprice"` anchors them at the fill.
- vectorbt fills stops free of slippage ("stop limit"): `stop_exit_price="stopmarket"` charges it, as the kernel does.
- vectorbt looks at stops from the bar after the entry, the kernel on the entry bar too: entry bars here have no range.
- vectorbt lets a stop inside a bar precede a signal at its open, the kernel knows that the open comes first: signal
  exits here fall on bars without range.
- vectorbt lets a stop inside a bar precede a target that its open has already passed: gaps here go against the trader.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.base.config import RunConfig
from backtest.engine.replay import replay
from backtest.engine.run import Run
from backtest.market.record import Market
from backtest.signals.strategy import Intent, Intents
from tests.engine.test_book import HOUR, random_market

if TYPE_CHECKING:
    import vectorbt

ROOT = Path(__file__).parents[2]
SYMBOL = "ZEC/USDT:USDT"
PLAIN = RunConfig(impact=0.0, participation=float("inf"), fee_rate=0.001, half_spread=0.002)
SPACING, HOLD = 18, 15


def a_market(seed: int, side: int) -> Market:
    """One swap without funding; the bars of entries and time exits have no range."""
    market = random_market(seed, bars=300, holes=False).select((SYMBOL,))
    panels = {name: np.array(getattr(market, name)) for name in ("open", "high", "low", "close")}
    for first in (24, 24 + HOLD):
        for name in ("high", "low", "close"):
            panels[name][first::SPACING] = panels["open"][first::SPACING]
    before = np.vstack((panels["open"][:1], panels["close"][:-1]))
    favourable = side * (panels["open"] - before) > 0
    for first in (24, 24 + HOLD):
        favourable[first::SPACING] = False
    panels["open"] = np.where(favourable, before, panels["open"])
    for name, outermost in (("high", np.maximum), ("low", np.minimum)):
        panels[name] = outermost(panels[name], panels["open"])
    return replace(market, **panels, funding=np.zeros_like(market.funding))


def ours(market: Market, side: int, stop: float, target: float) -> Run:
    rows = [
        Intent(
            instrument=SYMBOL, decided_at_ms=market.start_ms + row * HOUR, side=side, stop_loss=stop,
            take_profit=target,
            hold_ms=HOLD * HOUR,
        )
        for row in range(24, 280 - HOLD, SPACING)
    ]  # fmt: skip
    return replay(market, Intents(tuple(rows)), PLAIN)


def theirs(market: Market, side: int, stop: float, target: float, size: float, engine: str) -> vectorbt.Portfolio:
    import vectorbt  # eight seconds: only in the process that runs these tests

    entries = np.zeros(len(market.index), dtype=bool)
    entries[24 : 280 - HOLD : SPACING] = True
    exits = np.roll(entries, HOLD)
    opened = pd.Series(market.open[:, 0], index=market.index)
    return vectorbt.Portfolio.from_signals(
        pd.Series(market.close[:, 0], index=market.index),
        entries=entries,
        exits=exits,
        direction="longonly" if side > 0 else "shortonly",
        price=opened,
        open=opened,
        high=market.high[:, 0],
        low=market.low[:, 0],
        sl_stop=stop,
        tp_stop=target,
        stop_entry_price="fillprice",
        stop_exit_price="stopmarket",
        size=size,
        fees=PLAIN.fee_rate,
        slippage=PLAIN.half_spread,
        init_cash=PLAIN.capital,
        freq="1h",
        engine=engine,
    )


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from((1, -1)),
    st.sampled_from((0.01, 0.03, 0.08)),
    st.sampled_from((0.02, 0.05, 0.2)),
)
def test_fills_and_returns_of_every_trade_agree(seed: int, side: int, stop: float, target: float) -> None:
    market = a_market(seed, side)
    mine = ours(market, side, stop, target).trades
    portfolio = theirs(market, side, stop, target, 1.0, "rust")
    yours = portfolio.trades.records
    assert len(mine) == len(yours) == 14
    rows = market.index.get_indexer(pd.DatetimeIndex(mine["exit_time"]))
    assert rows.tolist() == yours["exit_idx"].tolist()
    np.testing.assert_allclose(mine["entry_price"], yours["entry_price"], rtol=1e-12)
    np.testing.assert_allclose(mine["exit_price"], yours["exit_price"], rtol=1e-12)
    np.testing.assert_allclose(mine["net_return"], yours["return"], rtol=1e-9, atol=1e-12)


IN_PYTHON = """
import sys
from tests.engine.test_against_vectorbt import of_a_long_run
sys.stdout.buffer.write(of_a_long_run("numba").tobytes())
"""


def of_a_long_run(engine: str) -> npt.NDArray[np.float64]:
    """Their equity at each close of one market."""
    return theirs(a_market(7, 1), 1, 0.05, 0.08, np.inf, engine).value().to_numpy()


@pytest.mark.parametrize("engine", ["rust", "numba"])
def test_equity_of_a_whole_long_run_agrees(engine: str) -> None:
    run = ours(a_market(7, 1), 1, 0.05, 0.08)
    assert {"stop_loss", "take_profit", "time"} <= set(run.trades["reason"])
    if engine == "rust":
        value = of_a_long_run(engine)
    else:
        # As plain Python, in a process of its own: to compile it takes twenty seconds, to run it on 300 bars a tenth.
        command, environment = [sys.executable, "-c", IN_PYTHON], {**os.environ, "NUMBA_DISABLE_JIT": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        value = np.frombuffer(done.stdout)
    assert value.shape == (300,)
    np.testing.assert_allclose(run.equity.to_numpy(), value, rtol=1e-9)
