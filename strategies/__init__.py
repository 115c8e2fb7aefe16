"""The strategies that come with the project, one hypothesis a file, by name."""

from __future__ import annotations

from typing import Any, NoReturn

from backtest.base.errors import UsageError, near_miss, shortened
from backtest.signals.strategy import Strategy
from backtest.strategies.accumulation import Accumulation
from backtest.strategies.basis_reversion import BasisReversion
from backtest.strategies.buy_and_hold import BuyAndHold
from backtest.strategies.catalyst_momentum import CatalystMomentum
from backtest.strategies.flag_breakout import FlagBreakout
from backtest.strategies.funding_carry import FundingCarry
from backtest.strategies.influencer_fade import InfluencerFade
from backtest.strategies.listing_fade import ListingFade
from backtest.strategies.listing_momentum import ListingMomentum
from backtest.strategies.oi_breakout import OiBreakout
from backtest.strategies.oi_divergence import OiDivergence
from backtest.strategies.rail_divergence import RailDivergence
from backtest.strategies.random_entry import RandomEntry
from backtest.strategies.relative_value import RelativeValue
from backtest.strategies.sector_rotation import SectorRotation


class _Registry(dict[str, type[Strategy[Any]]]):
    """Strategies by name; an unknown one is answered with the near miss."""

    def __missing__(self, name: str) -> NoReturn:
        raise UsageError(
            f"strategy {shortened(name)} is not one of those that come with the project; {near_miss(str(name), self)}"
        )


REGISTRY: dict[str, type[Strategy[Any]]] = _Registry(
    (strategy.name, strategy)
    for strategy in (
        Accumulation,
        BasisReversion,
        BuyAndHold,
        CatalystMomentum,
        FlagBreakout,
        FundingCarry,
        InfluencerFade,
        ListingFade,
        ListingMomentum,
        OiBreakout,
        OiDivergence,
        RailDivergence,
        RandomEntry,
        RelativeValue,
        SectorRotation,
    )
)
