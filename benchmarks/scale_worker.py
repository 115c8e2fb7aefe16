"""One size of `benchmarks.scale` in a process of its own; its arguments are the fields of `Size`.

One-minute bars, funding every eight hours, one core; seconds are those of the processor, which others on the machine
touch least. Prints the `Cost` as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict

import numpy as np
import pandas as pd

from backtest.base.config import load_config
from backtest.base.units import UNIT_MS
from backtest.engine.kernel import replay_many, replay_one
from backtest.engine.layout import EXPOSURE, TRADE_COLUMNS, TRADES
from backtest.engine.prepared import Prepared, empty_book, prepare
from backtest.engine.variations import Orders
from backtest.market.record import Instrument, Market
from backtest.scoring.draws import shifts_of
from backtest.signals.strategy import Intent, Intents
from benchmarks.scale import DAY_BARS, Cost, Size
from benchmarks.worker import peak_megabytes

SEED = 20251101
MINUTE_MS, FUNDING_BARS = UNIT_MS["m"], 8 * 60
WARM_UP_BARS = 8 * DAY_BARS
"""Longer than the window of liquidity, which must be known where a catalyst falls."""


def market_of(size: Size) -> Market:
    """Random walks of one-minute bars."""
    random = np.random.default_rng(SEED)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 1e-3, (size.bars, size.coins)), axis=0))
    opens = np.vstack((close[:1], close[:-1]))
    funding = np.zeros_like(close)
    funding[FUNDING_BARS - 1 :: FUNDING_BARS] = 1e-4
    return Market(
        index=pd.date_range("2021-01-01", periods=size.bars, freq="min", tz="UTC"),
        timeframe="1m",
        instruments=tuple(Instrument.parse(f"C{coin}/USDT:USDT") for coin in range(size.coins)),
        open=opens,
        high=np.maximum(opens, close) * 1.0002,
        low=np.minimum(opens, close) * 0.9998,
        close=close,
        volume=np.full_like(close, 1e6),
        open_interest=np.full_like(close, np.nan),
        funding=funding,
    )


def intents_of(size: Size, market: Market) -> Intents:
    """A long of 1 % of equity for each catalyst, at random bars of random coins."""
    random = np.random.default_rng(SEED + 1)
    rows = random.integers(WARM_UP_BARS, size.bars, size.catalysts).tolist()
    coins = random.integers(0, size.coins, size.catalysts).tolist()
    return Intents(
        tuple(
            Intent(
                instrument=market.symbols[coin],
                decided_at_ms=market.start_ms + row * MINUTE_MS,
                weight=0.01,
                hold_ms=size.hold_hours * UNIT_MS["h"],
                stop_loss=0.15,
            )
            for row, coin in zip(rows, coins, strict=True)
        )
    )


def bars_a_trade(orders: Orders, prepared: Prepared) -> float:
    """Mean bars that a trade of the first draw lasts."""
    book = empty_book(prepared.bar_count, orders.column.shape[1])
    replay_one(orders, prepared.bars, prepared.rules, book)
    made = book.trades[: book.counts[1]]
    return float((made[:, TRADE_COLUMNS.index("exit_row")] - made[:, TRADE_COLUMNS.index("entry_row")]).mean())


def main(size: Size) -> None:
    """Measure and print."""
    market = market_of(size)
    begin = time.process_time()
    prepared = prepare(market, load_config())
    prepare_s = time.process_time() - begin
    peak_bytes = peak_megabytes() * 1e6
    orders = prepared.orders(intents_of(size, market))._replace(shift=shifts_of(size.bars, size.draws, SEED))
    lasts = bars_a_trade(orders, prepared)
    begin = time.process_time()
    statistics = replay_many(orders, prepared.bars, prepared.rules, size.draws, 1)
    cost = Cost(
        prepare_s=prepare_s,
        replay_s=time.process_time() - begin,
        entries=float(size.catalysts * size.draws),
        held=float(statistics[:, TRADES].sum()) * lasts,
        walked=float(statistics[:, EXPOSURE].sum()) * size.bars,
        peak_bytes=peak_bytes,
    )
    print(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main(Size(*(int(part) for part in sys.argv[1:])))
