"""freqtrade's candle-by-candle table, its cases 0 to 59, put into intents by their documented meaning.

Cases and expected results follow freqtrade's public tests (`tests/optimize/test_backtest_detail.py`, as of 2025) and
its page on backtesting; prices are scaled to 100 at the entry. freqtrade states profit to a tenth of a percent, so that
is the tolerance. Where we differ the convention is named, and our own result is given as well.
"""

from __future__ import annotations

import numpy as np
import pytest

from backtest.engine.run import Run
from tests.engine.cases import Bar, Case, case, held, replayed
from tests.engine.test_orders import HOUR

Trade = tuple[int, int, str, float]
"""Bars of entry and exit, the one after the signal being 1; reason; profit as a share of the margin."""
TENTH = 5.5e-4

CALM: tuple[Bar, ...] = ((100, 100.5, 99.5, 99.74), (99.74, 100.24, 99.72, 99.72))
RISE: Bar = (100, 102, 99, 102)
HELD: Bar = (100, 101, 99, 100)
WIDE: Bar = (100, 110, 99.02, 100)
AFTER_WIDE: tuple[Bar, ...] = ((98, 105, 90, 102), (102, 102, 93, 95), (95, 99, 87, 95))
LAST: Bar = (95, 99, 87, 95)
DROP: Bar = (97, 101, 93, 95)
SLIDE: Bar = (99.24, 99.74, 98.74, 99)
END: Bar = (99, 99.5, 98.5, 99)
TRAIL = {"trailing_stop": 0.03, "activation": 0.05}
POSITIVE = {"second_trailing_stop": 0.01, "second_activation": 1e-9, "trailing_stop": 0.1}

STOP_AT_OPEN = (
    "a stop that the open has passed fills at that open; freqtrade fills at the stop where the candle reaches it"
)
HIGH_FIRST = "freqtrade walks high, then low; the pessimistic order takes the worst path, which low first may be"
LIMIT_BEYOND = (
    "a limit on the far side of the market is a market order at the open; freqtrade fills it at its own price"
)
EXIT_AT_MARKET = "a decided exit is a market order at the next open; freqtrade's limit is moved into the candle"
END_AT_CLOSE = "what is held at the end leaves at the last close; freqtrade at the last open"
TIME_AT_OPEN = "an exit by time leaves at the open of its bar; freqtrade at the worst price of the candle"
BEGINS_AT_OPEN = (
    "a later target holds from an open on, where it is checked; freqtrade's, inside a candle, fills at its rate"
)
BOTH_SIDES = "of two intents at once the first enters and the second is IN_POSITION; freqtrade drops both"
ENTERS_FIRST = "at an open the position that is stopped later in that bar is still held; freqtrade enters at that open"


SIGNAL = ((100.2, 100.2, 99.6, 100.2), (100.2, 100.22, 99.54, 99.9), (99.9, 99.9, 99, 99))
BOTH = ((98.2, 103, 98.2, 102), (102, 102, 99, 99), (100, 102, 99, 99), (100, 102, 99, 99))

CASES = (
    case(0, (*CALM, *SIGNAL), {"stop_loss": 0.01}, (1, 4, "signal", 0.002), exits=(4,)),
    case(1, (CALM[0], (99.74, 100.24, 92, 92), SLIDE), {"stop_loss": 0.01}, (1, 2, "stop_loss", -0.01)),
    case(2, (CALM[0], (99.74, 100.24, 99.24, 99.5), (99.5, 100, 96, 99.24), END), {"stop_loss": 0.03},
         (1, 3, "stop_loss", -0.03)),
    case(3, (CALM[0], (99.74, 100.24, 96, 99.5), SLIDE, (99.5, 100, 99, 99.24), (99.24, 99.74, 80, 80), END),
         ({"stop_loss": 0.02}, {"stop_loss": 0.02, "at": 4}),
         (1, 2, "stop_loss", -0.02), (4, 5, "stop_loss", -0.02)),
    case(4, (CALM[0], (99.74, 115, 97, 115), SLIDE), {"stop_loss": 0.02, "take_profit": 0.06},
         (1, 2, "stop_loss", -0.02)),
    case(5, (CALM[0], (99.74, 100.5, 99.5, 99.74), (99.5, 120, 99.5, 120), END),
         {"stop_loss": 0.01, "take_profit": 0.03}, (1, 3, "take_profit", 0.03)),
    case(6, (CALM[0], (99.74, 106, 97, 101), SLIDE), {"stop_loss": 0.02, "take_profit": 0.05},
         (1, 2, "stop_loss", -0.02)),
    case(7, (CALM[0], (99.74, 106, 99, 101), SLIDE), {"stop_loss": 0.02, "take_profit": 0.03},
         (1, 2, "take_profit", 0.03)),
    case(8, (HELD, (100, 105, 95, 97), (97, 101, 93, 95), LAST), {"trailing_stop": 0.1, "take_profit": 0.1},
         (1, 3, "trailing_stop", -0.055)),
    case(9, (HELD, HELD, (100, 104, 91, 97), LAST), {"trailing_stop": 0.1, "take_profit": 0.1},
         (1, 3, "trailing_stop", -0.064), ours=((1, 3, "trailing_stop", -0.09),), why=HIGH_FIRST),
    case(10, (RISE, (102, 105.02, 102, 102), DROP, LAST),
         {"stop_loss": 0.1, "take_profit": 0.1, "trailing_stop": 0.03, "activation": 0.1}, (1, 4, "stop_loss", -0.1)),
    case(11, (RISE, (102, 105.02, 102, 102), (100, 103, 93, 95), LAST), {"stop_loss": 0.1, "take_profit": 0.1, **TRAIL},
         (1, 3, "trailing_stop", 0.019), ours=((1, 3, "trailing_stop", 0.0),), why=STOP_AT_OPEN),
    case(12, (RISE, (102, 105.02, 93, 102), DROP, LAST), {"stop_loss": 0.1, "take_profit": 0.1, **TRAIL},
         (1, 2, "trailing_stop", 0.019)),
    case(13, (RISE, (102, 105.02, 97, 102), (97, 101, 95, 95)), {"stop_loss": 0.1, "take_profit": 0.01},
         (1, 1, "take_profit", 0.01)),
    case(14, ((100, 102, 92, 102), (102, 105.02, 97, 102)), {"stop_loss": 0.05, "take_profit": 0.1},
         (1, 1, "stop_loss", -0.05)),
    case(15, ((100, 102, 98, 102), (102, 105.02, 93, 102), DROP),
         ({"stop_loss": 0.05, "take_profit": 0.01}, {"stop_loss": 0.05, "take_profit": 0.01, "at": 2}),
         (1, 1, "take_profit", 0.01), (2, 2, "stop_loss", -0.05)),
    case(16, (CALM[0], (99.74, 106, 99, 101), (99.5, 100, 98.8, 99.24), SLIDE),
         {"stop_loss": 0.1, "take_profit": 0.1, "late_take_profit": -0.99, "late_ms": HOUR * 65 // 60},
         (1, 3, "take_profit", -0.012), ours=((1, 3, "take_profit", -0.005),), why=TIME_AT_OPEN),
    case(17, (CALM[0], (99.74, 106, 99, 101), (99.6, 100, 98.8, 99.24), SLIDE),
         {"stop_loss": 0.1, "take_profit": 0.1, "late_take_profit": -0.99, "late_ms": 2 * HOUR},
         (1, 3, "take_profit", -0.004)),
    case(18, (CALM[0], (99.74, 106, 99, 104), (104, 104.4, 98.8, 99.24), SLIDE),
         {"stop_loss": 0.1, "take_profit": 0.1, "late_take_profit": 0.01, "late_ms": 2 * HOUR},
         (1, 3, "take_profit", 0.04)),
    case(19, (CALM[0], (99.74, 106, 99, 104), (100, 106, 98.8, 99.24), SLIDE),
         {"stop_loss": 0.1, "take_profit": 0.1, "late_take_profit": 0.01, "late_ms": 2 * HOUR},
         (1, 3, "take_profit", 0.01)),
    case(20, (CALM[0], (99.74, 106, 99, 104), (104, 106, 98.8, 99.24), SLIDE),
         {"stop_loss": 0.1, "take_profit": 0.1, "late_take_profit": 0.01, "late_ms": HOUR * 119 // 60},
         (1, 3, "take_profit", 0.01), ours=((1, 3, "take_profit", 0.04),), why=BEGINS_AT_OPEN),
    case(21, (RISE, (102, 105.02, 93, 102), DROP), {"stop_loss": 0.1, "take_profit": 0.04, **TRAIL},
         (1, 2, "take_profit", 0.04)),
    case(22, (RISE, (102, 105.02, 102, 102), DROP), {"stop_loss": 0.1, "take_profit": 0.04, **TRAIL},
         (1, 2, "take_profit", 0.04)),
    case(23, ((100, 101, 98, 98), (98, 98, 94.98, 98), DROP),
         {"side": -1, "stop_loss": 0.1, "take_profit": 0.04, **TRAIL},
         (1, 2, "take_profit", 0.04)),
    case(24, (RISE, (102, 105.02, 102, 102), (97, 105.02, 93, 95), LAST),
         {"stop_loss": 0.1, "take_profit": 0.1, "late_take_profit": 0.03, "late_ms": HOUR * 119 // 60, **TRAIL},
         (1, 3, "take_profit", 0.03), ours=((1, 3, "trailing_stop", -0.03),), why=STOP_AT_OPEN),
    case(25, (*CALM, (100.2, 100.2, 97.1, 100.2), (100.2, 100.2, 99.54, 99.9)), {"stop_loss": 0.01},
         (1, 3, "stop_loss", -0.01), exits=(4,)),
    case(26, (*CALM, (100.2, 100.2, 99.72, 100.2), (100.2, 100.2, 97.1, 99.9)), {"stop_loss": 0.01},
         (1, 4, "signal", 0.002), exits=(4,)),
    case(27, (*CALM, (100.2, 100.2, 99.72, 100.2), (100.2, 100.2, 97.1, 99.9)), {"stop_loss": 0.01},
         (1, 4, "signal", 0.01), exits=(4,), settings={"leverage": 5.0, "gross_cap": 5.0}),
    case(28, (*CALM, (100.2, 100.2, 99.72, 100.2), (99.8, 100.2, 97.1, 99.9)), {"side": -1, "stop_loss": 0.01},
         (1, 4, "signal", 0.01), exits=(4,), settings={"leverage": 5.0, "gross_cap": 5.0}),
    case(29, (*CALM, (100.2, 105.02, 99.72, 100.2), (100.2, 100.2, 97.1, 99.9)),
         {"stop_loss": 0.1, "take_profit": 0.05},
         (1, 3, "take_profit", 0.05), exits=(4,)),
    case(30, (*CALM, (100.2, 100.24, 99.72, 100.2), (100.2, 105.02, 97.1, 99.9)),
         {"stop_loss": 0.1, "take_profit": 0.05},
         (1, 4, "signal", 0.002), exits=(4,)),
    case(31, (RISE, (102, 105.02, 102, 102), DROP, LAST), {"stop_loss": 0.1, "take_profit": 0.1, **TRAIL},
         (1, 3, "trailing_stop", -0.03)),
    case(32, ((100, 101, 97.8, 97.8), (97.8, 97.8, 94.98, 97.8), (103, 107, 99, 99)),
         {"side": -1, "stop_loss": 0.1, "take_profit": 0.1, **TRAIL}, (1, 3, "trailing_stop", -0.03)),
    case(33, ((100, 101, 100, 100), (98, 105, 90, 102), DROP),
         {"stop_loss": 0.1, "take_profit": 0.1, **POSITIVE, "second_trailing_stop": 0.03},
         (1, 2, "trailing_stop", -0.02)),
    case(34, ((100, 110, 98, 98), *AFTER_WIDE), {"stop_loss": 0.1, "take_profit": 0.1, **POSITIVE},
         (1, 1, "trailing_stop", -0.01)),
    case(35, ((100, 110, 98, 98), *AFTER_WIDE),
         {"stop_loss": 0.1, "take_profit": 0.1, "trailing_stop": 0.01, "activation": 0.02},
         (1, 1, "trailing_stop", 0.01)),
    case(36, (WIDE, *AFTER_WIDE), {"take_profit": 0.1, "trailing_stop": 0.01}, (1, 1, "trailing_stop", -0.01)),
    case(37, (WIDE, *AFTER_WIDE), {"take_profit": 0.1, "trailing_stop": 0.01, "catalyst_id": "buy"},
         (1, 1, "trailing_stop", -0.01)),
    case(38, ((100, 100.98, 90, 100), *AFTER_WIDE), {"side": -1, "take_profit": 0.1, "trailing_stop": 0.01},
         (1, 1, "trailing_stop", -0.01)),
    case(39, (WIDE, *AFTER_WIDE), {"limit": 0.16, "stop_loss": 0.01}, rejected=("UNFILLED",)),
    case(40, (WIDE, *AFTER_WIDE), {"limit": -0.44, "stop_loss": 0.01}, (1, 1, "stop_loss", -0.01),
         ours=((1, 2, "stop_loss", -0.02),), why=LIMIT_BEYOND),
    case(41, (WIDE, *AFTER_WIDE), {"limit": -0.2, "side": -1, "stop_loss": 0.01}, (1, 1, "stop_loss", -0.01)),
    case(42, ((100, 110, 99.02, 99.98), *AFTER_WIDE), {"limit": 0.0096, "stop_loss": 0.1, "take_profit": 0.01},
         (1, 2, "take_profit", 0.01)),
    case(43, ((108, 110, 99.02, 102), *AFTER_WIDE), {"limit": 0.0096, "stop_loss": 0.1, "take_profit": 0.01},
         (1, 1, "take_profit", 0.01)),
    case(44, (WIDE, (98, 105, 98, 102), (102, 102, 99, 99), HELD), {"stop_loss": 0.1},
         (1, 3, "signal", -0.01), exits=(3,),
         ours=((1, 3, "signal", 0.02),), why=EXIT_AT_MARKET),
    case(45, (WIDE, (99, 105, 98, 102), (102, 102, 99, 99), (100, 102, 99, 99)),
         {"stop_loss": 0.1, "late_take_profit": 0.2104, "late_ms": 2 * HOUR},
         (1, 4, "end_of_data", 0.0), ours=((1, 4, "end_of_data", -0.01),), why=END_AT_CLOSE),
    case(46, ((100, 100, 99.02, 100), *BOTH[:3]),
         {"side": -1, "stop_loss": 0.1, "late_take_profit": 0.06, "late_ms": 2 * HOUR},
         (1, 4, "end_of_data", 0.0), ours=((1, 4, "end_of_data", 0.01),), why=END_AT_CLOSE),
    case(47, (WIDE, (98, 105, 98, 102), (102, 102, 99, 99)), ({"stop_loss": 0.1}, {"side": -1, "stop_loss": 0.1}),
         ours=((1, 3, "end_of_data", -0.01),), rejected=("IN_POSITION",), why=BOTH_SIDES),
    case(48, (WIDE, *AFTER_WIDE),
         ({"limit": 0.16, "expires_ms": HOUR - 1, "stop_loss": 0.2}, {"limit": -0.04, "at": 2, "stop_loss": 0.2}),
         (1, 4, "signal", -0.087),
         exits=(4,), ours=((2, 4, "signal", -0.0306),), rejected=("UNFILLED",), why=LIMIT_BEYOND),
    case(49, ((100, 104, 99.02, 100), (98, 105, 98, 102), (102, 102, 93, 95), LAST),
         ({"side": -1, "limit": 0.06, "expires_ms": HOUR - 1, "stop_loss": 0.2},
          {"side": -1, "limit": 0.0, "at": 2, "stop_loss": 0.2}),
         (2, 4, "signal", 0.05), exits=(4,), rejected=("UNFILLED",)),
    case(50, (WIDE, *AFTER_WIDE), {"limit": 0.16, "expires_ms": HOUR - 1, "stop_loss": 0.01}, rejected=("UNFILLED",)),
    case(51, (WIDE, *AFTER_WIDE),
         ({"limit": 0.16, "expires_ms": HOUR - 1, "stop_loss": 0.01},
          {"limit": 0.18, "at": 2, "expires_ms": 2 * HOUR - 1, "stop_loss": 0.01}),
         rejected=("UNFILLED", "UNFILLED")),
    case(52, (WIDE, *AFTER_WIDE),
         ({"limit": 0.16, "expires_ms": HOUR - 1, "stop_loss": 0.03}, {"limit": -0.04, "at": 2, "stop_loss": 0.03}),
         (2, 2, "stop_loss", -0.03), rejected=("UNFILLED",)),
    case(53, ((100, 104, 99.02, 100), (98, 105, 98, 102), (102, 102, 93, 95), LAST),
         ({"side": -1, "limit": 0.06, "expires_ms": HOUR - 1, "stop_loss": 0.03},
          {"side": -1, "limit": 0.0, "at": 2, "stop_loss": 0.03}),
         (2, 2, "stop_loss", -0.03), rejected=("UNFILLED",)),
    case(54, ((100, 100, 99.02, 100), *BOTH),
         ({"stop_loss": 0.1}, {"side": -1, "stop_loss": 0.1, "at": 3}, {"side": -1, "stop_loss": 0.1, "at": 4}),
         (1, 4, "signal", 0.0), (4, 5, "signal", 0.0), exits=(4, 5), rejected=("IN_POSITION",)),
    case(55, ((100, 100, 99.02, 100), *BOTH),
         ({"side": -1, "stop_loss": 0.1}, {"stop_loss": 0.1, "at": 2}, {"stop_loss": 0.1, "at": 3}),
         (1, 3, "signal", -0.02), (3, 5, "signal", -0.0196), exits=(3, 5), rejected=("IN_POSITION",)),
    case(56, ((100, 100, 99.02, 100), BOTH[0], (102, 102, 97.76, 99), *BOTH[2:]),
         ({"stop_loss": 0.02}, {"side": -1, "stop_loss": 0.02, "at": 3}),
         (1, 3, "stop_loss", -0.02), (3, 5, "signal", 0.0196), exits=(5,),
         ours=((1, 3, "stop_loss", -0.02),), rejected=("IN_POSITION",), why=ENTERS_FIRST),
    case(57, ((91.96, 104, 89.96, 100), (98, 105, 98, 102), (102, 102, 93, 95), *[(95, 99, 93, 95)] * 3),
         ({"limit": 0.08, "stop_loss": 0.2, "take_profit": 0.5, "weight": 0.1, "part_of": "a", "until": 5},
          {"limit": 0.08, "stop_loss": 0.2, "take_profit": 0.5, "weight": 0.3, "part_of": "a"},
          {"limit": 0.0980392, "stop_loss": 0.2, "at": 3, "weight": 0.2, "expires_ms": 2 * HOUR - 1}),
         (1, 5, "signal", 0.033), (1, 6, "signal", 0.033), exits=(6,), settings={"in_position": "add"},
         rejected=("UNFILLED",)),
    case(58, ((100, 104, 99.02, 100), (98, 105, 98, 102), (102, 102, 93, 95), (95, 102, 87, 95)),
         {"side": -1, "stop_loss": 0.1}, (1, 4, "signal", -0.01), exits=(4,),
         ours=((1, 4, "signal", 0.05),), why=EXIT_AT_MARKET),
    case(59, (WIDE, *AFTER_WIDE),
         {"stop_loss": 0.2, "take_profit": 0.1, "late_take_profit": -0.02, "late_ms": 3 * HOUR},
         (1, 4, "take_profit", -0.02)),
)  # fmt: skip


def trades_of(run: Run, one: Case) -> list[Trade]:
    leverage = one.settings.get("leverage", 1.0)
    share = run.trades["net"] / (run.trades["quantity"] * run.trades["entry_price"]) * leverage
    return list(zip(*held(run), run.trades["reason"], share, strict=True))


@pytest.mark.parametrize("one", CASES, ids=lambda one: f"case {one.name}")
def test_a_case_of_the_table(one: Case) -> None:
    run = replayed(one, capital=1000.0, maintenance_margin=0.0)
    found = trades_of(run, one)
    assert [trade[:3] for trade in found] == [trade[:3] for trade in one.expected]
    np.testing.assert_allclose([trade[3] for trade in found], [trade[3] for trade in one.expected], atol=TENTH)
    assert tuple(run.rejected["reason"]) == one.rejected
    if one.why == HIGH_FIRST:
        trade = run.trades.iloc[0]
        notional = trade["quantity"] * trade["entry_price"]
        assert trade["net_low"] / notional < one.theirs[0][3] <= trade["net_high"] / notional + 1e-9


def test_every_case_is_expressed_and_every_difference_has_its_convention() -> None:
    assert [one.name for one in CASES] == list(range(60))
    differ = [one for one in CASES if one.ours is not None]
    assert all((one.ours is None) == (not one.why) for one in CASES)
    assert len(CASES) - len(differ) == 47
    for one in differ:
        assert [trade[:4] for trade in one.theirs] != [trade[:4] for trade in one.ours or ()]
