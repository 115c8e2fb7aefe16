"""Whether the engines compute the same thing."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import dataclass

import numpy as np

from benchmarks.engines import ENGINES, FOREIGN, OURS, engine
from benchmarks.engines.contract import Scores, Trades
from benchmarks.process import QUIET, interpreter
from benchmarks.table import table
from benchmarks.workload import Floats, Workload, workload

TOLERANCE = 1e-9
FOREIGN_TOLERANCE = 1e-7
"""Of an engine that rounds prices and units to nine decimals and money to eight, as nautilus_trader does."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """One engine against this project over the same replays: largest differences, and how many trades were compared.

    `same_trades`: entries and exits fall on the same bars. Prices differ as a share of the price.
    """

    engine: str
    trades: int
    same_trades: bool
    price: float
    net_return: float
    sharpe: float

    @property
    def holds(self) -> bool:
        """Whether all of it is within the tolerance."""
        allowed = FOREIGN_TOLERANCE if self.engine in FOREIGN else TOLERANCE
        return self.same_trades and max(self.price, self.net_return, self.sharpe) <= allowed


def _furthest(found: Floats, expected: Floats) -> float:
    """Largest absolute difference; infinite where only one is NaN."""
    apart = np.abs(found - expected)
    apart[np.isnan(found) & np.isnan(expected)] = 0.0
    return float(np.max(np.where(np.isnan(apart), np.inf, apart)))


def answers_here(name: str, work: Workload) -> tuple[Scores, Trades]:
    """Scores and trades of an engine in this process."""
    one = engine(name, work)
    return one.scores(), one.trades()


def answers(name: str, replays: int, bars: int, python: str) -> tuple[Scores, Trades]:
    """The same by another interpreter, which has the engine."""
    command = [python, "-m", "benchmarks.elsewhere", name, str(replays), str(bars)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=QUIET)
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as held:
        return Scores(held["net_return"], held["sharpe"]), Trades(held["rows"], held["prices"])


def agreements(replays: int, bars: int, names: tuple[str, ...] = ENGINES) -> list[Agreement]:
    """Every named engine against this project, trade by trade."""
    work = workload(replays, bars)
    ours = engine(OURS, work)
    expected, trades = ours.scores(), ours.trades()
    result = []
    for name in names:
        found, made = answers(name, replays, bars, interpreter(name)) if name in FOREIGN else answers_here(name, work)
        same = np.array_equal(made.rows, trades.rows)
        result.append(
            Agreement(
                name,
                len(trades.rows),
                same,
                _furthest(made.prices / trades.prices, np.ones_like(trades.prices)) if same else np.inf,
                _furthest(found.net_return, expected.net_return),
                _furthest(found.sharpe, expected.sharpe) if len(found.sharpe) else 0.0,
            )
        )
    return result


def main(replays: int) -> None:
    """Print the agreement of every engine; fail where one differs."""
    found = agreements(replays, 2_880, (*ENGINES, *(name for name, one in FOREIGN.items() if one.python)))
    print(
        table(
            f"Agreement over {replays} replays, {found[0].trades} trades (largest differences)",
            ("engine", "same bars", "price", "net return", "Sharpe"),
            [
                (
                    one.engine,
                    "yes" if one.same_trades else "NO",
                    f"{one.price:.1e}",
                    f"{one.net_return:.1e}",
                    f"{one.sharpe:.1e}" if "net only" not in one.engine else "none",
                )
                for one in found
            ],
        )
    )
    wrong = [one.engine for one in found if not one.holds]
    if wrong:
        raise SystemExit(f"{', '.join(wrong)} differ by more than they may: the timings would compare nothing")


if __name__ == "__main__":
    main(int(sys.argv[1]))
