"""A working folder as pages: its runs, the trials of its ledger, and any two of them side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtest.base.display import ABSENT, p_value, percent
from backtest.base.errors import BacktestError, DataError, UsageError
from backtest.ledger.difference import difference_of, differing
from backtest.ledger.store import Ledger
from backtest.report.folder import read_document
from backtest.report.html.blocks import ReportTable, Section, Text, columns, words
from backtest.report.html.compared import comparison_text
from backtest.report.html.page import page_style, page_text, template
from backtest.report.html.strategies import score_tables
from backtest.report.run_comparison import compare_runs

REPORT = "report.html"
MOST_TRIALS = 500


@dataclass(frozen=True, slots=True)
class RunRow:
    """One strategy of a run folder, as the list shows it."""

    folder: str
    dataset: str
    label: str
    strategy: str
    net: str
    adjusted: str
    verdict: str
    report: bool


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages over the run folders directly in `root` and over a ledger; nothing is written.

    A run is served by its name in the list alone: no part of an address is ever joined to a path.
    """

    root: Path
    ledger: Path | None = None

    def folders(self) -> dict[str, Path]:
        """Run folders by name, the newest first; a link that leads out of `root` is none of them."""
        root = self.root.resolve()
        found = [
            one
            for one in (root.iterdir() if root.is_dir() else ())
            if (one / "run.json").is_file() and one.resolve().parent == root
        ]
        found.sort(key=lambda one: (-(one / "run.json").stat().st_mtime, one.name))
        return {one.name: one for one in found}

    def index(self) -> str:
        """All runs and trials; tick two to compare them."""
        rows, problems = [], []
        for name, folder in self.folders().items():
            try:
                rows += list(_rows(name, folder))
            except BacktestError as problem:
                problems.append(str(problem))
        trials = []
        if self.ledger is not None and self.ledger.is_file():
            with Ledger(self.ledger) as opened:
                kept = opened.trials()[::-1]
            trials = [_trial(one.seq, one.body) for one in kept[:MOST_TRIALS]]
            if len(kept) > MOST_TRIALS:
                problems.append(f"The newest {MOST_TRIALS} of {len(kept)} trials are listed.")
        return template("workspace.html").render(
            style=page_style(), root=str(self.root), runs=rows, trials=trials, problems=problems, absent=ABSENT
        )

    def stored(self, name: str) -> bool:
        """Whether the run of that name has a report in its folder, which others may have written."""
        folder = self.folders().get(name)
        if folder is None:
            return False
        report = folder / REPORT
        return report.is_file() and report.resolve().parent == folder.resolve()

    def run(self, name: str) -> str:
        """The report of a run, or, without one, the contents of its run.json.

        Raises
        ------
        UsageError
            For a run that is not in the list.
        """
        folder = self._folder(name)
        if self.stored(name):
            return (folder / REPORT).read_text(encoding="utf-8")
        document = read_document(folder / "run.json", "run")
        told = Text(f"There is no report yet. `backtest report {folder}` writes one with figures.")
        sections = [Section("scores", "Scores", (told, *score_tables(document)))]
        bars = document["dataset"]
        lead = f"{bars['name']}, {bars['timeframe']} bars, {bars['start'][:10]} to {bars['end'][:10]}"
        return page_text(name, lead, sections, label=str(document["label"]), home="/")

    def compare(self, names: Sequence[str]) -> str:
        """Runs side by side; p of a difference only where the ledger keeps the draws of both."""
        folders = [self._folder(name) for name in dict.fromkeys(names)]
        if self.ledger is not None and self.ledger.is_file():
            with Ledger(self.ledger) as opened:
                return comparison_text(compare_runs(folders, opened, again=False), home="/")
        return comparison_text(compare_runs(folders, again=False), home="/")

    def trials(self, numbers: Sequence[str]) -> str:
        """Two trials of the ledger: what differs, and p of the difference.

        Raises
        ------
        UsageError
            For anything but the numbers of two trials that the ledger has.
        """
        chosen = list(dict.fromkeys(numbers))
        if len(chosen) != 2 or not all(one.isascii() and one.isdigit() and len(one) < 12 for one in chosen):
            raise UsageError(f"{len(chosen)} trials are chosen: tick two")
        if self.ledger is None or not self.ledger.is_file():
            raise DataError("there is no ledger here: run with `ledger`")
        first, second = (int(one) for one in chosen)
        with Ledger(self.ledger) as opened:
            found = {kept.seq: kept for kept in opened.trials([first, second])}
            for number in (first, second):
                if number not in found:
                    raise UsageError(f"the ledger has no trial {number}: go back to the list")
            one, other = found[first], found[second]
            sentence = difference_of(opened, first, second).sentence
        rows = differing(one.body, other.body)
        titles = (f"Trial {first}", f"Trial {second}")
        blocks = (
            Text(f"{one.title} less {other.title}: {sentence}."),
            ReportTable(
                "What differs", columns("Name", *titles), tuple((words(a), words(b), words(c)) for a, b, c in rows)
            ),
        )
        lead = f"{one.title} and {other.title}"
        return page_text("Two trials", lead, [Section("trials", "Two trials", blocks)], home="/")

    def _folder(self, name: str) -> Path:
        found = self.folders()
        if name not in found:
            raise UsageError(f"no run of that name is in {self.root}: go back to the list")
        return found[name]


def _rows(name: str, folder: Path) -> list[RunRow]:
    document = read_document(folder / "run.json", "run")
    rows = []
    for one in document["strategies"]:
        luck = one["evidence"]["placebo"] or {}
        net = one["scores"]["net_return"]["value"]
        adjusted = luck.get("adjusted")
        rows.append(
            RunRow(
                name,
                document["dataset"]["name"],
                document["label"],
                one["name"],
                ABSENT if net is None else percent(net),
                ABSENT if adjusted is None else p_value(adjusted),
                one["evidence"]["verdict"],
                (folder / REPORT).is_file(),
            )
        )
    return rows


def _trial(seq: int, body: dict[str, Any]) -> dict[str, str]:
    def shown(value: float | None) -> str:
        return ABSENT if value is None or math.isnan(value) else p_value(value)

    net = body["scores"].get("net_return")
    return {
        "seq": str(seq),
        "time": str(body.get("time", ""))[:16].replace("T", " "),
        "strategy": body["strategy"],
        "data": f"{body['data']}, {body['calendar']}",
        "parameters": ", ".join(f"{name}={value}" for name, value in body["parameters"].items()),
        "net": ABSENT if net is None or math.isnan(net) else percent(net),
        "p": shown(body["p"]),
    }
