"""The page on threats names, in each row, tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| who gives it")]


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_there_are_rows() -> None:
    assert len(ROWS) >= 15


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_each_row_names_a_test_that_is_there(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 4
    assert all(cells)
    named = re.fullmatch(r"`(tests/[a-z_/]+\.py)(?:::(test_[a-z0-9_]+))?`", cells[3])
    assert named, cells[3]
    found = names_in(ROOT / named[1])
    assert found
    assert named[2] is None or named[2] in found


def test_every_module_of_attacks_has_a_row() -> None:
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        assert path.name == Path(__file__).name or f"tests/trust/{path.name}" in PAGE, path.name


def test_the_page_is_in_the_navigation() -> None:
    assert "threat-model.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
