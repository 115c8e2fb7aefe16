"""The stationary bootstrap of long series: a resample is summed block by block, without visiting its bars.

A mean, a variance, a downside and a product are differences of running sums, and the largest fall of a block is
combined from the nodes of a binary tree: a draw costs its number of blocks times the logarithm of the bars. Blocks
begin anywhere and have geometric lengths, as in `stationary_indices`; the random numbers differ, so that the bounds
differ as they would under another seed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from backtest.market.record import Floats
from backtest.scoring.block_length import LONG
from backtest.scoring.bootstrap import Indices

FEWEST_BARS = 64.0
"""Mean bars per block below which copying the bars is as fast."""
_BLOCKS = 2**18
"""Blocks held in memory at once."""


class StretchMoves(NamedTuple):
    """Log equity over each of several stretches of bars, from 0: last, least and greatest value, and largest fall."""

    last: Floats
    least: Floats
    greatest: Floats
    fall: Floats


class Resampled(NamedTuple):
    """Sums over the bars of each of D resamples: returns, their squares, squares of the losses; and of log equity."""

    total: Floats
    squares: Floats
    losses: Floats
    growth: Floats
    fall: Floats


def suits(returns: Floats, block: float) -> bool:
    """Whether a series is summed by blocks: it is long, its blocks have many bars, and no bar loses everything."""
    return len(returns) >= LONG and block >= FEWEST_BARS and bool((returns > -1.0).all())


def resampled_sums(returns: Floats, block: float, draws: int, seed: int) -> Resampled:
    """Sums of `draws` resamples of `returns` (T,), all above -1, in blocks of `block` bars on average."""
    bars = len(returns)
    logs = np.log1p(returns)
    running = np.zeros((4, bars + 1))
    np.cumsum(returns, out=running[0, 1:])
    np.cumsum(np.square(returns), out=running[1, 1:])
    np.cumsum(np.square(np.minimum(returns, 0.0)), out=running[2, 1:])
    np.cumsum(logs, out=running[3, 1:])
    tree = _StretchTree(logs)
    rng = np.random.default_rng(seed)
    at_most = math.ceil(bars / block + 6.0 * math.sqrt(bars / block) + 10.0)
    found = np.empty((5, draws))
    for first in range(0, draws, max(_BLOCKS // at_most, 1)):
        count = min(max(_BLOCKS // at_most, 1), draws - first)
        start, length = _blocks(rng, count, bars, block, at_most)
        end = start + length
        wrapped = np.maximum(end - bars, 0)
        part = running[:, np.minimum(end, bars)] - running[:, start] + running[:, wrapped]
        moves = _joined(tree.moves(start, np.minimum(end, bars)), tree.moves(np.zeros_like(start), wrapped))
        before = np.cumsum(part[3], axis=1) - part[3]
        peak = np.maximum.accumulate(before + moves.greatest, axis=1)
        # A resample begins at the capital, which counts as a peak.
        peak = np.concatenate((np.zeros((count, 1)), np.maximum(peak[:, :-1], 0.0)), axis=1)
        fall = np.maximum(peak - before - moves.least, moves.fall).max(axis=1)
        found[:, first : first + count] = (*part.sum(axis=2), fall)
    return Resampled(*found)


def _blocks(rng: np.random.Generator, draws: int, bars: int, block: float, at_most: int) -> tuple[Indices, Indices]:
    """(D, M) starts and lengths of blocks, `bars` bars in total per row, padded with lengths of 0."""
    length = rng.geometric(1.0 / block, (draws, at_most))
    while (short := length.sum(axis=1) < bars).any():
        more = np.zeros((draws, at_most), dtype=np.int64)
        more[short] = rng.geometric(1.0 / block, (int(short.sum()), at_most))
        length = np.concatenate((length, more), axis=1)
    behind = np.cumsum(length, axis=1)
    length = np.maximum(np.minimum(behind, bars) - (behind - length), 0)
    return rng.integers(0, bars, length.shape), length


def _joined(one: StretchMoves, then: StretchMoves) -> StretchMoves:
    """Moves over a stretch and the one after it."""
    return StretchMoves(
        one.last + then.last,
        np.minimum(one.least, one.last + then.least),
        np.maximum(one.greatest, one.last + then.greatest),
        np.maximum(np.maximum(one.fall, then.fall), one.greatest - one.last - then.least),
    )


def _of_bars(logs: Floats) -> StretchMoves:
    """Moves over single bars."""
    return StretchMoves(logs, np.minimum(logs, 0.0), np.maximum(logs, 0.0), np.maximum(-logs, 0.0))


def _paired(values: Floats, place: int) -> Floats:
    """The first (0) or second (1) of each two values; a last one without a second has 0, over which nothing moves."""
    half = values[place::2]
    return half if place == 0 or len(values) % 2 == 0 else np.append(half, 0.0)


class _StretchTree:
    """Moves over aligned stretches of 1, 2, 4, ... bars of a series of log returns (T,).

    Those of one bar are worked out when they are asked for: held, they would take as much as all others together.
    """

    def __init__(self, logs: Floats) -> None:
        self.logs = logs
        level = _joined(_of_bars(_paired(logs, 0)), _of_bars(_paired(logs, 1)))
        self.levels = [level]
        while len(level.last) > 1:
            level = _joined(
                StretchMoves(*(_paired(part, 0) for part in level)), StretchMoves(*(_paired(part, 1) for part in level))
            )
            self.levels.append(level)

    def moves(self, start: Indices, end: Indices) -> StretchMoves:
        """Moves over the bars [start, end), arrays of one shape; nothing moves where they are equal."""
        left, right = (StretchMoves(*np.zeros((4, *start.shape))) for _ in range(2))
        low, high = start.copy(), end.copy()
        for level in (None, *self.levels):
            open_ = low < high
            if not open_.any():
                break
            for odd, behind in ((open_ & (low % 2 == 1), False), (open_ & (high % 2 == 1), True)):
                at = (high if behind else low)[odd] - behind
                piece = _of_bars(self.logs[at]) if level is None else StretchMoves(*(part[at] for part in level))
                side = right if behind else left
                own = StretchMoves(*(part[odd] for part in side))
                for part, value in zip(side, _joined(piece, own) if behind else _joined(own, piece), strict=True):
                    part[odd] = value
            low, high = np.where(open_, (low + 1) // 2, low), np.where(open_, high // 2, high)
        return _joined(left, right)
