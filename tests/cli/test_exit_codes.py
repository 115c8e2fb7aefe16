"""Each documented exit code, one by one, and what stderr says with it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backtest import cli
from backtest.base import errors
from backtest.request import calendars
from tests.cli import prepared
from tests.cli.conftest import ROOT
from tests.cli.test_audit import PEEKING

Ends = Callable[..., tuple[int, str, str]]
SLOW = '''
import os
import time
from pathlib import Path

from backtest.signals.strategy import Intent, Intents
from backtest.signals.trading import TradeParameters
from backtest.signals.strategy import Strategy


class Slow(Strategy[TradeParameters]):
    """Buys once, after as long a think as the environment asks for."""

    name = "slow"
    hypothesis = "Haste is waste."
    parameters_type = TradeParameters

    def decide(self, market, calendar):
        Path("begun").touch()
        time.sleep(float(os.environ.get("SLOW", "0")))
        decided = market.start_ms + 240 * 3_600_000
        return Intents((self.parameters.intent("ZEC/USDT:USDT", decided, 1),))
'''


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ends:
    """Exit code, stdout and stderr of `backtest ARGUMENTS`, in this process and an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BACKTEST_DEBUG", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["backtest", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert isinstance(left.value.code, int)
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return call


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Let `backtest events list` end with an exception."""

    def plant(problem: BaseException) -> None:
        def fail(name: str) -> Any:
            raise problem

        monkeypatch.setattr(calendars, "open_calendar", fail)

    return plant


def tree(kind: type[errors.BacktestError] = errors.BacktestError) -> Iterator[type[errors.BacktestError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from tree(child)


def test_0_where_all_went_well(ends: Ends) -> None:
    for arguments in (("events", "list"), ("--help",), ("--version",), ("schema",)):
        code, out, err = ends(*arguments)
        assert (code, err) == (0, "")
        assert out


def test_what_ran_in_this_process_leaves_the_others_forked(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that imports everything anew would cost each of some 250 commands two seconds."""
    for name in prepared.SET_HERE:
        monkeypatch.delenv(name, raising=False)
    then = prepared.SET_HERE | dict(os.environ)
    monkeypatch.setattr(prepared, "_at_start", lambda: then)
    assert prepared.fit(os.environ)
    ends("--version")
    assert set(prepared.SET_BY_MAIN) <= set(os.environ)
    assert prepared.fit(os.environ)
    assert not prepared.fit({**os.environ, "OPENBLAS_NUM_THREADS": "3"})
    assert not prepared.fit({**os.environ, "LC_ALL": "other"})


def test_1_for_what_nobody_foresaw_with_the_way_to_the_traceback(
    ends: Ends, planted: Callable[[BaseException], None]
) -> None:
    planted(ZeroDivisionError("planted"))
    code, out, err = ends("events", "list")
    assert (code, out) == (1, "")
    assert err == "backtest: internal error: ZeroDivisionError: planted; set BACKTEST_DEBUG=1 for the traceback\n"


def test_1_with_the_traceback_where_it_is_asked_for(
    ends: Ends, planted: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exception goes through `main`, and Python ends with 1 and its traceback."""
    planted(ZeroDivisionError("planted"))
    monkeypatch.setenv("BACKTEST_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["backtest", "events", "list"])
    with pytest.raises(ZeroDivisionError, match="planted"):
        cli.main()


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_an_error_of_the_tree_ends_with_its_code_and_its_sentence(
    kind: type[errors.BacktestError], ends: Ends, planted: Callable[[BaseException], None]
) -> None:
    planted(kind("one sentence"))
    assert ends("events", "list") == (kind.exit_code, "", "backtest: one sentence\n")


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"(\w+Error) +(\d)\b", errors.__doc__ or "")
    assert {name: int(code) for name, code in drawn} == {kind.__name__: kind.exit_code for kind in tree()}
    assert {kind.exit_code for kind in tree()} == {1, 2, 3, 4, 5}


def test_the_help_names_every_code(ends: Ends) -> None:
    told = " ".join(ends("--help")[1].split())
    codes = re.findall(r"\b(\d+) [a-z]", told.partition("Exit codes:")[2])
    assert {int(code) for code in codes} >= {0, 1, 2, 3, 4, 5, 130}


def test_2_for_what_was_typed_wrong(ends: Ends) -> None:
    code, _, err = ends("run", "--no-such-option")
    assert code == 2
    assert "has no option '--no-such-option'" in err
    code, out, err = ends("run", "-s", "catalyst_momentun")
    assert (code, out) == (2, "")
    assert err.startswith("backtest: strategy 'catalyst_momentun' is unknown; did you mean 'catalyst_momentum'?")


def test_3_for_data_that_are_not_there(ends: Ends) -> None:
    code, out, err = ends("run", "-c", "absent.toml")
    assert (code, out) == (3, "")
    assert "absent.toml does not exist" in err


def test_4_for_a_baseline_that_is_left_and_3_for_one_on_other_data(ends: Ends, tmp_path: Path) -> None:
    asked = ("-s", "catalyst_momentum", "--placebo", "0")
    assert ends("baseline", "record", *asked)[0] == 0
    assert ends("baseline", "check")[0] == 0
    (path,) = (tmp_path / "baselines").rglob("*.json")
    text = path.read_text()
    assert text.count('"hold": "72h"') == 1
    path.write_text(text.replace('"hold": "72h"', '"hold": "71h"'))
    code, out, err = ends("baseline", "check")
    assert code == 4, out
    assert "hold: 71h -> 72h" in out
    assert err.startswith("backtest: ")
    assert len(err.splitlines()) == 1
    hashes = re.findall(r'"BTC/USDT:USDT": "([0-9a-f]{16})"', text)
    path.write_text(text.replace(hashes[0], "0" * 16))
    code, out, _ = ends("baseline", "check")
    assert code == 3, out


def test_5_for_a_look_ahead(ends: Ends, tmp_path: Path) -> None:
    (tmp_path / "peeking.py").write_text(PEEKING)
    code, _, err = ends("audit", "-s", "peeking.py", "--cuts", "5")
    assert code == 5
    assert err.startswith("backtest: strategy 'peeking' looked ahead: ")


def test_130_for_a_key_that_was_pressed(ends: Ends, planted: Callable[[BaseException], None]) -> None:
    planted(KeyboardInterrupt())
    assert ends("events", "list") == (130, "", "backtest: interrupted\n")


def interrupted(folder: Path, arguments: tuple[str, ...], ready: Callable[[], bool]) -> tuple[int, str]:
    """Exit code and stderr of a process that gets what Ctrl-C sends, as soon as it is ready."""
    child = subprocess.Popen(
        [sys.executable, "-m", "backtest", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SLOW": "0.3"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 240
    while not ready() and child.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    assert child.poll() is None, child.communicate()
    os.killpg(child.pid, signal.SIGINT)
    said = child.communicate(timeout=60)[1]
    return child.returncode, said


def test_130_for_a_running_search_which_goes_on_where_it_was(tmp_path: Path, ends: Ends) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    asked = ("sweep", "-s", "slow.py", "-p", "hold=1h..32h/1h", "--placebo", "0")
    parts = tmp_path / "here" / "parts"
    code, said = interrupted(tmp_path, (*asked, "--out", "here"), lambda: len(list(parts.glob("*.npz"))) >= 1)
    assert (code, said) == (130, "backtest: interrupted\n")
    kept = {path: path.stat().st_mtime_ns for path in parts.glob("*.npz")}
    assert 1 <= len(kept) < 4
    assert not (tmp_path / "here" / "sweep.json").exists()
    (tmp_path / "begun").unlink()
    code, resumed, _ = ends(*asked, "--out", "here", "--json")
    assert code == 0
    assert len(list(parts.glob("*.npz"))) == 4
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert (tmp_path / "begun").exists()
    assert ends(*asked, "--out", "whole", "--json")[1] == resumed
    for name in ("sweep.json", "trials.csv", "returns.npy"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_130_for_a_run_which_leaves_no_half_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW.replace('get("SLOW", "0")', 'get("NONE", "60")'))
    asked = ("run", "-s", "slow.py", "--placebo", "0", "--out", "here")
    code, said = interrupted(tmp_path, asked, (tmp_path / "begun").exists)
    assert (code, said) == (130, "backtest: interrupted\n")
    assert not (tmp_path / "here").exists()


def test_a_strategy_that_fails_is_named_with_its_line(ends: Ends, tmp_path: Path) -> None:
    line = 'market.start_ms + "240"'
    (tmp_path / "wrong.py").write_text(SLOW.replace("market.start_ms + 240 * 3_600_000", line))
    number = next(place for place, text in enumerate(SLOW.splitlines(), 1) if "decided = " in text)
    code, out, said = ends("run", "-s", "wrong.py:Slow")
    assert (code, out) == (2, "")
    assert f"wrong.py line {number} failed: TypeError: " in said
    assert len(said.splitlines()) == 1
