"""Calendars that never happened: how intents are moved by chance, and what each way of moving keeps and breaks.

All intents of one catalyst move together, and so do the legs of a group: together they are a *unit*. Random numbers
belong to the unit's name and the draw's number, so that strategies which trade the same catalyst see it moved alike.

shift
    Every intent moves by the same number of bars around the circle of the data. Keeps the spacing and clustering of
    catalysts, their coins, and every dependence inside the prices. Breaks their tie to the prices, to the hour of the
    day and to regimes; a trade that would run over the end of the data is cut there. Where the draws asked for are at
    least the T - 1 shifts there are, each is taken once and the p-value is exact.
dates
    Every unit moves to a random bar of the same hour and weekday, outside the event windows of the catalysts of its
    coins, on which its instruments trade and their liquidity is known. Keeps coin, hour and weekday. Breaks the
    spacing of catalysts: units that never met may now collide, or stop colliding.
coins
    Every unit keeps its time; its instruments become others of the same kind, drawn without replacement from those
    that trade then. Keeps the calendar and the state of the whole market. Breaks which coin was meant; a leg that
    hedges with one certain coin hedges with another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_at_ms
from backtest.engine.layout import CAPACITY, IMPACT, NEVER, OPEN, Orders
from backtest.engine.prepared import Prepared
from backtest.signals.strategy import Intents
from backtest.units import DAY_MS, UNIT_MS, to_ms

BLOCK = 8_192
"""Draws that are held at once; random numbers are drawn block by block, so it is part of the result."""
EVENT_BEFORE_MS = DAY_MS
EVENT_AFTER_MS = 3 * DAY_MS
FEWEST_CHOICES = 5

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Intents as one variation of orders (1, K), with the unit (K,) that each moves with and the units' names (U,)."""

    orders: Orders
    unit: Rows
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Impossible:
    """Why a null cannot be drawn."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Orders of all draws, in blocks of at most BLOCK; `exact` where they are all the calendars of the kind."""

    blocks: Iterator[Orders]
    exact: bool = False


Mover = Callable[[Subject, Prepared, Calendar, int, int], Moved | Impossible]
"""Subject, prepared market, calendar, number of draws and seed to the moved orders, or why there are none."""


def subject_of(intents: Intents, prepared: Prepared) -> Subject:
    """Intents with the units they move in: by group (named after its first leg), catalyst, else each by itself."""
    of_group: dict[str, str] = {}
    names: dict[str, int] = {}
    unit = np.empty(len(intents), np.int32)
    for place, row in enumerate(intents.rows):
        name = row.catalyst_id or row.group or f"{row.instrument}@{row.decided_at_ms}"
        if row.group:
            name = of_group.setdefault(row.group, name)
        unit[place] = names.setdefault(name, len(names))
    return Subject(prepared.orders(intents), unit, tuple(names))


def shifts_of(bars: int, draws: int, seed: int) -> Rows:
    """(B,) shifts in bars, none twice and none zero: all T - 1 of them where at least as many draws are asked for."""
    if bars - 1 <= draws:
        return np.arange(1, bars, dtype=np.int32)
    random = np.random.default_rng(_seed(seed, "shift", 0))
    return (random.choice(bars - 1, size=draws, replace=False) + 1).astype(np.int32)


def by_shift(subject: Subject, prepared: Prepared, _: Calendar, draws: int, seed: int) -> Moved:
    """Every intent so many bars later, round the end of the data to its beginning."""
    shifts = shifts_of(prepared.bar_count, draws, seed)
    return Moved(_shifted(subject.orders, shifts), exact=prepared.bar_count - 1 <= draws)


def by_date(subject: Subject, prepared: Prepared, calendar: Calendar, draws: int, seed: int) -> Moved | Impossible:
    """Every unit on a random date of its hour and weekday."""
    pools = _date_pools(subject, prepared, calendar)
    return pools if isinstance(pools, Impossible) else Moved(_redated(subject, pools, draws, seed))


def by_coin(subject: Subject, prepared: Prepared, _: Calendar, draws: int, seed: int) -> Moved | Impossible:
    """Every unit at its time on other instruments of the same kind."""
    choices = _coin_choices(subject, prepared)
    return choices if isinstance(choices, Impossible) else Moved(_recoined(subject, choices, draws, seed))


def _shifted(orders: Orders, shifts: Rows) -> Iterator[Orders]:
    for first in range(0, len(shifts), BLOCK):
        yield orders._replace(shift=shifts[first : first + BLOCK])


def _seed(seed: int, name: str, block: int) -> np.random.SeedSequence:
    words = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], np.uint32)
    return np.random.SeedSequence([seed % 2**64, block, *words.tolist()])


def _anchor(subject: Subject, unit: int) -> int:
    return int(subject.orders.earliest[0, subject.unit == unit].min())


def _columns(subject: Subject, unit: int) -> list[int]:
    """Columns of a unit's instruments, in order of its legs."""
    return [int(column) for column in dict.fromkeys(subject.orders.column[0, subject.unit == unit].tolist())]


def _enterable(prepared: Prepared) -> npt.NDArray[np.bool_]:
    """(N, T) whether an order can fill: the bar trades and its liquidity is known."""
    panel = prepared.bars.panel
    return ~np.isnan(panel[:, :, OPEN]) & ~np.isnan(panel[:, :, IMPACT]) & ~np.isnan(panel[:, :, CAPACITY])


def event_rows(prepared: Prepared, calendar: Calendar) -> npt.NDArray[np.bool_]:
    """(N, T) whether a bar opens within a day before or three days after a catalyst of the column's coin."""
    market = prepared.market
    inside = np.zeros((len(market.instruments), prepared.bar_count), dtype=np.bool_)
    for catalyst in calendar:
        known = known_at_ms(catalyst)
        if catalyst.announced_at is None or known is None:
            continue
        first = market.bar_at_or_after(to_ms(catalyst.announced_at) - EVENT_BEFORE_MS)
        last = market.bar_at_or_after(known + EVENT_AFTER_MS)
        for column, instrument in enumerate(market.instruments):
            if instrument.base in catalyst.assets:
                inside[column, first:last] = True
    return inside


def _date_pools(subject: Subject, prepared: Prepared, calendar: Calendar) -> list[Rows] | Impossible:
    """Rows that each unit may move to."""
    hours = prepared.market.open_ms // UNIT_MS["h"]
    # 1970-01-01 was a Thursday: weeks counted from there name a weekday as well as any other.
    of_week = hours % (7 * 24)
    open_to = _enterable(prepared) & ~event_rows(prepared, calendar)
    pools = []
    for unit, name in enumerate(subject.names):
        anchor = _anchor(subject, unit)
        if anchor >= prepared.bar_count:
            pools.append(np.array([anchor], dtype=np.int32))
            continue
        free = open_to[_columns(subject, unit)].all(axis=0)
        pool = np.flatnonzero(free & (of_week == of_week[anchor])).astype(np.int32)
        if len(pool) < FEWEST_CHOICES:
            return Impossible(
                f"{name} has {len(pool)} other dates of its hour and weekday outside event windows, "
                f"at least {FEWEST_CHOICES} are needed"
            )
        pools.append(pool)
    return pools


def _redated(subject: Subject, pools: list[Rows], draws: int, seed: int) -> Iterator[Orders]:
    orders = subject.orders
    anchors = np.array([_anchor(subject, unit) for unit in range(len(pools))], dtype=np.int32)
    for block, first in enumerate(range(0, draws, BLOCK)):
        count = min(BLOCK, draws - first)
        move = np.empty((count, len(pools)), np.int32)
        for unit, (name, pool) in enumerate(zip(subject.names, pools, strict=True)):
            uniform = np.random.default_rng(_seed(seed, f"dates {name}", block)).random(count)
            move[:, unit] = pool[(uniform * len(pool)).astype(np.int64)] - anchors[unit]
        by = move[:, subject.unit]
        yield orders._replace(
            earliest=np.ascontiguousarray(np.maximum(orders.earliest + by, 0)),
            latest=np.ascontiguousarray(orders.latest + by),
            exit_row=np.ascontiguousarray(np.where(orders.exit_row < NEVER, orders.exit_row + by, NEVER), np.int32),
            shift=np.zeros(count, np.int32),
        )


def _coin_choices(subject: Subject, prepared: Prepared) -> list[list[Rows]] | Impossible:
    """Columns that each instrument of each unit may become: same kind, open to entries when the unit is decided."""
    open_to, swap = _enterable(prepared), prepared.bars.swap
    settled = np.array([(one.settle, one.inverse) for one in prepared.market.instruments])
    choices = []
    for unit, name in enumerate(subject.names):
        row = min(_anchor(subject, unit), prepared.bar_count - 1)
        of_unit = []
        for column in _columns(subject, unit):
            alike = (swap == swap[column]) & (settled == settled[column]).all(axis=1)
            able = np.flatnonzero(open_to[:, row] & alike).astype(np.int32)
            if len(able) < max(FEWEST_CHOICES, len(_columns(subject, unit))):
                kind = "swaps" if swap[column] else "spot instruments"
                return Impossible(
                    f"{len(able)} {kind} trade when {name} is decided, at least {FEWEST_CHOICES} are needed"
                )
            of_unit.append(able)
        choices.append(of_unit)
    return choices


def _recoined(subject: Subject, choices: list[list[Rows]], draws: int, seed: int) -> Iterator[Orders]:
    orders = subject.orders
    for block, first in enumerate(range(0, draws, BLOCK)):
        count = min(BLOCK, draws - first)
        column = np.repeat(orders.column, count, axis=0)
        for unit, (name, of_unit) in enumerate(zip(subject.names, choices, strict=True)):
            width = int(max(able.max() for able in of_unit)) + 1
            ranking = np.random.default_rng(_seed(seed, f"coins {name}", block)).random((count, width))
            mine = np.flatnonzero(subject.unit == unit)
            for before, able in zip(_columns(subject, unit), of_unit, strict=True):
                chosen = able[np.argmin(ranking[:, able], axis=1)]
                column[:, mine[orders.column[0, mine] == before]] = chosen[:, None]
                # What one leg took is out of reach for the next.
                ranking[np.arange(count), chosen] = 2.0
        yield orders._replace(column=column, shift=np.zeros(count, np.int32))
