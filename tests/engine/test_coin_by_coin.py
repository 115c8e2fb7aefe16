"""A market prepared coin by coin, its panel in a file, is the one prepared at once, to the last bit."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from backtest.base.config import load_config
from backtest.base.errors import UsageError
from backtest.engine import prepared as preparing
from backtest.engine import room
from backtest.engine.costs import kernel_bars
from backtest.engine.layout import Bars
from backtest.engine.prepared import prepare
from backtest.engine.room import empty_panel, give_back, in_file
from backtest.market.dataset import open_dataset
from backtest.market.record import Floats
from backtest.scoring.drift import without_drift


def same(one: Bars, other: Bars) -> None:
    for name, value in one._asdict().items():
        np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


@pytest.mark.parametrize("mapped", [False, True])
def test_coin_by_coin_is_all_at_once(mapped: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    market, config = open_dataset("privacy-2025-sample"), load_config()
    whole = kernel_bars(market, config)
    monkeypatch.setenv("BACKTEST_ARRAYS", str(tmp_path))
    monkeypatch.setattr(preparing, "TOGETHER", 1_000)
    if mapped:
        monkeypatch.setattr(room, "MAPPED_SHARE", 10**9)
    parts = prepare(market, config)
    assert len(market.symbols) > 5
    assert (parts.bars.panel.base is not None) == mapped
    same(whole, parts.bars)
    same(without_drift(whole, market.bar_ms), without_drift(parts.bars, market.bar_ms))


def resident(panel: Floats) -> int:
    """Kilobytes of the mapping that holds an array which are in memory."""
    at, inside = panel.ctypes.data, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(found[1], 16) <= at < int(found[2], 16)
        elif inside and line.startswith("Rss:"):
            return int(line.split()[1])
    raise AssertionError("the array is in no mapping")


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system tells of no mappings")
def test_pages_that_are_given_back_leave_memory_and_stay_in_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BACKTEST_ARRAYS", str(tmp_path))
    monkeypatch.setattr(room, "MAPPED_BYTES", 1)
    panel = empty_panel(2, 100_000, 8)
    panel[:] = np.arange(8.0)
    # Nearly all: a system short of memory may have taken pages back already.
    assert resident(panel) > 0.5 * panel.nbytes / 1024
    give_back(panel)
    assert resident(panel) == 0
    assert (panel == np.arange(8.0)).all()
    held = np.ones((2, 3, 8))
    give_back(held)
    assert held.sum() == 48


def test_a_panel_stays_in_memory_where_no_file_can_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(room, "MAPPED_BYTES", 1)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "below", tmp_path):
        monkeypatch.setenv("BACKTEST_ARRAYS", str(place))
        assert in_file(empty_panel(2, 3, 8)) == (place == tmp_path)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1_000))
    assert not in_file(empty_panel(2, 100, 8))


def test_a_panel_larger_than_its_disk_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("BACKTEST_ARRAYS", str(tmp_path))
    monkeypatch.setattr(room, "machine_bytes", lambda: 1_000)
    with pytest.raises(UsageError, match=r"a panel of .* GB does not fit into .*, where .* GB are free: name another"):
        empty_panel(10**6, 10**7)
