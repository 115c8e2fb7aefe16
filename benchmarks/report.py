"""Time and size of the report of a large run: 20,000 trades on 300 catalysts, twenty coins, a year of hours.

`python -m benchmarks.report` prints both; the page must stay below 10 MB and 20 s of a core.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from backtest import Market
from backtest.base.progress import silent
from backtest.catalysts.record import Calendar
from backtest.report.folder import run_document
from backtest.report.html import gather, render
from backtest.report.html.contents import Contents
from backtest.scoring.evaluation import evaluate
from backtest.signals.strategy import Intents, Strategy
from backtest.signals.trading import TradeParameters

COINS, DAYS, CATALYSTS, TRADES, STRATEGIES = 20, 365, 300, 20_000, 4
HOUR = 3_600_000


class Many(Strategy[TradeParameters]):
    """Many short positions in time, each on a catalyst, that never meet in one coin."""

    name = "many"
    hypothesis = "A report must hold many trades."
    parameters_type = TradeParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        """Every coin in turn, again and again."""
        per_coin = self.trades // len(market.symbols)
        step = (market.end_ms - market.start_ms - 48 * HOUR) // per_coin
        rows = []
        for number in range(per_coin):
            at = market.start_ms + 24 * HOUR + number * step
            for column, symbol in enumerate(market.symbols):
                one = calendar.catalysts[(number + column) % len(calendar.catalysts)]
                rows.append(self.parameters.intent(symbol, at, 1 if column % 2 else -1, catalyst_id=one.id))
        return Intents(tuple(rows))

    trades = TRADES // STRATEGIES


def contents(trades: int = TRADES, catalysts: int = CATALYSTS, coins: int = COINS, days: int = DAYS) -> Contents:
    """A run of that size on random walks."""
    index = pd.date_range("2025-01-01", periods=24 * days, freq="h", tz="UTC")
    generator = np.random.default_rng(1)
    names = ["ZEC", "DASH", "BTC", "ETH", "XMR", "ZEN", "SCRT", "ROSE", "ZK", "DCR", "RAIL"]
    names += [f"C{number}" for number in range(len(names), coins)]
    frames = {}
    for name in names[:coins]:
        close = 100.0 * np.exp(generator.normal(0, 0.004, len(index)).cumsum())
        opened = np.concatenate(([100.0], close[:-1]))
        edges = {"high": np.maximum(opened, close) * 1.001, "low": np.minimum(opened, close) * 0.999}
        frame = {"open": opened, **edges, "close": close, "volume": np.full(len(index), 1e7)}
        frames[f"{name}/USDT:USDT"] = pd.DataFrame(frame, index)
    market = Market.from_frames(frames, funding={name: pd.Series(1e-5, index[::8]) for name in frames})
    places = np.linspace(48, len(index) - 100, catalysts).astype(int)
    rows = [
        {
            "id": f"event-{number}",
            "announced_at": index[at].strftime("%Y-%m-%dT%H:%MZ"),
            "assets": [names[number % coins]],
            "kind": "listing",
            "actor": f"Actor {number % 9}",
            "direction": 1,
        }
        for number, at in enumerate(places)
    ]
    calendar = Calendar.from_records(rows)
    kinds = [type(f"Many{place}", (Many,), {"name": f"many_{place}", "trades": trades // STRATEGIES})
             for place in range(STRATEGIES)]  # fmt: skip
    chosen = [kind({"hold": "2h", "weight": 0.01}) for kind in kinds]
    made = evaluate(chosen, market, calendar, plan=None, bootstrap=0)
    return gather(run_document(made), made, draws=100, command="backtest run", progress=silent)


def main() -> None:
    """Print the size of the page and the time that it takes."""
    held = contents()
    assert held.document is not None
    count = sum(len(one["trades"]) for one in held.document["strategies"])
    start, spent = time.perf_counter(), time.process_time()
    text = render(held)
    print(
        f"{count:,} trades, {CATALYSTS} catalysts: {len(text.encode()) / 1e6:.1f} MB, "
        f"{time.process_time() - spent:.1f} s of a core, {time.perf_counter() - start:.1f} s by the clock"
    )


if __name__ == "__main__":
    main()
