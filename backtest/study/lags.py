"""Distributed lags: the effect of each bar around a catalyst if the windows of several overlap.

An event study sums the same bar once for every catalyst whose window holds it, so five catalysts in one week are one
sum shown five times. Here every bar is counted once and explained by all catalysts of its coin together:

    R_jt = a_j + b_j' R_mt + sum_v theta_v X_jtv + e_jt

where X_jtv is the number of j's catalysts with bar t in their span v, each divided by that span's bars, so that theta_v
is the mean abnormal sum over span v of one catalyst with no other near. Spans are disjoint; what lies up to a later
horizon is the sum of its spans. OLS over the whole data, a_j and b_j partialled out coin by coin (Frisch and Waugh,
Econometrica 1(4) (1933), 387-401); standard errors allow for any dependence inside a UTC day, across coins and hours
(clusters by day, CR1: Cameron and Miller, Journal of Human Resources 50(2) (2015), 317-372). p is that of t under
common shifts of all catalysts round the circle of the data (`backtest.study.placebo`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from backtest.base.arguments import checked
from backtest.base.units import DAY_MS
from backtest.catalysts.record import Calendar
from backtest.market.record import Flags, Floats, Market
from backtest.study.abnormal import Series, series
from backtest.study.alignment import FitRow, resample
from backtest.study.models import COLLINEAR, Ints
from backtest.study.multiplicity import placebo_p
from backtest.study.placebo import step_of
from backtest.study.sample import Event, benchmark_columns, chosen_catalysts, enter, observations
from backtest.study.settings import StudyConfig

INSEPARABLE = "the spans of its catalysts cannot be told apart from others: they share their bars"
_OTHERS = ""
COLUMNS = ("grouping", "group", "span", "n", "mean", "effect", "error", "t", "p_value", "floor", "reason")


@dataclass(frozen=True, slots=True, eq=False)
class LagFit:
    """Coefficients (C,) of C regressors with their cluster-robust covariance (C, C); NaN where they are collinear."""

    effect: Floats
    covariance: Floats


def disjoint_spans(spans: Ints) -> Ints:
    """(V, 2) spans that do not overlap: run-up, announcement, and each horizon from where the one before it ends."""
    ends = sorted(int(last) for first, last in spans if first == 1)
    later = [(first, last) for first, last in zip([1, *(end + 1 for end in ends[:-1])], ends, strict=True)]
    return np.array([*(tuple(span) for span in spans if span[0] < 1), *later], dtype=np.int64)


def regressors(rows: Sequence[FitRow], parts: Ints, bars: int, coins: int) -> Floats:
    """(T, N, V) share of each of V spans of E rows of one column on each bar of its coin, round a circle of T bars.

    A span's bars add up to 1 for each row, so that a coefficient is what the span brings in sum.
    """
    found = np.zeros((bars, coins, len(parts)))
    for row in rows:
        for v, span in enumerate(parts):
            at = _bars(row, span) % bars
            found[at, row.columns[0], v] += 1.0 / len(at)
    return found


def _bars(row: FitRow, span: Ints) -> Ints:
    """Bars of the panel in a span of a row, whose bar 0 is `width` bars long."""
    first, last = (int(edge) + (row.width - 1 if edge > 0 else 0) for edge in span)
    return np.arange(row.onset + first, row.onset + last + (row.width if last == 0 else 1))


def bases(market: Floats, known: Flags) -> list[Floats]:
    """For each coin an orthonormal basis (T, 1 + M) of a constant and the benchmarks (T, N, M) on its known bars."""
    found = []
    for coin in range(known.shape[1]):
        rows = known[:, coin]
        basis = np.zeros((len(known), 1 + market.shape[2]))
        # A benchmark that does not vary adds nothing: the basis has fewer columns then.
        x = np.column_stack((np.ones(rows.sum()), market[rows, coin]))
        left, size, _ = np.linalg.svd(x, full_matrices=False)
        rank = int((size > 1e-12 * size.max(initial=0.0)).sum())
        basis[rows, :rank] = left[:, :rank]
        found.append(basis)
    return found


def partialled_out(values: Floats, within: Sequence[Floats], known: Flags) -> Floats:
    """(T, N, C) values less their projection on each coin's basis; 0 where unknown."""
    left = np.where(known[:, :, None], values, 0.0)
    for coin, basis in enumerate(within):
        left[:, coin] -= basis @ (basis.T @ left[:, coin])
    return left


def fit_lags(returns: Floats, lags: Floats, cluster: Ints, parameters: int, observed: int) -> LagFit:
    """OLS of residual returns (T, N) on residual regressors (T, N, C), errors clustered by `cluster` (T,).

    `parameters` are all that the full regression estimates, `observed` its observations: CR1 multiplies the covariance
    by G / (G - 1) (n - 1) / (n - k), as Stata and statsmodels do.
    """
    count = lags.shape[2]
    x, y = lags.reshape(-1, count), returns.reshape(-1)
    gram = x.T @ x
    scale = np.sqrt(np.diag(gram))
    undefined = LagFit(np.full(count, np.nan), np.full((count, count), np.nan))
    if not (scale > 0).all() or np.linalg.det(gram / np.outer(scale, scale)) < COLLINEAR:
        return undefined
    inverse = np.linalg.inv(gram)
    effect = inverse @ (x.T @ y)
    left = (y - x @ effect).reshape(returns.shape)
    bars = np.einsum("tn,tnc->tc", left, lags)
    scores = np.zeros((int(cluster.max()) + 1, count))
    np.add.at(scores, cluster, bars)
    many = len(np.unique(cluster))
    factor = many / (many - 1.0) * (observed - 1.0) / (observed - parameters)
    return LagFit(effect, factor * inverse @ (scores.T @ scores) @ inverse)


@checked
def distributed_lags(market: Market, calendar: Calendar, config: StudyConfig | None = None) -> pd.DataFrame:
    """One row per group (all, and each kind) and span: what one catalyst brings, overlapping ones sharing their bars.

    `mean` is the mean of sums of the same residual returns with every bar counted for each catalyst, as an event study
    has it; `effect`, `error` and `t` are the regression's, log returns; `p_value` is two-sided by common shifts and at
    least `floor`. n counts a coin and day once; a catalyst of several coins is one for each. NaN with the `reason`
    where spans cannot be told apart: catalysts that always come together share all their bars. What the filters leave
    out, and moves of the price itself, take their share of the bars too but have no row.

    Raises
    ------
    UsageError
        For windows, filters or benchmarks that the market or calendar cannot serve.
    """
    config = config or StudyConfig()
    panel = resample(market, config.timeframe)
    windows, spans, names = config.windows(panel.bar_ms), config.spans(panel.bar_ms), config.span_names()
    coins = tuple(instrument.base for instrument in market.instruments)
    benchmarks = () if config.model == "mean_adjusted" else benchmark_columns(market, config)
    source = series(panel, "return", "mean_adjusted" if not benchmarks else "market", coins, benchmarks)
    chosen = {one.id for one in chosen_catalysts(calendar, config)}
    entered, _ = enter(calendar, market, panel, source, windows, config.minimum(windows))
    # Those that are asked for first: of one coin and day the first is the observation.
    legs = [event for event in entered if event.asset]
    asked = [event.catalyst.id in chosen and event.counts(config) for event in legs]
    legs = [legs[k] for k in np.argsort(~np.array(asked, dtype=bool), kind="stable")]
    events = [legs[k] for k in np.unique(observations(legs, panel))] if any(asked) else []
    step = step_of(panel.bar_ms, weekly=config.match == "hour_and_weekday")
    day = (panel.open_ms // DAY_MS - panel.open_ms[0] // DAY_MS)[: len(panel.close) // step * step]
    tables = []
    for grouping in ("all", "kind") if events else ():
        of = [
            _OTHERS
            if event.catalyst.id not in chosen or not event.counts(config)
            else ("all" if grouping == "all" else event.catalyst.kind)
            for event in events
        ]
        groups = sorted(set(of))
        found = _fitted(source, events, [groups.index(name) for name in of], len(groups), spans, day, step, config)
        tables += [
            (grouping, group, names[v], *found[g][v])
            for g, group in enumerate(groups)
            for v in range(len(names))
            if group != _OTHERS
        ]
    return pd.DataFrame(tables, columns=list(COLUMNS))


def _fitted(
    source: Series,
    events: Sequence[Event],
    member: Sequence[int],
    groups: int,
    spans: Ints,
    day: Ints,
    step: int,
    config: StudyConfig,
) -> list[list[tuple[object, ...]]]:
    """For each group and span: n, mean, effect, error, t, p, floor and reason."""
    bars = len(day)
    columns = sorted({event.row.columns[0] for event in events})
    rows = [replace(event.row, columns=(columns.index(event.row.columns[0]),)) for event in events]
    parts = disjoint_spans(spans)
    explained = [source.values[:bars, list(source.benchmarks_of(FitRow((column,), 0, 1)))] for column in columns]
    widest = max(one.shape[1] for one in explained)
    # A benchmark does without itself: a column of zeros stands in its place.
    market = np.stack([np.pad(one, ((0, 0), (0, widest - one.shape[1]))) for one in explained], axis=1)
    returns = source.values[:bars, columns]
    known = ~(np.isnan(returns) | np.isnan(market).any(axis=2))
    within = bases(market, known)
    own = partialled_out(returns[:, :, None], within, known)
    lags, weights = _design(rows, member, groups, parts, spans, bars, len(columns))
    parameters = lags.shape[2] + sum(1 + one.shape[1] for one in explained)

    def estimate(by: int) -> tuple[Floats, Floats]:
        moved = partialled_out(np.roll(lags, by, axis=0), within, known)
        fitted = fit_lags(own[:, :, 0], moved, day, parameters, int(known.sum()))
        variance = np.einsum("ij,jk,ik->i", weights, fitted.covariance, weights)
        return weights @ fitted.effect, np.sqrt(variance)

    effect, error = estimate(0)
    turns = np.arange(1, bars // step)
    if len(turns) > config.draws:
        turns = np.sort(np.random.default_rng(config.seed).choice(turns, config.draws, replace=False))
    drawn = np.array([np.divide(*estimate(int(turn) * step)) for turn in turns]).reshape(-1, len(effect))
    p = placebo_p(effect / error, drawn)
    told: list[list[tuple[object, ...]]] = []
    for group in range(groups):
        mine = [row for row, one in zip(rows, member, strict=True) if one == group]
        means = [
            float(np.mean([own[_bars(row, span) % bars, row.columns[0], 0].sum() for row in mine])) for span in spans
        ]
        at = range(group * len(spans), (group + 1) * len(spans))
        floor = 1.0 / (len(turns) + 1.0)
        told.append(
            [
                (
                    len(mine),
                    mean,
                    effect[k],
                    error[k],
                    effect[k] / error[k],
                    p[k],
                    floor,
                    "" if p[k] == p[k] else INSEPARABLE,
                )
                for mean, k in zip(means, at, strict=True)
            ]
        )
    return told


def _design(
    rows: Sequence[FitRow], member: Sequence[int], groups: int, parts: Ints, spans: Ints, bars: int, coins: int
) -> tuple[Floats, Floats]:
    """Regressors (T, N, C) of all groups, and the weights (G V, C) by which they make each group's effect over a span.

    Announcement periods of different lengths have a regressor each, weighted by their number: a bar of an hour would
    else outweigh one of a day 24 times. A horizon is the sum of the disjoint spans up to it.
    """
    columns, weights = [], []
    for group in range(groups):
        mine = [row for row, one in zip(rows, member, strict=True) if one == group]
        for part in parts:
            in_sum = [float(part[0] >= first and part[1] <= last) for first, last in spans]
            widths = sorted({row.width for row in mine}) if part[0] == 0 else [0]
            for width in widths:
                some = [row for row in mine if width in (0, row.width)]
                columns.append(regressors(some, part[None, :], bars, coins))
                share = np.zeros((groups, len(spans)))
                share[group] = np.array(in_sum) * len(some) / len(mine)
                weights.append(share.reshape(-1))
    return np.concatenate(columns, axis=2), np.array(weights).T
