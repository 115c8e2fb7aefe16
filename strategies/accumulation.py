"""Hypothesis: coins that no longer flow into exchanges are being accumulated."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from backtest.base.fields import Duration
from backtest.catalysts.record import Calendar
from backtest.market.record import Flags, Market
from backtest.signals.features import bars_of, begins, lagged
from backtest.signals.strategy import Intents, Names, Share, Strategy
from backtest.signals.trading import TradeParameters, absent, columns_of, signal_intents


class AccumulationParameters(TradeParameters):
    """Parameters of `accumulation`."""

    assets: Names = Field(
        ("ZEC",), min_length=1, description="coins; the series of each is named as in zec_exchange_inflow"
    )
    window: Duration = Field("48h", description="window of the fall")
    least_fall: Share = Field(0.5, description="fall of the net inflow in it, share of its size at the start")
    hold: Duration = Field("7d", description="time limit from the fill")


class Accumulation(Strategy[AccumulationParameters]):
    """Buys a coin when its net flow into exchanges has fallen, as ZEC's did from $41.8M to $3.66M in two days."""

    name = "accumulation"
    hypothesis = (
        "Coins that stop flowing into exchanges are kept by their buyers, so less is for sale and the price rises."
    )
    parameters_type = AccumulationParameters

    def reads(self) -> tuple[str, ...]:
        """The net inflow of each coin, in any unit: `zec_exchange_inflow`."""
        return tuple(f"{coin.lower()}_exchange_inflow" for coin in self.parameters.assets)

    def decide(self, market: Market, calendar: Calendar) -> Intents:  # noqa: ARG002
        """One long intent per coin, at the close that begins each fall."""
        chosen = self.parameters
        columns = columns_of(chosen.assets, market)
        signal: Flags = np.zeros(market.close.shape, dtype=bool)
        for column, name in zip(columns, self.reads(), strict=True):
            inflow = self.reading(name, market)[:, None]
            before = lagged(inflow, bars_of(chosen.window, market))
            with np.errstate(invalid="ignore"):
                signal[:, column] = ((before - inflow) >= chosen.least_fall * np.abs(before))[:, 0] & (before[:, 0] > 0)
        rows = signal_intents(begins(signal), columns, 1, chosen, market)
        missing = self.unsupplied(market)
        what = f"no inflow that was positive falls by {chosen.least_fall:.0%} within {chosen.window} in this market"
        return Intents(rows, missing + (absent(what, rows) if len(missing) < len(columns) else ()))
