"""`backtest audit`: does a strategy decide differently when only the future changes?"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.base.schemas import schema_id
from backtest.cli.options import BARS, Json, asking
from backtest.cli.progress import progress_bar

if TYPE_CHECKING:
    from backtest.base.progress import Progress
    from backtest.request.request import Request
    from backtest.signals.audit import Audit


@asking(*BARS, "calendar", "strategy", "param")
def audit(
    request: Request,
    cuts: Annotated[int, typer.Option(help="Largest number of instants after which everything is corrupted.")] = 60,
    as_json: Json = False,
) -> None:
    """Cut and corrupt the future of market and calendar; exit code 5 if a decision changes."""
    from backtest.base.estimate import Workload
    from backtest.cli.announcing import announce
    from backtest.report.signal_tables import audit_lines, audit_table
    from backtest.report.tables import new_console, show
    from backtest.signals.audit import audit as audit_one

    chosen, catalysts = request.chosen(), request.calendar()
    market = request.market()
    bars, coins = market.close.shape
    announce("audit", Workload(bars, coins, len(catalysts), len(chosen), cuts=cuts))
    with progress_bar() as progress:
        audits = [
            audit_one(one, market, catalysts, cuts=cuts, progress=_of_many(progress, place, len(chosen)))
            for place, one in enumerate(chosen, 1)
        ]
    if as_json:
        typer.echo(json.dumps({"schema": schema_id("audit"), "audits": [_document(one) for one in audits]}, indent=2))
    else:
        show(new_console(), audit_table(audits), *audit_lines(audits))
    for one in audits:
        one.check()


def _of_many(progress: Progress, place: int, count: int) -> Progress:
    """Progress that says which of several strategies is audited: the time left is that of this one."""

    def told(what: str, done: int, total: int) -> None:
        progress(what if count == 1 else f"{what} ({place} of {count})", done, total)

    return told


def _iso(moment_ms: int) -> str:
    from backtest.base.units import from_ms

    return from_ms(moment_ms).isoformat()


def _document(one: Audit) -> dict[str, Any]:
    leak = one.leak
    return {
        "strategy": one.strategy,
        "verdict": one.verdict,
        "decisions": one.decisions,
        "tested": one.tested,
        "cuts": [_iso(cut) for cut in one.cuts_ms],
        "reads": list(one.reads),
        "unread": list(one.unread),
        "unknown": list(one.unknown),
        "hidden": list(one.hidden),
        "corruptions": list(one.corruptions),
        "touched": list(one.touched),
        "apart": one.apart,
        "leak": None
        if leak is None
        else {
            "decided_at": _iso(leak.decision.decided_at_ms),
            "decision": {name: value for name, value in asdict(leak.decision).items() if value == value},
            "became": leak.became,
            "cut": _iso(leak.cut_ms),
            "corruption": leak.corruption,
            "read": leak.read,
            "known_at": None if leak.known_at_ms is None else _iso(leak.known_at_ms),
        },
    }
