"""Quiet bars skipped, not walked: lows and highs of blocks of bars tell where a position next may leave.

Where only the trades, exposure and net return of a replay are asked for, a quiet bar (`marking`) decides nothing:
equity is only marked there. The first bar that is not quiet is found from the least low and the greatest high
of blocks of 8, 64, 512, ... bars, in steps that grow with the logarithm of the bars between. Bars that pay funding and
are quiet otherwise lie side by side in a table of their own: each is charged as the walk charges it, in the same order,
and between two of them one low and one high are looked at. All that is read and paid is the walk's to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from backtest.engine.compiling import inlined, linked
from backtest.engine.exits import charge_funding
from backtest.engine.layout import F8, FUNDING, HIGH, I4, LOW, Bar, Bars, Positions, Rules, Work
from backtest.engine.marking import Calm, write_bounds
from backtest.engine.path import bar_in, decided_row

_SHARE = 8
"""Blocks of one level in a block of the next."""
_STRIDE = 64
"""Bars from one pointer into the settlements to the next."""


class Extremes(NamedTuple):
    """Lows and highs of blocks of bars, of which level l has blocks of 8**l bars; level 0 is the panel itself.

    blocks (N, M, 2): the least low and the greatest high of each block, level after level, inf and -inf where nothing
    trades. starts (L + 1,): first block of each level in axis 1; 0 for the panel.
    settled (N, S + 1): bars in which an instrument pays funding or its rate is unknown, T after the last. pointers
    (N, T // 64 + 1): the place in `settled` of the first at or after each 64th bar. paying (N, S, 8): these bars, as
    in the panel. between (N, S, 2): the least low and the greatest high after the settlement before, up to and with
    this one.
    """

    blocks: F8
    starts: npt.NDArray[np.int64]
    settled: I4
    pointers: I4
    paying: F8
    between: F8


NONE = Extremes(
    np.empty((0, 0, 2)),
    np.zeros(1, np.int64),
    np.empty((0, 0), np.int32),
    np.empty((0, 0), np.int32),
    np.empty((0, 0, 8)),
    np.empty((0, 0, 2)),
)
"""In the place of extremes where every bar is walked."""


def extremes_of(bars: Bars) -> Extremes:
    """Extremes of a panel: 2.4 bytes a cell, and 84 a settlement, beside the panel's 64."""
    coins, count = bars.panel.shape[:2]
    sizes = []
    while count >= _SHARE:
        count = -(-count // _SHARE)
        sizes.append(count)
    starts = np.cumsum([0, 0, *sizes], dtype=np.int64)
    blocks = np.empty((coins, int(starts[-1]), 2))
    for column in range(coins):
        low, high = bars.panel[column, :, LOW], bars.panel[column, :, HIGH]
        for start, size in zip(starts[1:].tolist(), sizes, strict=False):
            low, high = _of_blocks(low, size, np.fmin, np.inf), _of_blocks(high, size, np.fmax, -np.inf)
            blocks[column, start : start + size, 0], blocks[column, start : start + size, 1] = low, high
    return Extremes(blocks, starts[: len(sizes) + 1], *_settlements(bars))


def _of_blocks(values: F8, size: int, of: np.ufunc, nothing: float) -> F8:
    padded = np.full(size * _SHARE, nothing)
    of(values, nothing, out=padded[: len(values)])
    found: F8 = of.reduce(padded.reshape(size, _SHARE), axis=1)
    return found


def _settlements(bars: Bars) -> tuple[I4, I4, F8, F8]:
    """The last four fields of `Extremes`."""
    coins, count, width = bars.panel.shape
    found = [np.flatnonzero(bars.panel[column, :, FUNDING] != 0.0) for column in range(coins)]
    most = max((len(rows) for rows in found), default=0)
    settled = np.full((coins, most + 1), count, np.int32)
    pointers = np.zeros((coins, count // _STRIDE + 1), np.int32)
    paying, between = np.empty((coins, most, width)), np.empty((coins, most, 2))
    for column, rows in enumerate(found):
        if not len(rows):
            continue
        settled[column, : len(rows)] = rows
        pointers[column] = np.searchsorted(rows, np.arange(pointers.shape[1]) * _STRIDE)
        paying[column, : len(rows)] = bars.panel[column, rows]
        firsts, until = np.r_[0, rows[:-1] + 1], rows[-1] + 1
        low = np.fmin.reduceat(bars.panel[column, :until, LOW], firsts)
        between[column, : len(rows), 0] = np.fmin(low, np.inf)
        between[column, : len(rows), 1] = np.fmax(np.fmax.reduceat(bars.panel[column, :until, HIGH], firsts), -np.inf)
    return settled, pointers, paying, between


@inlined
def _next_settled(state: Positions, p: int, t: int, extremes: Extremes) -> int:
    """The first bar from t on in which a position settles, T for none; its place is kept in the state."""
    row, place = np.uintp(state[p].column), state[p].settlement
    if place < 0:
        place = int(extremes.pointers[row, np.uintp(t // _STRIDE)])
    while extremes.settled[row, np.uintp(place)] < t:
        place += 1
    state[p].settlement = place
    return int(extremes.settled[row, np.uintp(place)])


@inlined
def _next_doubtful(column: int, t: int, end: int, floor: float, ceiling: float, bars: Bars, extremes: Extremes) -> int:
    """First bar from t on, before `end`, whose prices may close a position; `end` where there is none."""
    # The block that holds t says of all its bars, so of those from t on, that they are quiet.
    level = 1 if extremes.starts.shape[0] > 1 else 0
    width = _SHARE if level == 1 else 1
    at = t // width
    while at * width < end:
        if level == 0:
            bar = bars.panel[np.uintp(column), at]
            hit = bar[LOW] <= floor or bar[HIGH] >= ceiling
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
def _passes(state: Positions, p: int, until: int, bars: Bars, extremes: Extremes) -> bool:
    """Whether a position settles in bar `until`, and all bars since the settlement before are quiet for it."""
    row, place = np.uintp(state[p].column), np.uintp(state[p].settlement)
    if extremes.settled[row, place] != until or until == bars.panel.shape[1]:
        return False
    between = extremes.between[row, place]
    return bool(between[0] > state[p].floor and between[1] < state[p].ceiling)


@inlined
def _bar(state: Positions, p: int, t: int, bars: Bars, extremes: Extremes) -> Bar:
    """`bar_of` a position, from the table of settlements where it settles in t."""
    row, place = np.uintp(state[p].column), np.uintp(state[p].settlement)
    if extremes.settled[row, place] == t:
        return bar_in(extremes.paying, state[p].column, state[p].settlement)
    return bar_in(bars.panel, state[p].column, t)


@inlined
def _quiet_until(count: int, t: int, end: int, bars: Bars, work: Work, extremes: Extremes) -> tuple[int, bool]:
    """First bar from t on, before `end`, that funding or prices do not leave quiet, and whether it is funding alone."""
    state, until = work.state, end
    for p in range(count):
        until = min(until, _next_settled(state, p, t, extremes))
    first = until
    for p in range(count):
        if not _passes(state, p, until, bars, extremes):
            first = _next_doubtful(state[p].column, t, first, state[p].floor, state[p].ceiling, bars, extremes)
    return first, first == until and until < end


@inlined
def _pays_only(count: int, t: int, bars: Bars, work: Work, extremes: Extremes) -> bool:
    """Whether nothing but funding can be due in bar t."""
    state = work.state
    for p in range(count):
        bar = _bar(state, p, t, bars, extremes)
        if bar.low <= state[p].floor or bar.high >= state[p].ceiling:
            return False
    return True


@linked
def _over_settlements(count: int, t: int, end: int, bars: Bars, rules: Rules, work: Work, extremes: Extremes) -> int:
    """`skip_quiet` from a bar on that pays funding."""
    state = work.state
    while _pays_only(count, t, bars, work, extremes):
        for p in range(count):
            charge_funding(state, p, t, _bar(state, p, t, bars, extremes), bars, rules, work)
            write_bounds(state, p)
            end = min(end, decided_row(state, p, t + 1, rules))
        t, pays = _quiet_until(count, t + 1, max(end, t + 1), bars, work, extremes)
        if not pays:
            break
    return t


@inlined
def skip_quiet(count: int, t: int, calm: Calm, bars: Bars, rules: Rules, work: Work, extremes: Extremes) -> int:
    """The first bar from t on in which more than funding may be due, without the equity in between."""
    if calm.end <= t:
        return t
    t, pays = _quiet_until(count, t, calm.end, bars, work, extremes)
    return _over_settlements(count, t, calm.end, bars, rules, work, extremes) if pays else t
