"""Downloads by ccxt's own Bybit and Binance classes from a loopback venue: whole over many pages, faults or none."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.base.errors import MarketError
from backtest.market.download import Downloader, Report
from backtest.market.quality import snap
from backtest.market.recipe import ExchangeChoice, Recipe
from backtest.market.rows import Rows, SeriesName
from backtest.market.store import Store
from backtest.market.transport import Patience
from backtest.market.venue_rules import RULES
from tests.market.loopback import FAULTS, HOUR, NOW, Listing, Loopback, bars_of, options, serving

SERIES_PATHS: dict[str, dict[SeriesName, str]] = {
    "bybit": {"ohlcv": "kline", "oi": "open-interest", "funding": "funding/history"},
    "binanceusdm": {"ohlcv": "klines", "oi": "openInterestHist", "funding": "fundingRate"},
}
LAUNCH = 1_700_000_000_000  # 2023-11-14 22:13 UTC
ZEC = "ZEC/USDT:USDT"
WITH_TIMEOUTS = {"options": {"timeout": 400}}
"""Less than the 500 ms by which the fault `timeout` is late; without that fault a slow machine must not be one."""
IMPATIENT = Patience(attempts=9, doubtful=5, first=0.002, longest=0.01)


def listings(*bases: str, **more: Any) -> dict[str, Listing]:
    return {f"{base}USDT": Listing(base, LAUNCH, **more) for base in bases or ("ZEC",)}


def recipe(venue: str, state: Loopback, timerange: str = "20250815-20251130", **more: Any) -> Recipe:
    more = {"symbols": (ZEC,), "timeframe": "1h", "name": "test", **more}
    extra = more.pop("options", {})
    choice = ExchangeChoice(id=venue, options=options(venue, state.url, **{"timeout": 20_000, **extra}))
    return Recipe(exchange=choice, timerange=timerange, **more)


def download(store: Store, one: Recipe, **more: Any) -> Report:
    return Downloader(one, store, patience=more.pop("patience", IMPATIENT), clock=lambda: NOW, **more).run()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def at(text: str) -> int:
    return int(np.datetime64(text, "ms").astype(np.int64))


def expected(listing: Listing, venue: str, series: SeriesName, start: int, end: int, period: int = HOUR) -> Rows:
    """What a complete series is, from the functions of the loopback venue."""
    if series == "funding":
        # The settlement that closes the last bar belongs to it.
        found = listing.settlements(start, end + 5_000)
        return Rows(snap(np.array([stamp for stamp, _ in found])), np.array([[rate] for _, rate in found]))
    times, bars = bars_of(listing, period, start, end)
    if series == "ohlcv":
        return Rows(times, bars)
    pairs = [listing.oi(int(slot)) for slot in times]
    return Rows(times, np.array([(coins, math.nan if venue == "bybit" else value) for coins, value in pairs]))


def assert_complete(
    store: Store, listing: Listing, venue: str, series: SeriesName, start: int, end: int, **more: Any
) -> int:
    key = next(key for key in store.contents() if key.series == series and key.symbol == f"{listing.base}/USDT:USDT")
    rows, wanted = store.read(key), expected(listing, venue, series, start, end, **more)
    assert wanted.time_ms.size > 0
    np.testing.assert_array_equal(rows.time_ms, wanted.time_ms)
    np.testing.assert_allclose(rows.values, wanted.values, rtol=1e-12)
    assert store.problems(key) == []
    return rows.time_ms.size


@pytest.mark.parametrize("venue", ["bybit", "binanceusdm"])
def test_series_are_complete_over_dozens_of_pages(store: Store, venue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = replace(RULES[venue], ohlcv_rows=100, oi_rows=100, funding_rows=64)
    monkeypatch.setitem(RULES, venue, rules)
    start, end = at("2025-11-02"), at("2025-11-30")
    state = Loopback(listings(jitter=True, funding_hours=((0, 8), (at("2025-11-08"), 4), (at("2025-11-14"), 1))))
    with serving(state):
        report = download(store, recipe(venue, state, "20251102-20251130", timeframe="15m"))
    assert report.complaint() == ""
    for series, path in SERIES_PATHS[venue].items():
        more = {} if series == "funding" else {"period": HOUR // 4}
        assert_complete(store, state.listings["ZECUSDT"], venue, series, start, end, **more)
        assert sum(path in asked for _, asked, _ in state.asked) >= 24, path


def test_a_year_of_hours_at_the_venues_own_page_sizes(store: Store) -> None:
    state = Loopback(listings())
    with serving(state):
        report = download(store, recipe("bybit", state, "20241130-20251130"))
    assert report.complaint() == ""
    for series in ("ohlcv", "oi", "funding"):
        assert_complete(store, state.listings["ZECUSDT"], "bybit", series, at("2024-11-30"), at("2025-11-30"))  # type: ignore[arg-type]
    limits = {
        path: {query.get("limit") for _, asked, query in state.asked if path in asked}
        for path in ("kline", "open-interest", "funding")
    }
    assert limits == {"kline": {"1000"}, "open-interest": {"200"}, "funding": {"200"}}


@pytest.mark.parametrize("venue", ["bybit", "binanceusdm"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_quarter_of_faults_leaves_a_complete_store_or_names_what_is_missing(
    store: Store, venue: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, venue, replace(RULES[venue], ohlcv_rows=50, oi_rows=50, funding_rows=64))
    start, end = at("2025-11-05"), at("2025-11-30")
    state = Loopback(listings("ZEC", "DASH", jitter=True, funding_hours=((0, 8), (at("2025-11-10"), 4))))
    state.random = random.Random(seed)
    with serving(state):
        coins = (ZEC, "DASH/USDT:USDT")
        one = recipe(venue, state, "20251105-20251130", symbols=coins, timeframe="15m", **WITH_TIMEOUTS)
        state.kinds, state.rate = FAULTS[venue], 0.25
        for _ in range(4):
            try:
                report = download(store, one)
            except MarketError as problem:
                assert "again" in str(problem) or "refuses" in str(problem)  # noqa: PT017
                continue
            if report.complaint() == "":
                break
            assert all(fetched.missing for fetched in report.series if fetched.problem)
        else:
            pytest.fail("four downloads over a venue that fails a quarter of the time never became complete")
    assert sum(state.served.values()) > 40
    assert len(state.served) > 12
    for listing in state.listings.values():
        for series, more in (("ohlcv", {"period": HOUR // 4}), ("oi", {"period": HOUR // 4}), ("funding", {})):
            assert_complete(store, listing, venue, series, start, end, **more)  # type: ignore[arg-type]
    assert all(not fetched.gaps for fetched in report.series)


@pytest.mark.parametrize(("venue", "kind"), [(venue, kind) for venue, kinds in FAULTS.items() for kind in kinds])
def test_each_fault_alone_is_overcome_or_said(
    store: Store, venue: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RULES, venue, replace(RULES[venue], ohlcv_rows=100, oi_rows=100, funding_rows=64))
    start, end = at("2025-11-05"), at("2025-11-20")
    state = Loopback(listings(jitter=True), rate=0.5, kinds=(kind,), only="", seed=5)
    with serving(state):
        one = recipe(venue, state, "20251105-20251120", **(WITH_TIMEOUTS if kind == "timeout" else {}))
        for _ in range(6):
            try:
                report = download(store, one)
            except MarketError as problem:
                assert len(str(problem)) > 40  # noqa: PT017
                continue
            if report.complaint() == "":
                break
            assert any(fetched.missing for fetched in report.series)
        else:
            pytest.fail(f"six downloads never overcame {kind}")
    assert state.served.get(kind, 0) >= 2
    for series in ("ohlcv", "oi", "funding"):
        assert_complete(store, state.listings["ZECUSDT"], venue, series, start, end)  # type: ignore[arg-type]
    assert all(not fetched.gaps for fetched in report.series)
