"""A list of pure tasks run here or on a Dask cluster: a task is a number, its result is bytes, wherever it runs."""

from __future__ import annotations

import pickle
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from backtest.base.errors import BacktestError, UsageError, shortened

Work = TypeVar("Work")
ATTEMPTS = 3
CONNECT_SECONDS = 20.0
USER_MODULES = "user_strategy_"
"""Prefix of modules that were loaded from a file, which workers cannot import."""


def parts_here(task: Callable[[Work, int], bytes], work: Work, numbers: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """Number and result of each task, in order, in this process."""
    for number in numbers:
        yield number, task(work, number)


def parts_on_cluster(
    address: str, task: Callable[[Work, int], bytes], work: Work, numbers: Iterable[int]
) -> Iterator[tuple[int, bytes]]:
    """Number and result of each task, as they end, on the workers of a Dask scheduler (`tcp://host:8786`).

    A task whose worker is lost runs again on another; if the shared work itself is lost, it is sent again.

    Raises
    ------
    UsageError
        Where `distributed` is not installed or no scheduler answers.
    BacktestError
        Where tasks are still missing after three attempts.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise UsageError(
            "`cluster` needs the package distributed: install privacy-event-backtest[cluster], or leave it out"
        ) from None
    check_address(address)
    missing, packed = set(numbers), _packed(work)
    with Client(address, timeout=CONNECT_SECONDS, set_as_default=False) as client:
        lost: Any = None
        for _ in range(ATTEMPTS):
            if not missing:
                return
            shared = client.scatter(packed, broadcast=True, hash=False)
            numbered = {client.submit(_apply, task, shared, number, pure=False): number for number in sorted(missing)}
            for future in as_completed(list(numbered), loop=client.loop):
                if future.status == "finished":
                    number = numbered.pop(future)
                    missing.discard(number)
                    yield number, future.result()
                    continue
                lost = future.exception() if future.status == "error" else future.status
                if isinstance(lost, BacktestError):
                    raise lost
        if missing:
            raise BacktestError(f"{len(missing)} tasks did not end on {address} in {ATTEMPTS} attempts: {lost!r}")


def check_address(address: str) -> None:
    """Checks with a socket first: a Client that cannot connect logs at length, and again when it is collected."""
    try:
        split = urlsplit(address)
        port = split.port
    except ValueError:
        port = None
    if port is None or split.scheme not in ("tcp", "tls"):
        raise UsageError(
            f"`cluster` {shortened(address)} is not the address of a Dask scheduler: write tcp://host:8786"
        )
    try:
        socket.create_connection((split.hostname or "", port), CONNECT_SECONDS).close()
    except OSError as problem:
        raise UsageError(
            f"no Dask scheduler answers at {shortened(address)} ({problem}): start one, or check `cluster`"
        ) from None


def _packed(work: Any) -> bytes:
    import cloudpickle  # type: ignore[import-untyped]

    for name, module in sys.modules.items():
        if name.startswith(USER_MODULES):
            cloudpickle.register_pickle_by_value(module)
    packed: bytes = cloudpickle.dumps(work)
    return packed


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> Any:
    return pickle.loads(packed)


def _apply(task: Callable[[Any, int], bytes], packed: bytes, number: int) -> bytes:
    return task(_unpacked(packed), number)
