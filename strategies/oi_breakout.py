"""Hypothesis: record open interest in a rising market squeezes short sellers."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from backtest.base.fields import Duration
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.features import bars_of, begins, change, is_record
from backtest.signals.strategy import Intents, Names, Share, Strategy
from backtest.signals.trading import TradeParameters, absent, columns_of, known_columns, signal_intents


class OiBreakoutParameters(TradeParameters):
    """Parameters of `oi_breakout`."""

    assets: Names = Field((), description="coins; all where empty")
    record: Duration = Field("14d", description="open interest is above all of this long before")
    rise_window: Duration = Field("24h", description="window of the price's rise")
    least_rise: Share = Field(0.05, description="rise of the price in it, share of price")
    trailing_stop: Share = Field(0.1, description="distance from the best price, share of it; 0 for none")


class OiBreakout(Strategy[OiBreakoutParameters]):
    """Buys when open interest (quote notional) sets a record while the price rises, as ZEC did on 2025-11-01."""

    name = "oi_breakout"
    hypothesis = "A record of open interest in a rising market has shorts in it who must buy back, so it goes on."
    parameters_type = OiBreakoutParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:  # noqa: ARG002
        """One long intent at the close that starts each run of records in a rising market."""
        chosen = self.parameters
        columns, notes = known_columns("open_interest", columns_of(chosen.assets, market, "swap"), market)
        with np.errstate(invalid="ignore"):
            rising = change(market.close, bars_of(chosen.rise_window, market)) >= chosen.least_rise
            record = is_record(market.open_interest, bars_of(chosen.record, market))
        rows = signal_intents(begins(record & rising), columns, 1, chosen, market)
        what = f"open interest sets no record of {chosen.record} on a rise of {chosen.least_rise:.0%} in this market"
        return Intents(rows, notes + (absent(what, rows) if columns else ()))
