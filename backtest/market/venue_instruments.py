"""The instrument rules of a venue today, kept beside its bars in the store: `ROOT/bybit/instruments.toml`.

A fetched table has `as_of`; one without was written by a person and is never replaced. Venues serve no history of their
rules: those of the day of the request apply to all bars, and every market that has them says so.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import ccxt

from backtest.base.documents import read_toml
from backtest.base.errors import MarketError
from backtest.base.locks import LOCK_SECONDS, locked
from backtest.base.units import from_ms
from backtest.market.ccxt_source import Listed, Venue
from backtest.market.instrument import Tier
from backtest.market.instrument_file import AS_OF, INSTRUMENTS
from backtest.market.quality import EARLIEST_MS, LATEST_MS
from backtest.market.rows import replace_file

_ENDS = ("deliveryDate", "deliveryTime")
"""Where Binance and Bybit write the end of a perpetual, beside those of dated futures."""


def rules_of(venue: Venue, listed: Listed, now_ms: int) -> tuple[dict[str, Any], str]:
    """The table of an instrument for `instruments.toml`, and a sentence about what the venue does not say.

    It costs a request where the venue tells tiers in money; the rest comes with its list of markets.

    Raises
    ------
    MarketError
        If the venue does not answer.
    """
    market = venue.exchange.markets[listed.instrument.symbol]
    told: dict[str, Any] = {AS_OF: from_ms(now_ms).date()}
    if (tick := _step(venue, market, "price")) is not None:
        told["tick"] = tick
    if (lot := _step(venue, market, "amount")) is not None:
        told |= {"lot": lot} | ({"contract_size": listed.contract} if listed.contract != 1 else {})
    least = ((market.get("limits") or {}).get("cost") or {}).get("min")
    if least and least > 0:
        told["least_notional"] = float(least)
    if listed.created_ms is not None:
        told["listed"] = from_ms(listed.created_ms).date()
    if venue.rules.omits_empty_bars:
        told["omits_empty_bars"] = True
    if listed.instrument.kind != "swap":
        return told, ""
    if (ended := _delisted_ms(market)) is not None:
        told["delisted"] = from_ms(ended)
    if not venue.rules.tiers_in_money:
        return told, f"{venue.identifier} does not give maintenance tiers in money to everybody, so they are not kept"
    try:
        told["tiers"] = [list(tier) for tier in tiers_of(venue.tiers(listed))]
    except MarketError as problem:
        return told, f"maintenance tiers are not kept: {problem}"
    return told, ""


def _delisted_ms(market: Mapping[str, Any]) -> int | None:
    """When a swap ends or ended; a venue that has not set a day writes none, 0 or one after the year 2100."""
    info = market.get("info")
    told = info if isinstance(info, dict) else {}
    for key in _ENDS:
        text = str(told.get(key) or "")
        if text.isdecimal() and EARLIEST_MS <= int(text) < LATEST_MS:
            return int(text)
    return None


def told_today(root: Path, venue: str, now_ms: int) -> frozenset[str]:
    """Symbols of which a venue's `instruments.toml` has what it said today, so that it need not be asked again."""
    path = root / venue / INSTRUMENTS
    if not path.is_file():
        return frozenset()
    tables, today = read_toml(path, MarketError), from_ms(now_ms).date()
    return frozenset(name for name, one in tables.items() if isinstance(one, dict) and one.get(AS_OF) == today)


def _step(venue: Venue, market: Mapping[str, Any], name: str) -> float | None:
    """A step of price or amount; None if it is not given, or given in significant digits."""
    value, mode = (market.get("precision") or {}).get(name), venue.exchange.precisionMode
    if value is None or mode == ccxt.SIGNIFICANT_DIGITS:
        return None
    step = float(value) if mode == ccxt.TICK_SIZE else 10.0 ** -int(value)
    return step if 0 < step < float("inf") else None


def tiers_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Tier, ...]:
    """Tiers from ccxt's rows: a floor (notional), and the maintenance rate from it on; equal rates are one tier.

    A rate cannot exceed the initial margin, 1 / highest leverage: a rate that does, although a hundredth of it does
    not, is in percent.

    Raises
    ------
    MarketError
        If a figure is missing, or the tiers do not begin at 0 and rise.
    """
    names = ("minNotional", "maintenanceMarginRate", "maxLeverage")
    figures = [[float("nan") if row.get(name) is None else float(row[name]) for name in names] for row in rows]
    if not figures or not all(one >= 0 for row in figures for one in row):
        raise MarketError("a floor, a rate or a leverage is missing")
    ordered = sorted(figures)
    for scale in (1.0, 0.01):
        if all(0 < rate * scale * leverage <= 1 for _, rate, leverage in ordered):
            break
    else:
        raise MarketError("rates are above the initial margin that their leverage allows, as shares and as percent")
    found: list[Tier] = []
    for floor, rate, _ in ordered:
        if not found or rate * scale != found[-1][1]:
            found.append((floor, round(rate * scale, 12)))
    floors, rates = [floor for floor, _ in found], [rate for _, rate in found]
    if floors[0] != 0 or rates != sorted(set(rates)) or floors != sorted(set(floors)):
        raise MarketError(f"they do not begin at 0 and rise: {found}")
    return tuple(found)


def keep_rules(root: Path, venue: str, told: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Write the rules of symbols into the venue's `instruments.toml`; sentences about tables that were not changed.

    Raises
    ------
    MarketError
        If `with_rules` cannot read the file, or the store cannot be written.
    """
    folder = root / venue
    notes = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".instruments.lock", LOCK_SECONDS):
            path = folder / INSTRUMENTS
            tables: dict[str, Any] = dict(read_toml(path, MarketError)) if path.exists() else {}
            for symbol, table in told.items():
                known = tables.get(symbol)
                if isinstance(known, dict) and AS_OF not in known:
                    notes.append(f"{path} says itself what the rules of {symbol} are: what {venue} says is not kept")
                else:
                    tables[symbol] = dict(table)
            text = _text(tables)
            tomllib.loads(text)
            replace_file(path, text.encode())
    except OSError as problem:
        raise MarketError(
            f"the store {root} cannot be written ({problem.strerror or problem}): choose another with `store`"
        ) from None
    return notes


def _text(tables: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["# Rules of the venue on the day `as_of`. A table without `as_of` is yours: fetching leaves it alone."]
    for symbol in sorted(tables):
        lines += ["", f'["{symbol}"]', *(f"{key} = {_value(value)}" for key, value in tables[symbol].items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)
