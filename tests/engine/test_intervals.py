"""The interval of a trade against a search over every path on a grid of prices within each bar.

The search knows nothing of closed forms: it moves a price by one step of the grid up or down, follows the peak, and
leaves at the first level that it meets. A trailing stop follows peaks of the grid only, so its exits are those of the
continuous path to within one step. All else is equal to rounding.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from backtest.engine import intervals as columns
from backtest.engine import layout as codes
from backtest.engine import path
from backtest.engine.bounds import Intervals, useful_bars
from backtest.engine.kernel import new_work, replay_one
from backtest.engine.layout import F8, POSITION, Bars, Intent, Orders, Rules
from tests.engine.markets import RULES, Scenario, any_scenario, bars_of, book_of, orders_of, with_known_funding

STEP = 0.25
NAN = float("nan")


def table_of(orders: Orders, bars: Bars, rules: Rules) -> tuple[F8, F8, F8]:
    """Table of intervals, doubtful bars, and the trades of the replay whose entries they stand for."""
    count = orders.column.shape[1]
    book = book_of(bars, count)
    result = replay_one(orders, bars, rules, book)
    assert result[-2] < 0
    table, doubts, counts = (
        np.empty((count, columns.TABLE_WIDTH)),
        np.empty((999, columns.DOUBT_WIDTH)),
        np.zeros(1, np.int32),
    )
    flags, places = (lambda: np.empty(count, np.int8)), (lambda: np.empty(count))
    state: Any = np.zeros(count, POSITION)
    walk = columns.Walk(state, places(), places(), flags(), flags(), places(), places(), table, doubts, counts)
    one = Intent(*(getattr(orders, name)[0] for name in Intent._fields))
    columns.walk_trades(one, bars, rules, book.verdict, book.entered, new_work(count, bars.panel.shape[0]), walk)
    return table, doubts[: counts[0]], book.trades[: book.counts[1]]


@dataclass
class Leg:
    """One leg as the search sees it: unsigned levels of a position of one unit entered at `entry`."""

    long: bool
    entry: float
    stop: float | None
    target: float | None
    trail: float | None
    liquidation: float | None
    hold: int

    def met(self, before: float, price: float, peak: float) -> float | None:
        """Where a move of one step leaves, if it does; adverse levels first, the nearest of them."""
        trail = None if self.trail is None else peak * (1 - self.trail if self.long else 1 + self.trail)
        sign = 1 if self.long else -1
        adverse = [level for level in (self.stop, trail, self.liquidation) if level is not None]
        reached = [level for level in adverse if sign * price <= sign * level <= sign * before]
        if reached:
            return max(reached) if self.long else min(reached)
        if self.target is not None and sign * price >= sign * self.target:
            return self.target
        return None

    def beyond(self, price: float, peak: float) -> bool:
        """Whether an open lies at or beyond a level."""
        return self.met(np.inf if self.long else -np.inf, price, peak) is not None


def grid(leg: Leg, low: float, high: float) -> list[float]:
    """Prices of a bar in steps, and the peaks between two steps at which something changes.

    They are the peak whose trail just reaches the far end of the bar, and the last before the target.
    """
    places = {low + STEP * number for number in range(round((high - low) / STEP) + 1)}
    if leg.trail is not None:
        places.add(
            (low / (1 - leg.trail) if leg.long else high / (1 + leg.trail)) * (1 + 1e-12 * (1 if leg.long else -1))
        )
    if leg.target is not None:
        places.add(leg.target - 1e-9 if leg.long else leg.target + 1e-9)
    return sorted(place for place in places if low <= place <= high)


def search(leg: Leg, bar: tuple[float, ...], peak: float) -> tuple[set[float], set[float]]:
    """Prices at which some path of the grid leaves a bar, and the peaks of those that stay."""
    opening, high, low, close = bar
    raised = max(peak, opening) if leg.long else min(peak, opening)
    start = (opening, raised, opening == high, opening == low)
    places = grid(leg, low, high)
    seen, open_states, exits, peaks = {start}, [start], set(), set()
    while open_states:
        price, top, at_high, at_low = open_states.pop()
        if at_high and at_low and price == close:
            peaks.add(top)
        at = places.index(price)
        for to in (*places[max(at - 1, 0) : at], *places[at + 1 : at + 2]):
            level = leg.met(price, to, top)
            if level is not None:
                exits.add(level)
                continue
            state = (to, max(top, to) if leg.long else min(top, to), at_high or to == high, at_low or to == low)
            if state not in seen:
                seen.add(state)
                open_states.append(state)
    return exits, peaks


def search_trades(legs: list[Leg], bars: list[list[tuple[float, ...]]]) -> list[tuple[float, float]]:
    """Least and greatest exit price of each leg of one unit, whose other legs leave at the close when one has left."""
    found: list[set[float]] = [set() for _ in legs]
    peaks = [{leg.entry} for leg in legs]
    for row in range(len(bars[0])):
        leaves = [leg.beyond(bar[row][0], next(iter(at))) for leg, bar, at in zip(legs, bars, peaks, strict=True)]
        if any(leaves) or any(row > 0 and row >= leg.hold for leg in legs):
            for place, bar in enumerate(bars):
                found[place].add(bar[row][0])
            break
        ends = [search(leg, bar[row], next(iter(at))) for leg, bar, at in zip(legs, bars, peaks, strict=True)]
        for place, (exits, stays) in enumerate(ends):
            found[place] |= exits
            others = any(end[0] for other, end in enumerate(ends) if other != place)
            if stays and (others or (row == len(bars[0]) - 1 and all(end[1] for end in ends))):
                found[place].add(bars[place][row][3])
        if not all(stays for _, stays in ends):
            break
        assert all(len(stays) == 1 for _, stays in ends), "the peak of what stays is known"
        peaks = [stays for _, stays in ends]
    return [(min(prices), max(prices)) for prices in found]


def random_bars(random: np.random.Generator, count: int) -> list[tuple[float, ...]]:
    """Bars on the grid; a third of the opens jump."""
    price, found = 100.0, []
    for row in range(count):
        opening = price + (STEP * random.integers(-8, 9) if row and random.random() < 0.3 else 0.0)
        close = opening + STEP * random.integers(-12, 13)
        high = max(opening, close) + STEP * random.integers(0, 10)
        low = min(opening, close) - STEP * random.integers(0, 10)
        found.append((float(opening), float(high), float(low), float(close)))
        price = close
    return found


def random_case(seed: int) -> tuple[list[Leg], list[list[tuple[float, ...]]], list[dict[str, Any]], Rules]:
    random = np.random.default_rng(seed)
    count, legs = int(random.integers(1, 6)), 2 if random.random() < 0.3 else 1
    leverage = float(random.choice([1.0, 1.0, 20.0]))
    rules = RULES._replace(leverage=leverage, gross_cap=100.0)
    found, bars, intents = [], [], []

    def share(likely: float) -> float:
        return float(random.choice([0.005, 0.0137, 0.02, 0.0333])) if random.random() < likely else NAN

    for column in range(legs):
        long = bool(random.random() < 0.5)
        stop, target, trail = share(0.4), share(0.4), share(0.5)
        hold = int(random.integers(1, 6)) if random.random() < 0.3 else codes.NEVER
        bars.append(random_bars(random, count))
        sign = 1 if long else -1
        found.append(
            Leg(
                long, 100.0,
                None if np.isnan(stop) else 100.0 * (1 - sign * stop),
                None if np.isnan(target) else 100.0 * (1 + sign * target),
                None if np.isnan(trail) else trail,
                100.0 - sign * 100.0 / leverage if leverage > 1 or not long else None,
                hold,
            )
        )  # fmt: skip
        intents.append(
            {
                "column": column, "side": float(sign), "weight": 0.2, "stop_loss": stop, "take_profit": target,
                "trailing_stop": trail, "hold": hold, "group": 0 if legs > 1 else -1,
            }
        )  # fmt: skip
    return found, bars, intents, rules


@pytest.mark.parametrize("part", range(4))
def test_the_interval_of_a_trade_is_that_of_every_path_on_a_grid(part: int) -> None:
    wide = trailing = 0
    for seed in range(250 * part, 250 * (part + 1)):
        legs, prices, intents, rules = random_case(seed)
        expected = search_trades(legs, prices)
        table, _, trades = table_of(orders_of(intents), bars_of(np.array(prices)), rules)
        assert len(trades) == len(legs)
        for place, (leg, (least, greatest)) in enumerate(zip(legs, expected, strict=True)):
            quantity = 0.2 * rules.capital / 100.0
            sign = 1 if leg.long else -1
            # What is lost is never more than the margin.
            nets = sorted(
                max(sign * quantity * (price - 100.0), -0.2 * rules.capital / rules.leverage)
                for price in (least, greatest)
            )
            slack = 1e-9 + (quantity * STEP * 1.04 if leg.trail is not None else 0.0)
            actual = table[place, columns.NET_LOW], table[place, columns.NET_HIGH]
            assert actual == pytest.approx(nets, abs=slack), (seed, place, leg, prices)
            # On the grid nothing is found that the closed form does not allow.
            assert actual[0] <= nets[0] + 1e-9, (seed, place, leg, prices)
            assert actual[1] >= nets[1] - 1e-9, (seed, place, leg, prices)
            wide += nets[0] < nets[1] - 1e-9
            trailing += nets[0] < nets[1] - 1e-9 and leg.trail is not None
    assert wide > 40
    assert trailing > 20


PLANTED = (
    ("most_low > nearest and close > final", "close > final"),
    ("most_low > nearest and close > final", "most_low > nearest"),
    ("least_high < target and", ""),
    ("low <= fixed and fixed >= start", "low <= fixed"),
    ("max(lowest, low, fixed), highest", "lowest, highest"),
    ("max(lowest, low, fixed), highest", "max(lowest, low), highest"),
    ("max(greatest_peak, high), target)", "greatest_peak, target)"),
    ("min(max(greatest_peak, high), target)", "max(greatest_peak, high)"),
    ("high >= target, trail_low", "False, trail_low"),
)


def one_bar(possible_exits: Any, seed: int) -> bool:
    """Whether a closed form agrees with the search in one bar, in every exit."""
    random = np.random.default_rng(seed)
    bar = random_bars(random, 1)[0]

    def level(sign: int) -> float | None:
        return 100.0 + sign * float(random.choice([0.3, 1.1, 2.3])) if random.random() < 0.5 else None

    leg = Leg(
        True,
        100.0,
        level(-1),
        level(1),
        float(random.choice([0.004, 0.011, 0.027])) if random.random() < 0.7 else None,
        None,
        9,
    )
    exits, peaks = search(leg, bar, 100.0)
    _, high, low, close = bar
    found = possible_exits(
        low, high, high, low, close, -np.inf if leg.stop is None else leg.stop, -np.inf,
        np.inf if leg.target is None else leg.target, np.inf if leg.trail is None else leg.trail, -np.inf, 100.0, 100.0,
    )  # fmt: skip
    fixed, target = leg.stop in exits, leg.target in exits
    trails = exits - {leg.stop, leg.target}
    if (found.stays, found.fixed > 0, found.target) != (bool(peaks), fixed, target):
        return False
    if not trails:
        return bool(found.trail_low > found.trail_high or found.trail_high - found.trail_low < STEP)
    least, greatest = min(trails), max(trails)
    return bool(least - STEP <= found.trail_low <= least and greatest <= found.trail_high <= greatest + STEP)


def test_the_search_finds_planted_errors() -> None:
    source = inspect.getsource(path.possible_exits.py_func)  # type: ignore[attr-defined]
    source = source[source.index("def ") :]

    def built(text: str) -> Any:
        names = dict(vars(path))
        exec(text.replace("def ", "from __future__ import annotations\ndef ", 1), names)
        return names["possible_exits"]

    assert all(one_bar(built(source), seed) for seed in range(400))
    for sound, wrong in PLANTED:
        assert sound in source
        planted = built(source.replace(sound, wrong))
        assert not all(one_bar(planted, seed) for seed in range(400)), f"{sound} -> {wrong}"


def only(prices: list[tuple[float, ...]], intent: dict[str, Any], **rules: Any) -> tuple[float, float]:
    table, _, _ = table_of(orders_of([intent]), bars_of(np.array([prices], dtype=float)), RULES._replace(**rules))
    return float(table[0, columns.NET_LOW]), float(table[0, columns.NET_HIGH])


def test_a_trail_may_be_met_before_the_high() -> None:
    # 0.3 % under 100 is 99.7; up to 100.2 and back to 99.9 leaves at 99.9: -1. From 110 it leaves at 109.67: +96.7.
    assert only([(100, 110, 99.9, 109)], {"trailing_stop": 0.003}) == pytest.approx((-1.0, 96.7))


def test_staying_through_a_bar_may_be_the_better_end() -> None:
    # Trail 10 %: up to 105.56 and back to 95 leaves at 95, -5 % of 50,000; low first, it stays until 300.
    prices = [(100, 100, 100, 100), (100, 100, 100, 100), (100, 120, 95, 118), (300, 300, 300, 300)]
    assert only(prices, {"trailing_stop": 0.1}, capital=50_000.0) == pytest.approx((-2_500.0, 100_000.0))


def test_bars_may_mix_their_orders() -> None:
    # Two doubtful bars: stopped in the first -50, paid in the second +50 or stopped there -50, else held to 96: -40.
    prices = [(100, 104, 94, 100), (100, 106, 94, 96), (96, 96, 96, 96)]
    stop_only = only([(100, 104, 96, 100), *prices[1:]], {"stop_loss": 0.05, "take_profit": 0.05})
    assert stop_only == pytest.approx((-50.0, 50.0))


def test_detail_narrows_what_it_covers_and_no_more() -> None:
    # Bar 100-110-94-100, stop 95 and target 105. The first half reaches the target: known. The second alone does not
    # say where the first half went: 94 is still to come in it, 110 may be.
    bar = [[(100, 110, 94, 100), (100, 100, 100, 100)]]
    intent = {"stop_loss": 0.05, "take_profit": 0.05}

    def with_detail(*fine: tuple[float, ...]) -> tuple[float, float]:
        bars = bars_of(np.array(bar, dtype=float), detail=np.array([fine], dtype=float), detail_ratio=2)
        table, _, _ = table_of(orders_of([intent]), bars, RULES)
        return float(table[0, columns.NET_LOW]), float(table[0, columns.NET_HIGH])

    none, flat = (NAN,) * 4, (100.0,) * 4
    assert with_detail((100, 110, 99, 108), (108, 109, 94, 100), flat, flat) == pytest.approx((50, 50))
    assert with_detail((100, 110, 99, 108), none, flat, flat) == pytest.approx((50, 50))
    assert with_detail(none, (96, 110, 96, 100), flat, flat) == pytest.approx((-50, 50))
    assert with_detail(none, none, flat, flat) == pytest.approx((-50, 50))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_scenario)
def test_every_stop_order_lies_in_the_interval_of_its_entry(scenario: Scenario) -> None:
    scenario = with_known_funding(scenario)
    scenario = replace(scenario, orders=scenario.orders._replace(shift=np.zeros(1, np.int32)))
    for stop_order in range(len(codes.STOP_ORDERS)):
        rules = scenario.rules._replace(stop_order=stop_order)
        table, _, trades = table_of(scenario.orders, scenario.bars, rules)
        net, place = (codes.TRADE_COLUMNS.index(name) for name in ("net", "intent"))
        for trade in trades:
            row, slack = table[int(trade[place])], 1e-9 * rules.capital
            assert row[columns.NET_LOW] - slack <= trade[net] <= row[columns.NET_HIGH] + slack


def test_the_most_useful_bar_comes_first() -> None:
    trail = [(100, 102, 99, 101.5), (101.5, 104, 100.2, 103), (103, 103, 103, 103)]
    orders, bars = orders_of([{"trailing_stop": 0.02}]), bars_of(np.array([trail], dtype=float))
    table, doubts, _ = table_of(orders, bars, RULES)
    book = book_of(bars, 1)
    replay_one(orders, bars, RULES, book)
    none = np.zeros(1)
    given = Intervals(
        net_low=table[:, columns.NET_LOW],
        net_high=table[:, columns.NET_HIGH],
        ambiguous=none == 0,
        first_row=none,
        last_row=none,
        outer=none > 0,
        doubts=doubts,
    )
    found = useful_bars(given, book)
    assert [bar.row for bar in found] == [0, 1]
    # Up to 101.02 and back to 99: -10 at worst. Low first, then under 101.92 of the high: +30 at the end at best.
    assert found[0].gain == pytest.approx(40.0)
    assert found[1].gain < found[0].gain
