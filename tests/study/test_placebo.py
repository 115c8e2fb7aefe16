"""The random-date placebo: its dates, its batched statistic against the array level, and how often it rejects.

The null of the calibration is that of `test_calibration`: residual correlation 0.25 among coins, volatilities from 1 %
to 4 % a bar, variance doubled from the event on, and dates of which two overlap. 2,000 simulations with a fixed seed
at the 5 % level; the standard error of a rejection rate of 5 % is 0.5 points: 3 % to 7 % is four either side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from backtest.study.alignment import Row
from backtest.study.cumulation import cumulate
from backtest.study.measures import Series, effects, fit, pair_correlation, take
from backtest.study.models import AbnormalReturns, Windows
from backtest.study.multiplicity import placebo_p
from backtest.study.parametric import kolari_pynnonen, mean_correlation, residual_correlation
from backtest.study.placebo import (
    Dates,
    draw,
    eligible_onsets,
    every_calendar,
    keep_usable,
    kolari_pynnonen_draws,
    mean_draws,
    overlap_weights,
    spread,
)

SIMULATIONS = 2_000
DRAWS = 99
BARS, COINS = 300, 4
WINDOWS = Windows(estimation=40, gap=0, first=-1, last=3)
SPANS = np.array([[0, 0], [1, 3]])
ONSETS = (150, 152, 200)
ROWS = tuple(Row((coin + 1,), onset, 1) for onset in ONSETS for coin in range(COINS))


def test_eligible_dates_by_hand() -> None:
    """Windows run from 1 before to 3 after; onsets 10, 20, ... of 0..99 miss [29, 33] and leave room at both ends."""
    own, other = Row((1,), 30, 1), Row((1,), 54, 2)
    found = eligible_onsets([own], [own, other], 100, 10, WINDOWS)
    # The other's window is 53..58: 50 reaches to 53 and meets it, 60 starts at 59; 0 has no bar before it.
    assert found.tolist() == [10, 20, 40, 60, 70, 80, 90]
    wide = replace(own, width=10)
    # [29, 42] is its own window now; 20 reaches to 32, 40 starts at 39, 90 would end at 102.
    assert eligible_onsets([wide], [wide], 100, 10, WINDOWS).tolist() == [10, 50, 60, 70, 80]


def dates_of(rows: tuple[Row, ...], step: int = 28) -> Dates:
    onsets = {row.onset: eligible_onsets([row], rows, BARS, step, WINDOWS) for row in rows}
    usable = {onset: found[found >= 45] for onset, found in onsets.items()}
    return spread(rows, [usable[row.onset] for row in rows], np.random.default_rng(0))


def test_draws_move_whole_dates_and_keep_coins() -> None:
    dates = dates_of(ROWS)
    assert (dates.table[:, 0] == np.arange(len(ROWS))).all()
    drawn = draw(dates, 500, np.random.default_rng(1))
    onset = np.array([row.onset for row in dates.rows])[drawn]
    column = np.array([row.columns[0] for row in dates.rows])[drawn]
    assert (column == [row.columns[0] for row in ROWS]).all()
    for first in range(0, len(ROWS), COINS):
        assert (onset[:, first : first + COINS] == onset[:, first : first + 1]).all()
        shift = (onset[:, first] - ROWS[first].onset) / 28
        assert (shift == shift.round()).all()
        assert set(np.unique(onset[:, first])) == {dates.rows[k].onset for k in dates.table[first] if k >= 0}


def test_a_date_on_which_one_event_cannot_be_measured_is_no_date_of_its_cluster() -> None:
    dates = dates_of(ROWS)
    kept = np.ones(len(dates.rows), dtype=bool)
    kept[dates.table[1, 3]] = False
    less = keep_usable(dates, kept)
    assert (less.count == dates.count - (dates.cluster == dates.cluster[1])).all()
    assert dates.table[0, 3] not in less.table[0]
    assert (less.table[:, 0] == dates.table[:, 0]).all()


def test_every_calendar_but_the_observed_once() -> None:
    dates = dates_of(ROWS)
    events = np.array([0, 1, 8])
    found = every_calendar(dates, events, 10_000)
    assert found is not None
    assert len(found) == dates.count[0] * dates.count[8] - 1
    assert len(np.unique(found, axis=0)) == len(found)
    assert not (found == dates.table[events, 0]).all(axis=1).any()
    assert every_calendar(dates, events, len(found) - 1) is None


def simulated(rng: np.random.Generator, dates: Dates, effect: float) -> AbnormalReturns:
    market, sector = rng.standard_normal((2, BARS))
    noise = np.sqrt(0.25) * sector[:, None] + np.sqrt(0.75) * rng.standard_normal((BARS, COINS))
    stirred = np.unique(np.array(ONSETS)[:, None] + np.arange(4))
    noise[stirred] *= np.sqrt(2.0)
    benchmark = 0.02 * market[:, None]
    assets = benchmark * rng.uniform(0.5, 1.5, COINS) + rng.uniform(0.01, 0.04, COINS) * noise
    assets[list(ONSETS)] += effect
    coins = tuple(f"C{k}" for k in range(COINS + 1))
    return fit(Series(np.hstack((benchmark, assets)), "market", coins, (0,)), dates.rows, WINDOWS, 30)


@dataclass(frozen=True)
class Outcome:
    statistic: np.ndarray
    raw: np.ndarray


def placebo(returns: AbnormalReturns, dates: Dates, rng: np.random.Generator) -> Outcome:
    """P of the Kolari-Pynnonen placebo and of the raw mean's, over both spans."""
    cumulated = cumulate(returns, SPANS)
    correlation = pair_correlation(returns)
    weights = [overlap_weights(correlation, returns.onset, int(length)) for length in cumulated.length]
    observed, drawn, sign = dates.table[None, :, 0], draw(dates, DRAWS, rng), np.ones(len(ROWS))

    def p(statistic: np.ndarray, draws: np.ndarray) -> np.ndarray:
        return placebo_p(statistic[0], draws)

    return Outcome(
        p(*(kolari_pynnonen_draws(cumulated.scar, weights, rows, sign) for rows in (observed, drawn))),
        p(*(mean_draws(cumulated.car, rows, sign) for rows in (observed, drawn))),
    )


def test_a_draw_is_what_the_array_level_says_of_it() -> None:
    rng = np.random.default_rng(5)
    dates = dates_of(ROWS)
    returns = simulated(rng, dates, 0.0)
    abnormal = returns.abnormal.copy()
    abnormal[rng.random(abnormal.shape) < 0.02] = np.nan
    returns = replace(returns, abnormal=abnormal)
    cumulated = cumulate(returns, SPANS)
    assert np.isnan(cumulated.scar).any()
    weights = [overlap_weights(pair_correlation(returns), returns.onset, length) for length in (1, 3)]
    drawn = draw(dates, 40, rng)
    batch = kolari_pynnonen_draws(cumulated.scar, weights, drawn, np.ones(len(ROWS)))
    assert np.isfinite(batch).all()
    for rows, found in zip(drawn, batch, strict=True):
        alone = cumulate(take(returns, rows), SPANS)
        np.testing.assert_allclose(found, kolari_pynnonen(alone).value, rtol=1e-9)
    flipped = np.where(np.arange(len(ROWS)) % 2, -1.0, 1.0)
    turned = replace(
        returns, abnormal=abnormal * _per_row(dates, flipped), residual=returns.residual * _per_row(dates, flipped)
    )
    observed = dates.table[:, 0]
    expected = kolari_pynnonen(cumulate(take(turned, observed), SPANS)).value
    np.testing.assert_allclose(kolari_pynnonen_draws(cumulated.scar, weights, observed[None], flipped)[0], expected)


def _per_row(dates: Dates, sign: np.ndarray) -> np.ndarray:
    rows = np.ones((len(dates.rows), 1))
    rows[dates.table[:, 0], 0] = sign
    return rows


def test_mean_correlation_is_the_array_levels() -> None:
    dates = dates_of(ROWS)
    returns = take(simulated(np.random.default_rng(2), dates, 0.0), dates.table[:, 0])
    correlation = pair_correlation(returns)
    expected = mean_correlation(cumulate(returns, SPANS))
    for length, r in zip((1, 3), expected, strict=True):
        pairs = overlap_weights(correlation, returns.onset, length)
        assert pairs[~np.eye(len(pairs), dtype=bool)].mean() == pytest.approx(r)


def test_correlation_in_stretches_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    dates = dates_of(ROWS, step=3)
    returns = simulated(np.random.default_rng(3), dates, 0.0)
    whole = residual_correlation(returns)
    np.fill_diagonal(whole, 1.0)
    monkeypatch.setattr("backtest.study.measures._BLOCK", 1)
    np.testing.assert_allclose(pair_correlation(returns), whole, atol=1e-12)
    assert (~np.isnan(whole)).sum() > 2 * len(whole)


def test_rows_fitted_in_blocks_are_those_fitted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of two widths and two benchmark sets, in the order given; the widest model has two benchmarks."""
    rng = np.random.default_rng(4)
    source = Series(rng.standard_normal((200, 4)), "market", ("A", "B", "C", "D"), (0, 1))
    rows = [Row((2,), 100, 1), Row((1,), 90, 5), Row((3,), 120, 5), Row((0,), 80, 1), Row((2, 3), 110, 1)]
    at_once = fit(source, rows, WINDOWS, 30)
    assert np.isnan(at_once.beta).tolist() == [
        [False, False],
        [False, True],
        [False, False],
        [False, True],
        [False, False],
    ]
    assert at_once.onset.tolist() == [100, 90, 120, 80, 110]
    legs = fit(source, [Row((2,), 110, 1), Row((3,), 110, 1)], WINDOWS, 30)
    np.testing.assert_allclose(at_once.abnormal[4], legs.abnormal.mean(axis=0))
    monkeypatch.setattr("backtest.study.measures._BLOCK", 1)
    in_blocks = fit(source, rows, WINDOWS, 30)
    for name in ("abnormal", "residual", "beta", "sigma", "leverage"):
        np.testing.assert_array_equal(getattr(in_blocks, name), getattr(at_once, name))
    cumulated = effects("volume", at_once, SPANS, np.array([row.width for row in rows]))
    np.testing.assert_allclose(cumulated.car[1, 0], at_once.abnormal[1, 1] / 5)


def test_the_placebo_keeps_its_level_and_the_raw_mean_does_not() -> None:
    dates = dates_of(ROWS)
    assert len(np.unique(dates.cluster)) == 3
    assert dates.count.min() >= 8
    rng = np.random.default_rng(20251101)
    tested = [placebo(simulated(rng, dates, 0.0), dates, rng) for _ in range(SIMULATIONS)]
    rates = np.mean([one.statistic <= 0.05 for one in tested], axis=0)
    raw = np.mean([one.raw <= 0.05 for one in tested], axis=0)
    print("null: placebo", rates, "raw mean", raw)
    assert ((rates >= 0.03) & (rates <= 0.07)).all(), rates
    assert (raw > 0.1).all(), raw


def test_power_of_the_placebo_against_three_percent() -> None:
    """+3 % in bar 0 of twelve events on three dates, coins moving 3.5 %: half are found there, none are after it."""
    dates = dates_of(ROWS)
    rng = np.random.default_rng(20251101)
    tested = [placebo(simulated(rng, dates, 0.03), dates, rng) for _ in range(300)]
    bar, after = np.mean([one.statistic <= 0.05 for one in tested], axis=0)
    print("+3 %: placebo", bar, after)
    assert bar > 0.4
    assert after < 0.12
