"""`skip_bad`: rows that the rules refuse are left out and reported one by one, instead of refusing the whole file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backtest.base.units import DAY_MS, format_ms, timeframe_ms
from backtest.market.quality import EARLIEST_MS, LATEST_MS, RawTable
from backtest.market.rows import SeriesName


def without_bad_rows(table: RawTable, series: SeriesName, period: str) -> RawTable:
    """The table without the rows that its clean function would refuse by themselves; each gives a sentence.

    Contradictory rows with the same time are still refused, because nothing here says which one is right.
    """
    reasons = np.full(table.time_ms.size, "", dtype=object)

    def mark(wrong: Any, why: str) -> None:
        reasons[wrong & (reasons == "")] = why

    mark((table.time_ms < EARLIEST_MS) | (table.time_ms >= LATEST_MS), "no time from 2009 to 2100")
    values = table.values
    with np.errstate(invalid="ignore"):
        mark(np.isinf(values).any(axis=1), "an infinite value")
        if series == "funding":
            mark(np.abs(values[:, 0]) >= 1, "a rate of 100% or more")
        elif series in ("oi", "ratios", "liquidations"):
            mark((values < 0).any(axis=1), "a negative value")
        else:
            _mark_bars(table, series, period, mark)
    bad = reasons != ""
    sentences = tuple(
        f"{table.unit} {table.numbers[row]} skipped ({_when(int(table.time_ms[row]))}): {reasons[row]}"
        for row in np.flatnonzero(bad)
    )
    return table.take(~bad, *sentences) if bad.any() else table


def _mark_bars(table: RawTable, series: SeriesName, period: str, mark: Callable[[Any, str], None]) -> None:
    bar_ms = timeframe_ms(period)
    phase = table.time_ms % bar_ms
    if phase.size:
        phases, counts = np.unique(phase, return_counts=True)
        common = int(phases[np.argmax(counts)])
        anchor = common if bar_ms > DAY_MS and common % DAY_MS == 0 else 0
        mark(phase != anchor, f"off the {period} grid")
    open_, high, low, close = table.values.T[:4]
    missing = np.isnan(table.values[:, :4])
    mark(missing.any(axis=1) & ~missing.all(axis=1), "a price is missing")
    if series != "premium":
        mark((table.values[:, :4] <= 0).any(axis=1), "a price that is not positive")
    mark(high < low, "the high is below the low")
    mark((open_ < low) | (open_ > high) | (close < low) | (close > high), "open or close outside of low and high")
    if table.values.shape[1] > 4:
        mark(table.values[:, 4] < 0, "a negative volume")


def _when(moment_ms: int) -> str:
    return format_ms(moment_ms) if EARLIEST_MS <= moment_ms < LATEST_MS else str(moment_ms)
