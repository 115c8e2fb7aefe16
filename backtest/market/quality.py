"""Checks and repairs of raw bars, funding and open-interest rows: the same for every source.

Refused with a `MarketError` that names the source, the line or row, and the column:

    a time outside 2009..2100; a bar off the grid of its timeframe; rows not spaced as the file name says
    a price that is missing beside others that are there, infinite, zero or negative
    a high below the low; an open or close outside [low, high]
    a volume or open interest that is negative or infinite; a volume without prices
    a funding rate of 100 % or more
    two different rows with the same time

Repaired, in a sentence that counts the rows and names the first:

    exact duplicates               the first is kept
    rows out of order              sorted by time
    a time without any price       dropped: the bar is missing, which is NaN in a Market
    an empty volume                kept as NaN
    an empty funding rate          kept as NaN: that settlement is unknown, not zero
    an empty open-interest sample  dropped: what was known before it goes stale

Nothing else is changed, except that funding times are snapped to the minute (see `snap`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from backtest.base.errors import MarketError
from backtest.base.units import DAY_MS, format_ms, timeframe_ms
from backtest.market.instrument import Flags, Floats

Int64s = npt.NDArray[np.int64]

EARLIEST_MS = 1_230_768_000_000
LATEST_MS = 4_102_444_800_000
MINUTE_MS = 60_000
SNAP_MS = 5_000


@dataclass(frozen=True, slots=True, eq=False)
class RawTable:
    """Raw rows of one file or page: numbers in named columns, not yet checked.

    Attributes
    ----------
    where : str
        Name of the source in errors.
    columns : tuple of 1 + K names
        The time column, then the value columns, as the source spells them.
    time_ms : (R,) int64, UTC
    values : (R, K) float64
        NaN for an empty cell.
    numbers : (R,) int64
        Line (the header is line 1) or row (the first is row 0) of each, by `unit`.
    repairs : tuple of sentences
        Repairs made by the reader.
    """

    where: str
    columns: tuple[str, ...]
    time_ms: Int64s
    values: Floats
    numbers: Int64s
    unit: Literal["line", "row"] = "row"
    repairs: tuple[str, ...] = ()

    def take(self, rows: Int64s | Flags, *repairs: str) -> RawTable:
        """The same table with the given rows only, and the given repairs added."""
        if rows.dtype == np.bool_ and rows.all():
            return replace(self, repairs=self.repairs + repairs) if repairs else self
        return replace(
            self,
            time_ms=self.time_ms[rows],
            values=self.values[rows],
            numbers=self.numbers[rows],
            repairs=self.repairs + repairs,
        )

    def error(self, row: int, column: int, what: str) -> MarketError:
        """The error about one cell; column 0 is the time.

        `{value}` in `what` is the cell itself, `{0}` the time and `{1}` to `{K}` the values of its row.
        """
        cells = (_instant(int(self.time_ms[row])), *(str(float(value)) for value in self.values[row]))
        place = f"{self.where} {self.unit} {self.numbers[row]}, column {self.columns[column]}"
        return MarketError(f"{place}: {what.format(*cells, value=cells[column])}")

    def refuse(self, wrong: Flags, column: int, what: str) -> None:
        """Raise `error` about the first row where `wrong` holds."""
        if wrong.any():
            raise self.error(int(np.argmax(wrong)), column, what)

    def sentences(self, rows: Flags, noun: str, done: str) -> tuple[str, ...]:
        """One sentence about the marked rows; none if no row is marked."""
        count = int(rows.sum())
        if count == 0:
            return ()
        first = int(np.flatnonzero(rows)[np.argmin(self.numbers[rows])])
        place = f"{self.unit} {self.numbers[first]} ({format_ms(int(self.time_ms[first]))})"
        return (f"{count} {noun}{'s' if count > 1 else ''} {done}, first at {place}",)


@dataclass(frozen=True, slots=True, eq=False)
class CheckedBars:
    """Bars of one instrument in order of time, without duplicates; a missing bar has no row.

    `open_ms` (n,) int64; `open`, `high`, `low`, `close` (n,) quote currency, never NaN; `volume` (n,) base
    currency, NaN where unknown.
    """

    open_ms: Int64s
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CheckedFunding:
    """Funding settlements of one swap in order of time, without duplicates.

    `settled_ms` (m,) int64, snapped (see `snap`); `rate` (m,) share of notional that longs pay, NaN for a settlement
    with an unknown rate.
    """

    settled_ms: Int64s
    rate: Floats
    repairs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class OpenInterest:
    """Open-interest samples of one instrument in order of time, without duplicates.

    `sampled_ms` (k,) int64: a sample is known one `period_ms` later. `coins` (k,) base currency and `value`
    (k,) quote notional: NaN if the source has only the other one, never both.
    """

    sampled_ms: Int64s
    period_ms: int
    coins: Floats
    value: Floats
    repairs: tuple[str, ...] = ()


def epoch_ms(stamps: Int64s) -> Int64s:
    """Milliseconds of epoch stamps in milli-, micro- or nanoseconds, distinguished by magnitude in each row.

    Rounded down. A stamp that is not a time in 2009..2100 in any of the three units (one in seconds, for example) is
    returned unchanged, for the clean functions to refuse.
    """
    milliseconds = stamps.copy()
    for units in (1_000, 1_000_000):
        rows = (stamps >= EARLIEST_MS * units) & (stamps < LATEST_MS * units)
        milliseconds[rows] = stamps[rows] // units
    return milliseconds


def snap(stamps_ms: Int64s) -> Int64s:
    """Stamps within 5 seconds of a full minute, moved onto it; others unchanged.

    Venues stamp a funding settlement when their job has run: the one of 08:00 reads 08:00:00.002. It belongs
    to the bar that closes at 08:00; without snapping, positions open an hour later would be charged.
    """
    minute = (stamps_ms + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS
    return np.where(np.abs(stamps_ms - minute) <= SNAP_MS, minute, stamps_ms)


def once_in_order(times: Int64s) -> Int64s:
    """Each time once, in order; times that are already so, as nearly all are, cost one comparison each."""
    return times if (times[1:] > times[:-1]).all() else np.unique(times)


def clean_bars(table: RawTable, timeframe: str) -> CheckedBars:
    """Bars of a table of open, high, low, close and volume, checked and repaired by the rules of this module.

    Raises
    ------
    MarketError
        Naming source, row and column of the first cell that is refused, or if no bar is left.
    """
    _check_time(table)
    _check_grid(table, timeframe)
    table = _drop_bars_without_prices(table)
    _check_bars(table)
    table = _ordered(table)
    _check_spacing(table, timeframe)
    unknown = table.sentences(np.isnan(table.values[:, 4]), "empty volume", "kept as unknown")
    open_, high, low, close, volume = table.values.T
    return CheckedBars(table.time_ms, open_, high, low, close, volume, table.repairs + unknown)


def clean_price_bars(table: RawTable, timeframe: str, *, positive: bool) -> RawTable:
    """Table of open, high, low and close at which nothing trades (mark, index, premium), checked as bars are.

    `positive` if every price must be above zero, which a premium need not be. Raises as `clean_bars` does.
    """
    _check_time(table)
    _check_grid(table, timeframe)
    table = _drop_bars_without_prices(table)
    _check_prices(table, positive=positive)
    table = _ordered(table)
    _check_spacing(table, timeframe)
    return table


def clean_ratios(table: RawTable, period: str) -> RawTable:
    """Table of ratios of any number of columns, none negative or infinite, NaN where unknown; raises as above."""
    _check_time(table)
    for column, amounts in enumerate(table.values.T, start=1):
        table.refuse(
            (amounts < 0) | np.isinf(amounts), column, "ratio {value} is negative or infinite: fix or empty it"
        )
    table = _ordered(table)
    _check_spacing(table, period)
    return table


def clean_funding(table: RawTable) -> CheckedFunding:
    """Settlements of a table of one column, the rate, checked and repaired by the rules of this module.

    Raises
    ------
    MarketError
        Naming source, row and column of the first cell that is refused.
    """
    _check_time(table)
    table.refuse(
        np.abs(table.values[:, 0]) >= 1,
        1,
        "a funding rate of {value} is 100% or more: write a share of notional, as in 0.0001",
    )
    table = _ordered(replace(table, time_ms=snap(table.time_ms)))
    rate = table.values[:, 0]
    unknown = table.sentences(np.isnan(rate), "empty funding rate", "kept as unknown")
    return CheckedFunding(table.time_ms, rate, table.repairs + unknown)


def clean_open_interest(table: RawTable, period: str) -> OpenInterest:
    """Samples of a table of coins and value, either of which may be NaN, checked and repaired as above.

    Raises
    ------
    MarketError
        Naming source, row and column of the first cell that is refused.
    """
    _check_time(table)
    for column, amounts in enumerate(table.values.T, start=1):
        table.refuse(
            (amounts < 0) | np.isinf(amounts),
            column,
            "open interest {value} is negative or infinite: fix or empty it",
        )
    empty = np.isnan(table.values[:, 0]) & np.isnan(table.values[:, 1])
    sentences = table.sentences(empty, "empty open-interest sample", "dropped")
    table = _ordered(table.take(~empty, *sentences))
    _check_spacing(table, period)
    coins, value = table.values.T
    return OpenInterest(table.time_ms, timeframe_ms(period), coins, value, table.repairs)


def _check_time(table: RawTable) -> None:
    wrong = (table.time_ms < EARLIEST_MS) | (table.time_ms >= LATEST_MS)
    if wrong.any():
        row = int(np.argmax(wrong))
        place = f"{table.where} {table.unit} {table.numbers[row]}, column {table.columns[0]}"
        raise MarketError(
            f"{place}: {table.time_ms[row]} is not a time from 2009 to 2100: write epoch milliseconds "
            "(microseconds and nanoseconds are understood too, seconds are not)"
        )


def _check_grid(table: RawTable, timeframe: str) -> None:
    bar_ms = timeframe_ms(timeframe)
    phase = table.time_ms % bar_ms
    anchor = 0
    if bar_ms > DAY_MS and phase.size:
        # Venues choose the day on which weekly and three-day bars start: take the most common one.
        phases, counts = np.unique(phase, return_counts=True)
        common = int(phases[np.argmax(counts)])
        anchor = common if common % DAY_MS == 0 else 0
    table.refuse(
        phase != anchor,
        0,
        f"{{value}} is off the {timeframe} grid: stamp each bar with its open, a whole multiple of {timeframe}",
    )


def _check_spacing(table: RawTable, period: str) -> None:
    steps = np.diff(table.time_ms)
    period_ms = timeframe_ms(period)
    if steps.size < 2:
        return
    usual_ms = float(np.median(steps))
    if steps.min() > 1.5 * period_ms or usual_ms < period_ms / 1.5:
        raise MarketError(
            f"{table.where}: its rows are {usual_ms / MINUTE_MS:g} minutes apart, but it is said to hold "
            f"{period}: name it after its own period"
        )


def _drop_bars_without_prices(table: RawTable) -> RawTable:
    empty = np.logical_and.reduce([np.isnan(price) for price in table.values.T[:4]])
    for volume in table.values[:, 4:].T:
        table.refuse(
            empty & (volume != 0) & ~np.isnan(volume),
            5,
            "volume {value} stands in a bar without prices: fill them in or drop the row",
        )
    sentences = table.sentences(empty, "row", "without prices dropped (a missing bar)")
    table = table.take(~empty, *sentences)
    if table.time_ms.size == 0:
        raise MarketError(f"{table.where} holds no bar: fetch it again, or drop it")
    return table


def _check_bars(table: RawTable) -> None:
    _check_prices(table, positive=True)
    volume = table.values[:, 4]
    table.refuse((volume < 0) | np.isinf(volume), 5, "volume {value} is negative or infinite: fix or empty it")


def _check_prices(table: RawTable, *, positive: bool) -> None:
    open_, high, low, close = table.values.T[:4]
    for column, price in enumerate((open_, high, low, close), start=1):
        table.refuse(np.isnan(price), column, "the price is missing: fill it in, or empty the whole bar")
        wrong = np.isinf(price) | (positive and price <= 0)
        table.refuse(wrong, column, "price {value} is not positive and finite: fix the row")
    table.refuse(high < low, 2, "high {2} is below low {3}: fix the row")
    for column, price in ((1, open_), (4, close)):
        table.refuse(
            (price < low) | (price > high),
            column,
            "{value} is outside [low, high] = [{3}, {2}]: fix the row",
        )


def _ordered(table: RawTable) -> RawTable:
    if (table.time_ms[1:] > table.time_ms[:-1]).all():
        return table
    order = np.argsort(table.time_ms, kind="stable")
    time, values = table.time_ms[order], table.values[order]
    repeated = np.zeros(time.size, dtype=np.bool_)
    repeated[1:] = time[1:] == time[:-1]
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    conflicts = np.flatnonzero(repeated[1:] & ~same.all(axis=1))
    if conflicts.size:
        pair = int(conflicts[0])
        kept, other = int(order[pair]), int(order[pair + 1])
        column = int(np.argmin(same[pair]))
        raise table.error(
            other,
            column + 1,
            f"{{value}} contradicts {float(table.values[kept, column])} at {table.unit} {table.numbers[kept]}, "
            "both for {0}: keep one of the two rows",
        )
    duplicates = np.zeros(time.size, dtype=np.bool_)
    duplicates[order[repeated]] = True
    table = table.take(~duplicates, *table.sentences(duplicates, "exact duplicate row", "dropped"))
    late = table.time_ms < np.maximum.accumulate(table.time_ms)
    return table.take(
        np.argsort(table.time_ms, kind="stable"), *table.sentences(late, "row", "out of order sorted by time")
    )


def _instant(moment_ms: int) -> str:
    milliseconds = moment_ms % 1000
    return format_ms(moment_ms) + (f" and {milliseconds} ms" if milliseconds else "")
