"""What was made faster says what the slower way said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from backtest.base import student
from backtest.base.student import student_quantile, student_tail
from backtest.study.cumulation import normal_p, student_p, sum_over
from backtest.study.influencers import shrink
from backtest.study.models import AbnormalReturns, Ints, Rejection, Windows, market_model, seasonal_mean
from backtest.study.multiplicity import adjust
from backtest.study.nonparametric import _ranks, _signed_rank_p
from backtest.study.parametric import overlapping_pairs

WINDOWS = Windows(96, 4, -6, 9)


def seasonal(rng: np.random.Generator, rows: int, seasons: int) -> tuple[np.ndarray, Ints, Ints]:
    """Series with holes, and a season of each bar that goes round."""
    season = (np.arange(WINDOWS.length) + rng.integers(0, seasons, (rows, 1))) % seasons
    asset = rng.standard_normal((rows, WINDOWS.length)) + season
    asset[rng.random(asset.shape) < 0.1] = np.nan
    return asset, season.astype(np.int64), np.arange(rows, dtype=np.int64)


def on_dummies(asset: np.ndarray, season: Ints, seasons: int, onset: Ints) -> AbnormalReturns:
    """Ordinary least squares on all seasons but the first."""
    dummies = (season[:, :, None] == np.arange(1, seasons)).astype(np.float64)
    return market_model(asset, dummies, WINDOWS, onset)


@pytest.mark.parametrize("seasons", [2, 6, 24])
def test_a_mean_for_each_season_is_least_squares_on_dummies(seasons: int) -> None:
    asset, season, onset = seasonal(np.random.default_rng(seasons), 40, seasons)
    slow = on_dummies(asset, season, seasons, onset)
    fast = seasonal_mean(asset, season, seasons, WINDOWS, onset)
    assert fast.kept.sum() > 20
    assert fast.reasons == slow.reasons
    for name in ("abnormal", "residual", "alpha", "beta", "sigma", "degrees", "usable"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), rtol=1e-9, atol=1e-12, err_msg=name)
    # Leverages are any vectors with these products: they are all that a forecast error depends on.
    for one, other in ((fast.leverage[k], slow.leverage[k]) for k in np.flatnonzero(fast.kept)):
        np.testing.assert_allclose(one @ one.T, other @ other.T, rtol=1e-9, atol=1e-12)


def test_a_season_without_an_estimation_bar_is_refused_as_by_least_squares() -> None:
    rng = np.random.default_rng(4)
    asset, season, onset = seasonal(rng, 24, 24)
    for row in range(12):
        asset[row, : WINDOWS.estimation][season[row, : WINDOWS.estimation] == row * 2 % 24] = np.nan
    slow, fast = on_dummies(asset, season, 24, onset), seasonal_mean(asset, season, 24, WINDOWS, onset)
    assert fast.reasons == slow.reasons
    assert fast.reasons[:12] == (Rejection.COLLINEAR_BENCHMARKS,) * 12


def test_a_sum_is_unknown_where_and_only_where_a_bar_of_its_span_is() -> None:
    series = np.arange(12.0).reshape(3, 4)
    series[1, 2] = np.nan
    member = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    np.testing.assert_array_equal(sum_over(member, series), [[1, 5], [9, np.nan], [17, 21]])


def test_pairs_are_found_once_and_cannot_be_written_to() -> None:
    asset, season, _ = seasonal(np.random.default_rng(1), 6, 2)
    returns = seasonal_mean(asset, season, 2, WINDOWS, np.arange(6, dtype=np.int64) * 3)
    pairs = overlapping_pairs(returns)
    assert len(pairs.first) > 5
    assert overlapping_pairs(returns) is pairs
    with pytest.raises(ValueError, match="read-only"):
        pairs.correlation[0] = 1.0


def test_p_values_and_ranks_are_those_of_scipy_stats() -> None:
    rng = np.random.default_rng(11)
    value = np.concatenate((rng.standard_normal(500) * 8, [0.0, np.inf, np.nan]))
    degrees = rng.integers(-1, 300, len(value)).astype(np.float64)
    np.testing.assert_allclose(normal_p(value), 2.0 * stats.norm.sf(np.abs(value)), rtol=1e-12)
    known = np.where(degrees > 0, degrees, np.nan)
    np.testing.assert_allclose(student_p(value, degrees), 2.0 * stats.t.sf(np.abs(value), known), rtol=1e-12)
    for digits in (0, 1, 8):
        rows = np.round(rng.standard_normal((6, 30)), digits)
        rows[rng.random(rows.shape) < 0.1] = np.nan
        wanted = stats.rankdata(rows, axis=1, nan_policy="omit")
        np.testing.assert_array_equal(_ranks(rows), wanted)
    for n in (1, 2, 7, 30, 50, 51, 80):
        car = rng.standard_normal(n) + 0.2
        assert _signed_rank_p(car) == pytest.approx(stats.wilcoxon(car).pvalue, rel=1e-14)
    for tied in (np.array([1.0, 1.0, -1.0, 2.0, 3.0]), np.round(rng.standard_normal(80), 1)):
        tied = tied[tied != 0]
        assert _signed_rank_p(tied) == pytest.approx(stats.wilcoxon(tied).pvalue, rel=1e-13)
    # Beyond 13 sums with ties scipy takes the normal approximation; the exact p is that of every assignment of signs.
    sums = np.array([1.0, 1.0, -2.0, 2.0, 3.0, 4.0, -5.0, 6.0, 6.0, 7.0, -8.0, 9.0, 10.0, 11.0])
    ranks = stats.rankdata(np.abs(sums))
    signs = (np.arange(2**14)[:, None] >> np.arange(14)) & 1
    every, observed = signs @ ranks, ranks[sums > 0].sum()
    exact = 2.0 * min((every >= observed).mean(), (every <= observed).mean())
    assert _signed_rank_p(sums) == pytest.approx(exact, rel=1e-13)
    for n in (1, 5, 40):
        p_values = rng.random(n)
        np.testing.assert_allclose(
            adjust(p_values, "benjamini_hochberg"), stats.false_discovery_control(p_values), rtol=1e-15
        )


def test_quantiles_of_student_take_few_steps_to_the_far_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []

    def counted(value: float, degrees: float) -> float:
        steps.append(value)
        return student_tail(value, degrees)

    monkeypatch.setattr(student, "student_tail", counted)
    student_quantile.cache_clear()
    for share in (0.5, 0.8, 0.95, 0.975, 0.995, 1.0 - 1e-9, 1.0 - 2.0**-53):
        for degrees in (1.0, 2.0, 23.0, 100.0, 188.0, 305.0, 499.0, 501.0, 1e4, 1e9):
            steps.clear()
            found = student_quantile(share, degrees)
            assert found == pytest.approx(stats.t.isf(1.0 - share, degrees), rel=1e-13)
            assert len(steps) < 100
    for degrees in (1.0, 30.0, 501.0):
        assert student_tail(1e200, degrees) == 0.0


def test_the_spread_of_actors_solves_its_equation() -> None:
    rng = np.random.default_rng(3)
    for n in (1, 4, 30):
        mean, variance = rng.standard_normal(n) * 0.5, rng.random(n) * 0.01 + 1e-4
        spread = shrink(mean, variance).spread
        assert (mean**2 / (variance + spread**2)).sum() == pytest.approx(n, rel=1e-12)
    assert shrink(np.array([0.01, -0.01]), np.array([1.0, 1.0])).spread == 0.0
