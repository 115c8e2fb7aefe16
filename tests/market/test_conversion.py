"""Spot converted to the currency of the account: by hand, by random bars, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.base.config import load_config
from backtest.base.errors import ConfigError, MarketError, UsageError
from backtest.engine.replay import replay
from backtest.engine.run import Run
from backtest.market.auxiliary import AuxiliarySeries
from backtest.market.conversion import converted
from backtest.market.record import Instrument, Market
from backtest.request.request import Request
from backtest.signals.strategy import Intent, Intents

PAIR, COIN, OWN = "BTC/USDT", "ZEC/BTC", "ZEC/USDT"
FREE = {"impact": 0.0, "participation": float("inf"), "fee_rate": 0.0, "half_spread": 0.0, "largest_jump": float("inf")}
PRICES = ("open", "high", "low", "close")
Bars = list[tuple[float, float, float, float]]


def market_of(**bars: Bars) -> Market:
    """Hourly bars by symbol, written `ZEC_BTC`."""
    panel = np.array(list(bars.values()), dtype=float).transpose(1, 0, 2)
    return Market(
        index=pd.date_range("2025-10-01", periods=len(panel), freq="h", tz="UTC"),
        timeframe="1h",
        instruments=tuple(Instrument.parse(name.replace("_", "/")) for name in bars),
        volume=np.full(panel.shape[:2], 1e6),
        open_interest=np.full(panel.shape[:2], np.nan),
        funding=np.zeros(panel.shape[:2]),
        **{name: panel[:, :, place] for place, name in enumerate(PRICES)},
    )


def flat(*opens: float) -> Bars:
    """Bars that open at each price, close at the next one's, and go no further."""
    closes = (*opens[1:], opens[-1])
    return [(one, max(one, close), min(one, close), close) for one, close in zip(opens, closes, strict=True)]


def bought(market: Market, symbol: str = COIN, **changes: object) -> Run:
    intent = Intent(instrument=symbol, decided_at_ms=int(market.open_ms[1]), **changes)  # type: ignore[arg-type]
    return replay(market, Intents((intent,)), load_config(capital=1_000.0, **FREE))


@pytest.mark.parametrize(("last", "exit_price", "net"), [(0.0012, 108.0, 80.0), (0.001, 90.0, -100.0)])
def test_a_coin_bought_with_bitcoin_earns_in_dollars_what_both_exchanges_earn(
    last: float, exit_price: float, net: float
) -> None:
    # 1,000 USDT are 0.01 BTC at 100,000 and 10 ZEC at 0.001; at 0.0012 they are 0.012 BTC, at 90,000 1,080 USDT.
    market = market_of(ZEC_BTC=flat(0.001, 0.001, last), BTC_USDT=flat(100_000, 100_000, 90_000))
    run = bought(converted(market, "USDT"))
    trade = run.trades.iloc[0]
    assert (trade["entry_price"], trade["exit_price"]) == (pytest.approx(100), pytest.approx(exit_price))
    assert trade["quantity"] == pytest.approx(10)
    assert trade["net"] == pytest.approx(net)
    assert run.equity.iloc[-1] == pytest.approx(1_000 + net)
    assert run.currency == "USDT"
    assert "ZEC/BTC is converted to USDT by BTC/USDT" in run.notes


def test_each_price_takes_the_rate_of_its_instant() -> None:
    market = market_of(ZEC_BTC=[(2.0, 3.0, 1.0, 2.5)], BTC_USDT=[(10.0, 14.0, 8.0, 13.0)])
    told = converted(market, "USDT")
    # 2 at 10; 2.5 at 13, which is above 3 at 10; 1 at 10.
    assert [float(getattr(told, name)[0, 0]) for name in PRICES] == [20.0, 32.5, 10.0, 32.5]
    assert told.instruments[0] == replace(Instrument.parse(COIN), quote="USDT", settle="USDT", converted_by="BTC/USDT")
    (words,) = told.provenance.repairs
    assert "opens at its open, closes at its close, highs and lows at its open, from which it moved at most 40.00%" in (
        words
    )
    assert [(origin.symbol, origin.series, origin.words) for origin in told.provenance.origins] == [
        (COIN, "prices", words)
    ]
    assert told.sha256() != market.sha256()


@pytest.mark.parametrize(
    ("pair", "rate"), [("BTC_USDT", (10.0, 16.0, 8.0, 12.5)), ("USDT_BTC", (0.1, 0.125, 0.0625, 0.08))]
)
def test_a_pair_serves_either_way_round(pair: str, rate: tuple[float, float, float, float]) -> None:
    told = converted(market_of(ZEC_BTC=[(2.0, 3.0, 1.0, 2.5)], **{pair: [rate]}), "USDT")
    assert [float(getattr(told, name)[0, 0]) for name in PRICES] == pytest.approx([20.0, 31.25, 10.0, 31.25])
    assert "moved at most 60.00% inside a bar" in told.provenance.repairs[0]


prices = st.floats(0.01, 1e5)


@st.composite
def bars(draw: st.DrawFn, count: int) -> Bars:
    rows = []
    for _ in range(count):
        low, one, other, high = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
        rows.append((one, high, low, other) if draw(st.booleans()) else (other, high, low, one))
    return rows


@given(bars(4))
@settings(max_examples=50, deadline=None)
def test_a_rate_of_one_changes_no_bit_and_a_constant_scales(rows: Bars) -> None:
    for constant in (1.0, 7.0, 0.3):
        market = market_of(ZEC_BTC=rows, BTC_USDT=flat(*[constant] * 4))
        told = converted(market, "USDT")
        for name in PRICES:
            np.testing.assert_array_equal(getattr(told, name)[:, 0], getattr(market, name)[:, 0] * constant)
            np.testing.assert_array_equal(getattr(told, name)[:, 1], getattr(market, name)[:, 1])
        np.testing.assert_array_equal(told.volume, market.volume)
        assert "moved at most 0.00%" in told.provenance.repairs[0]


@given(bars(4), bars(4), st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_a_price_depends_on_no_rate_after_its_instant(rows: Bars, rates: Bars, bar: int) -> None:
    before = converted(market_of(ZEC_BTC=rows, BTC_USDT=rates), "USDT")
    later = [*rates[:bar], *((one * 2, high * 4, low * 2, other * 3) for one, high, low, other in rates[bar:])]
    after = converted(market_of(ZEC_BTC=rows, BTC_USDT=later), "USDT")
    for name in PRICES:
        np.testing.assert_array_equal(getattr(before, name)[:bar, 0], getattr(after, name)[:bar, 0])
    # Of the bar itself the open knows the rate's open alone.
    other = [*rates[:bar], (rates[bar][0], rates[bar][1] * 2, rates[bar][2] / 2, rates[bar][1] * 2), *rates[bar + 1 :]]
    same = converted(market_of(ZEC_BTC=rows, BTC_USDT=other), "USDT")
    assert same.open[bar, 0] == before.open[bar, 0]


def test_no_path_leaves_the_converted_bar_by_more_than_it_says() -> None:
    random = np.random.default_rng(7)
    for _ in range(200):
        coin, rate = (np.exp(np.cumsum(random.normal(0, 0.02, 30))) * start for start in (0.005, 60_000.0))
        told = converted(
            market_of(**{
                name: [(path[0], path.max(), path.min(), path[-1])]
                for name, path in (("ZEC_BTC", coin), ("BTC_USDT", rate))
            }),
            "USDT",
        )  # fmt: skip
        moved = float(np.maximum(rate.max() / rate[0] - 1, 1 - rate.min() / rate[0]))
        path = coin * rate
        assert told.open[0, 0] == pytest.approx(path[0])
        assert told.close[0, 0] == pytest.approx(path[-1])
        assert path.max() <= told.high[0, 0] * (1 + moved) * (1 + 1e-12)
        assert path.min() >= told.low[0, 0] * (1 - moved) * (1 - 1e-12)
        assert f"at most {moved:.2%}" in told.provenance.repairs[0]


def test_a_bar_without_a_rate_is_missing_and_counted() -> None:
    rates = flat(10.0, 11.0, 12.0, 13.0)
    market = market_of(ZEC_BTC=flat(1.0, 2.0, 3.0, 4.0), BTC_USDT=rates)
    lost = np.array([False, True, False, False])
    holes = {name: np.where(lost[:, None] & [False, True], np.nan, getattr(market, name)) for name in PRICES}
    told = converted(market.with_panels(holes), "USDT")
    assert np.isnan(told.close[:, 0]).tolist() == lost.tolist()
    assert np.isnan(told.volume[1, 0])
    assert "ZEC/BTC: 1 bars left out, for which BTC/USDT has no rate" in told.provenance.repairs
    empty = replace(market.instruments[0], omits_empty_bars=True)
    omitting = replace(market.with_panels(holes), instruments=(empty, market.instruments[1]))
    assert not converted(omitting, "USDT").instruments[0].omits_empty_bars


def series(name: str, *readings: tuple[float, float]) -> AuxiliarySeries:
    start = int(pd.Timestamp("2025-10-01", tz="UTC").timestamp() * 1000)
    moments = [start + int(hours * 3_600_000) for hours, _ in readings]
    return AuxiliarySeries(name, np.array(moments), np.array([value for _, value in readings]))


def test_a_series_tells_the_rate_that_was_known() -> None:
    market = market_of(ZEC_EUR=flat(1.0, 2.0, 3.0))
    told = converted(market.with_auxiliary(series("eur_usdt", (0, 1.1), (1.5, 1.2))), "USDT")
    assert told.open[:, 0] == pytest.approx([1.1, 2.2, 3.6])
    assert told.close[:, 0] == pytest.approx([2.2, 3.6, 3.6])
    assert "by the series eur_usdt" in told.provenance.repairs[0]
    assert "moved an unknown distance inside a bar" in told.provenance.repairs[0]
    inverse = converted(market.with_auxiliary(series("usdt_eur", (0, 0.5))), "USDT")
    assert inverse.open[:, 0] == pytest.approx([2.0, 4.0, 6.0])
    # One reading is a constant that the user states.
    assert "by one over the series usdt_eur" in inverse.provenance.repairs[0]
    assert "moved at most 0.00%" in inverse.provenance.repairs[0]


def test_an_old_reading_tells_no_rate() -> None:
    market = market_of(ZEC_EUR=flat(*[1.0] * 240))
    told = market.with_auxiliary(series("eur_usdt", (-24, 1.1), (0, 1.2)))
    with pytest.raises(MarketError, match=r"the series eur_usdt ends at 2025-10-07 23:00.*ZEC/EUR.* has bars until"):
        converted(told, "USDT")
    fresh = market.with_auxiliary(series("eur_usdt", (-24, 1.1), (0, 1.2), (150, 1.3)))
    assert not np.isnan(converted(fresh, "USDT").close).any()


def test_what_was_said_of_its_prices_stays() -> None:
    from backtest.market.instrument import Origin

    market = market_of(ZEC_BTC=flat(1.0, 2.0), BTC_USDT=flat(10.0, 10.0))
    origins = (Origin(COIN, "prices", "invented", "RECONSTRUCTED"), Origin(PAIR, "prices", "measured"))
    told = converted(replace(market, provenance=replace(market.provenance, origins=origins)), "USDT")
    first, second = told.provenance.origins
    assert first.label == "RECONSTRUCTED"
    assert first.words.startswith("invented; ZEC/BTC is converted from BTC to USDT")
    assert second == origins[1]


def test_its_own_price_comes_before_a_converted_one() -> None:
    market = market_of(ZEC_BTC=flat(1.0, 2.0), ZEC_USDT=flat(10.0, 20.0), BTC_USDT=flat(10.0, 10.0))
    told = converted(market, "USDT")
    assert told.column_of("ZEC") == 1
    assert told.currency == "USDT"


def test_rules_told_in_the_old_currency_are_left_out() -> None:
    market = market_of(ZEC_BTC=flat(1.0, 2.0), BTC_USDT=flat(10.0, 10.0))
    ruled = replace(market.instruments[0], tick=1e-6, lot=0.001, least_notional=1e-4)
    told = converted(replace(market, instruments=(ruled, market.instruments[1])), "USDT")
    assert (told.instruments[0].tick, told.instruments[0].lot, told.instruments[0].least_notional) == (0.0, 0.001, 0.0)
    assert told.provenance.repairs[0].endswith("its tick and least notional are left out")


@pytest.mark.parametrize(
    ("bars", "currency", "sentence"),
    [
        ({"ZEC_BTC": 1}, "USDT", r"ZEC/BTC is quoted in BTC and cannot be converted to `currency` 'USDT': it needs "
         r"bars of BTC/USDT in the dataset, or a series btc_usdt \(`series btc_usdt=FILE.csv`\)"),
        ({"ZEC_USDT": 1}, "EUR", r"it needs bars of USDT/EUR in the dataset, or a series usdt_eur"),
        ({"ZEC_USDT": 1, "BTC_USDT": 1}, "usdt", r"did you mean 'USDT'\? allowed: USDT"),
        ({"ZEC_USDT:USDT": 1, "BTC_USDT:USDT": 1}, "EUR", r"nothing of 'memory' settles in `currency` 'EUR', and a "
         r"contract is not converted, since its profit is paid in its own currency"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_refused(bars: dict[str, int], currency: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        converted(market_of(**{name: flat(1.0, 2.0) for name in bars}), currency)


def test_what_has_no_rate_stays_and_is_refused_when_traded() -> None:
    market = market_of(ZEC_BTC=flat(1.0, 2.0), DASH_EUR=flat(1.0, 2.0), BTC_USDT=flat(10.0, 10.0))
    told = converted(market, "USDT")
    assert "DASH/EUR stays in EUR: it needs bars of EUR/USDT in the dataset" in told.provenance.repairs[1]
    rows = tuple(Intent(instrument=symbol, decided_at_ms=int(told.open_ms[1])) for symbol in (COIN, "DASH/EUR"))
    with pytest.raises(ConfigError, match=r"ZEC/BTC settles in USDT and DASH/EUR in EUR.*`currency=USDT`, by bars of"):
        replay(told, Intents(rows), load_config(capital=1_000.0, **FREE))


def test_a_rate_that_ends_early_does_not_delist_what_it_converts() -> None:
    market = market_of(ZEC_BTC=flat(*[1.0] * 72), BTC_USDT=flat(*[10.0] * 72))
    short = {name: getattr(market, name).copy() for name in PRICES}
    for values in short.values():
        values[40:, 1] = np.nan
    with pytest.raises(MarketError, match=r"BTC/USDT ends at 2025-10-02 15:00.*ZEC/BTC.*until 2025-10-03 23:00"):
        converted(market.with_panels(short), "USDT")


def test_a_rate_must_be_positive() -> None:
    market = market_of(ZEC_EUR=flat(1.0, 2.0)).with_auxiliary(series("eur_usdt", (0, 1.1), (1, 0.0)))
    with pytest.raises(MarketError, match="series eur_usdt is 0 from 2025-10-01 01:00"):
        converted(market, "USDT")


def test_finer_bars_of_a_converted_instrument_are_refused() -> None:
    market = converted(market_of(ZEC_BTC=flat(1.0, 2.0), BTC_USDT=flat(10.0, 10.0)), "USDT")
    with pytest.raises(UsageError, match="ZEC/BTC is converted to USDT by BTC/USDT, its finer bars"):
        replay(market, Intents(()), load_config(), detail=market)


def test_a_request_converts_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "spot"
    folder.mkdir()
    for name, start in (("ZECBTC", 0.005), ("BTCUSDT", 60_000.0)):
        rows = [f"{1759276800000 + hour * 3_600_000},{start},{start},{start},{start},10" for hour in range(48)]
        (folder / f"{name}-1h.csv").write_text("\n".join(("timestamp,open,high,low,close,volume", *rows)))
    market = Request(dataset=str(folder), currency="USDT").market()
    assert market.close[0].tolist() == [60_000.0, 300.0]
    (tmp_path / "usd.csv").write_text("available_at,value\n2025-10-01T00:00:00Z,1.5\n")
    more = Request(dataset=str(folder), currency="USD", series={"usdt_usd": str(tmp_path / "usd.csv")}).market()
    assert more.close[0].tolist() == [90_000.0, 0.005]
    assert Request().document().keys().isdisjoint({"currency"})
