"""Positions held for 72 hours on one-minute bars: quiet bars skipped beside every bar walked, in one process.

python -m benchmarks.held [--quick]

CPU nanoseconds a trade on one core, both in turn, the median of five; trades, exposure and net return must be the same
to the last bit.
"""

from __future__ import annotations

import argparse
import statistics
import time

from backtest.base.config import load_config
from backtest.engine.extremes import Extremes
from backtest.engine.kernel import replay_many
from backtest.engine.layout import F8, MAX_DRAWDOWN, SHARPE, SORTINO, STATISTICS, TRADES
from backtest.engine.prepared import block_extremes, prepare
from backtest.scoring.draws import shifts_of
from benchmarks.scale import Size
from benchmarks.scale_run import mapped_market
from benchmarks.scale_worker import FUNDING_BARS, intents_of
from benchmarks.table import count, table

TURNS = 5
APART = 3.5
"""Days from one catalyst to the next on average, of which a position is held for three."""
TRADES_A_TURN = 10_000
OF_A_PATH = (SHARPE, SORTINO, MAX_DRAWDOWN)


def measured(days: int) -> tuple[str, ...]:
    """A row of the table: a market of one coin and so many days."""
    catalysts = round(days / APART)
    size = Size(days, 1, catalysts, max(TRADES_A_TURN // catalysts, 10))
    market = mapped_market(size)
    prepared = prepare(market, load_config())
    orders = prepared.orders(intents_of(size, market))
    orders = orders._replace(shift=shifts_of(size.bars, size.draws, 0))
    extremes = block_extremes(prepared)

    def replayed(of: Extremes | None) -> tuple[float, F8]:
        began = time.process_time()
        found = replay_many(orders, prepared.bars, prepared.rules, len(orders.shift), 1, of)
        return (time.process_time() - began) / found[:, TRADES].sum() * 1e9, found

    of_trades = [code for code in range(len(STATISTICS)) if code not in OF_A_PATH]
    turns = []
    for _ in range(TURNS):
        (walk, walked), (skip, skipped) = replayed(None), replayed(extremes)
        assert walked[:, of_trades].tobytes() == skipped[:, of_trades].tobytes()
        turns.append((walk, skip, walk / skip))
    walk, skip, ratio = (statistics.median(one) for one in zip(*turns, strict=True))
    lowest, highest = min(one[2] for one in turns), max(one[2] for one in turns)
    return count(size.bars), count(walk), count(skip), f"{ratio:.1f}x", f"{lowest:.1f} to {highest:.1f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.held", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short markets only")
    sizes = (36, 90) if parser.parse_args().quick else (36, 365, 1_826)
    print(
        table(
            "72 hours held on one-minute bars, net return: CPU ns a trade, one core",
            ("bars", "every bar walked", "skipped", "ratio", "of five turns"),
            [measured(days) for days in sizes],
            (
                f"Funding every {FUNDING_BARS} bars, a stop 15 % below. Trades, exposure and net return are",
                "the same bits (checked in every turn).",
            ),
        )
    )


if __name__ == "__main__":
    main()
