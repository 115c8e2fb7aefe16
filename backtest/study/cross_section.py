"""Groups of catalysts: mean and median effect, interval, tests and placebo of each, and each group's path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from backtest.market.record import Flags, Floats
from backtest.study.cumulation import Cumulated, each_bar, moments
from backtest.study.measures import Measure, effects, pair_correlation, take
from backtest.study.models import AbnormalReturns, Ints
from backtest.study.multiplicity import adjust, placebo_p
from backtest.study.parametric import Average, average, kolari_pynnonen
from backtest.study.placebo import Dates, every_calendar, kolari_pynnonen_draws, mean_draws, overlap_weights
from backtest.study.settings import StudyConfig
from backtest.study.significance import HEADLINE, significance

# The tests of sums; those of bar-wise averages would take bar 0 for one bar.
SUM_TESTS = (HEADLINE, "kolari_pynnonen_patell", "bmp", "patell", "cross_sectional_t", "generalised_rank",
             "generalised_sign", "sign", "wilcoxon")  # fmt: skip
PLACEBO = "placebo"
ALONE = "scar"
_TEST_COLUMNS = ["measure", "grouping", "group", "span", "test", "n", "value", "p_value"]
# More draws than this do not move a band.
_BAND_DRAWS = 1_000


@dataclass(frozen=True, slots=True)
class Group:
    """Events (places among the observed) that share a value of a grouping."""

    grouping: str
    name: str
    events: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One measure over all rows of a study, observed and placebo.

    Attributes
    ----------
    measure : Measure
    config : StudyConfig
    dates : Dates
        The R rows, and which of them each of E events could have been.
    draws : (B, E) int64
        Row of each event on each placebo calendar.
    spans : (V, 2) int64
    cumulated : Cumulated
        Over the named spans, (R, V).
    weights : tuple of V (R, R) float64
        Correlation of two rows' sums.
    path : Cumulated
        From the first bar up to each bar, for volume each bar alone, (R, W).
    """

    measure: Measure
    config: StudyConfig
    dates: Dates
    draws: Ints
    spans: Ints
    cumulated: Cumulated
    weights: tuple[Floats, ...]
    path: Cumulated

    @property
    def observed(self) -> Ints:
        """(E,) row of each event."""
        return self.dates.table[:, 0]

    def kept(self, group: Group) -> Ints:
        """Events of the group that the model of this measure kept."""
        events = np.array(group.events, dtype=np.int64)
        return events[self.cumulated.returns.kept[self.observed[events]]]

    def distinct(self, rows: Ints) -> Ints:
        """Each different row once: two catalysts of one coin and day are one observation."""
        return np.array(list({self.dates.rows[row]: row for row in rows}.values()), dtype=np.int64)


def measured(
    measure: Measure, config: StudyConfig, returns: AbnormalReturns, dates: Dates, draws: Ints, spans: Ints
) -> Measured:
    """Sum the abnormal values of all rows over the spans and along the path."""
    width = np.array([row.width for row in dates.rows], dtype=np.int64)
    steps = each_bar(returns.windows)
    if measure != "volume":
        steps[:, 0] = returns.windows.first
    cumulated = effects(measure, returns, spans, width)
    correlation = pair_correlation(returns)
    weights = tuple(overlap_weights(correlation, returns.onset, int(length)) for length in cumulated.length)
    return Measured(measure, config, dates, draws, spans, cumulated, weights, effects(measure, returns, steps, width))


def subset(cumulated: Cumulated, rows: Ints) -> Cumulated:
    """The sums of the chosen rows."""
    return replace(
        cumulated,
        returns=take(cumulated.returns, rows),
        car=cumulated.car[rows],
        correction=cumulated.correction[rows],
        scar=cumulated.scar[rows],
    )


@dataclass(frozen=True, slots=True, eq=False)
class Chance:
    """What chance does to each of V spans: `statistic` and its two p-values, and the band of the mean effect.

    `p_value` is that of the Kolari-Pynnonen statistic (of the SCAR where the events are one), `p_mean` that of the raw
    mean, which event-induced variance misleads; `low` and `high` hold the mean effect by chance alone, and `deviation`
    is its standard deviation. NaN where undefined, and where no event has another date.
    """

    name: str
    statistic: Floats
    p_value: Floats
    p_mean: Floats
    low: Floats
    high: Floats
    deviation: Floats


def chance(data: Measured, events: Ints, sign: Floats) -> Chance:
    """Compare a group with its placebo calendars: all of them where they are no more than the draws asked for.

    `sign` (n,) multiplies each event's effect.
    """
    rows = data.observed[events]
    drawn = every_calendar(data.dates, events, len(data.draws))
    if drawn is None:
        drawn = data.draws[:, events]
    values, scar = data.cumulated.car, data.cumulated.scar
    alone = len(data.distinct(rows)) == 1
    if alone:
        observed, draws = mean_draws(scar, rows[None], sign)[0], mean_draws(scar, drawn, sign)
    else:
        observed = kolari_pynnonen_draws(scar, data.weights, rows[None], sign)[0]
        draws = kolari_pynnonen_draws(scar, data.weights, drawn, sign)
    mean, means = mean_draws(values, rows[None], sign)[0], mean_draws(values, drawn, sign)
    low, high = band(means, data.config.level)
    return Chance(
        name=ALONE if alone else HEADLINE,
        statistic=observed,
        p_value=placebo_p(observed, draws),
        p_mean=placebo_p(mean, means),
        low=low,
        high=high,
        deviation=np.sqrt(moments(means).variance),
    )


def band(draws: Floats, level: float) -> Floats:
    """(2, V) quantiles that leave `level` of the (B, V) draws between them; NaN draws are left out."""
    tails = ((1.0 - level) / 2.0, (1.0 + level) / 2.0)
    result = np.full((2, draws.shape[1]), np.nan)
    whole = ~np.isnan(draws).any(axis=0)
    if len(draws):
        result[:, whole] = np.quantile(draws[:, whole], tails, axis=0)
        for column in np.flatnonzero(~whole):
            known = draws[~np.isnan(draws[:, column]), column]
            if known.size:
                result[:, column] = np.quantile(known, tails)
    return result


def _distinct(data: Measured, rows: Ints, known: Flags) -> Ints:
    """(V,) how many distinct rows the events of each span have."""
    return np.array([len(data.distinct(rows[column])) for column in known.T], dtype=np.int64)


def _interval(found: Average, distinct: Ints, minimum: int) -> tuple[Floats, Floats]:
    enough = distinct >= minimum
    return np.where(enough, found.low, np.nan), np.where(enough, found.high, np.nan)


def effects_table(data: Measured, groups: Sequence[Group], names: Sequence[str]) -> pd.DataFrame:
    """One row a group and span; `adjusted_p` is corrected over the spans and groups of one grouping."""
    tables = []
    config = data.config
    for group in groups:
        events = data.kept(group)
        if not len(events):
            continue
        rows = data.observed[events]
        part = subset(data.cumulated, rows)
        found, test = average(part, config.level), kolari_pynnonen(part)
        distinct = _distinct(data, rows, part.known)
        placebo = chance(data, events, np.ones(len(events)))
        enough = distinct >= config.minimum_catalysts
        low, high = _interval(found, distinct, config.minimum_catalysts)
        asymptotic = np.where(enough, test.p_value, np.nan)
        tables.append(
            pd.DataFrame(
                {
                    "measure": data.measure,
                    "grouping": group.grouping,
                    "group": group.name,
                    "span": names,
                    "first": data.spans[:, 0],
                    "last": data.spans[:, 1],
                    "n": found.n,
                    "distinct": distinct,
                    "mean": found.mean,
                    "median": found.median,
                    "low": low,
                    "high": high,
                    "chance_low": placebo.low,
                    "chance_high": placebo.high,
                    "statistic": placebo.name,
                    "value": placebo.statistic,
                    "asymptotic_p": asymptotic,
                    "placebo_p": placebo.p_value,
                    "placebo_p_mean": placebo.p_mean,
                    "method": np.where(enough, HEADLINE, PLACEBO),
                    "p_value": np.where(enough, asymptotic, placebo.p_value),
                }
            )
        )
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    if len(table):
        p_values = table.groupby("grouping", sort=False)["p_value"]
        table["adjusted_p"] = p_values.transform(lambda p: adjust(p.to_numpy(), config.multiplicity))
    return table


def tests_table(data: Measured, groups: Sequence[Group], names: Sequence[str]) -> pd.DataFrame:
    """Every test of sums, one row a group, span and test, for groups of enough distinct catalysts.

    Each distinct row enters once, since most tests take events for independent.
    """
    tables = []
    for group in groups:
        rows = data.distinct(data.observed[data.kept(group)])
        part = subset(data.cumulated, rows)
        enough = _distinct(data, rows, part.known) >= data.config.minimum_catalysts
        if not enough.any():
            continue
        for result in significance(part, SUM_TESTS):
            table = pd.DataFrame(
                {
                    "measure": data.measure,
                    "grouping": group.grouping,
                    "group": group.name,
                    "span": names,
                    "test": result.name,
                    "n": result.n,
                    "value": result.value,
                    "p_value": result.p_value,
                }
            )
            tables.append(table[enough])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_TEST_COLUMNS)


def paths_table(data: Measured, groups: Sequence[Group]) -> pd.DataFrame:
    """One row a group and bar: the mean and median path, its interval, and the band of chance alone."""
    tables = []
    path = data.path
    unknown = np.isnan(path.car)
    values, holes = np.where(unknown, 0.0, path.car), unknown.any()
    for group in groups:
        events = data.kept(group)
        if not len(events):
            continue
        rows = data.observed[events]
        part = subset(path, rows)
        found = average(part, data.config.level)
        low, high = _interval(found, _distinct(data, rows, part.known), data.config.minimum_catalysts)
        # Few dates: all but the observed one, which drawn at random would be the edge of its own band.
        draws = every_calendar(data.dates, events, _BAND_DRAWS)
        if draws is None:
            draws = data.draws[:_BAND_DRAWS, events]
        picked = np.zeros((len(draws), len(path.car)))
        for column in draws.T:
            picked[np.arange(len(draws)), column] += 1.0
        count = len(events) - picked @ unknown if holes else np.full((1, 1), len(events))
        means = np.where(count > 0, picked @ values / np.maximum(count, 1), np.nan)
        moved = bool((draws != rows).any())
        chance_low, chance_high = band(means if moved else means[:0], data.config.level)
        tables.append(
            pd.DataFrame(
                {
                    "measure": data.measure,
                    "grouping": group.grouping,
                    "group": group.name,
                    "bar": path.spans[:, 1],
                    "n": found.n,
                    "mean": found.mean,
                    "median": found.median,
                    "low": low,
                    "high": high,
                    "chance_low": chance_low,
                    "chance_high": chance_high,
                }
            )
        )
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
