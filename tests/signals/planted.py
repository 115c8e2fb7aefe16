"""Strategies that look ahead on purpose, one sort each, and honest ones that resemble them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from backtest.base.units import UNIT_MS, to_ms
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_at_ms
from backtest.market.record import Market
from backtest.signals.strategy import Intent, Intents, Parameters, Strategy

HOUR = UNIT_MS["h"]
Decide = Callable[[Market, Calendar], Iterable[Intent]]


def strategy_of(function: Decide) -> Strategy[Any]:
    """A strategy of a function; those of this module can be found by another interpreter."""
    return _OF_THIS_MODULE.get(function, _class_of(function))()


def _class_of(function: Decide) -> type[Strategy[Any]]:
    class Planted(Strategy[Parameters]):
        name = function.__name__
        hypothesis = "Planted."
        parameters_type = Parameters

        def decide(self, market: Market, calendar: Calendar) -> Intents:
            return Intents(tuple(function(market, calendar)))

    return Planted


def long(market: Market, moment: int, column: int = 0, **fields: Any) -> Intent:
    return Intent(instrument=market.symbols[column], decided_at_ms=int(moment), weight=0.1, hold_ms=24 * HOUR, **fields)


def at_closes(market: Market, rows: np.ndarray) -> list[Intent]:
    return [long(market, market.open_ms[row] + market.bar_ms) for row in np.flatnonzero(rows)]


def same_bar_close(market: Market, calendar: Calendar) -> list[Intent]:
    """Buys at a bar's open because it will close higher."""
    rows = np.flatnonzero(market.close[:, 0] > 1.02 * market.open[:, 0])
    return [long(market, market.open_ms[row]) for row in rows]


def centred_window(market: Market, calendar: Calendar) -> list[Intent]:
    close = market.frame("close").iloc[:, 0]
    return at_closes(market, (close > 1.02 * close.rolling(9, center=True).mean()).to_numpy())


def backfill(market: Market, calendar: Calendar) -> list[Intent]:
    """Fills unknown open interest from the reading that follows."""
    filled = market.frame("open_interest").bfill().iloc[:, 0].to_numpy()
    return at_closes(market, np.append(False, filled[1:] > 1.03 * filled[:-1]))


def future_fitted_scaler(market: Market, calendar: Calendar) -> list[Intent]:
    """Scales by the mean and deviation of the whole sample."""
    moves = pd.Series(market.close[:, 0]).pct_change()
    return at_closes(market, ((moves - moves.mean()) / moves.std() > 2.0).to_numpy())


def open_interest_without_its_period(market: Market, calendar: Calendar) -> list[Intent]:
    """Takes the reading of four hours later, as if a sample were known at its stamp."""
    interest = pd.Series(market.open_interest[:, 0]).shift(-4)
    return at_closes(market, (interest > 1.05 * interest.shift(24)).to_numpy())


def unknown_hour_used_early(market: Market, calendar: Calendar) -> list[Intent]:
    """Trades a catalyst of which only the day is known at that day's start."""
    return [
        long(market, to_ms(one.announced_at), catalyst_id=one.id)
        for one in calendar
        if one.announced_at is not None and market.start_ms < to_ms(one.announced_at) < market.end_ms
    ]


def exit_decided_later(market: Market, calendar: Calendar) -> list[Intent]:
    """Says at the entry when it will leave: at the first later fall of 5 %."""
    close = market.close[:, 0]
    rows = range(48, len(close) - 1, 48)
    return [
        long(
            market,
            market.open_ms[row] + market.bar_ms,
            exit_at_ms=int(market.open_ms[row + 1 + np.argmax(close[row + 1 :] < 0.95 * close[row])]) + market.bar_ms,
        )
        for row in rows
        if (close[row + 1 :] < 0.95 * close[row]).any()
    ]


def global_maximum(market: Market, calendar: Calendar) -> list[Intent]:
    close = market.close[:, 0]
    return at_closes(market, close == np.nanmax(close))


def resample_label(market: Market, calendar: Calendar) -> list[Intent]:
    """Reads a day's close under the label of its start."""
    days = market.frame("close").iloc[:, 0].resample("1D").last()
    rising = days[days > 1.05 * days.shift(1)]
    return [long(market, int(day.timestamp() * 1000) + 8 * HOUR) for day in rising.index if day > market.index[0]]


def shuffled_calendar(market: Market, calendar: Calendar) -> list[Intent]:
    """Picks half of the catalysts by a shuffle of all, those to come among them."""
    timed = [one for one in calendar if one.announced_at is not None]
    chosen = np.random.default_rng(7).permutation(len(timed))[: len(timed) // 2]
    moments = [to_ms(timed[k].announced_at) + 24 * HOUR for k in sorted(chosen)]  # type: ignore[arg-type]
    return [long(market, moment) for moment in moments if market.start_ms < moment < market.end_ms]


def untimed_catalyst(market: Market, calendar: Calendar) -> list[Intent]:
    """Trades a catalyst whose day nobody knows."""
    return [
        long(market, to_ms(one.between[0]) + HOUR, catalyst_id=one.id)
        for one in calendar
        if one.between is not None and market.start_ms < to_ms(one.between[0]) < market.end_ms
    ]


def funding_before_it_settles(market: Market, calendar: Calendar) -> list[Intent]:
    """Reads the rate of the settlement that is to come."""
    coming = pd.Series(market.funding[:, 0]).replace(0.0, np.nan).bfill()
    return at_closes(market, (coming < -0.0003).to_numpy())


PLANTED = {
    same_bar_close: "close of ZEC/USDT:USDT",
    centred_window: "close of ZEC/USDT:USDT",
    backfill: "open interest of ZEC/USDT:USDT",
    future_fitted_scaler: "of ZEC/USDT:USDT",
    open_interest_without_its_period: "open interest of ZEC/USDT:USDT",
    unknown_hour_used_early: "catalyst ",
    exit_decided_later: "of ZEC/USDT:USDT",
    global_maximum: "of ZEC/USDT:USDT",
    resample_label: "close of ZEC/USDT:USDT",
    shuffled_calendar: "catalyst",
    untimed_catalyst: "catalyst zec-2025-10-hayes-repeat",
    funding_before_it_settles: "funding of ZEC/USDT:USDT",
}


def recursive_average(market: Market, calendar: Calendar) -> list[Intent]:
    """An exponential average remembers every bar before it, and none after it."""
    close = market.frame("close").iloc[:, 0]
    above = close > close.ewm(span=48).mean()
    return at_closes(market, (above & ~above.shift(1, fill_value=True)).to_numpy())


def expanding_scaler(market: Market, calendar: Calendar) -> list[Intent]:
    moves = pd.Series(market.close[:, 0]).pct_change()
    return at_closes(market, ((moves - moves.expanding().mean()) / moves.expanding().std() > 2.0).to_numpy())


def forward_fill(market: Market, calendar: Calendar) -> list[Intent]:
    filled = market.frame("open_interest").ffill().iloc[:, 0].to_numpy()
    return at_closes(market, np.append(False, filled[1:] > 1.03 * filled[:-1]))


def day_that_is_over(market: Market, calendar: Calendar) -> list[Intent]:
    """Reads a day's close when the day is over; a day that the data cut short is none."""
    closes = market.frame("close").iloc[:, 0].resample("1D")
    days = closes.last()[closes.count() == 24]
    rising = days[days > 1.05 * days.shift(1)]
    return [long(market, int(day.timestamp() * 1000) + 24 * HOUR) for day in rising.index]


def entry_at_a_running_maximum(market: Market, calendar: Calendar) -> list[Intent]:
    close = market.close[:, 0]
    return at_closes(market, close == np.maximum.accumulate(close))


def every_third_that_is_known(market: Market, calendar: Calendar) -> list[Intent]:
    """Counts catalysts, those of the past only."""
    moments = sorted(known for one in calendar if (known := known_at_ms(one)) is not None)
    return [long(market, moment) for moment in moments[::3] if market.start_ms < moment < market.end_ms]


HONEST = (
    recursive_average,
    expanding_scaler,
    forward_fill,
    day_that_is_over,
    entry_at_a_running_maximum,
    every_third_that_is_known,
)


def _found_by_name(function: Decide) -> type[Strategy[Any]]:
    """The class under a name of this module: it is then audited in copies of a small interpreter, not of the tests."""
    kind = _class_of(function)
    kind.__name__ = kind.__qualname__ = f"Strategy_{function.__name__}"
    globals()[kind.__name__] = kind
    return kind


_OF_THIS_MODULE = {one: _found_by_name(one) for one in (*PLANTED, *HONEST)}
