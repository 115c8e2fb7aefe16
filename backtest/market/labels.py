"""When open interest was sampled, from arithmetic: value divided by coins is the price at that instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backtest.market.instrument import Floats
from backtest.market.quality import Int64s, OpenInterest

# The better instant must be this many times nearer, over at least so many samples with a bar opening at both instants.
CLEARLY = 2.0
ENOUGH = 8


@dataclass(frozen=True, slots=True)
class Label:
    """Whether a sample stamped T is from T (`lag_ms` 0) or from one period later, and why in words.

    `decided` is False if prices do not decide, and the later instant is assumed.
    """

    lag_ms: int
    decided: bool
    words: str


def sample_label(samples: OpenInterest, open_ms: Int64s, opens: Floats) -> Label:
    """Label of samples of coins and quote notional, compared with the opens (T,) of bars of the same instrument.

    Each instant is judged by the samples at which a bar opens: median relative differences of price decide. NaN is left
    out; for samples without both columns the later instant is assumed, without a sentence.
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
