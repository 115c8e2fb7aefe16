"""Bounds of a run by branch and bound, against every path that up-first and down-first bars can make."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from backtest.base.config import RunConfig
from backtest.engine import layout as codes
from backtest.engine.bounds import intervals_of
from backtest.engine.enumeration import bounds_of
from backtest.engine.kernel import replay_one
from backtest.engine.layout import Rules
from backtest.engine.prepared import Prepared, empty_book
from backtest.engine.run_bounds import RunBounds, arithmetic_bounds
from backtest.engine.variations import Orders
from backtest.market.record import Market
from backtest.testing import synthetic_market
from tests.engine.markets import RULES, bars_of, orders_of

NAN = float("nan")


@pytest.fixture(scope="module")
def market() -> Market:
    """Only the name of one: the bars are each test's own."""
    return synthetic_market()


def bounds(
    market: Market, prices: Any, orders: Orders, rules: Rules, arithmetic: bool = False, **detail: Any
) -> RunBounds:
    prepared = Prepared(market, RunConfig(), bars_of(np.array(prices, dtype=float), **detail), rules)
    book = empty_book(prepared.bar_count, orders.column.shape[1])
    statistics = replay_one(orders, prepared.bars, rules, book)[:-2]
    found = arithmetic_bounds if arithmetic else bounds_of
    return found(orders, prepared, book, statistics, intervals_of(orders, prepared, book))


def every_order(prices: list[Any], orders: Orders, rules: Rules) -> np.ndarray:
    """Net, Sharpe ratio and drawdown of every choice of which extreme each bar meets first, as four finer bars."""
    flat = [(column, row) for column in range(len(prices)) for row in range(len(prices[0]))]
    moving = [(c, r) for c, r in flat if prices[c][r][1] > prices[c][r][2]]
    found = []
    for choice in itertools.product((False, True), repeat=len(moving)):
        fine = np.full((len(prices), len(prices[0]) * 3, 4), NAN)
        for (column, row), up in zip(moving, choice, strict=True):
            opening, high, low, close = prices[column][row]
            turns = (opening, high, low, close) if up else (opening, low, high, close)
            for slot, (start, end) in enumerate(itertools.pairwise(turns)):
                fine[column, row * 3 + slot] = (start, max(start, end), min(start, end), end)
        bars = bars_of(np.array(prices, dtype=float), detail=fine, detail_ratio=3)
        book = empty_book(len(prices[0]), orders.column.shape[1])
        result = replay_one(orders, bars, rules, book)
        found.append((book.equity[-1] - rules.capital, result[codes.SHARPE], result[codes.MAX_DRAWDOWN]))
    return np.array(found)


def random_prices(random: np.random.Generator, instruments: int, rows: int) -> list[list[tuple[float, ...]]]:
    found = []
    for _ in range(instruments):
        price, bars = 100.0, []
        for _ in range(rows):
            close = price + float(random.integers(-4, 5))
            wide = random.random() < 0.6
            high, low = max(price, close), min(price, close)
            bars.append((price, high + 3.0 * wide, low - 3.0 * wide, close))
            price = close
        found.append(bars)
    return found


def random_run(seed: int) -> tuple[list[Any], Orders, Rules]:
    """One to five stops and targets one after the other or together, with re-entries, sizes and costs."""
    random = np.random.default_rng(seed)
    instruments = int(random.integers(1, 3))
    rows = 8 if instruments == 1 else 4
    intents = []
    for _ in range(int(random.integers(1, 6))):
        fixed = random.random() < 0.3
        intents.append(
            {
                "earliest": int(random.integers(0, rows)), "column": int(random.integers(instruments)),
                "side": float(random.choice([-1, 1])), "stop_loss": 0.0251, "take_profit": 0.0253,
                "weight": float(random.uniform(0.2, 1.0)), "notional": 400.0 if fixed else NAN,
                "hold": int(random.integers(1, 6)),
            }
        )  # fmt: skip
    costs = {"fee_rate": 0.001, "half_spread": 0.0005} if random.random() < 0.5 else {}
    leverage = float(random.choice([1.0, 3.0]))
    rules = RULES._replace(leverage=leverage, gross_cap=float(random.choice([1.0, 2.0])), **costs)
    return random_prices(random, instruments, rows), orders_of(intents), rules


def test_branch_and_bound_finds_what_enumeration_finds(market: Market) -> None:
    wide = later = narrower = 0
    for seed in range(60):
        prices, orders, rules = random_run(seed)
        found = bounds(market, prices, orders, rules)
        nets, sharpes, drawdowns = every_order(prices, orders, rules).T
        slack = 1e-6
        assert found.exact, seed
        assert (found.net_low, found.net_high) == pytest.approx((nets.min(), nets.max()), abs=slack), seed
        assert found.exact_drawdown
        assert (found.drawdown_low, found.drawdown_high) == pytest.approx((drawdowns.min(), drawdowns.max()), abs=1e-9)
        if not np.isnan(sharpes).any():
            assert found.exact_sharpe
            assert (found.sharpe_low, found.sharpe_high) == pytest.approx((sharpes.min(), sharpes.max()), abs=1e-6)
        loose = bounds(market, prices, orders, rules, arithmetic=True)
        assert loose.net_low <= nets.min() + slack
        assert loose.net_high >= nets.max() - slack
        assert loose.drawdown_low <= drawdowns.min() + 1e-9
        assert loose.drawdown_high >= drawdowns.max() - 1e-9
        wide += found.net_high > found.net_low + slack
        later += found.later > 0
        narrower += loose.net_high - loose.net_low > found.net_high - found.net_low + slack
    assert wide > 15
    assert later > 10
    assert narrower > 5


def test_an_order_that_rests_counts_at_the_row_and_price_at_which_it_fills(market: Market) -> None:
    # A doubtful bar, and a limit at 90 given before it that fills after it: from 90 to 60 loses a third of its money.
    prices = [[(100, 100, 100, 100), (100, 104, 96, 100), (100, 100, 85, 88), (88, 88, 60, 60)]]
    intents = [
        {"earliest": 1, "weight": 0.2, "stop_loss": 0.03, "take_profit": 0.03, "hold": 1},
        {"earliest": 1, "limit": 0.1, "notional": 600.0},
    ]
    for arithmetic in (True, False):
        found = bounds(market, prices, orders_of(intents), RULES, arithmetic)
        assert found.later == 1
        assert found.net_low <= -6.0 - 200.0 + 1e-9
    assert (found.net_low, found.net_high) == pytest.approx((-206.0, -194.0))
    assert found.exact


def test_the_interval_of_two_doubtful_bars_is_that_of_their_mixtures(market: Market) -> None:
    # 100,000 of capital, all of it twice: 100 to 110 or 90.8, then again. Mixtures lie between.
    trade = {"stop_loss": 0.092, "take_profit": 0.1, "hold": 1}
    prices = [[(100, 111, 90, 100), (100, 100, 100, 100), (100, 111, 90, 100), (100, 100, 100, 100)]]
    orders = orders_of([trade, {**trade, "earliest": 2}])
    found = bounds(market, prices, orders, RULES._replace(capital=100_000.0))
    mixed = sorted(100_000 * (a * b - 1) for a in (1.1, 0.908) for b in (1.1, 0.908))
    assert (found.net_low, found.net_high) == pytest.approx((mixed[0], mixed[-1]))
    assert found.exact
    assert (found.ambiguous, found.later, found.replays) == (2, 1, 7)


def test_the_interval_of_a_run_holds_every_mixture_of_orders(market: Market) -> None:
    # Half of 100,000 each. The first is stopped at 97.6 or paid at 280; the second leaves at 100, 20 % under 125, or
    # stays until 120.8. Low first in both bars nets 9,200, high first 90,000, and low first in the first alone -1,200.
    prices = [[(100, 290, 97, 200), (200,) * 4], [(100, 125, 100, 120.8), (120.8,) * 4]]
    intents = [
        {"weight": 0.5, "stop_loss": 0.024, "take_profit": 1.8},
        {"weight": 0.5, "column": 1, "trailing_stop": 0.2},
    ]
    orders, rules = orders_of(intents), RULES._replace(capital=100_000.0)
    first = (
        [(100, 100, 97, 97), (97, 290, 97, 290), (290, 290, 200, 200)],
        [(100, 290, 100, 290), (290, 290, 97, 97), (97, 200, 97, 200)],
    )
    second = (
        [(100,) * 4, (125,) * 4, (125, 125, 120.8, 120.8)],
        [(100,) * 4, (125,) * 4, (125, 125, 100, 120.8)],
    )
    nets = []
    for ways in itertools.product(first, second):
        fine = np.array([[*way, *[(NAN,) * 4] * 3] for way in ways], dtype=float)
        book = empty_book(2, 2)
        replay_one(orders, bars_of(np.array(prices, dtype=float), detail=fine, detail_ratio=3), rules, book)
        nets.append(float(book.equity[-1]) - rules.capital)
    # Low first in both, in the first alone, in the second alone, in neither.
    assert nets == pytest.approx([9_200, -1_200, 100_400, 90_000])
    found = bounds(market, prices, orders, rules)
    assert (found.net_low, found.net_high) == pytest.approx((-1_200, 100_400))
    assert found.exact


def test_a_finer_bar_that_opens_beyond_a_target_is_inside_the_interval(market: Market) -> None:
    # The first is in doubt, +15.5 or -15; then 400 from 100, and a finer bar opens at 108, beyond the target of 105.
    prices = [[(100, 104, 96, 100), (100,) * 4, (100, 110, 100, 110), (110,) * 4]]
    none, high = (NAN,) * 4, (100.0,) * 4
    fine = np.array([[none, none, none, none, high, (108, 110, 108, 110), none, none]])
    trade = {"weight": 0.5, "stop_loss": 0.03, "take_profit": 0.031, "hold": 1}
    orders = orders_of([trade, {"earliest": 2, "notional": 400.0, "take_profit": 0.05}])
    found = bounds(market, prices, orders, RULES, True, detail=fine, detail_ratio=2)
    assert found.net_high >= 15.5 + 32.0 - 1e-9
    assert found.net_low <= -15.0 + 1e-9


def test_an_entry_waits_for_an_open_at_which_another_may_leave(market: Market) -> None:
    # A limit at 98 with a trail of 5 %: its peak is anything from 100 to 102, so at the open of 96 it leaves or stays.
    # What it frees goes into the other coin, from 100 to 110: the gain is that of half or of all of the money.
    resting = [(100,) * 4, (99, 102, 97, 100), (96,) * 4, (96,) * 4]
    other = [(100,) * 4, (100,) * 4, (100, 110, 100, 110), (110,) * 4]
    intents = [
        {"earliest": 1, "limit": 0.02, "weight": 0.5, "trailing_stop": 0.05},
        {"earliest": 2, "column": 1, "weight": 1.0},
    ]
    orders, nets = orders_of(intents), []
    for stop_order in range(len(codes.STOP_ORDERS)):
        rules = RULES._replace(stop_order=stop_order)
        bars = bars_of(np.array([resting, other], dtype=float))
        book = empty_book(4, 2)
        replay_one(orders, bars, rules, book)
        nets.append(float(book.equity[-1]) - rules.capital)
        for arithmetic in (True, False):
            found = bounds(market, [resting, other], orders, rules, arithmetic)
            assert found.net_low <= 38 + 1e-6 < 90 - 1e-6 <= found.net_high
            assert not found.exact
    assert max(nets) > min(nets) + 40


def test_too_many_doubtful_bars_keep_the_bounds_of_arithmetic_and_say_so(market: Market) -> None:
    bar = [(100, 104, 96, 100), (100, 100, 100, 100)]
    trade = {"stop_loss": 0.03, "take_profit": 0.031, "weight": 0.5, "hold": 1}
    orders = orders_of([{**trade, "earliest": 2 * number} for number in range(12)])
    found = bounds(market, [bar * 12], orders, RULES)
    assert not found.exact
    assert found.replays == 256
    assert found.net_low <= 1000 * ((1 - 0.015) ** 12 - 1) + 1e-9
    assert found.net_high >= 1000 * ((1 + 0.0155) ** 12 - 1) - 1e-9


def test_a_range_of_prices_is_not_enumerated(market: Market) -> None:
    prices = [[(100, 110, 99, 109), (109, 109, 109, 109), (109, 112, 108, 110), (110, 110, 110, 110)]]
    orders = orders_of([{"trailing_stop": 0.003, "hold": 1}, {"earliest": 2, "trailing_stop": 0.003}])
    found = bounds(market, prices, orders, RULES)
    assert not found.exact
    assert found.replays == 1


def test_planted_errors_fail_the_enumeration(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    from backtest.engine import enumeration

    sound = enumeration._paths

    def fails() -> bool:
        try:
            test_branch_and_bound_finds_what_enumeration_finds(market)
        except AssertionError:
            return True
        return False

    monkeypatch.setattr(enumeration, "_paths", lambda *asked: (sound(*asked) or [None])[:1])
    assert fails()
    monkeypatch.setattr(enumeration, "_paths", sound)
    monkeypatch.setattr(enumeration._Tree, "covers", lambda *_: True)
    assert fails()
