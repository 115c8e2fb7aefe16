"""Hypothesis: a catalyst lifts its coin relative to the market, whatever the market does."""

from __future__ import annotations

from pydantic import Field

from backtest.base.fields import Duration
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_between
from backtest.market.record import Market
from backtest.signals.strategy import Intents, Names, Share, Strategy
from backtest.signals.trading import TradeParameters, absent


class RelativeValueParameters(TradeParameters):
    """Parameters of `relative_value`."""

    asset: str = Field("ZEC", description="coin bought on its catalysts")
    hedges: Names = Field(
        ("RAIL", "BTC"), description="coin sold against it: the first that the market holds as a swap"
    )
    kinds: Names = Field((), description="kinds of catalyst; all where empty")
    hedge_ratio: float = Field(1.0, gt=0, le=10, description="notional sold / notional bought")
    hold: Duration = Field("96h", description="time limit from the fill")
    stop_loss: Share = Field(0.2, description="distance from the fill of either leg, share of price; 0 for none")


class RelativeValue(Strategy[RelativeValueParameters]):
    """Buys a coin on its catalysts and sells another against it; both legs enter and exit together."""

    name = "relative_value"
    hypothesis = "A catalyst of a coin is about that coin, so it gains on its sector and on bitcoin alike."
    parameters_type = RelativeValueParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        """Two legs for each upward catalyst of the coin, decided when it is known."""
        chosen = self.parameters
        bought = market.column_of(chosen.asset)
        hedges = {coin: market.column_of(coin, "swap") for coin in chosen.hedges if coin != chosen.asset}
        hedge = next((coin for coin, column in hedges.items() if column is not None), None)
        if bought is None or hedge is None:
            missing = chosen.asset if bought is None else " or ".join(hedges)
            return Intents(notes=(f"{missing} is not in market {market.provenance.name!r}: nothing is decided",))
        catalysts = calendar.filter(assets=(chosen.asset,), kinds=chosen.kinds, directions=(1,))
        rows = []
        for one, known_at in known_between(catalysts, market.start_ms, market.end_ms):
            group = f"{self.name}:{one.id}"
            rows += [
                chosen.intent(market.symbols[bought], known_at, 1, catalyst_id=one.id, group=group),
                chosen.intent(
                    market.symbols[hedges[hedge] or 0], known_at, -1,
                    share=chosen.hedge_ratio, catalyst_id=one.id, group=group,
                ),
            ]  # fmt: skip
        return Intents(
            tuple(rows),
            absent(
                f"no timed catalyst of {chosen.asset} in calendar {calendar.name!r} is in this market", rows, calendar
            ),
        )
