"""What an engine must compute to be compared."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.workload import Floats, Workload

BARS_PER_YEAR = 365 * 24


@dataclass(frozen=True, slots=True)
class Scores:
    """Net return and annualised Sharpe ratio (365 days) of each replay (B,); NaN where no bar moved equity.

    An engine that works out no Sharpe ratio gives none: an empty array.
    """

    net_return: Floats
    sharpe: Floats

    @classmethod
    def of_curves(cls, curves: Iterable[Floats], capital: float) -> Scores:
        """Scores of equity (T,) at each close of each replay, which began with `capital`."""
        scores = []
        for equity in curves:
            moves = equity / np.concatenate(([capital], equity[:-1])) - 1.0
            deviation = moves.std(ddof=1)
            sharpe = moves.mean() / deviation * math.sqrt(BARS_PER_YEAR) if deviation > 0 else np.nan
            scores.append((equity[-1] / capital - 1.0, sharpe))
        return cls(*np.array(scores, dtype=np.float64).reshape(-1, 2).T)


@dataclass(frozen=True, slots=True)
class Trades:
    """Every closed position, by replay and entry: rows (M, 3) replay, entry, exit; prices (M, 2) of entry and exit."""

    rows: npt.NDArray[np.int64]
    prices: Floats

    @classmethod
    def of(
        cls,
        replay: npt.ArrayLike,
        entry: npt.ArrayLike,
        exit_: npt.ArrayLike,
        entry_price: npt.ArrayLike,
        exit_price: npt.ArrayLike,
    ) -> Trades:
        """Trades of columns in any order."""
        rows = np.column_stack((replay, entry, exit_)).astype(np.int64)
        prices = np.column_stack((entry_price, exit_price)).astype(np.float64)
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        return cls(rows[order], prices[order])


class Engine(ABC):
    """An engine with its inputs in the form in which its users would keep them."""

    def __init__(self, work: Workload) -> None:
        self.work = work

    @abstractmethod
    def scores(self) -> Scores:
        """Replay every calendar: what is timed."""

    @abstractmethod
    def trades(self) -> Trades:
        """The trades of every calendar: what is compared."""
