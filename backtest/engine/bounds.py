"""The intervals of the trades of a replay, as a record: what the bars allow for each, and in which bars they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from backtest.base.errors import DataError
from backtest.base.units import format_ms
from backtest.engine.layout import AT_MARKET, POSITION, Book, Positions
from backtest.engine.prepared import Prepared
from backtest.engine.variations import Orders, Variation
from backtest.market.record import Floats, Market


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Least and greatest net of each position over every continuous path that the bars allow, given its entry.

    Attributes
    ----------
    net_low, net_high : (K,) float64
        Infimum and supremum of net of each intent, currency of the account; NaN if it opened no position.
    ambiguous : (K,) bool
        Whether it can end in more than one way.
    first_row, last_row : (K,) float64
        First and last bar in which it can end, NaN if it opened no position.
    outer : (K,) bool
        Whether the interval is only an outer bound (`backtest.engine.ends.OUTER`); otherwise it is exact.
    doubts : (D, 9) float64
        Bars that allow an exit inside them and another outcome: intent, bar, least and greatest net of these exits,
        whether the position may stay open instead, and the levels of the exits (`backtest.engine.ends`).
    """

    net_low: Floats
    net_high: Floats
    ambiguous: npt.NDArray[np.bool_]
    first_row: Floats
    last_row: Floats
    outer: npt.NDArray[np.bool_]
    doubts: Floats


def intervals_of(orders: Orders, prepared: Prepared, book: Book) -> Intervals:
    """Intervals of the positions that a replay of one variation opened.

    Raises
    ------
    DataError
        If a path holds a position into unknown funding under the policy `error`.
    """
    from backtest.engine import ends as columns
    from backtest.engine.intervals import walk_trades
    from backtest.engine.kernel import new_work

    intents = orders.earliest.shape[1]
    work = new_work(intents, prepared.bars.panel.shape[0])
    table = np.empty((intents, columns.TABLE_WIDTH))
    doubts = np.empty((4 * intents + 16, columns.DOUBT_WIDTH))
    legs = min(intents, prepared.bars.panel.shape[0]) + 1
    one = Variation(*(getattr(orders, name)[0] for name in Variation._fields))
    while True:
        counts = np.zeros(1, np.int32)
        walk = columns.Walk(
            cast(Positions, np.zeros(legs, POSITION)),
            np.empty(legs),
            np.empty(legs),
            np.empty(legs, np.int8),
            np.empty(legs, np.int8),
            np.empty(legs),
            np.empty(legs),
            np.empty((legs, 4)),
            table,
            doubts,
            counts,
        )
        walk_trades(one, prepared.bars, prepared.rules, book.verdict, book.entered, work, walk)
        if counts[0] <= len(doubts):
            break
        doubts = np.empty((int(counts[0]), columns.DOUBT_WIDTH))
    _check_funding(table, columns.UNKNOWN_ROW, orders, prepared)
    low, high = table[:, columns.NET_LOW], table[:, columns.NET_HIGH]
    return Intervals(
        net_low=low,
        net_high=high,
        ambiguous=(table[:, columns.EXITS] > 1) | (low < high),
        first_row=table[:, columns.FIRST_ROW],
        last_row=table[:, columns.LAST_ROW],
        outer=table[:, columns.IS_OUTER] > 0,
        doubts=doubts[: counts[0]],
    )


def open_in_doubt(intervals: Intervals, book: Book) -> int | None:
    """First row at whose open a position may or may not exit, before the entries there; None if there is none.

    Only a trailing stop after a fill inside a bar, which leaves its peak open, can be in doubt there.
    """
    opened: Any = book.entered
    follows = (opened["entered"] != AT_MARKET) & opened["follows"]
    found = intervals.first_row[intervals.ambiguous & follows & (opened["entry_row"] < intervals.first_row)]
    return int(found.min()) if len(found) else None


def _check_funding(table: Floats, place: int, orders: Orders, prepared: Prepared) -> None:
    unknown = np.flatnonzero(table[:, place] >= 0)
    if len(unknown):
        raise unknown_funding(prepared.market, int(orders.column[0, unknown[0]]), int(table[unknown[0], place]))


def unknown_funding(
    market: Market, column: int, row: int, held: str = "may be open on a path that the bars allow"
) -> DataError:
    """The error of a position that is held into unknown funding under the policy `error`."""
    return DataError(
        f"funding of {market.symbols[column]} is unknown at {format_ms(int(market.open_ms[row]))} while a position "
        f"{held}: fetch its funding, or choose `funding_unknown=const` (charged "
        "against the position) or `funding_unknown=zero`"
    )


@dataclass(frozen=True, slots=True)
class UsefulBar:
    """A bar whose finer data may narrow the intervals of `trades` trades, by at most `gain` of net in total."""

    column: int
    row: int
    gain: float
    trades: int


def useful_bars(intervals: Intervals, book: Book) -> tuple[UsefulBar, ...]:
    """Doubtful bars with the most by which the intervals of net of their trades can shrink; the most useful first.

    If the order inside a bar were known, a trade would exit in it at one price, or stay open. The largest gain is the
    width of its interval minus the least that an exit in this bar leaves of it: the earlier exits, which stay possible,
    and the price nearest to them. Another outcome of the bar narrows less; a bar that decides nothing narrows nothing.
    """
    opened: Any = book.entered
    found: dict[tuple[int, int], list[float]] = {}
    order = np.lexsort((intervals.doubts[:, 1], intervals.doubts[:, 0]))
    before: tuple[float, float] = (np.inf, -np.inf)
    last = -1
    for intent, row, low, high in intervals.doubts[order, :4]:
        k = int(intent)
        if k != last:
            before, last = (np.inf, -np.inf), k
        left = 0.0
        if before[0] <= before[1]:
            left = before[1] - before[0] + max(low - before[1], before[0] - high, 0.0)
        gain = float(intervals.net_high[k] - intervals.net_low[k]) - left
        found.setdefault((int(opened["column"][k]), int(row)), []).append(max(gain, 0.0))
        before = min(before[0], low), max(before[1], high)
    bars = [UsefulBar(column, row, sum(gains), len(gains)) for (column, row), gains in found.items()]
    return tuple(sorted(bars, key=lambda bar: (-bar.gain, bar.row, bar.column)))
