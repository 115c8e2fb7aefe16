"""One contract for every registered strategy; a new one gets it by being registered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backtest.catalysts.record import Calendar, open_calendar
from backtest.catalysts.timing import known_at_ms
from backtest.config import TimeRange
from backtest.errors import ConfigError
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.record import PANELS, Market
from backtest.signals.strategy import Intents, Strategy
from strategies import REGISTRY


@pytest.fixture(scope="module")
def market() -> Market:
    return open_dataset(default_dataset())


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


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.73, 0.9])
def test_decisions_do_not_change_when_only_the_future_does(
    strategy: Strategy[Any], market: Market, calendar: Calendar, share: float
) -> None:
    cut = market.start_ms + int(share * len(market.index)) * market.bar_ms
    row = market.bar_at_or_after(cut)
    noise = np.random.default_rng(1).uniform(0.5, 2.0, (len(market.index) - row, len(market.symbols)))
    wrong = {name: np.vstack((getattr(market, name)[:row], getattr(market, name)[row:] * noise)) for name in PANELS}
    known = tuple(one for one in calendar if (known_at_ms(one) or 0) <= cut)
    whole = [one for one in strategy.decide(market, calendar).rows if one.decided_at_ms <= cut]
    corrupted = strategy.decide(replace(market, **wrong), Calendar("known", known)).rows
    short = strategy.decide(market.between(TimeRange(None, cut)), Calendar("known", known)).rows
    assert repr([one for one in corrupted if one.decided_at_ms <= cut]) == repr(whole)
    before = [one for one in whole if one.decided_at_ms < cut]
    assert repr([one for one in short if one.decided_at_ms < cut]) == repr(before)


def test_momentum_trades_each_timed_catalyst_with_a_direction_when_it_is_known(
    market: Market, calendar: Calendar
) -> None:
    intents = REGISTRY["catalyst_momentum"]().decide(market, calendar)
    timed = [one for one in calendar if one.timed]
    assert len(intents) == sum(len(one.assets) for one in timed) == 17
    for row in intents.rows:
        one = calendar[row.catalyst_id]
        assert row.decided_at_ms == known_at_ms(one)
        assert row.side == one.direction
        assert row.instrument == f"{one.assets[0]}/USDT:USDT"


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
