"""Equity of a long run: Parquet in the run folder, the same numbers, read by whoever compares runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest.base import estimate as estimate_module
from backtest.base.errors import DataError, UsageError
from backtest.base.estimate import LONG_EQUITY, Workload, writes_csv
from backtest.report.folder import read_equity, write_run_folder

BARS = pd.date_range("2025-01-01", periods=50, freq="min", tz="UTC")


def run(name: str) -> Any:
    table = pd.DataFrame({"value": [1.0]})
    equity = pd.Series(1e5 * np.cumprod(1 + np.random.default_rng(len(name)).normal(0, 1e-3, 50)), BARS)
    return SimpleNamespace(strategy=name, fills=table, trades=table, equity=equity)


def test_a_long_run_writes_parquet_and_a_short_one_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [run("one"), run("other")]
    write_run_folder(tmp_path / "short", runs, {"value": 1})
    monkeypatch.setattr(estimate_module, "LONG_EQUITY", 50)
    for name in ("long", "again"):
        write_run_folder(tmp_path / name, runs, {"value": 1})
    assert {path.name for path in (tmp_path / "short").iterdir()} == {
        "run.json", "fills.csv", "trades.csv", "equity.csv",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "long").iterdir()} == {
        "run.json", "fills.csv", "trades.csv", "equity.parquet",
    }  # fmt: skip
    write_run_folder(tmp_path / "csv", runs, {"value": 1}, equity="csv")
    assert (tmp_path / "csv" / "equity.csv").read_bytes() == (tmp_path / "short" / "equity.csv").read_bytes()
    for one in runs:
        for name in ("short", "long", "csv"):
            found = read_equity(tmp_path / name, one.strategy)
            assert found.to_numpy().tolist() == one.equity.tolist()
            assert found.index.tolist() == BARS.tolist()
    files = [tmp_path / name / "equity.parquet" for name in ("long", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert pd.read_parquet(files[0])["one"].tolist() == runs[0].equity.tolist()


def test_a_folder_written_again_in_another_format_holds_one_of_them(tmp_path: Path) -> None:
    for equity, kept, gone in (
        ("parquet", "equity.parquet", "equity.csv"),
        ("auto", "equity.csv", "equity.parquet"),
        ("parquet", "equity.parquet", "equity.csv"),
    ):
        write_run_folder(tmp_path, [run("one")], {"value": 1}, equity=equity)
        assert (tmp_path / kept).is_file()
        assert not (tmp_path / gone).exists()
        assert read_equity(tmp_path, "one").to_numpy().tolist() == run("one").equity.tolist()


def test_the_format_follows_the_length_unless_one_is_asked_for() -> None:
    assert [writes_csv("auto", bars) for bars in (LONG_EQUITY - 1, LONG_EQUITY)] == [True, False]
    assert [writes_csv(equity, bars) for equity in ("csv", "parquet") for bars in (1, LONG_EQUITY)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert Workload(LONG_EQUITY, 3, strategies=2).written == 0
    assert Workload(LONG_EQUITY, 3, strategies=2, equity="csv").written == 2 * LONG_EQUITY
    with pytest.raises(UsageError, match=r"equity 'parket' is unknown; .*parquet"):
        writes_csv("parket", 1)


def test_equity_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_module, "LONG_EQUITY", 50)
    write_run_folder(tmp_path, [run("one")], {"value": 1})
    with pytest.raises(DataError, match=r"equity\.parquet cannot be read \('another'\): run it again"):
        read_equity(tmp_path, "another")
    (tmp_path / "equity.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"equity\.parquet cannot be read .*: run it again"):
        read_equity(tmp_path, "one")
