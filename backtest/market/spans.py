"""Arithmetic of [start, end) spans of time in milliseconds UTC."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import numpy as np

from backtest.market.quality import Int64s
from backtest.market.record import Flags

Span = tuple[int, int]


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same time as disjoint spans in order; spans that touch become one, empty ones vanish."""
    result: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)


def subtract(spans: Iterable[Span], taken: Iterable[Span]) -> tuple[Span, ...]:
    """Time that is in `spans` but not in `taken`."""
    holes = merged(taken)
    result: list[Span] = []
    passed = 0
    for start, end in merged(spans):
        while passed < len(holes) and holes[passed][1] <= start:
            passed += 1
        place = passed
        while place < len(holes) and holes[place][0] < end:
            if holes[place][0] > start:
                result.append((start, holes[place][0]))
            start = holes[place][1]
            place += 1
        if start < end:
            result.append((start, end))
    return tuple(result)


def overlapping(ordered: Sequence[Span], span: Span) -> Sequence[Span]:
    """Those of the disjoint, ordered spans that overlap a given span."""
    first = bisect_right(ordered, span[0], key=lambda one: one[1])
    return ordered[first : bisect_left(ordered, span[1], key=lambda one: one[0])]


def bridged(spans: Iterable[Span], widest_ms: int) -> tuple[Span, ...]:
    """Spans in order; neighbours are merged, with the time between them, up to a width of `widest_ms`."""
    result: list[Span] = []
    for start, end in merged(spans):
        if result and end - result[-1][0] <= widest_ms:
            result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return tuple(result)


def intersect(spans: Iterable[Span], others: Iterable[Span]) -> tuple[Span, ...]:
    """Time that is in both sets of spans."""
    wanted = merged(spans)
    return subtract(wanted, subtract(wanted, others))


def runs(slots_ms: Int64s, marked: Flags, period_ms: int) -> tuple[Span, ...]:
    """Spans of the marked slots, each slot [slot, slot + period)."""
    edges = np.diff(np.concatenate(([False], marked, [False])).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return tuple((int(slots_ms[a]), int(slots_ms[b]) + period_ms) for a, b in zip(starts, ends, strict=True))


def slots(times_ms: Int64s, period_ms: int) -> tuple[Span, ...]:
    """Spans of the slots [time, time + period) of ordered times; touching ones are merged."""
    if times_ms.size == 0:
        return ()
    breaks = np.flatnonzero(np.diff(times_ms) > period_ms)
    starts = times_ms[np.concatenate(([0], breaks + 1))]
    ends = times_ms[np.concatenate((breaks, [times_ms.size - 1]))] + period_ms
    return tuple(zip(starts.tolist(), ends.tolist(), strict=True))


def total_ms(spans: Sequence[Span]) -> int:
    """Summed length."""
    return sum(end - start for start, end in spans)
