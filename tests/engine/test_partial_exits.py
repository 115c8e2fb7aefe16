"""Exits in parts against hand arithmetic: 10 coins bought at 100, and bars that let out 300 each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from backtest.engine import layout as codes
from backtest.engine.book import audited_equity
from backtest.engine.ends import IS_OUTER, NET_HIGH, NET_LOW
from backtest.engine.kernel import replay_many
from backtest.engine.layout import Bars, Rules
from backtest.engine.run import Run
from backtest.report.tables import trade_table
from tests.engine.markets import RULES, Recorded, bars_of, orders_of, recorded
from tests.engine.test_intervals import table_of
from tests.engine.test_orders import FLAT, HOUR, INVERSE, market_of
from tests.engine.test_positions import an_intent, several

PARTIAL = RULES._replace(partial_exits=True)


def flat(*opens: float) -> list[tuple[float, ...]]:
    return [(price,) * 4 for price in opens]


def thin(bars: Any, capacity: float = 300.0, **more: Any) -> Bars:
    """Bars of one instrument: the first takes any entry, the others let out `capacity`."""
    room = np.full((1, len(bars)), capacity)
    room[0, 0] = np.inf
    return bars_of(np.array([bars], dtype=float), capacity=room, **more)


def left(found: Recorded) -> list[tuple[float, ...]]:
    """Row, phase, reason, quantity and price of every exit."""
    names = ("row", "phase", "reason", "quantity", "price")
    rows = zip(*(found.fill(name) for name in names), strict=True)
    return [tuple(row) for row in rows if row[2] != codes.ENTRY]


def interval(bars: Bars, intents: list[dict[str, Any]], rules: Rules) -> tuple[float, float, float]:
    table, _, _ = table_of(orders_of(intents), bars, rules)
    return tuple(table[0, [NET_LOW, NET_HIGH, IS_OUTER]])


def test_the_rest_leaves_over_the_next_opens_at_their_prices() -> None:
    # 3 coins at 100, 300 / 90 = 3.333 at 90, the last 3.667 at 80: 0 - 33.33 - 73.33.
    bars, intents = thin([FLAT, FLAT, *flat(100, 90, 80, 70)]), [{"hold": 2}]
    found = recorded(orders_of(intents), bars, PARTIAL)
    parts = [(2, 3.0, 100.0), (3, 10 / 3, 90.0), (4, 11 / 3, 80.0)]
    expected = [(row, codes.AT_OPEN, codes.TIME, quantity, price) for row, quantity, price in parts]
    assert left(found) == [pytest.approx(one) for one in expected]
    (trade,) = found.trades
    by = dict(zip(codes.TRADE_COLUMNS, trade, strict=True))
    assert by["net"] == by["gross"] == pytest.approx(-320 / 3)
    assert by["exit_price"] == pytest.approx(100 - 32 / 3)
    assert (by["quantity"], by["exit_row"], by["reason"]) == (10.0, 4.0, codes.TIME)
    assert interval(bars, intents, PARTIAL) == pytest.approx((-320 / 3, -320 / 3, 0.0))
    # At the close of row 3: 300 and 300 in cash and 3.667 coins at 90.
    assert found.equity[2:].tolist() == pytest.approx([1000, 930, 1000 - 320 / 3, 1000 - 320 / 3])
    assert recorded(orders_of(intents), bars, RULES).trade("net").tolist() == [0.0]


def test_a_stop_begins_at_its_level_and_pays_fee_and_impact_of_each_part() -> None:
    # Stop 95: 300 / 95 = 3.158 coins there, the rest at the open of 90 and of 91; a target would no longer act.
    bars = thin([FLAT, (100, 101, 94, 94), *flat(90, 200, 91)], impact=np.array([[0.0, 1e-3, 1e-3, 1e-3, 1e-3]]))
    rules = PARTIAL._replace(fee_rate=0.001)
    intents = [{"stop_loss": 0.05, "take_profit": 0.5, "notional": 500.0}]
    found = recorded(orders_of(intents), bars, rules)
    quantities = [300 / 95, 5 - 300 / 95]
    assert [row[3] for row in left(found)] == pytest.approx(quantities)
    assert [row[1] for row in left(found)] == [codes.INSIDE, codes.AT_OPEN]
    expected = -0.5
    for quantity, reference in zip(quantities, (95, 90), strict=True):
        price = reference * (1 - 1e-3 * (quantity * reference) ** 0.5)
        expected += quantity * (price - 100) - 0.001 * quantity * price
    assert found.trade("net").tolist() == pytest.approx([expected])
    low, high, outer = interval(bars, intents, rules)
    assert (low, high, outer) == pytest.approx((expected, expected, 0.0))


@pytest.mark.parametrize("stop_order", range(3))
def test_what_is_left_is_liquidated_by_the_same_bar(stop_order: int) -> None:
    # Five times, no maintenance: liquidated at 80. Of 50 coins 300 / 95 leave at the stop, the bar goes on to 79.
    bars = thin([FLAT, (100, 100, 79, 85), *flat(120, 120)])
    rules = PARTIAL._replace(leverage=5.0, gross_cap=5.0, stop_order=stop_order)
    intents = [{"stop_loss": 0.05, "weight": 5.0}]
    found = recorded(orders_of(intents), bars, rules)
    part = 300 / 95
    assert [(row[2], row[3], row[4]) for row in left(found)] == [
        pytest.approx((codes.STOP_LOSS, part, 95.0)),
        pytest.approx((codes.LIQUIDATION, 50 - part, 80.0)),
    ]
    net = -5 * part - 20 * (50 - part)
    assert found.trade("net").tolist() == pytest.approx([net])
    assert found.trade("reason").tolist() == [codes.LIQUIDATION]
    assert interval(bars, intents, rules) == pytest.approx((net, net, 0.0))


def test_funding_is_paid_on_what_is_left_and_the_last_bar_takes_it_all() -> None:
    # 1 % a bar: 10 coins pay 10, after row 2 seven pay 7, after row 3 four pay 4; the rest ends with the instrument.
    funding = np.array([[0.0, 0.01, 0.01, 0.01, 0.0]])
    bars = thin([FLAT] * 5, funding=funding, ended=np.array([True]))
    intents = [{"hold": 2}]
    found = recorded(orders_of(intents), bars, PARTIAL._replace(funding_unknown=codes.FUNDING_ZERO))
    assert found.funding.tolist() == pytest.approx([0, 10, 7, 4, 0])
    assert [(row[0], row[1], row[3]) for row in left(found)] == [
        pytest.approx(one)
        for one in [(2, codes.AT_OPEN, 3), (3, codes.AT_OPEN, 3), (4, codes.AT_OPEN, 3), (4, codes.AT_CLOSE, 1)]
    ]
    assert found.trade("reason").tolist() == [codes.DELISTED]
    assert found.trade("net").tolist() == pytest.approx([-21.0])
    assert interval(bars, intents, PARTIAL) == pytest.approx((-21.0, -21.0, 0.0))


def test_a_bar_without_volume_or_without_prices_lets_nothing_out() -> None:
    bars = thin([FLAT, FLAT, *flat(90, 80, np.nan, 70)])
    bars.panel[0, 2, codes.CAPACITY] = 0.0
    bars.panel[0, 5, codes.CAPACITY] = np.inf
    found = recorded(orders_of([{"hold": 2}]), bars, PARTIAL)
    assert [(row[0], row[3]) for row in left(found)] == [pytest.approx((3, 3.75)), pytest.approx((5, 6.25))]


def test_quantities_leave_in_whole_lots_and_an_unknown_volume_is_that_of_the_entry() -> None:
    bars = thin([FLAT, *flat(90, 80, 70, 70)], lot=np.array([1.0]))
    bars.panel[0, 0, codes.CAPACITY] = 1000.0
    bars.panel[0, 1, codes.CAPACITY] = np.nan
    intents = [{"hold": 2}]
    assert [row[3] for row in left(recorded(orders_of(intents), bars, PARTIAL))] == [3.0, 4.0, 3.0]
    assert [row[3] for row in left(recorded(orders_of([{"hold": 1}]), bars, PARTIAL))] == [10.0]


def test_a_cap_of_less_than_a_lot_lets_nothing_out_before_the_end() -> None:
    """A stop as well as a time limit: 300 are less than ten coins at any of these prices."""
    for order in ({"hold": 2}, {"stop_loss": 0.05}):
        bars = thin([FLAT, FLAT, *flat(90, 80, 70)], lot=np.array([10.0]))
        found = recorded(orders_of([order]), bars, PARTIAL)
        assert left(found) == [pytest.approx((4, codes.AT_CLOSE, codes.END_OF_DATA, 10.0, 70.0))]


def test_parts_of_an_order_have_their_share_of_a_bar_and_added_positions_share_it() -> None:
    # Two halves of one order: 150 each at 100. Two positions beside each other: the first 300, the second none.
    halves = [{"hold": 2, "weight": 0.5, "group": -2}, {"hold": 2, "weight": 0.5, "group": -2}]
    bars = thin([FLAT] * 8)
    found = recorded(orders_of(halves), bars, PARTIAL)
    first = [(row[0], row[3]) for row in left(found) if row[0] == 2]
    assert first == [pytest.approx((2, 1.5))] * 2
    bars.panel[0, 1, codes.CAPACITY] = np.inf
    beside = [{"hold": 3, "weight": 0.5}, {"hold": 2, "notional": 500.0, "earliest": 1}]
    rules = PARTIAL._replace(adds=True)
    found = recorded(orders_of(beside), bars, rules)
    assert [(row[0], row[3]) for row in left(found)] == [
        pytest.approx(one) for one in [(3, 3.0), (4, 2.0), (4, 1.0), (5, 3.0), (6, 1.0)]
    ]
    table, _, _ = table_of(orders_of(beside), bars, rules)
    assert table[:, IS_OUTER].tolist() == [1.0, 1.0]
    assert (table[:, NET_LOW] <= 0).all()
    assert (table[:, NET_HIGH] >= 0).all()


def test_a_trail_that_begins_at_a_range_of_prices_is_bounded_and_flagged() -> None:
    # Trail 5 %: up to 110 leaves at 104.5, at once at 95; what is left leaves at 98 or 97.
    bars = thin([FLAT, (100, 110, 94, 98), *flat(98, 97, 97, 97)])
    intents = [{"trailing_stop": 0.05}]
    low, high, outer = interval(bars, intents, PARTIAL)
    assert outer == 1.0
    for stop_order in range(3):
        net = float(recorded(orders_of(intents), bars, PARTIAL._replace(stop_order=stop_order)).trade("net")[0])
        assert low <= net <= high
    # No part can leave below the low of the bar and none above its trail.
    assert -60 <= low <= -50
    assert high <= 45


def test_a_placebo_moves_the_whole_exit() -> None:
    # The same bars twice: shifted by half a circle the replay is the same.
    half = [FLAT, FLAT, *flat(100, 90, 80, 70)]
    bars = thin([*half, *half])
    bars.panel[0, 6, codes.CAPACITY] = np.inf
    orders = orders_of([{"hold": 2}])._replace(shift=np.array([0, 6], np.int32))
    nets = replay_many(orders, bars, PARTIAL, 2, 1)[:, codes.NET_RETURN]
    assert nets.tolist() == pytest.approx([-0.32 / 3, -0.32 / 3])


def run_with(**settings: Any) -> Run:
    """5,000 bought in hours of 10,000 coins and held for eight, then hours of 10 coins: 1,000 of money."""
    market = market_of(*[(100, 101, 99, 100 + 0.1 * (row % 3)) for row in range(60)], FLAT, FLAT)
    volume = np.full(market.volume.shape, 10_000.0)
    volume[30:] = 10.0
    entry = an_intent(market, 27, hold_ms=8 * HOUR)
    settings = {"capital": 5_000.0, "liquidity_window": "3h", "participation": 0.1, **settings}
    return several(replace(market, volume=volume), entry, **settings)


def test_a_run_says_in_how_many_fills_it_left() -> None:
    whole, parts = run_with(), run_with(partial_exits=True)
    assert whole.trades["exit_fills"].tolist() == [1]
    assert any("were filled whole" in note for note in whole.notes)
    # 5,000 in bars of 1,000, of which a tenth: 50 fills would be needed, 28 bars are left and the last takes the rest.
    (trade,) = parts.trades.to_dict("records")
    assert trade["exit_fills"] == len(parts.fills) - 1 == 29
    assert trade["reason"] == "end_of_data"
    assert parts.fills["notional"].iloc[1] == pytest.approx(100.0, rel=0.01)
    assert parts.last_fills.tolist() == [False] * (len(parts.fills) - 1) + [True]
    assert any(f"in {trade['exit_fills']} fills at most" in note for note in parts.notes)
    console = Console(width=100)
    with console.capture() as told:
        console.print(trade_table(parts))
    assert f"end! x{trade['exit_fills']}" in told.get()


def test_equity_equals_vectorbt_where_exits_are_filled_in_parts() -> None:
    run = run_with(partial_exits=True)
    np.testing.assert_allclose(audited_equity(run), run.equity, rtol=1e-9)


def test_an_inverse_contract_leaves_in_dollars_at_the_coins_that_a_bar_lets_out() -> None:
    # Bars let out 3 coins: 300 dollars sold at 100, bought back as 150 at 50, 120 at 40 and 30 at 25.
    # 150 (1/50 - 1/100) + 120 (1/40 - 1/100) + 30 (1/25 - 1/100) = 1.5 + 1.8 + 0.9 coins; 300 dollars for 7.2 coins.
    market = market_of(*flat(*[100] * 30, 50, 40, 25, 20), symbol=INVERSE)
    market = replace(market, volume=np.full_like(market.volume, 10.0))
    entry = an_intent(market, 28, instrument=INVERSE, side=-1, hold_ms=3 * HOUR)
    run = several(market, entry, capital=10.0, participation=0.3, partial_exits=True)
    assert run.fills["quantity"].tolist() == pytest.approx([300, 150, 120, 30])
    assert run.fills["price"].tolist() == pytest.approx([100, 50, 40, 25])
    (trade,) = run.trades.to_dict("records")
    assert (trade["net"], trade["exit_price"], trade["exit_fills"]) == pytest.approx((4.2, 300 / 7.2, 3))
    assert (trade["net_low"], trade["net_high"]) == pytest.approx((4.2, 4.2))
