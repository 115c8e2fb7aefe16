"""What a store survives: manifests lost, merged, changed by a bit or written by the version before."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from backtest.base.errors import MarketError
from backtest.market.checking import checked_series
from backtest.market.manifest import MANIFEST, Gap, asked_again
from backtest.market.orphans import QUARANTINE
from backtest.market.rows import UNITS, Key, Rows
from backtest.market.store import Store
from benchmarks.store_losses import unseen_flips
from tests.market.children import KEY, rows_of
from tests.market.loopback import DAY, HOUR

JAN = 1_735_689_600_000  # 2025-01-01 00:00 UTC
FUNDING = Key.of("bybit", "ZEC/USDT:USDT", "funding", "")
OI = Key.of("bybit", "ZEC/USDT:USDT", "oi", "1h")
KEYS = (KEY, OI, FUNDING)


def hours(first: int, count: int) -> Rows:
    return rows_of(JAN + (first + np.arange(count, dtype=np.int64)) * HOUR)


def rows_for(key: Key, first: int, count: int) -> Rows:
    rows = hours(first, count)
    return rows if key == KEY else Rows(rows.time_ms, rows.values[:, : 2 if key == OI else 1] / 1e6)


def add(store: Store, rows: Rows, key: Key = KEY) -> None:
    covered = [(int(rows.time_ms[0]), int(rows.time_ms[-1]) + HOUR)]
    store.append(key, rows, source="test", units=UNITS[key.series], covered=covered, gaps=[(JAN - DAY, JAN)])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_no_single_bit_of_a_manifest_changes_unseen(store: Store) -> None:
    add(store, hours(0, 30))
    add(store, hours(40, 30))
    path = store.root / KEY.path / MANIFEST
    assert path.stat().st_size > 1000
    assert unseen_flips(path, KEY) == []


def test_a_changed_manifest_is_named_with_a_way_out_that_keeps_every_row(store: Store) -> None:
    add(store, hours(0, 30))
    path = store.root / KEY.path / MANIFEST
    path.write_text(path.read_text().replace('"venue": "bybit"', '"venue": "bytit"'))
    for attempt in (lambda: store.read(KEY), lambda: add(store, hours(30, 1)), lambda: store.compact(KEY)):
        with pytest.raises(MarketError, match=r"was changed: its sha256 .* move the file away and run `backtest data"):
            attempt()
    assert "was changed" in checked_series(store, KEY).problems[0]
    path.rename(path.with_name("away.json"))
    checked = checked_series(store, KEY)
    assert (checked.rows, checked.adopted, checked.problems) == (30, 30, ())
    assert store.missing(KEY, JAN, JAN + 30 * HOUR) == ()


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.series)
def test_an_import_after_a_lost_manifest_keeps_what_was_there(store: Store, key: Key) -> None:
    add(store, rows_for(key, 0, 500), key)
    (store.root / key.path / MANIFEST).unlink()
    add(store, rows_for(key, 500, 20), key)
    store.compact(key)
    assert store.read(key).time_ms.tolist() == hours(0, 520).time_ms.tolist()
    assert store.problems(key) == []


def test_a_hundred_losses_and_merges_lose_no_row(tmp_path: Path) -> None:
    chance = random.Random(7)
    for turn in range(100):
        key = KEYS[turn % 3]
        stores = [Store(tmp_path / f"{turn}-{side}") for side in "ab"]
        wanted: set[int] = set()
        for store in stores:
            for _ in range(chance.randrange(1, 4)):
                rows = rows_for(key, chance.randrange(0, 9000), chance.randrange(1, 40))
                add(store, rows, key)
                wanted |= set(rows.time_ms.tolist())
            if chance.random() < 0.5:
                store.compact(key)
        folder, other = (store.root / key.path for store in stores)
        shutil.copytree(other, folder, dirs_exist_ok=True)
        if chance.random() < 0.5:
            (folder / MANIFEST).unlink()
        merged = stores[0]
        after = chance.choice(("read", "append", "compact", "check"))
        if after == "append":
            add(merged, rows_for(key, 0, 1), key)
            wanted.add(JAN)
        elif after == "compact":
            merged.compact(key)
        assert checked_series(merged, key).problems == ()
        assert set(merged.read(key).time_ms.tolist()) == wanted
        expected = {int(time): value for time, value in zip(*_all(key, sorted(wanted)), strict=True)}
        rows = merged.read(key)
        assert [expected[int(time)] for time in rows.time_ms] == rows.values[:, 0].tolist()


def _all(key: Key, times: list[int]) -> tuple[np.ndarray, list[float]]:
    rows = rows_of(np.array(times, dtype=np.int64))
    return rows.time_ms, (rows.values if key == KEY else rows.values / 1e6)[:, 0].tolist()


def test_a_merged_file_whose_rows_differ_is_set_aside_and_its_new_rows_are_kept(tmp_path: Path) -> None:
    ours, theirs = Store(tmp_path / "ours"), Store(tmp_path / "theirs")
    add(ours, hours(0, 10))
    other = hours(5, 10)
    add(theirs, Rows(other.time_ms, other.values + 1))
    (file,) = (theirs.root / KEY.path).glob("*.parquet")
    shutil.copy(file, ours.root / KEY.path)
    checked = checked_series(ours, KEY)
    assert (checked.rows, checked.adopted) == (15, 5)
    assert "was moved to quarantine: 5 of its rows differ" in checked.problems[0]
    assert (ours.root / KEY.path / QUARANTINE / file.name).read_bytes() == file.read_bytes()
    np.testing.assert_array_equal(ours.read(KEY).values[:10], hours(0, 10).values)
    again = checked_series(ours, KEY)
    assert again.problems
    assert again.adopted == 0


@pytest.mark.parametrize("what", ["another series", "other units"])
def test_a_file_that_does_not_belong_is_set_aside(store: Store, tmp_path: Path, what: str) -> None:
    add(store, hours(0, 10))
    theirs = Store(tmp_path / "theirs")
    key = Key.of("okx", "ZEC/USDT:USDT", "ohlcv", "1h") if what == "another series" else KEY
    units = {**UNITS["ohlcv"], "volume": "base, from contracts of 0.1"} if what == "other units" else UNITS["ohlcv"]
    theirs.append(key, hours(20, 5), source="test", units=units)
    (file,) = (theirs.root / key.path).glob("*.parquet")
    shutil.copy(file, store.root / KEY.path)
    checked = checked_series(store, KEY)
    assert checked.rows == 10
    assert "it is of another series" in checked.problems[0] or "from contracts of 0.1" in checked.problems[0]


def test_units_survive_the_loss_of_a_manifest(store: Store) -> None:
    units = {**UNITS["ohlcv"], "volume": "base, from contracts of 0.1"}
    store.append(KEY, hours(0, 5), source="test", units=units)
    (store.root / KEY.path / MANIFEST).unlink()
    manifest = store.manifest(KEY)
    assert manifest is not None
    assert manifest.units == units
    assert manifest.sources == ("files without a manifest",)


def test_a_listed_file_that_is_gone_is_named_with_a_way_out(store: Store) -> None:
    add(store, hours(0, 10))
    add(store, hours(50, 10))
    first, _ = sorted((store.root / KEY.path).glob("*.parquet"))
    first.unlink()
    with pytest.raises(MarketError, match=r"is missing though .*lists it: restore it, or move"):
        store.read(KEY)
    with pytest.raises(MarketError, match=r"is missing though .*lists it: restore it, or move"):
        add(store, hours(5, 10))
    (store.root / KEY.path / MANIFEST).unlink()
    assert checked_series(store, KEY).rows == 10


def test_a_manifest_of_the_version_before_is_read_and_written_anew(store: Store) -> None:
    add(store, hours(0, 10))
    path = store.root / KEY.path / MANIFEST
    document = json.loads(path.read_text())
    del document["manifest_sha256"], document["imported"]
    old = {**document, "format": 1, "gaps": [[JAN - DAY, JAN]], "fetched_at": "2025-12-01T00:00:00+00:00"}
    path.write_text(json.dumps(old, indent=1) + "\n")
    manifest = store.manifest(KEY)
    assert manifest is not None
    assert manifest.gaps == (Gap(JAN - DAY, JAN, 1, 1_764_547_200_000, 1_764_547_200_000),)
    add(store, hours(10, 2))
    assert '"format": 2' in path.read_text()
    assert store.read(KEY).time_ms.size == 12


def test_a_gap_is_young_until_it_was_asked_for_thrice_over_a_day() -> None:
    gaps = asked_again((), [(0, 10)], 1000)
    assert gaps == (Gap(0, 10, 1, 1000, 1000),)
    gaps = asked_again(gaps, [(5, 12)], 2000)
    assert gaps == (Gap(0, 5, 1, 1000, 1000), Gap(5, 10, 2, 1000, 2000), Gap(10, 12, 1, 2000, 2000))
    assert [gap.young for gap in gaps] == [True, True, True]
    assert Gap(0, 5, 3, 1000, 1000 + DAY - 1).young
    assert not Gap(0, 5, 3, 1000, 1000 + DAY).young
    assert Gap(0, 5, 2, 1000, 1000 + 9 * DAY).young


def test_doubtful_time_is_what_has_to_be_asked_for_again(store: Store) -> None:
    units, covered = UNITS["ohlcv"], [(JAN, JAN + 10 * HOUR)]
    gap = [(JAN + 3 * HOUR, JAN + 5 * HOUR)]
    rows = Rows(hours(0, 3).time_ms, hours(0, 3).values)
    for day in (0, 1, 2):
        store.append(KEY, rows, source="test", units=units, covered=covered, gaps=gap, now_ms=JAN + day * DAY)
        young = store.doubtful(KEY, JAN, JAN + 10 * HOUR)
        assert young == (tuple(gap) if day < 2 else ())
    assert store.doubtful(KEY, JAN, JAN + 4 * HOUR, old=True) == ((JAN + 3 * HOUR, JAN + 4 * HOUR),)
    assert store.missing(KEY, JAN, JAN + 10 * HOUR) == ()
