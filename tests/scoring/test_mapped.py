"""Arrays of an object in one file: the same object again, one copy in memory, and nothing that a reader could spoil."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backtest.base import mapped
from backtest.base.errors import BacktestError
from backtest.base.mapped import UnmappedError, pack, unpack
from backtest.engine.prepared import Prepared, prepare
from tests.scoring.chance import CONFIG, quiet_market


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(mapped.FOLDER, str(tmp_path / "arrays"))
    return tmp_path / "arrays"


def prepared() -> Prepared:
    return prepare(quiet_market(np.random.default_rng(3)), CONFIG)


def test_a_prepared_market_is_the_same_again_and_its_panel_is_in_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mapped, "_LEAST", 512)
    made = prepared()
    packed = pack(made)
    again = unpack(packed)
    assert again.market.sha256() == made.market.sha256()
    assert again.bars.panel.tobytes() == made.bars.panel.tobytes()
    assert packed.size > made.bars.panel.nbytes + 4 * made.market.close.nbytes
    assert not again.market.close.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        again.market.close[0, 0] = 1.0


def test_what_one_reader_writes_no_other_reads() -> None:
    packed = pack({"values": np.arange(10_000.0), "few": np.arange(3.0)})
    one, other = unpack(packed), unpack(packed)
    one["values"][:] = -1.0
    np.testing.assert_array_equal(other["values"], np.arange(10_000.0))
    np.testing.assert_array_equal(unpack(packed)["values"], np.arange(10_000.0))
    np.testing.assert_array_equal(other["few"], np.arange(3.0))


READ = """
import pickle, re, sys
from backtest.base.mapped import unpack
packed = pickle.loads(sys.stdin.buffer.read(int(sys.argv[1])))
values = unpack(packed)
print(values.sum(), flush=True)
sys.stdin.buffer.read(1)
rows = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", open("/proc/self/smaps").read(), flags=re.M)
(own,) = [row for row in rows if packed.name in row]
print(re.search(r"^Pss: +(\\d+)", own, re.M).group(1), re.search(r"^Rss: +(\\d+)", own, re.M).group(1))
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what pages are shared")
def test_two_processes_share_one_copy() -> None:
    values = np.ones(4_000_000)
    packed = pickle.dumps(pack(values))
    started = [
        subprocess.Popen([sys.executable, "-c", READ, str(len(packed))], stdin=-1, stdout=-1, text=False)
        for _ in range(2)
    ]
    for one in started:
        assert one.stdin is not None
        one.stdin.write(packed)
        one.stdin.flush()
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline() == b"4000000.0\n"
    shares = []
    for one in started:
        assert one.stdin is not None
        assert one.stdout is not None
        one.stdin.write(b"x")
        one.stdin.flush()
        shares.append([int(value) for value in one.stdout.readline().split()])
    for one in started:
        one.communicate()
    # Both hold all 32 MB, and each is charged half of them, or less while others read the file.
    assert all(rss >= 31_250 for _, rss in shares)
    assert shares[0][0] <= 0.55 * shares[0][1]


def test_what_is_missing_or_cut_is_said(folder: Path) -> None:
    packed = pack(np.ones(10_000))
    path = folder / packed.name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UnmappedError, match="are not in"):
        unpack(packed)
    content = np.ones(10_000).tobytes()
    for start in (0, 64_000):
        assert not mapped.holds(packed.name, packed.size)
        mapped.receive(packed.name, packed.size, start, content[start : start + 64_000], "test")
    np.testing.assert_array_equal(unpack(packed), np.ones(10_000))
    mapped.forget(packed.name)
    assert not mapped.holds(packed.name, packed.size)


def test_what_was_left_behind_is_deleted_after_a_day(folder: Path) -> None:
    pack(np.ones(10_000))
    (old,) = folder.iterdir()
    os.utime(old, (0, 0))
    packed = pack(np.zeros(10_000))
    assert [path.name for path in folder.iterdir()] == [packed.name]


def test_a_folder_of_somebody_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "_user", lambda: 12_345_678)
    with pytest.raises(BacktestError, match="is no folder of this user: remove it, or name another one in BACKTEST_A"):
        pack(np.ones(10_000))
