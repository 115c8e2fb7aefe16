"""A market made ready once for any number of replays, and the statistics of many variations of intents."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from backtest.config import RunConfig
from backtest.engine.costs import kernel_bars, kernel_rules
from backtest.engine.kernel import replay_many, replay_one
from backtest.engine.layout import FILL_COLUMNS, STATISTICS, TRADE_COLUMNS, Bars, Book, Orders, Rules
from backtest.engine.replay import kernel_orders
from backtest.market.record import Floats, Market
from backtest.scoring.metrics import bar_returns
from backtest.signals.strategy import Intents

FEWEST_FOR_THREADS = 2_048
"""Replays below which waking other cores costs more than it saves."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A market under a configuration, as the kernel reads both."""

    market: Market
    config: RunConfig
    bars: Bars
    rules: Rules

    def __repr__(self) -> str:
        return f"<Prepared {self.market!r}>"

    @property
    def bar_count(self) -> int:
        """Number of bars T."""
        return int(self.bars.panel.shape[1])

    def orders(self, intents: Intents) -> Orders:
        """The intents in rows and bars, as one variation."""
        return kernel_orders(intents, self.market, self.config)


def prepare(market: Market, config: RunConfig, detail: Market | None = None) -> Prepared:
    """Kernel arrays of a market, made once and read by every replay."""
    return Prepared(market, config, kernel_bars(market, config, detail), kernel_rules(config, market.bar_ms))


def empty_book(bars: int, intents: int) -> Book:
    """Room for everything that a replay of so many intents over so many bars may write down."""
    return Book(
        np.empty(bars),
        np.zeros(bars),
        np.empty((2 * intents, len(FILL_COLUMNS))),
        np.empty((intents, len(TRADE_COLUMNS))),
        np.zeros(intents, np.int8),
        np.zeros(2, np.int32),
    )


def replay_statistics(orders: Orders, prepared: Prepared, replays: int) -> Floats:
    """STATISTICS (replays, 8) of that many variations, the same whatever the number of cores.

    A replay that met unknown funding under the policy `error` is a row of NaN.
    """
    cores = numba.config.NUMBA_NUM_THREADS if replays >= FEWEST_FOR_THREADS else 1
    return replay_many(orders, prepared.bars, prepared.rules, replays, cores)


def replay_returns(orders: Orders, prepared: Prepared) -> npt.NDArray[np.float32]:
    """(T,) simple returns a bar of variation 0."""
    book = empty_book(prepared.bar_count, orders.earliest.shape[1])
    replay_one(orders, prepared.bars, prepared.rules, book)
    return bar_returns(book.equity, prepared.config.capital).astype(np.float32)


def statistic_code(name: str) -> int:
    """Column of a statistic by name."""
    return STATISTICS.index(name)
