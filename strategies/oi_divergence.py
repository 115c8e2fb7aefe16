"""Hypothesis: a rise on falling open interest comes from shorts closing, not from new buyers."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from backtest.base.fields import Duration
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.features import bars_of, begins, change, coins_of_interest, log_change
from backtest.signals.strategy import Intents, Names, Share, Strategy
from backtest.signals.trading import TradeParameters, absent, columns_of, known_columns, signal_intents


class OiDivergenceParameters(TradeParameters):
    """Parameters of `oi_divergence`."""

    assets: Names = Field((), description="coins; all where empty")
    window: Duration = Field("48h", description="window of both moves")
    least_rise: Share = Field(0.08, description="rise of the price, share of price")
    least_fall: Share = Field(0.05, description="fall of open interest in coins, as a log change")
    weight: float = Field(0.2, gt=0, le=10, description="notional / equity")


class OiDivergence(Strategy[OiDivergenceParameters]):
    """Shorts a price rise on falling open interest, counted in coins so that the price itself has no effect on it."""

    name = "oi_divergence"
    hypothesis = "A rise on falling open interest is shorts closing; when they are done, it is given back."
    parameters_type = OiDivergenceParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:  # noqa: ARG002
        """One short intent at the close that begins each divergence."""
        chosen = self.parameters
        columns, notes = known_columns("open_interest", columns_of(chosen.assets, market, "swap"), market)
        bars = bars_of(chosen.window, market)
        with np.errstate(invalid="ignore"):
            rising = change(market.close, bars) >= chosen.least_rise
            falling = log_change(coins_of_interest(market), bars) <= -chosen.least_fall
        rows = signal_intents(begins(rising & falling), columns, -1, chosen, market)
        what = f"no rise of {chosen.least_rise:.0%} meets falling open interest in this market"
        return Intents(rows, notes + (absent(what, rows) if columns else ()))
