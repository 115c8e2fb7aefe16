"""Hypothesis: a pause in a rise ends upward if money keeps flowing in."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from backtest.base.fields import Duration
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.features import (
    bars_of,
    begins,
    chaikin_money_flow,
    flag_breakout,
    lagged,
    on_balance_volume,
)
from backtest.signals.strategy import Intents, Names, Share, Strategy
from backtest.signals.trading import TradeParameters, absent, columns_of, known_columns, signal_intents


class FlagBreakoutParameters(TradeParameters):
    """Parameters of `flag_breakout`."""

    assets: Names = Field((), description="coins; all where empty")
    pole_window: Duration = Field("4d", description="length of the rise before the flag")
    flag_window: Duration = Field("2d", description="length of the pause")
    pole: Share = Field(0.15, description="least rise of the pole, share of price")
    least_flow: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.0, description="Chaikin money flow over the flag, above this"
    )
    hold: Duration = Field("96h", description="time limit from the fill")
    stop_loss: Share = Field(0.1, description="distance from the fill, share of price; 0 for none")


class FlagBreakout(Strategy[FlagBreakoutParameters]):
    """Buys a close above a flag while on-balance volume rises and Chaikin money flow is positive."""

    name = "flag_breakout"
    hypothesis = "A flag that volume keeps flowing into breaks upward and goes on for days."
    parameters_type = FlagBreakoutParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:  # noqa: ARG002
        """One long intent at the close that starts each breakout."""
        chosen = self.parameters
        columns, notes = known_columns("volume", columns_of(chosen.assets, market), market)
        pole, flag = bars_of(chosen.pole_window, market), bars_of(chosen.flag_window, market)
        high, low, close, volume = market.high, market.low, market.close, market.volume
        balance = on_balance_volume(close, volume)
        with np.errstate(invalid="ignore"):
            inflow = chaikin_money_flow(high, low, close, volume, flag) > chosen.least_flow
            rising = balance > lagged(balance, flag)
        signal = begins(flag_breakout(high, low, close, pole, flag, chosen.pole) & inflow & rising)
        rows = signal_intents(signal, columns, 1, chosen, market)
        what = f"no flag on a pole of {chosen.pole:.0%} breaks upward with inflow in this market"
        return Intents(rows, notes + (absent(what, rows) if columns else ()))
