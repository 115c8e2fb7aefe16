"""Selects the catalysts that enter a study and their rows, with the reason for each one left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from backtest.base.errors import UsageError, near_miss
from backtest.base.units import DAY_MS
from backtest.catalysts.record import Calendar, Catalyst
from backtest.market.record import Market
from backtest.study.abnormal import Series
from backtest.study.alignment import Exclusion, FitRow, Panel, place
from backtest.study.models import Ints, Rejection, Windows
from backtest.study.observed import rejections
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


@dataclass(frozen=True, slots=True, eq=False)
class Dates:
    """Announcement periods of the timed catalysts of a calendar, in bars of a panel: `first` and `last`, each (n,).

    `places` is the row of each catalyst by its id.
    """

    catalysts: tuple[Catalyst, ...]
    first: Ints
    last: Ints
    places: dict[str, int]


def dates_of(calendar: Calendar, panel: Panel) -> Dates:
    """When each timed catalyst was announced, computed once for all neighbour searches."""
    placed = [(one, row) for one in calendar if (row := place(one, (), panel)) is not None]
    first = np.array([row.onset for _, row in placed], dtype=np.int64)
    width = np.array([row.width for _, row in placed], dtype=np.int64)
    places = {one.id: k for k, (one, _) in enumerate(placed)}
    return Dates(tuple(one for one, _ in placed), first, first + width - 1, places)


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
    kept, rejected, dates = [], [], dates_of(calendar, panel)
    for one in catalysts:
        near = neighbours(one, calendar, dates, windows).same_coin if one.timed else ()
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
    dates = None if cleaned is None else dates_of(cleaned, panel)
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
            unused = () if dates is None else _windows_of_others(one, asset, aligned, dates, windows)
            row = FitRow((column,), aligned.onset, aligned.width, unused)
            if _unexplained(source, row):
                rejected.append(Rejected(one.id, asset, "return", "", Exclusion.NO_BENCHMARK))
            else:
                legs.append(Event(one, asset, row, whole=len(one.assets) == 1))
    reasons = rejections(source, [leg.row for leg in legs], windows, minimum)
    rejected += [
        Rejected(leg.catalyst.id, leg.asset, "return", "", reason)
        for leg, reason in zip(legs, reasons, strict=True)
        if reason is not None
    ]
    legs = [leg for leg, reason in zip(legs, reasons, strict=True) if reason is None]
    events, more = _baskets(legs, source, windows, minimum)
    return events, (*rejected, *more)


def _windows_of_others(
    one: Catalyst, asset: str, own: FitRow, dates: Dates, windows: Windows
) -> tuple[tuple[int, int], ...]:
    """Event windows of other catalysts of a coin that reach into the estimation window, relative to `own`'s onset."""
    first, last = dates.first + windows.first - own.onset, dates.last + windows.last - own.onset
    near = np.flatnonzero((first < windows.start + windows.estimation) & (last >= windows.start)).tolist()
    others = (k for k in near if dates.catalysts[k].id != one.id and asset in dates.catalysts[k].assets)
    return tuple(sorted({(int(first[k]), int(last[k])) for k in others}))


def _unexplained(source: Series, row: FitRow) -> bool:
    return bool(source.benchmarks) and not source.benchmarks_of(row)


def _baskets(
    legs: Sequence[Event], source: Series, windows: Windows, minimum: int
) -> tuple[tuple[Event, ...], list[Rejected]]:
    """The legs, and after the legs of each many-coin catalyst their basket."""
    events: list[Event] = []
    rejected: list[Rejected] = []
    legs_of: dict[str, list[Event]] = {}
    for leg in legs:
        legs_of.setdefault(leg.catalyst.id, []).append(leg)
    for identifier, own in legs_of.items():
        events += own
        if own[0].whole:
            continue
        unused = tuple(sorted({span for leg in own for span in leg.row.unused}))
        row = FitRow(tuple(leg.row.columns[0] for leg in own), own[0].row.onset, own[0].row.width, unused)
        reason: Exclusion | Rejection | None = Exclusion.NO_BENCHMARK
        if not _unexplained(source, row):
            (reason,) = rejections(source, [row], windows, minimum)
        if reason is None:
            events.append(Event(own[0].catalyst, "", row, whole=True))
        else:
            rejected.append(Rejected(identifier, "", "return", "", reason))
    return tuple(events), rejected


def neighbours(one: Catalyst, calendar: Calendar, dates: Dates, windows: Windows) -> Neighbours:
    """Catalysts of the whole calendar, whose `dates` are given, near `one`; an untimed `one` raises `UsageError`."""
    own = dates.places.get(one.id)
    if own is None:
        raise UsageError(f"catalyst {one.id!r} is untimed, so nothing lies near it: leave it out")
    onset, coins = int(dates.first[own]), set(one.assets)

    def announced(first: int, last: int, *, same: bool) -> tuple[str, ...]:
        near = np.flatnonzero((dates.first <= onset + last) & (dates.last >= onset + first)).tolist()
        others = (dates.catalysts[k] for k in near if k != own)
        return tuple(other.id for other in others if same != coins.isdisjoint(other.assets))

    last = int(dates.last[own]) - onset + windows.last
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
