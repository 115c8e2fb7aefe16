"""Hypothesis: a catalyst moves its coin for longer than it takes to read it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from backtest.catalysts.record import Calendar, Confidence
from backtest.catalysts.timing import known_between
from backtest.config import Duration, duration_ms
from backtest.market.record import Market
from backtest.signals.strategy import Intent, Intents, Names, Parameters, Share, Strategy, level


class CatalystMomentumParameters(Parameters):
    """Parameters of `catalyst_momentum`; empty filters take every catalyst."""

    assets: Names = Field((), description="coins")
    kinds: Names = Field((), description="kinds of catalyst")
    actors: Names = Field((), description="who acted")
    confidences: tuple[Confidence, ...] = Field(("high", "medium", "low"), description="how sure the sources are")
    weight: Annotated[float, Field(gt=0, le=10)] = Field(0.25, description="notional / equity")
    hold: Duration = Field("72h", description="time limit from the fill")
    stop_loss: Share = Field(0.15, description="distance from the fill, share of price; 0 for none")
    take_profit: Share = Field(0.0, description="distance from the fill, share of price; 0 for none")
    trailing_stop: Share = Field(0.0, description="distance from the best price, share of it; 0 for none")


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
            directions=(1, -1),
        )
        rows = []
        for catalyst, known_at in known_between(chosen, market.start_ms, market.end_ms):
            for asset in catalyst.assets:
                column = market.column_of(asset)
                if column is None or (self.parameters.assets and asset not in self.parameters.assets):
                    continue
                rows.append(
                    Intent(
                        instrument=market.symbols[column],
                        decided_at_ms=known_at,
                        side=catalyst.direction,
                        weight=self.parameters.weight,
                        hold_ms=duration_ms(self.parameters.hold),
                        stop_loss=level(self.parameters.stop_loss),
                        take_profit=level(self.parameters.take_profit),
                        trailing_stop=level(self.parameters.trailing_stop),
                        catalyst_id=catalyst.id,
                    )
                )
        return Intents(tuple(rows))
