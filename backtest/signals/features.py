"""Causal indicators on panels: row t uses rows up to t only, so it is known at that bar's close.

Every function takes (T, N) or (T,) arrays and returns one of the same shape. A window is known if all of its rows are:
one NaN in it makes the result NaN, and so are the first rows, where it is not yet full. Nothing is filled in.

On-balance volume is two lines of numpy: vectorbt's costs seconds of import for the same differences (a test compares
them), and vectorbt has neither Chaikin money flow nor records and flags.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.base.errors import UsageError
from backtest.base.units import DAY_MS, duration_ms
from backtest.market.record import Flags, Floats, Market

YEAR_MS = 365 * DAY_MS


def bars_of(duration: str, market: Market) -> int:
    """Whole bars in a duration, rounded up; a duration of zero raises `UsageError`."""
    milliseconds = duration_ms(duration)
    if milliseconds <= 0:
        raise UsageError(f"window {duration!r} has no length: use {market.timeframe} or longer")
    return -(-milliseconds // market.bar_ms)


def closes_ms(market: Market) -> npt.NDArray[np.int64]:
    """(T,) when each bar is known, milliseconds UTC: its close."""
    return market.open_ms + market.bar_ms


def lagged(values: Floats, bars: int) -> Floats:
    """`values` of `bars` rows before; NaN in the first rows."""
    earlier = np.full(values.shape, np.nan)
    if bars < len(values):
        earlier[bars:] = values[: len(values) - bars]
    return earlier


def change(values: Floats, bars: int) -> Floats:
    """values_t / values_(t - bars) - 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result = values / lagged(values, bars) - 1.0
    return np.where(np.isfinite(result), result, np.nan)


def log_change(values: Floats, bars: int) -> Floats:
    """log(values_t / values_(t - bars)); NaN where either is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log1p(change(values, bars))


def rolling(values: Floats, bars: int, statistic: str) -> Floats:
    """`max`, `min`, `mean` or `sum` of the last `bars` rows, row t among them."""
    windows: Any = pd.DataFrame(values).rolling(bars, min_periods=bars)
    return np.asarray(getattr(windows, statistic)(), dtype=np.float64).reshape(values.shape)


def is_record(values: Floats, bars: int) -> Flags:
    """Whether a value is above each of the `bars` rows before it; False where any of them is unknown."""
    return np.asarray(values > lagged(rolling(values, bars, "max"), 1))


def begins(condition: Flags) -> Flags:
    """Rows where a condition holds that did not hold in the row before; the first row never counts."""
    started = np.zeros_like(condition)
    started[1:] = condition[1:] & ~condition[:-1]
    return started


def coins_of_interest(market: Market) -> Floats:
    """(T, N) open interest in coins, open interest / close: the part of it that is not the price's own move."""
    return np.asarray(market.open_interest / market.close)


def on_balance_volume(close: Floats, volume: Floats) -> Floats:
    """Running sum of the volume signed by the close-to-close move (Granville 1963), from 0.

    A bar whose close or volume is unknown, or whose predecessor's close is, adds nothing: only differences of
    this series mean anything.
    """
    signed = np.sign(close - lagged(close, 1)) * volume
    return np.cumsum(np.nan_to_num(signed, nan=0.0), axis=0)


def chaikin_money_flow(high: Floats, low: Floats, close: Floats, volume: Floats, bars: int) -> Floats:
    """Chaikin money flow over `bars`, -1 to 1: sum of volume times ((C - L) - (H - C)) / (H - L), over sum of volume.

    A bar without a range has multiplier 0. NaN where no volume was traded in the window.
    """
    span = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        place = np.where(span == 0, 0.0, ((close - low) - (high - close)) / span)
        flow = rolling(place * volume, bars, "sum") / rolling(volume, bars, "sum")
    return np.where(np.isfinite(flow), flow, np.nan)


def flag_breakout(high: Floats, low: Floats, close: Floats, pole_bars: int, flag_bars: int, pole: float) -> Flags:
    """Whether a close leaves a flag upward.

    The pole is a rise of at least `pole`, share of the price, over the `pole_bars` before the flag. The flag is the
    `flag_bars` before row t: its lows give back at most half of the pole and its highs stay below the close of row t.
    """
    top = lagged(close, flag_bars + 1)
    bottom = lagged(close, flag_bars + 1 + pole_bars)
    highest = lagged(rolling(high, flag_bars, "max"), 1)
    lowest = lagged(rolling(low, flag_bars, "min"), 1)
    with np.errstate(invalid="ignore"):
        return np.asarray((top / bottom - 1.0 >= pole) & (lowest >= (top + bottom) / 2) & (close > highest))


def funding_yearly(market: Market, bars: int) -> Floats:
    """(T, N) funding of the last `bars` as a simple yearly rate, share of notional; NaN where any of it is unknown."""
    return rolling(market.funding, bars, "sum") * (YEAR_MS / (bars * market.bar_ms))


def row_known_at(moment_ms: int, market: Market) -> int:
    """Row of the last bar closed at or before a moment; -1 where there is none."""
    return int(min(max((moment_ms - market.start_ms) // market.bar_ms - 1, -1), len(market.index) - 1))
