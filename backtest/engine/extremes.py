"""Quiet bars skipped, not walked: lows and highs of blocks of bars tell where a position next may leave or pay.

Where only the trades, exposure and net return of a replay are asked for, a quiet bar (`marking`) decides nothing:
equity is only marked there. The first bar that is not quiet is found from the least low and the greatest high
of blocks of 8, 64, 512, ... bars, in steps that grow with the logarithm of the bars between. It is the same bar that
the walk finds, so every later figure is the walk's to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from backtest.engine.compiling import inlined
from backtest.engine.layout import F8, FUNDING, HIGH, LOW, Bars, Work
from backtest.engine.marking import Calm

_SHARE = 8
"""Blocks of one level in a block of the next."""


class Extremes(NamedTuple):
    """Lows and highs of blocks of bars, of which level l has blocks of 8**l bars; level 0 is the panel itself.

    blocks (N, M, 2): the least low and the greatest high of each block, level after level, inf and -inf where nothing
    trades. A block in which funding is paid or unknown has the low -inf, so that no position passes over it.
    starts (L + 1,): first block of each level in axis 1; 0 for the panel.
    """

    blocks: F8
    starts: npt.NDArray[np.int64]


NONE = Extremes(np.empty((0, 0, 2)), np.zeros(1, np.int64))
"""In the place of extremes where every bar is walked."""


def extremes_of(bars: Bars) -> Extremes:
    """Extremes of a panel: 2.3 bytes a cell, beside the panel's 64."""
    coins, count = bars.panel.shape[:2]
    sizes = []
    while count >= _SHARE:
        count = -(-count // _SHARE)
        sizes.append(count)
    starts = np.cumsum([0, 0, *sizes], dtype=np.int64)
    blocks = np.empty((coins, int(starts[-1]), 2))
    for column in range(coins):
        bar = bars.panel[column]
        low = np.where(bar[:, FUNDING] != 0.0, -np.inf, bar[:, LOW])
        high = bar[:, HIGH]
        for start, size in zip(starts[1:].tolist(), sizes, strict=False):
            low, high = _of_blocks(low, size, np.fmin, np.inf), _of_blocks(high, size, np.fmax, -np.inf)
            blocks[column, start : start + size, 0], blocks[column, start : start + size, 1] = low, high
    return Extremes(blocks, starts[: len(sizes) + 1])


def _of_blocks(values: F8, size: int, of: np.ufunc, nothing: float) -> F8:
    padded = np.full(size * _SHARE, nothing)
    of(values, nothing, out=padded[: len(values)])
    found: F8 = of.reduce(padded.reshape(size, _SHARE), axis=1)
    return found


@inlined
def _next_doubtful(column: int, t: int, end: int, floor: float, ceiling: float, bars: Bars, extremes: Extremes) -> int:
    """First bar from t on, before `end`, that is not quiet for one position; `end` where there is none."""
    # The block that holds t says of all its bars, so of those from t on, that they are quiet.
    level = 1 if extremes.starts.shape[0] > 1 else 0
    width = _SHARE if level == 1 else 1
    at = t // width
    while at * width < end:
        if level == 0:
            bar = bars.panel[np.uintp(column), at]
            hit = bar[LOW] <= floor or bar[HIGH] >= ceiling or bar[FUNDING] != 0.0
            if hit:
                return at
        else:
            block = extremes.blocks[np.uintp(column), extremes.starts[level] + at]
            hit = block[0] <= floor or block[1] >= ceiling
        if hit:
            at, level, width = at * _SHARE, level - 1, width // _SHARE
            at = max(at, t // width)
        else:
            at += 1
            if at % _SHARE == 0 and level + 1 < extremes.starts.shape[0]:
                at, level, width = at // _SHARE, level + 1, width * _SHARE
    return end


@inlined
def skip_quiet(count: int, t: int, calm: Calm, bars: Bars, work: Work, extremes: Extremes) -> int:
    """The first bar from t on that is not quiet, as `follow_quiet` finds it, without the equity in between."""
    end = max(t, calm.end)
    for p in range(count):
        end = _next_doubtful(work.state[p].column, t, end, work.state[p].floor, work.state[p].ceiling, bars, extremes)
    return end
