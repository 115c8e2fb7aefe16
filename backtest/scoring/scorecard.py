"""The verdict on a strategy: a word, its reason and the thresholds behind it; and its capacity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from backtest.base.arguments import checked
from backtest.base.display import ABSENT, Cell, Shown, View, cell, count, number, p_value, plain_percent, plural, whole
from backtest.engine.layout import NET_RETURN
from backtest.engine.prepared import Prepared
from backtest.engine.replay import replay_statistics
from backtest.market.record import Floats
from backtest.scoring.kinds import PLACEBO_KINDS
from backtest.scoring.metrics import Score, named
from backtest.scoring.placebo import LONGEST_TRADE, MOST_EXPOSURE, Placebo, without_events
from backtest.scoring.power import LEVEL
from backtest.signals.strategy import Intents

Verdict = Literal[
    "beats placebo",
    "beats placebo on every path",
    "depends on the order inside bars",
    "indistinguishable from chance",
    "loses money",
    "too few trades",
    "not an event strategy",
    "no power",
    "not tested",
]
CAPITALS = tuple(float(10 ** (4 + half / 2)) for half in range(9))
"""10k to 100M in half decades, quote currency."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds of a verdict: level of the adjusted p, number of closed trades."""

    level: float = LEVEL
    trades: int = 5

    @property
    def sentence(self) -> str:
        """The thresholds in words, as they are printed."""
        return (
            f"thresholds: beats placebo at a one-sided adjusted p <= {self.level:.3g}, p <= {LEVEL:g} without drift, "
            f"with a net gain, from {self.trades} trades; "
            f"an event strategy holds in at most {MOST_EXPOSURE:.0%} of the bars, a trade {LONGEST_TRADE:.0%} of them"
        )


@dataclass(frozen=True, slots=True, eq=False)
class CapacityCurve:
    """Net return (C,), share, of the same intents started with each capital (C,), quote currency.

    `half` is the smallest capital at which the net return is below half of that at the least capital; NaN if there is
    none, or if the least capital earns nothing.
    """

    capital: Floats
    net_return: Floats
    half: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Scorecard(Shown):
    """A strategy's scores and verdict; `placebo` is None if it was not asked for.

    `label` is the label of the data: `RECONSTRUCTED`, or empty for measured data.
    """

    strategy: str
    scores: tuple[Score, ...]
    placebo: Placebo | None
    capacity: CapacityCurve
    verdict: Verdict
    reason: str
    thresholds: Thresholds
    label: str = ""

    def _line(self) -> str:
        return f"{self.strategy}: {self.verdict} ({self.reason})"

    def _label(self) -> str:
        return self.label

    def _view(self) -> View:
        rows = [
            (
                score.name.replace("_", " "),
                _written(score, score.value),
                _written(score, score.low),
                _written(score, score.high),
                count(score.n),
            )
            for score in self.scores
        ]
        luck = self.placebo
        p = () if luck is None else (f"placebo p {p_value(luck.p)}, adjusted {p_value(luck.adjusted)}",)
        return View(("score", "value", "low", "high", "n"), rows, (*p, self.thresholds.sentence))


def _written(score: Score, value: float) -> Cell:
    """A value or bound of a score in its unit."""
    why = score.reason or "no interval is computed for it"
    show = {"share": plain_percent, "per year": plain_percent, "count": whole, "days": _days}.get(score.unit, number)
    return cell(value, show, why)


def _days(value: float) -> str:
    return ABSENT if math.isnan(value) else f"{value:.1f} d"


@checked
def scorecard(
    strategy: str,
    scores: Sequence[Score],
    placebo: Placebo | None,
    capacity: CapacityCurve,
    thresholds: Thresholds | None = None,
    label: str = "",
) -> Scorecard:
    """The scorecard of one strategy, with the label of the data."""
    limits = thresholds or Thresholds()
    verdict, reason = _judged(named(scores), placebo, limits)
    return Scorecard(strategy, tuple(scores), placebo, capacity, verdict, reason, limits, label)


def _judged(scores: dict[str, Score], placebo: Placebo | None, limits: Thresholds) -> tuple[Verdict, str]:
    trades, net = int(scores["trades"].value), scores["net_return"].value
    if placebo is None:
        return "not tested", "no placebo was asked for"
    eventless = without_events(scores["exposure"].value, trades)
    if eventless:
        return "not an event strategy", eventless
    if trades < limits.trades:
        return "too few trades", f"{trades} closed, at least {limits.trades} are needed"
    if placebo.reason:
        return "not tested", placebo.reason
    told = f"{_share(placebo)} did as well{_early(placebo)}"
    several = f" adjusted for multiple testing over {placebo.family} strategies"
    paid = f", p {placebo.adjusted:.3g}{several}" if placebo.family > 1 else ""
    if placebo.floor > LEVEL:
        return "no power", placebo.found
    if placebo.doubtful and not math.isnan(placebo.greatest_p):
        ends = [min(1.0, p * max(placebo.family, 1)) for p in (placebo.least_p, placebo.greatest_p)]
        order = f"the order inside {plural(placebo.doubtful, 'bar', 'bars')} decides: p {ends[0]:.3g} to {ends[1]:.3g}"
        beats = placebo.adjusted <= limits.level and not placebo.driftless_p > limits.level and net > 0.0
        if beats and ends[1] <= limits.level:
            return "beats placebo on every path", f"only {told}{paid}; at most p {ends[1]:.3g} on every path"
        # Bounds that are only sound may be reached by no path: they can refute a claim, but not support it.
        known = not math.isnan(placebo.least_p)
        if known and (beats or (placebo.adjusted > limits.level and ends[0] <= limits.level)):
            return "depends on the order inside bars", f"{order}; {told}{paid}"
    if placebo.adjusted > limits.level:
        least = f" and must be at most {limits.level:.3g}" if placebo.adjusted <= LEVEL else ""
        return "indistinguishable from chance", f"{told}{paid}{least}; {placebo.found}"
    if placebo.driftless_p > LEVEL:
        without = f"p is {placebo.driftless_p:.3g} on bars without the drift of each fortnight"
        return "indistinguishable from chance", f"only {told}{paid}, but {without}"
    if net <= 0.0:
        return "loses money", f"net {net:+.1%}, though only {told}{paid}"
    return "beats placebo", f"only {told}{paid}"


def _early(placebo: Placebo) -> str:
    return f" ({placebo.foreknown:.0f} of them up to 4 days earlier)" if placebo.foreknown > 0 else ""


def _share(placebo: Placebo) -> str:
    """`112 of 2591 shifted calendars`: what p counts, without the real calendar."""
    above = round(placebo.p * (placebo.n + 1)) - 1
    return f"{above} of {placebo.n} {PLACEBO_KINDS[placebo.kind].calendars}"


@checked
def capacity_curve(intents: Intents, prepared: Prepared, capitals: Sequence[float] = CAPITALS) -> CapacityCurve:
    """Replay the intents at each capital: impact and participation grow with the notional, everything else does not."""
    orders = prepared.orders(intents)
    net = np.empty(len(capitals))
    for place, capital in enumerate(capitals):
        net[place] = replay_statistics(orders, prepared.with_rules(capital=capital), 1)[0, NET_RETURN]
    below = np.flatnonzero(net < net[0] / 2.0)
    half = float(capitals[below[0]]) if net[0] > 0.0 and len(below) else math.nan
    return CapacityCurve(np.array(capitals), net, half)
