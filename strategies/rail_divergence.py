"""Hypothesis: a coin that rises far more than a token paid from the use of privacy comes back."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from backtest.base.fields import Duration
from backtest.catalysts.record import Calendar
from backtest.market.record import Floats, Market
from backtest.signals.features import bars_of, begins, change
from backtest.signals.strategy import Intents, Share, Strategy
from backtest.signals.trading import TradeParameters, absent, signal_intents

SERIES = "rail_price"


class RailDivergenceParameters(TradeParameters):
    """Parameters of `rail_divergence`."""

    leader: str = Field("ZEC", description="coin that is sold")
    follower: str = Field("RAIL", description="coin beside it, where its price is not supplied as rail_price")
    window: Duration = Field("7d", description="window of both moves")
    least_gap: Share = Field(0.3, description="move of the leader less that of the follower, share of price")
    weight: float = Field(0.2, gt=0, le=10, description="notional / equity")


class RailDivergence(Strategy[RailDivergenceParameters]):
    """Shorts ZEC when it has risen far more than RAIL, whose holders are paid from the use of privacy.

    No venue lists a RAIL perpetual, so its price is an auxiliary series. Where that series is not supplied, the bars
    of RAIL in the market are used, if there are any.
    """

    name = "rail_divergence"
    hypothesis = "ZEC rising while RAIL stands still is a story and not the use of privacy, so the gap is given back."
    parameters_type = RailDivergenceParameters

    def reads(self) -> tuple[str, ...]:
        """The price of RAIL in dollars."""
        return (SERIES,)

    def decide(self, market: Market, calendar: Calendar) -> Intents:  # noqa: ARG002
        """One short intent at the close that starts each divergence."""
        chosen = self.parameters
        leader = market.column_of(chosen.leader)
        price, notes = self._follower(market)
        if leader is None or price is None:
            missing = (f"{chosen.leader} is not in market {market.provenance.name!r}: nothing is decided",)
            return Intents(notes=notes if leader is not None else missing)
        bars = bars_of(chosen.window, market)
        with np.errstate(invalid="ignore"):
            gap = change(market.close[:, [leader]], bars) - change(price[:, None], bars)
            apart = np.zeros(market.close.shape, dtype=bool)
            apart[:, leader] = gap[:, 0] >= chosen.least_gap
        rows = signal_intents(begins(apart), (leader,), -1, chosen, market)
        notes = notes if rows else ()
        what = f"{chosen.leader} never rises by {chosen.least_gap:.0%} more than {chosen.follower} in {chosen.window}"
        return Intents(rows, notes + absent(what, rows))

    def _follower(self, market: Market) -> tuple[Floats | None, tuple[str, ...]]:
        """(T,) price of the follower at each close, None where it is unknown, and notes about it."""
        coin = self.parameters.follower
        if SERIES in market.auxiliary:
            return self.reading(SERIES, market), ()
        column = market.column_of(coin)
        if column is None:
            where = f"market {market.provenance.name!r} has no bars of {coin}"
            return None, (*self.unsupplied(market), f"{where} either: nothing is decided")
        symbol, origins = market.symbols[column], market.provenance.origins
        invented = any((one.symbol, one.series) == (symbol, "prices") and one.label for one in origins)
        told = (
            f"prices of {symbol} are reconstructed: what is decided on them is no evidence (--series {SERIES}=FILE.csv)"
        )
        return market.close[:, column], (told,) if invented else ()
