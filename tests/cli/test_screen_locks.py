"""Regression locks: the whole text of `run` at 60, 80 and 160 columns and in a pipe, on bars and a calendar made here.

Rewrite them after a change that is meant: `BACKTEST_WRITE_LOCKS=1 pytest tests/cli/test_screen_locks.py`, and read the
difference.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import pandas as pd
import pytest

from backtest.cli import _exit_code

LOCKS = Path(__file__).with_name("locks")
ARGUMENTS = (
    "run", "--dataset", "made-futures", "-c", "events.csv", "-s", "catalyst_momentum", "-s", "buy_and_hold",
    "-s", "relative_value", "--placebo", "shift:99", "--bootstrap", "0", "--ledger", "none", "--out", "out",
    "--funding", "zero",
)  # fmt: skip
WIDTHS = {"60": "60", "80": "80", "160": "160", "pipe": ""}
DAYS = 60


def write_market(folder: Path) -> None:
    """Sixty days of three coins on sine waves, of which ZEC rises for two days after each of eight dates."""
    bars = folder / "made-futures"
    bars.mkdir()
    index = pd.date_range("2025-06-01", periods=24 * DAYS, freq="h", tz="UTC")
    news = [24 * day + 15 for day in range(10, 58, 6)]
    for coin, first, period in (("ZEC", 50.0, 31), ("DASH", 25.0, 47), ("BTC", 100_000.0, 71)):
        drift, rows, close = 0.0, [], first
        for hour in range(len(index)):
            drift += 0.002 if coin == "ZEC" and any(0 <= hour - at < 48 for at in news) else -0.0004
            opened, close = close, first * math.exp(drift + 0.02 * math.sin(2 * math.pi * hour / period))
            high, low = max(opened, close) * 1.001, min(opened, close) * 0.999
            rows.append((opened, high, low, close, 5e7 / close))
        frame = pd.DataFrame(rows, columns=["open", "high", "low", "close", "volume"]).round(6)
        frame.insert(0, "timestamp", index.as_unit("ms").asi8)
        frame.to_csv(bars / f"{coin}USDT-1h.csv", index=False)
    when = [index[at].strftime("%Y-%m-%d %H:%MZ") for at in news]
    table = pd.DataFrame({"announced_at": when, "assets": "ZEC", "kind": "listing", "direction": 1})
    table.to_csv(folder / "events.csv", index=False)


@pytest.mark.parametrize("name", WIDTHS)
def test_the_first_screen_is_as_it_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_market(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("COLUMNS", raising=False)
    if WIDTHS[name]:
        monkeypatch.setenv("COLUMNS", WIDTHS[name])
    monkeypatch.setattr("sys.argv", ["backtest", *ARGUMENTS])
    code = _exit_code()
    told = capsys.readouterr()
    assert code == 0, told.err
    lines = told.out.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert len(lines) <= 40
    if WIDTHS[name]:
        assert max(map(len, lines)) <= int(WIDTHS[name])
    lock = LOCKS / f"run-{name}.txt"
    if os.environ.get("BACKTEST_WRITE_LOCKS"):
        LOCKS.mkdir(exist_ok=True)
        lock.write_text(told.out)
    assert told.out == lock.read_text()
