"""The look-ahead audit: cut and corrupt the future of market and calendar; what was decided before may not change.

At each of many instants everything that was not known yet is corrupted in several ways, and the strategy decides
anew. A decision at or before the instant that changes, vanishes or appears has read the future: the audit then
narrows the corruption until it can say what was read, and when that became known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_at_ms
from backtest.display import Shown, View
from backtest.errors import LookaheadError, UsageError, shortened
from backtest.market.record import Market
from backtest.progress import Progress, silent
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
from backtest.signals.strategy import Decision, Intent, Strategy
from backtest.units import UNIT_MS, TimeRange, format_ms

TRUNCATION = "truncation"
DEFAULT_CUTS = 60
MOST_CUTS = 100_000
PANEL_DRAWS = 12


@dataclass(frozen=True, slots=True)
class Leak:
    """A decision that depends on what was not known when it was made.

    Attributes
    ----------
    decision : Intent or Exit
        As it was on the true data, or as it appeared on the corrupted one where it had not been there.
    became : str
        What the corruption made of it: `changed`, `removed`, `created`, or replaced by the error that came instead.
    cut_ms : int
        Everything known at this instant was left as it was.
    corruption : str
        What was done to the rest.
    read : str
        The input: panels and instrument with the bar, or the catalyst.
    known_at_ms : int or None
        When that became known; None for an untimed catalyst, which never does.
    """

    decision: Decision
    became: str
    cut_ms: int
    corruption: str
    read: str
    known_at_ms: int | None

    @property
    def sentence(self) -> str:
        """The finding as one clause."""
        side = ("long" if self.decision.side == 1 else "short") if isinstance(self.decision, Intent) else "exit"
        when = "which has no day and is never known" if self.known_at_ms is None else (
            f"known at {format_ms(self.known_at_ms)}, "
            f"{(self.known_at_ms - self.decision.decided_at_ms) / UNIT_MS['h']:.4g} h after the decision"
        )  # fmt: skip
        return (
            f"the decision of {format_ms(self.decision.decided_at_ms)} ({side} {self.decision.instrument}) is "
            f"{self.became} when only what followed {format_ms(self.cut_ms)} is corrupted ({self.corruption}); "
            f"it read {self.read}, {when}"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Audit(Shown):
    """What the audit of one strategy found, and what it exercised.

    Attributes
    ----------
    strategy : str
    decisions : int
        Intents on the true data.
    cuts_ms : (C,) tuple of int
        Instants after which everything was corrupted.
    tested : int
        Decisions with a cut at the very instant they were made: nothing later could hide.
    reads : tuple of str
        Panels, and `calendar`, whose corruption as a whole changes any decision.
    unread : tuple of str
        Those that were corrupted too and changed none.
    unknown : tuple of str
        Panels of which nothing is known in this market: looking ahead in them could not show.
    hidden : tuple of str
        Ids of the catalysts that were hidden at some cut while not yet known.
    corruptions : tuple of str
        Kinds of corruption applied.
    leak : Leak or None
    """

    strategy: str
    decisions: int
    cuts_ms: tuple[int, ...]
    tested: int
    reads: tuple[str, ...]
    unread: tuple[str, ...]
    unknown: tuple[str, ...]
    hidden: tuple[str, ...]
    corruptions: tuple[str, ...]
    leak: Leak | None

    @property
    def verdict(self) -> str:
        """`look-ahead`, `clean`, or `not exercised` where there was no decision to test."""
        if self.leak is not None:
            return "look-ahead"
        return "clean" if self.tested else "not exercised"

    def _line(self) -> str:
        return f"{self.strategy}: {self.verdict}, {self.tested} of {self.decisions} decisions tested"

    def _view(self) -> View:
        said = {
            "reads": ", ".join(self.reads),
            "corrupted without effect": ", ".join(self.unread),
            "unknown in this market": ", ".join(self.unknown),
            "corruptions": ", ".join(self.corruptions),
            "instants": f"{len(self.cuts_ms)}",
            "catalysts hidden": f"{len(self.hidden)}",
        }
        rows = [(name, text or "none") for name, text in said.items()]
        return View(("", ""), rows, (self.leak.sentence,) if self.leak else ())

    def check(self) -> None:
        """Raise `LookaheadError` with the first offending decision where there is one."""
        if self.leak is not None:
            raise LookaheadError(
                f"strategy {self.strategy!r} looked ahead: {self.leak.sentence}; decide with bars that had closed and "
                "catalysts that were known"
            )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a strategy decided, or the error it ended with instead."""

    rows: tuple[Decision, ...] = ()
    error: str = ""


def audit(
    strategy: Strategy[Any],
    market: Market,
    calendar: Calendar,
    *,
    cuts: int = DEFAULT_CUTS,
    seed: int = 1,
    progress: Progress = silent,
) -> Audit:
    """Audit one strategy on one market and calendar.

    Parameters
    ----------
    cuts
        Most instants that are tried: those of the decisions, those just before a catalyst is known, and some between.
    seed
        Of the corruptions' noise.

    Raises
    ------
    UsageError
        For fewer than 3 cuts, or a strategy that decides otherwise when asked again on the same data.
    """
    if cuts < 3:
        raise UsageError(f"cuts = {cuts} is too few to audit anything: use 3 or more")
    if cuts > MOST_CUTS:
        raise UsageError(f"cuts = {shortened(cuts)} are more than {MOST_CUTS:,}: each one runs the strategy again")
    base = strategy.decide(market, calendar).decisions
    if _texts(strategy.decide(market, calendar).decisions) != _texts(base):
        raise UsageError(
            f"strategy {strategy.name!r} decides otherwise when asked again: seed its draws, keep no state"
        )
    instants = _instants(base, market, calendar, cuts)
    leak = None
    for done, cut in enumerate(instants):
        progress(strategy.name, done, len(instants))
        leak = _leak_at(cut, strategy, base, market, calendar, seed)
        if leak is not None:
            break
    reads, unread = _reads(strategy, base, market, calendar, seed)
    known = known_panels(market)
    return Audit(
        strategy=strategy.name,
        decisions=len(base),
        cuts_ms=instants,
        tested=sum(row.decided_at_ms in set(instants) for row in base),
        reads=reads,
        unread=unread,
        unknown=tuple(name for name in market.panels if name not in known),
        hidden=tuple(one.id for one in calendar if any(one in hidden_at(calendar, cut) for cut in instants)),
        corruptions=(*MARKET_CORRUPTIONS, TRUNCATION, *(CALENDAR_CORRUPTIONS if len(calendar) else ())),
        leak=leak,
    )


def _texts(rows: Sequence[Decision]) -> list[str]:
    return [repr(row) for row in rows]


def _decided(strategy: Strategy[Any], market: Market, calendar: Calendar) -> _Answer:
    """A strategy that fails on a changed future would have failed live: its error is an answer too."""
    try:
        return _Answer(strategy.decide(market, calendar).decisions)
    except Exception as error:
        return _Answer(error=f"{type(error).__name__}: {error}")


def _instants(base: Sequence[Decision], market: Market, calendar: Calendar, most: int) -> tuple[int, ...]:
    """Instants inside the market: of decisions, just before catalysts are known, and evenly between."""
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


def _difference(base: Sequence[Decision], answer: _Answer, until_ms: int) -> tuple[Decision, str] | None:
    """First decision up to an instant that is not the same, and what became of it."""
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


def _first_unknown(cut_ms: int, market: Market) -> int:
    """Row of the first bar that had not closed at an instant."""
    return min(max((cut_ms - market.start_ms) // market.bar_ms, 0), len(market.index))


def _leak_at(
    cut: int, strategy: Strategy[Any], base: Sequence[Decision], market: Market, calendar: Calendar, seed: int
) -> Leak | None:
    row = _first_unknown(cut, market)
    for kind in MARKET_CORRUPTIONS:
        wrong = corrupt(market, kind, slice(row, None), seed=seed)
        found = _difference(base, _decided(strategy, wrong, calendar), cut)
        if found is not None:
            read, known_at = _locate(kind, row, strategy, base, market, calendar, cut, seed)
            return Leak(*found, cut, kind, read, known_at)
    if row > 0:
        # A shorter market asks for nothing at its very end: only what was decided inside it must stay.
        end = int(market.open_ms[row - 1]) + market.bar_ms
        short = market.between(TimeRange(None, end))
        found = _difference(base, _decided(strategy, short, calendar), end - 1)
        if found is not None:
            last = _last_bar_needed(row, strategy, base, market, calendar, end - 1)
            read = f"the bar of {format_ms(int(market.open_ms[last]))}"
            return Leak(*found, cut, TRUNCATION, read, int(market.open_ms[last]) + market.bar_ms)
    hidden = hidden_at(calendar, cut)
    for kind in CALENDAR_CORRUPTIONS if len(calendar) else ():
        wrong_calendar = corrupt_calendar(calendar, kind, hidden, cut)
        found = _difference(base, _decided(strategy, market, wrong_calendar), cut)
        if found is not None:
            for one in hidden:
                alone = corrupt_calendar(calendar, kind, (one,), cut)
                if kind != "added" and _difference(base, _decided(strategy, market, alone), cut):
                    return Leak(*found, cut, f"catalysts {kind}", f"catalyst {one.id}", known_at_ms(one))
            later = min((at for one in hidden if (at := known_at_ms(one)) is not None), default=None)
            return Leak(*found, cut, f"catalysts {kind}", "the catalysts of the calendar that were to come", later)
    return None


def _locate(
    kind: str,
    row: int,
    strategy: Strategy[Any],
    base: Sequence[Decision],
    market: Market,
    calendar: Calendar,
    cut: int,
    seed: int,
) -> tuple[str, int]:
    """What was read after the cut: panels, instrument and bar, and when that bar was known."""

    def shows(wrong: Market) -> bool:
        return _difference(base, _decided(strategy, wrong, calendar), cut) is not None

    def sources_show(sources: Sequence[str], until: int, columns: slice = slice(None)) -> bool:
        return shows(corrupt(market, kind, slice(row, until), columns, sources, seed))

    bars = len(market.index)
    sources = [one for one in SOURCES if sources_show((one,), bars)] or list(SOURCES)
    low, high = row, bars
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if sources_show(sources, middle) else (middle, high)
    last = high - 1
    columns = [
        column for column in range(len(market.symbols)) if sources_show(sources, high, slice(column, column + 1))
    ]
    names = [one for one in sources if one != "prices"]
    if "prices" in sources:
        # One draw may leave a threshold uncrossed.
        def alone(panel: str, room: bool = False) -> bool:
            draws = range(seed, seed + PANEL_DRAWS)
            return any(shows(corrupt_panel(market, panel, slice(row, high), room=room, seed=one)) for one in draws)

        single = [one for one in ("high", "low") if alone(one)]
        single += [one for one in ("open", "close") if alone(one, room=not single)]
        names = (single or ["prices"]) + names
    where = ", ".join(market.symbols[column] for column in columns) or "several instruments"
    opened = int(market.open_ms[last])
    text = ", ".join(names).replace("_", " ")
    return f"{text} of {where} in the bar of {format_ms(opened)}", opened + market.bar_ms


def _last_bar_needed(
    row: int, strategy: Strategy[Any], base: Sequence[Decision], market: Market, calendar: Calendar, until: int
) -> int:
    """Row of a bar without which the decisions until an instant differ, and with which they do not."""
    low, high = row, len(market.index)
    while high - low > 1:
        middle = (low + high) // 2
        short = market.between(TimeRange(None, int(market.open_ms[middle])))
        same = _difference(base, _decided(strategy, short, calendar), until) is None
        low, high = (low, middle) if same else (middle, high)
    return low


def _reads(
    strategy: Strategy[Any], base: Sequence[Decision], market: Market, calendar: Calendar, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Inputs whose corruption from the first bar on changes any decision, and those where it changes none."""
    true = _texts(base)

    def matters(wrong: Market, catalysts: Calendar) -> bool:
        answer = _decided(strategy, wrong, catalysts)
        return bool(answer.error) or _texts(answer.rows) != true

    known = known_panels(market)
    results: dict[str, bool] = {
        panel: matters(corrupt_panel(market, panel, slice(0, None), seed=seed), calendar) for panel in known
    }
    if not any(results.get(panel) for panel in PRICES) and matters(
        corrupt(market, "noise", slice(0, None), sources=("prices",), seed=seed), calendar
    ):
        results["close"] = True
    if len(calendar):
        results["calendar"] = matters(market, Calendar(calendar.name, ()))
    return tuple(name for name, read in results.items() if read), tuple(
        name for name, read in results.items() if not read
    )
