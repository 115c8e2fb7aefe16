"""A sweep on two Dask workers, one of them killed in the middle, ends in the bytes that it ends in here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backtest.base.errors import DataError, UsageError
from backtest.report.search_folder import write_sweep
from backtest.scoring.cluster import parts_here, parts_on_cluster
from backtest.scoring.placebo import PlaceboPlan
from backtest.scoring.space import grid_trials, parse_axis
from backtest.scoring.sweep import Sweep, run_sweep
from tests.scoring.test_sweep import contents, small_sweep

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]
QUIET = {"DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "false", "DASK_DISTRIBUTED__DASHBOARD__LINK": ""}


def slow_square(work: int, number: int) -> bytes:
    time.sleep(0.05)
    return f"{os.getpid() * 0 + work + number**2}".encode()


def failing(work: int, number: int) -> bytes:
    raise DataError(f"part {number} of {work} has no data")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def process(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **QUIET, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    with (folder / f"{arguments[0]}.log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
            cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            yield started
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
            started.wait(20)


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Scheduler and two single-threaded workers on loopback, each a process that can be killed."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    worker = ("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1",
              "--local-directory", str(folder))  # fmt: skip
    with (
        process("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", folder=folder),
        process(*worker, folder=folder) as first,
        process(*worker, folder=folder) as second,
    ):
        from distributed import Client

        with Client(address, timeout="30s", set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, [first, second]


def long_sweep() -> Sweep:
    axes = [parse_axis("hold", "2h..12h/1h"), parse_axis("stop_loss", "0.01..0.08/0.01")]
    return small_sweep(trials=grid_trials(axes), plan=PlaceboPlan("shift", 149))


def test_a_killed_worker_changes_nothing(tmp_path: Path) -> None:
    work = long_sweep()
    here, there = tmp_path / "here", tmp_path / "there"
    write_sweep(here, run_sweep(work, here))
    done: list[int] = []
    with cluster(tmp_path) as (address, workers):

        def kill_one(what: str, parts: int, total: int) -> None:
            done.append(parts)
            if parts == 2:
                os.killpg(workers[0].pid, signal.SIGKILL)
                workers[0].wait(20)

        write_sweep(there, run_sweep(work, there, cluster=address, progress=kill_one))
        assert workers[0].poll() is not None
        assert workers[1].poll() is None
        assert dict(parts_on_cluster(address, slow_square, 3, range(8))) == dict(parts_here(slow_square, 3, range(8)))
        with pytest.raises(DataError, match="of 3 has no data"):
            list(parts_on_cluster(address, failing, 3, range(2)))
    assert done == list(range(12))
    assert work.parts == 11
    assert contents(here) == contents(there)


def test_no_scheduler_is_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:"):
        list(parts_on_cluster(f"tcp://127.0.0.1:{free_port()}", slow_square, 0, range(2)))
    with pytest.raises(UsageError, match="`cluster` 'nowhere' is not the address of a Dask scheduler"):
        list(parts_on_cluster("nowhere", slow_square, 0, range(2)))
