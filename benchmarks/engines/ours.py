"""The kernel of this project, through the market, intents and configuration that a run would use."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from backtest.base.config import load_config
from backtest.engine.costs import kernel_bars, kernel_rules
from backtest.engine.extremes import extremes_of
from backtest.engine.kernel import replay_many, replay_one
from backtest.engine.layout import CAPACITY, NET_RETURN, SHARPE, TRADE_COLUMNS
from backtest.engine.orders import kernel_orders
from backtest.engine.prepared import empty_book
from backtest.market.record import Instrument, Market
from backtest.signals.strategy import Intent, Intents
from benchmarks.engines.contract import Engine, Scores, Trades
from benchmarks.workload import CAPITAL, FEE, STOP_LOSS, TAKE_PROFIT, Workload

SYMBOL = "ZEC/USDT"
CONFIG = load_config(capital=CAPITAL, fee_rate=FEE, half_spread=0.0, impact=0.0, max_wait="0h")
"""Spot, so no funding, margin or liquidation; the other engines know neither impact nor participation."""
BLOCK = 100_000
"""Replays of one call: the two scores that are asked for are kept, not all eight of a million replays."""


def market(work: Workload) -> Market:
    """The workload's prices as a market of one spot instrument."""
    unknown = np.full((work.bars, 1), np.nan)
    return Market(
        index=pd.date_range("2025-01-01", periods=work.bars, freq="h", tz="UTC"),
        timeframe="1h",
        instruments=(Instrument.parse(SYMBOL),),
        open=work.open[:, None],
        high=work.high[:, None],
        low=work.low[:, None],
        close=work.close[:, None],
        volume=np.where(work.tradable, 1.0, 0.0)[:, None],
        open_interest=unknown,
        funding=unknown,
    )


class Backtest(Engine):
    """`replay_many` on all cores."""

    workers = os.cpu_count() or 1

    def __init__(self, work: Workload) -> None:
        super().__init__(work)
        bars = market(work)
        intents = Intents(
            tuple(
                Intent(
                    instrument=SYMBOL,
                    decided_at_ms=int(bars.open_ms[row]),
                    stop_loss=STOP_LOSS,
                    take_profit=TAKE_PROFIT,
                )
                for row in work.catalysts
            )
        )
        self.orders = kernel_orders(intents, bars, CONFIG)._replace(shift=work.shifts)
        self.rules = kernel_rules(CONFIG, bars.bar_ms)
        self.bars = kernel_bars(bars, CONFIG)
        self.bars.panel[:, :, CAPACITY] = np.inf

    def scores(self) -> Scores:
        scores = np.empty((2, self.work.replays))
        for first in range(0, self.work.replays, BLOCK):
            shifts = self.work.shifts[first : first + BLOCK]
            orders = self.orders._replace(shift=shifts)
            statistics = replay_many(orders, self.bars, self.rules, len(shifts), self.workers)
            scores[:, first : first + BLOCK] = statistics[:, (NET_RETURN, SHARPE)].T
        return Scores(*scores)

    def trades(self) -> Trades:
        tables = []
        for number in range(self.work.replays):
            orders = self.orders._replace(shift=self.work.shifts[number : number + 1])
            book = empty_book(self.work.bars, orders.column.shape[1])
            replay_one(orders, self.bars, self.rules, book)
            made = book.trades[: book.counts[1]]
            tables.append(np.column_stack((np.full(len(made), float(number)), made)))
        table = np.concatenate(tables)
        column = {name: table[:, 1 + place] for place, name in enumerate(TRADE_COLUMNS)}
        return Trades.of(
            table[:, 0], column["entry_row"], column["exit_row"], column["entry_price"], column["exit_price"]
        )


class BacktestNetOnly(Backtest):
    """`replay_many` on all cores without what needs every bar: no Sharpe ratio, quiet bars are skipped."""

    def __init__(self, work: Workload) -> None:
        super().__init__(work)
        self.extremes = extremes_of(self.bars)

    def scores(self) -> Scores:
        found = []
        for first in range(0, self.work.replays, BLOCK):
            shifts = self.work.shifts[first : first + BLOCK]
            orders = self.orders._replace(shift=shifts)
            statistics = replay_many(orders, self.bars, self.rules, len(shifts), self.workers, self.extremes)
            found.append(statistics[:, NET_RETURN].copy())
        return Scores(np.concatenate(found), np.empty(0))


class BacktestOneThread(Backtest):
    """`replay_many` on one core, as the other engines run."""

    workers = 1
