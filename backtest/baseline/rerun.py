"""Baselines recorded from a request, and checked by running the request again."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from backtest.base.arguments import checked
from backtest.base.errors import BacktestError, UsageError
from backtest.base.progress import Progress, silent
from backtest.baseline.checklist import Checked, Checklist
from backtest.baseline.comparison import Comparison, compare, data_differences, failed, refused
from backtest.baseline.files import read_baseline
from backtest.baseline.record import Baseline, baseline_of, data_of, rows_of
from backtest.request.request import Request
from backtest.signals.loading import file_of, is_file_reference
from backtest.strategies import REGISTRY


@checked
def record_baseline(request: Request, family: Sequence[str] = ()) -> Baseline:
    """Baseline of a request of one strategy: given values are kept, the others follow tomorrow's defaults.

    `family` names the strategies recorded together, this one too, for which the verdict's p is adjusted.

    Raises
    ------
    UsageError
        Where the request names another number of strategies: p is adjusted for all that are tested together.
    """
    given = request.model_dump(mode="json", exclude_defaults=True, exclude={"bootstrap"})
    return baseline_of(request.model_copy(update={"bootstrap": 0}).evaluate(), given, family)


def baseline_files(given: Sequence[Path]) -> list[Path]:
    """Every file named, and every .json file below each folder named.

    Raises
    ------
    UsageError
        If a folder holds none: an empty check does not pass.
    """
    found: list[Path] = []
    for path in given:
        inside = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        if not inside or not (path.exists() or path.suffix):
            raise UsageError(f"no baseline in {path}: write one with `backtest baseline record`, or name its folder")
        found += inside
    return list(dict.fromkeys(found))


@checked
def check_baselines(
    paths: Sequence[Path | str],
    accept: Collection[str] = (),
    *,
    require_all: bool = False,
    progress: Progress = silent,
    trust: Sequence[Path | str] = (),
) -> Checklist:
    """Compare every file; a fault in one is its own outcome, and the others are still checked.

    Parameters
    ----------
    paths
        Baseline files, or folders of them.
    accept
        Metrics that may be better than allowed; `ledger` where trades and rejections, `verdict` where it may differ.
    require_all
        Whether a strategy of the project without a baseline fails.
    trust
        Strategy files, or folders of them, that the baselines may run.

    Raises
    ------
    UsageError
        Where a folder holds no baseline.
    """
    results = []
    files = baseline_files([Path(path) for path in paths])
    for done, path in enumerate(files):
        progress("check", done, len(files))
        results.append(Checked(path.as_posix(), check_baseline(path, accept, trust)))
    seen = {one.comparison.strategy for one in results}
    # A user's own strategies ask for no baseline of those that come with the project.
    asked = require_all or not seen.isdisjoint(REGISTRY)
    missing = tuple(name for name in REGISTRY if name not in seen) if asked else ()
    return Checklist(tuple(results), missing, require_all)


@checked
def check_baseline(path: Path | str, accept: Collection[str] = (), trust: Sequence[Path | str] = ()) -> Comparison:
    """Run the request of one baseline file again, on the bars that it was recorded on, and compare.

    A fault in the file or its data is part of the comparison, whose `check` raises it. No strategy file that it
    names is executed but those in `trust`.
    """
    place = Path(path)
    try:
        baseline = read_baseline(place)
        if baseline.request is None:
            sentence = (
                f"{path} holds no request, as it was recorded from Python: check it there, by assert_baseline, and "
                "keep it in another folder"
            )
            return refused(baseline.strategy.name, baseline.data.name, sentence)
        request = Request.read(baseline.request, place, [Path(path) for path in trust]).model_copy(
            update={"bootstrap": 0}
        )
        trusted = request.trusted_files()
    except BacktestError as problem:
        return refused(place.stem, place.parent.name, str(problem))
    try:
        evaluation = request.evaluate(baseline.data.span)
    except Exception as problem:
        if os.environ.get("BACKTEST_DEBUG") and not isinstance(problem, BacktestError):
            raise
        result = _not_run(baseline, request, problem)
    else:
        result = compare(baseline, evaluation, accept)
    return replace(result, notes=(*trusted, *result.notes))


def _not_run(baseline: Baseline, request: Request, problem: Exception) -> Comparison:
    """The outcome of a failed run: refused if the data differ, otherwise a regression."""
    try:
        bars = data_of(request.market(baseline.data.span))
        differences = data_differences(
            baseline, bars.model_copy(update={"detail": baseline.data.detail}), rows_of(request.traded())
        )
        request.finer()
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
