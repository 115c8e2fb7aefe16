"""Distributed lags: overlapping responses by hand, errors as statsmodels gives them, and what is written twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from backtest.catalysts.record import Calendar
from backtest.study.alignment import FitRow
from backtest.study.lags import bases, disjoint_spans, distributed_lags, fit_lags, partialled_out, regressors
from backtest.study.study import event_study
from tests.study.test_synthetic import SMALL, catalyst, market_with

SPANS = np.array([(-2, -1), (0, 0), (1, 2), (1, 4)])
CONFIG = SMALL.model_copy(update={"benchmarks": ("SCRT",), "after": ("12h", "1d")})


def test_spans_that_do_not_overlap() -> None:
    assert disjoint_spans(SPANS).tolist() == [[-2, -1], [0, 0], [1, 2], [3, 4]]


def test_overlapping_responses_are_told_apart_by_hand() -> None:
    """Each catalyst brings 1 in its bar and 2 over the two after; the second comes one bar after the first.

    Bars 10 to 13 hold 1, 1 + 1, 1 + 1, 1: the sums over bars 1 to 2 of the two are 4 and 3, a mean of 3.5 where each
    brought 2.
    """
    rows = [FitRow((0,), 10, 1), FitRow((0,), 11, 1)]
    parts = np.array([(0, 0), (1, 2)])
    lags = regressors(rows, parts, 40, 1)
    assert lags[10:14, 0].tolist() == [[1.0, 0.0], [1.0, 0.5], [0.0, 1.0], [0.0, 0.5]]
    returns = lags @ np.array([1.0, 2.0])
    assert returns[10:14, 0].tolist() == [1.0, 2.0, 2.0, 1.0]
    assert (returns[11:13].sum() + returns[12:14].sum()) / 2 == 3.5
    found = fit_lags(returns, lags, np.arange(40) // 5, 2, 40)
    np.testing.assert_allclose(found.effect, [1.0, 2.0], atol=1e-12)


def test_effects_and_errors_are_those_of_statsmodels() -> None:
    """The whole regression, an intercept and a slope a coin, with standard errors clustered by day."""
    random = np.random.default_rng(1)
    market = np.repeat(random.normal(0, 0.01, (480, 1, 1)), 3, axis=1)
    returns = market[:, :, 0] * [0.5, 1.0, 1.5] + random.normal(0, 0.02, (480, 3))
    parts = disjoint_spans(np.array([(-12, -1), (0, 0), (1, 12), (1, 36)]))
    lags = regressors(
        [FitRow((0,), 100, 1), FitRow((0,), 120, 3), FitRow((1,), 118, 1), FitRow((2,), 300, 24)], parts, 480, 3
    )
    known = np.ones((480, 3), dtype=bool)
    known[50:60, 1] = False
    within = bases(market, known)
    own, moved = partialled_out(returns[:, :, None], within, known), partialled_out(lags, within, known)
    day = np.arange(480) // 24
    found = fit_lags(own[:, :, 0], moved, day, 4 + 6, int(known.sum()))
    blocks = []
    for coin in range(3):
        others = np.zeros((480, 6))
        others[:, 2 * coin : 2 * coin + 2] = np.column_stack((np.ones(480), market[:, coin, 0]))
        blocks.append(np.hstack((lags[:, coin], others))[known[:, coin]])
    y, clusters = (np.concatenate([one[known[:, c]] for c, one in enumerate(part)]) for part in (returns.T, [day] * 3))
    whole = sm.OLS(y, np.vstack(blocks)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    np.testing.assert_allclose(found.effect, whole.params[:4], rtol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), whole.bse[:4], rtol=1e-9)


BIRTHS = [
    124.7, 126.6, 125.0, 123.4, 121.0, 119.8, 111.2, 117.9, 119.8, 111.2, 110.5, 110.9, 106.6, 102.6, 99.8, 93.8,
    89.2, 89.2, 84.6, 81.7, 76.3, 78.5, 77.2, 75.8, 77.1, 79.1, 77.6, 79.9, 83.4, 91.5, 94.3, 88.4, 85.9, 101.9,
    113.3, 107.3, 107.1, 106.2, 111.5, 113.9, 115.2, 118.1, 118.5, 121.2, 122.9, 120.2, 118.8, 118.0, 117.2,
    112.2, 108.5, 105.0, 96.6, 91.3, 87.6, 85.7, 86.5, 87.9, 81.8, 73.4, 69.2, 68.4, 66.0, 65.8, 66.8, 65.5, 67.2,
    68.4, 67.4, 67.3, 65.8, 65.4,
]  # fmt: skip
EXEMPTION = [
    0.0, 0.0, 0.0, 0.0, 19.27, 23.94, 20.07, 15.33, 34.32, 36.65, 25.83, 27.34, 22.85, 21.13, 24.61, 31.96, 27.29,
    18.4, 14.91, 28.36, 31.95, 33.91, 36.98, 50.12, 42.79, 32.22, 36.53, 53.33, 102.49, 137.7, 141.2, 243.83,
    238.4, 193.16, 168.9, 149.79, 147.05, 163.1, 178.14, 189.43, 186.51, 165.46, 170.57, 171.0, 165.12, 158.66,
    162.19, 158.28, 160.71, 161.58, 161.61, 142.73, 134.6, 133.94, 133.8, 145.1, 142.62, 130.58, 132.99, 144.85,
    140.87, 130.49, 122.36, 120.08, 116.11, 118.98, 132.93, 123.17, 119.31, 102.04, 92.49, 83.9,
]  # fmt: skip
"""General fertility rate and real personal tax exemption of the United States, 1913 to 1984."""


def test_the_distributed_lag_of_a_textbook() -> None:
    """Wooldridge, Introductory Econometrics, example 10.4: births on the exemption of this year and the two before.

    gfr = 95.87 + .073 pe - .0058 pe(-1) + .034 pe(-2) - 22.13 ww2 - 31.30 pill, 70 years; long-run propensity .101.
    War (1941 to 1945) and pill (from 1963) are partialled out as benchmarks are, the constant with them.
    """
    births, exemption = np.array(BIRTHS), np.array(EXEMPTION)
    years = np.arange(1915, 1985)
    others = np.column_stack(((years >= 1941) & (years <= 1945), years >= 1963))
    lags = np.column_stack([exemption[2 - back : 72 - back] for back in range(3)])
    known = np.ones((70, 1), dtype=bool)
    within = bases(others[:, None, :].astype(float), known)
    own = partialled_out(births[2:, None, None], within, known)[:, :, 0]
    found = fit_lags(own, partialled_out(lags[:, None, :], within, known), np.arange(70), 6, 70)
    printed = ((0.073, 3), (-0.0058, 4), (0.034, 3))
    assert [round(value, places) for value, (_, places) in zip(found.effect, printed, strict=True)] == [
        value for value, _ in printed
    ]
    assert found.effect.sum() == pytest.approx(0.101, abs=5e-4)


def test_what_cannot_be_told_apart_is_unknown() -> None:
    lags = regressors([FitRow((0,), 10, 1)], np.array([(0, 0)]), 40, 1)
    found = fit_lags(lags[:, :, 0], np.concatenate((lags, lags), axis=2), np.arange(40) // 5, 2, 40)
    assert np.isnan(found.effect).all()


def lags_of(effect: float, *rows: int) -> pd.DataFrame:
    calendar = Calendar("some", tuple(catalyst(f"zec-{row}", "ZEC", row) for row in rows))
    return distributed_lags(market_with(effect), calendar, CONFIG).query("grouping == 'all'").set_index("span")


def test_two_catalysts_share_what_came_once() -> None:
    """8 % over bars 600 to 611, catalysts known at 600 and 604: an event study sums 8 and 5.3 %; OLS gives 4 % each."""
    table = lags_of(0.08, 599, 603)
    assert table["n"].tolist() == [2, 2, 2, 2]
    assert table["mean"]["after_12h"] == pytest.approx(0.067, abs=0.012)
    assert table["effect"]["after_12h"] == pytest.approx(0.04, abs=0.012)


def test_what_filters_leave_out_shares_its_bars_but_has_no_row() -> None:
    """8 % from bar 600 on: alone the later catalyst has all that is left; one of another kind takes its share."""
    other = replace(catalyst("zec-upgrade", "ZEC", 599), kind="upgrade")
    move = replace(catalyst("zec-record", "ZEC", 599), kind="price_record", endogenous=True)
    one, asked = catalyst("zec-603", "ZEC", 603), CONFIG.model_copy(update={"kinds": ("listing",)})
    alone = distributed_lags(market_with(0.08), Calendar("one", (one,)), CONFIG).set_index("span")["effect"]
    shared = lags_of(0.08, 599, 603)
    for beside, config in ((other, asked), (move, CONFIG)):
        table = distributed_lags(market_with(0.08), Calendar("two", (beside, one)), config)
        assert set(table["group"]) == {"all", "listing"}
        assert table["n"].tolist() == [1] * 8
        effect = table.query("grouping == 'all'").set_index("span")["effect"]["after_12h"]
        assert alone["after_12h"].iloc[0] == pytest.approx(0.053, abs=0.012)
        assert effect < alone["after_12h"].iloc[0] - 0.01
    assert shared["n"].tolist() == [2] * 4


def test_p_finds_what_is_there_and_no_more() -> None:
    """40 days are 39 shifts."""
    found, none = lags_of(0.08, 599), lags_of(0.0, 599)
    assert found["floor"].tolist() == [1 / 40] * 4
    assert found["p_value"]["after_12h"] == 1 / 40
    assert none["p_value"]["after_12h"] > 0.1


def test_a_catalyst_that_is_written_twice_changes_nothing() -> None:
    one = catalyst("zec-one", "ZEC", 599)
    once = distributed_lags(market_with(0.05), Calendar("one", (one,)), CONFIG)
    twice = distributed_lags(market_with(0.05), Calendar("two", (one, replace(one, id="zec-copy"))), CONFIG)
    assert once.equals(twice)


def test_overlapping_catalysts_are_left_out_where_that_is_asked_for() -> None:
    """10 days of estimation, a day of gap, a day of run-up, a day after: 620 lies inside the window of 599."""
    first = catalyst("zec-one", "ZEC", 599)
    some = Calendar(
        "some",
        (first, replace(first, id="zec-copy"), catalyst("zec-two", "ZEC", 620), catalyst("zec-far", "ZEC", 900),
         catalyst("dash-one", "DASH", 600)),
    )  # fmt: skip
    config = CONFIG.model_copy(update={"exclude_overlaps": True})
    study = event_study(market_with(0.0), some, config)
    assert study.catalysts["catalyst_id"].tolist() == ["dash-one", "zec-far"]
    left_out = study.rejected.query("reason == 'OVERLAP'")["catalyst_id"].tolist()
    assert sorted(left_out) == ["zec-copy", "zec-one", "zec-two"]
    # Its own copy is the same observation, and no overlap.
    two = event_study(market_with(0.0), Calendar("two", some.catalysts[:2]), config)
    assert len(two.catalysts) == 2


def test_estimation_windows_without_the_coins_other_catalysts() -> None:
    """Bar 700 has bars 412 to 651 to estimate from; the window of 599, bars 575 to 623, takes 49 of the 240."""
    pair = Calendar("pair", (catalyst("zec-one", "ZEC", 599), catalyst("zec-two", "ZEC", 700)))
    market = market_with(0.5)
    kept = event_study(market, pair, CONFIG).catalysts.set_index("catalyst_id")
    cleaned = event_study(market, pair, CONFIG.model_copy(update={"clean_estimation": True})).catalysts
    cleaned = cleaned.set_index("catalyst_id")
    assert (kept["estimation_bars"]["zec-two"], cleaned["estimation_bars"]["zec-two"]) == (240, 240 - 49)
    assert cleaned["estimation_bars"]["zec-one"] == 240
    assert cleaned["sigma"]["zec-two"] < kept["sigma"]["zec-two"] / 2
