"""Adverse and favourable excursion of each trade, and the rolling Sharpe ratio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.engine import layout
from backtest.engine.costs import DAYS_PER_YEAR
from backtest.engine.run import Run
from backtest.market.record import Floats
from backtest.scoring.metrics import bar_returns, sharpe_ratios

WINDOW_DAYS = 30


@dataclass(frozen=True, slots=True, eq=False)
class Excursions:
    """Excursions of T trades, each (T,) float64, shares of the entry price, signed in the direction of the trade.

    Attributes
    ----------
    adverse
        Maximum adverse excursion, zero or below: how far the price certainly went against the trade.
    favourable
        Maximum favourable excursion, zero or above.
    """

    adverse: Floats
    favourable: Floats


def excursions(run: Run) -> Excursions:
    """Greatest move against and in favour of each trade of a run, from its fill, in the order of `run.trades`.

    The exit price and every bar that was held whole count. A bar inside which the trade began or ended is left out,
    because its high and low may lie outside the trade: both excursions are certain lower bounds.
    """
    trades, market = run.trades, run.market
    count = run.book.counts[1]
    rows = run.book.trades[:count]
    names = list(layout.TRADE_COLUMNS)
    column, first, last, phase = (
        rows[:, names.index(name)].astype(np.int64) for name in ("column", "entry_row", "exit_row", "exit_phase")
    )
    start = first + _began_inside(run, rows[:, names.index("intent")].astype(np.int64))
    stop = last + (phase == layout.AT_CLOSE)
    side = trades["side"].to_numpy(dtype=np.float64)
    entry, left = (trades[name].to_numpy(dtype=np.float64) for name in ("entry_price", "exit_price"))
    lowest, highest = np.minimum(entry, left), np.maximum(entry, left)
    for place in range(count):
        held = slice(start[place], stop[place]), column[place]
        lowest[place] = np.fmin.reduce(market.low[held], initial=lowest[place])
        highest[place] = np.fmax.reduce(market.high[held], initial=highest[place])
    down, up = lowest / entry - 1.0, highest / entry - 1.0
    return Excursions(np.where(side > 0, down, -up), np.where(side > 0, up, -down))


def _began_inside(run: Run, intents: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(T,) whether the entry of each trade was filled inside its bar."""
    fills = run.book.fills[: run.book.counts[0]]
    names = list(layout.FILL_COLUMNS)
    entries = fills[fills[:, names.index("reason")] == layout.ENTRY]
    # Of an entry in several fills the first one counts.
    phases = dict(entries[::-1, [names.index("intent"), names.index("phase")]].tolist())
    return np.array([phases.get(one) != layout.AT_OPEN for one in intents.tolist()], dtype=np.bool_)


def rolling_sharpe(run: Run, days: int = WINDOW_DAYS) -> pd.Series[float]:
    """Annualised Sharpe ratio of the last `days` daily returns at the end of each UTC day, indexed by that midnight.

    NaN before that many days have passed, and where equity did not move. Windows overlap: neighbours are dependent.
    """
    daily = run.equity.resample("1D").last().ffill()
    returns = bar_returns(np.asarray(daily, dtype=np.float64), run.config.capital)
    ratios = np.full(len(returns), np.nan)
    if len(returns) >= days:
        windows = np.lib.stride_tricks.sliding_window_view(returns, days)
        ratios[days - 1 :] = sharpe_ratios(windows, float(DAYS_PER_YEAR))
    return pd.Series(ratios, pd.DatetimeIndex(daily.index) + pd.Timedelta(days=1), name="rolling_sharpe")
