"""Examines one strategy: where its answers on changed futures differ, and what it must have read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress

import numpy as np

from backtest.base.errors import UsageError
from backtest.base.progress import Progress, silent
from backtest.base.units import TimeRange, format_ms
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_at_ms
from backtest.market.record import Market
from backtest.signals.asking import Answer, Asker, Later, Question
from backtest.signals.corruption import (
    CALENDAR_CORRUPTIONS,
    MARKET_CORRUPTIONS,
    PRICES,
    SOURCES,
    corrupt,
    corrupt_calendar,
    corrupt_panel,
    hidden_at,
    known_panels,
)
from backtest.signals.finding import HERE, Audit, Leak
from backtest.signals.strategy import Decision

TRUNCATION, SERIES = "truncation", "auxiliary series"
PANEL_DRAWS = 12
SERIES_DRAWS = 4
STATE_QUESTIONS = 3
TOGETHER = 6
"""Cuts whose questions one process answers; what differs there counts only if it differs in a process of its own."""
_EARLIEST_MS = -(2**62)


def examine(
    asker: Asker, market: Market, calendar: Calendar, *, cuts: int, seed: int, progress: Progress = silent
) -> Audit:
    """Audit the strategy of an asker; see `backtest.audit`."""
    name = asker.strategy.name
    true = Question(market, calendar)
    first = asker.ask(true)
    if first.error:
        raise UsageError(f"strategy {name!r} failed on the data as it is: {first.error}; mend it, then audit it")
    if _texts(asker.ask(true).rows) != _texts(first.rows):
        raise UsageError(f"strategy {name!r} decides otherwise when asked again: seed its draws, keep no state")
    trial = _Examination(asker, market, calendar, first.rows, seed)
    instants = _instants(first.rows, market, calendar, cuts)
    known = known_panels(market)
    steps = _QuestionsAsked(
        name, sum(len(trial.asked_at(cut)) for cut in instants) + STATE_QUESTIONS + len(known) + 1, progress
    )
    leak = None
    for done in range(0, len(instants), TOGETHER):
        leak = trial.leak_at(instants[done : done + TOGETHER], steps.one)
        if leak is not None:
            break
    keeps_state = trial.keeps_state(steps.one)
    if leak is None and keeps_state:
        raise trial.kept_state()
    reads, unread = trial.reads(steps.one, together=not keeps_state)
    series = () if asker.apart == HERE else (SERIES,)
    return Audit(
        strategy=name,
        decisions=len(first.rows),
        cuts_ms=instants,
        tested=sum(row.decided_at_ms in set(instants) for row in first.rows),
        reads=reads,
        unread=unread,
        unknown=tuple(name for name in market.panels if name not in known),
        hidden=tuple(one.id for one in calendar if any(one in hidden_at(calendar, cut) for cut in instants)),
        corruptions=(*MARKET_CORRUPTIONS, TRUNCATION, *(CALENDAR_CORRUPTIONS if len(calendar) else ()), *series),
        touched=asker.touched,
        apart=asker.apart,
        leak=leak,
    )


def _texts(rows: Sequence[Decision]) -> list[str]:
    return [repr(row) for row in rows]


def _instants(base: Sequence[Decision], market: Market, calendar: Calendar, most: int) -> tuple[int, ...]:
    """Instants inside the market: at decisions, just before catalysts are known, and evenly in between."""
    decided = sorted({row.decided_at_ms for row in base})
    known = sorted({at - 1 for one in calendar if (at := known_at_ms(one)) is not None})
    even = [int(moment) for moment in np.linspace(market.start_ms, market.end_ms, 9)[1:-1]]
    chosen = set(_thinned(even, market, max(most // 8, 1)))
    chosen |= set(_thinned(known, market, max(most // 4, 1)))
    return tuple(sorted(chosen | set(_thinned(decided, market, most - len(chosen)))))


def _thinned(moments: Sequence[int], market: Market, most: int) -> list[int]:
    """At most `most` of the moments that lie after the first close and before the end, evenly, first and last kept."""
    inside = [moment for moment in moments if market.start_ms + market.bar_ms <= moment < market.end_ms]
    if len(inside) <= most:
        return inside
    return [inside[int(place)] for place in np.unique(np.linspace(0, len(inside) - 1, most).round())]


def difference(base: Sequence[Decision], answer: Answer, until_ms: int) -> tuple[Decision, str] | None:
    """First decision up to an instant that differs, and how it changed."""
    before = [row for row in base if row.decided_at_ms <= until_ms]
    if answer.error:
        return (before[0], f"replaced by {answer.error!r}") if before else None
    after = [row for row in answer.rows if row.decided_at_ms <= until_ms]
    for one, other in zip(before, after, strict=False):
        if repr(one) != repr(other):
            if one.decided_at_ms == other.decided_at_ms and one.instrument == other.instrument:
                return one, "changed"
            return (one, "removed") if one.decided_at_ms <= other.decided_at_ms else (other, "created")
    if len(before) > len(after):
        return before[len(after)], "removed"
    return (after[len(before)], "created") if len(after) > len(before) else None


class _QuestionsAsked:
    """Questions that were answered, of those that an audit without a finding asks."""

    def __init__(self, name: str, total: int, progress: Progress) -> None:
        self._name, self._done, self._total, self._progress = name, 0, total, progress
        progress(name, 0, total)

    def one(self) -> None:
        """One more was answered; what is asked beyond the total leaves the last step open."""
        self._done = min(self._done + 1, self._total - 1)
        self._progress(self._name, self._done, self._total)


@dataclass(frozen=True, slots=True)
class _Examination:
    """One strategy, and what it decided on the true data."""

    asker: Asker
    market: Market
    calendar: Calendar
    base: tuple[Decision, ...]
    seed: int

    def _shows(self, market: Market, until_ms: int, calendar: Calendar | None = None) -> bool:
        return self._differs(Question(market, self.calendar if calendar is None else calendar), until_ms)

    def _differs(self, question: Question, until_ms: int) -> bool:
        return difference(self.base, self.asker.ask(question), until_ms) is not None

    def _showing(self, questions: Sequence[Later], until_ms: int, *, sure: bool = True) -> Iterator[bool]:
        """Whether decisions differ for each question: asked together, and what differs there again, alone.

        If `sure` and nothing differs together, each is asked alone: what a strategy keeps may hide what it reads.
        """
        answers = self.asker.ask_in_turn(questions)
        differing = [difference(self.base, answer, until_ms) is not None for answer in answers]
        alone = sure and not any(differing)
        for question, differs in zip(questions, differing, strict=True):
            yield (differs or alone) and self._differs(question(), until_ms)

    def _row(self, cut: int) -> int:
        """Row of the first bar that had not closed at an instant."""
        return min(max((cut - self.market.start_ms) // self.market.bar_ms, 0), len(self.market.index))

    def _until(self, kind: str, cut: int) -> int:
        """Last instant whose decisions must stay the same: at its very end a shorter market decides nothing."""
        return int(self.market.open_ms[self._row(cut) - 1]) + self.market.bar_ms - 1 if kind == TRUNCATION else cut

    def _kinds(self, cut: int) -> list[str]:
        """The corruptions applied after an instant, the shorter market first."""
        kinds = [TRUNCATION] if self._row(cut) > 0 else []
        kinds += [*MARKET_CORRUPTIONS, *(f"catalysts {one}" for one in CALENDAR_CORRUPTIONS if len(self.calendar))]
        return kinds

    def _question(self, kind: str, cut: int) -> Question:
        row = self._row(cut)
        if kind == TRUNCATION:
            return Question(self.market.between(TimeRange(None, self._until(kind, cut) + 1)), self.calendar)
        if kind in MARKET_CORRUPTIONS:
            return Question(corrupt(self.market, kind, slice(row, None), seed=self.seed), self.calendar)
        if kind == SERIES:
            return Question(self.market, self.calendar, cut)
        hidden = hidden_at(self.calendar, cut)
        return Question(self.market, corrupt_calendar(self.calendar, kind.removeprefix("catalysts "), hidden, cut))

    def asked_at(self, cut: int) -> list[str]:
        """What is changed after an instant, of market, calendar and auxiliary series."""
        return [*self._kinds(cut), *([] if self.asker.apart == HERE else [SERIES])]

    def leak_at(self, cuts: Sequence[int], heard: Callable[[], None]) -> Leak | None:
        """What differs when everything not known at each of some instants is changed.

        The shorter market is asked first, in a process that has seen no other: what the strategy fits once and keeps is
        then fitted without the future, and its decisions differ from those of a process that saw the whole.
        """
        asked = [(cut, kind) for cut in cuts for kind in self._kinds(cut)]
        if self.asker.apart != HERE:
            # A process cannot take back what it corrupted: the last cut, of the fewest readings, goes first.
            asked += [(cut, SERIES) for cut in sorted(cuts, reverse=True)]
        answers = self.asker.ask_in_turn([partial(self._question, kind, cut) for cut, kind in asked], heard=heard)
        differing = [
            (cut, kind)
            for (cut, kind), answer in zip(asked, answers, strict=True)
            if difference(self.base, answer, self._until(kind, cut)) is not None
        ]
        # A corruption tells more than a missing bar.
        for cut, kind in sorted(differing, key=lambda one: (one[0], one[1] == TRUNCATION)):
            answer = self.asker.ask_in_turn([partial(self._question, kind, cut)])[0]
            if (pair := difference(self.base, answer, self._until(kind, cut))) is not None:
                return self._leak(kind, self._row(cut), cut, pair, answer)
        if differing:
            raise self.kept_state()
        return None

    def _leak(self, kind: str, row: int, cut: int, pair: tuple[Decision, str], answer: Answer) -> Leak:
        if kind in MARKET_CORRUPTIONS:
            return Leak(*pair, cut, kind, *self._locate(kind, row, cut))
        if kind == TRUNCATION:
            last = self._last_bar_needed(row, int(self.market.open_ms[row - 1]) + self.market.bar_ms - 1)
            opened = int(self.market.open_ms[last])
            return Leak(*pair, cut, kind, f"the bar of {format_ms(opened)}", opened + self.market.bar_ms)
        if kind == SERIES:
            return Leak(*pair, cut, kind, "a reading of an auxiliary series", answer.series_at_ms)
        return Leak(*pair, cut, kind, *self._catalyst(kind.removeprefix("catalysts "), cut))

    def _catalyst(self, kind: str, cut: int) -> tuple[str, int | None]:
        """The catalyst that was read before it was known, and when it was."""
        hidden = hidden_at(self.calendar, cut)
        for one in hidden if kind != "added" else ():
            if self._shows(self.market, cut, corrupt_calendar(self.calendar, kind, (one,), cut)):
                return f"catalyst {one.id}", known_at_ms(one)
        later = min((at for one in hidden if (at := known_at_ms(one)) is not None), default=None)
        return "the catalysts of the calendar that were to come", later

    def _locate(self, kind: str, row: int, cut: int) -> tuple[str, int]:
        """What was read after the cut: panels, instrument and bar, and when that bar was known."""
        market, seed = self.market, self.seed

        def wrong(sources: Sequence[str], until: int, columns: slice = slice(None)) -> Question:
            return Question(corrupt(market, kind, slice(row, until), columns, sources, seed), self.calendar)

        bars = len(market.index)
        shown = self._showing([partial(wrong, (one,), bars) for one in SOURCES], cut)
        sources = list(compress(SOURCES, shown)) or list(SOURCES)
        low, high = row, bars
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._differs(wrong(sources, middle), cut) else (middle, high)
        last = high - 1
        slices = [slice(column, column + 1) for column in range(len(market.symbols))]
        shown = self._showing([partial(wrong, sources, high, one) for one in slices], cut)
        columns = [one.start for one in compress(slices, shown)]
        names = [one for one in sources if one != "prices"]
        if "prices" in sources:
            # One draw may leave a threshold uncrossed.
            def alone(panel: str, room: bool = False) -> bool:
                def drawn(one: int) -> Question:
                    changed = corrupt_panel(market, panel, slice(row, high), room=room, seed=one)
                    return Question(changed, self.calendar)

                draws = range(seed, seed + PANEL_DRAWS)
                return any(self._showing([partial(drawn, one) for one in draws], cut, sure=False))

            single = [one for one in ("high", "low") if alone(one)]
            single += [one for one in ("open", "close") if alone(one, room=not single)]
            names = (single or ["prices"]) + names
        where = ", ".join(market.symbols[column] for column in columns) or "several instruments"
        opened = int(market.open_ms[last])
        text = ", ".join(names).replace("_", " ")
        return f"{text} of {where} in the bar of {format_ms(opened)}", opened + market.bar_ms

    def _last_bar_needed(self, row: int, until: int) -> int:
        """Row of the bar whose corruption makes the decisions up to an instant differ."""
        low, high = row, len(self.market.index)
        while high - low > 1:
            middle = (low + high) // 2
            short = self.market.between(TimeRange(None, int(self.market.open_ms[middle])))
            low, high = (middle, high) if self._shows(short, until) else (low, middle)
        return low

    def keeps_state(self, heard: Callable[[], None]) -> bool:
        """Whether the strategy decides differently when asked again, or after other data."""
        other = Question(corrupt(self.market, "reversal", slice(0, None), seed=self.seed), self.calendar)
        true = Question(self.market, self.calendar)
        answers = self.asker.ask_in_turn([lambda: other, lambda: true, lambda: true], seed=self.seed, heard=heard)
        return any(self._matters(answer) for answer in answers[1:])

    def _matters(self, answer: Answer) -> bool:
        return bool(answer.error) or _texts(answer.rows) != _texts(self.base)

    def kept_state(self) -> UsageError:
        """The error of a strategy that does."""
        return UsageError(
            f"strategy {self.asker.strategy.name!r} decides otherwise when asked again, after it was asked on other "
            "data or with the shared random generators in another state: seed its draws, keep no state"
        )

    def reads(self, heard: Callable[[], None], *, together: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Inputs whose corruption from the first bar on changes any decision, and those where it changes none.

        A strategy that keeps nothing answers `together`, in one process, and again alone where a decision differs.
        """

        def matter(questions: Sequence[Later]) -> list[bool]:
            if not together:
                return [self._matters(self.asker.ask_in_turn([one], heard=heard)[0]) for one in questions]
            answers = self.asker.ask_in_turn(questions, heard=heard)
            return [
                self._matters(answer) and self._matters(self.asker.ask(question()))
                for answer, question in zip(answers, questions, strict=True)
            ]

        def wrong(panel: str) -> Question:
            return Question(corrupt_panel(self.market, panel, slice(0, None), seed=self.seed), self.calendar)

        panels = known_panels(self.market)
        questions: dict[str, Later] = {panel: partial(wrong, panel) for panel in panels}
        if len(self.calendar):
            questions["calendar"] = partial(Question, self.market, Calendar(self.calendar.name, ()))
        results = dict(zip(questions, matter(list(questions.values())), strict=True))
        noise = partial(corrupt, self.market, "noise", slice(0, None), sources=("prices",), seed=self.seed)
        if not any(results.get(panel) for panel in PRICES) and any(matter([lambda: Question(noise(), self.calendar)])):
            results["close"] = True
        draws = range(1, 1 + SERIES_DRAWS) if self.asker.apart != HERE else ()
        if any(matter([partial(Question, self.market, self.calendar, _EARLIEST_MS, seed) for seed in draws])):
            results[SERIES] = True
        return tuple(name for name, read in results.items() if read), tuple(
            name for name, read in results.items() if not read
        )
