"""What the strategies share: the parameters of a trade, and intents made of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from backtest.base.errors import ConfigError, near_miss
from backtest.base.fields import Duration
from backtest.base.identity import neutral
from backtest.base.units import duration_ms
from backtest.catalysts.record import Calendar, Catalyst
from backtest.market.record import Flags, Kind, Market
from backtest.signals.features import closes_ms
from backtest.signals.strategy import Intent, Parameters, Share, level


def _optional(description: str) -> Any:
    """A share added after 0.1: 0, its default, changes nothing and no hash."""
    return Field(0.0, description=description, json_schema_extra=neutral(0.0))


class TradeParameters(Parameters):
    """How large a trade is, how long it lasts and where it is cut."""

    weight: Annotated[float, Field(gt=0, le=10)] = Field(0.25, description="notional / equity")
    hold: Duration = Field("72h", description="time limit from the fill")
    stop_loss: Share = Field(0.15, description="distance from the fill, share of price; 0 for none")
    take_profit: Share = Field(0.0, description="distance from the fill, share of price; 0 for none")
    trailing_stop: Share = Field(0.0, description="distance from the best price, share of it; 0 for none")
    activation: Share = _optional(
        "gain from the fill from which the trailing stop follows, share of price; 0 for at once"
    )
    second_trailing_stop: Share = _optional(
        "distance from the best price once that has gained second_activation; 0 for none"
    )
    second_activation: Share = _optional("gain from the fill from which second_trailing_stop holds too, share of price")
    break_even: Share = _optional("gain from the fill from which the stop lies no further than the fill; 0 for none")
    scale_out: Share = _optional("gain from the fill at which half of the trade leaves, share of price; 0 for none")

    @model_validator(mode="after")
    def _activates_something(self) -> Self:
        if self.activation and not self.trailing_stop:
            raise ValueError(
                f"activation = {self.activation:g} says when the trailing stop begins, and there is none: "
                "set trailing_stop, or activation to 0"
            )
        if bool(self.second_trailing_stop) != bool(self.second_activation):
            raise ValueError(
                f"second_trailing_stop = {self.second_trailing_stop:g} and second_activation = "
                f"{self.second_activation:g} need each other: give both, or neither"
            )
        return self

    def intent(
        self,
        symbol: str,
        decided_at_ms: int,
        side: int,
        *,
        share: float = 1.0,
        catalyst_id: str = "",
        group: str = "",
    ) -> Intent:
        """One intent of these parameters; `share` of the weight."""
        return Intent(
            instrument=symbol,
            decided_at_ms=int(decided_at_ms),
            side=side,
            weight=self.weight * share,
            hold_ms=duration_ms(self.hold),
            stop_loss=level(self.stop_loss),
            take_profit=level(self.take_profit),
            trailing_stop=level(self.trailing_stop),
            activation=level(self.activation),
            second_trailing_stop=level(self.second_trailing_stop),
            second_activation=level(self.second_activation),
            break_even=level(self.break_even),
            targets=((self.scale_out, 0.5),) if self.scale_out else (),
            catalyst_id=catalyst_id,
            group=group,
        )


def columns_of(assets: Sequence[str], market: Market, kind: Kind | None = None) -> tuple[int, ...]:
    """Column of each coin, swap first; if no coin is named, all that settle in the market's currency, each once.

    Raises
    ------
    ConfigError
        For a coin that the market does not hold.
    """
    held = tuple(dict.fromkeys(instrument.base for instrument in market.instruments))
    for asset in assets:
        if asset not in held:
            raise ConfigError(
                f"assets: {asset!r} is not in market {market.provenance.name!r}; {near_miss(asset, held)}"
            )
    found = [column for asset in (assets or held) if (column := market.column_of(asset, kind)) is not None]
    return tuple(column for column in found if assets or market.instruments[column].settle == market.currency)


def known_columns(panel: str, columns: Sequence[int], market: Market) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Columns in which a panel has any known value, and a note that names the others."""
    values = market.panel(panel)
    known = tuple(column for column in columns if not np.isnan(values[:, column]).all())
    missing = [market.symbols[column] for column in columns if column not in known]
    what = f"{panel.replace('_', ' ')} is unknown throughout market {market.provenance.name!r}"
    return known, (f"{what} for {', '.join(missing)}: nothing is decided on it",) if missing else ()


def signal_intents(
    signal: Flags, columns: Iterable[int], side: int, trade: TradeParameters, market: Market
) -> tuple[Intent, ...]:
    """One intent for each True of a (T, N) signal in the columns given, decided at that bar's close."""
    decided = closes_ms(market)
    return tuple(
        trade.intent(market.symbols[column], decided[row], side)
        for column in columns
        for row in np.flatnonzero(signal[:, column])
    )


def catalyst_columns(catalyst: Catalyst, assets: Sequence[str], market: Market) -> tuple[int, ...]:
    """Columns of a catalyst's coins that the market holds, limited to `assets` if any are named."""
    columns = (market.column_of(asset) for asset in catalyst.assets if not assets or asset in assets)
    return tuple(column for column in columns if column is not None)


def absent(what: str, found: Iterable[Any], directed: Calendar | None = None) -> tuple[str, ...]:
    """A note that there is nothing to trade on; none if there is. `directed` is the calendar of a strategy that trades
    the expected sign: a calendar without any is the usual reason.
    """
    if any(True for _ in found):
        return ()
    hint = f"; {directed.undirected}" if directed is not None and directed.undirected else ""
    return (f"{what}: nothing is decided{hint}",)
