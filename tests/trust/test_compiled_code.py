"""Compiled code is what the source says now: an edit of a called function, broken files, no room."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher

import backtest.engine.compiling as compiling

INNER = "from fake.engine.compiling import inlined\n\n\n@inlined\ndef fee(value):\n    return value * {factor}\n"
OUTER = """from fake.engine.compiling import compiled
from fake.engine.inner import fee


@compiled
def cost(value):
    return fee(value) + 0.0


print(cost(2.0), len(cost._cache_hits))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small engine of two files with our own way of compiling: `cost` of the outer calls `fee` of the inner."""
    engine = tmp_path / "fake" / "engine"
    engine.mkdir(parents=True)
    (tmp_path / "fake" / "__init__.py").touch()
    (engine / "__init__.py").touch()
    shutil.copy2(compiling.__file__, engine / "compiling.py")
    (engine / "inner.py").write_text(INNER.format(factor="1.0"))
    (engine / "outer.py").write_text(OUTER.replace("len(cost._cache_hits)", "sum(cost.stats.cache_hits.values())"))
    return engine


def run(package: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a new process prints: the cost of 2 and how many functions it took from the cache."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
    return subprocess.run(
        [sys.executable, "-m", "fake.engine.outer"],
        cwd=package.parents[1],
        env={**kept, "XDG_CACHE_HOME": str(package.parents[1] / "cache"), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )


def test_one_of_several_processes_compiles_and_the_others_take_what_it_made(package: Path) -> None:
    slow = """
import time
from numba.core.event import Listener, register


class Slow(Listener):
    def on_start(self, event):
        time.sleep(4)

    def on_end(self, event):
        pass


register("numba:compile", Slow())
"""
    outer = package / "outer.py"
    outer.write_text(outer.read_text().replace("\n\n\n@compiled", f"\n{slow}\n\n@compiled"))
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda _: run(package).stdout.split(), range(4)))
    assert sorted(ends) == [["2.0", "0"], *[["2.0", "1"]] * 3]


def test_an_edit_of_a_called_function_compiles_its_callers_anew(package: Path) -> None:
    assert run(package).stdout.split() == ["2.0", "0"]
    (package / "inner.py").write_text(INNER.format(factor="400."))
    assert run(package).stdout.split() == ["800.0", "0"], "the fee was multiplied, and the old code went on"
    (package / "inner.py").write_text(INNER.format(factor="1.0"))
    assert run(package).stdout.split() == ["2.0", "1"], "the first version is still kept beside the second"


def test_one_folder_serves_every_checkout_of_the_same_source(package: Path, tmp_path: Path) -> None:
    folder = {"NUMBA_CACHE_DIR": str(tmp_path / "shared")}
    assert run(package, **folder).stdout.split()[1] == "0"
    other = tmp_path / "other"
    shutil.copytree(package.parent, other / "fake", ignore=shutil.ignore_patterns("__pycache__"))
    assert run(other / "fake" / "engine", **folder).stdout.split() == ["2.0", "1"]


def test_a_broken_file_of_the_cache_is_written_anew(package: Path) -> None:
    run(package)
    files = sorted(path for path in package.glob("__pycache__/kernel-*/*") if path.suffix != ".lock")
    assert len(files) == 1
    for path in files:
        whole = path.read_bytes()
        flipped = bytes([*whole[:-500], whole[-500] ^ 4, *whole[-499:]])
        for content in (whole[:-40], flipped):
            path.write_bytes(content)
            done = run(package)
            assert done.stdout.split()[0] == "2.0"
            assert done.stdout.split()[1] == "0"
            assert done.stderr == ""
            assert path.read_bytes()[:32] != content[:32] or path.read_bytes() == whole


def test_where_no_folder_can_be_written_the_kernel_runs_and_says_which_variable_helps(package: Path) -> None:
    # A file in the place of a folder stops every user, the superuser too.
    shutil.rmtree(package / "__pycache__", ignore_errors=True)
    (package / "__pycache__").touch()
    (package.parents[1] / "cache").touch()
    done = run(package, PYTHONDONTWRITEBYTECODE="1")
    assert done.stdout.split() == ["2.0", "0"]
    assert len(done.stderr.splitlines()) == 1
    assert "the compiled kernel cannot be kept" in done.stderr
    assert "by NUMBA_CACHE_DIR" in done.stderr


def test_old_versions_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(12):
        folder = tmp_path / f"kernel-{number:024d}"
        compiling._make_room(folder)
        os.utime(folder, (number, number))
    assert len(list(tmp_path.iterdir())) == compiling.KEPT
    assert (tmp_path / f"kernel-{11:024d}").is_dir()


ENGINE = Path(compiling.__file__).parent


def imported(path: Path) -> set[str]:
    """Modules of this project that a file imports anywhere, as Python parses it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            found |= {str(node.module), *(f"{node.module}.{one.name}" for one in node.names)}
    return {name for name in found if name.startswith("backtest.")}


def test_the_key_covers_all_that_compiled_code_is_made_of_and_no_more() -> None:
    covered = {path.stem for path in compiling.sources(ENGINE)}
    dispatched = {
        function.py_func.__module__.rpartition(".")[2]
        for name in sorted(path.stem for path in ENGINE.glob("*.py") if path.stem != "__init__")
        for function in vars(importlib.import_module(f"backtest.engine.{name}")).values()
        if isinstance(function, Dispatcher)
    }
    assert len(dispatched) > 8
    assert dispatched <= covered
    for name in covered:
        # A constant of another room would be frozen into the code too.
        rooms = {one for one in imported(ENGINE / f"{name}.py") if not one.startswith("backtest.engine")}
        assert rooms <= {"backtest.base.locks", "backtest.base.locks.locked"}, name  # it waits, and is not compiled
        inside = {one.split(".")[2] for one in imported(ENGINE / f"{name}.py") if one.count(".") >= 2}
        assert {one for one in inside if (ENGINE / f"{one}.py").is_file()} <= covered, name
    assert "why" not in covered, "an edit of what is not compiled would compile the kernel anew"


def test_a_constant_of_a_module_without_compiled_functions_is_in_the_key(package: Path) -> None:
    (package / "rates.py").write_text("RATE = 1.0\n")
    for form in (
        "from fake.engine.rates import RATE\n",
        "from fake.engine import (\n    rates,\n)\nRATE = rates.RATE\n",
    ):
        (package / "inner.py").write_text(form + INNER.format(factor="RATE"))
        assert "rates" in {path.stem for path in compiling.sources(package)}


def test_kept_code_runs_before_numba_knows_what_can_be_compiled(package: Path) -> None:
    told = "\nimport sys\nprint('numba.np.npyimpl' in sys.modules)\n"
    (package / "outer.py").write_text((package / "outer.py").read_text() + told)
    assert run(package).stdout.split() == ["2.0", "0", "True"]
    assert run(package).stdout.split() == ["2.0", "1", "False"]


def test_every_file_of_the_key_and_the_processor_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def now() -> str:
        compiling.identity.cache_clear()
        return compiling.identity()

    first = now()
    read = Path.read_bytes
    files = compiling.sources(ENGINE)
    assert len(files) > 8
    for file in files:
        with monkeypatch.context() as planted:
            planted.setattr(Path, "read_bytes", lambda path, file=file: read(path) + b"#" * (path == file))
            assert now() != first, file
    for name in ("CPU_NAME", "OPT", "BOUNDSCHECK"):
        with monkeypatch.context() as planted:
            planted.setattr(compiling.config, name, "planted")
            assert now() != first, name
    with monkeypatch.context() as planted:
        planted.setattr(compiling.numba, "__version__", "0.0")
        assert now() != first
    assert now() == first
