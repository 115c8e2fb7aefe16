"""What an account can hold: one currency, contracts valued in it, and plausible prices.

An inverse contract on Q dollars of a coin is worth Q / p coins at the price p. In its own coin a long position in it is
a short position of Q units at the price 1 / p, with the same profit, funding, margin and liquidation: so the kernel
receives that, and needs no special rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.base.errors import ConfigError, MarketError
from backtest.base.units import format_ms
from backtest.engine.variations import Orders
from backtest.market.record import Floats, Instrument, Market

MARK_BARS = ("mark_low", "mark_high", "mark_price")
"""Series that make a bar of the mark price."""


def inverse_of(market: Market) -> npt.NDArray[np.bool_]:
    """(N,) whether each instrument is an inverse contract."""
    return np.array([instrument.inverse for instrument in market.instruments], dtype=np.bool_)


def in_settlement(market: Market) -> Iterator[Floats]:
    """Open, high, low and close (T, N) in the currency of settlement: 1 / p for inverse contracts, high for low.

    One after the other, so that only one of them is held; NaN where nothing can trade.
    """
    inverse, tradable = inverse_of(market), market.tradable
    turned = (market.open, market.low, market.high, market.close)
    for prices, other in zip((market.open, market.high, market.low, market.close), turned, strict=True):
        settled = np.where(inverse, 1.0 / other, prices) if inverse.any() else prices
        yield np.where(tradable, settled, np.nan)


def settled(orders: Orders, market: Market) -> Orders:
    """The orders in the currency of settlement: for an inverse contract the other side, with levels at the same prices.

    A distance d from a price p is one of d / (1 - d) from 1 / p where the level lies below p, of d / (1 + d) above.
    """
    turned = inverse_of(market)[orders.column]
    if not turned.any():
        return orders

    def distance(share: Floats, below: npt.NDArray[np.bool_]) -> Floats:
        if share.shape[1] == 0:
            return share
        return np.where(turned, share / np.where(below, 1.0 - share, 1.0 + share), share)

    long = orders.side > 0
    return orders._replace(
        side=np.where(turned, -orders.side, orders.side),
        stop_loss=distance(orders.stop_loss, long),
        trailing_stop=distance(orders.trailing_stop, long),
        take_profit=distance(orders.take_profit, ~long),
        activation=distance(orders.activation, ~long),
        second_trailing_stop=distance(orders.second_trailing_stop, long),
        second_activation=distance(orders.second_activation, ~long),
        break_even=distance(orders.break_even, ~long),
        late_take_profit=distance(orders.late_take_profit, ~long),
        limit=distance(orders.limit, long),
        stop_entry=distance(orders.stop_entry, ~long),
    )


def _distinct(columns: npt.ArrayLike) -> list[int]:
    """Columns of a market, each once, in the order in which they come."""
    return list(dict.fromkeys(np.asarray(columns).reshape(-1).tolist()))


def has_mark(market: Market) -> npt.NDArray[np.bool_]:
    """(N,) whether bars of the mark price of each instrument are known."""
    if not all(name in market.series for name in MARK_BARS):
        return np.zeros(len(market.instruments), dtype=np.bool_)
    return np.asarray((~np.isnan([market.panel(name) for name in MARK_BARS])).all(axis=0).any(axis=0))


def refuse_unmarked(market: Market, columns: npt.ArrayLike, trigger: str) -> None:
    """Refuse stops on a mark price that an instrument does not have; spot has none, its stops stay on the last price.

    Raises
    ------
    ConfigError
        Naming the instrument.
    """
    known = has_mark(market) if trigger == "mark" else None
    for column in _distinct(columns):
        if known is not None and not known[column] and market.instruments[column].kind == "swap":
            raise ConfigError(
                f"stop_trigger = 'mark', but market {market.provenance.name!r} has no bars of the mark price of "
                f"{market.symbols[column]}: fetch them with the series mark, or choose stop_trigger = 'last'"
            )


def refuse_spot(market: Market, columns: npt.ArrayLike, margin: str) -> None:
    """Refuse spot under cross margin: it backs no contract, and a liquidation of the account does not sell it.

    Raises
    ------
    ConfigError
        Naming the instrument, and the perpetual beside it if there is one.
    """
    for column in _distinct(columns):
        one = market.instruments[column]
        if margin == "cross" and one.kind == "spot":
            swaps = [other.symbol for other in market.instruments if other.kind == "swap" and other.base == one.base]
            raise ConfigError(
                f"{one.symbol} is spot, which margin = 'cross' does not let stand beside contracts: trade "
                f"{swaps[0] if swaps else 'perpetuals'}, or choose margin = 'isolated'"
            )


def account_currency(market: Market, columns: npt.ArrayLike) -> str:
    """The currency in which these instruments settle, that of the market if there are none.

    Raises
    ------
    ConfigError
        For two currencies, or a contract that pays in a third one.
    """
    traded = [market.instruments[column] for column in _distinct(columns)]
    for one in traded:
        if one.quanto:
            raise ConfigError(
                f"{one.symbol} is quoted in {one.quote} and pays in {one.settle}: such a contract is not priced; trade "
                f"one that settles in {one.quote} or in {one.base}"
            )
        if one.settle != traded[0].settle:
            raise ConfigError(_two_currencies(market, traded[0], one))
    return traded[0].settle if traded else market.currency


def _two_currencies(market: Market, one: Instrument, other: Instrument) -> str:
    said = (
        f"{one.symbol} settles in {one.settle} and {other.symbol} in {other.settle}: one account keeps one currency; "
    )
    spot = [item for item in (one, other) if item.kind == "spot"]
    # Spot alone can be converted: to the currency of what cannot, else to the market's.
    fixed = [item.settle for item in (one, other) if item.kind != "spot"]
    if not spot:
        return said + "trade them in runs of their own: the profit of a contract is paid in its own and not converted"
    account = fixed[0] if fixed else market.currency if market.currency in (one.settle, other.settle) else one.settle
    moved = next(item.settle for item in spot if item.settle != account)
    return said + (
        f"convert spot with `currency={account}`, by bars of {moved}/{account} in the dataset or a series "
        f"{moved.lower()}_{account.lower()}, or trade them in runs of their own"
    )


def refuse_jumps(market: Market, columns: npt.ArrayLike, largest: float) -> None:
    """Refuse opens of these instruments that are further from the previous close than a market moves.

    Raises
    ------
    MarketError
        Naming the bar, both prices and their ratio.
    """
    for column in _distinct(columns):
        rows = np.flatnonzero(~np.isnan(market.close[:, column]))
        opens, closes = market.open[rows[1:], column], market.close[rows[:-1], column]
        wide = np.flatnonzero(np.maximum(opens / closes, closes / opens) >= largest)
        if wide.size:
            place = int(wide[0])
            ratio, when = opens[place] / closes[place], format_ms(int(market.open_ms[rows[place + 1]]))
            raise MarketError(
                f"{market.symbols[column]} opens at {opens[place]:g} on {when} after a close of {closes[place]:g}, "
                f"{ratio:.4g} times as high: a redenomination or a fault of the data, not a move. Rescale what is "
                f"before with backtest.redenominated, or allow it: set largest_jump above "
                f"{max(ratio, 1 / ratio):.4g} (it is {largest:g})"
            )


def quoted(raw: dict[str, npt.NDArray[Any]], market: Market, prices: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Columns of the book with sides and prices as the venue quotes; quantities of inverse contracts are in dollars."""
    turned = inverse_of(market)[raw["column"]]
    if not turned.any():
        return raw
    real = {name: np.where(turned, 1.0 / raw[name], raw[name]) for name in prices}
    return {**raw, **real, "side": np.where(turned, -raw["side"], raw["side"])}
