"""What reaches a terminal, a pipe, a pipe whose reader has gone, and a stream that carries ASCII only."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from contextlib import redirect_stderr, suppress
from pathlib import Path

import pytest
from rich.console import Console

from backtest.cli import app, progress, streams
from backtest.cli.progress import progress_bar
from tests.cli.conftest import ROOT, Command

TREND = ("-s", "catalyst_momentum")
SEARCH = (*TREND, "-p", "hold=24h,48h", "--placebo", "19", "--out", "out")
BARS = "timestamp,open,high,low,close,volume\n1759276800000,100,102,99,101,1000\n"


class Terminal:
    """A pseudo-terminal of 80 columns: `file` writes to it, `text()` is what it was sent, once `file` is closed."""

    def __init__(self) -> None:
        self._leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.file = os.fdopen(follower, "w")
        self._sent = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        # Linux says EIO where the last writer has gone.
        with suppress(OSError):
            while chunk := os.read(self._leader, 65_536):
                self._sent += chunk

    def text(self) -> str:
        self.file.close()
        self._reader.join(30)
        os.close(self._leader)
        return self._sent.decode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """What stands in for stderr once `redirect_stderr` says so."""
    for name in ("NO_COLOR", "COLUMNS", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_progress_is_shown_with_step_and_time_left_and_then_removed(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    with redirect_stderr(terminal.file), progress_bar() as tell:
        tell("placebo calendars", 3, 12)
        threading.Event().wait(0.3)
        print("a result")
    text = terminal.text()
    assert "placebo calendars" in text
    assert "3/12" in text
    assert "ETA" in text
    assert text.endswith("\x1b[2K")
    assert capsys.readouterr().out == "a result\n"


def test_what_answers_at_once_says_nothing_on_the_way(terminal: Terminal) -> None:
    with redirect_stderr(terminal.file), progress_bar() as tell:
        tell("replay", 0, 2)
    assert terminal.text() == ""


def test_a_terminal_that_cannot_redraw_is_left_alone(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    monkeypatch.setenv("TERM", "dumb")
    with redirect_stderr(terminal.file), progress_bar() as tell:
        tell("replay", 0, 2)
        threading.Event().wait(0.2)
    assert terminal.text() == ""


def test_no_colour_is_honoured(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    monkeypatch.setenv("NO_COLOR", "1")
    with redirect_stderr(terminal.file), progress_bar() as tell:
        tell("replay", 1, 2)
        threading.Event().wait(0.2)
    text = terminal.text()
    assert "replay" in text
    assert re.findall(r"\x1b\[[0-9;]*(?:3[0-9]|4[0-9]|9[0-7])m", text) == []


def test_there_is_none_in_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress_bar() as tell:
        tell("replay", 1, 2)
        threading.Event().wait(0.1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        (("run", *TREND, "--placebo", "19", "--bootstrap", "100"), "replay intervals placebo calendars capacity"),
        (("study", "--set", "draws=19", "--asset", "DASH"), "return volume open interest"),
        (("sweep", *SEARCH), "trials"),
        (("walkforward", *SEARCH, "--folds", "2"), "trainings placebo calendars capacity"),
        (("audit", *TREND, "--cuts", "3"), "catalyst_momentum"),
        (("events", "claims", "--subject", "DASH"), "claims"),
        (("data", "import", "ZECUSDT-1h.csv", "--venue", "gate", "--kind", "swap", "--store", "shelf"), "files"),
    ],
    ids=lambda value: value[1] if value[0] in ("events", "data") else value[0],
)
def test_every_slow_verb_tells_its_steps(
    arguments: tuple[str, ...], steps: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, int] = {}

    class Told(progress._Steps):
        def __call__(self, what: str, done: int, total: int) -> None:
            assert 0 <= done <= total
            told[what] = total
            super().__call__(what, done, total)

    (tmp_path / "ZECUSDT-1h.csv").write_text(BARS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "_Steps", Told)
    monkeypatch.setattr(progress, "terminal", lambda: Console(file=io.StringIO(), force_terminal=True))
    app(list(arguments), standalone_mode=False)
    assert " ".join(told) == steps
    assert min(told.values()) >= 1


def broken_pipe() -> int:
    """Writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize(
    ("arguments", "stream", "code"),
    [
        (("run", *TREND, "--placebo", "0", "--bootstrap", "0", "--out", "here"), "stdout", 141),
        (("events", "list", "--json"), "stdout", 141),
        (("nonsense",), "stderr", 141),
        (("nonsense",), "stdout", 2),
    ],
)
def test_a_reader_who_has_gone_ends_a_command_quietly(
    arguments: tuple[str, ...], stream: str, code: int, tmp_path: Path
) -> None:
    ends = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: broken_pipe()}
    done = subprocess.run(
        [sys.executable, "-m", "backtest", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        text=True,
        check=False,
        **ends,
    )
    os.close(ends[stream])
    assert done.returncode == code
    said = (done.stdout or "") + (done.stderr or "")
    assert "Traceback" not in said
    assert "roken pipe" not in said
    assert (said == "") == (code == 141)
    if arguments[0] == "run":
        assert {path.name for path in (tmp_path / "here").iterdir()} == {
            "run.json", "fills.csv", "trades.csv", "equity.csv",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "mark"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "#"),
        ({"LC_ALL": "C", "PYTHONIOENCODING": "", "PYTHONUTF8": ""}, "#"),
        ({"LC_ALL": "C", "PYTHONIOENCODING": "utf-8"}, "█"),
    ],
    ids=["ascii", "C", "utf-8"],
)
def test_a_stream_gets_what_it_can_carry(backtest: Command, environment: dict[str, str], mark: str) -> None:
    done = backtest("data", "show", "--store", "none", **environment)
    assert done.returncode == 0, done.stderr
    assert f"{mark} fetched whole" in done.stdout
    assert done.stdout.isascii() == (mark == "#")


@pytest.mark.parametrize(
    ("text", "written"),
    [("█▒·…─", "#+.~-"), ("é", r"\u00e9"), ("😀", r"\ud83d\ude00"), ("\ud800", r"\ud800"), ("plain", "plain")],
)
def test_what_a_stream_cannot_carry_is_written_plainly(text: str, written: str) -> None:
    streams.prepare_streams()
    assert text.encode("ascii", "plainly").decode() == written


def test_every_table_fits_80_columns_without_a_frame(backtest: Command) -> None:
    for arguments in (("events", "list"), ("events", "claims", "--subject", "DASH")):
        done = backtest(*arguments, PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
        assert done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert not set("|+\x1b") & {line[:1] for line in done.stdout.splitlines()}
