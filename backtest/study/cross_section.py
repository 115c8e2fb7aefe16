"""Groups of catalysts: mean and median effect, interval, tests and placebo of each, and each group's path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from backtest.market.record import Floats
from backtest.study.abnormal import Measure, Series, take
from backtest.study.cumulation import Cumulated, Pairs, moments
from backtest.study.models import Ints
from backtest.study.multiplicity import adjust, placebo_p
from backtest.study.parametric import average, kolari_pynnonen
from backtest.study.placebo import Sums, Turns, least_effect, mean_of, mean_paths, standardised_t
from backtest.study.settings import StudyConfig
from backtest.study.significance import HEADLINE, significance

# The tests of sums; those of bar-wise averages would take bar 0 for one bar.
SUM_TESTS = (HEADLINE, "kolari_pynnonen_patell", "bmp", "patell", "cross_sectional_t", "generalised_rank",
             "generalised_sign", "sign", "wilcoxon")  # fmt: skip
PLACEBO = "placebo"
ALONE, TOGETHER = "scar", "bmp"
_TEST_COLUMNS = ["measure", "grouping", "group", "span", "test", "n", "value", "p_value"]


@dataclass(frozen=True, slots=True)
class Group:
    """Events (places among the observed) that share a value of a grouping."""

    grouping: str
    name: str
    events: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredEffects:
    """One measure over all events of a study, as observed and under every common shift.

    Attributes
    ----------
    measure : Measure
    source : Series
    config : StudyConfig
    turns : Turns
        B shifts of E events.
    observation : (E,) int64
        The first event of the same coins and day: what shares it is one observation.
    spans : (V, 2) int64
    cumulated : Cumulated
        Over the named spans, (E, V).
    path : Cumulated
        Along the steps of the path, `backtest.study.observed.steps_of`, (E, W).
    pairs : Pairs
        Of events that overlap.
    placebo : Sums
        Of the placebo dates.
    """

    measure: Measure
    source: Series
    config: StudyConfig
    turns: Turns
    observation: Ints
    spans: Ints
    cumulated: Cumulated
    path: Cumulated
    pairs: Pairs
    placebo: Sums

    def summed(self, *, with_placebo: bool) -> MeasuredEffects:
        """What is left to be read once the tables of groups are made: residuals, and if so asked placebos, are not."""
        returns = replace(self.cumulated.returns, residual=np.empty((len(self.observation), 0)))
        placebo = self.placebo
        if not with_placebo:
            none = np.empty((0, len(self.spans)))
            placebo = Sums(none, none, none, np.empty((0, 0)))
        return replace(self, cumulated=replace(self.cumulated, returns=returns), placebo=placebo)

    def measured(self, group: Group) -> Ints:
        """Events of the group that the model of this measure kept."""
        events = np.array(group.events, dtype=np.int64)
        return events[self.cumulated.returns.kept[events]]

    def kept(self, group: Group) -> Ints:
        """The first of them on each coin and day: every mean, interval, p and band counts a coin-day once."""
        events = self.measured(group)
        return events[np.sort(np.unique(self.observation[events], return_index=True)[1])]


def subset(cumulated: Cumulated, rows: Ints, pairs: Pairs) -> Cumulated:
    """The sums of the chosen rows, with those of the `pairs` of all events that are among them."""
    return replace(
        cumulated,
        returns=take(cumulated.returns, rows),
        car=cumulated.car[rows],
        correction=cumulated.correction[rows],
        scar=cumulated.scar[rows],
        pairs=pairs.among(rows, len(cumulated.returns.onset)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Chance:
    """Placebo results for each of V spans: `statistic` and its two p-values, and the chance band of the mean effect.

    `p_value` is that of the standardised t (of the SCAR where the events are one), `p_mean` that of the raw mean, which
    event-induced variance misleads; both two-sided. `least_p` is the least p that so many shifts can give,
    `least_effect` the least mean effect that would have been found at 80 % power, inf where none could be. `low` and
    `high` hold the mean effect by chance alone, and `deviation` is its standard deviation. NaN where undefined, and
    where no event has another date.
    """

    name: str
    statistic: Floats
    p_value: Floats
    p_mean: Floats
    least_p: Floats
    least_effect: Floats
    low: Floats
    high: Floats
    deviation: Floats


def chance(data: MeasuredEffects, events: Ints, sign: Floats) -> Chance:
    """Compare a group with its calendar under every common shift; `sign` (n,) multiplies each event's effect."""
    chosen = data.turns.table[:, events]
    scar, unit, car = (values[chosen] for values in (data.placebo.scar, data.placebo.unit, data.placebo.car))
    observed = standardised_t(data.cumulated.scar[events], sign)
    draws = standardised_t(scar, sign)
    mean, means = mean_of(data.cumulated.car[events], sign), mean_of(car, sign)
    low, high = band(means, data.config.level)
    defined = (~np.isnan(draws)).sum(axis=0)
    return Chance(
        name=ALONE if len(events) == 1 else TOGETHER,
        statistic=observed,
        p_value=placebo_p(observed, draws),
        p_mean=placebo_p(mean, means),
        least_p=np.where(defined > 0, 1.0 / (defined + 1.0), np.nan),
        least_effect=least_effect(scar, unit, 1.0 - data.config.level),
        low=low,
        high=high,
        deviation=np.sqrt(moments(means).variance),
    )


def band(draws: Floats, level: float) -> Floats:
    """(2, V) quantiles that leave `level` of the (B, V) draws between them; NaN draws are left out."""
    known = (~np.isnan(draws)).sum(axis=0)
    result = np.full((2, draws.shape[1]), np.nan)
    if not len(draws):
        return result
    ordered, columns = np.sort(draws, axis=0), np.arange(draws.shape[1])
    for side, tail in enumerate(((1.0 - level) / 2.0, (1.0 + level) / 2.0)):
        at = np.maximum(known - 1, 0) * tail
        below = np.floor(at).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(known - 1, 0))
        result[side] = ordered[below, columns] + (at - below) * (ordered[above, columns] - ordered[below, columns])
    return result


def effects_table(data: MeasuredEffects, groups: Sequence[Group], names: Sequence[str]) -> pd.DataFrame:
    """One row per group and span; `adjusted_p` is corrected over the spans and groups of one grouping."""
    parts: list[dict[str, Any]] = []
    config = data.config
    for group in groups:
        events = data.kept(group)
        if not len(events):
            continue
        part = subset(data.cumulated, events, data.pairs)
        found, test = average(part, config.level), kolari_pynnonen(part)
        placebo = chance(data, events, np.ones(len(events)))
        enough = found.n >= config.minimum_catalysts
        asymptotic = np.where(enough, test.p_value, np.nan)
        parts.append(
            {
                "measure": data.measure,
                "grouping": group.grouping,
                "group": group.name,
                "span": names,
                "first": data.spans[:, 0],
                "last": data.spans[:, 1],
                "n": found.n,
                "catalysts": len(data.measured(group)),
                "mean": found.mean,
                "median": found.median,
                "low": np.where(enough, found.low, np.nan),
                "high": np.where(enough, found.high, np.nan),
                "chance_low": placebo.low,
                "chance_high": placebo.high,
                "statistic": placebo.name,
                "value": placebo.statistic,
                "asymptotic_p": asymptotic,
                "placebo_p": placebo.p_value,
                "placebo_p_mean": placebo.p_mean,
                "least_p": placebo.least_p,
                "least_effect": np.where(np.isinf(placebo.least_effect), np.nan, placebo.least_effect),
                "method": np.where(enough, HEADLINE, PLACEBO),
                "p_value": np.where(enough, asymptotic, placebo.p_value),
            }
        )
    table = _stacked(parts, len(names))
    if len(table):
        p_values = table.groupby("grouping", sort=False)["p_value"]
        table["adjusted_p"] = p_values.transform(lambda p: adjust(p.to_numpy(), config.multiplicity))
    return table


def tests_table(data: MeasuredEffects, groups: Sequence[Group], names: Sequence[str]) -> pd.DataFrame:
    """Every test of sums, one row a group, span and test, for groups of enough observations."""
    rows: list[tuple[object, ...]] = []
    for group in groups:
        part = subset(data.cumulated, data.kept(group), data.pairs)
        enough = part.known.sum(axis=0) >= data.config.minimum_catalysts
        if not enough.any():
            continue
        for result in significance(part, SUM_TESTS):
            told = zip(names, result.n.tolist(), result.value.tolist(), result.p_value.tolist(), enough, strict=True)
            rows += [
                (data.measure, group.grouping, group.name, name, result.name, n, value, p_value)
                for name, n, value, p_value, shown in told
                if shown
            ]
    return pd.DataFrame(rows, columns=_TEST_COLUMNS)


def paths_table(data: MeasuredEffects, groups: Sequence[Group]) -> pd.DataFrame:
    """One row per group and bar: the mean and median path, its interval, and the band of chance alone."""
    parts: list[dict[str, Any]] = []
    held = [(group, events) for group in groups if len(events := data.kept(group))]
    turned = mean_paths(
        data.measure, data.source, data.turns, data.placebo, data.path.spans, [events for _, events in held]
    )
    for (group, events), means in zip(held, turned, strict=True):
        found = average(subset(data.path, events, data.pairs), data.config.level)
        enough = found.n >= data.config.minimum_catalysts
        chance_low, chance_high = band(means, data.config.level)
        parts.append(
            {
                "measure": data.measure,
                "grouping": group.grouping,
                "group": group.name,
                "bar": data.path.spans[:, 1],
                "n": found.n,
                "mean": found.mean,
                "median": found.median,
                "low": np.where(enough, found.low, np.nan),
                "high": np.where(enough, found.high, np.nan),
                "chance_low": chance_low,
                "chance_high": chance_high,
            }
        )
    return _stacked(parts, len(data.path.spans))


def _stacked(parts: Sequence[Mapping[str, Any]], rows: int) -> pd.DataFrame:
    """One table of all parts, so many rows each; a single value stands in every row of its part."""
    if not parts:
        return pd.DataFrame()
    columns = {name: [np.broadcast_to(part[name], rows) for part in parts] for name in parts[0]}
    return pd.DataFrame({name: np.concatenate(values) for name, values in columns.items()})
