"""Nonparametric tests of abnormal returns: signs, ranks, signed ranks.

Each takes `Cumulated`, K events by V spans of m bars, and answers for every span. Ranks and medians run over
estimation and event window together; T is the events' mean number of known bars there, N_t the number of events known
in bar t. The estudy2 convention scales a sum over N_t events up to all K.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pandas as pd

from backtest.base.normal import normal_cdf
from backtest.market.record import Floats
from backtest.study.cumulation import (
    Cumulated,
    StatisticOfTest,
    Undefined,
    conclude,
    divide,
    moments,
    normal_p,
    student_p,
    sum_over,
    thinnest,
)
from backtest.study.models import AbnormalReturns

_EXACT = 50
"""Most sums of which every assignment of signs is counted."""
# Cells of residuals that are ranked at once.
_CELLS = 4_000_000


def sign(cumulated: Cumulated) -> StatisticOfTest:
    """Sign test: z = (w - n / 2) / sqrt(n / 4), w the number of positive CAR_i among n; N(0, 1).

    Source: Brown and Warner (1980), Journal of Financial Economics 8(3), 205-258,
    doi:10.1016/0304-405X(80)90002-1.
    """
    return _binomial("sign", cumulated, 0.5)


def generalised_sign(cumulated: Cumulated) -> StatisticOfTest:
    """Generalised sign test: z = (w - n p) / sqrt(n p (1 - p)); N(0, 1).

    p is the share of positive residuals in the estimation window: the mean of the events' shares; estudy2 pools all
    residuals. Source: Cowan (1992), Review of Quantitative Finance and Accounting 2(4), 343-358,
    doi:10.1007/BF00939016.
    """
    residual = cumulated.returns.residual
    known, positive = np.zeros((2, len(residual)))
    for rows in _parts(residual):
        known[rows], positive[rows] = (~np.isnan(residual[rows])).sum(axis=1), (residual[rows] > 0).sum(axis=1)
    if cumulated.returns.convention == "estudy2":
        share = positive.sum() / known.sum() if known.any() else np.nan
    else:
        share = moments(divide(positive, known)[:, None]).mean[0]
    return _binomial("generalised_sign", cumulated, float(share))


def corrado_zivney_sign(cumulated: Cumulated) -> StatisticOfTest:
    """Corrado-Zivney sign test: Z = sum_t z_t / sqrt(m), z_t = (sum_i G_it / sqrt(N_t)) / S; N(0, 1).

    G_it = sign(AR_it - median_i), S^2 = sum_t (sum_i G_it / sqrt(N_t))^2 / T. Source: Corrado and Zivney (1992),
    Journal of Financial and Quantitative Analysis 27(3), 465-478, doi:10.2307/2331331.
    """
    returns = cumulated.returns
    full = _full(returns)
    median = np.full((len(full), 1), np.nan)
    median[returns.kept] = np.nanmedian(full[returns.kept], axis=1, keepdims=True)
    return _scored("corrado_zivney_sign", cumulated, np.sign(full - median), 0.5)


def corrado_rank(cumulated: Cumulated) -> StatisticOfTest:
    """Corrado rank test: Z = sum_t z_t / sqrt(m), z_t = (sum_i (K_it - (T_i + 1) / 2) / N_t) / S; N(0, 1).

    K_it is the rank of AR_it, S^2 = sum_t (sum_i (K_it - (T_i + 1) / 2) / N_t)^2 / T. Source: Corrado (1989), Journal
    of Financial Economics 23(2), 385-395, doi:10.1016/0304-405X(89)90064-0; cumulated as in Campbell and Wasley (1993),
    ibid. 33(1), 73-92, doi:10.1016/0304-405X(93)90025-7.
    """
    full = _full(cumulated.returns)
    bars = (~np.isnan(full)).sum(axis=1, keepdims=True)
    return _scored("corrado_rank", cumulated, _ranks(full) - (bars + 1) / 2.0, 1.0)


def corrado_zivney_rank(cumulated: Cumulated) -> StatisticOfTest:
    """Corrado-Zivney rank test: Z = sum_t z_t / sqrt(m), z_t = (sum_i (U_it - 1/2) / sqrt(N_t)) / S; N(0, 1).

    U_it = K_it / (T_i + 1), S^2 = sum_t (sum_i (U_it - 1/2) / sqrt(N_t))^2 / T; made for missing returns. Source:
    Corrado and Zivney (1992), Journal of Financial and Quantitative Analysis 27(3), 465-478, doi:10.2307/2331331.
    """
    full = _full(cumulated.returns)
    bars = (~np.isnan(full)).sum(axis=1, keepdims=True)
    return _scored("corrado_zivney_rank", cumulated, _ranks(full) / (bars + 1) - 0.5, 0.5)


def generalised_rank(cumulated: Cumulated) -> StatisticOfTest:
    """GRANK-T: t = Z sqrt((T - 2) / (T - 1 - Z^2)), Z = U_0 / S_U, over T = E + 1 bars; Student's t, T - 2.

    The span is one more bar 0 after the estimation window, holding SCAR_i over its cross-sectional standard deviation;
    U_it = rank / (T_i + 1) - 1/2 over residual_it / sigma_i and that bar, U_t its mean over the N_t events known,
    S_U^2 = sum_t (N_t / n) U_t^2 / T. Allows for event-induced variance and, within one date, for cross-correlation;
    keeps its size as spans grow. Source: Kolari and Pynnonen (2011), Journal of Empirical Finance 18(5), 953-971,
    doi:10.1016/j.jempfin.2011.08.003.
    """
    returns = cumulated.returns
    scar = moments(cumulated.scar)
    event = divide(cumulated.scar, np.sqrt(scar.variance))
    spans = np.flatnonzero(scar.variance > 0)
    value = np.full(len(scar.n), np.nan)
    bars = np.full(len(scar.n), np.nan)
    total, count = np.zeros((2, len(scar.n), returns.residual.shape[1] + 1))
    for rows in _parts(returns.residual):
        estimation = returns.residual[rows] / returns.sigma[rows, None]
        ranks = _ranks(estimation)
        for span in spans:
            held = ~np.isnan(event[rows, span])
            now, before = event[rows, span][held, None], estimation[held]
            known = ~np.isnan(before)
            above = (before > now) + 0.5 * (before == now)
            rank_0 = 1.0 + known.sum(axis=1, keepdims=True) - above.sum(axis=1, keepdims=True)
            scores = np.concatenate((ranks[held] + above, rank_0), axis=1)
            scores = scores / (known.sum(axis=1, keepdims=True) + 2.0) - 0.5
            there = ~np.isnan(scores)
            total[span] += np.where(there, scores, 0.0).sum(axis=0)
            count[span] += there.sum(axis=0)
    for span in spans:
        mean = total[span] / np.where(count[span] > 0, count[span], np.nan)
        bars[span] = (count[span] > 0).sum()
        spread = np.nansum(count[span] / scar.n[span] * np.square(mean)) / bars[span]
        value[span] = divide(mean[-1:], np.sqrt(spread))[0]
    value = value * np.sqrt(divide(bars - 2.0, bars - 1.0 - np.square(value)))
    causes = ((Undefined.TOO_FEW_EVENTS, scar.n < 2),)
    return conclude("generalised_rank", value, student_p(value, bars - 2.0), scar.n, causes)


def wilcoxon(cumulated: Cumulated) -> StatisticOfTest:
    """Wilcoxon signed ranks: W+ = sum of the ranks of |CAR_i| over positive CAR_i.

    Zeros are left out; ties share their ranks. The p-value is exact for n <= 50, else of the normal approximation with
    the variance of the ranks as they are. Source: Wilcoxon (1945), Biometrics Bulletin
    1(6), 80-83, doi:10.2307/3001968.
    """
    car = np.where(cumulated.car == 0, np.nan, cumulated.car)
    n = (~np.isnan(car)).sum(axis=0)
    positive = np.where(car > 0, _ranks(np.abs(car).T).T, 0.0).sum(axis=0)
    p_value = np.full(len(n), np.nan)
    tested = n > 0
    if tested.any():
        p_value[tested] = [_signed_rank_p(column[~np.isnan(column)]) for column in car.T[tested]]
    value = np.where(tested, positive, np.nan)
    return conclude("wilcoxon", value, p_value, n, ((Undefined.TOO_FEW_EVENTS, ~tested),))


def _parts(residual: Floats) -> Iterator[slice]:
    """Rows of an array (K, E), so many at a time that copies of them stay small."""
    step = max(_CELLS // max(residual.shape[1], 1), 1)
    return (slice(first, first + step) for first in range(0, len(residual), step))


def _binomial(name: str, cumulated: Cumulated, share: float) -> StatisticOfTest:
    n = cumulated.known.sum(axis=0)
    positive = (cumulated.car > 0).sum(axis=0)
    value = divide(positive - n * share, np.sqrt(n * share * (1.0 - share)))
    return conclude(name, value, normal_p(value), n, ((Undefined.TOO_FEW_EVENTS, n < 1),))


def _full(returns: AbnormalReturns) -> Floats:
    """(K, E + W) abnormal returns of estimation and event window."""
    return np.concatenate((returns.residual, returns.abnormal), axis=1)


def _ranks(values: Floats) -> Floats:
    """Ranks along each row, ties shared, NaN kept."""
    ranks: Floats = pd.DataFrame(values).rank(axis=1).to_numpy()
    return ranks


def _signed_rank_p(car: Floats) -> float:
    """Two-sided p of the signed ranks of (n,) known sums, none of them 0."""
    ranks = _ranks(np.abs(car)[None])[0]
    positive = ranks[car > 0].sum()
    if len(car) > _EXACT:
        away = positive - ranks.sum() / 2.0
        return 2.0 * normal_cdf(-abs(away) / (math.sqrt(np.square(ranks).sum()) / 2.0))
    # Ranks shared by two are halves: twice a rank is a whole number.
    chance = _rank_sums(tuple(np.sort(2.0 * ranks).astype(np.int64).tolist()))
    reached = int(2.0 * positive)
    return float(min(2.0 * min(chance[: reached + 1].sum(), chance[reached:].sum()), 1.0))


@lru_cache(maxsize=256)
def _rank_sums(ranks: tuple[int, ...]) -> Floats:
    """(sum + 1,) chance of each sum of the ranks that are positive, if each is with probability a half."""
    chance = np.ones(1)
    for rank in ranks:
        longer = np.zeros(len(chance) + rank)
        longer[: len(chance)] += chance * 0.5
        longer[rank:] += chance * 0.5
        chance = longer
    return chance


def _scored(name: str, cumulated: Cumulated, scores: Floats, power: float) -> StatisticOfTest:
    """Test of bar-wise sums of (K, E + W) scores, divided by N_t ** power, against their own spread over all bars."""
    returns = cumulated.returns
    bar = moments(scores)
    scale = returns.kept.sum() / np.maximum(bar.n, 1) if returns.convention == "estudy2" else 1.0
    sums = bar.mean * bar.n * scale / np.maximum(bar.n, 1) ** power
    known = (~np.isnan(scores[returns.kept])).sum(axis=1)
    spread = np.sqrt(np.nansum(np.square(sums)) / known.mean()) if known.size else np.nan
    bars = divide(sums[-returns.windows.width :], np.asarray(spread))
    value = sum_over(cumulated.member, bars) / np.sqrt(cumulated.length)
    n = thinnest(cumulated)
    return conclude(name, value, normal_p(value), n, ((Undefined.MISSING_BAR, n < 1),))
