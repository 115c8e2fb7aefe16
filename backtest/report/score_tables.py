"""Terminal tables and JSON of verdicts, sweeps and walk-forwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from backtest.base.display import ABSENT, number, p_value, percent, plural
from backtest.base.units import format_ms
from backtest.engine.layout import NET_RETURN, SHARPE, STATISTICS, TRADES
from backtest.report.tables import new_table
from backtest.scoring.kinds import PLACEBO_KINDS

if TYPE_CHECKING:
    from backtest.scoring.placebo import Placebo
    from backtest.scoring.scorecard import Scorecard
    from backtest.scoring.space import Trial
    from backtest.scoring.sweep import SweepResult
    from backtest.scoring.walkforward import WalkForwardResult

SHOWN_CAPITALS = (1e4, 1e5, 1e6, 1e7, 1e8)


def money(value: float) -> str:
    """10k, 3.2M: thousands or millions, without decimals if whole."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        # Three figures of 999,700 are 1M.
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def verdict_table(cards: Sequence[Scorecard]) -> Table:
    """One row per strategy: verdict, p, adjusted p, and where the middle 90 % of its placebos lie."""
    columns = ("p", "adjusted", "placebos")
    table = new_table("Verdict", ("strategy", "verdict"), columns)
    for card in cards:
        placebo = card.placebo
        table.add_row(
            escape(card.strategy),
            card.verdict,
            p_value(placebo.p if placebo else math.nan),
            p_value(placebo.adjusted if placebo else math.nan),
            _middle(placebo),
        )
    return table


def _middle(placebo: Placebo | None) -> str:
    if placebo is None or placebo.reason:
        return ABSENT
    show = percent if placebo.statistic != "sharpe" else number
    return f"{show(placebo.quantiles[1])}..{show(placebo.quantiles[5])}"


def verdict_lines(cards: Sequence[Scorecard]) -> list[str]:
    """Why a verdict does not rest on p, how the others came about, and the thresholds."""
    told = [f"{card.strategy}: {card.reason}" for card in cards if not _on_p(card)]
    tested = [card.placebo for card in cards if card.placebo is not None and not card.placebo.reason]
    if tested:
        one = tested[0]
        exact = f"all {one.n:,} there are" if one.exact else f"{one.n:,} drawn"
        told.append(
            f"placebo: {one.statistic.replace('_', ' ')} on {PLACEBO_KINDS[one.kind].calendars}, {exact}; shown is "
            f"where 90% of them lie. p is one-sided, at least {one.floor:.2g}, adjusted for multiple testing over "
            f"{plural(one.family, 'strategy', 'strategies')}"
        )
    found = [
        f"{card.strategy} {percent(card.placebo.least_effect)}"
        for card in cards
        if card.placebo is not None and not math.isnan(card.placebo.least_effect)
    ]
    if found:
        told.append(f"least gain of every trade that would have been found at 80% power: {', '.join(found)}")
    return [*told, cards[0].thresholds.sentence]


def _on_p(card: Scorecard) -> bool:
    return card.verdict in ("beats placebo", "beats placebo on every path", "indistinguishable from chance")


def capacity_table(cards: Sequence[Scorecard]) -> Table:
    """One row per strategy: net return from each capital, and the capital at which less than half of it is left."""
    columns = (*(money(capital) for capital in SHOWN_CAPITALS), "halved at")
    table = new_table("Net return by capital", ("strategy",), columns)
    for card in cards:
        by_capital = dict(zip(card.capacity.capital.tolist(), card.capacity.net_return.tolist(), strict=True))
        half = card.capacity.half
        shown = [percent(by_capital[capital]) for capital in SHOWN_CAPITALS]
        table.add_row(escape(card.strategy), *shown, ABSENT if math.isnan(half) else money(half))
    return table


def scorecard_document(card: Scorecard) -> dict[str, Any]:
    """What the JSON document of a run records as one strategy's evidence."""
    return {
        "verdict": card.verdict,
        "reason": card.reason,
        "thresholds": asdict(card.thresholds),
        "placebo": None if card.placebo is None else card.placebo.document(),
        "capacity": {
            "capital": card.capacity.capital.tolist(),
            "net_return": card.capacity.net_return.tolist(),
            "half": card.capacity.half,
        },
    }


def chosen_parameters(trials: Sequence[Trial], chosen: Trial) -> str:
    """`hold=48h stop_loss=0.1` of one trial, without the parameters that never vary."""
    tables = [dict(trial.parameters) for trial in trials]
    varied = {name for name in tables[0] if len({table[name] for table in tables}) > 1}
    return " ".join(f"{name}={value}" for name, value in chosen.parameters if name in varied) or "as given"


def sweep_table(result: SweepResult, most: int = 10) -> Table:
    """The best trials by the statistic of the sweep, the best first."""
    ranking = np.argsort(-result.statistics[:, STATISTICS.index(result.sweep.statistic)], kind="stable")[:most]
    trials = result.sweep.trials
    title = f"{result.sweep.strategy.name}: best {len(ranking)} of {plural(len(result.placebos), 'trial', 'trials')}"
    table = new_table(title, ("trial", "parameters"), ("net", "Sharpe", "trades", "p", "adjusted"))
    for place in ranking.tolist():
        luck, row = result.placebos[place], result.statistics[place]
        table.add_row(
            str(place),
            escape(chosen_parameters(trials, trials[place])),
            percent(float(row[NET_RETURN])),
            ABSENT if math.isnan(row[SHARPE]) else f"{row[SHARPE]:.2f}",
            f"{row[TRADES]:.0f}",
            p_value(luck.p if luck else math.nan),
            p_value(luck.adjusted if luck else math.nan),
        )
    return table


def sweep_lines(result: SweepResult) -> list[str]:
    """What the search was worth: how many trials pass once p is adjusted for it, DSR and PBO."""
    told = []
    tested = [one for one in result.placebos if one is not None and not one.reason]
    if tested:
        alone = sum(one.p <= 0.05 for one in tested)
        paid = sum(one.adjusted <= 0.05 for one in tested)
        told.append(
            f"placebo: {alone} of {plural(len(tested), 'trial', 'trials')} have p <= 0.05 alone, {paid} "
            f"adjusted for multiple testing ({tested[0].n:,} {PLACEBO_KINDS[tested[0].kind].calendars})"
        )
    skipped = [one.reason for one in result.placebos if one is not None and one.reason]
    if skipped:
        told.append(f"{plural(len(skipped), 'trial', 'trials')} without a p, the first because {skipped[0]}")
    deflated = result.deflated
    if deflated is not None and deflated.reason:
        told.append(f"deflated Sharpe ratio: undefined, {deflated.reason}")
    elif deflated is not None:
        told.append(
            f"deflated Sharpe ratio of trial {deflated.selected}: {deflated.deflated:.3f}, the share of "
            "estimates that would fall below this one if the true ratio were the best expected of "
            f"{plural(deflated.trials, 'trial', 'trials')} without skill; the same against a true ratio of zero (PSR): "
            f"{deflated.probabilistic:.3f}"
        )
    overfitting = result.overfitting
    if overfitting is not None and overfitting.reason:
        told.append(f"probability of backtest overfitting: undefined, {overfitting.reason}")
    elif overfitting is not None:
        told.append(
            f"probability of backtest overfitting: {overfitting.probability:.2f} "
            f"(CSCV over {overfitting.blocks} blocks)"
        )
    superior = result.superior
    if superior is not None and superior.reason:
        told.append(f"superior predictive ability: undefined, {superior.reason}")
    elif superior is not None:
        told.append(
            f"superior predictive ability over holding nothing: p {p_value(superior.p_consistent)} (bounds "
            f"{p_value(superior.p_lower)} to {p_value(superior.p_upper)}), StepM keeps "
            f"{plural(len(superior.superior), 'trial', 'trials')} of {superior.trials}"
        )
    return told


def fold_table(result: WalkForwardResult) -> Table:
    """One row per fold: what it chose on how many catalysts, and what that did in training and in the test."""
    walk = result.walk
    title = f"{walk.strategy.name}: {plural(len(walk.trials), 'trial', 'trials')}, {walk.statistic.replace('_', ' ')}"
    columns = ("trained on", "purged", "tested on", "train", "test")
    table = new_table(title, ("test from", "chosen"), columns)
    show_value = percent if walk.statistic != "sharpe" else number
    for choice in result.choices:
        fold = choice.fold
        table.add_row(
            format_ms(fold.test_start_ms)[5:],
            choice.reason if choice.trial is None else escape(chosen_parameters(walk.trials, choice.trial)),
            str(len(fold.train)),
            str(len(fold.purged)),
            str(len(fold.test)),
            show_value(choice.train_statistic),
            show_value(choice.test_statistic),
        )
    return table
