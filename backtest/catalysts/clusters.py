"""Finds catalysts too close together for their effects to be separated, from the times at which they were known."""

from __future__ import annotations

from dataclasses import dataclass

from backtest.base.errors import UsageError
from backtest.catalysts.record import Calendar, Catalyst
from backtest.catalysts.timing import known_at_ms


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two or more catalysts, each within the window of another one of them, in the order in which they were known.

    Attributes
    ----------
    ids : tuple of str
    assets : tuple of str
        Coins that any of them is about.
    first_known_ms, last_known_ms : int
        Milliseconds UTC.
    """

    ids: tuple[str, ...]
    assets: tuple[str, ...]
    first_known_ms: int
    last_known_ms: int


def confounding(calendar: Calendar, within_ms: int, *, sector: bool = False) -> dict[str, tuple[str, ...]]:
    """For each catalyst, the ids of those that share a coin with it and were known within `within_ms` of it.

    With `sector` all coins of the calendar count as one. An untimed catalyst confounds none that can be named.

    Raises
    ------
    UsageError
        For a negative window.
    """
    if within_ms < 0:
        raise UsageError(f"within = {within_ms} ms must not be negative")
    timed = _known(calendar)
    found: dict[str, tuple[str, ...]] = {one.id: () for one in calendar}
    for one, known in timed:
        found[one.id] = tuple(
            other.id
            for other, at in timed
            if other.id != one.id and abs(at - known) <= within_ms and (sector or _share_a_coin(one, other))
        )
    return found


def clusters(calendar: Calendar, within_ms: int, *, sector: bool = False) -> tuple[Cluster, ...]:
    """Groups of catalysts linked by `confounding`, earliest first; an isolated catalyst is in none."""
    linked = confounding(calendar, within_ms, sector=sector)
    timed = _known(calendar)
    known = {one.id: at for one, at in timed}
    coins = {one.id: one.assets for one, _ in timed}
    groups: list[Cluster] = []
    seen: set[str] = set()
    for start, _ in timed:
        if start.id in seen or not linked[start.id]:
            continue
        members, queue = {start.id}, [start.id]
        while queue:
            fresh = [other for other in linked[queue.pop()] if other not in members]
            members |= set(fresh)
            queue += fresh
        seen |= members
        ids = tuple(one.id for one, _ in timed if one.id in members)
        assets = tuple(dict.fromkeys(coin for identifier in ids for coin in coins[identifier]))
        groups.append(Cluster(ids, assets, known[ids[0]], known[ids[-1]]))
    return tuple(groups)


def cluster_numbers(calendar: Calendar, within_ms: int, *, sector: bool = False) -> dict[str, int]:
    """Number of the cluster of each catalyst that is in one, from 1."""
    groups = clusters(calendar, within_ms, sector=sector)
    return {identifier: number for number, group in enumerate(groups, start=1) for identifier in group.ids}


def _known(calendar: Calendar) -> list[tuple[Catalyst, int]]:
    timed = [(one, at) for one in calendar if (at := known_at_ms(one)) is not None]
    return sorted(timed, key=lambda pair: pair[1])


def _share_a_coin(one: Catalyst, other: Catalyst) -> bool:
    return not set(one.assets).isdisjoint(other.assets)
