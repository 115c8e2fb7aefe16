"""How long a command takes and how much memory, by a model measured at sizes that fit here.

Each verb is a list of terms: a count, with the seconds of one core and the bytes that a unit of it takes, found by
least squares of relative errors (`python -m benchmarks.planner` prints them with their errors). Seconds are scaled by
how fast this machine does a small fixed piece of work. Starting, and reading bars, are not part of the model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from backtest.base.errors import UsageError, near_miss

SECONDS_TOLD, SHARE_TOLD = 10.0, 0.25
"""From what on an estimate is told: seconds, and share of the memory that there is."""
FACTOR, MEMORY_OFF = 2.5, 0.1
"""Seconds measured lie within this factor of the estimate, memory within this share, at all sizes of the benchmark."""
REFERENCE_S = 0.0240
"""CPU seconds of `small_work` where the coefficients were measured."""
ROWS = 2_048
"""Placebo dates of a study that are summed at a time."""
EQUITY_FORMATS = ("auto", "csv", "parquet")
"""How a run folder may hold equity; `auto` is CSV below `LONG_EQUITY` bars."""
STEPS = 1_000
"""Most bars of a path of a study that are shown."""
LONG_EQUITY = 200_000
"""Bars from which equity is written as Parquet, unless CSV is asked for: as text it takes longer than the run."""
LONG_BARS = 100_000
"""Bars from which intervals come from sums over blocks."""
TOGETHER = 2_000_000
"""Cells (bars x coins) that are prepared at once; more are prepared coin by coin, as one panel in a mapped file."""


def writes_csv(equity: str, bars: int) -> bool:
    """Whether the equity of so many bars is written as CSV, not as Parquet, in this format.

    Raises
    ------
    UsageError
        For a format that is not one of `EQUITY_FORMATS`.
    """
    if equity not in EQUITY_FORMATS:
        raise UsageError(f"equity {equity!r} is unknown; {near_miss(equity, EQUITY_FORMATS)}")
    return equity == "csv" or (equity == "auto" and bars < LONG_EQUITY)


@dataclass(frozen=True, slots=True)
class Workload:
    """How much is asked.

    Bars, coins, catalysts (of a study: coins of catalysts), strategies, placebo draws of each, bootstrap draws, trials
    of a search, cuts of an audit; of a study the bars of the whole window and of its event window; how a run folder
    holds equity.
    """

    bars: int
    coins: int
    catalysts: int = 0
    strategies: int = 1
    draws: int = 0
    bootstrap: int = 0
    trials: int = 1
    cuts: int = 0
    window: int = 0
    event: int = 0
    equity: str = "auto"

    @property
    def cells(self) -> int:
        """Bars times coins."""
        return self.bars * self.coins

    @property
    def entries(self) -> int:
        """Catalysts in all placebo draws of all strategies."""
        return self.strategies * self.draws * self.catalysts

    @property
    def written(self) -> int:
        """Bars of equity written as text."""
        return self.strategies * self.bars if writes_csv(self.equity, self.bars) else 0

    @property
    def resampled(self) -> int:
        """Bars in all resamples of a bootstrap that copies them."""
        return self.strategies * self.bootstrap * self.bars if self.bars < LONG_BARS else 0

    @property
    def summed(self) -> int:
        """Bars in all resamples of a bootstrap that sums over blocks."""
        return self.strategies * self.bootstrap * self.bars - self.resampled

    @property
    def at_once(self) -> int:
        """Cells, if they are prepared at once."""
        return self.cells if self.cells <= TOGETHER else 0

    @property
    def coin_by_coin(self) -> int:
        """Cells, if they are prepared coin by coin."""
        return self.cells - self.at_once

    @property
    def curves(self) -> int:
        """Bars of all equity curves that are resampled."""
        return self.strategies * self.bars if self.bootstrap else 0


@dataclass(frozen=True, slots=True)
class CostTerm:
    """One term of a model: what is counted, and the seconds and bytes that a unit of it takes."""

    count: Callable[[Workload], float]
    seconds: float
    bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of one core of this machine, and peak bytes."""

    seconds: float
    bytes: float

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.seconds + other.seconds, max(self.bytes, other.bytes))

    @property
    def text(self) -> str:
        """About how long, and how much memory."""
        return f"about {_time(self.seconds)} of one core and {_size(self.bytes)} of memory"


def _one(_: Workload) -> float:
    return 1.0


MODELS: dict[str, tuple[CostTerm, ...]] = {
    "run": (
        CostTerm(_one, 0.067, 3.28e8),
        CostTerm(lambda work: work.cells, 1.37e-6),
        CostTerm(lambda work: work.at_once, 0.0, 233.0),
        CostTerm(lambda work: work.coin_by_coin, 0.0, 130.0),
        CostTerm(lambda work: work.written, 8.9e-6),
        CostTerm(lambda work: work.entries, 9.2e-7),
        CostTerm(lambda work: work.resampled, 5e-8),
        CostTerm(lambda work: work.summed, 1.1e-8),
        CostTerm(lambda work: work.curves if work.bars < LONG_BARS else 0, 0.0, 1_030.0),
        CostTerm(lambda work: work.curves if work.bars >= LONG_BARS else 0, 0.0, 41.0),
    ),
    "study": (
        CostTerm(_one, 0.176, 2.57e8),
        CostTerm(lambda work: work.cells, 7.5e-6, 287.0),
        CostTerm(lambda work: work.catalysts, 0.0, 2.37e4),
        CostTerm(lambda work: work.catalysts * work.window, 9.9e-7, 16.6),
        CostTerm(lambda work: work.draws * work.catalysts * min(work.event, STEPS), 2.1e-8, 0.117),
    ),
    "sweep": (
        CostTerm(_one, 0.137, 2.95e8),
        CostTerm(lambda work: work.cells, 1.93e-6, 195.0),
        CostTerm(lambda work: work.trials * work.bars, 0.0, 32.0),
        CostTerm(lambda work: work.trials * work.entries, 4.1e-7, 1.9),
    ),
    "audit": (
        CostTerm(_one, 0.0, 2.26e8),
        CostTerm(lambda work: work.strategies, 0.53),
        CostTerm(lambda work: work.strategies * work.cuts * work.catalysts, 1.38e-3),
        CostTerm(lambda work: work.strategies * work.cuts * work.cells, 3.14e-7),
        CostTerm(lambda work: work.strategies * work.cells, 8.2e-7),
        CostTerm(lambda work: work.cells, 0.0, 245.0),
    ),
}
"""Terms of each verb that is measured by itself."""


def estimate(verb: str, work: Workload, slowness: float = 1.0) -> Estimate:
    """What a verb takes for so much work, on a machine `slowness` times as slow as the one measured."""
    terms = [(term, term.count(work)) for term in MODELS[verb]]
    seconds = sum(term.seconds * count for term, count in terms)
    return Estimate(seconds * slowness, sum(term.bytes * count for term, count in terms))


def slowness() -> float:
    """Time of a small fixed piece of work here, as a multiple of where the coefficients were measured."""
    return min(_timed() for _ in range(3)) / REFERENCE_S


def small_work() -> float:
    """A fixed piece of work: half of it numbers in arrays, half of it Python."""
    import numpy as np

    values = np.sin(np.arange(300_000, dtype=np.float64))
    total = float(np.sort(values)[::1_000].sum())
    for number in range(100_000):
        total += number % 7
    return total


def _timed() -> float:
    began = time.process_time()
    small_work()
    return time.process_time() - began


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds, -1) if seconds > 20 else round(seconds)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"


def _size(count: float) -> str:
    if count < 1e9:
        return f"{math.ceil(count / 1e8) * 100:.0f} MB"
    return f"{count / 1e9:.1f} GB"
