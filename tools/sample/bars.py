"""Bars from paths: prices, turnover, open interest and funding of every instrument, and the market of them all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from backtest.base.errors import MarketError
from backtest.market.record import RECONSTRUCTED, Instrument, Market, Origin, Provenance, fields_of
from backtest.market.series import PANELS
from tools.sample.bridge import A_DAY, STEPS, random, simulate
from tools.sample.facts import Coin, Days, Facts, Moment, OpenInterest
from tools.sample.paths import DAY_MS, HOUR_MS, Floats, rhythm, significant

TURNOVER_NOISE = 0.3
# Funding settles at 00, 08 and 16 UTC; what settles at 00 belongs to the bar before, which closes then.
FUNDING_HOURS = 8
HOURS = 24

DAYS_KNOWN = (
    "open, high, low and close of each UTC day and the hours of its extremes are Binance's; hours reconstructed"
)
VOLUME_KNOWN = "turnover of each UTC day is Binance's; hours reconstructed"
FUNDING_KNOWN = "sum of each UTC day's settlements is Binance's; split evenly over its three"
FUNDING_UNKNOWN = "unknown: no settlement is among the facts"
INTEREST_UNKNOWN = "unknown: no open interest is among the facts"


@dataclass(frozen=True, slots=True)
class Column:
    """One instrument's panels, (T,) each, named as in `Market`, and where they come from."""

    symbol: str
    panels: dict[str, Floats]
    origins: tuple[Origin, ...]


def reconstruct(facts: Facts) -> Market:
    """Market of the facts: swaps with days, swaps without, then spots; the same facts give the same market.

    Prices are rounded to five significant digits, volumes to four; what no fact tells (funding and open
    interest of most coins) is NaN.

    Raises
    ------
    MarketError
        If the path misses a fact after rounding.
    """
    paths = simulate(facts)
    hours = facts.start_ms + np.arange(len(facts.days[0].open) * HOURS, dtype=np.int64) * HOUR_MS
    ordered = sorted(facts.days, key=lambda one: one.spot)
    swaps = [_known(facts, one, paths.of[one.symbol], hours) for one in ordered if not one.spot]
    guesses = [_guessed(facts, one, paths.of[f"{one.base}/USDT:USDT"], hours) for one in facts.plan.coins]
    spots = [_known(facts, one, paths.of[one.symbol], hours) for one in ordered if one.spot]
    columns = swaps + guesses + spots
    plan = facts.plan
    return Market(
        index=pd.DatetimeIndex(pd.to_datetime(hours, unit="ms", utc=True)),
        timeframe="1h",
        instruments=tuple(Instrument.parse(column.symbol) for column in columns),
        **fields_of({name: np.column_stack([column.panels[name] for column in columns]) for name in PANELS}),
        provenance=Provenance(
            plan.name,
            plan.source,
            RECONSTRUCTED,
            plan.licence,
            origins=tuple(origin for column in columns for origin in column.origins),
            held_against=plan.held_against,
        ),
    )


def _known(facts: Facts, days: Days, path: Floats, hours: np.ndarray) -> Column:
    prices = candles(path)
    for name, known, rows in (
        ("open", days.open, prices["open"].reshape(-1, HOURS)[:, 0]),
        ("high", days.high, prices["high"].reshape(-1, HOURS).max(axis=1)),
        ("low", days.low, prices["low"].reshape(-1, HOURS).min(axis=1)),
        ("close", days.close, prices["close"].reshape(-1, HOURS)[:, -1]),
    ):
        missed = np.flatnonzero(np.abs(np.log(rows) - known) > 1e-9)
        if missed.size:
            raise MarketError(f"{days.symbol}: {name} of day {int(missed[0])} is {rows[missed[0]]}, not the fact")
    activity = _activity(facts, days.symbol, path, hours).reshape(-1, HOURS)
    turnover = (activity / activity.sum(axis=1, keepdims=True) * days.turnover[:, None]).ravel()
    rates, interest = np.zeros(len(hours)), np.full(len(hours), np.nan)
    origins = [Origin(days.symbol, "prices", DAYS_KNOWN), Origin(days.symbol, "volume", VOLUME_KNOWN)]
    if not days.spot:
        rates, known = _funding(facts, days.base, len(hours))
        origins.append(Origin(days.symbol, "funding", FUNDING_KNOWN if known else FUNDING_UNKNOWN))
        stated = next((one for one in facts.plan.open_interest if one.base == days.base), None)
        if stated is not None:
            interest = significant(_interest(facts, stated, path), 5)
        words = INTEREST_UNKNOWN if stated is None else f"{RECONSTRUCTED}: {stated.known}"
        origins.append(Origin(days.symbol, "open_interest", words, "" if stated is None else RECONSTRUCTED))
    return _column(days.symbol, prices, turnover, interest, rates, tuple(origins))


def _guessed(facts: Facts, coin: Coin, path: Floats, hours: np.ndarray) -> Column:
    symbol = f"{coin.base}/USDT:USDT"
    prices = candles(path)
    activity = _activity(facts, symbol, path, hours).reshape(-1, HOURS)
    noon = hours.reshape(-1, HOURS)[:, HOURS // 2]
    daily = np.exp(np.interp(noon, _stamps(coin.turnover), np.log([one.level for one in coin.turnover])))
    turnover = (activity / activity.sum(axis=1, keepdims=True) * daily[:, None]).ravel()
    unknown = np.full(len(hours), np.nan)
    origins = (
        Origin(symbol, "prices", f"{RECONSTRUCTED}: {coin.known}", RECONSTRUCTED),
        Origin(symbol, "volume", f"{RECONSTRUCTED}: invented", RECONSTRUCTED),
        Origin(symbol, "funding", FUNDING_UNKNOWN),
        Origin(symbol, "open_interest", INTEREST_UNKNOWN),
    )
    return _column(symbol, prices, turnover, unknown, unknown, origins)


def _column(
    symbol: str,
    prices: dict[str, Floats],
    turnover: Floats,
    interest: Floats,
    rates: Floats,
    origins: tuple[Origin, ...],
) -> Column:
    volume = significant(turnover / prices["close"], 4)
    return Column(symbol, prices | {"volume": volume, "open_interest": interest, "funding": rates}, origins)


def candles(path: Floats) -> dict[str, Floats]:
    """(T,) open, high, low and close of hourly bars of (D, A_DAY + 1) log paths, five significant digits."""
    inside = np.stack([path[:, hour * STEPS : (hour + 1) * STEPS + 1] for hour in range(A_DAY // STEPS)], axis=1)
    found = {"open": inside[:, :, 0], "high": inside.max(axis=2), "low": inside.min(axis=2), "close": inside[:, :, -1]}
    return {name: significant(np.exp(values.ravel()), 5) for name, values in found.items()}


def _activity(facts: Facts, symbol: str, path: Floats, hours: np.ndarray) -> Floats:
    """(T,) share of a day's turnover that an hour takes, unscaled: busy when the price moves, by hour and weekday."""
    inside = np.stack([path[:, hour * STEPS : (hour + 1) * STEPS + 1] for hour in range(HOURS)], axis=1)
    moves = (inside.max(axis=2) - inside.min(axis=2)).ravel()
    noise = np.exp(TURNOVER_NOISE * random(facts, f"{symbol} turnover").standard_normal(len(hours)))
    return np.asarray((0.3 + moves / np.median(moves)) * rhythm(hours) * noise)


def _funding(facts: Facts, base: str, bars: int) -> tuple[Floats, bool]:
    """(T,) rates by the bar in whose close they settled, and whether they are known.

    A day's settlements are those stamped 00:00, 08:00 and 16:00 of it; the first falls into the last bar of the day
    before, so that the window's own first one falls outside and the last bar's is not known and counted as the day's.
    """
    sums = facts.funding.get(base)
    if sums is None:
        return np.full(bars, np.nan), False
    rates = np.zeros(bars)
    each = np.round(sums / 3.0 * 1e-4, 8)
    for day, rate in enumerate(each):
        for settlement in range(3):
            row = day * HOURS + settlement * FUNDING_HOURS - 1
            if row >= 0:
                # The last of a day takes what rounding left, so that the three sum to the fact.
                rates[row] = rate if settlement < 2 else round(sums[day] * 1e-4 - 2 * rate, 8)
    rates[-1] = np.nan
    return rates, True


def _interest(facts: Facts, stated: OpenInterest, path: Floats) -> Floats:
    """(T,) quote notional at each close: price times a number of coins whose log is linear between what is stated."""
    price = path[:, STEPS::STEPS].ravel()
    closes = facts.start_ms + HOUR_MS * np.arange(1, len(price) + 1, dtype=np.int64)
    start, end = int(stated.fall.start.timestamp() * 1000), int(stated.fall.end.timestamp() * 1000)
    fallen = np.log(stated.fall.share) * np.clip((closes - start) / (end - start), 0.0, 1.0)
    knots = {stamp: np.log(one.level) for stamp, one in zip(_stamps(stated.coins), stated.coins, strict=True)}
    for stamp, one in zip(_stamps(stated.notional), stated.notional, strict=True):
        row = int(np.searchsorted(closes, stamp))
        knots[int(stamp)] = np.log(one.level) - price[row] - fallen[row]
    stamps = sorted(knots)
    held = np.interp(closes, stamps, [knots[stamp] for stamp in stamps])
    return np.asarray(np.exp(held + fallen + price))


def _stamps(moments: tuple[Moment, ...]) -> list[int]:
    return [int(one.at.timestamp() * 1000) for one in moments]


assert DAY_MS == HOURS * HOUR_MS
