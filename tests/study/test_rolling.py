"""Sums over windows from cumulated series say what a fit of each window's own bars says, to `rolling.BOUND`.

Where a window is too quiet, too collinear or too small against what was cumulated before it, its own bars are fitted.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backtest.market.record import Floats
from backtest.study import rolling
from backtest.study.abnormal import Series, effects, fit
from backtest.study.alignment import FitRow
from backtest.study.models import Ints, Windows
from backtest.study.observed import steps_of
from backtest.study.rolling import BOUND, CumulatedSeries, cumulated, cumulated_series, path_sums, rolling_sums

BARS = 900
WINDOWS = Windows(estimation=96, gap=4, first=-6, last=9)
SPANS = np.array([[-6, -1], [0, 0], [1, 4], [-2, 9]])
COINS = ("BTC", "ETH", "ZEC", "DASH")
ONSETS = np.arange(60, BARS + 20, 3)


def noisy(seed: int) -> Floats:
    """Returns that share a market, with holes; one bar in 200 is thirty times as large."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((BARS, len(COINS))) * 0.01 + 0.02 * rng.standard_normal((BARS, 1)) + 3e-4
    values[rng.random(BARS) < 0.005] *= 30.0
    values[rng.random(values.shape) < 0.002] = np.nan
    return values


def both(measure: str, source: Series, row: FitRow, onset: Ints = ONSETS) -> tuple[int, Floats]:
    """Number of dates with a sum, and coefficients, after comparing sums, errors and paths with fits of the bars."""
    rows = [replace(row, onset=at) for at in onset.tolist()]
    returns = fit(source, rows, WINDOWS, 40)
    width = np.full(len(rows), row.width)
    slow = effects(measure, returns, SPANS, width)
    series = cumulated_series(source, row.columns, source.benchmarks_of(row))
    fast = rolling_sums(measure, source, series, row, onset, WINDOWS, 40, SPANS)
    np.testing.assert_array_equal(np.isnan(fast.car), np.isnan(slow.car))
    np.testing.assert_array_equal(np.isnan(fast.scar), np.isnan(slow.scar))
    np.testing.assert_allclose(fast.scar, slow.scar, rtol=BOUND, atol=BOUND)
    unit = returns.sigma[:, None] * np.sqrt(slow.correction)
    assert np.nanmax(np.abs(fast.car - slow.car) / unit) < BOUND
    steps = steps_of(measure, WINDOWS)
    path = path_sums(measure, series, row.width, onset, fast.coefficient, steps)
    wanted = effects(measure, returns, steps, width).car
    np.testing.assert_array_equal(np.isnan(path), np.isnan(wanted))
    np.testing.assert_allclose(path, wanted, rtol=1e-9, atol=1e-11 * np.nanmax(np.abs(wanted)))
    return int((~np.isnan(fast.scar)).any(axis=1).sum()), fast.coefficient


@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("unused", [(), ((-80, -70), (-75, -60), (-140, -100), (-14, -2))])
@pytest.mark.parametrize(
    ("model", "benchmarks"),
    [("market", (0,)), ("market", (0, 1)), ("market_adjusted", (0, 1)), ("mean_adjusted", ())],
)
def test_sums_are_those_of_a_fit(model: str, benchmarks: tuple[int, ...], unused: tuple, width: int) -> None:
    source = Series(noisy(len(benchmarks)), model, COINS, benchmarks)  # type: ignore[arg-type]
    for columns in ((2,), (2, 3)):
        entered, _ = both("return", source, FitRow(columns, 0, width, unused))
        assert entered > 200


@pytest.mark.parametrize("width", [1, 30])
@pytest.mark.parametrize("pattern", ["round the clock", "from the middle of an hour", "at random"])
def test_a_mean_a_season_is_that_of_a_fit(pattern: str, width: int) -> None:
    rng = np.random.default_rng(3)
    if pattern == "at random":
        season = rng.integers(0, 5, BARS)
    else:
        season = (np.arange(BARS) + (7 if pattern.startswith("from") else 0)) % 48 // 4
    source = Series(noisy(4) + 15.0 + season[:, None], "mean_adjusted", COINS, seasons=season)
    entered, _ = both("volume", source, FitRow((1,), 0, width, ((-60, -40),)))
    assert entered > 200
    empty = source.values.copy()
    empty[300:500][season[300:500] == 2] = np.nan
    entered, coefficient = both("volume", replace(source, values=empty), FitRow((1,), 0, width))
    assert entered > 100
    assert np.isnan(coefficient).all(axis=1).any()


def test_what_rounding_could_reach_is_fitted_from_its_own_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet stretch after a storm, benchmarks that nearly coincide; a price that stands still is simply counted."""
    fitted: list[int] = []

    def counted(source: Series, rows: list[FitRow], windows: Windows, minimum: int) -> object:
        fitted.append(len(rows))
        return fit(source, rows, windows, minimum)

    monkeypatch.setattr(rolling, "fit", counted)
    values = noisy(9)
    values[:200] *= 1e3
    values[400:] *= 1e-3
    quiet = Series(values, "market", COINS, (0,))
    both("return", quiet, FitRow((2,), 0, 1))
    assert 0 < sum(fitted) < len(ONSETS)
    fitted.clear()
    alike = noisy(10)
    alike[:, 1] = alike[:, 0] * (1 + 1e-4 * np.random.default_rng(1).standard_normal(BARS))
    both("return", Series(alike, "market", COINS, (0, 1)), FitRow((2,), 0, 1))
    assert sum(fitted) > 200
    fitted.clear()
    still = noisy(11)
    still[300:600, 2] = 0.0
    entered, _ = both("return", Series(still, "mean_adjusted", COINS), FitRow((2,), 0, 1))
    assert sum(fitted) == 0 < entered


def test_dates_without_variance_are_rejected_without_a_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a volume never changes is counted: no date is fitted from its own bars to find that out."""
    monkeypatch.setattr(rolling, "fit", None)
    row, source = FitRow((2,), 0, 1), Series(np.full((BARS, 4), 15.1), "mean_adjusted", COINS)
    found = rolling_sums("return", source, cumulated_series(source, (2,), ()), row, ONSETS, WINDOWS, 40, SPANS)
    assert np.isnan(found.scar).all()
    seasons = Series(source.values, "mean_adjusted", COINS, seasons=np.arange(BARS) % 24)
    found = rolling_sums("volume", seasons, cumulated_series(seasons, (2,), ()), row, ONSETS, WINDOWS, 40, SPANS)
    assert np.isnan(found.car).all()


def test_cumulated_sums_lose_no_more_than_their_own_rounding() -> None:
    """A series whose ends differ by ten orders of magnitude, against sums of longer numbers; whole numbers exactly."""
    rng = np.random.default_rng(5)
    values = rng.standard_normal(20_000) * np.geomspace(1e5, 1e-5, 20_000)
    sums = cumulated(values)
    exact = np.cumsum(values.astype(np.longdouble))
    assert np.abs(sums[1:] - exact).max() <= 64 * np.finfo(np.float64).eps * np.abs(exact).max()
    np.testing.assert_array_equal(cumulated(np.ones((3_000, 2)))[:, 1], np.arange(3_001))
    assert cumulated(np.empty((5, 0))).shape == (6, 0)


def test_a_series_is_cumulated_without_what_is_unknown() -> None:
    series: CumulatedSeries = cumulated_series(Series(noisy(1), "market", COINS, (0,)), (2,), (0,))
    assert series.known[-1] == (~np.isnan(series.value)).sum() < BARS
    assert abs(series.total[-1]) < 1e-10
