"""However a command is ended from outside, it ends with a sentence and a documented code, and nothing half written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backtest.base.errors import UsageError
from backtest.base.locks import locked
from backtest.cli import app
from backtest.cli.leaving import fault_of_system
from backtest.scoring.sweep_folder import LOCK, written
from tests.cli.conftest import ROOT
from tests.cli.test_exit_codes import SLOW

BACKTEST = f"{sys.executable} -m backtest"


def shell(line: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BACKTEST_LEDGER": "none", **more}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{BACKTEST} strategies >&-", "stdout is closed: send it to a file"),
        (f"{BACKTEST} strategies >/dev/full", "stdout cannot be written (No space left on device)"),
        (f"{BACKTEST} schema run >/dev/full", "stdout cannot be written (No space left on device)"),
        (f"{BACKTEST} --help >/dev/full", "stdout cannot be written (No space left on device)"),
        (f"{BACKTEST} strategies >&- 2>&-", ""),
        (f"{BACKTEST} run -s nope 2>&-", ""),
        (f"{BACKTEST} run -s nope 2>/dev/full", ""),
        (f"mkdir gone; cd gone; rmdir ../gone; {BACKTEST} strategies", "the working directory was deleted"),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_streams_and_folders_that_are_lost(line: str, said: str, tmp_path: Path) -> None:
    done = shell(line, tmp_path)
    assert done.returncode == 2, done.stderr
    assert (done.stderr.startswith("backtest: ") and said in done.stderr) if said else not done.stderr
    assert len(done.stderr.splitlines()) <= 1


def test_a_closed_stream_does_not_give_its_number_to_a_file(tmp_path: Path) -> None:
    """Without something in its place, the first file that is opened would be what stdout writes into."""
    done = shell(f"{BACKTEST} strategies new mine <&- 2>&-; cat mine.py || cat strategies/mine.py", tmp_path)
    assert "class Mine(" in done.stdout
    assert "backtest:" not in done.stdout


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_ends_with_its_code_and_a_sentence(name: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    words = ["run", "-s", "slow.py", "--placebo", "0", "--bootstrap", "0", "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SLOW": "60", "BACKTEST_LEDGER": "none"}
    child = subprocess.Popen(
        [sys.executable, "-m", "backtest", *words], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    for _ in range(18_000):
        if (tmp_path / "begun").exists():
            break
        time.sleep(0.01)
    child.send_signal(getattr(signal, name))
    _, said = child.communicate(timeout=60)
    assert child.returncode == code, said
    assert said.splitlines()[-1] == f"backtest: {'interrupted' if name == 'SIGINT' else f'ended by {name}'}"
    assert not (tmp_path / "out").exists()


INSIDE_A_TEXT = """
import atexit

import backtest.cli as cli


def app():
    exec("import os, signal\\nos.kill(os.getpid(), signal.{name})\\nwhile True: pass")


atexit.register(print, "cleared away")
cli.app = app
cli.main()
"""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_while_python_executes_a_text_has_its_code_too(name: str, code: int, tmp_path: Path) -> None:
    """Records and templates are made so: Python would then end itself by SIGINT instead."""
    (tmp_path / "inside.py").write_text(INSIDE_A_TEXT.format(name=name))
    # Python holds back what goes into a pipe, unless it is told otherwise, as the tests of many a machine are.
    done = shell(f"exec {sys.executable} -m inside", tmp_path, PYTHONPATH=f"{ROOT}:{tmp_path}", PYTHONUNBUFFERED="")
    assert (done.returncode, done.stderr) == (code, f"backtest: ended by {name}\n")
    assert done.stdout == "cleared away\n"


def test_who_ignores_a_signal_goes_on_ignoring_it(tmp_path: Path) -> None:
    line = f"trap '' HUP; {BACKTEST} strategies >/dev/null & child=$!; kill -HUP $child; wait $child; echo $?"
    assert shell(line, tmp_path).stdout == "0\n"


def test_the_codes_are_documented() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for code in ("129", "130", "143", "141"):
        assert code in str(app.info.epilog)
        assert code in readme[readme.index("Exit codes:") :][:400]


def test_two_commands_do_not_write_into_one_folder_of_a_search(tmp_path: Path) -> None:
    with (
        locked(tmp_path / LOCK, 0.0),
        pytest.raises(UsageError, match="is being written by another command"),
        written(tmp_path),
    ):
        raise AssertionError("never reached")
    with written(tmp_path):
        pass


@pytest.mark.parametrize(
    "code", [errno.EMFILE, errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EFBIG, errno.EIO, errno.ELOOP]
)
def test_a_fault_of_the_system_is_a_sentence(code: int) -> None:
    said = fault_of_system(OSError(code, os.strerror(code), "/some/file"))
    assert said is not None
    assert said.exit_code == 2
    assert str(said).startswith(f"/some/file: {os.strerror(code)}: ")
    assert fault_of_system(ValueError("x")) is None
    assert fault_of_system(OSError("of a library")) is None


def test_no_home_and_no_folder_for_compiled_code(tmp_path: Path) -> None:
    nowhere = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), "/dev/null/home")
    done = shell(f"{BACKTEST} run -s buy_and_hold --placebo 0 --bootstrap 0 --quiet", tmp_path, **nowhere)
    assert done.returncode == 0, done.stderr
    done = shell(f"{BACKTEST} data list", tmp_path, **nowhere)
    assert done.returncode in (0, 2, 3)
    assert "internal error" not in done.stderr
