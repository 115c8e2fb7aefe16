"""From intents to orders: moments and levels as the rows, bars and columns that the kernel reads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backtest.base.config import RunConfig
from backtest.base.units import LONGEST_MS, duration_ms
from backtest.catalysts.timing import first_open_at_or_after
from backtest.engine import layout
from backtest.engine.accounts import account_currency, refuse_jumps, refuse_spot, refuse_unmarked, settled
from backtest.engine.variations import Orders
from backtest.market.record import Market
from backtest.signals.strategy import NEVER_MS, Intents


def rows_at_or_after(moments_ms: npt.NDArray[np.int64], market: Market) -> npt.NDArray[np.int64]:
    """Rows of the first bars that open at or after each moment, NEVER for moments never reached."""
    rows = first_open_at_or_after(np.minimum(moments_ms, NEVER_MS), market.start_ms, market.bar_ms)
    return np.where(moments_ms >= NEVER_MS, layout.NEVER, np.minimum(rows, layout.NEVER))


def kernel_orders(intents: Intents, market: Market, config: RunConfig) -> Orders:
    """The intents in rows and bars, as one variation.

    Raises
    ------
    UsageError
        For an instrument that the market does not hold.
    ConfigError
        For instruments that settle in different currencies, stops on a mark price that one does not have, or spot under
        cross margin.
    MarketError
        For a jump of a price that no market makes.
    """
    reaction, wait = duration_ms(config.reaction), duration_ms(config.max_wait)
    tradable_at = intents.decided_at_ms + reaction
    exit_at = intents.values("exit_at_ms").astype(np.int64)
    exit_at = np.where(exit_at >= NEVER_MS, NEVER_MS, exit_at + reaction)

    def bars_of(name: str) -> npt.NDArray[np.int64]:
        """Bars that a duration takes, begun ones counted."""
        lasts = intents.values(name).astype(np.int64)
        return np.where(lasts >= NEVER_MS, layout.NEVER, np.minimum(-(-lasts // market.bar_ms), layout.NEVER))

    expires = intents.values("expires_ms").astype(np.int64)
    until = np.where(expires >= NEVER_MS, tradable_at + wait, intents.decided_at_ms + np.minimum(expires, LONGEST_MS))
    # An order that rests has ended at its expiry; one that waits for a bar may still fill at that instant.
    rests = ~(np.isnan(intents.values("limit")) & np.isnan(intents.values("stop_entry")))
    latest = np.clip((until - rests - market.start_ms) // market.bar_ms, -1, layout.NEVER)
    # Legs that leave together are numbered from 0 up, parts of one order from -2 down.
    legs, parts = (
        {name: place for place, name in enumerate(dict.fromkeys(getattr(row, field) for row in intents.rows))}
        for field in ("group", "part_of")
    )
    group = [-2 - parts[row.part_of] if row.part_of else legs[row.group] if row.group else -1 for row in intents.rows]
    column = [market.column(row.instrument) for row in intents.rows]
    account_currency(market, column)
    refuse_jumps(market, column, config.largest_jump)
    refuse_unmarked(market, column, config.stop_trigger)
    refuse_spot(market, column, config.margin)

    def whole(values: npt.ArrayLike) -> npt.NDArray[np.int32]:
        return np.asarray(values, dtype=np.int32).reshape(1, -1)

    def real(name: str) -> npt.NDArray[np.float64]:
        return intents.values(name).astype(np.float64).reshape(1, -1)

    def optional(name: str) -> npt.NDArray[np.float64]:
        values = real(name)
        return np.empty((1, 0)) if np.isnan(values).all() else values

    late = optional("late_take_profit")
    orders = Orders(
        earliest=whole(rows_at_or_after(tradable_at, market)),
        latest=whole(latest),
        exit_row=whole(rows_at_or_after(exit_at, market)),
        hold=whole(bars_of("hold_ms")),
        column=whole(column),
        side=real("side"),
        weight=real("weight"),
        stop_loss=real("stop_loss"),
        take_profit=real("take_profit"),
        trailing_stop=real("trailing_stop"),
        activation=optional("activation"),
        second_trailing_stop=optional("second_trailing_stop"),
        second_activation=optional("second_activation"),
        break_even=optional("break_even"),
        late_take_profit=late,
        late=whole(bars_of("late_ms")[: late.shape[1]]),
        notional=optional("notional"),
        limit=optional("limit"),
        stop_entry=optional("stop_entry"),
        group=whole(group),
        shift=np.zeros(1, dtype=np.int32),
    )
    return settled(orders, market)
