"""Step-down maximum statistic over any number of trials that were moved by the same draws, one trial at a time.

The family is read in order of the standardised observed statistic, the least first, so that the maximum over all that
did no better is one row of B numbers which grows: memory depends on B and not on the number of trials. Maxima do not
depend on order, so neither does any adjusted p. Westfall and Young, Resampling-Based Multiple Testing (1993),
algorithm 2.8; the same rule as `backtest.scoring.familywise`, on float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backtest.ledger.records import Singles
from backtest.market.record import Floats

ROUNDING = np.float32(4e-7)
"""Relative difference at which float32 statistics count as equal: three units in the last place, against the trial."""


@dataclass(frozen=True, slots=True)
class Standard:
    """Mean and standard deviation of a trial's B placebo and one observed statistics, and its standardised observed."""

    centre: float
    spread: float
    rank: float


def standard_of(observed: float, draws: Singles) -> Standard:
    """Standard of a trial; a rank of minus infinity for one that never varies or has no observed statistic."""
    values = np.append(draws, np.float32(observed)).astype(np.float64)
    values = values[~np.isnan(values)]
    centre = float(values.mean()) if len(values) else 0.0
    spread = float(values.std()) if len(values) else 0.0
    if np.isnan(observed) or spread <= 1e-7 * max(1e-12, abs(centre)):
        return Standard(centre, 0.0, -np.inf)
    return Standard(centre, spread, float(_standardised(np.array([observed], np.float32), centre, spread)[0]))


def _standardised(values: Singles, centre: float, spread: float) -> Singles:
    return (values - np.float32(centre)) * np.float32(1.0 / spread)


@dataclass(frozen=True, slots=True)
class DrawsBlock:
    """R consecutive trials of one family in ascending order of rank.

    `draws` (R, B) float32; `centre`, `spread` and `rank` (R,) float64; a spread of 0 marks a trial that never varies.
    """

    draws: Singles
    centre: Floats
    spread: Floats
    rank: Floats


@dataclass(frozen=True, slots=True, eq=False)
class StepDown:
    """Step-down result of a family of M trials with B draws.

    `p` (M,) adjusted, in the order in which the trials came; `most` (B + 1,) float32 the greatest standardised
    statistic of any trial on the real calendar, first, and on each placebo calendar. Both are empty for no trial.
    """

    p: Floats
    most: Singles


def step_down(blocks: Iterable[DrawsBlock]) -> StepDown:
    """StepDown of a family whose trials come in ascending order of rank.

    p of the j-th best is the greatest over i <= j of (1 + #{b: max over trials no better than i >= z_i}) / (B + 1). An
    undefined draw counts as less than any other; a trial that never varies has p = 1.
    """
    running: Singles | None = None
    reached: list[npt.NDArray[np.int64]] = []
    draws, best = 0, np.float32(-np.inf)
    for block in blocks:
        count, draws = block.draws.shape
        if running is None:
            running = np.full(draws, -np.inf, np.float32)
        scale = np.divide(1.0, block.spread, out=np.zeros(count), where=block.spread > 0).astype(np.float32)
        z = block.draws - block.centre.astype(np.float32)[:, None]
        z *= scale[:, None]
        z[block.spread <= 0] = -np.inf
        # Of a number and NaN, fmax takes the number.
        np.fmax(z[0], running, out=z[0])
        for row in range(1, count):
            np.fmax(z[row], z[row - 1], out=z[row])
        running = z[-1].copy()
        own = np.where(block.spread > 0, block.rank, -np.inf).astype(np.float32)
        best = max(best, own.max())
        threshold = own - ROUNDING * np.maximum(np.float32(1.0), np.abs(np.where(np.isfinite(own), own, 0)))
        reached.append(np.count_nonzero(z >= threshold[:, None], axis=1))
    if running is None:
        return StepDown(np.empty(0), np.empty(0, np.float32))
    p = (1.0 + np.concatenate(reached)) / (draws + 1.0)
    return StepDown(np.asarray(np.maximum.accumulate(p[::-1])[::-1]), np.append(best, running))
