"""`backtest report`: one HTML file of a run and of searches."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.base.errors import UsageError
from backtest.cli.options import ClusterOption, Trust
from backtest.cli.progress import progress_bar, tell_of
from backtest.cli.wording import as_typed

if TYPE_CHECKING:
    from backtest.base.progress import Progress
    from backtest.base.units import TimeRange
    from backtest.request.request import Request
    from backtest.scoring.evaluation import Evaluation

REPORT = "report.html"


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="One run folder, any number of sweeps.")],
    out: Annotated[Path | None, typer.Option(help="HTML file.", show_default="report.html in the first folder")] = None,
    claims: Annotated[str, typer.Option(help="Name or TOML file of claims to check.")] = "privacy-2025",
    draws: Annotated[int, typer.Option(min=1, help="Placebo calendars of the event study.")] = 500,
    trust: Trust = None,
    cluster: ClusterOption = None,
) -> None:
    """Write one self-contained HTML file of a run, its event study, claims and searches."""
    runs = [folder for folder in folders if (folder / "run.json").is_file()]
    searches = [folder for folder in folders if (folder / "sweep.json").is_file()]
    for folder in folders:
        if not folder.exists():
            raise UsageError(f"{folder} does not exist: name the folder that `backtest run` told of as its run folder")
        if folder not in runs and folder not in searches:
            raise UsageError(f"{folder} holds neither run.json nor sweep.json: name a folder of `run` or `sweep`")
    if len(runs) > 1:
        raise UsageError(f"{' and '.join(map(str, runs))} are both run folders: report them one at a time")

    from backtest.report.html import gather, make_room, write_page
    from backtest.report.html.contents import read_run, verify
    from backtest.report.search_folder import read_search
    from backtest.request.request import asked_in

    path = out or folders[0] / REPORT
    make_room(path)
    tell_of(cluster)
    with progress_bar() as progress:
        document, evaluation, command, unstudied = None, None, "", ""
        if runs:
            document = read_run(runs[0])
            request, within = asked_in(document, runs[0] / "run.json", trust or ())
            for line in request.trusted_files():
                typer.echo(as_typed(line), err=True)
            command = command_of(request, document)
            evaluation = evaluated(request, within, progress)
            verify(document, evaluation, str(runs[0]))
            unstudied = unstudied_because(evaluation, draws)
        found = [read_search(folder) for folder in searches]
        contents = gather(
            document, evaluation, claims=claims, draws=draws, searches=found, command=command, cluster=cluster,
            unstudied=unstudied, progress=progress,
        )  # fmt: skip
        write_page(path, contents, progress=progress)
    typer.echo(f"report: {path}", err=True)


def unstudied_because(evaluation: Evaluation, draws: int) -> str:
    """Say what the event study of a report takes; why it is left out if it does not fit into memory, or empty."""
    from backtest.base.errors import BacktestError
    from backtest.cli.announcing import announce
    from backtest.study.settings import StudyConfig
    from backtest.study.study import work_of

    calendar = evaluation.whole or evaluation.calendar
    config = StudyConfig(draws=draws, endogenous=evaluation.whole is None)
    try:
        work = work_of(evaluation.market, calendar, config)
    except BacktestError:
        return ""
    try:
        announce("study", work)
    except UsageError as problem:
        reason = f"There is no event study: {problem}."
        typer.echo(as_typed(reason), err=True)
        return reason
    return ""


def write_report_of(
    folder: Path, document: dict[str, Any], evaluation: Evaluation, request: Request, cluster: str | None = None
) -> Path:
    """The report of a run that is still in memory, in its run folder."""
    from backtest.report.html import gather, write_page
    from backtest.report.html.contents import DRAWS

    path = folder / REPORT
    with progress_bar() as progress:
        contents = gather(
            document, evaluation, command=command_of(request, document), cluster=cluster,
            unstudied=unstudied_because(evaluation, DRAWS), progress=progress,
        )  # fmt: skip
        write_page(path, contents, progress=progress)
    return path


def evaluated(request: Request, within: TimeRange, progress: Progress) -> Evaluation:
    """The run repeated without draws, whose results are recorded; its plan is kept for the equity fans."""
    from dataclasses import replace
    from functools import partial

    from backtest.cli.announcing import announce

    plain = request.model_copy(update={"bootstrap": 0, "placebo": "0"})
    evaluation = plain.evaluate(within, progress=progress, announce=partial(announce, "run"))
    return replace(evaluation, plan=request.plan(evaluation.config.seed))


def command_of(request: Request, document: dict[str, Any]) -> str:
    """The command line that repeats a run on exactly its bars."""
    bars = document["dataset"]
    words = ["backtest", "run"]
    words += ["--dataset", request.dataset or bars["name"]]
    words += ["--timerange", f"{bars['start'][:19]}Z/{bars['end'][:19]}Z"]
    for option, value in (
        ("--timeframe", request.timeframe),
        ("--store", request.store),
        ("--config", request.config),
        ("--detail", request.detail),
    ):
        words += [option, value] if value else []
    for option, values in (("--calendar", request.calendars), ("--strategy", request.strategies)):
        words += [word for value in values for word in (option, value)]
    for option, table in (("--param", request.parameters), ("--set", request.settings)):
        words += [word for key, value in table.items() for word in (option, f"{key}={value}")]
    words += ["--placebo", request.placebo, "--statistic", request.statistic, "--bootstrap", str(request.bootstrap)]
    return shlex.join(words)
