"""The kernel against an independent plain-Python reference, over random markets.

Tolerance 1e-9 of capital for money and 1e-9 of the value for prices: both sides do the same arithmetic in another
order, so they may differ by rounding and by nothing else.
"""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings

from backtest.engine import layout as codes
from backtest.engine.kernel import replay_one
from tests.engine.markets import Scenario, book_of, scenarios
from tests.engine.reference import replay
from tests.engine.reference_records import table

TOLERANCE = 1e-9


def agree(actual: np.ndarray, expected: np.ndarray, capital: float, what: str) -> None:
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE * capital, equal_nan=True, err_msg=what)


def by_column(rows: np.ndarray, names: tuple[str, ...], keys: tuple[str, ...]) -> np.ndarray:
    order = np.lexsort([rows[:, names.index(key)] for key in reversed(keys)])
    return rows[order]


def compare(scenario: Scenario) -> None:
    bars, orders, rules = scenario.bars, scenario.orders, scenario.rules
    book = book_of(bars, orders.column.shape[1])
    found = replay_one(orders, bars, rules, book)
    expected = replay(orders, bars, rules)
    assert found.shape == (len(codes.STATISTICS) + 2,)
    if expected.fault is not None:
        assert (int(found[-2]), int(found[-1])) == expected.fault
        return
    if any(0 < value < TOLERANCE * rules.capital for value in expected.equity):
        return
    assert found[-2] == -1
    np.testing.assert_array_equal(book.verdict, expected.verdicts)
    fills, trades = book.fills[: book.counts[0]], book.trades[: book.counts[1]]
    assert len(fills) == len(expected.fills)
    assert len(trades) == len(expected.trades)
    if len(fills):
        keys = ("intent", "row", "phase", "reason")
        agree(
            by_column(fills, codes.FILL_COLUMNS, keys),
            by_column(table(expected.fills), codes.FILL_COLUMNS, keys),
            rules.capital,
            "fills: " + " ".join(codes.FILL_COLUMNS),
        )
        agree(
            by_column(trades, codes.TRADE_COLUMNS, ("intent",)),
            by_column(table(expected.trades), codes.TRADE_COLUMNS, ("intent",)),
            rules.capital,
            "trades: " + " ".join(codes.TRADE_COLUMNS),
        )
    agree(book.equity, np.array(expected.equity), rules.capital, "equity")
    agree(book.funding, np.array(expected.funding), rules.capital, "funding")
    for name, value in zip(codes.STATISTICS, found[: len(codes.STATISTICS)], strict=True):
        np.testing.assert_allclose(
            value, expected.statistics[name], rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True, err_msg=name
        )


@settings(max_examples=700, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios())
def test_kernel_equals_reference(scenario: Scenario) -> None:
    compare(scenario)
