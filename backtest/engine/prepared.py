"""A market under a configuration, prepared once for any number of replays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from backtest.base.arguments import checked
from backtest.base.config import RunConfig
from backtest.base.errors import UsageError
from backtest.base.estimate import TOGETHER
from backtest.base.identity import SHORT
from backtest.engine.costs import kernel_bars, kernel_rules, steps_of
from backtest.engine.layout import (
    FILL_COLUMNS,
    PANEL_WIDTH,
    POSITION,
    TRADE_COLUMNS,
    Bars,
    Book,
    Positions,
    Rules,
)
from backtest.engine.orders import kernel_orders
from backtest.engine.room import check_room, empty_panel, give_back
from backtest.engine.variations import Orders
from backtest.market.record import Market
from backtest.signals.strategy import Intents

if TYPE_CHECKING:
    from backtest.engine.extremes import Extremes

_KEPT = 64
"""Sets of intents whose orders are cached: more than an evaluation uses again."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A market under a configuration, as the kernel reads both.

    Attributes
    ----------
    market : Market
    config : RunConfig
    bars : Bars
        The kernel's panel, (N, T) bars.
    rules : Rules
        The configuration's scalars.
    """

    market: Market
    config: RunConfig
    bars: Bars
    rules: Rules
    _orders: dict[int, tuple[Intents, Orders]] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)
    _extremes: list[Extremes] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Prepared {self.market!r}>"

    def __reduce__(self) -> tuple[type[Prepared], tuple[Any, ...]]:
        # Orders are kept by the identity of their intents, which means nothing in another process.
        return Prepared, (self.market, self.config, self.bars, self.rules, {}, dict(self._hashes), self._extremes)

    @property
    def bar_count(self) -> int:
        """Number of bars T."""
        return int(self.bars.panel.shape[1])

    @property
    def hashes(self) -> dict[str, str]:
        """First 16 hex digits of the hashes of configuration and data, computed once."""
        if not self._hashes:
            self._hashes.update(config=self.config.hash(), data=self.market.sha256()[:SHORT])
        return dict(self._hashes)

    def orders(self, intents: Intents) -> Orders:
        """The intents in rows and bars, as one variation; converted once for each set of intents.

        Raises
        ------
        UsageError
            For an instrument that is not in the market, or an argument that is not intents.
        """
        kept = self._orders.get(id(intents))
        if kept is None:
            while len(self._orders) >= _KEPT:
                self._orders.pop(next(iter(self._orders)), None)
            # The intents are kept too, so that their id() cannot be reused by others.
            kept = self._orders[id(intents)] = (intents, kernel_orders(intents, self.market, self.config))
        return kept[1]

    def with_rules(self, **changed: Any) -> Prepared:
        """The same bars under other scalars."""
        return Prepared(self.market, self.config, self.bars, self.rules._replace(**changed), _extremes=self._extremes)


@checked
def prepare(market: Market, config: RunConfig, detail: Market | None = None) -> Prepared:
    """Kernel arrays of a market, made once and read by every replay.

    Raises
    ------
    MarketError
        If the finer bars of `detail` do not fit those of the market.
    UsageError
        If the bars would need more memory than there is, if there are finer bars of an instrument whose prices are
        converted, or for an argument of another type.
    """
    for one in (*market.instruments, *(detail.instruments if detail else ())):
        if detail and one.converted_by and one.symbol in detail.symbols:
            raise UsageError(
                f"{one.symbol} is converted to {one.settle} by {one.converted_by}, its finer bars would be converted "
                "at other instants and not fit: leave `detail` or `currency` out"
            )
    check_room(*market.close.shape)
    several = detail is None and market.close.shape[1] > 1 and market.close.size > TOGETHER
    bars = _coin_by_coin(market, config) if several else kernel_bars(market, config, detail)
    return Prepared(market, config, bars, kernel_rules(config, market.bar_ms))


def _coin_by_coin(market: Market, config: RunConfig) -> Bars:
    """The same bars as `kernel_bars`: no figure of a coin depends on another, and one coin's arrays are small."""
    count, coins = market.close.shape
    panel = empty_panel(coins, count, PANEL_WIDTH)
    parts = []
    for column, symbol in enumerate(market.symbols):
        one = kernel_bars(market.select((symbol,)), config, panel=panel[column : column + 1])
        parts.append(one._replace(panel=panel[:0]))
        give_back(panel)
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in parts])
        for name in ("next_tradable", "swap", "last_row", "ended", "young", "detail_column", "marked")
    }
    # A coin without a mark price has no bars of one; beside one that has, they are unknown.
    known = max(one.mark.shape[1] for one in parts)
    unknown = np.full((1, known, 3), np.nan)
    joined["mark"] = np.concatenate([one.mark if one.mark.shape[1] == known else unknown for one in parts])
    return Bars(**parts[0]._asdict() | joined | steps_of(market) | {"panel": panel})


def block_extremes(prepared: Prepared) -> Extremes:
    """Lows and highs of blocks of the bars, computed once."""
    from backtest.engine.extremes import extremes_of

    if not prepared._extremes:
        prepared._extremes.append(extremes_of(prepared.bars))
    return prepared._extremes[0]


def empty_book(bars: int, intents: int, fills: int = 0) -> Book:
    """Arrays for what a replay of `intents` intents over `bars` bars may record, with room for `fills` fills.

    Two fills an intent are all that there are unless exits are filled in parts.
    """
    return Book(
        np.empty(bars),
        np.zeros(bars),
        np.empty((max(2 * intents, fills), len(FILL_COLUMNS))),
        np.empty((intents, len(TRADE_COLUMNS))),
        np.zeros(intents, np.int8),
        np.zeros(2, np.int32),
        cast(Positions, np.zeros(intents, POSITION)),
    )
