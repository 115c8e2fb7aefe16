"""The three moves of a trade on a catalyst: before it was known, while the strategy waited, and what was captured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.base.units import to_ms
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import first_open_at_or_after, known_at_ms, last_close_before
from backtest.engine.costs import last_known
from backtest.market.record import Floats, Market


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """Moves of T trades, each (T,) float64, signed in the direction of the trade, as a share of the starting price.

    Attributes
    ----------
    before
        Last close before the announcement -> first open at which an order could have arrived once it was known.
    waited
        That open -> fill: what the strategy's own delay cost, with the spread and impact of its fill.
    captured
        Fill -> exit.

    `before` and `waited` are NaN if the trade has no dated catalyst or no close before it.
    """

    before: Floats
    waited: Floats
    captured: Floats


def moves(
    catalyst_ids: Sequence[str],
    trades: Mapping[str, npt.NDArray[Any]],
    market: Market,
    calendar: Calendar,
    reaction_ms: int,
) -> Moves:
    """The moves of T trades, by their ids and the columns column, side, entry_row, entry_price and exit_price.

    `reaction_ms` is the time that an order takes to reach the market.

    If the fill came before the announcement was certain, the whole move up to it counts as before. If the first bar has
    no prices, the last close known by then is used.
    """
    marks = last_known(market.close)
    clocks = {one.id: (to_ms(one.announced_at), known_at_ms(one)) for one in calendar if one.announced_at is not None}
    columns, sides, entry_rows = (np.asarray(trades[name], dtype=np.int64) for name in ("column", "side", "entry_row"))
    entry_prices, exit_prices = (np.asarray(trades[name], dtype=np.float64) for name in ("entry_price", "exit_price"))
    before, waited = np.full(len(columns), np.nan), np.full(len(columns), np.nan)
    for place, identifier in enumerate(catalyst_ids):
        announced, known = clocks.get(identifier, (None, None))
        if announced is None or known is None:
            continue
        row = last_close_before(announced, market.start_ms, market.bar_ms)
        if row < 0:
            continue
        column, side, filled = columns[place], sides[place], int(entry_rows[place])
        start = marks[min(row, len(marks) - 1), column]
        moment = np.array([known + reaction_ms])
        first = int(first_open_at_or_after(moment, market.start_ms, market.bar_ms)[0])
        if first > filled:
            reached = entry_prices[place]
        else:
            opened = market.open[first, column]
            reached = opened if np.isfinite(opened) else marks[max(first - 1, 0), column]
        before[place] = side * (reached / start - 1.0)
        waited[place] = side * (entry_prices[place] / reached - 1.0)
    return Moves(before, waited, sides * (exit_prices / entry_prices - 1.0))
