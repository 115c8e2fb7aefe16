"""A list of pure tasks run here or on a Dask cluster: a task is a number, its result is bytes, wherever it runs.

Sweeps, walk-forwards, placebos, studies and intervals are such lists. What all tasks of a list read is sent once; its
arrays are mapped, one copy a host (`backtest.base.mapped`).
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from backtest.base import mapped
from backtest.base.errors import BacktestError, UsageError, shortened
from backtest.base.mapped import Packed, UnmappedError

Work = TypeVar("Work")
ATTEMPTS = 3
CONNECT_SECONDS = 20.0
LOCAL = "local"
MOST_WORKERS = 1_024
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
USER_MODULES = "user_strategy_"
"""Prefix of modules that were loaded from a file, which workers cannot import."""
_PIECE = 32 * 2**20
"""Bytes of arrays sent at once to another host."""


def parts(
    task: Callable[[Work, int], bytes], work: Work, numbers: Iterable[int], cluster: str | None = None
) -> Iterator[tuple[int, bytes]]:
    """Number and result of each task: in order in this process, or as they end on a cluster.

    `cluster` is the address of a Dask scheduler (`tcp://host:8786`), or `local` or `local:N` for N single-threaded
    workers on this machine (one a core). A task whose worker is lost runs again on another; if the shared work
    itself is lost, it is sent again.

    Raises
    ------
    UsageError
        Where `distributed` is not installed or no scheduler answers.
    BacktestError
        Where tasks are still missing after three attempts.
    """
    if cluster is None:
        for number in numbers:
            yield number, task(work, number)
        return
    missing = set(numbers)
    if not missing:
        return
    with _client(cluster) as client:
        from distributed import as_completed

        packed = _packed(work)
        try:
            lost: Any = None
            for _ in range(ATTEMPTS):
                if not missing:
                    return
                _lay_down(client, packed)
                shared = client.scatter(packed, broadcast=True, hash=False)
                numbered = {client.submit(_apply, task, shared, one, pure=False): one for one in sorted(missing)}
                for future in as_completed(list(numbered), loop=client.loop):
                    if future.status == "finished":
                        number = numbered.pop(future)
                        missing.discard(number)
                        yield number, future.result()
                        continue
                    lost = future.exception() if future.status == "error" else future.status
                    if isinstance(lost, BacktestError) and not isinstance(lost, UnmappedError):
                        raise lost
            if missing:
                raise BacktestError(f"{len(missing)} tasks did not end on {cluster} in {ATTEMPTS} attempts: {lost!r}")
        finally:
            if packed.size:
                client.run(mapped.forget, packed.name, on_error="ignore")
                mapped.forget(packed.name)


def described(cluster: str) -> str:
    """One sentence about a cluster: its address, its workers, and where its dashboard is.

    Raises
    ------
    UsageError
        Where `distributed` is not installed or no scheduler answers.
    """
    with _client(cluster) as client:
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        address = client.scheduler.address if client.scheduler else cluster
        return f"cluster {address}: {workers} workers, dashboard {client.dashboard_link}"


@contextmanager
def _client(cluster: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        raise UsageError(
            "`cluster` needs the package distributed: install privacy-event-backtest[cluster], or leave it out"
        ) from None
    local = re.fullmatch(rf"{LOCAL}(?::([0-9]{{1,9}}))?", cluster)
    if local is None:
        check_address(cluster)
        address = cluster
    else:
        address = _started(_workers(local.group(1), cluster))
    with Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:
        yield client


def _workers(count: str | None, cluster: str) -> int:
    if count is None:
        return os.cpu_count() or 1
    if not 1 <= int(count) <= MOST_WORKERS:
        raise UsageError(f"`cluster` {cluster!r} asks for {int(count):,} workers: write 1 to {MOST_WORKERS:,}")
    return int(count)


@lru_cache(maxsize=1)
def _started(workers: int) -> str:
    """Address of a cluster on this machine, which ends with this process."""
    from distributed import LocalCluster

    with one_thread_each():
        # No limit of memory: a worker would count mapped pages, which all of them share, as its own.
        started = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
        )
    atexit.register(started.close)
    return str(started.scheduler_address)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes begun inside use one thread each for linear algebra and the kernel, unless the environment says else.

    A library reads these variables when it is loaded, so they must stand before a child begins: with a thread for every
    core in every process, threads would wait for each other.
    """
    added = [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def check_address(address: str) -> None:
    """Checks with a socket first: a Client that cannot connect logs at length, and again when it is collected."""
    try:
        split = urlsplit(address)
        port = split.port
    except ValueError:
        port = None
    if port is None or split.scheme not in ("tcp", "tls"):
        raise UsageError(
            f"`cluster` {shortened(address)} is not the address of a Dask scheduler: write tcp://host:8786, or local "
            "for workers on this machine"
        )
    try:
        socket.create_connection((split.hostname or "", port), CONNECT_SECONDS).close()
    except OSError as problem:
        raise UsageError(
            f"no Dask scheduler answers at {shortened(address)} ({problem}): start one, or check `cluster`"
        ) from None


def _packed(work: Any) -> Packed:
    import cloudpickle  # type: ignore[import-untyped]

    for name, module in sys.modules.items():
        if name.startswith(USER_MODULES):
            cloudpickle.register_pickle_by_value(module)
    return mapped.pack(work, cloudpickle.dumps)


def _lay_down(client: Any, packed: Packed) -> None:
    """Send the arrays to each host that lacks them, piece by piece through one of its workers."""
    if not packed.size:
        return
    found: dict[str, Any] = client.run(mapped.holds, packed.name, packed.size, on_error="ignore")
    for worker in (address for address, there in found.items() if not there):
        # A worker of the same host may have received them meanwhile.
        if client.run(mapped.holds, packed.name, packed.size, workers=[worker], on_error="ignore").get(worker, True):
            continue
        sender = f"{os.getpid()}-{abs(hash(worker)):x}"
        with (mapped.folder() / packed.name).open("rb") as file:
            for offset in range(0, packed.size, _PIECE):
                piece = file.read(_PIECE)
                client.run(
                    mapped.receive, packed.name, packed.size, offset, piece, sender, workers=[worker],
                    on_error="ignore",
                )  # fmt: skip


@lru_cache(maxsize=1)
def _unpacked(packed: Packed) -> Any:
    return mapped.unpack(packed)


def _apply(task: Callable[[Any, int], bytes], packed: Packed, number: int) -> bytes:
    return task(_unpacked(packed), number)
