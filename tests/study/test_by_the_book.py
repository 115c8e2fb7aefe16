"""Test statistics against loops written from the papers, and against scipy.

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

from backtest.study.cumulation import Cumulated, StatisticOfTest, cumulate
from backtest.study.models import Windows, market_model
from backtest.study.observed import steps_of
from backtest.study.parametric import PAIR_BARS, mean_correlation
from backtest.study.significance import TESTS

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
    return Case(asset, market, windows, onset, np.concatenate((steps_of("volume", windows), ends)))


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


def same(actual: StatisticOfTest, expected: list[float]) -> None:
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
