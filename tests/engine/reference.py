"""The replay rules once more, slow and obvious: the reference the kernel is held against.

Written from the rules as stated, not from the kernel. Prices stay unsigned, longs and shorts have branches of their
own, every bar is walked and every list is rebuilt where that is plainer.
"""

from __future__ import annotations

import itertools
import math

from backtest.engine import layout as codes
from backtest.engine.layout import Bars, Fill, Rules, Trade
from backtest.engine.variations import Orders
from tests.engine.reference_cross import Planned, Way, first_below, way_of
from tests.engine.reference_paths import inside, on_mark
from tests.engine.reference_records import Arrival, Exit, Position, Record, Wish, on_tick, wishes_of

NAN = math.nan


class Replay:
    """One variation walked bar by bar."""

    def __init__(self, orders: Orders, bars: Bars, rules: Rules, variation: int) -> None:
        self.bars, self.rules = bars, rules
        self.instruments, self.rows = bars.panel.shape[:2]
        self.wishes = wishes_of(orders, variation, self.rows)
        self.cash = rules.capital
        self.positions: list[Position] = []
        self.arrivals: dict[int, Arrival] = {}
        self.exposed = 0
        self.record = Record(verdicts=[codes.PENDING] * len(self.wishes))

    def run(self) -> Record:
        units = self.schedule()
        for row in range(self.rows):
            for position in self.positions:
                position.tiers = self.tiers_at(position.wish.column, row)
            self.liquidate_account(row)
            self.exits_at_open(row)
            resting = [unit for unit in units.get(row, []) if self.inside_bar(unit)]
            for unit in units.get(row, []):
                if unit not in resting:
                    self.enter(unit, row)
            self.liquidate_account(row)
            self.exits_of_entered(row)
            for unit in resting:
                self.enter(unit, row)
            self.exposed += bool(self.positions)
            if not self.walk_bar(row) or not self.charge_funding(row):
                return self.record
            self.exits_at_close(row)
            equity = self.cash + sum(self.worth(position, self.mark(position, row)) for position in self.positions)
            self.record.equity.append(max(equity, 0.0))
        self.record.statistics = statistics(self.record, self.rules, self.exposed)
        return self.record

    # market

    def at(self, column: int, row: int, what: int) -> float:
        return float(self.bars.panel[column, row, what])

    def mark(self, position: Position, row: int) -> float:
        return self.at(position.wish.column, row, codes.MARK)

    def tradable(self, column: int, row: int) -> bool:
        return not math.isnan(self.at(column, row, codes.OPEN))

    def leverage(self, column: int) -> float:
        return self.rules.leverage if self.bars.swap[column] else 1.0

    def tiers_at(self, column: int, row: int) -> tuple[tuple[float, float], ...]:
        """Rates and deductions in force at a bar."""
        (version,) = [number for number in range(len(self.bars.tier_rows)) if self.in_force(number, row)]
        return tuple((float(m), float(less)) for m, less in self.bars.tiers[version, column] if not math.isnan(m))

    def in_force(self, version: int, row: int) -> bool:
        starts = [int(start) for start in self.bars.tier_rows]
        return starts[version] <= row and all(start > row for start in starts[version + 1 :])

    def too_levered(self, leg: Wish, row: int, filled: dict[int, float], columns: dict[int, int]) -> bool:
        """Whether the tiers in force forbid the leverage of an entry, given what each leg is filled at."""
        if not self.bars.swap[leg.column]:
            return False
        held = [position for position in self.positions if position.wish.column == leg.column]
        together = sum(position.held * self.last_price(position, row) for position in held)
        together += sum(money for number, money in filled.items() if columns[number] == leg.column)
        (version,) = [number for number in range(len(self.bars.tier_rows)) if self.in_force(number, row)]
        reached = [float(most) for floor, most in self.bars.most_leverage[version, leg.column] if floor <= together]
        if reached and self.rules.leverage > min(reached):
            return True
        money = filled[leg.number]
        needed = [rate * money - less for rate, less in self.tiers_at(leg.column, row)]
        return bool(needed) and money / self.rules.leverage <= max(needed)

    # before the first bar

    def schedule(self) -> dict[int, list[list[Wish]]]:
        """Units of legs that may enter, by fill row."""
        units: list[list[Wish]] = []
        for wish in self.wishes:
            partners = [
                unit
                for unit in units
                if (wish.group is not None and unit[0].group == wish.group)
                or (wish.order is not None and unit[0].order == wish.order)
            ]
            if partners:
                partners[0].append(wish)
            else:
                units.append([wish])
        due: dict[int, list[list[Wish]]] = {}
        for unit in units:
            first = max(leg.earliest for leg in unit)
            last = min(min(leg.latest for leg in unit), self.rows - 1)
            possible = [row for row in range(first, last + 1) if all(self.tradable(leg.column, row) for leg in unit)]
            if not possible:
                self.reject(unit, {leg.number: codes.NO_BAR for leg in unit})
                continue
            if unit[0].limit is not None or unit[0].stop_entry is not None:
                arrival = self.arrival_of(unit[0], possible)
                if arrival is None:
                    self.reject(unit, {leg.number: codes.UNFILLED for leg in unit})
                    continue
                self.arrivals.update({leg.number: arrival for leg in unit})
                possible = [arrival.row]
            for leg in unit:
                if not leg.long and not self.bars.swap[leg.column]:
                    self.reject(unit, {leg.number: codes.SPOT_SHORT})
                    break
                if leg.exit_row <= possible[0]:
                    self.reject(unit, {leg.number: codes.EXPIRED})
                    break
            else:
                due.setdefault(possible[0], []).append(unit)
        return due

    def arrival_of(self, leg: Wish, possible: list[int]) -> Arrival | None:
        """Where a resting order fills, in the bars in which it can; None where it does not."""
        if leg.earliest == 0:
            return None
        reference = self.at(leg.column, leg.earliest - 1, codes.MARK)
        if math.isnan(reference):
            return None
        buys = leg.long
        if leg.limit is not None:
            level = reference * (1 - leg.limit) if buys else reference * (1 + leg.limit)
        else:
            level = reference * (1 + leg.stop_entry) if buys else reference * (1 - leg.stop_entry)
        level = on_tick(level, float(self.bars.tick[leg.column]), up=buys != (leg.limit is not None))
        for row in possible:
            opens, high, low = (self.at(leg.column, row, what) for what in (codes.OPEN, codes.HIGH, codes.LOW))
            if leg.limit is not None:
                if row == possible[0] and (opens <= level if buys else opens >= level):
                    return Arrival(row, opens, maker=False, inside=False)
                if opens < level if buys else opens > level:
                    return Arrival(row, level, maker=True, inside=False)
                if low < level if buys else high > level:
                    return Arrival(row, level, maker=True, inside=True)
            else:
                if opens >= level if buys else opens <= level:
                    return Arrival(row, opens, maker=False, inside=False)
                if high >= level if buys else low <= level:
                    return Arrival(row, level, maker=False, inside=True)
        return None

    def inside_bar(self, unit: list[Wish]) -> bool:
        return unit[0].number in self.arrivals and self.arrivals[unit[0].number].inside

    def reject(self, unit: list[Wish], reasons: dict[int, int]) -> None:
        for leg in unit:
            self.record.verdicts[leg.number] = reasons.get(leg.number, codes.GROUP_REJECTED)

    # A

    def exits_at_open(self, row: int) -> None:
        leaving = []
        for position in self.positions:
            begins = not position.late and row >= position.entry.row + position.wish.late
            position.late = position.late or begins
            if begins and self.tradable(position.wish.column, row):
                opening = self.at(position.wish.column, row, codes.OPEN)
                if position.gains_at(opening, position.target()):
                    position.rests = False
            if self.tradable(position.wish.column, row):
                reason = self.reason_at_open(position, row)
                if reason is not None:
                    leaving.append((position, reason))
        self.leave_at_open(leaving, row)

    def leave_at_open(self, leaving: list[tuple[Position, int]], row: int) -> None:
        """Fill these at the open, and the other legs of their groups."""
        for position, reason in leaving:
            price = self.at(position.wish.column, row, codes.OPEN)
            target = position.target()
            if reason == codes.TAKE_PROFIT and position.rests and target is not None:
                price = target
            self.leave(position, row, codes.AT_OPEN, reason, price)
        for partner in self.partners_of([position for position, _ in leaving]):
            if partner.leaving is not None:
                continue
            if self.tradable(partner.wish.column, row):
                price = self.at(partner.wish.column, row, codes.OPEN)
                self.leave(partner, row, codes.AT_OPEN, codes.GROUP_EXIT, price)
            else:
                partner.left_behind = True

    def partners_of(self, left: list[Position]) -> list[Position]:
        groups = {position.wish.group for position in left} - {None}
        return [position for position in self.positions if position.wish.group in groups]

    def gap(self, position: Position, price: float) -> int | None:
        """Reason of a level that an opening price is at or beyond."""
        for reason, level in position.adverse(position.peak, self.rules.maintenance_margin):
            if position.loses_at(price, level):
                return reason
        if position.gains_at(price, position.target()):
            return codes.TAKE_PROFIT
        return None

    def reason_at_open(self, position: Position, row: int) -> int | None:
        reason = self.gap(position, self.at(position.wish.column, row, codes.OPEN))
        if reason is not None:
            return reason
        if position.leaving is not None:
            return position.leaving
        if row >= position.signal_row:
            return codes.SIGNAL
        if row >= position.time_row:
            return codes.TIME
        return codes.GROUP_EXIT if position.left_behind else None

    # B

    def enter(self, unit: list[Wish], row: int) -> None:
        taken = {position.wish.column: position for position in self.positions}
        whole_order = unit[0].order is not None
        if self.rules.extend and unit[0].column in taken and self.lengthen(taken[unit[0].column], unit[0], row):
            return
        columns, seen = set(taken), set[int]()
        for leg in unit:
            liquidity = [self.at(leg.column, row, what) for what in (codes.IMPACT, codes.CAPACITY)]
            held = [position for position in self.positions if position.wish.column == leg.column]
            beside = self.rules.adds and all(position.long == leg.long for position in held)
            again = leg.column in columns and leg.column not in taken
            if (held and not beside) or (again and not whole_order) or (leg.column in seen and not whole_order):
                self.reject(unit, {leg.number: codes.IN_POSITION})
                return
            if any(math.isnan(value) for value in liquidity):
                self.reject(unit, {leg.number: codes.LIQUIDITY_UNKNOWN})
                return
            columns.add(leg.column)
            seen.add(leg.column)
        equity = self.cash + sum(self.worth(position, self.last_price(position, row)) for position in self.positions)
        if equity <= codes.LEAST_SHARE * self.rules.capital:
            verdict = codes.BANKRUPT if self.rules.cross else codes.NO_CASH
            self.reject(unit, {leg.number: verdict for leg in unit})
            return
        free = self.cash
        if self.rules.cross:
            tied = sum(position.held * position.entry.price / self.rules.leverage for position in self.positions)
            free = min(free, equity - tied)
        gross = sum(position.held * self.last_price(position, row) for position in self.positions)
        wanted = {leg.number: leg.weight * equity if leg.notional is None else leg.notional for leg in unit}
        total = sum(wanted.values())
        need = sum(wanted[leg.number] * (1 / self.leverage(leg.column) + self.rules.fee_rate) for leg in unit)
        by_capacity = {
            leg.number: self.volume_left(leg.column, row) / (total if whole_order else wanted[leg.number])
            for leg in unit
        }
        limits = [
            (codes.CAPACITY_ZERO, codes.CUT_CAPACITY, min(by_capacity.values())),
            (codes.GROSS_CAP, codes.CUT_GROSS, (self.rules.gross_cap * equity - gross) / total),
            (codes.NO_CASH, codes.CUT_CASH, free / need),
        ]
        verdict, cut, scale = min(limits, key=lambda limit: limit[2])
        if scale >= 1:
            cut, scale = codes.UNCUT, 1.0
        if scale < codes.LEAST_SHARE:
            if verdict == codes.CAPACITY_ZERO:
                shortest = min(by_capacity, key=lambda number: by_capacity[number])
                self.reject(unit, {leg.number: verdict for leg in unit} if whole_order else {shortest: verdict})
            else:
                self.reject(unit, {leg.number: verdict for leg in unit})
            return
        shares = {leg.number: wanted[leg.number] / total if whole_order else 1.0 for leg in unit}
        sizes = {leg.number: self.size(leg, row, scale * wanted[leg.number], shares[leg.number]) for leg in unit}
        filled = {number: price * quantity for number, (_, _, price, quantity) in sizes.items()}
        for leg in unit:
            _, _, price, quantity = sizes[leg.number]
            least = float(self.bars.least_notional[leg.column]) * (1 - codes.SAME_STEP)
            if quantity <= 0 or quantity * price < least:
                self.reject(unit, {leg.number: codes.TOO_SMALL})
                return
            if self.too_levered(leg, row, filled, {one.number: one.column for one in unit}):
                self.reject(unit, {leg.number: codes.LEVERAGE})
                return
        for leg in unit:
            self.open_position(leg, row, wanted[leg.number], scale, cut, shares[leg.number])

    def volume_left(self, column: int, row: int) -> float:
        """What a bar's capacity has left after what entered the instrument before at this bar, under `adds`."""
        taken = [
            position.entry.quantity * position.entry.price
            for position in self.positions
            if self.rules.adds and position.wish.column == column and position.entry.row == row
        ]
        return max(self.at(column, row, codes.CAPACITY) - sum(taken), 0.0)

    def size(self, leg: Wish, row: int, notional: float, share: float) -> tuple[float, float, float, float]:
        """Half-spread, impact, price and quantity of an entry; a part pays the impact of its whole order."""
        arrival = self.arrivals.get(leg.number)
        spread, impact = self.slip(self.at(leg.column, row, codes.IMPACT), notional / share)
        if arrival is not None and arrival.maker:
            spread, impact = 0.0, 0.0
        reference = self.at(leg.column, row, codes.OPEN) if arrival is None else arrival.price
        price = reference * (1 + spread + impact) if leg.long else reference * (1 - spread - impact)
        lot = float(self.bars.lot[leg.column])
        quantity = notional / price
        return spread, impact, price, on_tick(quantity, lot, up=False)

    def exits_of_entered(self, row: int) -> None:
        """A level that the open has already passed when a position enters."""
        passed = []
        for position in self.positions:
            if position.entry.row == row and position.entry.phase == codes.AT_OPEN:
                reason = self.gap(position, self.at(position.wish.column, row, codes.OPEN))
                if reason is not None:
                    passed.append((position, reason))
        self.leave_at_open(passed, row)

    def lengthen(self, position: Position, leg: Wish, row: int) -> bool:
        alone = all(one.group is None and one.order is None for one in (leg, position.wish))
        alone = alone and position.leaving is None
        if not alone or leg.long != position.long:
            return False
        position.time_row = max(position.time_row, row + leg.hold)
        position.signal_row = max(position.signal_row, leg.exit_row)
        self.record.verdicts[leg.number] = codes.EXTENDED
        return True

    def last_price(self, position: Position, row: int) -> float:
        """Last price at which a position is valued before this bar's open."""
        return position.entry.price if position.entry.row == row else self.mark(position, row - 1)

    def slip(self, coefficient: float, notional: float) -> tuple[float, float]:
        """Half-spread and impact, as shares of price."""
        impact = min(coefficient * math.sqrt(notional), codes.MOST_SLIP - self.rules.half_spread)
        return self.rules.half_spread, impact

    def open_position(self, leg: Wish, row: int, wanted: float, scale: float, cut: int, share: float) -> Position:
        notional = scale * wanted
        arrival = self.arrivals.get(leg.number)
        reference = self.at(leg.column, row, codes.OPEN) if arrival is None else arrival.price
        coefficient = self.at(leg.column, row, codes.IMPACT)
        spread, impact, price, quantity = self.size(leg, row, notional, share)
        notional = quantity * price
        rate = self.rules.maker_fee_rate if arrival is not None and arrival.maker else self.rules.fee_rate
        fill = Fill(
            row=row,
            phase=codes.INSIDE if arrival is not None and arrival.inside else codes.AT_OPEN,
            column=leg.column,
            intent=leg.number,
            reason=codes.ENTRY,
            side=1 if leg.long else -1,
            quantity=quantity,
            reference=reference,
            price=price,
            fees=rate * notional,
            slippage=quantity * reference * spread,
            impact=quantity * reference * impact,
            liquidation=0.0,
            cut=cut,
            granted=scale,
        )
        margin = notional / self.leverage(leg.column)
        self.cash -= margin + fill.fees
        position = Position(
            wish=leg,
            entry=fill,
            margin=margin,
            peak=price,
            coefficient=coefficient,
            time_row=row + leg.hold,
            signal_row=leg.exit_row,
            arrival=arrival,
            rests=self.rules.maker_targets,
            tick=float(self.bars.tick[leg.column]),
            parts=math.sqrt(1 / share),
            tiers=self.tiers_at(leg.column, row),
            on_mark=self.triggered_by_mark(leg.column),
            crossed=self.rules.cross,
        )
        self.positions.append(position)
        self.record.fills.append(fill)
        self.record.verdicts[leg.number] = codes.ACCEPTED
        return position

    def triggered_by_mark(self, column: int) -> tuple[int, ...]:
        """Reasons of the exits that the mark price triggers instead of the last price."""
        of = {codes.LIQUIDATION: self.rules.liquidates_on_mark, codes.STOP_LOSS: self.rules.stops_on_mark}
        return tuple(reason for reason, chosen in of.items() if chosen and self.bars.marked[column])

    # C

    def walk_bar(self, row: int) -> bool:
        """Exits inside the bar; False where the policy forbids an unknown rate of funding."""
        self.record.funding.append(0.0)
        if self.rules.cross:
            return self.walk_account(row)
        left: list[Position] = []
        for position in list(self.positions):
            if self.tradable(position.wish.column, row):
                leaves = self.exit_inside(position, row)
                if leaves is None:
                    continue
                left.append(position)
                while leaves is not None:
                    share = self.leaving(position, row, codes.INSIDE, leaves.reason, leaves.price) / position.held
                    if self.rules.settles_inside and not self.settle_inside(position, row, share):
                        return False
                    self.leave(position, row, codes.INSIDE, leaves.reason, leaves.price)
                    # What is left may still be liquidated by the rest of the bar.
                    leaves = self.exit_inside(position, row) if position in self.positions else None
        self.call_partners(left, row)
        return True

    # cross margin

    def worth(self, position: Position, price: float) -> float:
        return position.margin + position.profit(price) if self.rules.cross else position.worth(price)

    def ways(self, row: int) -> list[Way]:
        return [way_of(one, self.bars, row, codes.LIQUIDATION in one.on_mark) for one in self.positions]

    def slack(self, row: int, share: float) -> float:
        """The account less its maintenance margin, a share of the way along the common path."""
        account, notionals = self.cash, dict[int, float]()
        for way in self.ways(row):
            position, price = way.position, way.value(share)
            account += position.margin + position.profit(price)
            column = position.wish.column
            notionals[column] = notionals.get(column, 0.0) + position.held * price
        for column, notional in notionals.items():
            tiers = self.tiers_at(column, row) or ((self.rules.maintenance_margin, 0.0),)
            account -= max(rate * notional - less for rate, less in tiers)
        return account

    def liquidate_account(self, row: int) -> None:
        if not self.rules.cross or not self.positions or self.slack(row, 0.0) > 0:
            return
        for position in list(self.positions):
            if self.tradable(position.wish.column, row):
                price = self.at(position.wish.column, row, codes.OPEN)
                self.leave(position, row, codes.AT_OPEN, codes.LIQUIDATION, price)
            else:
                self.leave_later(position)

    def leave_later(self, position: Position) -> None:
        position.leaving, position.rests, position.leaves_at_close = codes.LIQUIDATION, False, False

    def walk_account(self, row: int) -> bool:
        """The common path: stops where it meets them, then the end of the account or the targets."""
        planned: dict[int, Planned] = {}
        for way in self.ways(row):
            leaves = self.exit_inside(way.position, row) if way.opens is not None else None
            if leaves is not None:
                planned[way.position.wish.number] = Planned(way, leaves)
        left: list[Position] = []
        begin, fails = 0.0, self.slack(row, 0.0) <= 0
        while not fails:
            ahead = [planned[one.wish.number] for one in self.positions if one.wish.number in planned]
            following = min((one for one in ahead if one.adverse), key=lambda one: one.share, default=None)
            end = following.share if following is not None else 1.0
            if self.slack(row, end) <= 0:
                begin, fails = first_below(lambda share: self.slack(row, share), begin, end), True
            elif following is None:
                break
            else:
                if not self.leave_inside(following.way.position, row, following.leaves):
                    return False
                left.append(following.way.position)
                begin, fails = end, self.slack(row, end) <= 0
        for way in self.ways(row):
            plan = planned.get(way.position.wish.number)
            if not fails and plan is not None:
                if not self.leave_inside(way.position, row, plan.leaves):
                    return False
                left.append(way.position)
            elif fails and way.opens is None:
                self.leave_later(way.position)
            elif fails:
                price = way.fill(begin)
                if way.on_mark:
                    price = way.reaches
                    if plan is not None and plan.adverse:
                        price = max(price, plan.leaves.price) if way.position.long else min(price, plan.leaves.price)
                if not self.leave_inside(way.position, row, Exit(codes.LIQUIDATION, price)):
                    return False
        self.call_partners(left, row)
        return True

    def leave_inside(self, position: Position, row: int, leaves: Exit) -> bool:
        if self.rules.settles_inside and not self.settle_inside(position, row, 1.0):
            return False
        self.leave(position, row, codes.INSIDE, leaves.reason, leaves.price)
        return True

    def exit_inside(self, position: Position, row: int) -> Exit | None:
        rules = self.rules.maintenance_margin, self.rules.stop_order
        return on_mark(position, self.bars, row, *rules, inside(position, self.bars, row, *rules))

    def call_partners(self, left: list[Position], row: int) -> None:
        """Tell the other legs of these to leave at the close, or where they can."""
        for partner in self.partners_of(left):
            if partner.leaving is not None or partner in left:
                continue
            if self.tradable(partner.wish.column, row):
                partner.leaves_at_close = True
            else:
                partner.left_behind = True

    # D

    def funding_due(self, position: Position, row: int) -> float | None:
        """What a position owes for the settlements of a bar; None where the policy forbids an unknown rate."""
        column = position.wish.column
        if not self.bars.swap[column]:
            return 0.0
        rate = self.at(column, row, codes.FUNDING)
        notional = position.held * self.mark(position, row)
        if not math.isnan(rate):
            return notional * rate if position.long else -notional * rate
        if self.rules.funding_unknown == codes.FUNDING_ERROR:
            self.record.fault = (row, column)
            return None
        position.unknown_funding_bars += 1
        return notional * self.rules.funding_const if self.rules.funding_unknown == codes.FUNDING_CONST else 0.0

    def pay(self, position: Position, amount: float) -> None:
        position.margin -= amount
        position.funding += amount
        self.record.funding[-1] += amount

    def settle_inside(self, position: Position, row: int, share: float) -> bool:
        """Settlements before an exit inside the bar: the pessimist pays what is owed, the optimist takes the rest."""
        counted = position.unknown_funding_bars
        amount = self.funding_due(position, row)
        if amount is None:
            return False
        if share < 1:
            position.unknown_funding_bars = counted
        amount *= share
        wanted = amount < 0 if self.rules.stop_order == codes.OPTIMISTIC else amount > 0
        if wanted:
            self.pay(position, amount)
        return True

    def charge_funding(self, row: int) -> bool:
        """Settle this bar's funding; False where the policy forbids an unknown rate."""
        for position in self.positions:
            amount = self.funding_due(position, row)
            if amount is None:
                return False
            self.pay(position, amount)
        return True

    # E

    def exits_at_close(self, row: int) -> None:
        ending = [position for position in self.positions if not position.leaves_at_close and self.ends(position, row)]
        self.call_partners(ending, row)
        for position in list(self.positions):
            price = self.at(position.wish.column, row, codes.CLOSE)
            if position in ending:
                reason = codes.DELISTED if self.bars.ended[position.wish.column] else codes.END_OF_DATA
                self.leave(position, row, codes.AT_CLOSE, reason, price)
            elif position.leaves_at_close:
                self.leave(position, row, codes.AT_CLOSE, codes.GROUP_EXIT, price)

    def ends(self, position: Position, row: int) -> bool:
        """Whether an instrument never trades after this bar."""
        return not any(self.tradable(position.wish.column, later) for later in range(row + 1, self.rows))

    # exits

    def leaving(self, position: Position, row: int, phase: int, reason: int, reference: float) -> float:
        """What can leave: all, or under partial exits no more than the capacity of the bar, in whole lots."""
        last = phase == codes.AT_CLOSE and self.ends(position, row)
        if not self.rules.partial_exits or reason == codes.LIQUIDATION or last:
            return position.held
        column = position.wish.column
        capacity = self.at(column, row, codes.CAPACITY)
        if math.isnan(capacity):
            capacity = self.at(column, position.entry.row, codes.CAPACITY)
        if self.rules.adds:
            others = [fill for fill in self.record.fills if fill.reason != codes.ENTRY and fill.column == column]
            capacity -= sum(fill.quantity * fill.reference for fill in others if fill.row == row)
        else:
            capacity /= position.parts**2
        most = max(capacity, 0.0) / reference
        if most < position.held:
            most = on_tick(most, float(self.bars.lot[column]), up=False)
        return position.held if most >= position.held * (1 - codes.SAME_STEP) else most

    def settle(
        self, position: Position, row: int, phase: int, reason: int, reference: float, quantity: float
    ) -> tuple[Fill, Trade]:
        """Fill of that much at a reference price, and the trade if it is the last, before anything is booked."""
        entry, share = position.entry, quantity / position.held
        coefficient = self.at(position.wish.column, row, codes.IMPACT)
        if math.isnan(coefficient):
            coefficient = position.coefficient
        spread, impact = self.slip(coefficient * position.parts, quantity * reference)
        rate = self.rules.fee_rate
        if reason == codes.TAKE_PROFIT and position.rests:
            spread, impact, rate = 0.0, 0.0, self.rules.maker_fee_rate
        price = reference * (1 - spread - impact) if position.long else reference * (1 + spread + impact)
        fee = rate * quantity * price
        liquidation = self.rules.liquidation_fee * quantity * price if reason == codes.LIQUIDATION else 0.0
        left = (position.margin + position.profit(price)) * share - fee - liquidation
        if left < 0 and not self.rules.cross:
            liquidation += left
        fill = Fill(
            row=row,
            phase=phase,
            column=position.wish.column,
            intent=position.wish.number,
            reason=reason,
            side=-1 if position.long else 1,
            quantity=quantity,
            reference=reference,
            price=price,
            fees=fee,
            slippage=quantity * reference * spread,
            impact=quantity * reference * impact,
            liquidation=liquidation,
            cut=codes.UNCUT,
            granted=1.0,
        )
        exits = [*position.parts_left, fill]
        side = 1 if position.long else -1
        gross = sum(side * one.quantity * (one.reference - entry.reference) for one in exits)
        costs = [
            entry.fees + sum(one.fees for one in exits),
            entry.slippage + sum(one.slippage for one in exits),
            entry.impact + sum(one.impact for one in exits),
            position.funding,
            sum(one.liquidation for one in exits),
        ]
        trade = Trade(
            intent=position.wish.number,
            column=position.wish.column,
            side=1 if position.long else -1,
            entry_row=entry.row,
            exit_row=row,
            quantity=entry.quantity,
            entry_price=entry.price,
            exit_price=sum(one.quantity * one.price for one in exits) / entry.quantity,
            gross=gross,
            fees=costs[0],
            slippage=costs[1],
            impact=costs[2],
            funding=costs[3],
            liquidation=costs[4],
            net=gross - sum(costs),
            reason=reason,
            unknown_funding_bars=position.unknown_funding_bars,
            exit_phase=phase,
            entry_notional=entry.quantity * entry.price,
        )
        return fill, trade

    def leave(self, position: Position, row: int, phase: int, reason: int, reference: float) -> None:
        quantity = self.leaving(position, row, phase, reason, reference)
        whole = quantity == position.held
        if quantity > 0:
            fill, trade = self.settle(position, row, phase, reason, reference, quantity)
            released = position.margin * quantity / position.held
            self.cash += (position.margin + position.profit(fill.price)) * quantity / position.held
            self.cash -= fill.fees + fill.liquidation
            self.record.fills.append(fill)
            if whole:
                self.record.trades.append(trade)
                self.positions.remove(position)
                return
            position.margin -= released
            position.parts_left.append(fill)
        position.leaving, position.rests, position.leaves_at_close = reason, False, False


def statistics(record: Record, rules: Rules, exposed: int) -> dict[str, float]:
    """The STATISTICS by name, NaN where undefined."""
    path = [rules.capital, *record.equity]
    returns = [after / before - 1 if before > 0 else 0.0 for before, after in itertools.pairwise(path)]
    mean = sum(returns) / len(returns)
    square = sum(value**2 for value in returns) / len(returns)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in returns) / (len(returns) - 1))
    downside = math.sqrt(sum(min(value, 0.0) ** 2 for value in returns) / len(returns))
    year = math.sqrt(rules.bars_per_year)
    nets = [trade.net for trade in record.trades]
    drawdowns = [1 - value / max(path[: row + 1]) for row, value in enumerate(path)]
    return {
        "net_return": path[-1] / rules.capital - 1,
        "sharpe": mean / deviation * year if deviation > max(1e-6 * math.sqrt(square), 1e-12) else NAN,
        "sortino": mean / downside * year if downside > 1e-12 else NAN,
        "max_drawdown": max(drawdowns),
        "trades": float(len(nets)),
        "hit_rate": sum(net > 0 for net in nets) / len(nets) if nets else NAN,
        "mean_trade": sum(trade.net / trade.entry_notional for trade in record.trades) / len(nets) if nets else NAN,
        "exposure": exposed / len(returns),
    }


def replay(orders: Orders, bars: Bars, rules: Rules, variation: int = 0) -> Record:
    """Replay one variation by the rules as stated."""
    return Replay(orders, bars, rules, variation).run()
