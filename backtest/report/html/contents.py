"""Collects everything that a report shows, before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtest.base.errors import BacktestError, DataError, UsageError
from backtest.base.identity import document_of
from backtest.base.progress import Progress, silent
from backtest.catalysts.claims import Check, check_claim, open_claims
from backtest.report.folder import plain, read_document, rows_of
from backtest.report.search_folder import SearchFolder
from backtest.scoring.evaluation import Evaluation
from backtest.study.settings import StudyConfig
from backtest.study.study import Study, event_study

DRAWS = 500
"""Placebo calendars of the report's event study, fewer than those of `backtest study`, so that it stays quick."""
DEFAULT_CLAIMS = "privacy-2025"


@dataclass(frozen=True, slots=True)
class Missing:
    """A part that could not be made, and the sentence that says why."""

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """Contents of a report. `document` is the run as recorded, `evaluation` the same run with its records; None if only
    searches are reported. `command` reproduces the run; `cluster` works out what is still to be drawn, None for here.
    """

    document: dict[str, Any] | None
    evaluation: Evaluation | None
    study: Study | Missing
    checks: tuple[Check, ...] | Missing
    searches: tuple[SearchFolder, ...]
    command: str
    cluster: str | None = None

    @property
    def label(self) -> str:
        """The label of the data, empty if they were measured."""
        if self.document is not None:
            return str(self.document["label"])
        return next((one.document["dataset"]["label"] for one in self.searches), "")

    @property
    def dataset(self) -> dict[str, Any]:
        """What the first document records of its market."""
        documents = [self.document] if self.document is not None else [one.document for one in self.searches]
        found: dict[str, Any] = documents[0]["dataset"]
        return found


def gather(
    document: dict[str, Any] | None,
    evaluation: Evaluation | None,
    *,
    claims: str = DEFAULT_CLAIMS,
    draws: int = DRAWS,
    searches: Sequence[SearchFolder] = (),
    command: str = "",
    cluster: str | None = None,
    unstudied: str = "",
    progress: Progress = silent,
) -> Contents:
    """Study the catalysts and check the claims on the market of the run; a part that cannot be made gives its reason.

    `unstudied` says why there is to be no event study; empty for one.

    Raises
    ------
    UsageError
        For claims that are unknown.
    """
    if evaluation is None:
        missing = Missing("Only searches are reported: name a run folder as well.")
        return Contents(None, None, missing, missing, tuple(searches), command)
    checks = _checked(evaluation, claims)
    study = Missing(unstudied) if unstudied else _studied(evaluation, draws, progress, cluster)
    return Contents(document, evaluation, study, checks, tuple(searches), command, cluster)


def _studied(evaluation: Evaluation, draws: int, progress: Progress, cluster: str | None) -> Study | Missing:
    try:
        calendar = evaluation.whole or evaluation.calendar
        # Where nothing was left out of the run, nothing is of its study.
        config = StudyConfig(draws=draws, endogenous=evaluation.whole is None)
        return event_study(evaluation.market, calendar, config, cluster=cluster, progress=progress)
    except BacktestError as problem:
        return Missing(f"There is no event study: {problem}.")


def _checked(evaluation: Evaluation, claims: str) -> tuple[Check, ...] | Missing:
    market = evaluation.market
    checks = tuple(check_claim(one, market, {}) for one in open_claims(claims))
    if any(one.measured is not None for one in checks):
        return checks
    return Missing(f"No claim of {claims} can be measured on {market.provenance.name}.")


def read_run(folder: Path) -> dict[str, Any]:
    """The document of a run folder.

    Raises
    ------
    DataError
        Where it cannot be read.
    UsageError
        If it does not record its request, such as that of a walk-forward.
    """
    document = read_document(folder / "run.json", "run")
    if document.get("request") is None:
        written = "walkforward" if (folder / "walkforward.json").is_file() else "something other than `backtest run`"
        raise UsageError(
            f"{folder} was written by {written}: its run.json does not say how to run it again, so it cannot be "
            "reported; name a folder of `backtest run`, or of `backtest sweep`"
        )
    return document


def verify(document: dict[str, Any], evaluation: Evaluation, where: str) -> None:
    """Compare a repeated run with its record.

    Raises
    ------
    DataError
        Where data or calendar are not those of the record.
    UsageError
        Where the configuration or a strategy's trades are not.
    """
    hashes, config = evaluation.runs[0].hashes, plain(document_of(evaluation.config))
    named = {"data": evaluation.market.provenance.name, "calendar": evaluation.calendar.name}
    for what, name in named.items():
        recorded, now = document["hashes"][what], hashes[what]
        if recorded != now:
            raise DataError(
                f"the {what} of {where} has changed since: {name} had hash {recorded} when it ran and has {now} now: "
                "bring it back, or run again"
            )
    changed = [f"{key} = {config.get(key)!r} (was {value!r})" for key, value in document["config"].items()
               if config.get(key) != value]  # fmt: skip
    if changed or document["hashes"]["config"] != hashes["config"]:
        raise UsageError(f"the configuration of {where} has changed since: {', '.join(changed) or 'other keys'}: "
                         "run it again")  # fmt: skip
    for recorded, run in zip(document["strategies"], evaluation.runs, strict=True):
        trades = plain(rows_of(run.trades))
        if recorded["name"] != run.strategy or recorded["trades"] != trades:
            raise UsageError(
                f"strategy {recorded['name']!r} of {where} has changed since: it made {len(recorded['trades'])} trades "
                f"then and makes {len(trades)} now, not the same ones: run it again"
            )
