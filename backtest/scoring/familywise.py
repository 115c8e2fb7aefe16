"""P-values adjusted for multiple testing: the maximum statistic over a family moved by the same draws.

Westfall and Young, Resampling-Based Multiple Testing (1993): single-step maxT, and algorithm 2.8 (step-down).
"""

from __future__ import annotations

import numpy as np

from backtest.market.record import Floats

# Statistics of equal replays differ by rounding alone; they must count as equal.
_ROUNDING = 1e-12


def rounding(value: Floats | float) -> Floats:
    """Largest difference at which a statistic counts as reaching `value`."""
    return np.asarray(_ROUNDING * np.maximum(1.0, np.abs(value)))


def westfall_young(observed: Floats, drawn: Floats, *, step_down: bool = True) -> Floats:
    """Adjusted p (M,) of observed statistics (M,) and their joint placebo draws (B, M); larger is better.

    Each member is standardised by the mean and standard deviation of its B placebo statistics and its observed one
    together, so that the rank of the observed maximum stays exact. A member that never varies has p = 1. Single-step
    compares each with the maximum over all members; step-down with the maximum over those that did no better, and its
    p never decreases from one member to the next. NaN counts as less than any number.
    """
    draws, members = drawn.shape
    centre, spread = np.empty(members), np.empty(members)
    for m in range(members):
        values = np.append(drawn[:, m], observed[m])
        values = values[~np.isnan(values)]
        centre[m] = values.mean() if len(values) else 0.0
        spread[m] = values.std() if len(values) else 0.0
    still = spread <= rounding(centre)
    spread[still] = 1.0

    def standard(values: Floats) -> Floats:
        z = (values - centre) / spread
        return np.where(np.isnan(z) | still, -np.inf, z)

    own = standard(observed)
    order = np.argsort(-own, kind="stable")
    ranked = own[order]
    finite = np.where(np.isfinite(ranked), ranked, 0.0)
    threshold = ranked - rounding(finite)
    reached = np.ones(members)
    rows = max(1, 2**22 // max(members, 1))
    for first in range(0, draws, rows):
        z = standard(drawn[first : first + rows])[:, order]
        most = np.maximum.accumulate(z[:, ::-1], axis=1)[:, ::-1] if step_down else z.max(axis=1, keepdims=True)
        reached += np.count_nonzero(most >= threshold, axis=0)
    p = np.maximum.accumulate(reached / (draws + 1))
    adjusted = np.empty(members)
    adjusted[order] = p
    return adjusted
