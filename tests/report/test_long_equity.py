"""Equity of a long run: Parquet in the run folder, the same numbers, read by whoever compares runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import backtest.report.folder as folder_module
from backtest.base.errors import DataError
from backtest.report.folder import read_equity, write_run_folder

BARS = pd.date_range("2025-01-01", periods=50, freq="min", tz="UTC")


def run(name: str) -> Any:
    table = pd.DataFrame({"value": [1.0]})
    equity = pd.Series(1e5 * np.cumprod(1 + np.random.default_rng(len(name)).normal(0, 1e-3, 50)), BARS)
    return SimpleNamespace(strategy=name, fills=table, trades=table, equity=equity)


def test_a_long_run_writes_parquet_and_a_short_one_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [run("one"), run("other")]
    write_run_folder(tmp_path / "short", runs, {"value": 1})
    monkeypatch.setattr(folder_module, "LONG_EQUITY", 50)
    for name in ("long", "again"):
        write_run_folder(tmp_path / name, runs, {"value": 1})
    assert {path.name for path in (tmp_path / "short").iterdir()} == {
        "run.json", "fills.csv", "trades.csv", "equity.csv",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "long").iterdir()} == {
        "run.json", "fills.csv", "trades.csv", "equity.parquet",
    }  # fmt: skip
    for one in runs:
        for name in ("short", "long"):
            found = read_equity(tmp_path / name, one.strategy)
            assert found.to_numpy().tolist() == one.equity.tolist()
            assert found.index.tolist() == BARS.tolist()
    files = [tmp_path / name / "equity.parquet" for name in ("long", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert pd.read_parquet(files[0])["one"].tolist() == runs[0].equity.tolist()


def test_equity_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "LONG_EQUITY", 50)
    write_run_folder(tmp_path, [run("one")], {"value": 1})
    with pytest.raises(DataError, match=r"equity\.parquet cannot be read \('another'\): run it again"):
        read_equity(tmp_path, "another")
    (tmp_path / "equity.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"equity\.parquet cannot be read .*: run it again"):
        read_equity(tmp_path, "one")
