from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from backtest.base.errors import UsageError
from backtest.study.cumulation import cumulate
from backtest.study.models import (
    AbnormalReturns,
    Rejection,
    Windows,
    market_adjusted,
    market_model,
    mean_adjusted,
)

# Estimation y = 1 + 2 x + e with e orthogonal to 1 and x; then a gap bar of nonsense; then two event bars.
SMALL = Windows(estimation=6, gap=1, first=0, last=1)
X = np.array([-1.0, -1.0, 0.0, 0.0, 1.0, 1.0, 99.0, 2.0, -2.0])
NOISE = np.array([0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 55.0, 3.0, 1.0])
Y = 1.0 + 2.0 * X + NOISE
ONE = np.zeros(1, dtype=np.int64)


def small(**options: str) -> AbnormalReturns:
    return market_model(Y[None], X[None, :, None], SMALL, ONE, minimum=6, **options)  # type: ignore[arg-type]


def test_market_model_by_hand() -> None:
    returns = small()
    assert returns.alpha == pytest.approx([1.0])
    assert returns.beta[0] == pytest.approx([2.0])
    np.testing.assert_allclose(returns.residual[0], NOISE[:6], atol=1e-12)
    np.testing.assert_allclose(returns.abnormal[0], [3.0, 1.0], atol=1e-12)
    assert returns.sigma[0] == pytest.approx(np.sqrt(1.5 / 4))
    assert (returns.usable[0], returns.degrees[0]) == (6, 4)
    # x deviates from its mean 0 by 2 and -2, and S = 4.
    np.testing.assert_allclose(returns.correction[0], [1 + 1 / 6 + 1, 1 + 1 / 6 + 1])
    assert returns.reasons == (None,)


def test_cumulated_correction_by_hand() -> None:
    """Over both bars the benchmark's deviations cancel, the constant's add: 2 + 2^2 / 6."""
    cumulated = cumulate(small(), [[0, 1], [1, 1]])
    np.testing.assert_allclose(cumulated.correction[0], [2 + 4 / 6, 1 + 1 / 6 + 1])
    np.testing.assert_allclose(cumulated.car[0], [4.0, 1.0])
    np.testing.assert_allclose(cumulated.scar[0, 0], 4.0 / (np.sqrt(1.5 / 4) * np.sqrt(2 + 4 / 6)))


def test_estudy2_divides_by_n_minus_one() -> None:
    assert small(convention="estudy2").sigma[0] == pytest.approx(np.sqrt(1.5 / 5))


def test_estudy2_takes_the_benchmark_where_the_asset_is_missing() -> None:
    asset = Y.copy()
    asset[5] = np.nan
    textbook = market_model(asset[None], X[None, :, None], SMALL, ONE, minimum=5)
    published = market_model(asset[None], X[None, :, None], SMALL, ONE, minimum=5, convention="estudy2")
    # Without bar 5 the benchmark's mean is -1/5 and S = 3 - 5/25; with it 0 and 4. n is the asset's own in both.
    np.testing.assert_allclose(textbook.correction[0], 1 + 1 / 5 + np.array([2.2, -1.8]) ** 2 / (3 - 1 / 5))
    np.testing.assert_allclose(published.correction[0], 1 + 1 / 5 + 1)


def test_several_benchmarks_agree_with_statsmodels() -> None:
    rng = np.random.default_rng(7)
    windows = Windows(estimation=40, gap=3, first=-2, last=4)
    asset = rng.normal(size=(3, windows.length))
    benchmarks = rng.normal(size=(3, windows.length, 2))
    asset[1, 5:9] = np.nan
    benchmarks[2, 11, 1] = np.nan
    returns = market_model(asset, benchmarks, windows, np.zeros(3, dtype=np.int64))
    assert returns.kept.all()
    for event in range(3):
        design = sm.add_constant(benchmarks[event])
        fit = sm.OLS(asset[event, :40], design[:40], missing="drop").fit()
        np.testing.assert_allclose(np.r_[returns.alpha[event], returns.beta[event]], fit.params)
        assert returns.sigma[event] == pytest.approx(np.sqrt(fit.mse_resid))
        assert returns.degrees[event] == fit.df_resid
        forecast = fit.get_prediction(design[43:])
        np.testing.assert_allclose(returns.abnormal[event], asset[event, 43:] - forecast.predicted_mean)
        np.testing.assert_allclose(
            returns.sigma[event] * np.sqrt(returns.correction[event]), np.sqrt(forecast.var_pred_mean + fit.mse_resid)
        )


def test_mean_adjusted_by_hand() -> None:
    windows = Windows(estimation=5, gap=0, first=0, last=1)
    returns = mean_adjusted(np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 10.0, np.nan]]), windows, ONE, minimum=5)
    assert returns.alpha[0] == pytest.approx(3.0)
    np.testing.assert_allclose(returns.abnormal[0], [7.0, np.nan])
    assert returns.sigma[0] == pytest.approx(np.sqrt(2.5))
    assert returns.degrees[0] == 4
    assert returns.beta.shape == (1, 0)
    np.testing.assert_allclose(returns.correction[0], 1 + 1 / 5)


def test_market_adjusted_takes_off_the_mean_benchmark_as_it_is() -> None:
    windows = Windows(estimation=5, gap=0, first=0, last=0)
    asset = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 10.0]])
    benchmarks = np.stack((np.full((1, 6), 1.0), np.full((1, 6), 3.0)), axis=2)
    returns = market_adjusted(asset, benchmarks, windows, ONE, minimum=5)
    np.testing.assert_allclose(returns.residual[0], [-1.0, 0.0, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(returns.abnormal[0], [8.0])
    assert returns.sigma[0] == pytest.approx(np.sqrt(2.5))
    np.testing.assert_array_equal(returns.correction[0], 1.0)
    np.testing.assert_array_equal(returns.beta, [[0.5, 0.5]])


@given(seed=st.integers(0, 2**32 - 1), alpha=st.floats(-0.1, 0.1), beta=st.floats(-3, 3))
def test_what_the_model_explains_changes_nothing(seed: int, alpha: float, beta: float) -> None:
    rng = np.random.default_rng(seed)
    windows = Windows(estimation=30, gap=2, first=-1, last=3)
    asset, benchmark = rng.normal(size=(2, 2, windows.length)) * 0.03
    asset[0, :4] = np.nan
    onset = np.zeros(2, dtype=np.int64)
    plain = market_model(asset, benchmark[:, :, None], windows, onset, minimum=20)
    moved = market_model(asset + alpha + beta * benchmark, benchmark[:, :, None], windows, onset, minimum=20)
    np.testing.assert_allclose(moved.abnormal, plain.abnormal, atol=1e-12)
    np.testing.assert_allclose(moved.sigma, plain.sigma, rtol=1e-9)
    np.testing.assert_allclose(moved.alpha, plain.alpha + alpha, atol=1e-12)
    np.testing.assert_allclose(moved.beta, plain.beta + beta, atol=1e-9)


def test_every_rejection_is_named_and_leaves_the_others_alone() -> None:
    rng = np.random.default_rng(3)
    windows = Windows(estimation=40, gap=0, first=0, last=2)
    asset = rng.normal(size=(6, windows.length))
    benchmarks = rng.normal(size=(6, windows.length, 2))
    asset[1, :15] = np.nan
    benchmarks[2, :, 1] = 2 * benchmarks[2, :, 0] + 1
    asset[3] = 0.5 + benchmarks[3, :, 0]
    asset[4, 40:] = np.nan
    benchmarks[5, :, 0] = 0.0
    returns = market_model(asset, benchmarks, windows, np.arange(6))
    assert returns.reasons == (
        None,
        Rejection.SHORT_ESTIMATION,
        Rejection.COLLINEAR_BENCHMARKS,
        Rejection.NO_VARIANCE,
        Rejection.NO_EVENT_RETURN,
        Rejection.COLLINEAR_BENCHMARKS,
    )
    assert returns.kept.tolist() == [True] + [False] * 5
    assert returns.usable.tolist() == [40, 25, 40, 40, 40, 40]
    for values in (returns.abnormal, returns.residual, returns.sigma, returns.alpha, returns.beta):
        assert np.isnan(values[1:]).all()
        assert not np.isnan(values[0]).any()
    alone = market_model(asset[:1], benchmarks[:1], windows, ONE)
    np.testing.assert_array_equal(returns.abnormal[0], alone.abnormal[0])


@pytest.mark.parametrize("constant", [0.0137, 0.1, 1e-4, 15.1])
@pytest.mark.parametrize("count", [1, 2])
def test_a_benchmark_that_stands_still_is_rejected_whatever_its_mean_rounds_to(constant: float, count: int) -> None:
    """A constant less its mean is rounding: as scatter it would give a slope of any size."""
    rng = np.random.default_rng(5)
    windows = Windows(estimation=96, gap=0, first=0, last=2)
    asset, benchmarks = rng.normal(size=(3, windows.length)), rng.normal(size=(3, windows.length, count))
    benchmarks[1, :96, 0] = constant
    benchmarks[2, :96, 0] = constant
    benchmarks[2, 50, 0] += 1e-6
    returns = market_model(asset, benchmarks, windows, np.arange(3))
    assert returns.reasons == (None, Rejection.COLLINEAR_BENCHMARKS, None)


def test_a_missing_return_stays_missing() -> None:
    windows = Windows(estimation=40, gap=0, first=-1, last=1)
    rng = np.random.default_rng(4)
    asset, benchmark = rng.normal(size=(2, 2, windows.length))
    asset[0, 41] = np.nan
    benchmark[1, 42] = np.nan
    returns = market_model(asset, benchmark[:, :, None], windows, np.zeros(2, dtype=np.int64))
    assert np.isnan(returns.abnormal).tolist() == [[False, True, False], [False, False, True]]
    car = cumulate(returns, [[-1, -1], [-1, 0], [-1, 1], [1, 1]]).car
    assert np.isnan(car).tolist() == [[False, True, True, False], [False, False, True, True]]


def test_no_event_at_all_is_no_error() -> None:
    windows = Windows(estimation=40, gap=0, first=0, last=2)
    returns = market_model(np.empty((0, 43)), np.empty((0, 43, 1)), windows, np.empty(0, dtype=np.int64))
    assert returns.reasons == ()
    assert returns.abnormal.shape == (0, 3)


def test_arrays_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        small().abnormal[0, 0] = 1.0


def test_windows() -> None:
    windows = Windows(estimation=100, gap=5, first=-3, last=4)
    assert (windows.width, windows.length, windows.start) == (8, 113, -108)
    assert windows.bars.tolist() == [-3, -2, -1, 0, 1, 2, 3, 4]
    for wrong in ((0, 0, 0, 0), (5, -1, 0, 0), (5, 0, 1, 0)):
        with pytest.raises(
            UsageError, match=f"estimation {wrong[0]}, gap {wrong[1]}, first {wrong[2]}, last {wrong[3]}"
        ):
            Windows(*wrong)


def test_errors_name_what_is_wrong() -> None:
    windows = Windows(estimation=40, gap=0, first=0, last=2)
    asset, benchmarks, onset = np.zeros((2, 43)), np.zeros((2, 43, 1)), np.zeros(2, dtype=np.int64)
    with pytest.raises(UsageError, match=r"asset has shape \(2, 42\).*\(events, 43\)"):
        market_model(asset[:, 1:], benchmarks, windows, onset)
    with pytest.raises(UsageError, match=r"benchmarks has shape \(2, 43\)"):
        market_model(asset, benchmarks[:, :, 0], windows, onset)
    with pytest.raises(UsageError, match=r"onset has shape \(1,\).*\(2,\)"):
        market_model(asset, benchmarks, windows, onset[:1])
    with pytest.raises(UsageError, match=r"minimum is 4.*at least 5"):
        market_model(asset, benchmarks, windows, onset, minimum=4)
    with pytest.raises(UsageError, match="asset holds an infinite return"):
        market_model(asset + np.inf, benchmarks, windows, onset)
    with pytest.raises(UsageError, match="benchmarks has no column"):
        market_adjusted(asset, benchmarks[:, :, :0], windows, onset)
    with pytest.raises(UsageError, match="convention 'estudy' is unknown; did you mean 'estudy2'"):
        mean_adjusted(asset, windows, onset, convention="estudy")  # type: ignore[arg-type]
