"""One tiny market for each rule of the kernel; every number is typed from hand arithmetic.

Unless a test says otherwise: capital 1000, no costs, leverage 1, everything in one swap bought at 100, so 10 units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backtest.engine import layout as codes
from backtest.engine.kernel import replay_many
from tests.engine.markets import NAN, RULES, Recorded, bars_of, orders_of, recorded

Bar = tuple[float, float, float, float]
FLAT: Bar = (100.0, 100.0, 100.0, 100.0)
NONE: Bar = (NAN, NAN, NAN, NAN)


def market(*instruments: list[Bar], **kind: Any) -> Any:
    return bars_of(np.array(instruments, dtype=np.float64), **kind)


def play(bars: Any, *intents: dict[str, Any], **rules: Any) -> Recorded:
    return recorded(orders_of(list(intents)), bars, RULES._replace(**rules))


def only_trade(found: Recorded) -> dict[str, float]:
    assert len(found.trades) == 1
    return dict(zip(codes.TRADE_COLUMNS, found.trades[0].tolist(), strict=True))


def trade_of(found: Recorded, intent: int) -> dict[str, float]:
    rows = found.trades[found.trade("intent") == intent]
    assert len(rows) == 1
    return dict(zip(codes.TRADE_COLUMNS, rows[0].tolist(), strict=True))


def test_gap_through_the_stop_fills_at_the_open() -> None:
    # Stop 5 % under 100 is 95; the next bar opens at 90: 10 * (90 - 100) = -100.
    trade = only_trade(play(market([FLAT, (90, 92, 88, 91), FLAT]), {"stop_loss": 0.05}))
    assert (trade["exit_row"], trade["exit_phase"], trade["reason"]) == (1, codes.AT_OPEN, codes.STOP_LOSS)
    assert trade["exit_price"] == 90
    assert trade["net"] == -100


def test_stop_lives_on_the_entry_bar() -> None:
    # Low 94 goes through 95 on the bar of the entry: 10 * (95 - 100) = -50.
    found = play(market([(100, 102, 94, 101), FLAT]), {"stop_loss": 0.05})
    trade = only_trade(found)
    assert (trade["exit_row"], trade["exit_phase"], trade["reason"]) == (0, codes.INSIDE, codes.STOP_LOSS)
    assert trade["exit_price"] == pytest.approx(95)
    assert found.equity.tolist() == pytest.approx([950, 950])


def test_short_reads_as_a_long_turned_over() -> None:
    # Stop of a short 5 % above 100 is 105, target 95: high 106 stops it, 10 * (100 - 105) = -50.
    stopped = only_trade(play(market([(100, 106, 96, 101)]), {"side": -1.0, "stop_loss": 0.05, "take_profit": 0.05}))
    assert (stopped["reason"], stopped["exit_price"]) == (codes.STOP_LOSS, pytest.approx(105))
    assert stopped["net"] == pytest.approx(-50)
    # Low 94 reaches the target at 95: +50.
    paid = only_trade(play(market([(100, 104, 94, 101)]), {"side": -1.0, "stop_loss": 0.05, "take_profit": 0.05}))
    assert (paid["reason"], paid["net"]) == (codes.TAKE_PROFIT, pytest.approx(50))


@pytest.mark.parametrize(
    ("stop_order", "reason", "net"),
    [
        (codes.PESSIMISTIC, codes.STOP_LOSS, -50),
        (codes.OPTIMISTIC, codes.TAKE_PROFIT, 50),
        (codes.ADVERSE_FIRST, codes.STOP_LOSS, -50),
    ],
)
def test_bar_that_touches_both_leaves_as_the_stop_order_says(stop_order: int, reason: int, net: float) -> None:
    # 94 to 110 holds the stop at 95 (-50) and the target at 105 (+50).
    bars = market([(100, 110, 94, 100), FLAT])
    trade = only_trade(play(bars, {"stop_loss": 0.05, "take_profit": 0.05}, stop_order=stop_order))
    assert trade["reason"] == reason
    assert trade["net"] == pytest.approx(net)


def test_detail_bars_resolve_the_order() -> None:
    # The same bar in two halves: the target at 105 is met in the first, the stop at 95 only in the second.
    detail = np.array([[(100, 110, 99, 108), (108, 109, 94, 100), FLAT, FLAT]], dtype=np.float64)
    bars = market([(100, 110, 94, 100), FLAT], detail=detail, detail_ratio=2)
    trade = only_trade(play(bars, {"stop_loss": 0.05, "take_profit": 0.05}))
    assert trade["reason"] == codes.TAKE_PROFIT
    assert trade["net"] == pytest.approx(50)


def test_detail_bar_that_gaps_fills_at_its_open() -> None:
    # The second half opens at 93, under the stop at 95: 10 * (93 - 100) = -70.
    detail = np.array([[(100, 101, 99, 100), (93, 94, 92, 93)]], dtype=np.float64)
    trade = only_trade(play(market([(100, 101, 92, 93)], detail=detail, detail_ratio=2), {"stop_loss": 0.05}))
    assert (trade["reason"], trade["exit_phase"], trade["exit_price"]) == (codes.STOP_LOSS, codes.INSIDE, 93)
    assert trade["net"] == pytest.approx(-70)


def test_hole_in_the_detail_hides_no_stop() -> None:
    # The bar fell to 94; the half in which it did is missing: stopped at 95 all the same, -50.
    detail = np.array([[(100, 101, 99, 100), NONE, FLAT, FLAT]], dtype=np.float64)
    trade = only_trade(play(market([(100, 101, 94, 100), FLAT], detail=detail, detail_ratio=2), {"stop_loss": 0.05}))
    assert (trade["reason"], trade["exit_row"]) == (codes.STOP_LOSS, 0)
    assert trade["net"] == pytest.approx(-50)


@pytest.mark.parametrize(
    ("stop_order", "net"), [(codes.PESSIMISTIC, 80), (codes.OPTIMISTIC, 260), (codes.ADVERSE_FIRST, 80)]
)
def test_open_lifts_the_trail_before_the_low_meets_it(stop_order: int, net: float) -> None:
    # Open 120 lifts the trail from 90 to 108, so the low of 107 meets it: +80. The high of 140 first makes it 126,
    # above the close of 124: it must leave, at 126 at best: +260.
    found = play(market([FLAT, (120, 140, 107, 124), FLAT]), {"trailing_stop": 0.1}, stop_order=stop_order)
    trade = only_trade(found)
    assert (trade["reason"], trade["exit_row"], trade["exit_phase"]) == (codes.TRAILING_STOP, 1, codes.INSIDE)
    assert trade["net"] == pytest.approx(net)


def test_trail_that_no_path_must_meet() -> None:
    # Trail 90 of the entry, 108 of the high; low 95 first, it stays (close 110). Up to 105.56 and back: out at 95, -50.
    bars = market([(100, 120, 95, 110), (107, 109, 106, 108), FLAT])
    worst = only_trade(play(bars, {"trailing_stop": 0.1}))
    assert (worst["reason"], worst["exit_row"], worst["exit_phase"]) == (codes.TRAILING_STOP, 0, codes.INSIDE)
    assert worst["net"] == pytest.approx(-50)
    # Both others stay; the next open, 107, is through 108: 10 * 7 = +70.
    for stop_order in (codes.OPTIMISTIC, codes.ADVERSE_FIRST):
        trade = only_trade(play(bars, {"trailing_stop": 0.1}, stop_order=stop_order))
        assert (trade["reason"], trade["exit_row"], trade["exit_phase"]) == (codes.TRAILING_STOP, 1, codes.AT_OPEN)
        assert trade["net"] == pytest.approx(70)


def test_trail_above_the_close_must_be_met() -> None:
    # From 120 down to the close at 105 the trail at 108 is crossed: +80 at best, at the low of 95 -50 at worst.
    for stop_order, net in ((codes.PESSIMISTIC, -50), (codes.OPTIMISTIC, 80), (codes.ADVERSE_FIRST, 80)):
        trade = only_trade(play(market([(100, 120, 95, 105), FLAT]), {"trailing_stop": 0.1}, stop_order=stop_order))
        assert (trade["reason"], trade["exit_row"]) == (codes.TRAILING_STOP, 0)
        assert trade["net"] == pytest.approx(net)


def test_time_exit_is_at_the_open_and_waits_for_a_bar() -> None:
    # Entered at row 1 with a hold of 2: out at the open of row 3, 10 * (103 - 100) = 30.
    bar: Bar = (103, 105, 101, 104)
    trade = only_trade(play(market([FLAT, FLAT, FLAT, bar, FLAT]), {"earliest": 1, "hold": 2}))
    assert (trade["exit_row"], trade["exit_phase"], trade["reason"]) == (3, codes.AT_OPEN, codes.TIME)
    assert trade["net"] == pytest.approx(30)
    # Row 3 missing: out at the open of row 4.
    late = only_trade(play(market([FLAT, FLAT, FLAT, NONE, bar]), {"earliest": 1, "hold": 2}))
    assert (late["exit_row"], late["reason"], late["net"]) == (4, codes.TIME, pytest.approx(30))


def test_signal_exit_comes_before_time() -> None:
    trade = only_trade(play(market([FLAT, FLAT, (98, 99, 97, 98), FLAT]), {"exit_row": 2, "hold": 2}))
    assert (trade["exit_row"], trade["exit_phase"], trade["reason"]) == (2, codes.AT_OPEN, codes.SIGNAL)
    assert trade["net"] == pytest.approx(-20)


@pytest.mark.parametrize(
    ("side", "rate", "paid"), [(1.0, 0.01, 10.4), (-1.0, 0.01, -10.4), (1.0, -0.01, -10.4), (-1.0, -0.01, 10.4)]
)
def test_funding_long_pays_what_short_receives(side: float, rate: float, paid: float) -> None:
    # 10 units at the mark 104 of bar 0: 1040 * 1 % = 10.4, once; gone at the open of bar 1, back at 100.
    bars = market([(100, 105, 99, 104), FLAT, FLAT], funding=np.array([[rate, rate, rate]]))
    found = play(bars, {"side": side, "hold": 1})
    trade = only_trade(found)
    assert trade["funding"] == pytest.approx(paid)
    assert found.funding.tolist() == pytest.approx([paid, 0, 0])
    assert trade["net"] == pytest.approx(-paid)
    # Equity at the close of bar 0: 1000 + side * 10 * 4, less what was paid.
    assert found.equity.tolist() == pytest.approx([1000 + side * 40 - paid, 1000 - paid, 1000 - paid])


def test_unknown_funding_follows_the_policy() -> None:
    bars = market([FLAT, FLAT, FLAT], funding=np.array([[0.0, NAN, NAN]]))
    for side in (1.0, -1.0):
        const = play(bars, {"side": side, "hold": 2}, funding_unknown=codes.FUNDING_CONST, funding_const=0.002)
        # Paid by either side: 10 * 100 * 0.002 on bar 1; at the open of bar 2 it is gone.
        assert only_trade(const)["funding"] == pytest.approx(2)
        assert only_trade(const)["unknown_funding_bars"] == 1
    zero = play(bars, {"hold": 2}, funding_unknown=codes.FUNDING_ZERO, funding_const=0.002)
    assert (only_trade(zero)["funding"], only_trade(zero)["unknown_funding_bars"]) == (0, 1)
    assert play(bars, {"hold": 2}, funding_unknown=codes.FUNDING_ERROR).fault == (1, 0)
    assert play(bars, {"hold": 1}, funding_unknown=codes.FUNDING_ERROR).fault is None
    spot = market([FLAT, FLAT, FLAT], swap=np.array([False]), funding=np.array([[0.0, NAN, NAN]]))
    assert play(spot, {"hold": 2}, funding_unknown=codes.FUNDING_ERROR).fault is None


LEVERED = {"leverage": 10.0, "gross_cap": 10.0, "maintenance_margin": 0.04, "liquidation_fee": 0.02}


def test_liquidation_at_the_level() -> None:
    # 50 units at 100 on a margin of 500: 500 + 50 (p - 100) = 0.04 * 50 p at p = 90 / 0.96 = 93.75.
    # Profit -312.5, liquidation fee 0.02 * 50 * 93.75 = 93.75: net -406.25.
    found = play(market([FLAT, (100, 101, 93, 100), FLAT]), {"weight": 5.0}, **LEVERED)
    trade = only_trade(found)
    assert (trade["reason"], trade["exit_row"], trade["exit_phase"]) == (codes.LIQUIDATION, 1, codes.INSIDE)
    assert trade["exit_price"] == pytest.approx(93.75)
    assert trade["liquidation"] == pytest.approx(93.75)
    assert trade["net"] == pytest.approx(-406.25)
    assert found.equity.tolist() == pytest.approx([1000, 593.75, 593.75])
    # A low above the level leaves it alone.
    assert only_trade(play(market([FLAT, (100, 101, 93.8, 100)]), {"weight": 5.0}, **LEVERED))["net"] == 0
    # A short of 50 is liquidated where 500 + 50 (100 - p) = 0.04 * 50 p: p = 110 / 1.04.
    short = play(market([FLAT, (100, 106, 99, 100)]), {"weight": 5.0, "side": -1.0}, **LEVERED)
    assert only_trade(short)["exit_price"] == pytest.approx(110 / 1.04)


def test_liquidation_by_a_gap_loses_the_margin_and_no_more() -> None:
    # Open 80: 50 * -20 = -1000 and a fee of 0.02 * 50 * 80 = 80 on a margin of 500: 580 are not covered,
    # so the liquidation cost is 80 - 580 = -500 and the net is the margin, -500.
    found = play(market([FLAT, (80, 81, 79, 80), FLAT]), {"weight": 5.0}, **LEVERED)
    trade = only_trade(found)
    assert (trade["reason"], trade["exit_phase"], trade["exit_price"]) == (codes.LIQUIDATION, codes.AT_OPEN, 80)
    assert trade["gross"] == pytest.approx(-1000)
    assert trade["liquidation"] == pytest.approx(-500)
    assert trade["net"] == pytest.approx(-500)
    assert found.equity.tolist() == pytest.approx([1000, 500, 500])


def test_funding_paid_brings_the_liquidation_nearer() -> None:
    # 2 % of 5000 leaves a margin of 400: 400 + 50 (p - 100) = 2 p at p = 4600 / 48 = 95.8333.
    bars = market([FLAT, (100, 101, 95, 100), FLAT], funding=np.array([[0.02, 0.0, 0.0]]))
    trade = only_trade(play(bars, {"weight": 5.0}, **LEVERED))
    assert (trade["reason"], trade["exit_price"]) == (codes.LIQUIDATION, pytest.approx(4600 / 48))


def test_costs_of_an_entry_and_an_exit() -> None:
    # Entry: 420 at open 100, half-spread 3 % and impact 2 %: 105, so 4 units; fee 4.2, half-spread 12, impact 8.
    # Exit at the open of 120, no impact there: 116.4; fee 4.656, half-spread 14.4. Gross 4 * 20 = 80.
    bars = market([FLAT, (120, 120, 120, 120)], impact=np.array([[0.02 / np.sqrt(420), 0.0]]))
    found = play(bars, {"weight": 0.42, "hold": 1}, fee_rate=0.01, half_spread=0.03)
    trade = only_trade(found)
    assert (trade["quantity"], trade["entry_price"]) == (pytest.approx(4), pytest.approx(105))
    assert trade["exit_price"] == pytest.approx(116.4)
    assert trade["gross"] == pytest.approx(80)
    assert trade["fees"] == pytest.approx(8.856)
    assert trade["slippage"] == pytest.approx(26.4)
    assert trade["impact"] == pytest.approx(8)
    assert trade["net"] == pytest.approx(36.744)
    assert found.equity[-1] == pytest.approx(1036.744)


def test_unknown_impact_at_the_exit_is_the_entrys() -> None:
    # 0.001 * sqrt(400) is 2 %: 400 buys 400 / 102 units, which at the open of 102 are 400 again: another 2 %.
    bars = market([FLAT, (102, 102, 102, 102)], impact=np.array([[0.001, NAN]]))
    trade = only_trade(play(bars, {"weight": 0.4, "hold": 1}))
    assert trade["entry_price"] == pytest.approx(102)
    assert trade["exit_price"] == pytest.approx(102 * 0.98)


def test_capacity_cuts_and_rejects() -> None:
    cut = play(market([FLAT, FLAT], capacity=250.0), {})
    assert cut.fill("quantity").tolist() == pytest.approx([2.5, 2.5])
    assert cut.fill("cut").tolist() == [codes.CUT_CAPACITY, codes.UNCUT]
    assert play(market([FLAT, FLAT], capacity=0.0), {}).verdict.tolist() == [codes.CAPACITY_ZERO]
    assert play(market([FLAT, FLAT], capacity=NAN), {}).verdict.tolist() == [codes.LIQUIDITY_UNKNOWN]
    assert play(market([FLAT, FLAT], impact=NAN), {}).verdict.tolist() == [codes.LIQUIDITY_UNKNOWN]


def test_gross_cap_cuts_and_rejects() -> None:
    # Half of 1000 in the first; with leverage 5 cash is left, but no room under the cap for the second.
    two = market([FLAT, FLAT], [FLAT, FLAT])
    found = play(two, {}, {"column": 1}, leverage=5.0, gross_cap=0.5)
    assert found.fill("quantity").tolist() == pytest.approx([5, 5])
    assert found.fill("cut")[0] == codes.CUT_GROSS
    assert found.verdict.tolist() == [codes.ACCEPTED, codes.GROSS_CAP]


def test_cash_pays_margin_and_fee() -> None:
    # 1000 / (1000 * (1 + 0.25)) = 0.8: 800 bought for 800 and a fee of 200; sold for 800 less 200: 600.
    found = play(market([FLAT, FLAT]), {"hold": 1}, {"column": 0, "earliest": 1, "latest": 1}, fee_rate=0.25)
    assert found.fill("quantity")[0] == pytest.approx(8)
    assert found.fill("cut")[0] == codes.CUT_CASH
    assert found.equity.tolist()[0] == pytest.approx(800)
    # The exit at the open of bar 1 frees 600 for the entry there: 600 / 1.25 = 480.
    assert found.fill("reason").tolist()[:3] == [codes.ENTRY, codes.TIME, codes.ENTRY]
    assert found.fill("quantity")[2] == pytest.approx(4.8)


def test_size_is_a_share_of_equity_at_the_last_close() -> None:
    # 5 units of the first are worth 600 at the close of 120: equity 1100, half of it wanted, 500 of cash left.
    bars = market([(100, 120, 100, 120), (130, 130, 130, 130)], [FLAT, FLAT])
    found = play(bars, {"weight": 0.5}, {"weight": 0.25, "column": 1, "earliest": 1})
    assert trade_of(found, 1)["entry_notional"] == pytest.approx(275)
    more = play(bars, {"weight": 0.5}, {"weight": 0.5, "column": 1, "earliest": 1}, gross_cap=2.0)
    assert trade_of(more, 1)["entry_notional"] == pytest.approx(500)
    assert more.fill("cut").tolist()[1] == codes.CUT_CASH


def test_in_position_is_ignored_or_extends() -> None:
    bars = market([FLAT] * 6)
    first, second = {"hold": 2}, {"earliest": 1, "hold": 3}
    ignored = play(bars, first, second)
    assert ignored.verdict.tolist() == [codes.ACCEPTED, codes.IN_POSITION]
    assert only_trade(ignored)["exit_row"] == 2
    extended = play(bars, first, second, extend=True)
    assert extended.verdict.tolist() == [codes.ACCEPTED, codes.EXTENDED]
    assert only_trade(extended)["exit_row"] == 4
    against = play(bars, first, {**second, "side": -1.0}, extend=True)
    assert against.verdict.tolist() == [codes.ACCEPTED, codes.IN_POSITION]


def test_leg_that_stops_takes_its_partner_out_at_the_close() -> None:
    # 5 units each: the long stops at 95, -25; the short leaves at the close of 97, +15.
    long, short = {"weight": 0.5, "stop_loss": 0.05, "group": 0}, {"weight": 0.5, "side": -1.0, "column": 1, "group": 0}
    found = play(market([(100, 102, 94, 101), FLAT], [(100, 101, 96, 97), FLAT]), long, short)
    hedge = trade_of(found, 1)
    assert (hedge["reason"], hedge["exit_row"], hedge["exit_phase"]) == (codes.GROUP_EXIT, 0, codes.AT_CLOSE)
    assert hedge["net"] == pytest.approx(15)
    assert found.equity.tolist() == pytest.approx([990, 990])
    # Stopped by a gap at the open of bar 1: the partner leaves at the same open, 98: +10.
    gap = play(market([FLAT, (90, 91, 89, 90)], [FLAT, (98, 99, 97, 98)]), long, short)
    assert (trade_of(gap, 1)["exit_row"], trade_of(gap, 1)["exit_phase"]) == (1, codes.AT_OPEN)
    assert trade_of(gap, 1)["net"] == pytest.approx(10)
    # The partner has no bar then: it leaves at its next open, 99.
    late = play(market([FLAT, (100, 101, 94, 95), FLAT], [FLAT, NONE, (99, 99, 99, 99)]), long, short)
    hedge = trade_of(late, 1)
    assert (hedge["reason"], hedge["exit_row"], hedge["exit_phase"]) == (codes.GROUP_EXIT, 2, codes.AT_OPEN)
    assert hedge["net"] == pytest.approx(5)


def test_legs_enter_together_or_not_at_all() -> None:
    long, short = {"weight": 0.5, "group": 0}, {"weight": 0.5, "side": -1.0, "column": 1, "group": 0}
    # The first bar on which both trade is row 2.
    found = play(market([FLAT, NONE, FLAT, FLAT], [NONE, FLAT, FLAT, FLAT]), long, short)
    assert found.trade("entry_row").tolist() == [2, 2]
    # One capacity of 100 of 500 wanted scales both to a fifth.
    cut = play(market([FLAT], [FLAT], capacity=np.array([[np.inf], [100.0]])), long, short)
    assert cut.trade("entry_notional").tolist() == pytest.approx([100, 100])
    # A spot leg cannot be short, so its partner does not enter.
    spot = market([FLAT], [FLAT], swap=np.array([True, False]))
    assert play(spot, long, short).verdict.tolist() == [codes.GROUP_REJECTED, codes.SPOT_SHORT]
    assert play(spot, {**short, "group": -1}).verdict.tolist() == [codes.SPOT_SHORT]


def test_no_fill_without_a_bar() -> None:
    # Not yet listed, a bar without volume, then a bar: the fill waits for row 2 where it may.
    bars = market([NONE, FLAT, FLAT], traded=np.array([[False, False, True]]))
    assert only_trade(play(bars, {}))["entry_row"] == 2
    assert play(bars, {"latest": 1}).verdict.tolist() == [codes.NO_BAR]
    assert play(bars, {"exit_row": 2}).verdict.tolist() == [codes.EXPIRED]


def test_what_ends_is_closed_in_its_last_live_bar() -> None:
    # No bar after the first: out at its close of 104, where it could still be traded, not two dead bars later.
    dead = [(100, 105, 99, 104), NONE, NONE]
    found = play(market(dead), {})
    trade = only_trade(found)
    assert (trade["reason"], trade["exit_row"], trade["exit_phase"]) == (codes.END_OF_DATA, 0, codes.AT_CLOSE)
    assert found.equity.tolist() == pytest.approx([1040, 1040, 1040])


def test_a_delisting_ends_funding_and_frees_capital() -> None:
    # By hand: 10 coins from 100, funding of 1 % at the close of 104 paid (10.4), out at 104: 1040 - 10.4 = 1029.6. The
    # dead bars owe nothing. All of it buys the other instrument at 50: 20.592 coins, sold at 55: 1132.56.
    dead, other = [(100, 105, 99, 104), NONE, NONE], [FLAT, (50, 50, 50, 50), (50, 56, 50, 55)]
    bars = market(dead, other, funding=np.array([[0.01, 0.01, 0.01], [0, 0, 0]]), ended=np.array([True, False]))
    found = play(bars, {"column": 0}, {"column": 1, "earliest": 1})
    gone = trade_of(found, 0)
    assert (gone["reason"], gone["exit_row"], gone["funding"]) == (codes.DELISTED, 0, pytest.approx(10.4))
    assert found.equity.tolist() == pytest.approx([1029.6, 1029.6, 1132.56])
    assert found.funding.tolist() == pytest.approx([10.4, 0, 0])


def test_the_legs_of_a_group_leave_with_one_that_ends() -> None:
    dead, other = [(100, 105, 99, 104), NONE, NONE], [(100, 101, 99, 98), FLAT, FLAT]
    pair = [{"column": column, "side": side, "weight": 0.5, "group": 0} for column, side in ((0, 1.0), (1, -1.0))]
    found = play(market(dead, other, ended=np.array([True, False])), *pair)
    assert [trade_of(found, leg)["reason"] for leg in (0, 1)] == [codes.DELISTED, codes.GROUP_EXIT]
    assert [trade_of(found, leg)["exit_row"] for leg in (0, 1)] == [0, 0]


@pytest.mark.parametrize(
    ("rate", "optimistic", "paid"), [(0.01, False, 10.0), (0.01, True, 0.0), (-0.01, False, 0.0), (-0.01, True, -10.0)]
)
def test_a_stop_inside_a_long_bar_meets_settlements_in_it(rate: float, optimistic: bool, paid: float) -> None:
    # Daily bars settle three times; of those before the stop the pessimist pays all, the optimist receives all.
    bars = market([(100, 100, 90, 100), FLAT], funding=np.array([[rate, 0.0]]))
    found = play(bars, {"stop_loss": 0.05}, settles_inside=True, stop_order=int(optimistic))
    trade = only_trade(found)
    assert (trade["reason"], trade["exit_row"]) == (codes.STOP_LOSS, 0)
    assert trade["funding"] == pytest.approx(paid)
    assert found.funding[0] == pytest.approx(paid)
    assert trade["net"] == pytest.approx(-50 - paid)


def test_level_that_the_open_has_passed_exits_at_once() -> None:
    # Half-spread 2 %: bought at 102, a stop of 1 % stands at 100.98, above the open of 100: sold there for 98.
    found = play(market([(100, 110, 99, 105), FLAT]), {"stop_loss": 0.01}, half_spread=0.02)
    trade = only_trade(found)
    assert (trade["reason"], trade["exit_row"], trade["exit_phase"]) == (codes.STOP_LOSS, 0, codes.AT_OPEN)
    assert trade["net"] == pytest.approx(1000 / 102 * (98 - 102))


def test_statistics_by_hand() -> None:
    # Closes 110, 104.5, 104.5, 109.725: returns 0.1, -0.05, 0, 0.05; mean 0.025, squared deviations 0.0125 over 3;
    # downside sqrt(0.0025 / 4) = 0.025; four bars a year: times 2.
    closes = (110.0, 104.5, 104.5, 109.725)
    bars = market([(100 if row == 0 else close, 115, 99, close) for row, close in enumerate(closes)])
    found = play(bars, {}, bars_per_year=4.0)
    expected = {
        "net_return": 0.09725,
        "sharpe": 0.025 / np.sqrt(0.0125 / 3) * 2,
        "sortino": 2.0,
        "max_drawdown": 0.05,
        "trades": 1.0,
        "hit_rate": 1.0,
        "mean_trade": 0.09725,
        "exposure": 1.0,
    }
    assert dict(zip(codes.STATISTICS, found.statistics.tolist(), strict=True)) == pytest.approx(expected)


def test_nothing_traded_has_no_ratios() -> None:
    found = play(market([NONE, NONE]), {})
    assert found.statistics[codes.NET_RETURN] == 0
    assert found.statistics[codes.TRADES] == 0
    for name in (codes.SHARPE, codes.SORTINO, codes.HIT_RATE, codes.MEAN_TRADE):
        assert np.isnan(found.statistics[name])


def test_ratio_of_rounding_is_undefined() -> None:
    # Returns of 10 % on every bar: no deviation, no downside; what rounding leaves is not a Sharpe ratio.
    found = play(market([(100 * 1.1**row, 100 * 1.1 ** (row + 1), 99, 100 * 1.1 ** (row + 1)) for row in range(5)]), {})
    assert found.statistics[codes.NET_RETURN] == pytest.approx(0.61051)
    assert np.isnan(found.statistics[codes.SHARPE])
    assert np.isnan(found.statistics[codes.SORTINO])


def test_shift_goes_around_the_circle() -> None:
    # Of four bars: an intent at row 3 moved by 2 is at row 1, and holds its two bars there.
    closes = [(100 + row, 100 + row, 100 + row, 100 + row) for row in range(4)]
    orders = orders_of([{"earliest": 3, "latest": 3, "hold": 2}], shift=[2])
    trade = only_trade(recorded(orders, market(closes), RULES))
    assert (trade["entry_row"], trade["exit_row"]) == (1, 3)
    # All four shifts in one batch: entered at rows 3, 0, 1 and 2 and out two bars later, or at the end of data.
    every = orders._replace(shift=np.arange(4, dtype=np.int32))
    returns = replay_many(every, market(closes), RULES, 4, 2)[:, codes.NET_RETURN]
    assert returns.tolist() == pytest.approx([0, 2 / 100, 2 / 101, 1 / 102])
