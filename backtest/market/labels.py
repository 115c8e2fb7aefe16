"""When open interest was sampled, told by arithmetic: value by coins is the price of that instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtest.market.instrument import Floats
from backtest.market.quality import Int64s, OpenInterest

# The better instant must be this many times nearer than the other, over so many samples that a bar opens at both.
CLEARLY = 2.0
ENOUGH = 8


@dataclass(frozen=True, slots=True)
class Label:
    """Whether a sample stamped T is of T (`lag_ms` 0) or of T and a period, and why in words.

    `decided` is False where prices do not tell, and the later instant was taken.
    """

    lag_ms: int
    decided: bool
    words: str


def sample_label(samples: OpenInterest, open_ms: Int64s, opens: Floats) -> Label:
    """Label of samples of coins and quote notional, held against the opens (T,) of the same instrument's bars.

    Each instant is judged by the samples for which a bar opens then: median relative differences of price decide. NaN
    is left out; samples without both columns are taken as of the later instant without a word.
    """
    stamps_ms, coins, value, period_ms = samples.sampled_ms, samples.coins, samples.value, samples.period_ms
    if not (coins * value > 0).any():
        return Label(period_ms, False, "")
    errors, counts = [], []
    with np.errstate(invalid="ignore", divide="ignore"):
        price = np.where(coins > 0, value / coins, np.nan)
    for lag in (0, period_ms):
        rows = np.searchsorted(open_ms, stamps_ms + lag)
        inside = np.minimum(rows, len(open_ms) - 1)
        meets = (rows < len(open_ms)) & (open_ms[inside] == stamps_ms + lag) & ~np.isnan(price)
        off = np.abs(price[meets] / opens[inside][meets] - 1.0)
        off = off[~np.isnan(off)]
        errors.append(float(np.median(off)) if off.size else np.inf)
        counts.append(int(off.size))
    now, later = errors
    if min(counts) >= ENOUGH and now * CLEARLY < later:
        return Label(
            0, True, f"sampled at its stamp: value by coins is off the price by {now:.3%}, a period on {later:.3%}"
        )
    if min(counts) >= ENOUGH and later * CLEARLY < now:
        words = f"sampled a period after its stamp: value by coins is off the price by {later:.3%}, at it {now:.3%}"
        return Label(period_ms, True, words)
    words = "which instant a sample is of is not decided by prices: taken as a period after its stamp"
    return Label(period_ms, False, words)
