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


# The first worker compiles the kernel in a clean checkout, a minute or two; the others begin with what needs none.
FIRST = (
    "test_documents.py",
    "market/test_store.py",
    "market/test_ccxt_source.py",
    "market/test_venues.py",
    "market/test_store_losses.py",
    "test_mutations.py",
)
# By seconds, most first; a worker that met one of them last would leave the others idle.
LONGEST = (
    "wheel/test_own_folders.py",
    "notebooks/test_notebooks.py",
    "scoring/test_placebo.py",
    "engine/test_kernel_reference.py",
    "wheel/test_wheel.py",
    "signals/test_audit.py",
    "cli/test_fetch.py",
    "wheel/test_user_repository.py",
    "trust/test_audit_apart.py",
    "trust/test_compiled_code.py",
    "test_benchmarks.py",
    "cli/test_run.py",
    "strategies/test_strategies.py",
    "cli/test_audit.py",
    "test_site.py",
    "engine/test_against_vectorbt.py",
    "cli/test_study.py",
    "cli/test_screen.py",
    "cli/test_ledger.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest (`make test` tells the workers to keep this order)."""
    places = {Path(__file__).parent / name: place for place, name in enumerate((*FIRST, *LONGEST))}
    items.sort(key=lambda item: places.get(item.path, len(places)))


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


@pytest.fixture(scope="session")
def kernel() -> None:
    """All machine code is there: a copy of the checkout, or a wheel, that is made now need not compile its own."""
    from tests.kernel import compile_kernel

    compile_kernel()


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
