"""The store: what is kept, by whom, and that neither a second process nor kill -9 can break it."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from dataclasses import replace
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from backtest.base.errors import MarketError, UsageError
from backtest.market import arrow_files
from backtest.market import store as store_module
from backtest.market.orphans import ADOPTED, QUARANTINE
from backtest.market.rows import UNITS, Key, Rows, plain_timeframe, read_files, series_names, write_file
from backtest.market.store import MANIFEST, Store, store_root
from backtest.market.venue_rules import RULES
from tests.forking import forking, leave_by
from tests.market.children import KEY, append_blocks, download, rows_of
from tests.market.loopback import HOUR, Listing, Loopback, options, serving

JAN = 1_735_689_600_000  # 2025-01-01 00:00 UTC
LAUNCH = 1_700_000_000_000


def hours(first: int, count: int) -> Rows:
    return rows_of(JAN + (first + np.arange(count, dtype=np.int64)) * HOUR)


def add(
    store: Store, rows: Rows, gaps: tuple[tuple[int, int], ...] = (), units: dict[str, str] | None = None
) -> tuple[int, int]:
    covered = [(int(rows.time_ms[0]), int(rows.time_ms[-1]) + HOUR)] if rows.time_ms.size else []
    done = store.append(KEY, rows, source="test", units=units or UNITS["ohlcv"], covered=covered, gaps=gaps)
    return done.new, done.differing


def contents(root: Path) -> dict[str, object]:
    """Every file below a root by name and bytes, manifests without the moment of their fetch.

    Rows that a kill left without a manifest are adopted, and their source says so until they are fetched again.
    """
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        if path.name == MANIFEST:
            document = json.loads(path.read_text())
            sources = [source for source in document["sources"] if source != ADOPTED]
            found[str(path.relative_to(root))] = document | {
                "fetched_at": "",
                "manifest_sha256": "",
                "sources": sources,
            }
        elif path.is_file() and path.name != "lock":
            found[str(path.relative_to(root))] = path.read_bytes()
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_rows_come_back_as_they_went_in(store: Store) -> None:
    assert store.contents() == ()
    assert add(store, hours(0, 48)) == (48, 0)
    rows = store.read(KEY)
    np.testing.assert_array_equal(rows.time_ms, hours(0, 48).time_ms)
    np.testing.assert_array_equal(rows.values, hours(0, 48).values)
    assert store.contents() == (KEY,)
    assert (store.root / "bybit/ZEC_USDT_USDT/ohlcv/1h" / MANIFEST).exists()
    part = store.read(KEY, JAN + 5 * HOUR, JAN + 7 * HOUR)
    assert part.time_ms.tolist() == [JAN + 5 * HOUR, JAN + 6 * HOUR]


def test_a_row_that_is_stored_is_never_replaced(store: Store) -> None:
    add(store, hours(0, 10))
    other = hours(5, 10)
    changed = Rows(other.time_ms, other.values + 1)
    assert add(store, changed) == (5, 5)
    np.testing.assert_array_equal(store.read(KEY).values[:10], hours(0, 10).values)
    np.testing.assert_array_equal(store.read(KEY).values[10:], changed.values[5:])
    assert store.problems(KEY) == []


def test_the_same_append_twice_changes_nothing(store: Store) -> None:
    add(store, hours(0, 10))
    before = contents(store.root)
    stamp = (store.root / KEY.path / MANIFEST).read_text()
    assert add(store, hours(0, 10)) == (0, 0)
    assert contents(store.root) == before
    assert (store.root / KEY.path / MANIFEST).read_text() == stamp


def test_coverage_says_what_to_ask_for(store: Store) -> None:
    add(store, hours(0, 10))
    add(store, hours(20, 10))
    assert store.missing(KEY, JAN - HOUR, JAN + 40 * HOUR) == (
        (JAN - HOUR, JAN),
        (JAN + 10 * HOUR, JAN + 20 * HOUR),
        (JAN + 30 * HOUR, JAN + 40 * HOUR),
    )
    assert store.missing(KEY, JAN + HOUR, JAN + 9 * HOUR) == ()


def test_a_gap_that_a_row_fills_is_none(store: Store) -> None:
    add(store, hours(0, 2), gaps=((JAN + 2 * HOUR, JAN + 5 * HOUR),))
    add(store, hours(3, 1))
    manifest = store.manifest(KEY)
    assert manifest is not None
    assert manifest.gap_spans == ((JAN + 2 * HOUR, JAN + 3 * HOUR), (JAN + 4 * HOUR, JAN + 5 * HOUR))
    add(store, hours(10, 1), gaps=((JAN, JAN + 3 * HOUR),))
    manifest = store.manifest(KEY)
    assert manifest is not None
    assert manifest.gap_spans[0] == (JAN + 2 * HOUR, JAN + 3 * HOUR)
    assert store.problems(KEY) == []


def test_compacting_gives_one_file_a_year_whatever_the_order(tmp_path: Path) -> None:
    blocks = [hours(24 * 300 + 30 * block, 30) for block in range(80)]
    results = []
    for seed in (1, 2):
        store = Store(tmp_path / str(seed))
        for rows in random.Random(seed).sample(blocks, len(blocks)):
            add(store, rows)
        store.compact(KEY)
        results.append(contents(store.root))
    assert results[0] == results[1]
    names = [name for name in results[0] if name.endswith(".parquet")]
    assert len(names) == 2
    assert Store(tmp_path / "1").read(KEY).time_ms.size == 80 * 30


def test_rows_of_several_years_are_written_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    one_file = store_module.write_file
    monkeypatch.setattr(store_module, "write_file", lambda *said: written.append(said) or one_file(*said))
    add(store, hours(24 * 300, 24 * 800))
    before = contents(store.root)
    store.compact(KEY)
    assert len(written) == 4  # 2025 to 2028
    assert contents(store.root) == before
    assert [path.endswith(".parquet") for path in before].count(True) == 4


def test_an_append_that_fails_between_its_years_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = hours(24 * 300, 24 * 100)
    one_file = store_module.write_file
    calls = []

    def fails(*said: object) -> object:
        calls.append(said)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return one_file(*said)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "write_file", fails)
        with pytest.raises(MarketError, match="No space left"):
            add(store, rows)
    assert not list(store.root.rglob("*.parquet"))
    assert add(store, rows) == (24 * 100, 0)


def test_an_append_that_is_killed_between_its_years_loses_and_doubles_nothing(store: Store) -> None:
    rows = hours(24 * 300, 24 * 100)
    folder = store.root / KEY.path
    folder.mkdir(parents=True)
    write_file(folder, rows.between(JAN, JAN + 365 * 24 * HOUR), KEY, UNITS["ohlcv"])  # as far as it came
    assert add(store, rows) == (24 * 35, 0)
    assert store.read(KEY).time_ms.tolist() == rows.time_ms.tolist()
    assert store.problems(KEY) == []


def test_a_dead_market_is_read_back_however_well_it_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_files, "LEAST_ROOM", 2**20)
    key = Key.of("bybit", "ZEC/USDT:USDT", "ohlcv", "1s")
    times = JAN + np.arange(200_000, dtype=np.int64) * 1_000
    rows = Rows(times, np.broadcast_to(np.array([1.0, 1.0, 1.0, 1.0, 0.0]), (times.size, 5)))
    file = write_file(tmp_path, rows, key, UNITS["ohlcv"])
    assert read_files(tmp_path, [file], "ohlcv").time_ms.size == times.size


def test_many_appends_stay_few_files(store: Store) -> None:
    for block in range(store_module.PENDING_MOST + 5):
        add(store, hours(block * 2, 2))
    manifest = store.manifest(KEY)
    assert manifest is not None
    assert len(manifest.files) < 10
    assert manifest.rows == 2 * (store_module.PENDING_MOST + 5)


def test_other_units_are_refused(store: Store) -> None:
    add(store, hours(0, 2))
    with pytest.raises(MarketError, match=r"is stored in .*base.*, but test has .*contracts"):
        add(store, hours(2, 2), units={"price": "quote", "volume": "contracts"})


def test_rows_out_of_order_are_refused(store: Store) -> None:
    rows = hours(0, 3)
    with pytest.raises(MarketError, match="not in order of time"):
        add(store, Rows(rows.time_ms[::-1].copy(), rows.values))


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "other columns", "manifest", "half manifest", "hash"])
def test_damage_is_found_and_named(store: Store, damage: str) -> None:
    add(store, hours(0, 500))
    folder = store.root / KEY.path
    file = next(folder.glob("*.parquet"))
    content = file.read_bytes()
    if damage == "flip":
        file.write_bytes(content[:200] + bytes([content[200] ^ 255]) + content[201:])
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "gone":
        file.unlink()
    elif damage == "other columns":
        pq.write_table(pq.read_table(file).drop(["volume"]), file)
    elif damage == "manifest":
        (folder / MANIFEST).write_text('{"format": 1, "colour": "red"}')
    elif damage == "half manifest":
        (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:100])
    else:
        text = (folder / MANIFEST).read_text()
        (folder / MANIFEST).write_text(text.replace('"sha256": "', '"sha256": "0', 1))
    problems = store.problems(KEY)
    assert 1 <= len(problems) <= 2
    assert "ZEC" in problems[0]


def test_a_damaged_page_is_refused_on_reading(store: Store) -> None:
    add(store, hours(0, 500))
    file = next((store.root / KEY.path).glob("*.parquet"))
    content = bytearray(file.read_bytes())
    content[200] ^= 255
    file.write_bytes(bytes(content))
    with pytest.raises(MarketError, match=r"parquet is damaged"):
        store.read(KEY)


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(MarketError, match=r"the store .*file cannot be written .*choose another with `store`"):
        add(Store(tmp_path / "file"), hours(0, 2))
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(MarketError, match="cannot be written"):
            add(Store(tmp_path / "closed"), hours(0, 2))
    full = Store(tmp_path / "full")

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    add(full, hours(0, 2))
    monkeypatch.setattr(store_module, "write_file", no_space)
    with pytest.raises(MarketError, match="No space left on device"):
        add(full, hours(2, 2))
    assert full.problems(KEY) == []
    assert full.read(KEY).time_ms.size == 2


def test_a_read_only_store_can_be_read(store: Store) -> None:
    add(store, hours(0, 20))
    paths = [store.root, *store.root.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert Store(store.root).read(KEY).time_ms.size == 20
        assert store.problems(KEY) == []
        assert len(store.contents()) == 1
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_series_that_another_holds_is_waited_for_and_then_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, hours(0, 2))
    monkeypatch.setattr(store_module, "LOCK_SECONDS", 0.05)
    with store._locked(KEY), pytest.raises(MarketError, match=r"is locked by another process for 0.05 s"):
        add(store, hours(2, 2))


def test_a_file_that_is_not_what_its_name_says_is_set_aside_and_named(store: Store) -> None:
    add(store, hours(0, 5))
    folder = store.root / KEY.path
    orphan = folder / f"{JAN}-{JAN}-0123456789ab.parquet"
    orphan.write_bytes(b"never listed")
    (folder / ".x.parquet.1.partial").write_bytes(b"half")
    (folder / "mine.txt").write_text("a user's own")
    assert store.read(KEY).time_ms.size == 5
    store.compact(KEY)
    assert not orphan.exists()
    assert (folder / QUARANTINE / orphan.name).read_bytes() == b"never listed"
    assert not list(folder.glob(".*.partial"))
    assert (folder / "mine.txt").exists()
    (problem,) = store.problems(KEY)
    assert f"{QUARANTINE}/{orphan.name} was set aside" in problem


def test_the_root_is_the_option_then_the_environment_then_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKTEST_STORE", "/from/environment")
    assert store_root("/from/option") == Path("/from/option")
    assert store_root() == Path("/from/environment")
    monkeypatch.delenv("BACKTEST_STORE")
    assert store_root().name == "store"
    assert store_root().parent.name == "backtest"


def test_names_of_series_and_timeframes() -> None:
    assert series_names("oi, ohlcv,oi") == ("oi", "ohlcv")
    with pytest.raises(UsageError, match=r"series .candles. is unknown; allowed: ohlcv, oi, funding"):
        series_names("candles")
    assert [plain_timeframe(text) for text in ("60m", "90m", "24h", "7d", "1s")] == ["1h", "90m", "1d", "1w", "1s"]
    assert Key.of("bybit", "ZEC/USDT:USDT", "funding", "1h").timeframe == "settled"


@pytest.fixture
def processes() -> ForkServerContext:
    return forking("tests.market.children")


def test_a_process_begins_with_what_it_was_to_have_imported() -> None:
    """Fifty that import ccxt anew take forty seconds, and commands that begin with nothing two seconds each."""
    for module in ("colorsys", "wave", "colorsys"):
        child = forking(module).Process(target=leave_by, args=(module,))
        child.start()
        child.join(60)
        assert child.exitcode == 0, module


def test_two_processes_append_at_once(store: Store, processes: ForkServerContext) -> None:
    # Overlapping blocks: each writes 40 blocks of 6 hours, every 4 hours.
    children = [
        processes.Process(target=append_blocks, args=(str(store.root), JAN + offset * HOUR, 40, 4, 6))
        for offset in (0, 2, 0)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert store.problems(KEY) == []
    whole = hours(0, 39 * 4 + 8)
    rows = store.read(KEY)
    np.testing.assert_array_equal(rows.time_ms, whole.time_ms)
    np.testing.assert_array_equal(rows.values, whole.values)


def test_reading_goes_on_while_another_process_appends(store: Store, processes: ForkServerContext) -> None:
    add(store, hours(0, 6))
    child = processes.Process(target=append_blocks, args=(str(store.root), JAN, 200, 6, 6))
    child.start()
    sizes = [6]
    while child.is_alive() and len(sizes) < 5000:
        rows = store.read(KEY)
        assert rows.time_ms.size % 6 == 0
        assert rows.time_ms.size >= sizes[-1]
        sizes.append(rows.time_ms.size)
    child.join(60)
    assert child.exitcode == 0
    assert store.read(KEY).time_ms.size == 1200


def _start(processes: ForkServerContext, root: Path, state: Loopback) -> ForkServerProcess:
    recipe = {
        "name": "test",
        "exchange": {"id": "bybit", "options": options("bybit", state.url)},
        "symbols": ["ZEC/USDT:USDT", "DASH/USDT:USDT"],
        "timeframe": "1h",
        "timerange": "20251005-20251015",
    }
    rules = replace(RULES["bybit"], ohlcv_rows=50, oi_rows=50, funding_rows=24)
    child = processes.Process(target=download, args=(str(root), recipe, rules))
    child.start()
    return child


def test_two_downloads_of_the_same_series_at_once(tmp_path: Path, processes: ForkServerContext) -> None:
    state = Loopback({f"{base}USDT": Listing(base, LAUNCH) for base in ("ZEC", "DASH")})
    with serving(state):
        alone = _start(processes, tmp_path / "alone", state)
        alone.join(60)
        both = [_start(processes, tmp_path / "both", state) for _ in range(2)]
        for child in both:
            child.join(60)
            assert child.exitcode == 0
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")


def test_fifty_kills_leave_a_readable_store_and_an_identical_download(
    tmp_path: Path, processes: ForkServerContext
) -> None:
    state = Loopback({f"{base}USDT": Listing(base, LAUNCH) for base in ("ZEC", "DASH")})
    chance = random.Random(11)
    kills = finished = 0
    with serving(state):
        whole = _start(processes, tmp_path / "whole", state)
        whole.join(60)
        assert whole.exitcode == 0
        wanted = contents(tmp_path / "whole")
        assert sum(name.endswith(".parquet") for name in wanted) == 6
        requests = len(state.asked)
        while kills < 50 or not finished:
            root = tmp_path / f"killed-{finished}"
            store = Store(root)
            state.asked.clear()
            child = _start(processes, root, state)
            after, delay = chance.randrange(4, requests // 2), chance.random() * 0.02
            killer = threading.Event()

            def strike(path: str, query: dict[str, str]) -> None:
                if len(state.asked) == after and not killer.is_set():  # noqa: B023
                    killer.set()  # noqa: B023
                    threading.Timer(delay, os.kill, (child.pid, signal.SIGKILL)).start()  # noqa: B023

            state.hook = strike
            child.join(60)
            assert child.exitcode in (0, -signal.SIGKILL)
            state.hook = None
            for key in store.contents():
                assert store.problems(key) == []
                assert store.read(key).time_ms.size >= 0
            if child.exitcode == 0:
                assert contents(root) == wanted
                finished += 1
            else:
                kills += 1
    assert kills >= 50
    assert finished >= 3
