"""Data: the share of a venue's allowed rate that a download uses, and loading against plain pyarrow.

`python -m benchmarks.data` prints both; nothing leaves the machine.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from backtest.market.ccxt_source import RULES
from backtest.market.download import Downloader
from backtest.market.recipe import ExchangeChoice, Recipe
from backtest.market.rows import UNITS, Key, Rows
from backtest.market.store import Store
from tests.market.loopback import NOW, Listing, Loopback, options, serving

YEAR_MINUTES = 365 * 1440
START_MS = 1_577_836_800_000
UNIT_MS, COST = 10, 5
LATENCY_S = 0.1
COINS = ("ZEC", "DASH", "ZEN", "BTC", "ETH", "XMR")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Seconds of the store and of plain pyarrow over the same files, best of several runs each."""

    rows: int
    store_s: float
    plain_s: float

    @property
    def ratio(self) -> float:
        """How much longer the store takes."""
        return self.store_s / self.plain_s


def rate_share(latency_s: float = LATENCY_S, workers: int = 8) -> float:
    """Requests a second of a download over those that the venue allows, answers taking `latency_s` each."""
    allowed = 1000 / (UNIT_MS * COST)
    own = RULES["bybit"]
    RULES["bybit"] = replace(own, ohlcv_rows=30)
    state = Loopback({f"{base}USDT": Listing(base, 1_700_000_000_000) for base in COINS}, delay=latency_s)
    try:
        with serving(state), tempfile.TemporaryDirectory() as folder:
            choice = ExchangeChoice(id="bybit", options=options("bybit", state.url, rateLimit=UNIT_MS, timeout=10_000))
            symbols = tuple(f"{base}/USDT:USDT" for base in COINS)
            recipe = Recipe(
                name="x", exchange=choice, symbols=symbols, series=("ohlcv",), timerange="20251001-20251130"
            )
            report = Downloader(recipe, Store(Path(folder)), workers=workers, clock=lambda: NOW).run()
            assert report.complaint() == ""
    finally:
        RULES["bybit"] = own
    times = [when for when, path, _ in state.asked if "kline" in path]
    # Between the first and the last tenth, where every series has begun and none has ended.
    cut = len(times) // 10
    middle = times[cut:-cut]
    return (len(middle) - 1) / (middle[-1] - middle[0]) / allowed


def loading(years: int = 5, coins: int = 10, repeats: int = 3) -> Comparison:
    """Loading minute bars from the store against `pyarrow.parquet.read_table` on its files."""
    count = years * YEAR_MINUTES
    random = np.random.default_rng(1)
    times = START_MS + np.arange(count, dtype=np.int64) * 60_000
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        keys = [Key.of("bybit", f"C{coin}/USDT:USDT", "ohlcv", "1m") for coin in range(coins)]
        for key in keys:
            close = np.round(100 * np.exp(np.cumsum(random.normal(0, 1e-3, count))), 2)
            volume = np.round(random.random(count) * 100, 3)
            values = np.column_stack((close, close + 0.01, close - 0.01, close, volume))
            store.append(key, Rows(times, values), source="benchmark", units=UNITS["ohlcv"])
            store.compact(key)
        files = [path for key in keys for path in sorted((store.root / key.path).glob("*.parquet"))]
        best = [float("inf"), float("inf")]
        for _ in range(repeats):
            begin = time.perf_counter()
            for key in keys:
                assert store.read(key).time_ms.size == count
            middle = time.perf_counter()
            assert sum(pq.read_table(path).num_rows for path in files) == count * coins
            best = [min(best[0], middle - begin), min(best[1], time.perf_counter() - middle)]
    return Comparison(count * coins, best[0], best[1])


def main() -> None:
    """Print both figures."""
    print(f"share of the allowed rate that a download uses: {rate_share():.1%} (at least 90 % is wanted)")
    found = loading()
    print(
        f"loading {found.rows:,} minute bars: {found.store_s:.2f} s, plain pyarrow {found.plain_s:.2f} s, "
        f"ratio {found.ratio:.2f} (at most 1.5 is wanted)"
    )


if __name__ == "__main__":
    main()
