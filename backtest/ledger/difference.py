"""Compares two trials on the same draws."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtest.base.arguments import checked
from backtest.base.display import p_value
from backtest.ledger.family import ROUNDING
from backtest.ledger.records import Singles, canonical
from backtest.ledger.store import Ledger


@dataclass(frozen=True, slots=True)
class TrialDifference:
    """Observed difference of a statistic between two trials, the first less the second, and its two-sided p.

    NaN with the `reason` if the two were not moved by the same draws.
    """

    value: float
    p: float
    draws: int
    reason: str = ""

    @property
    def sentence(self) -> str:
        """The difference in words."""
        if self.reason:
            return f"no p of the difference: {self.reason}"
        return f"difference {self.value:+.4g}, two-sided p {p_value(self.p)} on {self.draws:,} common draws"


def two_sided(first: float, second: float, draws: Singles, others: Singles) -> TrialDifference:
    """P of the difference of two statistics that were moved by the same draws, one by one.

    Draws (B,) and (B,) float32, undefined ones (NaN in either) left out. p is twice the lesser share of the B
    differences that are at least, and at most, the observed one, which is counted among them; at most 1. It asks
    whether the real calendar separates the two more than others do, not which is better on any calendar.
    """
    pairs = draws.astype(np.float64) - others.astype(np.float64)
    pairs = pairs[~np.isnan(pairs)]
    value = float(np.float32(first)) - float(np.float32(second))
    if math.isnan(value) or not len(pairs):
        return TrialDifference(value, math.nan, len(pairs), "a statistic is undefined")
    near = float(ROUNDING) * max(1e-3, abs(first), abs(second))
    if float(np.ptp(np.append(pairs, value))) <= near:
        return TrialDifference(value, math.nan, len(pairs), "both do the same on every calendar")
    above, below = np.count_nonzero(pairs >= value - near), np.count_nonzero(pairs <= value + near)
    return TrialDifference(value, min(1.0, 2.0 * (1 + min(int(above), int(below))) / (len(pairs) + 1)), len(pairs))


@checked
def difference_of(ledger: Ledger, first: int, second: int) -> TrialDifference:
    """TrialDifference of two trials of a ledger by their numbers."""
    one, other = ledger.trials([first])[0], ledger.trials([second])[0]
    for trial in (one, other):
        if not trial.tested:
            return TrialDifference(math.nan, math.nan, 0, f"{trial.title} has no draws")
    if one.common != other.common or one.body["plan"]["statistic"] != other.body["plan"]["statistic"]:
        reason = f"{one.title} and {other.title} have other draws or another statistic"
        return TrialDifference(math.nan, math.nan, 0, reason)
    return two_sided(one.body["observed"], other.body["observed"], ledger.draws_of(first), ledger.draws_of(second))


def differing(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name and both values, as text, of everything that differs between two trials; `-` where one lacks it."""
    was, now = dict(_flat(first)), dict(_flat(second))
    unlike = ("time", "what", "draws", "asked", "scope")
    names = [name for name in {**was, **now} if name not in unlike]
    return [(name, was.get(name, "-"), now.get(name, "-")) for name in names if was.get(name) != now.get(name)]


def _flat(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, part in value.items():
        if isinstance(part, dict):
            yield from _flat(part, f"{above}{name}.")
        elif isinstance(part, float):
            yield above + name, f"{part:.6g}"
        else:
            yield above + name, part if isinstance(part, str) else canonical(part)
