"""The stationary bootstrap of series whose blocks are long: a resample is summed block by block.

A mean, a variance, a downside and a product are differences of running sums, and the largest fall of a block is
combined from stretches of 1, 2, 4, ... bars: a draw costs its number of blocks times the logarithm of the bars, and no
bar is copied. Up to `LONG` bars the resamples are those of `stationary_indices`, so that the figures are those of
copied bars up to rounding. Longer series take other random numbers, a start and a geometric length for each block, so
that the bounds differ as they would under another seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from backtest.market.record import Floats
from backtest.scoring.block_length import LONG
from backtest.scoring.bootstrap import Indices, blocks_of, uniforms

FEWEST_BARS = 64.0
"""Mean bars per block of a long series below which copying the bars is as fast."""
FEWEST_BARS_OF_SHORT = 32.0
"""The same of a series that is not long."""
# A fall of log equity this small is the rounding of sums in another order.
_ROUNDING = 1e-13
# Cells of random numbers held in memory at once.
_CELLS = 2**19
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
    running = _running(np.stack((returns, logs)))
    tree = _StretchTree(logs)
    rng = np.random.default_rng(seed)
    at_most = math.ceil(bars / block + 6.0 * math.sqrt(bars / block) + 10.0)
    found = np.empty((5, draws))
    for first in range(0, draws, max(_BLOCKS // at_most, 1)):
        count = min(max(_BLOCKS // at_most, 1), draws - first)
        start, length = (one.T.copy() for one in _blocks(rng, count, bars, block, at_most))
        end = start + length
        wrapped = np.maximum(end - bars, 0)
        part = running[:, np.minimum(end, bars)] - running[:, start] + running[:, wrapped]
        moves = _joined(tree.moves(start, np.minimum(end, bars)), tree.moves(np.zeros_like(start), wrapped))
        found[:, first : first + count] = _in_turn(part, moves)
    return Resampled(*found)


def suits_copies(returns: Floats, block: float) -> bool:
    """Whether the resamples of a series that is not long are summed by blocks, as `suits` says of a long one."""
    return len(returns) < LONG and block >= FEWEST_BARS_OF_SHORT and bool((returns > -1.0).all())


def summed_together(
    series: Sequence[Floats],
    blocks: Sequence[float],
    draws: int,
    seed: int,
    report: Callable[[int], object] = lambda _: None,
) -> list[Resampled]:
    """Sums of the resamples that `drawn_together` makes of each of S series (T,) of one length, all above -1.

    Those with blocks of the same mean length are resampled in the same blocks, which are drawn and summed once.
    """
    bars = len(series[0]) if series else 0
    alike = [[place for place, one in enumerate(blocks) if one == block] for block in dict.fromkeys(blocks)]
    returns = [np.stack([series[place] for place in places]) for places in alike]
    stretches = [_Stretches(np.log1p(values)) for values in returns]
    running = [_running(np.tile((values, np.log1p(values)), 2)) for values in returns]
    found = np.empty((5, len(series), draws))
    done = 0
    for uniform in uniforms(bars, draws, seed, _CELLS) if series else ():
        report(done)
        some = slice(done, done + len(uniform))
        for places, sums, moves in zip(alike, running, stretches, strict=True):
            start, length = _copied_blocks(uniform, blocks[places[0]])
            part = np.take(sums, start + length, axis=-1) - np.take(sums, start, axis=-1)
            found[:, places, some] = _in_turn(part, moves.moves(start, length))
        done += len(uniform)
    return [Resampled(*found[:, place]) for place in range(len(series))]


def _running(both: Floats) -> Floats:
    """(4, ..., T + 1) sums before each bar of returns, their squares, squares of the losses, and log returns."""
    returns, logs = both
    running = np.zeros((4, *both.shape[1:-1], both.shape[-1] + 1))
    np.cumsum((returns, np.square(returns), np.square(np.minimum(returns, 0.0)), logs), axis=-1, out=running[..., 1:])
    return running


def _copied_blocks(uniform: Floats, block: float) -> tuple[Indices, Indices]:
    """(M, D) first bars and lengths of the blocks of resamples, padded with lengths of 0; see `stationary_indices`."""
    row, _, first, bars = blocks_of(uniform, block)
    number = np.arange(len(row)) - np.searchsorted(row, row)
    start, length = np.zeros((2, int(number.max()) + 1, len(uniform)), dtype=np.int64)
    start[number, row], length[number, row] = first, bars
    return start, length


def _in_turn(part: Floats, moves: StretchMoves) -> tuple[Floats, ...]:
    """Sums (..., D) of resamples, and their largest fall, from the sums (4, ..., M, D) and moves of their blocks."""
    # Summed one by one, so that no sum depends on how many resamples there are.
    running = np.cumsum(part, axis=-2)
    before = running[3] - part[3]
    peak = np.maximum.accumulate(before + moves.greatest, axis=-2)
    # A resample begins at the capital, which counts as a peak.
    peak = np.concatenate((np.zeros_like(peak[..., :1, :]), np.maximum(peak[..., :-1, :], 0.0)), axis=-2)
    fall = np.maximum(peak - before - moves.least, moves.fall).max(axis=-2)
    fall[fall < _ROUNDING] = 0.0
    return (*running[..., -1, :], fall)


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


class _Stretches:
    """Moves over 1, 2, 4, ... bars from each bar of a circle of log returns, of each of S series (S, T)."""

    def __init__(self, logs: Floats) -> None:
        level, bars = np.stack(_of_bars(np.tile(logs, 2))), 1
        self.levels = [level]
        while bars < logs.shape[1]:
            level = np.stack(_joined(StretchMoves(*level[..., :-bars]), StretchMoves(*level[..., bars:])))
            self.levels.append(level)
            bars *= 2

    def moves(self, start: Indices, length: Indices) -> StretchMoves:
        """(S, ...) moves over `length` bars from `start` on, arrays of one shape, of at most T bars."""
        found = np.zeros((*self.levels[0].shape[:2], start.size))
        at, left = start.ravel().copy(), length.ravel()
        for power, level in enumerate(self.levels):
            some = np.flatnonzero(left >> power & 1)
            if some.size:
                ahead = np.take(level, at[some], axis=-1)
                found[..., some] = _joined(StretchMoves(*np.take(found, some, axis=-1)), StretchMoves(*ahead))
                at[some] += 1 << power
        return StretchMoves(*found.reshape(*found.shape[:2], *start.shape))


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
