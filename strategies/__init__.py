"""The strategies that come with the project, one hypothesis a file, by name."""

from __future__ import annotations

from typing import Any

from backtest.signals.strategy import Strategy
from strategies.buy_and_hold import BuyAndHold
from strategies.catalyst_momentum import CatalystMomentum

REGISTRY: dict[str, type[Strategy[Any]]] = {
    strategy.name: strategy
    for strategy in (
        BuyAndHold,
        CatalystMomentum,
    )
}
