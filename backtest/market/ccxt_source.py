"""Any venue that ccxt knows, as a source of trusted pages: bars, open interest and funding in one set of units."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import ccxt
import numpy as np

from backtest.errors import ConfigError, MarketError, UsageError, near_miss
from backtest.market.paging import Page
from backtest.market.quality import MINUTE_MS, snap
from backtest.market.record import Floats, Instrument
from backtest.market.rows import COLUMNS, STORED, UNITS, Rows, SeriesName
from backtest.market.transport import STUMBLES, CheckedSession, MalformedAnswer, Patience, RateGate, call
from backtest.units import DAY_MS, format_ms, timeframe_ms

OiUnit = Literal["base", "contracts"]
_OI_PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
_HAS: dict[SeriesName, str] = {
    "ohlcv": "fetchOHLCV",
    "oi": "fetchOpenInterestHistory",
    "funding": "fetchFundingRateHistory",
    "mark": "fetchMarkOHLCV",
    "index": "fetchIndexOHLCV",
    "premium": "fetchPremiumIndexOHLCV",
    "ratios": "fetchLongShortRatioHistory",
}
# A null that is there as often as this is the venue's last word.
NULLS_MOST = 3
_MEANING: dict[SeriesName, str] = {name: one.words for name, one in STORED.items()}


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What a venue serves and in which units, where ccxt does not say.

    `ohlcv_rows`, `oi_rows`, `funding_rows`: most rows of a page.
    `oi_days`, `funding_days`: how far back its history goes, None is to the listing; `oi_depth`: how many samples of
    any period it keeps.
    `oi_unit`: None where it is not known; `oi_both`: samples have coins and value; `oi_until`: a page can be ended.
    `funding_until`: name of the parameter that ends a funding page.
    `checked_rows`: a null in its rows is a fault.
    """

    ohlcv_rows: int | None = None
    oi_rows: int = 100
    funding_rows: int = 100
    oi_days: int | None = None
    funding_days: int | None = None
    oi_unit: OiUnit | None = None
    oi_periods: tuple[str, ...] = _OI_PERIODS
    volume_in_contracts: bool = False
    funding_until: str = "until"
    oi_until: bool = True
    oi_depth: int | None = None
    checked_rows: bool = False
    oi_both: bool = False


_BINANCE = VenueRules(1000, 500, 1000, oi_days=30, oi_unit="base", checked_rows=True, oi_both=True)
RULES: dict[str, VenueRules] = {
    "binance": _BINANCE,
    "binanceusdm": _BINANCE,
    "bybit": VenueRules(
        1000, 200, 200, oi_unit="base", oi_periods=("5m", "15m", "30m", "1h", "4h", "1d"), checked_rows=True
    ),
    "okx": VenueRules(
        300,
        100,
        100,
        funding_days=90,
        oi_unit="contracts",
        oi_periods=("5m", "1h", "1d"),
        funding_until="after",
        oi_depth=1440,
    ),
    "gate": VenueRules(
        1000,
        100,
        100,
        oi_unit="contracts",
        oi_periods=("5m", "15m", "30m", "1h", "4h", "1d"),
        oi_until=False,
        volume_in_contracts=True,
    ),
    "kucoinfutures": VenueRules(
        500,
        200,
        100,
        oi_unit="contracts",
        oi_periods=("5m", "15m", "30m", "1h", "4h", "1d"),
        volume_in_contracts=True,
    ),
    "htx": VenueRules(1000, 200, 100, oi_days=8, oi_unit="base", oi_periods=("1h", "4h", "12h", "1d")),
    "mexc": VenueRules(1000, volume_in_contracts=True),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """One instrument as a venue lists it; `contract` is base coins a contract, `created_ms` None where not told."""

    instrument: Instrument
    contract: float
    created_ms: int | None
    active: bool


def serves(identifier: str, series: SeriesName) -> bool:
    """Whether ccxt can read a series from a venue at all; an unknown venue raises `UsageError`."""
    return bool(_exchange_class(identifier)().has.get(_HAS[series]))


def _exchange_class(identifier: str) -> Any:
    if identifier not in ccxt.exchanges:
        close = difflib.get_close_matches(identifier, ccxt.exchanges, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see ccxt's list of exchanges"
        raise UsageError(f"exchange {identifier!r} is not known to ccxt {ccxt.__version__}: {hint}")
    return getattr(ccxt, identifier)


class Venue:
    """One ccxt exchange with its own session; `clone` gives other threads one with the same markets and rate."""

    def __init__(
        self,
        identifier: str,
        options: Mapping[str, Any],
        stop: threading.Event,
        patience: Patience,
        gate: RateGate | None = None,
    ) -> None:
        self.identifier = identifier
        self.rules = RULES.get(identifier, VenueRules())
        self.session = CheckedSession()
        settings = {"enableRateLimit": True, **options, "session": self.session}
        try:
            self.exchange: Any = _exchange_class(identifier)(settings)
            unit_ms = float(self.exchange.rateLimit)
        except (ccxt.BaseError, *STUMBLES) as problem:
            raise ConfigError(
                f"exchange options of {identifier} are not what ccxt takes ({problem!r}): fix them"
            ) from None
        # ccxt leaves the proxies of the environment aside; its own option does so here too, but only when given.
        self.session.trust_env = bool(options.get("requests_trust_env", True))
        self.patience = patience
        self.gate = gate or RateGate(unit_ms, stop)
        self.exchange.throttle = self.gate.wait
        self._options, self._stop = dict(options), stop
        self._nulls = 0

    @property
    def source(self) -> str:
        """Where the data came from, for the manifest."""
        return f"{self.identifier} through ccxt {ccxt.__version__}"

    def clone(self) -> Venue:
        """Another client of the same venue, for another thread."""
        other = Venue(self.identifier, self._options, self._stop, self.patience, self.gate)
        other.exchange.set_markets(self.exchange.markets, self.exchange.currencies)
        return other

    def now_ms(self) -> int:
        """The venue's clock, or this machine's where the venue has none."""
        if not self.exchange.has.get("fetchTime"):
            return time.time_ns() // 1_000_000
        now = self._call("the time", self.exchange.fetch_time)
        if not isinstance(now, int):
            raise MarketError(f"{self.identifier} answers {now!r} when asked for the time: try again later")
        return now

    def load(self, instruments: tuple[Instrument, ...]) -> None:
        """Load the venue's list of markets, only the kinds that are needed where ccxt can be told so."""
        fetch_markets = self.exchange.options.get("fetchMarkets")
        told = isinstance(self._options.get("options"), dict) and "fetchMarkets" in self._options["options"]
        if self.identifier in ("bybit", "binance") and not told:
            kinds = {"swap": "linear", "spot": "spot"}
            types = sorted({kinds[instrument.kind] for instrument in instruments})
            self.exchange.options["fetchMarkets"] = {
                **(fetch_markets if isinstance(fetch_markets, dict) else {}),
                "types": types,
            }
        for turn in range(self.patience.doubtful):
            if self._call("the list of markets", lambda: self.exchange.load_markets(True)):
                return
            self.gate.sleep(self.patience.seconds(turn + 1))
        raise MarketError(f"{self.identifier} lists no markets: try again later")

    def listed(self, symbol: str) -> Listed | None:
        """The market of a unified symbol; None where the venue has none of exactly this symbol.

        Raises
        ------
        UsageError
            If it is neither spot nor a linear swap.
        """
        market = self.exchange.markets.get(symbol)
        # `exchange.market` would turn ZEC/USDT into the swap on a venue that has only swaps.
        if market is None or market["symbol"] != symbol:
            return None
        instrument = Instrument.parse(symbol)
        if not (market["spot"] if instrument.kind == "spot" else market["swap"] and market["linear"]):
            raise UsageError(f"{symbol} of {self.identifier} is a {market['type']} that is not linear: name another")
        created = market.get("created")
        return Listed(
            instrument,
            float(market.get("contractSize") or 1.0),
            int(created) if created and created > 0 else None,
            market.get("active") is not False,
        )

    def first_bar_ms(self, listed: Listed, start_ms: int, now_ms: int) -> int:
        """Time of the first daily bar from `start_ms` on, where the venue does not tell when it listed a market.

        An empty page is asked for three times before the next one is; `start_ms` where there is no bar at all.
        """
        if "1d" not in (self.exchange.timeframes or {}):
            return start_ms
        step = (self.limit("ohlcv", listed.instrument) - 1) * DAY_MS
        for since in range(start_ms // DAY_MS * DAY_MS, now_ms, step):
            for _ in range(3):
                page = self.page("ohlcv", listed, "1d", since, min(since + step, now_ms))
                if page.rows.time_ms.size:
                    return int(page.rows.time_ms[0])
        return start_ms

    def symbol_hint(self, symbol: str) -> str:
        """What the venue has instead of a symbol that it has not."""
        base = Instrument.parse(symbol).base
        near = [name for name, market in self.exchange.markets.items() if market["base"] == base and "-" not in name]
        if near:
            return f"it has {', '.join(sorted(near)[:6])}"
        close = difflib.get_close_matches(symbol, self.exchange.symbols, n=3)
        return f"did you mean {' or '.join(close)}?" if close else f"it has nothing of {base}"

    def oldest_ms(self, series: SeriesName, period: str, now_ms: int) -> int:
        """First time of a series that the venue still remembers, with room for what the requests take."""
        reach = self._reach_ms(series, period)
        return 0 if reach is None else now_ms - reach + 5 * MINUTE_MS

    def _reach_ms(self, series: SeriesName, period: str) -> int | None:
        if series == "oi" and self.rules.oi_depth is not None:
            return self.rules.oi_depth * timeframe_ms(period)
        days = {"oi": self.rules.oi_days, "funding": self.rules.funding_days}.get(series)
        return None if days is None else days * DAY_MS

    def refusal(self, series: SeriesName, timeframe: str, start_ms: int, now_ms: int) -> str:
        """Why the venue cannot serve a series over this time, and the way out; empty where it can."""
        name = f"{self.identifier} has no {_MEANING[series]}"
        ways = "fetch it from bybit, whose history goes back to the listing"
        if self.identifier.startswith("binance") and series == "oi":
            ways += ", or from Binance's public archive (fetch --archive)"
        out = {"oi": f"{ways}, or keep what it shows now with `backtest data record`", "funding": ways}.get(series, "")
        if not self.exchange.has.get(_HAS[series]):
            return f"{name} that ccxt can read: {out or 'choose another venue'}"
        if series == "ohlcv" and timeframe not in (self.exchange.timeframes or {timeframe: ""}):
            return f"{name} of {timeframe}; {near_miss(timeframe, self.exchange.timeframes)}"
        reach = self._reach_ms(series, self.period(series, timeframe))
        if reach is not None and start_ms < now_ms - reach:
            return f"{name} older than {reach / DAY_MS:g} days, which is {format_ms(now_ms - reach)}: {out}"
        if series == "oi" and self.rules.oi_unit is None:
            return f"the unit of {self.identifier}'s open interest is not known to this project: {out}"
        return ""

    def period(self, series: SeriesName, timeframe: str) -> str:
        """Sampling period of a series for bars of `timeframe`: for open interest the longest that is not longer."""
        if series != "oi":
            return timeframe
        bar_ms = timeframe_ms(timeframe)
        fitting = [period for period in self.rules.oi_periods if timeframe_ms(period) <= bar_ms]
        return fitting[-1] if fitting else self.rules.oi_periods[0]

    def limit(self, series: SeriesName, instrument: Instrument) -> int:
        """Most rows of one page."""
        if series == "oi":
            return self.rules.oi_rows
        if series == "funding":
            return self.rules.funding_rows
        told = self.exchange.feature_value(instrument.symbol, "fetchOHLCV", "limit")
        return self.rules.ohlcv_rows or int(told or 100)

    def units(self, series: SeriesName, listed: Listed) -> dict[str, str]:
        """Units of the columns as they are stored, and what they were made from."""
        units = dict(UNITS[series])
        made = f"base, from contracts of {listed.contract:g}"
        if series == "ohlcv" and listed.instrument.kind == "swap":
            if self.rules.volume_in_contracts:
                units["volume"] = made
            elif self.identifier not in RULES and listed.contract != 1:
                units["volume"] = "base as ccxt promises, not verified"
        if series == "oi" and self.rules.oi_unit == "contracts":
            units["coins"] = made
        return units

    def page(self, series: SeriesName, listed: Listed, period: str, since_ms: int, until_ms: int) -> Page:
        """Rows of [since, until], both included; raises `MarketError` when the venue does not answer."""
        symbol, limit = listed.instrument.symbol, self.limit(series, listed.instrument)
        self.session.wants_rows = True
        try:
            rows = self._call(
                f"{_MEANING[series]} of {symbol} from {format_ms(since_ms)}",
                lambda: self._whole(series, symbol, period, since_ms, until_ms, limit),
            )
        finally:
            self.session.wants_rows = False
        try:
            times, values = _table(series, rows)
        except STUMBLES as problem:
            what = f"{self.identifier}: {_MEANING[series]} of {symbol} from {format_ms(since_ms)}"
            raise MarketError(f"{what} has rows that cannot be read ({problem!r}): run it again later") from None
        if series == "ohlcv" and self.rules.volume_in_contracts and listed.instrument.kind == "swap":
            values[:, 4] *= listed.contract
        if series == "oi" and self.rules.oi_unit == "contracts":
            values[:, 0] *= listed.contract
        full = max(len(rows), self.session.answer.rows if self.session.answer else 0) >= limit
        return _page(series, times, values, since_ms, until_ms, oi_least=1 + self.rules.oi_both, full=full)

    def _whole(self, series: SeriesName, symbol: str, period: str, since_ms: int, until_ms: int, limit: int) -> Any:
        exchange = self.exchange
        if series == "funding":
            until = {self.rules.funding_until: until_ms + (self.rules.funding_until == "after")}
            rows = exchange.fetch_funding_rate_history(symbol, since_ms, limit, until)
        elif series == "oi":
            until = {"until": until_ms} if self.rules.oi_until else {}
            rows = exchange.fetch_open_interest_history(symbol, period, since_ms, limit, until)
        else:
            rows = exchange.fetch_ohlcv(symbol, period, since_ms, limit, {"until": until_ms})
        if not isinstance(rows, list):
            raise MalformedAnswer(f"a {type(rows).__name__} in place of rows")
        if self.rules.checked_rows and self.session.answer and self.session.answer.nulls and self._nulls < NULLS_MOST:
            self._nulls += 1
            raise MalformedAnswer("a null in a row")
        self._nulls = 0
        return rows

    def _call(self, what: str, ask: Any) -> Any:
        return call(f"{self.identifier}: {what}", ask, self.session, self.gate, self.patience)


def _table(series: SeriesName, rows: list[Any]) -> tuple[np.ndarray[Any, np.dtype[np.int64]], Floats]:
    """Times and values of ccxt's rows; rows without a time are left out, a null is NaN."""
    if series == "ohlcv":
        cells = [(row[0], row[1:6]) for row in rows if row[0]]
    elif series == "oi":
        cells = [(row["timestamp"], (row["openInterestAmount"], row["openInterestValue"])) for row in rows]
    else:
        cells = [(row["timestamp"], (row["fundingRate"],)) for row in rows]
    cells = [cell for cell in cells if cell[0]]
    times = np.array([int(time) for time, _ in cells], dtype=np.int64)
    # Venues stamp a settlement when their job has run; other sources of the same venue do so at another moment.
    times = snap(times) if series == "funding" else times
    values = np.array([values for _, values in cells], dtype=np.float64).reshape(len(cells), len(COLUMNS[series]))
    return times, values


def _page(
    series: SeriesName,
    times: np.ndarray[Any, np.dtype[np.int64]],
    values: Floats,
    since_ms: int,
    until_ms: int,
    *,
    oi_least: int,
    full: bool,
) -> Page:
    """Rows in order, once each, inside what was asked for; those that lack a value or contradict themselves apart."""
    inside = (times >= since_ms) & (times <= until_ms)
    order = np.argsort(times[inside], kind="stable")
    times, values = times[inside][order], values[inside][order]
    with np.errstate(invalid="ignore"):
        if series == "ohlcv":
            open_, high, low, close, volume = values.T
            priced = (low > 0) & (low <= np.fmin(open_, close)) & (high >= np.fmax(open_, close)) & np.isfinite(high)
            priced &= ~np.isnan(open_ + close)
            whole, spare = priced & (volume >= 0) & np.isfinite(volume), priced & np.isnan(volume)
        elif series == "oi":
            sound = ~((values < 0) | np.isinf(values)).any(axis=1)
            given = np.count_nonzero(~np.isnan(values), axis=1)
            whole, spare = sound & (given >= oi_least), sound & (given > 0) & (given < oi_least)
        else:
            whole, spare = np.abs(values[:, 0]) < 1, np.isnan(values[:, 0])
        again = times[1:] == times[:-1]
        differing = again & ~np.isclose(values[1:], values[:-1], rtol=0, atol=0, equal_nan=True).all(axis=1)
    whole &= ~np.isin(times, times[1:][differing])
    empty = Rows.empty(series)
    return Page(empty.joined(Rows(times[whole], values[whole])), empty.joined(Rows(times[spare], values[spare])), full)
