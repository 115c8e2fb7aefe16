"""`backtest baseline`: what it writes, what it prints, where it writes it, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from backtest.base.documents import datasets_root
from backtest.base.units import DAY_MS, TimeRange
from backtest.cli import main
from backtest.market.dataset import read_dataset, write_dataset
from backtest.strategies import REGISTRY

ROOT = Path(__file__).parents[2]
SHORT = ("--placebo", "0", "--timerange", "20251010-20251116")
MOMENTUM = Path("baselines/privacy-2025-sample/catalyst_momentum.json")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Call = Callable[..., Ended]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `backtest baseline ARGUMENTS` in an empty folder, 80 columns wide, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["backtest", "baseline", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as left:
            code = int(left.code or 0)
        said = capsys.readouterr()
        assert max(map(len, said.out.splitlines()), default=0) <= 80 or "--json" in arguments
        assert "Traceback" not in said.err
        return Ended(code, said.out, said.err)

    return run


@pytest.fixture
def recorded(call: Call) -> Path:
    """A baseline of catalyst_momentum in the folder of the test."""
    done = call("record", "-s", "catalyst_momentum", *SHORT)
    assert done.code == 0, done.err
    return MOMENTUM


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_was_recorded_passes_and_recording_again_changes_nothing(call: Call) -> None:
    done = call("record", "-s", "catalyst_momentum", "-s", "random_entry", *SHORT)
    assert "baselines/privacy-2025-sample/catalyst_momentum.json (RECONSTRUCTED): new" in done.out
    assert done.out.endswith("2 of 2 written\n")
    before = MOMENTUM.read_bytes()
    assert b"\r" not in before
    request = json.loads(before)["request"]
    assert request == {"strategies": ["catalyst_momentum"], "timerange": "20251010-20251116", "placebo": "0"}
    done = call("check")
    assert done.code == 0
    assert "passed    baselines/privacy-2025-sample/catalyst_momentum.json: 9 trades" in done.out
    assert done.out.startswith("RECONSTRUCTED: privacy-2025-sample\n")
    assert done.out.endswith("2 baselines: 2 passed\n")
    done = call("record", "-s", "catalyst_momentum", *SHORT)
    assert "catalyst_momentum.json (RECONSTRUCTED): unchanged" in done.out
    assert done.out.endswith("0 of 1 written\n")
    assert MOMENTUM.read_bytes() == before


def test_record_prints_what_changes_and_a_dry_run_writes_nothing(call: Call, recorded: Path) -> None:
    before = recorded.read_bytes()
    changed = ("record", "-s", "catalyst_momentum", *SHORT, "-p", "hold=48h", "--set", "fee_rate=0.0006")
    done = call(*changed, "--dry-run")
    assert done.code == 0
    for text in ("(RECONSTRUCTED): changed",
                 'request parameters: none -> {"hold": "48h"}', "parameter hold: 72h -> 48h",
                 "configuration fee_rate: 0.0005 -> 0.0006", "first difference, trade 1:", "before", "net_return",
                 "1 of 1 would be written"):  # fmt: skip
        assert text in done.out
    assert recorded.read_bytes() == before
    assert call(*changed).out == done.out.replace("would be written", "written")
    assert recorded.read_bytes() != before


def test_tolerances_of_the_file_are_kept_and_obeyed(call: Call, recorded: Path) -> None:
    old = json.loads(recorded.read_text())["metrics"]["sharpe"]
    edit(
        recorded, f'"sharpe": {{"value": {old["value"]}, "absolute": 1e-06', '"sharpe": {"value": 1.0, "absolute": 99.0'
    )
    assert call("check").code == 0
    assert call("record", "-s", "catalyst_momentum", *SHORT).code == 0
    assert json.loads(recorded.read_text())["metrics"]["sharpe"] == {**old, "absolute": 99.0}


def test_a_file_speaks_for_the_strategy_that_it_runs_only(call: Call, recorded: Path) -> None:
    edit(recorded, '"name": "catalyst_momentum"', '"name": "random_entry"')
    done = call("check", "--require-all")
    assert done.code == 4
    assert "the baseline is of random_entry, and its request runs catalyst_momentum" in " ".join(done.out.split())
    before = recorded.read_bytes()
    done = call("record", "-s", "catalyst_momentum", *SHORT)
    assert done.code == 2
    assert "is the baseline of 'random_entry', not of 'catalyst_momentum'" in done.err
    assert recorded.read_bytes() == before


def test_no_text_of_a_file_begins_a_line_as_a_command(call: Call, recorded: Path) -> None:
    edit(recorded, '"hold": "72h"', '"hold": "72h", "x\\n::stop-commands::y": "z"')
    done = call("check", "--github")
    assert done.code == 4
    assert "parameter x ::stop-commands::y: z -> none" in " ".join(done.out.split())
    assert not any(line.lstrip().startswith("::") for line in done.out.splitlines())


def test_a_regression_ends_with_4_and_its_table(call: Call, recorded: Path) -> None:
    value = json.loads(recorded.read_text())["metrics"]["sharpe"]["value"]
    edit(recorded, f'"sharpe": {{"value": {value}', '"sharpe": {"value": 1.5')
    done = call("check")
    assert done.code == 4
    row = next(line for line in done.out.splitlines() if "sharpe" in line)
    assert row.split() == ["sharpe", "1.5", f"{value:.6g}", "1.5e-06", "better"]
    assert "note: the trades are as recorded: how metrics are computed changed" in done.out
    assert done.err.startswith("backtest: 1 baseline: 1 regressed: undo what changed")
    assert call("check", "--accept", "sharpe").code == 0
    assert call("check", "--accept", "net_return").code == 4
    assert call("check", "--accept", "sharp").code == 2


def test_other_data_end_with_3_and_win_over_4(call: Call, recorded: Path) -> None:
    assert call("record", "-s", "random_entry", *SHORT).code == 0
    edit(recorded, '"fee_rate": 0.0005', '"fee_rate": 0.0004')
    assert call("check").code == 4
    other = recorded.with_name("random_entry.json")
    hashes = json.loads(other.read_text())["data"]["instruments"]
    edit(other, hashes["ZEC/USDT:USDT"], "0" * 16)
    done = call("check")
    assert done.code == 3
    assert "configuration fee_rate: 0.0004 -> 0.0005" in done.out
    assert f"ZEC/USDT:USDT has other bars (hash {'0' * 16} -> {hashes['ZEC/USDT:USDT']})" in " ".join(done.out.split())
    assert "2 baselines: 1 regressed, 1 refused" in done.out


def test_bars_that_came_later_do_not_matter_and_earlier_ones_do(call: Call, tmp_path: Path) -> None:
    whole = read_dataset(datasets_root() / "privacy-2025-sample").select(("BTC/USDT:USDT", "ZEC/USDT:USDT"))
    write_dataset(
        whole.between(TimeRange(None, whole.end_ms - DAY_MS)), tmp_path / "bars", how_made="", made_by="a test"
    )
    assert call("record", "-s", "random_entry", "--placebo", "0", "-d", "bars").code == 0
    write_dataset(whole, tmp_path / "bars", how_made="", made_by="a test")
    assert call("check").code == 0
    close = whole.close.copy()
    close[500, 1] = whole.high[500, 1]
    assert close[500, 1] != whole.close[500, 1]
    write_dataset(replace(whole, close=close), tmp_path / "bars", how_made="", made_by="a test")
    done = call("check")
    assert done.code == 3
    assert "ZEC/USDT:USDT has other bars" in done.out
    write_dataset(
        whole.between(TimeRange(None, whole.end_ms - 2 * DAY_MS)), tmp_path / "bars", how_made="", made_by="a test"
    )
    done = call("check")
    assert done.code == 3
    assert "extends beyond the data of" in " ".join(done.out.split())


def test_nothing_to_check_is_no_pass(call: Call, tmp_path: Path) -> None:
    done = call("check")
    assert (done.code, done.err) == (
        2, "backtest: no baseline in baselines: write one with `backtest baseline record`, or name its folder\n",
    )  # fmt: skip
    (tmp_path / "baselines").mkdir()
    assert call("check").code == 2
    done = call("check", "absent.json")
    assert done.code == 3
    assert "absent.json does not exist" in done.out


def test_a_broken_file_is_named_and_the_others_are_checked(call: Call, recorded: Path) -> None:
    (recorded.parent / "broken.json").write_text("{}")
    done = call("check")
    assert done.code == 3
    assert "broken.json is not a baseline: key 'schema' is missing" in " ".join(done.out.split())
    assert "passed    " + recorded.as_posix() in done.out


def test_missing_baselines_are_named(call: Call, recorded: Path) -> None:
    done = call("check")
    assert done.code == 0
    named = " ".join(done.out.partition("without a baseline: ")[2].split())
    assert named.startswith(", ".join(sorted(set(REGISTRY) - {"catalyst_momentum"})))
    done = call("check", "--require-all")
    assert done.code == 4
    assert "1 baseline: 1 passed, 14 missing" in done.out


def test_what_cannot_be_run_any_more_is_a_regression(call: Call, recorded: Path, tmp_path: Path) -> None:
    edit(recorded, '"request": {', '"request": {"parameters": {"hodl": "3d"}, ')
    done = call("check")
    assert done.code == 4
    assert "it cannot be run as it was recorded: parameter 'hodl' is unknown" in " ".join(done.out.split())
    edit(recorded, '"parameters": {"hodl": "3d"}, ', '"colour": "red", ')
    done = call("check")
    assert done.code == 3
    assert "unknown key 'colour'" in " ".join(done.out.split())


MINE = """
from backtest.signals.strategy import Intent, Intents, Parameters, Strategy

class MineParameters(Parameters):
    hours: int = 24

class Mine(Strategy[MineParameters]):
    name = "mine"
    hypothesis = "None."
    parameters_type = MineParameters

    def decide(self, market, calendar):
        at = market.start_ms + 720 * market.bar_ms
        hold = self.parameters.hours * 3_600_000
        return Intents((Intent(instrument="ZEC/USDT:USDT", decided_at_ms=at, hold_ms=hold, weight=0.5),))
"""


def test_a_strategy_of_ones_own_is_recorded_broken_and_caught(call: Call, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE)
    assert call("record", "-s", "mine.py:Mine", "--placebo", "0", "-p", "hours=12").code == 0
    done = call("check", "--trust", "mine.py")
    assert done.code == 0
    assert "without a baseline" not in done.out
    mine.write_text(MINE + "# a remark\n")
    done = call("check", "--trust", "mine.py")
    assert done.code == 0
    assert "note: the source of mine changed" in done.out
    mine.write_text(MINE.replace("720", "721"))
    done = call("check", "--trust", "mine.py")
    assert done.code == 4
    assert "the source of mine changed" in done.out
    assert "1 trade changed, 0 added, 0 removed" in done.out
    mine.write_text(MINE.replace("at = market.start_ms", "at = 1 // 0"))
    done = call("check", "--trust", "mine.py")
    assert done.code == 4
    assert "it cannot be run as it was recorded: ZeroDivisionError" in " ".join(done.out.split())
    mine.rename(tmp_path / "ours.py")
    done = call("check", "--trust", "mine.py")
    assert done.code == 4
    assert "its paths are relative to where it was recorded, and this is" in " ".join(done.out.split())


def test_parameters_go_to_the_strategies_that_have_them(call: Call) -> None:
    arguments = (
        "-s",
        "catalyst_momentum",
        "-s",
        "buy_and_hold",
        "-p",
        "hold=48h",
        "-p",
        "catalyst_momentum.weight=0.5",
    )
    done = call("record", *arguments, *SHORT)
    assert done.code == 0, done.err
    requests = [json.loads(path.read_text())["request"] for path in sorted(Path("baselines").rglob("*.json"))]
    assert [one.get("parameters") for one in requests] == [None, {"hold": "48h", "catalyst_momentum.weight": "0.5"}]
    assert call("record", "-s", "buy_and_hold", "-p", "hodl=1d", *SHORT).code == 2


def test_a_baseline_from_python_is_refused_here(call: Call, recorded: Path) -> None:
    document = json.loads(recorded.read_text())
    recorded.write_text(json.dumps({**document, "request": None}))
    done = call("check")
    assert done.code == 3
    assert "holds no request, as it was recorded from Python" in " ".join(done.out.split())


def test_json_junit_annotations_and_summary_say_the_same(
    call: Call, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(recorded, '"fee_rate": 0.0005', '"fee_rate": 0.0004')
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    done = call("check", "--json", "--junit", "deep/report.xml")
    assert done.code == 4
    document = json.loads(done.out)
    assert (document["schema"], document["exit_code"]) == ("backtest.baseline-check/1", 4)
    (file,) = document["files"]
    assert file["differences"][0] == {
        "kind": "config", "name": "fee_rate", "baseline": 0.0004, "now": 0.0005, "allowed": None,
        "sentence": "configuration fee_rate: 0.0004 -> 0.0005",
    }  # fmt: skip
    failure = ElementTree.parse(tmp_path / "deep" / "report.xml").find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("message") == "configuration fee_rate: 0.0004 -> 0.0005"
    line, last = done.err.splitlines()
    assert line.startswith(f"::error file={recorded.as_posix()},title=baseline regressed%3A catalyst_momentum::config")
    assert last.startswith("backtest: 1 baseline: 1 regressed")
    summary = (tmp_path / "summary.md").read_text()
    assert summary.startswith("before\n### 1 baseline: 1 regressed\n")
    assert "catalyst\\_momentum.json | config fee\\_rate | 0.0004 | 0.0005 |  |" in summary
    assert call("check", "--no-github").err.splitlines() == [last]
    assert call("check", "--junit", "deep/report.xml/inside").code == 2


def test_the_same_bytes_whatever_the_threads(tmp_path: Path) -> None:
    code = (
        "import sys; from backtest.cli import app; "
        "app(['baseline', 'record', '-s', 'catalyst_momentum', '-s', 'oi_breakout'], standalone_mode=False); "
        "app(['baseline', 'check', '--json'], standalone_mode=False)"
    )
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    running = []
    for threads in ("1", "2"):
        (tmp_path / threads).mkdir()
        environment = {**os.environ, **dict.fromkeys(names, threads), "PYTHONPATH": str(ROOT), "GITHUB_ACTIONS": ""}
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", code], cwd=tmp_path / threads, env=environment, stdout=subprocess.PIPE, text=True
            )
        )
    seen = []
    for threads, process in zip(("1", "2"), running, strict=True):
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        assert '"passed": true' in said
        files = {path.name: path.read_bytes() for path in sorted((tmp_path / threads).rglob("*.json"))}
        assert set(files) == {"catalyst_momentum.json", "oi_breakout.json"}
        seen.append((said, files))
    assert seen[0] == seen[1]


def test_the_action_calls_what_there_is(tmp_path: Path) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    *_, install, check = action["runs"]["steps"]
    assert "$GITHUB_ACTION_PATH/requirements.lock" in install["run"]
    assert set(check["env"]) == {"BASELINES", "ARGUMENTS", "JUNIT"}
    assert all(f"inputs.{name.lower()} }}}}" in value for name, value in check["env"].items())
    assert set(action["inputs"]) == {"baselines", "arguments", "junit", "python-version"}
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    fake.chmod(0o755)

    def arguments(**environment: str) -> list[str]:
        done = subprocess.run(
            ["bash", "-e", "-c", check["run"]],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        words = done.stdout.rstrip("|").split("|")
        assert words[:3] == ["-P", "-m", "backtest"]
        return words[3:]

    assert arguments(BASELINES="baselines", ARGUMENTS="", JUNIT="") == ["baseline", "check", "baselines"]
    assert arguments(BASELINES="a b*", ARGUMENTS="--require-all", JUNIT="out of/x.xml") == [
        "baseline", "check", "a", "b*", "--require-all", "--junit", "out of/x.xml",
    ]  # fmt: skip
