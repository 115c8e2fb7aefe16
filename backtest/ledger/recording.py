"""Turns evaluations and searches into trials of the ledger, and back into scorecards judged by all of it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.base.arguments import checked
from backtest.base.identity import document_of
from backtest.catalysts.record import Calendar
from backtest.engine.costs import bars_per_year
from backtest.engine.layout import EXPOSURE, STATISTICS, TRADES
from backtest.engine.prepared import Prepared, prepare
from backtest.ledger.deciding import decide_trials
from backtest.ledger.judgement import Judgement
from backtest.ledger.records import Scope, TrialRecord, digest
from backtest.ledger.store import Ledger, LedgerHead
from backtest.request.request import Request
from backtest.scoring.evaluation import Evaluation
from backtest.scoring.metrics import bar_returns
from backtest.scoring.moved_calendars import circle_of
from backtest.scoring.overfitting import SharpeMoments, expected_maximum_sharpe, probabilistic_sharpe, sharpe_moments
from backtest.scoring.placebo import Placebo, PlaceboPlan, without_events
from backtest.scoring.scorecard import Scorecard, scorecard
from backtest.signals.loading import source_of
from backtest.signals.strategy import Strategy

# A run records neither.
if TYPE_CHECKING:
    from backtest.scoring.sweep import SweepResult
    from backtest.scoring.walkforward import WalkForwardResult

GRID_KINDS = ("shift", "calendar")
"""Placebo kinds whose draws depend on the grid of bars (or periods) alone, whatever the prices and the catalysts."""


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """Result of a command, given everything in the ledger.

    Attributes
    ----------
    path : Path
        File of the ledger.
    head : LedgerHead
        The newest entry once its trials were written.
    judgements : tuple of Judgement
        One per strategy or trial of the command, in its order.
    cards : tuple of Scorecard
        The scorecards of an evaluation with the verdict by the ledger; empty for a search.
    deflated : tuple of float
        Deflated Sharpe ratio of each scorecard, or of the best trial of a search, the number of trials and the spread
        of their Sharpe ratios taken from the ledger; NaN where undefined.
    """

    path: Path
    head: LedgerHead
    judgements: tuple[Judgement, ...]
    cards: tuple[Scorecard, ...]
    deflated: tuple[float, ...]

    @property
    def others(self) -> bool:
        """Whether p is adjusted for more or fewer trials than those of the command itself."""
        return any(not math.isclose(one.adjusted, one.command, abs_tol=5e-4) for one in tested(self.judgements))


@checked
def record_evaluation(
    ledger: Ledger,
    evaluation: Evaluation,
    request: Request | None = None,
    *,
    parent: str = "",
    parameters: dict[str, Any] | None = None,
) -> Recorded:
    """Write every strategy of an evaluation into the ledger, and judge each by everything in it.

    Parameters
    ----------
    request
        The request, used to find a registration; None if it was built in Python.
    parent
        The walk-forward that it is the result of.
    parameters
        Replace those of the strategy if it was chosen among several.
    """
    prepared, calendar, plan = evaluation.prepared, evaluation.calendar, evaluation.plan
    hashes, scope = _hashes(prepared, calendar), Scope.of(evaluation.market, calendar)
    alone: Sequence[Request | None] = request.each_alone() if request else [None] * len(evaluation.cards)
    trials = []
    for strategy, card, own in zip(evaluation.strategies, evaluation.cards, alone, strict=True):
        scores = {score.name: score.value for score in card.scores}
        trials.append(
            TrialRecord(
                strategy=strategy.name,
                source=_source(type(strategy)),
                parameters=parameters or document_of(strategy.parameters),
                hashes=hashes,
                data=evaluation.market.provenance.name,
                calendar=calendar.name,
                plan=asdict(plan) if plan else None,
                scope=scope,
                scores=scores,
                **_evidence(card.placebo, plan, prepared, calendar, scores["exposure"], scores["trades"]),
                asked=asked_hash(own) if own and not parent else "",
                parent=parent,
            )
        )
    judgements = decide_trials(ledger, ledger.append(trials))
    head = ledger.head()
    equities = [np.asarray(run.equity, dtype=np.float64) for run in evaluation.runs]
    moments = [sharpe_moments(bar_returns(equity, evaluation.config.capital)) for equity in equities]
    cards = tuple(judged_card(card, one) for card, one in zip(evaluation.cards, judgements, strict=True))
    year = bars_per_year(evaluation.market.bar_ms)
    deflated = tuple(
        deflated_sharpe(ledger, one, moment, year) for one, moment in zip(judgements, moments, strict=True)
    )
    return Recorded(ledger.path, head, judgements, cards, deflated)


@checked
def record_walk_forward(ledger: Ledger, evaluation: Evaluation, result: WalkForwardResult) -> Recorded:
    """Write what a walk-forward traded into the ledger: one trial, because its trainings are not tested."""
    walk = result.walk
    chosen = {
        "trials": [dict(trial.parameters) for trial in walk.trials],
        "folds": walk.folds,
        "horizon_ms": walk.horizon_ms,
        "embargo_ms": walk.embargo_ms,
        "memory": walk.memory,
    }
    return record_evaluation(ledger, evaluation, parent=f"walk-forward {digest(chosen)}", parameters=chosen)


@checked
def record_sweep(ledger: Ledger, result: SweepResult) -> Recorded:
    """Write every trial of a sweep into the ledger, and judge each by everything in it."""
    sweep = result.sweep
    prepared = prepare(sweep.market, sweep.config, sweep.detail)
    hashes, scope = _hashes(prepared, sweep.calendar), Scope.of(sweep.market, sweep.calendar)
    source, parent = _source(sweep.strategy), f"sweep {sweep.fingerprint()}"
    trials = [
        TrialRecord(
            strategy=sweep.strategy.name,
            source=source,
            parameters=document_of(sweep.strategy(dict(trial.parameters)).parameters),
            hashes=hashes,
            data=sweep.market.provenance.name,
            calendar=sweep.calendar.name,
            plan=asdict(sweep.plan) if sweep.plan else None,
            scope=scope,
            scores=dict(zip(STATISTICS, row.tolist(), strict=True)),
            **_evidence(luck, sweep.plan, prepared, sweep.calendar, row[EXPOSURE], row[TRADES]),
            parent=parent,
        )
        for trial, row, luck in zip(sweep.trials, result.statistics, result.placebos, strict=True)
    ]
    judgements = decide_trials(ledger, ledger.append(trials))
    deflated = math.nan
    if result.deflated is not None and result.best >= 0:
        year = bars_per_year(sweep.market.bar_ms)
        deflated = deflated_sharpe(ledger, judgements[result.best], result.deflated.moments, year)
    return Recorded(ledger.path, ledger.head(), judgements, (), (deflated,))


def judged_card(card: Scorecard, judgement: Judgement) -> Scorecard:
    """The scorecard with the ledger's verdict: the p and the level at which it was decided when new."""
    luck = card.placebo
    if luck is None or luck.reason:
        return card
    placebo = replace(luck, adjusted=judgement.decided, family=judgement.paid)
    limits = replace(card.thresholds, level=judgement.level)
    return scorecard(card.strategy, card.scores, placebo, card.capacity, limits, card.label)


def deflated_sharpe(ledger: Ledger, judgement: Judgement, moments: SharpeMoments, bars_a_year: float) -> float:
    """DSR of a trial among all trials on the same catalysts, tested or not; NaN where undefined.

    The probabilistic Sharpe ratio against the expected maximum of as many trials, their Sharpe ratios spread as those
    in the ledger are: Bailey and Lopez de Prado, doi:10.3905/jpm.2014.40.5.094. A registered test is one of the
    registered ones.
    """
    if not math.isfinite(moments.sharpe_per_bar):
        return math.nan
    known = [value for value in ledger.sharpes(judgement.trial.scope) if math.isfinite(value)]
    count = judgement.registered or max(len(known), 1)
    deviation = float(np.std(known, ddof=1)) / math.sqrt(bars_a_year) if len(known) > 1 and count > 1 else 0.0
    return probabilistic_sharpe(moments, expected_maximum_sharpe(count, deviation))


def asked_hash(request: Request) -> str:
    """Hash of the test that a request of one strategy asks for: the strategy and its source, every parameter, the
    configuration, the placebo, and data, calendars and time range as they were typed.
    """
    (strategy,) = request.chosen()
    config = request.run_config()
    plan = request.plan(config.seed)
    return digest(
        {
            "strategy": strategy.name,
            "source": _source(type(strategy)),
            "parameters": document_of(strategy.parameters),
            "config": config.hash(),
            "plan": asdict(plan) if plan else None,
            "asked": [request.dataset, request.timeframe, request.timerange, request.detail, list(request.calendars)],
            **({"endogenous": True} if request.endogenous else {}),
            **({"series": request.series} if request.series else {}),
            **({"currency": request.currency} if request.currency else {}),
            **({"rules": request.rules} if request.rules else {}),
        }
    )


def _evidence(
    luck: Placebo | None, plan: PlaceboPlan | None, prepared: Prepared, calendar: Calendar, held: float, trades: float
) -> dict[str, Any]:
    """The placebo results that a trial keeps, or why it has none."""
    if luck is None or plan is None:
        reason = without_events(held, trades) or ("" if trades > 0 else "nothing was traded")
        return {"reason": reason}
    if luck.reason:
        return {"observed": luck.observed, "reason": luck.reason}
    return {
        "observed": luck.observed,
        "p": luck.p,
        "command": luck.adjusted,
        "draws": luck.drawn.astype(np.float32),
        "common": common_draws(plan, prepared, calendar, luck.n),
    }


def common_draws(plan: PlaceboPlan, prepared: Prepared, calendar: Calendar, draws: int) -> str:
    """Name of the calendars that a plan draws: the b-th draw of two trials with one name is the same move.

    Shifts are so many bars, or periods of a calendar, around the circle of the data: they are the same wherever the
    grid, their number and, unless all of them are taken, the seed are the same. Other kinds also depend on which bars
    trade and where the catalysts lie.
    """
    said = {name: value for name, value in asdict(plan).items() if name not in ("statistic", "draws", "seed")}
    market = prepared.market
    circle: tuple[int, int, int] = (market.start_ms, market.bar_ms, prepared.bar_count)
    if plan.kind == "calendar":
        moved = circle_of(prepared, calendar)
        circle = (moved.start_ms, moved.period_ms, moved.periods)
    told: dict[str, Any] = {"plan": said, "grid": circle, "draws": draws}
    if plan.kind not in GRID_KINDS or draws < circle[2] - 1:
        told["seed"] = plan.seed
    if plan.kind not in GRID_KINDS:
        told |= {"data": market.sha256(), "calendar": calendar.hash()}
    return f"{plan.kind} {digest(told)}"


def _hashes(prepared: Prepared, calendar: Calendar) -> dict[str, str]:
    bars = prepared.bars
    finer = hashlib.sha256(np.ascontiguousarray(bars.detail).tobytes()).hexdigest()[:16] if bars.detail.size else ""
    return {**prepared.hashes, "calendar": calendar.hash(), "detail": finer}


def _source(strategy: type[Strategy[Any]]) -> str:
    return hashlib.sha256(source_of(strategy).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def tested(judgements: Sequence[Judgement]) -> list[Judgement]:
    """Those with a p."""
    return [one for one in judgements if math.isfinite(one.adjusted)]
