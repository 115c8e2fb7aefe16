"""Declared series from stored rows: values known at each bar, with how long they stay known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from backtest.base.units import timeframe_ms
from backtest.market.align import Known
from backtest.market.instrument import Floats
from backtest.market.quality import Int64s
from backtest.market.rows import COLUMNS, Key, Rows
from backtest.market.series import SERIES

_OVER = {"sum": np.add, "max": np.maximum, "min": np.minimum}


def further_series(found: Mapping[str, tuple[Key, Rows]], bar_ms: int) -> dict[str, Known]:
    """Every declared series in stored rows, by name; a value is known one period after its stamp.

    Sums and extremes over periods shorter than a bar are those of the bar; those over longer ones say nothing about a
    bar and are left out.
    """
    further = {}
    for declared in SERIES.values():
        of_store, column = declared.stored
        if of_store in found:
            key, rows = found[of_store]
            period = timeframe_ms(key.timeframe)
            value = rows.values[:, COLUMNS[key.series].index(column)]
            if declared.over_bar != "last":
                if period <= bar_ms and bar_ms % period == 0:
                    further[declared.name] = _over_bars(rows.time_ms, value, period, bar_ms, _OVER[declared.over_bar])
                continue
            further[declared.name] = Known(rows.time_ms + period, value, declared.stale_periods * period)
    return further


def _over_bars(time_ms: Int64s, value: Floats, period_ms: int, bar_ms: int, of: np.ufunc) -> Known:
    """Sums or extremes of whole bars, each known at its close."""
    opens, first, count = np.unique(time_ms // bar_ms * bar_ms, return_index=True, return_counts=True)
    whole = count == bar_ms // period_ms
    found = of.reduceat(value, first) if first.size else value
    return Known(opens[whole] + bar_ms, found[whole], 0)
