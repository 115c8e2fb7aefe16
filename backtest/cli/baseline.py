"""`backtest baseline`: record what strategies do, and check in CI that they still do it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.base.errors import UsageError
from backtest.cli.options import REQUEST, Json, Trust, asking
from backtest.cli.progress import progress_bar
from backtest.cli.streams import workflow_command
from backtest.cli.verbs import Verbs

if TYPE_CHECKING:
    from backtest.baseline import Checklist
    from backtest.request.request import Request

app = typer.Typer(cls=Verbs, help="Record what strategies do, and check that they still do it.", no_args_is_help=True)
FOLDER = Path("baselines")


@app.command()
@asking(*(name for name in REQUEST if name != "bootstrap"))
def record(
    request: Request,
    folder: Annotated[Path, typer.Option(help="Folder of the baselines, DATASET/STRATEGY.json each.")] = FOLDER,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")] = False,
) -> None:
    """Write the baseline of each strategy, and print what changes from the existing one."""
    requests = request.each_alone()

    from backtest.baseline import (
        baseline_path,
        baseline_text,
        keep_tolerances,
        read_baseline,
        record_baseline,
        write_baseline,
    )
    from backtest.report.baseline_formats import print_recorded
    from backtest.report.tables import new_console, show

    family = tuple(name for one in requests for name in one.strategies) if len(requests) > 1 else ()
    with progress_bar() as progress:
        baselines = []
        for done, one in enumerate(requests):
            progress("record", done, len(requests))
            baselines.append(record_baseline(one, family))
    console = new_console()
    written = 0
    for baseline in baselines:
        path = baseline_path(folder, baseline)
        before = read_baseline(path) if path.exists() else None
        if before and before.strategy.name != baseline.strategy.name:
            raise UsageError(
                f"{path} is the baseline of {before.strategy.name!r}, not of {baseline.strategy.name!r}: record into "
                "another --folder"
            )
        now = keep_tolerances(baseline, before) if before else baseline
        changed = before is None or baseline_text(before) != baseline_text(now)
        written += changed
        print_recorded(console, path.as_posix(), before, now)
        if changed and not dry_run:
            write_baseline(path, now)
    show(console, f"{written} of {len(requests)} {'would be written' if dry_run else 'written'}")


@app.command()
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Baseline files, or folders of them.", show_default=str(FOLDER))
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="Metric that may be better than allowed; ledger or verdict may differ. Repeat."),
    ] = None,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Fail if a registered strategy has no baseline.")
    ] = False,
    as_json: Json = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    github: Annotated[
        bool | None,
        typer.Option("--github/--no-github", help="Annotations and job summary.", show_default="if GITHUB_ACTIONS"),
    ] = None,
    trust: Trust = None,
) -> None:
    """Run each baseline's request again, on the bars it was recorded on, and compare.

    Exit code 4 if anything left its tolerance, even for the better; 3 if bars or catalysts differ (not compared), which
    takes precedence over 4.
    """
    from backtest.baseline import check_baselines
    from backtest.report.baseline_formats import check_document, github_annotations, junit_xml, print_checklist
    from backtest.report.folder import to_json, write_text, writing
    from backtest.report.tables import new_console, show

    with progress_bar() as progress:
        checklist = check_baselines(
            files or [FOLDER], tuple(accept or ()), require_all=require_all, progress=progress, trust=trust or ()
        )
    if as_json:
        typer.echo(to_json(check_document(checklist)))
    else:
        console = new_console()
        print_checklist(console, checklist)
        show(console, checklist.sentence)
    if junit is not None:
        with writing("JUnit file", junit, "--junit"):
            junit.parent.mkdir(parents=True, exist_ok=True)
            write_text(junit, junit_xml(checklist))
    if github if github is not None else os.environ.get("GITHUB_ACTIONS") == "true":
        for line in github_annotations(checklist):
            workflow_command(line)
        _summarise(checklist)
    checklist.check()


def _summarise(checklist: Checklist) -> None:
    """Append the summary to the file that the runner names, if any."""
    from backtest.report.baseline_formats import summary_markdown

    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        try:
            with Path(file).open("a", encoding="utf-8") as stream:
                stream.write(summary_markdown(checklist))
        except OSError as problem:
            raise UsageError(f"GITHUB_STEP_SUMMARY {file} cannot be written ({problem}): use --no-github") from None
