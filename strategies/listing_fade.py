"""Hypothesis: the rise on a listing is given back."""

from __future__ import annotations

from pydantic import Field

from backtest.base.fields import Duration
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.fading import fades
from backtest.signals.strategy import Intents, Names, Strategy
from backtest.signals.trading import TradeParameters, absent


class ListingFadeParameters(TradeParameters):
    """Parameters of `listing_fade`."""

    assets: Names = Field((), description="coins; all where empty")
    actors: Names = Field((), description="venues; all where empty")
    delay: Duration = Field("6h", description="wait from when the listing is known to the decision")
    least_rise: float = Field(0.02, description="move since the announcement that is worth fading, share of price")
    hold: Duration = Field("96h", description="time limit from the fill")


class ListingFade(Strategy[ListingFadeParameters]):
    """Shorts a coin that rose on its listing, some hours after it."""

    name = "listing_fade"
    hypothesis = "A listing gives holders somewhere to sell, so the rise that greets it is given back within days."
    parameters_type = ListingFadeParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        """One short intent for each listed coin that has risen enough since the last close before the announcement."""
        chosen = self.parameters
        listings = calendar.filter(assets=chosen.assets, kinds=("listing",), actors=chosen.actors, directions=(1,))
        rows = fades(listings, market, chosen, chosen.assets, chosen.delay, chosen.least_rise)
        what = f"no listing of calendar {calendar.name!r} moved its coin by {chosen.least_rise:+.1%} in this market"
        return Intents(rows, absent(what, rows, calendar))
