"""Strategies replayed over one market and one calendar, scored, and held against placebos together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backtest.catalysts.record import Calendar
from backtest.config import RunConfig, load_config
from backtest.engine.replay import Run, replay
from backtest.market.record import Market
from backtest.scoring.batch import Prepared, prepare
from backtest.scoring.metrics import score_run, with_intervals
from backtest.scoring.placebo import PlaceboPlan
from backtest.scoring.recalendar import placebo_strategies
from backtest.scoring.scorecard import Scorecard, capacity_curve, scorecard
from backtest.signals.strategy import Strategy

DRAWS = 1_000
"""Bootstrap draws behind each interval, unless told otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What became of S strategies: their runs and their scorecards, in the order of `strategies`.

    `plan` is None where no placebo was asked for.
    """

    prepared: Prepared
    calendar: Calendar
    plan: PlaceboPlan | None
    strategies: tuple[Strategy[Any], ...]
    runs: tuple[Run, ...]
    cards: tuple[Scorecard, ...]

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
        """Sentences that must be shown with the results, each once."""
        return tuple(dict.fromkeys(note for run in self.runs for note in run.notes))


def evaluate(
    strategies: Sequence[Strategy[Any]],
    market: Market,
    calendar: Calendar,
    config: RunConfig | None = None,
    *,
    plan: PlaceboPlan | None = PlaceboPlan(),  # noqa: B008 - frozen
    bootstrap: int = DRAWS,
    detail: Market | None = None,
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

    Raises
    ------
    DataError
        Where a position meets unknown funding under the policy `error`.
    """
    settings = config or load_config()
    prepared = prepare(market, settings, detail)
    runs = tuple(
        replay(market, one.decide(market, calendar), settings, calendar=calendar, strategy=one.name, detail=detail)
        for one in strategies
    )
    scores = [with_intervals(run, score_run(run), draws=bootstrap) if bootstrap else score_run(run) for run in runs]
    decided = [run.intents for run in runs]
    lucks = placebo_strategies(strategies, decided, prepared, calendar, plan) if plan else (None,) * len(runs)
    cards = tuple(
        scorecard(run.strategy, table, luck, capacity_curve(run.intents, prepared))
        for run, table, luck in zip(runs, scores, lucks, strict=True)
    )
    return Evaluation(prepared, calendar, plan, tuple(strategies), runs, cards)
