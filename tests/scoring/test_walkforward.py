"""Cuts by hand; choices that saw nothing of their test; and what they earned as one replay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backtest.base.errors import UsageError
from backtest.base.units import TimeRange
from backtest.catalysts.record import Calendar
from backtest.engine.layout import NET_RETURN
from backtest.engine.prepared import prepare
from backtest.engine.replay import replay_statistics
from backtest.market.series import PANELS
from backtest.scoring.placebo import PlaceboPlan
from backtest.scoring.space import grid_trials, parse_axis
from backtest.scoring.walkforward import WalkForward, folds_of, walk_forward
from backtest.signals.strategy import Intents
from backtest.strategies import REGISTRY
from tests.scoring.chance import CONFIG, HOUR, market_of, quiet_market
from tests.scoring.test_sweep import calendar_at

MOMENTUM = REGISTRY["catalyst_momentum"]
ROWS = [20, 40, 60, 80, 100, 120]


def walk_on(seed: int = 1, rows: list[int] | None = None, **changes: Any) -> WalkForward:
    market = quiet_market(np.random.default_rng(seed))
    walk = WalkForward(
        strategy=MOMENTUM,
        trials=grid_trials([parse_axis("hold", "3h,6h,12h"), parse_axis("stop_loss", "0.01,0.05")]),
        market=market,
        calendar=calendar_at(market.start_ms, rows or ROWS),
        config=CONFIG,
        folds=2,
        horizon_ms=12 * HOUR,
        embargo_ms=4 * HOUR,
    )
    return replace(walk, **changes)


def test_the_cuts_by_hand() -> None:
    """A catalyst of row r is known at r + 1. Blocks 20 40, 60 80, 100 120; tests from 61 and 101; cuts 4 bars before.

    With a horizon of 12 all is settled: 41 + 12 <= 57, 81 + 12 <= 97. With 17, 41 and 81 are not.
    """
    walk = walk_on()
    first, second = folds_of(walk)
    start = walk.market.start_ms
    assert (first.train, first.purged, first.test) == (("one-20", "one-40"), (), ("one-60", "one-80"))
    assert (first.train_start_ms, first.cut_ms) == (start, start + 57 * HOUR)
    assert (first.test_start_ms, first.test_end_ms) == (start + 61 * HOUR, start + 101 * HOUR)
    assert second.train == ("one-20", "one-40", "one-60", "one-80")
    assert (second.cut_ms, second.test_end_ms) == (start + 97 * HOUR, walk.market.end_ms)
    first, second = folds_of(replace(walk, horizon_ms=17 * HOUR))
    assert (first.train, first.purged) == (("one-20",), ("one-40",))
    assert (second.train, second.purged) == (("one-20", "one-40", "one-60"), ("one-80",))


def test_a_memory_forgets_old_blocks() -> None:
    walk = walk_on(memory=1)
    _, second = folds_of(walk)
    assert second.train == ("one-60", "one-80")
    assert second.train_start_ms == walk.market.start_ms + 61 * HOUR


def test_catalysts_known_together_are_never_on_both_sides() -> None:
    walk = walk_on(rows=[20, 40, 60, 61, 100, 120], horizon_ms=0, embargo_ms=0)
    known_together = Calendar(
        "same", tuple(replace(one, announced_at=walk.calendar["one-60"].announced_at) if one.id == "one-40" else one
                      for one in walk.calendar)
    )  # fmt: skip
    first, _ = folds_of(replace(walk, calendar=known_together, horizon_ms=HOUR))
    assert "one-60" in first.test
    assert "one-40" in first.purged


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"folds": 6}, "6 folds need at least one catalyst each and one to train on, but 6 became known"),
        ({"folds": 0}, "0 folds need"),
        ({"horizon_ms": 60 * HOUR}, "fold 1 has nothing to train on before 2025-10-03 09:00"),
    ],
)
def test_cuts_that_cannot_be(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        folds_of(walk_on(**changes))


def test_each_choice_is_the_best_of_its_training() -> None:
    walk = walk_on()
    result = walk_forward(walk)
    assert len(result.choices) == 2
    for choice in result.choices:
        fold = choice.fold
        market = walk.market.between(TimeRange(None, fold.cut_ms))
        calendar = Calendar("train", tuple(one for one in walk.calendar if one.id in fold.train))
        prepared = prepare(market, CONFIG)
        values = [
            replay_statistics(prepared.orders(MOMENTUM(dict(trial.parameters)).decide(market, calendar)), prepared, 1)[
                0, NET_RETURN
            ]
            for trial in walk.trials
        ]
        np.testing.assert_array_equal(choice.train_statistics, values)
        assert choice.trial == walk.trials[int(np.argmax(values))]
        assert choice.train_statistic == max(values)


def test_choices_do_not_change_when_only_their_future_does() -> None:
    """Without a horizon a catalyst three bars before the cut is trained on, and its trade must end at the cut."""
    walk = walk_on(rows=[20, 40, 60, 97, 100, 120], horizon_ms=0, embargo_ms=0)
    before = walk_forward(walk)
    row = walk.market.bar_at_or_after(before.choices[1].fold.cut_ms)
    noise = np.random.default_rng(1).uniform(0.5, 2.0, (len(walk.market.index) - row, 1))
    wrong = {
        name: np.vstack((getattr(walk.market, name)[:row], getattr(walk.market, name)[row:] * noise)) for name in PANELS
    }
    after = walk_forward(replace(walk, market=replace(walk.market, **wrong)))
    assert "one-97" in before.choices[1].fold.train
    for one, other in zip(before.choices, after.choices, strict=True):
        np.testing.assert_array_equal(one.train_statistics, other.train_statistics)
    assert after.run.equity.iloc[-1] != before.run.equity.iloc[-1]


def test_the_run_trades_only_tests_with_what_was_chosen_for_them() -> None:
    walk = walk_on(3)
    result = walk_forward(walk, PlaceboPlan())
    assert [row.catalyst_id for row in result.run.intents.rows] == ["one-60", "one-80", "one-100", "one-120"]
    for choice, rows in zip(result.choices, (result.run.intents.rows[:2], result.run.intents.rows[2:]), strict=True):
        assert choice.trial is not None
        hold = int(dict(choice.trial.parameters)["hold"].removesuffix("h")) * HOUR
        assert {row.hold_ms for row in rows} == {hold}
        assert choice.test_trades == 2
    assert set(result.run.catalysts["outcome"]) == {"traded"}
    # Positions never overlap here, so what the folds earned multiplies to what the run earned.
    weight = 0.25
    assert len(result.run.trades) == 4
    earned = np.prod(1.0 + weight * result.run.trades["net_return"]) - 1.0
    assert result.run.equity.iloc[-1] / CONFIG.capital - 1.0 == pytest.approx(earned, rel=1e-9)
    assert result.placebo is not None
    assert result.placebo.observed == pytest.approx(earned, rel=1e-9)
    assert result.placebo.family == 1


def test_an_edge_that_lasts_is_found_out_of_sample_and_none_is_not_invented() -> None:
    random = np.random.default_rng(5)
    with_edge, without = [], []
    for _ in range(15):
        steps = random.normal(0.0, 0.003, (150, 1))
        without.append(walk_forward(walk_on(market=market_of(steps))).run.equity.iloc[-1] / CONFIG.capital - 1.0)
        for row in ROWS:
            steps[row + 1 : row + 7] += 0.01
        with_edge.append(walk_forward(walk_on(market=market_of(steps))))
    gains = [one.run.equity.iloc[-1] / CONFIG.capital - 1.0 for one in with_edge]
    assert min(gains) > 0.01
    assert abs(np.mean(without)) < 0.01
    holds = [dict(choice.trial.parameters)["hold"] for one in with_edge for choice in one.choices if choice.trial]
    assert holds.count("3h") < len(holds) / 4


def test_a_fold_without_a_trade_in_training_chooses_nothing() -> None:
    walk = walk_on(statistic="mean_trade", trials=grid_trials([parse_axis("kinds", "upgrade,security")]))
    # Both kinds are in the calendar, but nobody knows when.
    untimed = [
        replace(walk.calendar.catalysts[0], id=kind, kind=kind, announced_at=None, precision="untimed")
        for kind in ("upgrade", "security")
    ]
    result = walk_forward(replace(walk, calendar=Calendar("drawn", (*walk.calendar, *untimed))))
    assert [choice.trial for choice in result.choices] == [None, None]
    assert result.choices[0].reason == "no trial has a mean_trade in training"
    assert len(result.run.intents) == len(Intents()) == 0
