"""Expressions that measure a market, as in `move('ZEC', '2025-09-30', '2025-10-01')`, for figures that an article
prints.

An expression is numbers, `+ - * /`, and the functions below; nothing else is executed. A day is a UTC day,
`YYYY-MM-DD`; windows of two days hold both. A coin means its swap if there is one, or the symbol given in full. If the
market lacks what is asked for, or a bar in the window is missing, nothing is measured and the reason is given.
"""

from __future__ import annotations

import ast
import math
import operator
import statistics
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.base.errors import DataError, near_miss, shortened
from backtest.base.units import DAY_MS, format_ms, to_ms

if TYPE_CHECKING:
    from backtest.market.auxiliary import AuxiliarySeries
    from backtest.market.record import Floats, Market

LONGEST = 500
PRICES = ("open", "high", "low", "close")
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}


@dataclass(frozen=True, slots=True)
class MeasuredValue:
    """A value, and the window of the data that it was taken from; the window is empty where no bar was read.

    `reconstructed` names what was read from a series that the market declares as invented, such as `prices of
    RAIL/USDT:USDT`.
    """

    value: float
    window: str
    reconstructed: tuple[str, ...] = ()


@dataclass(slots=True)
class Tape:
    """Reads one market, and records the first and last instant read, and which series read were reconstructed."""

    market: Market | None
    series_by_name: Mapping[str, AuxiliarySeries] = field(default_factory=dict)
    first_ms: int | None = None
    last_ms: int | None = None
    reconstructed: dict[str, None] = field(default_factory=dict)

    def open(self, coin: str, day: str) -> float:
        """Open of the day's first bar."""
        return float(self._bars("open", coin, day, day)[0])

    def close(self, coin: str, day: str) -> float:
        """Close of the day's last bar."""
        return float(self._bars("close", coin, day, day)[-1])

    def high(self, coin: str, first: str, last: str | None = None) -> float:
        """Highest price."""
        return float(self._bars("high", coin, first, last).max())

    def low(self, coin: str, first: str, last: str | None = None) -> float:
        """Lowest price."""
        return float(self._bars("low", coin, first, last).min())

    def highest_close(self, coin: str, first: str, last: str | None = None) -> float:
        """Highest close of a bar."""
        return float(self._bars("close", coin, first, last).max())

    def lowest_close(self, coin: str, first: str, last: str | None = None) -> float:
        """Lowest close of a bar."""
        return float(self._bars("close", coin, first, last).min())

    def days_until_above(self, level: float, coin: str, first: str, last: str) -> float:
        """Days from the start of the first day to the day of the first high at or above a level, from 0."""
        highs = self._bars("high", coin, first, last)
        above = np.flatnonzero(highs >= level)
        if not above.size:
            raise DataError(f"{coin} is not at {level:g} from {first} to {last}")
        return float(int(above[0]) * self._market().bar_ms // DAY_MS)

    def snapshot_move(self, coin: str, first: str, last: str) -> float:
        """Move from the price at 00:00 UTC of one day to that of another, share of the first."""
        return self.open(coin, last) / self.open(coin, first) - 1.0

    def move(self, coin: str, first: str, last: str) -> float:
        """Move from the close of one day to the close of another, share of the first."""
        return self.close(coin, last) / self.close(coin, first) - 1.0

    def farthest(self, coin: str, first: str, last: str) -> float:
        """Largest distance of any close from the window's first open, share of it."""
        start = self.open(coin, first)
        return float(np.abs(self._bars("close", coin, first, last) / start - 1.0).max())

    def days_low_to_high(self, coin: str, first: str, last: str) -> float:
        """Days from the lowest price to the highest; negative where the highest was first."""
        lows, highs = self._bars("low", coin, first, last), self._bars("high", coin, first, last)
        return float((int(highs.argmax()) - int(lows.argmin())) * self._market().bar_ms / DAY_MS)

    def turnover(self, coin: str, first: str, last: str | None = None, kind: str = "swap") -> float:
        """Volume times close, summed, quote currency; `kind` is swap, spot or all (both)."""
        return float(sum(self._daily(coin, first, last, kind)))

    def mean_turnover(self, coin: str, first: str, last: str, kind: str = "swap") -> float:
        """Mean over the days of the window."""
        return statistics.fmean(self._daily(coin, first, last, kind))

    def highest_turnover(self, coin: str, first: str, last: str, kind: str = "swap") -> float:
        """Largest of any day of the window."""
        return max(self._daily(coin, first, last, kind))

    def interest(self, coin: str, day: str) -> float:
        """Open interest known at the day's last close, quote currency."""
        return float(self._bars("open_interest", coin, day, day)[-1])

    def highest_interest(self, coin: str, first: str, last: str | None = None) -> float:
        """Highest open interest known at any close."""
        return float(self._bars("open_interest", coin, first, last).max())

    def funding(self, coin: str, first: str, last: str | None = None) -> float:
        """Sum of the funding rates settled."""
        return float(self._bars("funding", coin, first, last).sum())

    def days(self, first: str, last: str) -> float:
        """Days from one date to another."""
        start, end = _day_ms(first), _day_ms(last)
        self._note(min(start, end), max(start, end) + DAY_MS)
        return (end - start) / DAY_MS

    def series(self, name: str, day: str) -> float:
        """Last reading of a supplied series that was available when the day ended."""
        if name not in self.series_by_name:
            raise DataError(f"no series {name!r}: supply one with `series {name}=FILE.csv`")
        end = _day_ms(day) + DAY_MS
        value = float(self.series_by_name[name].at([end])[0])
        if math.isnan(value):
            raise DataError(f"series {name!r} has no reading that was available by {format_ms(end)}")
        self._note(end - DAY_MS, end)
        return value

    def _market(self) -> Market:
        if self.market is None:
            raise DataError("a measure of a market stands where only numbers may")
        return self.market

    def _note(self, start: int, end: int) -> None:
        self.first_ms = start if self.first_ms is None else min(self.first_ms, start)
        self.last_ms = end if self.last_ms is None else max(self.last_ms, end)

    def _column(self, coin: str, kind: str | None = None) -> int:
        market = self._market()
        found = market.symbols.index(coin) if coin in market.symbols else market.column_of(coin, kind)  # type: ignore[arg-type]
        if found is None:
            raise DataError(f"market {market.provenance.name!r} has no {kind or 'bars'} of {coin}")
        return found

    def _bars(self, panel: str, coin: str, first: str, last: str | None, kind: str | None = None) -> Floats:
        market, column = self._market(), self._column(coin, kind)
        start, end = _day_ms(first), _day_ms(last or first) + DAY_MS
        if end <= start:
            raise DataError(f"window {first} to {last} ends before it starts")
        if start < market.start_ms or end > market.end_ms:
            raise DataError(
                f"market {market.provenance.name!r} runs from {format_ms(market.start_ms)} to "
                f"{format_ms(market.end_ms)} and does not cover {first} to {last or first}"
            )
        values = getattr(market, panel)[market.bar_at_or_after(start) : market.bar_at_or_after(end), column]
        missing = int(np.isnan(values).sum())
        if missing or not len(values):
            what = panel.replace("_", " ")
            raise DataError(f"{what} of {market.symbols[column]} is unknown in {missing} of {len(values)} bars")
        self._note(start, end)
        self._note_origin(market, market.symbols[column], "prices" if panel in PRICES else panel)
        return np.asarray(values, dtype=np.float64)

    def _note_origin(self, market: Market, symbol: str, series: str) -> None:
        if any((one.symbol, one.series) == (symbol, series) and one.label for one in market.provenance.origins):
            self.reconstructed[f"{series.replace('_', ' ')} of {symbol}"] = None

    def _daily(self, coin: str, first: str, last: str | None, kind: str) -> list[float]:
        kinds = ("swap", "spot") if kind == "all" else (kind,)
        money = sum(
            self._bars("volume", coin, first, last, one) * self._bars("close", coin, first, last, one) for one in kinds
        )
        day = DAY_MS // self._market().bar_ms
        return [float(part) for part in np.add.reduceat(money, np.arange(0, len(np.atleast_1d(money)), max(day, 1)))]


FUNCTIONS = tuple(name for name in vars(Tape) if not name.startswith("_") and callable(getattr(Tape, name)))
_OF_NUMBERS: dict[str, Callable[..., float]] = {
    "mean": lambda *values: statistics.fmean(values),
    "median": lambda *values: float(statistics.median(values)),
    "max": max,
    "min": min,
    "abs": abs,
}


def measure(expression: str, market: Market | None, series: Mapping[str, AuxiliarySeries]) -> MeasuredValue:
    """Value of an expression on a market (None: of numbers alone), with the window that was read.

    Raises
    ------
    DataError
        Where the expression is malformed, or the data do not hold what it asks for.
    """
    tape = Tape(market, series)
    try:
        value = _value(parse(expression), tape, expression)
        finite = not isinstance(value, str) and math.isfinite(value)
    except (OverflowError, RecursionError):
        raise DataError(f"{expression!r} is too large or nests too deep to compute: simplify it") from None
    if not finite:
        raise DataError(f"{expression!r} is {shortened(value)}, not a finite number")
    window = "" if tape.first_ms is None or tape.last_ms is None else (
        f"{_day(tape.first_ms)} to {_day(tape.last_ms - 1)}"
    )  # fmt: skip
    return MeasuredValue(float(value), window, tuple(tape.reconstructed))


def parse(expression: str) -> ast.expr:
    """Syntax tree of an expression; anything but numbers, texts, operators and the functions is a `DataError`."""
    if len(expression) > LONGEST:
        raise DataError(
            f"{shortened(expression)} has {len(expression)} letters, at most {LONGEST} are read: simplify it"
        )
    try:
        with warnings.catch_warnings():
            # What Python would say of an odd escape or comparison is for programs.
            warnings.simplefilter("ignore")
            tree = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError) as problem:
        raise DataError(f"{expression!r} is not an expression: {problem}") from None
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            known = {*FUNCTIONS, *_OF_NUMBERS}
            if not isinstance(node.func, ast.Name) or node.func.id not in known:
                name = ast.unparse(node.func)
                raise DataError(f"{expression!r}: function {name!r} is unknown; {near_miss(name, known)}")
        elif not isinstance(
            node,
            (ast.BinOp, ast.UnaryOp, ast.Constant, ast.Name, ast.keyword, ast.Load, *_OPERATORS),
        ) or (isinstance(node, ast.Name) and id(node) not in called):
            raise DataError(f"{expression!r}: {ast.unparse(node)!r} is neither a number nor an operation on numbers")
    return tree


def _value(node: ast.AST, tape: Tape, whole: str) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float, str):
        return node.value
    if isinstance(node, ast.BinOp | ast.UnaryOp) and type(node.op) in _OPERATORS:
        parts = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.operand,)
        values = [_value(part, tape, whole) for part in parts]
        try:
            # A text times a number would be a text of any length.
            if any(isinstance(value, str) for value in values):
                raise TypeError("a text is not a number")
            return _OPERATORS[type(node.op)](*values)
        except (ArithmeticError, TypeError) as problem:
            raise DataError(f"{whole!r} cannot be computed: {problem}") from None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        values = [_value(part, tape, whole) for part in node.args]
        named = {str(one.arg): _value(one.value, tape, whole) for one in node.keywords}
        function = _OF_NUMBERS.get(node.func.id) or getattr(tape, node.func.id)
        try:
            return function(*values, **named)
        except (TypeError, ValueError, ArithmeticError, AttributeError) as problem:
            raise DataError(f"{whole!r} cannot be computed: {problem}") from None
    raise DataError(f"{whole!r}: {ast.unparse(node)!r} is neither a number nor an operation on numbers")


def _day_ms(day: str) -> int:
    try:
        return to_ms(datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC))
    except (TypeError, ValueError):
        raise DataError(f"{shortened(day)} is not a day: write 2025-10-01") from None


def _day(moment_ms: int) -> str:
    return format_ms(moment_ms)[:10]
