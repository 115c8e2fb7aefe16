"""What is done again and again in one process keeps no memory; `python -m tools.attack_leaks` has the long rounds."""

from __future__ import annotations

import sys

import pytest

from backtest.engine.prepared import _KEPT
from tools.attack_leaks import MOST_KB, Kept, deeds, kept, small_session

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="resident memory is read from /proc")


def test_a_leak_of_a_few_pages_a_round_would_be_seen() -> None:
    held: list[bytes] = []
    assert kept(60, lambda: held.append(bytes(64 * 1024)), 5, 3).slope > MOST_KB
    assert kept(60, lambda: bytes(64 * 1024), 5, 3).slope < MOST_KB


def test_the_slope_is_that_of_the_memory() -> None:
    assert Kept((0, 10, 20), (5.0, 25.0, 45.0)).slope == pytest.approx(2.0)


def test_replays_of_one_session_and_of_many_keep_nothing() -> None:
    session = small_session()
    assert kept(60, deeds(session)["replays"], _KEPT + 6, 3).slope < MOST_KB
    assert len(session.prepared._orders) == _KEPT
