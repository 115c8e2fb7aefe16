"""Sharpe ratios against the papers and mlfinlab, SPA and StepM against arch, all against random rules.

Golden numbers: the worked example of Bailey and Lopez de Prado (2014) with SR 2.5 a year of 250 bars, 1,250 bars, 100
trials whose annual Sharpe ratios have a variance of 1/2, skew -3 and kurtosis 10; test values of mlfinlab; arch 8.0.0
on the 200 by 40 matrix. Printed with all digits, matched to 1e-12.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from arch.bootstrap import SPA, StepM
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from backtest.base.errors import UsageError
from backtest.scoring.bootstrap import interval
from backtest.scoring.cross_validation import SHARPE, probability_of_overfitting
from backtest.scoring.metrics import sharpe_ratio
from backtest.scoring.overfitting import (
    SharpeMoments,
    _long_run_deviation,
    deflate,
    effective_trials,
    expected_maximum_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_moments,
    superior_ability,
)

BARS_PER_YEAR = 250
PAPER = SharpeMoments(sharpe_per_bar=2.5 / math.sqrt(BARS_PER_YEAR), bars=1_250, skew=-3.0, kurtosis=10.0)
PAPER_DEVIATION = math.sqrt(0.5 / BARS_PER_YEAR)
MLFINLAB = SharpeMoments(sharpe_per_bar=1.14, bars=250)
EXACT = 1e-12


@pytest.fixture(scope="module")
def trials(shared: Path) -> np.ndarray:
    """(200, 40) of N(0, 1)."""
    return np.loadtxt(shared / "golden" / "pbo_m_852_200x40.csv", delimiter=",")


def test_golden_deflated_sharpe_of_the_paper() -> None:
    maximum = expected_maximum_sharpe(100, PAPER_DEVIATION)
    assert maximum == pytest.approx(0.11317200186513214, abs=EXACT)
    deflated = probabilistic_sharpe(PAPER, maximum)
    assert deflated == pytest.approx(0.9003968344493903, abs=EXACT)
    # What the same formula gives for the excess kurtosis 7.
    assert abs(deflated - 0.9017785664393667) > 1e-3


def test_an_excess_kurtosis_is_refused() -> None:
    with pytest.raises(UsageError, match=r"kurtosis = 7\.0 is below 1 \+ skew\^2 = 10: .* not the excess"):
        SharpeMoments(PAPER.sharpe_per_bar, PAPER.bars, skew=-3.0, kurtosis=7.0)
    with pytest.raises(UsageError, match=r"kurtosis = 0\.0 is below 1 \+ skew\^2 = 1"):
        SharpeMoments(0.1, 100, skew=0.0, kurtosis=0.0)


def test_golden_probabilistic_sharpe_and_track_record_of_mlfinlab() -> None:
    assert probabilistic_sharpe(MLFINLAB, 1.0) == pytest.approx(0.9572778803273129, abs=EXACT)
    assert minimum_track_record(MLFINLAB, 1.0, confidence=0.95) == pytest.approx(228.73497911054136, abs=1e-9)


@pytest.mark.parametrize(("ddof", "deflated"), [(0, 0.9583658117478662), (1, 0.15237512361221872)])
def test_golden_deflated_sharpe_of_mlfinlab(ddof: int, deflated: float) -> None:
    maximum = expected_maximum_sharpe(3, float(np.std([3.5, 1.01, 1.02], ddof=ddof)))
    assert probabilistic_sharpe(MLFINLAB, maximum) == pytest.approx(deflated, abs=EXACT)


@given(
    sharpe=st.floats(0.01, 0.5),
    bars=st.integers(50, 5_000),
    skew=st.floats(-2.0, 2.0),
    tail=st.floats(0.1, 10.0),
    confidence=st.floats(0.6, 0.99),
)
def test_the_track_record_is_where_the_probability_is_reached(
    sharpe: float, bars: int, skew: float, tail: float, confidence: float
) -> None:
    """PSR at MinTRL bars is the confidence; between whole bars it brackets it."""
    moments = SharpeMoments(sharpe, bars, skew, 1.0 + skew**2 + tail)
    needed = minimum_track_record(moments, confidence=confidence)
    before, after = (
        probabilistic_sharpe(SharpeMoments(sharpe, max(2, count), skew, moments.kurtosis))
        for count in (math.floor(needed), math.ceil(needed))
    )
    assert after >= confidence - 1e-9
    assert before <= confidence + 1e-9 or needed < 2


def test_moments_are_those_of_scipy() -> None:
    returns = np.random.default_rng(1).gamma(2.0, 0.01, 500) - 0.018
    moments = sharpe_moments(returns)
    assert moments.sharpe_per_bar == pytest.approx(sharpe_ratio(returns, 1.0), rel=1e-12)
    assert moments.skew == pytest.approx(scipy.stats.skew(returns), rel=1e-12)
    assert moments.kurtosis == pytest.approx(scipy.stats.kurtosis(returns, fisher=False), rel=1e-12)
    assert moments.bars == 500


@given(arrays.arrays(np.float64, st.integers(2, 30), elements=st.floats(-0.9, 0.9)))
def test_no_sample_is_taken_for_one_with_excess_kurtosis(returns: np.ndarray) -> None:
    """Two values, say, have exactly 1 + skew^2."""
    moments = sharpe_moments(returns)
    assert moments.bars == len(returns)
    assert math.isnan(moments.kurtosis) or moments.kurtosis >= 1.0 - 1e-9


def test_a_benchmark_above_and_returns_that_never_vary_are_nan() -> None:
    assert math.isnan(minimum_track_record(MLFINLAB, 1.14))
    flat = sharpe_moments(np.full(100, 0.1))
    assert math.isnan(flat.sharpe_per_bar)
    assert math.isnan(probabilistic_sharpe(flat))
    assert math.isnan(minimum_track_record(flat))


def test_a_sharpe_ratio_without_error_is_nan() -> None:
    """SR 1, skew 2, kurtosis 5: 1 - 2 + 4 / 4 = 0."""
    assert math.isnan(probabilistic_sharpe(SharpeMoments(1.0, 100, skew=2.0, kurtosis=5.0)))


@pytest.mark.parametrize("count", [10, 200, 1_000])
def test_the_expected_maximum_is_that_of_a_simulation(count: int) -> None:
    """Mean of the best of N standard normals, 20,000 draws: standard error below 0.005; the formula is asymptotic."""
    best = scipy.stats.norm.isf(1.0 - np.random.default_rng(3).random(20_000) ** (1.0 / count))
    assert expected_maximum_sharpe(count, 1.0) == pytest.approx(best.mean(), abs=0.04)


def test_the_expected_maximum_of_few_trials() -> None:
    """One trial: its mean, 0. Never negative, and growing with the trials."""
    assert expected_maximum_sharpe(1, 0.3) == 0.0
    values = [expected_maximum_sharpe(count, 1.0) for count in (1.0, 1.1, 1.5, 2, 3, 10, 1e6)]
    assert min(values) == 0.0
    assert values == sorted(values)
    # Two trials: the exact value is 1 / sqrt(pi).
    assert expected_maximum_sharpe(2, 1.0) == pytest.approx(1 / math.sqrt(math.pi), abs=0.05)


def test_effective_trials_by_hand() -> None:
    """Orthogonal trials count in full, equal ones once; two equal and one orthogonal: rho 1/3, so 1/3 + 2/3 * 3."""
    one, two, three = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 100.0
    assert effective_trials(np.column_stack([one, two, three])) == pytest.approx(3.0)
    assert effective_trials(np.column_stack([one, 2 * one, one])) == pytest.approx(1.0)
    assert effective_trials(np.column_stack([one, one, two])) == pytest.approx(7 / 3)
    # Opposite trials are not more than there are; those that never vary are none.
    assert effective_trials(np.column_stack([one, -one])) == pytest.approx(2.0)
    assert effective_trials(np.column_stack([one, np.zeros(4), two])) == pytest.approx(2.0)
    assert effective_trials(np.column_stack([one, np.zeros(4)])) == 1.0
    assert effective_trials(np.zeros((4, 2))) == 0.0


@given(arrays.arrays(np.float64, (12, 4), elements=st.integers(-5, 5).map(float)))
def test_effective_trials_by_all_pairs(returns: np.ndarray) -> None:
    moving = returns[:, np.ptp(returns, axis=0) > 0]
    count = moving.shape[1]
    if count > 1:
        pairs = np.corrcoef(moving.T)[np.triu_indices(count, 1)]
        rho = min(max(pairs.mean(), 0.0), 1.0)
        assert effective_trials(returns) == pytest.approx(rho + (1 - rho) * count)


def test_deflate_takes_the_best_and_counts_all() -> None:
    rng = np.random.default_rng(4)
    common = rng.standard_normal((400, 1))
    returns = 0.01 * (0.7 * common + 0.7 * rng.standard_normal((400, 30)))
    returns[:, 5] = 0.0
    sharpes = np.delete(SHARPE(returns), 5)
    found = deflate(returns)
    assert found.selected == int(np.nanargmax(SHARPE(returns)))
    assert (found.trials, found.effective_trials) == (29, 29.0)
    assert found.deviation_per_bar == pytest.approx(sharpes.std(ddof=1))
    assert found.expected_maximum_per_bar == expected_maximum_sharpe(29, found.deviation_per_bar)
    assert found.deflated == probabilistic_sharpe(found.moments, found.expected_maximum_per_bar)
    assert found.probabilistic == probabilistic_sharpe(sharpe_moments(returns[:, found.selected]))
    assert found.minimum_bars == minimum_track_record(found.moments)
    kinder = deflate(returns, count="uncorrelated")
    assert kinder.effective_trials == effective_trials(returns) == pytest.approx(15.0, abs=2.0)
    assert kinder.deflated > found.deflated
    other = deflate(returns, selected=7)
    assert (other.selected, other.moments) == (7, sharpe_moments(returns[:, 7]))
    assert other.expected_maximum_per_bar == found.expected_maximum_per_bar


def test_one_trial_is_not_deflated() -> None:
    returns = np.random.default_rng(5).standard_normal((100, 1)) + 0.1
    found = deflate(returns)
    assert found.expected_maximum_per_bar == 0.0
    assert found.deflated == found.probabilistic


@pytest.mark.parametrize(
    ("returns", "selected", "reason"),
    [
        (np.zeros((50, 3)), None, "no trial's returns vary"),
        (np.column_stack([np.zeros(50), np.arange(50.0)]), 0, "the returns of trial 0 never vary"),
    ],
)
def test_deflate_without_a_sharpe_ratio_is_nan_with_the_reason(
    returns: np.ndarray, selected: int | None, reason: str
) -> None:
    found = deflate(returns, selected)
    assert math.isnan(found.deflated)
    assert found.reason == reason


def test_golden_superior_ability_of_arch(trials: np.ndarray) -> None:
    """At a p of 0.145 no trial is superior at 5 %; one with 0.3 deviations a bar added is, and it alone."""
    found = superior_ability(trials, seed=23456, block=10, studentise=False)
    assert (found.p_lower, found.p_consistent, found.p_upper) == (0.067, 0.145, 0.149)
    assert found.superior == ()
    assert (found.block, found.draws, found.trials, found.tested, found.level) == (10, 1_000, 40, 40, 0.05)
    edge = trials.copy()
    edge[:, 7] += 0.3
    for studentise in (False, True):
        assert superior_ability(edge, seed=23456, block=10, studentise=studentise).superior == (7,)


@pytest.mark.parametrize("seed", range(6))
def test_the_steps_are_those_of_arch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    returns = rng.standard_normal((200, 8)) + np.array([0.6, 0.4, 0.3, 0.25, 0.2, 0.0, 0.0, -0.2])
    against = 0.3 * rng.standard_normal(200)
    reference = StepM(against * -1.0, -returns, size=0.05, block_size=5, reps=300, seed=seed)
    reference.compute()
    found = superior_ability(returns, seed=seed, benchmark=against, block=5, draws=300, studentise=False)
    assert list(found.superior) == reference.superior_models
    assert 2 <= len(found.superior) < 8


def test_every_trial_may_be_superior() -> None:
    """One trial at once, the other once it is out: arch's own StepM fails here, on a maximum over none."""
    returns = np.random.default_rng(0).standard_normal((400, 2)) * [20.0, 1.0] + [8.0, 0.4]
    reference = StepM(np.zeros(400), -returns, size=0.05, block_size=2, reps=300, seed=1)
    with pytest.raises(ValueError, match="zero-size array"):
        reference.compute()
    assert superior_ability(returns, seed=1, block=2, draws=300, studentise=False).superior == (0, 1)


def test_studentised_it_does_not_matter_how_large_a_trial_is_held() -> None:
    returns = np.random.default_rng(6).standard_normal((300, 5)) + np.array([0.2, 0.0, 0.0, 0.0, 0.0])
    larger = returns * [1.0, 1.0, 1.0, 1.0, 100.0]
    for studentise in (True, False):
        small, large = (
            superior_ability(matrix, seed=1, block=2, draws=300, studentise=studentise) for matrix in (returns, larger)
        )
        assert small.superior == (0,)
        assert (large.superior == (0,)) is studentise
        assert (large.p_consistent == pytest.approx(small.p_consistent)) is studentise


@pytest.mark.parametrize("block", [1, 4, 25])
def test_the_long_run_deviation_is_that_of_arch(block: int) -> None:
    shocks = np.random.default_rng(8).standard_normal((150, 3))
    series = scipy.signal.lfilter([1.0], [1.0, -0.5], shocks, axis=0)
    reference = SPA(np.zeros(150), -series, block_size=block, reps=100, seed=1)
    reference.compute()
    np.testing.assert_allclose(_long_run_deviation(series, block) ** 2, reference._loss_diff_var, rtol=1e-10)


def test_trials_that_do_not_differ_from_the_benchmark_are_not_tested() -> None:
    rng = np.random.default_rng(9)
    against = 0.01 * rng.standard_normal(300)
    returns = np.column_stack([against, against + 0.005 + 0.01 * rng.standard_normal(300), against])
    found = superior_ability(returns, seed=1, benchmark=against, draws=300)
    assert (found.superior, found.trials, found.tested) == ((1,), 3, 1)
    none = superior_ability(returns[:, [0, 2]], seed=1, benchmark=against)
    assert math.isnan(none.p_consistent)
    assert (none.superior, none.reason) == ((), "no trial's returns vary about the benchmark")
    assert superior_ability(returns[:29], seed=1).reason == "29 bars are fewer than 30"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SharpeMoments(0.1, 1), "bars = 1 is too few"),
        (lambda: minimum_track_record(MLFINLAB, confidence=95.0), r"confidence = 95\.0 is not between"),
        (lambda: expected_maximum_sharpe(0, 0.1), "trials = 0 must be at least 1"),
        (lambda: expected_maximum_sharpe(10, -0.1), r"deviation_per_bar = -0\.1 at least 0"),
        (lambda: deflate(np.zeros(10)), r"returns \(10,\) must be a matrix"),
        (lambda: deflate(np.full((10, 2), np.nan)), r"returns \(10, 2\) must be a matrix of finite numbers"),
        (lambda: deflate(np.eye(10), selected=10), "selected = 10 is not one of the 10 trials"),
        (lambda: deflate(np.eye(10), count="some"), "count 'some' is unknown; allowed: all, uncorrelated"),  # type: ignore[arg-type]
        (lambda: superior_ability(np.eye(10), seed=1, benchmark=np.zeros(9)), r"benchmark \(9,\) must be 10 finite"),
        (lambda: superior_ability(np.eye(10), seed=1, level=5.0), r"level = 5\.0 must lie between 0 and 1"),
        (lambda: superior_ability(np.eye(10), seed=1, draws=10), "draws = 10 be at least 100"),
        (lambda: superior_ability(np.eye(10), seed=1, block=11), r"block = 11 is not between 1 .* \(10\)"),
    ],
)
def test_what_cannot_be_used_is_named(call: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()  # type: ignore[operator]


RULES = 200
BARS = 500


def random_rules(rng: np.random.Generator) -> np.ndarray:
    """(BARS, RULES) returns of rules that go long or short by a coin toss each bar, on one fat-tailed asset."""
    asset = 0.01 * rng.standard_t(5, BARS)
    return asset[:, None] * rng.choice([-1.0, 1.0], (BARS, RULES))


def test_the_best_of_random_rules_is_chance() -> None:
    """300 simulations: alone the best of 200 looks certain; deflated, at most 5 % of them pass 95 %, and PBO is 1/2.

    DSR asks the best to beat the mean of the best by 1.645 of its own errors, while the best of many scatters by less
    than half of one: fewer than the nominal 5 % pass. The mean PBO has a standard error of 0.01.
    """
    rng = np.random.default_rng(20251101)
    deflated, alone, overfit = np.empty((3, 300))
    for k in range(300):
        rules = random_rules(rng)
        found = deflate(rules)
        deflated[k], alone[k] = found.deflated, found.probabilistic
        overfit[k] = probability_of_overfitting(rules, blocks=6).probability
    print((deflated > 0.95).mean(), deflated.mean(), (alone > 0.95).mean(), overfit.mean(), overfit.std())
    assert (alone > 0.95).mean() > 0.95
    assert (deflated > 0.95).mean() <= 0.05
    assert deflated.mean() == pytest.approx(0.5, abs=0.1)
    assert overfit.mean() == pytest.approx(0.5, abs=0.04)


def test_superior_ability_keeps_its_level() -> None:
    """200 simulations of 20 random rules over 150 bars at 5 %: between 1 % and 12 % find any superior.

    The bootstrap is somewhat liberal on so few bars (7 % of 600 simulations, 6 % on 500 bars), and the
    standard error is 1.7 points.
    """
    rng = np.random.default_rng(20251101)
    found = [superior_ability(random_rules(rng)[:150, :20], seed=k, draws=200, block=1) for k in range(200)]
    rejected = float(np.mean([one.p_consistent < 0.05 for one in found]))
    chosen = float(np.mean([len(one.superior) > 0 for one in found]))
    print(rejected, chosen)
    assert 0.01 <= rejected <= 0.12
    assert 0.01 <= chosen <= 0.12


def test_a_planted_edge_is_found() -> None:
    """0.3 deviations a bar, a t of 6.7 in 500 bars, hidden among 199 random rules."""
    rules = random_rules(np.random.default_rng(20251102))
    rules[:, 123] += 0.3 * rules[:, 123].std()
    found = deflate(rules)
    assert found.selected == 123
    assert found.deflated > 0.95
    assert found.minimum_bars < BARS / 5
    assert probability_of_overfitting(rules).probability < 0.05
    assert superior_ability(rules, seed=1, draws=300).superior == (123,)
    assert interval(lambda returns: sharpe_ratio(returns, 1.0), rules[:, 123], seed=1).low > 0.15
