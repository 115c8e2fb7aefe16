"""Records of the reference replay: what is wished for, held, filled and closed; prices unsigned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from backtest.engine import layout as codes
from backtest.engine.layout import Fill, Trade
from backtest.engine.variations import Orders


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
    second_trailing_stop: float | None
    second_activation: float | None
    break_even: float | None
    late_take_profit: float | None
    late: int
    notional: float | None
    limit: float | None
    stop_entry: float | None
    group: int | None
    order: int | None = None


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
    late: bool = False
    rests: bool = False
    tick: float = 0.0
    parts: float = 1.0
    tiers: tuple[tuple[float, float], ...] = ()
    on_mark: tuple[int, ...] = ()
    parts_left: list[Fill] = field(default_factory=list)
    leaving: int | None = None
    crossed: bool = False

    @property
    def held(self) -> float:
        return self.entry.quantity - sum(fill.quantity for fill in self.parts_left)

    @property
    def long(self) -> bool:
        return self.wish.long

    def profit(self, price: float) -> float:
        if self.long:
            return self.held * (price - self.entry.price)
        return self.held * (self.entry.price - price)

    def worth(self, mark: float) -> float:
        return max(self.margin + self.profit(mark), 0.0)

    def stop(self) -> float | None:
        share = self.wish.stop_loss
        if share is None or self.leaving is not None:
            return None
        return on_tick(self.at_gain(-share), self.tick, up=not self.long)

    def at_gain(self, share: float) -> float:
        return self.entry.price * (1 + share) if self.long else self.entry.price * (1 - share)

    def target(self) -> float | None:
        share = self.wish.late_take_profit if self.late else self.wish.take_profit
        if share is None or self.leaving is not None:
            return None
        level = on_tick(self.at_gain(share), self.tick, up=self.long)
        # A limit that rests must be traded through: the next number is the least move there is.
        return math.nextafter(level, math.inf if self.long else -math.inf) if self.rests else level

    def activation(self) -> float | None:
        """Price from which the trailing stop follows; None for any."""
        share = self.wish.activation
        if share is None:
            return None
        return self.entry.price * (1 + share) if self.long else self.entry.price * (1 - share)

    @property
    def follows(self) -> bool:
        wish = self.wish
        stages = (wish.trailing_stop, wish.second_trailing_stop, wish.break_even)
        return self.leaving is None and any(one is not None for one in stages)

    def stages(self) -> list[tuple[float | None, float | None]]:
        """Peak from which each stage holds (None: any), and its distance from the peak (None: at the fill)."""
        wish = self.wish
        found: list[tuple[float | None, float | None]] = []
        if self.leaving is not None:
            return found
        if wish.trailing_stop is not None:
            found.append((self.activation(), wish.trailing_stop))
        if wish.second_trailing_stop is not None and wish.second_activation is not None:
            found.append((self.at_gain(wish.second_activation), wish.second_trailing_stop))
        if wish.break_even is not None:
            found.append((self.at_gain(wish.break_even), None))
        return found

    def stage_level(self, distance: float | None, peak: float) -> float:
        if distance is None:
            return self.entry.price
        return peak * (1 - distance) if self.long else peak * (1 + distance)

    def trail(self, peak: float) -> float | None:
        """The nearest of the stages that hold at a peak."""
        levels = [
            self.stage_level(distance, peak)
            for begins, distance in self.stages()
            if begins is None or self.gains_at(peak, begins)
        ]
        if not levels:
            return None
        return max(levels) if self.long else min(levels)

    def liquidation(self, maintenance: float) -> float:
        """Where equity of the position meets the maintenance margin of the tier that its notional there is in."""
        if self.crossed:
            return -math.inf if self.long else math.inf
        if not self.tiers:
            return self.liquidation_at(maintenance, 0.0)
        levels = [self.liquidation_at(rate, deduction) for rate, deduction in self.tiers]

        def short(price: float) -> float:
            """What is missing at a price: the margin that the dearest tier asks for, less what there is."""
            notional = self.held * price
            return max(rate * notional - less for rate, less in self.tiers) - self.margin - self.profit(price)

        return min(levels, key=lambda price: abs(short(price)))

    def liquidation_at(self, rate: float, deduction: float) -> float:
        per_unit = (self.margin + deduction) / self.held
        if self.long:
            return (self.entry.price - per_unit) / (1 - rate)
        return (self.entry.price + per_unit) / (1 + rate)

    def raised(self, peak: float, high: float, low: float) -> float:
        return max(peak, high) if self.long else min(peak, low)

    def adverse(self, peak: float, maintenance: float) -> list[tuple[int, float]]:
        """Reason and price of each adverse level, in the order that breaks ties."""
        levels = [
            (codes.LIQUIDATION, self.liquidation(maintenance)),
            (codes.STOP_LOSS, self.stop()),
            (codes.TRAILING_STOP, self.trail(peak)),
        ]
        return [(reason, level) for reason, level in levels if level is not None and reason not in self.on_mark]

    def marked(self, maintenance: float) -> list[tuple[int, float]]:
        """Reason and price of each level that the mark price triggers, in the order that breaks ties."""
        levels = [(codes.LIQUIDATION, self.liquidation(maintenance)), (codes.STOP_LOSS, self.stop())]
        return [(reason, level) for reason, level in levels if level is not None and reason in self.on_mark]

    def loses_at(self, price: float, level: float) -> bool:
        return price <= level if self.long else price >= level

    def gains_at(self, price: float, level: float | None) -> bool:
        if level is None:
            return False
        return price >= level if self.long else price <= level


def on_tick(price: float, tick: float, *, up: bool) -> float:
    """The next price on the grid, up or down."""
    if tick == 0:
        return price
    steps = price / tick
    near = round(steps)
    if abs(steps - near) < codes.SAME_STEP:
        return near * tick
    return (math.ceil(steps) if up else math.floor(steps)) * tick


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
                second_trailing_stop=level("second_trailing_stop", intent),
                second_activation=level("second_activation", intent),
                break_even=level("break_even", intent),
                late_take_profit=level("late_take_profit", intent),
                late=int(one("late", intent)),
                notional=level("notional", intent),
                limit=level("limit", intent),
                stop_entry=level("stop_entry", intent),
                group=group if group >= 0 else None,
                order=group if group < -1 else None,
            )
        )
    return wishes
