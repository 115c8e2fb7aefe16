"""Processes under measurement. This side imports next to nothing: a child's peak memory begins at its parent's."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

QUIET = {**os.environ, "TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}


@dataclass(frozen=True, slots=True)
class Measurement:
    """Median seconds of the repeats, and the process's peak memory."""

    engine: str
    replays: int
    bars: int
    seconds: float
    megabytes: float

    @property
    def ms_per_thousand(self) -> float:
        """Milliseconds of a thousand replays."""
        return self.seconds / self.replays * 1e6

    @property
    def bars_per_second(self) -> float:
        """Bars of the market that the replays cover, each second."""
        return self.replays * self.bars / self.seconds


class Measured:
    """A `benchmarks.worker` process, warmed up."""

    def __init__(self, engine: str, replays: int, bars: int) -> None:
        self.engine, self.replays, self.bars = engine, replays, bars
        self.seconds: list[float] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", engine, str(replays), str(bars)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=QUIET,
        )

    def __enter__(self) -> Measured:
        self._line()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.engine} ended with status {self._process.wait()}")
        return line

    def run(self) -> None:
        """Replay once more."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        self.seconds.append(float(self._line()))

    def finish(self) -> Measurement:
        """End the process and report."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        megabytes = float(self._line())
        return Measurement(self.engine, self.replays, self.bars, statistics.median(self.seconds), megabytes)


def measure(jobs: Sequence[tuple[str, int, int]], repeats: int) -> list[Measurement]:
    """Each (engine, replays, bars) in its own process, their repeats in turn, so that drift of the machine cancels."""
    measured: list[Measured] = []
    try:
        for job in jobs:
            measured.append(Measured(*job).__enter__())
        for _ in range(repeats):
            for one in measured:
                one.run()
        return [one.finish() for one in measured]
    finally:
        for one in measured:
            one.__exit__(None, None, None)


def whole_process(command: Sequence[str], repeats: int) -> float:
    """Median seconds from start to end of a command that succeeds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=QUIET)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
