"""Bars, funding and open interest from pandas frames, understood or refused by name.

A bar frame has the columns open, high, low, close and volume, in any order and case, and its bar opens either as the
index or in a column `timestamp`, `open_time`, `date`, `datetime` or `time`. Times carry a zone, or are epoch
milliseconds. A column named after a declared series (`backtest.market.series`) holds its values at the close of the
bar, so that the result of `Market.to_frames` is read back unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from backtest.base.errors import MarketError, UsageError, near_miss, shortened
from backtest.base.units import UNIT_MS
from backtest.market.align import Aligned, InstrumentData, align
from backtest.market.instrument import Floats, Instrument
from backtest.market.quality import (
    EARLIEST_MS,
    LATEST_MS,
    CheckedFunding,
    Int64s,
    OpenInterest,
    RawTable,
    clean_bars,
    clean_funding,
    clean_open_interest,
    epoch_ms,
    once_in_order,
)
from backtest.market.series import BASE, SERIES

TIMES = ("timestamp", "open_time", "date", "datetime", "time")
RATES = ("funding_rate", "last_funding_rate", "fundingrate", "rate")
COINS = ("sum_open_interest", "open_interest_coins", "coins")
VALUES = ("sum_open_interest_value", "open_interest_value", "value")


@dataclass(frozen=True, slots=True, eq=False)
class Framed:
    """Contents of frames on one grid: the timeframe, the N instruments in order, and their panels."""

    timeframe: str
    instruments: tuple[Instrument, ...]
    aligned: Aligned


def read_frames(
    name: str,
    frames: Mapping[str, pd.DataFrame],
    timeframe: str | None,
    funding: Mapping[str, pd.Series | pd.DataFrame],
    open_interest: Mapping[str, pd.DataFrame],
) -> Framed:
    """Instruments and panels of frames by unified symbol; see `Market.from_frames`."""
    if not isinstance(frames, Mapping):
        raise UsageError(
            f"frames is a {type(frames).__name__}: give a dict of symbol to DataFrame, as in {{'ZEC/USDT:USDT': bars}}"
        )
    for what, extra in (("funding", funding), ("open_interest", open_interest)):
        for symbol in extra:
            if symbol not in frames:
                raise UsageError(f"{what} of {shortened(symbol)} has no bars; {near_miss(str(symbol), frames)}")
    instruments = tuple(Instrument.parse(symbol) for symbol in frames)
    tables = {one.symbol: _bar_table(one.symbol, frames[one.symbol]) for one in instruments}
    if timeframe is None:
        timeframe = _told_timeframe(tables)
    bars = {symbol: clean_bars(table, timeframe) for symbol, table in tables.items()}
    series = [
        InstrumentData(
            one,
            bars[one.symbol],
            _funding(one.symbol, funding[one.symbol]) if one.symbol in funding else None,
            _open_interest(one.symbol, open_interest[one.symbol]) if one.symbol in open_interest else None,
        )
        for one in instruments
    ]
    aligned = align(name, timeframe, series)
    for column, one in enumerate(instruments):
        given = {"funding": one.symbol in funding, "open_interest": one.symbol in open_interest}
        _take_series(one.symbol, frames[one.symbol], aligned, column, given)
    return Framed(timeframe, instruments, aligned)


def _bar_table(symbol: str, frame: pd.DataFrame) -> RawTable:
    where = f"frame of {symbol}"
    _check_frame(where, frame)
    columns = [_column(where, frame, (wanted,)) for wanted in BASE]
    missing = [wanted for wanted, column in zip(BASE, columns, strict=True) if column is None]
    if missing:
        hint = " (NaN where it is unknown)" if missing == ["volume"] else ""
        raise MarketError(
            f"{where} has no column {missing[0]}: rename or add it{hint}; "
            f"{near_miss(missing[0], [str(column) for column in frame.columns]).replace('allowed', 'it has')}"
        )
    return _table(where, frame, [column for column in columns if column is not None], BASE)


def _check_frame(where: str, frame: Any) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise UsageError(f"{where} is a {type(frame).__name__}: give a pandas DataFrame")
    if isinstance(frame.columns, pd.MultiIndex):
        raise MarketError(f"{where} has columns of {frame.columns.nlevels} levels: give one instrument per frame")
    if frame.empty:
        raise MarketError(f"{where} is empty: leave it out or fill it")


def _column(where: str, frame: pd.DataFrame, aliases: tuple[str, ...]) -> int | None:
    """Position of the column under the first of its names; a duplicate column is refused."""
    names = [str(column).strip().lower() for column in frame.columns]
    for alias in aliases:
        if names.count(alias) > 1:
            raise MarketError(f"{where} has {names.count(alias)} columns {alias!r}: keep one")
        if alias in names:
            return names.index(alias)
    return None


def _table(where: str, frame: pd.DataFrame, columns: list[int], names: tuple[str, ...]) -> RawTable:
    time = _column(where, frame, TIMES)
    stamps = frame.index if time is None else pd.Index(frame.iloc[:, time])
    told = "index" if time is None else str(frame.columns[time])
    values = np.column_stack([_numbers(where, frame.iloc[:, column]) for column in columns])
    return RawTable(where, (told, *names), _stamps_ms(f"{where}, {told}", stamps), values, np.arange(len(frame)))


def _numbers(where: str, column: pd.Series) -> Floats:
    try:
        return np.asarray(column.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    except (TypeError, ValueError):
        for row, value in enumerate(column):
            try:
                float(value)
            except (TypeError, ValueError):
                raise MarketError(
                    f"{where} row {row}, column {column.name}: {shortened(value)} is not a number: convert the column "
                    "with pandas.to_numeric"
                ) from None
        raise


def _stamps_ms(where: str, stamps: pd.Index) -> Int64s:
    """Milliseconds of an index of aware times or epoch stamps; anything ambiguous is refused."""
    if stamps.hasnans:
        raise MarketError(f"{where}: {int(np.count_nonzero(stamps.isna()))} times are missing: drop those rows")
    if pd.api.types.is_object_dtype(stamps.dtype) or pd.api.types.is_string_dtype(stamps.dtype):
        try:
            stamps = pd.DatetimeIndex(pd.to_datetime(stamps))
        except (TypeError, ValueError):
            first = shortened(stamps[0])
            raise MarketError(
                f"{where}: {first} is not a time: convert it with pandas.to_datetime(..., utc=True)"
            ) from None
    if isinstance(stamps, pd.DatetimeIndex):
        if stamps.tz is None:
            raise MarketError(
                f"{where} has no time zone, first {stamps[0]}: say which by .tz_localize('UTC') or the zone it is in"
            )
        return np.asarray(stamps.tz_convert("UTC").as_unit("ms").asi8, dtype=np.int64)
    if pd.api.types.is_integer_dtype(stamps.dtype) and not isinstance(stamps, pd.RangeIndex):
        milliseconds = epoch_ms(np.asarray(stamps, dtype=np.int64))
        wrong = milliseconds[(milliseconds < EARLIEST_MS) | (milliseconds >= LATEST_MS)]
        if wrong.size:
            raise MarketError(
                f"{where}: {wrong[0]} is not a time from 2009 to 2100 in milliseconds: if it counts seconds, convert "
                "it with pandas.to_datetime(..., unit='s', utc=True)"
            )
        return milliseconds
    raise MarketError(
        f"{where} holds no times but {shortened(stamps[0])}: make the bar opens the index, as aware datetimes, or give "
        f"them as a column {', '.join(TIMES[:-1])} or {TIMES[-1]}"
    )


def _told_timeframe(tables: Mapping[str, RawTable]) -> str:
    """The most common step between rows, as a timeframe; it must be the same in every frame."""
    told = {symbol: _period(table.where, table.time_ms) for symbol, table in tables.items()}
    first = next(iter(told), "")
    for symbol, period in told.items():
        if period != told[first]:
            raise MarketError(
                f"frame of {symbol} has bars of {period}, that of {first} of {told[first]}: give frames of one "
                "timeframe, each market its own"
            )
    return told[first] if told else "1h"


def _period(where: str, time_ms: Int64s) -> str:
    steps = np.diff(once_in_order(time_ms))
    if steps.size == 0:
        raise MarketError(f"{where} has one time only, which gives no timeframe: give timeframe='1h' or whatever it is")
    lengths, counts = np.unique(steps, return_counts=True)
    step = int(lengths[np.argmax(counts)])
    for unit in ("w", "d", "h", "m", "s"):
        if step % UNIT_MS[unit] == 0:
            return f"{step // UNIT_MS[unit]}{unit}"
    raise MarketError(f"{where}: its rows are {step} ms apart, which is not a timeframe: check the unit of its times")


def _as_frame(what: str, given: Any, aliases: tuple[str, ...]) -> pd.DataFrame:
    if isinstance(given, pd.Series):
        return given.to_frame(name=aliases[0])
    _check_frame(what, given)
    return pd.DataFrame(given)


def _funding(symbol: str, given: pd.Series | pd.DataFrame) -> CheckedFunding:
    where = f"funding of {symbol}"
    frame = _as_frame(where, given, RATES)
    column = _column(where, frame, RATES)
    if column is None:
        raise MarketError(f"{where} has no column {RATES[0]}: it has {', '.join(map(str, frame.columns))}; rename one")
    return clean_funding(_table(where, frame, [column], RATES[:1]))


def _open_interest(symbol: str, given: Any) -> OpenInterest:
    where = f"open interest of {symbol}"
    if isinstance(given, pd.Series):
        name = str(given.name).strip().lower()
        if name not in (*COINS, *VALUES):
            raise MarketError(
                f"{where} is a series named {shortened(given.name)}: name it {COINS[0]} (in coins) or {VALUES[0]} (in "
                "the quote currency), since the two cannot be told apart"
            )
        given = given.to_frame(name=name)
    _check_frame(where, given)
    coins, value = (_column(where, given, aliases) for aliases in (COINS, VALUES))
    if coins is None and value is None:
        raise MarketError(
            f"{where} has neither column {COINS[0]} (in coins) nor {VALUES[0]} (in the quote currency): it has "
            f"{', '.join(map(str, given.columns))}; rename one"
        )
    there = [column for column in (coins, value) if column is not None]
    table = _table(where, given, there, (COINS[0], VALUES[0])[: len(there)])
    absent = np.full((len(given), 1), np.nan)
    both = np.hstack([absent, table.values] if coins is None else [table.values, absent])[:, :2]
    table = RawTable(where, (table.columns[0], COINS[0], VALUES[0]), table.time_ms, both, table.numbers)
    return clean_open_interest(table, _period(where, table.time_ms))


def _take_series(symbol: str, frame: pd.DataFrame, aligned: Aligned, column: int, given: Mapping[str, bool]) -> None:
    """Write the declared series of a bar frame into the panels of its column."""
    where = f"frame of {symbol}"
    held = {name: place for name in SERIES if (place := _column(where, frame, (name,))) is not None}
    if not held:
        return
    table = _table(where, frame, list(held.values()), tuple(held))
    rows = np.searchsorted(aligned.open_ms, table.time_ms)
    inside = (rows < aligned.open_ms.size) & (table.time_ms >= aligned.open_ms[0])
    for place, name in enumerate(held):
        if given.get(name):
            raise UsageError(f"{name} of {symbol} is given twice, as a column of its bars and by itself: keep one")
        values = aligned.panels.setdefault(name, np.full_like(aligned.panels["close"], np.nan))
        values[rows[inside], column] = table.values[inside, place]
