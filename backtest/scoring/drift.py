"""Bars without their drift: whether a strategy did well on its dates, or only in a season when everything rose.

Each coin's mean log return over the fortnight around a bar is removed from its prices, for the real and all placebo
calendars alike, so a steady rise or fall earns nothing on any of them. An effect that lasts a day loses a fourteenth.
This looks ahead on purpose: it is inference on known bars, and no strategy decides on it.
"""

from __future__ import annotations

import numpy as np

from backtest.base.units import DAY_MS
from backtest.engine.layout import CLOSE, HIGH, LOW, MARK, OPEN, Bars
from backtest.engine.room import empty_panel, give_back
from backtest.market.record import Floats

WINDOW_MS = 14 * DAY_MS


def drift_of(close: Floats, window: int) -> Floats:
    """(N, T) sum up to each bar of the mean log return over the `window` bars around it; NaN closes are filled first.

    At the ends of the data the window is cut. Zero where a coin never trades.
    """
    coins, bars = close.shape
    known = ~np.isnan(close)
    last = np.maximum.accumulate(np.where(known, np.arange(bars), -1), axis=1)
    last = np.where(last < 0, np.argmax(known, axis=1)[:, None], last)
    level = np.take_along_axis(close, last, axis=1)
    del last
    level = np.log(np.where(np.isnan(level), 1.0, level))
    low = np.maximum(np.arange(bars) - window // 2, 0)
    high = np.minimum(np.arange(bars) + window // 2, bars - 1)
    slope = (level[:, high] - level[:, low]) / np.maximum(high - low, 1)
    found = np.zeros((coins, bars))
    np.cumsum(slope[:, 1:], axis=1, out=found[:, 1:])
    return found


def without_drift(bars: Bars, bar_ms: int) -> Bars:
    """Bars with the drift of a fortnight removed from prices; finer bars are dropped, funding and liquidity stay."""
    panel = empty_panel(*bars.panel.shape)
    mark = bars.mark.copy()
    for column in range(len(panel)):
        # Of panels in files no more than a coin is held.
        give_back(bars.panel)
        give_back(panel)
        panel[column] = bars.panel[column]
        factor = _straighten(panel[column : column + 1], bar_ms)
        if mark.shape[1]:
            mark[column] *= factor[0][:, None]
    give_back(bars.panel)
    give_back(panel)
    return bars._replace(panel=panel, mark=mark, detail_column=np.full_like(bars.detail_column, -1))


def _straighten(panel: Floats, bar_ms: int) -> Floats:
    """Remove the drift from the prices of a panel (N, T, 8), in place; (N, T) the factor of each close."""
    drift = drift_of(panel[:, :, CLOSE], max(WINDOW_MS // bar_ms, 2))
    # The middle of the data keeps its price, so that notionals stay near what they were.
    after: Floats = np.exp(drift.mean(axis=1, keepdims=True) - drift)
    before = np.concatenate((after[:, :1], after[:, :-1]), axis=1)
    panel[:, :, OPEN] *= before
    for place in (CLOSE, MARK, HIGH, LOW):
        panel[:, :, place] *= after
    panel[:, :, HIGH] = np.maximum(panel[:, :, HIGH], panel[:, :, OPEN])
    panel[:, :, LOW] = np.minimum(panel[:, :, LOW], panel[:, :, OPEN])
    return after
