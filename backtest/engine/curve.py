"""What a replay's statistics need of its equity, followed bar by bar: no equity curve is kept."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from backtest.engine.compiling import inlined
from backtest.engine.layout import (
    EXPOSURE,
    F8,
    HIT_RATE,
    LEAST_RATIO,
    MAX_DRAWDOWN,
    MEAN_TRADE,
    NET_RETURN,
    SHARPE,
    SORTINO,
    T_TRADE_SUM,
    T_TRADES,
    T_WINS,
    TRADES,
    Rules,
)


class Curve(NamedTuple):
    """Equity at the last bar, its highest so far, and sums over its returns, their squares and those of the losses."""

    equity: float
    peak: float
    drawdown: float
    total: float
    squares: float
    downside: float


@inlined
def follow(curve: Curve, equity: float) -> Curve:
    """The curve one bar later; without branches, which equity's ups and downs would make unpredictable."""
    change = equity / curve.equity - 1.0 if curve.equity > 0.0 else 0.0
    loss = min(change, 0.0)
    peak = max(curve.peak, equity)
    return Curve(
        equity,
        peak,
        max(curve.drawdown, 1.0 - equity / peak),
        curve.total + change,
        curve.squares + change * change,
        curve.downside + loss * loss,
    )


@inlined
def write_statistics(
    curve: Curve, tally: F8, held: int, bar_count: int, rules: Rules, statistics: F8, place: int
) -> None:
    """Row `place` of the statistics, as the docstring of `backtest.engine.kernel` defines them."""
    trades = tally[T_TRADES]
    mean = curve.total / bar_count
    variance = max(curve.squares - bar_count * mean * mean, 0.0) / max(bar_count - 1, 1)
    year = math.sqrt(rules.bars_per_year)
    statistics[place, NET_RETURN] = curve.equity / rules.capital - 1.0
    statistics[place, SHARPE] = (
        mean / math.sqrt(variance) * year
        if variance > LEAST_RATIO * curve.squares / bar_count and variance > LEAST_RATIO**2
        else np.nan
    )
    statistics[place, SORTINO] = (
        mean / math.sqrt(curve.downside / bar_count) * year if curve.downside > LEAST_RATIO**2 else np.nan
    )
    statistics[place, MAX_DRAWDOWN] = curve.drawdown
    statistics[place, TRADES] = trades
    statistics[place, HIT_RATE] = tally[T_WINS] / trades if trades > 0.0 else np.nan
    statistics[place, MEAN_TRADE] = tally[T_TRADE_SUM] / trades if trades > 0.0 else np.nan
    statistics[place, EXPOSURE] = held / bar_count
