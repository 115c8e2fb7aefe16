"""Attacks a checkout and counts: signals at random moments, flipped bytes of a store, many processes at once, leaks.

python -m tools.attack_campaign [--kills 40] [--flips 200] [--processes 20] [--cold 10] [--rounds 50] [--seed 1]

Each line says what was tried and what was lost; the exit code is 1 where anything was. It works in a folder of its own
below the system's temporary folder, needs no network, and takes some seconds a kill.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from backtest.base.errors import BacktestError
from backtest.ledger.store import open_ledger
from backtest.ledger.verification import verify_ledger
from backtest.market.importing import Said, import_paths
from backtest.market.rows import Key
from backtest.market.store import Store
from backtest.request.request import Request
from backtest.strategies import REGISTRY

ROOT = Path(__file__).parents[1]
QUICK = ("--placebo", "200", "--bootstrap", "0")
VERBS: dict[str, tuple[str, ...]] = {
    "run": ("run", "-s", "listing_momentum", *QUICK, "--out", "out"),
    "report": ("run", "-s", "listing_momentum", *QUICK, "--out", "out", "--report"),
    "study": ("study", "--json"),
    "sweep": ("sweep", "-s", "listing_momentum", "-p", "hold=24h,48h,72h", "--placebo", "200", "--out", "out"),
    "walkforward": ("walkforward", "-s", "catalyst_momentum", "-p", "hold=24h,48h", "--placebo", "0", "--out", "out"),
    "import": ("data", "import", "bars", "--venue", "bybit", "--kind", "swap", "--store", "out"),
}
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)
DERIVED = {".lock", "fingerprint", "lock"}
HOUR, START = 3_600_000, 1_735_689_600_000
BARS = 2_000
NUMBERS = {"kills": 40, "flips": 200, "processes": 20, "cold": 10, "rounds": 50, "seed": 1}


def started(verb: str, folder: Path, **more: str) -> subprocess.Popen[str]:
    """A command of one verb in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BACKTEST_LEDGER": "none", **more}
    return subprocess.Popen(
        [sys.executable, "-m", "backtest", *VERBS[verb]],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder, but for locks and what holds the time of day."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in DERIVED and path.name != "manifest.json"
    }


def write_bars(folder: Path) -> None:
    """Hourly bars of one coin, as a CSV that `data import` reads."""
    folder.mkdir(exist_ok=True)
    lines = ["timestamp,open,high,low,close,volume"]
    lines += [
        f"{START + HOUR * row},{40 + row % 7},{48 + row % 5},{39 - row % 3},{41 + row % 6},10" for row in range(BARS)
    ]
    (folder / "ZECUSDT-1h.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def kills(count: int, draw: random.Random, root: Path) -> list[str]:
    """End commands at random moments; each must end by its code and a sentence, and run again to the same files."""
    lost: list[str] = []
    codes: Counter[str] = Counter()
    whole: dict[str, tuple[float, dict[str, str]]] = {}
    for number in range(count):
        verb = list(VERBS)[number % len(VERBS)]
        if verb not in whole:
            folder = root / f"whole-{verb}"
            folder.mkdir()
            write_bars(folder / "bars")
            began = time.monotonic()
            _, said = (child := started(verb, folder)).communicate()
            whole[verb] = time.monotonic() - began, contents(folder / "out")
            if child.returncode:
                lost.append(f"{verb} fails undisturbed: {said[-200:]}")
        folder = root / f"kill-{number}"
        folder.mkdir()
        write_bars(folder / "bars")
        sent = draw.choice(SIGNALS)
        child = started(verb, folder)
        time.sleep(draw.uniform(0.05, 1.1) * whole[verb][0])
        child.send_signal(sent)
        _, said = child.communicate(timeout=300)
        codes[f"{sent.name} {child.returncode}"] += 1
        if child.returncode not in (0, 128 + sent, -sent):
            lost.append(f"{verb} ended by {sent.name} with {child.returncode}: {said[-200:]}")
        out = folder / "out"
        if (out / "run.json").exists() and not {"fills.csv", "trades.csv", "equity.csv"} <= set(os.listdir(out)):
            lost.append(f"{verb} ended by {sent.name} left half a run folder")
        _, said = (child := started(verb, folder)).communicate(timeout=600)
        if child.returncode or {**contents(out), **whole[verb][1]} != contents(out):
            lost.append(
                f"{verb} after {sent.name}: rerun ends with {child.returncode}, files differ or fail: {said[-200:]}"
            )
        shutil.rmtree(folder)
    print(f"kills: {count} of {', '.join(VERBS)}; {dict(sorted(codes.items()))}; lost: {len(lost)}")
    return lost


def flips(count: int, draw: random.Random, root: Path) -> list[str]:
    """Flip a byte of a store, cut a file or swap two; the rows are the same, or an error says so."""
    write_bars(root / "bars")
    store = Store(root / "store")
    import_paths([root / "bars"], store, Said("bybit", "swap"))
    key = next(iter(store.contents()))
    true = store.read(Key.of(key.venue, key.symbol, key.series, key.timeframe))
    files = [path for path in sorted((root / "store").rglob("*")) if path.is_file() and path.stat().st_size]
    lost: list[str] = []
    refused = 0
    for number in range(count):
        place = root / "flipped"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(root / "store", place)
        file = place / draw.choice(files).relative_to(root / "store")
        data = bytearray(file.read_bytes())
        if draw.random() < 0.8:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        else:
            del data[draw.randrange(len(data)) :]
        file.write_bytes(bytes(data))
        try:
            rows = Store(place).read(key)
        except BacktestError:
            refused += 1
        except Exception as problem:
            lost.append(f"flip {number} of {file.name}: {type(problem).__name__}: {problem}")
        else:
            if rows.time_ms.tobytes() != true.time_ms.tobytes() or rows.values.tobytes() != true.values.tobytes():
                lost.append(f"flip {number} of {file.name} changes rows unseen")
    print(f"flips: {count}, refused {refused}, read the same {count - refused - len(lost)}; lost: {len(lost)}")
    return lost


def processes(count: int, root: Path, cold: bool = False) -> list[str]:
    """Commands at once, which all write the same run into the same folder; cold ones have no compiled code yet.

    Where they are not cold, all keep their trial in one ledger, which must hold it once and be whole afterwards.
    """
    folder = root / ("cold" if cold else "together")
    folder.mkdir()
    more = {"NUMBA_CACHE_DIR": str(folder / "compiled")} if cold else {"BACKTEST_LEDGER": str(folder / "ledger.sqlite")}
    children = [started("run", folder, **more) for _ in range(count)]
    ends = [(child.communicate(timeout=3600)[1], child.returncode) for child in children]
    lost = [f"one of {count} ends with {code}: {said[-200:]}" for said, code in ends if code]
    names = sorted(path.name for path in (folder / "out").iterdir())
    if names != sorted({"equity.csv", "fills.csv", "run.json", "trades.csv", *([] if cold else ["ledger.json"])}):
        lost.append(f"the folder holds {names}")
    if not cold:
        with open_ledger(folder / "ledger.sqlite") as ledger:
            kept, faults = len(ledger.trials()), verify_ledger(ledger).faults
        if kept != 1 or faults:
            lost.append(f"the ledger holds {kept} trials instead of 1: {faults}")
    print(f"{'cold starts' if cold else 'processes'}: {count} at once into one folder; lost: {len(lost)}")
    return lost


def leaks(rounds: int) -> list[str]:
    """Memory that replays, portfolios and studies in one process keep; after a first round, it may grow by 64 MB."""
    session = Request().session()
    strategy = REGISTRY["listing_momentum"]()
    lost, first = [], 0
    for number in range(rounds):
        run = session.replay(strategy)
        _ = run.portfolio
        session.study()
        if number == min(10, rounds - 1):
            first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) // 1024
    if grown > 64:
        lost.append(f"{rounds} rounds keep {grown} MB")
    print(f"leaks: {rounds} replays, portfolios and studies; {grown} MB more; lost: {len(lost)}")
    return lost


def main(words: Sequence[str] | None = None) -> int:
    """Run what is asked for; 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    for name, default in NUMBERS.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args(words)
    draw = random.Random(asked.seed)
    lost: list[str] = []
    with tempfile.TemporaryDirectory(prefix="backtest-attack-") as place:
        root = Path(place)
        if asked.flips:
            lost += flips(asked.flips, draw, root)
        if asked.kills:
            lost += kills(asked.kills, draw, root)
        if asked.processes:
            lost += processes(asked.processes, root)
        if asked.cold:
            lost += processes(asked.cold, root, cold=True)
    if asked.rounds:
        lost += leaks(asked.rounds)
    print(*lost, sep="\n")
    print(f"lost: {len(lost) or 'nothing'}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
