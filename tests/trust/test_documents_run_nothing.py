"""A document runs no code: a strategy file that one names is executed only where the same command names it by hand."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backtest.base.errors import UsageError
from backtest.cli import app

EVIL = """
import pathlib

from backtest.signals.strategy import Intents, Parameters, Strategy

pathlib.Path({marker!r}).write_text("executed")


class Evil(Strategy[Parameters]):
    \"\"\"Does nothing, once it was read.\"\"\"

    name = "evil"
    hypothesis = "None."
    parameters_type = Parameters

    def decide(self, market, calendar):
        return Intents(())
"""


def fails(*arguments: str | Path) -> str:
    """The sentence of a refused command, or all it printed."""
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    assert done.exit_code != 0, done.output
    return str(done.exception) if isinstance(done.exception, UsageError) else done.output


class Planted:
    """A project with the attacker's file in one of the places that a document may point to."""

    def __init__(self, root: Path, place: str) -> None:
        self.root, self.marker = root, root / "marker"
        self.home = root / "home"
        self.unpacked = self.home / "x"
        (self.unpacked / "run").mkdir(parents=True)
        file = {
            "beside": self.unpacked / "run" / "evil.py",
            "above": self.unpacked / "evil.py",
            "project": self.home / "strategies" / "evil.py",
            "away": root / "away" / "evil.py",
            "link": root / "away" / "evil.py",
        }[place]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(EVIL.format(marker=str(self.marker)))
        self.file = file
        self.name = os.path.relpath(file, self.home)
        if place == "link":
            (self.home / "mine.py").symlink_to(file)
            self.name = "mine.py"


PLACES = ("beside", "above", "project", "away", "link")


@pytest.fixture(params=PLACES)
def planted(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    place = Planted(tmp_path, request.param)
    monkeypatch.chdir(place.home)
    return place


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """run.json and a baseline of an honest strategy."""
    root = tmp_path_factory.mktemp("honest")
    quick = ("-s", "buy_and_hold", "--placebo", "0")
    for words in (
        ("run", *quick, "--bootstrap", "0", "--out", str(root / "run")),
        ("baseline", "record", *quick, "--folder", str(root / "baselines")),
    ):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    (file,) = (root / "baselines").rglob("*.json")
    return json.loads((root / "run" / "run.json").read_text()), json.loads(file.read_text())


def by_request(document: Any, name: str) -> Any:
    document = json.loads(json.dumps(document))
    document["request"]["strategies"] = [name]
    return document


def by_the_names_of_what_ran(document: Any, name: str) -> Any:
    """The request names none, so that the report takes them from the strategies that ran."""
    document = json.loads(json.dumps(document))
    document["request"]["strategies"] = []
    document["strategies"][0]["name"] = name
    return document


@pytest.mark.parametrize("plant", [by_request, by_the_names_of_what_ran])
@pytest.mark.parametrize("reference", ["{}:Evil", "{}"])
def test_a_report_runs_nothing(
    planted: Planted, documents: tuple[Any, Any], plant: Callable[[Any, str], Any], reference: str
) -> None:
    document = plant(documents[0], reference.format(planted.name))
    (planted.unpacked / "run" / "run.json").write_text(json.dumps(document))
    said = fails("report", "x/run", "--draws", "1")
    assert not planted.marker.exists()
    assert "a document runs no code" in said
    assert hashlib.sha256(planted.file.read_bytes()).hexdigest() in said


def test_a_baseline_check_runs_nothing(planted: Planted, documents: tuple[Any, Any]) -> None:
    (planted.unpacked / "b.json").write_text(json.dumps(by_request(documents[1], f"{planted.name}:Evil")))
    assert "a document runs no code" in " ".join(fails("baseline", "check", "x/b.json").split())
    assert not planted.marker.exists()


@pytest.mark.parametrize("verb", ["sweep", "walkforward"])
def test_the_file_of_a_search_runs_nothing(planted: Planted, verb: str) -> None:
    table = f'strategy = "{planted.name}:Evil"\n[parameters]\nhold = "24h,48h"\n'
    (planted.unpacked / "space.toml").write_text(table)
    said = fails(verb, "--space", "x/space.toml")
    assert not planted.marker.exists()
    assert "add `strategy " in said


@pytest.mark.parametrize("typed", ["file", "folder"])
def test_what_is_typed_runs_and_its_hash_is_shown(planted: Planted, documents: tuple[Any, Any], typed: str) -> None:
    (planted.unpacked / "b.json").write_text(json.dumps(by_request(documents[1], f"{planted.name}:Evil")))
    path = planted.file if typed == "file" else planted.file.parent
    done = CliRunner().invoke(app, ["baseline", "check", "x/b.json", "--trust", str(path)])
    assert planted.marker.exists()
    assert hashlib.sha256(planted.file.read_bytes()).hexdigest() in "".join(done.output.split())


def test_trust_of_one_file_is_not_trust_of_another(planted: Planted, documents: tuple[Any, Any]) -> None:
    (planted.home / "other").mkdir()
    (planted.home / "other" / "evil.py").touch()
    (planted.unpacked / "b.json").write_text(json.dumps(by_request(documents[1], f"{planted.name}:Evil")))
    for path in ("other", "other/evil.py", "oth", "x/run/evil.p"):
        fails("baseline", "check", "x/b.json", "--trust", path)
    assert not planted.marker.exists()
