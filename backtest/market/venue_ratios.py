"""Ratios that ccxt has no reader of: those of top traders and of takers, by the endpoint of each venue that pages them.

An endpoint is one row of `ENDPOINTS`: the column of the store that it fills, ccxt's method that asks it, and how a
row of it is read. Every page of ratios is asked of all endpoints of its venue, and a row counts once all of them have
it. Bybit publishes no ratio of takers; Gate's documentation and its field names contradict each other about which
ratio is which, so that none of its is read; those of Bitget, KuCoin and htx cannot be asked for a time of the past.

Source of the fields: Binance's documentation of Long/Short Ratio, Top Trader Long/Short Ratio (accounts, positions)
and Taker Buy/Sell Volume; OKX's of Trading Statistics, whose taker volumes are [time, sold, bought].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from backtest.market.rows import COLUMNS

Form = Literal["binance", "okx"]


@dataclass(frozen=True, slots=True)
class RatioEndpoint:
    """One endpoint: the column of `ratios` that it fills, ccxt's method, and time and ratio of a row of its answer."""

    column: str
    method: str
    form: Form
    read: Callable[[Any], tuple[Any, Any]]

    def asked(self, exchange: Any, symbol: str, period: str, since_ms: int, until_ms: int, limit: int) -> list[Any]:
        """Rows of [since, until] as the venue sends them; raises as ccxt does, or `TypeError` for no rows."""
        identity = exchange.market(symbol)["id"]
        if self.form == "binance":
            bounds = {"startTime": since_ms, "endTime": until_ms, "limit": limit}
            answer = getattr(exchange, self.method)({"symbol": identity, "period": period, **bounds})
        else:
            # Both bounds are exclusive there.
            bounds = {"begin": since_ms - 1, "end": until_ms + 1, "limit": limit}
            told = {"instId": identity, "period": exchange.timeframes[period], **bounds}
            answer = getattr(exchange, self.method)(told)["data"]
        if not isinstance(answer, list):
            raise TypeError(f"a {type(answer).__name__} in place of rows")
        return answer


def _named(field: str) -> Callable[[Any], tuple[Any, Any]]:
    return lambda row: (row["timestamp"], row[field])


def _bought_by_sold(row: Any) -> tuple[Any, Any]:
    moment, sold, bought = row[:3]
    if sold is None or bought is None or float(sold) == 0:
        return moment, None
    return moment, float(bought) / float(sold)


_BINANCE = (
    RatioEndpoint("top_accounts", "fapiDataGetTopLongShortAccountRatio", "binance", _named("longShortRatio")),
    RatioEndpoint("top_positions", "fapiDataGetTopLongShortPositionRatio", "binance", _named("longShortRatio")),
    RatioEndpoint("taker", "fapiDataGetTakerlongshortRatio", "binance", _named("buySellRatio")),
)
_TOP_OF_OKX = "publicGetRubikStatContractsLongShort{}RatioContractTopTrader"
ENDPOINTS: dict[str, tuple[RatioEndpoint, ...]] = {
    "binance": _BINANCE,
    "binanceusdm": _BINANCE,
    "okx": (
        RatioEndpoint("top_accounts", _TOP_OF_OKX.format("Account"), "okx", lambda row: (row[0], row[1])),
        RatioEndpoint("top_positions", _TOP_OF_OKX.format("Position"), "okx", lambda row: (row[0], row[1])),
        RatioEndpoint("taker", "publicGetRubikStatTakerVolumeContract", "okx", _bought_by_sold),
    ),
}


def ratio_columns(venue: str) -> tuple[str, ...]:
    """Columns of `ratios` that a venue fills."""
    filled = {"accounts", *(one.column for one in ENDPOINTS.get(venue, ()))}
    return tuple(name for name in COLUMNS["ratios"] if name in filled)


def ratio_cells(
    accounts: Iterable[Mapping[str, Any]], others: Mapping[RatioEndpoint, Iterable[Any]]
) -> list[tuple[Any, list[Any]]]:
    """Rows (time, values) of the store's columns, None where an endpoint has no value of that time.

    A time that one endpoint tells twice with different values is there twice, for the page to leave out.
    """
    told: dict[int, dict[str, list[Any]]] = {}

    def add(moment: Any, column: str, value: Any) -> None:
        if moment:
            values = told.setdefault(int(moment), {}).setdefault(column, [])
            if value not in values:
                values.append(value)

    for row in accounts:
        add(row["timestamp"], "accounts", row["longShortRatio"])
    for endpoint, rows in others.items():
        for row in rows:
            add(*_spread(endpoint, row))
    cells = []
    for moment, columns in told.items():
        for turn in range(max(map(len, columns.values()))):
            picked = {name: values[min(turn, len(values) - 1)] for name, values in columns.items()}
            cells.append((moment, [picked.get(name) for name in COLUMNS["ratios"]]))
    return cells


def _spread(endpoint: RatioEndpoint, row: Any) -> tuple[Any, str, Any]:
    moment, value = endpoint.read(row)
    return moment, endpoint.column, value
