"""`backtest compare`: runs side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.base.display import plural
from backtest.base.errors import UsageError
from backtest.cli.options import Json, LedgerOption
from backtest.cli.progress import progress_bar
from backtest.cli.wording import as_typed

if TYPE_CHECKING:
    from backtest.report.run_comparison import RunComparison

MOMENTS = 8
"""Moments at which equity is shown."""
MOST_TRADES = 12


def compare(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders; the others are compared with the first.")
    ],
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="'NAME=VALUE ...'",
            help="Repeat the first run with these parameters; may be given several times.",
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Also write the comparison as an HTML file.")] = None,
    ledger: LedgerOption = None,
    every: Annotated[bool, typer.Option("--all", help="Print every trade that differs.")] = False,
    as_json: Json = False,
) -> None:
    """Compare runs and parameter sets: scores, trades that differ and why, equity, p of the difference."""
    from backtest.ledger.store import Ledger, ledger_path
    from backtest.report.folder import to_json
    from backtest.report.run_comparison import compare_runs, score_text, words_of
    from backtest.report.tables import new_console, new_table, show

    path = ledger_path(ledger)
    if ledger is not None and path is not None and not path.is_file():
        raise UsageError(f"ledger {path} does not exist: leave --ledger out, and the runs are asked for again")
    asked = tuple(variants or ())
    with progress_bar() as progress:
        if path is not None and path.is_file():
            with Ledger(path) as opened:
                found = compare_runs(folders, opened, variants=asked, progress=progress)
        else:
            found = compare_runs(folders, variants=asked, progress=progress)
    if report is not None:
        from backtest.report.html.compared import write_comparison

        write_comparison(report, found)
        typer.echo(f"report: {report}", err=True)
    if as_json:
        typer.echo(to_json(_document(found)))
        return
    console = new_console()
    titles = [str(title) for title in found.scores.columns]
    short = [f"run {place}" for place in range(1, len(titles) + 1)]
    named = (f"{name} is {title}" for name, title in zip(short, titles, strict=True))
    show(console, *named, *map(as_typed, found.notes))
    scores = new_table("Scores", ("score",), short)
    for name, numbers in zip(map(str, found.scores.index), found.scores.to_numpy(dtype=float), strict=True):
        scores.add_row(words_of(name), *(score_text(name, float(value), found.units[name]) for value in numbers))
    equity = new_table("Equity", ("bar (UTC)",), short)
    step = max(1, -(-len(found.equity) // MOMENTS))
    for bar, row in found.equity.iloc[step - 1 :: step].iterrows():
        equity.add_row(f"{bar:%Y-%m-%d %H:%M}", *("-" if math.isnan(value) else f"{value:,.0f}" for value in row))
    show(console, scores, equity)
    for pair in found.pairs:
        first, other = (short[titles.index(title)] for title in (pair.first, pair.other))
        lines = [
            f"{one.catalyst_id or 'no catalyst'} {one.instrument} {one.entry_time[:16].replace('T', ' ')}: {one.why} "
            f"(net {_money(one.net)} and {_money(one.other_net)})"
            for one in (pair.trades if every else pair.trades[:MOST_TRADES])
        ]
        left = len(pair.trades) - len(lines)
        same = plural(pair.same, "trade is", "trades are")
        differ = plural(len(pair.trades), "differs:", "differ:") if lines else "none differs"
        show(
            console,
            "",
            f"{first} less {other}: {pair.difference.sentence}",
            f"{same} the same, {differ}",
            *lines,
            *([f"and {left} more: --all"] if left else []),
        )


def _money(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"


def _document(found: RunComparison) -> dict[str, Any]:
    """The comparison as plain JSON; NaN is null."""
    from dataclasses import asdict

    from backtest.report.folder import plain

    document = {
        "scores": {str(title): found.scores[title].to_dict() for title in found.scores.columns},
        "pairs": [
            {
                "first": one.first,
                "other": one.other,
                "same": one.same,
                "trades": [asdict(trade) for trade in one.trades],
                "difference": asdict(one.difference),
            }
            for one in found.pairs
        ],
        "notes": list(found.notes),
    }
    told: dict[str, Any] = plain(document)
    return told
