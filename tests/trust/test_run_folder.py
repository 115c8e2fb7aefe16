"""A run folder is whole or is none: a disk that fills, or an end while it is written, leaves no half of a run."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import backtest.report.folder as folder_module
from backtest.base.errors import UsageError
from backtest.report.folder import write_run_folder

FILES = ("equity.csv", "fills.csv", "run.json", "trades.csv")


def run(value: float) -> Any:
    table = pd.DataFrame({"value": [value]})
    return SimpleNamespace(strategy="s", fills=table, trades=table, equity=pd.Series([value]))


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())} if folder.is_dir() else {}


@pytest.mark.parametrize("failing", range(1, 5))
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_earlier_run_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, fault: BaseException
) -> None:
    write, calls = folder_module.write_text, 0

    def breaking(path: Path, text: str) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise fault
        write(path, text)

    for earlier in (False, True):
        folder = tmp_path / str(earlier)
        if earlier:
            write_run_folder(folder, [run(1.0)], {"value": 1})
        before, calls = contents(folder), 0
        with monkeypatch.context() as planted:
            planted.setattr(folder_module, "write_text", breaking)
            with pytest.raises((UsageError, KeyboardInterrupt)):
                write_run_folder(folder, [run(2.0)], {"value": 1})
        assert contents(folder) == before


@pytest.mark.parametrize("stopped", range(1, 5))
def test_an_end_between_the_renames_never_pairs_run_json_with_the_tables_of_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: int
) -> None:
    write_run_folder(tmp_path, [run(1.0)], {"value": 1})
    replace, calls = Path.replace, 0

    def breaking(path: Path, target: Path) -> Path:
        nonlocal calls
        if path.name.endswith(".new"):
            calls += 1
            if calls == stopped:
                raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as planted:
        planted.setattr(Path, "replace", breaking)
        with pytest.raises(KeyboardInterrupt):
            write_run_folder(tmp_path, [run(2.0)], {"value": 1})
    assert "run.json" not in contents(tmp_path)
    write_run_folder(tmp_path, [run(2.0)], {"value": 1})
    assert tuple(contents(tmp_path)) == FILES
    assert "2.0" in contents(tmp_path)["equity.csv"]
