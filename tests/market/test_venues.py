"""Every venue with rules, over loopback: what it has comes complete, what it cannot serve is said; `docs/venues.md`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.base.errors import MarketError, UsageError
from backtest.market.ccxt_source import Venue
from backtest.market.download import Downloader, Fetched
from backtest.market.planning import DownloadPlan, plan_download
from backtest.market.recipe import ExchangeChoice, Recipe
from backtest.market.rows import COLUMNS as STORED_COLUMNS
from backtest.market.rows import Key, SeriesName
from backtest.market.store import Store
from backtest.market.transport import Patience
from backtest.market.venue_ratios import ratio_columns
from backtest.market.venue_rules import RULES
from tests.market.loopback import DAY, HOUR, NOW, Listing, options, serving
from tests.market.venues import LAUNCH, SPECS, VenueLoopback, closed_bars, listed_market

PAGE = Path(__file__).parents[2] / "docs" / "venues.md"
QUICK = Patience(attempts=4, doubtful=2, first=0.001, longest=0.002)
START = NOW // DAY * DAY - 59 * DAY
COLUMNS: dict[SeriesName, str] = {
    "ohlcv": "bars", "oi": "open interest", "funding": "funding",
    "mark": "mark price", "index": "index price", "premium": "premium", "ratios": "ratios",
}  # fmt: skip
SERIES = tuple(COLUMNS)
RATIOS = STORED_COLUMNS["ratios"]
CASES = [(venue, series) for venue in SPECS for series in SERIES] + [("gate spot", "ohlcv")]


@dataclass
class Outcome:
    """What became of one series of one venue."""

    refused: str = ""
    fetched: Fetched | None = None
    said: tuple[str, ...] = ()
    requests: int = 0
    times: np.ndarray | None = None
    values: np.ndarray | None = None
    plan: DownloadPlan | None = None


def outcome(case: tuple[str, SeriesName], root: Path, monkeypatch: pytest.MonkeyPatch, days: int = 59) -> Outcome:
    venue, _, spot = case[0].partition(" ")
    spec, listing = SPECS[venue], Listing("ZEC", LAUNCH, ((0, SPECS[venue].hours),))
    symbol = spec.spot if spot or not spec.swap else spec.swap
    state = VenueLoopback({"ZECUSDT": listing}, venue=venue)
    said: list[str] = []

    def load(self: Venue, instruments: object) -> None:
        market = listed_market(self.exchange, symbol, spec.identity)
        self.exchange.set_markets({symbol: market}, {})
        self.exchange.milliseconds = lambda: NOW
        self.exchange.seconds = lambda: NOW // 1000

    monkeypatch.setattr(Venue, "load", load)
    monkeypatch.setattr(Venue, "now_ms", lambda _: NOW)
    store = Store(root)
    start = np.datetime64(NOW // DAY * DAY - days * DAY, "ms").astype("datetime64[D]")
    with serving(state):
        recipe = Recipe(
            name="test",
            exchange=ExchangeChoice(id=venue, options=options(venue, state.url, timeout=20_000)),
            symbols=(symbol,),
            series=(case[1],),
            timerange=f"{str(start).replace('-', '')}-",
        )
        downloader = Downloader(recipe, store, patience=QUICK, clock=lambda: NOW, say=said.append)
        plan = plan_download(downloader)
        assert state.asked == [], "a plan asks for nothing"
        try:
            report = downloader.run()
        except UsageError as refusal:
            return Outcome(refused=str(refusal), requests=len(state.asked), plan=plan)
    rows = store.read(Key.of(venue, symbol, case[1], "1h"))
    said = [line for line in said if ": asked at " not in line]
    return Outcome("", report.series[0], tuple(said), len(state.asked), rows.time_ms, rows.values, plan)


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_series_comes_complete_or_is_refused_before_the_first_request(
    case: tuple[str, SeriesName], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue, series = case[0].partition(" ")[0], case[1]
    spec, done = SPECS[venue], outcome(case, tmp_path / "store", monkeypatch)
    assert done.plan is not None
    if done.fetched is None:
        assert done.requests == 0
        assert done.plan.refused == (done.refused,)
        assert re.search("choose another|fetch it from bybit", done.refused)
        settled(case, "refused")
        return
    assert done.times is not None
    assert done.values is not None
    listing = Listing("ZEC", LAUNCH, ((0, spec.hours),))
    first = {
        "ohlcv": spec.first_bar, "oi": spec.first_oi, "funding": spec.first_funding, "ratios": spec.first_ratio
    }.get(series, 0)  # fmt: skip
    wanted = max(START, first)
    assert bool(done.said) == (first > START), "what is not served is said before the first request"
    if series == "funding":
        rates = listing.settlements(wanted, NOW)
        assert done.times.tolist() == [stamp for stamp, _ in rates]
        np.testing.assert_allclose(done.values[:, 0], [rate for _, rate in rates], rtol=1e-9)
    elif series in ("mark", "index", "premium"):
        slots = [slot for slot in listing.slots(HOUR, wanted, NOW, NOW) if slot + HOUR <= NOW]
        assert done.times.tolist() == slots
        expected = np.array([listing.price_bar(slot, series) for slot in slots])
        np.testing.assert_allclose(done.values, expected, rtol=1e-9)
        assert (expected.min() < 0 < expected.max()) == (series == "premium")
    elif series == "ratios":
        slots = [slot for slot in listing.slots(HOUR, wanted, NOW, NOW) if slot + HOUR <= NOW]
        assert done.times.tolist() == slots
        filled = ratio_columns(venue)
        expected = [[listing.ratio(slot, name) if name in filled else np.nan for name in RATIOS] for slot in slots]
        np.testing.assert_allclose(done.values, expected, rtol=1e-9)
        assert ("taker" in filled) == (venue in ("binanceusdm", "okx"))
    elif series == "oi":
        slots = [slot for slot in listing.slots(HOUR, wanted, NOW, NOW) if slot + HOUR <= NOW]
        assert done.times.tolist() == slots
        coins = np.array([listing.oi(slot) for slot in slots])
        np.testing.assert_allclose(done.values[:, 0], coins[:, 0], rtol=1e-9)
    else:
        times, bars = closed_bars(listing, wanted, NOW)
        assert done.times.tolist() == times.tolist()
        np.testing.assert_allclose(done.values, bars, rtol=1e-9)
    assert done.fetched.gaps == ()
    assert [span for span in done.fetched.missing if span[1] > wanted] == []
    bound = {"oi": 60, "funding": 80, "ratios": 60}.get(series, 40)
    assert done.requests <= bound
    (planned,) = done.plan.series
    assert planned.least <= done.requests <= planned.most
    assert bool(planned.note) == (first > START)
    part = "complete" if first <= START else f"from {np.datetime64(first, 'ms').astype('datetime64[D]')}, said"
    settled(case, f"{part}: {done.requests} request{'s' * (done.requests > 1)}")


def settled(case: tuple[str, SeriesName], cell: str) -> None:
    """The table of the documents says of a series what was found; `BACKTEST_WRITE=1` with `-n 0` writes it anew."""
    if os.environ.get("BACKTEST_WRITE"):
        FOUND.setdefault(case[0], {})[case[1]] = cell
        if sum(map(len, FOUND.values())) == len(CASES):
            PAGE.write_text(page(FOUND), encoding="utf-8")
        return
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines() if "|" in line]
    (row,) = [row for row in rows if row[0] == case[0]]
    assert row[1 + SERIES.index(case[1])] == cell


FOUND: dict[str, dict[str, str]] = {}


def page(found: dict[str, dict[str, str]]) -> str:
    """The table of the documents."""
    rows = [
        f"| {venue} | {' | '.join(cells.get(series, '-') for series in SERIES)} |"
        for venue, cells in sorted(found.items())
    ]
    return "\n".join(
        [
            "# What each venue serves",
            "",
            "Sixty days of hourly bars, open interest, funding, prices at which nothing trades and ratios, asked of",
            "servers on loopback that answer as ccxt's readers and the venues' documentation say.",
            "`tests/market/test_venues.py` writes this table, and fails if it differs; *refused* is said before the",
            "first request. A venue that is not here is probed with an old window first: if it answers with newer",
            "rows, it is taken for one that keeps its newest rows only. No venue serves liquidations of the past that",
            "can be paged: they are refused everywhere, and imported from exports of Coinalyze and CoinGlass.",
            "",
            "Ratios are those of all accounts (long by short), of top traders' accounts and positions, and of takers",
            "(bought by sold volume). Binance and OKX serve all four, each from an endpoint of its own; Bybit serves",
            "that of all accounts alone. Like every sample, a ratio is known one period after its stamp.",
            "",
            "Maintenance tiers in money come from Bybit, Bitget, Gate and KuCoin Futures; OKX counts them in",
            "contracts and Binance shows them to holders of a key, so that those two are not asked for.",
            "",
            f"| venue | {' | '.join(COLUMNS.values())} |",
            f"|---{'|---' * len(COLUMNS)}|",
            *rows,
            "",
        ]
    )


@pytest.mark.parametrize("venue", ["bybit", "okx", "kraken"])
def test_liquidations_are_refused_before_the_first_request(
    venue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = outcome((venue, "liquidations"), tmp_path / "store", monkeypatch)
    assert done.requests == 0
    if SPECS[venue].swap:
        assert done.refused == (
            f"{venue} has no liquidations of the past that can be paged: import an export of Coinalyze or CoinGlass"
        )
    else:
        assert "has no liquidations" in done.refused


@pytest.mark.parametrize(("venue", "series"), [("htx", "index"), ("bitget", "ratios")])
def test_what_ccxt_offers_of_a_venue_without_a_way_to_the_past_would_store_nothing(
    venue: str, series: SeriesName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the rules name it: asked for, it comes to an error or to no row, and never to a gap."""
    monkeypatch.setitem(RULES, venue, replace(RULES[venue], lacks=()))
    try:
        done = outcome((venue, series), tmp_path / "store", monkeypatch, 20)
    except MarketError:
        return
    assert done.times is not None
    assert done.times.size == 0
    assert done.fetched is not None
    assert done.fetched.gaps == ()


def test_a_page_of_ratios_that_is_not_bounded_is_not_taken_for_its_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a start, which ccxt does not send, Bybit answers any window with its newest rows."""
    monkeypatch.setitem(RULES, "bybit", replace(RULES["bybit"], ratio_window=("", "until")))
    done = outcome(("bybit", "ratios"), tmp_path / "store", monkeypatch, 20)
    assert done.fetched is not None
    assert done.fetched.gaps == ()
    assert done.times is not None
    named = sum((end - start) // HOUR for start, end in done.fetched.missing)
    assert done.times.size + named >= 20 * 24


@pytest.mark.parametrize("venue", ["htx", "kraken", "hyperliquid", "gate spot"])
def test_without_its_rules_a_venue_loses_rows_to_no_false_gap(
    venue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(RULES, venue.partition(" ")[0])
    days = {"hyperliquid": 300, "gate spot": 450}.get(venue, 59)
    done = outcome((venue, "ohlcv"), tmp_path / "store", monkeypatch, days)
    assert done.fetched is not None
    assert done.fetched.gaps == ()
    assert done.times is not None
    assert done.times.size > 0
    # What is not there is named: rows and missing time together are all that was asked for.
    start = NOW // DAY * DAY - days * DAY
    named = sum((end - begin) // HOUR for begin, end in done.fetched.missing)
    assert done.times.size + named >= (NOW - start) // HOUR


def test_the_newest_rows_of_a_venue_are_served_to_their_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = outcome(("hyperliquid", "ohlcv"), tmp_path / "deep", monkeypatch, 300)
    assert done.times is not None
    # Of the 5,000 newest one is still open.
    assert done.times.size == 4999
    assert done.said[0].startswith("hyperliquid serves bars of 1h from")
    spot: Any = outcome(("gate spot", "ohlcv"), tmp_path / "spot", monkeypatch, 450)
    assert spot.times.size == 9999
    assert spot.fetched.gaps == ()
