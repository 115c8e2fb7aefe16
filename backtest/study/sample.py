"""Which catalysts of a calendar enter a study, as which rows, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from backtest.base.errors import UsageError, near_miss
from backtest.base.units import DAY_MS
from backtest.catalysts.record import Calendar, Catalyst
from backtest.market.record import Market
from backtest.study.abnormal import Series, fit
from backtest.study.alignment import Exclusion, FitRow, Panel, announced_between, place
from backtest.study.models import Ints, Rejection, Windows
from backtest.study.settings import StudyConfig


@dataclass(frozen=True, slots=True)
class Rejected:
    """A catalyst, or one asset or span or measure of it, that was left out; empty text means all of them."""

    catalyst_id: str
    asset: str
    measure: str
    span: str
    reason: Exclusion | Rejection


@dataclass(frozen=True, slots=True)
class Event:
    """A catalyst as one row of the cross-section: all its usable legs in equal weights, or (`asset`) one leg."""

    catalyst: Catalyst
    asset: str
    row: FitRow
    whole: bool

    def counts(self, config: StudyConfig) -> bool:
        """Whether it counts in every mean: moves of the price itself do where they were asked for."""
        return not self.catalyst.endogenous or config.endogenous or self.catalyst.kind in config.kinds


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Timed catalysts near one, by id.

    `same_coin` and `other_coin` are announced inside its event window, `estimation` (of its own coins) inside its
    estimation window; `confounded` are those it is tied to.
    """

    same_coin: tuple[str, ...]
    other_coin: tuple[str, ...]
    estimation: tuple[str, ...]
    confounded: tuple[str, ...]


def chosen_catalysts(calendar: Calendar, config: StudyConfig) -> Calendar:
    """The catalysts that match the filters of the configuration.

    Raises
    ------
    UsageError
        Where a filter names what the calendar does not hold, or nothing matches all of them.
    """
    calendar.check_names(assets=config.assets, kinds=config.kinds, actors=config.actors)
    chosen = calendar.filter(assets=config.assets, kinds=config.kinds, actors=config.actors)
    if not len(chosen):
        raise UsageError(f"calendar {calendar.name!r} has no catalyst that matches every filter: drop one")
    return chosen


def benchmark_columns(market: Market, config: StudyConfig) -> tuple[int, ...]:
    """Columns of the benchmarks; a coin that the market does not hold raises `UsageError`."""
    columns = []
    for coin in config.benchmarks:
        column = market.column_of(coin)
        if column is None:
            held = {instrument.base for instrument in market.instruments}
            raise UsageError(
                f"benchmark {coin!r} is not in market {market.provenance.name!r}; {near_miss(coin, held)}; "
                "or choose model mean_adjusted"
            )
        columns.append(column)
    return tuple(columns)


def alone(
    catalysts: Iterable[Catalyst], calendar: Calendar, panel: Panel, windows: Windows
) -> tuple[list[Catalyst], list[Rejected]]:
    """Those whose event window holds no other catalyst of their coins in the whole calendar, and the others.

    What is announced on the same day of the same coins is the same observation and no other.
    """
    kept, rejected = [], []
    for one in catalysts:
        near = neighbours(one, calendar, panel, windows).same_coin if one.timed else ()
        others = [name for name in near if not _same_day(one, calendar[name])]
        if others:
            rejected.append(Rejected(one.id, "", "", "", Exclusion.OVERLAP))
        else:
            kept.append(one)
    return kept, rejected


def _same_day(one: Catalyst, other: Catalyst) -> bool:
    assert one.announced_at is not None
    assert other.announced_at is not None
    return set(one.assets) == set(other.assets) and one.announced_at.date() == other.announced_at.date()


def enter(
    catalysts: Iterable[Catalyst],
    market: Market,
    panel: Panel,
    source: Series,
    windows: Windows,
    minimum: int,
    cleaned: Calendar | None = None,
) -> tuple[tuple[Event, ...], tuple[Rejected, ...]]:
    """Events of the cross-section, legs of many-coin catalysts among them, and everything left out on the way.

    Where `cleaned` is given, the event windows of its catalysts of the same coin are left out of estimation windows.

    A catalyst about several coins is one event, the equal-weighted mean of the legs that a model can be fitted to:
    its legs share one cause, so they are not independent and do not count as several.
    """
    legs: list[Event] = []
    rejected: list[Rejected] = []
    for one in catalysts:
        aligned = place(one, (), panel)
        if aligned is None or not 0 <= aligned.onset < len(panel.close):
            why = Exclusion.UNTIMED if aligned is None else Exclusion.OUTSIDE_DATA
            rejected.append(Rejected(one.id, "", "", "", why))
            continue
        for asset in one.assets:
            column = market.column_of(asset)
            if column is None:
                rejected.append(Rejected(one.id, asset, "", "", Exclusion.NO_INSTRUMENT))
                continue
            unused = () if cleaned is None else _windows_of_others(one, asset, aligned, cleaned, panel, windows)
            row = FitRow((column,), aligned.onset, aligned.width, unused)
            if _unexplained(source, row):
                rejected.append(Rejected(one.id, asset, "return", "", Exclusion.NO_BENCHMARK))
            else:
                legs.append(Event(one, asset, row, whole=len(one.assets) == 1))
    reasons = fit(source, [leg.row for leg in legs], windows, minimum).reasons
    rejected += [
        Rejected(leg.catalyst.id, leg.asset, "return", "", reason)
        for leg, reason in zip(legs, reasons, strict=True)
        if reason is not None
    ]
    legs = [leg for leg, reason in zip(legs, reasons, strict=True) if reason is None]
    events, more = _baskets(legs, source, windows, minimum)
    return events, (*rejected, *more)


def _windows_of_others(
    one: Catalyst, asset: str, own: FitRow, calendar: Calendar, panel: Panel, windows: Windows
) -> tuple[tuple[int, int], ...]:
    """Event windows of other catalysts of a coin that reach into the estimation window, relative to `own`'s onset."""
    found = set()
    for other in calendar:
        row = place(other, (), panel) if other.id != one.id and asset in other.assets else None
        if row is not None:
            first = row.onset + windows.first - own.onset
            last = row.onset + row.width - 1 + windows.last - own.onset
            if first < windows.start + windows.estimation and last >= windows.start:
                found.add((first, last))
    return tuple(sorted(found))


def _unexplained(source: Series, row: FitRow) -> bool:
    return bool(source.benchmarks) and not source.benchmarks_of(row)


def _baskets(
    legs: Sequence[Event], source: Series, windows: Windows, minimum: int
) -> tuple[tuple[Event, ...], list[Rejected]]:
    """The legs, and after the legs of each many-coin catalyst their basket."""
    events: list[Event] = []
    rejected: list[Rejected] = []
    for identifier in dict.fromkeys(leg.catalyst.id for leg in legs):
        own = [leg for leg in legs if leg.catalyst.id == identifier]
        events += own
        if own[0].whole:
            continue
        unused = tuple(sorted({span for leg in own for span in leg.row.unused}))
        row = FitRow(tuple(leg.row.columns[0] for leg in own), own[0].row.onset, own[0].row.width, unused)
        reason: Exclusion | Rejection | None = Exclusion.NO_BENCHMARK
        if not _unexplained(source, row):
            reason = fit(source, [row], windows, minimum).reasons[0]
        if reason is None:
            events.append(Event(own[0].catalyst, "", row, whole=True))
        else:
            rejected.append(Rejected(identifier, "", "return", "", reason))
    return tuple(events), rejected


def neighbours(one: Catalyst, calendar: Calendar, panel: Panel, windows: Windows) -> Neighbours:
    """Catalysts of the whole calendar near `one`; an untimed `one` raises `UsageError`."""
    timed = [other for other in calendar if other.timed and other.id != one.id]
    rows = [row for row in (place(other, (), panel) for other in timed) if row is not None]
    own = place(one, (), panel)
    if own is None:
        raise UsageError(f"catalyst {one.id!r} is untimed, so nothing lies near it: leave it out")
    onset, coins = own.onset, set(one.assets)

    def announced(first: int, last: int, *, same: bool) -> tuple[str, ...]:
        near = [timed[k] for k in announced_between(rows, onset + first, onset + last)]
        return tuple(other.id for other in near if same != coins.isdisjoint(other.assets))

    last = own.width - 1 + windows.last
    return Neighbours(
        same_coin=announced(windows.first, last, same=True),
        other_coin=announced(windows.first, last, same=False),
        estimation=announced(windows.start, windows.start + windows.estimation - 1, same=True),
        confounded=calendar.confounded(one.id),
    )


def observations(events: Sequence[Event], panel: Panel) -> Ints:
    """(E,) place of the first event with the same coins on the same UTC day: they are one observation."""
    first: dict[tuple[tuple[int, ...], int], int] = {}
    day = [(panel.start_ms + event.row.onset * panel.bar_ms) // DAY_MS for event in events]
    return np.array(
        [first.setdefault((event.row.columns, day[k]), k) for k, event in enumerate(events)], dtype=np.int64
    )
