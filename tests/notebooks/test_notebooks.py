"""Every notebook runs as it stands, offline and without a warning, and is committed without what it printed."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import backtest
from backtest.report import figures

if TYPE_CHECKING:
    import nbformat

ROOT = Path(__file__).parents[2]
EXECUTE = Path(__file__).with_name("execute.py")
BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_LINES = 15
LIBRARIES = {"numpy", "pandas"}
PUBLIC = {"backtest": set(backtest.__all__), "backtest.report": {"figures"}, "backtest.strategies": {"REGISTRY"}}
# The kernel's own farewell is not the notebook's fault.
WARNINGS = "error,ignore::PendingDeprecationWarning:ipykernel.kernelbase"
each = pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)


def read(path: Path) -> nbformat.NotebookNode:
    import nbformat  # four seconds: only in the process that runs these tests

    return nbformat.read(path, as_version=4)


def code_of(book: nbformat.NotebookNode) -> list[str]:
    """Source of each code cell, without the lines that are not Python."""
    cells = [cell.source for cell in book.cells if cell.cell_type == "code"]
    return ["\n".join(line for line in source.splitlines() if not line.startswith("%")) for source in cells]


@dataclass(frozen=True, slots=True)
class Executed:
    """A notebook with its outputs, and what went wrong: nothing where all is well."""

    book: nbformat.NotebookNode
    problem: str


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Executed]:
    """Every notebook, run two at a time; `canary` only warns, `phone` calls home."""
    import nbformat

    folder = tmp_path_factory.mktemp("books")
    books = {path.stem: path for path in BOOKS}
    for name, source in (("canary", "import warnings; warnings.warn('sung')"),
                         ("phone", "socket.create_connection(('192.0.2.1', 80), 1)")):  # fmt: skip
        books[name] = folder / f"{name}-as-written.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), books[name])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": WARNINGS, "BACKTEST_QUIET": "1"}

    targets = {name: folder / f"{name}.ipynb" for name in books}
    jobs = [(str(path), str(targets[name]), str(tmp_path_factory.mktemp(name))) for name, path in books.items()]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(EXECUTE)],
        env=environment, input=json.dumps(jobs), capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    problems = json.loads(done.stdout)
    return {name: Executed(read(targets[name]), problem) for name, problem in zip(books, problems, strict=True)}


def test_there_are_some() -> None:
    assert [path.stem[:2] for path in BOOKS[:4]] == ["01", "02", "03", "04"]


@each
def test_it_runs(path: Path, executed: dict[str, Executed]) -> None:
    assert executed[path.stem].problem == ""
    book = executed[path.stem].book
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.output_type == "stream"] == []
    shown = [output.data for output in outputs if "data" in output]
    assert sum("image/png" in data for data in shown) >= 2
    reprs = "".join(data.get("text/html", "") for data in shown)
    assert ("RECONSTRUCTED" in reprs) == ("privacy-2025-sample" in "".join(code_of(book)))
    # What a record says in plain text is a line, never its arrays.
    assert all(len(data["text/plain"]) < 400 for data in shown if "<b>" in data.get("text/html", ""))


def test_a_warning_or_a_connection_would_be_seen(executed: dict[str, Executed]) -> None:
    assert re.search(r"UserWarning\S*: sung", executed["canary"].problem)
    assert "a notebook tried to reach ('192.0.2.1', 80)" in executed["phone"].problem


@each
def test_it_is_committed_without_outputs(path: Path) -> None:
    import nbformat

    book = read(path)
    assert (book.nbformat, book.nbformat_minor) == (4, 5)
    nbformat.validate(book)
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert set(book.metadata.language_info) == {"name"}
    ids = [cell.id for cell in book.cells]
    assert ids == [f"{path.stem[:2]}-{number:02d}" for number in range(1, len(ids) + 1)]
    for cell in book.cells:
        assert cell.metadata == {}
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
            assert 0 < len(cell.source.splitlines()) <= MOST_LINES


@each
def test_it_uses_the_public_names_only(path: Path) -> None:
    sources = code_of(read(path))
    imported = 0
    for source in sources:
        assert re.search(r"\._\w", source) is None
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
                assert all(name in LIBRARIES or name.split(".")[0] in sys.stdlib_module_names for name in names)
            elif isinstance(node, ast.ImportFrom):
                names, home = {alias.name for alias in node.names}, node.module or ""
                assert home in PUBLIC or home.split(".")[0] in sys.stdlib_module_names
                assert names <= PUBLIC.get(home, names)
                imported += home == "backtest"
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "figures":
                assert node.attr in figures.__all__
    assert imported
