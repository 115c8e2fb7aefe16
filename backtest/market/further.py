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


def further_series(found: Mapping[str, tuple[Key, Rows]], bar_ms: int) -> dict[str, Known]:
    """Every declared series in stored rows, by name; a value is known one period after its stamp.

    Sums over periods shorter than a bar are added up; sums over longer ones say nothing about a bar and are left out.
    """
    further = {}
    for declared in SERIES.values():
        of_store, column = declared.stored
        if of_store in found:
            key, rows = found[of_store]
            period = timeframe_ms(key.timeframe)
            value = rows.values[:, COLUMNS[key.series].index(column)]
            if declared.summed:
                if period <= bar_ms and bar_ms % period == 0:
                    further[declared.name] = _summed(rows.time_ms, value, period, bar_ms)
                continue
            further[declared.name] = Known(rows.time_ms + period, value, declared.stale_periods * period)
    return further


def _summed(time_ms: Int64s, value: Floats, period_ms: int, bar_ms: int) -> Known:
    """Sums of whole bars, each known at its close."""
    opens, place = np.unique(time_ms // bar_ms * bar_ms, return_inverse=True)
    whole = np.bincount(place, minlength=opens.size) == bar_ms // period_ms
    total = np.bincount(place, weights=value, minlength=opens.size)
    return Known(opens[whole] + bar_ms, total[whole], 0)
