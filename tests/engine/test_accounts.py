"""Inverse contracts by hand, one currency in one account, and prices that no market makes."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest.base.config import RunConfig, load_config
from backtest.base.errors import ConfigError, MarketError, UsageError
from backtest.engine.replay import Run, replay
from backtest.market.record import Instrument, Market
from backtest.market.redenomination import redenominated
from backtest.signals.strategy import Intent, Intents
from backtest.strategies import REGISTRY

INVERSE, LINEAR, COIN = "ZEC/USD:ZEC", "ZEC/USDT:USDT", "ZEC/BTC"
FREE = {"impact": 0.0, "participation": float("inf"), "fee_rate": 0.0, "half_spread": 0.0, "liquidation_fee": 0.0}
HOUR = 3_600_000


def market_of(symbols: tuple[str, ...], closes: list[float], **funding: float) -> Market:
    """Hourly bars that open at the close before, of each symbol alike; `funding` of row `row_<n>`."""
    close = np.array(closes, dtype=float)[:, None].repeat(len(symbols), axis=1)
    opens = np.vstack((close[:1], close[:-1]))
    rates = np.zeros_like(close)
    for name, rate in funding.items():
        rates[int(name.removeprefix("row_"))] = rate
    return Market(
        index=pd.date_range("2025-10-01", periods=len(closes), freq="h", tz="UTC"),
        timeframe="1h",
        instruments=tuple(Instrument.parse(symbol) for symbol in symbols),
        open=opens,
        high=np.maximum(opens, close),
        low=np.minimum(opens, close),
        close=close,
        volume=np.full_like(close, 1e6),
        open_interest=np.full_like(close, np.nan),
        funding=rates,
    )


def run_of(market: Market, *rows: Intent, **settings: object) -> Run:
    config = {"capital": 10.0, "maintenance_margin": 0.02, **FREE, **settings}
    return replay(market, Intents(rows), load_config(**config))


def an_intent(market: Market, symbol: str = INVERSE, row: int = 1, **changes: object) -> Intent:
    return Intent(instrument=symbol, decided_at_ms=int(market.open_ms[row]), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("side", "net"), [(1, 5.0), (-1, -5.0)])
def test_an_inverse_contract_earns_half_a_coin_a_coin_when_its_price_doubles(side: int, net: float) -> None:
    # 10 coins at 100 are a contract on 1,000 dollars: 1000 * (1/100 - 1/200) = 5 coins.
    market = market_of((INVERSE,), [100, 100, 200])
    run = run_of(market, an_intent(market, side=side))
    trade = run.trades.iloc[0]
    assert trade["net"] == pytest.approx(net)
    assert (trade["side"], trade["entry_price"], trade["exit_price"]) == (side, pytest.approx(100), pytest.approx(200))
    assert trade["quantity"] == pytest.approx(1000)
    assert trade["captured"] == pytest.approx(side)
    assert run.equity.iloc[-1] == pytest.approx(10 + net)
    assert run.fills["notional"].tolist() == pytest.approx([10, 5])
    assert "money is in ZEC, in which these instruments settle" in run.notes


@pytest.mark.parametrize(("side", "level", "beyond"), [(1, 85.0, 84.0), (-1, 122.5, 123.0)])
def test_an_inverse_contract_is_liquidated_where_its_coins_are_used_up(side: int, level: float, beyond: float) -> None:
    # A long of 50 coins' worth, 5,000 dollars, on a margin of 10: 10 + 5000 (1/100 - 1/p) = 0.02 * 5000 / p at
    # p = 5100 / 60 = 85. A short: 10 + 5000 (1/p - 1/100) = 0.02 * 5000 / p at p = 4900 / 40 = 122.5.
    market = market_of((INVERSE,), [100, 100, beyond, 100])
    run = run_of(market, an_intent(market, side=side, weight=5.0), leverage=5, gross_cap=5)
    trade = run.trades.iloc[0]
    assert trade["reason"] == "liquidation"
    assert trade["exit_price"] == pytest.approx(level)
    assert run_of(market_of((INVERSE,), [100, 100, (level + 100) / 2, 100]), an_intent(market, side=side, weight=5.0),
                  leverage=5, gross_cap=5).trades["reason"].tolist() == ["end_of_data"]  # fmt: skip


@pytest.mark.parametrize(
    ("side", "rate", "level", "net"),
    [
        # 50 coins' worth pay 0.2 of the margin of 10: 9.8 + 50 - 5000 / p = 100 / p at p = 5100 / 59.8. What is left,
        # 100 / p, is 1.1725 coins.
        (1, 0.004, 5100 / 59.8, 59.8 / 51 - 10),
        # The short receives 0.2: 10.2 + 5000 / p - 50 = 100 / p at p = 4900 / 39.8, and keeps 100 / p.
        (-1, 0.004, 4900 / 39.8, 39.8 / 49 - 10),
        # At a negative rate the long receives, and its level moves away.
        (1, -0.004, 5100 / 60.2, 60.2 / 51 - 10),
    ],
)
def test_funding_moves_the_liquidation_of_an_inverse_contract(side: int, rate: float, level: float, net: float) -> None:
    for beyond, reason in ((level * (1 - 0.001 * side), "liquidation"), (level * (1 + 0.001 * side), "end_of_data")):
        market = market_of((INVERSE,), [100, 100, beyond, beyond], row_1=rate)
        settings = {"leverage": 5, "gross_cap": 5, "liquidation_fee": 0.0}
        trade = run_of(market, an_intent(market, side=side, weight=5.0), **settings).trades.iloc[0]
        assert trade["funding"] == pytest.approx(50 * rate * side)
        assert trade["reason"] == reason
        if reason == "liquidation":
            assert (trade["exit_price"], trade["net"]) == (pytest.approx(level), pytest.approx(net))


def test_funding_of_an_inverse_contract_is_paid_in_coins() -> None:
    # 1,000 dollars at a close of 125 are 8 coins: a rate of 1 % costs the long 0.08 and pays the short as much.
    for side in (1, -1):
        market = market_of((INVERSE,), [100, 125, 125], row_1=0.01)
        run = run_of(market, an_intent(market, side=side))
        assert run.funding_paid.tolist() == pytest.approx([0, 0.08 * side, 0])
        assert run.trades["net"].tolist() == pytest.approx([side * (1000 * (1 / 100 - 1 / 125) - 0.08)])


@pytest.mark.parametrize(
    ("side", "closes", "level", "price"),
    [
        (1, [100, 100, 88], {"stop_loss": 0.1}, 90.0),
        (-1, [100, 100, 115], {"stop_loss": 0.1}, 110.0),
        (1, [100, 100, 130], {"take_profit": 0.25}, 125.0),
        (-1, [100, 100, 70], {"take_profit": 0.25}, 75.0),
        (1, [100, 100, 200, 150], {"trailing_stop": 0.2}, 160.0),
        (-1, [100, 100, 50, 80], {"trailing_stop": 0.2}, 60.0),
    ],
)
def test_levels_of_an_inverse_contract_are_shares_of_its_quoted_price(
    side: int, closes: list[float], level: dict[str, float], price: float
) -> None:
    market = market_of((INVERSE,), closes)
    # One path through each bar, open, low, high, close: the pessimistic trail could leave at any level below.
    trade = run_of(market, an_intent(market, side=side, **level), stop_order="adverse_first").trades.iloc[0]
    assert trade["reason"] == next(iter(level))
    assert trade["exit_price"] == pytest.approx(price)


def test_a_fee_of_an_inverse_contract_is_a_share_of_its_coins() -> None:
    # 5 coins' worth, 500 dollars: 0.1 % of 5 coins at 100 and of 2.5 at 200.
    market = market_of((INVERSE,), [100, 100, 200])
    run = run_of(market, an_intent(market, weight=0.5), fee_rate=0.001)
    assert run.fills["fees"].tolist() == pytest.approx([0.005, 0.0025])


def test_two_currencies_in_one_account_are_refused() -> None:
    market = market_of((LINEAR, COIN), [100, 100, 110])
    with pytest.raises(ConfigError, match="ZEC/USDT:USDT settles in USDT and ZEC/BTC in BTC: one account keeps one"):
        run_of(market, an_intent(market, LINEAR), an_intent(market, COIN))
    assert len(run_of(market, an_intent(market, COIN)).trades) == 1


def test_a_contract_that_pays_in_a_third_currency_is_refused() -> None:
    market = market_of(("ZEC/USD:BTC",), [100, 100, 110])
    with pytest.raises(ConfigError, match="ZEC/USD:BTC is quoted in USD and pays in BTC: such a contract"):
        run_of(market, an_intent(market, "ZEC/USD:BTC"))


def test_a_coin_resolves_to_the_instrument_in_the_currency_of_most() -> None:
    market = market_of(("ZEC/BTC", "ZEC/USDT", "DASH/USDT:USDT", "ZEC/USD:ZEC"), [100, 100])
    assert market.currency == "USDT"
    assert market.column_of("ZEC") == 1
    assert market.column_of("ZEC", "swap") == 3
    assert market.column_of("XMR") is None


def test_a_jump_that_no_market_makes_is_refused_until_it_is_declared() -> None:
    market = market_of((LINEAR,), [0.1] * 4 + [100.0] * 4)
    moved = np.array(market.open)
    moved[4] = 100.0
    market = replace(market, open=moved, low=np.minimum(moved, market.close))
    intent = an_intent(market, LINEAR)
    with pytest.raises(MarketError, match=r"opens at 100 on 2025-10-01 04:00 after a close of 0\.1, 1000 times"):
        run_of(market, intent)
    assert run_of(market, intent, largest_jump=1001).trades["net_return"].iloc[0] == pytest.approx(999)
    declared = redenominated(market, LINEAR, datetime(2025, 10, 1, 4, tzinfo=UTC), 1000.0)
    assert run_of(declared, intent).trades["net"].iloc[0] == pytest.approx(0, abs=1e-12)
    assert declared.volume[:, 0].tolist() == [1000.0] * 4 + [1e6] * 4
    assert "prices times 1000" in declared.provenance.repairs[-1]
    with pytest.raises(UsageError, match=r"factor = 0.0 must be positive and finite"):
        redenominated(market, LINEAR, datetime(2025, 10, 1, 4, tzinfo=UTC), 0.0)


def test_a_position_of_a_dead_swap_ends_with_it() -> None:
    """30 live bars of 80, a hold of 12 h from bar 25: closed at the close of bar 29, and nothing is paid after it."""
    market = market_of((LINEAR, "DASH/USDT:USDT"), [100.0 + row for row in range(80)])
    dead = np.full(market.close.shape, False)
    dead[30:, 0] = True
    prices = {
        name: np.where(dead, np.nan, getattr(market, name)) for name in ("open", "high", "low", "close", "volume")
    }
    market = replace(market, **prices, funding=np.where(dead, np.nan, 1e-4))
    run = run_of(market, an_intent(market, LINEAR, 25, hold_ms=12 * HOUR), an_intent(market, "DASH/USDT:USDT", 40))
    gone = run.trades.iloc[0]
    assert (gone["reason"], gone["exit_price"], gone["unknown_funding_bars"]) == ("delisted", 129.0, 0)
    assert gone["exit_time"] == market.index[30]
    assert (run.funding_paid.iloc[30:40] == 0).all()
    assert run.trades["instrument"].tolist() == [LINEAR, "DASH/USDT:USDT"]
    assert any(note.startswith("ZEC/USDT:USDT stopped trading at 2025-10-02 06:00") for note in run.notes)


def test_what_is_declared_delisted_is_not_traded_after_it() -> None:
    market = market_of((LINEAR,), [100, 101, 102, 103, 104])
    ends = int(market.open_ms[3])
    market = replace(market, instruments=(replace(market.instruments[0], delisted_ms=ends),))
    run = run_of(market, an_intent(market, LINEAR), an_intent(market, LINEAR, 3))
    assert run.trades[["reason", "exit_price"]].to_numpy().tolist() == [["delisted", 102.0]]
    assert run.rejected["reason"].tolist() == ["NO_BAR"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"leverage": 100}, "with leverage = 100 the margin of 1.000% is used up at the entry"),
        ({"leverage": 49, "half_spread": 0.0005}, "choose leverage below 48.8"),
        ({"fee_rate": 10}, "a share is less than 1; for 10 percent write 0.1 or 10%"),
        ({"participation": 0}, "must be above 0"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"participation": 10}, "for 10 percent write 0.1 or 10%, for no cap inf"),
        ({"funding_const": 1}, "for 1 percent write 0.01 or 1%"),
        ({"gross_cap": 1e-300}, "must be at least 1e-06"),
        ({"capital": "10%"}, "capital = '10%': must be a number"),
        ({"leverage": "10%"}, "leverage = '10%': must be a number"),
        ({"largest_jump": "10%"}, "largest_jump = '10%': must be a number"),
        ({"max_wait": "10%"}, "max_wait = '10%': not a duration"),
    ],
)
def test_a_near_miss_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(**settings)


@pytest.mark.parametrize("name", ["take_profit", "scale_out", "break_even", "activation"])
def test_a_gain_of_ten_times_must_be_written_as_percent(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name} = '10': .* write 10%, or 1000% if you mean that"):
        REGISTRY["catalyst_momentum"]({name: "10", "trailing_stop": "20%"})
    for text, value in (("10%", 0.1), ("1000%", 10.0), ("0.5", 0.5)):
        strategy = REGISTRY["catalyst_momentum"]({name: text, "trailing_stop": "20%"})
        assert getattr(strategy.parameters, name) == pytest.approx(value)


def test_percent_is_read_as_a_share() -> None:
    assert RunConfig(fee_rate="0.05%", participation="10 %", gross_cap="150%") == RunConfig(gross_cap=1.5)  # type: ignore[arg-type]
    assert load_config(leverage=48).leverage == 48
    assert load_config(maintenance_margin=0, leverage=200).leverage == 200


def test_an_entry_that_got_less_than_it_wanted_says_so() -> None:
    market = market_of((LINEAR,), [100.0] * 40)
    market = replace(market, volume=np.full_like(market.volume, 1.0))
    run = run_of(market, an_intent(market, LINEAR, 30), capital=100.0, participation=0.27, gross_cap=1)
    assert run.trades[["cut", "granted"]].to_numpy().tolist() == [["CAPACITY", pytest.approx(0.27)]]
    assert "1 of 1 entries got less than they wanted (1 by CAPACITY), at least 27.0% of it each" in run.notes
