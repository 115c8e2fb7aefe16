"""The kernel against an independent plain-Python reference, over random markets.

Tolerance 1e-9 of capital for money and 1e-9 of the value for prices and ratios: both sides do the same arithmetic in
another order, so they may differ by rounding and by nothing else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from backtest.engine import layout as codes
from backtest.engine.kernel import is_plain, replay_many
from tests.engine.markets import (
    RULES,
    Recorded,
    Scenario,
    any_scenario,
    bars_of,
    crossed,
    in_parts,
    orders_of,
    plainly,
    recorded,
    scenarios,
    variation_of,
)
from tests.engine.reference import replay

TOLERANCE = 1e-9
RANDOM_MARKETS = settings(max_examples=700, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def agree(actual: np.ndarray, expected: np.ndarray, capital: float, what: str) -> None:
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE * capital, equal_nan=True, err_msg=what)


def in_order(rows: np.ndarray, names: tuple[str, ...], keys: tuple[str, ...]) -> np.ndarray:
    return rows[np.lexsort([rows[:, names.index(key)] for key in reversed(keys)])]


def assert_fills_stand_in_order(found: Recorded, cross: bool) -> None:
    """Time first; at an open, exits of what was held come before entries, and entries of a phase in the order given.

    An account that its entries have left too small is liquidated after them.
    """
    opened: set[int] = set()
    entered: list[tuple[float, float, float]] = []
    last = (-1.0, -1.0)
    columns = [found.fill(name) for name in ("row", "phase", "intent", "reason")]
    for row, phase, intent, reason in zip(*columns, strict=True):
        assert (row, phase) >= last
        last = (row, phase)
        if reason == codes.ENTRY:
            entered.append((row, phase, intent))
            opened.add(int(intent))
        else:
            assert int(intent) in opened
            entry_row = next(at for at, _, number in entered if number == intent)
            account = cross and reason == codes.LIQUIDATION
            assert entry_row == row or phase != codes.AT_OPEN or account or all(at < row for at, *_ in entered)
    assert entered == sorted(entered)
    assert len(entered) == (found.verdict == codes.ACCEPTED).sum()


def compare(scenario: Scenario) -> None:
    bars, orders, rules = scenario.bars, scenario.orders, scenario.rules
    found, expected = recorded(orders, bars, rules), replay(orders, bars, rules)
    assert_fills_stand_in_order(found, rules.cross)
    if expected.fault is not None:
        assert found.fault == expected.fault
        return
    assert found.fault is None
    np.testing.assert_array_equal(found.verdict, expected.verdicts)
    assert len(found.fills) == len(expected.fills)
    assert len(found.trades) == len(expected.trades)
    if expected.fills:
        keys = ("row", "phase", "intent", "reason")
        agree(
            in_order(found.fills, codes.FILL_COLUMNS, keys),
            in_order(np.array(expected.fills, dtype=float), codes.FILL_COLUMNS, keys),
            rules.capital,
            "fills: " + " ".join(codes.FILL_COLUMNS),
        )
        agree(
            in_order(found.trades, codes.TRADE_COLUMNS, ("intent",)),
            in_order(np.array(expected.trades, dtype=float), codes.TRADE_COLUMNS, ("intent",)),
            rules.capital,
            "trades: " + " ".join(codes.TRADE_COLUMNS),
        )
    agree(found.equity, np.array(expected.equity), rules.capital, "equity")
    agree(found.funding, np.array(expected.funding), rules.capital, "funding")
    for name, value in zip(codes.STATISTICS, found.statistics, strict=True):
        if name == "hit_rate" and any(abs(trade.net) < TOLERANCE * rules.capital for trade in expected.trades):
            # A break-even stop without costs nets nothing: on which side of zero is rounding.
            continue
        # The angle: a ratio of tens of thousands has a denominator near rounding.
        shown = np.arctan if name in ("sharpe", "sortino") else np.asarray
        agree(shown(value), shown(expected.statistics[name]), 1.0, name)


@RANDOM_MARKETS
@given(any_scenario)
def test_kernel_equals_reference_and_its_fills_stand_in_order(scenario: Scenario) -> None:
    compare(scenario)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios(marked=True))
def test_kernel_equals_reference_where_the_mark_price_triggers(scenario: Scenario) -> None:
    compare(scenario)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(in_parts)
def test_kernel_equals_reference_where_exits_are_filled_in_parts(scenario: Scenario) -> None:
    compare(scenario)


@settings(max_examples=700, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(crossed)
def test_kernel_equals_reference_where_one_account_backs_all_contracts(scenario: Scenario) -> None:
    compare(scenario)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(*(scenarios(variations=3, **more) for more in ({}, {"partial": True}, {"cross": True}))),
    st.integers(1, 5),
)
def test_batch_equals_single_replays(scenario: Scenario, workers: int) -> None:
    batch = replay_many(scenario.orders, scenario.bars, scenario.rules, 3, workers)
    assert batch.shape == (3, len(codes.STATISTICS))
    for number in range(3):
        found = recorded(variation_of(scenario.orders, number), scenario.bars, scenario.rules)
        expected = found.statistics if found.fault is None else np.full(len(codes.STATISTICS), np.nan)
        np.testing.assert_array_equal(batch[number], expected)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios(variations=3).map(plainly), st.integers(1, 5))
def test_a_plain_batch_equals_single_replays(scenario: Scenario, workers: int) -> None:
    assert is_plain(scenario.orders, scenario.bars, scenario.rules)
    batch = replay_many(scenario.orders, scenario.bars, scenario.rules, 3, workers)
    for number in range(3):
        found = recorded(variation_of(scenario.orders, number), scenario.bars, scenario.rules)
        expected = found.statistics if found.fault is None else np.full(len(codes.STATISTICS), np.nan)
        np.testing.assert_array_equal(batch[number], expected)


RARE = (
    ("orders", {"group": np.zeros((1, 1), np.int32)}),
    *(("orders", {name: np.full((1, 1), 0.1)}) for name in ("activation", "break_even", "limit", "stop_entry")),
    ("orders", {"second_trailing_stop": np.full((1, 1), 0.1)}),
    ("orders", {"late_take_profit": np.full((1, 1), 0.1)}),
    ("bars", {"marked": np.ones(1, np.bool_)}),
    ("bars", {"detail_column": np.zeros(1, np.int32)}),
    ("bars", {"tiers": np.full((1, 1, 1, 2), 0.1)}),
    ("bars", {"most_leverage": np.full((1, 1, 1, 2), 10.0)}),
    *(
        ("rules", {name: True})
        for name in ("settles_inside", "extend", "adds", "maker_targets", "partial_exits", "cross")
    ),
)


@pytest.mark.parametrize(("place", "changed"), RARE, ids=[next(iter(changed)) for _, changed in RARE])
def test_what_is_rare_is_not_plain(place: str, changed: dict[str, Any]) -> None:
    plain = plainly(Scenario(bars_of(np.full((1, 2, 4), 100.0)), orders_of([{}]), RULES))
    assert is_plain(plain.orders, plain.bars, plain.rules)
    rare = replace(plain, **{place: getattr(plain, place)._replace(**changed)})
    assert not is_plain(rare.orders, rare.bars, rare.rules)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_scenario)
def test_one_row_of_intents_serves_every_shift(scenario: Scenario) -> None:
    rows = scenario.bars.panel.shape[1]
    shifted = scenario.orders._replace(shift=np.arange(rows, dtype=np.int32))
    batch = replay_many(shifted, scenario.bars, scenario.rules, rows, 2)
    np.testing.assert_array_equal(batch, replay_many(shifted, scenario.bars, scenario.rules, rows, 1))
    for number in (0, 1, rows - 1):
        moved = shifted._replace(shift=shifted.shift[number : number + 1])
        found = recorded(moved, scenario.bars, scenario.rules)
        if found.fault is None:
            np.testing.assert_array_equal(batch[number], found.statistics)
            compare(Scenario(scenario.bars, moved, scenario.rules))
        else:
            assert np.isnan(batch[number]).all()


def test_random_markets_exercise_every_rule() -> None:
    """The generator must reach every reason, verdict and cut, or agreement would mean little."""
    seen: Counter[tuple[str, int]] = Counter()

    def count(scenario: Scenario) -> None:
        found = recorded(scenario.orders, scenario.bars, scenario.rules)
        seen["fault", int(found.fault is not None)] += 1
        if found.fault is None:
            for name in ("reason", "exit_phase", "side"):
                seen.update((name, int(code)) for code in found.trade(name))
            seen.update(("cut", int(code)) for code in found.fill("cut"))
            seen.update(("verdict", int(code)) for code in found.verdict)
            groups, exits = scenario.orders.group[0], found.trade("exit_row")
            of_trade = groups[found.trade("intent").astype(int)]
            for group, row in zip(of_trade, exits, strict=True):
                seen["leg that waited for a bar", 0] += int(group >= 0 and row > exits[of_trade == group].min())
            if scenario.rules.cross:
                liquidated = found.trade("reason") == codes.LIQUIDATION
                seen.update(("account liquidated", int(code)) for code in found.trade("exit_phase")[liquidated])
                seen["shortfall", 0] += int(found.trade("net").sum() < -scenario.rules.capital)
            seen["negative liquidation", 0] += int((found.trade("liquidation") < 0).sum())

    for drawn, examples in ((any_scenario, 1500), (crossed, 1200)):
        settled = settings(
            max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate]
        )
        settled(given(drawn)(count))()
    wanted = [
        *(("reason", code) for code in range(codes.LIQUIDATION, codes.END_OF_DATA + 1)),
        *(("verdict", code) for code in range(codes.PENDING)),
        *(("cut", code) for code in (codes.UNCUT, codes.CUT_CAPACITY, codes.CUT_GROSS, codes.CUT_CASH)),
        *(("exit_phase", code) for code in (codes.AT_OPEN, codes.INSIDE, codes.AT_CLOSE)),
        *(("side", code) for code in (-1, 1)),
        *(("fault", code) for code in (0, 1)),
        ("negative liquidation", 0),
        ("account liquidated", codes.AT_OPEN),
        ("account liquidated", codes.INSIDE),
        ("shortfall", 0),
        ("leg that waited for a bar", 0),
    ]
    missing = [pair for pair in wanted if seen[pair] < 3]
    assert not missing
