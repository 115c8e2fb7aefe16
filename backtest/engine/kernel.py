"""The replay kernel: fills, exits, funding and liquidation over plain arrays, for one replay or for millions.

Rules, in the order in which they act inside a bar t. `row` means bar number; a bar is *tradable* when it has prices
and its volume is not zero. Prices are compared in signed form (price times side), so that a short reads as a long.

Before the first bar
    A shift moves `earliest` around the circle of T bars, and `latest` and `exit_row` by as much without going around;
    an `earliest` at or past T stays. An intent fills at the first tradable bar from `earliest` to `latest`
    (inclusive), else NO_BAR; legs of a group, which stand together in the order given, at the first bar that is
    tradable for all of them and in the window of each, else all are NO_BAR. Then the first leg that is a short of a
    spot instrument (SPOT_SHORT) or has `exit_row` at or before the fill (EXPIRED) rejects its unit as in B. Intents
    act in order of fill row, then in the order given. An order with a limit or a stop rests from `earliest` to `latest`
    at a distance from the last close before it arrives, and fills in the first tradable bar that reaches it (else, or
    where no close is known, UNFILLED). A limit that its first open passes is a market order at that open; a later open
    or a bar that trades through it, not only to it, fills it at its price, as maker: `maker_fee_rate`, no spread and no
    impact. A stop fills at the first open at or beyond it, or at its level inside a bar, as taker.
A. Exits at the open, for positions entered before t whose bar is tradable, all at the open price. The reason is the
    first that holds of: LIQUIDATION, STOP_LOSS, TRAILING_STOP (open at or through the level), TAKE_PROFIT, SIGNAL
    (t >= exit_row), TIME (t >= entry row + hold), GROUP (a leg left earlier while this one could not). The other legs
    of a group leave at the same open (GROUP), or at their next tradable open.
B. Entries at the open. Equity E is cash plus positions at the previous bar's mark (last known close), those
    entered at this open at their fill price. Per leg:
    IN_POSITION if the instrument is held (or wanted by an earlier leg of the same group); under `extend`, a lone
    intent of the same side lengthens a lone position (EXTENDED: later of both time limits and of both exit rows);
    under `adds` one of the same side opens a position of its own beside it, which shares the bar's capacity.
    Parts of one order enter as a group does, into one instrument: their wants share its capacity, each pays the impact
    share of the whole order (at its exits too), and each leaves on its own.
    LIQUIDITY_UNKNOWN if impact or capacity is NaN. The legs want weight * E each and are scaled down together by the
    smallest of: capacity / wanted of each leg,
    (gross_cap * E - gross) / sum wanted, cash / sum of wanted * (1 / leverage + fee), never above 1; gross is the sum
    of quantity * mark, leverage is 1 for spot. A scale below 1e-6 is the rejection CAPACITY, GROSS_CAP or NO_CASH by
    whichever is smallest, the first of equals in that order (E at or below 1e-6 of the capital is NO_CASH). The first
    rejected leg rejects its unit: it keeps its reason, the others get GROUP; GROSS_CAP and NO_CASH are every leg's.
    With V the scaled notional: slip = half_spread + min(coefficient * sqrt(V), 0.9 - half_spread);
    price = open * (1 + side * slip); quantity = V / price; cash falls by margin V / leverage (spot: V) and fee * V.
    With a lot, the quantity is the whole lots in V / price; none, or less than the least notional, rejects the unit
    (TOO_SMALL), and so does a margin that is no more than the maintenance margin of its tier, or leverage above the
    most of the tier of all that is then held in the instrument (LEVERAGE). Fixed levels lie on the tick, to the
    disadvantage of the position.
    Stop, target, trail and its activation are anchored at `price`; the peak starts there, and the trail follows it from
    the activation on. From a second activation on it is the nearer of the trail and the second trail, and from the
    break-even gain on no further than `price`: one level, which the peak alone decides and which never falls as it
    rises. From `late` rows after the entry the late target holds. Under `maker_targets` a target is a limit that must
    be traded through; it fills at its price, at an open beyond it too, as maker; a late target that its first open has
    passed is a market order. A level that the open has already passed
    exits at that open, once every entry of the bar is made: LIQUIDATION to TAKE_PROFIT of phase A, and GROUP.
    Entries inside the bar follow those at its open, by the same rules; exits inside the bar free nothing for them. The
    rest of their bar is walked from the fill on: the price has still to go as far as it went beyond the fill, and only
    may go as far as it went on the other side, which can have been before it. Detail bars are not read in that bar.
C. Inside a tradable bar the order of prices is unknown. Adverse levels are liquidation, stop and trail; the nearest
    fills at its level (ties in that order). The trail follows the peak, which the open raises first. Under
    `pessimistic` a position leaves by an adverse exit wherever a continuous path through the bar meets one before it
    leaves otherwise, at the worst price of all such paths (of a trail: the lowest level that it can have and the bar
    can reach), else at its target. Under `optimistic` it stays where one such path stays, else it takes the best price.
    Under `adverse_first` one path is walked: open, adverse extreme, favourable extreme, close.
    Detail bars replace a bar whose range they keep; of a bar that they cover in part the rest is a hole, on which the
    price goes from the close before it to the open after it and reaches what the detail does not of the bar's high and
    low (under `adverse_first` no more than it must). An open of a detail bar after another is checked for gaps.
    Where the mark price triggers the liquidation or the stop of an instrument (`backtest.engine.triggers`) the last
    price does not. In a tradable bar whose mark price reaches the nearer of the two, `pessimistic` leaves by it at the
    worst last price that no stop or liquidation on the last price forestalls, unless the last price liquidates;
    `adverse_first` at the last price nearest to the level, unless an adverse level of the last price is nearer;
    `optimistic` likewise, where the last price decides no exit and, in the bar of a fill inside it, the mark price ends
    beyond the level.
    What all paths allow, whatever the stop order: `backtest.engine.intervals`.
    When a leg leaves inside the bar, the others of its group leave at the close (GROUP, phase E). In bars longer than
    the time between settlements a position that leaves inside has met an unknown part of the bar's funding: pessimistic
    it pays all of it where it owes, optimistic it receives all of it where it is owed.
D. Funding: a swap open at the close pays side * quantity * mark * rate out of its margin; unknown rates follow the
    policy (error, zero, or const: always paid, never received). The liquidation level follows the margin:
    the price at which margin + profit = maintenance * notional, less the deduction of the tier of that notional where
    the instrument has tiers: the nearest of its tiers' levels. Tiers are those in force at the open of the bar; where
    they change, the levels of what is held are computed anew before phase A, which liquidates at that open what the new
    ones no longer carry (where the mark price triggers: inside that bar).
E. Exits at the close: GROUP legs where the bar is tradable, and everything in the last bar in which its instrument
    trades (DELISTED where that lies a day or more before the end of the data or was declared, else END_OF_DATA).
F. Equity = cash + sum of max(margin + profit at the mark, 0).

Statistics: returns are equity over the equity before, less 1, on all T bars, from the capital on (0 once equity is
lost). Sharpe: mean over standard deviation (T - 1). Sortino: mean over the root of the mean square, over T, of the
returns below zero. Both times sqrt(bars_per_year), without a riskless rate, NaN where the denominator is rounding.
Maximum drawdown: positive, share of the highest equity so far, capital included. Hit rate: trades with net above
zero. Mean trade: mean of net / entry notional. Exposure: share of bars on which something is held after the fills of
the open.

Under `partial_exits` an exit takes at most the capacity of its bar, in whole lots: a part of an order its share of it,
positions added to one another share it, and where it is unknown it is that of the entry's bar. The rest leaves at its
next tradable opens, as much at each, as taker and for the same reason; no level is in force for it any more but the
liquidation, which the bar in which the exit began can still meet too. It pays funding, and the other legs of its group
are called when its exit begins. A liquidation and the last close are whole.

Under cross margin one account backs all contracts (spot is refused), and no position has a liquidation level. The
account A is cash plus margin and profit of each contract, without a floor. It is liquidated where A is at or below the
maintenance margin M of the contracts, by the tiers of the notional of each instrument: before phase A at the opens,
again there after the entries, and in phase C along the common path, on which every contract goes straight and at once
from its open (or its fill inside the bar) to its worst price of the bar; one without trades stays at its mark. Stops
and trails leave at their level where the path meets it; at the first point at which A <= M all that is left is closed
at its price there (LIQUIDATION, each with the fee), and what does not trade at its next open. Targets leave only if the
account survives the path. A contract whose mark price triggers is valued on the way of its mark price, from the last
one before the bar to the worst of the bar, and filled at its worst last price that its stop does not forestall. For
entries E is A, and free cash is at most A less the margin of what is held at its entry; at E at or below 1e-6 of the
capital, BANKRUPT. Equity is never below zero, while a trade keeps its whole loss: what is lost beyond the account is
its shortfall, credited to none of them.

An exit at reference price p with quantity q: slip as above with V = q * p and the coefficient of that bar (of the
entry where NaN); price = p * (1 - side * slip); pays fee * q * price, on LIQUIDATION also liquidation_fee * q *
price; what the remaining margin cannot cover is credited back as negative liquidation cost, so no position loses more
than its margin, except under cross margin.
"""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from backtest.engine.compiling import compiled, inlined
from backtest.engine.cross import account_at_open, account_inside
from backtest.engine.curve import Curve, follow, write_statistics
from backtest.engine.entries import enter, enter_inside, worth
from backtest.engine.exits import close_of_bar, exits_at_open, exits_inside
from backtest.engine.extremes import NONE, Extremes, skip_quiet
from backtest.engine.layout import (
    F8,
    MAKER_INSIDE,
    MAX_DRAWDOWN,
    POSITION,
    SHARPE,
    SORTINO,
    STATISTICS,
    T_CASH,
    T_FAULT_COLUMN,
    T_FAULT_ROW,
    TALLY_WIDTH,
    Bars,
    Book,
    Rules,
    Work,
)
from backtest.engine.marking import calm_from, follow_quiet, quiet_equity
from backtest.engine.path import bar_of
from backtest.engine.schedule import schedule, variation_of
from backtest.engine.tiers import change_from, levels_again
from backtest.engine.variations import Orders


@inlined
def _replay(
    orders: Orders, v: int, bars: Bars, rules: Rules, work: Work, book: Book, record: bool, statistics: F8, place: int,
    extremes: Extremes, net_only: bool,
) -> None:  # fmt: skip
    """Variation v: walk the bars on which something is held or enters, stream its statistics into row `place`.

    With `net_only` quiet bars are skipped, and what follows equity from bar to bar is NaN.
    """
    intent = variation_of(orders, v)
    bar_count = bars.panel.shape[1]
    queued = schedule(intent, bars, work, rules.plain)
    work.tally[:] = 0.0
    work.tally[T_CASH] = rules.capital
    work.tally[T_FAULT_ROW] = -1.0
    if rules.partial_exits:
        work.taken_row[:] = -1
    curve = Curve(rules.capital, rules.capital, 0.0, 0.0, 0.0, 0.0)
    held, count, unit, t, written = 0, 0, 0, 0, 0
    calm = calm_from(0, 0, 0, bars, rules, work)
    while True:
        if count == 0:
            if unit == queued:
                break
            t = work.fill_row[work.queue[unit]]
        else:
            begin = t
            if net_only:
                t = skip_quiet(count, t, calm, bars, rules, work, extremes)
            else:
                curve, t = follow_quiet(curve, count, t, calm, bars, work, book, record)
            held += t - begin
            if record:
                written = t
            if not rules.plain and change_from(bars, t) == t:
                levels_again(work.state, count, t, bars, rules)
            if rules.cross:
                count = account_at_open(count, t, bars, rules, work, book, record)
            count = exits_at_open(count, t, False, bars, rules, work, book, record)
        before, arrived, inside = count, unit, False
        while unit < queued and work.fill_row[work.queue[unit]] == t:
            if rules.plain or work.entry[work.queue[unit]] < MAKER_INSIDE:
                count = enter(work.queue[unit], t, count, intent, bars, rules, work, book, record)
            else:
                inside = True
            unit += 1
        nearest = min(work.fill_row[work.queue[unit]] if unit < queued else bar_count, bar_count - 1)
        equity = np.nan
        if count > before:
            calm = calm_from(count, t, nearest, bars, rules, work)
            if t < calm.end and not inside:
                equity = quiet_equity(count, t, calm, bars, work)
        if math.isnan(equity):
            if rules.cross:
                count = account_at_open(count, t, bars, rules, work, book, record)
            if count > before:
                count = exits_at_open(count, t, True, bars, rules, work, book, record)
            if inside:
                count = enter_inside(arrived, unit, t, count, intent, bars, rules, work, book, record)
            held -= count == 0
            if rules.cross:
                left = account_inside(count, t, bars, rules, work, book, record)
            else:
                left = exits_inside(count, t, bars, rules, work, book, record)
            count = close_of_bar(count, left, t, bars, rules, work, book, record)
            equity = work.tally[T_CASH]
            for p in range(count):
                equity += worth(work.state, p, bar_of(bars, work.state[p].column, t).mark, rules.cross)
            if rules.cross:
                equity = max(equity, 0.0)
            if count > 0:
                calm = calm_from(count, t + 1, nearest, bars, rules, work)
        held += 1
        if record:
            book.equity[written:t] = curve.equity
            book.equity[t] = equity
            written = t + 1
        curve = follow(curve, equity)
        t += 1
    if record:
        book.equity[written:] = curve.equity
    write_statistics(curve, work.tally, held, bar_count, rules, statistics, place)
    if net_only:
        statistics[place, SHARPE] = statistics[place, SORTINO] = statistics[place, MAX_DRAWDOWN] = np.nan


def new_work(intents: int, instruments: int) -> Work:
    """Scratch for so many intents over so many instruments."""
    return Work(
        np.empty(intents, np.uint32),
        np.empty(intents, np.int32),
        np.empty(intents, np.uint32),
        np.empty(intents, np.uint32),
        np.empty(intents, np.int8),
        np.zeros(instruments, np.int32),
        np.zeros(instruments),
        np.full(instruments, -1, np.int32),
        np.zeros(max(intents, 1), POSITION),
        np.empty(intents),
        np.zeros(intents, np.int8),
        np.empty(intents),
        np.empty(TALLY_WIDTH),
    )


@compiled
def _record(orders: Orders, bars: Bars, rules: Rules, work: Work, book: Book, extremes: Extremes, result: F8) -> None:
    """Variation 0 into row 0 of `result`, and into the book."""
    _replay(orders, 0, bars, rules, work, book, True, result, 0, extremes, False)


def replay_one(orders: Orders, bars: Bars, rules: Rules, book: Book) -> F8:
    """Replay variation 0 and record it in `book`; returns the STATISTICS and, last, the row and column of a fault.

    The fault is the first unknown funding rate under the policy `error`; its row is -1 where there is none.
    """
    work = new_work(orders.earliest.shape[1], bars.panel.shape[0])
    statistics = np.empty((1, len(STATISTICS)))
    _record(orders, bars, rules, work, book, NONE, statistics)
    book.verdict[:] = work.verdict
    return np.concatenate((statistics[0], work.tally[[T_FAULT_ROW, T_FAULT_COLUMN]]))


def is_plain(orders: Orders, bars: Bars, rules: Rules) -> bool:
    """Whether a batch has nothing rare: code of its own, without all that is rare, is a sixth faster.

    Rare are groups and parts of orders, orders that rest, levels that come into force while a position is held, the
    venue's tiers, finer bars, a mark price, and the settings of `Rules` from `settles_inside` to
    `partial_exits`, and `cross`.
    """
    optional = (
        orders.activation, orders.second_trailing_stop, orders.break_even, orders.late_take_profit, orders.limit,
        orders.stop_entry,
    )  # fmt: skip
    settings = (rules.settles_inside, rules.extend, rules.adds, rules.maker_targets, rules.partial_exits, rules.cross)
    rare = any(settings) or any(values.shape[1] for values in optional) or bool(bars.marked.any())
    rare = rare or bars.tiers.shape[2] + bars.most_leverage.shape[2] > 0
    return not (rare or (bars.detail_column >= 0).any() or (orders.group != -1).any())


NOWHERE = Book(
    np.empty(0),
    np.empty(0),
    np.empty((0, 0)),
    np.empty((0, 0)),
    np.empty(0, np.int8),
    np.empty(0, np.int32),
    np.zeros(0, POSITION),
)
"""The book of replays that record nothing."""


@inlined
def _strip(
    orders: Orders, bars: Bars, rules: Rules, work: Work, book: Book, extremes: Extremes, net_only: bool,
    statistics: F8, first: int, last: int,
) -> None:  # fmt: skip
    """Rows `first` to before `last` of `replay_many`."""
    for v in range(first, last):
        _replay(orders, v, bars, rules, work, book, False, statistics, v, extremes, net_only)
        if work.tally[T_FAULT_ROW] >= 0.0:
            statistics[v, :] = np.nan


@compiled
def _any_strip(
    orders: Orders, bars: Bars, rules: Rules, work: Work, book: Book, extremes: Extremes, net_only: bool,
    statistics: F8, first: int, last: int,
) -> None:  # fmt: skip
    """`_strip` of whatever can be said."""
    if not rules.plain:
        _strip(orders, bars, rules, work, book, extremes, net_only, statistics, first, last)


@compiled
def _plain_strip(
    orders: Orders, bars: Bars, rules: Rules, work: Work, book: Book, extremes: Extremes, net_only: bool,
    statistics: F8, first: int, last: int,
) -> None:  # fmt: skip
    """`_strip` of what `is_plain`: behind the condition the compiler leaves out what these settings ask for."""
    rare = rules.settles_inside or rules.extend or rules.adds or rules.maker_targets or rules.partial_exits
    rare = rare or rules.cross
    if rules.plain and not rare:
        _strip(orders, bars, rules, work, book, extremes, net_only, statistics, first, last)


def replay_many(
    orders: Orders, bars: Bars, rules: Rules, replays: int, workers: int, extremes: Extremes | None = None
) -> F8:
    """Statistics (replays, 8) of that many variations; a replay that met a fault is a row of NaN.

    With the `extremes` of the bars, quiet bars are skipped: Sharpe, Sortino and drawdown are NaN then, and all else is
    the same to the last bit.

    Work is split into `workers` strips (at least one) that share nothing, each in a thread of its own, free of the
    interpreter's lock: the result does not depend on their number.
    """
    statistics = np.empty((replays, len(STATISTICS)))
    strips = max(workers, 1)
    rules = rules._replace(plain=is_plain(orders, bars, rules))
    strip_of = _plain_strip if rules.plain else _any_strip
    asked = (NOWHERE, extremes or NONE, extremes is not None, statistics)
    edges = [strip * replays // strips for strip in range(strips + 1)]

    def replay_strip(first: int, last: int) -> None:
        work = new_work(orders.earliest.shape[1], bars.panel.shape[0])
        strip_of(orders, bars, rules, work, *asked, first, last)

    with ThreadPoolExecutor(strips) as threads:
        done = [threads.submit(replay_strip, *strip) for strip in itertools.pairwise(edges[1:])]
        replay_strip(*edges[:2])
        for strip in done:
            strip.result()
    return statistics
