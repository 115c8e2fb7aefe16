"""The interval of a trade on finer bars, whole or in part, against a search over every path along them."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.engine import ends as columns
from backtest.engine import layout as codes
from tests.engine.grid_paths import STEP, Bar, Leg, random_detail, search_with_detail
from tests.engine.markets import RULES, bars_of, orders_of
from tests.engine.test_intervals import LEVELS, NAN, NET, table_of

RATIO = 3
CASES = 200


def random_case(seed: int) -> tuple[Leg, list[Bar], list[list[Bar | None]]]:
    random = np.random.default_rng(seed)

    def share(likely: float) -> float | None:
        return float(random.choice([0.005, 0.0137, 0.02, 0.0333])) if random.random() < likely else None

    trail = share(0.5)
    leg = Leg(bool(random.random() < 0.5), share(0.5), share(0.5), trail, share(0.3) if trail else None)
    if random.random() < 0.5:
        leg.break_even, leg.second_trailing_stop = share(0.4), share(0.5)
        leg.second_activation = None if leg.second_trailing_stop is None else share(1.0)
    return (leg, *random_detail(random, int(random.integers(1, 4)), RATIO))


def interval_of(
    leg: Leg, bars: list[Bar], fines: list[list[Bar | None]], stop_order: int = 0
) -> tuple[float, float, bool, float]:
    """Bounds of net, whether they are outer ones, and net as it is replayed."""
    intent = {"side": float(leg.sign), "notional": 250.0}
    intent |= {name: NAN if getattr(leg, name) is None else getattr(leg, name) for name in LEVELS}
    detail = np.array([[one or (NAN,) * 4 for fine in fines for one in fine]])
    market = bars_of(np.array([bars]), detail=detail, detail_ratio=RATIO)
    table, _, trades = table_of(orders_of([intent]), market, RULES._replace(stop_order=stop_order))
    low, high = table[0, columns.NET_LOW], table[0, columns.NET_HIGH]
    return float(low), float(high), bool(table[0, columns.IS_OUTER]), float(trades[0, NET])


def test_the_interval_along_finer_bars_is_that_of_every_path_on_a_grid() -> None:
    seen = dict.fromkeys(("exact, whole", "exact, in part", "outer", "narrowed", "doubtful"), 0)
    for seed in range(CASES):
        leg, bars, fines = random_case(seed)
        quantity = 250.0 / leg.entry
        least, greatest = sorted(leg.net(quantity, price) for price in search_with_detail(leg, bars, fines))
        low, high, outer, _ = interval_of(leg, bars, fines)
        # On the grid nothing is found that lies outside; where the interval is called exact, nothing is added to it.
        assert low <= least + 1e-7, (seed, leg, bars, fines)
        assert high >= greatest - 1e-7, (seed, leg, bars, fines)
        slack = 1e-7 + (quantity * STEP * 1.04 if leg.stages else 0.0)
        equal = (low, high) == pytest.approx((least, greatest), abs=slack)
        assert equal or outer, (seed, leg, bars, fines)
        in_part = any(None in fine and any(fine) for fine in fines)
        seen["exact, whole"] += not outer and not in_part
        seen["exact, in part"] += not outer and in_part
        seen["outer"] += outer
        seen["doubtful"] += high > low + slack
        bare = interval_of(leg, bars, [[None] * RATIO for _ in fines])
        seen["narrowed"] += bare[1] - bare[0] > high - low + slack
        for stop_order in range(len(codes.STOP_ORDERS)):
            replayed = interval_of(leg, bars, fines, stop_order)[3]
            assert low - 1e-7 <= replayed <= high + 1e-7, (seed, stop_order)
    assert min(seen.values()) > 10, seen


def test_the_search_along_finer_bars_finds_planted_errors() -> None:
    def outside(planted: bool) -> int:
        found = 0
        for seed in range(60):
            leg, bars, fines = random_case(seed)
            least, greatest = sorted(
                leg.net(250.0 / leg.entry, price) for price in search_with_detail(leg, bars, fines)
            )
            # The finer bars in the wrong order, and a finer bar believed that is not there.
            wrong = [
                [one or (bar[0], bar[1], bar[0], bar[1]) for one in fine] for bar, fine in zip(bars, fines, strict=True)
            ]
            low, high = interval_of(leg, bars, wrong if planted else fines)[:2]
            found += low > least + 1e-7 or high < greatest - 1e-7
        return found

    assert outside(planted=False) == 0
    assert outside(planted=True) > 0
