"""The wheel without its checkout: what is in it, that it runs, and what it leaves behind."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.wheel.conftest import ROOT, Installed

PROJECT = "privacy_event_backtest"
ACCEPTANCE = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "backtest.acceptance")
ABSOLUTE = re.compile(rb"(?<![\w.$}/)-])/(?:home|work|root|Users|tmp|builds?|mnt|opt|srv)/[\w.-]+")


@pytest.fixture(scope="module")
def members(installed: Installed) -> dict[str, bytes]:
    with zipfile.ZipFile(installed.wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_of(folder: str) -> set[str]:
    """Files of the checkout that belong to it, by path."""
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.is_file()}
    return {name for name in found if "__pycache__" not in name and not name.endswith((".part", ".pyc"))}


def test_the_wheel_holds_the_package_its_data_and_nothing_else(members: dict[str, bytes]) -> None:
    expected = files_of("backtest") | {f"backtest/{name}" for name in files_of("strategies")}
    expected |= {f"backtest/_datasets/{PurePosixPath(name).relative_to('datasets')}" for name in files_of("datasets")}
    held = {name for name in members if not name.startswith(f"{PROJECT}-")}
    assert held == expected
    for needed in (
        "backtest/_datasets/privacy-2025-sample/bars.parquet",
        "backtest/_datasets/catalysts/privacy-2025.toml",
        "backtest/_datasets/claims/privacy-2025.toml",
        "backtest/_datasets/recipes/privacy-2025.toml",
        "backtest/acceptance/test_acceptance.py",
        "backtest/py.typed",
        "backtest/report/html/page.html",
        "backtest/base/schemas/run-1.schema.json",
        "backtest/strategies/catalyst_momentum.py",
    ):
        assert needed in held
    about = {name.partition("/")[2] for name in members if name.startswith(f"{PROJECT}-")}
    assert about == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def test_nothing_in_it_names_a_place_on_the_machine_that_built_it(members: dict[str, bytes]) -> None:
    assert ABSOLUTE.search(b"read /home/someone/data")
    assert not ABSOLUTE.search(b"https://host/opt/data and a/tmp/x")
    for name, content in members.items():
        if not name.endswith(".parquet"):
            assert not ABSOLUTE.search(content), (name, ABSOLUTE.search(content))
        assert str(ROOT).encode() not in content, name


def test_the_sdist_holds_all_that_the_tests_and_a_build_need(installed: Installed) -> None:
    with tarfile.open(installed.sdist) as archive:
        held = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    for folder in ("backtest", "strategies", "datasets", "tests", "benchmarks", "docs", "notebooks", ".ci", ".github"):
        assert files_of(folder) <= held, folder
    assert {"pyproject.toml", "requirements.lock", "requirements-dev.lock", "SECURITY.md", "CITATION.cff"} <= held
    assert {
        "packaging/meta.yaml",
        "Dockerfile",
        "mkdocs.yml",
        "action.yml",
        "Makefile",
        "README.md",
        "LICENSE",
        "PKG-INFO",
    } <= held
    assert not [name for name in held if "__pycache__" in name or name.startswith((".venv", ".git/", "runs/"))]


def test_an_index_would_show_its_description(installed: Installed) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", installed.wheel, installed.sdist],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASSED") == 2


def test_the_package_is_the_installed_one_and_the_checkout_is_out_of_sight(
    installed: Installed, tmp_path: Path
) -> None:
    code = (
        "import backtest, json, backtest.strategies as s, sys; "
        "print(json.dumps([backtest.__file__, s.__file__, sys.path]))"
    )
    done = installed(["python", "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    package, strategies, path = json.loads(done.stdout)
    assert Path(package) == installed.packages / "backtest" / "__init__.py"
    assert Path(strategies) == installed.packages / "backtest" / "strategies" / "__init__.py"
    assert str(ROOT) not in path
    assert len(path) > 3


def test_the_verbs_run_and_leave_the_home_empty(installed: Installed, tmp_path: Path) -> None:
    assert "trust_relaunch" in installed(["backtest", "events", "list"], tmp_path, COLUMNS="120").stdout
    done = installed(["backtest", "run", "--placebo", "500", "--bootstrap", "200"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("RECONSTRUCTED: ")
    assert "catalyst_momentum" in done.stdout
    record = installed(["backtest", "baseline", "record", "-s", "catalyst_momentum", "--placebo", "100"], tmp_path)
    assert record.returncode == 0, record.stderr
    check = installed(["backtest", "baseline", "check"], tmp_path)
    assert check.returncode == 0, check.stdout + check.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backtest-ledger.sqlite", "baselines", "runs"]
    assert_home_is_clean(installed.home)


def assert_home_is_clean(home: Path) -> None:
    """All that may be in it is the list of fonts that matplotlib makes when arch, which bootstraps, imports it."""
    left = {path.relative_to(home) for path in home.rglob("*") if path.is_file()}
    assert all(path.parts[:2] == (".cache", "matplotlib") for path in left), left
    assert {path.name for path in home.iterdir()} <= {".cache", ".config"}


def test_the_tests_that_come_with_it_pass(installed: Installed, tmp_path: Path) -> None:
    done = installed(ACCEPTANCE, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 20
    assert list(tmp_path.iterdir()) == []
    assert_home_is_clean(installed.home)


def test_the_tests_that_come_with_it_can_fail(installed: Installed, tmp_path: Path) -> None:
    """On a copy of the package whose fee is a hundredth of a basis point higher, the trade is another one."""
    shutil.copytree(installed.packages / "backtest", tmp_path / "copy" / "backtest")
    costs = tmp_path / "copy" / "backtest" / "engine" / "costs.py"
    text = costs.read_text()
    assert text.count("return Rules(") == 1
    costs.write_text(text.replace("return Rules(", 'derived["fee_rate"] = config.fee_rate + 1e-6\n    return Rules('))
    done = installed([*ACCEPTANCE, "-k", "by_hand"], tmp_path, PYTHONPATH=str(tmp_path / "copy"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "fees" in done.stdout
