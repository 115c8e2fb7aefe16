"""What is left of a Sharpe ratio after allowing for its sample size, its tails and the search for it.

Every Sharpe ratio here is per bar: an annualised one divided by the root of bars per year. Kurtosis is not excess
kurtosis: that of a normal distribution is 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtest.base.errors import UsageError
from backtest.base.normal import normal_cdf, normal_quantile
from backtest.market.record import Flags, Floats
from backtest.scoring.block_length import FEWEST, block_length
from backtest.scoring.cross_validation import SHARPE

NAN = float("nan")

TrialCount = Literal["all", "uncorrelated"]


@dataclass(frozen=True, slots=True)
class SharpeMoments:
    """What the error of a Sharpe ratio depends on: the ratio per bar, skew, non-excess kurtosis, number of bars.

    NaN for returns that never vary. Fewer than two bars raise `UsageError`; so does a kurtosis below 1 + skew^2, which
    no distribution has: it is usually an excess kurtosis.
    """

    sharpe_per_bar: float
    bars: int
    skew: float = 0.0
    kurtosis: float = 3.0

    def __post_init__(self) -> None:
        if self.bars < 2:
            raise UsageError(f"bars = {self.bars} is too few for a Sharpe ratio: give at least 2")
        least = 1.0 + self.skew**2
        if self.kurtosis < least * (1.0 - 1e-9):
            raise UsageError(
                f"kurtosis = {self.kurtosis} is below 1 + skew^2 = {least:g}: give the kurtosis that is 3 for a normal "
                "distribution, not the excess over it"
            )

    @property
    def unit_error(self) -> float:
        """Standard error times the root of bars - 1: sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2); NaN where it is 0.

        Mertens, working paper, University of Basel (2002).
        """
        sharpe = self.sharpe_per_bar
        square = 1.0 - self.skew * sharpe + (self.kurtosis - 1.0) / 4.0 * sharpe**2
        return math.sqrt(square) if square > 0.0 else NAN


@dataclass(frozen=True, slots=True)
class DeflatedSharpe:
    """The Sharpe ratio of one trial chosen among many, adjusted for the choice.

    `selected` is its column (-1 if no trial has a Sharpe ratio). `probabilistic` is the share of estimates that would
    fall below its Sharpe ratio if the true one were 0 (1 - p if it were the only trial), `minimum_bars` the number of
    bars needed for a share of 95 % (NaN for a ratio that is not positive). `deflated` is the same share if the true one
    were `expected_maximum_per_bar`, the expected best of as many trials without skill. Neither is the probability that
    the true ratio exceeds any value. `trials` counts those with a Sharpe ratio, `effective_trials` is the number that
    they were counted as, `deviation_per_bar` the standard deviation (ddof 1) of their Sharpe ratios. NaN with the
    `reason` where undefined.
    """

    selected: int
    moments: SharpeMoments
    probabilistic: float
    minimum_bars: float
    deflated: float
    expected_maximum_per_bar: float
    deviation_per_bar: float
    trials: int
    effective_trials: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SuperiorAbility:
    """Whether the best of N trials beats the benchmark, and which trials do, adjusted for the search.

    `p_consistent` is Hansen's p-value between its bounds `p_lower` (liberal) and `p_upper` (White's Reality Check); 0
    means below 1/`draws`. `superior` are the columns that beat the benchmark with a family-wise error of `level`.
    `block` is the mean block length in bars; `tested` of the `trials` differ from the benchmark. Where undefined, p is
    NaN and `superior` is empty, with the `reason`.
    """

    p_lower: float
    p_consistent: float
    p_upper: float
    superior: tuple[int, ...]
    level: float
    block: int
    draws: int
    trials: int
    tested: int
    reason: str = ""


def sharpe_moments(returns: npt.ArrayLike) -> SharpeMoments:
    """Sharpe ratio per bar (ddof 1), skew and kurtosis (ddof 0) of `returns` (T,); NaN where they never vary."""
    series = _matrix(np.asarray(returns, dtype=np.float64)[:, None])
    sharpe = float(SHARPE(series)[0])
    if math.isnan(sharpe):
        return SharpeMoments(NAN, len(series), NAN, NAN)
    scores = (series - series.mean()) / series.std()
    return SharpeMoments(sharpe, len(series), float((scores**3).mean()), float((scores**4).mean()))


def probabilistic_sharpe(moments: SharpeMoments, benchmark_per_bar: float = 0.0) -> float:
    """PSR: share of estimates below this one if the true ratio were the benchmark; NaN if its error is 0 or unknown.

    Phi((SR - SR*) sqrt(T - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2)): Bailey and Lopez de Prado, Journal of
    Risk 15(2) (2012), doi:10.21314/JOR.2012.255.
    """
    away = moments.sharpe_per_bar - benchmark_per_bar
    return normal_cdf(away * math.sqrt(moments.bars - 1) / moments.unit_error)


def minimum_track_record(moments: SharpeMoments, benchmark_per_bar: float = 0.0, confidence: float = 0.95) -> float:
    """MinTRL: number of bars at which the PSR reaches `confidence`; NaN unless the Sharpe ratio exceeds the benchmark.

    1 + (1 - skew SR + (kurtosis - 1) / 4 SR^2) (Phi^-1(confidence) / (SR - SR*))^2: Bailey and Lopez de Prado, Journal
    of Risk 15(2) (2012), doi:10.21314/JOR.2012.255.
    """
    if not 0.5 < confidence < 1.0:
        raise UsageError(f"confidence = {confidence} is not between 0.5 and 1: write 0.95 for 95%")
    away = moments.sharpe_per_bar - benchmark_per_bar
    return 1.0 + (moments.unit_error * normal_quantile(confidence) / away) ** 2 if away > 0.0 else NAN


def expected_maximum_sharpe(trials: float, deviation_per_bar: float) -> float:
    """Best Sharpe ratio per bar that `trials` independent trials without skill are expected to show.

    `deviation_per_bar` is the standard deviation of the trials' Sharpe ratios. V^1/2 ((1 - g) Phi^-1(1 - 1/N) + g
    Phi^-1(1 - 1/(N e))), g being Euler's constant: Bailey and Lopez de Prado, Journal of Portfolio Management 40(5)
    (2014), doi:10.3905/jpm.2014.40.5.094. For little more than one trial the formula is negative: 0 is returned.

    Raises
    ------
    UsageError
        If `trials` is below 1 or the deviation below 0.
    """
    if not trials >= 1.0 or deviation_per_bar < 0.0:
        raise UsageError(f"trials = {trials} must be at least 1 and deviation_per_bar = {deviation_per_bar} at least 0")
    upper, far = (normal_quantile(1.0 - 1.0 / count) for count in (trials, trials * math.e))
    return deviation_per_bar * max(0.0, (1.0 - float(np.euler_gamma)) * upper + float(np.euler_gamma) * far)


def effective_trials(returns: npt.ArrayLike) -> float:
    """Number of independent trials equivalent to N correlated ones: rho + (1 - rho) N, rho the mean correlation (>= 0).

    `returns` (T, N); trials that never vary are left out; 0 if none varies. Bailey and Lopez de Prado,
    Journal of Portfolio Management 40(5) (2014), appendix A.3, doi:10.3905/jpm.2014.40.5.094.
    """
    trials = _matrix(returns)
    trials = trials[:, np.isfinite(SHARPE(trials))]
    count = int(trials.shape[1])
    if count < 2:
        return float(count)
    scores = (trials - trials.mean(axis=0)) / trials.std(axis=0)
    # The variance of the sum of standardised trials is the sum of all their correlations.
    correlation = (float(scores.sum(axis=1).var()) - count) / (count * (count - 1))
    correlation = min(max(correlation, 0.0), 1.0)
    return correlation + (1.0 - correlation) * count


def deflate(returns: npt.ArrayLike, selected: int | None = None, count: TrialCount = "all") -> DeflatedSharpe:
    """DSR of the trial `selected`, by default the one with the highest Sharpe ratio, among the returns (T, N) of all.

    The PSR against the expected maximum of the trials tried: Bailey and Lopez de Prado, Journal of Portfolio
    Management 40(5) (2014), doi:10.3905/jpm.2014.40.5.094. `count` says how many trials they count as: `all` of them,
    or their `effective_trials` (`uncorrelated`), which is more lenient. The matrix must hold every trial looked at.

    Raises
    ------
    UsageError
        If `returns` is not a finite matrix, or `selected` or `count` is unknown.
    """
    trials = _matrix(returns)
    if count not in ("all", "uncorrelated"):
        raise UsageError(f"count {count!r} is unknown; allowed: all, uncorrelated")
    if selected is not None and not 0 <= selected < trials.shape[1]:
        raise UsageError(f"selected = {selected} is not one of the {trials.shape[1]} trials: count from 0")
    sharpes = SHARPE(trials)
    known = np.isfinite(sharpes)
    tried = int(known.sum())
    if selected is None:
        selected = int(np.nanargmax(sharpes)) if tried else -1
    moments = sharpe_moments(trials[:, selected])
    if not math.isfinite(moments.sharpe_per_bar):
        reason = "no trial's returns vary" if not tried else f"the returns of trial {selected} never vary"
        return DeflatedSharpe(selected, moments, NAN, NAN, NAN, NAN, NAN, tried, NAN, reason)
    deviation = float(sharpes[known].std(ddof=1)) if tried > 1 else 0.0
    effective = float(tried) if count == "all" else effective_trials(trials)
    maximum = expected_maximum_sharpe(effective, deviation)
    deflated = probabilistic_sharpe(moments, maximum)
    return DeflatedSharpe(
        selected=selected,
        moments=moments,
        probabilistic=probabilistic_sharpe(moments),
        minimum_bars=minimum_track_record(moments),
        deflated=deflated,
        expected_maximum_per_bar=maximum,
        deviation_per_bar=deviation,
        trials=tried,
        effective_trials=effective,
        reason="the Sharpe ratio has no error: its returns take two values" if math.isnan(deflated) else "",
    )


def superior_ability(
    returns: npt.ArrayLike,
    *,
    seed: int,
    benchmark: npt.ArrayLike | None = None,
    level: float = 0.05,
    draws: int = 1_000,
    block: int | None = None,
    studentise: bool = True,
) -> SuperiorAbility:
    """SPA p-values and StepM set of trials `returns` (T, N) against `benchmark` (T,) returns (default: 0, no position).

    A loss is a negative return, so a trial's loss differential is its return minus the benchmark's. SPA: Hansen,
    Journal of Business & Economic Statistics 23 (2005), doi:10.1198/073500105000000063. StepM: Romano and Wolf,
    Econometrica 73 (2005), doi:10.1111/j.1468-0262.2005.00615.x. Both use one stationary bootstrap of `arch` with mean
    block length `block`, by default `block_length` rounded up. `studentise` first divides each differential by its
    long-run deviation, as in both papers, so that the most volatile trial does not dominate; `arch` does not.

    Raises
    ------
    UsageError
        If the arrays are not finite or do not align, or an option is out of range.
    """
    trials = _matrix(returns)
    bars, columns = trials.shape
    against = np.zeros(bars) if benchmark is None else np.asarray(benchmark, dtype=np.float64)
    if against.shape != (bars,) or not np.isfinite(against).all():
        raise UsageError(f"benchmark {against.shape} must be {bars} finite returns, one for each bar of the trials")
    if not 0.0 < level < 1.0 or draws < 100:
        raise UsageError(f"level = {level} must lie between 0 and 1 and draws = {draws} be at least 100")
    if block is not None and not 1 <= block <= bars:
        raise UsageError(f"block = {block} is not between 1 and the number of bars ({bars})")
    better = trials - against[:, None]
    tested = np.flatnonzero(np.isfinite(SHARPE(better)))
    if not len(tested) or bars < FEWEST:
        reason = (
            "no trial's returns vary about the benchmark" if not len(tested) else f"{bars} bars are fewer than {FEWEST}"
        )
        return SuperiorAbility(NAN, NAN, NAN, (), level, 0, draws, columns, len(tested), reason)
    from arch.bootstrap import SPA

    # Bar by bar in memory, as arch draws whole bars.
    better = np.ascontiguousarray(better[:, tested])
    length = math.ceil(block_length(better)) if block is None else block
    if studentise:
        better = better / _long_run_deviation(better, length)
    spa = SPA(np.zeros(bars), -better, block_size=length, reps=draws, seed=seed)
    spa.compute()
    lower, consistent, upper = (float(spa.pvalues[kind]) for kind in ("lower", "consistent", "upper"))
    superior = tuple(int(column) for column in tested[_step_down(spa, level, len(tested))])
    return SuperiorAbility(lower, consistent, upper, superior, level, length, draws, trials=columns, tested=len(tested))


def _step_down(spa: Any, level: float, trials: int) -> Flags:
    """Trials found superior by a computed SPA, repeated after removing those already found.

    The loop is written here because arch's own StepM fails when every trial is found superior.
    """
    superior = np.zeros(trials, dtype=np.bool_)
    while len(found := spa.better_models(level)):
        superior[found] = True
        if superior.all():
            break
        spa.subset(~superior)
        spa.compute()
    return superior


def _long_run_deviation(series: Floats, block: int) -> Floats:
    """(N,) root of the variance of each series' mean under the stationary bootstrap, times the root of bars.

    Politis and Romano, Journal of the American Statistical Association 89 (1994), lemma 1.
    """
    bars = len(series)
    spectrum = np.fft.rfft(series - series.mean(axis=0), 2 * bars, axis=0)
    covariances = np.fft.irfft(np.abs(spectrum) ** 2, 2 * bars, axis=0)[:bars] / bars
    lag = np.arange(bars)[:, None]
    stays = 1.0 - 1.0 / block
    weight = (1.0 - lag / bars) * stays**lag + lag / bars * stays ** (bars - lag)
    weight[1:] *= 2.0
    return np.asarray(np.sqrt((weight * covariances).sum(axis=0)), dtype=np.float64)


def _matrix(returns: npt.ArrayLike) -> Floats:
    trials = np.asarray(returns, dtype=np.float64)
    if trials.ndim != 2 or len(trials) < 2 or trials.shape[1] < 1 or not np.isfinite(trials).all():
        raise UsageError(
            f"returns {trials.shape} must be a matrix of finite numbers, at least two bars (rows) by one trial "
            "(columns): leave out unknown bars"
        )
    return trials
