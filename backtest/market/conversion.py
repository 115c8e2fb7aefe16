"""Prices of spot in the currency of the account, by the bars of a pair or by a series of its rate.

A spot purchase paid out of an account in USDT is two purchases: BTC for USDT, then ZEC for BTC. Its worth is quantity
times price times rate, so prices are multiplied by the rate of their instant. A contract that is settled in BTC is
another matter: its *profit* is in BTC and its notional never changes hands, so no panel of prices says what it earns in
USDT, and it is not converted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from backtest.base.arguments import checked
from backtest.base.errors import MarketError, UsageError, near_miss
from backtest.base.units import DAY_MS, format_ms
from backtest.market.instrument import Flags, Floats, Instrument, Origin
from backtest.market.record import Market
from backtest.market.series import SERIES

LATEST_READING = 7
"""Days after which the last reading of a series no longer tells the rate."""
ENDS_BEFORE = DAY_MS
"""A rate that ends so long before its instrument does would let it look delisted."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How many units of one currency a unit of another is worth.

    Attributes
    ----------
    name : str
        The pair or the series that tells it.
    open, close : (T,) float64
        At each bar's open and close; NaN where unknown.
    spread : float
        The most by which the rate left that of its bar's open inside a bar, share; NaN where only readings are known.
    """

    name: str
    open: Floats
    close: Floats
    spread: float


@checked
def converted(market: Market, currency: str) -> Market:
    """The market with its spot instruments in one currency, each by the rate between that and its own.

    The rate is that of a series of the market named after the pair (`eur_usdt`, or `usdt_eur` for its inverse), else
    of its spot pair (`EUR/USDT`, `USDT/EUR`), else of its perpetual. Opens are converted at the open of the pair's bar
    and closes at its close. Highs and lows are converted at the open, and widened to hold both ends: the highs of two
    series need not fall together, so the true one is known only up to `Rate.spread`, which the provenance states. A
    bar without a rate is missing. Steps of the price and the least notional are told in the old currency and left out.

    Raises
    ------
    UsageError
        For a currency in which nothing of the market settles, and to which nothing can be converted.
    MarketError
        For a rate that is not positive, or ends a day or more before an instrument that needs it.
    """
    foreign = [column for column, one in enumerate(market.instruments) if one.kind == "spot" and one.settle != currency]
    rates = {quote: _rate(market, quote, currency) for quote in {market.instruments[one].settle for one in foreign}}
    known = {quote: rate for quote, rate in rates.items() if rate is not None}
    if not known and (foreign or all(one.settle != currency for one in market.instruments)):
        raise UsageError(_nothing(market, foreign, currency))
    panels = {name: values.copy() for name, values in market.panels.items()}
    instruments, words, origins = list(market.instruments), [], list(market.provenance.origins)
    for column in foreign:
        one = market.instruments[column]
        rate = known.get(one.settle)
        if rate is None:
            words.append(f"{one.symbol} stays in {one.settle}: {_missing(one.settle, currency)}")
            continue
        lost = ~np.isnan(market.close[:, column]) & (np.isnan(rate.open) | np.isnan(rate.close))
        _check_end(market, one, column, rate, lost)
        for name, values in _in_currency(panels, column, rate).items():
            panels[name][:, column] = np.where(lost, np.nan, values)
        instruments[column] = _renamed(one, currency, rate, lost)
        said = _words(one, currency, rate)
        words.append(said)
        if lost.any():
            words.append(f"{one.symbol}: {int(lost.sum()):,} bars left out, for which {rate.name} has no rate")
        # What was said of its prices stays true of what was converted.
        origins = [
            replace(origin, words=f"{origin.words}; {said}")
            if (origin.symbol, origin.series) == (one.symbol, "prices")
            else origin
            for origin in origins
        ]
        if not any((origin.symbol, origin.series) == (one.symbol, "prices") for origin in origins):
            origins.append(Origin(one.symbol, "prices", said))
    provenance = replace(market.provenance, repairs=(*words, *market.provenance.repairs), origins=tuple(origins))
    return replace(market.with_panels(panels), instruments=tuple(instruments), provenance=provenance)


def _in_currency(panels: dict[str, Floats], column: int, rate: Rate) -> dict[str, Floats]:
    """The panels of one instrument that hold money, (T,) each, converted."""
    opens, highs, lows, closes = (panels[name][:, column] for name in ("open", "high", "low", "close"))
    money = [name for name, one in SERIES.items() if one.in_quote and name in panels]
    first, last = opens * rate.open, closes * rate.close
    return {
        "open": first,
        "high": np.maximum(highs * rate.open, np.maximum(first, last)),
        "low": np.minimum(lows * rate.open, np.minimum(first, last)),
        "close": last,
        "volume": panels["volume"][:, column],
        **{name: panels[name][:, column] * rate.close for name in money},
    }


def _renamed(one: Instrument, currency: str, rate: Rate, lost: Flags) -> Instrument:
    return replace(
        one,
        quote=currency,
        settle=currency,
        converted_by=rate.name,
        tick=0.0,
        least_notional=0.0,
        # A bar without a rate is not one without a trade.
        omits_empty_bars=one.omits_empty_bars and not lost.any(),
    )


def _words(one: Instrument, currency: str, rate: Rate) -> str:
    inside = "an unknown distance" if np.isnan(rate.spread) else f"at most {rate.spread:.2%}"
    left_out = [name.replace("_", " ") for name in ("tick", "least_notional") if getattr(one, name)]
    return (
        f"{one.symbol} is converted from {one.settle} to {currency} by {rate.name}: opens at its open, closes at its "
        f"close, highs and lows at its open, from which it moved {inside} inside a bar; the exchange of {one.settle} "
        "costs nothing here" + (f"; its {' and '.join(left_out)} are left out" if left_out else "")
    )


def _rate(market: Market, quote: str, currency: str) -> Rate | None:
    """What a unit of `quote` is worth in `currency`, from the first source of the market that tells it."""
    for name, inverted in ((f"{quote}_{currency}".lower(), False), (f"{currency}_{quote}".lower(), True)):
        if name in market.auxiliary:
            return _of_series(market, name, inverted)
    pairs = [(f"{quote}/{currency}", False), (f"{currency}/{quote}", True), (f"{quote}/{currency}:{currency}", False)]
    for symbol, inverted in pairs:
        if symbol in market.symbols:
            return _of_pair(market, symbol, inverted)
    return None


def _of_pair(market: Market, symbol: str, inverted: bool) -> Rate:
    column = market.column(symbol)
    bars = [np.asarray(getattr(market, name)[:, column]) for name in ("open", "high", "low", "close")]
    opens, highs, lows, closes = [1.0 / bars[place] for place in (0, 2, 1, 3)] if inverted else bars
    moved = np.maximum(highs / opens - 1.0, 1.0 - lows / opens)
    known = moved[~np.isnan(moved)]
    name = f"{'one over ' * inverted}{symbol}" + " (a perpetual)" * (":" in symbol)
    return Rate(name, opens, closes, float(known.max()) if known.size else float("nan"))


def _of_series(market: Market, name: str, inverted: bool) -> Rate:
    series = market.auxiliary[name]
    wrong = np.flatnonzero(series.values <= 0)
    if wrong.size:
        place = int(wrong[0])
        raise MarketError(
            f"series {name} is {series.values[place]:g} from {format_ms(int(series.available_ms[place]))} on: the rate "
            "between two currencies must be positive"
        )

    def at(moments: np.typing.NDArray[np.int64]) -> Floats:
        place = np.searchsorted(series.available_ms, moments, side="right") - 1
        age = moments - series.available_ms[np.maximum(place, 0)]
        # One reading alone is a constant that the user states.
        fresh = (age <= LATEST_READING * DAY_MS) | (len(series.values) == 1)
        values = np.where(fresh, series.at(moments), np.nan)
        return 1.0 / values if inverted else values

    words = f"{'one over ' * inverted}the series {name}"
    constant = len(series.values) == 1
    return Rate(words, at(market.open_ms), at(market.open_ms + market.bar_ms), 0.0 if constant else float("nan"))


def _check_end(market: Market, one: Instrument, column: int, rate: Rate, lost: Flags) -> None:
    there = np.flatnonzero(~np.isnan(market.close[:, column]))
    told = np.flatnonzero(~np.isnan(rate.open) & ~np.isnan(rate.close))
    if not there.size:
        return
    last = int(told[-1]) if told.size else -1
    if lost.all() or (there[-1] - last) * market.bar_ms >= ENDS_BEFORE:
        until = f"ends at {format_ms(int(market.open_ms[last]))}" if told.size else "has no rate in these bars"
        raise MarketError(
            f"{rate.name} {until}, but {one.symbol}, which it converts, has bars until "
            f"{format_ms(int(market.open_ms[there[-1]]))}: give the rest of it, or choose a `timerange` that it covers"
        )


def _missing(quote: str, currency: str) -> str:
    series = f"{quote}_{currency}".lower()
    return f"it needs bars of {quote}/{currency} in the dataset, or a series {series} (`series {series}=FILE.csv`)"


def _nothing(market: Market, foreign: Sequence[int], currency: str) -> str:
    settled = sorted({one.settle for one in market.instruments})
    if not foreign:
        return (
            f"nothing of {market.provenance.name!r} settles in `currency` {currency!r}, and a contract is not "
            f"converted, since its profit is paid in its own currency; {near_miss(currency, settled)}"
        )
    first = market.instruments[foreign[0]]
    return (
        f"{first.symbol} is quoted in {first.settle} and cannot be converted to `currency` {currency!r}: "
        f"{_missing(first.settle, currency)}; {near_miss(currency, settled)}"
    )
