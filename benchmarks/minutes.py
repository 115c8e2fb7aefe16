"""One strategy with placebo and intervals on 1.5 million one-minute bars x 3 coins: `python -m benchmarks.minutes`.

Prints the seconds of processor time and the most memory held after each step, the market included.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from backtest.base.config import load_config
from backtest.base.units import from_ms
from backtest.catalysts.record import Calendar, Catalyst
from backtest.market.record import Instrument
from backtest.scoring.evaluation import evaluate
from backtest.strategies import REGISTRY
from benchmarks.scale import Size
from benchmarks.scale_worker import MINUTE_MS, SEED, WARM_UP_BARS, market_of
from benchmarks.worker import peak_megabytes

COINS = ("ZEC", "DASH", "XMR")
SIZE = Size(1_042, len(COINS), 20, 10_000)


def main() -> None:
    """Measure and print."""
    market = market_of(SIZE)
    market = replace(market, instruments=tuple(Instrument.parse(f"{coin}/USDT:USDT") for coin in COINS))
    random = np.random.default_rng(SEED)
    rows = np.sort(random.integers(WARM_UP_BARS, SIZE.bars - WARM_UP_BARS, SIZE.catalysts)).tolist()
    calendar = Calendar(
        "minutes",
        tuple(
            Catalyst(
                id=f"one-{number}", assets=(COINS[number % 3],), kind="listing", actor="OKX", direction=1,
                precision="minute", source="drawn", confidence="high",
                announced_at=from_ms(market.start_ms + row * MINUTE_MS),
            )
            for number, row in enumerate(rows)
        ),
    )  # fmt: skip
    print(f"{SIZE.bars:,} bars x {len(COINS)} coins: {time.process_time():.1f} s, {peak_megabytes():,.0f} MB")
    begin = time.process_time()
    found = evaluate([REGISTRY["catalyst_momentum"]()], market, calendar, load_config())
    print(f"evaluated: {time.process_time() - begin:.1f} s, {peak_megabytes():,.0f} MB")
    print(found.cards[0].verdict, found.cards[0].placebo.p if found.cards[0].placebo else "")


if __name__ == "__main__":
    main()
