"""Several targets, second stages, late targets, scale-in, reversal, tiers and steps, each by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from backtest.base.config import load_config
from backtest.base.errors import ConfigError, MarketError
from backtest.engine.replay import Run, replay
from backtest.market.record import Market
from backtest.report.tables import trade_table
from backtest.signals.strategy import Exit, Intent, Intents
from tests.engine.test_orders import FLAT, FREE, HOUR, ZEC, market_of, run_of


def several(market: Market, *rows: Intent, exits: tuple[Exit, ...] = (), **settings: Any) -> Run:
    return replay(market, Intents(rows, exits=exits), load_config(**{"capital": 1000.0, **FREE, **settings}))


def an_intent(market: Market, row: int = 1, **changes: Any) -> Intent:
    return Intent(**{"instrument": ZEC, "decided_at_ms": int(market.open_ms[row]), **changes})


def ends(run: Run) -> list[tuple[str, float, float]]:
    return [
        (one["reason"], pytest.approx(one["exit_price"]), pytest.approx(one["net"]))
        for one in run.trades.to_dict("records")
    ]


SCALED = {"targets": ((0.05, 0.5), (0.10, 0.25)), "break_even": 0.05, "stop_loss": 0.04}


def test_two_targets_and_a_break_even_stop() -> None:
    # Ten coins at 100: five leave at 105, two and a half at 110, the last two and a half at the fill of 100 again.
    market = market_of(FLAT, (101, 106, 101, 106), (106, 111, 105, 108), (108, 108, 99, 99), FLAT)
    run = run_of(market, **SCALED)
    assert ends(run) == [("take_profit", 105, 25), ("take_profit", 110, 25), ("trailing_stop", 100, 0)]
    assert run.equity.iloc[-1] == pytest.approx(1050)
    assert run.trades["quantity"].tolist() == pytest.approx([5, 2.5, 2.5])
    assert not run.trades["ambiguous"].any()
    # Before the first target the stop holds for all of it.
    assert [one[:2] for one in ends(run_of(market_of(FLAT, (100, 101, 95, 97)), **SCALED))] == [("stop_loss", 96)] * 3


def test_a_bar_that_reaches_target_and_stop_leaves_each_part_its_own_interval() -> None:
    run = run_of(market_of(FLAT, (100, 106, 95, 100)), **SCALED)
    assert run.trades["reason"].tolist() == ["stop_loss"] * 3
    assert run.trades["ambiguous"].all()
    # 5 coins: -4 or +5 each; 2.5 coins: the stop, or break-even after 105 and then the close at 100 stays past it.
    assert run.trades["net_low"].tolist() == pytest.approx([-20, -10, -10])
    assert run.trades["net_high"].tolist() == pytest.approx([25, 0, 0])
    assert (run.bounds.net_low, run.bounds.net_high) == (pytest.approx(-40), pytest.approx(25))
    assert not run.bounds.exact


def test_parts_share_volume_and_pay_the_impact_of_the_whole_order() -> None:
    market = market_of(*[(100, 101, 99, 100 + 0.1 * (row % 3)) for row in range(60)], FLAT, FLAT)
    costs = {"impact": 1.0, "participation": 1e-5, "capital": 1e6, "liquidity_window": "2d"}
    whole = several(market, an_intent(market, 50), **costs)
    parts = several(market, an_intent(market, 50, targets=((0.5, 0.5),)), **costs)
    assert whole.trades["granted"].iloc[0] < 1
    assert parts.trades["granted"].tolist() == pytest.approx([whole.trades["granted"].iloc[0]] * 2)
    assert parts.trades["quantity"].sum() == pytest.approx(whole.trades["quantity"].iloc[0])
    assert parts.costs.net == pytest.approx(whole.costs.net)
    assert parts.costs.impact == pytest.approx(whole.costs.impact) != 0


@pytest.mark.parametrize(
    ("bars", "entry", "expected"),
    [
        # The trail of 10 % is at 99 under a peak of 110; from +8 % on one of 2 % is at 107.8.
        (
            [FLAT, (110, 110, 110, 110), (109, 109, 105, 106)],
            {"trailing_stop": 0.1, "second_trailing_stop": 0.02, "second_activation": 0.08},
            ("trailing_stop", 107.8),
        ),
        # Short of +8 % the first trail holds.
        (
            [FLAT, (107, 107, 107, 107), (106, 106, 95, 96)],
            {"trailing_stop": 0.1, "second_trailing_stop": 0.02, "second_activation": 0.08},
            ("trailing_stop", 96.3),
        ),
        # A short: break-even after a fall of 5 %.
        ([FLAT, (94, 94, 94, 94), (95, 103, 95, 102)], {"side": -1, "break_even": 0.05}, ("trailing_stop", 100)),
        # From the second hour on 2 % are enough: reached at an open beyond it.
        ([(100, 102, 99, 101), (103, 104, 102, 103)], {"take_profit": 0.1, "late_take_profit": 0.02, "late_ms": HOUR},
         ("take_profit", 103)),
        # A late target may be a loss.
        ([(100, 100, 97, 98), (98, 98, 97, 98)], {"late_take_profit": -0.03, "late_ms": HOUR}, ("take_profit", 98)),
    ],
)  # fmt: skip
def test_levels_that_follow_and_targets_that_fall(
    bars: list[Any], entry: dict[str, Any], expected: tuple[str, float]
) -> None:
    run = run_of(market_of(*bars, FLAT), **entry)
    assert [one[:2] for one in ends(run)] == [expected]


@pytest.mark.parametrize(
    ("bar", "expected"),
    [
        ((100, 105, 99, 101), ("end_of_data", 101.0, 0.0)),  # Touched only.
        ((100, 105.5, 99, 101), ("take_profit", 105.0, 10 * 105 * 0.001)),
        ((107, 108, 106, 107), ("take_profit", 105.0, 10 * 105 * 0.001)),  # Not better than it rested.
    ],
)
def test_a_target_that_rests_is_traded_through_and_pays_the_maker(bar: Any, expected: tuple[str, float, float]) -> None:
    settings = {"target_orders": "limit", "maker_fee_rate": 0.001, "half_spread": 0.0}
    run = run_of(market_of(FLAT, bar), take_profit=0.05, settings=settings)
    trade = run.trades.iloc[0]
    assert (trade["reason"], pytest.approx(trade["exit_price"]), pytest.approx(trade["fees"])) == expected


def test_scale_in_opens_a_second_position_with_exits_of_its_own() -> None:
    market = market_of(FLAT, FLAT, (100, 104, 100, 104), (104, 104, 103, 103))
    rows = (an_intent(market, weight=0.4, take_profit=0.03), an_intent(market, 2, weight=0.4))
    run = several(market, *rows, in_position="add")
    assert ends(run) == [("take_profit", 103, 12), ("end_of_data", 103, 12)]
    assert several(market, *rows).rejected["reason"].tolist() == ["IN_POSITION"]
    other = (rows[0], replace(rows[1], side=-1))
    assert several(market, *other, in_position="add").rejected["reason"].tolist() == ["IN_POSITION"]


def test_a_reversal_leaves_and_enters_at_one_open() -> None:
    market = market_of(FLAT, (105, 106, 104, 105), (100, 100, 98, 98))
    turn = an_intent(market, 2, side=-1, notional=1000.0)
    run = several(
        market,
        an_intent(market, notional=1000.0),
        turn,
        exits=(Exit(instrument=ZEC, decided_at_ms=turn.decided_at_ms),),
    )
    # Ten coins 100 -> 105, then 1000 / 105 of them short 105 -> 98.
    assert ends(run) == [("signal", 105, 50), ("end_of_data", 98, 1000 / 105 * 7)]
    assert run.fills["bar"].iloc[1] == run.fills["bar"].iloc[2]


@pytest.mark.parametrize(
    ("side", "weight", "level"),
    [
        # In the first tier: 10 coins on a margin of 100: (100 - 10) / (1 - 0.01).
        (1, 1.0, 90 / 0.99),
        # 100 coins: 10,000 lie in the second tier, 0.05 less 4,000 * 0.04: (100 - (1000 + 160) / 100) / 0.95.
        (1, 10.0, (100 - 11.6) / 0.95),
        # Short of 100 coins: (100 + 11.6) / 1.05.
        (-1, 10.0, 111.6 / 1.05),
    ],
)
def test_maintenance_in_two_tiers(side: int, weight: float, level: float) -> None:
    market = market_of(FLAT, (100, 150, 50, 100))
    tiered = replace(market, instruments=(replace(market.instruments[0], tiers=((0, 0.01), (4000, 0.05))),))
    settings = {"leverage": 10.0, "gross_cap": 10.0, "liquidation_fee": 0.0, "maintenance_margin": 0.02}
    run = run_of(tiered, side=side, weight=weight, settings=settings)
    assert run.fills["reason"].tolist() == ["entry", "liquidation"]
    assert run.fills["reference"].iloc[1] == pytest.approx(level)


def test_steps_of_quantity_and_price_and_the_least_order() -> None:
    market = market_of(FLAT, (100, 106, 94, 100))

    def with_rules(**rules: float) -> Market:
        return replace(market, instruments=(replace(market.instruments[0], **rules),))

    assert run_of(with_rules(lot=3.0)).trades["quantity"].tolist() == [9.0]
    assert run_of(with_rules(lot=11.0)).rejected["reason"].tolist() == ["TOO_SMALL"]
    assert run_of(with_rules(least_notional=1000.5)).rejected["reason"].tolist() == ["TOO_SMALL"]
    assert len(run_of(with_rules(least_notional=1000.0)).trades) == 1
    # A stop at 96.5 on a tick of 2 lies at 96, a target of 103 at 104.
    assert run_of(with_rules(tick=2.0), stop_loss=0.035).trades["exit_price"].tolist() == [96.0]
    upward = {"take_profit": 0.03, "settings": {"stop_order": "optimistic"}}
    assert run_of(with_rules(tick=2.0), **upward).trades["exit_price"].tolist() == [104.0]
    assert run_of(market, **upward).trades["exit_price"].tolist() == [103.0]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"targets": ((0.05, 0.7), (0.1, 0.7))}, "add up to more than 1"),
        ({"targets": ((0.05, 0.5),), "group": "pair"}, "leaves together, parts of an order do not"),
        ({"targets": ((1.5, 0.5),), "side": -1}, "must be a reachable gain"),
        ({"late_take_profit": 0.1}, "need each other"),
        ({"second_trailing_stop": 0.1}, "need each other"),
        ({"break_even": -0.1}, "break_even = -0.1 must be a positive share"),
    ],
)
def test_orders_that_nobody_can_mean_are_refused(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run_of(market_of(FLAT), **entry)


def test_tiers_that_fall_are_refused() -> None:
    with pytest.raises(MarketError, match="must begin at a notional of 0 and rise"):
        replace(market_of(FLAT).instruments[0], tiers=((0, 0.05), (100, 0.01)))


def test_exits_beyond_the_volume_of_their_bar_are_named() -> None:
    market = market_of(*[(100, 101, 99, 100 + 0.1 * (row % 3)) for row in range(60)], FLAT, FLAT)
    volume = np.array(market.volume)
    volume[30:] = 1.0
    thin = replace(market, volume=volume)
    dry, wet = (several(one, an_intent(one, 30), participation=0.1, liquidity_window="1d") for one in (thin, market))
    assert any("1 of 1 exits took more than 0.1 of their bar's volume" in note for note in dry.notes)
    assert not any("exits took more" in note for note in wet.notes)
    # 10,000 of money leave through a bar of whose 100 of volume a tenth may be taken.
    load = dry.trades["exit_load"].tolist()
    assert load == pytest.approx([dry.trades["quantity"].iloc[0] * 100 / 10.0], rel=0.02)
    assert load[0] > 1 > wet.trades["exit_load"].iloc[0]
    for run, marked in ((dry, True), (wet, False)):
        console = Console(width=100)
        with console.capture() as told:
            console.print(trade_table(run))
        assert ("end!" in told.get()) == marked
        assert ("! leaves with more than participation = 0.1" in told.get()) == marked
