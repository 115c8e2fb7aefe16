"""Hooks of the documentation site: pages that follow from the code, figures of the sample, answers of the gallery.

mkdocs calls `on_files` and `on_page_markdown`; `python -m tools.site` prints the generated pages.
"""

from __future__ import annotations

import inspect
import re
from html import unescape
from pathlib import Path
from typing import Any, Literal

from tools import concepts, gallery
from tools.formats import formats_page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', flags=re.S)
_DISPLAY: dict[str, Literal["inline", "block"]] = {"span": "inline", "div": "block"}
_LINK = re.compile(r"\[([^\]\n]+)\]\((\.\.?/[^)#\s]+)(#[^)\s]*)?\)")


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    cells = [tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    lines = [columns, tuple("---" for _ in columns), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def verbs_page() -> str:
    """Every verb with its options, as the command line has them."""
    import typer

    from backtest.cli import app

    parts = ["# Verbs and options\n"]

    def walk(command: Any, name: str) -> None:
        inner = getattr(command, "commands", {})
        parts.append(f"## `{name}`\n\n{inspect.cleandoc(command.help or '')}\n")
        rows = []
        for option in command.params:
            words = ", ".join(f"`{one}`" for one in option.opts) if hasattr(option, "help") else f"`{option.name}`"
            default = getattr(option, "show_default", None)
            shown = default if isinstance(default, str) else "" if option.default in (None, False) else option.default
            rows.append((words, str(getattr(option, "help", "") or ""), f"{shown}"))
        if rows:
            parts.append(table(("option", "meaning", "default"), rows))
        for key, one in inner.items():
            walk(one, f"{name} {key}")

    walk(typer.main.get_command(app), "backtest")
    return "\n".join(parts)


def configuration_page() -> str:
    """Every key of the run and study configurations."""
    from backtest.base.config import RunConfig
    from backtest.study.settings import StudyConfig

    parts = ["# Configuration\n", "Keys of `--set key=value`, of a TOML file for `--config`, and of the class.\n"]
    for title, model in (("Run (`RunConfig`)", RunConfig), ("Study (`StudyConfig`)", StudyConfig)):
        rows = []
        for name, field in model.model_fields.items():
            kind = str(model.model_json_schema()["properties"][name].get("enum", "") or "")
            meaning = f"{field.description or ''} {kind}".strip()
            rows.append((f"`{name}`", f"`{field.default!r}`", meaning))
        parts.append(
            f"## {title}\n\n{inspect.cleandoc(model.__doc__ or '')}\n\n{table(('key', 'default', 'meaning'), rows)}"
        )
    return "\n".join(parts)


def strategies_page() -> str:
    """The strategies of the project with their hypotheses and parameters."""
    from backtest.strategies import REGISTRY

    parts = ["# Strategies\n"]
    for name, strategy in REGISTRY.items():
        defaults = strategy().parameters
        rows = [
            (f"`{key}`", f"`{getattr(defaults, key)!r}`", field.description or "")
            for key, field in strategy.parameters_type.model_fields.items()
        ]
        parts.append(f"## `{name}`\n\n{strategy.hypothesis}\n\n{table(('parameter', 'default', 'meaning'), rows)}")
    return "\n".join(parts)


def documents_page() -> str:
    """Every JSON document, its version and its keys."""
    from backtest.base.schemas import VERSION, schema, schema_id

    parts = ["# Documents and schemas\n", "`backtest schema NAME` prints the JSON Schema of a document.\n"]
    for name in VERSION:
        read = schema(name)
        rows = [(f"`{key}`", str(rule.get("description", ""))) for key, rule in read["properties"].items()]
        parts.append(f"## `{schema_id(name)}`\n\n{read.get('description', '')}\n\n{table(('key', 'meaning'), rows)}")
    return "\n".join(parts)


def errors_page() -> str:
    """The tree of errors with the exit code of each."""
    from backtest.base import errors

    tree = inspect.cleandoc(errors.__doc__ or "")
    drawn = tree[tree.index("    BacktestError") : tree.index("Each message")]
    from backtest.cli import app

    told = str(app.info.epilog).removeprefix("Exit codes: ").rstrip(".")
    rows = re.findall(r"((?:\d+(?:, | and )?)+) ([^,]*(?:, Ctrl-C and SIGTERM)?)(?:, |$)", told)
    codes = table(("code", "meaning"), [(f"`{code.strip()}`", meaning) for code, meaning in rows])
    return (
        f"# Exit codes and errors\n\n{codes}\n```text\n"
        f"{inspect.cleandoc(drawn)}\n```\n\n{tree[tree.index('Each message') :]}\n"
    )


def api_page() -> str:
    """Every public name, from its docstring."""
    import backtest

    names = "\n\n".join(f"::: {getattr(backtest, name).__module__}.{name}" for name in sorted(backtest.__all__))
    return f"# Public names\n\n`from backtest import NAME`.\n\n{names}\n"


def declared_page() -> str:
    """What is declared once, in one table each."""
    from backtest.engine.layout import COSTS, EXITS, VERDICTS
    from backtest.market.series import SERIES
    from backtest.scoring.kinds import PLACEBO_KINDS
    from backtest.scoring.metric import METRICS

    better = {1: "higher", -1: "lower", 0: "neither"}
    metrics = [(f"`{one.name}`", one.words, one.unit, better[one.better]) for one in METRICS.values()]
    exits = [(f"`{one.name}`", one.words) for one in EXITS]
    verdicts = [(f"`{one.name}`", one.words) for one in VERDICTS]
    series = [(f"`{one.name}`", one.words, one.unit, one.values) for one in SERIES.values()]
    kinds = [(f"`{name}`", getattr(kind, "calendars", "")) for name, kind in PLACEBO_KINDS.items()]
    return "\n".join(
        (
            "# Metrics, exits, verdicts, costs, series\n",
            f"## Metrics\n\n{table(('name', 'words', 'unit', 'better'), metrics)}",
            f"## Reasons of a fill\n\n{table(('name', 'meaning'), exits)}",
            f"## What became of an intent\n\n{table(('name', 'meaning'), verdicts)}",
            f"## Costs\n\n{table(('name',), [(f'`{name}`',) for name in COSTS])}",
            f"## Series of a bar\n\n{table(('name', 'words', 'unit', 'values'), series)}",
            f"## Placebo kinds\n\n{table(('name', 'calendars'), kinds)}",
        )
    )


def cards_page() -> str:
    """The data card of the embedded datasets."""
    return (ROOT / "datasets" / "README.md").read_text(encoding="utf-8").replace("](../docs/", "](")


_answers: dict[str, gallery.Answered] = {}
FIGURES = ("timeline.png", "equity.png", *concepts.NAMES)
"""Drawn when the site is built."""
GENERATED = {
    "reference/verbs.md": verbs_page,
    "reference/configuration.md": configuration_page,
    "reference/strategies.md": strategies_page,
    "reference/documents.md": documents_page,
    "reference/formats.md": lambda: formats_page(table),
    "reference/errors.md": errors_page,
    "reference/api.md": api_page,
    "reference/declared.md": declared_page,
    "data-cards.md": cards_page,
}


def figures(folder: Path) -> None:
    """Figures of the embedded sample, as the report draws them, and those of the concepts."""
    import matplotlib

    matplotlib.use("Agg")
    from backtest.report import figures as drawn

    found = concepts.sample()
    (run,) = found.runs
    folder.mkdir(parents=True, exist_ok=True)
    whole = {
        "timeline.png": lambda: drawn.timeline(run, found.calendar),
        "equity.png": lambda: drawn.equity(run),
        **concepts.drawings(found),
    }
    # Raster, so that a viewer needs no script and a search engine no fonts.
    for name in FIGURES:
        whole[name]().savefig(folder / name, dpi=110, bbox_inches="tight")


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages and figures."""
    from mkdocs.structure.files import File

    for place, page in GENERATED.items():
        files.append(File.generated(config, place, content=page()))
    made = Path(config["site_dir"]).parent / ".site-figures"
    figures(made)
    for path in gallery.pages():
        _answers[f"gallery/{path.name}"] = gallery.answered(path, made / "gallery")
    for path in sorted(made.rglob("*.png")):
        place = f"figures/{path.relative_to(made).as_posix()}"
        files.append(File.generated(config, place, content=path.read_bytes()))
    return files


def within(markdown: str, place: str) -> str:
    """Links of the page at `place` to files of the checkout, which are no pages, become their names."""

    def told(found: re.Match[str]) -> str:
        target = (DOCS / place).parent / found[2]
        inside = target.resolve().is_relative_to(DOCS) or Path(found[2]).name.endswith(".png")
        name = target.resolve().relative_to(ROOT).as_posix() if not inside else ""
        if inside:
            return found[0]
        return f"`{name}`" if found[1].startswith("`") else f"{found[1]} (`{name}`)"

    return _LINK.sub(told, markdown)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Answers of the gallery are written into it; links out of the documents become names."""
    place = page.file.src_uri
    if place in _answers:
        markdown = gallery.shown(markdown, _answers[place])
    return within(markdown, place)


def on_page_content(html: str, **_: Any) -> str:
    """Formulas become MathML, which browsers draw without a script or a font from elsewhere."""
    from latex2mathml.converter import convert

    def drawn(found: re.Match[str]) -> str:
        # A forced space at the end of a line is one before a line break to the converter.
        return str(convert(unescape(found[2]).strip().replace("\\\n", "\\ "), display=_DISPLAY[found[1]]))

    return _FORMULA.sub(drawn, html)


if __name__ == "__main__":
    for place, page in GENERATED.items():
        print(f"<!-- {place} -->\n{page()}")
