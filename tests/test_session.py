"""A session prepares once, converts once, and answers as the functions below it do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import backtest
from backtest import Session, open_calendar, open_dataset
from backtest.base.config import RunConfig
from backtest.base.errors import UsageError
from backtest.engine import prepared as prepared_module
from backtest.engine.layout import STATISTICS
from backtest.engine.replay import replay
from backtest.scoring.evaluation import evaluate
from backtest.scoring.placebo import PlaceboPlan
from backtest.signals.strategy import Intents
from backtest.strategies import REGISTRY
from backtest.study.settings import StudyConfig
from backtest.testing import Planted, planted_effect


@pytest.fixture(scope="module")
def planted() -> Planted:
    return planted_effect(0.1, after="2h")


@pytest.fixture(scope="module")
def intents(planted: Planted) -> Intents:
    return REGISTRY["catalyst_momentum"]().decide(planted.market, planted.calendar)


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[Any]:
    calls: list[Any] = []
    inner = getattr(prepared_module, name)

    def counting(*arguments: Any) -> Any:
        calls.append(arguments)
        return inner(*arguments)

    monkeypatch.setattr(prepared_module, name, counting)
    return calls


def test_evaluate_prepares_once_and_converts_each_strategy_once(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparations, conversions = counted(monkeypatch, "kernel_bars"), counted(monkeypatch, "kernel_orders")
    session = Session(planted.market, planted.calendar)
    chosen = [strategy() for strategy in REGISTRY.values()]
    found = session.evaluate(chosen, plan=PlaceboPlan(draws=19), bootstrap=0)
    assert len(found.runs) == len(REGISTRY) > 10
    assert len(preparations) == 1
    assert len(conversions) == len(REGISTRY)
    session.replay(found.runs[0].intents)
    session.statistics(found.runs[1].intents)
    assert (len(preparations), len(conversions)) == (1, len(REGISTRY))


def test_moves_of_the_price_itself_are_neither_traded_nor_tested_unless_asked_for() -> None:
    sample, calendar = open_dataset("privacy-2025-sample"), open_calendar("privacy-2025")
    session, strategy = Session(sample, calendar), REGISTRY["catalyst_momentum"]()
    found = session.evaluate([strategy], plan=None, bootstrap=0)
    traded = set(found.runs[0].trades["catalyst_id"])
    assert traded
    assert not any(calendar[one].endogenous for one in traded)
    assert calendar.left_out in found.notes
    assert found.whole is calendar
    whole = session.evaluate([strategy], plan=None, bootstrap=0, endogenous=True)
    assert "market-2025-10-10-crash" in set(whole.runs[0].trades["catalyst_id"])
    assert calendar.left_out not in whole.notes


def test_a_session_says_what_the_functions_say(planted: Planted, intents: Intents) -> None:
    session, config = Session(planted.market, planted.calendar), RunConfig()
    by_hand = replay(planted.market, intents, config, calendar=planted.calendar)
    for run in (session.replay(intents), session.replay(REGISTRY["catalyst_momentum"]())):
        assert run.equity.equals(by_hand.equity)
        assert run.trades.equals(by_hand.trades)
        assert run.hashes == by_hand.hashes
    assert session.replay(REGISTRY["catalyst_momentum"]()).strategy == "catalyst_momentum"
    chosen = [REGISTRY["catalyst_momentum"]()]
    plan = PlaceboPlan(draws=19)
    one = session.evaluate(chosen, plan=plan, bootstrap=0)
    other = evaluate(chosen, planted.market, planted.calendar, config, plan=plan, bootstrap=0)
    assert one.cards[0].placebo == other.cards[0].placebo
    assert (
        session.study(StudyConfig(draws=30, before="12h", after=("12h",), estimation="5d", model="mean_adjusted")).notes
        is not None
    )


def test_variations_are_replays_of_changed_intents(planted: Planted, intents: Intents) -> None:
    session = Session(planted.market, planted.calendar)
    stops, holds = np.array([0.01, 0.05, np.nan]), np.array([3.0, 24.0, 48.0]) * 3_600_000
    found = session.statistics(intents, stop_loss=stops, hold_ms=holds, weight=0.5)
    assert list(found.columns) == list(STATISTICS)
    assert len(found) == 3
    for place, (stop, hold) in enumerate(zip(stops, holds, strict=True)):
        rows = tuple(replace(row, stop_loss=float(stop), hold_ms=int(hold), weight=0.5) for row in intents.rows)
        run = session.replay(Intents(rows))
        assert found["net_return"][place] == run.equity.iloc[-1] / session.config.capital - 1.0
        assert found["trades"][place] == len(run.trades)
    assert found["net_return"].nunique() == 3


def test_blocks_are_the_whole_in_parts(planted: Planted, intents: Intents) -> None:
    session = Session(planted.market, planted.calendar)
    stops = np.linspace(0.01, 0.2, 50)
    whole = session.statistics(intents, stop_loss=stops).to_numpy()
    parts = list(session.statistics_by_block(intents, 7, stop_loss=stops))
    assert [len(part) for part in parts] == [7] * 7 + [1]
    assert np.array_equal(np.concatenate(parts), whole, equal_nan=True)
    shifted = session.statistics(intents, shift=np.arange(5))
    assert shifted.iloc[0].equals(session.statistics(intents).iloc[0])
    each = np.tile(stops[:3, None], (1, len(intents)))
    assert session.statistics(intents, stop_loss=each).equals(session.statistics(intents, stop_loss=stops[:3]))


@pytest.mark.parametrize(
    ("varied", "message"),
    [
        ({"stop": 0.1}, "'stop' cannot be varied; did you mean 'stop_loss'"),
        ({"stop_loss": [0.1, 0.2], "weight": [1.0, 2.0, 3.0]}, "weight has 3 variations, others have 2"),
        ({"stop_loss": np.ones((2, 99))}, r"stop_loss has shape \(2, 99\): give a value, V values, or"),
        ({"weight": [0.5, -1.0]}, "weight = -1 is out of range: give finite values above 0"),
        ({"hold_ms": [0.0]}, "hold_ms = 0 is out of range"),
        ({"stop_loss": "wide"}, "stop_loss holds something other than numbers"),
        ({"weight": []}, r"weight has shape \(0,\)"),
    ],
)
def test_a_variation_that_cannot_be_is_refused(planted: Planted, intents: Intents, varied: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Session(planted.market, planted.calendar).statistics(intents, **varied)


def test_tables_are_built_when_asked_for(planted: Planted, intents: Intents) -> None:
    run = backtest.replay(planted.market, intents, RunConfig(), calendar=planted.calendar)
    assert "trades" not in vars(run)
    assert run.trades is run.trades
    assert "trades" in vars(run)
