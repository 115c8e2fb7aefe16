"""Strategies replayed over one market and one calendar, scored, and compared with placebos together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from backtest.base.arguments import checked
from backtest.base.config import RunConfig, load_config
from backtest.base.display import Cell, Shown, View, cell, number, p_value, percent, plain_percent, whole
from backtest.base.progress import Progress, silent
from backtest.base.tasks import parts
from backtest.catalysts.record import Calendar
from backtest.engine.notes import funding_note
from backtest.engine.prepared import Prepared, prepare
from backtest.engine.replay import replay_prepared
from backtest.engine.room import give_back
from backtest.engine.run import Run
from backtest.market.record import Market
from backtest.scoring.ends import ends_of
from backtest.scoring.metrics import Score, draws_of_bars, named, score_run, with_intervals
from backtest.scoring.placebo import Placebo, PlaceboPlan, placebo_strategies
from backtest.scoring.scorecard import Scorecard, capacity_curve, scorecard
from backtest.signals.filters import check_filters
from backtest.signals.strategy import Strategy

DRAWS = 1_000
"""Default number of bootstrap draws behind each interval."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Evaluation(Shown):
    """Results of S strategies: their runs and scorecards, in the order of `strategies`.

    `plan` is None if no placebo was asked for; `whole` is the calendar before catalysts were left out of `calendar`,
    None if none were.
    """

    prepared: Prepared
    calendar: Calendar
    plan: PlaceboPlan | None
    strategies: tuple[Strategy[Any], ...]
    runs: tuple[Run, ...]
    cards: tuple[Scorecard, ...]
    whole: Calendar | None = None

    @property
    def market(self) -> Market:
        """The market that every strategy was replayed over."""
        return self.prepared.market

    @property
    def config(self) -> RunConfig:
        """The configuration that every strategy was replayed under."""
        return self.prepared.config

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that must be shown with the results, each once; strategies that share one are named in it."""
        told = dict.fromkeys(note for run in self.runs for note in run.notes)
        counted = [(run.strategy, one) for run in self.runs for one in run.counted]
        unfunded = [run.unfunded for run in self.runs if run.unfunded]
        for subject in dict.fromkeys(one.subject for _, one in counted):
            alike = [(name, one) for name, one in counted if one.subject == subject]
            if len(alike) > 1:
                told = {note: None for note in told if note not in {one.note for _, one in alike}}
                shares = (f"{name} {one.count} of {one.trades}" for name, one in alike)
                told[f"{subject}: {', '.join(shares)}"] = None
        if len(set(unfunded)) > 1:
            told = {note: None for note in told if note not in {funding_note(one, self.config) for one in unfunded}}
            told[funding_note(frozenset[str]().union(*unfunded), self.config)] = None
        if self.whole is not None:
            told[self.whole.left_out] = None
        return tuple(told)

    def _line(self) -> str:
        names = ", ".join(run.strategy for run in self.runs)
        return f"{names} on {self.market.provenance.name} and {self.calendar.name}"

    def _label(self) -> str:
        return self.market.provenance.label

    def _view(self) -> View:
        rows: list[tuple[str | Cell, ...]] = []
        for card in self.cards:
            score, luck = named(card.scores), card.placebo
            shown = {"net_return": percent, "sharpe": number, "max_drawdown": plain_percent, "hit_rate": plain_percent,
                     "before": percent, "waited": percent, "captured": percent}  # fmt: skip
            adjusted = (luck.adjusted, luck.reason) if luck else (float("nan"), "no placebo was asked for")
            rows.append(
                (
                    card.strategy,
                    *(cell(score[name].value, show, score[name].reason) for name, show in shown.items()),
                    cell(score["trades"].value, whole),
                    cell(adjusted[0], p_value, adjusted[1]),
                    card.verdict,
                )
            )
        scored = ("net", "Sharpe", "drawdown", "hit", "before", "waited", "captured", "trades")
        return View(("strategy", *scored, "adjusted p", "verdict"), rows, self.notes)


@checked
def evaluate(
    strategies: Sequence[Strategy[Any]],
    market: Market,
    calendar: Calendar,
    config: RunConfig | None = None,
    *,
    plan: PlaceboPlan | None = PlaceboPlan(),  # noqa: B008 - frozen
    bootstrap: int = DRAWS,
    detail: Market | None = None,
    endogenous: bool = False,
    cluster: str | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Decide, replay, score and judge every strategy; p is adjusted over all of them.

    Parameters
    ----------
    plan
        Which placebos; None for none.
    bootstrap
        Draws behind each interval; 0 for no intervals.
    detail
        Finer bars of some of the instruments, to resolve the order of exits inside a bar.
    endogenous
        Whether catalysts that are moves of the price itself are traded and tested too.
    cluster
        Dask scheduler whose workers draw placebos and intervals, `tcp://host:8786`, `local` or `local:N`; None: here.
    progress
        Callback, called at each step and for each strategy.

    Raises
    ------
    ConfigError
        For a coin, actor or kind that is in neither the market nor the calendar.
    DataError
        If a position meets unknown funding under the policy `error`.
    """
    prepared = prepare(market, config or load_config(), detail)
    return evaluate_prepared(
        strategies,
        prepared,
        calendar,
        plan=plan,
        bootstrap=bootstrap,
        endogenous=endogenous,
        cluster=cluster,
        progress=progress,
    )


def evaluate_prepared(
    strategies: Sequence[Strategy[Any]],
    prepared: Prepared,
    calendar: Calendar,
    *,
    plan: PlaceboPlan | None = PlaceboPlan(),  # noqa: B008 - frozen
    bootstrap: int = DRAWS,
    endogenous: bool = False,
    cluster: str | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """The same over a prepared market: it is prepared once, and each strategy's intents are converted once."""
    for one in strategies:
        check_filters(one, prepared.market, calendar)
    asked, calendar = calendar, calendar.tested(endogenous=endogenous)
    whole = None if calendar is asked else asked
    runs = []
    for done, one in enumerate(strategies):
        progress("replay", done, len(strategies))
        intents = one.decide(prepared.market, calendar)
        runs.append(replay_prepared(prepared, intents, calendar=calendar, strategy=one.name))
    lucks: Sequence[Placebo | None] = (None,) * len(runs)
    # Intervals are drawn from equity, without the bars.
    give_back(prepared.bars.panel)
    scores = scores_of(runs, bootstrap, progress, cluster)
    if plan:
        decided = [run.intents for run in runs]
        ends = [ends_of(run, plan.statistic) for run in runs]
        lucks = placebo_strategies(strategies, decided, prepared, calendar, plan, progress, ends, cluster)
    return replace(judged(strategies, prepared, calendar, plan, runs, scores, lucks, progress), whole=whole)


def scores_of(
    runs: Sequence[Run], bootstrap: int, progress: Progress = silent, cluster: str | None = None
) -> list[tuple[Score, ...]]:
    """Scores of each run, with intervals from `bootstrap` draws; without intervals if it is 0."""
    scores = [score_run(run) for run in runs]
    if not bootstrap:
        return scores
    progress("intervals", 0, len(runs))
    if cluster is None:
        drawn = draws_of_bars(runs, bootstrap, progress)
        return [
            with_intervals(run, table, draws=bootstrap, drawn=own)
            for run, table, own in zip(runs, scores, drawn, strict=True)
        ]
    work = _Bootstrapped(tuple(runs), tuple(scores), bootstrap)
    for done, (place, content) in enumerate(parts(_intervals_of, work, range(len(runs)), cluster), 1):
        found = zip(scores[place], json.loads(content), strict=True)
        scores[place] = tuple(replace(score, low=low, high=high, reason=reason) for score, (low, high, reason) in found)
        progress("intervals", done, len(runs))
    return scores


@dataclass(frozen=True, slots=True, eq=False)
class _Bootstrapped:
    """Runs with their scores, which are to have intervals of so many draws."""

    runs: tuple[Run, ...]
    scores: tuple[tuple[Score, ...], ...]
    draws: int


def _intervals_of(work: _Bootstrapped, number: int) -> bytes:
    """One task: low, high and reason of every score of a run; JSON keeps each float to the last bit."""
    scores = with_intervals(work.runs[number], work.scores[number], draws=work.draws)
    return json.dumps([(one.low, one.high, one.reason) for one in scores]).encode()


def judged(
    strategies: Sequence[Strategy[Any]],
    prepared: Prepared,
    calendar: Calendar,
    plan: PlaceboPlan | None,
    runs: Sequence[Run],
    scores: Sequence[tuple[Score, ...]],
    lucks: Sequence[Placebo | None],
    progress: Progress = silent,
) -> Evaluation:
    """The scorecard of each run, with its net return at other capitals and its placebo test."""
    cards = []
    for done, (run, table, luck) in enumerate(zip(runs, scores, lucks, strict=True)):
        progress("capacity", done, len(runs))
        curve = capacity_curve(run.intents, prepared)
        cards.append(scorecard(run.strategy, table, luck, curve, label=prepared.market.provenance.label))
    return Evaluation(prepared, calendar, plan, tuple(strategies), tuple(runs), tuple(cards))
