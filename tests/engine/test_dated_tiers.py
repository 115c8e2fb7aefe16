"""Tiers that change while a position is held, and leverage that the tiers in force do not allow, each by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backtest.engine.costs import steps_of
from backtest.engine.replay import Run
from backtest.market.instrument import Change, Tier
from backtest.market.record import Market
from tests.engine.test_orders import FLAT, ZEC, market_of, run_of
from tests.engine.test_positions import an_intent, several

LOW: tuple[Tier, ...] = ((0.0, 0.01),)
HIGH: tuple[Tier, ...] = ((0.0, 0.01), (4000.0, 0.05))
FREE = {"leverage": 10.0, "gross_cap": 20.0, "liquidation_fee": 0.0, "maintenance_margin": 0.02}


def changing(
    market: Market, *changes: tuple[int, tuple[Tier, ...]], tiers: tuple[Tier, ...] = LOW, **more: Any
) -> Market:
    """The market with tiers that change at the opens of these rows."""
    at: tuple[Change, ...] = tuple((int(market.open_ms[row]), now, ()) for row, now in changes)
    return replace(market, instruments=(replace(market.instruments[0], tiers=tiers, changes=at, **more),))


def held(market: Market, side: int = 1, **settings: Any) -> Run:
    return run_of(market, side=side, weight=10.0, settings={**FREE, **settings})


def ends(run: Run) -> list[list[Any]]:
    return run.trades[["reason", "exit_phase", "exit_price"]].to_numpy().tolist()


# 100 coins at 100 on a margin of 1000. Under LOW a long is liquidated at (100 - 10) / 0.99 = 90.91; under HIGH, whose
# second tier deducts 4,000 * 0.04 = 160, at (100 - 11.6) / 0.95 = 93.05.
DIP = (100, 100, 92, 95)


def test_a_position_is_judged_by_the_tiers_of_its_own_bar() -> None:
    market = market_of(FLAT, DIP, FLAT, DIP, FLAT)
    assert ends(held(changing(market))) == [["end_of_data", "close", 100.0]]
    assert ends(held(changing(market, tiers=HIGH))) == [["liquidation", "inside", pytest.approx(88.4 / 0.95)]]
    # Raised from row 3 on: the dip of row 2 is survived, that of row 4 is not.
    raised = held(changing(market, (3, HIGH)))
    assert ends(raised) == [["liquidation", "inside", pytest.approx(88.4 / 0.95)]]
    assert raised.trades["exit_time"].iloc[0] == market.index[4]
    assert raised.trades["net"].iloc[0] == pytest.approx(100 * (88.4 / 0.95 - 100))
    # Lowered from row 3 on, entered after the first dip: the second one is survived.
    late = several(changing(market, (3, LOW), tiers=HIGH), an_intent(market, 3, weight=10.0), **FREE)
    assert ends(late) == [["end_of_data", "close", 100.0]]


def test_a_change_of_tiers_liquidates_at_the_open_of_its_bar_what_they_no_longer_carry() -> None:
    # The close of row 2 and the open of row 3 are 92: above 90.91, below 93.05. Nothing moved but the tiers.
    market = market_of(FLAT, (100, 100, 92, 92), (92, 100, 92, 100), FLAT)
    assert ends(held(changing(market))) == [["end_of_data", "close", 100.0]]
    run = held(changing(market, (3, HIGH)))
    assert ends(run) == [["liquidation", "open", 92.0]]
    assert run.trades["exit_time"].iloc[0] == market.index[3]
    # Certain on every path: the interval is that one end.
    assert not run.trades["ambiguous"].iloc[0]
    assert run.trades["net_low"].iloc[0] == run.trades["net_high"].iloc[0] == pytest.approx(-800.0)
    # An instant inside a bar is in force from the next open on.
    inside = replace(market.instruments[0], tiers=LOW, changes=((int(market.open_ms[2]) + 60_000, HIGH, ()),))
    assert ends(held(replace(market, instruments=(inside,)))) == [["liquidation", "open", 92.0]]


def test_a_change_on_a_bar_without_trades_acts_at_the_next_open() -> None:
    market = market_of(FLAT, (100, 100, 92, 92), (92, 92, 92, 92), (92, 92, 92, 92), FLAT)
    volume = np.array(market.volume)
    volume[3] = 0.0
    run = held(changing(replace(market, volume=volume), (3, HIGH)))
    assert ends(run) == [["liquidation", "open", 92.0]]
    assert run.trades["exit_time"].iloc[0] == market.index[4]


def test_a_short_under_raised_tiers() -> None:
    # (100 + 10) / 1.01 = 108.91 before, (100 + 11.6) / 1.05 = 106.29 after.
    rise = (100, 108, 100, 100)
    market = market_of(FLAT, rise, FLAT, rise, FLAT)
    run = held(changing(market, (3, HIGH)), side=-1)
    assert ends(run) == [["liquidation", "inside", pytest.approx(111.6 / 1.05)]]
    assert run.trades["exit_time"].iloc[0] == market.index[4]


def test_funding_keeps_the_tiers_of_its_bar_and_the_change_reads_the_margin_that_is_left() -> None:
    # 1 % of 10,000 is paid at the close of row 2: (100 - (900 + 160) / 100) / 0.95 = 94.11 from row 3 on.
    market = market_of(FLAT, FLAT, FLAT, (100, 100, 94.05, 100), FLAT)
    funding = np.array(market.funding)
    funding[2] = 0.01
    paid = replace(market, funding=funding)
    assert ends(held(changing(market, (3, HIGH)))) == [["end_of_data", "close", 100.0]]
    assert ends(held(changing(paid))) == [["end_of_data", "close", 100.0]]
    assert ends(held(changing(paid, (3, HIGH)))) == [["liquidation", "inside", pytest.approx(89.4 / 0.95)]]


def test_leverage_above_the_most_in_force_at_the_entry_is_refused() -> None:
    # 20 times are allowed below 10,001 of notional until row 3, and below 5,000 from then on.
    market = market_of(FLAT, FLAT, FLAT, FLAT)
    most, later = ((0.0, 20.0), (10_001.0, 5.0)), ((0.0, 20.0), (5000.0, 5.0))
    since = int(market.open_ms[3])
    ruled = changing(market, tiers=(), most_leverage=most)
    changed = replace(market, instruments=(replace(ruled.instruments[0], changes=((since, (), later),)),))

    def told(row: int, weight: float, **settings: Any) -> list[str]:
        run = several(changed, an_intent(market, row, weight=weight), **{**FREE, **settings})
        return [*run.trades["reason"], *run.rejected["reason"]]

    assert told(1, 10.0) == ["end_of_data"]
    assert told(1, 10.0, leverage=20.0) == ["end_of_data"]
    assert told(1, 10.0, leverage=21.0) == ["LEVERAGE"]
    assert told(1, 10.002, leverage=20.0) == ["LEVERAGE"]
    assert told(3, 10.0) == ["LEVERAGE"]
    assert told(3, 4.999) == ["end_of_data"]
    assert told(3, 5.0) == ["LEVERAGE"]
    assert told(3, 5.0, leverage=5.0) == ["end_of_data"]
    # A position that is added to another counts with it.
    rows = (an_intent(market, 1, weight=5.0), an_intent(market, 2, weight=6.0))
    assert several(changed, *rows, in_position="add", **{**FREE, "leverage": 20.0}).rejected["reason"].tolist() == [
        "LEVERAGE"
    ]


def test_a_margin_below_the_maintenance_margin_at_the_entry_is_refused() -> None:
    # 100 coins need 10,000 * 0.125 - 4,000 * 0.115 = 790: a margin of 1000 is enough, one of 500 at 20 times is not.
    tiers = ((0.0, 0.01), (4000.0, 0.125))
    market = changing(market_of(FLAT, FLAT), tiers=tiers)
    assert held(market).rejected.empty
    twice = held(market, leverage=20.0)
    assert twice.rejected["reason"].tolist() == ["LEVERAGE"]
    assert twice.fills.empty


def test_versions_of_several_instruments_share_their_rows() -> None:
    market = market_of(FLAT, FLAT, FLAT)
    one = market.instruments[0]
    first, second = (int(market.open_ms[row]) for row in (1, 3))
    pair = replace(
        market,
        instruments=(
            replace(one, tiers=LOW, changes=((first, HIGH, ((0.0, 50.0),)),)),
            replace(one, symbol="DASH/USDT:USDT", base="DASH", changes=((second, LOW, ()), (market.end_ms, HIGH, ()))),
        ),
        **{name: np.repeat(values, 2, axis=1) for name, values in market.panels.items()},
    )
    assert pair.symbols == (ZEC, "DASH/USDT:USDT")
    found = steps_of(pair)
    assert found["tier_rows"].tolist() == [0, 1, 3]
    rates = found["tiers"][:, :, -1, 0]
    np.testing.assert_array_equal(rates, [[0.01, np.nan], [0.05, np.nan], [0.05, 0.01]])
    np.testing.assert_array_equal(found["most_leverage"][:, 0, 0], [[np.inf, np.inf], [0.0, 50.0], [0.0, 50.0]])
    assert np.isinf(found["most_leverage"][:, 1]).all()
