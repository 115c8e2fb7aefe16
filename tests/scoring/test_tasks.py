"""Sweeps, evaluations, studies and fans on Dask workers, some of them killed, end in the bytes of one process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backtest.base import mapped
from backtest.base.errors import DataError, UsageError
from backtest.base.tasks import described, parts
from backtest.report.search_folder import write_sweep
from backtest.scoring.evaluation import Evaluation, evaluate
from backtest.scoring.fan import placebo_fan
from backtest.scoring.placebo import Placebo, PlaceboPlan
from backtest.scoring.space import grid_trials, parse_axis
from backtest.scoring.sweep import Sweep, run_sweep
from backtest.study.settings import StudyConfig
from backtest.study.study import event_study
from tests.scoring.chance import quiet_market
from tests.scoring.test_sweep import MOMENTUM, calendar_at, contents, small_sweep

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
def process(*arguments: str, folder: Path, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, **QUIET, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", **more}
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


@dataclass
class Cluster:
    """A scheduler and single-threaded workers on loopback, each a process that can be killed."""

    address: str
    workers: list[subprocess.Popen[bytes]]

    def kill_one(self) -> None:
        one = self.workers.pop()
        os.killpg(one.pid, signal.SIGKILL)
        one.wait(20)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three workers; each keeps arrays in a folder of its own, as another host would."""
    folder = tmp_path_factory.mktemp("cluster")
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    worker = ("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1",
              "--local-directory", str(folder))  # fmt: skip
    with (
        process("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", folder=folder),
        process(*worker, folder=folder, BACKTEST_ARRAYS=str(folder / "a")) as first,
        process(*worker, folder=folder, BACKTEST_ARRAYS=str(folder / "b")) as second,
        process(*worker, folder=folder, BACKTEST_ARRAYS=str(folder / "c")) as third,
    ):
        from distributed import Client

        with Client(address, timeout="30s", set_as_default=False) as client:
            client.wait_for_workers(3, timeout=60)
        yield Cluster(address, [first, second, third])
        assert not list(folder.glob("a/*")), "arrays were left behind on a living worker"


def long_sweep() -> Sweep:
    axes = [parse_axis("hold", "2h..12h/1h"), parse_axis("stop_loss", "0.01..0.08/0.01")]
    return small_sweep(trials=grid_trials(axes), plan=PlaceboPlan("shift", 149))


def test_a_killed_worker_changes_no_sweep(tmp_path: Path, cluster: Cluster) -> None:
    work = long_sweep()
    here, there = tmp_path / "here", tmp_path / "there"
    write_sweep(here, run_sweep(work, here))
    done: list[int] = []

    def kill_one(what: str, count: int, total: int) -> None:
        done.append(count)
        if count == 2:
            cluster.kill_one()

    write_sweep(there, run_sweep(work, there, cluster=cluster.address, progress=kill_one))
    assert len(cluster.workers) == 2  # of three
    assert done == list(range(12))
    assert work.parts == 11
    assert contents(here) == contents(there)


def test_tasks_fail_as_they_do_here(cluster: Cluster) -> None:
    assert dict(parts(slow_square, 3, range(8), cluster.address)) == dict(parts(slow_square, 3, range(8)))
    with pytest.raises(DataError, match="of 3 has no data"):
        list(parts(failing, 3, range(2), cluster.address))
    assert f"cluster {cluster.address}: " in described(cluster.address)


def evaluated(kind: str, **where: object) -> Evaluation:
    work = small_sweep()
    if kind == "dates":
        market = quiet_market(np.random.default_rng(4), 1_500)
        work = replace(work, market=market, calendar=calendar_at(market.start_ms, [300, 700]))
    strategies = [MOMENTUM({"hold": "6h"}), MOMENTUM({"hold": "12h", "stop_loss": "0.01"})]
    plan = PlaceboPlan(kind, 2_500 if kind == "dates" else 60, "sharpe" if kind == "dates" else "net_return")
    return evaluate(strategies, work.market, work.calendar, work.config, plan=plan, bootstrap=100, **where)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["dates", "calendar"])
def test_a_killed_worker_changes_no_evaluation(kind: str, cluster: Cluster) -> None:
    told: list[tuple[str, int, int]] = []

    def hear(what: str, count: int, total: int) -> None:
        told.append((what, count, total))
        if told[-1] == ("placebo calendars", 2, 6):
            cluster.kill_one()

    here, before = evaluated(kind), len(cluster.workers)
    there = evaluated(kind, cluster=cluster.address, progress=hear)
    assert len(cluster.workers) == before - (kind == "dates")
    for one, other in zip(here.cards, there.cards, strict=True):
        assert repr(one.scores) == repr(other.scores)
        assert isinstance(one.placebo, Placebo)
        assert isinstance(other.placebo, Placebo)
        assert repr(one.placebo.document()) == repr(other.placebo.document())
        assert one.placebo.p > 0
        assert one.placebo.drawn.tobytes() == other.placebo.drawn.tobytes()
    pieces = {"dates": 6, "calendar": 8}[kind]
    assert [step for step in told if step[0] == "placebo calendars"][-1][1:] == (pieces, pieces)


def test_studies_and_fans_are_those_of_one_process(cluster: Cluster) -> None:
    work = small_sweep()
    config = StudyConfig(
        model="mean_adjusted", estimation="48h", gap="2h", minimum_estimation=30, before="6h", after=("6h",), draws=99
    )
    here = event_study(work.market, work.calendar, config)
    there = event_study(work.market, work.calendar, config, cluster=cluster.address)
    for name in ("effects", "tests", "paths", "catalysts"):
        pd.testing.assert_frame_equal(getattr(here, name), getattr(there, name), check_exact=True)
    run = evaluated("shift").runs[0]
    fans = [
        placebo_fan(run.intents, run.prepared, work.calendar, PlaceboPlan(), 60, cluster=where)
        for where in (None, cluster.address)
    ]
    assert fans[0].draws == 60
    np.testing.assert_array_equal(fans[0].quantiles, fans[1].quantiles)


def test_workers_are_started_here_when_asked_for() -> None:
    before = set(mapped.folder().iterdir())
    assert dict(parts(slow_square, 3, range(4), "local:1")) == {k: str(3 + k**2).encode() for k in range(4)}
    assert described("local:1").startswith("cluster tcp://127.0.0.1:")
    assert set(mapped.folder().iterdir()) == before


def test_no_scheduler_is_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:"):
        list(parts(slow_square, 0, range(2), f"tcp://127.0.0.1:{free_port()}"))
    with pytest.raises(UsageError, match="`cluster` 'nowhere' is not the address of a Dask scheduler"):
        list(parts(slow_square, 0, range(2), "nowhere"))
    for wrong in ("local:0", "local:2000"):
        with pytest.raises(UsageError, match=rf"`cluster` '{wrong}' asks for .* workers: write 1 to 1,024"):
            list(parts(slow_square, 0, range(2), wrong))
