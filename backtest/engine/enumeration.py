"""Bounds of a run over every path that the bars allow, by branch and bound over its doubtful bars.

Up to its earliest doubtful bar a replay is certain, so a path can only decide there whether the position stays open,
or at which of a few levels it exits. Each choice is a path through the bar: written as finer bars that leave no doubt,
it is replayed by the kernel itself, including sizes and re-entries. If the choices are a range of prices (a trailing
stop), or the bar cannot be written this way, the branch below keeps the bounds of interval arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from backtest.base.errors import DataError
from backtest.engine import ends as columns
from backtest.engine import layout
from backtest.engine.bounds import Intervals, intervals_of, open_in_doubt
from backtest.engine.compiling import interpreted
from backtest.engine.layout import Book
from backtest.engine.path import under_target
from backtest.engine.prepared import Prepared, empty_book
from backtest.engine.run_bounds import RunBounds, arithmetic_bounds
from backtest.engine.variations import Orders
from backtest.market.record import Floats

MOST_REPLAYS = 256
"""Replays after which the rest keeps the bounds of interval arithmetic: at most eight doubtful bars in a row."""
MOST_CELLS = 4_000_000
"""Finer bars that may be allocated for paths."""
SLOTS = 5
"""Finer bars of a path through a bar: it opens, rises to a peak at once, falls, rises to its high at once, closes."""
_STATISTICS = ("net", "sharpe", "drawdown")

Place = tuple[int, int, int]
"""Intent, column and row of a doubtful bar."""


@dataclass(slots=True)
class _Tree:
    """Results so far: bounds of each statistic, and whether each bound is attained."""

    low: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_STATISTICS, math.inf))
    high: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_STATISTICS, -math.inf))
    exact_low: dict[str, bool] = field(default_factory=dict)
    exact_high: dict[str, bool] = field(default_factory=dict)
    replays: int = 0
    pruned: int = 0

    def add(self, bounds: RunBounds, exact: dict[str, bool]) -> None:
        """Merge the bounds of a part of the paths."""
        for name in _STATISTICS:
            low, high = _of(bounds, name)
            if low < self.low[name]:
                self.low[name], self.exact_low[name] = low, exact[name]
            if high > self.high[name]:
                self.high[name], self.exact_high[name] = high, exact[name]

    def covers(self, bounds: RunBounds) -> bool:
        """Whether a part of the paths cannot widen the bounds found so far."""
        return all(
            self.low[name] <= _of(bounds, name)[0] and _of(bounds, name)[1] <= self.high[name] for name in _STATISTICS
        )

    def exact(self, name: str) -> bool:
        """Whether both bounds of a statistic are attained."""
        return self.exact_low.get(name, False) and self.exact_high.get(name, False)


def _of(bounds: RunBounds, name: str) -> tuple[float, float]:
    return getattr(bounds, f"{name}_low"), getattr(bounds, f"{name}_high")


def bounds_of(orders: Orders, prepared: Prepared, book: Book, statistics: Floats, intervals: Intervals) -> RunBounds:
    """Bounds of the run recorded by a replay: by branch and bound if that ends, else by interval arithmetic."""
    first = arithmetic_bounds(orders, prepared, book, statistics, intervals)
    if not first.ambiguous or prepared.rules.partial_exits or prepared.rules.cross:
        return first
    written = _writable(prepared) if not (prepared.rules.adds or (orders.group < -1).any()) else None
    if written is None:
        return first
    tree = _Tree()
    try:
        _search(orders, written, tree)
    except DataError:
        # Some path holds a position into unknown funding, so its payment is unknown.
        return first
    found: dict[str, Any] = {}
    for name in _STATISTICS:
        low, high = _of(first, name)
        if tree.low[name] <= tree.high[name]:
            found[f"{name}_low"], found[f"{name}_high"] = max(tree.low[name], low), min(tree.high[name], high)
    return replace(
        first,
        **found,
        exact=first.exact or tree.exact("net"),
        exact_sharpe=tree.exact("sharpe"),
        exact_drawdown=tree.exact("drawdown"),
        replays=tree.replays,
        pruned=tree.pruned,
    )


def _writable(prepared: Prepared) -> Prepared | None:
    """The same market with room for the finer bars of paths; None if there can be none."""
    bars, rows = prepared.bars, prepared.bar_count
    if prepared.rules.settles_inside or bars.marked.any() or (bars.detail_column >= 0).any():
        return None
    count = bars.panel.shape[0]
    if count * rows * SLOTS > MOST_CELLS:
        return None
    finer = np.full((count, rows * SLOTS, 4), np.nan)
    room = bars._replace(
        detail=finer, detail_column=np.arange(count, dtype=np.int32), detail_first=0, detail_ratio=SLOTS
    )
    return Prepared(prepared.market, prepared.config, room, prepared.rules)


def _search(orders: Orders, prepared: Prepared, tree: _Tree) -> None:
    """Depth first: replay, look for the earliest doubtful bar, and take each of its choices in turn.

    Raises
    ------
    DataError
        If a path holds a position into unknown funding under the policy `error`.
    """
    from backtest.engine.kernel import replay_one

    stack: list[tuple[dict[Place, Floats], RunBounds | None]] = [({}, None)]
    written: dict[Place, Floats] = {}
    while stack:
        chosen, above = stack.pop()
        if above is not None and tree.replays >= MOST_REPLAYS:
            tree.add(above, dict.fromkeys(_STATISTICS, False))
            continue
        _write(prepared.bars.detail, written, chosen)
        written = chosen
        book = empty_book(prepared.bar_count, orders.earliest.shape[1])
        statistics = replay_one(orders, prepared.bars, prepared.rules, book)
        if statistics[-2] >= 0:
            raise DataError("funding is unknown on a path that the bars allow")
        intervals = intervals_of(orders, prepared, book)
        tree.replays += 1
        bounds = arithmetic_bounds(orders, prepared, book, statistics[:-2], intervals)
        doubt = _earliest(intervals, chosen)
        if doubt is None:
            tree.add(bounds, dict.fromkeys(_STATISTICS, not bounds.ambiguous))
            continue
        if tree.covers(bounds):
            tree.pruned += 1
            continue
        at_open = open_in_doubt(intervals, book)
        if at_open is not None and at_open <= doubt[columns.DOUBT_ROW]:
            tree.add(bounds, dict.fromkeys(_STATISTICS, False))
            continue
        paths = _paths(doubt, prepared, book)
        if paths is None:
            tree.add(bounds, {"net": bounds.exact, "sharpe": False, "drawdown": False})
            continue
        intent = int(doubt[columns.DOUBT_INTENT])
        place = (intent, int(orders.column[0, intent]), int(doubt[columns.DOUBT_ROW]))
        stack += [({**chosen, place: path}, bounds) for path in paths]


def _write(finer: Floats, before: dict[Place, Floats], now: dict[Place, Floats]) -> None:
    for _, column, row in before:
        finer[column, row * SLOTS : (row + 1) * SLOTS] = np.nan
    for (_, column, row), path in now.items():
        finer[column, row * SLOTS : (row + 1) * SLOTS] = path


def _earliest(intervals: Intervals, decided: dict[Place, Floats]) -> Floats | None:
    """The earliest doubtful bar that is not decided yet."""
    done = {(intent, row) for intent, _, row in decided}
    open_doubts = [one for one in intervals.doubts if (int(one[0]), int(one[1])) not in done]
    return min(open_doubts, key=lambda one: (one[columns.DOUBT_ROW], one[columns.DOUBT_INTENT]), default=None)


def _paths(doubt: Floats, prepared: Prepared, book: Book) -> list[Floats] | None:
    """A path through a doubtful bar for each way to exit in it or to stay; None if they are not finitely many."""
    entered: Any = book.entered[int(doubt[columns.DOUBT_INTENT])]
    row, side = int(doubt[columns.DOUBT_ROW]), float(entered["side"])
    if entered["entered"] != layout.AT_MARKET and entered["entry_row"] == row:
        return None
    opening, high, low, close = (float(price) for price in prepared.bars.panel[int(entered["column"]), row, :4])
    if side < 0:
        high, low = low, high
    opening, high, low, close = (side * price for price in (opening, high, low, close))
    lowest, highest = float(doubt[columns.DOUBT_TRAIL_LOW]), float(doubt[columns.DOUBT_TRAIL_HIGH])
    found = []
    if doubt[columns.DOUBT_STAYS] or not np.isnan(doubt[columns.DOUBT_FIXED]):
        # Straight down, then up: no other level is met between the open and a stop or a liquidation, or before staying.
        found.append((opening, low))
    if lowest <= highest:
        single = highest - lowest <= 1e-9 * abs(highest)
        if entered["staged"] or entered["late_row"] < layout.NEVER or not single:
            return None
        found.append((_peak_of(entered, highest, opening, high), low))
    if not np.isnan(doubt[columns.DOUBT_TARGET]):
        target = float(doubt[columns.DOUBT_TARGET])
        found.append((target, low))
    return [_written(opening, peak, fall, high, close, side) for peak, fall in found]


def _peak_of(entered: Any, level: float, opening: float, high: float) -> float:
    """The peak under which the trailing stop lies at a signed level: from the open to the high, short of the target."""
    trail = float(entered["trail"])
    peak = level / (1.0 - trail) if level > 0 else level / (1.0 + trail)
    risen = max(peak + layout.SAME_LEVEL * abs(peak), float(entered["activation"]), opening)
    return min(risen, high, interpreted(under_target)(float(entered["target"])))


def _written(opening: float, peak: float, fall: float, high: float, close: float, side: float) -> Floats:
    """(SLOTS, 4) finer bars of a path in unsigned prices: rises are jumps, so that no other path fits into them."""
    flat: Callable[[float], tuple[float, ...]] = lambda price: (price,) * 4  # noqa: E731
    falls: Callable[[float, float], tuple[float, ...]] = lambda start, end: (start, start, end, end)  # noqa: E731
    path = np.array([flat(opening), flat(peak), falls(peak, fall), flat(high), falls(high, close)])
    return path if side > 0 else -path[:, [0, 2, 1, 3]]
