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
from backtest.market.instrument import Change
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
    `most_leverage`, pairs of a notional and the most leverage from it on; `changes`, tables of an instant or day
    `since` and the `tiers` and `most_leverage` in force from then on (what a table leaves out stays as it was);
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
    one if all are later, and from their days on those that follow within the bars. Rules that are later than the first
    bar, or older than another day that ships and is not used, are said to be.

    Raises
    ------
    UsageError
        For neither a name nor a file.
    MarketError
        As `with_rules`, and for a file with rules of none of its instruments.
    """
    days = shipped_venues().get(name_or_file, {})
    used = _in_force(days, market)
    name = days[used[0]] if used else name_or_file
    path = datasets_root() / _SHIPPED / f"{name}.toml"
    if name not in shipped_rules():
        path = user_path(name)
        if not path.is_file():
            near = near_miss(name, (*shipped_venues(), *shipped_rules()))
            raise UsageError(f"`rules` {shortened(name)} is neither a file nor a name; {near}")
    bars = f"for the bars before {used[1]}" if len(used) > 1 else "for all bars"
    found, notes = read_rules(path, market.instruments, name_others=False, bars=bars)
    for day in used[1:]:
        told, _ = read_rules(path.with_name(f"{days[day]}.toml"), _untold(market), name_others=False)
        found = {symbol: _changed(one, day, told[symbol]) for symbol, one in found.items()}
    if any(one.changes for one in found.values()):
        notes.append(f"tiers of {', '.join(days[day] for day in used[1:])} are in force from their days on")
    if not notes:
        raise MarketError(
            f"{path} has rules of no instrument of {market.provenance.name!r}: {', '.join(market.symbols)}"
        )
    notes += [*_not_yet_known(path, market), *([] if used else _superseded(name, market))]
    provenance = replace(market.provenance, repairs=(*notes, *market.provenance.repairs))
    return continued(
        replace(market, instruments=tuple(found[symbol] for symbol in market.symbols), provenance=provenance)
    )


def _in_force(days: Iterable[str], market: Market) -> list[str]:
    """The last of some days that is no later than the first bar, or the first of all, and those that follow in it."""
    first, last = format_ms(market.start_ms)[:10], format_ms(market.end_ms - market.bar_ms)[:10]
    known = sorted(days)
    begins = max((day for day in known if day <= first), default=known[0] if known else "")
    return [day for day in known if day == begins or begins < day <= last]


def _untold(market: Market) -> list[Instrument]:
    """The instruments of a market without tiers, so that those which a file has are seen."""
    return [replace(one, tiers=(), most_leverage=(), changes=()) for one in market.instruments]


def _changed(one: Instrument, day: str, told: Instrument) -> Instrument:
    """The instrument with the tiers of a later day, if that day has any and they are others."""
    last = one.changes[-1][1:] if one.changes else (one.tiers, one.most_leverage)
    now = (told.tiers or last[0], told.most_leverage or last[1])
    since = to_ms(datetime.fromisoformat(day).replace(tzinfo=UTC))
    return one if now == last else replace(one, changes=(*one.changes, (since, *now)))


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
    path: Path, instruments: Iterable[Instrument], *, name_others: bool, bars: str = "for all bars"
) -> tuple[dict[str, Instrument], list[str]]:
    """As `with_rules`, of one file; `bars` says for which bars rules of a day are used."""
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
        + (f"; those of {day}, {bars}" if day else "")
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
    given["changes"] = _in_turn(given)
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


def _in_turn(given: dict[str, Any]) -> tuple[Change, ...]:
    """Changes in order, what one leaves out as it was before."""
    tiers, most, found = given.get("tiers", ()), given.get("most_leverage", ()), []
    for since, changed, leverage in given.get("changes", ()):
        tiers, most = changed or tiers, leverage or most
        found.append((since, tiers, most))
    return tuple(found)


def _changes(value: Any, what: str) -> tuple[Change, ...]:
    example = 'since = 2025-10-31 and tiers = [[0, 0.01]] under [["ZEC/USDT:USDT".changes]]'
    tables = value if isinstance(value, list) else [None]
    found = []
    for table in tables:
        if not isinstance(table, dict) or "since" not in table or len(table) < 2:
            raise MarketError(f"{what} must be tables of an instant and what is in force from it on, as in {example}")
        for key in table:
            if key not in ("since", "tiers", "most_leverage"):
                raise MarketError(f"{what}: unknown key {shortened(key)}; {near_miss(key, ('since', *_DATED_KEYS))}")
        pairs = [_KEYS[key][1](table[key], f"{what}: {key}") if key in table else () for key in _DATED_KEYS]
        found.append((_instant(table["since"], f"{what}: since"), pairs[0], pairs[1]))
    return tuple(found)


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


_DATED_KEYS = ("tiers", "most_leverage")
"""Keys that may change from an instant on."""
_KEYS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "tick": ("tick", _number),
    "lot": ("lot", _number),
    "contract_size": ("contract_size", _number),
    "least_notional": ("least_notional", _number),
    "tiers": ("tiers", _pairs(float, "[[0, 0.01], [50000, 0.025]]")),
    "most_leverage": ("most_leverage", _pairs(float, "[[0, 50], [50000, 20]]")),
    "changes": ("changes", _changes),
    "listed": ("listed_ms", _instant),
    "delisted": ("delisted_ms", _instant),
    "omits_empty_bars": ("omits_empty_bars", _flag),
    "earlier_names": ("earlier_names", _pairs(str, '[["1000ZEC/USDT:USDT", 1000]]')),
}
"""What a table may hold: the field of `Instrument` that it fills, and how it is read."""
