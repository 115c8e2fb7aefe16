"""The vectorbt Portfolio of the fills of a Run: a familiar library, and an audit of the kernel's equity.

vectorbt accepts one order per bar and instrument, and no funding, margin or liquidation. So a bar with several fills of
one instrument becomes several rows a nanosecond apart, the last of them marked at the bar's close; and funding is kept
outside: `portfolio value - cumulative funding paid - reserve = kernel equity`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.base.config import RunConfig
from backtest.engine.costs import last_known
from backtest.market.record import Market

if TYPE_CHECKING:
    import vectorbt


class Replayed(Protocol):
    """The parts of a `Run` that this module reads."""

    @property
    def market(self) -> Market:
        """The market of the replay."""

    @property
    def config(self) -> RunConfig:
        """The configuration of the replay."""

    @property
    def fills(self) -> pd.DataFrame:
        """One row per fill."""

    @property
    def last_fills(self) -> npt.NDArray[np.bool_]:
        """(F,) whether a fill closed its position."""

    @property
    def trades(self) -> pd.DataFrame:
        """One row per closed position."""

    @property
    def equity(self) -> pd.Series[float]:
        """(T,) equity at each bar's close."""

    @property
    def funding_paid(self) -> pd.Series[float]:
        """(T,) quote currency paid at each bar's close."""


@dataclass(frozen=True, slots=True)
class _Orders:
    """Orders on the expanded rows: sizes, prices and fees (R, N), and the last row of each bar (T,)."""

    size: npt.NDArray[np.float64]
    price: npt.NDArray[np.float64]
    fees: npt.NDArray[np.float64]
    last_row: npt.NDArray[np.int64]


def _expand(run: Replayed, with_funding: bool = False) -> _Orders:
    """One row per bar, and one more per further fill in it, so that fills keep their order."""
    bars, instruments = run.market.close.shape
    bar = run.market.index.get_indexer(pd.DatetimeIndex(run.fills["bar"]))
    count = np.bincount(bar, minlength=bars)
    rows_of_bar = np.maximum(count, 1)
    last_row = np.cumsum(rows_of_bar) - 1
    first_row = last_row - rows_of_bar + 1
    order = np.argsort(bar, kind="stable")
    place = np.empty(len(bar), dtype=np.int64)
    place[order] = np.arange(len(bar)) - np.repeat(np.cumsum(count) - count, count)
    size, price, fees = (np.full((int(last_row[-1]) + 1, instruments), fill) for fill in (np.nan, np.nan, 0.0))
    row = first_row[bar] + place
    column = [run.market.column(symbol) for symbol in run.fills["instrument"]]
    size[row, column] = run.fills["side"] * run.fills["quantity"]
    price[row, column] = run.fills["price"]
    fees[row, column] = run.fills["fees"] + run.fills["liquidation"]
    if with_funding:
        last = run.last_fills
        # The last exit of each trade, both in order of exit.
        fees[row[last], np.array(column)[last]] += run.trades["funding"].to_numpy()
    return _Orders(size, price, fees, last_row)


def reserve_of(run: Replayed) -> float:
    """Cash added in vectorbt so that it accepts every order: shorts, leverage and paid funding need more than it has.

    Zero for a long-only run without leverage whose cash never runs out; else a multiple of the traded notional.
    """
    fills = run.fills
    traded = float((fills["quantity"] * fills["price"]).sum())
    long_only = bool((run.trades["side"] == 1).all())
    flows = -(fills["side"] * fills["quantity"] * fills["price"] + fills["fees"] + fills["liquidation"])
    enough = run.config.capital + float(flows.cumsum().min() if len(flows) else 0.0) >= -1e-12 * run.config.capital
    return 0.0 if long_only and enough else 3.0 * traded


def portfolio_of(run: Replayed, with_funding: bool = False) -> vectorbt.Portfolio:
    """Vectorbt Portfolio (Rust engine, one cash-sharing group) of the run's fills at the run's prices and fees.

    Its initial cash is the capital plus `reserve_of(run)`: it is an audit and a table of trades, and its ratios are not
    those of the run (see `backtest.engine.portfolio`). Its value excludes funding, or counts the funding of a trade
    among the fees of its exit.
    """
    import vectorbt

    orders = _expand(run, with_funding)
    bars = len(run.market.index)
    bar_of_row = np.repeat(np.arange(bars), np.diff(orders.last_row, prepend=-1))
    steps = np.arange(len(bar_of_row)) - np.concatenate(([0], orders.last_row[:-1] + 1))[bar_of_row]
    index = run.market.index.as_unit("ns")[bar_of_row] + pd.to_timedelta(steps, unit="ns")
    close = pd.DataFrame(last_known(run.market.close)[bar_of_row], index=index, columns=list(run.market.symbols))
    return vectorbt.Portfolio.from_orders(
        close.bfill(),
        size=orders.size,
        price=orders.price,
        fixed_fees=orders.fees,
        init_cash=run.config.capital + reserve_of(run),
        group_by=True,
        cash_sharing=True,
        freq=pd.Timedelta(milliseconds=run.market.bar_ms),
        engine="rust",
    )


def audited_equity(run: Replayed) -> pd.Series[float]:
    """(T,) equity of the run, rebuilt from the vectorbt portfolio and the funding paid."""
    value = portfolio_of(run).value().to_numpy()[_expand(run).last_row]
    return pd.Series(value - reserve_of(run), run.market.index) - run.funding_paid.cumsum()
