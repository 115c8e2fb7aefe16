"""Test statistics against loops written from the papers, against scipy, and by hand.

The loops share no code with the package: dense design matrices, one event, one pair, one bar at a time. Both sides do
the same sums in another order, so they agree to rounding: relative 1e-9 (ill-conditioned draws lose digits in X'X).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from backtest.errors import UsageError
from backtest.study.cumulation import Cumulated, Statistic, Undefined, cumulate, each_bar, moments
from backtest.study.models import AbnormalReturns, Windows, market_model, mean_adjusted
from backtest.study.multiplicity import adjust, placebo_p
from backtest.study.parametric import PAIR_BARS, average, mean_correlation, residual_correlation
from backtest.study.significance import HEADLINE, TESTS, significance

RELATIVE = 1e-9
Array = np.ndarray


@dataclass(frozen=True)
class Case:
    asset: Array
    benchmarks: Array
    windows: Windows
    onset: Array
    spans: Array

    def cumulated(self) -> Cumulated:
        returns = market_model(self.asset, self.benchmarks, self.windows, self.onset, minimum=12)
        return cumulate(returns, self.spans)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    events, benchmarks = draw(st.integers(2, 6)), draw(st.integers(1, 2))
    windows = Windows(draw(st.integers(24, 40)), draw(st.integers(0, 3)), -1, draw(st.integers(0, 3)))
    shape = (events, windows.length)
    asset = rng.normal(size=shape) * rng.uniform(0.5, 2.0, size=(events, 1)) + rng.normal(size=windows.length)
    missing = draw(st.sampled_from((0.0, 0.05, 0.2)))
    asset[rng.random(shape) < missing] = np.nan
    market = rng.normal(size=(*shape, benchmarks))
    market[rng.random(market.shape) < missing / 5] = np.nan
    onset = rng.integers(0, draw(st.sampled_from((1, 4, 60))), size=events)
    ends = np.sort(rng.integers(windows.first, windows.last + 1, size=(3, 2)), axis=1)
    return Case(asset, market, windows, onset, np.concatenate((each_bar(windows), ends)))


@dataclass(frozen=True)
class Event:
    """One event by the book: residual and abnormal return by relative bar, and its forecast covariance."""

    residual: dict[int, float]
    abnormal: dict[int, float]
    design: dict[int, Array]
    inverse: Array
    sigma: float
    degrees: int

    def scar(self, first: int, last: int) -> float | None:
        bars = range(first, last + 1)
        if any(bar not in self.abnormal for bar in bars):
            return None
        x = np.array([self.design[bar] for bar in bars])
        covariance = self.sigma**2 * (np.eye(len(x)) + x @ self.inverse @ x.T)
        return sum(self.abnormal[bar] for bar in bars) / np.sqrt(np.ones(len(x)) @ covariance @ np.ones(len(x)))


def by_the_book(case: Case) -> list[Event]:
    windows, events = case.windows, []
    for asset, market in zip(case.asset, case.benchmarks, strict=True):
        rows = {
            bar: np.r_[1.0, market[column]]
            for column, bar in enumerate(range(windows.start, windows.last + 1))
            if not np.isnan(asset[column]) and not np.isnan(market[column]).any()
        }
        value = {bar: asset[bar - windows.start] for bar in rows}
        estimation = [bar for bar in rows if bar < windows.start + windows.estimation]
        event = [bar for bar in rows if bar >= windows.first]
        if len(estimation) < 12 or not event:
            continue
        design = np.array([rows[bar] for bar in estimation])
        inverse = np.linalg.inv(design.T @ design)
        coefficients = inverse @ design.T @ np.array([value[bar] for bar in estimation])
        residual = {bar: value[bar] - rows[bar] @ coefficients for bar in estimation}
        degrees = len(estimation) - design.shape[1]
        sigma = np.sqrt(sum(r**2 for r in residual.values()) / degrees)
        abnormal = {bar: value[bar] - rows[bar] @ coefficients for bar in event}
        events.append(Event(residual, abnormal, rows, inverse, sigma, degrees))
    return events


def kept_onsets(case: Case, cumulated: Cumulated) -> list[int]:
    return [int(onset) for onset, kept in zip(case.onset, cumulated.returns.kept, strict=True) if kept]


def patell_by_the_book(events: list[Event], first: int, last: int) -> float:
    scars = [(event.scar(first, last), event.degrees) for event in events]
    known = [(scar, degrees) for scar, degrees in scars if scar is not None]
    if not known:
        return np.nan
    return sum(scar for scar, _ in known) / np.sqrt(sum(d / (d - 2) for _, d in known))


def bmp_by_the_book(events: list[Event], first: int, last: int) -> float:
    scars = [scar for event in events if (scar := event.scar(first, last)) is not None]
    if len(scars) < 2:
        return np.nan
    mean = sum(scars) / len(scars)
    return mean / np.sqrt(sum((scar - mean) ** 2 for scar in scars) / (len(scars) - 1) / len(scars))


def correlation_by_the_book(events: list[Event], onsets: list[int], first: int, last: int) -> float:
    total, pairs = 0.0, 0
    present = [index for index, event in enumerate(events) if event.scar(first, last) is not None]
    for i in present:
        for j in present:
            if i == j:
                continue
            mine = {onsets[i] + bar for bar in range(first, last + 1)}
            share = len(mine & {onsets[j] + bar for bar in range(first, last + 1)}) / len(mine)
            if share == 0:
                pairs += 1
                continue
            other = {onsets[j] + bar: value for bar, value in events[j].residual.items()}
            both = [
                (value, other[onsets[i] + bar]) for bar, value in events[i].residual.items() if onsets[i] + bar in other
            ]
            if len(both) >= PAIR_BARS:
                pairs += 1
                total += share * np.corrcoef(np.array(both).T)[0, 1]
    return total / pairs if pairs else np.nan


def corrado_by_the_book(events: list[Event], windows: Windows, first: int, last: int) -> float:
    bars = [*range(windows.start, windows.start + windows.estimation), *range(windows.first, windows.last + 1)]
    centred: dict[int, list[float]] = {bar: [] for bar in bars}
    lengths = []
    for event in events:
        series = event.residual | event.abnormal
        lengths.append(len(series))
        for bar, value in series.items():
            below = sum(other < value for other in series.values())
            ties = sum(other == value for other in series.values())
            centred[bar].append(below + (ties + 1) / 2 - (len(series) + 1) / 2)
    means = {bar: np.mean(values) for bar, values in centred.items() if values}
    spread = np.sqrt(sum(mean**2 for mean in means.values()) / np.mean(lengths)) if means else np.nan
    span = range(first, last + 1)
    if any(bar not in means for bar in span):
        return np.nan
    return sum(means[bar] for bar in span) / spread / np.sqrt(len(span))


def grank_by_the_book(events: list[Event], windows: Windows, first: int, last: int) -> float:
    known = [(event, scar) for event in events if (scar := event.scar(first, last)) is not None]
    if len(known) < 2:
        return np.nan
    spread = np.std([scar for _, scar in known], ddof=1)
    scores: dict[int | str, list[float]] = {}
    for event, scar in known:
        series: dict[int | str, float] = {bar: r / event.sigma for bar, r in event.residual.items()}
        series["event"] = scar / spread
        for bar, value in series.items():
            rank = 1 + sum(other < value for other in series.values())
            scores.setdefault(bar, []).append(rank / (len(series) + 1) - 0.5)
    bars = len(scores)
    variance = sum(len(values) / len(known) * np.mean(values) ** 2 for values in scores.values()) / bars
    z = np.mean(scores["event"]) / np.sqrt(variance)
    return z * np.sqrt((bars - 2) / (bars - 1 - z**2))


def same(actual: Statistic, expected: list[float]) -> None:
    assert len(expected) == len(actual.value) > 0
    np.testing.assert_allclose(actual.value, expected, rtol=RELATIVE, atol=1e-9)


@settings(deadline=None)
@given(cases())
def test_patell_by_the_book(case: Case) -> None:
    events = by_the_book(case)
    same(TESTS["patell"](case.cumulated()), [patell_by_the_book(events, *span) for span in case.spans.tolist()])


@settings(deadline=None)
@given(cases())
def test_bmp_by_the_book(case: Case) -> None:
    events = by_the_book(case)
    same(TESTS["bmp"](case.cumulated()), [bmp_by_the_book(events, *span) for span in case.spans.tolist()])


@settings(deadline=None)
@given(cases())
def test_kolari_pynnonen_by_the_book(case: Case) -> None:
    cumulated, events = case.cumulated(), by_the_book(case)
    onsets = kept_onsets(case, cumulated)
    assert len(onsets) == len(events)
    bmp, patell, mean_r = [], [], []
    for span in case.spans.tolist():
        r = correlation_by_the_book(events, onsets, *span)
        n = sum(event.scar(*span) is not None for event in events)
        widening = 1 + (n - 1) * r
        mean_r.append(r)
        bmp.append(bmp_by_the_book(events, *span) * np.sqrt((1 - r) / widening) if widening > 0 else np.nan)
        plain = patell_by_the_book(events, *span)
        patell.append(plain if n == 1 else plain / np.sqrt(widening) if widening > 0 else np.nan)
    np.testing.assert_allclose(mean_correlation(cumulated), mean_r, rtol=RELATIVE, atol=1e-9)
    same(TESTS["kolari_pynnonen"](cumulated), bmp)
    same(TESTS["kolari_pynnonen_patell"](cumulated), patell)


@settings(deadline=None)
@given(cases())
def test_corrado_rank_by_the_book(case: Case) -> None:
    events = by_the_book(case)
    expected = [corrado_by_the_book(events, case.windows, *span) for span in case.spans.tolist()]
    same(TESTS["corrado_rank"](case.cumulated()), expected)


@settings(deadline=None)
@given(cases())
def test_generalised_rank_by_the_book(case: Case) -> None:
    events = by_the_book(case)
    expected = [grank_by_the_book(events, case.windows, *span) for span in case.spans.tolist()]
    same(TESTS["generalised_rank"](case.cumulated()), expected)


@settings(deadline=None)
@given(cases())
def test_portfolio_tests_by_the_book(case: Case) -> None:
    events, windows = by_the_book(case), case.windows
    average_by_bar = {
        bar: np.mean(known)
        for bar in range(windows.start, windows.last + 1)
        if (known := [series[bar] for event in events if bar in (series := event.residual | event.abnormal)])
    }
    estimation = [v for bar, v in average_by_bar.items() if bar < windows.start + windows.estimation]
    spread = np.std(estimation, ddof=1) if len(estimation) > 1 else np.nan
    plain, corrected = [], []
    for first, last in case.spans.tolist():
        span = range(first, last + 1)
        if any(bar not in average_by_bar for bar in span):
            plain.append(np.nan)
            corrected.append(np.nan)
            continue
        plain.append(sum(average_by_bar[bar] for bar in span) / spread / np.sqrt(len(span)))
        z = 0.0
        for bar in span:
            here = [event for event in events if bar in event.abnormal]
            forecast = np.mean([1 + event.design[bar] @ event.inverse @ event.design[bar] for event in here])
            z += average_by_bar[bar] / spread / np.sqrt(forecast)
        corrected.append(z / np.sqrt(len(span)))
    cumulated = case.cumulated()
    same(TESTS["brown_warner_1985"](cumulated), plain)
    same(TESTS["lamb"](cumulated), corrected)


@settings(deadline=None)
@given(cases())
def test_scipy_agrees_on_the_cross_section(case: Case) -> None:
    cumulated = case.cumulated()
    t, signed = TESTS["cross_sectional_t"](cumulated), TESTS["wilcoxon"](cumulated)
    for span in range(len(case.spans)):
        car = cumulated.car[:, span]
        car = car[~np.isnan(car)]
        assert t.n[span] == signed.n[span] == len(car)
        if len(car) > 1:
            expected = stats.ttest_1samp(car, 0.0)
            np.testing.assert_allclose((t.value[span], t.p_value[span]), expected, rtol=RELATIVE)
        if len(car) > 0:
            expected = stats.wilcoxon(car, alternative="greater")
            assert signed.value[span] == expected.statistic
            assert signed.p_value[span] == pytest.approx(stats.wilcoxon(car).pvalue)


@pytest.mark.parametrize("name", TESTS)
@settings(deadline=None, max_examples=25)
@given(case=cases(), scale=st.sampled_from((1e-3, 7.0)))
def test_contract_of_every_test(name: str, case: Case, scale: float) -> None:
    """Units and the order of events do not matter, the sign flips with the returns, NaN has a reason, p is one."""
    result = TESTS[name](case.cumulated())
    assert result.name == name
    assert len(result.value) == len(result.p_value) == len(result.n) == len(result.reasons) == len(case.spans)
    undefined = np.isnan(result.value)
    assert [reason is not None for reason in result.reasons] == undefined.tolist()
    np.testing.assert_array_equal(np.isnan(result.p_value), undefined)
    assert ((result.p_value[~undefined] >= 0) & (result.p_value[~undefined] <= 1)).all()

    scaled = Case(case.asset * scale, case.benchmarks, case.windows, case.onset, case.spans)
    np.testing.assert_allclose(TESTS[name](scaled.cumulated()).value, result.value, rtol=1e-7, atol=1e-9)
    turned = Case(case.asset[::-1], case.benchmarks[::-1], case.windows, case.onset[::-1] + 17, case.spans)
    np.testing.assert_allclose(TESTS[name](turned.cumulated()).value, result.value, rtol=1e-7, atol=1e-9)

    flipped = TESTS[name](Case(-case.asset, case.benchmarks, case.windows, case.onset, case.spans).cumulated())
    np.testing.assert_allclose(flipped.p_value, result.p_value, rtol=1e-7, atol=1e-9)
    expected = result.n * (result.n + 1) / 2 - result.value if name == "wilcoxon" else -result.value
    np.testing.assert_allclose(flipped.value, expected, rtol=1e-7, atol=1e-9)


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
    np.testing.assert_allclose(residual_correlation(cumulated.returns), [[1, 1 / 3], [1 / 3, 1]])
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
    correlation = residual_correlation(returns)
    assert correlation[0, 1] == pytest.approx(1.0)
    assert np.isnan(correlation[0, 2])
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
    correlation = residual_correlation(given_returns(np.ones((2, 4)), residual, onset))
    assert np.isnan(correlation[0, 1]) == (shared_bars < PAIR_BARS)


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


def test_placebo_p_by_hand() -> None:
    """Two-sided, the observed one counts: draws -3 2 1 NaN against 2 give (1 + 2) / (3 + 1)."""
    draws = np.array([[-3.0, 0.0], [2.0, 1.0], [1.0, 1.0], [np.nan, 1.0]])
    np.testing.assert_allclose(placebo_p([2.0, 9.0], draws), [3 / 4, 1 / 5])
    assert placebo_p(0.1 + 0.2, [0.3, -0.3]) == 1.0
    np.testing.assert_array_equal(placebo_p([np.nan, 1.0], [[1.0, np.nan]]), [np.nan, np.nan])
    with pytest.raises(UsageError, match=r"draws has shape \(4, 2\).*\('B', 3\)"):
        placebo_p([1.0, 2.0, 3.0], draws)
