"""An import knows a file that has not changed without reading it, and reads one that has."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from backtest.base.errors import MarketError
from backtest.market.importing import import_paths
from backtest.market.plain_files import Said
from backtest.market.seen_files import SEEN, SETTLED_NS, SeenFiles
from backtest.market.store import Store

SAID = Said("bybit", "swap")
BARS = "timestamp,open,high,low,close,volume\n" + "".join(
    f"{1_735_689_600_000 + hour * 3_600_000},{100 + hour},{102 + hour},{99 + hour},{101 + hour},5\n"
    for hour in range(48)
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ZECUSDT-1h.csv"
    path.write_text(BARS)
    # Old enough that no second change can fall into the same tick.
    hour_ago = time.time_ns() - 3_600 * 10**9
    os.utime(path, ns=(hour_ago, hour_ago))
    return path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    # The time of the last change of anything cannot be set by a test: the margin is taken away instead.
    monkeypatch.setattr("backtest.market.seen_files.SETTLED_NS", -SETTLED_NS)
    return Store(tmp_path / "store")


def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the file was read")

    monkeypatch.setattr("backtest.market.seen_files.hashlib.file_digest", refuse)


def test_an_unchanged_file_is_not_read_again(file: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert import_paths([file], store, SAID).again == 0
    unreadable(monkeypatch)
    done = import_paths([file], store, SAID)
    assert (done.again, done.rows) == (1, {})
    with pytest.raises(AssertionError, match="was read"):
        import_paths([file], store, Said("bybit", "spot"))


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_changed_file_is_read(file: Path, store: Store, keep_times: bool) -> None:
    import_paths([file], store, SAID)
    told = file.stat()
    file.write_text(BARS + f"{1_735_689_600_000 + 48 * 3_600_000},150,160,140,155,6\n")
    if keep_times:
        os.utime(file, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert sum(import_paths([file], store, SAID).rows.values()) == 1


def test_content_of_the_same_size_and_times_is_told_by_the_time_of_the_change(file: Path, store: Store) -> None:
    import_paths([file], store, SAID)
    told = file.stat()
    file.write_text(BARS.replace(",5\n", ",6\n"))
    os.utime(file, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (told.st_size, told.st_mtime_ns)
    assert import_paths([file], store, SAID).again == 0


def test_a_store_without_the_rows_is_filled_again(file: Path, store: Store, tmp_path: Path) -> None:
    import_paths([file], store, SAID)
    other = Store(tmp_path / "other")
    other.root.mkdir()
    (other.root / SEEN).write_bytes((store.root / SEEN).read_bytes())
    assert sum(import_paths([file], other, SAID).rows.values()) == 48


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', '{"a": [1, 2, 3, 4, 5, 6]}', '{"a": [1, 2, 3, 4, true, ""]}']
)
def test_a_damaged_cache_is_no_cache(file: Path, store: Store, text: str) -> None:
    import_paths([file], store, SAID)
    (store.root / SEEN).write_text(text)
    assert import_paths([file], store, SAID).again == 1
    assert len(json.loads((store.root / SEEN).read_text())) == 1


def test_a_file_written_a_moment_ago_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("a")
    seen = SeenFiles(tmp_path)
    seen.mark(path, "")
    seen.keep()
    assert not (tmp_path / SEEN).exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(MarketError, match=r"gone\.csv cannot be read"):
        SeenFiles(tmp_path).mark(tmp_path / "gone.csv", "")
