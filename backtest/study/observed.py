"""The observed events of a measure, fitted part by part: what no table or test reads is dropped with its part.

A window of one-minute bars is some 27,000 bars long, so the abnormal returns, residuals and leverages of 10,000 events
at once would take tens of gigabytes. Kept are the sums over spans and steps and the residuals, which tests rank and
correlate; those lie in a mapped file where they are large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from backtest.base.estimate import STEPS
from backtest.base.mapped import MAPPED_BYTES
from backtest.market.record import Floats
from backtest.study.abnormal import Measure, Series, bars_of, effects, fitted_parts
from backtest.study.alignment import FitRow
from backtest.study.cumulation import Cumulated, member_of
from backtest.study.models import AbnormalReturns, Ints, Rejection, Windows


def steps_of(measure: Measure, windows: Windows) -> Ints:
    """(W, 2) spans of a path: from the first bar up to each, for volume the bars since the one before.

    Every bar ends a step in windows of up to `STEPS` bars; in longer ones every k-th before the announcement and
    after it, counted from bar 0, and the last.
    """
    bars = windows.bars
    every = -(-windows.width // STEPS)
    ends = bars[(bars % every == 0) | (bars == 0) | (bars == -1) | (bars == windows.last)]
    first = np.concatenate(([windows.first], ends[:-1] + 1))
    return np.stack((first if measure == "volume" else np.full(len(ends), windows.first), ends), axis=1)


def rejections(source: Series, rows: Sequence[FitRow], windows: Windows, minimum: int) -> tuple[Rejection | None, ...]:
    """Why each row could not be fitted; None where it was."""
    reasons: list[Rejection | None] = [None] * len(rows)
    for places, part in fitted_parts(source, rows, windows, minimum):
        for place, reason in zip(places, part.reasons, strict=True):
            reasons[place] = reason
    return tuple(reasons)


def observe(
    measure: Measure, source: Series, rows: Sequence[FitRow], windows: Windows, minimum: int, spans: Ints, steps: Ints
) -> tuple[Cumulated, Cumulated]:
    """Sums of K events over V `spans`, and along W `steps` without their forecast errors.

    Their `returns` hold no abnormal returns and no leverages, those of the path no residuals.
    """
    count = len(rows)
    width = np.array([row.width for row in rows], dtype=np.int64)
    most = max(len(source.benchmarks), 0 if source.seasons is None else int(source.seasons.max()))
    residual = _room(count, windows.estimation)
    alpha, sigma = np.full((2, count), np.nan)
    onset, usable, degrees = np.zeros((3, count), dtype=np.int64)
    beta, kept = np.full((count, most), np.nan), np.zeros(count, dtype=bool)
    reasons: list[Rejection | None] = [None] * count
    car, correction, scar = np.full((3, count, len(spans)), np.nan)
    path = np.full((count, len(steps)), np.nan)
    for places, part in fitted_parts(source, rows, windows, minimum):
        found = effects(measure, part, spans, width[places])
        car[places], correction[places], scar[places] = found.car, found.correction, found.scar
        path[places] = path_of(measure, part, steps, width[places])
        residual[places], alpha[places], sigma[places] = part.residual, part.alpha, part.sigma
        onset[places], usable[places], degrees[places] = part.onset, part.usable, part.degrees
        beta[places, : part.beta.shape[1]] = part.beta
        kept[places] = part.kept
        for place, reason in zip(places, part.reasons, strict=True):
            reasons[place] = reason
    returns = AbnormalReturns(
        windows=windows,
        convention="textbook",
        onset=onset,
        abnormal=np.empty((count, 0)),
        residual=residual,
        alpha=alpha,
        beta=beta,
        sigma=sigma,
        usable=usable,
        degrees=degrees,
        leverage=np.empty((count, 0, 0)),
        kept=kept,
        reasons=tuple(reasons),
    )
    own = Cumulated(
        returns=returns,
        spans=spans,
        member=member_of(windows.bars, spans),
        length=spans[:, 1] - spans[:, 0] + 1,
        car=car,
        correction=correction,
        scar=scar,
    )
    unknown = np.broadcast_to(np.nan, path.shape)
    along = Cumulated(
        returns=replace(returns, residual=np.empty((count, 0))),
        spans=steps,
        member=np.empty((len(steps), 0)),
        length=steps[:, 1] - steps[:, 0] + 1,
        car=path,
        correction=unknown,
        scar=unknown,
    )
    return own, along


def path_of(measure: Measure, returns: AbnormalReturns, steps: Ints, width: Ints) -> Floats:
    """(K, W) abnormal values summed over each step, for volume their mean a bar, NaN where a bar is missing."""
    running = np.zeros((len(returns.abnormal), returns.windows.width + 1))
    missing = np.isnan(returns.abnormal)
    np.cumsum(np.where(missing, 0.0, returns.abnormal), axis=1, out=running[:, 1:])
    unknown = np.zeros(running.shape, dtype=np.int64)
    np.cumsum(missing, axis=1, out=unknown[:, 1:])
    first, last = steps[:, 0] - returns.windows.first, steps[:, 1] - returns.windows.first + 1
    path = np.where(unknown[:, last] > unknown[:, first], np.nan, running[:, last] - running[:, first])
    return path / bars_of(steps, width) if measure == "volume" else path


def _room(*shape: int) -> Floats:
    if 8 * int(np.prod(shape)) < MAPPED_BYTES:
        return np.full(shape, np.nan)
    from backtest.engine.room import empty_panel

    room: Floats = empty_panel(*shape)
    return room
