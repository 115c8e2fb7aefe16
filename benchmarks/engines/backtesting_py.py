"""backtesting.py, a run a calendar, its statistics included: it computes no Sharpe ratio without them.

It trades whole units only, so the capital is ten thousand million times larger here: rounding then is below 1e-12. It
knows no price of the next bar when it orders, but the close before, which is the open of every bar of this market.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from backtesting import Backtest as Run  # type: ignore[import-untyped]
from backtesting import Strategy

from benchmarks.engines.contract import Engine, Scores, Trades
from benchmarks.workload import CAPITAL, FEE, STOP_LOSS, TAKE_PROFIT, Workload

CASH = CAPITAL * 1e10


class _Catalysts(Strategy):  # type: ignore[misc]
    entries: Any = None

    def init(self) -> None:
        """Needs nothing beforehand."""

    def next(self) -> None:
        bar = len(self.data)
        if bar < len(self.entries) and self.entries[bar] and not self.position:
            close = self.data.Close[-1]
            self.buy(sl=close * (1.0 - STOP_LOSS), tp=close * (1.0 + TAKE_PROFIT))


class BacktestingPy(Engine):
    """One run a calendar."""

    def __init__(self, work: Workload) -> None:
        super().__init__(work)
        self.data = pd.DataFrame(
            {"Open": work.open, "High": work.high, "Low": work.low, "Close": work.close, "Volume": 1.0},
            index=pd.date_range("2025-01-01", periods=work.bars, freq="h"),
        )

    def _run(self, shift: int) -> Any:
        entries = np.zeros(self.work.bars, dtype=np.bool_)
        entries[(self.work.catalysts + shift) % self.work.bars] = True
        entries &= self.work.tradable
        return Run(self.data, _Catalysts, cash=CASH, commission=FEE, finalize_trades=True).run(entries=entries)

    def scores(self) -> Scores:
        runs = (self._run(int(shift)) for shift in self.work.shifts)
        return Scores.of_curves((run["_equity_curve"]["Equity"].to_numpy() for run in runs), CASH)

    def trades(self) -> Trades:
        tables = [
            self._run(int(shift))["_trades"].assign(replay=number) for number, shift in enumerate(self.work.shifts)
        ]
        table = pd.concat(tables)
        return Trades.of(table["replay"], table["EntryBar"], table["ExitBar"], table["EntryPrice"], table["ExitPrice"])
