"""Calendars that never happened: how intents are moved at random, and what each way of moving keeps and breaks.

All intents of one catalyst move together, and so do the legs of a group: together they are a *unit*. Random numbers
belong to the unit's name and the draw's number, so strategies that trade the same catalyst see it moved alike.

shift
    Every intent moves by the same number of bars around the circle of the data. Keeps the spacing and clustering of
    catalysts, their coins, and every dependence inside the prices. Breaks their tie to the prices, to the hour of the
    day and to regimes; a trade that would run past the end of the data is cut there. If at least T - 1 draws are
    requested, each of the T - 1 shifts is taken once and the p-value is exact.
far_shift
    The same shifts except those that leave an intent within four days of its place. Detects effects that outlast a
    trade, but is not an exact randomisation test: at 5 % it rejected 7 to 9 % of true nulls.
dates
    Catalysts whose event windows touch form a cluster and move together, by whole weeks (whole days if fewer than
    five such dates exist), to a date on which all their instruments trade with known liquidity, outside the event
    windows of other clusters; their own date is among the choices. Keeps coin, hour, and the spacing inside a cluster.
    Breaks the spacing of clusters: clusters that never overlapped may now overlap.
coins
    Every unit keeps its time; its instruments are replaced by others of the same kind, drawn without replacement from
    those that trade then. Keeps the calendar and the state of the whole market. Breaks which coin was meant; a leg
    that hedges with a particular coin hedges with another.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from backtest.base.units import DAY_MS, to_ms
from backtest.catalysts.record import Calendar, Catalyst
from backtest.catalysts.timing import known_at_ms
from backtest.engine.layout import CAPACITY, IMPACT, NEVER, OPEN
from backtest.engine.prepared import Prepared
from backtest.engine.variations import Orders
from backtest.signals.strategy import Intents

BLOCK = 8_192
"""Draws held in memory at once; random numbers are drawn block by block, so this number affects the result."""
EVENT_BEFORE_MS = DAY_MS
EVENT_AFTER_MS = 3 * DAY_MS
FEWEST_CHOICES = 5

EntryRows = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Intents as one variation of orders (1, K), with the unit (K,) that each moves with and the units' names (U,)."""

    orders: Orders
    unit: EntryRows
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Impossible:
    """Why a null cannot be drawn."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Orders of so many draws in blocks of at most BLOCK, each worked out from its number alone when it is asked for.

    `block` takes a block's number and the draws in it.
    """

    draws: int
    block: Callable[[int, int], Orders]

    def __len__(self) -> int:
        return -(-self.draws // BLOCK)

    def __getitem__(self, number: int) -> Orders:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self.block(number, min(BLOCK, self.draws - number * BLOCK))

    def __iter__(self) -> Iterator[Orders]:
        return (self[number] for number in range(len(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """Orders of all draws.

    `exact` if they are all the calendars of the kind; `calendars` is how many different ones there are, the observed
    one included; `shifts` (B,) are the bars by which a common shift moved the intents, else empty.
    """

    blocks: Blocks
    exact: bool = False
    calendars: float = math.inf
    shifts: EntryRows = field(default_factory=lambda: np.empty(0, np.int32))


Mover = Callable[[Subject, Prepared, Calendar, int, int], Moved | Impossible]
"""Maps subject, prepared market, calendar, number of draws and seed to the moved orders, or why there are none."""


def subject_of(intents: Intents, prepared: Prepared) -> Subject:
    """Intents with the units they move in: by group (named after its first leg), by catalyst, else each alone."""
    of_group: dict[str, str] = {}
    names: dict[str, int] = {}
    unit = np.empty(len(intents), np.int32)
    for place, row in enumerate(intents.rows):
        name = row.catalyst_id or row.group or row.part_of or f"{row.instrument}@{row.decided_at_ms}"
        if row.group:
            name = of_group.setdefault(row.group, name)
        unit[place] = names.setdefault(name, len(names))
    return Subject(prepared.orders(intents), unit, tuple(names))


def shifts_of(bars: int, draws: int, seed: int) -> EntryRows:
    """(B,) different shifts in bars, none of them zero: all T - 1 if at least that many draws are requested."""
    if bars - 1 <= draws:
        return np.arange(1, bars, dtype=np.int32)
    random = np.random.default_rng(_seed(seed, "shift", 0))
    return (random.choice(bars - 1, size=draws, replace=False) + 1).astype(np.int32)


def by_shift(subject: Subject, prepared: Prepared, _: Calendar, draws: int, seed: int) -> Moved:
    """Every intent a number of bars later, wrapping from the end of the data to its beginning."""
    bars = prepared.bar_count
    shifts = shifts_of(bars, draws, seed)
    return Moved(_shifted(subject.orders, shifts), bars - 1 <= draws, bars, shifts)


def by_far_shift(subject: Subject, prepared: Prepared, _: Calendar, draws: int, seed: int) -> Moved | Impossible:
    """Every intent a number of bars later, more than an event window away from its place."""
    bars, near = prepared.bar_count, event_bars(prepared.market.bar_ms)
    if bars - 1 <= 2 * near:
        return Impossible(f"the data holds {bars} bars, and shifts of at most {near} are near: use `shift`")
    shifts = (shifts_of(bars - 2 * near, draws, seed) + near).astype(np.int32)
    return Moved(_shifted(subject.orders, shifts), bars - 2 * near - 1 <= draws, bars - 2 * near, shifts)


def event_bars(bar_ms: int) -> int:
    """Bars of an event window: a day before and three days after."""
    return -(-(EVENT_BEFORE_MS + EVENT_AFTER_MS) // bar_ms)


def by_date(subject: Subject, prepared: Prepared, calendar: Calendar, draws: int, seed: int) -> Moved | Impossible:
    """Every cluster of units on a random date with the same hour and, where there are enough, the same weekday."""
    clusters = _clusters(subject, prepared, calendar)
    pools = _date_pools(subject, prepared, calendar, clusters)
    if isinstance(pools, Impossible):
        return pools
    return Moved(
        Blocks(draws, partial(_redated, subject, clusters, pools, seed)),
        calendars=math.prod(len(pool) for pool in pools),
    )


def by_coin(subject: Subject, prepared: Prepared, _: Calendar, draws: int, seed: int) -> Moved | Impossible:
    """Every unit at its time on other instruments of the same kind."""
    choices = _coin_choices(subject, prepared)
    if isinstance(choices, Impossible):
        return choices
    legs = (math.perm(len(of_unit[0]), len(of_unit)) for of_unit in choices)
    return Moved(Blocks(draws, partial(_recoined, subject, choices, seed)), calendars=math.prod(legs))


def _shifted(orders: Orders, shifts: EntryRows) -> Blocks:
    return Blocks(len(shifts), partial(_shifted_block, orders, shifts))


def _shifted_block(orders: Orders, shifts: EntryRows, block: int, count: int) -> Orders:
    return orders._replace(shift=shifts[block * BLOCK : block * BLOCK + count])


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


@dataclass(frozen=True, slots=True)
class MovingUnits:
    """Units that move together, named after the first catalyst, and their catalysts."""

    name: str
    units: tuple[int, ...]
    catalysts: tuple[Catalyst, ...]


def event_rows(prepared: Prepared, catalysts: Iterable[Catalyst]) -> npt.NDArray[np.bool_]:
    """(N, T) whether a bar opens within a day before or three days after a catalyst of the column's coin."""
    market = prepared.market
    inside = np.zeros((len(market.instruments), prepared.bar_count), dtype=np.bool_)
    for catalyst in catalysts:
        window = _window(catalyst)
        if window is None:
            continue
        first, last = (market.bar_at_or_after(moment) for moment in window)
        for column, instrument in enumerate(market.instruments):
            if instrument.base in catalyst.assets:
                inside[column, first:last] = True
    return inside


def _window(catalyst: Catalyst) -> tuple[int, int] | None:
    known = known_at_ms(catalyst)
    if catalyst.announced_at is None or known is None:
        return None
    return to_ms(catalyst.announced_at) - EVENT_BEFORE_MS, known + EVENT_AFTER_MS


def _clusters(subject: Subject, prepared: Prepared, calendar: Calendar) -> list[MovingUnits]:
    """Units in clusters of catalysts whose event windows touch, whoever trades them; a unit without one by its time."""
    market = prepared.market
    windows: list[tuple[int, int, str, Catalyst | None, int]] = []
    for one in calendar:
        window = _window(one)
        if window is not None:
            windows.append((*window, one.id, one, -1))
    timed = {name for _, _, name, _, _ in windows}
    for unit, name in enumerate(subject.names):
        if name not in timed:
            moment = market.start_ms + _anchor(subject, unit) * market.bar_ms
            windows.append((moment - EVENT_BEFORE_MS, moment + EVENT_AFTER_MS, name, None, unit))
    place = {name: unit for unit, name in enumerate(subject.names)}
    chains: list[list[tuple[int, int, str, Catalyst | None, int]]] = []
    end = -math.inf
    for one_of in sorted(windows, key=lambda entry: entry[:3]):
        if one_of[0] > end:
            chains.append([])
        chains[-1].append(one_of)
        end = max(end, one_of[1])
    found = []
    for chain in chains:
        units = [place.get(name, unit) for _, _, name, _, unit in chain]
        traded = tuple(dict.fromkeys(unit for unit in units if unit >= 0))
        if traded:
            named = next((name for _, _, name, one, _ in chain if one is not None), subject.names[traded[0]])
            found.append(MovingUnits(named, traded, tuple(one for _, _, _, one, _ in chain if one is not None)))
    return found


def _date_pools(
    subject: Subject, prepared: Prepared, calendar: Calendar, clusters: list[MovingUnits]
) -> list[EntryRows] | Impossible:
    """Bars that each cluster may move by, 0 among them."""
    enterable = _enterable(prepared)
    bars, bar_ms = prepared.bar_count, prepared.market.bar_ms
    pools = []
    for cluster in clusters:
        own = {one.id for one in cluster.catalysts}
        free = enterable & ~event_rows(prepared, (one for one in calendar if one.id not in own))
        pool = np.empty(0, np.int32)
        for period in (7 * DAY_MS, DAY_MS):
            step = period // math.gcd(period, bar_ms)
            moves = np.arange(-(bars // step) * step, bars, step, dtype=np.int32)
            open_to = np.ones(len(moves), dtype=np.bool_)
            for unit in cluster.units:
                anchor = _anchor(subject, unit)
                if anchor >= bars:
                    continue
                at = anchor + moves
                inside = (at >= 0) & (at < bars)
                allowed = np.asarray(free[_columns(subject, unit)].all(axis=0))
                open_to &= inside & allowed[np.clip(at, 0, bars - 1)]
            pool = moves[open_to | (moves == 0)]
            if len(pool) >= FEWEST_CHOICES:
                break
        if len(pool) < FEWEST_CHOICES:
            return Impossible(
                f"the cluster of {cluster.name} has {len(pool)} dates of its hour outside the event windows of others, "
                f"at least {FEWEST_CHOICES} are needed"
            )
        pools.append(pool)
    return pools


def _redated(
    subject: Subject, clusters: list[MovingUnits], pools: list[EntryRows], seed: int, block: int, count: int
) -> Orders:
    orders = subject.orders
    move = np.zeros((count, len(subject.names)), np.int32)
    for cluster, pool in zip(clusters, pools, strict=True):
        uniform = np.random.default_rng(_seed(seed, f"dates {cluster.name}", block)).random(count)
        move[:, list(cluster.units)] = pool[(uniform * len(pool)).astype(np.int64)][:, None]
    by = move[:, subject.unit]
    return orders._replace(
        earliest=np.ascontiguousarray(np.maximum(orders.earliest + by, 0)),
        latest=np.ascontiguousarray(orders.latest + by),
        exit_row=np.ascontiguousarray(np.where(orders.exit_row < NEVER, orders.exit_row + by, NEVER), np.int32),
        shift=np.zeros(count, np.int32),
    )


def _coin_choices(subject: Subject, prepared: Prepared) -> list[list[EntryRows]] | Impossible:
    """Columns that may replace each instrument of each unit: same kind, open to entries when the unit is decided."""
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


def _recoined(subject: Subject, choices: list[list[EntryRows]], seed: int, block: int, count: int) -> Orders:
    orders = subject.orders
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
    return orders._replace(column=column, shift=np.zeros(count, np.int32))
