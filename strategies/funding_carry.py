"""Hypothesis: rich funding persists long enough to be collected against spot."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from backtest.base.fields import Duration
from backtest.base.units import duration_ms
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.features import bars_of, closes_ms, funding_yearly
from backtest.signals.strategy import Intent, Intents, Names, Share, Strategy
from backtest.signals.trading import TradeParameters, absent, columns_of, known_columns


class FundingCarryParameters(TradeParameters):
    """Parameters of `funding_carry`."""

    assets: Names = Field((), description="coins; all with a swap and spot where empty")
    window: Duration = Field("3d", description="window over which funding is averaged")
    rich: Share = Field(0.1, description="least average funding, share of notional a year")
    weight: float = Field(0.4, gt=0, le=10, description="notional of each leg / equity")
    hold: Duration = Field("7d", description="time limit from the fill; decisions inside it are not repeated")
    stop_loss: Share = Field(0.0, description="distance from the fill of either leg, share of price; 0 for none")


class FundingCarry(Strategy[FundingCarryParameters]):
    """The basis trade: short the perpetual, long the same notional of spot; both legs enter and exit together.

    Only positive funding is collected. Where longs are paid, the trade is reversed and needs borrowed spot, which
    this engine does not model.
    """

    name = "funding_carry"
    hypothesis = "Funding that has been rich for days stays rich for days, and spot takes the price out of it."
    parameters_type = FundingCarryParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:  # noqa: ARG002
        """Two legs per coin at a close with rich funding; the next ones only after `hold` has passed."""
        chosen = self.parameters
        swaps, notes = known_columns("funding", columns_of(chosen.assets, market, "swap"), market)
        spots = {column: market.column_of(market.instruments[column].base, "spot") for column in swaps}
        pairs = [(swap, spot) for swap, spot in spots.items() if spot is not None]
        yearly = funding_yearly(market, bars_of(chosen.window, market))
        decided = closes_ms(market)
        rows: list[Intent] = []
        for swap, spot in pairs:
            free_at = 0
            for row in np.flatnonzero((yearly[:, swap] >= chosen.rich) & ~np.isnan(market.close[:, spot])):
                if decided[row] >= free_at:
                    free_at = decided[row] + duration_ms(chosen.hold)
                    rows += self._legs(market, swap, spot, int(decided[row]))
        if pairs:
            notes += absent(f"funding is never as rich as {chosen.rich:.1%} a year over {chosen.window}", rows)
        else:
            notes += absent("no coin stands as a swap with known funding beside its spot (join datasets by A+B)", pairs)
        return Intents(tuple(sorted(rows, key=lambda one: one.decided_at_ms)), notes)

    def _legs(self, market: Market, swap: int, spot: int, decided_at: int) -> tuple[Intent, Intent]:
        group = f"{self.name}:{market.instruments[swap].base}:{decided_at}"
        return (
            self.parameters.intent(market.symbols[swap], decided_at, -1, group=group),
            self.parameters.intent(market.symbols[spot], decided_at, 1, group=group),
        )
