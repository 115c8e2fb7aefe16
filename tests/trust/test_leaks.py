"""What is done again and again in one process keeps no memory; `python -m tools.attack_leaks` has the long rounds."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from backtest.engine.prepared import _KEPT
from tools.attack_leaks import MOST_KB, Kept, deeds, kept, small_session

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")


def keeps(work: Callable[[], object], first: int) -> bool:
    """Whether rounds of some work keep memory each of three times: what other threads and the system do comes once."""
    return all(kept(60, work, first, 3).slope > MOST_KB for _ in range(3))


def test_a_leak_of_a_few_pages_a_round_would_be_seen() -> None:
    held: list[bytes] = []
    assert keeps(lambda: held.append(bytes(64 * 1024)), 5)
    assert not keeps(lambda: bytes(64 * 1024), 5)


def test_the_slope_is_that_of_the_memory() -> None:
    assert Kept((0, 10, 20), (5.0, 25.0, 45.0)).slope == pytest.approx(2.0)


def test_replays_of_one_session_and_of_many_keep_nothing() -> None:
    session = small_session()
    assert not keeps(deeds(session)["replays"], _KEPT + 6)
    assert len(session.prepared._orders) == _KEPT
