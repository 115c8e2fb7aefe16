"""The metrics of a run, each declared once: name, unit, words, which direction is better, tolerance in baselines.

`backtest.scoring.metrics` computes the values; tables, pages, baselines and their tolerances follow from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backtest.engine.layout import ADDED_COSTS, COSTS

MILLIONTH = 1e-6
"""Far above the differences between machines, and far below a basis point."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a run.

    Attributes
    ----------
    name, words : str
        As in documents, and for people.
    unit : str
        `share`, `ratio`, `days`, `count`, `per year` or `quote` (currency).
    better : {1, -1, 0}
        Sign of an improvement, 0 if neither direction is one.
    signed : bool
        Whether it is shown with its sign.
    absolute, relative : float
        A baseline lets it move by the larger of `absolute` and `relative` times its value.
    added : bool
        Whether it was added after 0.1: a baseline recorded without it is not a regression.
    """

    name: str
    unit: Literal["share", "ratio", "days", "count", "per year", "quote"]
    words: str
    better: Literal[1, -1, 0]
    signed: bool = True
    absolute: float = MILLIONTH
    relative: float = MILLIONTH
    added: bool = False


OF_BARS = (
    Metric("net_return", "share", "Net return", 1),
    Metric("cagr", "per year", "CAGR", 1),
    Metric("volatility", "per year", "Volatility", -1, signed=False),
    Metric("sharpe", "ratio", "Sharpe", 1),
    Metric("sortino", "ratio", "Sortino", 1),
    Metric("max_drawdown", "share", "Max drawdown", -1, signed=False),
    Metric("longest_drawdown", "days", "Longest drawdown", -1),
    Metric("calmar", "ratio", "Calmar", 1),
    Metric("exposure", "share", "Exposure", 0, signed=False),
    Metric("turnover", "ratio", "Turnover", 0),
)
OF_TRADES = (
    Metric("trades", "count", "Trades", 0, absolute=0.0, relative=0.0),
    Metric("hit_rate", "share", "Hit rate", 1, signed=False),
    Metric("mean_trade", "share", "Mean trade", 1),
    Metric("median_trade", "share", "Median trade", 1),
    Metric("profit_factor", "ratio", "Profit factor", 1),
    Metric("before", "share", "Before", -1),
    Metric("waited", "share", "Waited", 0),
    Metric("captured", "share", "Captured", 1),
    Metric("captured_per_before", "ratio", "Captured per before", 1),
)
OF_COSTS = tuple(
    Metric(f"{cost}_drag", "share", f"{cost.capitalize()} drag", -1, added=cost in ADDED_COSTS) for cost in COSTS
)
OF_PATHS = (
    # Money: one hundredth of the quote currency.
    Metric("net_low", "quote", "Least net", 1, absolute=0.01),
    Metric("net_high", "quote", "Greatest net", 1, absolute=0.01),
)
OF_LUCK = (
    # p counts calendars, so it is exact.
    Metric("placebo_p", "share", "Placebo p", -1, absolute=1e-9, relative=0.0),
)

METRICS: dict[str, Metric] = {one.name: one for one in (*OF_BARS, *OF_TRADES, *OF_COSTS, *OF_PATHS, *OF_LUCK)}
"""Every metric by name, in the order in which it is shown."""
