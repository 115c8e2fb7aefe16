"""Attacks a checkout and counts: signals at random moments, flipped bytes of a store, many processes and series, leaks.

python -m tools.attack_campaign [--kills 42] [--flips 200] [--processes 20] [--cold 10] [--series 10000] [--rounds 1000]

Each line says what was tried and what was lost; the exit code is 1 where anything was. It works in a folder of its own
below the system's temporary folder, needs no network (a venue on loopback answers what is fetched), and takes some
seconds a kill. `--seed` draws other moments and bytes; a number of 0 leaves a part out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
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
from backtest.market.folder import read_folder
from backtest.market.from_store import open_stored
from backtest.market.importing import import_paths
from backtest.market.plain_files import Said
from backtest.market.rows import Key
from backtest.market.store import Store
from tests.market.loopback import Listing, Loopback, options, serving
from tools.attack_leaks import leaks

ROOT = Path(__file__).parents[1]
QUICK = ("--placebo", "200", "--bootstrap", "0")
VERBS: dict[str, tuple[str, ...]] = {
    "run": ("run", "-s", "listing_momentum", *QUICK, "--out", "out"),
    "report": ("run", "-s", "listing_momentum", *QUICK, "--out", "out", "--report"),
    "study": ("study", "--json"),
    "sweep": ("sweep", "-s", "listing_momentum", "-p", "hold=24h,48h,72h", "--placebo", "200", "--out", "out"),
    "walkforward": ("walkforward", "-s", "catalyst_momentum", "-p", "hold=24h,48h", "--placebo", "0", "--out", "out"),
    "import": ("data", "import", "bars", "--venue", "bybit", "--kind", "swap", "--store", "out"),
    "fetch": (
        *("fetch", "--exchange", "bybit", "--symbols", "ZEC/USDT:USDT", "--series", "ohlcv,oi,funding"),
        *("--timerange", "20250801-20251101", "--exchange-config", "venue.json", "--store", "out"),
    ),
}
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)
DERIVED = {".lock", "fingerprint", "lock"}
LAUNCH = 1_700_000_000_000
HOUR, START = 3_600_000, 1_735_689_600_000
BARS = 2_000
NUMBERS = {"kills": 42, "flips": 200, "processes": 20, "cold": 10, "series": 10_000, "rounds": 1_000, "seed": 1}


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


def ready(folder: Path, venue: Loopback) -> Path:
    """A folder with all that the verbs read."""
    folder.mkdir()
    write_bars(folder / "bars")
    (folder / "venue.json").write_text(json.dumps(options("bybit", venue.url)), encoding="utf-8")
    return folder


def kills(count: int, draw: random.Random, root: Path, verbs: Sequence[str] = tuple(VERBS)) -> list[str]:
    """End commands at random moments; each must end by its code and a sentence, and run again to the same files."""
    with serving(Loopback({"ZECUSDT": Listing("ZEC", LAUNCH)}, delay=0.01)) as venue:
        return _kills(count, draw, root, verbs, venue)


def _kills(count: int, draw: random.Random, root: Path, verbs: Sequence[str], venue: Loopback) -> list[str]:
    lost: list[str] = []
    codes: Counter[str] = Counter()
    whole: dict[str, tuple[float, dict[str, str]]] = {}
    for number in range(count):
        verb, before = verbs[number % len(verbs)], len(lost)
        if verb not in whole:
            folder = ready(root / f"whole-{verb}", venue)
            began = time.monotonic()
            _, said = (child := started(verb, folder)).communicate()
            whole[verb] = time.monotonic() - began, contents(folder / "out")
            if child.returncode:
                lost.append(f"{verb} fails undisturbed: {said[-200:]}")
        folder = ready(root / f"kill-{number}", venue)
        sent = draw.choice(SIGNALS)
        child = started(verb, folder)
        moment = draw.uniform(0.05, 1.1) * whole[verb][0]
        time.sleep(moment)
        child.send_signal(sent)
        _, said = child.communicate(timeout=300)
        ended = child.returncode
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
        if list(out.rglob("quarantine")) or list(out.rglob(".*.partial")):
            lost.append(f"{verb} after {sent.name}: the rerun leaves files aside or half-written")
        shutil.rmtree(folder)
        print(
            f"kill {number + 1} of {count}: {verb}, {sent.name} after {moment:.1f} s of {whole[verb][0]:.1f} s, "
            f"code {ended}; lost: {len(lost) - before}",
            flush=True,
        )
    print(f"kills: {count} of {', '.join(verbs)}; {dict(sorted(codes.items()))}; lost: {len(lost)}", flush=True)
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
    print(f"{'cold starts' if cold else 'processes'}: {count} at once into one folder; lost: {len(lost)}", flush=True)
    return lost


def many_series(count: int, root: Path) -> list[str]:
    """Import so many series of a day each, again, and read them as a market of store and folder; each is there once."""
    folder = root / "futures"
    folder.mkdir()
    hours = range(24)
    for number in range(count):
        lines = [f"{START + HOUR * row},{number + 1},{number + 3},{number + 1},{number + 2},10" for row in hours]
        text = "\n".join(["timestamp,open,high,low,close,volume", *lines])
        (folder / f"C{number}USDT-1h.csv").write_text(text + "\n", encoding="utf-8")
    store = Store(root / "store-of-many")
    lost: list[str] = []
    began = time.process_time()
    first = import_paths([folder], store, Said("bybit", "swap"))
    middle = time.process_time()
    again = import_paths([folder], store, Said("bybit", "swap"))
    end = time.process_time()
    for market in (open_stored(store, "bybit"), read_folder(folder)):
        closes = {int(symbol.split("/")[0][1:]) + 2: market.close[:, n] for n, symbol in enumerate(market.symbols)}
        if len(closes) != count or any((own != close).any() for close, own in closes.items()):
            lost.append(f"{market!r} is not what was imported")
    read = time.process_time()
    found = store.contents()
    if not len(found) == len(first.rows) == again.again == count or sum(first.rows.values()) != 24 * count:
        lost.append(f"{count} series: {len(found)} stored, {sum(first.rows.values())} rows, {again.again} known again")
    for key in found[:: max(1, count // 100)]:
        number = int(key.symbol.split("/")[0][1:])
        if store.problems(key) or set(store.read(key).values[:, 3]) != {float(number + 2)}:
            lost.append(f"{key} is not what was imported")
    print(
        f"series: {count:,} imported in {middle - began:.0f} s of CPU, known again in {end - middle:.0f} s, "
        f"read as two markets in {read - end:.0f} s; "
        f"lost: {len(lost)}",
        flush=True,
    )
    return lost


def main(words: Sequence[str] | None = None) -> int:
    """Run what is asked for; 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    for name, default in NUMBERS.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--verbs", type=lambda text: text.split(","), default=list(VERBS), help="verbs to end")
    asked = parser.parse_args(words)
    draw = random.Random(asked.seed)
    lost: list[str] = []
    with tempfile.TemporaryDirectory(prefix="backtest-attack-") as place:
        root = Path(place)
        if asked.flips:
            lost += flips(asked.flips, draw, root)
        if asked.kills:
            lost += kills(asked.kills, draw, root, asked.verbs)
        if asked.processes:
            lost += processes(asked.processes, root)
        if asked.cold:
            lost += processes(asked.cold, root, cold=True)
        if asked.series:
            lost += many_series(asked.series, root)
    if asked.rounds:
        lost += leaks(asked.rounds)
    print(*lost, sep="\n")
    print(f"lost: {len(lost) or 'nothing'}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
