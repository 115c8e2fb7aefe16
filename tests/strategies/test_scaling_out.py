"""Exits in stages as parameters of every strategy that trades alone: scale-out, break-even, a second trail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from backtest.base.config import load_config
from backtest.base.errors import ConfigError
from backtest.catalysts.reading import open_calendar
from backtest.catalysts.record import Calendar
from backtest.engine.prepared import prepare
from backtest.engine.replay import replay
from backtest.market.dataset import open_dataset
from backtest.market.record import Market
from backtest.scoring.draws import subject_of
from backtest.signals.audit import audit
from backtest.signals.strategy import Intents
from backtest.strategies import REGISTRY

STAGED = {"scale_out": 0.1, "break_even": 0.1, "second_trailing_stop": 0.05, "second_activation": 0.2}


@pytest.fixture(scope="module")
def market() -> Market:
    return open_dataset("privacy-2025-sample")


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return open_calendar("privacy-2025")


def test_half_leaves_at_the_first_target_and_the_rest_no_worse_than_the_fill(
    market: Market, calendar: Calendar
) -> None:
    plain, staged = (REGISTRY["catalyst_momentum"](given) for given in ({}, STAGED))
    config = load_config(fee_rate=0.0, half_spread=0.0, impact=0.0, funding_unknown="zero")
    whole, parts = (replay(market, one.decide(market, calendar), config) for one in (plain, staged))
    assert len(parts.intents) == 2 * len(whole.intents)
    ends = parts.trades.groupby(["catalyst_id", "instrument"])
    halves = [rows for _, rows in ends if "take_profit" in set(rows["reason"])]
    assert len(halves) > 3
    for rows in halves:
        first, rest = (rows[rows["reason"] == "take_profit"], rows[rows["reason"] != "take_profit"])
        assert first["captured"].to_numpy() == pytest.approx(0.1, abs=0.02)
        followed = rest[rest["reason"] == "trailing_stop"]
        # Left on a stop that had moved to the fill; a gap may pass it.
        assert (followed["captured"] > -0.02).all()
        assert rows["quantity"].nunique() == 1


def test_both_halves_move_together_in_a_placebo(market: Market, calendar: Calendar) -> None:
    decided = REGISTRY["catalyst_momentum"](STAGED).decide(market, calendar)
    # Without the name of a catalyst, which would hold them together too.
    intents = Intents(tuple(replace(row, catalyst_id="") for row in decided.rows))
    unit = subject_of(intents, prepare(market, load_config())).unit
    moved: dict[str, set[int]] = {}
    for row, of in zip(intents.rows, unit.tolist(), strict=True):
        moved.setdefault(row.part_of, set()).add(of)
    assert len(moved) == len(intents) / 2 > 10
    assert {len(units) for units in moved.values()} == {1}
    assert len(set(unit.tolist())) == len(moved)


def test_the_audit_finds_nothing_in_it(market: Market, calendar: Calendar) -> None:
    assert audit(REGISTRY["catalyst_momentum"](STAGED), market, calendar, cuts=3).verdict == "clean"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"second_trailing_stop": 0.05}, "second_trailing_stop = 0.05 and second_activation = 0 need each other"),
        ({"second_activation": 0.05}, "second_trailing_stop = 0 and second_activation = 0.05 need each other"),
    ],
)
def test_a_stage_without_its_beginning_is_refused(given: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        REGISTRY["catalyst_momentum"](given)


def test_legs_that_leave_together_have_no_parts(market: Market, calendar: Calendar) -> None:
    pair: Callable[..., object] = REGISTRY["relative_value"]({"scale_out": 0.1}).decide
    with pytest.raises(ConfigError, match="leaves together, parts of an order do not"):
        pair(market, calendar)
