"""Sixteen venues on loopback, each answering as its documentation and ccxt's reader of it say: paging, depth, order.

Every number is a function of instrument and time (`Listing`), so that a test knows what a complete series is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tests.market.loopback import DAY, HOUR, MINUTE, NOW, PERIODS, Listing, Loopback, price_series

LAUNCH = NOW // DAY * DAY - 470 * DAY
CONTRACT = 0.1


@dataclass(frozen=True)
class Spec:
    """One venue: its symbols by kind, the market's own name, and what of the last sixty days it can ever give.

    `first_bar`, `first_oi` and `first_funding` are the first times that it still serves, 0 is the listing.
    """

    swap: str = "ZEC/USDT:USDT"
    spot: str = ""
    identity: str = "ZECUSDT"
    hours: int = 8
    first_bar: int = 0
    first_oi: int = 0
    first_funding: int = 0
    first_ratio: int = 0


def newest(count: int, now: int = NOW) -> int:
    """Open of the oldest of the `count` newest hourly bars, the open one included."""
    return now // HOUR * HOUR - (count - 1) * HOUR


SPECS: dict[str, Spec] = {
    "bybit": Spec(),
    "binanceusdm": Spec(first_oi=NOW - 30 * DAY + 5 * MINUTE, first_ratio=NOW - 30 * DAY + 5 * MINUTE),
    "okx": Spec(identity="ZEC-USDT-SWAP", first_oi=newest(1440), first_ratio=newest(1440)),
    "gate": Spec(spot="ZEC/USDT", identity="ZEC_USDT"),
    "kucoinfutures": Spec(identity="ZECUSDTM"),
    "htx": Spec(identity="ZEC-USDT", first_oi=newest(200)),
    "mexc": Spec(identity="ZEC_USDT"),
    "bitget": Spec(),
    "hyperliquid": Spec(swap="ZEC/USDC:USDC", identity="ZEC", hours=1),
    "krakenfutures": Spec(swap="ZEC/USD:USD", identity="PF_ZECUSD", hours=1),
    "kraken": Spec(swap="", spot="ZEC/USD", identity="XZECZUSD", first_bar=newest(720)),
    "coinbase": Spec(swap="", spot="ZEC/USD", identity="ZEC-USD"),
    "bingx": Spec(identity="ZEC-USDT"),
    "deribit": Spec(swap="ZEC/USDC:USDC", identity="ZEC_USDC-PERPETUAL", hours=1),
    "bitfinex": Spec(identity="tZECF0:USTF0"),
    "dydx": Spec(swap="ZEC/USDC:USDC", identity="ZEC-USD", hours=1),
}


@dataclass
class VenueLoopback(Loopback):
    """The venue named `venue`; bybit and binanceusdm are those of `loopback`."""

    venue: str = ""
    known: list[tuple[int, float]] = field(default_factory=list)

    def answer(self, path: str, query: dict[str, str], kind: str | None) -> Any:
        if self.venue in ("bybit", "binanceusdm"):
            return super().answer(path, query, kind)
        number = {name: int(float(value)) for name, value in query.items() if value.replace(".", "", 1).isdigit()}
        return ANSWERS[self.venue](Asked(self, next(iter(self.listings.values())), path, query, number))


@dataclass(frozen=True)
class Asked:
    """One request, with what the handlers need to answer it."""

    state: VenueLoopback
    listing: Listing
    path: str
    query: dict[str, str]
    number: dict[str, int]

    def bars(self, start: int, end: int, period: int = HOUR) -> list[tuple[int, tuple[float, ...]]]:
        slots = self.listing.slots(period, start, min(end, self.state.now_ms), self.state.now_ms)
        price = price_series(self.path, self.query)
        if price == "ohlcv":
            return [(slot, self.listing.bar(slot)) for slot in slots]
        return [(slot, (*self.listing.price_bar(slot, price), 0.0)) for slot in slots]

    def slots(self, start: int, end: int) -> list[int]:
        return self.listing.slots(HOUR, start, min(end, self.state.now_ms), self.state.now_ms)

    def rates(self, start: int, end: int) -> list[tuple[int, float]]:
        known = self.state.known or self.listing.settlements(0, self.state.now_ms)
        self.state.known = known
        return [one for one in known if start <= one[0] <= end]

    def oi(self, start: int, end: int) -> list[tuple[int, tuple[float, float]]]:
        slots = self.listing.slots(HOUR, start, min(end, self.state.now_ms), self.state.now_ms)
        return [(slot, self.listing.oi(slot)) for slot in slots]


def _okx(asked: Asked) -> Any:
    number, limit = asked.number, asked.number.get("limit", 100)
    before, after = number.get("before", 0) + 1, number.get("after", NOW) - 1
    # Both bounds of trading statistics are exclusive.
    within = max(number.get("begin", 0) + 1, newest(1440)), number.get("end", NOW + 1) - 1
    if "ratio-contract" in asked.path:
        place = "position" if "position" in asked.path else "account"
        column = f"top_{place}s" if asked.path.endswith("top-trader") else "accounts"
        rows: list[Any] = [[str(slot), repr(asked.listing.ratio(slot, column))] for slot in asked.slots(*within)]
    elif "taker-volume-contract" in asked.path:
        rows = [[str(slot), *map(str, asked.listing.volumes(slot)[::-1])] for slot in asked.slots(*within)]
    elif "candles" in asked.path:
        rows = [
            [str(slot), *map(str, bar[:4]), str(bar[4] / CONTRACT), str(bar[4]), "1", "1"]
            for slot, bar in asked.bars(before, after)
        ]
    elif "funding" in asked.path:
        rows = [
            {"instId": "ZEC-USDT-SWAP", "fundingRate": "9", "realizedRate": str(rate), "fundingTime": str(stamp)}
            for stamp, rate in asked.rates(max(before, NOW - 90 * DAY), after)
        ]
    else:
        start, end = number.get("begin", 0), number.get("end", NOW)
        rows = [
            [str(slot), str(coins / CONTRACT), str(coins), str(value)]
            for slot, (coins, value) in asked.oi(max(start, newest(1440)), end)
        ]
    return {"code": "0", "msg": "", "data": rows[::-1][:limit]}


def _gate(asked: Asked) -> Any:
    start, end = asked.number.get("from", 0) * 1000, asked.number.get("to", NOW // 1000) * 1000
    if "spot" in asked.path:
        if start < newest(10_000):
            return {"label": "INVALID_PARAM_VALUE", "message": "Candlestick too long ago. Maximum 10000 points ago"}
        return [
            [str(slot // 1000), "1", str(c), str(h), str(low), str(o), str(v), "true"]
            for slot, (o, h, low, c, v) in asked.bars(start, end)
        ]
    if "candlesticks" in asked.path:
        return [
            {"t": slot // 1000, "o": str(o), "h": str(h), "l": str(low), "c": str(c), "v": v / CONTRACT}
            for slot, (o, h, low, c, v) in asked.bars(start, end)
        ]
    limit = asked.number.get("limit", 100)
    if "funding_rate" in asked.path:
        return [{"t": stamp // 1000, "r": str(rate)} for stamp, rate in asked.rates(start, end)][::-1][:limit]
    return [
        {"time": slot // 1000, "open_interest": coins / CONTRACT, "open_interest_usd": value}
        for slot, (coins, value) in asked.oi(start, NOW)
    ][:limit]


def _kucoin(asked: Asked) -> Any:
    number = asked.number
    if "/ua/" in asked.path and "kline" in asked.path:
        bars = asked.bars(number["startAt"] * 1000, number["endAt"] * 1000)[:500]
        candles = [[str(slot // 1000), *map(str, (o, c, h, low)), "0", "0"] for slot, (o, h, low, c, _) in bars]
        return {"code": "200000", "data": {"tradeType": "FUTURES", "symbol": "ZECUSDTM", "list": candles[::-1]}}
    if "kline" in asked.path:
        rows: list[Any] = [
            [slot, *bar[:4], bar[4] / CONTRACT] for slot, bar in asked.bars(number["from"], number.get("to", NOW))
        ][:500]
    elif "funding" in asked.path:
        rows = [
            {"symbol": "ZECUSDTM", "timepoint": stamp, "fundingRate": rate}
            for stamp, rate in asked.rates(number["from"], number["to"])
        ][::-1][:100]
    else:
        most = number.get("pageSize", 30)
        rows = [
            {"symbol": "ZECUSDTM", "openInterest": str(coins / CONTRACT), "ts": slot}
            for slot, (coins, _) in asked.oi(number["startAt"], number.get("endAt", NOW))
        ][::-1][:most]
    return {"code": "200000", "data": rows}


def _htx(asked: Asked) -> Any:
    number = asked.number
    if "linear_swap_" in asked.path and "kline" in asked.path:
        if not 1 <= number.get("size", 0) <= 2000:
            return {"status": "error", "err_code": 1067, "err_msg": "size invalid.", "ts": NOW}
        rows: list[Any] = [
            {"id": slot // 1000, **dict(zip(("open", "high", "low", "close"), map(str, bar), strict=False))}
            for slot, bar in asked.bars(0, NOW)[-number["size"] :]
        ]
        return {"status": "ok", "ch": "x", "data": rows, "ts": NOW}
    if "kline" in asked.path:
        if "size" in number:
            # With a size, from and to are ignored: the newest come.
            bars = asked.bars(0, NOW)[-number["size"] :]
        else:
            bars = asked.bars(number["from"] * 1000, number["to"] * 1000)[:2000]
        rows = [
            {"id": slot // 1000, "open": o, "high": h, "low": low, "close": c, "amount": v}
            for slot, (o, h, low, c, v) in bars
        ]
        return {"status": "ok", "ch": "x", "data": rows, "ts": NOW}
    if "funding" in asked.path:
        rows = [
            {"contract_code": "ZEC-USDT", "funding_time": str(stamp), "funding_rate": str(rate)}
            for stamp, rate in asked.rates(number.get("start_time", 0), number.get("end_time", NOW))
        ]
        return {"code": 200, "message": "Success", "data": rows[::-1][: number.get("limit", 20)], "ts": NOW}
    ticks = [
        {"volume": coins, "value": value, "ts": slot, "amount_type": 2} for slot, (coins, value) in asked.oi(0, NOW)
    ]
    return {"status": "ok", "data": {"tick": ticks[-min(number.get("size", 48), 200) :][::-1]}, "ts": NOW}


def _mexc(asked: Asked) -> Any:
    number = asked.number
    if "kline" in asked.path:
        bars = asked.bars(number["start"] * 1000, number["end"] * 1000)[:2000]
        columns = zip(*((slot // 1000, *bar[:4], bar[4] / CONTRACT) for slot, bar in bars), strict=True)
        names = ("time", "open", "high", "low", "close", "vol")
        filled = dict(zip(names, map(list, columns), strict=True)) if bars else {name: [] for name in names}
        return {"success": True, "code": 0, "data": filled}
    size, page = min(number.get("page_size", 20), 100), number.get("page_num", 1)
    rows = [{"symbol": "ZEC_USDT", "settleTime": stamp, "fundingRate": rate} for stamp, rate in asked.rates(0, NOW)]
    return {"success": True, "code": 0, "data": {"resultList": rows[::-1][(page - 1) * size : page * size]}}


def _bitget(asked: Asked) -> Any:
    number = asked.number
    if "candles" in asked.path:
        rows: list[Any] = [
            [str(slot), *map(str, bar[:5]), "1"] for slot, bar in asked.bars(number["startTime"], number["endTime"])
        ][-min(number["limit"], 200) :]
    else:
        size, page = min(number.get("pageSize", 20), 100), number.get("pageNo", 1)
        rows = [
            {"symbol": "ZECUSDT", "fundingRate": str(rate), "fundingTime": str(stamp)}
            for stamp, rate in asked.rates(0, NOW)
        ][::-1][(page - 1) * size : page * size]
    return {"code": "00000", "msg": "success", "requestTime": NOW, "data": rows}


def _hyperliquid(asked: Asked) -> Any:
    number = asked.number
    start, end = number.get("startTime", 0), number.get("endTime", NOW)
    if asked.query["type"] == "candleSnapshot":
        return [
            {"t": slot, "T": slot + HOUR, "o": str(o), "h": str(h), "l": str(low), "c": str(c), "v": str(v), "n": 1}
            for slot, (o, h, low, c, v) in asked.bars(max(start, newest(5000)), end)
        ]
    return [{"coin": "ZEC", "fundingRate": str(rate), "time": stamp} for stamp, rate in asked.rates(start, end)][:500]


def _krakenfutures(asked: Asked) -> Any:
    if "charts" in asked.path:
        bars = asked.bars(asked.number["from"] * 1000, asked.number["to"] * 1000)[:2000]
        names = ("open", "high", "low", "close", "volume")
        candles = [{"time": slot, **dict(zip(names, map(str, bar), strict=True))} for slot, bar in bars]
        return {"candles": candles, "more_candles": False}
    rows = [
        {"timestamp": iso(stamp), "fundingRate": 9, "relativeFundingRate": rate} for stamp, rate in asked.rates(0, NOW)
    ]
    return {"result": "success", "serverTime": iso(NOW), "rates": rows}


def _kraken(asked: Asked) -> Any:
    bars = asked.bars(newest(720), NOW)
    rows = [[slot // 1000, *map(str, bar[:4]), "1", str(bar[4]), 1] for slot, bar in bars]
    since = asked.number.get("since", 0)
    return {"error": [], "result": {"XZECZUSD": [row for row in rows if row[0] > since], "last": 1}}


def _coinbase(asked: Asked) -> Any:
    bars = asked.bars(asked.number["start"] * 1000, asked.number["end"] * 1000)
    names = ("open", "high", "low", "close", "volume")
    return {
        "candles": [{"start": str(slot // 1000), **dict(zip(names, bar, strict=True))} for slot, bar in bars][:-301:-1]
    }


def _bingx(asked: Asked) -> Any:
    number = asked.number
    start, end, limit = number.get("startTime", 0), number.get("endTime", NOW), number.get("limit", 100)
    if "kline" in asked.path.lower():
        names = ("open", "high", "low", "close", "volume")
        rows: list[Any] = [
            {"time": slot, **dict(zip(names, map(str, bar), strict=True))} for slot, bar in asked.bars(start, end)
        ]
    else:
        rows = [
            {"symbol": "ZEC-USDT", "fundingRate": str(rate), "fundingTime": stamp}
            for stamp, rate in asked.rates(start, end)
        ]
    return {"code": 0, "msg": "", "data": rows[-limit:][::-1]}


def _deribit(asked: Asked) -> Any:
    start, end = asked.number["start_timestamp"], asked.number["end_timestamp"]
    if "tradingview" in asked.path:
        bars = asked.bars(start, end)
        names = ("ticks", "open", "high", "low", "close", "volume")
        columns = [list(column) for column in zip(*((slot, *bar) for slot, bar in bars), strict=True)] or [[]] * 6
        return {"jsonrpc": "2.0", "result": {**dict(zip(names, columns, strict=True)), "status": "ok"}}
    rows = [
        {"timestamp": stamp, "interest_1h": rate, "interest_8h": 8 * rate, "index_price": 1.0}
        for stamp, rate in asked.rates(start, end)
    ]
    return {"jsonrpc": "2.0", "result": rows[-744:]}


def _bitfinex(asked: Asked) -> Any:
    bars = asked.bars(asked.number["start"], asked.number.get("end", NOW))
    return [[slot, o, c, h, low, v] for slot, (o, h, low, c, v) in bars][: asked.number["limit"]]


def _dydx(asked: Asked) -> Any:
    limit = asked.number.get("limit", 100)
    if "candles" in asked.path:
        start, end = moment(asked.query.get("fromIso")), moment(asked.query.get("toIso"))
        rows: list[Any] = [
            {"startedAt": iso(slot), "open": o, "high": h, "low": low, "close": c, "baseTokenVolume": v}
            for slot, (o, h, low, c, v) in asked.bars(start or 0, end or NOW)
        ]
        return {"candles": rows[::-1][:limit]}
    rates = asked.rates(0, moment(asked.query.get("effectiveBeforeOrAt")) or NOW)
    rows = [{"ticker": "ZEC-USD", "rate": str(rate), "effectiveAt": iso(stamp)} for stamp, rate in rates]
    return {"historicalFunding": rows[::-1][:limit]}


def iso(moment_ms: int) -> str:
    """As in 2025-10-01T00:00:00.000Z."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def moment(text: str | None) -> int | None:
    """Milliseconds of such a text."""
    return None if text is None else int(datetime.fromisoformat(text).timestamp() * 1000)


ANSWERS: dict[str, Callable[[Asked], Any]] = {
    "okx": _okx,
    "gate": _gate,
    "kucoinfutures": _kucoin,
    "htx": _htx,
    "mexc": _mexc,
    "bitget": _bitget,
    "hyperliquid": _hyperliquid,
    "krakenfutures": _krakenfutures,
    "kraken": _kraken,
    "coinbase": _coinbase,
    "bingx": _bingx,
    "deribit": _deribit,
    "bitfinex": _bitfinex,
    "dydx": _dydx,
}


def listed_market(exchange: Any, symbol: str, identity: str) -> dict[str, Any]:
    """A market as ccxt would have read it from the venue's list."""
    base, rest = symbol.split("/")
    quote, _, settle = rest.partition(":")
    swap = bool(settle)
    return exchange.safe_market_structure(
        {
            "id": identity,
            "symbol": symbol,
            "base": base,
            "quote": quote,
            "baseId": base,
            "quoteId": quote,
            "settle": settle or None,
            "settleId": settle.lower() or None,
            "baseName": base,
            "type": "swap" if swap else "spot",
            "spot": not swap,
            "swap": swap,
            "future": False,
            "option": False,
            "contract": swap,
            "linear": True if swap else None,
            "inverse": False if swap else None,
            "contractSize": CONTRACT if swap else None,
            "active": True,
            "created": LAUNCH,
            "info": {"instFamily": "ZEC-USDT"},
        }
    )


def closed_bars(listing: Listing, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of the hourly bars in [start, end) that are closed by now."""
    slots = [slot for slot in listing.slots(HOUR, start, end - 1, NOW) if slot + HOUR <= NOW]
    return np.array(slots), np.array([listing.bar(slot) for slot in slots])


__all__ = ["PERIODS", "SPECS", "VenueLoopback", "closed_bars", "listed_market"]
