"""Equity under placebo calendars: the bands that a run's own equity is drawn against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from backtest.base.arguments import checked
from backtest.base.tasks import parts
from backtest.catalysts.record import Calendar
from backtest.engine.kernel import replay_one
from backtest.engine.layout import EXPOSURE, TRADES
from backtest.engine.prepared import Prepared, empty_book
from backtest.engine.variations import Orders
from backtest.market.record import Floats
from backtest.scoring.draws import BLOCK, Impossible, Moved, subject_of
from backtest.scoring.kinds import PLACEBO_KINDS
from backtest.scoring.placebo import MOST_UNDEFINED, PlaceboPlan, observed_statistics, without_events
from backtest.signals.strategy import Intents

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles of a fan: two bands and the median."""
_CURVES, _BARS = 10, 65_536
"""Curves of one task, and bars whose quantiles are taken at once."""
_HELD = 2_000_000
"""Numbers that are held in memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """Quantiles of equity over placebo calendars, bar by bar.

    Attributes
    ----------
    kind : str
        How the intents were moved, a kind of PlaceboPlan.
    levels : (Q,) float64
    quantiles : (Q, T) float64
        Quote currency, marked at each bar's close; NaN where there is a `reason`.
    draws : int
        Calendars behind the quantiles.
    reason : str
        Why there are none; empty if there are some.
    """

    kind: str
    levels: Floats
    quantiles: Floats
    draws: int
    reason: str = ""


@checked
def placebo_fan(
    intents: Intents,
    prepared: Prepared,
    calendar: Calendar,
    plan: PlaceboPlan,
    draws: int = 200,
    *,
    cluster: str | None = None,
) -> Fan:
    """Replay the intents on at most `draws` of the plan's placebo calendars and return the quantiles of equity.

    Draws that met unknown funding under the policy `error` are left out. The quantiles are NaN, with the reason, if
    these are more than a fifth, if the run has no placebo, or if the kind requires the strategy to decide anew.
    """
    reason = _reason(intents, prepared, plan)
    move = PLACEBO_KINDS[plan.kind].move
    moved = (
        Impossible(reason)
        if reason or move is None
        else move(subject_of(intents, prepared), prepared, calendar, min(draws, plan.draws), plan.seed)
    )
    if isinstance(moved, Impossible):
        return _none(plan.kind, prepared, moved.reason)
    count = moved.blocks.draws
    with _room(count, prepared.bar_count) as curves:
        for number, content in parts(_curves, _Fanned(moved, prepared), range(-(-count // _CURVES)), cluster):
            rows = curves[number * _CURVES : (number + 1) * _CURVES]
            rows[:] = np.frombuffer(content).reshape(rows.shape)
        # A replay that met unknown funding is NaN in every bar.
        known = ~np.isnan(curves[:, 0])
        undefined = int(np.count_nonzero(~known))
        if undefined > MOST_UNDEFINED * count:
            return _none(plan.kind, prepared, f"equity is undefined on {undefined} of {count} placebo calendars")
        quantiles = np.empty((len(LEVELS), prepared.bar_count))
        for first in range(0, prepared.bar_count, _BARS):
            bars = slice(first, first + _BARS)
            quantiles[:, bars] = np.quantile(curves[known, bars], LEVELS, axis=0)
    return Fan(plan.kind, np.array(LEVELS), quantiles, count - undefined)


@dataclass(frozen=True, slots=True, eq=False)
class _Fanned:
    """What the tasks of a fan share."""

    moved: Moved
    prepared: Prepared


def _curves(work: _Fanned, number: int) -> bytes:
    """One task: equity (n, T) on some of the calendars."""
    draws = range(number * _CURVES, min((number + 1) * _CURVES, work.moved.blocks.draws))
    return np.array([_equity(work.moved.blocks[k // BLOCK], k % BLOCK, work.prepared) for k in draws]).tobytes()


@contextmanager
def _room(draws: int, bars: int) -> Iterator[Floats]:
    """An array (draws, bars), in a file of its own where data are so long that it would need much memory."""
    if draws * bars <= _HELD:
        yield np.empty((draws, bars))
        return
    with TemporaryFile() as file:
        yield np.memmap(file, np.float64, "w+", shape=(draws, bars))


def _reason(intents: Intents, prepared: Prepared, plan: PlaceboPlan) -> str:
    if not len(intents):
        return "nothing was decided, so there is nothing to move"
    if PLACEBO_KINDS[plan.kind].move is None:
        return f"the placebo {plan.kind!r} decides anew on every calendar: choose one that moves intents for a fan"
    (row,) = observed_statistics([intents], prepared)
    return without_events(float(row[EXPOSURE]), float(row[TRADES]))


def _none(kind: str, prepared: Prepared, reason: str) -> Fan:
    return Fan(kind, np.array(LEVELS), np.full((len(LEVELS), prepared.bar_count), np.nan), 0, reason)


def _equity(orders: Orders, draw: int, prepared: Prepared) -> Floats:
    """(T,) equity of one variation; NaN where it met unknown funding."""
    book = empty_book(prepared.bar_count, orders.earliest.shape[1])
    rows: Any = (values[min(draw, len(values) - 1) :][:1] for values in orders)
    fault = replay_one(Orders(*rows), prepared.bars, prepared.rules, book)[-2]
    return book.equity if fault < 0 else np.full(prepared.bar_count, np.nan)
