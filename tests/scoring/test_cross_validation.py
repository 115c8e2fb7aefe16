"""CSCV against R's pbo and naive loops; purged combinatorial splits against skfolio and brute force.

Golden numbers of CSCV: R's package pbo on 200 days by 40 trials of N(0, 1), S = 4, metric mean(r - 0.03 / 252) / sd.
Logits are printed to 8 decimals and matched to half a unit of the last; the regression to 1e-12.
"""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from backtest.base.errors import UsageError
from backtest.scoring import cross_validation
from backtest.scoring.cross_validation import (
    MEAN,
    SHARPE,
    SORTINO,
    CombinatorialCounts,
    combinatorial_counts,
    combinatorial_splits,
    leaks,
    probability_of_overfitting,
)
from backtest.scoring.metrics import sharpe_ratio, sortino_ratio

LOGITS_PAPER = [2.53897387, -2.97041447, 1.58045038, 0.76725515, -0.65677954, -0.65677954]
LOGITS_R = [2.94443898, -2.94443898, 1.73460106, 0.84729786, -0.61903921, -0.61903921]


@pytest.fixture(scope="module")
def trials(shared: Path) -> np.ndarray:
    """(200, 40) of N(0, 1), less the risk-free rate of the golden metric."""
    matrix = np.loadtxt(shared / "golden" / "pbo_m_852_200x40.csv", delimiter=",")
    assert matrix.shape == (200, 40)
    return matrix - 0.03 / 252


@pytest.mark.parametrize(("ranking", "logits"), [("paper", LOGITS_PAPER), ("r", LOGITS_R)])
def test_golden_logits(trials: np.ndarray, ranking: cross_validation.Ranking, logits: list[float]) -> None:
    found = probability_of_overfitting(trials, blocks=4, ranking=ranking)
    np.testing.assert_allclose(found.logits, logits, rtol=0, atol=5e-9)
    assert found.probability == 0.5
    assert found.loss_probability == 0.5
    assert (found.blocks, found.bars, found.trials, found.undefined, found.reason) == (4, 200, 40, 0, "")


def test_golden_regressions(trials: np.ndarray) -> None:
    """Ours regresses out of sample on in sample, as the paper does; R's package the other way round."""
    found = probability_of_overfitting(trials, blocks=4)
    assert found.intercept == pytest.approx(0.007954057627659019, abs=1e-12)
    assert found.slope == pytest.approx(-0.2198930578627379, abs=1e-12)
    assert found.adjusted_r2 == pytest.approx(-0.23442119055118127, abs=1e-12)
    slope, intercept = np.polyfit(found.out_of_sample, found.in_sample, 1)
    assert intercept == pytest.approx(0.19817025679772188, abs=1e-12)
    assert slope == pytest.approx(-0.05667776727555876, abs=1e-12)


def naive_choices(
    returns: np.ndarray, blocks: int, metric: object, ranking: str
) -> tuple[list[int], list[float], list[float], list[float]]:
    """CSCV as the paper's section 2 spells it out, one split at a time."""
    bars, columns = returns.shape
    pieces = [range(k * bars // blocks, (k + 1) * bars // blocks) for k in range(blocks)]
    selected, inside, outside, logits = [], [], [], []
    for chosen in combinations(range(blocks), blocks // 2):
        rows = [bar for k in chosen for bar in pieces[k]]
        others = [bar for k in range(blocks) if k not in chosen for bar in pieces[k]]
        before = [metric(returns[rows, n]) for n in range(columns)]  # type: ignore[operator]
        after = [metric(returns[others, n]) for n in range(columns)]  # type: ignore[operator]
        best, best_value = -1, math.nan
        for n, value in enumerate(before):
            if not math.isnan(value) and (best < 0 or value > best_value):
                best, best_value = n, value
        later = after[best] if best >= 0 else math.nan
        ranked = [value for value in after if not math.isnan(value)]
        logit = math.nan
        if not math.isnan(later):
            places = [place for place, value in enumerate(sorted(ranked), start=1) if value == later]
            relative = sum(places) / len(places) / (len(ranked) + (ranking == "paper"))
            logit = math.inf if relative == 1.0 else math.log(relative / (1.0 - relative))
        for store, value in zip((selected, inside, outside, logits), (best, best_value, later, logit), strict=True):
            store.append(value)
    return selected, inside, outside, logits


def exact_sharpe(column: np.ndarray) -> float:
    """From exact integer sums, so that equal trials are equal here too."""
    count, total, squares = float(len(column)), float(column.sum()), float((column**2).sum())
    variance = (squares - total**2 / count) / (count - 1.0)
    return total / count / math.sqrt(variance) if variance > 0.0 else math.nan


small = arrays.arrays(
    np.int64,
    st.tuples(st.integers(8, 21), st.integers(2, 6)),
    elements=st.sampled_from([-2, -1, 0, 0, 0, 1, 2]),
)


@given(
    returns=small,
    blocks=st.sampled_from([2, 4]),
    ranking=st.sampled_from(["paper", "r"]),
    chunk=st.sampled_from([1, 7, 2**17]),
)
@settings(max_examples=150, deadline=None)
def test_choices_are_those_of_the_naive_loop(
    returns: np.ndarray, blocks: int, ranking: cross_validation.Ranking, chunk: int
) -> None:
    """Small integers: ties, trials that do not trade in a half, blocks of unequal length, any size of chunk."""
    matrix = returns.astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_validation, "_CHUNK", chunk)
        found = probability_of_overfitting(matrix, blocks=blocks, ranking=ranking)
        sliced = probability_of_overfitting(matrix, blocks=blocks, ranking=ranking, metric=lambda half: SHARPE(half))
    expected = naive_choices(matrix, blocks, exact_sharpe, ranking)
    for name, values in zip(("selected", "in_sample", "out_of_sample", "logits"), expected, strict=True):
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-12, atol=0, err_msg=name)
        np.testing.assert_array_equal(getattr(sliced, name), getattr(found, name), err_msg=name)
    logits = np.array(expected[3])
    defined = logits[~np.isnan(logits)]
    assert found.undefined == len(logits) - len(defined)
    if found.undefined > len(logits) / 2:
        assert math.isnan(found.probability)
        assert found.reason == f"{found.undefined} of {len(logits)} splits have no metric in both halves"
    else:
        assert found.probability == (defined <= 0.0).mean()
        assert found.loss_probability == (np.array(expected[2])[~np.isnan(logits)] < 0.0).mean()


def test_a_metric_that_is_no_sum_sees_each_half_in_order() -> None:
    """Six bars in two blocks: the metric is handed bars 0-2, then 3-5."""
    seen: list[list[float]] = []

    def last(half: np.ndarray) -> np.ndarray:
        seen.append(half[:, 0].tolist())
        return half[-1]

    found = probability_of_overfitting(np.array([[0, 1, 2, 3, 4, 5], [0, 0, 9, 0, 0, 1]]).T, blocks=2, metric=last)
    assert seen == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert found.selected.tolist() == [1, 0]
    assert found.in_sample.tolist() == [9.0, 5.0]
    assert found.out_of_sample.tolist() == [1.0, 2.0]
    np.testing.assert_allclose(found.logits, math.log(0.5))


@given(returns=arrays.arrays(np.float64, (30, 3), elements=st.integers(-200, 200).map(lambda value: value / 1e3)))
def test_sum_metrics_are_those_of_the_scores(returns: np.ndarray) -> None:
    for column, sharpe, sortino, mean in zip(returns.T, SHARPE(returns), SORTINO(returns), MEAN(returns), strict=True):
        assert sharpe == pytest.approx(sharpe_ratio(column, 1.0), rel=1e-6, abs=1e-9, nan_ok=True)
        assert sortino == pytest.approx(sortino_ratio(column, 1.0), rel=1e-9, abs=1e-9, nan_ok=True)
        assert mean == pytest.approx(column.mean(), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("bars", [10, 1_000, 100_000])
def test_a_constant_has_no_sharpe_ratio(bars: int) -> None:
    """Not even where rounding leaves a variance, as it does for 0.1."""
    assert np.isnan(SHARPE(np.tile([0.0, 0.1, -1e-7, 1 / 3], (bars, 1)))).all()


def test_equal_trials_share_a_rank() -> None:
    """Forty copies of one trial: each ranks (40 + 1) / 2 of 41, logit 0, which counts as overfit."""
    copies = np.repeat(np.random.default_rng(1).standard_normal((500, 1)), 40, axis=1)
    found = probability_of_overfitting(copies, blocks=8)
    assert np.abs(found.logits).max() == 0.0
    assert found.probability == 1.0


def test_thousands_of_splits_of_hundreds_of_trials() -> None:
    """S = 16 gives 12,870 splits; halves mirror each other, and a better trial is told from noise."""
    noise = np.random.default_rng(3).standard_normal((1_200, 100))
    found = probability_of_overfitting(noise)
    assert len(found.logits) == math.comb(16, 8) == 12_870
    edge = noise.copy()
    edge[:, 17] += 0.25
    better = probability_of_overfitting(edge)
    assert set(better.selected.tolist()) == {17}
    assert better.probability == 0.0
    assert better.loss_probability == 0.0
    # Best in both halves of one fixed sample: what one half has more, the other has less.
    assert better.slope < -0.9


def test_noise_is_overfit_in_half_of_the_splits() -> None:
    """Mean PBO of 200 matrices of 500 bars by 50 trials; one scatters by about 0.2, the mean by 0.015: 0.44 to 0.56."""
    rng = np.random.default_rng(20251101)
    found = [probability_of_overfitting(rng.standard_normal((500, 50)), blocks=8).probability for _ in range(200)]
    print(np.mean(found), np.std(found))
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)
    assert np.std(found) > 0.05


@pytest.mark.parametrize(
    ("returns", "options", "message"),
    [
        (np.zeros((100, 1)), {}, r"returns \(100, 1\) must be a finite matrix, bars by at least two trials"),
        (np.zeros(100), {}, r"returns \(100,\) must be a finite matrix"),
        (np.full((100, 3), np.inf), {}, r"returns \(100, 3\) must be a finite matrix"),
        (np.zeros((100, 3)), {"blocks": 7}, "blocks = 7 must be an even number from 2 to 20"),
        (np.zeros((100, 3)), {"blocks": 22}, "blocks = 22 must be an even number from 2 to 20"),
        (np.zeros((31, 3)), {"blocks": 16}, "blocks = 16 must be .* at least two of the 31 bars each"),
        (np.zeros((100, 3)), {"ranking": "R"}, "ranking 'R' is unknown; allowed: paper, r"),
    ],
)
def test_what_cannot_be_used_is_named(returns: np.ndarray, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        probability_of_overfitting(returns, **options)  # type: ignore[arg-type]


def test_nothing_traded_is_no_probability() -> None:
    found = probability_of_overfitting(np.zeros((100, 3)), blocks=4)
    assert math.isnan(found.probability)
    assert found.reason == "6 of 6 splits have no metric in both halves"
    assert found.selected.tolist() == [-1] * 6


def test_golden_counts() -> None:
    assert combinatorial_counts(6, 2) == CombinatorialCounts(splits=15, paths=5)
    assert combinatorial_counts(10, 8) == CombinatorialCounts(splits=45, paths=36)


def test_golden_splits_of_skfolio() -> None:
    """CombinatorialPurgedCV(n_folds=3, n_test_folds=2, purged_size=1, embargo_size=1) on 12 bars."""
    bars = np.arange(12)
    splits = list(combinatorial_splits(bars, bars, 3, 2, purge=1, embargo=1))
    assert [split.train.tolist() for split in splits] == [[10, 11], [6], [0, 1, 2]]
    assert [[test.tolist() for test in split.test] for split in splits] == [
        [[0, 1, 2, 3], [4, 5, 6, 7]],
        [[0, 1, 2, 3], [8, 9, 10, 11]],
        [[4, 5, 6, 7], [8, 9, 10, 11]],
    ]
    assert [split.paths for split in splits] == [(0, 0), (1, 0), (1, 1)]


@given(
    starts=st.lists(st.integers(0, 60), min_size=12, max_size=20),
    lengths=st.lists(st.integers(0, 6), min_size=20, max_size=20),
    shape=st.sampled_from([(3, 1), (4, 2), (6, 2), (5, 3)]),
    purge=st.integers(0, 2),
    embargo=st.integers(0, 2),
)
@settings(deadline=None)
def test_splits_keep_what_they_promise(
    starts: list[int], lengths: list[int], shape: tuple[int, int], purge: int, embargo: int
) -> None:
    """No pair of a train and a test observation is too near, nothing farther is lost, each path has each fold once."""
    folds, test_folds = shape
    start = np.array(sorted(starts))
    end = start + np.array(lengths[: len(start)])
    counts = combinatorial_counts(folds, test_folds)
    try:
        splits = list(combinatorial_splits(start, end, folds, test_folds, purge=purge, embargo=embargo))
    except UsageError as error:
        if "leave nothing to train on" not in str(error):
            raise
        return
    assert len(splits) == counts.splits
    on_path: dict[int, list[int]] = {path: [] for path in range(counts.paths)}
    for split in splits:
        tested = np.concatenate(split.test)
        for i in split.train:
            for j in tested:
                assert end[i] < start[j] - purge or start[i] > end[j] + purge + embargo
        for i in set(range(len(start))) - set(split.train.tolist()) - set(tested.tolist()):
            assert any(
                end[i] >= start[test].min() - purge and start[i] <= end[test].max() + purge + embargo
                for test in split.test
            )
        for test, path in zip(split.test, split.paths, strict=True):
            on_path[path].extend(test.tolist())
    assert counts.paths > 0
    for observations in on_path.values():
        assert sorted(observations) == list(range(len(start)))


def test_a_long_holding_leaks_across_a_bar_gap() -> None:
    """Observation 0 is decided at 0 and held to 10: it ends inside the test window 8 to 9; purge 2 reaches 6 too."""
    start, end = np.array([0, 2, 5, 8, 9, 12]), np.array([10, 3, 6, 8, 9, 13])
    assert leaks(start, end, np.array([3, 4])).tolist() == [True, False, False, True, True, False]
    assert leaks(start, end, np.array([3, 4]), purge=2).tolist() == [True, False, True, True, True, False]
    assert leaks(start, end, np.array([3, 4]), embargo=3).tolist() == [True, False, False, True, True, True]


@pytest.mark.parametrize(
    ("start", "end", "folds", "test_folds", "gaps", "message"),
    [
        ([0, 1, 2], [0, 1, 2], 3, 3, {}, "test_folds = 3 must be at least 1 and below folds = 3"),
        ([0, 1, 2], [0, 1, 2], 3, 0, {}, "test_folds = 0 must be"),
        ([0, 2, 1], [0, 2, 1], 3, 1, {}, "in ascending order of start"),
        ([0, 1, 2], [0, 0, 2], 3, 1, {}, "no end before its start"),
        ([0, 1, 2], [0, 1], 3, 1, {}, r"start \(3,\) and end \(2,\) must be of one length"),
        ([0, 1, 2], [0, 1, 2], 4, 1, {}, "3 observations in folds = 4"),
        ([0, 1, 2], [0, 1, 2], 3, 1, {"embargo": -1}, "embargo = -1"),
        ([0, 1, 2], [0, 1, 2], 3, 1, {"purge": 2}, r"purge = 2 .* where folds \(0,\) are tested"),
    ],
)
def test_splits_that_cannot_be_are_refused(
    start: list[int], end: list[int], folds: int, test_folds: int, gaps: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        list(combinatorial_splits(start, end, folds, test_folds, **gaps))
