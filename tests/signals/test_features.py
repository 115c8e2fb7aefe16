"""Indicators against hand arithmetic, and causal by construction."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.base.errors import UsageError
from backtest.base.units import TimeRange, parse_timerange
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.record import Floats, Market
from backtest.signals import features

NAN = float("nan")


@pytest.fixture(scope="module")
def market() -> Market:
    return open_dataset(default_dataset())


@cache
def four_weeks() -> Market:
    return open_dataset(default_dataset()).between(parse_timerange("20251015-20251110"))


def column(*values: float) -> Floats:
    return np.array(values, dtype=np.float64).reshape(-1, 1)


def test_on_balance_volume_of_five_bars() -> None:
    close, volume = column(10, 11, 10.5, 10.5, 12), column(5, 7, 3, 9, 4)
    # +7, -3, 0 (unchanged), +4
    assert features.on_balance_volume(close, volume).ravel().tolist() == [0, 7, 4, 4, 8]


def test_an_unknown_bar_adds_nothing_to_the_balance() -> None:
    close, volume = column(10, NAN, 12, 13), column(1, 1, 5, 3)
    assert features.on_balance_volume(close, volume).ravel().tolist() == [0, 0, 0, 3]


def test_chaikin_money_flow_of_two_bars() -> None:
    high, low, close, volume = column(10, 12), column(8, 8), column(9.5, 9), column(100, 300)
    # multipliers ((1.5) - (0.5)) / 2 = 0.5 and (1 - 3) / 4 = -0.5: (50 - 150) / 400
    flow = features.chaikin_money_flow(high, low, close, volume, 2).ravel()
    assert np.isnan(flow[0])
    assert flow[1] == pytest.approx(-0.25)
    flat = column(10, 10)
    assert features.chaikin_money_flow(flat, flat, flat, volume, 2)[1, 0] == 0.0
    assert np.isnan(features.chaikin_money_flow(high, low, close, 0 * volume, 2)).all()


def test_on_balance_volume_differs_from_vectorbts_by_a_constant(market: Market) -> None:
    import vectorbt

    theirs = vectorbt.OBV.run(market.frame("close"), market.frame("volume")).obv.to_numpy()
    ours = features.on_balance_volume(market.close, market.volume)
    # Theirs counts the first bar, which has no close before it, in full.
    np.testing.assert_allclose(theirs - ours, np.broadcast_to(market.volume[0], ours.shape), rtol=1e-6)


def test_changes() -> None:
    values = column(100, 110, 0, 50)
    assert features.change(values, 1).ravel()[1:3].tolist() == pytest.approx([0.1, -1.0])
    assert np.isnan(features.change(values, 1)[3, 0])
    assert features.log_change(values, 1)[1, 0] == pytest.approx(0.0953101798)
    assert np.isnan(features.log_change(values, 1)[3, 0])
    assert np.isnan(features.change(values, 9)).all()


def test_a_record_needs_a_whole_window_before_it() -> None:
    values = column(1, 2, 3, 3, 4, NAN, 9, 9.5, 9.4, 9.6)
    assert features.is_record(values, 2).ravel().tolist() == [
        False, False, True, False, True, False, False, False, False, True,
    ]  # fmt: skip


def test_begins_marks_the_first_row_of_a_stretch() -> None:
    condition = np.array([True, True, False, True, True, False, True]).reshape(-1, 1)
    assert features.begins(condition).ravel().tolist() == [False, False, False, True, False, False, True]


def test_a_flag_breaks_upward_only_when_it_held_half_of_its_pole() -> None:
    # pole 100 -> 120 in two bars, then two bars of flag, then the close
    def breaks(low: float, last: float) -> bool:
        close = column(100, 110, 120, 117, 116, last)
        high = column(100, 111, 121, 118, 117.5, last)
        lows = column(99, 100, 110, 114, low, 115)
        return bool(features.flag_breakout(high, lows, close, 2, 2, 0.19)[5, 0])

    assert breaks(112, 118.5)
    assert not breaks(112, 117.9)
    assert not breaks(109.9, 118.5)


def test_funding_as_a_yearly_rate(market: Market) -> None:
    day = features.funding_yearly(market, 24)
    settled = market.funding[100 - 23 : 101, 0]
    assert (settled != 0).sum() == 3
    assert day[100, 0] == pytest.approx(settled.sum() * 365)


def test_windows_are_whole_bars(market: Market) -> None:
    assert features.bars_of("90m", market) == 2
    assert features.bars_of("1d", market) == 24
    with pytest.raises(UsageError, match="window '0h' has no length"):
        features.bars_of("0h", market)


def test_the_last_known_row(market: Market) -> None:
    hour = market.bar_ms
    assert features.row_known_at(market.start_ms + hour - 1, market) == -1
    assert features.row_known_at(market.start_ms + hour, market) == 0
    assert features.row_known_at(market.end_ms + 99 * hour, market) == len(market.index) - 1
    assert features.closes_ms(market)[0] == market.start_ms + hour


CAUSAL: dict[str, Callable[[Market], np.ndarray]] = {
    "record": lambda m: features.is_record(m.open_interest, 48),
    "balance": lambda m: features.on_balance_volume(m.close, m.volume),
    "flow": lambda m: features.chaikin_money_flow(m.high, m.low, m.close, m.volume, 24),
    "flag": lambda m: features.flag_breakout(m.high, m.low, m.close, 48, 24, 0.05),
    "funding": lambda m: features.funding_yearly(m, 72),
    "coins": lambda m: features.log_change(features.coins_of_interest(m), 24),
    "mean": lambda m: features.rolling(m.close, 24, "mean"),
}


@pytest.mark.parametrize("name", CAUSAL)
@given(rows=st.integers(30, 600))
def test_a_longer_market_changes_no_row_of_a_shorter_one(name: str, rows: int) -> None:
    whole = four_weeks()
    short = whole.between(TimeRange(None, whole.start_ms + rows * whole.bar_ms))
    np.testing.assert_array_equal(CAUSAL[name](short), CAUSAL[name](whole)[:rows])
