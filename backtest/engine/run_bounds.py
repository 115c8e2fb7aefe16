"""What the bars allow for a whole run: bounds of net, Sharpe ratio and drawdown by interval arithmetic over its equity.

Up to the first doubtful bar everything is certain. A position open there was entered at a known size, so its own
interval counts. Any later order may or may not fill, at any size up to the largest that the equity of the best path
would allow: re-entries and path-dependent sizes are inside the bounds, never outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backtest.engine import layout
from backtest.engine.bounds import Intervals, open_in_doubt
from backtest.engine.layout import MOST_SLIP, NEVER, Book
from backtest.engine.prepared import Prepared
from backtest.engine.variations import Orders, Variation
from backtest.market.record import Floats

_CLOSED = tuple(layout.TRADE_COLUMNS.index(name) for name in ("intent", "exit_row", "net"))


@dataclass(frozen=True, slots=True)
class RunBounds:
    """Bounds of a run over every path that the bars allow.

    Attributes
    ----------
    net_low, net_high : float
        Currency of the account.
    sharpe_low, sharpe_high, drawdown_low, drawdown_high : float
        As the statistics of a run; NaN if its Sharpe ratio is NaN.
    exact, exact_sharpe, exact_drawdown : bool
        Whether the bounds of net, Sharpe ratio and drawdown are attained; if not, they are only sound: no path lies
        outside, but none may reach them.
    replays, pruned : int
        Replays of branch and bound (`backtest.engine.enumeration`), and branches whose bounds lay inside those found; 0
        if only interval arithmetic was used.
    ambiguous : int
        Trades that can end in more than one way.
    later : int
        Orders that fill after the first doubtful bar, so that their size and entry depend on the path.
    """

    net_low: float
    net_high: float
    sharpe_low: float
    sharpe_high: float
    drawdown_low: float
    drawdown_high: float
    exact: bool
    ambiguous: int
    later: int
    exact_sharpe: bool = False
    exact_drawdown: bool = False
    replays: int = 0
    pruned: int = 0


def arithmetic_bounds(
    orders: Orders, prepared: Prepared, book: Book, statistics: Floats, intervals: Intervals
) -> RunBounds:
    """Bounds of the run recorded by a replay, by interval arithmetic."""
    capital = prepared.rules.capital
    net = float(book.equity[-1]) - capital
    sharpe, drawdown = float(statistics[layout.SHARPE]), float(statistics[layout.MAX_DRAWDOWN])
    doubtful = np.flatnonzero(intervals.ambiguous)
    if len(doubtful) == 0:
        return RunBounds(net, net, sharpe, sharpe, drawdown, drawdown, True, 0, 0, True, True)
    first = int(intervals.first_row[doubtful].min())
    intent, exit_row, realised = (book.trades[: book.counts[1], place] for place in _CLOSED)
    over = (exit_row < first) & ~intervals.ambiguous[intent.astype(np.int64)]
    opened: Any = book.entered
    entry_row, notionals = opened["entry_row"], opened["quantity"] * opened["price"]
    base = capital + float(realised[over].sum())
    certain = first - 1 if open_in_doubt(intervals, book) == first else first
    entered = [k for k in intent[~over].astype(np.int64) if entry_row[k] <= certain]
    later = _later(orders, prepared, certain)
    low, high = (np.zeros(prepared.bar_count) for _ in range(2))
    final_low = final_high = base - capital
    for k in entered:
        notional = float(notionals[k])
        paid = float(opened["price"][k])
        whole = notional * float(opened["parts"][k]) ** 2
        worst, best = returns_of(orders, prepared, Entry(int(k), int(entry_row[k]), paid, paid), whole)
        low[first:] += notional * min(worst, 0.0)
        high[first:] += notional * max(best, 0.0)
        final_low += float(intervals.net_low[k])
        final_high += float(intervals.net_high[k])
    for one in later:
        k, row = one.intent, one.row
        equity = base + high[row]
        notional = _most(k, row, equity, orders, prepared)
        # Each part of an order pays the impact of the whole order.
        parts = np.flatnonzero(orders.group[0] == orders.group[0, k]) if orders.group[0, k] < -1 else [k]
        whole = sum(_most(int(part), row, equity, orders, prepared) for part in parts)
        worst, best = returns_of(orders, prepared, _priced(one, orders, prepared, whole), whole)
        low[row:] += notional * min(worst, 0.0)
        high[row:] += notional * max(best, 0.0)
        final_low += notional * min(worst, 0.0)
        final_high += notional * max(best, 0.0)
    final_low = max(final_low, -capital)
    loose = any(orders.group[0, k] != -1 or intervals.outer[k] for k in entered)
    # Two positions on the same path cannot both reach their best.
    shared = [int(orders.column[0, k]) for k in entered if intervals.ambiguous[k]]
    loose = loose or len(set(shared)) < len(shared)
    below, above = np.maximum(base + low, 0.0), base + high
    drawdowns = _drawdowns(book.equity[:first], below[first:], above[first:], capital)
    sharpes = _sharpes(
        book.equity[:first], capital, capital + final_low, prepared.bar_count, prepared.rules.bars_per_year
    )
    return RunBounds(
        float(min(final_low, net)),
        float(max(final_high, net)),
        *sharpes,
        *drawdowns,
        not later and not loose,
        len(doubtful),
        len(later),
    )


def _most(k: int, row: int, equity: float, orders: Orders, prepared: Prepared) -> float:
    """Largest notional that an intent can have at a row, if equity is at most this."""
    fixed = float(orders.notional[0, k]) if orders.notional.shape[1] else math.nan
    wanted = float(orders.weight[0, k]) * equity if math.isnan(fixed) else fixed
    wanted = min(wanted, prepared.rules.gross_cap * equity)
    capacity = float(prepared.bars.panel[orders.column[0, k], row, layout.CAPACITY])
    return min(wanted, capacity) if not math.isnan(capacity) else 0.0


@dataclass(frozen=True, slots=True)
class Entry:
    """An intent that fills unless it is rejected, and the least and greatest price that it can pay."""

    intent: int
    row: int
    least: float
    greatest: float
    maker: bool = False


def _later(orders: Orders, prepared: Prepared, first: int) -> list[Entry]:
    """Intents that may fill after a row, by their row, at their prices before spread and impact.

    The time at which an order fills, if it is not rejected, does not depend on open positions.
    """
    from backtest.engine.intervals import fill_rows
    from backtest.engine.kernel import new_work

    assert int(orders.shift[0]) == 0, "a recorded replay is not shifted"
    bars = prepared.bars
    work = new_work(orders.column.shape[1], bars.panel.shape[0])
    fill_rows(Variation(*(getattr(orders, name)[0] for name in Variation._fields)), bars, work)
    rows, pending = work.fill_row, work.verdict == layout.PENDING
    found = []
    for k in np.flatnonzero(pending & (rows > first)).tolist():
        at_open = work.entry[k] == layout.AT_MARKET
        opening = float(bars.panel[int(orders.column[0, k]), rows[k], layout.OPEN])
        reference = opening if at_open else float(work.level[k])
        maker = work.entry[k] in (layout.MAKER_AT_OPEN, layout.MAKER_INSIDE)
        found.append(Entry(k, int(rows[k]), reference, reference, bool(maker)))
    return sorted(found, key=lambda one: one.row)


def _priced(entry: Entry, orders: Orders, prepared: Prepared, most: float) -> Entry:
    """The entry with the half-spread, which it pays at any size, and the impact of any size up to `most`."""
    if entry.maker:
        return entry
    side, spread = float(orders.side[0, entry.intent]), prepared.rules.half_spread
    coefficient = float(prepared.bars.panel[int(orders.column[0, entry.intent]), entry.row, layout.IMPACT])
    impact = min(coefficient * math.sqrt(most), MOST_SLIP - spread) if coefficient > 0 else 0.0
    prices = [entry.least * (1 + side * (spread + share)) for share in (0.0, impact)]
    return replace(entry, least=min(prices), greatest=max(prices))


def _opens(prepared: Prepared, column: int, row: int, until: int) -> Floats:
    """Opens of the bars from one row to another, and of their finer bars: the price may jump there."""
    bars = prepared.bars
    opens = bars.panel[column, row : until + 1, layout.OPEN]
    finer = int(bars.detail_column[column])
    if finer < 0:
        return opens
    first, last = (bars.detail_first + at * bars.detail_ratio for at in (row, until + 1))
    return np.concatenate((opens, bars.detail[finer, max(first, 0) : max(last, 0), layout.OPEN]))


def last_held(orders: Orders, prepared: Prepared, k: int, row: int) -> int:
    """Last row at which an intent that is entered at `row` can still exit."""
    rules, bars, column = prepared.rules, prepared.bars, int(orders.column[0, k])
    until = int(bars.last_row[column])
    limited = min(int(orders.exit_row[0, k]), row + min(int(orders.hold[0, k]), NEVER - row))
    if orders.group[0, k] < 0 and not (rules.extend or rules.partial_exits) and limited <= until:
        until = min(int(bars.next_tradable[column, limited]), until)
    return until


def returns_of(orders: Orders, prepared: Prepared, entry: Entry, most: float) -> tuple[float, float]:
    """Bounds of the value of a position, per unit of notional, at any size up to `most`, until its exit.

    `most` is the notional whose impact it pays. Its price lies within the bars from its entry to the last row on which
    it can be held; a stop or target tightens this, except for opens beyond it. Spread and fees of the exit are in the
    lower bound only.
    """
    rules, bars, k, row = prepared.rules, prepared.bars, entry.intent, entry.row
    column, side = int(orders.column[0, k]), float(orders.side[0, k])
    until, partial = last_held(orders, prepared, k, row), rules.partial_exits
    panel = bars.panel[column, row : until + 1]
    coefficient = float(panel[0, layout.IMPACT])
    lowest, highest = float(np.nanmin(panel[:, layout.LOW])), float(np.nanmax(panel[:, layout.HIGH]))
    opens = _opens(prepared, column, row, until)
    low_open = float(np.nanmin(opens, initial=entry.least))
    high_open = float(np.nanmax(opens, initial=entry.greatest))
    stop, target = float(orders.stop_loss[0, k]), float(orders.take_profit[0, k])
    if partial or (rules.stops_on_mark and bars.marked[column]):
        # What is left of an exit in parts leaves at any price; a stop on the mark price says nothing of the last price.
        stop = math.nan
    target = math.nan if partial else target
    if orders.late.shape[1] and orders.late[0, k] < NEVER and not partial:
        target = max(target, float(orders.late_take_profit[0, k]))
    # Levels are rounded to the tick against the position.
    tick = float(bars.tick[column])
    if not math.isnan(stop):
        if side > 0:
            lowest = max(lowest, min(entry.least * (1 - stop) - tick, low_open))
        else:
            highest = min(highest, max(entry.greatest * (1 + stop) + tick, high_open))
    if not math.isnan(target):
        if side > 0:
            highest = min(highest, max(entry.greatest * (1 + target) + tick, high_open))
        else:
            lowest = max(lowest, min(entry.least * (1 - target) - tick, low_open))
    worst_slip = _worst_slip(panel[:, layout.IMPACT], coefficient, most * highest / entry.least, rules.half_spread)
    swap = bool(bars.swap[column])
    levered = rules.leverage if swap else 1.0
    fees = max(rules.fee_rate, rules.maker_fee_rate)
    rebate = max(-rules.maker_fee_rate, 0.0) * (1.0 + highest / entry.least)
    rates = panel[:, layout.FUNDING]
    paid = np.where(np.isnan(rates), 0.0 if rules.funding_unknown != layout.FUNDING_CONST else np.inf, side * rates)
    paid = np.where(np.isinf(paid), rules.funding_const, paid) * panel[:, layout.MARK] / entry.least
    pays, receives = float(np.maximum(paid, 0.0).sum()), float(-np.minimum(paid, 0.0).sum())
    dearest = highest * (1.0 if side > 0 else 1.0 + worst_slip) / entry.least
    charge = (fees + (rules.liquidation_fee if swap else 0.0)) * dearest
    if side > 0:
        worst = lowest * (1 - worst_slip) / entry.greatest - 1.0
        best = highest / entry.least - 1.0
    else:
        worst = 1.0 - highest * (1 + worst_slip) / entry.least
        best = 1.0 - lowest / entry.greatest
    # What an account backs can lose more than its own margin.
    floor = -math.inf if rules.cross else -1.0 / levered - fees
    return max(worst - fees - charge - pays, floor), best + receives + rebate


def _worst_slip(impacts: Floats, coefficient: float, notional: float, half_spread: float) -> float:
    known = impacts[~np.isnan(impacts)]
    most = max(float(known.max()) if len(known) else 0.0, 0.0 if math.isnan(coefficient) else coefficient)
    return half_spread + (min(most * math.sqrt(notional), MOST_SLIP - half_spread) if most > 0 else 0.0)


def _drawdowns(before: Floats, low: Floats, high: Floats, capital: float) -> tuple[float, float]:
    """Bounds of the maximum drawdown, given equity before the first doubtful bar and its bounds from there on."""
    path = np.concatenate(([capital], before))
    certain = float((1.0 - path / np.maximum.accumulate(path)).max())
    peak = float(path.max())
    least = max(certain, float((1.0 - high / peak).max(initial=0.0)))
    greatest = float((1.0 - low / np.maximum(np.maximum.accumulate(high), peak)).max(initial=0.0))
    return least, max(certain, greatest)


def _sharpes(before: Floats, capital: float, least: float, count: int, year: float) -> tuple[float, float]:
    """Bounds of the Sharpe ratio: of T returns the first are known, of the other n only that they sum to some s.

    By Cauchy-Schwarz their squares sum to at least s^2 / n. With a and q the sums of the known returns and of their
    squares, (a + s) / T over the root of (q + s^2 / n - (a + s)^2 / T) / (T - 1) is therefore the ratio furthest from
    zero. It has one turning point in s. A sum of returns is at least the logarithm of the growth of equity.
    """
    path = np.concatenate(([capital], before))
    known = np.divide(path[1:], path[:-1], out=np.ones(len(path) - 1), where=path[:-1] > 0) - 1.0
    total, squares, n = float(known.sum()), float((known**2).sum()), count - len(known)
    lowest = math.log(least / path[-1]) if least > 0 and path[-1] > 0 else -float(n)

    def ratio(s: float) -> float:
        variance = (squares + s * s / n - (total + s) ** 2 / count) / max(count - 1, 1)
        if variance <= 0:
            return math.copysign(math.inf, total + s) if total + s else 0.0
        return (total + s) / count / math.sqrt(variance) * math.sqrt(year)

    # g = A s^2 + B s + C, ratio ~ (a + s) / sqrt(g): it turns where g = (a + s) g' / 2.
    square, linear, constant = 1 / n - 1 / count, -2 * total / count, squares - total * total / count
    turning = [lowest]
    divisor = linear / 2 - square * total
    if divisor:
        at = (total * linear / 2 - constant) / divisor
        turning += [at] if at > lowest else []
    limit = math.sqrt((count - 1) / square) / count * math.sqrt(year) if square > 0 else math.inf
    values = [ratio(s) for s in turning] + [limit]
    # The ratio is at most this far from zero; a variance above the least moves it towards zero.
    return min(*values, 0.0), max(*values, 0.0)
