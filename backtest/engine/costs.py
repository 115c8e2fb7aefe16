"""What a replay costs: trailing liquidity as known at each open, and the panel and rules that the kernel reads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.config import RunConfig
from backtest.engine.layout import (
    CAPACITY,
    CLOSE,
    FUNDING,
    FUNDING_CONST,
    FUNDING_ERROR,
    FUNDING_ZERO,
    HIGH,
    IMPACT,
    LOW,
    MARK,
    OPEN,
    Bars,
    Rules,
)
from backtest.errors import MarketError
from backtest.market.record import Floats, Market
from backtest.units import DAY_MS, UNIT_MS, duration_ms

FUNDING_POLICIES = {"error": FUNDING_ERROR, "zero": FUNDING_ZERO, "const": FUNDING_CONST}
DAYS_PER_YEAR = 365


@dataclass(frozen=True, slots=True)
class Liquidity:
    """Trailing volatility and volume, as known at each bar's close.

    Attributes
    ----------
    volatility : (T, N) float64
        Standard deviation (ddof 1) of log returns of the closes in the window, per square root of a day.
    daily_volume : (T, N) float64
        Mean quote volume (volume times close) of the bars in the window, per day.
        Both are NaN with less than a day of bars (at least three) in the window.
    """

    volatility: Floats
    daily_volume: Floats


def trailing_liquidity(market: Market, window_ms: int) -> Liquidity:
    """Volatility and volume over the trailing window; missing bars are left out of both."""
    per_day = DAY_MS / market.bar_ms
    window = max(math.ceil(window_ms / market.bar_ms), 3)
    least = min(max(math.ceil(per_day), 3), window)
    close = pd.DataFrame(market.close)
    moves = pd.DataFrame(np.log(market.close)).diff()
    volatility = moves.rolling(window, min_periods=least - 1).std() * math.sqrt(per_day)
    volume = (close * market.volume).rolling(window, min_periods=least).mean() * per_day
    return Liquidity(volatility.to_numpy(), np.maximum(volume.to_numpy(), 0.0))


def known_at_open(values: Floats) -> Floats:
    """(T, N) values known at each close, moved to the next bar's open; the first row is NaN."""
    return np.vstack((np.full((1, values.shape[1]), np.nan), values[:-1]))


def impact_coefficient(liquidity: Liquidity, scale: float) -> Floats:
    """(T, N) coefficient c of impact = c * sqrt(notional), share of price: Y * sigma / sqrt(ADV).

    The square-root law: Torre and Ferrari, Barra Market Impact Model Handbook (1997). Almgren et al., Risk (2005), find
    an exponent of 3/5, which charges less below a notional of one ADV.
    Infinite where nothing trades, 0 where `scale` Y is 0, NaN where liquidity is unknown.
    """
    if scale == 0:
        return np.zeros_like(liquidity.volatility)
    with np.errstate(divide="ignore", invalid="ignore"):
        coefficient = scale * liquidity.volatility / np.sqrt(liquidity.daily_volume)
    return np.where(liquidity.daily_volume == 0, np.inf, coefficient)


def next_tradable(tradable: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """(N, T + 1) first tradable row at or after each row; T where there is none."""
    bars, instruments = tradable.shape
    rows = np.where(tradable, np.arange(bars)[:, None], bars)
    ahead = np.minimum.accumulate(rows[::-1], axis=0)[::-1]
    return np.ascontiguousarray(np.vstack((ahead, np.full((1, instruments), bars))).T, dtype=np.int32)


def last_known(values: Floats) -> Floats:
    """(T, N) each value or the last one before it that was known; NaN before the first."""
    return pd.DataFrame(values).ffill().to_numpy()


def kernel_bars(market: Market, config: RunConfig, detail: Market | None = None) -> Bars:
    """Panel of a market under a configuration, with the finer bars that resolve the order inside a bar.

    Raises
    ------
    MarketError
        Where the detail's timeframe does not divide the market's, or its bars are out of step.
    """
    bars, instruments = market.close.shape
    liquidity = trailing_liquidity(market, duration_ms(config.liquidity_window))
    per_bar = market.bar_ms / DAY_MS
    panel = np.empty((instruments, bars, 8))
    tradable = market.tradable
    for place, name in ((OPEN, "open"), (HIGH, "high"), (LOW, "low"), (CLOSE, "close")):
        panel[:, :, place] = np.where(tradable, getattr(market, name), np.nan).T
    panel[:, :, MARK] = last_known(market.close).T
    swap = np.array([instrument.kind == "swap" for instrument in market.instruments])
    panel[:, :, FUNDING] = np.where(swap, market.funding, 0.0).T
    panel[:, :, IMPACT] = known_at_open(impact_coefficient(liquidity, config.impact)).T if config.impact else 0.0
    if math.isinf(config.participation):
        panel[:, :, CAPACITY] = np.inf
    else:
        panel[:, :, CAPACITY] = known_at_open(liquidity.daily_volume * per_bar * config.participation).T
    finer, column, first, ratio = _detail(market, detail)
    return Bars(panel, next_tradable(tradable), swap, finer, column, first, ratio)


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
    panel = np.stack((detail.open, detail.high, detail.low, detail.close), axis=-1)
    finer = np.where(detail.tradable[:, :, None], panel, np.nan).transpose(1, 0, 2)
    return np.ascontiguousarray(finer), column, offset // detail.bar_ms, market.bar_ms // detail.bar_ms


def kernel_rules(config: RunConfig, bar_ms: int) -> Rules:
    """Scalars of a configuration for bars of one length: its settings by their names, and what is derived from them."""
    settings = {name: getattr(config, name) for name in RunConfig.model_fields if name in Rules._fields}
    derived = {
        "funding_unknown": FUNDING_POLICIES[config.funding_unknown],
        "funding_const": config.funding_const * bar_ms / (8 * UNIT_MS["h"]),
        "extend": config.in_position == "extend",
        "favourable_first": config.stop_order == "optimistic",
        "bars_per_year": bars_per_year(bar_ms),
    }
    return Rules(**(settings | derived))


def bars_per_year(bar_ms: int) -> float:
    """Bars in a year of 365 days: crypto trades on all of them."""
    return DAYS_PER_YEAR * DAY_MS / bar_ms
