"""Hypothesis: money that came into the leader moves on to the laggards."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from backtest.base.fields import Duration
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_between
from backtest.market.record import Market
from backtest.signals.features import bars_of, change, row_known_at
from backtest.signals.strategy import Intents, Names, Strategy
from backtest.signals.trading import TradeParameters, absent


class SectorRotationParameters(TradeParameters):
    """Parameters of `sector_rotation`."""

    leader: str = Field("ZEC", description="coin whose catalysts count")
    followers: Names = Field(
        ("DASH", "ZEN", "ZK", "RAIL", "DCR", "SCRT", "ROSE", "XMR"),
        description="coins of the sector; those that the market lacks are left out",
    )
    kinds: Names = Field((), description="kinds of catalyst; all where empty")
    lookback: Duration = Field("7d", description="window in which a follower lags the leader")
    count: int = Field(3, ge=1, le=50, description="laggards bought, those that rose least")
    weight: float = Field(0.3, gt=0, le=10, description="notional over all laggards / equity")


class SectorRotation(Strategy[SectorRotationParameters]):
    """Buys the coins of the sector that lag most when a catalyst lifts the leader."""

    name = "sector_rotation"
    hypothesis = "A catalyst on the leader draws money to its sector, so the laggards catch up within days."
    parameters_type = SectorRotationParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        """Long intents in the laggards for each catalyst of the leader, decided when it is known."""
        chosen = self.parameters
        leader = market.column_of(chosen.leader)
        if leader is None:
            return Intents(
                notes=(f"leader {chosen.leader} is not in market {market.provenance.name!r}: nothing is decided",)
            )
        found = (market.column_of(coin) for coin in chosen.followers if coin != chosen.leader)
        followers = np.array([column for column in found if column is not None], dtype=np.int64)
        moves = change(market.close, bars_of(chosen.lookback, market))
        catalysts = calendar.filter(assets=(chosen.leader,), kinds=chosen.kinds, directions=(1,))
        rows = []
        for one, known_at in known_between(catalysts, market.start_ms, market.end_ms):
            row = row_known_at(known_at, market)
            if row < 0:
                continue
            behind = followers[moves[row, followers] < moves[row, leader]]
            laggards = behind[np.argsort(moves[row, behind], kind="stable")][: chosen.count]
            rows += [
                chosen.intent(market.symbols[column], known_at, 1, share=1 / len(laggards), catalyst_id=one.id)
                for column in laggards
            ]
        what = f"no catalyst of {chosen.leader} finds a coin behind it over {chosen.lookback}"
        return Intents(tuple(rows), absent(what, rows, calendar))
