"""A lower bound: plain numpy that does what this accounting needs and nothing that a backtester must be able to do.

Every trade buys with all cash at fixed distances to its stop and target, so how it ends depends on its entry bar alone:
a table of exits is made once, and a calendar is a chain of at most ten look-ups. No engine for rules of any kind can
assume that.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from benchmarks.engines.contract import BARS_PER_YEAR, Engine, Scores, Trades
from benchmarks.workload import FEE, STOP_LOSS, TAKE_PROFIT, Floats, Workload

Ints = npt.NDArray[np.int64]


class PlainNumpy(Engine):
    """Exits by entry bar, then all calendars at once."""

    def __init__(self, work: Workload) -> None:
        super().__init__(work)
        self.exit_row, self.exit_price = _exits(work)
        steps = np.concatenate(([0.0], work.close[1:] / work.close[:-1] - 1.0))
        rows = np.arange(work.bars)
        first = work.close / (work.open * (1.0 + FEE)) - 1.0
        last = self.exit_price * (1.0 - FEE) / work.close[self.exit_row - 1] - 1.0
        between = [_between(steps**power, rows, self.exit_row) for power in (1, 2)]
        self.total = first + between[0] + last
        self.squares = first**2 + between[1] + last**2
        self.gain = self.exit_price * (1.0 - FEE) / (work.open * (1.0 + FEE))

    def _entries(self) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Rows of each calendar's catalysts in order (B, K), and whether each is entered."""
        work = self.work
        rows = np.sort((work.catalysts + work.shifts[:, None].astype(np.int64)) % work.bars, axis=1)
        entered = np.zeros(rows.shape, dtype=np.bool_)
        free = np.zeros(len(rows), dtype=np.int64)
        for place in range(rows.shape[1]):
            at = rows[:, place]
            entered[:, place] = (at >= free) & work.tradable[at]
            free = np.where(entered[:, place], self.exit_row[at] + 1, free)
        return rows, entered

    def scores(self) -> Scores:
        rows, entered = self._entries()
        gain = np.where(entered, self.gain[rows], 1.0).prod(axis=1)
        mean = np.where(entered, self.total[rows], 0.0).sum(axis=1) / self.work.bars
        squares = np.where(entered, self.squares[rows], 0.0).sum(axis=1)
        deviation = np.sqrt(np.maximum(squares - self.work.bars * mean**2, 0.0) / (self.work.bars - 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            sharpe = np.where(deviation > 0, mean / deviation * math.sqrt(BARS_PER_YEAR), np.nan)
        return Scores(gain - 1.0, sharpe)

    def trades(self) -> Trades:
        rows, entered = self._entries()
        replay, place = np.nonzero(entered)
        entry = rows[replay, place]
        return Trades.of(replay, entry, self.exit_row[entry], self.work.open[entry], self.exit_price[entry])

    def held(self) -> float:
        """Mean bars that a calendar holds a position in."""
        rows, entered = self._entries()
        return float(np.where(entered, self.exit_row[rows] - rows + 1, 0).sum(axis=1).mean())


def _exits(work: Workload) -> tuple[Ints, Floats]:
    """Row and price (T,) at which an entry at each bar's open leaves."""
    stop, target = work.open * (1.0 - STOP_LOSS), work.open * (1.0 + TAKE_PROFIT)
    row = np.full(work.bars, work.bars - 1)
    price = np.full(work.bars, work.close[-1])
    alive = np.arange(work.bars)
    for ahead in range(work.bars):
        alive = alive[alive + ahead < work.bars]
        if not len(alive):
            break
        at = alive + ahead
        stopped, reached = work.low[at] <= stop[alive], work.high[at] >= target[alive]
        for out, level in ((stopped, stop), (reached & ~stopped, target)):
            row[alive[out]], price[alive[out]] = at[out], level[alive[out]]
        alive = alive[~(stopped | reached)]
    return row, price


def _between(values: Floats, rows: Ints, exits: Ints) -> Floats:
    """Sums of values over the bars strictly between each entry and its exit."""
    summed = np.cumsum(values)
    return np.where(exits > rows, summed[np.maximum(exits - 1, 0)] - summed[rows], 0.0)
