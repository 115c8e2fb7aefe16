"""Turns the rows of a table of catalysts (CSV file, frame or list) into the keys of a catalyst.

A row needs a coin (`assets`), a `kind` and a time (`announced_at`, or `between` for an untimed one). Omitted keys get
cautious defaults: `confidence` low, `direction` 0, `actor` unknown, and a `precision` no finer than the time as
written: a bare date, or exactly midnight, is a day, and counts as known at the next midnight.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Any

from backtest.base.documents import read_whole
from backtest.base.errors import CalendarError, near_miss, shortened

SEPARATORS = ",;\t|"
_SEVERAL = re.compile(r"[,;|+\s]+")
_BLANK = ("", "nan", "none", "null", "n/a", "na", "-")
_SIGNS = {"1": 1, "+1": 1, "up": 1, "-1": -1, "down": -1, "0": 0, "none": 0, "unknown": 0}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_LARGEST = 16 * 2**20


def read_csv_rows(path: Path) -> tuple[tuple[str, ...], list[tuple[int, dict[str, str]]]]:
    """Header, and rows with their line numbers, of a CSV; the header shows whether comma, semicolon, tab or bar
    separates.

    Raises
    ------
    CalendarError
        Where the file cannot be read, or a row has more or fewer fields than the header.
    """
    data = read_whole(path, CalendarError, _LARGEST)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise CalendarError(
            f"{path} line {line}: byte {data[problem.start]:#04x} is not UTF-8: save the file as UTF-8"
        ) from None
    first = text.partition("\n")[0]
    separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        header = tuple(name.strip() for name in next(reader, []))
        lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as problem:
        raise CalendarError(f"{path} line {reader.line_num}: {problem}: export the file again as plain CSV") from None
    if not header or not any(header):
        raise CalendarError(f"{path} is empty: a calendar needs a header such as announced_at,assets,kind,actor")
    for name in header:
        if header.count(name) > 1:
            raise CalendarError(f"{path} has {header.count(name)} columns {shortened(name)}: keep one")
    for number, cells in lines:
        if len(cells) != len(header):
            raise CalendarError(
                f"{path} line {number} has {len(cells)} fields under a header of {len(header)}: quote what holds "
                f"{separator!r}, or complete the row"
            )
    return header, [(number, dict(zip(header, cells, strict=True))) for number, cells in lines]


def check_columns(where: str, columns: Collection[str], mapping: Mapping[str, str], keys: Collection[str]) -> None:
    """Raise `CalendarError` for a key or column of `mapping` that does not exist, and for a column outside `keys`. If
    columns are mapped, the others are not read.
    """
    for key, column in mapping.items():
        if key not in keys and column in keys and key in columns:
            raise CalendarError(f"map {key}={column} has its sides swapped: KEY=COLUMN, so write {column}={key}")
        if key not in keys:
            raise CalendarError(f"map {key}={column}: a catalyst has no key {shortened(key)}; {near_miss(key, keys)}")
        if column not in columns:
            raise CalendarError(
                f"map {key}={column}: {where} has no column {shortened(column)}; {near_miss(column, columns)}"
            )
    unknown = [column for column in columns if column not in keys and column not in mapping.values()]
    if unknown and not mapping:
        of_file = where.lower().endswith(".csv")
        how = f"backtest events import {where} --map assets=COLUMN" if of_file else "columns={'assets': 'COLUMN'}"
        raise CalendarError(
            f"{where} has a column {shortened(unknown[0])}, which is not a key of a catalyst; "
            f"{near_miss(unknown[0], keys)}; drop it, or say which columns are read: {how}"
        )


def keys_of(
    row: Mapping[str, Any],
    names: Collection[str],
    mapping: Mapping[str, str],
    defaults: Mapping[str, Any],
    zone: tzinfo | None = None,
) -> dict[str, Any]:
    """Keys of a catalyst, of those in `names`, from one row; `mapping` says which column a key is read from.

    Blank cells take `defaults`, then the cautious default. A time without a zone is read in `zone` if given; otherwise
    the catalyst refuses it.
    """
    named = {key: row[mapping.get(key, key)] for key in names if mapping.get(key, key) in row}
    keys = {key: _value(key, value) for key, value in named.items() if not _blank(value)}
    keys = dict(defaults) | keys
    for key in ("announced_at", "effective_at"):
        if key in keys:
            keys[key] = _moment(keys[key], zone)
    if "between" in keys and isinstance(keys["between"], str):
        keys["between"] = tuple(keys["between"].replace("/", "..").split(".."))
    if "precision" not in keys:
        keys["precision"] = _precision(keys.get("announced_at"))
    keys.setdefault("direction", 0)
    keys.setdefault("actor", "unknown")
    keys.setdefault("confidence", "low")
    return keys


def name_rows(rows: Sequence[dict[str, Any]]) -> None:
    """Give each row without an id one made from coin, day and actor, numbered if several would be equal."""
    taken = {str(row["id"]) for row in rows if "id" in row}
    for row in rows:
        if "id" in row:
            continue
        assets = row.get("assets")
        coin = str(assets[0] if isinstance(assets, tuple | list) and assets else assets or "catalyst")
        moment = row.get("announced_at")
        day = f"{moment:%Y-%m-%d}" if isinstance(moment, date) else str(moment or "untimed")[:10]
        stem = re.sub(r"[^a-z0-9]+", "-", f"{coin} {day} {row.get('actor', '')}".lower()).strip("-")[:70] or "catalyst"
        number, name = 1, stem
        while name in taken or len(name) < 3:
            number, name = number + 1, f"{stem}-{number + 1}"
        taken.add(name)
        row["id"] = name


def _blank(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    if isinstance(value, str):
        return value.strip().lower() in _BLANK
    # pandas' own missing time is the only value that is not itself.
    return bool(value != value) if not isinstance(value, list | tuple | set | dict) else not value


def _value(key: str, value: Any) -> Any:
    if isinstance(value, str):
        value = value.strip()
    if key in ("assets", "confounded_with"):
        if isinstance(value, str):
            value = tuple(part for part in _SEVERAL.split(value) if part)
        return tuple(str(one).upper() for one in value) if key == "assets" else tuple(value)
    if key == "kind":
        return re.sub(r"[\s-]+", "_", str(value).lower())
    if key == "direction":
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).lower()
        return _SIGNS.get(text, value)
    if key in ("precision", "confidence"):
        return str(value).lower()
    if isinstance(value, int | float) and key not in ("announced_at", "effective_at", "between"):
        return str(value)
    return value


def _moment(value: Any, zone: tzinfo | None) -> Any:
    """The time in a cell: a date stays a date; text that is not a time is passed on, and the catalyst refuses it."""
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime(warn=False)
    if isinstance(value, str):
        if _DAY.fullmatch(value):
            return date.fromisoformat(value)
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime):
        if value.tzinfo is None and zone is not None:
            value = value.replace(tzinfo=zone)
        if value.tzinfo is None and not (value.hour or value.minute or value.second or value.microsecond):
            return value.date()
        return value
    return value


def _precision(moment: Any) -> str:
    if moment is None:
        return "untimed"
    if not isinstance(moment, datetime):
        return "day"
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    if moment.microsecond or moment.second:
        return "second"
    return "minute" if moment.hour or moment.minute else "day"
