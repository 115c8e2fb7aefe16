"""Trailing liquidity as known at each bar's close, and the market impact that follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.base.units import DAY_MS
from backtest.market.record import Flags, Floats, Market


@dataclass(frozen=True, slots=True)
class Liquidity:
    """Trailing volatility and volume, as known at each bar's close.

    Attributes
    ----------
    volatility : (T, N) float64
        Standard deviation (ddof 1) of log returns of the closes in the window, per square root of a day.
    daily_volume : (T, N) float64
        Mean volume of the bars in the window, per day, in the currency in which the instrument settles.
        Both are NaN with less than a day of bars (at least three) in the window.
    young : (T, N) bool
        Whether an instrument that begins after the market has less than that: volatility is then Parkinson's, from the
        highs and lows of the available bars, and the volume is their mean.
    """

    volatility: Floats
    daily_volume: Floats
    young: Flags


def trailing_liquidity(market: Market, window_ms: int) -> Liquidity:
    """Volatility and volume over the trailing window.

    Missing bars are left out of both, except where the venue omits empty bars: there they count as bars of volume zero.
    """
    per_day = DAY_MS / market.bar_ms
    window = max(math.ceil(window_ms / market.bar_ms), 3)
    least = min(max(math.ceil(per_day), 3), window)
    close, traded = _closes_and_trade(market)
    moves = np.diff(np.log(close), axis=0, prepend=np.nan)
    volatility = pd.DataFrame(moves).rolling(window, min_periods=least - 1).std().to_numpy() * math.sqrt(per_day)
    rolled = pd.DataFrame(traded).rolling(window, min_periods=least).mean().to_numpy()
    volume = np.maximum(rolled * per_day, 0.0)
    young = _young(market, close, least) & (np.isnan(volatility) | np.isnan(volume))
    if young.any():
        volatility = np.where(young, parkinson_volatility(market.high, market.low) * math.sqrt(per_day), volatility)
        volume = np.where(young, pd.DataFrame(traded).expanding(1).mean().to_numpy() * per_day, volume)
    return Liquidity(volatility, volume, young)


def parkinson_volatility(high: Floats, low: Floats) -> Floats:
    """(T, N) volatility per bar from the ranges of all bars so far: root of mean(ln(high / low)^2) / (4 ln 2).

    Source: Parkinson (1980), Journal of Business 53(1), 61-65.
    """
    squares = pd.DataFrame(np.log(high / low) ** 2).expanding(1).mean().to_numpy()
    return np.asarray(np.sqrt(squares / (4.0 * math.log(2.0))))


def _closes_and_trade(market: Market) -> tuple[Floats, Floats]:
    """(T, N) closes and the volume traded, in the currency of settlement; omitted bars count as empty."""
    close = market.close
    inverse = np.array([instrument.inverse for instrument in market.instruments], dtype=bool)
    # A contract on a fixed amount of dollars, settled in coins: its volume in coins is in the settlement currency.
    traded = np.where(inverse, market.volume, close * market.volume)
    omitting = [column for column, instrument in enumerate(market.instruments) if instrument.omits_empty_bars]
    if omitting:
        close = close.copy()
        for column in omitting:
            known = pd.Series(close[:, column])
            filled = known.ffill().where(known.bfill().notna()).to_numpy()
            traded[np.isnan(close[:, column]) & ~np.isnan(filled), column] = 0.0
            close[:, column] = filled
    return close, traded


def _young(market: Market, close: Floats, least: int) -> npt.NDArray[np.bool_]:
    """(T, N) the first `least` - 1 bars of instruments that begin after the market."""
    known = ~np.isnan(close)
    first = np.where(known.any(axis=0), known.argmax(axis=0), len(close))
    row = np.arange(len(close))[:, None]
    listed = np.array([one.listed_ms is not None and one.listed_ms >= market.start_ms for one in market.instruments])
    return np.asarray((row >= first) & (row < first + least) & ((first > 0) | listed))


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
