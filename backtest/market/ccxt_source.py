"""Any venue that ccxt supports, as a source of checked pages: bars, open interest and funding in one set of units."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ccxt
import numpy as np

from backtest.base.errors import ConfigError, MarketError, UsageError, near_miss
from backtest.base.units import DAY_MS, format_ms, timeframe_ms
from backtest.market.paging import Page
from backtest.market.quality import snap
from backtest.market.record import Floats, Instrument, Kind
from backtest.market.rows import COLUMNS, PRICE_SERIES, STORED, UNITS, Rows, SeriesName
from backtest.market.transport import STUMBLES, CheckedSession, MalformedAnswer, Patience, RateGate, call
from backtest.market.venue_ratios import ENDPOINTS, RatioEndpoint, ratio_cells, ratio_columns
from backtest.market.venue_rules import RULES, VenueRules
from backtest.market.venue_trust import check_route, route_of

_HAS: dict[SeriesName, str] = {
    "ohlcv": "fetchOHLCV",
    "oi": "fetchOpenInterestHistory",
    "funding": "fetchFundingRateHistory",
    "mark": "fetchMarkOHLCV",
    "index": "fetchIndexOHLCV",
    "premium": "fetchPremiumIndexOHLCV",
    "ratios": "fetchLongShortRatioHistory",
    # No venue in ccxt offers a paged history of them: fetchLiquidations returns only the newest events.
    "liquidations": "fetchLiquidationHistory",
}
_BARS: dict[SeriesName, str] = {
    "ohlcv": "fetch_ohlcv",
    "mark": "fetch_mark_ohlcv",
    "index": "fetch_index_ohlcv",
    "premium": "fetch_premium_index_ohlcv",
}
_SAMPLES: dict[SeriesName, str] = {"oi": "fetch_open_interest_history", "ratios": "fetch_long_short_ratio_history"}
# More rows and more pages than any funding history has.
WHOLE_HISTORY, MOST_PAGES = 100_000, 1_000
# A null returned this many times is the venue's final answer.
NULLS_MOST = 3
_MEANING: dict[SeriesName, str] = {name: one.words for name, one in STORED.items()}


@dataclass(frozen=True, slots=True)
class Listed:
    """One instrument as a venue lists it; `contract` is base coins per contract, `created_ms` None if not given."""

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
    """One ccxt exchange with its own session; `clone` gives another thread one with the same markets and rate limit."""

    def __init__(
        self,
        identifier: str,
        options: Mapping[str, Any],
        stop: threading.Event,
        patience: Patience,
        gate: RateGate | None = None,
        *,
        insecure: bool = False,
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
        self.route = route_of(self.exchange, _exchange_class(identifier)())
        check_route(self.route, insecure, f"exchange options of {identifier}")
        # ccxt ignores the proxies of the environment; here that happens only if its own option is given.
        self.session.trust_env = bool(options.get("requests_trust_env", True))
        self.patience = patience
        self.gate = gate or RateGate(unit_ms, stop)
        self.exchange.throttle = self.gate.wait
        self._options, self._stop, self._insecure = dict(options), stop, insecure
        self._nulls = 0

    @property
    def source(self) -> str:
        """Origin of the data, for the manifest."""
        return f"{self.identifier} through ccxt {ccxt.__version__}" + (f", {self.route.words}" * bool(self.route.words))

    def clone(self) -> Venue:
        """Another client of the same venue, for another thread."""
        other = Venue(self.identifier, self._options, self._stop, self.patience, self.gate, insecure=self._insecure)
        other.exchange.set_markets(self.exchange.markets, self.exchange.currencies)
        return other

    def now_ms(self) -> int:
        """The venue's clock; if it has none, the earlier of this machine's clock and that of its last answer.

        A clock that is ahead would take a bar that is still open for a closed one.
        """
        if not self.exchange.has.get("fetchTime"):
            own = time.time_ns() // 1_000_000
            return own if self.session.told_ms is None else min(own, self.session.told_ms)
        now = self._call("the time", self.exchange.fetch_time)
        if not isinstance(now, int):
            raise MarketError(f"{self.identifier} answers {now!r} when asked for the time: try again later")
        return now

    def load(self, instruments: tuple[Instrument, ...]) -> None:
        """Load the venue's list of markets, only the kinds that are needed if ccxt can restrict it."""
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
        """The market of a unified symbol; None if the venue does not have exactly this symbol.

        Raises
        ------
        UsageError
            If it is neither spot nor a linear swap.
        """
        market = self.exchange.markets.get(symbol)
        # On a venue that has only swaps, `exchange.market` would turn ZEC/USDT into the swap.
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
        """Time of the first daily bar from `start_ms` on, for a venue that does not say when it listed a market.

        An empty page is requested three times before the next one; `start_ms` if there is no bar at all.
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

    def tiers(self, listed: Listed) -> list[Any]:
        """Maintenance tiers of a swap as ccxt reads them; raises as `page` does."""
        symbol, exchange = listed.instrument.symbol, self.exchange
        what = f"tiers of {symbol}"
        if exchange.has.get("fetchMarketLeverageTiers") is True:
            return self._checked(self._call(what, lambda: exchange.fetch_market_leverage_tiers(symbol)))
        return self._checked(self._call(what, lambda: exchange.fetch_leverage_tiers([symbol])).get(symbol))

    def symbol_hint(self, symbol: str) -> str:
        """What the venue has instead of a symbol that it does not list."""
        base = Instrument.parse(symbol).base
        near = [name for name, market in self.exchange.markets.items() if market["base"] == base and "-" not in name]
        if near:
            return f"it has {', '.join(sorted(near)[:6])}"
        close = difflib.get_close_matches(symbol, self.exchange.symbols, n=3)
        return f"did you mean {' or '.join(close)}?" if close else f"it has nothing of {base}"

    def oldest_ms(self, series: SeriesName, kind: Kind, period: str, now_ms: int) -> int:
        """Earliest time of a series that the venue still serves."""
        return self.rules.oldest_ms(series, kind, period, now_ms)

    def refusal(self, series: SeriesName, kind: Kind, timeframe: str, end_ms: int, now_ms: int) -> str:
        """Why the venue serves nothing of a series before `end_ms`, and the way out; empty if it does."""
        name, out = f"{self.identifier} has no {_MEANING[series]}", self._way_out(series)
        if series == "liquidations":
            return f"{name} of the past that can be paged: import an export of Coinalyze or CoinGlass"
        if not self.exchange.has.get(_HAS[series]) or series in self.rules.lacks:
            return f"{name} that ccxt can read: {out}"
        if series in ("ohlcv", *PRICE_SERIES) and timeframe not in (self.exchange.timeframes or {timeframe: ""}):
            return f"{name} of {timeframe}; {near_miss(timeframe, self.exchange.timeframes)}"
        if series == "funding" and self.rules.funding_sampled:
            return f"{self.identifier} samples its running funding rate and lists no settlements: {out}"
        if series == "oi" and self.rules.oi_unit is None:
            return f"the unit of {self.identifier}'s open interest is not known to this project: {out}"
        oldest = self.oldest_ms(series, kind, self.period(series, timeframe), now_ms)
        return f"{name} older than {format_ms(oldest)}: {out}" if end_ms <= oldest else ""

    def shortfall(self, series: SeriesName, kind: Kind, timeframe: str, start_ms: int, now_ms: int) -> str:
        """The part of a series from `start_ms` on that the venue does not serve, and the way out; empty if none."""
        oldest = self.oldest_ms(series, kind, self.period(series, timeframe), now_ms)
        if start_ms >= oldest:
            return ""
        what = f"{_MEANING[series]} of {timeframe}" if series == "ohlcv" else _MEANING[series]
        return f"{self.identifier} serves {what} from {format_ms(oldest)} on only: {self._way_out(series)}"

    def _way_out(self, series: SeriesName) -> str:
        ways = "fetch it from bybit, whose history goes back to the listing"
        if self.identifier.startswith("binance"):
            ways += ", or from Binance's public archive (fetch with `archive`)"
        if series == "oi":
            return f"{ways}, or keep what it shows now with `backtest data record`"
        return ways if series != "ohlcv" else "choose another venue for older bars, as in bybit or binanceusdm"

    def period(self, series: SeriesName, timeframe: str) -> str:
        """Sampling period of a series for bars of `timeframe`: for open interest the longest not above it."""
        if series not in ("oi", "ratios"):
            return timeframe
        bar_ms = timeframe_ms(timeframe)
        fitting = [period for period in self.rules.oi_periods if timeframe_ms(period) <= bar_ms]
        return fitting[-1] if fitting else self.rules.oi_periods[0]

    def limit(self, series: SeriesName, instrument: Instrument) -> int:
        """Largest number of rows in one page."""
        if series in ("oi", "ratios"):
            return self.rules.oi_rows
        if series == "funding":
            return self.rules.funding_rows if self.rules.funding_paging == "windows" else WHOLE_HISTORY
        if series in PRICE_SERIES and self.rules.price_rows is not None:
            return self.rules.price_rows
        if self.rules.ohlcv_rows is not None:
            return self.rules.ohlcv_rows
        told = (self.exchange.features or {}).get(instrument.kind) or {}
        told = told.get("linear") or {} if instrument.kind == "swap" else told
        return int((told.get("fetchOHLCV") or {}).get("limit") or 100)

    def units(self, series: SeriesName, listed: Listed) -> dict[str, str]:
        """Units of the columns as stored, and what they were converted from."""
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

    def page(
        self, series: SeriesName, listed: Listed, period: str, since_ms: int, until_ms: int, *, narrow: bool = False
    ) -> Page:
        """Rows of [since, until], both included, with half the limit if `narrow`.

        Raises
        ------
        MarketError
            If the venue does not answer; `RefusedError` if it refuses the request.
        """
        symbol, limit = listed.instrument.symbol, self.limit(series, listed.instrument)
        limit = max(limit // 2, 1) if narrow else limit
        what = f"{_MEANING[series]} of {symbol} from {format_ms(since_ms)}"
        self.session.wants_rows = True
        try:
            if series == "funding" and self.rules.funding_paging != "windows":
                rows = self._settlements(what, symbol, since_ms)
            else:
                rows = self._call(what, lambda: self._whole(series, listed, period, since_ms, until_ms, limit))
            others = {
                one: self._call(
                    what, lambda one=one: one.asked(self.exchange, symbol, period, since_ms, until_ms, limit)
                )
                for one in (ENDPOINTS.get(self.identifier, ()) if series == "ratios" else ())
            }
        finally:
            self.session.wants_rows = False
        try:
            times, values = _table(series, rows, self.rules.funding_field, others)
        except STUMBLES as problem:
            raise MarketError(
                f"{self.identifier}: {what} has rows that cannot be read ({problem!r}): run it again later"
            ) from None
        if series == "ohlcv" and self.rules.volume_in_contracts and listed.instrument.kind == "swap":
            values[:, 4] *= listed.contract
        if series == "oi" and self.rules.oi_unit == "contracts":
            values[:, 0] *= listed.contract
        sent = self.session.answer.rows if self.session.answer and self.rules.funding_since else 0
        full = max(len(rows), sent) >= limit
        # Rows after the window prove nothing if the request had no end, or asked for everything.
        ended = self.rules.funding_paging == "windows" if series == "funding" else series != "oi" or self.rules.oi_until
        slack = DAY_MS if series == "funding" else 2 * timeframe_ms(period)
        late = times[times > until_ms + slack]
        beyond = int(late.min()) if ended and late.size else None
        least = len(ratio_columns(self.identifier)) if series == "ratios" else 1 + self.rules.oi_both
        page = _page(series, times, values, since_ms, until_ms, least=least, full=full)
        return replace(page, beyond_ms=beyond)

    def _settlements(self, what: str, symbol: str, since_ms: int) -> list[Any]:
        """Every settlement from `since_ms` on, from a venue that numbers its pages or sends its whole history."""
        rows: dict[Any, Any] = {}
        limit = self.rules.funding_rows if self.rules.funding_paging == "pages" else None
        for number in range(1, MOST_PAGES):
            more = {self.rules.funding_page: number} if limit else {}

            def ask(more: dict[str, int] = more) -> list[Any]:
                return self._checked(self.exchange.fetch_funding_rate_history(symbol, None, limit, more))

            page = {row["timestamp"]: row for row in self._call(what, ask) if row["timestamp"]}
            new = page.keys() - rows.keys()
            rows |= page
            if limit is None or not new or min(new) < since_ms:
                break
        return list(rows.values())

    def _whole(
        self, series: SeriesName, listed: Listed, period: str, since_ms: int, until_ms: int, limit: int
    ) -> list[Any]:
        exchange, rules, symbol = self.exchange, self.rules, listed.instrument.symbol
        if series == "funding":
            until = {rules.funding_until: until_ms + (rules.funding_until == "after")}
            return self._checked(exchange.fetch_funding_rate_history(symbol, since_ms, limit, until))
        if series in _SAMPLES:
            until = {"until": until_ms} if rules.oi_until else {}
            if series == "ratios":
                begin, end = rules.ratio_window
                until = {**({begin: since_ms} if begin else {}), end: until_ms}
            return self._checked(getattr(exchange, _SAMPLES[series])(symbol, period, since_ms, limit, until))
        most = limit if rules.swap_limit or series != "ohlcv" or listed.instrument.kind == "spot" else None
        return self._checked(getattr(exchange, _BARS[series])(symbol, period, since_ms, most, {"until": until_ms}))

    def _checked(self, rows: Any) -> list[Any]:
        if not isinstance(rows, list):
            raise MalformedAnswer(f"a {type(rows).__name__} in place of rows")
        if self.rules.checked_rows and self.session.answer and self.session.answer.nulls and self._nulls < NULLS_MOST:
            self._nulls += 1
            raise MalformedAnswer("a null in a row")
        self._nulls = 0
        return rows

    def _call(self, what: str, ask: Any) -> Any:
        return call(f"{self.identifier}: {what}", ask, self.session, self.gate, self.patience)


def _table(
    series: SeriesName, rows: list[Any], funding_field: str, others: Mapping[RatioEndpoint, list[Any]]
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], Floats]:
    """Times and values of ccxt's rows; rows without a time are left out, a null is NaN."""
    width = len(COLUMNS[series])
    cells: list[tuple[Any, Sequence[Any]]]
    if series == "oi":
        cells = [(row["timestamp"], (row["openInterestAmount"], row["openInterestValue"])) for row in rows]
    elif series == "ratios":
        cells = list(ratio_cells(rows, others))
    elif series == "funding":
        cells = [
            (row["timestamp"], (row["info"][funding_field] if funding_field else row["fundingRate"],)) for row in rows
        ]
    else:
        cells = [(row[0], row[1 : width + 1]) for row in rows if row[0]]
    cells = [cell for cell in cells if cell[0]]
    times = np.array([int(time) for time, _ in cells], dtype=np.int64)
    # Venues stamp a settlement when their job has run; other sources of the same venue use another moment.
    times = snap(times) if series == "funding" else times
    values = np.array([values for _, values in cells], dtype=np.float64).reshape(len(cells), width)
    return times, values


def _page(
    series: SeriesName,
    times: np.ndarray[Any, np.dtype[np.int64]],
    values: Floats,
    since_ms: int,
    until_ms: int,
    *,
    least: int,
    full: bool,
) -> Page:
    """Rows in order, once each, inside the requested time; those without a value, or contradictory, are separate."""
    inside = (times >= since_ms) & (times <= until_ms)
    order = np.argsort(times[inside], kind="stable")
    times, values = times[inside][order], values[inside][order]
    with np.errstate(invalid="ignore"):
        if series == "ohlcv":
            open_, high, low, close, volume = values.T
            priced = (low > 0) & (low <= np.fmin(open_, close)) & (high >= np.fmax(open_, close)) & np.isfinite(high)
            priced &= ~np.isnan(open_ + close)
            whole, spare = priced & (volume >= 0) & np.isfinite(volume), priced & np.isnan(volume)
        elif series in _SAMPLES:
            sound = ~((values < 0) | np.isinf(values)).any(axis=1)
            given = np.count_nonzero(~np.isnan(values), axis=1)
            whole, spare = sound & (given >= least), sound & (given > 0) & (given < least)
        elif series != "funding":
            open_, high, low, close = values.T
            whole = (low <= np.fmin(open_, close)) & (high >= np.fmax(open_, close)) & np.isfinite(high - low)
            whole &= ~np.isnan(open_ + close) & ((low > 0) | (series == "premium"))
            spare = ~whole & False
        else:
            whole, spare = np.abs(values[:, 0]) < 1, np.isnan(values[:, 0])
        again = times[1:] == times[:-1]
        differing = again & ~np.isclose(values[1:], values[:-1], rtol=0, atol=0, equal_nan=True).all(axis=1)
    whole &= ~np.isin(times, times[1:][differing])
    empty = Rows.empty(series)
    return Page(empty.joined(Rows(times[whole], values[whole])), empty.joined(Rows(times[spare], values[spare])), full)
