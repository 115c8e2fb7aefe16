"""Confounding computed from clocks."""

from __future__ import annotations

import pytest

from backtest.base.errors import UsageError
from backtest.base.units import UNIT_MS
from backtest.catalysts.clusters import cluster_numbers, clusters, confounding
from backtest.catalysts.reading import open_calendar
from backtest.catalysts.record import Calendar, Catalyst

HOUR = UNIT_MS["h"]


def one(identifier: str, moment: str | None, *assets: str) -> Catalyst:
    return Catalyst(
        id=identifier,
        assets=assets,
        kind="listing",
        actor="test",
        direction=1,
        precision="minute" if moment else "untimed",
        announced_at=moment,  # type: ignore[arg-type]
        source="test",
        confidence="high",
    )


CALENDAR = Calendar(
    "test",
    (
        one("first", "2025-11-01T00:00Z", "ZEC"),
        one("second", "2025-11-01T10:00Z", "ZEC", "DASH"),
        one("third", "2025-11-01T20:00Z", "DASH"),
        one("fourth", "2025-11-01T20:30Z", "ZK"),
        one("never", None, "ZEC"),
    ),
)


def test_the_same_coin_within_the_window() -> None:
    found = confounding(CALENDAR, 10 * HOUR)
    assert found == {
        "first": ("second",),
        "second": ("first", "third"),
        "third": ("second",),
        "fourth": (),
        "never": (),
    }
    assert set(confounding(CALENDAR, 10 * HOUR - 1).values()) == {()}


def test_a_chain_is_one_cluster_and_the_sector_another_measure() -> None:
    (chain,) = clusters(CALENDAR, 10 * HOUR)
    assert chain.ids == ("first", "second", "third")
    assert chain.assets == ("ZEC", "DASH")
    assert chain.last_known_ms - chain.first_known_ms == 20 * HOUR
    (pair,) = clusters(CALENDAR, HOUR, sector=True)
    assert pair.ids == ("third", "fourth")
    assert cluster_numbers(CALENDAR, HOUR, sector=True) == {"third": 1, "fourth": 1}


def test_the_catalogue_finds_what_was_typed_and_more() -> None:
    calendar = open_calendar("privacy-2025")
    found = confounding(calendar, 24 * HOUR)
    typed = {one.id: one.confounded_with for one in calendar if one.confounded_with}
    assert typed
    for identifier, others in typed.items():
        assert set(others) <= set(found[identifier])
    # Posts of two days in a row: each may lie behind what the other is credited with.
    assert found["zec-2025-10-31-hayes"] == ("zec-2025-11-01-hayes", "zec-2025-11-01-oi-record")
    assert confounding(calendar, 0)["zec-2025-10-31-hayes"] == ()


def test_a_negative_window_is_refused() -> None:
    with pytest.raises(UsageError, match="within = -1 ms"):
        confounding(CALENDAR, -1)
