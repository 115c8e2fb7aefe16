"""Hypothesis: a catalyst moves its coin for longer than it takes to read it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from backtest.catalysts.record import Calendar, Confidence
from backtest.catalysts.timing import known_between
from backtest.market.record import Market
from backtest.signals.strategy import Intents, Names, Strategy
from backtest.signals.trading import TradeParameters, absent, catalyst_columns

DIRECTIONS = {"both": (1, -1), "up": (1,), "down": (-1,)}


class CatalystMomentumParameters(TradeParameters):
    """Parameters of `catalyst_momentum`; empty filters take every catalyst."""

    assets: Names = Field((), description="coins")
    kinds: Names = Field((), description="kinds of catalyst")
    actors: Names = Field((), description="who acted")
    direction: Literal["both", "up", "down"] = Field("both", description="expected sign of the reaction")
    confidences: tuple[Confidence, ...] = Field(("high", "medium", "low"), description="how sure the sources are")


class CatalystMomentum(Strategy[CatalystMomentumParameters]):
    """Trades each coin of each catalyst in the catalyst's direction, as soon as it is certain to be public."""

    name = "catalyst_momentum"
    hypothesis = "A catalyst moves its coin for longer than it takes to read it, so following it pays."
    parameters_type = CatalystMomentumParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        """One intent for each coin of each timed catalyst with a direction, decided when it is known."""
        chosen = calendar.filter(
            assets=self.parameters.assets,
            kinds=self.parameters.kinds,
            actors=self.parameters.actors,
            confidences=self.parameters.confidences,
            directions=DIRECTIONS[self.parameters.direction],
        )
        rows = tuple(
            self.parameters.intent(market.symbols[column], known_at, one.direction, catalyst_id=one.id)
            for one, known_at in known_between(chosen, market.start_ms, market.end_ms)
            for column in catalyst_columns(one, self.parameters.assets, market)
        )
        return Intents(
            rows, absent(f"no timed catalyst chosen from calendar {calendar.name!r} is in this market", rows, calendar)
        )
