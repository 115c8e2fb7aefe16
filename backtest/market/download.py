"""Downloads into the store: the missing parts of each series, requested by several threads, stored page by page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Protocol

from backtest.base.errors import MarketError, UsageError
from backtest.base.units import UNIT_MS, format_ms, timeframe_ms
from backtest.market.ccxt_source import Listed, Venue
from backtest.market.paging import Page, Pager, RefusedError, fetch_grid, fetch_settlements
from backtest.market.quality import SNAP_MS
from backtest.market.recipe import Recipe, StoredDataset
from backtest.market.record import Instrument
from backtest.market.rows import Key, Rows, SeriesName
from backtest.market.spans import Span, bridged, intersect, merged, subtract, total_ms
from backtest.market.store import Store
from backtest.market.transport import Patience, Stopped
from backtest.market.venue_instruments import keep_rules, rules_of, told_today
from backtest.market.venue_rules import RULES

WORKERS = 4
# How long a venue may take to publish the newest row.
PUBLISHED_MS = UNIT_MS["h"]
# How long after its listing the first row of a series may come.
LATE_START_MS = 7 * UNIT_MS["d"]
# Longest wait before a page that lacked rows is asked for again.
REST_MOST = 4.0


class SeriesProgress(Protocol):
    """Callback for the progress of each series, in milliseconds of time; called by several threads."""

    def begin(self, key: Key, total: int) -> None:
        """A series starts, with this much of it to fetch."""

    def advance(self, key: Key, amount: int, rows: int) -> None:
        """Another part of it is done, with this many rows."""


class Silent:
    """Progress that is not shown."""

    def begin(self, key: Key, total: int) -> None:
        """Say nothing."""

    def advance(self, key: Key, amount: int, rows: int) -> None:
        """Say nothing."""


@dataclass(slots=True)
class Fetched:
    """Result of one series: new rows, what the venue does not have, and what is still missing and why."""

    key: Key
    rows: int = 0
    differing: int = 0
    gaps: tuple[Span, ...] = ()
    missing: tuple[Span, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a download; `notes` are for the reader, in order."""

    series: tuple[Fetched, ...]
    notes: tuple[str, ...]

    def remarks(self) -> list[str]:
        """Gaps of the venue, rows that differ from the stored ones, then the notes."""
        lines = []
        for one in self.series:
            if one.gaps:
                spans = ", ".join(f"{format_ms(start)} to {format_ms(end)}" for start, end in one.gaps[:3])
                more = f" and {len(one.gaps) - 3} more" if len(one.gaps) > 3 else ""
                lines.append(f"{one.key}: the source has no rows from {spans}{more}")
            if one.differing:
                lines.append(f"{one.key}: {one.differing:,} rows differ from what is stored, which was kept")
        return [*lines, *self.notes]

    def complaint(self) -> str:
        """One sentence that names every missing range; empty where the download is complete."""
        parts = []
        for one in self.series:
            if one.missing or one.problem:
                spans = ", ".join(f"{format_ms(start)} to {format_ms(end)}" for start, end in one.missing[:5])
                more = f" and {len(one.missing) - 5} more" if len(one.missing) > 5 else ""
                parts.append(
                    f"{one.key}: missing {spans or 'nothing'}{more}" + (f" ({one.problem})" * bool(one.problem))
                )
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Task:
    """One series to bring up to date over [start, end).

    `open_end` if it ends about now, `oldest_ms` the earliest time that the venue serves, `newest_ms` the latest time
    of a final row, `step_ms` the period; `shortfall` describes the part that is older than the venue serves.
    """

    key: Key
    listed: Listed
    period: str
    start_ms: int
    end_ms: int
    open_end: bool
    oldest_ms: int
    newest_ms: int
    step_ms: int
    shortfall: str = ""

    @property
    def tolerance_ms(self) -> int:
        """How late the newest row may be published, milliseconds."""
        return max(2 * self.step_ms, PUBLISHED_MS)


def clock_ms() -> int:
    """Milliseconds UTC by the clock of this machine."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Downloader:
    """A recipe, the store it fills, and the way to stop it; `run` does everything.

    If `named`, the name of the recipe becomes a dataset of the store. A gap that was not requested often enough, over a
    long enough time, is requested again; with `again` every gap is. With `instruments` the rules of the venue, unless
    it gave them today already, are kept beside its bars. `say` is called before the first request with what the venue
    does not serve.
    """

    recipe: Recipe
    store: Store
    workers: int = WORKERS
    patience: Patience = field(default_factory=Patience)
    progress: SeriesProgress = field(default_factory=Silent)
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], int] = clock_ms
    named: bool = True
    again: bool = False
    insecure: bool = False
    instruments: bool = False
    say: Callable[[str], None] = lambda _: None

    def run(self) -> Report:
        """Fetch what the store does not have yet.

        Raises
        ------
        UsageError
            Before the first page is requested, if the venue does not list a symbol or cannot serve a series, or if
            others can change the data on the way and `insecure` is not set.
        MarketError
            If the venue does not answer or the store cannot be written.
        KeyboardInterrupt
            When interrupted; every page received is in the store.
        """
        choice = self.recipe.exchange
        venue = Venue(choice.id, choice.options, self.stop, self.patience, insecure=self.insecure)
        if venue.route.words:
            self.say(f"{choice.id}: {venue.route.words}")
        try:
            tasks, notes = self._plan(venue)
            fetched = self._fetch(venue, tasks)
            notes += self._rules(venue, tasks) if self.instruments else []
        except Stopped:
            raise KeyboardInterrupt from None
        if self.named:
            remember(self.store, self.recipe, tuple(dict.fromkeys(task.key.symbol for task in tasks)))
        return Report(tuple(fetched), tuple(notes))

    def _rules(self, venue: Venue, tasks: Sequence[Task]) -> list[str]:
        told, lacking = {}, dict[str, list[str]]()
        fresh = told_today(self.store.root, venue.identifier, self.clock())
        for symbol, listed in {task.key.symbol: task.listed for task in tasks}.items():
            if symbol not in fresh:
                told[symbol], note = rules_of(venue, listed, self.clock())
                lacking.setdefault(note, []).append(symbol)
        notes = [f"{note}: {', '.join(symbols)}" for note, symbols in lacking.items() if note]
        return [*notes, *(keep_rules(self.store.root, venue.identifier, told) if told else ())]

    def _plan(self, venue: Venue) -> tuple[list[Task], list[str]]:
        recipe = self.recipe
        notes: list[str] = []
        instruments = tuple(Instrument.parse(symbol) for symbol in recipe.symbols)
        start, end = recipe.span.start_ms or 0, recipe.span.end_ms
        # Said before the first request, from ccxt's description of the venue and this machine's clock.
        for series in recipe.series:
            for kind in {one.kind for one in instruments if series == "ohlcv" or one.kind == "swap"}:
                now = self.clock()
                _refuse(venue.refusal(series, kind, recipe.timeframe, now if end is None else end, now))
                if sentence := venue.shortfall(series, kind, recipe.timeframe, start, now):
                    self.say(f"{sentence}; the rest is fetched, what is older is reported as missing")
        venue.load(instruments)
        now = venue.now_ms()
        tasks = []
        for instrument in instruments:
            listed = venue.listed(instrument.symbol)
            if listed is None:
                sentence = (
                    f"{venue.identifier} does not list {instrument.symbol}: {venue.symbol_hint(instrument.symbol)}"
                )
                if recipe.unlisted == "error":
                    raise UsageError(sentence)
                notes.append(f"{sentence}; left out")
                continue
            if listed.created_ms is None:
                listed = replace(listed, created_ms=venue.first_bar_ms(listed, start, now))
            if end is not None and (listed.created_ms or 0) >= end:
                notes.append(
                    f"{instrument.symbol} was listed {format_ms(listed.created_ms or 0)}, after the end; left out"
                )
                continue
            for series in recipe.series:
                if series != "ohlcv" and instrument.kind == "spot":
                    continue
                task = task_of(venue, series, listed, recipe.timeframe, start, end, now)
                tasks.append(task if venue.identifier in RULES else _probed(venue, task))
        if not tasks:
            raise UsageError(nothing_of(recipe))
        return tasks, notes

    def _fetch(self, venue: Venue, tasks: Sequence[Task]) -> list[Fetched]:
        venues: SimpleQueue[Venue] = SimpleQueue()
        venues.put(venue)
        for _ in range(min(self.workers, len(tasks)) - 1):
            venues.put(venue.clone())

        def run(task: Task) -> Fetched:
            client = venues.get()
            try:
                return self._series(client, task)
            finally:
                venues.put(client)

        with ThreadPoolExecutor(self.workers, thread_name_prefix="fetch") as pool:
            return all_of([pool.submit(run, task) for task in tasks], pool, self.stop)

    def _series(self, venue: Venue, task: Task) -> Fetched:
        result = Fetched(task.key)
        todo = self.todo(venue, task)
        self.progress.begin(task.key, total_ms(todo))
        if not todo:
            self.store.compact(task.key)
            self._short(task, result)
            result.gaps = self._gaps(task)
            return result
        units = venue.units(task.key.series, task.listed)

        def ask(since_ms: int, until_ms: int) -> Page:
            since_ms, until_ms = max(since_ms, task.oldest_ms), min(until_ms, task.newest_ms)
            return venue.page(task.key.series, task.listed, task.period, since_ms, until_ms)

        def narrow(since_ms: int, until_ms: int) -> Page:
            since_ms, until_ms = max(since_ms, task.oldest_ms), min(until_ms, task.newest_ms)
            return venue.page(task.key.series, task.listed, task.period, since_ms, until_ms, narrow=True)

        def keep(rows: Rows, covered: Sequence[Span], gaps: Sequence[Span]) -> None:
            done = self.store.append(
                task.key, rows, source=venue.source, units=units, covered=covered, gaps=gaps, now_ms=self.clock()
            )
            result.rows += done.new
            result.differing += done.differing
            result.problem = "; ".join(filter(None, (result.problem, *done.set_aside)))

        def rest(turn: int) -> None:
            venue.gate.sleep(min(self.patience.seconds(turn), REST_MOST))

        def advance(amount: int) -> None:
            self.progress.advance(task.key, amount, result.rows)

        created = task.listed.created_ms
        pager = Pager(ask, keep, rest, advance, narrow, None if created is None else created + LATE_START_MS)
        named: list[Span] = []
        try:
            for span in todo:
                named += _fetch_span(pager, venue, task, span)
        except MarketError as problem:
            result.problem = str(problem)
        finally:
            self.store.compact(task.key)
        result.missing = intersect(self.store.missing(task.key, task.start_ms, task.end_ms), self._wanted(task))
        if task.open_end and not result.problem:
            late = (task.end_ms - task.tolerance_ms, task.end_ms)
            # After the last settlement nothing is covered yet; it is missing only if the cadence requires one.
            expected = intersect(result.missing, named) if task.key.series == "funding" else result.missing
            result.missing = subtract(expected, [late])
        self._short(task, result)
        result.gaps = self._gaps(task)
        return result

    def _short(self, task: Task, result: Fetched) -> None:
        """Why the time before the earliest that the venue serves is missing."""
        unserved = intersect(self._wanted(task), [(task.start_ms, task.oldest_ms)])
        old = intersect(self.store.missing(task.key, task.start_ms, task.end_ms), unserved)
        result.missing = merged([*result.missing, *old])
        if old and task.shortfall and not result.problem:
            result.problem = task.shortfall

    def todo(self, venue: Venue, task: Task) -> tuple[Span, ...]:
        """Uncovered time and gaps to be requested again, in as few windows as the page size allows."""
        span = task.start_ms, task.end_ms
        doubtful = self.store.doubtful(task.key, *span, old=self.again)
        reachable = intersect(doubtful, [(max(task.oldest_ms, task.start_ms), task.end_ms)])
        page_ms = venue.limit(task.key.series, task.listed.instrument) * task.step_ms
        never = intersect(self.store.missing(task.key, *span), [(task.oldest_ms, task.end_ms)])
        return intersect([*never, *bridged(reachable, page_ms)], self._wanted(task))

    def _wanted(self, task: Task) -> tuple[Span, ...]:
        """The part of a task that the recipe asks for: all of it, or the windows of its symbol."""
        return self.recipe.spans_of(task.listed.instrument.symbol) or ((task.start_ms, task.end_ms),)

    def _gaps(self, task: Task) -> tuple[Span, ...]:
        manifest = self.store.manifest(task.key)
        gaps = intersect(manifest.gap_spans if manifest else (), [(task.start_ms, task.end_ms)])
        return intersect(gaps, self._wanted(task))


def _fetch_span(pager: Pager, venue: Venue, task: Task, span: Span) -> tuple[Span, ...]:
    limit = venue.limit(task.key.series, task.listed.instrument)
    if task.key.series == "funding":
        return fetch_settlements(pager, span, limit, open_end=task.open_end and span[1] == task.end_ms)
    period_ms = timeframe_ms(task.period)
    # The start of weeks, and of days at some venues, is known only from the first page.
    phase_ms = 0 if task.key.series == "ohlcv" and period_ms <= UNIT_MS["h"] else None
    return fetch_grid(pager, span, period_ms, limit, phase_ms)


def task_of(
    venue: Venue, series: SeriesName, listed: Listed, timeframe: str, start_ms: int, end_ms: int | None, now_ms: int
) -> Task:
    """The task of one series, clipped to the time from the listing to the last closed bar."""
    kind, period = listed.instrument.kind, venue.period(series, timeframe)
    key = Key.of(venue.identifier, listed.instrument.symbol, series, period)
    step = UNIT_MS["h"] if series == "funding" else timeframe_ms(period)
    first = max(start_ms, (listed.created_ms or 0) // step * step)
    newest = now_ms if series == "funding" else now_ms - step
    last = now_ms if series == "funding" else now_ms // step * step
    # The settlement at the end, a little late perhaps, belongs to the last bar.
    end = end_ms if end_ms is None or series != "funding" else end_ms + SNAP_MS + 1
    open_end = end is None or end >= last
    until = last if open_end or end is None else end
    oldest = venue.oldest_ms(series, kind, period, now_ms)
    shortfall = venue.shortfall(series, kind, timeframe, first, now_ms)
    return Task(key, listed, period, first, until, open_end, oldest, newest, step, shortfall)


def _probed(venue: Venue, task: Task) -> Task:
    """The task, starting where a venue without rules starts to serve: does an old window return its own rows?"""
    if task.start_ms >= task.end_ms:
        return task
    until = min(task.start_ms + 8 * task.step_ms, task.newest_ms)
    try:
        page = venue.page(task.key.series, task.listed, task.period, task.start_ms, until)
    except RefusedError:
        return task
    if page.rows.time_ms.size or page.beyond_ms is None:
        return task
    sentence = f"{venue.identifier} answers an old window with newer rows, from {format_ms(page.beyond_ms)} on"
    return replace(task, oldest_ms=page.beyond_ms, shortfall=f"{sentence}: choose another venue for what is older")


def all_of(futures: Sequence[Future[Fetched]], pool: Executor, stop: threading.Event) -> list[Fetched]:
    """Results of all series, in order; the first failure or interrupt stops the others and is raised."""
    try:
        # A wait without a timeout would not let Ctrl-C through.
        while wait(futures, timeout=0.2, return_when=FIRST_EXCEPTION).not_done:
            if any(future.done() and future.exception() for future in futures):
                stop.set()
                break
    except KeyboardInterrupt:
        stop.set()
        pool.shutdown(cancel_futures=True)
        raise
    # The error that stopped the others says more than the fact that they were stopped.
    problems = [problem for future in futures if (problem := future.exception()) is not None]
    for problem in sorted(problems, key=lambda one: isinstance(one, Stopped)):
        raise problem
    return [future.result() for future in futures]


def nothing_of(recipe: Recipe) -> str:
    """Sentence about a recipe for which the venue has nothing."""
    what = f"{', '.join(recipe.series)} of {', '.join(recipe.symbols)}"
    return f"{recipe.exchange.id} has no {what} in that time: choose another venue or range"


def remember(store: Store, recipe: Recipe, symbols: tuple[str, ...]) -> None:
    """Make the name of the recipe a dataset of the store."""
    StoredDataset(
        name=recipe.name,
        venue=recipe.exchange.id,
        symbols=symbols,
        series=recipe.series,
        timeframe=recipe.timeframe,
        start_ms=recipe.span.start_ms or 0,
        end_ms=recipe.span.end_ms,
    ).write(store.root)


def _refuse(sentence: str) -> None:
    if sentence:
        raise UsageError(sentence)
