"""Processes under measurement. This side imports next to nothing: a child's peak memory begins at its parent's."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.engines import FOREIGN

ROOT = str(Path(__file__).parents[1])
QUIET = {**os.environ, "TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": ROOT}


class Job(NamedTuple):
    """What a process is to replay."""

    engine: str
    replays: int
    bars: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Median seconds of a job's repeats, and its process's peak memory."""

    job: Job
    seconds: float
    megabytes: float

    @property
    def ms_per_thousand(self) -> float:
        """Milliseconds of a thousand replays."""
        return self.seconds / self.job.replays * 1e6

    @property
    def bars_per_second(self) -> float:
        """Bars of the market that the replays span, each second."""
        return self.job.replays * self.job.bars / self.seconds


def interpreter(engine: str) -> str:
    """The Python that has an engine: this one, or that which was named for a foreign engine."""
    foreign = FOREIGN.get(engine)
    return (foreign.python if foreign else None) or sys.executable


class Measured:
    """A `benchmarks.worker` process."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.seconds: list[float] = []
        self._process = subprocess.Popen(
            [interpreter(job.engine), "-m", "benchmarks.worker", job.engine, str(job.replays), str(job.bars)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=QUIET,
        )

    def __enter__(self) -> Measured:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def answer(self) -> str:
        """Its next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.job} ended with status {self._process.wait()}")
        return line

    def run(self) -> None:
        """Replay once more."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        self.seconds.append(float(self.answer()))

    def finish(self) -> Measurement:
        """End it and report."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return Measurement(self.job, statistics.median(self.seconds), float(self.answer()))


def measure(jobs: Sequence[Job], repeats: int) -> list[Measurement]:
    """Each job in its own process, their repeats in turn, so that drift of the machine cancels."""
    with ExitStack() as alive:
        measured = []
        for job in jobs:
            one = alive.enter_context(Measured(job))
            one.answer()
            measured.append(one)
        for _ in range(repeats):
            for one in measured:
                one.run()
        return [one.finish() for one in measured]


@dataclass(frozen=True, slots=True)
class Whole:
    """A command from start to end: least seconds of its repeats by the clock, most memory, least seconds of CPU."""

    seconds: float
    megabytes: float
    cpu: float


def side_by_side(commands: Sequence[Sequence[str]], repeats: int) -> list[Whole]:
    """Commands that succeed, in turn in one empty folder, so that drift of the machine cancels.

    Each is started once before. A child's peak memory begins at its parent's: call this from one that holds little.
    """
    with tempfile.TemporaryDirectory() as folder:
        for command in commands:
            once(command, folder)
        rounds = [[once(command, folder) for command in commands] for _ in range(repeats)]
    return [
        Whole(min(one.seconds for one in runs), max(one.megabytes for one in runs), min(one.cpu for one in runs))
        for runs in zip(*rounds, strict=True)
    ]


def once(command: Sequence[str], folder: str | None = None, *, tree: str = ROOT) -> Whole:
    """One run of a command that succeeds, in a folder if one is named, with the package of a checkout."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**QUIET, "PYTHONPATH": tree}
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return Whole(time.perf_counter() - start, peak, usage.ru_utime + usage.ru_stime)
