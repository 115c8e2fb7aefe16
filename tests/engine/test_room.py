"""A market that cannot fit is refused before it is prepared."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.base.config import load_config
from backtest.base.errors import UsageError
from backtest.engine import prepared, room
from backtest.engine.room import bytes_to_prepare, check_room, machine_bytes
from backtest.market.dataset import default_dataset, open_dataset


def test_more_bars_or_coins_never_need_less() -> None:
    sizes = [(0, 0), (1_000, 1), (1_000, 11), (2_628_000, 11), (2_628_000, 200)]
    needed = [bytes_to_prepare(*size) for size in sizes]
    assert needed == sorted(set(needed))
    # The largest size that was measured: 365 days of minutes x 40 coins, 3,718 MB.
    assert bytes_to_prepare(365 * 1_440, 40) == pytest.approx(3_718e6, rel=0.05)


def test_what_is_there_is_the_lesser_of_machine_and_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = machine_bytes()
    assert whole is not None
    assert whole > 100e6
    monkeypatch.setattr(room, "_GROUP", tmp_path / "memory.max")
    without = machine_bytes()
    assert without is not None
    for text, wanted in (("1000000", 1_000_000), ("max", without), ("0", without)):
        (tmp_path / "memory.max").write_text(text)
        assert machine_bytes() == wanted


def test_a_market_that_cannot_fit_is_refused_before_it_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    market = open_dataset(default_dataset())
    monkeypatch.setattr(room, "machine_bytes", lambda: bytes_to_prepare(*market.close.shape) - 1)
    monkeypatch.setattr(prepared, "kernel_bars", None)
    with pytest.raises(UsageError, match=r"bars x 13 coins need about 0\.2 GB .* and 0\.2 GB .*`timerange`"):
        prepared.prepare(market, load_config())


def test_what_fits_and_what_cannot_be_told_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    for there in (bytes_to_prepare(10, 2), None):
        monkeypatch.setattr(room, "machine_bytes", lambda there=there: there)
        check_room(10, 2)
