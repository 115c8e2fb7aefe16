"""Arithmetic of [start, end) spans of time in milliseconds UTC."""

from __future__ import annotations

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
    """Time that is in `spans` and not in `taken`."""
    holes = merged(taken)
    result: list[Span] = []
    for start, end in merged(spans):
        for hole_start, hole_end in holes:
            if hole_end <= start or hole_start >= end:
                continue
            if hole_start > start:
                result.append((start, hole_start))
            start = hole_end
        if start < end:
            result.append((start, end))
    return tuple(result)


def intersect(spans: Iterable[Span], others: Iterable[Span]) -> tuple[Span, ...]:
    """Time that is in both."""
    wanted = merged(spans)
    return subtract(wanted, subtract(wanted, others))


def runs(slots_ms: Int64s, marked: Flags, period_ms: int) -> tuple[Span, ...]:
    """Spans of the marked slots, each slot [slot, slot + period)."""
    edges = np.diff(np.concatenate(([False], marked, [False])).astype(np.int8))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return tuple((int(slots_ms[a]), int(slots_ms[b]) + period_ms) for a, b in zip(starts, ends, strict=True))


def total_ms(spans: Sequence[Span]) -> int:
    """Summed length."""
    return sum(end - start for start, end in spans)
