"""Terminal tables and JSON of the research ledger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from backtest.base.display import ABSENT, number, p_value, percent
from backtest.base.schemas import schema_id
from backtest.report.folder import plain
from backtest.report.tables import new_table
from backtest.scoring.scorecard import Thresholds

if TYPE_CHECKING:
    from backtest.ledger.judgement import Judgement
    from backtest.ledger.recording import Recorded
    from backtest.ledger.store import LedgerHead

MOST_NAMED = 12
LEVEL = Thresholds().level


def judgement_document(one: Judgement) -> dict[str, Any]:
    """What a document records of one judgement."""
    found = one.registration
    return {
        "seq": one.trial.seq,
        "strategy": one.trial.body["strategy"],
        "parameters": one.trial.body["parameters"],
        "parent": one.trial.body["parent"],
        "p": one.p,
        "p_command": one.command,
        "p_family": one.family,
        "p_adjusted": one.adjusted,
        "trials": one.trials,
        "families": one.families,
        "untested": one.untested,
        "p_decided": one.decided,
        "level": one.level,
        "passes": one.passes,
        "registered": None
        if found is None
        else {"seq": found.seq, "time": found.time, "hypothesis": found.hypothesis, "tests": one.registered},
        "note": one.note,
        "reason": one.reason,
    }


def ledger_document(head: LedgerHead, judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Versioned JSON document of judgements; it depends on what was tried before, so it is no part of run.json."""
    document = {
        "schema": schema_id("ledger"),
        "head": {"seq": head.seq, "hash": head.hash},
        "trials": [judgement_document(one) for one in judgements],
        "deflated_sharpe": [],
    }
    told: dict[str, Any] = plain(document)
    return told


def recorded_document(recorded: Recorded) -> dict[str, Any]:
    """The document of a run or search: `ledger.json` beside `run.json`, with verdicts and deflated Sharpe ratios."""
    document = ledger_document(recorded.head, recorded.judgements)
    for row, card in zip(document["trials"], recorded.cards, strict=False):
        row |= {"verdict": card.verdict, "verdict_reason": card.reason}
    document["deflated_sharpe"] = plain(list(recorded.deflated))
    return document


def adjusted_table(judgements: Sequence[Judgement]) -> Table:
    """One row per tested trial: p alone, adjusted within the command, and for everything tried on these catalysts."""
    table = new_table("Adjusted for what was tried", ("strategy",), ("p", "this command", "all", "adjusted for"))
    for one in judgements:
        if math.isfinite(one.adjusted):
            row = (p_value(one.p), p_value(one.command), p_value(one.adjusted), one.pays_for)
            table.add_row(escape(one.trial.body["strategy"]), *row)
    return table


def recorded_lines(recorded: Recorded) -> list[str]:
    """What the adjusted p is adjusted for, and why a registration does not count."""
    tested = [one for one in recorded.judgements if math.isfinite(one.adjusted)]
    told = [f"{one.trial.body['strategy']}: {one.note}" for one in tested if one.note][:MOST_NAMED]
    told += [
        f"{one.trial.body['strategy']}: registered as #{one.registration.seq} on {one.registration.time[:10]} "
        f'("{one.registration.hypothesis}"), before anything was tried on these catalysts'
        for one in tested
        if one.registration is not None
    ][:MOST_NAMED]
    rest = [one for one in tested if one.registration is None]
    if rest:
        most = max(rest, key=lambda one: one.trials + one.untested)
        told.append(
            f"adj.p is adjusted for {most.pays_for} on these catalysts up to now ({recorded.path} up to entry "
            f"#{recorded.head.seq}); more trials will raise it: `backtest ledger list`"
        )
        told.append(level_line(rest))
    return told


def level_line(judgements: Sequence[Judgement]) -> str:
    """How the verdicts were decided, in words."""
    levels = sorted({f"{one.level:.2g}" for one in judgements if math.isfinite(one.level)}, key=float)
    return (
        f"verdicts were decided when a trial was new, at an adjusted p of at most {' or '.join(levels)}, half of what "
        f"was left of {LEVEL:g}, and stand: over all commands, one in {1 / LEVEL:.0f} ledgers without any effect ever "
        "tells of one; a registered test has the whole level"
    )


def search_lines(recorded: Recorded, best: int) -> list[str]:
    """The result of a search given everything tried: trials that pass, and the best one."""
    tested = [one for one in recorded.judgements if math.isfinite(one.adjusted)]
    if not tested:
        return []
    passing = sum(one.passes for one in tested)
    told = [f"{passing} of {len(tested):,} pass once everything tried is counted"]
    if best >= 0 and math.isfinite(recorded.judgements[best].adjusted):
        one = recorded.judgements[best]
        told.append(
            f"the best one, trial {best}: p {p_value(one.p)}, within this command {p_value(one.command)}, "
            f"for everything {p_value(one.adjusted)}; deflated Sharpe ratio among everything "
            f"{p_value(recorded.deflated[0])}"
        )
    return told + recorded_lines(recorded)


def list_table(judgements: Sequence[Judgement]) -> Table:
    """One row per trial of the ledger, as it stands today."""
    left = ("#", "strategy", "data", "tried")
    table = new_table("Research ledger", left, ("net", "Sharpe", "p", "adjusted"))
    for one in judgements:
        body = one.trial.body
        scores = body["scores"]
        table.add_row(
            str(one.trial.seq),
            escape(body["strategy"]),
            escape(body["data"]),
            body["time"][:16],
            _shown(scores.get("net_return"), percent),
            _shown(scores.get("sharpe"), number),
            p_value(one.p),
            p_value(one.adjusted),
        )
    return table


def _shown(value: float | None, show: Any) -> str:
    return ABSENT if value is None else str(show(value))


def detail_lines(one: Judgement, moved_alike: int) -> list[str]:
    """Everything about one trial."""
    body = one.trial.body
    plan = body["plan"]
    told = [
        f"{one.trial.title} of {body['time']}, version {body['version']}",
        f"parameters: {' '.join(f'{name}={value}' for name, value in body['parameters'].items())}",
        f"data: {body['data']} ({body['hashes']['data']}), calendar: {body['calendar']} ({body['hashes']['calendar']})",
        f"configuration: {body['hashes']['config']}, source: {body['source'] or 'none'}",
    ]
    if body["parent"]:
        told.append(f"part of: {body['parent']}")
    if plan:
        told.append(f"placebo: {plan['kind']}, {body['n']:,} draws of {plan['statistic']}, seed {plan['seed']}")
    if one.reason:
        return [*told, f"not tested: {one.reason}"]
    told.append(
        f"p alone {p_value(one.p)}, within its command {p_value(one.command)}, within its family of {moved_alike:,} "
        f"{p_value(one.family)}, adjusted for {one.pays_for}: {p_value(one.adjusted)}"
    )
    if math.isfinite(one.level):
        told.append(
            f"{'passed' if one.passes else 'did not pass'}: when it was new, adjusted for {one.paid:,}, "
            f"{p_value(one.decided)}, at most {one.level:.2g} was asked for"
        )
    return [*told, *([one.note] if one.note else [])]
