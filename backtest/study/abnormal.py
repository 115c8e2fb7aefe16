"""Abnormal returns, volume and open interest of many rows at once, on the event axis of `alignment`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from backtest.base.units import DAY_MS, UNIT_MS
from backtest.market.auxiliary import AuxiliarySeries
from backtest.market.record import Floats
from backtest.study.alignment import FitRow, Panel
from backtest.study.cumulation import Cumulated, cumulate
from backtest.study.models import (
    AbnormalReturns,
    Ints,
    Windows,
    market_adjusted,
    market_model,
    mean_adjusted,
    seasonal_mean,
)

Model = Literal["market", "market_adjusted", "mean_adjusted"]
Measure = str
MEASURES: tuple[Measure, ...] = ("return", "volume", "open_interest")
"""Of every market; each auxiliary series that a market carries is one more, by its name."""

# Most numbers of regressors held at once while fitting.
_BLOCK = 500_000


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What is explained and by what: `values` (T, N), one model for all rows.

    `benchmarks` are columns of `values`; a row that holds one of `coins` (N,) of a benchmark does without it.
    `seasons` (T,) number what each bar's own mean is taken over, from 0: then there are no benchmarks.
    """

    values: Floats
    model: Model
    coins: tuple[str, ...]
    benchmarks: tuple[int, ...] = ()
    seasons: Ints | None = None

    def benchmarks_of(self, row: FitRow) -> tuple[int, ...]:
        """The benchmarks whose coin is not the row's own."""
        own = {self.coins[column] for column in row.columns}
        return tuple(column for column in self.benchmarks if self.coins[column] not in own)


def series(panel: Panel, measure: Measure, model: Model, coins: tuple[str, ...], benchmarks: tuple[int, ...]) -> Series:
    """The series of a measure.

    return: log returns under `model`. volume: log volume against its own mean for the hour of the day (OLS on hour
    dummies, so that the forecast error of each hour's mean counts), as in Ajinkya and Jain (1989), Journal of
    Accounting and Economics 11(4), 331-359, who show that the log is near normal. open_interest: log changes against
    their own mean.
    """
    if measure == "volume":
        hours, hour = np.unique(panel.open_ms % DAY_MS // UNIT_MS["h"], return_inverse=True)
        return Series(_log(panel.volume), "mean_adjusted", coins, seasons=hour if len(hours) > 1 else None)
    levels = _log(panel.close if measure == "return" else panel.open_interest)
    changes = np.full(levels.shape, np.nan)
    changes[1:] = np.diff(levels, axis=0)
    if measure == "open_interest":
        return Series(changes, "mean_adjusted", coins)
    return Series(changes, model, coins, () if model == "mean_adjusted" else benchmarks)


def auxiliary_series(panel: Panel, one: AuxiliarySeries, coins: tuple[str, ...]) -> Series:
    """Changes of an auxiliary series from close to close of the panel's bars, against their own mean.

    Log changes where every reading is positive; else changes as a share of the mean size of its readings. A series
    named after a coin (`zec_exchange_inflow`) is measured around catalysts of that coin alone, any other around all.
    """
    levels = one.at(panel.open_ms + panel.bar_ms)
    changes = np.full(len(levels), np.nan)
    changes[1:] = np.diff(_log(levels) if is_positive(one) else levels / np.nanmean(np.abs(one.values)))
    own = np.array([one.coin not in coins or coin == one.coin for coin in coins])
    return Series(np.where(own, changes[:, None], np.nan), "mean_adjusted", coins)


def is_positive(one: AuxiliarySeries) -> bool:
    """Whether every known reading is above zero, so that its changes are measured in logarithms."""
    return bool((one.values[~np.isnan(one.values)] > 0).all())


def _log(values: Floats) -> Floats:
    logs: Floats = np.log(np.where(values > 0, values, np.nan))
    return logs


def fit(source: Series, rows: Sequence[FitRow], windows: Windows, minimum: int) -> AbnormalReturns:
    """Abnormal values of R rows over the event window of `windows`, whose bar 0 is the announcement period.

    Rows of equal width and benchmarks are fitted together. `leverage` is padded with zeros to the widest model and has
    one column more, which carries the extra variance of a bar 0 that is many bars; `beta` is padded with NaN.
    """
    done: list[AbnormalReturns] = []
    order: list[int] = []
    for places, part in fitted_parts(source, rows, windows, minimum):
        done.append(part)
        order += places
    if not done:
        return _fit_alike(source, [], (), 1, windows, minimum)
    return take(_stack(done), np.argsort(np.array(order, dtype=np.int64)))


def fitted_parts(
    source: Series, rows: Sequence[FitRow], windows: Windows, minimum: int
) -> Iterator[tuple[list[int], AbnormalReturns]]:
    """The same in parts of bounded size: places of some rows, and their abnormal values."""
    parts: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    left: dict[tuple[int, ...], tuple[int, ...]] = {}
    for place, row in enumerate(rows):
        if row.columns not in left:
            left[row.columns] = source.benchmarks_of(row)
        parts.setdefault((row.width, left[row.columns]), []).append(place)
    seasons = 0 if source.seasons is None else int(source.seasons.max())
    for (width, benchmarks), places in parts.items():
        size = (windows.length + width) * max(len(benchmarks) + seasons, 1)
        step = max(_BLOCK // size, 1)
        for start in range(0, len(places), step):
            block = places[start : start + step]
            yield block, _fit_alike(source, [rows[k] for k in block], benchmarks, width, windows, minimum)


def _fit_alike(
    source: Series, rows: list[FitRow], benchmarks: tuple[int, ...], width: int, windows: Windows, minimum: int
) -> AbnormalReturns:
    full = replace(windows, last=windows.last + width - 1)
    onset = np.array([row.onset for row in rows], dtype=np.int64)
    at = onset[:, None] + np.arange(full.start, full.last + 1)
    count = len(source.values)
    inside, at = (at >= 0) & (at < count), np.clip(at, 0, count - 1)
    asset = np.empty(at.shape)
    baskets: dict[tuple[int, ...], list[int]] = {}
    for place, row in enumerate(rows):
        baskets.setdefault(row.columns, []).append(place)
    for columns, places in baskets.items():
        asset[places] = source.values[at[places], np.array(columns)[:, None, None]].mean(axis=0)
    for k, row in enumerate(rows):
        for first, last in row.unused:
            asset[k, max(first - full.start, 0) : min(last - full.start + 1, full.estimation)] = np.nan
    asset[~inside] = np.nan
    if source.seasons is not None:
        returns = seasonal_mean(asset, source.seasons[at], int(source.seasons.max()) + 1, full, onset, minimum=minimum)
    elif source.model == "mean_adjusted":
        returns = mean_adjusted(asset, full, onset, minimum=minimum)
    else:
        regressors = source.values[:, list(benchmarks)][at]
        model = market_model if source.model == "market" else market_adjusted
        returns = model(asset, regressors, full, onset, minimum=minimum)
    return _collapse(returns, windows, width)


def _collapse(returns: AbnormalReturns, windows: Windows, width: int) -> AbnormalReturns:
    """Sum bars 0 to `width` - 1 into bar 0.

    Their variance is sigma^2 (width + ||sum h||^2) where one bar's is sigma^2 (1 + h'h), so a column of its own, which
    no other bar shares, holds sqrt(width - 1).
    """
    if width == 1:
        leverage = np.zeros((*returns.leverage.shape[:2], returns.leverage.shape[2] + 1))
        np.copyto(leverage[:, :, :-1], returns.leverage, where=~np.isnan(returns.leverage))
        return replace(returns, windows=windows, leverage=leverage)
    leverage = _merged(np.where(np.isnan(returns.leverage), 0.0, returns.leverage), windows, width)
    extra = np.where(windows.bars == 0, np.sqrt(width - 1.0), 0.0)
    extra = np.broadcast_to(extra[None, :, None], (*leverage.shape[:2], 1))
    return replace(
        returns,
        windows=windows,
        abnormal=_merged(returns.abnormal, windows, width),
        leverage=np.concatenate((leverage, extra), axis=2),
    )


def _merged(values: Floats, windows: Windows, width: int) -> Floats:
    """(K, W, ...) values of which bars 0 to `width` - 1 are one sum."""
    zero = -windows.first
    day = values[:, zero : zero + width].sum(axis=1, keepdims=True)
    return np.concatenate((values[:, :zero], day, values[:, zero + width :]), axis=1)


def _stack(parts: list[AbnormalReturns]) -> AbnormalReturns:
    def joined(name: str, fill: float) -> Any:
        arrays = [getattr(part, name) for part in parts]
        if name in ("beta", "leverage"):
            widest = max(array.shape[-1] for array in arrays)
            ends = [[(0, 0)] * (array.ndim - 1) + [(0, widest - array.shape[-1])] for array in arrays]
            arrays = [np.pad(a, end, constant_values=fill) for a, end in zip(arrays, ends, strict=True)]
        return np.concatenate(arrays)

    names = [field.name for field in fields(AbnormalReturns) if isinstance(getattr(parts[0], field.name), np.ndarray)]
    return replace(
        parts[0],
        **{name: joined(name, 0.0 if name == "leverage" else np.nan) for name in names},
        reasons=tuple(reason for part in parts for reason in part.reasons),
    )


def take(returns: AbnormalReturns, rows: Ints) -> AbnormalReturns:
    """The chosen rows, in the order given."""
    names = [field.name for field in fields(returns) if isinstance(getattr(returns, field.name), np.ndarray)]
    return replace(
        returns,
        **{name: getattr(returns, name)[rows] for name in names},
        reasons=tuple(returns.reasons[k] for k in rows),
    )


def effects(measure: Measure, returns: AbnormalReturns, spans: Ints, width: Ints) -> Cumulated:
    """Sums over spans; for volume the mean of the span's bars instead, bar 0 counting as its `width` (R,) bars.

    `scar`, and with it every test, is that of the sum.
    """
    cumulated = cumulate(returns, spans)
    return replace(cumulated, car=cumulated.car / bars_of(spans, width)) if measure == "volume" else cumulated


def bars_of(spans: Ints, width: Ints) -> Ints:
    """(R, V) bars of each span, bar 0 counting as its `width` (R,) bars."""
    holds_0 = (spans[:, 0] <= 0) & (spans[:, 1] >= 0)
    return spans[:, 1] - spans[:, 0] + 1 + holds_0 * (width[:, None] - 1)
