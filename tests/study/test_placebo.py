"""The common-shift placebo: its turns, its batched statistic against the array level, and how often it rejects.

The null of the calibration is that of `test_calibration`: residual correlation 0.25 among coins, volatilities from 1 %
to 4 % a bar, variance doubled from the event on, and dates of which two overlap. 600 simulations with a fixed seed at
the 5 % level; the standard error of a rejection rate of 5 % is 0.9 points: 2.5 % to 7.5 % is near three either side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from backtest.study.abnormal import Series, effects, fit, take
from backtest.study.alignment import FitRow
from backtest.study.cumulation import cumulate
from backtest.study.models import AbnormalReturns, Windows
from backtest.study.multiplicity import placebo_p
from backtest.study.parametric import bmp, mean_correlation, overlap_correlation
from backtest.study.placebo import (
    Sums,
    least_effect,
    mean_of,
    placebo_sums,
    standardised_t,
    step_of,
    turn,
    unit_of,
)

SIMULATIONS = 600
BARS, COINS = 300, 4
WINDOWS = Windows(estimation=40, gap=0, first=-1, last=3)
SPANS = np.array([[0, 0], [1, 3]])
ONSETS = (150, 152, 200)
ROWS = tuple(FitRow((coin + 1,), onset, 1) for onset in ONSETS for coin in range(COINS))
ONE = np.ones(len(ROWS))
HOUR = 3_600_000


def test_turns_by_hand() -> None:
    """A circle of 90 of 95 bars in steps of 10: onset 60 becomes 70, 80, 0, ..., 50; windows reach 41 bars back."""
    turns = turn([FitRow((1,), 60, 2)], 95, 10, WINDOWS, 99, 1)
    assert (turns.bars, turns.count) == (90, 8)
    onset = turns.onset[turns.table[:, 0]]
    # What needs bars before the circle begins is read from its second lap; 50 - 41 = 9 bars before it are there.
    assert onset.tolist() == [70, 80, 90, 100, 110, 120, 130, 50]
    assert [row.width for row in turns.kinds] == [2]
    assert turn([FitRow((1,), 60, 2)], 40, 10, WINDOWS, 99, 1).count == 0
    assert step_of(HOUR, weekly=False) == 24
    assert step_of(HOUR, weekly=True) == 168
    assert step_of(48 * HOUR, weekly=False) == 1


def test_turns_keep_every_distance_and_every_coin_and_take_none_twice() -> None:
    turns = turn(ROWS, BARS, 1, WINDOWS, 250, 1)
    assert turns.count == 250
    onset = turns.onset[turns.table]
    column = np.array([row.columns[0] for row in turns.kinds])[turns.kind[turns.table]]
    assert (column == [row.columns[0] for row in ROWS]).all()
    gaps = (onset - onset[:, :1]) % BARS
    assert (gaps == np.array([row.onset - ROWS[0].onset for row in ROWS])).all()
    shift = (onset[:, 0] - ROWS[0].onset) % BARS
    assert len(np.unique(shift)) == 250
    assert 0 not in shift


def test_a_turn_is_what_the_array_level_says_of_the_turned_market() -> None:
    """Rows of a turn are the rows of a market rolled back by as many bars; their t is BMP's."""
    rng = np.random.default_rng(5)
    source = simulated(rng, 0.0)
    source.values[rng.random(source.values.shape) < 0.002] = np.nan
    turns = turn(ROWS, BARS, 1, WINDOWS, BARS, 1)
    sums = placebo_sums("return", source, turns, WINDOWS, 30, SPANS)
    assert np.isnan(sums.scar).any()
    for shift in (1, 37, 120, 299):
        rolled = replace(source, values=np.roll(source.values, -shift, axis=0))
        found = cumulate(fit(rolled, ROWS, WINDOWS, 30), SPANS)
        np.testing.assert_allclose(sums.scar[turns.table[shift - 1]], found.scar, rtol=1e-9)
        np.testing.assert_allclose(standardised_t(sums.scar[turns.table[shift - 1]], ONE), bmp(found).value, rtol=1e-9)
    flipped = np.where(np.arange(len(ROWS)) % 2, -1.0, 1.0)
    np.testing.assert_allclose(mean_of(found.car, flipped), np.nanmean(found.car * flipped[:, None], axis=0))


def test_the_least_effect_is_found_four_times_of_five() -> None:
    """Added to every event of every turn, it is found on 80 % of them; of 18 turns no p is below 1/19."""
    source = simulated(np.random.default_rng(6), 0.0)
    turns = turn(ROWS, BARS, 1, WINDOWS, BARS, 1)
    sums = placebo_sums("return", source, turns, WINDOWS, 30, SPANS)
    scar, unit = sums.scar[turns.table], sums.unit[turns.table]
    least = least_effect(scar, unit, 0.05)
    assert (least > 0.005).all()
    assert (least < 0.08).all()
    null = standardised_t(scar, ONE)
    for span in range(2):
        planted = standardised_t(scar + least[span] / unit, ONE)[:, span]
        p = np.array([placebo_p(t, null[:, span]) for t in planted])
        assert np.mean(p <= 0.05) == pytest.approx(0.8, abs=0.02)
    assert np.isinf(least_effect(scar[:18], unit[:18], 0.05)).all()


def test_pairs_are_those_of_every_pair_by_hand() -> None:
    """Residual correlations of all pairs, one by one, and the mean over all of them with those apart counted as 0."""
    returns = fit(simulated(np.random.default_rng(2), 0.0), ROWS, WINDOWS, 30)
    for length, r in zip((1, 3), mean_correlation(cumulate(returns, SPANS)), strict=True):
        pairs = overlap_correlation(returns, length)
        assert pairs[~np.eye(len(pairs), dtype=bool)].mean() == pytest.approx(r)
        one, other = 0, COINS
        shared = np.corrcoef(returns.residual[one, 2:], returns.residual[other, :-2])[0, 1]
        assert pairs[one, other] == pytest.approx(shared * max(0.0, 1 - 2 / length))
        assert pairs[0, 2 * COINS] == 0.0


def simulated(rng: np.random.Generator, effect: float) -> Series:
    market, sector = rng.standard_normal((2, BARS))
    noise = np.sqrt(0.25) * sector[:, None] + np.sqrt(0.75) * rng.standard_normal((BARS, COINS))
    stirred = np.unique(np.array(ONSETS)[:, None] + np.arange(4))
    noise[stirred] *= np.sqrt(2.0)
    benchmark = 0.02 * market[:, None]
    assets = benchmark * rng.uniform(0.5, 1.5, COINS) + rng.uniform(0.01, 0.04, COINS) * noise
    assets[list(ONSETS)] += effect
    return Series(np.hstack((benchmark, assets)), "market", tuple(f"C{k}" for k in range(COINS + 1)), (0,))


@dataclass(frozen=True)
class Outcome:
    statistic: np.ndarray
    raw: np.ndarray


def placebo(source: Series) -> Outcome:
    """P of the common-shift placebo and of the raw mean's, over both spans."""
    turns = turn(ROWS, BARS, 3, WINDOWS, BARS, 1)
    own = cumulate(fit(source, ROWS, WINDOWS, 30), SPANS)
    sums: Sums = placebo_sums("return", source, turns, WINDOWS, 30, SPANS)
    scar, car = sums.scar[turns.table], sums.car[turns.table]
    return Outcome(
        placebo_p(standardised_t(own.scar, ONE), standardised_t(scar, ONE)),
        placebo_p(mean_of(own.car, ONE), mean_of(car, ONE)),
    )


def test_rows_fitted_in_blocks_are_those_fitted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of two widths and two benchmark sets, in the order given; the widest model has two benchmarks."""
    rng = np.random.default_rng(4)
    source = Series(rng.standard_normal((200, 4)), "market", ("A", "B", "C", "D"), (0, 1))
    rows = [
        FitRow((2,), 100, 1),
        FitRow((1,), 90, 5),
        FitRow((3,), 120, 5),
        FitRow((0,), 80, 1),
        FitRow((2, 3), 110, 1),
    ]
    at_once = fit(source, rows, WINDOWS, 30)
    assert np.isnan(at_once.beta).tolist() == [
        [False, False],
        [False, True],
        [False, False],
        [False, True],
        [False, False],
    ]
    assert at_once.onset.tolist() == [100, 90, 120, 80, 110]
    legs = fit(source, [FitRow((2,), 110, 1), FitRow((3,), 110, 1)], WINDOWS, 30)
    np.testing.assert_allclose(at_once.abnormal[4], legs.abnormal.mean(axis=0))
    monkeypatch.setattr("backtest.study.abnormal._BLOCK", 1)
    in_blocks = fit(source, rows, WINDOWS, 30)
    for name in ("abnormal", "residual", "beta", "sigma", "leverage"):
        np.testing.assert_array_equal(getattr(in_blocks, name), getattr(at_once, name))
    cumulated = effects("volume", at_once, SPANS, np.array([row.width for row in rows]))
    np.testing.assert_allclose(cumulated.car[1, 0], at_once.abnormal[1, 1] / 5)
    assert taken(at_once).onset.tolist() == [120]
    assert np.isnan(unit_of(np.zeros(1), np.zeros(1))).all()


def taken(returns: AbnormalReturns) -> AbnormalReturns:
    return take(returns, np.array([2]))


def test_the_placebo_keeps_its_level_and_the_raw_mean_does_not() -> None:
    rng = np.random.default_rng(20251101)
    tested = [placebo(simulated(rng, 0.0)) for _ in range(SIMULATIONS)]
    rates = np.mean([one.statistic <= 0.05 for one in tested], axis=0)
    raw = np.mean([one.raw <= 0.05 for one in tested], axis=0)
    print("null: placebo", rates, "raw mean", raw)
    assert ((rates >= 0.025) & (rates <= 0.075)).all(), rates
    assert (raw > 0.08).all(), raw


def test_power_of_the_placebo_against_three_percent() -> None:
    """+3 % in bar 0 of twelve events on three dates, coins moving 3.5 %: found there, not after it."""
    rng = np.random.default_rng(20251101)
    tested = [placebo(simulated(rng, 0.03)) for _ in range(150)]
    bar, after = np.mean([one.statistic <= 0.05 for one in tested], axis=0)
    print("+3 %: placebo", bar, after)
    assert bar > 0.4
    assert after < 0.12
