"""The strategies that come with the project, one hypothesis a file, by name."""

from __future__ import annotations

from typing import Any

from backtest.signals.strategy import Strategy
from strategies.buy_and_hold import BuyAndHold
from strategies.catalyst_momentum import CatalystMomentum
from strategies.flag_breakout import FlagBreakout
from strategies.funding_carry import FundingCarry
from strategies.influencer_fade import InfluencerFade
from strategies.listing_fade import ListingFade
from strategies.listing_momentum import ListingMomentum
from strategies.oi_breakout import OiBreakout
from strategies.oi_divergence import OiDivergence
from strategies.random_entry import RandomEntry
from strategies.relative_value import RelativeValue
from strategies.sector_rotation import SectorRotation

REGISTRY: dict[str, type[Strategy[Any]]] = {
    strategy.name: strategy
    for strategy in (
        BuyAndHold,
        CatalystMomentum,
        FlagBreakout,
        FundingCarry,
        InfluencerFade,
        ListingFade,
        ListingMomentum,
        OiBreakout,
        OiDivergence,
        RandomEntry,
        RelativeValue,
        SectorRotation,
    )
}
