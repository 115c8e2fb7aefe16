"""Paging by evidence, against sources that are pure functions: never a false gap, never a silent hole."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.market.paging import Page, Pager, fetch_grid, fetch_settlements, grid_windows
from backtest.market.rows import Rows
from backtest.market.spans import Span, intersect, merged, runs, subtract, total_ms

HOUR, DAY = 3_600_000, 86_400_000
START = 1_759_276_800_000  # 2025-10-01 00:00 UTC
NOTHING = Rows(np.empty(0, np.int64), np.empty((0, 1)))


@dataclass
class Source:
    """Rows of times, cut and emptied at a rate; what was kept of them."""

    times: np.ndarray
    limit: int = 50
    rate: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    rows: Rows = NOTHING
    covered: tuple[Span, ...] = ()
    gaps: tuple[Span, ...] = ()
    asked: int = 0

    def ask(self, since: int, until: int) -> Page:
        self.asked += 1
        inside = self.times[(self.times >= since) & (self.times <= until)]
        full = inside.size >= self.limit
        inside = inside[-self.limit :]
        if self.chance.random() < self.rate:
            cut = self.chance.randrange(inside.size + 1)
            inside = self.chance.choice([inside[:0], inside[cut:], inside[:cut]])
        return Page(Rows(inside, inside[:, np.newaxis].astype(float)), NOTHING, full)

    def keep(self, rows: Rows, covered: object, gaps: object) -> None:
        self.rows = self.rows.joined(rows) if rows.time_ms.size else self.rows
        self.covered = merged([*self.covered, *covered])  # type: ignore[misc]
        self.gaps = merged([*self.gaps, *gaps])  # type: ignore[misc]

    @property
    def pager(self) -> Pager:
        return Pager(self.ask, self.keep, lambda turn: None, lambda amount: None)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.1, 0.25]),
    st.sets(st.integers(1, 398), max_size=12),
    st.integers(0, 16),
)
def test_a_grid_is_whole_or_what_is_missing_is_named(seed: int, rate: float, absent: set[int], hours: int) -> None:
    phase = hours * HOUR % (4 * HOUR)
    slots = START + phase + np.arange(400, dtype=np.int64) * 4 * HOUR
    there = np.array([slot for number, slot in enumerate(slots) if number not in absent])
    around = np.concatenate((slots[0] - np.arange(9, 0, -1) * 4 * HOUR, there, slots[-1] + np.arange(1, 9) * 4 * HOUR))
    source = Source(around, rate=rate, chance=random.Random(seed))
    span = (START, START + 400 * 4 * HOUR)
    missing = fetch_grid(source.pager, span, 4 * HOUR, 50, None)
    named = [slot for slot in there if any(a <= slot < b for a, b in missing)]
    assert sorted({*source.rows.time_ms.tolist(), *named}) == there.tolist()
    gaps = {slot for slot in slots.tolist() if any(a <= slot < b for a, b in source.gaps)}
    assert gaps.isdisjoint(there.tolist()), "a row that exists was taken for a gap"
    assert merged([*source.covered, *missing]) == (span,)
    assert intersect(source.covered, missing) == ()
    if rate == 0:
        assert missing == ()
        assert gaps == set(slots.tolist()) - set(there.tolist())


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32), st.sampled_from([0.0, 0.25]), st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=4)
)
def test_settlements_of_any_cadence_are_whole_or_named(seed: int, rate: float, cadences: list[int]) -> None:
    times, moment = [], START - 20 * DAY
    part = 60 * DAY // len(cadences)
    for number, hours in enumerate(cadences):
        end = START - 20 * DAY + (number + 1) * part
        while moment < end:
            moment = (moment // (hours * HOUR) + 1) * hours * HOUR
            times.append(moment)
    stamps = np.array(times)
    source = Source(stamps, limit=100, rate=rate, chance=random.Random(seed))
    span = (START, START + 30 * DAY)
    missing = fetch_settlements(source.pager, span, 100, open_end=False)
    there = stamps[(stamps >= span[0]) & (stamps < span[1])]
    assert there.size > 80
    named = [stamp for stamp in there.tolist() if any(a <= stamp < b for a, b in missing)]
    assert sorted({*source.rows.time_ms.tolist(), *named}) == there.tolist()
    if rate == 0:
        assert missing == ()
        assert source.gaps == ()


@pytest.mark.parametrize("absent", [range(321, 324), range(44, 48), range(30, 75), range(1, 120)])
def test_gaps_across_the_border_of_windows_are_believed(absent: range) -> None:
    slots = START + np.arange(-9, 409, dtype=np.int64) * HOUR
    source = Source(np.array([slot for slot in slots if (slot - START) // HOUR not in absent]))
    assert fetch_grid(source.pager, (START, START + 400 * HOUR), HOUR, 50, 0) == ()
    assert source.gaps == ((START + absent[0] * HOUR, START + (absent[-1] + 1) * HOUR),)


def test_a_missing_settlement_is_a_gap_after_several_answers() -> None:
    stamps = START + np.arange(-30, 90, dtype=np.int64) * 8 * HOUR
    source = Source(np.delete(stamps, 40), limit=100)
    assert fetch_settlements(source.pager, (START, START + 20 * DAY), 100, open_end=False) == ()
    assert len(source.gaps) == 1
    assert source.gaps[0][0] <= stamps[40] < source.gaps[0][1]
    assert source.asked >= 3


def test_after_the_last_settlement_nothing_is_covered_yet() -> None:
    stamps = START + np.arange(-30, 30, dtype=np.int64) * 8 * HOUR
    source = Source(stamps, limit=100)
    end = int(stamps[-1]) + 3 * HOUR
    assert fetch_settlements(source.pager, (START, end), 100, open_end=True) == ()
    assert source.covered == ((START, int(stamps[-1]) + 1),)
    late = Source(stamps, limit=100)
    end = int(stamps[-1]) + 9 * HOUR
    missing = fetch_settlements(late.pager, (START, end), 100, open_end=True)
    assert missing == ((int(stamps[-1]) + 8 * HOUR, end),)


def test_a_source_with_nothing_is_missing_as_a_whole() -> None:
    span = (START, START + 10 * DAY)
    for fetched in (
        fetch_grid(Source(np.empty(0, np.int64)).pager, span, HOUR, 50, 0),
        fetch_settlements(Source(np.empty(0, np.int64)).pager, span, 100, open_end=False),
    ):
        assert fetched == (span,)


def test_windows_leave_room_for_slack_and_miss_nothing() -> None:
    windows = grid_windows((START, START + 100 * HOUR), HOUR, 24)
    assert windows[0] == (START, START + 20 * HOUR)
    assert merged(windows) == ((START, START + 100 * HOUR),)
    assert all(end - start <= 20 * HOUR for start, end in windows)


@pytest.mark.parametrize(
    ("spans", "taken", "left"),
    [
        ([(0, 10)], [], ((0, 10),)),
        ([(0, 10)], [(0, 10)], ()),
        ([(0, 10)], [(3, 5)], ((0, 3), (5, 10))),
        ([(0, 10), (20, 30)], [(5, 25)], ((0, 5), (25, 30))),
        ([(0, 10)], [(-5, 2), (8, 99)], ((2, 8),)),
        ([(5, 5)], [], ()),
    ],
)
def test_subtracting_spans(spans: list[Span], taken: list[Span], left: tuple[Span, ...]) -> None:
    assert subtract(spans, taken) == left


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8),
)
def test_spans_are_sets_of_moments(first: list[Span], second: list[Span]) -> None:
    def moments(spans: object) -> set[int]:
        return {moment for start, end in spans for moment in range(start, end)}  # type: ignore[attr-defined]

    assert moments(merged([*first, *second])) == moments(first) | moments(second)
    assert moments(subtract(first, second)) == moments(first) - moments(second)
    assert moments(intersect(first, second)) == moments(first) & moments(second)
    assert total_ms(merged(first)) == len(moments(first))


def test_runs_of_marked_slots() -> None:
    slots = START + np.arange(6, dtype=np.int64) * HOUR
    marked = np.array([True, True, False, False, True, False])
    assert runs(slots, marked, HOUR) == ((START, START + 2 * HOUR), (START + 4 * HOUR, START + 5 * HOUR))
    assert runs(slots[:0], marked[:0], HOUR) == ()
