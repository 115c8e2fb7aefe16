"""A market prepared coin by coin, its panel in a file, is the one prepared at once, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.base.config import load_config
from backtest.base.errors import UsageError
from backtest.engine import prepared as preparing
from backtest.engine import room
from backtest.engine.costs import kernel_bars
from backtest.engine.layout import Bars
from backtest.engine.prepared import prepare
from backtest.engine.room import empty_panel
from backtest.market.dataset import open_dataset
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


def test_a_panel_larger_than_its_disk_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("BACKTEST_ARRAYS", str(tmp_path))
    monkeypatch.setattr(room, "machine_bytes", lambda: 1_000)
    with pytest.raises(UsageError, match=r"a panel of .* GB does not fit into .*, where .* GB are free: name another"):
        empty_panel(10**6, 10**7)
