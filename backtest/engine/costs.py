"""The kernel's input from a market and a configuration: its panel of bars, and its rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.base.config import RunConfig
from backtest.base.errors import MarketError
from backtest.base.units import DAY_MS, UNIT_MS, duration_ms
from backtest.engine.accounts import MARK_BARS, has_mark, in_settlement, inverse_of
from backtest.engine.layout import (
    CAPACITY,
    FUNDING,
    FUNDING_CONST,
    FUNDING_ERROR,
    FUNDING_ZERO,
    IMPACT,
    MARK,
    OPEN,
    PANEL_WIDTH,
    STOP_ORDERS,
    Bars,
    Rules,
)
from backtest.engine.liquidity import impact_coefficient, known_at_open, trailing_liquidity
from backtest.market.instrument import Instrument, Tier
from backtest.market.record import Floats, Market

FUNDING_POLICIES = {"error": FUNDING_ERROR, "zero": FUNDING_ZERO, "const": FUNDING_CONST}
DAYS_PER_YEAR = 365
SETTLEMENT_MS = 8 * UNIT_MS["h"]
"""Time between two settlements of funding at most venues."""


def next_tradable(tradable: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """(N, T + 1) first tradable row at or after each row; T if there is none."""
    bars, instruments = tradable.shape
    rows = np.where(tradable, np.arange(bars)[:, None], bars)
    ahead = np.minimum.accumulate(rows[::-1], axis=0)[::-1]
    return np.ascontiguousarray(np.vstack((ahead, np.full((1, instruments), bars))).T, dtype=np.int32)


def last_known(values: Floats) -> Floats:
    """(T, N) each value, or the last known one before it; NaN before the first."""
    return pd.DataFrame(values).ffill().to_numpy()


def kernel_bars(market: Market, config: RunConfig, detail: Market | None = None, panel: Floats | None = None) -> Bars:
    """Panel of a market under a configuration, with the finer bars that resolve the order inside a bar.

    `panel` is the room (N, T, 8) that it is written into; None for room of its own.

    Raises
    ------
    MarketError
        If the timeframe of the detail does not divide that of the market, or its bars are not aligned.
    """
    bars, instruments = market.close.shape
    liquidity = trailing_liquidity(market, duration_ms(config.liquidity_window))
    per_bar = market.bar_ms / DAY_MS
    panel = np.empty((instruments, bars, PANEL_WIDTH)) if panel is None else panel
    tradable = market.tradable
    inverse = inverse_of(market)
    for place, prices in enumerate(in_settlement(market), OPEN):
        panel[:, :, place] = prices.T
    closes = last_known(market.close)
    panel[:, :, MARK] = np.where(inverse, 1.0 / closes, closes).T
    swap = np.array([instrument.kind == "swap" for instrument in market.instruments])
    panel[:, :, FUNDING] = np.where(swap, np.where(inverse, -market.funding, market.funding), 0.0).T
    panel[:, :, IMPACT] = known_at_open(impact_coefficient(liquidity, config.impact)).T if config.impact else 0.0
    if math.isinf(config.participation):
        panel[:, :, CAPACITY] = np.inf
    else:
        panel[:, :, CAPACITY] = known_at_open(liquidity.daily_volume * per_bar * config.participation).T
    young = np.vstack((np.zeros((1, instruments), dtype=np.bool_), liquidity.young[:-1]))
    last_row = np.where(tradable.any(axis=0), bars - 1 - tradable[::-1].argmax(axis=0), -1).astype(np.int32)
    ended = (market.end_ms - market.open_ms[last_row] - market.bar_ms >= DAY_MS) | declared_ended(market)
    del liquidity
    finer, column, first, ratio = _detail(market, detail)
    mark, marked = _mark_bars(market, config, swap)
    return Bars(
        panel=panel,
        next_tradable=next_tradable(tradable),
        swap=swap,
        last_row=last_row,
        ended=ended,
        young=np.ascontiguousarray(young.T),
        **steps_of(market),
        mark=mark,
        marked=marked,
        detail=finer,
        detail_column=column,
        detail_first=first,
        detail_ratio=ratio,
    )


def _mark_bars(market: Market, config: RunConfig, swap: npt.NDArray[np.bool_]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """`mark` and `marked` of `Bars`; a bar of the mark price is known where its low, high and close are."""
    used = "mark" in (config.liquidation_trigger, config.stop_trigger)
    marked = has_mark(market) & swap if used else np.zeros(len(swap), dtype=np.bool_)
    if not marked.any():
        return np.empty((len(swap), 0, 3)), marked
    bars = np.stack([market.panel(name) for name in MARK_BARS], axis=-1)
    bars[:, :, 0], bars[:, :, 1] = np.fmin(bars[:, :, 0], bars[:, :, 2]), np.fmax(bars[:, :, 1], bars[:, :, 2])
    last = np.stack((market.low, market.high, market.close), axis=-1)
    bars = np.where(np.isnan(bars).any(axis=-1, keepdims=True), last, bars)
    inverse = inverse_of(market)
    bars = np.where(inverse[:, None], 1.0 / bars[:, :, [1, 0, 2]], bars)
    return np.ascontiguousarray(bars.transpose(1, 0, 2)), marked


def maintenance(tiers: tuple[Tier, ...]) -> Floats:
    """(K, 2) rate and deduction of tiers (from this notional on, rate): margin is continuous in notional."""
    rows = np.zeros((len(tiers), 2))
    for place, (floor, rate) in enumerate(tiers):
        before = rows[place - 1] if place else np.array((rate, 0.0))
        rows[place] = rate, before[1] + floor * (rate - before[0])
    return rows


def steps_of(market: Market) -> dict[str, npt.NDArray[Any]]:
    """Tick, lot, least notional, tiers and most leverage of `Bars`; steps are 0 if an instrument does not define them.

    The price grid of an inverse contract is not a grid of 1 / p, in which the kernel works: its tick is 0.
    """
    found = market.instruments
    rows = {change[0]: int(np.searchsorted(market.open_ms, change[0])) for one in found for change in one.changes}
    starts = sorted({0, *(row for row in rows.values() if row < len(market.open_ms))})
    versions = [[_in_force(one, rows, start) for one in found] for start in starts]
    return {
        "tick": np.array([0.0 if one.inverse else one.tick for one in found]),
        "lot": np.array([one.lot for one in found]),
        "least_notional": np.array([one.least_notional for one in found]),
        "tier_rows": np.array(starts, dtype=np.int32),
        "tiers": _padded([[maintenance(tiers) for tiers, _ in now] for now in versions], np.nan),
        "most_leverage": _padded([[np.array(most).reshape(-1, 2) for _, most in now] for now in versions], np.inf),
    }


def _in_force(one: Instrument, rows: Mapping[int, int], row: int) -> tuple[tuple[Tier, ...], tuple[Tier, ...]]:
    """Tiers and most leverage of an instrument at a row: those of the last change whose row is no later."""
    now = (one.tiers, one.most_leverage)
    for since, tiers, most in one.changes:
        now = (tiers, most) if rows[since] <= row else now
    return now


def _padded(versions: Sequence[Sequence[Floats]], nothing: float) -> Floats:
    """(V, N, K, 2) tables of pairs, each repeated to the longest; `nothing` where there is none."""
    longest = max((len(table) for now in versions for table in now), default=0)
    padded = np.full((len(versions), len(versions[0]), longest, 2), nothing)
    for version, now in enumerate(versions):
        for column, table in enumerate(now):
            if len(table):
                padded[version, column] = table[np.minimum(np.arange(longest), len(table) - 1)]
    return padded


def declared_ended(market: Market) -> npt.NDArray[np.bool_]:
    """(N,) whether an instrument is known to be delisted before the data end."""
    return np.array([one.delisted_ms is not None and one.delisted_ms <= market.end_ms for one in market.instruments])


def _detail(market: Market, detail: Market | None) -> tuple[Floats, npt.NDArray[np.int32], int, int]:
    column = np.full(len(market.instruments), -1, dtype=np.int32)
    if detail is None:
        return np.empty((0, 0, 4)), column, 0, 1
    if market.bar_ms % detail.bar_ms or detail.bar_ms >= market.bar_ms:
        raise MarketError(
            f"detail bars of {detail.timeframe} do not divide bars of {market.timeframe}: give a shorter timeframe "
            "that fits in a whole number of times"
        )
    offset = market.start_ms - detail.start_ms
    if offset % detail.bar_ms:
        raise MarketError(f"detail bars of {detail.provenance.name!r} are out of step with the market's bars")
    for place, symbol in enumerate(detail.symbols):
        if symbol in market.symbols:
            column[market.column(symbol)] = place
    # In C order as without finer bars: the kernel would be compiled a second time for another.
    finer = np.empty((len(detail.symbols), len(detail.index), 4))
    for place, prices in enumerate(in_settlement(detail)):
        finer[:, :, place] = prices.T
    return finer, column, offset // detail.bar_ms, market.bar_ms // detail.bar_ms


def kernel_rules(config: RunConfig, bar_ms: int) -> Rules:
    """Scalars of a configuration for bars of one length: its settings by their names, and what is derived from them."""
    settings = {name: getattr(config, name) for name in RunConfig.model_fields if name in Rules._fields}
    derived = {
        "funding_unknown": FUNDING_POLICIES[config.funding_unknown],
        "funding_const": config.funding_const * bar_ms / SETTLEMENT_MS,
        "settles_inside": bar_ms > SETTLEMENT_MS,
        "extend": config.in_position == "extend",
        "adds": config.in_position == "add",
        "cross": config.margin == "cross",
        "maker_targets": config.target_orders == "limit",
        "liquidates_on_mark": config.liquidation_trigger == "mark",
        "stops_on_mark": config.stop_trigger == "mark",
        "stop_order": STOP_ORDERS.index(config.stop_order),
        "bars_per_year": bars_per_year(bar_ms),
    }
    return Rules(**(settings | derived))


def bars_per_year(bar_ms: int) -> float:
    """Bars in a year of 365 days: crypto trades on all of them."""
    return DAYS_PER_YEAR * DAY_MS / bar_ms
