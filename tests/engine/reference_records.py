"""Records of the reference replay: what is wished for, held, filled and closed; prices unsigned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from backtest.engine import layout as codes
from backtest.engine.layout import Fill, Orders, Trade


@dataclass
class Wish:
    """One intent after the shift; levels are None where absent."""

    number: int
    column: int
    long: bool
    weight: float
    earliest: int
    latest: int
    exit_row: int
    hold: int
    stop_loss: float | None
    take_profit: float | None
    trailing_stop: float | None
    activation: float | None
    notional: float | None
    limit: float | None
    stop_entry: float | None
    group: int | None


@dataclass
class Arrival:
    """Where a resting order fills: a row, a price, and whether as maker and inside the bar."""

    row: int
    price: float
    maker: bool
    inside: bool


@dataclass(eq=False)
class Position:
    """What is held in one instrument."""

    wish: Wish
    entry: Fill
    margin: float
    peak: float
    coefficient: float
    time_row: int
    signal_row: int
    funding: float = 0.0
    unknown_funding_bars: int = 0
    left_behind: bool = False
    leaves_at_close: bool = False
    arrival: Arrival | None = None

    @property
    def long(self) -> bool:
        return self.wish.long

    def profit(self, price: float) -> float:
        if self.long:
            return self.entry.quantity * (price - self.entry.price)
        return self.entry.quantity * (self.entry.price - price)

    def worth(self, mark: float) -> float:
        return max(self.margin + self.profit(mark), 0.0)

    def stop(self) -> float | None:
        share = self.wish.stop_loss
        if share is None:
            return None
        return self.entry.price * (1 - share) if self.long else self.entry.price * (1 + share)

    def target(self) -> float | None:
        share = self.wish.take_profit
        if share is None:
            return None
        return self.entry.price * (1 + share) if self.long else self.entry.price * (1 - share)

    def activation(self) -> float | None:
        """Price from which the trailing stop follows; None for any."""
        share = self.wish.activation
        if share is None:
            return None
        return self.entry.price * (1 + share) if self.long else self.entry.price * (1 - share)

    def trail(self, peak: float) -> float | None:
        share, activation = self.wish.trailing_stop, self.activation()
        if share is None or (activation is not None and not self.gains_at(peak, activation)):
            return None
        return peak * (1 - share) if self.long else peak * (1 + share)

    def liquidation(self, maintenance: float) -> float:
        per_unit = self.margin / self.entry.quantity
        if self.long:
            return (self.entry.price - per_unit) / (1 - maintenance)
        return (self.entry.price + per_unit) / (1 + maintenance)

    def raised(self, peak: float, high: float, low: float) -> float:
        return max(peak, high) if self.long else min(peak, low)

    def adverse(self, peak: float, maintenance: float) -> list[tuple[int, float]]:
        """Reason and price of each adverse level, in the order that breaks ties."""
        levels = [
            (codes.LIQUIDATION, self.liquidation(maintenance)),
            (codes.STOP_LOSS, self.stop()),
            (codes.TRAILING_STOP, self.trail(peak)),
        ]
        return [(reason, level) for reason, level in levels if level is not None]

    def loses_at(self, price: float, level: float) -> bool:
        return price <= level if self.long else price >= level

    def gains_at(self, price: float, level: float | None) -> bool:
        if level is None:
            return False
        return price >= level if self.long else price <= level


@dataclass
class Exit:
    """Where a path leaves a bar."""

    reason: int
    price: float


@dataclass
class Record:
    """What one replay leaves behind; `fault` is the row and column of the first unknown funding rate, or None."""

    equity: list[float] = field(default_factory=list)
    funding: list[float] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    verdicts: list[int] = field(default_factory=list)
    statistics: dict[str, float] = field(default_factory=dict)
    fault: tuple[int, int] | None = None


def wishes_of(orders: Orders, variation: int, rows: int) -> list[Wish]:
    """Intents of one variation, moved by its shift around the circle of bars."""

    def one(name: str, intent: int) -> float:
        table = getattr(orders, name)
        return float(table[variation if len(table) > 1 else 0, intent])

    def level(name: str, intent: int) -> float | None:
        share = one(name, intent)
        return None if math.isnan(share) else share

    shift = int(orders.shift[variation if len(orders.shift) > 1 else 0])
    wishes = []
    for intent in range(orders.column.shape[1]):
        earliest, exit_row = int(one("earliest", intent)), int(one("exit_row", intent))
        moved = (earliest + shift) % rows if earliest < rows else earliest
        group = int(one("group", intent))
        wishes.append(
            Wish(
                number=intent,
                column=int(one("column", intent)),
                long=one("side", intent) > 0,
                weight=one("weight", intent),
                earliest=moved,
                latest=moved + int(one("latest", intent)) - earliest,
                exit_row=exit_row if exit_row == codes.NEVER else moved + exit_row - earliest,
                hold=int(one("hold", intent)),
                stop_loss=level("stop_loss", intent),
                take_profit=level("take_profit", intent),
                trailing_stop=level("trailing_stop", intent),
                activation=level("activation", intent),
                notional=level("notional", intent),
                limit=level("limit", intent),
                stop_entry=level("stop_entry", intent),
                group=group if group >= 0 else None,
            )
        )
    return wishes
