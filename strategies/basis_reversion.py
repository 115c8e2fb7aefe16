"""Hypothesis: a perpetual that trades above spot comes back to it."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from backtest.base.fields import Duration
from backtest.base.units import duration_ms
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.features import closes_ms
from backtest.signals.strategy import Exit, Intent, Intents, Names, Share, Strategy
from backtest.signals.trading import TradeParameters, absent, columns_of


class BasisReversionParameters(TradeParameters):
    """Parameters of `basis_reversion`."""

    assets: Names = Field((), description="coins; all with a swap and spot where empty")
    rich: Share = Field(0.006, description="perpetual over spot at which both legs are entered, share of spot")
    fair: Annotated[float, Field(gt=-1, lt=1)] = Field(0.001, description="perpetual over spot at which both are left")
    weight: float = Field(0.4, gt=0, le=10, description="notional of each leg / equity")
    hold: Duration = Field("48h", description="time limit from the fill")
    stop_loss: Share = Field(0.0, description="distance from the fill of either leg, share of price; 0 for none")


class BasisReversion(Strategy[BasisReversionParameters]):
    """Short the perpetual and long the same notional of spot while the perpetual is rich; exits both when it is not.

    Only a rich perpetual is traded: the other side needs borrowed spot, which this engine does not model.
    """

    name = "basis_reversion"
    hypothesis = "A perpetual above its spot is impatience of buyers with leverage, and the gap closes within days."
    parameters_type = BasisReversionParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:  # noqa: ARG002
        """Two entries at a close with a rich basis, and two exits at the first later close with a fair one."""
        chosen = self.parameters
        swaps = columns_of(chosen.assets, market, "swap")
        spots = {column: market.column_of(market.instruments[column].base, "spot") for column in swaps}
        pairs = [(swap, spot) for swap, spot in spots.items() if spot is not None]
        decided, hold = closes_ms(market), duration_ms(chosen.hold)
        rows: list[Intent] = []
        exits: list[Exit] = []
        for swap, spot in pairs:
            basis = market.close[:, swap] / market.close[:, spot] - 1.0
            free_at = 0
            for row in np.flatnonzero(basis >= chosen.rich):
                if decided[row] < free_at:
                    continue
                fair = np.flatnonzero((basis[row + 1 :] <= chosen.fair) & (decided[row + 1 :] <= decided[row] + hold))
                # Nothing is decided while the legs are held; when to exit is known only at that close.
                free_at = decided[row] + hold
                if fair.size:
                    free_at = decided[row + 1 + fair[0]]
                    exits += [Exit(instrument=market.symbols[leg], decided_at_ms=int(free_at)) for leg in (swap, spot)]
                group = f"{self.name}:{market.instruments[swap].base}:{decided[row]}"
                for leg, side in ((swap, -1), (spot, 1)):
                    rows.append(chosen.intent(market.symbols[leg], int(decided[row]), side, group=group))
        notes = (
            absent(f"no perpetual is {chosen.rich:.1%} above its spot in this market", rows)
            if pairs
            else absent("no coin stands as a swap beside its spot (join datasets by A+B)", pairs)
        )
        ordered = tuple(sorted(rows, key=lambda one: one.decided_at_ms))
        return Intents(ordered, notes, tuple(exits))
