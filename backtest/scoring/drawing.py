"""Placebo statistics as pure tasks: a piece of one member's draws is the same wherever it is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from backtest.base.progress import Progress, silent
from backtest.base.tasks import parts
from backtest.catalysts.record import Calendar
from backtest.engine.layout import STATISTICS
from backtest.engine.prepared import Prepared
from backtest.engine.replay import FEWEST_FOR_THREADS, replay_statistics
from backtest.engine.room import give_back, in_file
from backtest.engine.variations import Orders
from backtest.market.record import Floats
from backtest.scoring.draws import BLOCK, EntryRows, Impossible, Moved, subject_of
from backtest.scoring.kinds import PLACEBO_KINDS
from backtest.scoring.moved_calendars import MovedCalendars, statistics_anew
from backtest.signals.strategy import Intents, Strategy

PLACEBO = "placebo calendars"
_OF_CLUSTER, _ANEW = FEWEST_FOR_THREADS // 2, 16
"""Draws of one task: of moved intents on a worker of one thread, and of calendars that are decided anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """Intents to be moved, the strategy that decides them anew (None: it cannot), and on what they are replayed."""

    intents: Intents
    strategy: Strategy[Any] | None
    replayed: tuple[Prepared, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What is drawn: so many calendars of a kind for each member; `net_only` leaves out what needs every bar."""

    members: tuple[Member, ...]
    calendar: Calendar
    kind: str
    draws: int
    seed: int
    net_only: bool


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """STATISTICS (P, B, 8) of B draws on the P preparations of a member; the rest is that of `Moved`."""

    statistics: Floats
    exact: bool
    calendars: float = math.inf
    shifts: EntryRows = field(default_factory=lambda: np.empty(0, np.int32))


@dataclass(frozen=True, slots=True)
class _Piece:
    """Draws `first` to `first + count` of a member, on some of its preparations."""

    member: int
    first: int
    count: int
    on: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Pieces:
    """The shared work of all tasks: how each member moves, and the pieces by number."""

    drawing: Drawing
    moves: tuple[Moved | MovedCalendars | Impossible, ...]
    pieces: tuple[_Piece, ...]


def drawn(drawing: Drawing, cluster: str | None = None, progress: Progress = silent) -> list[Drawn | Impossible]:
    """The statistics of every member on its placebo calendars, worked out here or on a cluster."""
    moves = tuple(_moves(drawing, member) for member in drawing.members)
    panels = [_panels(member, moved) for member, moved in zip(drawing.members, moves, strict=True)]
    pieces = tuple(
        _Piece(place, first, min(size, count - first), on)
        for turn in range(max(map(len, panels), default=0))
        for place, moved in enumerate(moves)
        for size, count in [_sizes(moved, cluster)]
        for on in panels[place][turn : turn + 1]
        for first in range(0, count, size)
    )
    arrays = [
        np.empty((len(member.replayed), _sizes(moved, cluster)[1], len(STATISTICS)))
        for member, moved in zip(drawing.members, moves, strict=True)
    ]
    progress(PLACEBO, 0, len(pieces))
    numbered = parts(draw_piece, _Pieces(drawing, moves, pieces), range(len(pieces)), cluster)
    for done, (number, content) in enumerate(numbered, 1):
        piece = pieces[number]
        values = np.frombuffer(content).reshape(-1, piece.count, len(STATISTICS))
        arrays[piece.member][list(piece.on), piece.first : piece.first + piece.count] = values
        if done == len(pieces) or pieces[done].on != piece.on:
            for place in piece.on:
                give_back(drawing.members[piece.member].replayed[place].bars.panel)
        progress(PLACEBO, done, len(pieces))
    return [_drawn(moved, values) for moved, values in zip(moves, arrays, strict=True)]


def draw_piece(work: _Pieces, number: int) -> bytes:
    """One task: STATISTICS (P, count, 8) of a piece, as the bytes of float64."""
    piece = work.pieces[number]
    member, moved = work.drawing.members[piece.member], work.moves[piece.member]
    replayed = tuple(member.replayed[place] for place in piece.on)
    if isinstance(moved, MovedCalendars):
        assert member.strategy is not None
        calendars = moved.calendars[piece.first : piece.first + piece.count]
        return statistics_anew(member.strategy, replayed, calendars, net_only=work.drawing.net_only).tobytes()
    assert isinstance(moved, Moved)
    orders = _some(_block(moved, piece.first // BLOCK), piece.first % BLOCK, piece.count)
    found = [replay_statistics(orders, on, piece.count, net_only=work.drawing.net_only) for on in replayed]
    return np.array(found).tobytes()


def _panels(member: Member, moved: Moved | MovedCalendars | Impossible) -> tuple[tuple[int, ...], ...]:
    """Places of the preparations that are replayed together: all, or panel by panel where each lies in a file.

    Calendars that are decided anew are replayed on all, since a decision costs more than its replays.
    """
    panels = [one.bars.panel for one in member.replayed]
    if isinstance(moved, MovedCalendars) or not all(map(in_file, panels)):
        return (tuple(range(len(panels))),)
    together: dict[int, list[int]] = {}
    for place, panel in enumerate(panels):
        together.setdefault(id(panel), []).append(place)
    return tuple(map(tuple, together.values()))


def _moves(drawing: Drawing, member: Member) -> Moved | MovedCalendars | Impossible:
    kind, prepared = PLACEBO_KINDS[drawing.kind], member.replayed[0]
    if kind.move_calendar is not None:
        return kind.move_calendar(prepared, drawing.calendar, drawing.draws, drawing.seed)
    assert kind.move is not None
    return kind.move(subject_of(member.intents, prepared), prepared, drawing.calendar, drawing.draws, drawing.seed)


def _sizes(moved: Moved | MovedCalendars | Impossible, cluster: str | None) -> tuple[int, int]:
    """Draws of one task, which divide a block, and of all."""
    if isinstance(moved, Impossible):
        return 1, 0
    if isinstance(moved, MovedCalendars):
        return _ANEW, len(moved.calendars)
    return FEWEST_FOR_THREADS if cluster is None else _OF_CLUSTER, moved.blocks.draws


def _drawn(moved: Moved | MovedCalendars | Impossible, statistics: Floats) -> Drawn | Impossible:
    if isinstance(moved, Impossible):
        return moved
    if isinstance(moved, MovedCalendars):
        return Drawn(statistics, moved.exact)
    return Drawn(statistics, moved.exact, moved.calendars, moved.shifts)


@lru_cache(maxsize=1)
def _block(moved: Moved, number: int) -> Orders:
    return moved.blocks[number]


def _some(orders: Orders, first: int, count: int) -> Orders:
    rows: Sequence[Any] = [values if len(values) == 1 else values[first : first + count] for values in orders]
    return Orders(*rows)
