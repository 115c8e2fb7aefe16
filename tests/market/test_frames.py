"""Markets from pandas frames and back: columns, zones and units understood, or refused by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from backtest.base.errors import MarketError, UsageError
from backtest.market.record import Market, Provenance

ZEC, ETH = "ZEC/USDT:USDT", "ETH/USDT"
TIMES = pd.date_range("2025-11-01", periods=48, freq="h", tz="UTC")


def bars(times: pd.Index = TIMES, first: float = 400.0) -> pd.DataFrame:
    """A rising market of one coin."""
    close = first + np.arange(len(times), dtype=float)
    columns = {"open": close - 1, "high": close + 2, "low": close - 3, "close": close, "volume": 10.0}
    return pd.DataFrame(columns, index=times)


def test_frames_there_and_back_are_the_same_market(sample: Market) -> None:
    back = Market.from_frames(sample.to_frames())
    assert back.sha256() == sample.sha256()
    assert back.symbols == sample.symbols


def test_zone_columns_case_and_epochs_mean_the_same_bars() -> None:
    plain = Market.from_frames({ZEC: bars()})
    local = bars()
    local.index = local.index.tz_convert("Asia/Tokyo")
    renamed = bars().rename(columns=str.upper)[["VOLUME", "CLOSE", "LOW", "HIGH", "OPEN"]]
    stamped = bars().reset_index(drop=True).assign(timestamp=TIMES.as_unit("ms").asi8)
    texts = bars().reset_index(drop=True).assign(date=[one.isoformat() for one in TIMES])
    for other in (local, renamed, stamped, texts):
        assert Market.from_frames({ZEC: other}).sha256() == plain.sha256()
    assert plain.timeframe == "1h"
    assert np.isnan(plain.funding).all()


def test_two_frames_share_one_grid_and_a_missing_bar_is_unknown() -> None:
    market = Market.from_frames({ZEC: bars().drop(TIMES[5]), ETH: bars(TIMES[10:])})
    assert market.close.shape == (48, 2)
    assert np.isnan(market.close[5, 0])
    assert np.isnan(market.close[:10, 1]).all()
    assert (market.funding[:, 1] == 0).all()
    assert any("bars missing: 1 between" in one for one in market.provenance.repairs)


def test_funding_is_charged_in_the_bar_that_closes_at_its_settlement() -> None:
    rates = pd.Series(1e-4, index=TIMES[8::8])
    market = Market.from_frames({ZEC: bars()}, funding={ZEC: rates})
    # Settled at 08:00: the bar that opens at 07:00 pays it.
    assert market.funding[7, 0] == 1e-4
    assert market.funding[8, 0] == 0


def test_open_interest_says_coins_or_value_and_is_known_a_period_later() -> None:
    coins = pd.DataFrame({"sum_open_interest": 7.0}, index=TIMES)
    market = Market.from_frames({ZEC: bars()}, open_interest={ZEC: coins})
    assert market.open_interest[0, 0] == 7.0 * market.close[0, 0]
    value = pd.Series(5e6, index=TIMES, name="value")
    assert Market.from_frames({ZEC: bars()}, open_interest={ZEC: value}).open_interest[3, 0] == 5e6
    late = pd.DataFrame({"value": [1e6, 2e6]}, index=TIMES[[4, 8]])
    known = Market.from_frames({ZEC: bars()}, open_interest={ZEC: late}).open_interest[:, 0]
    # Stamped 04:00 with a period of four hours: known at 08:00, which is the close of bar 7.
    assert np.isnan(known[6])
    assert known[7] == 1e6


@pytest.mark.parametrize(
    ("frames", "options", "error", "message"),
    [
        ([bars()], {}, UsageError, r"frames is a list: give a dict of symbol to DataFrame"),
        ({"ZEC": bars()}, {}, UsageError, r"'ZEC' is not a ccxt symbol: write ZEC/USDT:USDT"),
        ({}, {}, MarketError, r"market 'memory' has no instruments"),
        ({ZEC: bars().iloc[:0]}, {}, MarketError, r"frame of ZEC/USDT:USDT is empty"),
        ({ZEC: bars().close}, {}, UsageError, r"frame of ZEC/USDT:USDT is a Series: give a pandas DataFrame"),
        (
            {ZEC: bars(TIMES.tz_localize(None))},
            {},
            MarketError,
            r"index has no time zone, first 2025-11-01 00:00:00: say",
        ),
        ({ZEC: bars().reset_index(drop=True)}, {}, MarketError, r"index holds no times but 0: make the bar opens the"),
        ({ZEC: bars().rename(columns={"close": "closing"})}, {}, MarketError, r"no column close: .*mean 'closing'\?"),
        (
            {ZEC: bars().drop(columns="volume")},
            {},
            MarketError,
            r"no column volume: rename or add it \(NaN where it is",
        ),
        ({ZEC: bars().assign(OPEN=1.0)}, {}, MarketError, r"has 2 columns 'open': keep one"),
        (
            {ZEC: bars().astype({"open": object}).replace({"open": {399.0: "n"}})},
            {},
            MarketError,
            r"row 0, column open: 'n'",
        ),
        (
            {ZEC: bars().assign(high=1.0)},
            {},
            MarketError,
            r"frame of ZEC/USDT:USDT row 0, column high: high 1.0 is below",
        ),
        ({ZEC: bars(TIMES[:1])}, {}, MarketError, r"one time only, which gives no timeframe: give timeframe='1h'"),
        ({ZEC: bars(), ETH: bars(TIMES[::4])}, {}, MarketError, r"frame of ETH/USDT has bars of 4h, that of ZEC"),
        (
            {ZEC: bars().reset_index(names="date").assign(date=TIMES.as_unit("s").asi8)},
            {},
            MarketError,
            r"counts seconds, convert",
        ),
        (
            {ZEC: bars()},
            {"funding": {"ZEC/USDT": bars()}},
            UsageError,
            r"funding of 'ZEC/USDT' has no bars; did you mean",
        ),
        (
            {ZEC: bars()},
            {"funding": {ZEC: bars()}},
            MarketError,
            r"funding of ZEC/USDT:USDT has no column funding_rate",
        ),
        ({ETH: bars()}, {"funding": {ETH: bars().close * 0}}, MarketError, r"ETH/USDT of market 'memory' is spot"),
        ({ZEC: bars()}, {"open_interest": {ZEC: bars().close}}, MarketError, r"series named 'close': name it sum_open"),
        (
            {ZEC: bars().assign(funding=0.0)},
            {"funding": {ZEC: bars().close * 0}},
            UsageError,
            r"given twice, as a column",
        ),
    ],
)
def test_what_would_have_to_be_guessed_is_refused_by_name(
    frames: dict[str, pd.DataFrame], options: dict[str, dict[str, pd.Series]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Market.from_frames(frames, **options)


def test_provenance_is_kept_with_what_was_repaired() -> None:
    mine = Provenance("mine", "a database", label="RECONSTRUCTED")
    market = Market.from_frames({ZEC: pd.concat([bars(), bars().iloc[:1]])}, provenance=mine)
    assert market.provenance.label == "RECONSTRUCTED"
    assert any("exact duplicate row dropped" in one for one in market.provenance.repairs)


@pytest.mark.parametrize("asked", [True, False])
def test_bars_of_which_many_are_missing_ask_for_the_way_of_their_venue(asked: bool) -> None:
    index = pd.date_range("2025-10-01", periods=240, freq="h", tz="UTC", name="timestamp")
    bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close", "volume"), 1.0), index=index)
    thin = bars.iloc[np.arange(240) % 5 < 2] if asked else bars.drop(index[5::20])
    market = Market.from_frames({"ZEC/USDT:USDT": thin}, timeframe="1h")
    (remark,) = [one for one in market.provenance.repairs if "bars missing" in one]
    assert ("say omits_empty_bars = true of it in instruments.toml" in remark) is asked
