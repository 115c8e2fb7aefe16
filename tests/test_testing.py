"""What a user's repository imports: each helper holds on what is right, and fails on what is planted wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backtest.base.config import RunConfig
from backtest.base.errors import UsageError
from backtest.baseline import baseline_of, write_baseline
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_at_ms
from backtest.engine.replay import replay
from backtest.market.series import PANELS
from backtest.scoring.evaluation import evaluate
from backtest.scoring.placebo import PlaceboPlan
from backtest.strategies import REGISTRY
from backtest.testing import (
    HOUR_MS,
    assert_baseline,
    assert_no_lookahead,
    planted_effect,
    synthetic_market,
)
from tests.signals import planted

FREE = RunConfig(fee_rate=0.0, half_spread=0.0, impact=0.0, participation=float("inf"), funding_unknown="zero")
MOMENTUM = REGISTRY["catalyst_momentum"]


def test_a_synthetic_market_is_what_was_asked_for() -> None:
    market = synthetic_market(100, ("ZEC", "DASH", "XMR"), spot=("XMR",))
    assert market.symbols == ("ZEC/USDT:USDT", "DASH/USDT:USDT", "XMR/USDT:USDT", "XMR/USDT")
    assert len(market.index) == 100
    assert market.provenance.label == "SYNTHETIC"
    assert not np.isnan(market.close).any()
    np.testing.assert_array_equal(market.open[1:], market.close[:-1])
    np.testing.assert_array_equal(market.close[:, 2], market.close[:, 3])
    assert np.isnan(market.open_interest[:, 3]).all()
    assert not np.isnan(market.open_interest[:, :3]).any()
    settles = np.flatnonzero(market.funding[:, 0] != 0)
    np.testing.assert_array_equal(settles, np.arange(7, 100, 8))
    assert not market.funding[:, 3].any()
    steps = np.diff(np.log(synthetic_market(5000, ("ZEC",), volatility=0.02).close[:, 0]))
    # The error of a standard deviation of n draws is 1 / sqrt(2 n) of it: 1 %.
    assert steps.std() == pytest.approx(0.02, rel=0.04)
    assert abs(steps.mean()) < 4 * 0.02 / np.sqrt(5000)


def test_a_synthetic_market_without_what_may_be_unknown() -> None:
    blind = synthetic_market(60, funding=False, open_interest=False)
    assert np.isnan(blind.funding).all()
    assert np.isnan(blind.open_interest).all()
    holed = synthetic_market(200, gaps=0.1)
    assert np.isnan(holed.close).sum(axis=0).tolist() == [20, 20]
    assert (holed.volume == 0).sum(axis=0).tolist() == [20, 20]
    assert holed.tradable[0].all()
    assert not np.array_equal(np.isnan(holed.close[:, 0]), np.isnan(holed.close[:, 1]))
    assert synthetic_market(volatility=0.0).high.max() == synthetic_market(volatility=0.0).low.min() == 100.0


def test_a_seed_is_a_market() -> None:
    assert synthetic_market(gaps=0.05).sha256() == synthetic_market(gaps=0.05).sha256()
    assert synthetic_market(seed=2).sha256() != synthetic_market(seed=1).sha256()
    assert not np.array_equal(synthetic_market().close[:, 0], synthetic_market().close[:, 1])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: synthetic_market(0), "hours = 0"),
        (lambda: synthetic_market(coins=()), r"coins = \(\)"),
        (lambda: synthetic_market(gaps=0.6), "gaps = 0.6"),
        (lambda: synthetic_market(volatility=-1.0), "volatility = -1.0"),
        (lambda: synthetic_market(spot=("XMR",)), r"spot = \('XMR',\) must be some of the coins, ZEC, DASH"),
        (lambda: planted_effect(0.0), "size = 0.0"),
        (lambda: planted_effect(-1.0), "size = -1.0"),
        (lambda: planted_effect(after="90m"), "after = '90m'"),
        (lambda: planted_effect(hours=200), "8 planted catalysts need 232 hours, and there are 200"),
    ],
)
def test_what_cannot_be_made_is_refused(call: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(("size", "after"), [(0.1, "1h"), (-0.2, "6h"), (0.03, "0h")])
def test_the_planted_effect_is_where_it_says_and_nowhere_else(size: float, after: str) -> None:
    made = planted_effect(size, after=after, catalysts=4)
    assert [one.id for one in made.calendar] == ["planted-01", "planted-02", "planted-03", "planted-04"]
    ratio = made.market.close / made.null.close
    expected = np.ones_like(ratio)
    for one in made.calendar:
        assert one.direction == np.sign(size)
        column = made.market.column_of(one.assets[0])
        bar = made.market.bar_at_or_after((known_at_ms(one) or 0) + made.after_ms)
        assert made.market.open[bar, column] == pytest.approx(made.market.close[bar - 1, column], rel=1e-12)
        expected[bar:, column] *= 1.0 + size
    np.testing.assert_allclose(ratio, expected, rtol=1e-12)
    for name in set(PANELS) - {"open", "high", "low", "close"}:
        np.testing.assert_array_equal(getattr(made.market, name), getattr(made.null, name))


def test_a_strategy_earns_the_planted_effect_and_nothing_in_the_null() -> None:
    """Prices stand still but for the effect: each trade captures it whole, and the null nothing at all."""
    made = planted_effect(0.1, after="2h", volatility=0.0)
    momentum = MOMENTUM({"hold": "12h"})
    for market, captured in ((made.market, 0.1), (made.null, 0.0)):
        trades = replay(market, momentum.decide(market, made.calendar), FREE, calendar=made.calendar).trades
        assert trades["catalyst_id"].tolist() == [one.id for one in made.calendar]
        assert trades["captured"].tolist() == pytest.approx([captured] * 8, abs=1e-12)
    early = MOMENTUM({"hold": "2h"}).decide(made.market, made.calendar)
    assert replay(made.market, early, FREE, calendar=made.calendar).trades["captured"].abs().max() < 1e-12


def test_the_placebo_finds_the_planted_effect_and_not_the_null() -> None:
    made = planted_effect(0.1)
    plan = PlaceboPlan(draws=400)
    for market, verdict in (
        (made.market, {"beats placebo"}),
        (made.null, {"indistinguishable from chance", "loses money"}),
    ):
        (card,) = evaluate([MOMENTUM({"hold": "12h"})], market, made.calendar, plan=plan, bootstrap=0).cards
        assert card.verdict in verdict, card.reason


def test_a_look_ahead_fails_in_the_words_of_the_audit() -> None:
    market = synthetic_market(400)
    with pytest.raises(AssertionError, match="strategy 'same_bar_close' looked ahead: the decision of 2025-10-"):
        assert_no_lookahead(planted.strategy_of(planted.same_bar_close), market, Calendar("none", ()), cuts=10)


def test_an_honest_strategy_passes_and_tells_what_was_exercised() -> None:
    made = planted_effect()
    found = assert_no_lookahead(MOMENTUM(), made.market, made.calendar, cuts=20)
    assert found.tested == found.decisions == 8
    assert "calendar" in found.reads
    assert found.hidden == tuple(one.id for one in made.calendar)


def test_silence_is_no_safety() -> None:
    with pytest.raises(
        AssertionError, match="'catalyst_momentum' was not exercised: of its 0 decisions on market 'syn"
    ):
        assert_no_lookahead(MOMENTUM(), synthetic_market(60), Calendar("none", ()), cuts=5)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = planted_effect()
    path = tmp_path_factory.mktemp("baselines") / "momentum.json"
    evaluation = evaluate([MOMENTUM()], made.market, made.calendar, plan=PlaceboPlan(draws=200), bootstrap=0)
    write_baseline(path, baseline_of(evaluation, None))
    return path


def test_a_strategy_that_does_as_recorded_passes(recorded: Path) -> None:
    made = planted_effect()
    before = recorded.read_bytes()
    assert assert_baseline(MOMENTUM(), recorded, made.market, made.calendar).passed
    evaluation = evaluate([MOMENTUM()], made.market, made.calendar, plan=PlaceboPlan(draws=200), bootstrap=0)
    assert assert_baseline(evaluation, recorded).trades == 8
    assert recorded.read_bytes() == before


def test_a_changed_parameter_fails_with_its_name(recorded: Path) -> None:
    made = planted_effect()
    with pytest.raises(AssertionError, match=r"catalyst_momentum is not as .*momentum.json says: .*hold: 72h -> 71h"):
        assert_baseline(MOMENTUM({"hold": "71h"}), recorded, made.market, made.calendar)


def test_other_data_fail_as_other_data(recorded: Path) -> None:
    made = planted_effect(seed=2)
    with pytest.raises(AssertionError, match="ZEC/USDT:USDT has other bars"):
        assert_baseline(MOMENTUM(), recorded, made.market, made.calendar)


def test_no_baseline_says_how_to_record_one_and_writes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    made = planted_effect()
    path = tmp_path / "none.json"
    with pytest.raises(AssertionError) as told:
        assert_baseline(MOMENTUM(), path, made.market, made.calendar)
    assert f"no baseline of catalyst_momentum at {path}" in str(told.value)
    assert f"`backtest baseline record -s catalyst_momentum --folder {tmp_path.parent}` with" in str(told.value)
    assert f"`write_baseline(Path('{path}'), baseline_of(evaluation, None))`" in str(told.value)
    own = planted.strategy_of(planted.same_bar_close)
    with pytest.raises(AssertionError, match=r"record -s tests/signals/planted.py:Strategy_same_bar_close --folder"):
        assert_baseline(own, path, made.market, made.calendar)
    assert not list(tmp_path.iterdir())
    with pytest.raises(
        UsageError, match="assert_baseline of strategy 'catalyst_momentum' needs the market and calendar"
    ):
        assert_baseline(MOMENTUM(), path)


def test_the_hour_is_an_hour() -> None:
    assert synthetic_market(2).bar_ms == HOUR_MS == 3_600_000
