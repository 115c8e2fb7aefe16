"""Events fitted part by part, ranked and correlated part by part, are those fitted, ranked and correlated at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backtest.study import abnormal, nonparametric, observed, parametric
from backtest.study.abnormal import Series, effects, fit
from backtest.study.alignment import FitRow
from backtest.study.models import Rejection, Windows
from backtest.study.nonparametric import generalised_rank, generalised_sign
from backtest.study.observed import observe, rejections, steps_of
from backtest.study.parametric import overlapping_pairs
from backtest.study.rolling import cumulated_series, rolling_sums

WINDOWS = Windows(estimation=60, gap=4, first=-6, last=9)
SPANS = np.array([[-6, -1], [0, 0], [1, 9]])
COINS = ("BTC", "ZEC", "DASH", "ZEN")
ROWS = [FitRow((1 + k % 3,), 90 + 3 * k, 1 + 4 * (k % 2)) for k in range(40)]


def source(seed: int = 1) -> Series:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((300, len(COINS))) + rng.standard_normal((300, 1))
    values[rng.random(values.shape) < 0.004] = np.nan
    return Series(values, "market", COINS, (0,))


@pytest.mark.parametrize("measure", ["return", "volume"])
def test_parts_hold_what_one_fit_holds(measure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    width = np.array([row.width for row in ROWS])
    returns = fit(source(), ROWS, WINDOWS, 30)
    monkeypatch.setattr(abnormal, "_BLOCK", 1)
    monkeypatch.setattr(observed, "MAPPED_BYTES", 1)
    steps = steps_of(measure, WINDOWS)
    own, path = observe(measure, source(), ROWS, WINDOWS, 30, SPANS, steps)
    assert rejections(source(), ROWS, WINDOWS, 30) == returns.reasons == own.returns.reasons
    for name in ("residual", "alpha", "beta", "sigma", "usable", "degrees", "onset", "kept"):
        np.testing.assert_array_equal(getattr(own.returns, name), getattr(returns, name), err_msg=name)
    wanted = effects(measure, returns, SPANS, width)
    for name in ("car", "correction", "scar", "member", "length"):
        np.testing.assert_array_equal(getattr(own, name), getattr(wanted, name), err_msg=name)
    np.testing.assert_allclose(path.car, effects(measure, returns, steps, width).car, rtol=1e-9, atol=1e-12)
    assert np.isnan(path.car).any()


def test_ranks_and_correlations_do_not_depend_on_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    own, _ = observe("return", source(), ROWS, WINDOWS, 30, SPANS, steps_of("return", WINDOWS))
    whole = [generalised_rank(own), generalised_sign(own)]
    pairs = overlapping_pairs(own.returns)
    monkeypatch.setattr(nonparametric, "_CELLS", 150)
    monkeypatch.setattr(parametric, "_LONG", 0)
    for at_once, one in zip(whole, (generalised_rank(own), generalised_sign(own)), strict=True):
        np.testing.assert_allclose(one.value, at_once.value, rtol=1e-12)
        assert one.n.tolist() == at_once.n.tolist()
    alone = overlapping_pairs(replace(own.returns))
    assert len(alone.first) > 50
    order, other = (np.lexsort((one.second, one.first)) for one in (pairs, alone))
    np.testing.assert_array_equal(alone.first[other], pairs.first[order])
    np.testing.assert_array_equal(alone.second[other], pairs.second[order])
    np.testing.assert_allclose(alone.correlation[other], pairs.correlation[order], rtol=1e-9, atol=1e-12)


def test_a_path_of_a_long_window_is_thinned_between_fixed_bars() -> None:
    short = steps_of("return", Windows(100, 0, -400, 599))
    assert short[:, 1].tolist() == list(range(-400, 600))
    assert (short[:, 0] == -400).all()
    long = steps_of("volume", Windows(100, 0, -2_880, 4_320))
    assert len(long) <= 1_000
    assert long[0, 0] == -2_880
    assert long[-1, 1] == 4_320
    assert (long[1:, 0] == long[:-1, 1] + 1).all()
    assert {-8, -1, 0, 8}.issubset(long[:, 1].tolist())


@pytest.mark.parametrize("constant", [0.0, 0.1, 13.815510557964274])
def test_a_series_that_stands_still_has_no_variance(constant: float) -> None:
    """Its mean may differ from it by rounding, in a fit as in cumulated sums."""
    one = replace(source(), values=np.full((300, 4), constant), model="mean_adjusted", benchmarks=())
    onset = np.arange(90, 200)
    returns = fit(one, [FitRow((1,), at, 1) for at in onset.tolist()], WINDOWS, 30)
    assert set(returns.reasons) == {Rejection.NO_VARIANCE}
    found = rolling_sums("volume", one, cumulated_series(one, (1,), ()), FitRow((1,), 0, 1), onset, WINDOWS, 30, SPANS)
    assert np.isnan(found.car).all()
