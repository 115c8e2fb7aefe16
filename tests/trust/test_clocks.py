"""A clock that jumps, forward or back, between two commands or inside one: no row is lost, none is taken too early."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backtest.ledger.store as ledger_store
from backtest.base.errors import MarketError
from backtest.base.locks import locked
from backtest.ledger.store import open_ledger
from backtest.ledger.verification import verify_ledger
from backtest.market.ccxt_source import Venue
from backtest.market.checking import checked_series
from backtest.market.importing import import_paths
from backtest.market.manifest import ASKED_APART_MS, ASKED_LEAST
from backtest.market.plain_files import Said
from backtest.market.store import Store
from backtest.market.transport import Patience
from tests.ledger.ledgers import made
from tests.market.loopback import DAY, HOUR, NOW, Listing, Loopback, bars_of, serving
from tests.market.test_download import LAUNCH, download, key

YEAR = 365 * DAY
JUMPS = {
    "ahead by ten years": (10 * YEAR,),
    "behind by ten years": (-10 * YEAR,),
    "ahead, then behind, then right": (YEAR, -YEAR, 0),
    "behind at each look": (0, -HOUR, -DAY, -YEAR),
}


@pytest.mark.parametrize("jumps", JUMPS)
def test_a_fetch_takes_the_closed_bars_of_the_venue_whatever_this_clock_says(jumps: str, tmp_path: Path) -> None:
    offsets = itertools.cycle(JUMPS[jumps])
    store = Store(tmp_path)
    absent = frozenset(NOW // DAY * DAY - 2 * DAY + HOUR * hour for hour in (3, 4))
    state = Loopback({"ZECUSDT": Listing("ZEC", LAUNCH, absent=absent)})
    with serving(state):
        for hours in (0, 3):
            state.now_ms = NOW + hours * HOUR
            for _ in range(2):
                report = download(
                    store, state, "20251120-", clock=lambda: NOW + next(offsets), series=("ohlcv", "funding")
                )
            assert report.complaint() == ""
            times, values = bars_of(
                state.listings["ZECUSDT"], HOUR, NOW // DAY * DAY - 11 * DAY, NOW + DAY, state.now_ms
            )
            rows = store.read(key())
            assert rows.time_ms.tolist() == times.tolist()
            np.testing.assert_array_equal(rows.values, values)
    for series in store.contents():
        assert checked_series(store, series).problems == ()
    (gap,) = store.manifest(key()).gaps  # type: ignore[union-attr]
    assert gap.span == (min(absent), max(absent) + HOUR)
    # Two series look at the clock in turn, so which look falls where is open: a clock that moves a day between two
    # looks may end the gap's youth after the least number of requests. One that is wrong by a constant never does.
    assert gap.asked == 4 if len(JUMPS[jumps]) == 1 else gap.asked in range(ASKED_LEAST, 5)
    # What was asked for often enough by a clock that ran backwards is asked for again, never believed too early.
    assert gap.young == (gap.last_asked_ms - gap.first_asked_ms < ASKED_APART_MS or gap.asked < ASKED_LEAST)
    assert gap.first_asked_ms <= gap.last_asked_ms


@pytest.mark.parametrize(("ahead_days", "expected"), [(400, 0), (-400, -400), (0, 0)])
def test_a_venue_without_a_clock_is_not_asked_for_bars_that_are_still_open(
    ahead_days: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue = Venue("bitfinex", {}, threading.Event(), Patience())
    assert not venue.exchange.has["fetchTime"]
    true_s = 1_800_000_000
    monkeypatch.setattr(time, "time_ns", lambda: (true_s + 86_400 * ahead_days) * 1_000_000_000)
    assert venue.now_ms() == (true_s + 86_400 * ahead_days) * 1000, "nothing was answered yet"
    venue.session.told_ms = true_s * 1000
    assert venue.now_ms() == (true_s + 86_400 * expected) * 1000


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Date": format_datetime(datetime(2025, 12, 1, tzinfo=UTC), usegmt=True)}, 1_764_547_200_000),
        ({"Date": "Mon, 01 Dec 2025 00:00:00 GMT", "Age": "60"}, 1_764_547_260_000),
        ({"Date": "Mon, 99 Foo 2025"}, None),
        ({"Date": "Mon, 01 Dec 2025 00:00:00 GMT", "Age": "x"}, None),
        ({"Date": ""}, None),
        ({}, None),
    ],
)
def test_an_answer_tells_its_time(headers: dict[str, str], told: int | None) -> None:
    from backtest.market.transport import _told_ms

    assert _told_ms(headers) == told


def test_every_answer_of_a_venue_tells_its_time() -> None:
    state = Loopback({"ZECUSDT": Listing("ZEC", LAUNCH)})
    with serving(state):
        venue = Venue("bybit", {}, threading.Event(), Patience())
        venue.session.get(f"{state.url}/v5/market/time", timeout=5)
    assert venue.session.told_ms is not None
    assert abs(venue.session.told_ms - time.time() * 1000) < 60_000


def test_a_file_is_refused_by_a_clock_that_is_behind_and_read_once_it_is_right(tmp_path: Path) -> None:
    start = NOW // DAY * DAY - DAY
    lines = [f"{start + HOUR * hour},50,51,49,50,1" for hour in range(24)]
    path = tmp_path / "ZECUSDT-1h.csv"
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n")
    store, said = Store(tmp_path / "store"), Said("bybit", "swap")
    with pytest.raises(MarketError, match=r"is after now \(.*\): check"):
        import_paths([path], store, said, now_ms=NOW - YEAR)
    assert store.contents() == ()
    assert sum(import_paths([path], store, said, now_ms=NOW).rows.values()) == 24
    assert import_paths([path], store, said, now_ms=NOW - YEAR).again == 1
    assert store.read(key()).time_ms.size == 24


def test_a_lock_waits_by_a_clock_that_nobody_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(tmp_path / ".lock", 1.0):
        monkeypatch.setattr(time, "time", lambda: -1e12)
        monkeypatch.setattr(time, "time_ns", lambda: -(10**21))
        began = time.monotonic()
        with pytest.raises(TimeoutError), locked(tmp_path / ".lock", 0.05):
            raise AssertionError("never reached")
        assert time.monotonic() - began < 30


def test_a_ledger_written_by_clocks_that_run_backwards_is_whole_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments: Iterator[datetime] = (datetime(2030, 1, 1, tzinfo=UTC) - timedelta(days=400 * n) for n in range(99))

    class Backwards(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return next(moments)

    monkeypatch.setattr(ledger_store, "datetime", Backwards)
    with open_ledger(tmp_path / "ledger.sqlite") as ledger:
        for number in range(5):
            ledger.append([made(float(number), np.arange(9.0), name=f"s{number}")])
        assert [trial.body["strategy"] for trial in ledger.trials()] == [f"s{number}" for number in range(5)]
        assert verify_ledger(ledger).faults == ()
