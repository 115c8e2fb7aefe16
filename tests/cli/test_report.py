"""`backtest report` and `run --report`: the same page from memory and from the folder, and refusals in one sentence."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from backtest.base.errors import BacktestError, DataError, UsageError
from backtest.base.estimate import Estimate
from backtest.cli import announcing, app

RUN = ("run", "-s", "listing_momentum", "-p", "hold=48h", "--placebo", "200", "--bootstrap", "100")
MINE = """
from backtest.signals.strategy import Intent, Intents, Parameters, Strategy


class Mine(Strategy[Parameters]):
    \"\"\"Holds for a day.\"\"\"

    name = "mine"
    hypothesis = "None."
    parameters_type = Parameters

    def decide(self, market, calendar):
        hold_ms = 86_400_000
        at = int(market.open_ms[24])
        return Intents((Intent(instrument="ZEC/USDT:USDT", decided_at_ms=at, hold_ms=hold_ms),))
"""


def call(*arguments: str | Path) -> str:
    """What a call in this process says on stderr; its foreseen error is raised."""
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stderr.strip()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with the report that the run wrote."""
    folder = tmp_path_factory.mktemp("report") / "ran"
    said = call(*RUN, "--report", "--out", folder)
    assert said.splitlines() == [f"run folder: {folder}", f"report: {folder / 'report.html'}"]
    return folder


def changed(ran: Path, folder: Path, **fields: Any) -> Path:
    """A run folder whose run.json differs in some fields."""
    folder.mkdir()
    document = json.loads((ran / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(document | fields))
    return folder


def test_a_study_that_does_not_fit_is_left_out_of_the_report_with_the_reason(
    ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = announcing.estimate
    monkeypatch.setattr(
        announcing, "estimate", lambda verb, work: Estimate(1.0, 9e15) if verb == "study" else real(verb, work)
    )
    said = call("report", ran, "--out", tmp_path / "without.html").splitlines()
    reason = r"There is no event study: study of 2,616 bars x 13 coins, \d+ catalysts needs about 9000000.0 GB"
    assert re.match(reason, said[0])
    assert "fewer --draws" in said[0]
    assert said[1] == f"report: {tmp_path / 'without.html'}"
    page = (tmp_path / "without.html").read_text()
    assert re.search(reason, page)
    assert "Return and risk" in page


def test_a_report_made_later_is_the_one_that_the_run_wrote(ran: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.html"
    assert call("report", ran, "--out", out) == f"report: {out}"
    assert out.read_text() == (ran / "report.html").read_text()
    assert "<title>RECONSTRUCTED: Catalysts on privacy-2025-sample</title>" in out.read_text()


def test_the_command_in_the_report_asks_for_the_same_run(ran: Path, tmp_path: Path) -> None:
    found = re.search(r"<code><bdi>backtest (run .*?)</bdi></code>", (ran / "report.html").read_text())
    assert found
    call(*shlex.split(found[1]), "--out", tmp_path / "again")
    again, before = (json.loads((one / "run.json").read_text()) for one in (tmp_path / "again", ran))
    assert before["strategies"]
    assert again["strategies"] == before["strategies"]
    assert again["hashes"] == before["hashes"]


def test_searches_stand_beside_a_run_or_alone(tmp_path: Path) -> None:
    sweep = tmp_path / "searched"
    call("sweep", "-s", "listing_momentum", "-p", "hold=24h,48h", "-p", "stop_loss=0.05,0.2", "--placebo", "100",
         "--out", sweep)  # fmt: skip
    assert call("report", sweep) == f"report: {sweep / 'report.html'}"
    text = (sweep / "report.html").read_text()
    assert "RECONSTRUCTED" in text
    assert "Search: listing_momentum (searched)" in text
    assert "Probability of backtest overfitting" in text
    assert "searched-heat-map-1.csv" in text
    (sweep / "trials.csv").unlink()
    with pytest.raises(DataError, match=r"sweep folder .*searched cannot be read .*run the sweep again"):
        call("report", sweep)


def test_a_strategy_that_changed_since_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file, folder = tmp_path / "mine.py", tmp_path / "ran"
    file.write_text(MINE)
    call("run", "-s", f"{file}:Mine", "--placebo", "0", "--bootstrap", "0", "--out", folder)
    file.write_text(MINE.replace("86_400_000", "172_800_000"))
    with pytest.raises(UsageError, match=r"strategy 'mine' of .* has changed since: .* run it again"):
        call("report", folder, "--trust", file)


REFUSED: list[tuple[dict[str, Any], type[BacktestError], str]] = [
    ({"request": None}, UsageError, "its run.json does not say how to run it again"),
    ({"schema": "backtest.run/0"}, DataError, "is of schema 'backtest.run/0', not 'backtest.run/2'"),
    ({"schema": "backtest.run/9"}, DataError, "'backtest.run/9', which a later release wrote"),
    (
        {"hashes": dict.fromkeys(("data", "calendar", "config"), "0" * 16)},
        DataError,
        "the data of .* has changed since",
    ),
    ({"request": {"colour": "red"}}, DataError, "request has no 'dataset'"),
]


@pytest.mark.parametrize(
    ("fields", "error", "sentence"), REFUSED, ids=["walkforward", "schema", "later", "data", "request"]
)
def test_a_record_that_cannot_be_made_again_is_refused(
    ran: Path, tmp_path: Path, fields: dict[str, Any], error: type[BacktestError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        call("report", changed(ran, tmp_path / "changed", **fields))


def test_folders_that_cannot_be_reported_are_refused(ran: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds neither run\.json nor sweep\.json"):
        call("report", tmp_path)
    with pytest.raises(UsageError, match="are both run folders: report them one at a time"):
        call("report", ran, changed(ran, tmp_path / "other"))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        call("report", ran, "--out", tmp_path / "file" / "page.html")
    broken = changed(ran, tmp_path / "broken")
    (broken / "run.json").write_text("{")
    with pytest.raises(DataError, match=r"run\.json cannot be read"):
        call("report", broken)
