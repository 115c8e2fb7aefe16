"""A change of the unit in which an instrument is quoted: not a price move, and not a profit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np

from backtest.base.arguments import checked
from backtest.base.errors import UsageError
from backtest.base.units import format_ms, to_ms
from backtest.market.record import Market

PRICES = ("open", "high", "low", "close")


@checked
def redenominated(market: Market, symbol: str, at: datetime, factor: float) -> Market:
    """The market with the bars of one instrument before `at` converted to the unit quoted from then on.

    Parameters
    ----------
    factor
        New price / old price: 1000 if one new coin replaces 1,000 old ones. Prices are multiplied by it and volumes
        divided; open interest, a notional, and funding, a rate, are unchanged. The provenance lists it as a repair.

    Raises
    ------
    UsageError
        For a symbol that the market does not hold, a naive time, or a factor that is not positive and finite.
    """
    column, moment = market.column(symbol), to_ms(at)
    if not 0 < factor < float("inf"):
        raise UsageError(f"factor = {factor!r} must be positive and finite: the new price over the old, as in 1000")
    before = np.zeros(market.close.shape, dtype=np.bool_)
    before[market.open_ms < moment, column] = True
    prices = {name: np.where(before, getattr(market, name) * factor, getattr(market, name)) for name in PRICES}
    repair = f"{symbol} before {format_ms(moment)}: prices times {factor:g}, volumes divided by it"
    return replace(
        market,
        **prices,
        volume=np.where(before, market.volume / factor, market.volume),
        provenance=replace(market.provenance, repairs=(*market.provenance.repairs, repair)),
    )
