"""A checked list of baselines as a terminal table, JSON, JUnit XML, GitHub annotations and a Markdown summary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from backtest.base.display import ABSENT, inert, percent, plural
from backtest.base.schemas import schema_id
from backtest.baseline import Baseline, Checklist, Difference, changes
from backtest.report.tables import new_table

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BETTER = "better than allowed"


def figure(value: float | str | None) -> str:
    """Six significant digits; text unchanged; `-` for no value."""
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else f"{value:.6g}"


def _pair(one: Difference) -> tuple[str, str]:
    """Baseline and current value, with as many digits as it takes to tell them apart."""
    shown = figure(one.baseline), figure(one.now)
    if shown[0] == shown[1] and isinstance(one.baseline, float | int) and isinstance(one.now, float | int):
        return f"{one.baseline:.10g}", f"{one.now:.10g}"
    return shown


def print_checklist(console: Console, checklist: Checklist) -> None:
    """One line for each file that passed; for the others the causes, the first trade that differs, the metrics."""
    labelled = dict.fromkeys(
        f"{one.comparison.label}: {one.comparison.dataset}" for one in checklist.checked if one.comparison.label
    )
    for line in labelled:
        console.print(_one_line(line))
    for one in checklist.checked:
        comparison = one.comparison
        counted = f": {plural(comparison.trades, 'trade', 'trades')}" if comparison.passed else ""
        console.print(_one_line(f"{comparison.status:<10}{one.file}{counted}"))
        print_differences(console, (*comparison.data_differences, *comparison.differences))
        _indented(console, *(f"note: {note}" for note in comparison.notes))
    if checklist.missing:
        console.print(Text(f"without a baseline: {', '.join(checklist.missing)}"))


def print_recorded(console: Console, file: str, before: Baseline | None, now: Baseline) -> None:
    """What recording changes in a file: causes, trades, and metrics before and now."""
    found = changes(before, now) if before is not None else ()
    moved = before is not None and before.versions != now.versions
    state = "new" if before is None else "changed" if found else "only versions changed" if moved else "unchanged"
    console.print(Text(f"{_labelled(file, now.data.label)}: {state}"))
    net = now.metrics["net_return"].value
    earned = ABSENT if net is None else percent(net)
    _indented(console, f"{plural(now.trades.count, 'trade', 'trades')}, net {earned}, {now.verdict}")
    print_differences(console, found, recording=True)


def _labelled(name: str, label: str) -> str:
    return f"{name} ({label})" if label else name


def print_differences(console: Console, differences: Sequence[Difference], *, recording: bool = False) -> None:
    """Sentences for all but metrics, then a table of the metrics, with what is allowed unless they are recorded."""
    for one in differences:
        if one.kind == "trade":
            _indented(console, f"first difference, {one.name}:")
            _indented(console, f"was {figure(one.baseline)}", f"now {figure(one.now)}", by=4)
        elif one.kind != "metric":
            _indented(console, one.sentence)
    metrics = [one for one in differences if one.kind == "metric"]
    if metrics:
        console.print(_metric_table(metrics, recording))


def _indented(console: Console, *lines: str, by: int = 2) -> None:
    for line in lines:
        console.print(Padding(_one_line(line), (0, 0, 0, by), expand=False))


def _one_line(text: str) -> Text:
    """Text without line breaks, because a runner obeys every output line that begins like a workflow command."""
    return Text(" ".join(text.split("\n")))


def _metric_table(metrics: Sequence[Difference], recording: bool) -> Table:
    """One row per metric, marked where it is better than allowed."""
    columns = ("before", "now") if recording else ("baseline", "now", "allowed")
    table = new_table("", (" metric",), (*columns, ""))
    table.title = None
    for one in metrics:
        mark = " better" if _BETTER in one.sentence else ""
        allowed = ABSENT if one.allowed is None else f"{one.allowed:.2g}"
        table.add_row(f" {escape(one.name)}", *(*_pair(one), allowed)[: len(columns)], mark)
    return table


def check_document(checklist: Checklist) -> dict[str, Any]:
    """Versioned JSON document of a check."""
    return {
        "schema": schema_id("baseline-check"),
        "passed": checklist.exit_code == 0,
        "exit_code": checklist.exit_code,
        "summary": checklist.sentence,
        "files": [
            {
                "file": one.file,
                "strategy": one.comparison.strategy,
                "dataset": one.comparison.dataset,
                "label": one.comparison.label,
                "status": one.comparison.status,
                "trades": one.comparison.trades,
                "metrics": one.comparison.metrics,
                "data_differences": [asdict(part) for part in one.comparison.data_differences],
                "differences": [asdict(part) for part in one.comparison.differences],
                "notes": list(one.comparison.notes),
            }
            for one in checklist.checked
        ],
        "missing": list(checklist.missing),
        "missing_allowed": not checklist.all_required,
    }


def junit_xml(checklist: Checklist) -> str:
    """JUnit XML: one test case a file; a regression is a failure, a refusal an error."""
    failed, errors = len(checklist.having("regressed")) + len(checklist.lacking), len(checklist.having("refused"))
    counts = {"tests": str(len(checklist.checked) + len(checklist.lacking)), "failures": str(failed)}
    counts["errors"] = str(errors)
    root = ElementTree.Element("testsuites", {"name": "backtest baseline check", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "backtest baseline check", **counts, "skipped": "0"})
    for one in checklist.checked:
        comparison = one.comparison
        # Readers tell cases apart by class and name, and a strategy may have files in several folders.
        folder = PurePosixPath(one.file).parent.as_posix().strip("/.").replace("/", ".")
        case = _case(suite, folder or comparison.dataset, comparison.strategy, file=one.file)
        if not comparison.passed:
            tag = "error" if comparison.status == "refused" else "failure"
            _fault(case, tag, comparison.status, comparison.sentences)
    for name in checklist.lacking:
        _fault(_case(suite, "missing", name), "failure", "missing", (f"{name} has no baseline: record it",))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, group: str, name: str, **more: str) -> ElementTree.Element:
    values = {"classname": group, "name": name, **more}
    return ElementTree.SubElement(suite, "testcase", {key: _xml(value) for key, value in values.items()})


def _fault(case: ElementTree.Element, tag: str, kind: str, sentences: Sequence[str]) -> None:
    fault = ElementTree.SubElement(case, tag, {"type": kind, "message": _xml(sentences[0])})
    fault.text = _xml("\n".join(sentences))


def _xml(text: str) -> str:
    """Text that is inert, without the characters that XML cannot hold; the writer escapes the others."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", _inert_lines(text))


def _inert_lines(text: str) -> str:
    return "".join(part if part in ("\r", "\n") else inert(part) for part in re.split("([\r\n])", text))


def github_annotations(checklist: Checklist) -> list[str]:
    """One `::error` workflow command for each file that did not pass."""
    lines = [
        _command(one.file, f"baseline {one.comparison.status}: {one.comparison.strategy}", one.comparison.sentences)
        for one in checklist.checked
        if not one.comparison.passed
    ]
    if checklist.lacking:
        lines.append(_command("", "baseline missing", [f"{name} has no baseline" for name in checklist.lacking]))
    return lines


def _command(file: str, title: str, sentences: Sequence[str]) -> str:
    place = f"file={_property(file)}," if file else ""
    return f"::error {place}title={_property(title)}::{_data(chr(10).join(sentences))}"


def _data(text: str) -> str:
    return _inert_lines(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def summary_markdown(checklist: Checklist) -> str:
    """Job summary: a table of the files, and one of everything that differs."""
    lines = [f"### {_cell(checklist.sentence)}", "", "| file | dataset | status |", "| --- | --- | --- |"]
    for one in checklist.checked:
        comparison = one.comparison
        dataset = _cell(_labelled(comparison.dataset, comparison.label))
        lines.append(f"| {_cell(one.file)} | {dataset} | {comparison.status} |")
    lines += [f"| {_cell(name)} | | missing |" for name in checklist.lacking]
    rows = [
        (one.file, part)
        for one in checklist.checked
        for part in (*one.comparison.data_differences, *one.comparison.differences)
    ]
    if rows:
        lines += ["", "| file | what | baseline | now | allowed |", "| --- | --- | --- | --- | --- |"]
        for name, part in rows:
            allowed = "" if part.allowed is None else f"{part.allowed:.2g}"
            cells = (name, *_told(part), allowed)
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    noted = [f"- {_cell(one.file)}: {_cell(note)}" for one in checklist.checked for note in one.comparison.notes]
    return "\n".join(lines + ([""] if noted else []) + noted) + "\n"


def _told(part: Difference) -> tuple[str, str, str]:
    """What differs and both values; the whole sentence if it has none."""
    if part.baseline is None and part.now is None:
        return part.sentence, "", ""
    better = f" ({_BETTER})" if _BETTER in part.sentence else ""
    return f"{part.kind} {part.name}{better}", *_pair(part)


def _cell(text: str) -> str:
    """Text in which Markdown sees neither markup nor the end of a cell."""
    flat = inert(" ".join(text.split()))
    for mark, code in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        flat = flat.replace(mark, code)
    return re.sub(r"([\\`*_{}\[\]|#~])", r"\\\1", flat)
