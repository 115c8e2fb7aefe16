"""vectorbt's `Portfolio.from_signals`, a column a calendar, in blocks that keep its arrays in the processor's cache.

Settings that make it agree with this project, where its defaults differ:

- `price`: the open; the default fills at the close of the bar of the signal;
- `stop_entry_price="fillprice"`: levels anchored at the fill; the default is the close of the entry bar;
- `stop_exit_price="stopmarket"`: the level, or the open beyond it, with slippage; the default leaves slippage out;
- `exits` in the last bar, at its price: the default leaves positions open.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import vectorbt as vbt

from benchmarks.engines.contract import Engine, Scores, Trades
from benchmarks.workload import CAPITAL, FEE, STOP_LOSS, TAKE_PROFIT, Workload

CELLS = 864_000
"""Bars times columns of a block: 300 columns of 2,880 bars, the fastest of 10 to 3,000."""


class _Vectorbt(Engine):
    backend: str
    with_sharpe = True

    def __init__(self, work: Workload) -> None:
        super().__init__(work)
        self.index = pd.date_range("2025-01-01", periods=work.bars, freq="h")
        self.price = work.open.copy()
        self.price[-1] = work.close[-1]
        self.last_bar = np.zeros((work.bars, 1), dtype=np.bool_)
        self.last_bar[-1] = True

    def portfolios(self) -> Iterator[vbt.Portfolio]:
        """Portfolios of the blocks, in order."""
        work = self.work
        columns = max(CELLS // work.bars, 1)
        for first in range(0, work.replays, columns):
            shifts = work.shifts[first : first + columns]
            entries = np.zeros((work.bars, len(shifts)), dtype=np.bool_)
            entries[(work.catalysts[:, None] + shifts) % work.bars, np.arange(len(shifts))] = True
            entries &= work.tradable[:, None]
            yield vbt.Portfolio.from_signals(
                pd.DataFrame(np.broadcast_to(work.close[:, None], entries.shape), index=self.index),
                entries=entries,
                exits=self.last_bar,
                price=self.price[:, None],
                open=work.open[:, None],
                high=work.high[:, None],
                low=work.low[:, None],
                sl_stop=STOP_LOSS,
                tp_stop=TAKE_PROFIT,
                stop_entry_price="fillprice",
                stop_exit_price="stopmarket",
                fees=FEE,
                init_cash=CAPITAL,
                freq="1h",
                max_orders=2 * len(work.catalysts) * len(shifts),
                engine=self.backend,
            )

    def scores(self) -> Scores:
        returns, sharpes = [], []
        for portfolio in self.portfolios():
            returns.append(portfolio.total_return().to_numpy())
            sharpes.append(portfolio.sharpe_ratio().to_numpy() if self.with_sharpe else np.empty(0))
        sharpe = np.concatenate(sharpes)
        return Scores(np.concatenate(returns), np.where(np.isfinite(sharpe), sharpe, np.nan))

    def trades(self) -> Trades:
        first, tables = 0, []
        for portfolio in self.portfolios():
            records = portfolio.trades.records
            tables.append(records.assign(col=records["col"] + first))
            first += portfolio.wrapper.shape_2d[1]
        table = pd.concat(tables)
        return Trades.of(table["col"], table["entry_idx"], table["exit_idx"], table["entry_price"], table["exit_price"])


class VectorbtRust(_Vectorbt):
    """Its Rust engine."""

    backend = "rust"


class VectorbtNumba(_Vectorbt):
    """Its numba engine."""

    backend = "numba"


class VectorbtRustNetOnly(VectorbtRust):
    """The same without its Sharpe ratio."""

    with_sharpe = False
