"""`backtest fetch` and `backtest data record` as a user runs them, against a venue on loopback."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Command
from tests.market.loopback import Listing, Loopback, options, serving

LAUNCH = 1_700_000_000_000


@pytest.fixture
def state() -> Iterator[Loopback]:
    with serving(Loopback({f"{base}USDT": Listing(base, LAUNCH) for base in ("ZEC", "DASH", "BTC", "ETH")})) as running:
        yield running


@pytest.fixture
def config(state: Loopback, tmp_path: Path) -> str:
    path = tmp_path / "gateway.json"
    path.write_text(json.dumps(options("bybit", state.url)))
    return str(path)


def test_a_fetched_recipe_is_a_dataset_to_run_on(backtest: Command, config: str, tmp_path: Path) -> None:
    shelf = ("--store", str(tmp_path / "shelf"))
    fetched = backtest("fetch", "privacy-2025", "--exchange-config", config, *shelf)
    assert fetched.returncode == 0, fetched.stderr
    assert fetched.stderr.endswith("run on it with: backtest run --dataset privacy-2025\n")
    assert "2,592" in fetched.stdout
    assert "bybit does not list XMR/USDT:USDT" in fetched.stdout
    assert all(len(line) <= 80 for line in fetched.stdout.splitlines())
    ran = backtest("run", "--dataset", "privacy-2025", "--strategy", "buy_and_hold", "--placebo", "0", *shelf)
    assert ran.returncode == 0, ran.stderr
    assert "privacy-2025: 2,592 bars of 1h, 2025-08-15 00:00 to 2025-11-30 23:00 UTC" in ran.stdout
    assert "RECONSTRUCTED" not in ran.stdout
    shown = backtest("data", "show", "bybit", "ZEC/USDT:USDT", *shelf)
    assert shown.returncode == 0
    assert "█" * 60 in shown.stdout
    assert "source    bybit through ccxt" in shown.stdout
    checked = backtest("data", "check", BACKTEST_STORE=str(tmp_path / "shelf"))
    assert checked.stdout == f"12 series, {4 * (2592 * 2 + 325):,} rows, 0 broken\n"
    listed = json.loads(backtest("data", "list", "--json", *shelf).stdout)
    assert listed["schema"] == "backtest.data/1"
    assert listed["datasets"] == ["bybit", "privacy-2025"]
    assert len(listed["series"]) == 12


def test_options_instead_of_a_recipe(backtest: Command, config: str, tmp_path: Path) -> None:
    done = backtest(
        *("fetch", "--exchange", "bybit", "--symbols", "ZEC/USDT:USDT,DASH/USDT:USDT", "--series", "ohlcv,funding"),
        *("--timeframe", "4h", "--timerange", "20251101-20251110", "--exchange-config", config, "--store", "shelf"),
    )
    assert done.returncode == 0, done.stderr
    route, closing = done.stderr.splitlines()
    assert route.startswith("bybit: asked at http://127.0.0.1:")
    assert closing == "run on it with: backtest run --dataset bybit-4h"
    folders = sorted(str(path.parent.relative_to(tmp_path / "shelf")) for path in tmp_path.rglob("manifest.json"))
    assert folders == [
        "bybit/DASH_USDT_USDT/funding/settled",
        "bybit/DASH_USDT_USDT/ohlcv/4h",
        "bybit/ZEC_USDT_USDT/funding/settled",
        "bybit/ZEC_USDT_USDT/ohlcv/4h",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("fetch",), 2, "no recipe was named, so --exchange, --symbols, --timerange must be given"),
        (("fetch", "privacy-2025", "--symbols", "ZEC/USDT:USDT"), 2, "says what --symbols would say"),
        (("fetch", "privacy-2024"), 2, "did you mean 'privacy-2025'"),
        (
            ("fetch", "--exchange", "bibit", "--symbols", "ZEC/USDT:USDT", "--timerange", "20251101-"),
            2,
            "exchange 'bibit' is not known to ccxt",
        ),
        (
            (
                *("fetch", "--exchange", "binanceusdm", "--symbols", "ZEC/USDT:USDT"),
                *("--series", "oi", "--timerange", "20200101-20200201"),
            ),
            2,
            "has no open-interest history older than",
        ),
        (
            ("fetch", "--exchange", "bybit", "--symbols", "ZEC", "--timerange", "20251101-"),
            2,
            "'ZEC' is not a ccxt symbol",
        ),
        (("data", "show", "okx"), 2, "has no venue 'okx'"),
        (("data", "import", "absent"), 3, "absent does not exist"),
        (("data", "import", ".", "--kind", "future"), 2, "--kind 'future' is unknown"),
        (("data", "import", "."), 3, "holds nothing to import"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    backtest: Command, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    done = backtest(*arguments, BACKTEST_STORE="shelf")
    assert done.returncode == code
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_download_that_is_not_complete_ends_with_3_and_names_the_range(
    backtest: Command, config: str, state: Loopback
) -> None:
    state.rate, state.kinds, state.only = 1.0, ("10001",), "open-interest"
    done = backtest(
        *("fetch", "--exchange", "bybit", "--symbols", "ZEC/USDT:USDT", "--timerange", "20251101-20251105"),
        *("--exchange-config", config, "--store", "shelf"),
    )
    assert done.returncode == 3
    assert "bybit ZEC/USDT:USDT oi 1h: missing 2025-11-01 00:00 to 2025-11-05 00:00" in done.stderr
    assert "96" in done.stdout


def test_recording_is_idempotent(backtest: Command, config: str, state: Loopback, tmp_path: Path) -> None:
    # The recorder goes by this machine's clock, and so must the venue.
    state.now_ms = time.time_ns() // 1_000_000
    command = ("data", "record", "--exchange", "bybit", "--symbols", "ZEC/USDT:USDT", "--exchange-config", config)
    first = backtest(*command, "--store", "shelf")
    assert first.returncode == 0, first.stderr
    rows = {path: path.read_bytes() for path in (tmp_path / "shelf").rglob("*.parquet")}
    assert len(rows) == 3
    again = backtest(*command, "--store", "shelf")
    assert again.returncode == 0, again.stderr
    assert set(rows) <= set((tmp_path / "shelf").rglob("*.parquet"))


def test_progress_with_rate_and_time_left_only_on_a_terminal(config: str, tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    arguments = ("fetch", "--exchange", "bybit", "--symbols", "ZEC/USDT:USDT", "--timerange", "20250101-20251110")
    child = subprocess.Popen(
        [sys.executable, "-m", "backtest", *arguments, "--exchange-config", config, "--store", "shelf"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=follower,
    )
    os.close(follower)
    shown = bytearray()
    for _ in range(10_000):
        try:
            chunk = os.read(leader, 65_536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    out, _ = child.communicate(timeout=60)
    os.close(leader)
    assert child.returncode == 0
    text = shown.decode("utf-8", "replace")
    assert "bybit ZEC/USDT:USDT ohlcv 1h" in text
    assert "100%" in text
    assert "rows/s" in text
    assert "0:00:0" in text
    assert "rows/s" not in out.decode()
    assert "7,512" in out.decode()


def test_ctrl_c_ends_with_130_and_the_next_fetch_goes_on(config: str, state: Loopback, tmp_path: Path) -> None:
    asked_for = 0

    def slow_from_the_tenth_on(path: str, _query: dict[str, str]) -> None:
        nonlocal asked_for
        asked_for += "open-interest" in path
        # The rest must not come before the signal, however late this test is.
        state.delay = 0.5 if asked_for >= 10 else 0.05

    state.hook = slow_from_the_tenth_on
    arguments = ("fetch", "--exchange", "bybit", "--symbols", "ZEC/USDT:USDT", "--series", "oi")
    more = ("--timerange", "20240101-20251110", "--exchange-config", config, "--store", "shelf")
    command = [sys.executable, "-m", "backtest", *arguments, *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    for _ in range(18_000):
        if sum("open-interest" in path for _, path, _ in list(state.asked)) >= 10:
            break
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors
    assert errors.splitlines()[-1].startswith("backtest: interrupted; what came is in the store")
    state.hook, state.delay = None, 0
    asked = len(state.asked)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # 679 days in pages of 196 hours are 84; the ten that came are not asked for again.
    assert 60 <= sum("open-interest" in path for _, path, _ in state.asked[asked:]) <= 76


def test_a_plan_asks_for_nothing_and_says_what_is_refused(
    backtest: Command, state: Loopback, config: str, tmp_path: Path
) -> None:
    shelf = ("--store", str(tmp_path / "shelf"))
    asked = ("fetch", "--exchange", "bybit", "--symbols", "ZEC/USDT:USDT", "--timerange", "20251101-20251120")
    done = backtest(*asked, "--exchange-config", config, "--plan", *shelf)
    assert done.returncode == 0, done.stderr
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    # 19 days of hours: one page of bars, three of samples with slack, one or three of settlements.
    assert "ZEC/USDT:USDT ohlcv 1h 19.0 1" in rows
    assert "ZEC/USDT:USDT oi 1h 19.0 3" in rows
    assert any(row.startswith("ZEC/USDT:USDT funding settled 19.0 1 to ") for row in rows)
    assert "none was made" in done.stdout.replace("\n", " ")
    assert state.asked == []
    assert not (tmp_path / "shelf").exists()
    assert backtest(*asked, "--exchange-config", config, *shelf).returncode == 0
    again = backtest(*asked, "--exchange-config", config, "--plan", *shelf)
    assert "nothing to ask for: the store has all of it" in again.stdout
    checked = backtest("data", "check", "--against", "bybit", "--windows", "1", "--exchange-config", config, *shelf)
    assert checked.returncode == 0, checked.stderr
    assert re.search(r"bybit ZEC/USDT:USDT ohlcv 1h: (\d+) rows asked for again, \1 the same, 0 differ", checked.stdout)
    refused = backtest(*(word.replace("bybit", "bitfinex") for word in asked), "--plan", *shelf)
    assert refused.returncode == 2
    assert "bitfinex samples its running funding rate" in refused.stderr
    archive = backtest(*(word.replace("bybit", "binanceusdm") for word in asked), "--plan", "--archive", *shelf)
    assert archive.returncode == 0, archive.stderr
    assert "ZEC/USDT:USDT oi 5m 19.0 38" in [" ".join(line.split()) for line in archive.stdout.splitlines()]


def test_the_rules_of_the_venue_are_kept_and_shown(backtest: Command, config: str, tmp_path: Path) -> None:
    words = ("--exchange", "bybit", "--symbols", "ZEC/USDT:USDT", "--series", "ohlcv")
    words = (*words, "--timerange", "20251101-20251105")
    shelf = ("--store", str(tmp_path / "shelf"))
    without = ("--no-instruments", "--store", str(tmp_path / "other"))
    done = backtest("fetch", *words, "--exchange-config", config, *without)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "other" / "bybit" / "instruments.toml").exists()
    done = backtest("fetch", *words, "--exchange-config", config, *shelf)
    assert done.returncode == 0, done.stderr
    shown = backtest("data", "show", *shelf)
    assert "bybit ZEC/USDT:USDT  rules  as_of " in shown.stdout
    assert "tick 0.01, lot 0.01" in shown.stdout
    refused = backtest("fetch", *words, "--archive", "--instruments", *shelf)
    assert refused.returncode == 2
    assert "has no --instruments" in refused.stderr
