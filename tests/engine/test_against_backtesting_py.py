"""backtesting.py's stop, limit, contingent and partial-close orders, on bars of our own.

The trades are those of backtesting.py 0.6.5, run once on these bars (cash 1,000,000, no commission, orders of 100 units
placed at the close of the bar before the first, `finalize_trades`); they are a record, not made by this code. Where we
differ the convention is named, and our own trades stand beside theirs.
"""

from __future__ import annotations

from typing import Any

import pytest

from backtest.engine.run import Run
from backtest.market.record import Market
from tests.engine.cases import Case, case, held, replayed
from tests.engine.test_orders import FLAT

Trade = tuple[int, int, float, float, float]
"""Bar of the entry and of the exit, prices of both, units (of a short negative)."""

TOUCH = "a limit is filled when a bar trades through it; backtesting.py fills it where touched"
NOT_BETTER = "a limit that a later open passes fills at its price; backtesting.py at the better open"
IN_ITS_BAR = "after a fill inside a bar the rest of that bar counts; backtesting.py leaves from the next bar on"
OPTIMISTIC = {"stop_order": "optimistic"}
"""What a bar may have done before a fill inside it need not be met after it: backtesting.py's way."""


CALM = (100.0, 101.0, 99.0, 100.0)
BOTH = (100.0, 106.0, 94.0, 100.0)
FALL, RISE = (98.0, 99.0, 94.0, 97.0), (101.0, 106.0, 100.0, 104.0)
STEP = ((100.0, 104.0, 100.0, 104.0), (104.0, 106.0, 104.0, 106.0), (106.0, 108.0, 106.0, 108.0))

CASES = (
    case("stop in its own bar", ((100, 101, 94, 96), FLAT), {"stop_loss": 0.05}, (1, 1, 100, 95, 100)),
    case("target in its own bar", ((100, 106, 99, 104), FLAT), {"take_profit": 0.05}, (1, 1, 100, 105, 100)),
    case("stop and target in one bar", (CALM, BOTH, FLAT), {"stop_loss": 0.05, "take_profit": 0.05},
         (1, 2, 100, 95, 100)),
    case("stop passed by an open", (CALM, (93, 94, 92, 93), FLAT), {"stop_loss": 0.05}, (1, 2, 100, 93, 100)),
    case("target passed by an open", (CALM, (107, 108, 106, 107), FLAT), {"take_profit": 0.05}, (1, 2, 100, 107, 100)),
    case("stop of a short", (CALM, (100, 106, 99, 104), FLAT), {"side": -1, "stop_loss": 0.05}, (1, 2, 100, 105, -100)),
    case("target of a short", (CALM, (100, 101, 94, 96), FLAT), {"side": -1, "take_profit": 0.05},
         (1, 2, 100, 95, -100)),
    case("limit inside a bar", (FALL, FLAT, FLAT), {"limit": 0.05}, (1, 3, 95, 100, 100)),
    case("limit touched only", ((98, 99, 95, 97), FLAT, FLAT), {"limit": 0.05}, (1, 3, 95, 100, 100),
         ours=(), why=TOUCH),
    case("limit passed when it arrives", ((93, 96, 92, 95), FLAT, FLAT), {"limit": 0.05}, (1, 3, 93, 100, 100)),
    case("limit passed by a later open", ((98, 99, 97, 98), (93, 96, 92, 95), FLAT), {"limit": 0.05},
         (2, 3, 93, 100, 100), ours=((2, 3, 95, 100, 100),), why=NOT_BETTER),
    case("sell limit", (RISE, FLAT, FLAT), {"side": -1, "limit": 0.05}, (1, 3, 105, 100, -100)),
    case("limit never reached", ((98, 99, 96, 97), FLAT, FLAT), {"limit": 0.05}),
    case("stop entry inside a bar", (RISE, FLAT, FLAT), {"stop_entry": 0.05}, (1, 3, 105, 100, 100)),
    case("stop entry passed by an open", ((107, 108, 106, 107), FLAT, FLAT), {"stop_entry": 0.05},
         (1, 3, 107, 100, 100)),
    case("sell stop", ((99, 100, 94, 96), FLAT, FLAT), {"side": -1, "stop_entry": 0.05}, (1, 3, 95, 100, -100)),
    case("stop entry, then its stop", ((101, 106, 100, 105), (104, 104, 101, 102), FLAT),
         {"stop_entry": 0.05, "stop_loss": 3 / 105}, (1, 2, 105, 102, 100), settings=OPTIMISTIC),
    case("stop entry, its stop passed by the next open", ((101, 106, 100, 105), FLAT, FLAT),
         {"stop_entry": 0.05, "stop_loss": 2 / 105}, (1, 2, 105, 100, 100), settings=OPTIMISTIC),
    case("stop entry between stop and target", ((101, 104.5, 100, 104), (104, 111, 104, 110), FLAT),
         {"stop_entry": 0.04, "stop_loss": 1 / 104, "take_profit": 6 / 104}, (1, 2, 104, 110, 100),
         settings=OPTIMISTIC),
    case("stop entry between stop and target, pessimistic", ((101, 104.5, 100, 104), (104, 111, 104, 110), FLAT),
         {"stop_entry": 0.04, "stop_loss": 1 / 104, "take_profit": 6 / 104}, (1, 2, 104, 110, 100),
         ours=((1, 1, 104, 103, 100),), why=IN_ITS_BAR),
    case("limit, then its target", (FALL, (97, 100, 97, 99), FLAT), {"limit": 0.05, "take_profit": 4 / 95},
         (1, 2, 95, 99, 100)),
    case("limit, its stop in its bar", ((98, 99, 92, 97), FLAT, FLAT), {"limit": 0.05, "stop_loss": 2 / 95},
         (1, 3, 95, 100, 100), ours=((1, 1, 95, 93, 100),), why=IN_ITS_BAR),
    case("limit, its target in its bar", ((98, 99, 94, 98.5), FLAT, FLAT), {"limit": 0.05, "take_profit": 3 / 95},
         (1, 2, 95, 100, 100), ours=((1, 1, 95, 98, 100),), why=IN_ITS_BAR),
    case("close of a half", (*STEP, FLAT), ({"part_of": "a", "until": 3}, {"part_of": "a"}),
         (1, 3, 100, 106, 50), (1, 4, 100, 100, 50)),
    case("close of a half, then the rest", (*STEP, (108, 109, 107, 109), FLAT),
         ({"part_of": "a", "until": 3}, {"part_of": "a"}), (1, 3, 100, 106, 50), (1, 4, 100, 108, 50), exits=(4,)),
    case("two targets", (STEP[0], (104, 106, 103, 106), (106, 111, 106, 110), FLAT),
         {"targets": ((0.05, 0.5), (0.10, 0.5))}, (1, 2, 100, 105, 50), (1, 3, 100, 110, 50)),
    case("scale in", ((100, 102, 100, 102), (102, 104, 102, 104), (104, 106, 104, 106), FLAT), ({}, {"at": 2}),
         (1, 4, 100, 100, 100), (2, 4, 102, 100, 100), settings={"in_position": "add"}),
    case("reverse", ((100, 102, 100, 102), (102, 104, 102, 104), (104, 106, 100, 101), FLAT),
         ({}, {"at": 2, "side": -1}), (1, 2, 100, 102, 100), (2, 4, 102, 100, -100), exits=(2,)),
    case("a stop that went with its target", ((100, 106, 99, 104), (104, 104, 90, 92), FLAT),
         {"stop_loss": 0.05, "take_profit": 0.05}, (1, 1, 100, 105, 100)),
    case("a stop raised to the entry", (STEP[0], (104, 106, 103, 106), (106, 106, 99, 99), FLAT),
         {"stop_loss": 0.05, "break_even": 0.05}, (1, 3, 100, 100, 100)),
)  # fmt: skip


def sized(given: dict[str, Any], market: Market, row: int) -> dict[str, float]:
    """A hundred units, or half of them in each part of an order."""
    return {"notional": (50.0 if "part_of" in given else 100.0) * price_of(given, market, row)}


def price_of(given: dict[str, Any], market: Market, row: int) -> float:
    """What an order will pay: the first open, or its level where that open has not passed it."""
    first, reference, side = float(market.open[row, 0]), float(market.close[row - 1, 0]), given.get("side", 1)
    if "limit" in given:
        level = reference * (1 - side * given["limit"])
        return first if side * first <= side * level else level
    if "stop_entry" in given:
        level = reference * (1 + side * given["stop_entry"])
        return first if side * first >= side * level else level
    return first


def trades_of(run: Run) -> list[Trade]:
    units = run.trades["quantity"] * run.trades["side"]
    return sorted(zip(*held(run), run.trades["entry_price"], run.trades["exit_price"], units, strict=True))


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_an_order_of_backtesting_py(one: Case) -> None:
    found = trades_of(replayed(one, sized, capital=1e6))
    assert len(found) == len(one.expected)
    for trade, wanted in zip(found, one.expected, strict=True):
        assert trade[:2] == wanted[:2]
        assert trade[2:] == pytest.approx(wanted[2:])


def test_every_difference_from_backtesting_py_has_its_convention() -> None:
    differ = [one for one in CASES if one.ours is not None]
    assert all((one.ours is None) == (not one.why) for one in CASES)
    assert (len(CASES), len(differ)) == (30, 5)
