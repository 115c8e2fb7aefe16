"""Intents replayed over a market: one recorded replay, or the statistics of many variations."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from backtest.base.arguments import checked
from backtest.base.config import RunConfig
from backtest.catalysts.record import Calendar
from backtest.engine import layout
from backtest.engine.bounds import intervals_of, unknown_funding
from backtest.engine.cross_bounds import crossed_intervals
from backtest.engine.layout import STATISTICS
from backtest.engine.prepared import Prepared, block_extremes, empty_book, prepare
from backtest.engine.run import Run
from backtest.engine.variations import Orders
from backtest.market.record import Floats, Market
from backtest.signals.strategy import Intents

FEWEST_FOR_THREADS = 2_048
"""Replays below which using other cores costs more than it saves."""


@checked
def replay(
    market: Market,
    intents: Intents,
    config: RunConfig,
    *,
    calendar: Calendar | None = None,
    strategy: str = "",
    detail: Market | None = None,
) -> Run:
    """Replay intents over a market.

    Parameters
    ----------
    calendar
        Supplies the announcements for the run-up, and the table of catalysts of the Run.
    detail
        Finer bars of some of the instruments, to resolve the order of exits inside a bar.

    Raises
    ------
    DataError
        If a position meets unknown funding under the policy `error`.
    UsageError
        For an instrument that is not in the market.
    """
    return replay_prepared(prepare(market, config, detail), intents, calendar=calendar, strategy=strategy)


def replay_prepared(
    prepared: Prepared, intents: Intents, *, calendar: Calendar | None = None, strategy: str = ""
) -> Run:
    """Replay intents over a prepared market; raises as `replay` does."""
    orders = prepared.orders(intents)
    book, statistics = recorded(orders, prepared)
    _check_funding(statistics, prepared.market)
    intervals = (crossed_intervals if prepared.rules.cross else intervals_of)(orders, prepared, book)
    none = Calendar("none", ())
    return Run(strategy, prepared, intents, calendar or none, book, statistics, intervals)


def recorded(orders: Orders, prepared: Prepared) -> tuple[layout.Book, npt.NDArray[np.float64]]:
    """The book of one replay, and its statistics followed by the row and column of a fault."""
    from backtest.engine.kernel import replay_one

    intents = orders.earliest.shape[1]
    book = empty_book(prepared.bar_count, intents)
    statistics = replay_one(orders, prepared.bars, prepared.rules, book)
    if book.counts[0] > len(book.fills):
        book = empty_book(prepared.bar_count, intents, int(book.counts[0]))
        statistics = replay_one(orders, prepared.bars, prepared.rules, book)
    return book, statistics


def _check_funding(statistics: npt.NDArray[np.float64], market: Market) -> None:
    row, column = (int(value) for value in statistics[-2:])
    if row >= 0:
        raise unknown_funding(market, column, row, "is open")


def replay_statistics(orders: Orders, prepared: Prepared, replays: int, *, net_only: bool = False) -> Floats:
    """STATISTICS (replays, 8) of that many variations, independent of the number of cores.

    With `net_only` bars on which nothing happens are skipped: Sharpe, Sortino and drawdown are then NaN, and everything
    else is the same to the last bit.

    A replay that met unknown funding under the policy `error` gives a row of NaN.
    """
    from backtest.engine.kernel import replay_many

    cores = numba.config.NUMBA_NUM_THREADS if replays >= FEWEST_FOR_THREADS else 1
    extremes = block_extremes(prepared) if net_only else None
    return replay_many(orders, prepared.bars, prepared.rules, replays, cores, extremes)


def statistic_code(name: str) -> int:
    """Column of a statistic by name."""
    return STATISTICS.index(name)
