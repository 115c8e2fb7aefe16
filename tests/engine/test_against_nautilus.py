"""nautilus_trader's limit, stop and margin cases on bars, from `tools/nautilus_cases.py`; each difference is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backtest.base.config import load_config
from backtest.engine.replay import replay
from backtest.engine.run import Run
from backtest.market.instrument_file import ruled
from backtest.signals.strategy import Intent, Intents
from tests.engine.cases import Case, case, replayed
from tests.engine.test_against_backtesting_py import Trade, sized, trades_of
from tests.engine.test_orders import FREE, ZEC, market_of

RECORD = json.loads(Path(__file__).with_name("nautilus_cases.json").read_text())

TOUCH = "a limit is filled when a bar trades through it; nautilus_trader fills it where touched"
AT_THE_OPEN = "a limit that the price has passed when it arrives fills at the open; nautilus_trader at its own price"
GAP = "a stop that an open has passed fills at the open; nautilus_trader at its level, which nobody traded"
HIGH_FIRST = "the worst path decides in one bar (`stop_order`); nautilus_trader reads open, high, low, close"
IN_ITS_BAR = "after a fill inside a bar the rest of that bar counts; nautilus_trader sends exits after the bar"

DIFFER: dict[str, tuple[str, tuple[Trade, ...]]] = {
    "limit touched only": (TOUCH, ()),
    "target touched only": (TOUCH, ((1, 3, 100, 100, 100),)),
    "limit passed when it arrives": (AT_THE_OPEN, ((1, 3, 93, 100, 100),)),
    "stop entry passed by an open": (GAP, ((1, 3, 107, 100, 100),)),
    "stop passed by an open": (GAP, ((1, 2, 100, 93, 100),)),
    "stop and target in one bar": (HIGH_FIRST, ((1, 2, 100, 95, 100),)),
    "limit, its stop in its bar": (IN_ITS_BAR, ((1, 1, 95, 91.2, 100),)),
    "stop entry, then its stop": (IN_ITS_BAR, ((1, 1, 105, 100.8, 100),)),
}


def theirs(one: dict[str, Any]) -> list[Trade]:
    """Their trades; what they fill at the close of a bar stands at the open of the next one, at the same price."""
    order, found = one["order"], []
    for entry, left, *rest in one["trades"]:
        at_market = not {"limit", "stop_entry"} & order.keys()
        found.append((entry + at_market, left + ("until" in order), *rest))
    return found


def case_of(one: dict[str, Any]) -> Case:
    given = dict(one["order"])
    if "expires" in given:
        given["expires_ms"] = int(given.pop("expires") * 3_600_000)
    why, ours = DIFFER.get(one["name"], ("", None))
    bars = tuple(tuple(row) for row in one["bars"])
    return case(one["name"], bars, given, *theirs(one), ours=ours, why=why)


CASES = [case_of(one) for one in RECORD["orders"]]


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_an_order_of_nautilus_trader(one: Case) -> None:
    found = trades_of(replayed(one, sized, capital=1e6, target_orders="limit"))
    assert len(found) == len(one.expected)
    for trade, wanted in zip(found, one.expected, strict=True):
        assert trade[:2] == wanted[:2]
        assert trade[2:] == pytest.approx(wanted[2:])


def test_every_difference_from_nautilus_trader_has_its_convention() -> None:
    assert RECORD["made_by"] == "tools/nautilus_cases.py with nautilus_trader 1.221.0"
    differ = [one for one in CASES if one.ours is not None]
    assert (len(CASES), len(differ)) == (28, len(DIFFER))
    for one in differ:
        assert one.why
        assert one.ours != one.theirs


def levered(one: dict[str, Any], bars: list[Any], tiers: str = "", folder: Path | None = None) -> Run:
    market = market_of(*(tuple(row) for row in bars))
    if folder:
        (folder / "rules.toml").write_text(f'["{ZEC}"]\ntiers = {tiers}\n')
        market = ruled(market, str(folder / "rules.toml"))
    side = 1 if one["units"] > 0 else -1
    intent = Intent(instrument=ZEC, decided_at_ms=int(market.open_ms[1]), side=side, notional=100.0 * abs(one["units"]))
    settings = {**FREE, "leverage": one["leverage"], "maintenance_margin": one["maintenance"], "liquidation_fee": 0.0}
    return replay(market, Intents((intent,)), load_config(**{**settings, "capital": 1e6, "gross_cap": 100.0}))


def spare(one: dict[str, Any], price: float) -> float:
    """What is left of the margin at a price."""
    return float(100.0 * abs(one["units"]) / one["leverage"] + one["units"] * (price - 100.0))


@pytest.mark.parametrize("one", RECORD["margins"], ids=lambda one: one["name"])
def test_a_position_is_liquidated_where_its_margin_is_the_maintenance_of_nautilus_trader(one: dict[str, Any]) -> None:
    # Theirs is told at 100 and is proportional to the price; bars that go far enough reach the level.
    far = [[100, 100, 60, 100]] if one["units"] > 0 else [[100, 140, 100, 100]]
    trade = levered(one, [[100, 101, 99, 100], *far]).trades.iloc[0]
    assert trade["reason"] == "liquidation"
    level = float(trade["exit_price"])
    assert spare(one, level) == pytest.approx(one["margin"]["maintenance"] * level / 100.0)


@pytest.mark.parametrize(
    "one", [one for one in RECORD["margins"] if "through" in one["name"]], ids=lambda one: one["name"]
)
def test_what_nautilus_trader_holds_through_its_maintenance_we_liquidate(one: dict[str, Any]) -> None:
    # A position is liquidated where its margin is used up; on bars nautilus_trader liquidates nothing.
    (kept,) = one["trades"]
    assert kept[1] == len(one["bars"])
    trade = levered(one, one["bars"]).trades.iloc[0]
    assert trade["reason"] == "liquidation"
    assert trade["exit_price"] == pytest.approx(8_000 / 98 if one["units"] > 0 else 11_000 / 102)


def test_tiers_take_off_what_a_lower_rate_leaves(tmp_path: Path) -> None:
    (one,) = [one for one in RECORD["margins"] if "tier" in one["name"]]
    assert one["margin"]["maintenance"] == 2_500
    # A venue's rate holds from its tier on; nautilus_trader has one rate of an instrument for all of a position.
    tiers = "[[0, 0.02], [50000, 0.025]]"
    trade = levered(one, [[100, 101, 99, 100], [100, 100, 60, 100]], tiers, tmp_path).trades.iloc[0]
    # From 50,000 on 2.5 % less 50,000 * 0.5 %: 20,000 + 1,000 (p - 100) = 25 p - 250.
    level = 79_750 / 975
    assert trade["exit_price"] == pytest.approx(level)
    assert spare(one, level) == pytest.approx(one["margin"]["maintenance"] * level / 100.0 - 250)
