"""Liquidity of young listings and of venues that omit empty bars, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from backtest.base.config import RunConfig
from backtest.engine.liquidity import parkinson_volatility, trailing_liquidity
from backtest.engine.replay import replay
from backtest.market.record import Market
from backtest.signals.strategy import Intent, Intents
from tests.engine.test_book import random_market

HOUR, DAY = 3_600_000, 86_400_000
PRICES = ("open", "high", "low", "close", "volume")


def listed_at(market: Market, row: int, column: int = 0) -> Market:
    """The market whose first instrument has no bar before `row`."""
    before = np.zeros(market.close.shape, dtype=np.bool_)
    before[:row, column] = True
    return replace(market, **{name: np.where(before, np.nan, getattr(market, name)) for name in PRICES})


def test_parkinson_of_two_ranges_by_hand() -> None:
    # ln(1.1)^2 and ln(1.2)^2 over 4 ln 2: first alone, then their mean.
    high, low = np.array([[110.0], [120.0]]), np.array([[100.0], [100.0]])
    expected = [math.log(1.1) ** 2, (math.log(1.1) ** 2 + math.log(1.2) ** 2) / 2]
    assert parkinson_volatility(high, low)[:, 0] == pytest.approx(np.sqrt(np.array(expected) / (4 * math.log(2))))


def test_a_young_listing_has_the_liquidity_of_the_bars_there_are() -> None:
    market = listed_at(random_market(3, holes=False), 50)
    found = trailing_liquidity(market, 7 * DAY)
    assert np.flatnonzero(found.young[:, 0]).tolist() == list(range(50, 73))
    assert not found.young[:, 1:].any()
    traded = market.close[:, 0] * market.volume[:, 0]
    assert found.daily_volume[52, 0] == pytest.approx(traded[50:53].mean() * 24)
    ranges = np.log(market.high[50:53, 0] / market.low[50:53, 0]) ** 2
    assert found.volatility[52, 0] == pytest.approx(math.sqrt(ranges.mean() / (4 * math.log(2)) * 24))
    assert np.isnan(found.volatility[:50, 0]).all()


def test_the_day_of_a_listing_can_be_traded_and_says_so() -> None:
    market = listed_at(random_market(3, holes=False), 50)
    rows = [
        Intent(instrument=market.symbols[0], decided_at_ms=int(market.open_ms[row]), hold_ms=HOUR) for row in (50, 52)
    ]
    run = replay(market, Intents(tuple(rows)), RunConfig())
    assert run.rejected["reason"].tolist() == ["LIQUIDITY_UNKNOWN"]
    assert run.trades["young"].tolist() == [True]
    assert any("was estimated from less than a day of bars" in note for note in run.notes)


def test_bars_that_a_venue_omits_are_bars_of_volume_zero() -> None:
    """One candle in four: known where the venue's way is known, else unknown as before."""
    whole = random_market(8, holes=False)
    gone = np.zeros(whole.close.shape, dtype=np.bool_)
    gone[np.arange(len(gone)) % 4 != 0, 0] = True
    sparse = replace(whole, **{name: np.where(gone, np.nan, getattr(whole, name)) for name in PRICES})
    assert np.isnan(trailing_liquidity(sparse, 7 * DAY).volatility[:, 0]).all()
    told = replace(sparse, instruments=(replace(whole.instruments[0], omits_empty_bars=True), *whole.instruments[1:]))
    found = trailing_liquidity(told, 7 * DAY)
    traded = np.where(gone[:, 0], 0.0, whole.close[:, 0] * whole.volume[:, 0])
    assert found.daily_volume[150, 0] == pytest.approx(traded[:151].mean() * 24)
    closes = whole.close[np.arange(151) // 4 * 4, 0]
    assert found.volatility[150, 0] == pytest.approx(np.diff(np.log(closes)).std(ddof=1) * math.sqrt(24))
    intent = Intent(instrument=whole.symbols[0], decided_at_ms=int(whole.open_ms[150]))
    assert replay(sparse, Intents((intent,)), RunConfig()).rejected["reason"].tolist() == ["LIQUIDITY_UNKNOWN"]
    assert len(replay(told, Intents((intent,)), RunConfig()).trades) == 1
    assert told.sha256() != sparse.sha256()
