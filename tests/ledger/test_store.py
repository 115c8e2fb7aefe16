"""The file of the ledger: nothing lost to kills, two writers and full disks; tampering named."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from backtest.base.errors import DataError, UsageError
from backtest.ledger.records import Scope
from backtest.ledger.store import Ledger, LedgerHead
from backtest.ledger.verification import verify_ledger
from tests.ledger.ledgers import OCTOBER, blind, family, made

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from pathlib import Path
import numpy as np
from backtest.ledger.store import Ledger
from tests.ledger.ledgers import made

path, first, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with Ledger(path) as ledger:
    for number in range(first, first + count):
        draws = np.random.default_rng(number).standard_normal(200)
        (place,) = ledger.append([made(1.0, draws, name=f"trial {number}")])
        print(number, place, flush=True)
"""


def written(path: Path, count: int = 5) -> tuple[int, ...]:
    observed, draws = family(count, 99, 3)
    with Ledger(path) as ledger:
        return ledger.append([made(value, row) for value, row in zip(observed, draws, strict=True)])


def writer(path: Path, first: int, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(first), str(count)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a" / "ledger.sqlite"
    places = written(path)
    assert places == (2, 3, 4, 5, 6)  # the scope is entry 1
    with Ledger(path) as ledger:
        observed, draws = family(5, 99, 3)
        assert [one.body["observed"] for one in ledger.trials()] == observed.tolist()
        assert ledger.draws_of(4).tolist() == draws[2].astype(np.float32).tolist()
        assert ledger.scopes() == {ledger.trials()[0].scope: OCTOBER}
        assert verify_ledger(ledger).faults == ()
        assert verify_ledger(ledger).entries == 6


def test_a_trial_is_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    places, size = written(path), (tmp_path / "ledger.sqlite").stat().st_size
    assert written(path) == places
    assert path.stat().st_size == size
    with Ledger(path) as ledger:
        before = ledger.head()
        (other,) = ledger.append([made(0.1, np.arange(99.0))])
        assert (other, ledger.head().seq) == (7, 7)
        assert before.seq == 6


def test_a_scope_with_thousands_of_catalysts_is_kept_as_it_was(tmp_path: Path) -> None:
    events = frozenset((coin, day) for coin in ("ZEC", "DASH") for day in range(5_000))
    scope = Scope(0, 10**12, frozenset({"ZEC", "DASH"}), events)
    with Ledger(tmp_path / "l") as ledger:
        ledger.append([blind("one", scope)])
        assert list(ledger.scopes().values()) == [scope]
    assert (tmp_path / "l").stat().st_size < 60_000


def test_a_trial_of_ten_thousand_draws_takes_less_than_50_kb(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        draws = np.random.default_rng(1).standard_normal((40, 10_000))
        ledger.append([made(1.0, row) for row in draws[:20]])
        ledger.compact()
        before = path.stat().st_size
        ledger.append([made(1.0, row) for row in draws[20:]])
        ledger.compact()
    assert 40_000 < (path.stat().st_size - before) / 20 < 50_000


def test_trials_that_traded_alike_share_their_draws(tmp_path: Path) -> None:
    path, draws = tmp_path / "ledger.sqlite", np.random.default_rng(1).standard_normal(10_000)
    with Ledger(path) as ledger:
        ledger.append([made(1.0, draws, name=f"trial {number}") for number in range(50)])
        ledger.compact()
    assert path.stat().st_size < 300_000


@pytest.mark.parametrize("kills", [5])
def test_a_killed_writer_loses_nothing_it_had_told_of(tmp_path: Path, kills: int) -> None:
    """`benchmarks/ledger.py` does this fifty times."""
    path, told = tmp_path / "ledger.sqlite", {}
    chance = random.Random(1)
    for attempt in range(kills):
        with writer(path, 1_000 * attempt, 1_000) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            time.sleep(chance.uniform(0.0, 0.1))
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.read().splitlines(keepends=True)
        told |= {int(number): int(place) for number, place in (line.split() for line in lines if line.endswith("\n"))}
    with Ledger(path) as ledger:
        assert verify_ledger(ledger).faults == ()
        kept = {one.body["strategy"]: one.seq for one in ledger.trials()}
    assert len(told) >= kills
    assert {f"trial {number}": place for number, place in told.items()}.items() <= kept.items()


def test_two_writers_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    both = [writer(path, first, 25) for first in (0, 1_000)]
    told = [process.communicate(timeout=120)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    places = [int(line.split()[1]) for lines in told for line in lines]
    assert sorted(places) == list(range(2, 52))
    with Ledger(path) as ledger:
        assert verify_ledger(ledger).faults == ()


def test_a_full_disk_is_said_and_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    written(path)
    with Ledger(path) as ledger:
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        before = ledger.head()
        with pytest.raises(UsageError, match=r"ledger .* cannot be used \(database or disk is full\): free space"):
            ledger.append([made(1.0, np.random.default_rng(n).standard_normal(9_999)) for n in range(9)])
        assert ledger.head() == before
        assert verify_ledger(ledger).faults == ()


def test_a_byte_that_changes_is_named_or_changes_nothing(tmp_path: Path) -> None:
    path, copy = tmp_path / "ledger.sqlite", tmp_path / "copy.sqlite"
    written(path, 8)
    whole = path.read_bytes()

    def content(ledger: Ledger) -> tuple[object, ...]:
        """All but centre, spread and rank, which are computed of the rest and checked to a millionth."""
        return [row[:10] for row in ledger.raw()], [ledger.draws_of(seq).tobytes() for seq in range(2, 10)]

    with Ledger(path) as ledger:
        expected = content(ledger)
    chance, named = random.Random(5), 0
    for _ in range(150):
        place = chance.randrange(len(whole))
        copy.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :])
        problem = ""
        try:
            with Ledger(copy) as ledger:
                verify_ledger(ledger).check(copy)
                assert content(ledger) == expected
        except (DataError, UsageError) as found:
            problem = str(found)
        assert not problem or str(copy) in problem
        named += bool(problem)
        for beside in tmp_path.glob("copy.sqlite-*"):
            beside.unlink()
    assert named > 50


def changed(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TRIGGER IF EXISTS no_update")
        db.execute("DROP TRIGGER IF EXISTS no_delete")
        db.execute(statement)
    db.close()


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE entries SET body = replace(body, '24h', '48h') WHERE seq = 3", r"entry #3 \(trial of .*was changed"),
        ("UPDATE entries SET time = '2020-01-01' WHERE seq = 4", r"entry #4 \(trial of 2020-01-01\) was changed"),
        ("DELETE FROM entries WHERE seq = 4", "entry #4 is missing"),
        ("UPDATE entries SET rank = 9 WHERE seq = 5", "the index of entry #5 does not agree with it"),
        ("UPDATE entries SET common = 'b' WHERE seq = 5", "the index of entry #5 does not agree with it"),
        ("UPDATE draws SET numbers = zeroblob(396) WHERE hash = (SELECT draws FROM entries WHERE seq = 6)",
         r"the draws of entry #6 \(s\w+\) were changed or are missing"),
        ("DELETE FROM draws", "the draws of entry #2"),
    ],
)  # fmt: skip
def test_tampering_is_named(tmp_path: Path, statement: str, sentence: str) -> None:
    path = tmp_path / "ledger.sqlite"
    written(path)
    changed(path, statement)
    with Ledger(path) as ledger, pytest.raises(DataError, match=sentence):
        verify_ledger(ledger).check(path)


def test_entries_taken_from_the_end_are_seen_by_an_earlier_head(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    written(path)
    with Ledger(path) as ledger:
        head = ledger.head()
        assert verify_ledger(ledger, [head, LedgerHead(0, "0" * 64)]).faults == ()
    changed(path, "DELETE FROM entries WHERE seq = 6")
    with Ledger(path) as ledger:
        assert verify_ledger(ledger).faults == ()
        assert verify_ledger(ledger, [head]).faults == (
            f"entry #6, seen before with hash {head.hash[:12]}, is missing: entries were taken away",
        )


def test_entries_are_added_never_changed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    written(path)
    db = sqlite3.connect(path)
    for statement in ("UPDATE entries SET key = ''", "DELETE FROM entries"):
        with pytest.raises(sqlite3.IntegrityError, match="entries are added, never"):
            db.execute(statement)
    db.close()


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, though it is longer than a header of SQLite is\n" * 9)
    with pytest.raises(DataError, match=r"text is damaged or no ledger \(file is not a database\)"):
        Ledger(tmp_path / "text")
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("CREATE TABLE mine (a)")
    db.close()
    with pytest.raises(DataError, match=r"other is another SQLite database: name a separate file with `ledger`"):
        Ledger(tmp_path / "other")
    with sqlite3.connect(tmp_path / "newer") as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(DataError, match="has format 9, and this version reads 1"):
        Ledger(tmp_path / "newer")
    with pytest.raises(UsageError, match=r"cannot be made .*choose another with `ledger`, or `ledger=none`"):
        Ledger(tmp_path / "text" / "inside")


def test_compacting_keeps_every_entry_and_gives_room_back(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    written(path)
    with Ledger(path) as ledger:
        head, entries = ledger.head(), list(ledger.raw())
        ledger._connection.executemany(
            "INSERT INTO draws VALUES (?, zeroblob(40000))", [(str(number),) for number in range(20)]
        )
        before, after = ledger.compact()
        assert before - after > 700_000
        assert (ledger.head(), list(ledger.raw())) == (head, entries)
        assert verify_ledger(ledger).faults == ()


def test_a_copy_is_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    written(path)
    shutil.copy(path, tmp_path / "copy")
    with Ledger(path) as one, Ledger(tmp_path / "copy") as other:
        assert one.head() == other.head()
