"""Placebo p at both ends of the interval that the bars allow for a run.

The order of prices inside a bar is unknown, so an observed statistic lies anywhere between two bounds. The lower bound
is compared with placebos replayed in the optimistic stop order, the upper bound with placebos in the pessimistic one:
each time the order that works against the claim. Placebos are replayed on these two paths only, not on all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from backtest.engine.layout import OPTIMISTIC, PESSIMISTIC
from backtest.engine.prepared import Prepared
from backtest.engine.run import Run
from backtest.market.record import Floats
from backtest.scoring.familywise import rounding


@dataclass(frozen=True, slots=True)
class Ends:
    """Least and greatest value of a run's statistic over every path that the bars allow, and the doubtful bars.

    `exact` if some path reaches each; otherwise they are only sound, and no path may reach them.
    """

    least: float = math.nan
    greatest: float = math.nan
    doubtful: int = 0
    exact: bool = False

    @property
    def apart(self) -> bool:
        """Whether the bars allow more than one value."""
        return self.doubtful > 0 and self.least < self.greatest


def ends_of(run: Run, statistic: str) -> Ends:
    """Bounds of `net_return` or `sharpe` of a run; NaN for another statistic."""
    opened = run.book.entered
    doubtful = {(opened[int(one[0])].column, int(one[1])) for one in run.intervals.doubts}
    if statistic == "net_return":
        capital = run.config.capital
        return Ends(run.bounds.net_low / capital, run.bounds.net_high / capital, len(doubtful), run.bounds.exact)
    if statistic == "sharpe":
        return Ends(run.bounds.sharpe_low, run.bounds.sharpe_high, len(doubtful), run.bounds.exact_sharpe)
    return Ends(doubtful=len(doubtful))


def both_orders(prepared: Prepared) -> list[Prepared]:
    """The same market prepared in the pessimistic and in the optimistic stop order."""
    return [prepared.with_rules(stop_order=order) for order in (PESSIMISTIC, OPTIMISTIC)]


def p_at_both_ends(ends: Ends, pessimistic: Floats, optimistic: Floats) -> tuple[float, float]:
    """P of the greatest and p of the least value, against (B,) placebos in each stop order.

    The p of the greatest is NaN if no path is known to reach it.
    """
    best = np.count_nonzero(pessimistic >= ends.greatest - rounding(ends.greatest))
    worst = np.count_nonzero(optimistic >= ends.least - rounding(ends.least))
    draws = len(optimistic) + 1
    return (1 + int(best)) / draws if ends.exact else math.nan, (1 + int(worst)) / draws
