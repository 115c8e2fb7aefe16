"""Declared series of the store's rows: values that a bar knows, with how long they stay known."""

from __future__ import annotations

from collections.abc import Mapping

from backtest.base.units import timeframe_ms
from backtest.market.align import Known
from backtest.market.rows import COLUMNS, Key, Rows
from backtest.market.series import SERIES


def further_series(found: Mapping[str, tuple[Key, Rows]]) -> dict[str, Known]:
    """Every declared series that stands in stored rows, by name; a value is known one period after its stamp."""
    further = {}
    for declared in SERIES.values():
        of_store, column = declared.stored
        if of_store in found:
            key, rows = found[of_store]
            period = timeframe_ms(key.timeframe)
            value = rows.values[:, COLUMNS[key.series].index(column)]
            further[declared.name] = Known(rows.time_ms + period, value, declared.stale_periods * period)
    return further
