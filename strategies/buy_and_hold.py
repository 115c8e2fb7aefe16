"""Benchmark: buy once, keep to the end of the data."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from backtest.base.fields import Duration
from backtest.base.units import duration_ms
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.strategy import Intent, Intents, Names, Parameters, Strategy, instruments_of


class BuyAndHoldParameters(Parameters):
    """Parameters of `buy_and_hold`."""

    assets: Names = Field(("ZEC",), description="coins bought, in equal shares")
    weight: Annotated[float, Field(gt=0, le=10)] = Field(1.0, description="notional over all coins / equity")
    warmup: Duration = Field("1d", description="wait from the first bar, so that liquidity is known")


class BuyAndHold(Strategy[BuyAndHoldParameters]):
    """Buys equal shares after the warm-up and never sells."""

    name = "buy_and_hold"
    hypothesis = "Holding the coins through the whole window earns what timing its catalysts does not."
    parameters_type = BuyAndHoldParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:  # noqa: ARG002
        """One long intent per coin, decided after the warm-up."""
        symbols = instruments_of(self.parameters.assets, market)
        return Intents(
            tuple(
                Intent(
                    instrument=symbol,
                    decided_at_ms=market.start_ms + duration_ms(self.parameters.warmup),
                    weight=self.parameters.weight / len(symbols),
                )
                for symbol in symbols
            )
        )
