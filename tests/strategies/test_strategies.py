"""One contract for every registered strategy; a new one gets it by being registered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest.base.config import RunConfig
from backtest.base.errors import ConfigError
from backtest.base.units import UNIT_MS, format_ms, parse_timerange
from backtest.catalysts.reading import open_calendar
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_at_ms
from backtest.engine.replay import replay
from backtest.market.auxiliary import AuxiliarySeries
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.joining import open_datasets
from backtest.market.record import Market
from backtest.signals.strategy import Intents, Strategy
from backtest.strategies import REGISTRY
from backtest.testing import assert_no_lookahead

HOUR = UNIT_MS["h"]


def made_series(market: Market) -> tuple[AuxiliarySeries, ...]:
    """A daily net inflow of ZEC that falls by more than half every ninth day, and a price of RAIL, both invented."""
    available = market.start_ms + 24 * HOUR * np.arange(1, 109, dtype=np.int64) + HOUR // 3
    inflow = np.where(np.arange(108) % 9 < 6, 40e6, 4e6)
    return (
        AuxiliarySeries("zec_exchange_inflow", available, inflow),
        AuxiliarySeries("rail_price", available, np.full(108, 2.5)),
    )


@pytest.fixture(scope="module")
def market() -> Market:
    found = open_dataset(default_dataset())
    return found.with_auxiliary(*made_series(found))


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return open_calendar("privacy-2025")


@pytest.fixture(params=sorted(REGISTRY))
def strategy(request: pytest.FixtureRequest) -> Strategy[Any]:
    return REGISTRY[request.param]()


def test_it_is_named_and_documented(strategy: Strategy[Any]) -> None:
    assert REGISTRY[strategy.name] is type(strategy)
    assert strategy.hypothesis.endswith(".")
    for name, field in strategy.parameters_type.model_fields.items():
        assert field.description, f"{strategy.name}: parameter {name} has no description"
        assert not field.is_required(), f"{strategy.name}: parameter {name} has no default"


def test_it_decides_something_and_the_same_each_time(
    strategy: Strategy[Any], market: Market, calendar: Calendar
) -> None:
    intents = strategy.decide(market, calendar)
    assert len(intents) > 0
    assert repr(strategy.decide(market, calendar).rows) == repr(intents.rows)


def test_an_unknown_parameter_is_refused(strategy: Strategy[Any]) -> None:
    with pytest.raises(ConfigError, match=f"strategy {strategy.name}: unknown key 'colour'"):
        type(strategy)({"colour": "red"})


def test_an_empty_calendar_is_no_fault(strategy: Strategy[Any], market: Market) -> None:
    assert isinstance(strategy.decide(market, Calendar("empty", ())), Intents)


def test_decisions_do_not_change_when_only_the_future_does(
    strategy: Strategy[Any], market: Market, calendar: Calendar
) -> None:
    assert_no_lookahead(strategy, market, calendar, cuts=24)


def test_momentum_trades_each_timed_catalyst_with_a_direction_when_it_is_known(
    market: Market, calendar: Calendar
) -> None:
    intents = REGISTRY["catalyst_momentum"]().decide(market, calendar)
    timed = [one for one in calendar if one.timed]
    assert len(intents) == sum(len(one.assets) for one in timed) == 31
    for row in intents.rows:
        one = calendar[row.catalyst_id]
        assert row.decided_at_ms == known_at_ms(one)
        assert row.side == one.direction
        assert row.instrument.removesuffix("/USDT:USDT") in one.assets


def test_momentum_filters(market: Market, calendar: Calendar) -> None:
    chosen = REGISTRY["catalyst_momentum"]({"actors": "Arthur Hayes", "assets": "ZEC,DASH", "take_profit": "0.4"})
    rows = chosen.decide(market, calendar).rows
    assert {calendar[row.catalyst_id].actor for row in rows} == {"Arthur Hayes"}
    assert {row.take_profit for row in rows} == {0.4}


def test_buy_and_hold_shares_equally_after_its_warmup(market: Market, calendar: Calendar) -> None:
    rows = REGISTRY["buy_and_hold"]({"assets": "ZEC,DASH", "warmup": "2d"}).decide(market, calendar).rows
    assert [(row.instrument, row.weight) for row in rows] == [("ZEC/USDT:USDT", 0.5), ("DASH/USDT:USDT", 0.5)]
    assert {row.decided_at_ms for row in rows} == {market.start_ms + 2 * 86_400_000}
    with pytest.raises(ConfigError, match="assets is empty"):
        REGISTRY["buy_and_hold"]({"assets": ""}).decide(market, calendar)


@pytest.fixture(scope="module")
def real(shared: Path) -> Market:
    """Perpetuals and spot of the last quarter of 2025, beside each other."""
    folder = shared / "market"
    found = open_datasets(f"{folder / 'binance-usdm-2025q4'}+{folder / 'binance-spot-2025q4'}")
    return found.with_auxiliary(*made_series(found))


def test_every_strategy_trades_on_real_bars_or_says_why_not(
    strategy: Strategy[Any], real: Market, calendar: Calendar
) -> None:
    intents = strategy.decide(real, calendar)
    run = replay(real, intents, RunConfig(), calendar=calendar, strategy=strategy.name)
    if strategy.name in ("oi_breakout", "oi_divergence"):
        assert len(intents) == 0
        assert "open interest is unknown throughout" in intents.notes[0]
    else:
        assert len(run.trades) > 0


@pytest.mark.parametrize("name", ["oi_breakout", "oi_divergence"])
def test_open_interest_strategies_trade_on_real_open_interest(name: str, shared: Path, calendar: Calendar) -> None:
    market = open_dataset(str(shared / "market" / "binance-usdm-2026q1-oi"))
    intents = REGISTRY[name]().decide(market, calendar)
    assert intents.notes == ()
    assert len(replay(market, intents, RunConfig(), calendar=calendar, strategy=name).trades) > 0


def test_every_strategy_trades_on_the_sample(strategy: Strategy[Any], market: Market, calendar: Calendar) -> None:
    intents = strategy.decide(market, calendar)
    assert len(replay(market, intents, RunConfig(), calendar=calendar, strategy=strategy.name).trades) > 0


def test_without_its_data_a_strategy_says_so_and_decides_nothing(market: Market, calendar: Calendar) -> None:
    blind = replace(
        market,
        auxiliary={},
        open_interest=np.full_like(market.close, np.nan),
        funding=np.full_like(market.close, np.nan),
    )
    for name, words in (
        ("accumulation", "series zec_exchange_inflow is not supplied"),
        ("oi_breakout", "open interest is unknown"),
        ("oi_divergence", "open interest is unknown"),
        ("funding_carry", "funding is unknown"),
    ):
        intents = REGISTRY[name]().decide(blind, calendar)
        assert len(intents) == 0
        assert any(words in note for note in intents.notes)
    few = replace(market.select(("ZEC/USDT:USDT",)), auxiliary={})
    for name, words in (
        ("relative_value", "RAIL or BTC is not in market"),
        ("funding_carry", "no coin stands as a swap"),
        ("basis_reversion", "no coin stands as a swap"),
        ("rail_divergence", "has no bars of RAIL either"),
        ("sector_rotation", "no catalyst of ZEC finds a coin behind it"),
    ):
        intents = REGISTRY[name]().decide(few, calendar)
        assert len(intents) == 0
        assert any(words in note for note in intents.notes)


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - {"buy_and_hold", "random_entry"}))
def test_silence_has_a_reason(name: str, market: Market) -> None:
    quiet = market.between(parse_timerange("20250914-20250915"))
    intents = REGISTRY[name]().decide(quiet, Calendar("empty", ()))
    assert len(intents) == 0
    assert all(note.endswith(("nothing is decided", "nothing is decided on it")) for note in intents.notes)
    assert intents.notes


def test_listing_strategies_trade_the_three_listings_of_the_catalogue(market: Market, calendar: Calendar) -> None:
    bought = REGISTRY["listing_momentum"]().decide(market, calendar).rows
    assert {row.catalyst_id: row.side for row in bought} == {
        "zen-2025-11-03-okx-perpetual": 1,
        "dash-2025-11-06-okx-perpetual": 1,
        "zec-2025-11-06-okx-perpetual": 1,
    }
    sold = REGISTRY["listing_fade"]({"least_rise": "-1", "delay": "6h"}).decide(market, calendar).rows
    assert {row.catalyst_id for row in sold} == {row.catalyst_id for row in bought}
    for row in sold:
        assert row.side == -1
        assert row.decided_at_ms == (known_at_ms(calendar[row.catalyst_id]) or 0) + 6 * HOUR
    none = REGISTRY["listing_fade"]({"least_rise": "9"}).decide(market, calendar)
    assert len(none) == 0
    assert "moved its coin by +900.0%" in none.notes[0]


def test_a_fade_measures_the_rise_from_before_the_announcement(market: Market, calendar: Calendar) -> None:
    row = next(
        row
        for row in REGISTRY["influencer_fade"]({"least_rise": "-1"}).decide(market, calendar).rows
        if row.catalyst_id == "zk-2025-11-01-vitalik"
    )
    close = market.frame("close")["ZK/USDT:USDT"]
    rise = close.loc["2025-11-02 23:00"].item() / close.loc["2025-10-31 23:00"].item() - 1
    assert rise > 0
    for least, decided in ((rise * 0.999, True), (rise * 1.001, False)):
        rows = REGISTRY["influencer_fade"]({"least_rise": least}).decide(market, calendar).rows
        assert (row in rows or repr(row) in map(repr, rows)) == decided


def test_the_squeeze_of_november_begins_with_an_open_interest_record(market: Market, calendar: Calendar) -> None:
    rows = REGISTRY["oi_breakout"]({"assets": "ZEC"}).decide(market, calendar).rows
    day = [row for row in rows if format_ms(row.decided_at_ms).startswith("2025-11-01")]
    assert day
    column = market.column("ZEC/USDT:USDT")
    for row in rows:
        known = market.bar_at_or_after(row.decided_at_ms) - 1
        interest, close = market.open_interest[:, column], market.close[:, column]
        assert interest[known] > interest[known - 336 : known].max()
        assert close[known] >= 1.05 * close[known - 24]


def test_divergence_is_counted_in_coins(market: Market, calendar: Calendar) -> None:
    rows = REGISTRY["oi_divergence"]({"assets": "ZEC"}).decide(market, calendar).rows
    assert rows
    column = market.column("ZEC/USDT:USDT")
    coins = market.open_interest[:, column] / market.close[:, column]
    for row in rows:
        known = market.bar_at_or_after(row.decided_at_ms) - 1
        assert row.side == -1
        assert np.log(coins[known] / coins[known - 48]) <= -0.05
        assert market.close[known, column] >= 1.08 * market.close[known - 48, column]


def test_rotation_buys_the_three_coins_that_lag_most(market: Market, calendar: Calendar) -> None:
    rows = [
        row
        for row in REGISTRY["sector_rotation"]().decide(market, calendar).rows
        if row.catalyst_id == "zec-2025-10-31-hayes"
    ]
    close = market.frame("close")
    moves = close.loc["2025-10-31 23:00"] / close.loc["2025-10-24 23:00"] - 1
    sector = [f"{coin}/USDT:USDT" for coin in ("DASH", "ZEN", "ZK", "RAIL", "DCR", "SCRT", "ROSE", "XMR")]
    assert [row.instrument for row in rows] == list(moves[sector].sort_values().index[:3])
    assert moves["ZEC/USDT:USDT"] > moves[[row.instrument for row in rows]].max()
    assert sum(row.weight for row in rows) == pytest.approx(0.3)


def test_relative_value_takes_the_first_hedge_there_is(market: Market, real: Market, calendar: Calendar) -> None:
    for held, hedge in ((market, "RAIL/USDT:USDT"), (real, "BTC/USDT:USDT")):
        rows = REGISTRY["relative_value"]({"hedge_ratio": "0.5"}).decide(held, calendar).rows
        assert len(rows) == 30
        for long, short in zip(rows[::2], rows[1::2], strict=True):
            assert (long.instrument, long.side, short.instrument, short.side) == ("ZEC/USDT:USDT", 1, hedge, -1)
            assert long.group == short.group != ""
            assert short.weight == pytest.approx(long.weight / 2)


def test_the_legs_of_a_pair_leave_together(market: Market, calendar: Calendar) -> None:
    intents = REGISTRY["relative_value"]({"stop_loss": "0.05"}).decide(market, calendar)
    trades = replay(market, intents, RunConfig(), calendar=calendar).trades
    assert "group" in set(trades["reason"])
    for _, legs in trades.groupby("catalyst_id"):
        assert len(legs) == 2
        bars = legs["exit_time"] - pd.to_timedelta((legs["exit_phase"] == "close") * market.bar_ms, unit="ms")
        assert legs["entry_time"].nunique() == bars.nunique() == 1


def test_the_carry_on_dash_in_november_by_hand(real: Market, calendar: Calendar) -> None:
    """Short the perpetual at 69.29 and long spot at 69.32 on 11-11 16:00; out at 73.73 and 73.86 three days later."""
    november = real.between(parse_timerange("20251101-20251201"))
    carry = REGISTRY["funding_carry"]({"assets": "DASH", "window": "24h", "rich": "0.1", "hold": "3d"})
    intents = carry.decide(november, calendar)
    # Three settlements of 0.01 % within a day: 10.95 % a year, for the last time at the settlement of 11-11 16:00.
    assert [(format_ms(row.decided_at_ms), row.instrument, row.side) for row in intents.rows] == [
        ("2025-11-11 16:00", "DASH/USDT:USDT", -1),
        ("2025-11-11 16:00", "DASH/USDT", 1),
    ]
    config = RunConfig(impact=0.0, participation=float("inf"), funding_unknown="error")
    run = replay(november, intents, config, calendar=calendar)
    short, long = run.trades.to_dict("records")
    sold = 40_000 / (69.29 * 0.9995)
    bought = 40_000 / (69.32 * 1.0005)
    # The close of the bar that each settlement ended, and its rate; that of the entry's own instant is not ours.
    settlements = (
        (67.05, 1e-4), (68.38, 5.225e-5), (64.87, 6.295e-5), (67.07, 9.373e-5), (67.66, 7.588e-5), (67.11, -7.87e-5),
        (63.62, 1e-4), (65.36, 1e-4), (73.77, -8.359e-5),
    )  # fmt: skip
    received = sold * sum(mark * rate for mark, rate in settlements)
    fees = 0.0005 * (40_000 + 40_000 + sold * 73.73 * 1.0005 + bought * 73.86 * 0.9995)
    slippage = 0.0005 * (sold * (69.29 + 73.73) + bought * (69.32 + 73.86))
    assert received == pytest.approx(15.7284, abs=1e-4)
    assert short["funding"] == pytest.approx(-received, rel=1e-9)
    assert short["gross"] == pytest.approx(sold * (69.29 - 73.73), rel=1e-9)
    assert long["gross"] == pytest.approx(bought * (73.86 - 69.32), rel=1e-9)
    assert run.costs.net == pytest.approx(
        sold * (69.29 - 73.73) + bought * (73.86 - 69.32) + received - fees - slippage, rel=1e-9
    )
    assert run.costs.net == pytest.approx(-95.4517, abs=1e-4)
    assert short["exit_time"] == long["exit_time"]


def test_negative_funding_is_left_alone(real: Market, calendar: Calendar) -> None:
    """DASH's longs were paid 3.6 % on 2025-11-16: the carry is the other way round and needs borrowed spot."""
    week = real.between(parse_timerange("20251115-20251119"))
    assert len(REGISTRY["funding_carry"]({"assets": "DASH", "window": "24h"}).decide(week, calendar)) == 0


def test_flags_are_found_on_real_bars(real: Market, calendar: Calendar) -> None:
    rows = REGISTRY["flag_breakout"]().decide(real, calendar).rows
    for row in rows:
        column, known = real.column(row.instrument), real.bar_at_or_after(row.decided_at_ms) - 1
        flag = slice(known - 48, known)
        assert real.close[known, column] > real.high[flag, column].max()
        assert real.close[known - 49, column] >= 1.15 * real.close[known - 49 - 96, column]


def test_random_entries_are_a_matter_of_the_seed_alone(market: Market, calendar: Calendar) -> None:
    def rows(held: Market, **values: object) -> list[str]:
        return [repr(row) for row in REGISTRY["random_entry"](values).decide(held, calendar).rows]

    assert rows(market) != rows(market, seed=2)
    assert rows(market.select(("ZEC/USDT:USDT",))) == rows(market)
    assert len(rows(market, a_week=20)) == pytest.approx(20 * 108 / 7, rel=0.2)
    assert all("side=-1" in row for row in rows(market, side="short"))
