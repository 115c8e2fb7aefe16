"""Cross margin: one account behind all contracts, each case by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from backtest.base.config import load_config
from backtest.base.errors import ConfigError, DataError
from backtest.engine import layout as codes
from backtest.engine.cross_bounds import crossed_intervals
from backtest.engine.kernel import replay_one
from backtest.engine.prepared import Prepared
from backtest.engine.replay import Run, replay
from backtest.engine.run_bounds import arithmetic_bounds
from backtest.engine.useful import most_useful
from backtest.market.instrument import Instrument
from backtest.market.record import Market
from backtest.signals.strategy import Intent, Intents
from tests.engine.markets import Scenario, book_of, crossed, recorded, with_known_funding
from tests.engine.test_orders import FLAT, FREE

A, B = "ZEC/USDT:USDT", "DASH/USDT:USDT"
RULES = {**FREE, "capital": 1000.0, "leverage": 10.0, "gross_cap": 20.0, "liquidation_fee": 0.0}
Prices = tuple[float, float, float, float]


def market_of(first: list[Prices], second: list[Prices], symbols: tuple[str, str] = (A, B)) -> Market:
    """Hourly bars of two instruments, after a flat one at 100."""
    prices = np.array([[FLAT, *first], [FLAT, *second]]).transpose(1, 2, 0)
    shape = prices[:, 0].shape
    return Market(
        index=pd.date_range("2025-10-01", periods=len(prices), freq="h", tz="UTC"),
        timeframe="1h",
        instruments=tuple(Instrument.parse(symbol) for symbol in symbols),
        **{name: prices[:, place] for place, name in enumerate(("open", "high", "low", "close"))},
        volume=np.full(shape, 1e6),
        open_interest=np.full(shape, np.nan),
        funding=np.zeros(shape),
    )


def an_intent(market: Market, symbol: str, side: int = 1, row: int = 1, **changes: Any) -> Intent:
    decided = int(market.open_ms[row])
    return Intent(**{"instrument": symbol, "decided_at_ms": decided, "side": side, "notional": 3000.0, **changes})


def run_of(market: Market, *intents: Intent, **changed: Any) -> Run:
    config = load_config(**{**RULES, "maintenance_margin": 0.02, "margin": "cross", **changed})
    return replay(market, Intents(intents), config)


def ends(run: Run) -> dict[str, tuple[str, str, Any]]:
    return {
        one["instrument"]: (one["reason"], one["exit_phase"], pytest.approx(one["exit_price"]))
        for one in run.trades.to_dict("records")
    }


# 30 coins of each at 100 on margins of 300, so 400 of 1000 are free.
FALL, RISE = (100.0, 100.0, 80.0, 90.0), (100.0, 130.0, 100.0, 110.0)


def test_two_contracts_are_liquidated_together_on_the_way_to_their_worst_prices() -> None:
    market = market_of([FLAT, FALL, FLAT], [FLAT, RISE, FLAT])
    run = run_of(market, an_intent(market, A), an_intent(market, B, -1))
    # A share s of the way: 1000 - 30 * 20 s - 30 * 30 s = 0.02 * 30 * (200 + 10 s), so s = 880 / 1506.
    share = 880 / 1506
    assert ends(run) == {
        A: ("liquidation", "inside", 100 - 20 * share),
        B: ("liquidation", "inside", 100 + 30 * share),
    }
    assert run.equity.iloc[-1] == pytest.approx(1000 - 1500 * share)
    assert run.shortfall == 0.0
    # Alone each is liquidated by itself: (100 - 10) / 0.98 and (100 + 10) / 1.02.
    alone = run_of(market, an_intent(market, A), an_intent(market, B, -1), margin="isolated")
    assert ends(alone) == {A: ("liquidation", "inside", 90 / 0.98), B: ("liquidation", "inside", 110 / 1.02)}


def test_what_isolated_margin_liquidates_the_account_carries() -> None:
    market = market_of([FLAT, FALL, FLAT], [FLAT, FLAT, FLAT])
    run = run_of(market, an_intent(market, A))
    # At 80 the account is 400, its maintenance margin 48.
    assert ends(run) == {A: ("end_of_data", "close", 100)}
    assert run.equity.tolist() == pytest.approx([1000, 1000, 700, 1000])
    isolated = run_of(market, an_intent(market, A), margin="isolated")
    assert ends(isolated) == {A: ("liquidation", "inside", 90 / 0.98)}
    # The gain of one carries the loss of the other: a short of B at its worst is where it opens.
    both = market_of([FLAT, (100, 100, 65, 70)], [FLAT, (100, 100, 65, 70)])
    hedged = run_of(both, an_intent(both, A), an_intent(both, B, -1, notional=2000.0))
    # Pessimistic all the same: B stays at its open while A falls: 1000 - 1050 < 0.
    assert {reason for reason, *_ in ends(hedged).values()} == {"liquidation"}


def test_a_stop_that_the_path_meets_first_leaves_at_its_level() -> None:
    market = market_of([FLAT, FALL, FLAT], [FLAT, RISE, FLAT])
    run = run_of(market, an_intent(market, A, stop_loss=0.05), an_intent(market, B, -1))
    # The stop costs 150 a quarter of the way; 850 - 900 s = 0.02 * 30 * (100 + 30 s), so s = 790 / 918.
    assert ends(run) == {A: ("stop_loss", "inside", 95), B: ("liquidation", "inside", 100 + 30 * 790 / 918)}
    # A stop behind that point is not met.
    late = run_of(market, an_intent(market, A, stop_loss=0.15), an_intent(market, B, -1))
    assert ends(late)[A] == ("liquidation", "inside", 100 - 20 * 880 / 1506)


def test_a_target_fills_only_if_the_account_survives_the_bar() -> None:
    both = (100.0, 130.0, 80.0, 100.0)
    market = market_of([FLAT, both, FLAT], [FLAT, both, FLAT])
    run = run_of(market, an_intent(market, A, take_profit=0.1), an_intent(market, B, -1))
    assert {reason for reason, *_ in ends(run).values()} == {"liquidation"}
    smaller = (an_intent(market, A, take_profit=0.1), an_intent(market, B, -1, notional=500.0))
    assert ends(run_of(market, *smaller)) == {A: ("take_profit", "inside", 110), B: ("end_of_data", "close", 100)}


def test_a_bankrupt_account_trades_no_more_and_no_trade_is_credited_its_shortfall() -> None:
    market = market_of([FLAT, (60, 60, 60, 60), FLAT], [FLAT, FLAT, FLAT])
    run = run_of(market, an_intent(market, A), an_intent(market, B, row=3))
    assert ends(run) == {A: ("liquidation", "open", 60)}
    assert run.trades["net"].tolist() == pytest.approx([-1200])
    assert run.trades["liquidation"].tolist() == [0.0]
    assert run.equity.tolist() == pytest.approx([1000, 1000, 0, 0])
    assert run.shortfall == pytest.approx(200)
    assert run.rejected["reason"].tolist() == ["BANKRUPT"]
    assert any("went bankrupt" in note and "200" in note for note in run.notes)
    assert run.statistics[0] == pytest.approx(-1.0)
    # The trade lies in its interval, and the run in its bounds.
    assert run.trades["net_low"].iloc[0] <= -1200 <= run.trades["net_high"].iloc[0]
    assert run.bounds.net_low <= -1000 <= run.bounds.net_high


def test_the_fee_of_a_liquidation_is_paid_by_each_contract() -> None:
    market = market_of([FLAT, FALL, FLAT], [FLAT, RISE, FLAT])
    run = run_of(market, an_intent(market, A), an_intent(market, B, -1), liquidation_fee=0.01)
    assert run.trades["liquidation"].tolist() == pytest.approx(
        (0.01 * run.trades["quantity"] * run.trades["exit_price"]).tolist()
    )
    assert run.equity.iloc[-1] == pytest.approx(1000 + run.trades["net"].sum())


def test_a_contract_that_does_not_trade_leaves_at_its_next_open() -> None:
    market = market_of([FLAT, FALL, FLAT, FLAT], [FLAT, (99, 99, 99, 99), (98, 98, 98, 98), (97, 97, 97, 97)])
    volume = np.array(market.volume)
    volume[2:3, 1] = 0.0
    run = run_of(
        replace(market, volume=volume), an_intent(market, A, notional=4800.0), an_intent(market, B, notional=480.0)
    )
    # Row 2: 1000 - 960 at 80, below 0.02 * (48 * 80 + 4.8 * 100). What is left could carry B alone.
    assert ends(run)[A][:2] == ("liquidation", "inside")
    assert ends(run)[B] == ("liquidation", "open", 98)


def test_free_cash_is_what_the_account_has_above_its_margins() -> None:
    market = market_of([FLAT, (100, 100, 90, 90), (90, 90, 90, 90), FLAT], [FLAT] * 4)
    run = run_of(market, an_intent(market, A), an_intent(market, B, row=3, notional=7000.0))
    # Cash is 700, the account 700, 300 of it back A: 400 are free of the 700 that are wanted.
    assert run.trades.set_index("instrument")["granted"].to_dict() == pytest.approx({A: 1.0, B: 4 / 7})
    # An unrealised gain frees nothing.
    gained = market_of([FLAT, (100, 110, 100, 110), (110, 110, 110, 110), FLAT], [FLAT] * 4)
    run = run_of(gained, an_intent(gained, A), an_intent(gained, B, row=3, notional=14_000.0))
    assert run.trades.set_index("instrument")["granted"][B] == pytest.approx(700 / 1400)


def test_funding_is_paid_by_the_account() -> None:
    market = market_of([FLAT, FLAT, (100, 100, 80, 90), FLAT], [FLAT] * 4)
    funding = np.array(market.funding)
    funding[2] = 0.12
    paid = replace(market, funding=funding)
    assert ends(run_of(market, an_intent(market, A))) == {A: ("end_of_data", "close", 100)}
    # 360 of funding: 640 - 30 * 20 = 40 at 80, below 48: 640 - 600 s = 0.02 * 30 * (100 - 20 s), s = 580 / 588.
    assert ends(run_of(paid, an_intent(paid, A))) == {A: ("liquidation", "inside", 100 - 20 * 580 / 588)}


def test_tiers_count_what_is_held_in_an_instrument_together() -> None:
    market = market_of([FLAT, FLAT, (100, 100, 85, 90), FLAT], [FLAT] * 4)
    tiered = replace(
        market, instruments=(replace(market.instruments[0], tiers=((0.0, 0.01), (4000.0, 0.1))), market.instruments[1])
    )
    rows = (an_intent(tiered, A), an_intent(tiered, A, row=2))
    # 60 coins: 1000 - 900 at 85, which need 0.1 * 5100 - 360 = 150; two lots of 2550 would need 51.
    run = run_of(tiered, *rows, in_position="add")
    # 1000 - 60 * 15 s = 0.1 * 60 * (100 - 15 s) - 360, so s = 760 / 810.
    assert run.trades["reason"].tolist() == ["liquidation", "liquidation"]
    assert run.trades["exit_price"].tolist() == pytest.approx([100 - 15 * 760 / 810] * 2)


def test_the_mark_price_triggers_and_the_worst_last_price_fills() -> None:
    market = market_of([FLAT, (100, 100, 70, 90), FLAT], [FLAT, FLAT, FLAT])
    calm, mark = np.full(market.close.shape, 100.0), np.full(market.close.shape, 100.0)
    bars = {"mark_low": calm, "mark_high": calm, "mark_price": calm}
    survives = replace(market, series=bars)
    assert ends(run_of(survives, an_intent(market, A))) == {A: ("end_of_data", "close", 100)}
    # Without a mark price: 1000 - 900 = 100 at 70, above 42; of 35 coins 1000 - 1050 is not.
    low = mark.copy()
    low[2, 0] = 71.0
    reached = replace(market, series={**bars, "mark_low": low})
    run = run_of(reached, an_intent(market, A, notional=3500.0))
    # 1000 - 35 * 29 < 0 on the mark price: filled at the low of the last.
    assert ends(run) == {A: ("liquidation", "inside", 70)}
    assert run.shortfall == pytest.approx(50)
    # At the open counts the last mark price before it: a last price of 65 does nothing.
    gap = market_of([FLAT, FLAT, (65, 70, 65, 70), FLAT], [FLAT] * 4)
    still = {name: np.full(gap.close.shape, 100.0) for name in bars}
    run = run_of(replace(gap, series=still), an_intent(gap, A, notional=3500.0))
    assert ends(run) == {A: ("end_of_data", "close", 100)}


@pytest.mark.parametrize(
    ("given_settings", "words"),
    [
        ({"stop_order": "optimistic"}, "stop_order = 'optimistic' is not defined for it"),
        ({"stop_order": "adverse_first"}, "stop_order = 'adverse_first' is not defined for it"),
        ({"partial_exits": True}, "partial_exits = true is not defined for it"),
        ({"margin": "crossed"}, "margin"),
    ],
)
def test_what_cross_margin_cannot_price_is_refused(given_settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(**{"margin": "cross", **given_settings})


def test_spot_is_refused_with_the_perpetual_beside_it() -> None:
    market = market_of([FLAT], [FLAT], symbols=(A, "ZEC/USDT"))
    with pytest.raises(ConfigError, match=r"ZEC/USDT is spot, .* trade ZEC/USDT:USDT, or choose margin = 'isolated'"):
        run_of(market, an_intent(market, "ZEC/USDT"))
    mixed = market_of([FLAT], [FLAT], symbols=(A, "ZEC/USD:ZEC"))
    with pytest.raises(ConfigError, match="one account keeps one currency"):
        run_of(mixed, an_intent(mixed, A), an_intent(mixed, "ZEC/USD:ZEC"))


def test_intervals_are_outer_bounds_and_no_verdict_rests_on_every_path() -> None:
    market = market_of([FLAT, FALL, FLAT, FLAT], [FLAT, RISE, FLAT, FLAT])
    late = an_intent(market, A, row=2)
    run = run_of(market, an_intent(market, A, hold_ms=2 * market.bar_ms), an_intent(market, B, -1), late)
    assert run.trades["ambiguous"].all()
    assert run.intervals.outer.tolist() == [True, True, False]
    assert not run.bounds.exact
    # A can leave until the open at which its time is up: between 80 and 100 of 30 coins.
    assert run.trades.set_index("instrument").loc[A, ["net_low", "net_high"]].tolist() == pytest.approx([-600, 0])
    assert any(note.startswith("intervals of 2 of 2 trades are outer bounds") for note in run.notes)
    with pytest.raises(ConfigError, match="which finer bars do not narrow; choose margin = 'isolated'"):
        most_useful([run])
    unknown = np.array(market.funding)
    unknown[2] = np.nan
    with pytest.raises(DataError, match=r"on a path that the bars allow|while a position is open"):
        run_of(replace(market, funding=unknown), an_intent(market, A), funding_unknown="error")


def test_the_same_account_at_half_the_prices() -> None:
    market = market_of([FLAT, FALL, FLAT], [FLAT, RISE, FLAT])
    halved = replace(market, **{name: getattr(market, name) / 2 for name in ("open", "high", "low", "close")})
    runs = [run_of(one, an_intent(one, A), an_intent(one, B, -1)) for one in (market, halved)]
    assert runs[0].trades["net"].tolist() == pytest.approx(runs[1].trades["net"].tolist())


def alone(scenario: Scenario, k: int, notional: float) -> float:
    """Net of one intent of the same size in an account that nothing can use up."""
    columns = {name: values[:, k : k + 1] for name, values in scenario.orders._asdict().items() if name != "shift"}
    columns["notional"] = np.full((1, 1), notional)
    orders = scenario.orders._replace(**columns)
    rules = scenario.rules._replace(capital=1e6 * scenario.rules.capital, gross_cap=1e6)
    (net,) = recorded(orders, scenario.bars, rules).trade("net").tolist()
    return float(net)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(crossed.map(with_known_funding))
def test_a_trade_lies_in_its_interval_whatever_becomes_of_the_account(scenario: Scenario) -> None:
    orders = scenario.orders._replace(shift=np.zeros(1, np.int32))
    scenario = replace(scenario, orders=orders, rules=scenario.rules._replace(extend=False))
    book = book_of(scenario.bars, orders.column.shape[1])
    statistics = replay_one(orders, scenario.bars, scenario.rules, book)
    prepared = Prepared(cast(Any, None), cast(Any, None), scenario.bars, scenario.rules)
    intervals = crossed_intervals(orders, prepared, book)
    slack = 1e-9 * scenario.rules.capital
    for trade in book.trades[: book.counts[1]]:
        row = codes.Trade(*trade)
        k = int(row.intent)
        nets = [row.net]
        if orders.group[0, k] == -1 and not scenario.bars.lot.any() and scenario.bars.tiers.shape[2] == 0:
            nets.append(alone(scenario, k, row.entry_notional))
        for net in nets:
            assert intervals.net_low[k] - slack <= net <= intervals.net_high[k] + slack
    bounds = arithmetic_bounds(orders, prepared, book, statistics[:-2], intervals)
    net = book.equity[-1] - scenario.rules.capital
    assert bounds.net_low - slack <= net <= bounds.net_high + slack
    assert not (bounds.exact and book.counts[1])
