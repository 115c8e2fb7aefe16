"""A fan holds the quantiles of equity over the placebo calendars, and says why where it cannot."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from backtest.catalysts.record import Calendar
from backtest.engine.prepared import prepare
from backtest.engine.replay import replay_statistics
from backtest.scoring import fan as module
from backtest.scoring.draws import Moved, subject_of
from backtest.scoring.fan import LEVELS, placebo_fan
from backtest.scoring.kinds import PLACEBO_KINDS
from backtest.scoring.placebo import PlaceboPlan
from backtest.signals.strategy import Intents
from tests.scoring.chance import CONFIG, intents_at, market_of

NONE = Calendar("none", ())


@pytest.mark.parametrize("kind", ["shift", "dates", "coins"])
def test_the_last_bar_is_what_the_streamed_statistics_say(kind: str) -> None:
    market = market_of(np.random.default_rng(7).normal(0.0, 0.01, (1_200, 6)))
    intents = intents_at(market, [100, 260, 420], hold=24)
    prepared = prepare(market, CONFIG)
    plan = PlaceboPlan(kind, draws=60, seed=5)
    fan = placebo_fan(intents, prepared, NONE, plan, draws=200)
    assert (fan.kind, fan.draws, fan.reason) == (kind, 60, "")
    assert fan.levels.tolist() == list(LEVELS)
    assert fan.quantiles.shape == (len(LEVELS), 1_200)
    move = PLACEBO_KINDS[kind].move
    assert move is not None
    moved = move(subject_of(intents, prepared), prepared, NONE, 60, 5)
    assert isinstance(moved, Moved)
    (orders,) = moved.blocks
    final = CONFIG.capital * (1.0 + replay_statistics(orders, prepared, 60)[:, 0])
    assert np.ptp(final) > 0
    np.testing.assert_allclose(fan.quantiles[:, -1], np.quantile(final, LEVELS), rtol=1e-12)
    assert (np.diff(fan.quantiles, axis=0) >= 0).all()


def test_every_shift_once_by_hand() -> None:
    """Price doubles in bar 4 of 10 and stands still elsewhere: half the capital for a bar gains half on one shift."""
    steps = np.zeros((10, 1))
    steps[4] = np.log(2.0)
    market = market_of(steps)
    fan = placebo_fan(intents_at(market, [1], hold=1), prepare(market, CONFIG), NONE, PlaceboPlan(draws=19))
    assert fan.draws == 9
    np.testing.assert_allclose(fan.quantiles[:, 0], [100_000.0] * 5, rtol=1e-12)
    # Eight calendars keep 100,000 and one ends at 150,000; 0.95 of the way lies 0.6 of the way from the last but one.
    np.testing.assert_allclose(fan.quantiles[:, -1], [100_000.0] * 4 + [130_000.0], rtol=1e-9)


@pytest.mark.parametrize("held", [1_000_000, 0])
def test_fewer_draws_than_the_plan_and_the_same_again(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    market = market_of(np.random.default_rng(1).normal(0.0, 0.01, (300, 1)))
    intents, prepared = intents_at(market, [50, 150], hold=10), prepare(market, CONFIG)
    one = placebo_fan(intents, prepared, NONE, PlaceboPlan(), draws=25)
    monkeypatch.setattr(module, "_HELD", held)
    other = placebo_fan(intents, prepared, NONE, PlaceboPlan(), draws=25)
    assert one.draws == 25
    np.testing.assert_array_equal(one.quantiles, other.quantiles)


@pytest.mark.parametrize(
    ("places", "hold", "kind", "reason"),
    [
        ([], 1, "shift", "nothing was decided"),
        ([1], 295, "shift", "it holds in 98% of the bars"),
        ([50], 10, "calendar", "decides anew"),
        ([50], 10, "coins", "1 swaps trade when"),
    ],
)
def test_no_fan_and_the_reason(places: list[int], hold: int, kind: str, reason: str) -> None:
    market = market_of(np.random.default_rng(1).normal(0.0, 0.01, (300, 1)))
    intents = intents_at(market, places, hold=hold) if places else Intents(())
    fan = placebo_fan(intents, prepare(market, CONFIG), NONE, PlaceboPlan(kind))
    assert reason in fan.reason
    assert fan.draws == 0
    assert fan.quantiles.shape == (len(LEVELS), 300)
    assert np.isnan(fan.quantiles).all()


def test_draws_that_met_unknown_funding_are_left_out_or_end_the_fan() -> None:
    market = market_of(np.random.default_rng(1).normal(0.0, 0.01, (300, 1)))
    strict = CONFIG.model_copy(update={"funding_unknown": "error"})
    intents = intents_at(market, [50], hold=10)
    for unknown, reason in ((slice(280, 290), ""), (slice(150, 300), "equity is undefined on")):
        funding = np.zeros((300, 1))
        funding[unknown] = np.nan
        holed = type(market)(**{name: getattr(market, name) for name in market.__slots__} | {"funding": funding})
        fan = placebo_fan(intents, prepare(holed, strict), NONE, PlaceboPlan(draws=299), draws=299)
        assert fan.reason.startswith(reason)
        assert bool(fan.reason) == bool(reason)
        assert fan.draws == (0 if reason else pytest.approx(280, abs=3))
        assert pd.isna(fan.quantiles).all() == bool(reason)
