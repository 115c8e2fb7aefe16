"""Faults of the system that are real here, not made up: few descriptors, a read-only mount, links, forks, manifests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest.base.errors import MarketError, UsageError
from backtest.cli.leaving import LEAST_DESCRIPTORS
from backtest.market.checking import checked_series
from backtest.market.importing import import_paths
from backtest.market.manifest import MANIFEST, manifest_text
from backtest.market.plain_files import Said
from backtest.market.rows import UNITS, Key
from backtest.market.store import Store
from backtest.report.folder import write_run_folder
from tests.cli.conftest import ROOT
from tests.market.children import KEY, rows_of
from tests.market.loopback import DAY, HOUR
from tests.market.test_store_losses import JAN, add, hours

YEAR = 365 * DAY
DASH = Key.of("bybit", "DASH/USDT:USDT", "ohlcv", "1h")


def write_bars(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{JAN + HOUR * hour},50,51,49,50,1" for hour in range(48)]
    path = folder / "ZECUSDT-1h.csv"
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n")
    return path


def command(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BACKTEST_LEDGER": "none"}
    line = line.replace("backtest", f"{sys.executable} -m backtest", 1)
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("most", [5, 12, 20])
def test_too_few_descriptors_are_one_sentence_before_anything_is_read(most: int, tmp_path: Path) -> None:
    """Arrow ended the process, an audit blamed the strategy, a ledger the disk. Below 5 Python itself cannot start."""
    write_bars(tmp_path / "bars")
    done = command(f"ulimit -n {most}; exec backtest data import bars --venue bybit --store store", tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(
        rf"backtest: this process may open \d+ more files, but 24 are needed: raise the limit of open files, "
        rf"which is {most} \(ulimit -n 256\)",
        line,
    )
    assert not (tmp_path / "store").exists()


def test_as_many_descriptors_as_are_asked_for_are_enough_for_an_import(tmp_path: Path) -> None:
    write_bars(tmp_path / "bars")
    words = "data import bars --venue bybit --kind swap --store store"
    done = command(f"ulimit -n {3 + LEAST_DESCRIPTORS}; exec backtest {words}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert Store(tmp_path / "store").read(KEY).time_ms.size == 48


def test_a_read_only_file_system_is_read_and_a_write_is_a_sentence(tmp_path: Path) -> None:
    place = tmp_path / "mounted"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here, which needs root")
    try:
        store = Store(place / "store")
        add(store, hours(0, 30))
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        assert store.read(KEY).time_ms.size == 30
        assert store.problems(KEY) == []
        store.compact(KEY)
        with pytest.raises(MarketError, match=r"cannot be written \(Read-only file system\): choose another"):
            add(store, hours(30, 1))
        with pytest.raises(MarketError, match="Read-only file system"):
            import_paths([write_bars(tmp_path / "bars")], Store(place / "other"), Said("bybit", "swap"))
    finally:
        subprocess.run(["umount", str(place)], check=True)


def run(value: float) -> Any:
    table = pd.DataFrame({"value": [value]})
    return SimpleNamespace(strategy="s", fills=table, trades=table, equity=pd.Series([value]))


@pytest.mark.parametrize("name", ["run.json", "equity.csv", "fills.csv", "trades.csv"])
def test_a_link_in_a_run_folder_is_replaced_and_what_it_leads_to_left_alone(name: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("somebody's")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / name).symlink_to(victim)
    if name == "run.json":
        with pytest.raises(UsageError, match="holds another run"):
            write_run_folder(folder, [run(1.0)], {"value": 1})
    else:
        write_run_folder(folder, [run(1.0)], {"value": 1})
        assert not (folder / name).is_symlink()
    assert victim.read_text() == "somebody's"


def test_a_link_in_a_store_is_not_written_through(tmp_path: Path) -> None:
    store, victim = Store(tmp_path / "store"), tmp_path / "victim"
    add(store, hours(0, 5))
    folder = store.root / KEY.path
    (file,) = folder.glob("*.parquet")
    shutil.move(file, victim)
    file.symlink_to(victim)
    content = victim.read_bytes()
    add(store, hours(5, 5))
    store.compact(KEY)
    assert store.read(KEY).time_ms.size == 10
    assert victim.read_bytes() == content


def test_manifests_that_were_swapped_are_named_and_no_row_is_lost(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, hours(0, 30))
    add(store, hours(100, 20), DASH)
    paths = [store.root / key.path / MANIFEST for key in (KEY, DASH)]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[::-1], strict=True):
        path.write_bytes(content)
    for key, other in ((KEY, DASH), (DASH, KEY)):
        with pytest.raises(MarketError, match=f"is of '{other}', not {key}"):
            store.read(key)
        with pytest.raises(MarketError, match="is of"):
            add(store, hours(200, 1), key)
        assert "is of" in checked_series(store, key).problems[0]
    for path in paths:
        path.rename(path.with_name("away.json"))
    assert [checked_series(store, key).rows for key in (KEY, DASH)] == [30, 20]


def test_a_manifest_of_a_version_to_come_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, hours(0, 30))
    path = store.root / KEY.path / MANIFEST
    document = json.loads(path.read_text())
    del document["manifest_sha256"]
    for more in ({"format": 3}, {"format": 99}, {"knows_more": 1}):
        path.write_bytes(manifest_text({**document, **more}))
        before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
        for attempt in (lambda: store.read(KEY), lambda: add(store, hours(30, 1)), lambda: store.compact(KEY)):
            with pytest.raises(MarketError, match=r"manifest\.json: .*(format|knows_more)"):
                attempt()
        assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_a_manifest_written_by_a_clock_of_the_future_is_read_and_its_gaps_stay_young(tmp_path: Path) -> None:
    store = Store(tmp_path)
    gap = [(JAN + 3 * HOUR, JAN + 5 * HOUR)]
    covered = [(JAN, JAN + 10 * HOUR)]
    for now in (JAN + 900 * YEAR, 0, -JAN, JAN, JAN + HOUR):
        store.append(KEY, hours(0, 3), source="t", units=UNITS["ohlcv"], covered=covered, gaps=gap, now_ms=now)
    assert store.doubtful(KEY, JAN, JAN + 10 * HOUR) == tuple(gap)
    assert store.read(KEY).time_ms.size == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_children_take_turns_with_their_parent_and_replay_as_it_does(tmp_path: Path) -> None:
    """The parent has had threads of Arrow and of the kernel by then, which a child does not inherit."""
    script = tmp_path / "forks.py"
    script.write_text(FORKS)
    done = command(f"exec {sys.executable} forks.py", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["same", "same", "same"]
    store = Store(tmp_path / "store")
    assert store.read(KEY).time_ms.tolist() == rows_of(JAN + np.arange(40, dtype=np.int64) * HOUR).time_ms.tolist()
    assert store.problems(KEY) == []


FORKS = """
import os
import sys
from pathlib import Path

import numpy as np

from backtest.market.store import Store
from tests.market.test_store_losses import add, hours
from tools.attack_leaks import small_session
from backtest.strategies import REGISTRY

session = small_session()
strategy = REGISTRY["catalyst_momentum"]()
intents = strategy.decide(session.market, session.calendar)
store = Store(Path("store"))
add(store, hours(0, 10))
store.read(next(iter(store.contents())))


def statistics():
    return session.statistics(intents, hold_ms=np.arange(1, 200) * 3.6e6).to_numpy().tobytes()


before = statistics()
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        add(store, hours(10 + 10 * number, 10))
        os._exit(0 if statistics() == before else 9)
    children.append(child)
for child in children:
    print("same" if os.waitpid(child, 0)[1] == 0 else "other", flush=True)
"""
