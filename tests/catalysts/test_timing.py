"""Clocks: when a catalyst was known, and which bar is the first that it could be traded on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.base.units import to_ms
from backtest.catalysts.record import Catalyst
from backtest.catalysts.timing import (
    first_open_at_or_after,
    known_at_ms,
    known_between,
    last_close_before,
)

HOUR = 3_600_000


def a_catalyst(identifier: str = "zec-test", **changes: object) -> Catalyst:
    values: dict[str, object] = {
        "id": identifier,
        "assets": ("ZEC",),
        "kind": "listing",
        "actor": "OKX",
        "direction": 1,
        "announced_at": datetime(2025, 10, 1, tzinfo=UTC),
        "precision": "day",
        "source": "test",
        "confidence": "high",
    }
    return Catalyst(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("announced", "precision", "known"),
    [
        ("2025-10-01T00:00:00Z", "day", "2025-10-02T00:00:00Z"),
        ("2025-11-03T06:00:00Z", "hour", "2025-11-03T07:00:00Z"),
        ("2025-11-06T03:15:00Z", "minute", "2025-11-06T03:16:00Z"),
        ("2025-11-06T03:15:07Z", "second", "2025-11-06T03:15:08Z"),
        ("2025-11-06T05:15:00+02:00", "minute", "2025-11-06T03:16:00Z"),
    ],
)
def test_known_at_is_the_end_of_the_period_it_fell_in(announced: str, precision: str, known: str) -> None:
    one = a_catalyst(announced_at=announced, precision=precision)
    assert known_at_ms(one) == to_ms(datetime.fromisoformat(known))


def test_an_untimed_catalyst_is_never_known() -> None:
    one = a_catalyst(announced_at=None, precision="untimed")
    assert known_at_ms(one) is None
    assert known_between([one], 0, 2**62) == []


def test_known_between_is_half_open_and_in_order_of_knowledge() -> None:
    day = a_catalyst("zec-day")
    minute = a_catalyst("zec-minute", announced_at="2025-10-01T12:00:00Z", precision="minute")
    midnight = to_ms(datetime(2025, 10, 2, tzinfo=UTC))
    found = known_between([day, minute], 0, midnight + 1)
    assert [one.id for one, _ in found] == ["zec-minute", "zec-day"]
    assert [one.id for one, _ in known_between([day, minute], 0, midnight)] == ["zec-minute"]


@given(st.integers(0, 500), st.integers(-5 * HOUR, 30 * HOUR))
def test_first_open_is_the_earliest_one_not_before_the_moment(first_hour: int, offset: int) -> None:
    start = first_hour * HOUR
    row = int(first_open_at_or_after(np.array([start + offset]), start, HOUR)[0])
    assert start + row * HOUR >= start + offset
    assert row == 0 or start + (row - 1) * HOUR < start + offset


@given(st.integers(-5 * HOUR, 30 * HOUR))
def test_last_close_before_is_known_at_the_moment(offset: int) -> None:
    row = last_close_before(offset, 0, HOUR)
    assert row == -1 or (row + 1) * HOUR <= offset
    assert (row + 2) * HOUR > offset


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=900)))
def test_knowledge_never_comes_before_the_announcement(after: timedelta) -> None:
    moment = (datetime(2024, 1, 1, tzinfo=UTC) + after).replace(microsecond=0)
    known = known_at_ms(a_catalyst(announced_at=moment, precision="second"))
    assert known is not None
    assert known > to_ms(moment)
