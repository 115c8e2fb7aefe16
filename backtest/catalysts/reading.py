"""Reads calendars from files, TOML as the project writes it or CSV as people keep it, and lists all faults at once."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

from backtest.base.arguments import checked
from backtest.base.documents import datasets_root, read_json, read_toml, user_path
from backtest.base.errors import CalendarError, DataError, UsageError, near_miss, shortened
from backtest.catalysts.record import KEYS, KIND, KINDS, Calendar, RowsRead, read_rows
from backtest.catalysts.rows import check_columns, keys_of, name_rows, read_csv_rows

FORMS = (".toml", ".csv")
_CLOSE = 0.8


@checked
def read_calendar(path: Path | str) -> Calendar:
    """Calendar of a TOML file (`name`, `description`, optional `extra_kinds`, a `[[catalyst]]` table each) or a CSV.

    A CSV has one row per catalyst, with the keys as column names; see `backtest.catalysts.rows` for what may be left
    out.

    Raises
    ------
    CalendarError
        Naming the file, catalyst and key of the first fault (unknown, missing, duplicated or malformed), and the number
        of others.
    """
    name, reading = _read(Path(path))
    if len(reading.faults) > 1:
        more = f"and {len(reading.faults) - 1} more: backtest events validate {path} lists all"
        raise CalendarError(f"{path}: {reading.faults[0]} ({more})")
    return reading.calendar(name, str(path))


def read_csv_calendar(
    path: Path,
    mapping: Mapping[str, str],
    defaults: Mapping[str, Any],
    extra_kinds: Collection[str] = (),
    zone: tzinfo | None = None,
) -> RowsRead:
    """Catalysts and faults of a CSV: `mapping` maps keys to columns, `zone` applies to times without one."""
    header, rows = read_csv_rows(path)
    check_columns(str(path), header, mapping, KEYS)
    named = [keys_of(row, KEYS, mapping, {"source": path.name, **defaults}, zone) for _, row in rows]
    name_rows(named)
    if not named:
        return RowsRead((), ("holds a header and no row: add at least one catalyst",))
    labels = [f"line {number}" for number, _ in rows]
    return read_rows(zip(labels, named, strict=True), extra_kinds, by_label=True)


def _read(path: Path) -> tuple[str, RowsRead]:
    """Name and contents of a file; a fault of the file as a whole raises `CalendarError`."""
    if path.suffix.lower() == ".csv":
        return path.stem, read_csv_calendar(path, {}, {})
    table = read_toml(path, CalendarError, {"name", "description", "extra_kinds", "catalyst"})
    for key, form in (("name", str), ("description", str), ("extra_kinds", list), ("catalyst", list)):
        if not isinstance(table.get(key, form()), form):
            raise CalendarError(f"{path}: {key} = {shortened(table[key])} must be a {form.__name__}")
    extra = table.get("extra_kinds", ())
    for kind in extra:
        if not (isinstance(kind, str) and re.fullmatch(KIND, kind)):
            raise CalendarError(
                f"{path}: extra_kinds has {shortened(kind)}, which is not a valid kind: use lower-case letters, "
                "digits and underscores"
            )
    rows = table.get("catalyst", ())
    if not rows:
        return table.get("name", path.stem), RowsRead((), ("holds no [[catalyst]] table: add at least one",))
    labelled = ((f"catalyst {number}", row) for number, row in enumerate(rows, start=1))
    return table.get("name", path.stem), read_rows(labelled, extra)


@dataclass(frozen=True, slots=True)
class Survey:
    """A calendar with all its faults.

    `faults` prevent it from being read. `doubts` do not: coins and actors similar to a known one, or coins unknown to
    every dataset and calendar of this project.
    """

    calendar: Calendar
    faults: tuple[str, ...]
    doubts: tuple[str, ...]


def survey_calendar(name_or_path: str) -> Survey:
    """Read a calendar and collect its faults; one that cannot be parsed at all raises as `open_calendar`."""
    name, reading = _read(path_of(name_or_path))
    first = {one.id: one for one in reversed(reading.catalysts)}
    calendar = Calendar(name, tuple(first.values()))
    return Survey(calendar, reading.faults, tuple(_doubts(calendar)))


def _doubts(calendar: Calendar) -> Iterable[str]:
    if calendar.undirected:
        yield calendar.undirected
    coins, actors = known_coins(), known_actors()
    own: dict[str, int] = {}
    for one in calendar:
        own[one.actor] = own.get(one.actor, 0) + 1
    for one in calendar:
        for coin in one.assets:
            if coin not in coins:
                swapped = [known for known in sorted(coins) if sorted(known) == sorted(coin)]
                close = swapped or difflib.get_close_matches(coin, sorted(coins), n=1, cutoff=0.6)
                hint = f"did you mean {close[0]}?" if close else "check its spelling, and that your market has it"
                yield f"catalyst {one.id!r}: coin {coin} is in no dataset or calendar of this project; {hint}"
        if one.actor in actors:
            continue
        others = actors | {name for name, count in own.items() if count > own[one.actor]}
        close = difflib.get_close_matches(one.actor, sorted(others - {one.actor}), n=1, cutoff=_CLOSE)
        if close:
            yield f"catalyst {one.id!r}: actor {shortened(one.actor)} comes close to {close[0]!r}: are they the same?"


@cache
def known_coins() -> frozenset[str]:
    """Coins of the datasets and calendars shipped with the project."""
    coins = {coin for name in embedded_calendars() for one in open_calendar(name) for coin in one.assets}
    for path in datasets_root().glob("*/metadata.json"):
        coins |= {str(symbol).partition("/")[0] for symbol in read_json(path, DataError).get("instruments", ())}
    return frozenset(coins)


@cache
def known_actors() -> frozenset[str]:
    """Actors of the calendars shipped with the project."""
    return frozenset(one.actor for name in embedded_calendars() for one in open_calendar(name))


def embedded_calendars() -> tuple[str, ...]:
    """Names of the calendars shipped with the project."""
    return tuple(sorted(path.stem for path in (datasets_root() / "catalysts").glob("*.toml")))


def path_of(name_or_path: str) -> Path:
    """File of a calendar by its path, or its name in the project; anything else raises `UsageError`."""
    if name_or_path in embedded_calendars():
        return datasets_root() / "catalysts" / f"{name_or_path}.toml"
    path = user_path(name_or_path)
    if path.suffix.lower() in FORMS or os.path.exists(path):
        return path
    raise UsageError(
        f"calendar {shortened(name_or_path)} is neither a TOML or CSV file nor a calendar of this project; "
        f"{near_miss(name_or_path, embedded_calendars())}"
    )


@checked
def open_calendar(name_or_path: str | Path) -> Calendar:
    """Calendar by a name in the project, or from a TOML or CSV file.

    Raises
    ------
    UsageError
        If it is neither.
    CalendarError
        As `read_calendar`.
    """
    return read_calendar(path_of(str(name_or_path)))


def toml_of(calendar: Calendar) -> str:
    """The calendar as a TOML file that `read_calendar` reads back to the same hash."""
    own = sorted({one.kind for one in calendar} - KINDS)
    lines = [f"name = {_toml(calendar.name)}"] + ([f"extra_kinds = {_toml(own)}"] if own else [])
    for one in calendar:
        lines += ["", "[[catalyst]]"]
        lines += [f"{key} = {_toml(value)}" for key, value in one.said().items() if value not in (None, (), "")]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S") + (f".{value:%f}" if value.microsecond else "") + "Z"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # What JSON writes of a string or number is TOML too, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def merge_calendars(calendars: Collection[Calendar]) -> Calendar:
    """Merge several calendars into one; a duplicate id is an error."""
    return Calendar("+".join(one.name for one in calendars), tuple(c for one in calendars for c in one))
