"""Complete series from pages that may be empty, short, doubled or out of order: windows, evidence, repeated requests.

A window is requested with a few rows of slack on both sides, so that a page that lost its head or tail is noticed.
Absent rows are requested again. They count as absent at the source, a *gap*, only after several answers with rows on
both sides. At the first row of a venue, which has nothing before it, more answers are needed, none with rows outside of
the request (some venues return their newest rows whatever is requested), and one at another limit that begins with the
same row. An empty page is not evidence. What is neither present nor accepted as absent is *missing*, and reported. A
window that the venue refuses (too far back) does not end the download: the first window that it serves is searched for,
and everything before it is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from backtest.base.errors import MarketError
from backtest.base.units import DAY_MS
from backtest.market.align import LONGEST_CADENCE_MS, funding_coverage
from backtest.market.quality import Int64s, once_in_order, snap
from backtest.market.record import Flags
from backtest.market.rows import Rows
from backtest.market.spans import Span, intersect, merged, runs, subtract

SLACK = 2
ROUNDS = 10
EMPTY_MOST = 5
BETWEEN = 3
BESIDE = 5
NO_ROWS = Rows(np.empty(0, np.int64), np.empty((0, 0)))


class RefusedError(MarketError):
    """The venue answered that it will not serve this request, however often it is repeated."""


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """One answer of a venue: its complete `rows`, `spare` ones that lack a value, and whether it was cut at the limit.

    `beyond_ms` is the time of the first row after the request, None if there is none.
    """

    rows: Rows
    spare: Rows
    full: bool = False
    beyond_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Pager:
    """How a source is asked and its rows are stored.

    `ask(since, until)` requests the rows from `since` to `until`, both included; `keep(rows, covered, gaps)` stores
    rows with the spans they cover and the gaps among these; `rest(turn)` waits before the turn-th repetition;
    `progress(ms)` is called with the time that a window completed. `narrow(since, until)` asks with a smaller limit;
    without it no such answer is needed. `begins_ms` is the latest time at which the series can begin, None if unknown:
    if rows begin later, the venue withholds older ones, and their absence proves nothing.
    """

    ask: Callable[[int, int], Page]
    keep: Callable[[Rows, Sequence[Span], Sequence[Span]], None]
    rest: Callable[[int], None]
    progress: Callable[[int], None]
    narrow: Callable[[int, int], Page] | None = None
    begins_ms: int | None = None

    def may_begin(self, page: Page) -> bool:
        """Whether the first row of an answer can be the first that there ever was."""
        if page.beyond_ms is not None or page.rows.time_ms.size == 0:
            return False
        return self.begins_ms is None or int(page.rows.time_ms[0]) <= self.begins_ms


@dataclass(slots=True, eq=False)
class _Evidence:
    """Knowledge of the slots of one window: which are present, and how often each was seen to be absent."""

    slots: Int64s
    present: Flags = field(init=False)
    between: Int64s = field(init=False)
    beside: Int64s = field(init=False)

    def __post_init__(self) -> None:
        self.present = np.zeros(self.slots.size, dtype=np.bool_)
        self.between = np.zeros(self.slots.size, dtype=np.int64)
        self.beside = np.zeros(self.slots.size, dtype=np.int64)

    def add(self, times: Int64s, asked: Span, *, first: bool) -> None:
        """Learn from one answer; `first` if no rows need to precede the window, so that it may be the start."""
        if times.size == 0:
            return
        self.present |= np.isin(self.slots, times)
        within = ~self.present & (self.slots >= asked[0]) & (self.slots <= asked[1])
        self.between += within & (self.slots > times[0]) & (self.slots < times[-1])
        if first:
            self.beside += within & (self.slots < times[0])

    @property
    def absent(self) -> Flags:
        return ~self.present & ((self.between >= BETWEEN) | (self.beside >= BESIDE))

    @property
    def open(self) -> Flags:
        return ~self.present & ~self.absent


def grid_windows(span: Span, period_ms: int, limit: int) -> list[Span]:
    """Spans of at most `limit` rows, slack included, that together cover `span`."""
    step = max(limit - 2 * SLACK, 1) * period_ms
    return [(start, min(start + step, span[1])) for start in range(span[0], span[1], step)]


def fetch_grid(pager: Pager, span: Span, period_ms: int, limit: int, phase_ms: int | None) -> tuple[Span, ...]:
    """Fetch a series of one row per period over [start, end); returns what is missing.

    `phase_ms` is the offset of its rows within the period, None if it is to be read from the first page.
    """
    missing: list[Span] = []
    served = span[0]
    for window in grid_windows(span, period_ms, limit):
        if window[1] <= served:
            continue
        first = window[0] == span[0]
        try:
            phase_ms, left = _fetch_grid_window(pager, window, period_ms, limit, phase_ms, first=first)
        except RefusedError as refusal:
            if served > span[0]:
                raise
            served = _first_served(pager, span, period_ms, limit, refusal)
            missing.append((span[0], served))
            part = (max(served, window[0]), window[1])
            left = ()
            if part[0] < part[1]:
                phase_ms, left = _fetch_grid_window(pager, part, period_ms, limit, phase_ms, first=False)
        missing += left
        pager.progress(window[1] - window[0])
    still: list[Span] = []
    for run in merged(missing):
        first = run[0] == span[0]
        if first and served > span[0]:
            still.append(run)
            continue
        if run[1] - run[0] <= max(limit - 2 * SLACK, 1) * period_ms:
            still += _fetch_grid_window(pager, run, period_ms, limit, phase_ms, first=first)[1]
        else:
            still += _confirm_wide(pager, run, period_ms, limit, phase_ms or 0, first=first)
    return merged(still)


def _slots(window: Span, period_ms: int, phase_ms: int) -> Int64s:
    start = window[0] + (phase_ms - window[0]) % period_ms
    return np.arange(start, window[1], period_ms, dtype=np.int64)


def _on_grid(rows: Rows, period_ms: int, phase_ms: int) -> Rows:
    kept = rows.time_ms % period_ms == phase_ms
    return rows if kept.all() else Rows(rows.time_ms[kept], rows.values[kept])


def _fetch_grid_window(
    pager: Pager, window: Span, period_ms: int, limit: int, phase_ms: int | None, *, first: bool
) -> tuple[int | None, tuple[Span, ...]]:
    evidence = _Evidence(_slots(window, period_ms, phase_ms or 0))
    if evidence.slots.size == 0:
        pager.keep(NO_ROWS, [window], ())
        return phase_ms, ()
    found: Rows | None = None
    spare: Rows | None = None
    empty = 0
    for turn in range(ROUNDS):
        asked = evidence.slots[evidence.open]
        if asked.size == 0 or empty == EMPTY_MOST:
            break
        if turn:
            pager.rest(turn)
        # The other side of a gap at the end of a window is further away than a few rows.
        room = (limit - int(asked[-1] - asked[0]) // period_ms - 1) // 2
        slack_ms = max(min(SLACK << turn, room), SLACK) * period_ms
        reach = (int(asked[0]) - slack_ms, int(asked[-1]) + slack_ms)
        page = pager.ask(*reach)
        if phase_ms is None and page.rows.time_ms.size:
            phase_ms = Counter((page.rows.time_ms % period_ms).tolist()).most_common(1)[0][0]
            evidence = _Evidence(_slots(window, period_ms, phase_ms))
        rows = _on_grid(page.rows, period_ms, phase_ms or 0)
        empty = 0 if rows.time_ms.size else empty + 1
        evidence.add(rows.time_ms, reach, first=first and pager.may_begin(page))
        found = rows if found is None else found.joined(rows)
        spare = page.spare if spare is None else spare.joined(page.spare)
    if found is None or spare is None:
        return phase_ms, (window,)
    if first and not _starts_with(pager, found, window, period_ms, evidence):
        evidence.beside[:] = 0
    gaps = runs(evidence.slots, evidence.absent, period_ms)
    # A row that lacks a value at every request is stored as the venue has it.
    lacking = evidence.slots[evidence.absent & np.isin(evidence.slots, spare.time_ms)]
    if lacking.size:
        picked = np.isin(spare.time_ms, lacking)
        found = found.joined(Rows(spare.time_ms[picked], spare.values[picked]))
        gaps = subtract(gaps, [(int(slot), int(slot) + period_ms) for slot in lacking])
    left = runs(evidence.slots, evidence.open, period_ms)
    if left and left[0][0] <= evidence.slots[0]:
        left = ((window[0], left[0][1]), *left[1:])
    left = tuple((start, min(end, window[1])) for start, end in left)
    pager.keep(found.between(*window), subtract([window], left), gaps)
    return phase_ms, left


def _starts_with(pager: Pager, found: Rows, window: Span, period_ms: int, evidence: _Evidence) -> bool:
    """Whether an answer at another limit begins with the same row, if the start of a window depends on that only."""
    rests = evidence.absent & (evidence.between < BETWEEN)
    if pager.narrow is None or not rests.any():
        return True
    start = int(found.time_ms[0])
    page = pager.narrow(max(window[0], start - 8 * period_ms), start + 8 * period_ms)
    return page.beyond_ms is None and page.rows.time_ms.size > 0 and int(page.rows.time_ms[0]) == start


def _first_served(pager: Pager, span: Span, period_ms: int, limit: int, refusal: RefusedError) -> int:
    """Earliest start of a window, to a period, that the venue does not refuse; raises the refusal if there is none."""
    low, high = span[0], span[1]
    page_ms = max(limit - 2 * SLACK, 1) * period_ms
    while high - low > period_ms:
        middle = low + (high - low) // period_ms // 2 * period_ms
        try:
            pager.ask(middle, min(middle + page_ms, span[1]) - 1)
            high = middle
        except RefusedError:
            low = middle
    if high == span[1]:
        raise refusal
    # The slack of the window must be served too.
    return min(high + SLACK * period_ms, span[1])


def _confirm_wide(
    pager: Pager, run: Span, period_ms: int, limit: int, phase_ms: int, *, first: bool
) -> tuple[Span, ...]:
    """The part of an empty run that stays missing once the rows at both of its edges are checked.

    A gap wider than a page has no answer with rows on both sides: each of its windows was empty each time, so each edge
    is requested several times from outside. At the end of the data there is no edge to check.
    """
    reach = max(limit - SLACK - 2, 2) * period_ms
    sides = [] if first else [(run[0] - SLACK * period_ms, min(run[0] + reach, run[1]) - 1)]
    sides.append((max(run[1] - reach, run[0]), run[1] + SLACK * period_ms))
    for since, until in sides:
        seen = 0
        for turn in range(2 * BESIDE):
            if turn:
                pager.rest(min(turn, 2))
            page = pager.ask(since, until)
            rows = _on_grid(page.rows, period_ms, phase_ms)
            inside = rows.between(*run)
            if inside.time_ms.size:
                settled = merged((int(slot), int(slot) + period_ms) for slot in inside.time_ms)
                pager.keep(inside, settled, ())
                return subtract([run], settled)
            seen += bool(rows.time_ms.size) and (not first or pager.may_begin(page))
            if seen == BESIDE:
                break
        else:
            return (run,)
    pager.keep(NO_ROWS, [run], [run])
    return ()


def fetch_settlements(pager: Pager, span: Span, limit: int, *, open_end: bool) -> tuple[Span, ...]:
    """Fetch funding settlements, whose cadence is not fixed, over [start, end); returns what is missing.

    A window is requested with a day of slack, and halved if its page is cut at the limit. It is complete if no step
    between two settlements is longer than the cadence around it (`funding_coverage`). With `open_end`, if the span ends
    about now, only the time up to the last settlement counts as covered.
    """
    missing: list[Span] = []
    widest = max(limit - 2, 1) * LONGEST_CADENCE_MS
    start, step = span[0], widest
    while start < span[1]:
        window = (start, min(start + step, span[1]))
        at_end = open_end and window[1] == span[1]
        left = _fetch_settlement_window(pager, window, first=start == span[0], open_end=at_end)
        if left is None:
            step = widest = max(step // 2, LONGEST_CADENCE_MS)
            continue
        missing += left
        pager.progress(window[1] - window[0])
        start, step = window[1], min(step * 2, widest)
    return merged(missing)


def _fetch_settlement_window(pager: Pager, window: Span, *, first: bool, open_end: bool) -> tuple[Span, ...] | None:
    found: Rows | None = None
    spare: Rows | None = None
    between: Counter[Span] = Counter()
    beside: Counter[Span] = Counter()
    open_holes: tuple[Span, ...] = (window,)
    for turn in range(ROUNDS):
        if turn:
            pager.rest(turn)
        page = pager.ask(window[0] - DAY_MS, window[1] + DAY_MS)
        if page.full and window[1] - window[0] > LONGEST_CADENCE_MS:
            return None
        found = page.rows if found is None else found.joined(page.rows)
        spare = page.spare if spare is None else spare.joined(page.spare)
        times = page.rows.time_ms
        for hole in _settlement_holes(page.rows, window) if times.size else ():
            between[hole] += bool(times[0] <= hole[0] and times[-1] >= hole[1])
            beside[hole] += bool(first and pager.may_begin(page) and hole[0] == window[0] and times[-1] >= hole[1])
        holes = _settlement_holes(found, window)
        open_holes = tuple(hole for hole in holes if between[hole] < BETWEEN and beside[hole] < BESIDE)
        if not open_holes:
            break
    if found is None or spare is None:
        return open_holes
    # A settlement whose rate is null at every request is stored with an unknown rate.
    found = found.joined(spare)
    inside = found.between(*window)
    holes = _settlement_holes(found, window)
    missing = intersect(holes, open_holes)
    covered = subtract([window], missing)
    if open_end:
        covered = intersect(covered, [(window[0], int(inside.time_ms[-1]) + 1 if inside.time_ms.size else window[0])])
    pager.keep(inside, covered, subtract(holes, missing))
    return missing


def _settlement_holes(rows: Rows, window: Span) -> tuple[Span, ...]:
    """Parts of a window in which a settlement may be missing from the rows."""
    coverage = funding_coverage(once_in_order(snap(rows.time_ms)))
    known = zip((coverage.after_ms + 1).tolist(), (coverage.until_ms + 1).tolist(), strict=True)
    return subtract([window], known)
