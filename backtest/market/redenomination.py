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


def continued(market: Market) -> Market:
    """The market with the bars of each instrument's earlier names before its own, in its own unit.

    Of an earlier name only what precedes the first bar of the new one is read; the earlier name then leaves the market,
    and the provenance says so.
    """
    panels, gone, words = {name: values.copy() for name, values in market.panels.items()}, set[str](), []
    instruments = list(market.instruments)
    for column, one in enumerate(market.instruments):
        for name, many in one.earlier_names:
            if name not in market.symbols or name == one.symbol:
                continue
            old, own = market.column(name), np.flatnonzero(~np.isnan(panels["close"][:, column]))
            first = int(own[0]) if own.size else len(market.index)
            for panel, values in panels.items():
                factor = many if panel in (*PRICES, "mark_price", "index_price") else 1.0
                factor = 1.0 / many if panel == "volume" else factor
                values[:first, column] = market.panel(panel)[:first, old] * factor
            listed = market.instruments[old].listed_ms
            instruments[column] = replace(instruments[column], listed_ms=listed)
            until = format_ms(int(market.open_ms[first])) if first < len(market.index) else "the end"
            words.append(f"{name} is read as {one.symbol} until {until}, prices times {many:g}")
            gone.add(name)
    if not gone:
        return market
    provenance = replace(market.provenance, repairs=(*words, *market.provenance.repairs))
    whole = replace(market.with_panels(panels), instruments=tuple(instruments), provenance=provenance)
    return whole.select(tuple(symbol for symbol in market.symbols if symbol not in gone))
