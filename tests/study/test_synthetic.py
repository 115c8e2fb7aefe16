"""Synthetic control: weights by hand, a planted effect, and donors that have a catalyst of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from backtest.catalysts.record import Calendar, Catalyst
from backtest.market.record import Instrument, Market
from backtest.study.models import Windows
from backtest.study.settings import StudyConfig
from backtest.study.synthetic import effects_of, hedge_intents, simplex_weights, synthetic_controls

START = pd.Timestamp("2025-09-01", tz="UTC")
SMALL = StudyConfig(estimation="10d", gap="1d", before="1d", after=("1d",))


def test_weights_by_hand() -> None:
    """A mixture is found exactly; what lies outside the simplex is drawn to its nearest corner."""
    donors = np.random.default_rng(1).normal(size=(200, 3))
    np.testing.assert_allclose(simplex_weights(donors @ [0.2, 0.0, 0.8], donors), [0.2, 0.0, 0.8], atol=1e-6)
    # Orthogonal donors of equal length: the target (2, 0) is nearest to the corner (1, 0) of the simplex.
    np.testing.assert_allclose(simplex_weights(np.array([2.0, 0.0]), np.eye(2)), [1.0, 0.0], atol=1e-6)
    # (0.6, 0.6) projects along (1, 1) to (0.5, 0.5).
    np.testing.assert_allclose(simplex_weights(np.array([0.6, 0.6]), np.eye(2)), [0.5, 0.5], atol=1e-6)


PYSYNCON = {
    # mixture, noise: weights of pysyncon, sum of squares; its optimiser stops within 3e-4 of the simplex.
    "inside": ([0.4, 0.0, 0.35, 0.25, 0.0], 4.0, 0.0, [0.390555, 0.0, 0.328996, 0.266189, 0.01426], 1538.76347),
    "outside": ([1.3, -0.3, 0.1, 0.0, 0.2], 2.0, 0.0, [0.990431, 0.0, 0.0, 0.0, 0.009572], 7929.00061),
    "level": ([0.2, 0.2, 0.2, 0.2, 0.2], 10.0, 1.0, [0.180039, 0.183642, 0.15051, 0.248829, 0.23698], 9861.84593),
}
"""Weights of `Synth` of pysyncon 1.7.0 (scipy 1.17.1) on the waves below, each bar a predictor. It divides predictors
by their deviation over coins, as R's Synth does, so it was given `custom_V` of their variances: every bar weighs 1."""


@pytest.mark.parametrize("name", PYSYNCON)
def test_weights_are_those_of_pysyncon(name: str) -> None:
    mixture, size, shift, weights, loss = PYSYNCON[name]
    t = np.arange(1.0, 121.0)
    waves = (np.sin(t), np.sin(1.7 * t + 1), np.cos(0.6 * t), np.sin(0.1 * t * t), np.cos(2.3 * t) + 0.5 * np.sin(t))
    donors = 20 * np.column_stack(waves)
    treated = donors @ mixture + size * (np.sin(2.9 * t) + np.cos(0.37 * t * t)) + shift
    found = simplex_weights(treated, donors)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(found, weights, atol=3e-4)
    assert np.square(treated - donors @ found).sum() == pytest.approx(loss, rel=1e-5)


def market_with(effect: float) -> Market:
    random = np.random.default_rng(2)
    sector = random.normal(0.0, 0.01, (960, 2))
    steps = np.hstack([sector @ w[:, None] for w in random.dirichlet((1, 1), 6)])
    steps += random.normal(0.0, 0.002, steps.shape)
    steps[:, 0] = 0.5 * steps[:, 1] + 0.5 * steps[:, 2] + random.normal(0.0, 0.001, 960)
    steps[600:612, 0] += effect / 12
    close = 100.0 * np.exp(np.cumsum(steps, axis=0))
    opens = np.vstack((np.full((1, 6), 100.0), close[:-1]))
    coins = ("ZEC", "DASH", "XMR", "ZEN", "ROSE", "SCRT")
    return Market(
        pd.date_range(START, periods=960, freq="h"), "1h",
        tuple(Instrument.parse(f"{coin}/USDT:USDT") for coin in coins),
        opens, np.maximum(opens, close), np.minimum(opens, close), close,
        np.ones(close.shape), np.full(close.shape, np.nan), np.zeros(close.shape),
    )  # fmt: skip


def catalyst(name: str, asset: str, row: int) -> Catalyst:
    return Catalyst(
        id=name, assets=(asset,), kind="listing", actor="x", direction=1, precision="hour", source="test",
        confidence="high", announced_at=(START + pd.Timedelta(hours=row)).to_pydatetime(),
    )  # fmt: skip


def test_a_planted_effect_is_found_with_its_size_and_its_absence_is_not() -> None:
    one = Calendar("one", (catalyst("zec-one", "ZEC", 598),))
    for effect, found in ((0.05, True), (0.0, False)):
        table = synthetic_controls(market_with(effect), one, SMALL).set_index("span")
        assert table["effect"]["after_1d"] == pytest.approx(effect, abs=0.02)
        assert table["space_p"]["after_1d"] >= 1 / 6 - 1e-12
        assert not found or table["space_p"]["after_1d"] == pytest.approx(1 / 6)
        assert (table["time_p"]["after_1d"] < 0.05) == found
        assert table["error"]["after_1d"] < 0.02
        weights = dict(part.split(":") for part in table["donors"]["after_1d"].split())
        assert sum(map(float, weights.values())) == pytest.approx(1.0, abs=0.02)


def test_a_coin_with_a_catalyst_of_its_own_is_no_donor() -> None:
    others = (catalyst("dash-one", "DASH", 620), catalyst("xmr-one", "XMR", 600), catalyst("zen-far", "ZEN", 300))
    table = synthetic_controls(market_with(0.0), Calendar("some", (catalyst("zec-one", "ZEC", 598), *others)), SMALL)
    used = table.query("catalyst_id == 'zec-one'")["donors"].iloc[0]
    assert "DASH" not in used
    assert "XMR" not in used
    more = (catalyst("rose-one", "ROSE", 600),)
    few = synthetic_controls(
        market_with(0.0), Calendar("more", (catalyst("zec-one", "ZEC", 598), *others, *more)), SMALL
    )
    told = few.query("catalyst_id == 'zec-one'")
    assert told["effect"].isna().all()
    assert (told["reason"] == "2 donors without a catalyst of their own, at least 3 are needed").all()


def test_filters_choose_the_rows_and_leave_donors_alone() -> None:
    some = Calendar("some", (catalyst("zec-one", "ZEC", 598), catalyst("dash-one", "DASH", 620)))
    table = synthetic_controls(market_with(0.0), some, SMALL.model_copy(update={"assets": ("ZEC",)}))
    assert set(table["catalyst_id"]) == {"zec-one"}
    assert "DASH" not in table["donors"].iloc[0]


def test_the_error_of_an_announcement_of_a_day_is_that_of_a_day() -> None:
    before, event = np.full(48, 0.01), np.array([0.0, 0.3, 0.0])
    windows = Windows(48, 0, -1, 1)
    for width, error in ((1, 0.01), (24, 0.24)):
        effect, found = effects_of(before, event, windows, np.array([(0, 0), (1, 1)]), width)
        assert effect.tolist() == [0.3, 0.0]
        assert found.tolist() == pytest.approx([error, 0.01])


def test_the_hedge_is_offered_as_intents() -> None:
    """Long the coin and short as much of its control, in shares of its weights, once the catalyst was known."""
    market, one = market_with(0.05), Calendar("one", (catalyst("zec-one", "ZEC", 598),))
    controls = synthetic_controls(market, one, SMALL)
    intents = hedge_intents(controls, market, one, weight=0.2, hold="24h")
    legs = {row.instrument: row.side * row.weight for row in intents.rows}
    assert legs.pop("ZEC/USDT:USDT") == 0.2
    assert sum(legs.values()) == pytest.approx(-0.2)
    assert all(value < 0 for value in legs.values())
    assert {row.group for row in intents.rows} == {"hedged zec-one"}
    known = market.start_ms + 599 * 3_600_000
    assert {(row.decided_at_ms, row.hold_ms, row.catalyst_id) for row in intents.rows} == {
        (known, 24 * 3_600_000, "zec-one")
    }
    few = synthetic_controls(market.select(market.symbols[:3]), one, SMALL)
    assert hedge_intents(few, market, one, weight=0.2, hold="24h").notes == (
        "zec-one: no hedge, 2 donors without a catalyst of their own, at least 3 are needed",
    )
