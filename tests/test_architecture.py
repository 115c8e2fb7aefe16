"""The house stands as it was drawn: imports run one way, data holds no code, the public surface is what it says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import backtest

ROOT = Path(__file__).parents[1]
LEVEL = {
    "errors": 0,
    "config": 1,
    "market": 2,
    "catalysts": 2,
    "signals": 3,
    "engine": 4,
    "study": 5,
    "scoring": 6,
    "baseline": 7,
    "report": 8,
    "testing": 9,
    "cli": 9,
}
STRATEGY_MAY_IMPORT = {"signals", "market", "catalysts", "config"}
MOST_LINES = 450


def modules(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


def imported(path: Path) -> set[str]:
    """Dotted names of every import in a module, those inside functions too; imports for type checking are left out."""
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def room(dotted: str) -> str | None:
    parts = dotted.split(".")
    return parts[1] if parts[0] == "backtest" and len(parts) > 1 else None


@pytest.mark.parametrize("path", modules("backtest"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    own = path.relative_to(ROOT / "backtest").with_suffix("").parts[0]
    if own in ("__init__", "__main__"):
        return
    assert own in LEVEL, f"{own} has no place in the drawing: give it a level"
    for name in imported(path):
        assert not name.startswith("datasets")
        assert not name.startswith("strategies") or own == "cli", f"only cli imports strategies, not {path}"
        other = room(name)
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


def test_datasets_hold_data_only() -> None:
    assert not list((ROOT / "datasets").rglob("*.py"))
    assert (ROOT / "datasets" / "README.md").is_file()


@pytest.mark.parametrize(
    "path", modules("backtest") + modules("strategies"), ids=lambda path: str(path.relative_to(ROOT))
)
def test_modules_are_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_all_names_are_public_sorted_and_load() -> None:
    assert backtest.__all__ == sorted(backtest.__all__)
    assert set(backtest._HOME) == set(backtest.__all__)
    for name in backtest.__all__:
        assert getattr(backtest, name).__module__ == backtest._HOME[name]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = backtest.nothing


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("numpy", "pandas", "numba", "pydantic", "typer")
    code = f"import sys, backtest; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_warnings_are_errors() -> None:
    import warnings

    with pytest.raises(UserWarning, match="canary"):
        warnings.warn("canary", stacklevel=1)
