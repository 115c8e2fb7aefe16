"""The aligned panel refuses what would mislead a replay, and answers questions about time."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest

from backtest.base.errors import MarketError, UsageError
from backtest.base.units import TimeRange, parse_timerange
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.record import Instrument, Market
from backtest.market.series import PANELS

SYMBOLS = ("ZEC/USDT", "ZEC/USDT:USDT", "DASH/USDT:USDT")


def a_market(**changes: object) -> Market:
    shape = (6, 3)
    prices = np.full(shape, 100.0)
    values: dict[str, object] = {
        "index": pd.date_range("2025-10-01", periods=6, freq="h", tz="UTC"),
        "timeframe": "1h",
        "instruments": tuple(Instrument.parse(symbol) for symbol in SYMBOLS),
        "open": prices,
        "high": prices + 2,
        "low": prices - 2,
        "close": prices + 1,
        "volume": prices,
        "open_interest": prices,
        "funding": np.zeros(shape),
    }
    return Market(**(values | changes))  # type: ignore[arg-type]


def broken(panel: str, value: float) -> dict[str, object]:
    values = np.array(getattr(a_market(), panel))
    values[2, 1] = value
    return {panel: values}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (broken("low", -1), r"ZEC/USDT:USDT at 2025-10-01 02:00 has a price that is not positive"),
        (broken("high", np.inf), "not positive and finite"),
        (broken("high", 99), "has a high or low that its prices leave"),
        (broken("close", 103), "has a high or low that its prices leave"),
        (broken("open", np.nan), "has some of its prices and lacks others"),
        (broken("volume", -1), "negative or infinite"),
        (broken("open_interest", -1), "has a value of open interest that is not zero or more"),
        (broken("funding", np.inf), "has a value of funding rate that is not finite"),
        ({"funding": np.zeros((5, 3))}, r"funding has shape \(5, 3\)"),
        ({"index": pd.date_range("2025-10-01", periods=6, freq="h")}, "no time zone"),
        (
            {"index": pd.date_range("2025-10-01", periods=6, freq="2h", tz="UTC")},
            "is 7200 s later, but the",
        ),
        ({"instruments": tuple(Instrument.parse(one) for one in ("ZEC/USDT",) * 3)}, "duplicate instrument 'ZEC/USDT'"),
    ],
)
def test_a_market_that_would_mislead_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(MarketError, match=message):
        a_market(**changes)


def test_an_empty_market_is_refused() -> None:
    empty = {name: np.empty((0, 3)) for name in PANELS}
    with pytest.raises(MarketError, match="is empty: 0 bars of 3 instruments"):
        a_market(index=pd.DatetimeIndex([], tz="UTC"), **empty)


def test_it_is_frozen_and_its_arrays_are_read_only_copies() -> None:
    prices = np.full((6, 3), 100.0)
    market = a_market(open=prices)
    prices[0, 0] = 5
    assert market.open[0, 0] == 100
    with pytest.raises(ValueError, match="read-only"):
        market.close[0, 0] = 5
    with pytest.raises(FrozenInstanceError):
        market.timeframe = "2h"  # type: ignore[misc]


def test_bars_of_another_market_are_not_copied_and_their_views_are() -> None:
    market = a_market()
    again = replace(market, provenance=replace(market.provenance, name="other"))
    assert again.open is market.open
    view = market.open[:]
    assert replace(market, open=view).open is not view
    frozen = np.full(market.open.shape, 100.0)
    frozen.flags.writeable = False
    turned = np.asfortranarray(frozen)
    turned.flags.writeable = False
    assert replace(market, close=turned).close.flags.c_contiguous


def test_most_bars_are_a_view_and_a_few_are_a_copy() -> None:
    market = a_market()
    end = market.end_ms
    for start, kept in ((market.start_ms + market.bar_ms, True), (end - 2 * market.bar_ms, False)):
        part = market.between(TimeRange(start, end))
        again = replace(part, open=np.array(part.open))
        assert np.shares_memory(part.open, market.open) == kept
        assert part.sha256() == again.sha256()
        assert not part.open.flags.writeable
        assert part.start_ms == start


def test_fewer_instruments_are_the_same_bars_and_no_view_of_them() -> None:
    whole = a_market(series={"mark_price": np.array([[np.nan, 100.0, 100.0]] * 6)})
    one, two = whole.symbols[0], whole.symbols[1]
    few = whole.select((two, one))
    assert few.symbols == (two, one)
    for name, values in few.panels.items():
        np.testing.assert_array_equal(values, whole.panel(name)[:, [1, 0]])
        assert values.flags.c_contiguous
        assert not values.flags.writeable
        assert values.base is None
    assert few.sha256() == replace(few).sha256()
    assert not whole.select((one,)).series
    with pytest.raises(MarketError, match="is empty"):
        whole.select(())
    with pytest.raises(MarketError, match="duplicate instrument"):
        whole.select((one, one))


def test_a_missing_bar_is_allowed_and_not_tradable_nor_is_one_without_volume() -> None:
    gone = {name: np.array(getattr(a_market(), name)) for name in ("open", "high", "low", "close", "volume")}
    for values in gone.values():
        values[3, 0] = np.nan
    gone["volume"][4, 0] = 0
    gone["volume"][5, 0] = np.nan
    assert a_market(**gone).tradable[:, 0].tolist() == [True, True, True, False, False, True]


def test_the_swap_goes_before_the_spot() -> None:
    market = a_market()
    assert market.column_of("ZEC") == 1
    assert market.column_of("ZEC", "spot") == 0
    assert market.column_of("DASH", "spot") is None
    assert market.column_of("BTC") is None
    with pytest.raises(UsageError, match=r"instrument 'ZEC/USDT:USD' is not in market 'memory'; did you mean"):
        market.column("ZEC/USDT:USD")


@pytest.mark.parametrize("text", ["ZEC", "ZECUSDT", "zec/usdt", "ZEC/USDT:", "ZEC//USDT", ""])
def test_a_symbol_is_a_ccxt_symbol(text: str) -> None:
    with pytest.raises(UsageError, match="is not a ccxt symbol"):
        Instrument.parse(text)


def test_a_range_keeps_the_bars_that_open_inside_it() -> None:
    market = a_market()
    part = market.between(parse_timerange("2025-10-01T01:00Z/2025-10-01T04:00Z"))
    assert [f"{bar:%H}" for bar in part.index] == ["01", "02", "03"]
    assert market.between(TimeRange(None, None)).sha256() == market.sha256()
    for wrong in ("20250930-20251001", "20251001-20251002", "2025-10-01T05:10Z/2025-10-01T05:50Z"):
        with pytest.raises(UsageError, match=r"timerange .* which runs from 2025-10-01 00:00 to 2025-10-01 06:00"):
            market.between(parse_timerange(wrong))


def test_bars_and_moments() -> None:
    market = a_market()
    assert market.end_ms - market.start_ms == 6 * 3_600_000
    assert [market.bar_at_or_after(market.start_ms + offset) for offset in (-5, 0, 1, 3_600_000, 10**9)] == [
        0,
        0,
        1,
        1,
        6,
    ]


def test_the_hash_follows_every_panel_and_nothing_else() -> None:
    market = a_market()
    assert replace(market, provenance=replace(market.provenance, name="other")).sha256() == market.sha256()
    for name in PANELS:
        changed = np.array(getattr(market, name))
        changed[1, 1] += 1e-9
        assert replace(market, **{name: changed}).sha256() != market.sha256()
    assert market.select(("DASH/USDT:USDT",)).symbols == ("DASH/USDT:USDT",)


def test_a_market_travels_to_another_process() -> None:
    market = open_dataset(default_dataset())
    again = pickle.loads(pickle.dumps(market))
    assert again.sha256() == market.sha256()
    assert not again.close.flags.writeable
