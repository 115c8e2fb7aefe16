"""Fixtures shared by every test."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from backtest.market.record import Market

# A shared machine is slow at times: no deadline. CI draws the same examples each time, so that a commit is judged by
# what it changed; a run by hand draws new ones.
settings.register_profile(
    "house", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("house")


def pytest_collection_finish() -> None:
    """Keep the collector away from the 800,000 objects of imports and tests: it took a third of some files' time."""
    gc.collect()
    gc.freeze()


LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real market data and golden numbers; absent: skipped here, a failure in CI."""
    folder = Path(os.environ.get("BACKTEST_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "market").is_dir():
        message = f"shared data not found at {folder}: set BACKTEST_SHARED to its folder"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(scope="session")
def sample() -> Market:
    """The embedded reconstruction."""
    from backtest.market.dataset import default_dataset, open_dataset

    return open_dataset(default_dataset())


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that would leave the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else None
        if host is not None and host not in LOOPBACK:
            raise RuntimeError(f"test tried to reach {host}: only loopback is allowed")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session", autouse=True)
def _no_ledger() -> Iterator[None]:
    """Keep what tests try out of every ledger but those they name or make in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKTEST_LEDGER", "none")
        yield


@pytest.fixture(autouse=True)
def _not_on_github(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what tests check out of the summary of the job that runs them."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
