"""What a store survives: `python -m benchmarks.store_losses [KILLS]` prints what was tried and what was lost.

Writers are killed with SIGKILL in the middle of their appends, manifests are lost and stores merged, and every bit of a
manifest is flipped. A row counts as lost where an append had returned, or a file had been complete, and the row is not
read back; a change counts as silent where nothing says it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backtest.base.errors import MarketError
from backtest.market.checking import checked_series
from backtest.market.manifest import MANIFEST, read_manifest
from backtest.market.rows import UNITS, Key, Rows
from backtest.market.store import Store

KEY = Key.of("bybit", "ZEC/USDT:USDT", "ohlcv", "1h")
HOUR = 3_600_000
START = 1_735_689_600_000  # 2025-01-01 00:00 UTC
WIDTH = 24


def rows_from(first: int, count: int) -> Rows:
    """Hourly bars whose values follow from their times."""
    slots = START + (first + np.arange(count, dtype=np.int64)) * HOUR
    base = (slots // HOUR % 1000 + 100).astype(float)
    return Rows(slots, np.column_stack((base, base + 2, base - 2, base + 1, base * 3)))


def add(store: Store, first: int, count: int) -> None:
    """Append so many hours."""
    rows = rows_from(first, count)
    covered = [(int(rows.time_ms[0]), int(rows.time_ms[-1]) + HOUR)]
    store.append(KEY, rows, source="test", units=UNITS["ohlcv"], covered=covered)


def forked(work: Callable[[], None]) -> int:
    """Process id of a child that does the work and leaves; the parent never touches Arrow (threads do not fork)."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # a child never returns into the parent's code
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def kills(count: int, folder: Path, seed: int = 1) -> dict[str, int]:
    """Kill writers at random moments; each goes on in the store that the one before left."""
    chance = random.Random(seed)
    root, told = folder / "killed", folder / "told"
    told.write_text("0")

    def write(first: int) -> None:
        store = Store(root)
        for block in range(first, first + 10_000):
            add(store, block * WIDTH, WIDTH)
            if block % 7 == 6:
                store.compact(KEY)
            partial = told.with_suffix(".new")
            partial.write_text(str(block + 1))
            partial.replace(told)

    died = 0
    for _ in range(count):
        first = int(told.read_text())
        child = forked(lambda first=first: write(first))  # type: ignore[misc]
        # A slow machine needs longer for an append: the moment is drawn after some have returned.
        wanted, patience = first + chance.randrange(1, 4), time.monotonic() + 30
        while int(told.read_text()) < wanted and time.monotonic() < patience:
            time.sleep(0.002)
        time.sleep(chance.random() * 0.03)
        os.kill(child, signal.SIGKILL)
        died += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    done = int(told.read_text())
    answer = folder / "answer"

    def check() -> None:
        store = Store(root)
        found = checked_series(store, KEY)
        rows = store.read(KEY)
        wanted = rows_from(0, done * WIDTH)
        have = np.isin(wanted.time_ms, rows.time_ms)
        place = np.searchsorted(rows.time_ms, wanted.time_ms[have])
        wrong = int((rows.values[place] != wanted.values[have]).any(axis=1).sum())
        answer.write_text(json.dumps([int((~have).sum()), wrong, len(found.problems)]))

    os.waitpid(forked(check), 0)
    lost, wrong, broken = json.loads(answer.read_text())
    return {"kills": died, "rows acknowledged": done * WIDTH, "lost": lost, "wrong": wrong, "problems": broken}


def merges(count: int, folder: Path, seed: int = 7) -> dict[str, int]:
    """Copy one store over another, lose the manifest every other time, then read, append or compact."""
    chance = random.Random(seed)
    lost = silent = rows_in_all = 0
    for turn in range(count):
        stores = [Store(folder / f"{turn}-{side}") for side in "ab"]
        wanted: set[int] = set()
        for store in stores:
            for _ in range(chance.randrange(1, 4)):
                first, many = chance.randrange(0, 9000), chance.randrange(1, 40)
                add(store, first, many)
                wanted |= set(rows_from(first, many).time_ms.tolist())
            if chance.random() < 0.5:
                store.compact(KEY)
        ours, theirs = (store.root / KEY.path for store in stores)
        shutil.copytree(theirs, ours, dirs_exist_ok=True)
        if chance.random() < 0.5:
            (ours / MANIFEST).unlink()
        after = chance.choice(("read", "append", "compact"))
        if after == "append":
            add(stores[0], 0, 1)
            wanted.add(START)
        elif after == "compact":
            stores[0].compact(KEY)
        silent += bool(checked_series(stores[0], KEY).problems)
        lost += len(wanted - set(stores[0].read(KEY).time_ms.tolist()))
        rows_in_all += len(wanted)
        for store in stores:
            shutil.rmtree(store.root)
    return {"merges and losses": count, "rows": rows_in_all, "lost": lost, "called broken": silent}


def unseen_flips(path: Path, key: Key) -> list[tuple[int, int]]:
    """Byte and bit of every single bit of a manifest that may be flipped without a refusal; the file is left whole."""
    text, unseen = path.read_bytes(), []
    for place in range(len(text)):
        for bit in range(8):
            path.write_bytes(text[:place] + bytes([text[place] ^ 1 << bit]) + text[place + 1 :])
            try:
                read_manifest(path, key)
            except MarketError:
                continue
            unseen.append((place, bit))
    path.write_bytes(text)
    return unseen


def flips(folder: Path) -> dict[str, int]:
    """Flip every bit of a manifest; each must be refused, and the rows adopted once it is moved away."""
    store = Store(folder / "flipped")
    add(store, 0, 30)
    add(store, 40, 30)
    path = store.root / KEY.path / MANIFEST
    bits, unseen = 8 * path.stat().st_size, len(unseen_flips(path, KEY))
    path.unlink()
    return {"bits flipped": bits, "unseen": unseen, "rows adopted": checked_series(store, KEY).rows}


def campaign(count: int) -> list[dict[str, int]]:
    """All three, the kills first: they fork before this process has used Arrow."""
    with tempfile.TemporaryDirectory(prefix="store-losses-") as name:
        folder = Path(name)
        return [kills(count, folder), merges(count, folder), flips(folder)]


if __name__ == "__main__":
    print(json.dumps(campaign(int(sys.argv[1]) if len(sys.argv) > 1 else 100), indent=2))
