"""What a download does besides paging: clipping, gaps, listings, units, refusals, waits, rate and interruption."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ccxt
import numpy as np
import pytest

from backtest.base.errors import MarketError, UsageError
from backtest.market.ccxt_source import Venue
from backtest.market.download import Downloader, Report
from backtest.market.from_store import open_stored
from backtest.market.recipe import ExchangeChoice, Recipe
from backtest.market.recorder import record
from backtest.market.rows import Key
from backtest.market.store import Store
from backtest.market.transport import LastReply, MalformedAnswer, Patience, RateGate, Stopped, retry_after, verdict
from backtest.market.venue_rules import RULES, VenueRules
from tests.market.loopback import DAY, HOUR, NOW, Listing, Loopback, options, serving

LAUNCH = 1_700_000_000_000
ZEC = "ZEC/USDT:USDT"
QUICK = Patience(attempts=6, doubtful=3, first=0.002, longest=0.01)


def at(text: str) -> int:
    return int(np.datetime64(text, "ms").astype(np.int64))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def download(store: Store, state: Loopback, timerange: str, **more: Any) -> Report:
    venue, extra, patience = more.pop("venue", "bybit"), more.pop("options", {}), more.pop("patience", QUICK)
    downloader = {
        name: more.pop(name)
        for name in ("workers", "stop", "progress", "again", "clock", "say", "instruments")
        if name in more
    }
    values = {"symbols": (ZEC,), "series": ("ohlcv",), "name": "test", "timeframe": "1h", **more}
    choice = ExchangeChoice(id=venue, options=options(venue, state.url, **extra))
    recipe = Recipe(exchange=choice, timerange=timerange, **values)
    return Downloader(recipe, store, patience=patience, **{"clock": lambda: NOW, **downloader}).run()


def zec(now_ms: int = NOW, **more: Any) -> Loopback:
    return Loopback({"ZECUSDT": Listing("ZEC", **{"launch_ms": LAUNCH, **more})}, now_ms=now_ms)


def key(series: str = "ohlcv", timeframe: str = "1h", venue: str = "bybit") -> Key:
    return Key.of(venue, ZEC, series, timeframe)  # type: ignore[arg-type]


def test_the_open_bar_is_dropped_and_an_open_end_goes_on_next_time(store: Store) -> None:
    state = zec()
    with serving(state):
        assert download(store, state, "20251129-").complaint() == ""
        # The server's clock reads 00:30: the bar of 00:00 is still open.
        assert store.read(key()).time_ms[-1] == at("2025-11-30T23:00")
        state.now_ms += 3 * HOUR
        assert download(store, state, "20251129-").complaint() == ""
    assert store.read(key()).time_ms[-1] == at("2025-12-01T02:00")
    assert np.diff(store.read(key()).time_ms).tolist() == [HOUR] * 50


def test_weeks_begin_where_the_venue_begins_them_and_the_open_one_is_dropped(store: Store) -> None:
    state = zec(now_ms=at("2025-11-29T12:00"))
    with serving(state):
        assert download(store, state, "20250901-", timeframe="1w").complaint() == ""
    times = store.read(key(timeframe="1w")).time_ms
    assert times[0] == at("2025-09-01")
    assert np.unique(np.diff(times)).tolist() == [7 * DAY]
    # That of Monday the 24th closes on 12-01.
    assert times[-1] == at("2025-11-17")
    assert open_stored(store, "test").timeframe == "1w"


def test_what_is_there_is_not_asked_for_again(store: Store) -> None:
    state = zec()
    with serving(state):
        download(store, state, "20251101-20251110")
        state.asked.clear()
        report = download(store, state, "20251101-20251112")
        starts = [int(query["start"]) for _, path, query in state.asked if "kline" in path]
    assert report.series[0].rows == 48
    assert starts
    assert min(starts) >= at("2025-11-10") - 2 * HOUR


def test_a_start_off_the_grid_is_covered_too(store: Store) -> None:
    state = zec()
    with serving(state):
        download(store, state, "2025-11-01T01:00Z/2025-11-02T00:00Z")
        report = download(store, state, "2025-11-01T00:30Z/2025-11-02T00:20Z")
        assert report.complaint() == ""
        assert store.read(key()).time_ms.size == 24
        assert download(store, state, "2025-11-01T00:30Z/2025-11-02T00:20Z").series[0].rows == 0
    assert store.missing(key(), at("2025-11-01T00:30"), at("2025-11-02T00:20")) == ()


def test_gaps_of_the_venue_are_believed_after_several_answers_and_named(store: Store) -> None:
    gap = range(at("2025-11-05T07:00"), at("2025-11-05T10:00"), HOUR)
    state = zec(absent=frozenset(gap))
    with serving(state):
        report = download(store, state, "20251101-20251110")
        asked = sum("kline" in path for _, path, _ in state.asked)
        again = download(store, state, "20251101-20251110")
    assert asked >= 3
    assert report.complaint() == ""
    assert report.series[0].gaps == again.series[0].gaps == ((at("2025-11-05T07:00"), at("2025-11-05T10:00")),)
    market = open_stored(store, "test")
    assert np.isnan(market.close[:, 0]).sum() == 3


@pytest.mark.parametrize("series", ["ohlcv", "oi"])
def test_rows_that_were_withheld_come_in_once_they_are_served(store: Store, series: str) -> None:
    gap = frozenset(range(at("2025-11-05T07:00"), at("2025-11-05T10:00"), HOUR))
    state = zec(absent=gap)
    with serving(state):
        assert download(store, state, "20251101-20251110", series=(series,)).series[0].gaps
        state.listings["ZECUSDT"].absent = frozenset()
        report = download(store, state, "20251101-20251110", series=(series,))
    assert (report.series[0].rows, report.series[0].gaps) == (3, ())
    assert np.unique(np.diff(store.read(key(series)).time_ms)).tolist() == [HOUR]


def test_a_gap_is_asked_for_by_itself_until_it_is_old_and_on_request_after_that(store: Store) -> None:
    gap = frozenset(range(at("2025-11-05T07:00"), at("2025-11-05T10:00"), HOUR))
    state = zec(absent=gap)
    asked = []

    def fetch(day: int, **more: Any) -> Report:
        state.asked.clear()
        report = download(store, state, "20251101-20251110", clock=lambda: NOW + day * DAY, **more)
        asked.append(sum("kline" in path for _, path, _ in state.asked))
        return report

    with serving(state):
        for day in (0, 0, 2, 3):
            fetch(day)
        manifest = store.manifest(key())
        assert manifest is not None
        assert [gap[2:] for gap in manifest.gaps] == [(3, NOW, NOW + 2 * DAY)]
        assert asked[:3] == [3, 3, 3]
        assert asked[3] == 0
        fetch(3, again=True)
        assert asked[4] == 3
        state.listings["ZECUSDT"].absent = frozenset()
        assert fetch(4, again=True).series[0].rows == 3
    assert store.doubtful(key(), 0, NOW, old=True) == ()


def test_a_gap_wider_than_a_page_is_believed_by_its_edges(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "bybit", replace(RULES["bybit"], ohlcv_rows=30))
    state = zec(absent=frozenset(range(at("2025-11-03"), at("2025-11-08"), HOUR)))
    with serving(state):
        report = download(store, state, "20251101-20251110")
    assert report.complaint() == ""
    assert report.series[0].gaps == ((at("2025-11-03"), at("2025-11-08")),)


def test_a_coin_that_stopped_trading_is_named_as_missing(store: Store) -> None:
    state = zec(end_ms=at("2025-11-05T03:00"))
    with serving(state):
        report = download(store, state, "20251101-20251110")
    assert report.complaint() == "bybit ZEC/USDT:USDT ohlcv 1h: missing 2025-11-05 04:00 to 2025-11-10 00:00"
    assert store.read(key()).time_ms.size == 4 * 24 + 4


def test_a_listing_in_the_middle_of_the_window(store: Store) -> None:
    launch = at("2025-11-05T03:20")
    state = zec(launch_ms=launch)
    with serving(state):
        report = download(store, state, "20251101-20251110", series=("ohlcv", "oi", "funding"))
    assert report.complaint() == ""
    assert store.read(key()).time_ms[0] == at("2025-11-05T04:00")
    assert store.read(key("oi")).time_ms[0] == at("2025-11-05T04:00")
    assert store.read(key("funding")).time_ms[0] == at("2025-11-05T08:00")


def test_a_listing_that_the_venue_does_not_tell(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Venue.listed

    def untold(self: Venue, symbol: str) -> Any:
        found = listed(self, symbol)
        return found and replace(found, created_ms=None)

    monkeypatch.setattr(Venue, "listed", untold)
    state = zec(launch_ms=at("2025-11-05"))
    with serving(state):
        report = download(store, state, "20200101-20251110")
        asked = len(state.asked)
    assert report.complaint() == ""
    assert store.read(key()).time_ms[0] == at("2025-11-05")
    assert asked < 30


def test_a_listing_after_the_end_is_left_out_and_said(store: Store) -> None:
    state = Loopback({"ZECUSDT": Listing("ZEC", LAUNCH), "ZKUSDT": Listing("ZK", at("2025-11-20"))})
    with serving(state):
        report = download(store, state, "20251101-20251110", symbols=(ZEC, "ZK/USDT:USDT"))
        assert report.notes == ("ZK/USDT:USDT was listed 2025-11-20 00:00, after the end; left out",)
        with pytest.raises(UsageError, match="bybit has no ohlcv of ZK/USDT:USDT in that time"):
            download(store, state, "20251101-20251110", symbols=("ZK/USDT:USDT",))
    assert open_stored(store, "test").symbols == (ZEC,)


def test_daily_bars_back_to_the_listing(store: Store) -> None:
    state = zec(launch_ms=at("2024-02-10"))
    with serving(state):
        report = download(store, state, "20180101-", timeframe="1d", series=("ohlcv", "oi", "funding"))
    assert report.complaint() == ""
    market = open_stored(store, "test")
    assert market.timeframe == "1d"
    assert str(market.index[0]) == "2024-02-10 00:00:00+00:00"
    assert str(market.index[-1]) == "2025-11-30 00:00:00+00:00"
    assert np.isnan(market.funding[1:-1]).sum() == 0


def test_one_spot_symbol_never_becomes_the_swap(store: Store) -> None:
    state = zec()
    with serving(state):
        with pytest.raises(UsageError, match="binanceusdm does not list ZEC/USDT: it has ZEC/USDT:USDT"):
            download(store, state, "20251101-20251110", venue="binanceusdm", symbols=("ZEC/USDT",))
        # ccxt itself would have given the swap.
        client = ccxt.binanceusdm(options("binanceusdm", state.url))
        client.load_markets()
        assert client.market("ZEC/USDT")["symbol"] == ZEC
    assert store.contents() == ()


def test_an_unlisted_symbol_is_an_error_or_is_left_out(store: Store) -> None:
    state = zec()
    with serving(state):
        with pytest.raises(UsageError, match=r"bybit does not list RAIL/USDT:USDT: .*"):
            download(store, state, "20251101-20251102", symbols=(ZEC, "RAIL/USDT:USDT"))
        report = download(store, state, "20251101-20251102", symbols=(ZEC, "RAIL/USDT:USDT"), unlisted="skip")
    assert report.notes[0].startswith("bybit does not list RAIL/USDT:USDT")
    assert open_stored(store, "test").symbols == (ZEC,)


@pytest.mark.parametrize(
    ("venue", "series", "timerange", "complaint"),
    [
        ("binanceusdm", "oi", "20251001-20251030", "no open-interest history older than 2025-11-01 00:35"),
        ("binance", "oi", "20251001-20251030", "or from Binance's public archive (fetch with `archive`)"),
        ("bitget", "oi", "20251120-", "bitget has no open-interest history that ccxt can read: fetch it from bybit"),
        ("hyperliquid", "oi", "20251120-", "or keep what it shows now with `backtest data record`"),
        ("coinbase", "funding", "20251120-", "coinbase has no funding history that ccxt can read"),
        ("okx", "funding", "20250101-20250201", "okx has no funding history older than 2025-09-02"),
        ("okx", "oi", "20250915-20250920", "okx has no open-interest history older than 2025-10-02"),
    ],
)
def test_what_a_venue_cannot_serve_is_said_before_the_first_request(
    store: Store, venue: str, series: str, timerange: str, complaint: str
) -> None:
    state = zec()
    choice = ExchangeChoice(id=venue)
    recipe = Recipe(name="x", exchange=choice, symbols=(ZEC,), series=(series,), timerange=timerange)  # type: ignore[arg-type]
    with serving(state), pytest.raises(UsageError) as caught:
        Downloader(recipe, store, clock=lambda: NOW).run()
    assert complaint in str(caught.value)
    assert state.asked == []


def test_the_part_that_a_venue_serves_is_fetched_and_the_rest_is_said_first(store: Store) -> None:
    state = zec()
    said: list[tuple[str, int]] = []
    with serving(state):
        report = download(
            store,
            state,
            "20251025-20251110",
            venue="binanceusdm",
            series=("oi",),
            say=lambda sentence: said.append((sentence, len(state.asked))),
        )
    oldest = NOW - 30 * DAY + 300_000
    (route, _), (sentence, asked) = said
    assert route.startswith("binanceusdm: asked at http://127.0.0.1:")
    assert sentence.startswith("binanceusdm serves open-interest history from 2025-11-01 00:35 on only: fetch it from")
    assert asked == 0
    rows = store.read(key("oi", venue="binanceusdm"))
    assert rows.time_ms.tolist() == list(range(-(-oldest // HOUR) * HOUR, at("2025-11-10"), HOUR))
    assert report.series[0].missing == ((at("2025-10-25"), oldest),)
    assert "serves open-interest history from 2025-11-01 00:35 on only" in report.complaint()


def test_open_interest_takes_the_longest_period_that_fits_a_bar(store: Store) -> None:
    state = zec()
    with serving(state):
        assert download(store, state, "20251120-20251125", timeframe="2h", series=("ohlcv", "oi")).complaint() == ""
        assert download(store, state, "20251124-20251125", timeframe="1m", series=("oi",)).complaint() == ""
    assert {one.timeframe for one in store.contents() if one.series == "oi"} == {"1h", "5m"}
    market = open_stored(store, "test", "2h")
    assert market.bar_ms == 2 * HOUR
    assert not np.isnan(market.open_interest).any()


def test_volume_and_open_interest_in_contracts_become_coins(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = replace(RULES["bybit"], volume_in_contracts=True, oi_unit="contracts")
    monkeypatch.setitem(RULES, "bybit", rules)
    listed = Venue.listed
    monkeypatch.setattr(Venue, "listed", lambda self, symbol: replace(listed(self, symbol), contract=0.01))  # type: ignore[type-var]
    state = zec()
    with serving(state):
        download(store, state, "20251120-20251125", series=("ohlcv", "oi"))
    slot = at("2025-11-20")
    listing = state.listings["ZECUSDT"]
    assert store.read(key()).values[0, 4] == pytest.approx(listing.bar(slot)[4] * 0.01)
    assert store.read(key("oi")).values[0, 0] == pytest.approx(listing.oi(slot)[0] * 0.01)
    manifest = store.manifest(key())
    assert manifest is not None
    assert manifest.units == {"price": "quote", "volume": "base, from contracts of 0.01"}
    monkeypatch.setitem(RULES, "bybit", replace(rules, volume_in_contracts=False))
    with serving(state):
        report = download(store, state, "20251120-20251128")
    assert "use another `store`" in report.complaint()


def test_a_null_volume_that_stays_is_kept_as_unknown(store: Store) -> None:
    state = zec()
    slot = at("2025-11-03T05:00")
    bar = Listing.bar

    class Lacking(Listing):
        def bar(self, at: int) -> Any:
            open_, high, low, close, volume = bar(self, at)
            return open_, high, low, close, None if at == slot else volume

    state.listings["ZECUSDT"] = Lacking("ZEC", LAUNCH)
    answer = state.answer

    def with_null(path: str, query: dict[str, str], kind: str | None) -> Any:
        document = answer(path, query, kind)
        for row in document["result"].get("list", []) if isinstance(document, dict) else []:
            if isinstance(row, list):
                row[5] = None if row[5] == "None" else row[5]
        return document

    state.answer = with_null  # type: ignore[method-assign]
    with serving(state):
        report = download(store, state, "20251101-20251110")
    assert report.complaint() == ""
    rows = store.read(key())
    assert np.isnan(rows.values[rows.time_ms == slot, 4]).all()
    assert np.isnan(rows.values).sum() == 1


def test_retry_after_is_honoured(store: Store) -> None:
    state = zec()
    asked = 0

    def busy(path: str, query: dict[str, str]) -> str | None:
        nonlocal asked
        asked += "kline" in path
        return "429" if "kline" in path and asked == 1 else None

    state.hook = busy
    from tests.market import loopback

    send = loopback.Handler.send

    def slow_down(self: Any, body: bytes, status: int = 200, **more: Any) -> None:
        send(self, body, status, **{**more, "retry": "1" if status == 429 else None})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loopback.Handler, "send", slow_down)
        with serving(state):
            assert download(store, state, "20251101-20251110").complaint() == ""
    times = [when for when, path, _ in state.asked if "kline" in path]
    assert times[1] - times[0] >= 1.0


def test_both_forms_of_retry_after_are_read() -> None:
    now = datetime(2025, 11, 7, 12, 0, 0, tzinfo=UTC)
    assert retry_after("7", now) == 7
    assert retry_after("Fri, 07 Nov 2025 12:00:30 GMT", now) == 30
    assert retry_after("Fri, 07 Nov 2025 11:00:00 GMT", now) == 0
    assert retry_after("soon", now) is None
    assert retry_after(None, now) is None


@pytest.mark.parametrize(
    ("problem", "answer", "expected"),
    [
        (ccxt.DDoSProtection("x"), LastReply(429, "", None), "limited"),
        (ccxt.ExchangeError("x"), LastReply(429, "", None), "limited"),
        (ccxt.ExchangeError("x"), LastReply(418, "-1003", None), "limited"),
        (ccxt.ExchangeError("x"), LastReply(503, "-1008", None), "again"),
        (ccxt.ExchangeError("x"), LastReply(200, "10016", None), "again"),
        (ccxt.RateLimitExceeded("x"), LastReply(200, "10006", None), "limited"),
        (ccxt.BadRequest("x"), LastReply(200, "10001", None), "doubtful"),
        (ccxt.ExchangeNotAvailable("x"), LastReply(451, "", None), "doubtful"),
        (ccxt.ExchangeNotAvailable("x"), LastReply(403, "", None), "doubtful"),
        (ccxt.ExchangeNotAvailable("x"), LastReply(400, "-1121", None), "never"),
        (ccxt.BadSymbol("x"), LastReply(400, "-1121", None), "never"),
        (ccxt.RequestTimeout("x"), None, "again"),
        (ccxt.ExchangeError("certificate"), None, "never"),
        (MalformedAnswer("html"), LastReply(200, "", None), "again"),
    ],
)
def test_retries_are_decided_by_status_and_code(problem: Exception, answer: LastReply | None, expected: str) -> None:
    assert verdict(problem, answer) == expected


def test_a_venue_that_refuses_for_good_is_named_with_the_way_out(store: Store) -> None:
    state = zec()
    state.rate, state.kinds = 1.0, ("451",)
    with serving(state), pytest.raises(MarketError) as caught:
        download(store, state, "20251101-20251110")
    assert "refuses requests from here (HTTP 451" in str(caught.value)
    assert "`exchange_config`" in str(caught.value)


@pytest.mark.parametrize("kind", ["500", "html", "null", "empty page", "10001", "timeout", "reset"])
def test_a_series_that_never_comes_ends_named_with_its_range(store: Store, kind: str) -> None:
    state = zec()
    state.rate, state.kinds, state.only = 1.0, (kind,), "open-interest"
    with serving(state):
        report = download(
            store,
            state,
            "20251101-20251110",
            series=("ohlcv", "oi"),
            patience=replace(QUICK, attempts=3),
            options={"timeout": 400},
        )
    assert "oi 1h: missing 2025-11-01 00:00 to 2025-11-10 00:00" in report.complaint()
    assert "ohlcv" not in report.complaint()
    assert store.read(key()).time_ms.size == 9 * 24
    # Without the check of the transport ccxt would have read these as pages without rows.
    reason = {"html": "HTTP 200 with a body that is not whole JSON", "null": "HTTP 200 with None as its body"}
    assert reason.get(kind, "") in report.complaint()


def test_slow_answers_are_waited_for(store: Store) -> None:
    state = zec()
    state.delay = 0.25
    with serving(state):
        assert download(store, state, "20251101-20251110").complaint() == ""


def test_the_rate_is_kept_and_used_by_all_threads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "bybit", replace(RULES["bybit"], ohlcv_rows=30, oi_rows=30))
    state = Loopback({f"{base}USDT": Listing(base, LAUNCH) for base in ("ZEC", "DASH", "BTC", "ETH")})
    state.delay = 0.03
    with serving(state):
        symbols = tuple(f"{base}/USDT:USDT" for base in ("ZEC", "DASH", "BTC", "ETH"))
        # Five units a request at 4 ms each: fifty requests a second, faster than one thread could ask.
        download(store, state, "20251101-20251120", symbols=symbols, options={"rateLimit": 4}, workers=6)
    times = np.array([when for when, path, _ in state.asked if "kline" in path])
    assert times.size > 70
    elapsed = times[-1] - times[0]
    # A tenth of a second of credit is all that may be caught up; each of six threads may come late from the gate.
    assert times.size <= 50 * (elapsed + 0.1) + 1 + 6
    # The share that is used is measured in the benchmarks; here only that threads help, on the busiest machine too: one
    # alone asks nothing before its last question was answered.
    assert (np.diff(times) < state.delay).any()


def test_a_gate_spaces_and_pauses() -> None:
    stop = threading.Event()
    gate = RateGate(10, stop)
    started = time.monotonic()
    for _ in range(30):
        gate.wait(1)
    assert time.monotonic() - started >= 0.15
    paused = time.monotonic()  # before it, as a late thread may come back late
    gate.pause(0.2)
    gate.wait(1)
    assert time.monotonic() - paused >= 0.19
    stop.set()
    with pytest.raises(Stopped):
        gate.wait(1)


def test_ctrl_c_keeps_what_came_and_the_next_download_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "bybit", replace(RULES["bybit"], ohlcv_rows=30))
    state = zec()
    sent = threading.Event()

    def interrupt(path: str, query: dict[str, str]) -> str | None:
        if len(state.asked) == 12 and not sent.is_set():
            sent.set()
            os.kill(os.getpid(), signal.SIGINT)
        return None

    state.hook = interrupt
    with serving(state):
        with pytest.raises(KeyboardInterrupt):
            download(store, state, "20251001-20251110")
        assert store.problems(key()) == []
        before = store.read(key()).time_ms.size
        assert 0 < before < 960
        report = download(store, state, "20251001-20251110")
    assert report.complaint() == ""
    assert report.series[0].rows == 960 - before
    assert store.read(key()).time_ms.size == 960


def test_a_proxy_and_any_other_ccxt_option_reach_the_client(store: Store) -> None:
    state = zec()
    with serving(state):
        # Nobody listens on the host: only through the proxy can it be reached.
        elsewhere = options("bybit", "http://no-such-host.invalid", httpProxy=state.url)
        recipe = Recipe(
            name="x",
            exchange=ExchangeChoice(id="bybit", options=elsewhere),
            symbols=(ZEC,),
            series=("ohlcv",),
            timerange="20251101-20251102",
        )
        report = Downloader(recipe, store, patience=QUICK, clock=lambda: NOW, insecure=True).run()
    assert report.complaint() == ""
    assert store.read(key()).time_ms.size == 24
    assert len(state.asked) >= 3


def test_the_proxy_of_the_environment_is_honoured_unless_told_otherwise(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = zec()
    with serving(state):
        monkeypatch.setenv("HTTP_PROXY", state.url)
        monkeypatch.setenv("http_proxy", state.url)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        unreached = options("bybit", "http://no-such-host.invalid")
        venue = Venue("bybit", unreached, threading.Event(), QUICK, insecure=True)
        assert venue.now_ms() == NOW
        options_off = options("bybit", state.url, requests_trust_env=False)
        assert not Venue("bybit", options_off, threading.Event(), QUICK).session.trust_env
    assert len(state.asked) == 1


def test_recording_twice_is_recording_once(store: Store) -> None:
    state = zec()

    def run() -> Report:
        chosen = options("binanceusdm", state.url)
        return record(store, "binanceusdm", chosen, (ZEC,), None, "1h", patience=QUICK, clock=lambda: state.now_ms)

    with serving(state):
        first = run()
        assert first.complaint() == ""
        assert {one.key.series for one in first.series} == {"ohlcv", "oi", "funding"}
        assert {one.rows for one in run().series} == {0}
        state.now_ms += 5 * HOUR
        later = {one.key.series: one.rows for one in run().series}
    assert later == {"ohlcv": 5, "oi": 5, "funding": 0}
    samples = store.read(key("oi", venue="binanceusdm"))
    assert samples.time_ms[0] == NOW - NOW % HOUR - 30 * DAY + 2 * HOUR
    assert np.unique(np.diff(samples.time_ms)).tolist() == [HOUR]


def test_rules_name_venues_that_ccxt_has() -> None:
    assert set(RULES) <= set(ccxt.exchanges)
    assert all(isinstance(rules, VenueRules) for rules in RULES.values())
