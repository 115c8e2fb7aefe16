"""Hypothesis: a public call lets the caller sell."""

from __future__ import annotations

from pydantic import Field

from backtest.base.fields import Duration
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.fading import fades
from backtest.signals.strategy import Intents, Names, Strategy
from backtest.signals.trading import TradeParameters, absent


class InfluencerFadeParameters(TradeParameters):
    """Parameters of `influencer_fade`."""

    assets: Names = Field((), description="coins; all where empty")
    actors: Names = Field((), description="who called; all where empty")
    delay: Duration = Field("24h", description="wait from when the call is known to the decision")
    least_rise: float = Field(0.05, description="move since the announcement that is worth fading, share of price")
    weight: float = Field(0.2, gt=0, le=10, description="notional / equity")


class InfluencerFade(Strategy[InfluencerFadeParameters]):
    """Shorts a coin that rose on a public figure's call, a day after it."""

    name = "influencer_fade"
    hypothesis = "A public call moves attention and not value, so the rise that follows it is given back."
    parameters_type = InfluencerFadeParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        """One short intent for each called coin that has risen enough since the last close before the call."""
        chosen = self.parameters
        calls = calendar.filter(assets=chosen.assets, kinds=("influencer_call",), actors=chosen.actors, directions=(1,))
        rows = fades(calls, market, chosen, chosen.assets, chosen.delay, chosen.least_rise)
        what = f"no call of calendar {calendar.name!r} moved its coin by {chosen.least_rise:+.1%} in this market"
        return Intents(rows, absent(what, rows, calendar))
