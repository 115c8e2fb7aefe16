"""`backtest ledger`: what was tried on the same catalysts, and what is registered to be tried."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli.options import REQUEST, Json, LedgerOption, asking
from backtest.cli.verbs import Verbs

if TYPE_CHECKING:
    from backtest.ledger.store import LedgerHead
    from backtest.request.request import Request

app = typer.Typer(
    cls=Verbs,
    help="Every trial on the same catalysts is kept, so that each p is adjusted for all of them.",
    no_args_is_help=True,
)
Number = Annotated[int, typer.Argument(metavar="#", help="Number of an entry, as `list` shows it.")]


@app.command("list")
def list_trials(
    ledger: LedgerOption = None,
    strategy: Annotated[str, typer.Option("--strategy", "-s", help="Trials of one strategy.")] = "",
    top: Annotated[int, typer.Option(min=1, help="Largest number of trials, smallest p first.")] = 25,
    as_json: Json = False,
) -> None:
    """List the trials, each with p adjusted for everything that was tried up to now."""
    from backtest.ledger.judgement import judge_trials, leading
    from backtest.ledger.store import open_ledger
    from backtest.report.folder import to_json
    from backtest.report.ledger_tables import ledger_document, list_table
    from backtest.report.tables import new_console, show

    with open_ledger(ledger, make=False) as opened:
        found = [one for one in judge_trials(opened) if strategy in ("", one.trial.body["strategy"])]
        registered, head = opened.registrations(), opened.head()
    shown = leading(found, top)
    if as_json:
        typer.echo(to_json(ledger_document(head, shown)))
        return
    console = new_console()
    if not found:
        show(console, f"no trial in {opened.path}: `backtest run` writes its trials there")
    else:
        show(
            console, list_table(shown), *([f"{len(shown)} of {len(found):,} trials"] if len(shown) < len(found) else [])
        )
    ran = {one.trial.body["asked"] for one in found}
    lines = [
        f"#{one.seq} registered {one.time[:16]}, {'run' if one.asked in ran else 'not run yet'}: {one.strategy}, "
        f'"{one.hypothesis}"'
        for one in registered
    ]
    show(console, *lines)


@app.command("show")
def show_trial(number: Number, ledger: LedgerOption = None, as_json: Json = False) -> None:
    """Show one trial: what was asked, on what, and each p."""
    from backtest.ledger.judgement import judge_trials, known
    from backtest.ledger.store import open_ledger
    from backtest.report.folder import to_json
    from backtest.report.ledger_tables import detail_lines, ledger_document
    from backtest.report.tables import new_console, show

    with open_ledger(ledger, make=False) as opened:
        known(opened, number)
        (one,) = judge_trials(opened, [number])
        alike = sum(group.trials for group in opened.groups() if group.common == one.trial.common)
        head = opened.head()
    if as_json:
        typer.echo(to_json(ledger_document(head, [one])))
    else:
        show(new_console(), *detail_lines(one, alike))


@app.command("diff")
def diff_trials(one: Number, other: Number, ledger: LedgerOption = None) -> None:
    """Show what differs between two trials: what was asked, what came of it, and p of the difference."""
    from backtest.ledger.difference import difference_of, differing
    from backtest.ledger.judgement import known
    from backtest.ledger.store import open_ledger
    from backtest.report.tables import new_console, new_table, show

    with open_ledger(ledger, make=False) as opened:
        first, second = known(opened, one), known(opened, other)
        rows = differing(first.body, second.body)
        found = difference_of(opened, one, other)
    table = new_table("Differences", ("what", first.title, second.title), ())
    for name, was, now in rows:
        table.add_row(name, was, now)
    show(new_console(), *([table] if rows else ["they differ in nothing"]), found.sentence)


@app.command("verify")
def verify_command(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN]...", help="Run folders whose ledger.json names an entry.")
    ] = None,
    ledger: LedgerOption = None,
) -> None:
    """Read everything again: exit code 3 where an entry was changed, is missing or damaged.

    That the newest entries are missing can be told by run folders written since.
    """
    from backtest.ledger.store import open_ledger
    from backtest.ledger.verification import verify_ledger
    from backtest.report.tables import new_console, show

    heads = [_head_of(folder) for folder in folders or ()]
    with open_ledger(ledger, make=False) as opened:
        found = verify_ledger(opened, heads)
        show(new_console(), *found.faults)
        found.check(opened.path)
    show(
        new_console(),
        f"{opened.path}: {found.entries} entries and {found.draws} sets of draws are as they were written; "
        f"the newest is #{found.head.seq} with hash {found.head.hash}",
    )


def _head_of(folder: Path) -> LedgerHead:
    from backtest.cli.recording import LEDGER_FILE
    from backtest.ledger.store import LedgerHead
    from backtest.report.folder import read_document

    head = read_document(folder / LEDGER_FILE, "ledger")["head"]
    return LedgerHead(int(head["seq"]), str(head["hash"]))


@app.command("export")
def export_ledger(
    file: Annotated[Path, typer.Argument(help="CSV file; a .npz file beside it has the draws with --draws.")],
    ledger: LedgerOption = None,
    draws: Annotated[bool, typer.Option("--draws", help="Write the null draws as well.")] = False,
) -> None:
    """Write every trial with its scores and each p to a CSV file."""
    from backtest.ledger.export import export_draws, trial_frame
    from backtest.ledger.store import open_ledger
    from backtest.report.folder import write_text, writing
    from backtest.report.spreadsheets import csv_text

    with open_ledger(ledger, make=False) as opened:
        table = trial_frame(opened)
        with writing("file", file, "FILE"):
            write_text(file, csv_text(table))
            if draws:
                export_draws(opened, file.with_suffix(".npz"))
    typer.echo(f"{len(table)} trials: {file}", err=True)


@app.command("register")
@asking(*(name for name in REQUEST if name != "bootstrap"))
def register_command(
    request: Request,
    hypothesis: Annotated[str, typer.Argument(help="What is expected, and why, in a sentence.")],
    ledger: LedgerOption = None,
) -> None:
    """Write down one test before it is run: run first on its catalysts, it is adjusted for registered tests only."""
    from backtest.ledger.registering import register_test
    from backtest.ledger.store import open_ledger

    with open_ledger(ledger) as opened:
        found = register_test(opened, hypothesis, request)
    typer.echo(f"registered as #{found.seq} on {found.time}: {found.strategy}; run it with the same options")


@app.command("compact")
def compact_ledger(ledger: LedgerOption = None) -> None:
    """Give unused room of the file back; every entry stays as it is."""
    from backtest.ledger.store import open_ledger

    with open_ledger(ledger, make=False) as opened:
        before, after = opened.compact()
    typer.echo(f"{before:,} bytes before, {after:,} after")
