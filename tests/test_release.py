"""What strangers install: one version, a hash for every pin, actions by commit, nothing copyleft, old names warn."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
import warnings
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import backtest
from backtest.base.deprecation import RenamedAttribute, warn_deprecated
from tools.lock import DEVELOPMENT, LOCK, pins
from tools.release import main as release
from tools.release import write_parts

ROOT = Path(__file__).parents[1]
WORKFLOWS = (ROOT / "action.yml", *sorted((ROOT / ".github" / "workflows").glob("*.yml")))
COPYLEFT = re.compile(r"\b(?:A?GPL|GNU (?:Affero )?General Public)")
ACTIONS = {
    "actions/checkout": ("11bd71901bbe5b1630ceea73d27597364c9af683", "v4.2.2"),
    "actions/setup-python": ("a26af69be951a213d495a4c3e4e4022e16d87065", "v5.6.0"),
    "actions/upload-artifact": ("ea165f8d65b6e75b540449e92b4886f43607fa02", "v4.6.2"),
    "actions/download-artifact": ("d3f86a106a0bac45b974a628896c90dbdf5c8093", "v4.3.0"),
    "actions/attest-build-provenance": ("e8998f949152b193b063cb0ec769d69d929409be", "v2.4.0"),
    "actions/attest-sbom": ("bd218ad0dbcb3e146bd073d1d9c6d78e08aa8a0b", "v2.4.0"),
    "pypa/gh-action-pypi-publish": ("ed0c53931b1dc9bd32cbe73a98c7f6766f8a527e", "v1.13.0"),
}
"""The commit of each release, as other projects pin it too. For another one ask `git ls-remote --tags`."""
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def test_the_version_is_the_same_wherever_it_is_said() -> None:
    version = backtest.__version__
    said = {
        "CITATION.cff": yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"],
        "meta.yaml": re.findall(r'set version = "(.*?)"', (ROOT / "packaging" / "meta.yaml").read_text())[0],
        "Dockerfile": re.findall(r"^ARG VERSION=(.*)$", (ROOT / "Dockerfile").read_text(), re.M)[0],
        "CHANGELOG.md": re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)[0],
        "docs/upgrading.md": re.findall(r"^# Upgrade to (\S+)", (ROOT / "docs" / "upgrading.md").read_text())[0],
    }
    assert said == dict.fromkeys(said, version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "backtest/__init__.py"


def test_a_tag_of_another_version_is_refused() -> None:
    with pytest.raises(SystemExit, match=rf"tag 'v9\.9\.9' is not v{re.escape(backtest.__version__)}: set __version__"):
        release(["v9.9.9"])


@pytest.mark.parametrize("lock", [LOCK, DEVELOPMENT], ids=lambda path: path.name)
def test_every_pin_has_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    found = pins(text)
    assert len(found) > 60
    for name, block in found.items():
        assert re.fullmatch(r"[\w.-]+(?:\[[\w,-]+\])?==[\w.!+]+(?: ; .+)?", name), name
        assert HASH.search(block), f"{name} has no hash"
        assert HASH.sub("", block.removeprefix(name)).strip(" \\\n") == "", name
    # Not one line that is neither comment, pin nor the lock it builds on: no address, no option of an index.
    rest = text
    for block in found.values():
        rest = rest.replace(block + "\n", "", 1)
    lines = [line for line in rest.splitlines() if not line.startswith("#")]
    assert lines == (["--requirement requirements.lock"] if lock == DEVELOPMENT else [])
    assert not re.search(r"https?:|file:|ssh:| @ ", text)


def locked(path: Path) -> set[str]:
    return {canonicalize_name(re.split(r"[\[=]", name)[0]) for name in pins(path.read_text())}


def test_the_locks_hold_what_is_declared_and_a_run_takes_no_tools() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    run, development = locked(LOCK), locked(DEVELOPMENT)

    def named(requirements: list[str]) -> set[str]:
        return {canonicalize_name(Requirement(one).name) for one in requirements}

    extras = project["project"]["optional-dependencies"]
    assert named(project["project"]["dependencies"]) | named(project["build-system"]["requires"]) <= run
    assert named(extras["dev"]) | named(extras["docs"]) | named(extras["cluster"]) <= run | development
    assert not {"pytest", "backtesting", "ruff", "mypy", "mkdocs", "twine", "distributed", "statsmodels"} & run - {
        "statsmodels"  # arch computes with it
    }
    for name, block in {**pins(LOCK.read_text()), **pins(DEVELOPMENT.read_text())}.items():
        for one in (*project["project"]["dependencies"], *extras["dev"], *extras["docs"]):
            wanted, pinned = Requirement(one), Requirement(name)
            if canonicalize_name(wanted.name) == canonicalize_name(pinned.name):
                assert wanted.specifier.contains(block.partition("==")[2].split()[0]), (name, one)


def licence(name: str) -> str:
    metadata = importlib.metadata.metadata(name)
    classifiers = [one for one in metadata.get_all("Classifier") or [] if one.startswith("License ::")]
    return " | ".join([metadata.get("License-Expression") or "", (metadata.get("License") or "")[:200], *classifiers])


def test_what_a_run_installs_is_not_copyleft() -> None:
    here = {canonicalize_name(one.metadata["Name"]) for one in importlib.metadata.distributions()}
    looked_at = sorted(locked(LOCK) & here)
    assert len(looked_at) > 80
    assert {name: licence(name) for name in looked_at if COPYLEFT.search(licence(name))} == {}
    assert COPYLEFT.search(licence("backtesting"))


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "docs" / "baselines.md"], ids=lambda path: path.name)
def test_every_action_is_pinned_by_commit(path: Path) -> None:
    used = re.findall(r"^\s*-? ?uses: (\S+)(.*)$", path.read_text(), flags=re.M)
    assert used
    for action, comment in used:
        if action == "OWNER/REPOSITORY@COMMIT":
            continue
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", action), action
        name, _, commit = action.partition("@")
        assert (commit, comment) == (ACTIONS[name][0], f"  # {ACTIONS[name][1]}"), f"{action} is not that release"


def test_the_action_never_imports_from_the_repository_it_checks() -> None:
    steps = yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    started = re.findall(r"\bpython3?\b(?! -P )", "\n".join(step.get("run", "") for step in steps))
    assert started == []
    assert "--require-hashes" in steps[1]["run"]


def test_only_the_jobs_that_sign_may_and_they_run_nothing_of_ours() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    assert set(jobs) == {"build", "sign", "publish"}
    for name, job in jobs.items():
        signs = job.get("permissions", {}).get("id-token") == "write"
        assert signs == (name != "build"), name
        runs = [step["run"] for step in job["steps"] if "run" in step]
        assert not (signs and runs), f"{name} may sign and runs {runs}"
        assert "secrets." not in str(job)
    assert jobs["sign"]["permissions"] == {"id-token": "write", "attestations": "write"}
    assert jobs["publish"]["if"] == "vars.PUBLISH == 'true'"
    assert jobs["publish"]["environment"] == "pypi"


def test_nothing_is_installed_without_its_hash() -> None:
    made = (ROOT / "Makefile").read_text() + (ROOT / "Dockerfile").read_text()
    installs = [line for line in made.splitlines() if "pip install --no" in line or line.strip().startswith("$(PIP)")]
    assert len(installs) == 5
    for line in installs:
        assert "--require-hashes --requirement requirements" in line or "--no-deps --no-build-isolation" in line, line


def test_the_image_runs_as_a_user_on_a_named_base() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    bases = [line for line in lines if line.startswith("FROM ")]
    assert bases
    assert all(re.match(r"FROM [\w/]+:[\w.-]+(?: AS \w+)?$", line) and ":latest" not in line for line in bases)
    last = lines[max(at for at, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert [line for line in last if line.startswith("USER ")] == ["USER backtest"]
    assert not any(line.startswith("ADD ") or "sudo" in line for line in lines)


def test_the_list_of_parts_names_every_package_with_its_hashes(tmp_path: Path) -> None:
    written = write_parts(tmp_path / "sbom.cdx.json")
    parts = written["components"]
    assert isinstance(parts, list)
    assert {canonicalize_name(one["name"]) for one in parts} == locked(LOCK)
    assert all(one["externalReferences"][0]["hashes"] for one in parts)
    assert f"'version': '{backtest.__version__}'" in str(written["metadata"])


class Renamed:
    new = 7
    old = RenamedAttribute("new", gone_in="99.0")


def test_an_old_name_reads_the_new_one_and_warns_where_it_is_written() -> None:
    sentence = r"Renamed\.old is deprecated and goes away in 99\.0: write Renamed\.new"
    with pytest.warns(DeprecationWarning, match=sentence) as seen:
        assert Renamed().old == 7
    assert seen[0].filename == __file__
    with pytest.warns(DeprecationWarning, match=r"one is deprecated and goes away in 99\.0: write two"):
        warn_deprecated("one", "two", "99.0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(Renamed.old, RenamedAttribute)


def test_no_old_name_outlives_the_version_it_goes_away_in() -> None:
    """A name stays for one minor release: the next one deletes it, or this fails."""
    version, found = Version(backtest.__version__), []
    for path in (ROOT / "backtest").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            for word in getattr(node, "keywords", []) if isinstance(node, ast.Call) else []:
                if word.arg == "gone_in" and isinstance(word.value, ast.Constant):
                    found.append((path.name, word.value.value))
    assert found
    assert [(name, gone) for name, gone in found if Version(gone) <= version] == []


def test_the_cost_table_of_a_run_is_still_read_under_its_old_name() -> None:
    from backtest.engine.run import Run

    old = vars(Run)["ledger"]
    assert isinstance(old, RenamedAttribute)
    assert old.instead == "costs"
    assert hasattr(Run, "costs")
