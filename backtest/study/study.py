"""The event study of a calendar over a market: what was abnormal before, at and after each catalyst, and by group.

Event time counts from the announcement and from when it was known, see `backtest.study.alignment`: bar 0 is the
announcement period (a whole day where only the day is known), run-up lies before it, and what comes after starts where
the catalyst was certainly public and could have been traded. Untimed catalysts never enter. Returns are log returns.

A catalyst is one row of every cross-section, whatever the number of its coins. KP's correlation counts the overlap of
two event windows on the event axis, from their announcements: exact for catalysts of one precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from backtest.base.arguments import checked
from backtest.base.display import Cell, Shown, View, cell, count, p_value, percent
from backtest.base.errors import DataError, UsageError, near_miss
from backtest.base.estimate import Workload
from backtest.base.progress import Progress, silent
from backtest.base.units import duration_ms
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.study.abnormal import MEASURES, Measure, Series, auxiliary_series, series
from backtest.study.alignment import Exclusion, resample
from backtest.study.cross_section import Group, MeasuredEffects, effects_table, paths_table, tests_table
from backtest.study.models import Ints, Windows
from backtest.study.observed import observe, steps_of
from backtest.study.parametric import pairs_of
from backtest.study.placebo import Turns, most_turns, placebo_sums, step_of, turn
from backtest.study.sample import (
    Event,
    Rejected,
    alone,
    benchmark_columns,
    chosen_catalysts,
    enter,
    observations,
)
from backtest.study.settings import StudyConfig
from backtest.study.tables import catalyst_table, influencer_table, leg_table, run_up_ranks

ALL = "all"
APART = "endogenous"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Study(Shown):
    """Abnormal returns, volume, open interest and auxiliary series around catalysts, as tables.

    Unknown is NaN; shares are fractions.

    Attributes
    ----------
    config : StudyConfig
    market : Market
    windows : Windows
        In bars of the study's timeframe.
    spans : tuple of str
        run_up, announcement, after_1d, ...
    catalysts : DataFrame
        One row per catalyst that entered: its clocks, model (alpha, sigma, estimation bars), cumulated abnormal log
        return of each span (`run_up`, ...) with the standardised sums (`t_run_up`, ...), `volume_...` (mean abnormal
        log volume a bar), `open_interest_...` (abnormal log change) and the same of auxiliary series, the catalysts
        announced inside its event window (`overlaps` of its own coins, `overlaps_other`) and estimation window
        (`overlaps_estimation`), `confounded`, `placebo_dates`, and `run_up_rank`: share of its coin's other dates with
        a smaller run-up, 0.5 by chance; far above it, the catalogue was written because prices had risen.
        `endogenous` ones count in no mean but that of their own group, `endogenous`.
    legs : DataFrame
        One row per catalyst and coin, with coefficients (`beta_BTC`) and cumulated abnormal returns.
    rejected : DataFrame
        What was left out: catalyst, asset, measure, span (empty for all), reason and its sentence.
    effects : DataFrame
        One row per measure, group and span: n, mean, median, interval (`low`, `high`), the band of the mean by chance
        alone, the statistic, its two-sided p-values, the placebo's least p and the least effect it would have found at
        80 % power, and `adjusted_p`. n counts a coin and day once, `catalysts` every catalyst. Below
        `minimum_catalysts` observations interval and asymptotic p are NaN and `p_value` is the placebo's (`method`).
    tests : DataFrame
        Every test of sums for groups that are large enough.
    paths : DataFrame
        One row per measure, group and bar: mean and median cumulated abnormal value up to the bar (volume: in the bar).
        Of an event window of more than 1,000 bars every k-th bar (volume: the mean of the bars since the one before).
    car : DataFrame (W, catalysts)
        Each catalyst's cumulated abnormal return over event time.
    influencers : DataFrame
        Actors ranked by shrunken abnormal return after their calls.
    hashes : dict of str
        config, data and calendar.
    notes : tuple of str
        Sentences that must be shown with the results.
    """

    config: StudyConfig
    market: Market
    windows: Windows
    spans: tuple[str, ...]
    catalysts: pd.DataFrame
    legs: pd.DataFrame
    rejected: pd.DataFrame
    effects: pd.DataFrame
    tests: pd.DataFrame
    paths: pd.DataFrame
    car: pd.DataFrame
    influencers: pd.DataFrame
    hashes: dict[str, str]
    notes: tuple[str, ...]

    def path(self, group: str = ALL, *, grouping: str = ALL, measure: str = "return") -> pd.DataFrame:
        """One group's path by bar, columns n, mean, median, low, high, chance_low, chance_high: ready to plot.

        Raises
        ------
        UsageError
            Where the study has no such path.
        """
        paths = self.paths
        held: dict[tuple[str, str, str], list[int]] = {}
        for place, key in enumerate(zip(paths["measure"], paths["grouping"], paths["group"], strict=True)):
            held.setdefault(key, []).append(place)
        if (measure, grouping, group) not in held:
            wanted, known = f"{measure}/{grouping}/{group}", ("/".join(key) for key in held)
            raise UsageError(f"path {wanted!r} is unknown; {near_miss(wanted, known)}")
        rows = paths.iloc[held[measure, grouping, group]]
        return rows.set_index("bar").drop(columns=["measure", "grouping", "group"])

    def _line(self) -> str:
        return (
            f"{len(self.catalysts)} catalysts on {self.market.provenance.name}, model {self.config.model}, bars of "
            f"{self.config.timeframe or self.market.timeframe}"
        )

    def _label(self) -> str:
        return self.market.provenance.label

    def _view(self) -> View:
        whole = self.effects[self.effects["grouping"] == ALL]
        few = "too few catalysts for an interval; the p is the placebo's"
        rows: list[tuple[str | Cell, ...]] = [
            (
                str(row["measure"]).replace("_", " "),
                str(row["span"]).replace("_", " "),
                count(int(row["n"])),
                *(cell(row[name], percent, few) for name in ("mean", "low", "high")),
                *(cell(row[name], p_value, few) for name in ("p_value", "adjusted_p")),
            )
            for row in whole.to_dict("records")
        ]
        return View(("measure", "span", "n", "mean", "low", "high", "p", "adjusted p"), rows, self.notes)


@checked
def event_study(
    market: Market,
    calendar: Calendar,
    config: StudyConfig | None = None,
    *,
    cluster: str | None = None,
    progress: Progress = silent,
) -> Study:
    """Study the catalysts of a calendar over a market; placebos are drawn here, or on the Dask cluster at an address.

    Raises
    ------
    UsageError
        For windows, filters or benchmarks that the market or calendar cannot serve.
    DataError
        Where every catalyst is left out.
    """
    config = config or StudyConfig()
    panel = resample(market, config.timeframe)
    windows, spans, names = config.windows(panel.bar_ms), config.spans(panel.bar_ms), config.span_names()
    minimum = config.minimum(windows)
    coins = tuple(instrument.base for instrument in market.instruments)
    benchmarks = () if config.model == "mean_adjusted" else benchmark_columns(market, config)
    sources = {measure: series(panel, measure, config.model, coins, benchmarks) for measure in MEASURES}
    sources |= {name: auxiliary_series(panel, one, coins) for name, one in market.auxiliary.items()}
    chosen = chosen_catalysts(calendar, config)
    kept, excluded = alone(chosen, calendar, panel, windows) if config.exclude_overlaps else (chosen, [])
    cleaned = calendar if config.clean_estimation else None
    events, rejected = enter(kept, market, panel, sources["return"], windows, minimum, cleaned)
    rejected += tuple(excluded)
    if not any(event.whole for event in events):
        raise DataError(_nothing(rejected, calendar, market))
    if not any(event.whole and event.counts(config) for event in events):
        raise DataError(f"{chosen.left_out}: nothing else can be studied on {market.provenance.name!r}")

    observation = observations(events, panel)
    step = step_of(panel.bar_ms, weekly=config.match == "hour_and_weekday")
    turns = turn([event.row for event in events], len(panel.close), step, windows, config.draws, config.seed)
    groups = _groups(events, config)
    tables: dict[str, list[pd.DataFrame]] = {"effects": [], "tests": [], "paths": []}
    found: dict[str, MeasuredEffects] = {}
    for measure in sources:
        data = _measured(
            measure,
            config,
            sources[measure],
            events,
            turns,
            observation,
            windows,
            spans,
            minimum,
            cluster,
            progress,
        )
        rejected += _unmeasured(data, events, names)
        tables["effects"].append(effects_table(data, groups, names))
        tables["tests"].append(tests_table(data, groups, names))
        tables["paths"].append(paths_table(data, groups))
        # Of the returns, the first of the measures, ranks of run-ups and actors read placebos too.
        found[measure] = data.summed(with_placebo=measure == MEASURES[0])

    wholes = [k for k, event in enumerate(events) if event.whole]
    first = found["return"]
    car = first.path.car[wholes].T
    return Study(
        config=config,
        market=market,
        windows=windows,
        spans=names,
        catalysts=catalyst_table(found, events, wholes, calendar, panel, turns.count, names),
        legs=leg_table(first, events, benchmarks, market, names),
        rejected=_rejected(rejected, calendar),
        effects=_joined(tables["effects"]),
        tests=_joined(tables["tests"]),
        paths=_joined(tables["paths"]),
        car=pd.DataFrame(car, pd.Index(first.path.spans[:, 1], name="bar"), [events[k].catalyst.id for k in wholes]),
        influencers=influencer_table(first, events, names),
        hashes={"config": config.hash(), "data": market.sha256()[:16], "calendar": calendar.hash()},
        notes=_notes(market, events, turns.count, found, config),
    )


def work_of(market: Market, calendar: Calendar, config: StudyConfig) -> Workload:
    """How much work a study of these catalysts is, from sizes alone."""
    bar_ms = duration_ms(config.timeframe) if config.timeframe else market.bar_ms
    bars, coins = market.close.shape
    windows = config.windows(bar_ms)
    legs = sum(min(len(one.assets), coins) for one in chosen_catalysts(calendar, config) if one.timed)
    bars = bars * market.bar_ms // bar_ms
    turns = min(most_turns(config.draws, legs), bars // step_of(bar_ms, weekly=config.match == "hour_and_weekday"))
    event = windows.last - windows.first + 1
    return Workload(bars, coins, legs, draws=turns, window=windows.estimation + windows.gap + event, event=event)


def _measured(
    measure: Measure,
    config: StudyConfig,
    source: Series,
    events: Sequence[Event],
    turns: Turns,
    observation: Ints,
    windows: Windows,
    spans: Ints,
    minimum: int,
    cluster: str | None,
    progress: Progress,
) -> MeasuredEffects:
    """Sum one measure's abnormal values over all events, on the real dates and under every common shift."""
    rows = [event.row for event in events]
    steps = steps_of(measure, windows)
    placebo = placebo_sums(measure, source, turns, windows, minimum, spans, cluster, progress)
    own, path = observe(measure, source, rows, windows, minimum, spans, steps)
    pairs = pairs_of(own.returns)
    return MeasuredEffects(measure, source, config, turns, observation, spans, own, path, pairs, placebo)


def _nothing(rejected: Sequence[Rejected], calendar: Calendar, market: Market) -> str:
    parts = []
    for reason in dict.fromkeys(one.reason for one in rejected):
        names = dict.fromkeys(one.catalyst_id for one in rejected if one.reason is reason)
        parts.append(f"{reason.name} ({reason.value}): {', '.join(names)}")
    return (
        f"no catalyst of {calendar.name!r} can be studied on {market.provenance.name!r}: {'; '.join(parts)}: "
        "choose other data, another calendar or shorter windows"
    )


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _groups(events: Sequence[Event], config: StudyConfig) -> list[Group]:
    """All catalysts, then each value of each grouping; by asset a many-coin catalyst enters with its legs.

    Catalysts that do not count form a separate group at the end.
    """
    wholes = [k for k, event in enumerate(events) if event.whole and event.counts(config)]
    groups = [Group(ALL, ALL, tuple(wholes))]
    for grouping in config.groups:
        members: dict[str, list[int]] = {}
        for k, event in enumerate(events):
            if event.counts(config) and (event.asset if grouping == "asset" else event.whole):
                name = event.asset if grouping == "asset" else str(getattr(event.catalyst, grouping))
                members.setdefault(name, []).append(k)
        groups += [Group(grouping, name, tuple(members[name])) for name in sorted(members)]
    apart = tuple(k for k, event in enumerate(events) if event.whole and not event.counts(config))
    return groups + ([Group(APART, APART, apart)] if apart else [])


def _unmeasured(data: MeasuredEffects, events: Sequence[Event], names: Sequence[str]) -> tuple[Rejected, ...]:
    """Notes on what a measure could not compute for the events that entered."""
    rejected = []
    for row, event in enumerate(events):
        if not event.whole:
            continue
        reason = data.cumulated.returns.reasons[row]
        if reason is not None:
            rejected.append(Rejected(event.catalyst.id, "", data.measure, "", reason))
            continue
        missing = np.isnan(data.cumulated.car[row])
        rejected += [
            Rejected(event.catalyst.id, "", data.measure, name, Exclusion.MISSING_BAR)
            for name, absent in zip(names, missing, strict=True)
            if absent
        ]
    return tuple(rejected)


def _rejected(rejected: Sequence[Rejected], calendar: Calendar) -> pd.DataFrame:
    order = {one.id: place for place, one in enumerate(calendar)}
    rows = [
        (one.catalyst_id, one.asset, one.measure, one.span, one.reason.name, one.reason.value)
        for one in sorted(rejected, key=lambda one: order[one.catalyst_id])
    ]
    return pd.DataFrame(rows, columns=["catalyst_id", "asset", "measure", "span", "reason", "detail"])


def _notes(
    market: Market, events: Sequence[Event], turns: int, found: dict[str, MeasuredEffects], config: StudyConfig
) -> tuple[str, ...]:
    notes = []
    if market.provenance.label:
        notes.append(f"{market.provenance.label}: {market.provenance.source}")
    entered = Calendar("entered", tuple(event.catalyst for event in events if event.whole))
    if any(event.whole and not event.counts(config) for event in events):
        notes.append(f"{entered.left_out}; they stand in a group of their own")
    for measure, data in found.items():
        if events and not data.cumulated.returns.kept.any():
            notes.append(f"{measure.replace('_', ' ')}: unknown around every catalyst, so nothing is said of it")
    first = next(iter(found.values()))
    ranks = run_up_ranks(first, [k for k, event in enumerate(events) if event.whole], 0)
    if not np.isnan(ranks).all():
        notes.append(
            f"hindsight: the run-up of the median catalyst is above that of {np.nanmedian(ranks):.0%} of its coin's "
            "other dates (50% by chance)"
        )
    period = "weeks" if config.match == "hour_and_weekday" else "days"
    least = 1.0 / (turns + 1.0)
    if not turns:
        notes.append("no placebo: the data are shorter than the windows of one catalyst")
    elif least > 1.0 - config.level:
        notes.append(
            f"no effect could be found by the placebo: of {turns} shifts by whole {period} the least p is {least:.2g}"
        )
    return tuple(notes)
