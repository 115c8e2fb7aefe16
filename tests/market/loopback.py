"""A venue on loopback that speaks enough of Bybit v5 and Binance USD-M for ccxt's own classes, faults included.

Every number is a function of instrument and time, so that a test knows what a complete series is.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import ccxt
import numpy as np

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = 1_764_549_000_000  # 2025-12-01 00:30 UTC
PERIODS = {
    **{str(n): n * MINUTE for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
    "D": DAY,
    "W": 7 * DAY,
    **{f"{n}min": n * MINUTE for n in (5, 15, 30)},
    **{f"{n}m": n * MINUTE for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * HOUR for n in (1, 2, 4, 6, 8, 12)},
    "1d": DAY,
}
BYBIT_TIERS = (
    {"id": 1, "riskLimitValue": "200000", "maintenanceMargin": "0.01", "initialMargin": "0.02", "maxLeverage": "50"},
    {"id": 2, "riskLimitValue": "500000", "maintenanceMargin": "0.025", "initialMargin": "0.04", "maxLeverage": "25"},
    {"id": 3, "riskLimitValue": "900000", "maintenanceMargin": "0.025", "initialMargin": "0.05", "maxLeverage": "20"},
    {"id": 4, "riskLimitValue": "2000000", "maintenanceMargin": "0.05", "initialMargin": "0.1", "maxLeverage": "10"},
)
BINANCE_RATIOS = {
    "globalLongShortAccountRatio": "accounts",
    "topLongShortAccountRatio": "top_accounts",
    "topLongShortPositionRatio": "top_positions",
    "takerlongshortRatio": "taker",
}
BOTH_FAULTS = (
    *("429", "418", "403", "451", "500", "502", "503", "504"),
    *("timeout", "reset", "short body", "truncated", "html", "blank", "null"),
    *("empty page", "short page", "duplicates", "disorder", "null field"),
)
FAULTS = {"bybit": (*BOTH_FAULTS, "10006", "10016", "10001"), "binanceusdm": (*BOTH_FAULTS, "-1003", "-1001")}


def price_series(path: str, query: dict[str, str]) -> str:
    """Of which price a request asks for bars: as the venues name them, `ohlcv` where it names none."""
    text = f"{path} {query}".lower()
    if "premium" in text:
        return "premium"
    if re.search(r"mark(?!et)|fair_price", text):
        return "mark"
    return "index" if re.search(r"index(?!/market)|/v1/spot/", text) else "ohlcv"


def noise(*key: object) -> float:
    """A number in [0, 1) that only depends on the key."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


@dataclass
class Listing:
    """One instrument: `funding_hours` are (from_ms, hours) in order, `absent` bars that the venue never had."""

    base: str
    launch_ms: int
    funding_hours: tuple[tuple[int, int], ...] = ((0, 8),)
    absent: frozenset[int] = frozenset()
    jitter: bool = False
    end_ms: int = 2**62

    def bar(self, slot: int) -> tuple[float, float, float, float, float]:
        mid = 50 + 40 * noise(self.base, slot)
        open_, close = mid * (1 + 0.01 * noise("o", slot)), mid * (1 - 0.01 * noise("c", slot))
        return tuple(round(x, 4) for x in (open_, max(open_, close) * 1.002, min(open_, close) * 0.998, close, mid * 7))  # type: ignore[return-value]

    def price_bar(self, slot: int, series: str) -> tuple[float, float, float, float]:
        """Mark, index or premium: each of its own, the premium on both sides of zero."""
        open_, high, low, close, _ = self.bar(slot)
        times, less = {"mark": (1.01, 0), "index": (1.02, 0), "premium": (1e-4, 0.005)}[series]
        return tuple(round(x * times - less, 8) for x in (open_, high, low, close))  # type: ignore[return-value]

    def longs(self, slot: int) -> float:
        """Share of accounts that are long."""
        return round(0.4 + 0.2 * noise("longs", self.base, slot), 4)

    def volumes(self, slot: int) -> tuple[float, float]:
        """What takers bought and sold."""
        return tuple(round(10 + 90 * noise(side, self.base, slot), 3) for side in ("bought", "sold"))  # type: ignore[return-value]

    def ratio(self, slot: int, column: str) -> float:
        """A ratio of the store, by its column."""
        if column == "taker":
            bought, sold = self.volumes(slot)
            return bought / sold
        if column == "accounts":
            return self.longs(slot) / (1 - self.longs(slot))
        return round(0.5 + noise(column, self.base, slot), 4)

    def oi(self, slot: int) -> tuple[float, float]:
        coins = round(1000 + 500 * noise("oi", self.base, slot), 3)
        return coins, round(coins * 50, 3)

    def settlements(self, start: int, end: int) -> list[tuple[int, float]]:
        found, stamp = [], self.launch_ms
        while stamp <= min(end, self.end_ms):
            hours = [hours for since, hours in self.funding_hours if since <= stamp][-1]
            stamp = (stamp // (hours * HOUR) + 1) * hours * HOUR
            shown = stamp + (int(noise("j", stamp) * 20) if self.jitter else 0)
            if start <= shown <= end:
                found.append((shown, round(0.001 * (noise("f", self.base, stamp) - 0.5), 8)))
        return found

    def slots(self, period: int, start: int, end: int, now: int) -> list[int]:
        # Weeks begin on Monday, four days after the epoch's Thursday.
        phase = 4 * DAY if period == 7 * DAY else 0
        earliest = max(start, self.launch_ms)
        first = earliest + (phase - earliest) % period
        last = min(end, now, self.end_ms)
        return [slot for slot in range(first, last + 1, period) if slot not in self.absent]


@dataclass
class Loopback:
    """State of the server: what is listed, its clock, faults, and what was asked."""

    listings: dict[str, Listing]
    now_ms: int = NOW
    rate: float = 0.0
    kinds: tuple[str, ...] = ()
    only: str = ""
    seed: int = 1
    delay: float = 0.0
    url: str = ""
    asked: list[tuple[float, str, dict[str, str]]] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)
    oi_limit: int = 200
    hook: Callable[[str, dict[str, str]], str | None] | None = None
    tail: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.lock = threading.Lock()

    def fault(self, path: str, query: dict[str, str]) -> str | None:
        with self.lock:
            self.asked.append((time.monotonic(), path, query))
            if self.hook is not None:
                return self.hook(path, query)
            if self.only and self.only not in path:
                return None
            if self.random.random() >= self.rate:
                return None
            kind = self.random.choice(self.kinds)
            self.served[kind] = self.served.get(kind, 0) + 1
            return kind

    def answer(self, path: str, query: dict[str, str], kind: str | None) -> Any:
        number = {name: int(value) for name, value in query.items() if value.isdigit()}
        if path.startswith("/v5/"):
            return self._bybit(path, query, number, kind)
        return self._binance(path, query, number, kind)

    def _bybit(self, path: str, query: dict[str, str], number: dict[str, int], kind: str | None) -> Any:
        if kind in ("10006", "10016", "10001"):
            return {"retCode": int(kind), "retMsg": "fault", "result": {}, "time": self.now_ms}
        result: dict[str, Any] = {}
        if path == "/v5/market/instruments-info":
            listed = [] if "status" in query else [self._bybit_market(one) for one in self.listings.values()]
            result = {"category": query["category"], "list": listed, "nextPageCursor": ""}
        elif path == "/v5/market/risk-limit":
            listed = [{"symbol": query["symbol"], **tier} for tier in BYBIT_TIERS]
            result = {"category": query["category"], "list": listed}
        elif path != "/v5/market/time":
            listing = self.listings.get(query["symbol"])
            if listing is None:
                return {"retCode": 10001, "retMsg": "symbol invalid", "result": {}, "time": self.now_ms}
            result = {"symbol": query["symbol"], "category": query["category"]}
            rows: list[Any]
            if "kline" in path:
                period, price = PERIODS[query["interval"]], price_series(path, {})
                slots = listing.slots(period, number["start"], number.get("end", self.now_ms), self.now_ms)
                if price == "ohlcv":
                    rows = [[str(slot), *map(str, listing.bar(slot)), "1"] for slot in slots]
                else:
                    rows = [[str(slot), *map(str, listing.price_bar(slot, price))] for slot in slots]
                result["list"] = spoilt(rows[::-1], kind, self.random)[: number.get("limit", 200)]
            elif path == "/v5/market/open-interest":
                period = PERIODS[query["intervalTime"]]
                slots = listing.slots(period, number["startTime"], number["endTime"], self.now_ms)
                rows = [{"openInterest": str(listing.oi(slot)[0]), "timestamp": str(slot)} for slot in slots][::-1]
                skip = int(query.get("cursor", "0"))
                most = min(number.get("limit", 50), self.oi_limit)
                page = spoilt(rows[skip:], kind, self.random)[:most]
                more = len(rows) > skip + most
                result |= {"list": page, "nextPageCursor": str(skip + most) if more else ""}
            elif path == "/v5/market/account-ratio":
                period = PERIODS[query["period"]]
                # Without a start and an end the newest come.
                slots = listing.slots(
                    period, number.get("startTime", 0), number.get("endTime", self.now_ms), self.now_ms
                )
                slots = slots[-min(number.get("limit", 50), 500) :]
                longs = [(slot, listing.longs(slot)) for slot in slots]
                rows = [
                    {"symbol": query["symbol"], "buyRatio": f"{share:.4f}", "sellRatio": f"{1 - share:.4f}", **stamp}
                    for slot, share in longs
                    for stamp in ({"timestamp": str(slot)},)
                ]
                result["list"] = spoilt(rows[::-1], kind, self.random)
            elif path == "/v5/market/funding/history":
                found = listing.settlements(number["startTime"], min(number["endTime"], self.now_ms))
                rows = [
                    {"symbol": query["symbol"], "fundingRate": str(rate), "fundingRateTimestamp": str(stamp)}
                    for stamp, rate in found
                ]
                result["list"] = spoilt(rows[::-1], kind, self.random)[: number.get("limit", 200)]
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.now_ms}

    def _bybit_market(self, one: Listing) -> dict[str, Any]:
        return {
            "symbol": f"{one.base}USDT",
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "baseCoin": one.base,
            "quoteCoin": "USDT",
            "settleCoin": "USDT",
            "launchTime": str(one.launch_ms),
            "deliveryTime": "0",
            "priceFilter": {"tickSize": "0.01"},
            "lotSizeFilter": {"qtyStep": "0.01", "minOrderQty": "0.01", "maxOrderQty": "1000"},
            "fundingInterval": 480,
        }

    def _binance(self, path: str, query: dict[str, str], number: dict[str, int], kind: str | None) -> Any:
        if kind in ("-1003", "-1001"):
            return {"code": int(kind), "msg": "fault"}
        if path == "/fapi/v1/time":
            return {"serverTime": self.now_ms}
        if path == "/fapi/v1/exchangeInfo":
            return {"symbols": [self._binance_market(one) for one in self.listings.values()]}
        listing = self.listings.get(query.get("symbol") or query["pair"])
        if listing is None:
            return {"code": -1121, "msg": "Invalid symbol."}
        start, end = number.get("startTime", 0), number.get("endTime", self.now_ms)
        if path.endswith("Klines"):
            rows: list[Any] = [
                [slot, *map(str, listing.price_bar(slot, price_series(path, {}))), "0", slot + 1, "0", 1, "0", "0", "0"]
                for slot in listing.slots(PERIODS[query["interval"]], start, end, self.now_ms)
            ]
            return spoilt(rows, kind, self.random)[: min(number.get("limit", 500), 1500)]
        if path == "/fapi/v1/klines":
            rows = [
                [slot, *map(str, listing.bar(slot)), slot + 1, "1", 1, "1", "1", "0"]
                for slot in listing.slots(PERIODS[query["interval"]], start, end, self.now_ms)
            ]
            return spoilt(rows, kind, self.random)[: min(number.get("limit", 500), 1500)]
        if path == "/futures/data/openInterestHist":
            if start < self.now_ms - 30 * DAY:
                return {"code": -1130, "msg": "parameter 'startTime' is invalid."}
            rows = [
                {
                    "symbol": query["symbol"],
                    "sumOpenInterest": str(listing.oi(slot)[0]),
                    "sumOpenInterestValue": str(listing.oi(slot)[1]),
                    "timestamp": slot,
                }
                for slot in listing.slots(PERIODS[query["period"]], start, end, self.now_ms)
            ]
            # Binance gives the newest rows of the range.
            return spoilt(rows, kind, self.random)[-min(number.get("limit", 30), 500) :]
        if (column := BINANCE_RATIOS.get(path.rpartition("/")[2])) is not None:
            if start < self.now_ms - 30 * DAY:
                return {"code": -1130, "msg": "parameter 'startTime' is invalid."}
            rows = [
                {
                    "symbol": query["symbol"],
                    "buySellRatio" if column == "taker" else "longShortRatio": repr(listing.ratio(slot, column)),
                    "timestamp": slot,
                }
                for slot in listing.slots(PERIODS[query["period"]], start, end, self.now_ms)
            ]
            return spoilt(rows, kind, self.random)[-min(number.get("limit", 30), 500) :]
        rows = [
            {"symbol": query["symbol"], "fundingRate": str(rate), "fundingTime": stamp, "markPrice": ""}
            for stamp, rate in listing.settlements(start, min(end, self.now_ms))
        ]
        return spoilt(rows, kind, self.random)[: number.get("limit", 100)]

    def _binance_market(self, one: Listing) -> dict[str, Any]:
        return {
            "symbol": f"{one.base}USDT",
            "pair": f"{one.base}USDT",
            "contractType": "PERPETUAL",
            "deliveryDate": 4_133_404_800_000,
            "onboardDate": one.launch_ms,
            "status": "TRADING",
            "baseAsset": one.base,
            "quoteAsset": "USDT",
            "marginAsset": "USDT",
            "pricePrecision": 2,
            "quantityPrecision": 3,
            "filters": [],
        }


def spoilt(rows: list[Any], kind: str | None, chance: random.Random) -> list[Any]:
    """Rows as a faulty venue would send them; duplicates come first, so that they push others off the page."""
    if kind == "empty page":
        return []
    if kind == "short page":
        cut = chance.randrange(len(rows) + 1)
        return rows[cut:] if chance.random() < 0.5 else rows[:cut]
    if kind == "duplicates":
        return [row for row in rows for _ in range(1 + (chance.random() < 0.3))]
    if kind == "disorder":
        return chance.sample(rows, len(rows))
    if kind == "null field" and rows:
        place = chance.randrange(len(rows))
        row = rows[place]
        if isinstance(row, dict):
            name = chance.choice([name for name in row if name not in ("symbol", "markPrice")])
            spoiled: Any = {**row, name: None}
        else:
            column = chance.randrange(6)
            spoiled = [None if number == column else cell for number, cell in enumerate(row)]
        return [*rows[:place], spoiled, *rows[place + 1 :]]
    return rows


class Handler(BaseHTTPRequestHandler):
    """One request: the fault if there is one, else the answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    state: Loopback

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        inner = {name: value for one in body.values() if isinstance(one, dict) for name, value in one.items()}
        self.do_GET({name: str(value) for name, value in {**body, **inner}.items()})

    def do_GET(self, posted: dict[str, str] | None = None) -> None:
        url = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()} | (posted or {})
        kind = self.state.fault(url.path, query)
        if self.state.delay:
            time.sleep(self.state.delay)
        if kind == "timeout":
            time.sleep(0.5)
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        if kind in ("html", "blank", "null"):
            self.send({"html": b"<html><body>maintenance</body></html>", "blank": b"", "null": b"null"}[kind])
        elif kind in ("429", "418", "403", "451", "500", "502", "503", "504"):
            body = b'{"code":-1008,"msg":"Server is currently overloaded"}' if kind == "503" else b"<html>no</html>"
            self.send(body, int(kind), retry="0" if kind in ("429", "418") else None)
        else:
            body = json.dumps(self.state.answer(url.path, query, kind)).encode()
            status = 400 if b'"code": -1' in body or b'"label"' in body else 200
            if kind == "truncated":
                self.send(body[: max(len(body) * 2 // 3, 1)])
            elif kind == "short body":
                self.send(body[: len(body) // 2], length=len(body))
                self.close_connection = True
            else:
                self.send(body, 429 if b"-1003" in body else status)

    def send(self, body: bytes, status: int = 200, *, length: int | None = None, retry: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if retry is not None:
            self.send_header("Retry-After", retry)
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            return

    def log_message(self, *args: object) -> None:
        return


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        return


@contextmanager
def serving(state: Loopback) -> Iterator[Loopback]:
    """The state behind a real socket on 127.0.0.1."""
    server = Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"state": state}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def options(venue: str, url: str, **more: Any) -> dict[str, Any]:
    """Ccxt constructor options that send every address of a venue to `url`."""

    def rewritten(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: rewritten(inner) for name, inner in value.items()}
        parts = urlparse(value.replace("{hostname}", "host"))
        return url + parts.path

    api = getattr(ccxt, venue)().urls["api"]
    return {"urls": {"api": rewritten(api)}, "rateLimit": 0.2, "timeout": 5_000, **more}


def bars_of(listing: Listing, period: int, start: int, end: int, now: int = NOW) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of the closed bars in [start, end)."""
    slots = [slot for slot in listing.slots(period, start, end - 1, now) if slot + period <= now]
    return np.array(slots), np.array([listing.bar(slot) for slot in slots])
