"""Whether the best trial in sample stays good out of sample: CSCV over a trial matrix; purged combinatorial splits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from backtest.base.errors import UsageError
from backtest.engine.layout import LEAST_RATIO
from backtest.market.record import Flags, Floats

NAN = float("nan")
MOST_BLOCKS = 20
# Cells of one chunk of splits by trials: memory does not grow with the number of splits.
_CHUNK = 2**17
_ROUNDING = 1e-15

Ints = npt.NDArray[np.int64]
RowMetric = Callable[[Floats], Floats]
Ranking = Literal["paper", "r"]


@dataclass(frozen=True, slots=True)
class SumMetric:
    """A metric that depends on the bars only through sums over them, so that it is known for any set of blocks at once.

    `terms` maps returns (T, N) to the summands (K, T, N); `value` maps a count that broadcasts and the sums
    (K, ..., N) to the metric (..., N), NaN where undefined.
    """

    terms: Callable[[Floats], Floats]
    value: Callable[[Floats, Floats], Floats]

    def __call__(self, returns: Floats) -> Floats:
        """(N,) metric of returns (T, N)."""
        return self.value(np.array([float(len(returns))]), self.terms(returns).sum(axis=1))


def _sharpe(count: Floats, sums: Floats) -> Floats:
    total, squares = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (squares - total**2 / count) / (count - 1.0)
        # Rounding gives a constant series some variance, which grows with the length of the sum.
        least = np.maximum(np.maximum(LEAST_RATIO / count, _ROUNDING) * squares, LEAST_RATIO**2)
        return np.where(variance > least, total / count / np.sqrt(variance), NAN)


def _sortino(count: Floats, sums: Floats) -> Floats:
    total, losses = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(losses / count > LEAST_RATIO**2, total / count / np.sqrt(losses / count), NAN)


SHARPE = SumMetric(lambda returns: np.stack([returns, returns**2]), _sharpe)
"""Sharpe ratio per bar, deviation with ddof 1; NaN where returns never vary."""
SORTINO = SumMetric(lambda returns: np.stack([returns, np.minimum(returns, 0.0) ** 2]), _sortino)
"""Mean over downside deviation, per bar; NaN without losses."""
MEAN = SumMetric(lambda returns: returns[None], lambda count, sums: np.asarray(sums[0] / count))
"""Mean return per bar."""


@dataclass(frozen=True, slots=True, eq=False)
class Overfitting:
    """How the best trial in sample did out of sample, over C splits of the blocks into two halves.

    Each split, in lexicographic order of its in-sample blocks: `selected` (C,) the best trial's column (-1 where no
    trial has a metric), its metric `in_sample` (C,) and `out_of_sample` (C,), and `logits` (C,) of its relative rank
    out of sample, NaN where it has no metric there. `probability` (PBO) is the share of defined logits at or below
    0, `loss_probability` the share of out-of-sample metrics below the threshold. `slope`, `intercept` and
    `adjusted_r2` belong to the regression of out-of-sample on in-sample metrics. `undefined` counts splits without a
    logit; if these are more than half, every summary is NaN with the `reason`.
    """

    probability: float
    loss_probability: float
    slope: float
    intercept: float
    adjusted_r2: float
    logits: Floats
    selected: Ints
    in_sample: Floats
    out_of_sample: Floats
    blocks: int
    bars: int
    trials: int
    undefined: int
    reason: str = ""


def probability_of_overfitting(
    returns: npt.ArrayLike,
    *,
    blocks: int = 16,
    metric: RowMetric | SumMetric = SHARPE,
    ranking: Ranking = "paper",
    threshold: float = 0.0,
) -> Overfitting:
    """PBO of a trial matrix `returns` (T, N) by combinatorially symmetric cross-validation over `blocks` blocks.

    The T bars are cut into blocks whose lengths differ by at most one bar; each choice of half of them is in sample
    once and out of sample once. `metric` maps (bars, N) to (N,), higher is better; a `SumMetric` is much cheaper than
    any other function, which is called on every half. The relative rank is rank / (N + 1) in the `paper`, and rank / N
    in the `r` package pbo, where the best has an infinite logit; ties share their mean rank. A trial without a metric
    in sample is not selected; one without a metric out of sample is not ranked. A metric below `threshold` is a loss.

    Bailey, Borwein, Lopez de Prado and Zhu, Journal of Computational Finance 20(4) (2017), doi:10.21314/JCF.2016.322.

    Raises
    ------
    UsageError
        If `returns` is not a finite matrix of at least two trials, or an option is out of range.
    """
    trials = np.asarray(returns, dtype=np.float64)
    if trials.ndim != 2 or trials.shape[1] < 2 or not np.isfinite(trials).all():
        raise UsageError(f"returns {trials.shape} must be a finite matrix, bars by at least two trials")
    if blocks % 2 or not 2 <= blocks <= MOST_BLOCKS or len(trials) < 2 * blocks:
        raise UsageError(
            f"blocks = {blocks} must be an even number from 2 to {MOST_BLOCKS}, of at least two of the {len(trials)} "
            "bars each"
        )
    if ranking not in ("paper", "r"):
        raise UsageError(f"ranking {ranking!r} is unknown; allowed: paper, r")
    halves = _by_sums(trials, blocks, metric) if isinstance(metric, SumMetric) else _by_slices(trials, blocks, metric)
    forth, back = [], []
    # The complement of a split is as far from the end of the lexicographic order as the split is from its beginning.
    for inside in _first_splits(blocks, max(1, _CHUNK // trials.shape[1])):
        one, other = halves(inside), halves(~inside)
        forth.append(_judge(one, other, ranking))
        back.append(_judge(other, one, ranking))
    choices = _Choices(
        *(
            np.concatenate([*there, np.concatenate(again)[::-1]])
            for there, again in zip(zip(*forth, strict=True), zip(*back, strict=True), strict=True)
        )
    )
    return _summarise(choices, threshold, blocks, trials)


class _Choices(NamedTuple):
    """The best trial of each split: column, metric in sample and out of sample, logit of its relative rank there."""

    selected: Ints
    in_sample: Floats
    out_of_sample: Floats
    logits: Floats


def _first_splits(blocks: int, rows: int) -> Iterator[Flags]:
    """The blocks in sample (C, blocks) of the first half of all splits in lexicographic order, in chunks."""
    members = islice(combinations(range(blocks), blocks // 2), math.comb(blocks, blocks // 2) // 2)
    while chosen := list(islice(members, rows)):
        inside = np.zeros((len(chosen), blocks), dtype=np.bool_)
        np.put_along_axis(inside, np.array(chosen), True, axis=1)
        yield inside


def _edges(bars: int, pieces: int) -> Ints:
    """(pieces + 1,) bounds of pieces whose lengths differ by at most one."""
    return np.arange(pieces + 1) * bars // pieces


def _by_sums(trials: Floats, blocks: int, metric: SumMetric) -> Callable[[Flags], Floats]:
    edges = _edges(len(trials), blocks)
    lengths = np.diff(edges).astype(np.float64)
    sums = np.stack([metric.terms(piece).sum(axis=1) for piece in np.split(trials, edges[1:-1])], axis=1)

    def halves(inside: Flags) -> Floats:
        total = np.zeros((len(sums), len(inside), trials.shape[1]))
        # Added block by block, not as a matrix product: equal trials must give results equal to the last bit.
        for block in range(blocks):
            total += inside[:, block, None] * sums[:, block, None, :]
        return metric.value((inside @ lengths)[:, None], total)

    return halves


def _by_slices(trials: Floats, blocks: int, metric: RowMetric) -> Callable[[Flags], Floats]:
    lengths = np.diff(_edges(len(trials), blocks))

    def halves(inside: Flags) -> Floats:
        return np.stack([metric(trials[np.repeat(chosen, lengths)]) for chosen in inside])

    return halves


def _judge(inside: Floats, outside: Floats, ranking: Ranking) -> _Choices:
    """The choice by `inside` metrics (C, N), ranked by `outside` ones; NaN is neither selected nor ranked."""
    rows = np.arange(len(inside))
    best = np.argmax(np.where(np.isnan(inside), -np.inf, inside), axis=1)
    chosen, later = inside[rows, best], outside[rows, best]
    later[np.isnan(chosen)] = NAN
    rank = (outside < later[:, None]).sum(axis=1) + ((outside == later[:, None]).sum(axis=1) + 1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = rank / ((~np.isnan(outside)).sum(axis=1) + (ranking == "paper"))
        logits = np.where(np.isnan(later), NAN, np.log(relative / (1.0 - relative)))
    return _Choices(np.where(np.isnan(chosen), -1, best), chosen, later, logits)


def _summarise(choices: _Choices, threshold: float, blocks: int, trials: Floats) -> Overfitting:
    defined = ~np.isnan(choices.logits)
    splits, known = len(defined), int(defined.sum())
    undefined = splits - known
    reason = f"{undefined} of {splits} splits have no metric in both halves" if undefined > splits / 2 else ""
    slope = intercept = adjusted = probability = loss = NAN
    if not reason:
        probability = float(np.mean(choices.logits[defined] <= 0.0))
        before, after = choices.in_sample[defined], choices.out_of_sample[defined]
        loss = float(np.mean(after < threshold))
        away, later = before - before.mean(), after - after.mean()
        if away.any() and later.any() and known > 2:
            slope = float(away @ later / (away @ away))
            intercept = float(after.mean() - slope * before.mean())
            unexplained = 1.0 - float((away @ later) ** 2 / ((away @ away) * (later @ later)))
            adjusted = 1.0 - unexplained * (known - 1) / (known - 2)
    bars, count = trials.shape
    return Overfitting(
        probability,
        loss,
        slope,
        intercept,
        adjusted,
        choices.logits,
        choices.selected,
        choices.in_sample,
        choices.out_of_sample,
        blocks,
        bars,
        count,
        undefined,
        reason,
    )


@dataclass(frozen=True, slots=True)
class CombinatorialCounts:
    """Numbers of train/test splits and of full paths that their test folds make up."""

    splits: int
    paths: int


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One train/test split of n observations.

    `train` holds the positions that may be learned from; `test` those of each test fold in order, and `paths` the path
    that each of these folds belongs to (every path holds every fold once).
    """

    train: Ints
    test: tuple[Ints, ...]
    paths: tuple[int, ...]


def combinatorial_counts(folds: int, test_folds: int) -> CombinatorialCounts:
    """C(folds, test_folds) splits, and test_folds / folds times as many paths.

    Lopez de Prado, Advances in Financial Machine Learning (2018), section 12.3, ISBN 978-1-119-48208-6.

    Raises
    ------
    UsageError
        If `test_folds` is not between 1 and `folds` - 1.
    """
    if not 1 <= test_folds < folds:
        raise UsageError(f"test_folds = {test_folds} must be at least 1 and below folds = {folds}")
    return CombinatorialCounts(math.comb(folds, test_folds), math.comb(folds - 1, test_folds - 1))


def combinatorial_splits(
    start: npt.ArrayLike, end: npt.ArrayLike, folds: int, test_folds: int, *, purge: int = 0, embargo: int = 0
) -> Iterator[Split]:
    """Every split of n observations into train and test folds (CPCV), in lexicographic order of the test folds.

    Observation i lasts from `start` (n,) to `end` (n,), both included: bar numbers, or milliseconds from decision to
    exit; `purge` and `embargo` are in the same unit. Observations that `leaks` marks are not trained on.

    Lopez de Prado, Advances in Financial Machine Learning (2018), chapters 7 and 12, ISBN 978-1-119-48208-6.

    Raises
    ------
    UsageError
        If the observations are not in order of their start, an option is out of range, or a split has nothing left
        to train on.
    """
    combinatorial_counts(folds, test_folds)
    begins, ends = np.asarray(start, dtype=np.int64), np.asarray(end, dtype=np.int64)
    if begins.ndim != 1 or begins.shape != ends.shape or (ends < begins).any() or (np.diff(begins) < 0).any():
        raise UsageError(
            f"start {begins.shape} and end {ends.shape} must be of one length, no end before its start, in ascending "
            "order of start: sort the observations"
        )
    if len(begins) < folds or min(purge, embargo) < 0:
        raise UsageError(
            f"{len(begins)} observations in folds = {folds} with purge = {purge} and embargo = {embargo}: each fold "
            "needs an observation, and no gap may be negative"
        )
    return _splits(begins, ends, folds, test_folds, purge, embargo)


def _splits(start: Ints, end: Ints, folds: int, test_folds: int, purge: int, embargo: int) -> Iterator[Split]:
    observations = np.arange(len(start))
    pieces = np.split(observations, _edges(len(start), folds)[1:-1])
    leaking = [leaks(start, end, piece, purge=purge, embargo=embargo) for piece in pieces]
    tested = np.zeros(folds, dtype=np.int64)
    for chosen in combinations(range(folds), test_folds):
        train = observations[~np.any([leaking[fold] for fold in chosen], axis=0)]
        if not len(train):
            raise UsageError(
                f"purge = {purge} and embargo = {embargo} leave nothing to train on where folds {chosen} are tested: "
                "use fewer folds or smaller gaps"
            )
        yield Split(train, tuple(pieces[fold] for fold in chosen), tuple(int(tested[fold]) for fold in chosen))
        tested[list(chosen)] += 1


def leaks(start: Ints, end: Ints, test: Ints, *, purge: int = 0, embargo: int = 0) -> Flags:
    """(n,) whether an observation overlaps the `test` ones or is too close to them, so must not be trained on.

    It is if it ends no more than `purge` before the first of them starts, and starts no more than `purge` +
    `embargo` after the last of them ends; test observations are too. All in the unit of `start` and `end`.
    Lopez de Prado, Advances in Financial Machine Learning (2018), section 7.4, ISBN 978-1-119-48208-6.
    """
    return np.asarray((end >= start[test].min() - purge) & (start <= end[test].max() + purge + embargo))
