"""The account of a Run as a vectorbt Portfolio: its real capital, funding included, on the bars of the market.

vectorbt models neither margin nor funding, so it cannot be given the orders themselves at the real capital. The asset
here is the account: one unit of it costs the capital before the first bar and is worth the equity at each close. Every
ratio that vectorbt derives from value, returns or drawdowns is therefore one of the run itself. Trades and positions
are those of the run's fills, each with its funding among its fees.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import vectorbt

from backtest.engine.book import Replayed, portfolio_of

OFFERED = (
    "start",
    "end",
    "period",
    "start_value",
    "end_value",
    "total_return",
    "max_dd",
    "max_dd_duration",
    "sharpe_ratio",
    "calmar_ratio",
    "omega_ratio",
    "sortino_ratio",
)
"""Metrics of `stats`: those of the account. Its exposure and benchmark are not those of the positions it holds."""


class AccountPortfolio(vectorbt.Portfolio):  # type: ignore[misc]
    """The account as the one asset of a portfolio; `trades` and `positions` are those of the run's fills."""

    def over(self, fills: vectorbt.Portfolio) -> AccountPortfolio:
        """The same account, with the portfolio of its fills."""
        self.__dict__["_fills"] = fills
        return self

    @property
    def trades(self) -> Any:
        """Trades of the run's fills, funding among their fees."""
        return self.__dict__["_fills"].trades

    @property
    def positions(self) -> Any:
        """Positions of the run's fills, funding among their fees."""
        return self.__dict__["_fills"].positions

    @property
    def metrics(self) -> Any:
        """The metrics that `stats` offers."""
        return {name: self._metrics[name] for name in OFFERED}

    def get_returns_acc(self, year_freq: Any = "365 days", **more: Any) -> Any:
        """Returns accessor; a year has 365 days, on all of which crypto trades."""
        return super().get_returns_acc(year_freq=year_freq, **more)

    @property
    def returns_acc(self) -> Any:
        """Returns accessor of a year of 365 days."""
        return self.get_returns_acc()


def account_portfolio(run: Replayed) -> AccountPortfolio:
    """The account of a run at its real capital; value, returns and drawdowns are the run's own."""
    capital = run.config.capital
    size = pd.Series(0.0, index=run.market.index)
    size.iloc[0] = capital
    portfolio: AccountPortfolio = AccountPortfolio.from_orders(
        run.equity.rename("account") / capital,
        size=size,
        price=1.0,
        init_cash=capital,
        freq=pd.Timedelta(milliseconds=run.market.bar_ms),
    )
    return portfolio.over(portfolio_of(run, with_funding=True))
