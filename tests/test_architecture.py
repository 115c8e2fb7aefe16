"""The house stands as it was drawn: imports run one way, data holds no code, the public surface is what it says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Container, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import backtest

ROOT = Path(__file__).parents[1]
LEVEL = {
    "base": 0,
    "market": 4,
    "catalysts": 5,
    "signals": 6,
    "strategies": 7,
    "engine": 7,
    "study": 8,
    "scoring": 9,
    "session": 10,
    "request": 11,
    "ledger": 12,
    "baseline": 13,
    "report": 14,
    "testing": 15,
    "cli": 15,
    "acceptance": 16,
}
MAY_IMPORT_STRATEGIES = {"request", "baseline", "cli", "acceptance"}
STRATEGY_MAY_IMPORT = {"strategies", "signals", "market", "catalysts", "base"}
MOST_LINES = 450


def modules(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


def imported(path: Path, known: Container[str] = ()) -> set[str]:
    """Dotted names of every import in a module, those inside functions and for type checking too.

    Of `from package import module` the module stands alone where it is among the `known` ones.
    """
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= full
            if not all(one in known for one in full):
                names.add(node.module)
    return names


def dotted(path: Path) -> str:
    """Module name of a file below the root."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = ("backtest", *parts) if parts[0] == "strategies" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """One cycle of a graph of modules and what each imports, first and last the same; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as found:
        return list(found.args[1])
    return []


def room(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "backtest" and len(parts) > 1 and parts[1] != "__version__" else None


@pytest.mark.parametrize("path", modules("backtest"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    own = path.relative_to(ROOT / "backtest").with_suffix("").parts[0]
    if own in ("__init__", "__main__"):
        return
    assert own in LEVEL, f"{own} has no place in the drawing: give it a level"
    for name in imported(path):
        assert not name.startswith("datasets")
        assert not name.startswith("strategies"), f"{path} imports {name}"
        other = room(name)
        assert other != "strategies" or own in MAY_IMPORT_STRATEGIES, f"{path} imports {name}"
        if other is None or other == own:
            continue
        assert LEVEL[other] < LEVEL[own], f"{path}: {own} imports {other}, which is not below it"


@pytest.mark.parametrize("path", modules("strategies"), ids=lambda path: path.name)
def test_strategies_see_only_what_they_may(path: Path) -> None:
    for name in imported(path):
        other = room(name)
        assert other is None or other in STRATEGY_MAY_IMPORT, f"{path} imports {name}"


def test_a_wrong_import_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("def f():\n    from backtest.engine.kernel import replay_one\n")
    assert {room(name) for name in imported(path)} == {"engine"}
    assert LEVEL["engine"] > LEVEL["signals"]


def test_no_module_imports_itself_by_a_detour() -> None:
    paths = modules("backtest") + modules("strategies")
    names = {dotted(path) for path in paths}
    graph = {dotted(path): imported(path, names) & names - {dotted(path)} for path in paths}
    assert sum(map(len, graph.values())) > len(graph)
    assert cycle(graph) == []
    assert len(cycle({"one": {"two"}, "two": {"three"}, "three": {"one"}})) == 4


def test_datasets_hold_data_only() -> None:
    assert not list((ROOT / "datasets").rglob("*.py"))
    assert (ROOT / "datasets" / "README.md").is_file()


def test_modules_are_short_enough_to_read() -> None:
    """Prints the sizes: `pytest tests/test_architecture.py -k short_enough -s`."""
    lines = {path: len(path.read_text().splitlines()) for path in modules("backtest") + modules("strategies")}
    largest = sorted(lines.items(), key=lambda item: -item[1])
    report = "\n".join(f"{count:5} {path.relative_to(ROOT)}" for path, count in largest[:15])
    report = f"{len(lines)} modules, {sum(lines.values()):,} lines, {MOST_LINES} at most; the longest:\n{report}"
    print(report)
    assert largest[0][1] <= MOST_LINES, report


Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(node: Documented, name: str) -> Iterator[tuple[str, Documented]]:
    """A module or class and what is public in it, by dotted name; what stands inside functions is not."""
    yield name, node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    for child in node.body:
        if isinstance(child, Documented) and not child.name.startswith("_"):
            yield from public(child, f"{name}.{child.name}")


def undocumented(source: str, name: str) -> tuple[int, list[str]]:
    """How much of a module is public, and what of that has no docstring."""
    found = dict(public(ast.parse(source), name))
    return len(found), [one for one, node in found.items() if not (ast.get_docstring(node) or "").strip()]


def test_everything_public_is_documented() -> None:
    paths = modules("backtest") + modules("strategies")
    counted = [undocumented(path.read_text(), dotted(path)) for path in paths]
    total, missing = sum(count for count, _ in counted), [name for _, names in counted for name in names]
    assert total > 700
    assert missing == [], f"{1 - len(missing) / total:.1%} of {total} public names have a docstring"


def test_a_missing_docstring_would_be_seen() -> None:
    source = '"""M."""\nclass A:\n    """A."""\n    def seen(self): ...\n    def _own(self): ...\ndef bare(): ...\n'
    assert undocumented(source, "m") == (4, ["m.A.seen", "m.bare"])


def test_all_names_are_public_and_load_from_where_they_are_defined() -> None:
    stub = ast.parse((ROOT / "backtest" / "__init__.pyi").read_text())
    home = {
        alias.name: f"backtest.{node.module}"
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert len(home) > 70
    assert set(backtest.__all__) == set(home)
    for name, module in home.items():
        assert getattr(backtest, name).__module__ == module
    with pytest.raises(AttributeError, match="nothing"):
        _ = backtest.nothing


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("backtest", ("numpy", "pandas", "numba", "pydantic", "typer")),
        ("backtest.cli", ("numpy", "pandas", "numba", "pydantic", "rich", "ccxt", "matplotlib", "vectorbt")),
        ("backtest.request.calendars", ("numpy", "pandas", "pydantic", "typer")),
        # A study compiles nothing: it is made and shown without the kernel.
        ("backtest.study.study", ("numba", "scipy.stats", "matplotlib")),
        ("backtest.report.study_tables", ("numba", "scipy.stats", "matplotlib")),
    ],
)
def test_importing_loads_nothing_heavy(module: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


FLAG = re.compile(r"(?<![\w-])--?[a-z][a-z-]*(?= |$|[=,;:)`])")
"""What reads as an option in running text."""
ABOUT_SHELLS = {"backtest/testing.py", "backtest/acceptance/__init__.py"}
"""Modules that speak of whole commands."""


def sentences(path: Path) -> list[str]:
    """Every text of a module with a blank in it, the parts of an f-string joined, docstrings left out."""
    tree = ast.parse(path.read_text())
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "0" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner | told:
            found.append(node.value)
    # A whole command is written as it is typed.
    return [re.sub(r"backtest [a-z][^,:;)`]*", "", text) for text in found if " " in text and "<" not in text]


@pytest.mark.parametrize(
    "path", [one for one in modules("backtest") if "cli" not in one.parts], ids=lambda path: str(path.relative_to(ROOT))
)
def test_messages_below_the_command_line_name_settings_not_options(path: Path) -> None:
    if str(path.relative_to(ROOT)) in ABOUT_SHELLS or "figures" in path.parts:
        return
    assert [text for text in sentences(path) if FLAG.search(text)] == []


def test_an_option_in_a_message_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text('x = "say why"\nraise ValueError(f"{x}: choose another with --out")\n')
    assert [text for text in sentences(tmp_path / "planted.py") if FLAG.search(text)] == [
        "0: choose another with --out"
    ]


def test_warnings_are_errors() -> None:
    import warnings

    with pytest.raises(UserWarning, match="canary"):
        warnings.warn("canary", stacklevel=1)


def test_each_class_has_a_name_of_its_own() -> None:
    """A type says whose it is: one name, one thing, across all rooms."""
    homes: dict[str, list[str]] = {}
    for path in modules("backtest"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(dotted(path))
    assert len(homes) > 200
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}
