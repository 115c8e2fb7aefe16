"""Markets on which nothing can be known, and intents on them; costs off, so that chance alone decides."""

from __future__ import annotations

import numpy as np
import pandas as pd

from backtest.base.config import RunConfig
from backtest.market.record import Floats, Instrument, Market
from backtest.signals.strategy import Intent, Intents

HOUR = 3_600_000
BARS = 150
ZEC = "ZEC/USDT:USDT"
CONFIG = RunConfig(
    impact=0.0, participation=float("inf"), funding_unknown="zero", fee_rate=0.0, half_spread=0.0, gross_cap=10.0
)
_INDEX = pd.date_range("2025-10-01", periods=BARS, freq="h", tz="UTC")


def market_of(steps: Floats) -> Market:
    """Bars (T, N) that open at the close before and move by log `steps`; a coin a column."""
    bars, coins = steps.shape
    close = 100.0 * np.exp(np.cumsum(steps, axis=0))
    opens = np.vstack((np.full((1, coins), 100.0), close[:-1]))
    symbols = [ZEC, *(f"C{number}/USDT:USDT" for number in range(1, coins))]
    return Market(
        _INDEX if bars == BARS else pd.date_range("2025-10-01", periods=bars, freq="h", tz="UTC"),
        "1h",
        tuple(Instrument.parse(symbol) for symbol in symbols),
        opens,
        np.maximum(opens, close) * 1.002,
        np.minimum(opens, close) / 1.002,
        close,
        np.full(steps.shape, 1e6),
        np.full(steps.shape, np.nan),
        np.zeros(steps.shape),
    )


def quiet_market(random: np.random.Generator, bars: int = BARS, coins: int = 1) -> Market:
    """A random walk without drift."""
    return market_of(random.normal(0.0, 0.01, (bars, coins)))


def intents_at(
    market: Market, rows: list[int], *, hold: int = 6, side: int = 1, weight: float = 0.5, stop: float = float("nan")
) -> Intents:
    """One intent on the first coin for each row, each of a catalyst of its own."""
    return Intents(
        tuple(
            Intent(
                instrument=ZEC,
                decided_at_ms=market.start_ms + row * HOUR,
                side=side,
                weight=weight,
                hold_ms=hold * HOUR,
                stop_loss=stop,
                catalyst_id=f"c{row}",
            )
            for row in rows
        )
    )


def random_rows(random: np.random.Generator, count: int, bars: int = BARS) -> list[int]:
    """Different rows in order."""
    return [int(row) for row in np.sort(random.choice(bars, count, replace=False))]
