"""Hypothesis: a listing brings buyers for days."""

from __future__ import annotations

from pydantic import Field

from backtest.base.fields import Duration
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_between
from backtest.market.record import Market
from backtest.signals.strategy import Intents, Names, Share, Strategy
from backtest.signals.trading import TradeParameters, absent, catalyst_columns


class ListingMomentumParameters(TradeParameters):
    """Parameters of `listing_momentum`."""

    assets: Names = Field((), description="coins; all where empty")
    actors: Names = Field((), description="venues; all where empty")
    hold: Duration = Field("48h", description="time limit from the fill")
    trailing_stop: Share = Field(0.1, description="distance from the best price, share of it; 0 for none")


class ListingMomentum(Strategy[ListingMomentumParameters]):
    """Buys a coin as soon as its listing on a venue is known."""

    name = "listing_momentum"
    hypothesis = "A new venue brings a coin buyers and leverage for days, so buying the listing pays."
    parameters_type = ListingMomentumParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        """One long intent for each listed coin, decided when the listing is known."""
        listings = calendar.filter(
            assets=self.parameters.assets, kinds=("listing",), actors=self.parameters.actors, directions=(1,)
        )
        known = known_between(listings, market.start_ms, market.end_ms)
        rows = tuple(
            self.parameters.intent(market.symbols[column], known_at, 1, catalyst_id=one.id)
            for one, known_at in known
            for column in catalyst_columns(one, self.parameters.assets, market)
        )
        return Intents(
            rows, absent(f"no timed listing of calendar {calendar.name!r} is in this market", rows, calendar)
        )
