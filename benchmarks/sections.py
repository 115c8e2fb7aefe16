"""What is measured, and how it is shown. The engines run in processes of their own (`benchmarks.process`)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.process import QUIET, Job, Measurement, measure, whole_process
from benchmarks.table import count, short, table

OURS, ONE_THREAD, RUST, NUMBA, BY_BAR = (
    "backtest", "backtest, 1 thread", "vectorbt rust", "vectorbt numba", "backtesting.py",
)  # fmt: skip
BARS = 2_880
GOAL_RATIO, GOAL_SECONDS, GOAL_MEGABYTES = 500, 10.0, 300.0


def replay(quick: bool) -> Iterator[str]:
    """Agreement of the engines, then their speed and memory on the same calendars."""
    yield subprocess.run(
        [sys.executable, "-m", "benchmarks.agreement", "20" if quick else "60"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=QUIET,
    ).stdout.rstrip()
    few = 1_200 if quick else 10_000
    jobs = [
        Job(OURS, 10_000, BARS),
        Job(ONE_THREAD, 10_000, BARS),
        Job(NUMBA, few, BARS),
        Job(RUST, few, BARS),
        Job(BY_BAR, 10 if quick else 20, BARS),
    ]
    found = measure(jobs, 3)
    ours = found[0].ms_per_thousand
    yield table(
        f"Ten catalysts over {BARS:,} bars: stop, target, fees, Sharpe ({os.cpu_count()} cores)",
        ("engine", "replays", "ms / 1,000", "ours is", "bars / s", "peak MB"),
        [
            (
                one.job.engine,
                count(one.job.replays),
                f"{one.ms_per_thousand:,.3g}" if one.ms_per_thousand < 100 else count(one.ms_per_thousand),
                f"{one.ms_per_thousand / ours:,.1f}x",
                short(one.bars_per_second),
                count(one.megabytes),
            )
            for one in found
        ],
        (
            "bars / s: bars of the market that the replays span; ours visits those on which",
            "something is held or enters, the others visit all. vectorbt runs on one core, in",
            "blocks of 300 columns, the size at which it is fastest. backtesting.py per replay",
            "from a few.",
        ),
    )
    ratio = min(one.ms_per_thousand for one in found[2:4]) / ours
    yield f"Ratio to the faster vectorbt engine: {ratio:.0f}x (goal {GOAL_RATIO}x)"
    (million,) = measure([Job(OURS, 1_000_000, BARS)], 1)
    yield (
        f"A million replays: {million.seconds:.2f} s, peak {million.megabytes:.0f} MB "
        f"(goals {GOAL_SECONDS:.0f} s, {GOAL_MEGABYTES:.0f} MB)"
    )


def growth(quick: bool) -> Iterator[str]:
    """How time and memory grow with the number of replays and with the number of bars."""
    replays = [Job(OURS, number, BARS) for number in (1_000, 10_000, 100_000, 1_000_000)[: 3 if quick else 4]]
    replays += [Job(name, number, BARS) for name in (NUMBA, RUST) for number in (300, 3_000)[: 1 if quick else 2]]
    bars = [Job(OURS, 10_000, number) for number in (2_880, 28_800, 288_000)]
    bars += [
        Job(name, replays, number)
        for name in (NUMBA, RUST)
        for replays, number in ((300, 2_880), (30, 28_800), (3, 288_000))[: 2 if quick else 3]
    ]
    for title, jobs in (("Growth with replays", replays), ("Growth with bars", bars)):
        yield table(
            title,
            ("engine", "replays", "bars", "seconds", "ms / 1,000", "peak MB"),
            [_growth_row(one) for one in measure(jobs, 1 if quick else 3)],
        )


def _growth_row(one: Measurement) -> tuple[str, ...]:
    return (
        one.job.engine,
        count(one.job.replays),
        count(one.job.bars),
        f"{one.seconds:.4f}",
        short(one.ms_per_thousand),
        count(one.megabytes),
    )


def startup(quick: bool) -> Iterator[str]:
    """Whole processes, from start to end."""
    python, backtest = sys.executable, str(Path(sys.executable).with_name("backtest"))
    repeats = 2 if quick else 5
    commands = {
        "backtest --help": [backtest, "--help"],
        "python -c 'import typer'": [python, "-c", "import typer"],
        "backtest run": [backtest, "run"],
        "python -c 'import vectorbt'": [python, "-c", "import vectorbt"],
    }
    yield table(
        "Start-up: whole processes, second start and later",
        ("command", "seconds"),
        [(name, f"{_warm(command, repeats):.2f}") for name, command in commands.items()],
    )


def _warm(command: list[str], repeats: int) -> float:
    whole_process(command, 1)
    return whole_process(command, repeats)


SECTIONS: dict[str, Callable[[bool], Iterator[str]]] = {"replay": replay, "growth": growth, "startup": startup}
