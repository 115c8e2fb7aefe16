"""`backtest audit`: does a strategy decide otherwise when only its future is changed?"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli.events import Calendars, calendar_of
from backtest.cli.options import (
    Dataset,
    Json,
    Parameters,
    Store,
    Strategies,
    Timeframe,
    Timerange,
    assignments,
    market_of,
    strategies_of,
)
from backtest.cli.progress import progress_bar
from backtest.schemas import schema_id

if TYPE_CHECKING:
    from backtest.signals.audit import Audit


def audit(
    dataset: Dataset = None,
    timeframe: Timeframe = None,
    store: Store = None,
    calendar: Calendars = None,
    strategy: Strategies = None,
    param: Parameters = None,
    timerange: Timerange = None,
    cuts: Annotated[int, typer.Option(help="Most instants after which everything is corrupted.")] = 60,
    as_json: Json = False,
) -> None:
    """Cut and corrupt the future of market and calendar; exit code 5 where a decision changes."""
    from backtest.units import parse_timerange

    chosen = strategies_of(strategy or (), assignments(param or (), "-p"))
    catalysts = calendar_of(calendar)
    window = parse_timerange(timerange) if timerange else None

    from backtest.report.signal_tables import audit_lines, audit_table
    from backtest.report.tables import new_console, show
    from backtest.signals.audit import audit as audit_one

    market = market_of(dataset, timeframe, store, window)
    with progress_bar() as progress:
        audits = [audit_one(one, market, catalysts, cuts=cuts, progress=progress) for one in chosen]
    if as_json:
        typer.echo(json.dumps({"schema": schema_id("audit"), "audits": [_document(one) for one in audits]}, indent=2))
    else:
        show(new_console(), audit_table(audits), *audit_lines(audits))
    for one in audits:
        one.check()


def _iso(moment_ms: int) -> str:
    from backtest.units import from_ms

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
