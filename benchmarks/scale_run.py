"""The size of docs/scale.md, run: one-minute bars x years x coins, 10,000 catalysts, 1,000 placebos held 72 hours.

`python -m benchmarks.scale --run COINS YEARS [--catalysts K] [--draws B] [--workers N]` prints a line for each step:
its seconds of processor time, the most memory held so far, how much of what is held now is memory of its own, and bytes
read from disk. The market's panels are written to files and mapped, as a worker of a
cluster maps them; files go to the folder that BACKTEST_ARRAYS names.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtest.base.config import load_config
from backtest.base.mapped import folder
from backtest.catalysts.record import Calendar
from backtest.engine.prepared import block_extremes, prepare
from backtest.market.record import Instrument, Market, Provenance, _restored
from backtest.scoring.draws import shifts_of
from backtest.scoring.placebo import Null, PlaceboPlan, null_of, nulls_of
from benchmarks.scale import Size
from benchmarks.scale_worker import FUNDING_BARS, SEED, intents_of

ROWS = 50_000
"""Bars that are drawn at once."""
PRICES = ("open", "high", "low", "close")


def processor_seconds() -> float:
    """Processor time of this process and of those that it started and that ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def gigabytes(key: str, of: str = "status") -> float:
    """A figure of this process that Linux keeps: VmHWM, RssAnon, RssFile; read_bytes in `io`."""
    found = re.search(rf"^{key}:\s*(\d+)", Path(f"/proc/self/{of}").read_text(), re.M)
    return int(found.group(1)) * (1 if of == "io" else 1_024) / 1e9 if found else float("nan")


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print what happened inside."""
    cpu, wall, read = processor_seconds(), time.perf_counter(), gigabytes("read_bytes", "io")
    yield
    print(
        f"{name:<34} {processor_seconds() - cpu:8.1f} s CPU {time.perf_counter() - wall:8.1f} s  peak "
        f"{gigabytes('VmHWM'):5.2f} GB, own {gigabytes('RssAnon'):5.2f}, mapped {gigabytes('RssFile'):5.2f}, read "
        f"{gigabytes('read_bytes', 'io') - read:5.2f} GB, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def mapped_market(size: Size) -> Market:
    """Random walks of one-minute bars in mapped files; a market of memory would take 56 bytes a cell."""
    shape = (size.bars, size.coins)

    def room() -> Any:
        with tempfile.TemporaryFile(dir=folder()) as file:
            return np.asarray(np.memmap(file, np.float64, "w+", shape=shape))

    panels = {name: room() for name in (*PRICES, "volume", "open_interest", "funding")}
    random = np.random.default_rng(SEED)
    level = np.zeros(size.coins)
    before = np.full(size.coins, 100.0)
    for first in range(0, size.bars, ROWS):
        rows = slice(first, min(first + ROWS, size.bars))
        steps = random.normal(0.0, 1e-3, (rows.stop - first, size.coins))
        steps[0] += level
        walk = np.cumsum(steps, axis=0)
        level = walk[-1]
        close = 100.0 * np.exp(walk)
        opens = np.vstack((before[None], close[:-1]))
        before = close[-1]
        panels["open"][rows], panels["close"][rows] = opens, close
        panels["high"][rows] = np.maximum(opens, close) * 1.0002
        panels["low"][rows] = np.minimum(opens, close) * 0.9998
        panels["volume"][rows] = 1e6
        panels["open_interest"][rows] = np.nan
    panels["funding"][FUNDING_BARS - 1 :: FUNDING_BARS] = 1e-4
    values = {
        "index": pd.date_range("2021-01-01", periods=size.bars, freq="min", tz="UTC").as_unit("ms"),
        "timeframe": "1m",
        "instruments": tuple(Instrument.parse(f"C{coin}/USDT:USDT") for coin in range(size.coins)),
        **panels,
        "provenance": Provenance("walks", "random walks"),
        "series": {},
        "auxiliary": {},
    }
    return _restored(values)


def run(size: Size, workers: int) -> None:
    """Every step of a placebo, in this process and then on workers of this machine."""
    print(
        f"{size.days:,} days of minutes x {size.coins} coins = {size.cells / 1e6:,.0f} M cells, {size.catalysts:,} "
        f"catalysts, {size.draws:,} placebos held {size.hold_hours} h, {os.cpu_count()} cores",
        flush=True,
    )
    with step("draw the market"):
        market = mapped_market(size)
    with step("prepare, coin by coin"):
        prepared = prepare(market, load_config())
    with step("lows and highs of blocks"):
        block_extremes(prepared)
    with step("orders"):
        intents = intents_of(size, market)
        prepared.orders(intents)
    plan, none = PlaceboPlan("shift", size.draws), Calendar("none", ())
    with step(f"{size.draws:,} placebos, net return"):
        here = null_of(intents, prepared, none, plan)
    few = max(size.draws // 50, 19)
    with step(f"{few:,} placebos, Sharpe ratio"):
        null_of(intents, prepared, none, PlaceboPlan("shift", few, "sharpe"))
    assert len(here.values) == len(shifts_of(size.bars, size.draws, plan.seed))
    if workers:
        on_workers(workers, here, prepared, intents, plan)


def on_workers(workers: int, here: Null, prepared: Any, intents: Any, plan: PlaceboPlan) -> None:
    """The same placebo on Dask workers of this machine: the same bytes, and one copy of the panel."""
    from distributed import Client

    from backtest.base.tasks import _started, parts
    from backtest.scoring.placebo import Member

    with step(f"start {workers} workers"):
        list(parts(_nothing, 0, range(workers), f"local:{workers}"))
    shares: list[dict[str, float]] = []
    with Client(_started(workers), set_as_default=False) as client:
        before = sum(client.run(processor_seconds).values())

        def hear(_: str, done: int, total: int) -> None:
            if done and done == max(total // 2, 1):
                shares.extend(client.run(_shares).values())

        with step(f"the same on {workers} workers"):
            (there,) = nulls_of(
                [Member(intents, None, (prepared,))], Calendar("none", ()), plan, f"local:{workers}", hear
            )
        print(f"{'of the workers':<34} {sum(client.run(processor_seconds).values()) - before:8.1f} s CPU")
    for number, one in enumerate(shares, 1):
        told = ", ".join(f"{name} {value:.2f} GB" for name, value in one.items())
        print(f"worker {number}: {told}")
    assert here.values.tobytes() == there.values.tobytes()
    print("the same bytes")


def _nothing(_: int, number: int) -> bytes:
    return str(number).encode()


def _shares() -> dict[str, float]:
    """Resident and proportional set size of a worker, gigabytes: a page that k processes share counts 1 / k of it."""
    text = Path("/proc/self/smaps_rollup").read_text()
    found = dict(re.findall(r"^(Rss|Pss|Pss_Anon): +(\d+)", text, re.M))
    return {name: int(value) * 1_024 / 1e9 for name, value in found.items()}


def main(arguments: list[str]) -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale --run")
    parser.add_argument("coins", type=int)
    parser.add_argument("years", type=float)
    parser.add_argument("--catalysts", type=int, default=10_000)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args(arguments)
    run(Size(round(given.years * 365.25), given.coins, given.catalysts, given.draws), given.workers)


if __name__ == "__main__":
    main(sys.argv[1:])
