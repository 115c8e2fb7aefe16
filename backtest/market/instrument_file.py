"""The rules of a venue, one table per symbol: `instruments.toml` beside a folder of bars, or a file that is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from backtest.base.documents import datasets_root, read_toml, user_path
from backtest.base.errors import MarketError, UsageError, near_miss, shortened
from backtest.base.units import format_ms, to_ms
from backtest.market.record import Instrument, Market
from backtest.market.redenomination import continued

INSTRUMENTS = "instruments.toml"
"""Name of the file."""
AS_OF = "as_of"
"""Key of a table that a venue told: the day."""
SOURCE = "source"
"""Key above all tables: where the file has them from, in words."""
_SHIPPED = "instruments"
_DATED = re.compile(r"(.+)-(\d{4}-\d\d-\d\d)")
"""Names of files that ship: a venue, and the day of its rules."""


def with_rules(
    folder: Path, instruments: Iterable[Instrument], *, name_others: bool = True
) -> tuple[dict[str, Instrument], list[str]]:
    """Each instrument by symbol, with the rules from `instruments.toml` of its folder, and sentences about them.

    Keys of a table: `tick`; `lot` in contracts of `contract_size` (coins, or for an inverse contract its quote
    currency; 1 where not given); `least_notional`; `tiers`, pairs of a notional and the maintenance rate from it on;
    `listed` and `delisted`, instants or days UTC; `omits_empty_bars`; `earlier_names`, pairs of a symbol and how many
    of its units equal one of today's; `as_of`, the day on which the venue gave them. Above the tables `source` may say
    where they are from. With `name_others` a table without bars gives a sentence. The symbol says whether it is linear
    or inverse, and the currency of settlement.

    Raises
    ------
    MarketError
        For a file that is not TOML, an unknown key, or an impossible value.
    """
    path = folder / INSTRUMENTS
    if not path.is_file():
        return {one.symbol: one for one in instruments}, []
    return read_rules(path, instruments, name_others=name_others)


def shipped_rules() -> tuple[str, ...]:
    """Names of the files of rules that ship with the package."""
    return tuple(sorted(path.stem for path in (datasets_root() / _SHIPPED).glob("*.toml")))


def shipped_venues() -> dict[str, dict[str, str]]:
    """By venue, as in `binanceusdm`, its files that ship: the name of each by the day of its rules, oldest first."""
    found: dict[str, dict[str, str]] = {}
    for name in shipped_rules():
        if dated := _DATED.fullmatch(name):
            found.setdefault(dated[1], {})[dated[2]] = name
    return found


def ruled(market: Market, name_or_file: str) -> Market:
    """The market with the rules of a file that ships, or of one of the user's; its provenance says which.

    A venue alone, as in `binanceusdm`, names the newest of its files that is no later than the first bar, or its oldest
    one if all are later. Rules that are later than the first bar, or older than another day that ships, are said to be.

    Raises
    ------
    UsageError
        For neither a name nor a file.
    MarketError
        As `with_rules`, and for a file with rules of none of its instruments.
    """
    days = shipped_venues().get(name_or_file, {})
    name = days[_in_force(days, market)] if days else name_or_file
    path = datasets_root() / _SHIPPED / f"{name}.toml"
    if name not in shipped_rules():
        path = user_path(name)
        if not path.is_file():
            near = near_miss(name, (*shipped_venues(), *shipped_rules()))
            raise UsageError(f"`rules` {shortened(name)} is neither a file nor a name; {near}")
    found, notes = read_rules(path, market.instruments, name_others=False)
    if not notes:
        raise MarketError(
            f"{path} has rules of no instrument of {market.provenance.name!r}: {', '.join(market.symbols)}"
        )
    notes += [*_not_yet_known(path, market), *_superseded(name, market)]
    provenance = replace(market.provenance, repairs=(*notes, *market.provenance.repairs))
    return continued(
        replace(market, instruments=tuple(found[symbol] for symbol in market.symbols), provenance=provenance)
    )


def _in_force(days: Iterable[str], market: Market) -> str:
    """The last of some days that is no later than the first bar; the first of them if all are later."""
    known = sorted(days)
    return max((day for day in known if day <= format_ms(market.start_ms)[:10]), default=known[0])


def _not_yet_known(path: Path, market: Market) -> list[str]:
    """A sentence about rules of a day after the first bars, on which nobody knew them."""
    tables, begins = read_toml(path, MarketError), format_ms(market.start_ms)[:10]
    dated = [tables[symbol][AS_OF] for symbol in market.symbols if AS_OF in tables.get(symbol, {})]
    late = sorted(day for day in {format_ms(_instant(one, path.name))[:10] for one in dated} if day > begins)
    if not late:
        return []
    return [f"{path.name}: bars from {begins} on are replayed under rules of {late[-1]}, not known then"]


def _superseded(name: str, market: Market) -> list[str]:
    """A sentence about the days on which other rules of a venue that ship replaced these within the bars."""
    dated = _DATED.fullmatch(name)
    if dated is None or name not in shipped_rules():
        return []
    last = format_ms(market.end_ms - market.bar_ms)[:10]
    later = [day for day in shipped_venues()[dated[1]] if dated[2] < day <= last]
    if not later:
        return []
    newer = f"rules of {dated[1]} newer than {dated[2]} came into force within the bars"
    return [f"{newer}, and are not used: {', '.join(later)}"]


def read_rules(
    path: Path, instruments: Iterable[Instrument], *, name_others: bool
) -> tuple[dict[str, Instrument], list[str]]:
    """As `with_rules`, of one file."""
    found = {one.symbol: one for one in instruments}
    tables = read_toml(path, MarketError)
    source = tables.pop(SOURCE, "")
    if not isinstance(source, str):
        raise MarketError(f"{path}: {SOURCE} = {shortened(source)} must say in words where the rules are from")
    others, alike = [], dict[tuple[str, str], list[str]]()
    for symbol, table in tables.items():
        if not isinstance(table, dict):
            raise MarketError(f'{path}: {shortened(symbol)} must be a table: write ["ZEC/USDT:USDT"] above its rules')
        if symbol not in found:
            others += [f"{path.name}: no bars of {shortened(symbol)}; {near_miss(symbol, found)}"] * name_others
            continue
        found[symbol] = _ruled(found[symbol], table, f"{path}, {symbol}")
        names = ", ".join(key for key in table if key != AS_OF)
        day = format_ms(_instant(table[AS_OF], path.name))[:10] if AS_OF in table else ""
        alike.setdefault((names, day), []).append(symbol)
    notes = [
        f"rules of {', '.join(symbols)} read from {path.name}: {names}"
        + (f"; those of {day}, for all bars" if day else "")
        + (f" ({source})" if source else "")
        for (names, day), symbols in alike.items()
    ]
    return found, [*others, *notes]


def _ruled(instrument: Instrument, table: dict[str, Any], where: str) -> Instrument:
    given: dict[str, Any] = {}
    for key, value in table.items():
        if key == AS_OF:
            continue
        if key not in _KEYS:
            raise MarketError(f"{where}: unknown key {shortened(key)}; {near_miss(key, _KEYS)}")
        name, read = _KEYS[key]
        given[name] = read(value, f"{where}: {key} = {shortened(value)}")
    size = given.pop("contract_size", 1.0)
    if "contract_size" in table and "lot" not in given:
        raise MarketError(f"{where}: contract_size = {size!r} says how many coins a lot is: give a lot, in contracts")
    if "lot" in given:
        given["lot"] *= size
    try:
        ruled = replace(instrument, **given)
    except MarketError as problem:
        raise MarketError(f"{where}: {problem}") from None
    if ruled.listed_ms is not None and ruled.delisted_ms is not None and ruled.listed_ms >= ruled.delisted_ms:
        raise MarketError(f"{where}: it is delisted at or before it is listed: check the two dates")
    return ruled


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise MarketError(f"{what} must be a positive number, or be left out where unknown")
    return float(value)


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise MarketError(f"{what} must be true or false")
    return value


def _instant(value: Any, what: str) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise MarketError(f"{what} has no zone: write it as 2025-10-01T08:00:00Z")
        return to_ms(value)
    if isinstance(value, date):
        return to_ms(datetime(value.year, value.month, value.day, tzinfo=UTC))
    raise MarketError(f"{what} must be a day or an instant without quotes: 2025-10-01 or 2025-10-01T08:00:00Z")


def _pairs(first: type, example: str) -> Callable[[Any, str], tuple[tuple[Any, float], ...]]:
    def read(value: Any, what: str) -> tuple[tuple[Any, float], ...]:
        pairs = value if isinstance(value, list) else []
        real = [
            isinstance(one, list)
            and len(one) == 2
            and isinstance(one[0], int | float if first is float else first)
            and isinstance(one[1], int | float)
            and not any(isinstance(part, bool) for part in one)
            for one in pairs
        ]
        if not pairs or not all(real):
            raise MarketError(f"{what} must be a list of pairs, as in {example}")
        return tuple((first(one), float(other)) for one, other in pairs)

    return read


_KEYS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "tick": ("tick", _number),
    "lot": ("lot", _number),
    "contract_size": ("contract_size", _number),
    "least_notional": ("least_notional", _number),
    "tiers": ("tiers", _pairs(float, "[[0, 0.01], [50000, 0.025]]")),
    "listed": ("listed_ms", _instant),
    "delisted": ("delisted_ms", _instant),
    "omits_empty_bars": ("omits_empty_bars", _flag),
    "earlier_names": ("earlier_names", _pairs(str, '[["1000ZEC/USDT:USDT", 1000]]')),
}
"""What a table may hold: the field of `Instrument` that it fills, and how it is read."""
