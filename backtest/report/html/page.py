"""The page: sections in one self-contained HTML file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from backtest import __version__
from backtest.base.config import RunConfig
from backtest.base.display import plural
from backtest.base.progress import Progress, silent
from backtest.report.figures.palette import DARK, LIGHT, css_variables
from backtest.report.figures.settings import in_own_style
from backtest.report.folder import write_text, writing
from backtest.report.html.blocks import Block, Explorer, Facts, Figure, Folded, Multiples, ReportTable, Section, Text
from backtest.report.html.contents import Contents
from backtest.report.html.evidence import claims_section, search_section, study_section
from backtest.report.html.plain import flat, visible
from backtest.report.html.strategies import catalysts, season, strategies
from backtest.report.html.summary import summary

CELL_LENGTH, TEXT_LENGTH = 160, 700
"""Characters of a cell and of a sentence that are shown at once; the rest is folded."""
_MEANING = {
    "RECONSTRUCTED": "Not market data: these bars show how the tool works and prove nothing about the market.",
}


def render(contents: Contents, *, progress: Progress = silent) -> str:
    """The report as HTML text: the same contents give the same text."""
    return page_text(
        f"Catalysts on {contents.dataset['name']}",
        _lead(contents),
        _sections(contents, progress),
        label=contents.label,
        explored=contents.evaluation is not None,
    )


def page_style() -> Markup:
    """The style sheet of every page, with both themes."""
    text = f":root {{ {css_variables(LIGHT)} }}\n{_asset('page.css')}"
    return Markup(text.replace("/* DARK */", css_variables(DARK)))


def page_text(
    heading: str, lead: str, sections: Sequence[Section], *, label: str = "", explored: bool = False, home: str = ""
) -> str:
    """HTML text of sections under a heading; `explored` includes the interactive charts, `home` is the link back."""
    script = _asset("page.js")
    if explored:
        script = "\n".join((_asset("vendor/lightweight-charts.js"), script, _asset("explore.js"), _asset("spread.js")))
    return template("page.html").render(
        title=f"{label}: {heading}" if label else heading,
        label=label,
        meaning=_MEANING.get(label, "The source of these bars has labelled them: read every number with that in mind."),
        heading=heading,
        lead=lead,
        sections=sections,
        home=home,
        style=page_style(),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
        cell_length=CELL_LENGTH,
        text_length=TEXT_LENGTH,
    )  # fmt: skip


def write_page(path: Path, contents: Contents, *, progress: Progress = silent) -> None:
    """Write the report; it appears whole or not at all.

    Raises
    ------
    UsageError
        Where the file cannot be written.
    """
    text = render(contents, progress=progress)
    with writing("report", path):
        write_text(path, text)


def make_room(path: Path) -> None:
    """Make the folder of a report before anything is computed for it; raise `UsageError` if that fails."""
    with writing("report", path):
        path.parent.mkdir(parents=True, exist_ok=True)


@in_own_style
def _sections(contents: Contents, progress: Progress) -> list[Section]:
    searches = [
        search_section(one, number, contents, progress) for number, one in enumerate(contents.searches, start=1)
    ]
    if contents.document is None:
        return searches
    return [
        summary(contents),
        season(contents, progress),
        catalysts(contents, progress),
        strategies(contents, progress),
        study_section(contents, progress),
        *searches,
        claims_section(contents, progress),
        _record(contents),
    ]


def _lead(contents: Contents) -> str:
    """What the page is about, in one line."""
    bars = contents.dataset
    start, end = (bars[side][:16].replace("T", " ") for side in ("start", "end"))
    told = f"{bars['timeframe']} bars, {start} to {end} UTC"
    if contents.document is None:
        return told
    document = contents.document
    ran = document["strategies"]
    counts = (
        plural(len(ran), "strategy", "strategies"),
        plural(len(ran[0]["catalysts"]), "catalyst", "catalysts"),
        plural(len(bars["instruments"]), "instrument", "instruments"),
    )
    return f"{', '.join(counts)}; {told}"


def _record(contents: Contents) -> Section:
    """What the results depend on, and the command that reproduces them."""
    document = contents.document
    assert document is not None
    bars, hashes = document["dataset"], document["hashes"]
    notes = list(dict.fromkeys(note for one in document["strategies"] for note in one["notes"]))
    blocks: list[Block] = [
        Text("The same command on the same data gives the same numbers:"),
        Text(contents.command, code=True),
        *(Text(note, warning=True) for note in notes),
        Facts(
            (
                ("Dataset", bars["name"]),
                ("Source", bars["source"]),
                ("Licence", bars["licence"] or "not said"),
                ("Repairs", "; ".join(bars["repairs"]) or "none"),
                *_origins(bars.get("origins", [])),
                ("Instruments", ", ".join(bars["instruments"])),
                ("Hash of data", hashes["data"]),
                ("Hash of calendar", hashes["calendar"]),
                ("Hash of configuration", hashes["config"]),
                ("Run by version", document["version"]),
                ("Drawn by version", __version__),
            ),
            "Data and versions",
        ),
        Facts(
            tuple((_setting(name), str(value)) for name, value in document["config"].items()),
            "Configuration: costs, margin and timing",
        ),
    ]  # fmt: skip
    return Section("record", "The record: data, costs, versions", tuple(blocks))


def _origins(origins: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Where each series came from, in rows of the instruments that share it."""
    shared: dict[tuple[str, str], list[str]] = {}
    for one in origins:
        shared.setdefault((one["series"].replace("_", " "), one["words"]), []).append(one["symbol"])
    return [(f"Origin of {series}: {', '.join(symbols)}", words) for (series, words), symbols in shared.items()]


def _setting(name: str) -> str:
    """A configuration key with its description, if this version knows it."""
    field = RunConfig.model_fields.get(name)
    return f"{name} ({field.description})" if field and field.description else name


def template(name: str) -> Template:
    """A template of this folder, in which all text is escaped."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(_asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters["visible"] = visible
    made.filters["flat"] = flat
    made.tests.update(
        {
            kind.__name__.lower(): lambda block, kind=kind: isinstance(block, kind)
            for kind in (ReportTable, Figure, Facts, Text, Folded, Explorer, Multiples)
        }
    )
    return made


@cache
def _asset(name: str) -> str:
    return files("backtest.report.html").joinpath(name).read_text(encoding="utf-8")
