"""What is measured, and how it is shown. The engines run in processes of their own (`benchmarks.process`)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

from benchmarks.engines import FOREIGN
from benchmarks.process import QUIET, Job, Measurement, measure, once, side_by_side
from benchmarks.table import count, short, table

OURS, ONE_THREAD, RUST, NUMBA, BY_BAR = (
    "backtest", "backtest, 1 thread", "vectorbt rust", "vectorbt numba", "backtesting.py",
)  # fmt: skip
NET_ONLY, RUST_NET, NUMPY = "backtest, net only", "vectorbt rust, net only", "numpy, lower bound"
BARS = 2_880
GOAL_RATIO, GOAL_SECONDS, GOAL_MEGABYTES = 500, 10.0, 300.0


def replay(quick: bool) -> Iterator[str]:
    """Agreement of the engines, then their speed and memory on the same calendars."""
    yield _output("benchmarks.agreement", "20" if quick else "60")
    few = 1_200 if quick else 10_000
    jobs = [
        Job(OURS, 10_000, BARS),
        Job(ONE_THREAD, 10_000, BARS),
        Job(NUMBA, few, BARS),
        Job(RUST, few, BARS),
        Job(BY_BAR, 10 if quick else 20, BARS),
        Job(NUMPY, 10_000, BARS),
        Job(NET_ONLY, 10_000, BARS),
        Job(RUST_NET, few, BARS),
        *(Job(name, 5 if quick else 10, BARS) for name, one in FOREIGN.items() if one.python),
    ]
    found = measure(jobs, 3 if quick else 5)
    ours = found[0].ms_per_thousand
    yield table(
        f"Ten catalysts over {BARS:,} bars: stop, target, fees, Sharpe ({os.cpu_count()} cores)",
        ("engine", "replays", "ms / 1,000", "ours is", "bars / s", "peak MB"),
        [
            (
                one.job.engine,
                count(one.job.replays),
                f"{one.ms_per_thousand:,.3g}" if one.ms_per_thousand < 100 else count(one.ms_per_thousand),
                f"{one.ms_per_thousand / ours:,.3g}x",
                short(one.bars_per_second),
                count(one.megabytes),
            )
            for one in found
        ],
        (
            "bars / s: bars of the market that the replays span; ours visits those on which",
            "something is held or enters, the others visit all. vectorbt runs on one core, in",
            "blocks of 300 columns, the size at which it is fastest. Engines that replay bar by",
            "bar: per replay, from a few. numpy: exits in a table by entry bar, which only these",
            "rules allow.",
            *(f"{name}: not installed; {one.how}" for name, one in FOREIGN.items() if not one.python),
        ),
    )
    fastest = min(found[2:4], key=lambda one: one.ms_per_thousand)
    yield (
        f"\nTo {fastest.job.engine}, the faster of its engines: {fastest.ms_per_thousand / ours:,.0f} times as fast "
        f"(goal {GOAL_RATIO}),\non one core {fastest.ms_per_thousand / found[1].ms_per_thousand:,.0f} times."
    )
    net, theirs_net = found[6], found[7]
    yield (
        f"Without the Sharpe ratio {theirs_net.ms_per_thousand / net.ms_per_thousand:,.0f} times as fast as "
        f"{RUST_NET}.\nThe numpy bound takes {found[5].ms_per_thousand / found[1].ms_per_thousand:.0%} of our time on "
        "one core."
    )
    held, copied = (float(word) for word in _output("benchmarks.bandwidth", str(BARS)).split())
    read = held * 64 / (found[1].ms_per_thousand / 1e6)
    yield (
        f"One core copies {copied / 1e9:.1f} GB/s here; our replays hold {held:.0f} bars each and read their panel at "
        f"{read / 1e9:.1f} GB/s on\none core, {read / copied:.0%} of it: the panel of {BARS:,} bars stays in the cache."
    )
    (million,) = measure([Job(OURS, 1_000_000, BARS)], 1)
    yield (
        f"A million replays: {million.seconds:.2f} s, peak {million.megabytes:.0f} MB "
        f"(goals {GOAL_SECONDS:.0f} s, {GOAL_MEGABYTES:.0f} MB)"
    )


def growth(quick: bool) -> Iterator[str]:
    """How time and memory grow with the number of replays and with the number of bars."""
    longer = 2 if quick else 3
    replays: list[tuple[Job, ...]] = [
        (Job(OURS, number, BARS),) for number in (1_000, 10_000, 100_000, 1_000_000)[: longer + 1]
    ]
    replays += [(Job(NUMBA, number, BARS), Job(RUST, number, BARS)) for number in (100, 1_000, 10_000)[:longer]]
    bars = [
        (Job(OURS, 10_000, number), Job(NUMBA, number_of_replays, number), Job(RUST, number_of_replays, number))
        for number, number_of_replays in ((2_880, 300), (28_800, 30), (288_000, 3))[:longer]
    ]
    for title, groups in (("Growth with replays", replays), ("Growth with bars", bars)):
        found = [one for jobs in groups for one in measure(jobs, 3)]
        yield table(
            title,
            ("engine", "replays", "bars", "seconds", "ms / 1,000", "peak MB"),
            [_growth_row(one) for one in sorted(found, key=lambda one: (one.job.engine, one.job[1:]))],
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


def sweep(quick: bool) -> Iterator[str]:
    """A grid with 10,000 placebos a point, the whole command, beside vectorbt on a hundredth of the replays."""
    points = 40 if quick else 500
    holds = ",".join(f"{6 * step}h" for step in range(1, points // 20 + 1))
    stops = ",".join(f"{step / 100}" for step in range(5, 25))
    command = [sys.executable, "-m", "backtest", "sweep", "-s", "catalyst_momentum", "-p", f"hold={holds}"]
    with tempfile.TemporaryDirectory() as folder:
        ours = once([*command, "-p", f"stop_loss={stops}", "--placebo", "dates:10000", "--out", f"{folder}/sweep"])
    replays = points * 10_001
    (theirs,) = measure([Job(NUMBA, replays // 100, BARS)], 1)
    rows = [
        ("backtest sweep", count(replays), f"{ours.seconds:.1f}", count(ours.megabytes)),
        (NUMBA, count(theirs.job.replays), f"{theirs.seconds:.1f}", count(theirs.megabytes)),
    ]
    yield table(
        f"A sweep of {points} points with 10,000 placebos each, start to end of the command",
        ("engine", "replays", "seconds", "peak MB"),
        rows,
        (f"per replay: {theirs.seconds / theirs.job.replays * replays / ours.seconds:,.0f} times as fast",),
    )


def startup(quick: bool) -> Iterator[str]:
    """Whole processes, from start to end, beside the import that a like tool would begin with."""
    python, backtest = [sys.executable, "-c"], [sys.executable, "-m", "backtest"]
    bare = ["run", "--placebo", "0", "--bootstrap", "0"]
    pairs = (
        ("--help", ["--help"], "import click", ""),
        ("--help", ["--help"], "import typer", ""),
        ("events list", ["events", "list"], "import typer", ""),
        ("run, replay only", bare, "import vectorbt", "1.5"),
        ("run, no placebo", bare[:3], "import vectorbt", "1.5"),
        ("run, one strategy", ["run", "-s", "catalyst_momentum"], "import vectorbt", "0.5"),
        ("run", ["run"], "import vectorbt", ""),
        ("study", ["study"], "import pandas", ""),
    )
    rows = []
    for name, arguments, other, goal in pairs:
        ours, theirs = side_by_side([[*backtest, *arguments], [*python, other]], 2 if quick else 7)
        ratio = f"{ours.seconds / theirs.seconds:.2f}"
        memory = f"{ours.megabytes:.0f} / {theirs.megabytes:.0f}"
        rows.append((name, f"{ours.seconds:.2f}", other, f"{theirs.seconds:.2f}", ratio, goal, memory))
    yield table(
        "Start-up: whole processes in turn, the fastest of each",
        ("backtest", "s", "python -c", "s", "ratio", "goal", "MB"),
        rows,
        ("no placebo: --placebo 0; replay only: --bootstrap 0 as well. MB: the most held.",),
    )


def verbs(quick: bool) -> Iterator[str]:
    """Every verb on the embedded sample: seconds of a whole process, and peak memory."""
    momentum = ["-s", "catalyst_momentum"]
    grid = [*momentum, "-p", "hold=24h,48h,72h"]
    commands = (
        ("strategies", ["strategies"]),
        ("events list", ["events", "list"]),
        ("events validate", ["events", "validate"]),
        ("events claims", ["events", "claims"]),
        ("run", ["run", "--out", "all"]),
        ("run, one strategy", ["run", *momentum, "--out", "one"]),
        ("report", ["report", "one"]),
        ("study", ["study"]),
        ("sweep, 6 trials", ["sweep", *grid, "-p", "stop_loss=0.1,0.2", "--out", "@sweep"]),
        ("walkforward, 3 trials", ["walkforward", *grid, "--out", "walk"]),
        ("audit, one strategy", ["audit", *momentum]),
        ("baseline record", ["baseline", "record", *momentum]),
        ("baseline check", ["baseline", "check"]),
        ("data list", ["data", "list", "--store", "store"]),
    )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in commands:
            # A sweep goes on where it stands, so each needs a folder of its own.
            runs = [
                once([sys.executable, "-m", "backtest", *(one.replace("@", f"{turn}-") for one in arguments)], folder)
                for turn in range(1 if quick else 4)
            ]
            rows.append((name, f"{min(one.seconds for one in runs):.2f}", count(max(one.megabytes for one in runs))))
    yield table("Every verb on the sample: fastest of its runs", ("backtest", "seconds", "peak MB"), rows)


def scale(quick: bool) -> Iterator[str]:
    """What large work costs, by a model fitted to small work, in a process of its own."""
    yield _output("benchmarks.scale", *(["--quick"] if quick else []))


def session(quick: bool) -> Iterator[str]:  # noqa: ARG001
    """What the public call of many variations adds to the kernel, in a process of its own."""
    yield "\n" + _output("benchmarks.session")


def held(quick: bool) -> Iterator[str]:
    """What skipping quiet bars saves where positions are held over thousands of them, in a process of its own."""
    yield _output("benchmarks.held", *(["--quick"] if quick else []))


def studies(quick: bool) -> Iterator[str]:
    """What an event study takes as catalysts grow, in a process of its own."""
    yield "\n" + _output("benchmarks.studies", *(["--quick"] if quick else []))


def data(quick: bool) -> Iterator[str]:
    """How fast a download, the store and an import are, in processes of their own."""
    yield "\n" + _output("benchmarks.data")
    yield _output("benchmarks.imports", "--rows", "1000000" if quick else "10000000")


def _output(module: str, *arguments: str) -> str:
    """What a module of this package prints in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=QUIET).stdout.rstrip()


SECTIONS: dict[str, Callable[[bool], Iterator[str]]] = {
    "replay": replay,
    "growth": growth,
    "held": held,
    "sweep": sweep,
    "startup": startup,
    "verbs": verbs,
    "session": session,
    "studies": studies,
    "data": data,
    "scale": scale,
}
