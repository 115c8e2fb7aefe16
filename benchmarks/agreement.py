"""Whether the engines compute the same thing."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from benchmarks.engines import ENGINES, OURS, engine
from benchmarks.table import table
from benchmarks.workload import Floats, workload

TOLERANCE = 1e-9


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
        return self.same_trades and max(self.price, self.net_return, self.sharpe) <= TOLERANCE


def _furthest(found: Floats, expected: Floats) -> float:
    """Largest absolute difference; infinite where only one is NaN."""
    apart = np.abs(found - expected)
    apart[np.isnan(found) & np.isnan(expected)] = 0.0
    return float(np.max(np.where(np.isnan(apart), np.inf, apart)))


def agreements(replays: int, bars: int, names: tuple[str, ...] = ENGINES) -> list[Agreement]:
    """Every named engine against this project, trade by trade."""
    work = workload(replays, bars)
    ours = engine(OURS, work)
    expected, trades = ours.scores(), ours.trades()
    result = []
    for name in names:
        other = engine(name, work)
        found, made = other.scores(), other.trades()
        same = np.array_equal(made.rows, trades.rows)
        result.append(
            Agreement(
                name,
                len(trades.rows),
                same,
                _furthest(made.prices / trades.prices, np.ones_like(trades.prices)) if same else np.inf,
                _furthest(found.net_return, expected.net_return),
                _furthest(found.sharpe, expected.sharpe),
            )
        )
    return result


def main(replays: int) -> None:
    """Print the agreement of every engine; fail where one differs."""
    found = agreements(replays, 2_880)
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
                    f"{one.sharpe:.1e}",
                )
                for one in found
            ],
        )
    )
    wrong = [one.engine for one in found if not one.holds]
    if wrong:
        raise SystemExit(f"{', '.join(wrong)} differ by more than {TOLERANCE:g}: the timings would compare nothing")


if __name__ == "__main__":
    main(int(sys.argv[1]))
