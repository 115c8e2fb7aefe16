"""Units and cadences checked by arithmetic: the columns of a file must agree with each other, or the user must decide.

A finding is an error that names the likely cause and the option that overrides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from backtest.base.errors import MarketError, UsageError
from backtest.base.units import UNIT_MS, format_ms, timeframe_ms
from backtest.market.quality import Int64s, RawTable, epoch_ms, once_in_order, snap
from backtest.market.record import Floats

HOUR_MS = UNIT_MS["h"]
LEAST_STEP_MS = 55 * UNIT_MS["m"]
PLAUSIBLE_RATE = 0.005
"""Median rate of a settlement beyond which the user must confirm the unit: 0.5 %."""
USUAL_RATE = 0.0001
"""The default rate per 8 hours in the formulas of venues: 0.01 %."""
RATE_UNITS = ("share", "percent", "basis-points", "per-year")
PRICE_ROOM = 1.25
"""How far the median of open-interest value divided by coins may be from the price."""
SAME_STEPS = 24
"""Steps in a row, all equal and longer than a bar, that no market leaves by chance."""
TURNOVER_MOST = 30.0
"""Days of median volume above which open interest cannot be in coins."""


def settlements(table: RawTable, helpers: Mapping[str, Floats], unit: str = "") -> RawTable:
    """Table of settlements as shares of notional, each once; `unit` is the unit of the rates as the user gives it.

    Raises
    ------
    MarketError
        If the rows sample a running rate, or the rates cannot be shares of notional.
    """
    if unit and unit not in RATE_UNITS:
        raise UsageError(f"`unit rate={unit}` is unknown; allowed: {', '.join(RATE_UNITS)}")
    if "settles" in helpers:
        table = _last_before_settlement(table, helpers["settles"])
    steps = np.diff(once_in_order(snap(table.time_ms)))
    cadence = float(np.median(steps)) if steps.size else 8.0 * HOUR_MS
    if steps.size and cadence < LEAST_STEP_MS:
        raise MarketError(
            f"{table.where}: its rates are {cadence / UNIT_MS['m']:g} minutes apart in the median, but settlements are "
            "an hour apart at least: these are samples of a running rate; give a file of settlements, or one with "
            "funding_timestamp"
        )
    hours = helpers.get("interval_hours")
    if hours is not None and hours.size == table.time_ms.size and steps.size:
        told = float(np.nanmedian(hours)) * HOUR_MS
        if told > 0 and not 0.75 * told <= cadence <= 1.5 * told:
            raise MarketError(
                f"{table.where}: its rows are {cadence / HOUR_MS:g} hours apart in the median, but it says that "
                f"{told / HOUR_MS:g} hours lie between settlements: these are samples, or rows are missing"
            )
    if unit:
        factor = {"share": 1.0, "percent": 1e-2, "basis-points": 1e-4, "per-year": cadence / (8760 * HOUR_MS)}[unit]
        return replace(table, values=table.values * factor)
    _check_rates(table, cadence)
    return table


def _check_rates(table: RawTable, cadence_ms: float) -> None:
    rates = table.values[:, 0]
    known = rates[~np.isnan(rates)]
    if known.size < 3:
        return
    middle = float(np.median(np.abs(known)))
    values, counts = np.unique(np.round(known, 12), return_counts=True)
    usual, share = float(values[np.argmax(counts)]), float(counts.max() / known.size)
    say = "say which with `unit rate=percent`, per-year, basis-points, or share if they are right as they stand"
    if middle > PLAUSIBLE_RATE:
        raise MarketError(
            f"{table.where}: the median rate is {middle:.4g}, which is {middle * 100:.3g}% per settlement: rates in "
            f"percent or per year? {say}"
        )
    if share > 0.1 and any(abs(usual - USUAL_RATE * factor) < 1e-9 for factor in (100.0, 1095.0, 10_000.0)):
        raise MarketError(f"{table.where}: its most common rate is {usual:g} instead of {USUAL_RATE:g}: {say}")
    if cadence_ms < 2 * HOUR_MS and known.size >= 24:
        same = float(np.mean(np.diff(known) == 0))
        changes = np.unique(table.time_ms[1:][np.diff(rates) != 0] // HOUR_MS % 8)
        if (same > 0.5 and changes.size <= 2) or (share > 0.1 and abs(usual - USUAL_RATE) < 1e-12):
            raise MarketError(
                f"{table.where}: hourly rows that hold the rate per 8 hours: a rate sampled each hour is charged eight "
                "times; give a file of settlements, or `unit rate=share` if the venue settles this every hour"
            )


def _last_before_settlement(table: RawTable, settles: Floats) -> RawTable:
    """One row per settlement: the last rate shown before it, stamped with its time."""
    known = ~np.isnan(settles)
    order = np.argsort(table.time_ms, kind="stable")
    order = order[known[order]]
    stamps = snap(epoch_ms(settles[order].astype(np.int64)))
    last = np.ones(order.size, dtype=np.bool_)
    last[:-1] = stamps[1:] != stamps[:-1]
    rows = order[last]
    # A rate announced for a settlement after the end of the file is not a settlement.
    done = stamps[last] <= int(table.time_ms.max()) if table.time_ms.size else np.zeros(0, dtype=np.bool_)
    taken = table.take(rows[done], f"{int(done.sum())} settlements taken from {table.time_ms.size} samples of the rate")
    return replace(taken, time_ms=stamps[last][done])


def check_volumes(table: RawTable, helpers: Mapping[str, Floats], unit: str = "") -> RawTable:
    """Bars with volume in coins, checked against the quote volume; `unit` is the unit of the volume if it was given.

    Raises
    ------
    MarketError
        If quote volume divided by volume is not a price inside the bars.
    """
    if unit not in ("", "base", "quote"):
        raise UsageError(f"`unit volume={unit}` is unknown; allowed: base, quote")
    if unit == "quote":
        values = table.values.copy()
        values[:, 4] = np.nan
        return replace(table, values=values, repairs=(*table.repairs, "volume left out: it is in quote currency"))
    quote = helpers.get("quote_volume")
    if unit or quote is None or quote.size != table.time_ms.size:
        return table
    volume, low, high = table.values[:, 4], table.values[:, 2], table.values[:, 1]
    traded = (volume > 0) & (quote > 0)
    if traded.sum() < 3:
        return table
    with np.errstate(invalid="ignore", divide="ignore"):
        price = quote / volume
        inside = np.mean(((price >= low * 0.98) & (price <= high * 1.02))[traded])
        swapped = np.mean(((volume / quote >= low * 0.98) & (volume / quote <= high * 1.02))[traded])
    if inside >= 0.5:
        return table
    likely = "the two are the other way round" if swapped >= 0.5 else "one of them is in contracts or another currency"
    raise MarketError(
        f"{table.where}: quote volume by volume is {float(np.median(price[traded])):.4g} in the median, but prices are "
        f"from {float(np.median(low)):.4g} to {float(np.median(high)):.4g}: {likely}; say with `map volume=NAME`, or "
        "`unit volume=base` if it is right as it stands"
    )


def check_cadence(where: str, time_ms: Int64s, period: str) -> None:
    """Bars of one length throughout: a day of steps that are all the same multiple of it are bars of another length.

    Raises
    ------
    MarketError
        Naming where the other bars begin.
    """
    steps = np.diff(time_ms)
    if steps.size < SAME_STEPS:
        return
    starts = np.concatenate(([0], np.flatnonzero(np.diff(steps)) + 1))
    lengths = np.diff(np.concatenate((starts, [steps.size])))
    others = np.flatnonzero((lengths >= SAME_STEPS) & (steps[starts] > timeframe_ms(period)))
    if others.size:
        first, count = int(starts[others[0]]), int(lengths[others[0]])
        apart = float(steps[first]) / UNIT_MS["m"]
        raise MarketError(
            f"{where}: from {format_ms(int(time_ms[first]))} on {count} rows are {apart:g} minutes apart, in a file of "
            f"{period}: bars of another length, each of which would be taken for a single one with a gap after it; put "
            "them into a file of their own"
        )


def check_open_interest(
    where: str, time_ms: Int64s, coins: Floats, value: Floats, bar_ms: Int64s, close: Floats, volume: Floats
) -> None:
    """Open interest compared with bars of the same coin (`bar_ms`, `close`, `volume` in order of time).

    Raises
    ------
    MarketError
        If value divided by coins is not the price, or there are implausibly many coins.
    """
    if bar_ms.size == 0:
        return
    near = np.searchsorted(bar_ms, time_ms, side="right") - 1
    inside = (near >= 0) & (time_ms <= bar_ms[-1] + 2 * HOUR_MS)
    price = close[np.maximum(near, 0)]
    with np.errstate(invalid="ignore", divide="ignore"):
        both = inside & (coins > 0) & (value > 0)
        told = value[both] / coins[both]
        ratio = told / price[both]
    over = "say with `map coins=NAME,value=NAME`, or `unit coins=base` if it is right as it stands"
    if ratio.size >= 3 and not 1 / PRICE_ROOM <= float(np.median(ratio)) <= PRICE_ROOM:
        raise MarketError(
            f"{where}: value by coins is {float(np.median(told)):.4g} in the median, but the price is "
            f"{float(np.median(price[both])):.4g}: columns that are swapped, or contracts; {over}"
        )
    days = max((int(bar_ms[-1]) - int(bar_ms[0])) / UNIT_MS["d"], 1.0)
    daily = float(np.nansum(volume)) / days
    alone = inside & (coins > 0)
    held = float(np.median(coins[alone])) if alone.sum() >= 3 else 0.0
    if daily > 0 and held > TURNOVER_MOST * daily:
        raise MarketError(
            f"{where}: {held:.4g} coins are {held / daily:.0f} times the volume of a day: the value in the column of "
            f"coins? {over}"
        )


def check_stamps(
    where: str, time_ms: Int64s, close: Floats, other_ms: Int64s, other_close: Floats, bar_ms: int
) -> None:
    """Bars compared with a second source of the same coin: are they stamped with their open?

    Raises
    ------
    MarketError
        If they agree with bars of the other source that are one bar earlier or later, and not with those at the same
        time.
    """

    def distance(shift: int) -> float:
        _, mine, theirs = np.intersect1d(time_ms + shift * bar_ms, other_ms, return_indices=True)
        if mine.size < 24:
            return np.nan
        return float(np.median(np.abs(np.log(close[mine] / other_close[theirs]))))

    own = distance(0)
    for shift, name, cure in ((-1, "close", "stamp=close"), (1, "open of the bar before", "stamp=open")):
        moved = distance(shift)
        if own > 0 and moved < own / 5 and moved < 0.002:
            raise MarketError(
                f"{where}: its closes agree with the store's bars one bar {'earlier' if shift < 0 else 'later'} "
                f"({moved:.2%} apart, {own:.2%} at their own time): stamped with their {name}? say `unit {cure}`"
            )
