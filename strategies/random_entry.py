"""Benchmark: what random entries earn at the same costs."""

from __future__ import annotations

import zlib
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from backtest.base.units import DAY_MS
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.strategy import Intents, Names, Strategy
from backtest.signals.trading import TradeParameters, columns_of, signal_intents


class RandomEntryParameters(TradeParameters):
    """Parameters of `random_entry`."""

    assets: Names = Field(("ZEC",), description="coins; all where empty")
    seed: Annotated[int, Field(ge=0)] = Field(20251101, description="seed of the draws")
    a_week: Annotated[float, Field(gt=0, le=100)] = Field(1.0, description="entries expected in a week for each coin")
    side: Literal["long", "short"] = Field("long", description="side of every entry")


class RandomEntry(Strategy[RandomEntryParameters]):
    """Enters at random closes; the draw for a bar depends on its position, the instrument and the seed."""

    name = "random_entry"
    hypothesis = "Entries at random earn what the market gives to anyone, less the same costs."
    parameters_type = RandomEntryParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:  # noqa: ARG002
        """One intent at each drawn close that has a bar."""
        chosen = self.parameters
        columns = columns_of(chosen.assets, market)
        chance = chosen.a_week * market.bar_ms / (7 * DAY_MS)
        drawn = np.zeros(market.close.shape, dtype=bool)
        for column in columns:
            # One random stream per instrument: a longer market, or one with more instruments, repeats its draws.
            stream = np.random.default_rng([chosen.seed, zlib.crc32(market.symbols[column].encode())])
            drawn[:, column] = stream.random(len(market.index)) < chance
        side = 1 if chosen.side == "long" else -1
        return Intents(signal_intents(drawn & ~np.isnan(market.close), columns, side, chosen, market))
