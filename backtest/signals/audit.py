"""The look-ahead audit: cut and corrupt the future of market and calendar; earlier decisions must not change.

At each of many instants, everything not yet known is corrupted in several ways, and the strategy decides again, each
time in a process that has never asked it before. A decision at or before the instant that changes, vanishes or appears
has read the future: the audit then narrows the corruption until it can say what was read, and when that became known.
"""

from __future__ import annotations

from typing import Any

from backtest.base.arguments import checked
from backtest.base.errors import UsageError, shortened
from backtest.base.progress import Progress, silent
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.asking import Asker
from backtest.signals.examining import examine
from backtest.signals.filters import check_filters
from backtest.signals.finding import Audit, Leak
from backtest.signals.interpreter import Reference, Unreachable, interpreter, job_of
from backtest.signals.strategy import Strategy

__all__ = ["DEFAULT_CUTS", "MOST_CUTS", "Audit", "Leak", "audit"]

DEFAULT_CUTS = 60
MOST_CUTS = 100_000


@checked
def audit(
    strategy: Strategy[Any],
    market: Market,
    calendar: Calendar,
    *,
    cuts: int = DEFAULT_CUTS,
    seed: int = 1,
    progress: Progress = silent,
) -> Audit:
    """Audit one strategy on one market and calendar.

    It is asked in copies of a new interpreter, made from its file and its parameters. A class that only this process
    knows (from a notebook or a function) is asked in copies of this process, which keep the state that earlier calls
    left: `Audit.apart` says which.

    Parameters
    ----------
    cuts
        Most instants that are tried: those of the decisions, those just before a catalyst is known, and some between.
    seed
        Of the corruptions' noise.

    Raises
    ------
    UsageError
        For fewer than 3 cuts, or a strategy that fails on the true data, or that decides differently when asked again
        on the same data, in a fresh process or after it was asked on other data.
    """
    if cuts < 3:
        raise UsageError(f"cuts = {cuts} is too few to audit anything: use 3 or more")
    if cuts > MOST_CUTS:
        raise UsageError(f"cuts = {shortened(cuts)} are more than {MOST_CUTS:,}: each one runs the strategy again")
    check_filters(strategy, market, calendar)
    try:
        job = job_of(Reference.of(strategy), market, calendar, cuts, seed)
        return interpreter().audit(job, progress)
    except Unreachable:
        return examine(Asker(strategy), market, calendar, cuts=cuts, seed=seed, progress=progress)
