"""The rules of a venue beside a folder of bars: `instruments.toml`, one table per symbol."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from backtest.base.documents import read_toml
from backtest.base.errors import MarketError, near_miss, shortened
from backtest.base.units import format_ms, to_ms
from backtest.market.instrument import Instrument

INSTRUMENTS = "instruments.toml"
"""Name of the file."""
AS_OF = "as_of"
"""Key of a table that a venue told: the day."""


def with_rules(
    folder: Path, instruments: Iterable[Instrument], *, name_others: bool = True
) -> tuple[dict[str, Instrument], list[str]]:
    """Each instrument by symbol, with the rules from `instruments.toml` of its folder, and sentences about them.

    Keys of a table: `tick`; `lot` in contracts of `contract_size` (coins, or for an inverse contract its quote
    currency; 1 where not given); `least_notional`; `tiers`, pairs of a notional and the maintenance rate from it on;
    `listed` and `delisted`, instants or days UTC; `omits_empty_bars`; `earlier_names`, pairs of a symbol and how many
    of its units equal one of today's; `as_of`, the day on which the venue gave them. With `name_others` a table without
    bars gives a sentence. The symbol says whether it is linear or inverse, and the currency of settlement.

    Raises
    ------
    MarketError
        For a file that is not TOML, an unknown key, or an impossible value.
    """
    found = {one.symbol: one for one in instruments}
    path = folder / INSTRUMENTS
    if not path.is_file():
        return found, []
    notes = []
    for symbol, table in read_toml(path, MarketError).items():
        if not isinstance(table, dict):
            raise MarketError(f'{path}: {shortened(symbol)} must be a table: write ["ZEC/USDT:USDT"] above its rules')
        if symbol not in found and not name_others:
            continue
        if symbol not in found:
            notes.append(f"{INSTRUMENTS}: no bars of {shortened(symbol)}; {near_miss(symbol, found)}")
            continue
        found[symbol] = _ruled(found[symbol], table, f"{path}, {symbol}")
        names = ", ".join(key for key in table if key != AS_OF)
        since = (
            f"; those of {format_ms(_instant(table[AS_OF], path.name))[:10]}, for all bars" if AS_OF in table else ""
        )
        notes.append(f"rules of {symbol} read from {INSTRUMENTS}: {names}{since}")
    return found, notes


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
