"""`backtest baseline`: write down what strategies do, and see in CI that they still do it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli.events import Calendars
from backtest.cli.options import (
    Config,
    Dataset,
    Detail,
    Funding,
    Json,
    Parameters,
    PlaceboOption,
    Settings,
    StatisticOption,
    Store,
    Strategies,
    Timeframe,
    Timerange,
    assignments,
    detail_of,
    market_of,
    settings_of,
)
from backtest.cli.progress import progress_bar
from backtest.cli.verbs import Verbs
from backtest.errors import BacktestError, UsageError

if TYPE_CHECKING:
    from backtest.baseline import Baseline, Checklist, Comparison
    from backtest.cli.request import Request
    from backtest.progress import Progress

app = typer.Typer(cls=Verbs, help="Record what strategies do, and check that they still do it.", no_args_is_help=True)
FOLDER = Path("baselines")


@app.command()
def record(
    dataset: Dataset = None,
    timeframe: Timeframe = None,
    store: Store = None,
    calendar: Calendars = None,
    strategy: Strategies = None,
    param: Parameters = None,
    timerange: Timerange = None,
    config: Config = None,
    setting: Settings = None,
    funding: Funding = None,
    detail: Detail = None,
    placebo: PlaceboOption = "10000",
    statistic: StatisticOption = "net_return",
    folder: Annotated[Path, typer.Option(help="Where the baselines stand, DATASET/STRATEGY.json each.")] = FOLDER,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")] = False,
) -> None:
    """Write the baseline of each strategy, and print what changes against the one that is there."""
    from backtest.cli.request import Request

    request = Request(
        dataset=dataset,
        timeframe=timeframe,
        store=str(store) if store else None,
        calendars=tuple(calendar or ()),
        strategies=tuple(strategy or ()),
        parameters=assignments(param or (), "-p"),
        timerange=timerange,
        config=str(config) if config else None,
        settings=settings_of(setting, funding),
        detail=detail,
        placebo=placebo,
        statistic=statistic,
        bootstrap=0,
    )
    requests = each_alone(request)

    from backtest.baseline import baseline_path, baseline_text, keep_tolerances, read_baseline, write_baseline
    from backtest.report.baseline_formats import print_recorded
    from backtest.report.tables import new_console, show

    with progress_bar() as progress:
        baselines = []
        for done, one in enumerate(requests):
            progress("record", done, len(requests))
            baselines.append(recorded(one))
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


def each_alone(request: Request) -> list[Request]:
    """The request of each strategy by itself, with the parameters that are its own."""
    from backtest.strategies import REGISTRY

    names = list(dict.fromkeys(request.strategies or REGISTRY))
    return [
        request.model_copy(
            update={
                "strategies": (name,),
                "parameters": {
                    key: value
                    for key, value in request.parameters.items()
                    if key.rpartition(".")[0] in ("", chosen.name)
                    and key.rpartition(".")[2] in chosen.parameters_type.model_fields
                },
            }
        )
        for name, chosen in zip(names, request.chosen(), strict=True)
    ]


def recorded(request: Request) -> Baseline:
    """Baseline of a request of one strategy: what was given is kept, what was not stays open to tomorrow's default."""
    from backtest.baseline import record_baseline

    given = request.model_dump(mode="json", exclude_defaults=True, exclude={"bootstrap"})
    return record_baseline(request.evaluate(), given)


@app.command()
def check(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Baseline files, or folders of them.", show_default=str(FOLDER))
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="Metric that may be better than allowed; ledger or verdict may be others. Repeat."),
    ] = None,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Fail where a registered strategy has no baseline.")
    ] = False,
    as_json: Json = False,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    github: Annotated[
        bool | None,
        typer.Option("--github/--no-github", help="Annotations and job summary.", show_default="where GITHUB_ACTIONS"),
    ] = None,
) -> None:
    """Run each baseline's request again, on the bars it was recorded on, and compare.

    Exit code 4 where anything left its tolerance, for the better too; 3 where bars or catalysts are others (not
    compared), which wins over 4.
    """
    paths = baseline_files(files or [FOLDER])

    from backtest.report.baseline_formats import check_document, github_annotations, junit_xml, print_checklist
    from backtest.report.folder import to_json, write_text, writing
    from backtest.report.tables import new_console, show

    with progress_bar() as progress:
        checklist = checked(paths, tuple(accept or ()), require_all, progress)
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
            typer.echo(line, err=True)
        _summarise(checklist)
    checklist.check()


def baseline_files(given: list[Path]) -> list[Path]:
    """Every file named, and every .json file below each folder named.

    Raises
    ------
    UsageError
        Where a folder holds none: nothing to check is no pass.
    """
    found: list[Path] = []
    for path in given:
        inside = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not inside or not (path.exists() or path.suffix):
            raise UsageError(f"no baseline in {path}: write one by `backtest baseline record`, or name its folder")
        found += inside
    return list(dict.fromkeys(found))


def checked(paths: list[Path], accept: tuple[str, ...], require_all: bool, progress: Progress) -> Checklist:
    """Every file compared; what is wrong with one is its own outcome, and the next is checked all the same."""
    from backtest.baseline import Checked, Checklist
    from backtest.strategies import REGISTRY

    results = []
    for done, path in enumerate(paths):
        progress("check", done, len(paths))
        results.append(Checked(path.as_posix(), check_file(path, accept)))
    seen = {one.comparison.strategy for one in results}
    # A user's own strategies ask for no baseline of those that come with the project.
    asked = require_all or not seen.isdisjoint(REGISTRY)
    missing = tuple(name for name in REGISTRY if name not in seen) if asked else ()
    return Checklist(tuple(results), missing, require_all)


def check_file(path: Path, accept: tuple[str, ...] = ()) -> Comparison:
    """Run the request of one file again and compare."""
    from backtest.baseline import compare, read_baseline, refused
    from backtest.cli.request import Request

    try:
        baseline = read_baseline(path)
        if baseline.request is None:
            sentence = (
                f"{path} holds no request, as it was recorded from Python: check it there, by assert_baseline, and "
                "keep it in another folder"
            )
            return refused(baseline.strategy.name, baseline.data.name, sentence)
        request = Request.read(baseline.request, path).model_copy(update={"bootstrap": 0})
    except BacktestError as problem:
        return refused(path.stem, path.parent.name, str(problem))
    try:
        evaluation = request.evaluate(baseline.data.span)
    except Exception as problem:
        if os.environ.get("BACKTEST_DEBUG") and not isinstance(problem, BacktestError):
            raise
        return _not_run(baseline, request, problem)
    return compare(baseline, evaluation, accept)


def _not_run(baseline: Baseline, request: Request, problem: Exception) -> Comparison:
    """What a failed run amounts to: other data where they are, else a regression."""
    from backtest.baseline import Comparison, data_differences, data_of, failed, refused, rows_of
    from backtest.signals.loading import file_of, is_file_reference

    try:
        store = Path(request.store) if request.store else None
        bars = data_of(market_of(request.dataset, request.timeframe, store, baseline.data.span))
        differences = data_differences(
            baseline, bars.model_copy(update={"detail": baseline.data.detail}), rows_of(request.calendar())
        )
        detail_of(request.detail, store)
    except BacktestError as error:
        return refused(baseline.strategy.name, baseline.data.name, str(error))
    if differences:
        return Comparison(baseline.strategy.name, baseline.data.name, differences, (), label=baseline.data.label)
    sentence = str(problem) if isinstance(problem, BacktestError) else f"{type(problem).__name__}: {problem}"
    if any(is_file_reference(name) and not file_of(name).is_file() for name in request.strategies):
        sentence += f"; its paths are relative to where it was recorded, and this is {Path.cwd()}"
    try:
        return failed(baseline, sentence, request.run_config())
    except UsageError:
        return failed(baseline, sentence, None)


def _summarise(checklist: Checklist) -> None:
    """Append the summary to the file that the runner names, where it names one."""
    from backtest.report.baseline_formats import summary_markdown

    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        try:
            with Path(file).open("a", encoding="utf-8") as stream:
                stream.write(summary_markdown(checklist))
        except OSError as problem:
            raise UsageError(f"GITHUB_STEP_SUMMARY {file} cannot be written ({problem}): use --no-github") from None
