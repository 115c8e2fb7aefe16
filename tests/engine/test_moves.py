"""The three moves of a trade, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from backtest.catalysts.record import Calendar
from backtest.engine.moves import moves
from backtest.market.record import Market

SYMBOL = "ZEC/USDT:USDT"


def a_market() -> Market:
    """Ten hourly bars that open at 100, 110, ... and close ten higher."""
    times = pd.date_range("2025-11-06", periods=10, freq="h", tz="UTC")
    opened = 100.0 + 10.0 * np.arange(10)
    frame = pd.DataFrame(
        {"open": opened, "high": opened + 10, "low": opened, "close": opened + 10, "volume": 1.0}, times
    )
    return Market.from_frames({SYMBOL: frame})


def told(
    entry_row: int, entry: float, exit_price: float, side: int = 1, reaction: int = 0
) -> tuple[float, float, float]:
    """Of one trade on a catalyst of 02:30, known at 02:31."""
    row = {"id": "one-a", "assets": "ZEC", "kind": "listing", "announced_at": "2025-11-06T02:30Z"}
    whole = {"column": 0, "side": side, "entry_row": entry_row, "entry_price": entry, "exit_price": exit_price}
    trade = {name: np.array([value]) for name, value in whole.items()}
    made = moves(["one-a"], trade, a_market(), Calendar.from_records([row], "c"), reaction)
    return float(made.before[0]), float(made.waited[0]), float(made.captured[0])


def test_before_waited_and_captured_are_chained() -> None:
    # Last close before 02:30 is that of the bar of 01:00, 120; the first open after 02:31 is that of 03:00, 130.
    assert told(3, 130.0, 143.0) == pytest.approx((130 / 120 - 1, 0.0, 0.1))
    before, waited, captured = told(5, 151.0, 140.0)
    assert (before, waited) == pytest.approx((130 / 120 - 1, 151 / 130 - 1))
    assert captured == pytest.approx(140 / 151 - 1)
    assert (1 + before) * (1 + waited) == pytest.approx(151 / 120)


def test_a_short_signs_each_move_and_its_own_wait_is_not_before() -> None:
    before, waited, captured = told(5, 150.0, 135.0, side=-1)
    assert (before, waited, captured) == pytest.approx((-(130 / 120 - 1), -(150 / 130 - 1), 0.1))


def test_the_reaction_is_no_delay_of_the_strategy_and_an_early_fill_waits_for_nothing() -> None:
    assert told(5, 150.0, 150.0, reaction=2 * 3_600_000)[1] == pytest.approx(0.0)
    assert told(2, 120.0, 150.0) == pytest.approx((0.0, 0.0, 0.25))


def test_a_trade_on_no_dated_catalyst_has_no_move_before() -> None:
    trade = pd.DataFrame({"column": [0], "side": [1], "entry_row": [3], "entry_price": [130.0], "exit_price": [143.0]})
    made = moves([""], trade, a_market(), Calendar("none", ()), 0)
    assert np.isnan([made.before[0], made.waited[0]]).all()
    assert made.captured[0] == pytest.approx(0.1)
