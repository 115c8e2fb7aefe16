"""Test statistics by hand: small cases whose every number fits in a line, and what is undefined, wrong or empty."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from backtest.base.errors import UsageError
from backtest.study.cumulation import Undefined, cumulate, moments
from backtest.study.models import AbnormalReturns, Windows, mean_adjusted
from backtest.study.multiplicity import Adjustment, adjust, placebo_p
from backtest.study.parametric import PAIR_BARS, average, mean_correlation, overlapping_pairs
from backtest.study.significance import HEADLINE, TESTS, significance

Array = np.ndarray


@pytest.mark.parametrize("name", TESTS)
def test_every_test_states_its_source(name: str) -> None:
    assert "Source: " in " ".join((TESTS[name].__doc__ or "").split())


def given_returns(abnormal: Array, residual: Array, onset: Array | None = None) -> AbnormalReturns:
    """Mean-adjusted returns whose estimation window is `residual`, each row of mean 0."""
    windows = Windows(residual.shape[1], 0, 0, abnormal.shape[1] - 1)
    onset = np.zeros(len(abnormal), dtype=np.int64) if onset is None else onset
    return mean_adjusted(np.concatenate((residual, abnormal), axis=1), windows, onset, minimum=4)


# Two events of twelve estimation bars: variance 12/11 each, products sum to 4, so r = 1/3.
PLUS_MINUS = np.tile([1.0, -1.0], 6)
SHIFTED = np.array([1.0, 1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0, -1.0, -1.0])
PAIR = np.stack((PLUS_MINUS, SHIFTED))


def test_kolari_pynnonen_by_hand() -> None:
    """SAR 3c and 1c: mean 2c, s = sqrt(2)c, so BMP is 2; r = 1/3 and n = 2 take it to 2 sqrt((2/3) / (4/3))."""
    cumulated = cumulate(given_returns(np.array([[3.0], [1.0]]), PAIR), [[0, 0]])
    np.testing.assert_allclose(overlapping_pairs(cumulated.returns).correlation, [1 / 3])
    assert TESTS["bmp"](cumulated).value == pytest.approx(2.0)
    assert TESTS["kolari_pynnonen"](cumulated).value == pytest.approx(np.sqrt(2.0))
    # t with one degree of freedom is Cauchy: two-sided p = 1 - 2 atan(t) / pi.
    assert TESTS["kolari_pynnonen"](cumulated).p_value == pytest.approx(1 - 2 * np.arctan(np.sqrt(2.0)) / np.pi)
    # Patell: 4 / sqrt(12/11 (1 + 1/12)) over sqrt(2 * 11/9), then over sqrt(4/3).
    patell = 4 / np.sqrt(12 / 11 * 13 / 12) / np.sqrt(22 / 9)
    assert TESTS["patell"](cumulated).value == pytest.approx(patell)
    assert TESTS["kolari_pynnonen_patell"](cumulated).value == pytest.approx(patell / np.sqrt(4 / 3))


def test_events_apart_are_matched_by_calendar_bar_and_by_shared_span() -> None:
    """One bar apart, the same coin: residuals correlate fully on 29 common bars, a 3-bar span shares 2 bars."""
    rng = np.random.default_rng(5)
    coin = rng.normal(size=40)
    windows = Windows(30, 0, 0, 4)
    returns = mean_adjusted(np.stack((coin[:35], coin[1:36], coin[5:40])), windows, np.array([30, 31, 90]))
    pairs = overlapping_pairs(returns)
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0], [1])
    assert pairs.correlation == pytest.approx([1.0])
    r = mean_correlation(cumulate(returns, [[0, 0], [0, 2], [0, 4]]))
    np.testing.assert_allclose(r, [0.0, 2 / 3 / 3, 4 / 5 / 3])


def test_sign_tests_by_hand() -> None:
    """Three of four positive: z = (3 - 2) / 1. A third of the residuals positive: (3 - 4/3) / sqrt(4 * 2/9)."""
    residual = np.tile([2.0, -1.0, -1.0], (4, 4))
    cumulated = cumulate(given_returns(np.array([[1.0], [2.0], [5.0], [-3.0]]), residual), [[0, 0]])
    assert TESTS["sign"](cumulated).value == pytest.approx(1.0)
    assert TESTS["sign"](cumulated).p_value == pytest.approx(0.31731050786291415)
    assert TESTS["generalised_sign"](cumulated).value == pytest.approx((3 - 4 / 3) / np.sqrt(8 / 9))
    # Ranks of |1|, |2|, |5|, |-3| are 1, 2, 4, 3; W+ = 7; signs with W+ >= 7: 7 8 9 10 -> 1 + 1 + 1 + 2 of 16.
    assert TESTS["wilcoxon"](cumulated).value == pytest.approx(7.0)
    assert TESTS["wilcoxon"](cumulated).p_value == pytest.approx(2 * 5 / 16)


def test_corrado_zivney_by_hand() -> None:
    """Two events of 4 + 1 bars, complete: U = rank / 6 - 1/2, bar sums over sqrt(2), spread over all five bars."""
    residual = np.array([[-3.0, -1.0, 1.0, 3.0], [3.0, 1.0, -1.0, -3.0]])
    cumulated = cumulate(given_returns(np.array([[9.0], [2.0]]), residual), [[0, 0]])
    # Ranks 1 2 3 4 5 and 5 3 2 1 4: sums less 6 are 0 -1 -1 -1 3, whose squares sum to 12; T = 5.
    assert TESTS["corrado_rank"](cumulated).value == pytest.approx(3 / np.sqrt(12 / 5))
    assert TESTS["corrado_zivney_rank"](cumulated).value == pytest.approx(3 / np.sqrt(12 / 5))
    # Medians 1 and 1: signs - - 0 + + and + 0 - - +: sums 0 -1 -1 0 2, squares sum to 6.
    assert TESTS["corrado_zivney_sign"](cumulated).value == pytest.approx(2 / np.sqrt(6 / 5))


def test_brown_warner_by_hand() -> None:
    """AAR 2, CAAR 5; estimation AAR is +-1 on 8 of 12 bars: S^2 = 8/11; sigma^2 is 12/11 each, with 11 degrees."""
    cumulated = cumulate(given_returns(np.array([[3.0, -2.0], [1.0, 8.0]]), PAIR), [[0, 0], [0, 1]])
    later = TESTS["brown_warner_1985"](cumulated)
    np.testing.assert_allclose(later.value, [2 / np.sqrt(8 / 11), 5 / np.sqrt(2 * 8 / 11)])
    np.testing.assert_allclose(later.p_value, 2 * stats.t.sf(later.value, 11))
    earlier = TESTS["brown_warner_1980"](cumulated)
    np.testing.assert_allclose(earlier.value, [4 / np.sqrt(24 / 11), 10 / np.sqrt(2 * 24 / 11)])
    np.testing.assert_allclose(earlier.p_value, 2 * stats.t.sf(earlier.value, 11))
    lamb = TESTS["lamb"](cumulated)
    np.testing.assert_allclose(lamb.value, np.array([2.0, 5 / np.sqrt(2)]) / np.sqrt(8 / 11 * 13 / 12))
    np.testing.assert_allclose(lamb.p_value, 2 * stats.norm.sf(lamb.value))


def test_generalised_rank_by_hand() -> None:
    """Of 13 scores six -1 share rank 3.5, six +1 share 9.5, and the event is on top."""
    result = TESTS["generalised_rank"](cumulate(given_returns(np.array([[9.0], [6.0]]), PAIR), [[0, 0]]))
    # SCAR* is 3 / (3 / sqrt 2) and 2 sqrt 2: above every residual / sigma. Scores are rank / 14 - 1/2.
    low, high, top = 3.5 / 14 - 0.5, 9.5 / 14 - 0.5, 13 / 14 - 0.5
    mean = np.where(PAIR > 0, high, low).mean(axis=0)
    z = top / np.sqrt((np.sum(mean**2) + top**2) / 13)
    assert result.value == pytest.approx(z * np.sqrt(11 / (12 - z**2)))
    assert result.p_value == pytest.approx(2 * stats.t.sf(result.value, 11))


def test_wilcoxon_leaves_out_zeros() -> None:
    """0, 1 and 2: two events, ranks 1 and 2, all positive; two of the four sign patterns are as extreme."""
    cumulated = cumulate(given_returns(np.array([[0.0], [1.0], [2.0]]), np.tile(PLUS_MINUS, (3, 1))), [[0, 0]])
    result = TESTS["wilcoxon"](cumulated)
    assert (result.value[0], result.p_value[0], result.n[0]) == (3.0, 0.5, 2)


def test_rounding_is_no_variance() -> None:
    """Three times 0.1 sum to 0.30000000000000004: their deviations from the mean are not 0, their variance is."""
    assert moments(np.full((3, 1), 0.1)).variance.tolist() == [0.0]


@pytest.mark.parametrize("shared_bars", [PAIR_BARS - 1, PAIR_BARS])
def test_a_pair_needs_enough_common_bars(shared_bars: int) -> None:
    residual = np.tile(PLUS_MINUS, (2, 1))
    onset = np.array([0, len(PLUS_MINUS) - shared_bars])
    (correlation,) = overlapping_pairs(given_returns(np.ones((2, 4)), residual, onset)).correlation
    assert np.isnan(correlation) == (shared_bars < PAIR_BARS)


def test_undefined_is_nan_with_its_reason() -> None:
    abnormal = np.array([[1.0, np.nan, 2.0, 5.0], [1.0, np.nan, np.nan, 7.0]])
    cumulated = cumulate(given_returns(abnormal, PAIR), [[0, 0], [1, 1], [2, 2], [3, 3], [2, 3]])
    few, gap, flat = Undefined.TOO_FEW_EVENTS, Undefined.MISSING_BAR, Undefined.NO_VARIANCE
    expected = {
        "cross_sectional_t": (flat, few, few, None, few),
        "bmp": (flat, few, few, None, few),
        "kolari_pynnonen": (flat, few, few, None, few),
        "generalised_rank": (flat, few, few, None, few),
        "patell": (None, few, None, None, None),
        "kolari_pynnonen_patell": (None, few, None, None, None),
        "brown_warner_1980": (None, few, None, None, None),
        "brown_warner_1985": (None, gap, None, None, None),
        "corrado_rank": (None, gap, None, None, None),
        "sign": (None, few, None, None, None),
        "wilcoxon": (None, few, None, None, None),
    }
    for name, reasons in expected.items():
        result = TESTS[name](cumulated)
        assert result.reasons == reasons, name
    assert TESTS["patell"](cumulated).n.tolist() == [2, 0, 1, 2, 1]
    assert TESTS["brown_warner_1985"](cumulated).n.tolist() == [2, 0, 1, 2, 1]


def test_perfectly_opposed_residuals_leave_no_variance_to_widen() -> None:
    """R = -1 and n = 2: 1 + (n - 1) r = 0, and the portfolio of the two has never moved."""
    residual = np.stack((PLUS_MINUS, -PLUS_MINUS))
    cumulated = cumulate(given_returns(np.array([[3.0], [1.0]]), residual), [[0, 0]])
    assert TESTS["kolari_pynnonen"](cumulated).reasons == (Undefined.NO_CORRELATION,)
    assert TESTS["kolari_pynnonen_patell"](cumulated).reasons == (Undefined.NO_CORRELATION,)
    assert TESTS["brown_warner_1985"](cumulated).reasons == (Undefined.NO_VARIANCE,)


@pytest.mark.parametrize("name", TESTS)
def test_no_event_left_is_no_error(name: str) -> None:
    returns = given_returns(np.ones((3, 2)), np.zeros((3, 12)))
    assert not returns.kept.any()
    for empty in (returns, given_returns(np.ones((0, 2)), np.zeros((0, 12)))):
        result = TESTS[name](cumulate(empty, [[0, 0], [0, 1]]))
        assert np.isnan(result.value).all()
        assert result.n.tolist() == [0, 0]
        assert None not in result.reasons


def test_average_is_the_interval_of_the_headline_test() -> None:
    """Equal sigmas: the interval touches zero exactly at the level where Kolari-Pynnonen's p is."""
    cumulated = cumulate(given_returns(np.array([[3.0, -2.0], [1.0, 8.0]]), PAIR), [[0, 0], [0, 1]])
    p = TESTS[HEADLINE](cumulated).p_value[0]
    band = average(cumulated, level=1 - p)
    assert band.mean.tolist() == [2.0, 5.0]
    assert band.median.tolist() == [2.0, 5.0]
    assert band.low[0] == pytest.approx(0.0, abs=1e-9)
    assert band.high[0] == pytest.approx(4.0)
    assert band.n.tolist() == [2, 2]
    with pytest.raises(UsageError, match=r"level 95 is not"):
        average(cumulated, level=95)


def test_median_leaves_out_missing() -> None:
    abnormal = np.array([[1.0, np.nan], [2.0, np.nan], [9.0, np.nan], [np.nan, np.nan]])
    residual = np.tile(PLUS_MINUS, (4, 1))
    residual[3] = 0.0
    abnormal[0, 1] = 4.0
    band = average(cumulate(given_returns(abnormal, residual), [[0, 0], [1, 1], [0, 1]]))
    assert band.median.tolist() == [2.0, 4.0, 5.0]
    assert band.n.tolist() == [3, 1, 1]
    assert np.isnan(band.low).tolist() == [True, True, True]


def test_spans_are_checked() -> None:
    returns = given_returns(np.ones((2, 3)), PAIR)
    for wrong in ([[2, 1]], [[-1, 0]], [[0, 3]]):
        with pytest.raises(UsageError, match=rf"span \[{wrong[0][0]}, {wrong[0][1]}\].*\[0, 2\]"):
            cumulate(returns, wrong)
    with pytest.raises(UsageError, match=r"spans has shape \(2,\)"):
        cumulate(returns, [0, 1])


def test_significance_runs_the_named_tests_in_order() -> None:
    cumulated = cumulate(given_returns(np.array([[3.0], [1.0]]), PAIR), [[0, 0]])
    assert [result.name for result in significance(cumulated)] == list(TESTS)
    assert len(TESTS) == 15
    assert [result.name for result in significance(cumulated, ("sign", "bmp"))] == ["sign", "bmp"]
    with pytest.raises(UsageError, match=r"test 'patel' is unknown; did you mean 'patell'"):
        significance(cumulated, ("patel",))


def test_adjust_by_hand() -> None:
    """Holm: times 4, 3, 2, 1 from the smallest, running maximum. BH: times 4/1, 4/2, 4/3, 4/4, running minimum."""
    p = np.array([[0.01, 0.04, np.nan], [0.03, 0.005, np.nan]])
    np.testing.assert_allclose(adjust(p, "holm"), [[0.03, 0.06, np.nan], [0.06, 0.02, np.nan]])
    np.testing.assert_allclose(adjust(p, "benjamini_hochberg"), [[0.02, 0.04, np.nan], [0.04, 0.02, np.nan]])
    assert np.isnan(adjust([np.nan], "holm")).all()


@pytest.mark.parametrize(("method", "theirs"), [("holm", "holm"), ("benjamini_hochberg", "fdr_bh")])
def test_adjusted_p_values_are_those_of_statsmodels(method: Adjustment, theirs: str) -> None:
    for seed in range(8):
        random = np.random.default_rng(seed)
        p = np.round(random.random(1 + 3 * seed) ** 3, 2)
        np.testing.assert_allclose(adjust(p, method), multipletests(p, method=theirs)[1], atol=1e-12)


def test_placebo_p_by_hand() -> None:
    """Two-sided, the observed one counts: draws -3 2 1 NaN against 2 give (1 + 2) / (3 + 1)."""
    draws = np.array([[-3.0, 0.0], [2.0, 1.0], [1.0, 1.0], [np.nan, 1.0]])
    np.testing.assert_allclose(placebo_p([2.0, 9.0], draws), [3 / 4, 1 / 5])
    assert placebo_p(0.1 + 0.2, [0.3, -0.3]) == 1.0
    np.testing.assert_array_equal(placebo_p([np.nan, 1.0], [[1.0, np.nan]]), [np.nan, np.nan])
    with pytest.raises(UsageError, match=r"draws has shape \(4, 2\).*\('B', 3\)"):
        placebo_p([1.0, 2.0, 3.0], draws)
