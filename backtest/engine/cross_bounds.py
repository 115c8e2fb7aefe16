"""What the bars allow a trade under cross margin: outer bounds, since its account depends on the others.

An account can be liquidated on any bar on which it holds anything, at any price of that bar. So a trade can leave at
any price from its entry on, until the last bar on which its own limits let it be held; only its stop forestalls it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backtest.engine import layout
from backtest.engine.bounds import Intervals, unknown_funding
from backtest.engine.ends import DOUBT_WIDTH
from backtest.engine.layout import Book
from backtest.engine.prepared import Prepared
from backtest.engine.run_bounds import Entry, last_held, returns_of
from backtest.engine.variations import Orders


def crossed_intervals(orders: Orders, prepared: Prepared, book: Book) -> Intervals:
    """Intervals of the positions that a replay under cross margin opened, all of them outer bounds.

    Raises
    ------
    DataError
        If a path may hold a position into unknown funding under the policy `error`.
    """
    intents = orders.earliest.shape[1]
    low, high, first, last = (np.full(intents, np.nan) for _ in range(4))
    opened: Any = book.entered
    for k in np.flatnonzero(book.verdict == layout.ACCEPTED).tolist():
        entry, price = opened[k], float(opened[k]["price"])
        row, notional = int(entry["entry_row"]), float(entry["quantity"]) * price
        until = last_held(orders, prepared, k, row)
        _check_funding(orders, prepared, k, row, until)
        whole = notional * float(entry["parts"]) ** 2
        worst, best = returns_of(orders, prepared, Entry(k, row, price, price), whole)
        low[k], high[k], first[k], last[k] = notional * worst, notional * best, row, until
    entered = ~np.isnan(low)
    return Intervals(
        net_low=low,
        net_high=high,
        ambiguous=entered,
        first_row=first,
        last_row=last,
        outer=entered,
        doubts=np.empty((0, DOUBT_WIDTH)),
    )


def _check_funding(orders: Orders, prepared: Prepared, k: int, row: int, until: int) -> None:
    column = int(orders.column[0, k])
    unknown = np.isnan(prepared.bars.panel[column, row : until + 1, layout.FUNDING])
    if prepared.rules.funding_unknown == layout.FUNDING_ERROR and unknown.any():
        raise unknown_funding(prepared.market, column, row + int(unknown.argmax()))
