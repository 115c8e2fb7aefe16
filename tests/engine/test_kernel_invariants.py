"""What must hold of every replay, whatever the market."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from backtest.engine import layout as codes
from backtest.engine.layout import F8, NEVER, Bars
from backtest.engine.variations import Orders
from tests.engine.markets import (
    INTENT,
    RULES,
    Recorded,
    Scenario,
    any_scenario,
    bars_of,
    crossed,
    in_parts,
    orders_of,
    random_prices,
    recorded,
    scenarios,
    with_known_funding,
)

TOLERANCE = 1e-9
every_scenario = st.one_of(any_scenario, in_parts, crossed)
RANDOM_MARKETS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def replayed(scenario: Scenario) -> Recorded:
    return recorded(scenario.orders, scenario.bars, scenario.rules)


def before(found: Recorded, row: int, *, and_its_open: bool = False) -> F8:
    """Fills of the rows before this one, with those at its open if wanted."""
    keep = found.fill("row") < row
    if and_its_open:
        keep |= (found.fill("row") == row) & (found.fill("phase") == codes.AT_OPEN)
    return found.fills[keep]


@RANDOM_MARKETS
@given(every_scenario.map(with_known_funding))
def test_cash_is_conserved(scenario: Scenario) -> None:
    found, capital = replayed(scenario), scenario.rules.capital
    # Of a bankrupt account the trades keep their whole loss; equity ends at zero.
    assert found.equity[-1] == pytest.approx(max(capital + found.trade("net").sum(), 0.0), abs=TOLERANCE * capital)
    costs = sum(found.trade(name) for name in codes.COSTS)
    np.testing.assert_allclose(
        found.trade("net"), found.trade("gross") - costs, rtol=TOLERANCE, atol=TOLERANCE * capital
    )
    assert len(codes.FILL_COSTS) == 4
    for cost in codes.FILL_COSTS:
        assert found.trade(cost).sum() == pytest.approx(found.fill(cost).sum(), rel=TOLERANCE)
    assert found.funding.sum() == pytest.approx(found.trade("funding").sum(), abs=TOLERANCE * capital)


@RANDOM_MARKETS
@given(every_scenario.map(with_known_funding))
def test_equity_is_never_below_zero(scenario: Scenario) -> None:
    found = replayed(scenario)
    assert (found.equity >= -TOLERANCE * scenario.rules.capital).all()
    if scenario.rules.cross:
        return
    leverage = np.where(scenario.bars.swap, scenario.rules.leverage, 1.0)[found.trade("column").astype(int)]
    margin = found.trade("entry_notional") / leverage
    entry_fee = scenario.rules.fee_rate * found.trade("entry_notional")
    # Funding received adds to the margin that can be lost, and is part of the net: it cancels.
    assert (found.trade("net") >= -margin - entry_fee - TOLERANCE * scenario.rules.capital).all()


@RANDOM_MARKETS
@given(every_scenario.map(with_known_funding))
def test_doubling_all_prices_changes_no_return(scenario: Scenario) -> None:
    """Doubling is exact in binary, so quantities halve and money stays the same to the last bit.

    The venue's steps move with what they are steps of: the tick with the price, the lot with the quantity.
    """
    panel = scenario.bars.panel.copy()
    panel[:, :, [codes.OPEN, codes.HIGH, codes.LOW, codes.CLOSE, codes.MARK]] *= 2
    bars = scenario.bars
    doubled = bars._replace(
        panel=panel, mark=bars.mark * 2, detail=bars.detail * 2, tick=bars.tick * 2, lot=bars.lot / 2
    )
    found, again = replayed(scenario), recorded(scenario.orders, doubled, scenario.rules)
    np.testing.assert_array_equal(again.statistics, found.statistics)
    np.testing.assert_array_equal(again.equity, found.equity)
    np.testing.assert_array_equal(again.fill("quantity") * 2, found.fill("quantity"))
    np.testing.assert_array_equal(again.trade("net"), found.trade("net"))


@RANDOM_MARKETS
@given(every_scenario.map(with_known_funding))
def test_capital_and_liquidity_fourfold_change_no_return(scenario: Scenario) -> None:
    """Impact goes with the square root of notional over liquidity: four times both leaves it as it was.

    So do the least order and the notionals at which tiers begin, whose deductions grow as they do, and the lot.
    """
    panel = scenario.bars.panel.copy()
    panel[:, :, codes.IMPACT] /= 2
    panel[:, :, codes.CAPACITY] *= 4
    found = replayed(scenario)
    again = recorded(
        scenario.orders._replace(notional=4 * scenario.orders.notional),
        scenario.bars._replace(
            panel=panel,
            lot=4 * scenario.bars.lot,
            least_notional=4 * scenario.bars.least_notional,
            tiers=scenario.bars.tiers * np.array([1.0, 4.0]),
            most_leverage=scenario.bars.most_leverage * np.array([4.0, 1.0]),
        ),
        scenario.rules._replace(capital=4 * scenario.rules.capital),
    )
    np.testing.assert_array_equal(again.statistics, found.statistics)
    np.testing.assert_array_equal(again.equity, 4 * found.equity)


@RANDOM_MARKETS
@given(st.integers(0, 2**32 - 1), st.integers(5, 60), st.booleans(), st.booleans())
def test_no_costs_and_no_exits_is_buy_and_hold(seed: int, rows: int, swap: bool, gaps: bool) -> None:
    random = np.random.default_rng(seed)
    prices, _ = random_prices(random, 1, rows, 1, 0.03)
    if gaps:
        prices[0, 1:][random.random(rows - 1) < 0.2] = np.nan
    bars = bars_of(prices, swap=np.array([swap]))
    found = recorded(orders_of([{}]), bars, RULES)
    np.testing.assert_allclose(
        found.equity, RULES.capital * bars.panel[0, :, codes.MARK] / prices[0, 0, codes.OPEN], rtol=1e-12
    )
    assert found.trade("reason").tolist() == [codes.END_OF_DATA]


@RANDOM_MARKETS
@given(every_scenario.map(with_known_funding), st.integers(0, 2**32 - 1))
def test_a_later_intent_changes_no_earlier_fill(scenario: Scenario, seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, columns = scenario.bars.panel.shape[1], scenario.bars.panel.shape[0]
    row = int(random.integers(0, rows))
    later: dict[str, Any] = {
        **INTENT,
        "earliest": row,
        "latest": NEVER // 2,
        "exit_row": NEVER,
        "hold": int(random.integers(1, 10)),
        "column": int(random.integers(columns)),
        "side": float(random.choice([-1.0, 1.0])),
        "weight": float(random.uniform(0.1, 1.0)),
        "stop_loss": 0.05,
        "take_profit": np.nan,
        "trailing_stop": np.nan,
        "group": -1,
        "shift": 0,
    }
    unshifted = scenario.orders._replace(shift=np.zeros(1, dtype=np.int32))
    more = Orders(
        *(
            array if name == "shift" else np.append(array, np.full((1, 1), later[name], dtype=array.dtype), axis=1)
            for name, array in unshifted._asdict().items()
        )
    )
    found, again = (recorded(orders, scenario.bars, scenario.rules) for orders in (unshifted, more))
    np.testing.assert_array_equal(before(again, row), before(found, row))
    np.testing.assert_array_equal(again.equity[:row], found.equity[:row])


@RANDOM_MARKETS
@given(every_scenario.map(with_known_funding), st.integers(0, 2**32 - 1))
def test_the_future_changes_no_earlier_fill(scenario: Scenario, seed: int) -> None:
    """All bars after row t replaced, and of t all but its open and what is known there: fills up to that open stay."""
    random = np.random.default_rng(seed)
    row = int(random.integers(0, scenario.bars.panel.shape[1]))
    found = replayed(scenario)
    again = recorded(scenario.orders, corrupted(scenario.bars, row, random), scenario.rules)
    np.testing.assert_array_equal(before(again, row, and_its_open=True), before(found, row, and_its_open=True))
    np.testing.assert_array_equal(again.equity[:row], found.equity[:row])
    np.testing.assert_array_equal(again.funding[:row], found.funding[:row])


def corrupted(bars: Bars, row: int, random: np.random.Generator) -> Bars:
    """Another market from `row` on, with the same open at `row` and the same liquidity known there.

    What has ended by then stays so, and what has not trades to the end: an end is known to all that it closes.
    """
    columns, rows = bars.panel.shape[:2]
    prices, fine = random_prices(random, columns, rows, bars.detail_ratio, 0.1)
    prices[:, 1:-1][random.random((columns, rows - 2)) < 0.2] = np.nan
    panel = bars_of(prices, funding=0.05, impact=0.001, capacity=500.0).panel
    panel[:, :row] = bars.panel[:, :row]
    known = [codes.OPEN, codes.IMPACT, codes.CAPACITY]
    panel[:, row, known] = bars.panel[:, row, known]
    # The bar holds its open: one that the fill has left behind is checked only where its bar reaches it.
    panel[:, row, codes.HIGH] = np.fmax(panel[:, row, codes.HIGH], panel[:, row, codes.OPEN])
    panel[:, row, codes.LOW] = np.fmin(panel[:, row, codes.LOW], panel[:, row, codes.OPEN])
    closed = np.isnan(bars.panel[:, row, codes.OPEN])
    panel[closed, row, codes.OPEN : codes.MARK] = np.nan
    opened = ~closed & np.isnan(panel[:, row, codes.CLOSE])
    panel[opened, row, codes.OPEN : codes.FUNDING] = bars.panel[opened, row, codes.OPEN, None]
    panel[:, row:, codes.MARK] = np.where(np.isnan(panel[:, row:, codes.MARK]), 100.0, panel[:, row:, codes.MARK])
    panel[~bars.swap, :, codes.FUNDING] = 0.0
    panel[bars.last_row < row, row:, codes.OPEN : codes.MARK] = np.nan
    detail = bars.detail.copy()
    first = max(bars.detail_first + row * bars.detail_ratio, 0)
    detail[:, first:] = fine[: detail.shape[0], : detail.shape[1] - first] if detail.size else detail[:, first:]
    next_tradable = np.full_like(bars.next_tradable, rows)
    for at in range(rows - 1, -1, -1):
        next_tradable[:, at] = np.where(np.isnan(panel[:, at, codes.OPEN]), next_tradable[:, at + 1], at)
    last_row = np.where(bars.last_row < row, bars.last_row, rows - 1).astype(np.int32)
    return bars._replace(panel=panel, next_tradable=next_tradable, last_row=last_row, detail=detail)


@RANDOM_MARKETS
@given(every_scenario.map(with_known_funding))
def test_nothing_is_filled_on_a_dead_bar(scenario: Scenario) -> None:
    found = replayed(scenario)
    opens = scenario.bars.panel[found.fill("column").astype(int), found.fill("row").astype(int), codes.OPEN]
    assert not np.isnan(opens).any()


@RANDOM_MARKETS
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["fee_rate", "half_spread", "impact"]),
    st.sampled_from([1.0, -1.0]),
    st.integers(1, 20),
)
def test_costs_never_raise_the_return_of_one_trade(seed: int, cost: str, side: float, hold: int) -> None:
    """One trade without levels, not levered, small enough not to be cut.

    In general a higher cost can pay: it moves the fill and with it the stop, spends cash that a losing entry would
    have used, shrinks a levered position before its loss, or ruins one trade so that a worse one finds no cash.
    """
    random = np.random.default_rng(seed)
    prices, _ = random_prices(random, 1, 30, 1, 0.02)
    assume(prices.max() < 2 * prices[0, 0, codes.OPEN])
    orders = orders_of([{"side": side, "hold": hold, "weight": 0.3 if side < 0 else 1.0}])
    returns = []
    for size in np.sort(random.uniform(0.0, 0.02, 4)):
        bars = bars_of(prices, impact=size / np.sqrt(RULES.capital) if cost == "impact" else 0.0)
        rules = RULES if cost == "impact" else RULES._replace(**{cost: float(size)})
        found = recorded(orders, bars, rules)
        assert found.statistics[codes.TRADES] == 1
        returns.append(found.statistics[codes.NET_RETURN])
    assert (np.diff(returns) < 1e-12).all()


@RANDOM_MARKETS
@given(scenarios(torn_groups=True).map(with_known_funding))
def test_a_group_is_never_left_with_a_lone_leg(scenario: Scenario) -> None:
    """Legs enter together; once one has left, another stays past a close only while its bars cannot be traded."""
    found, rows = replayed(scenario), scenario.bars.panel.shape[1]
    groups = scenario.orders.group[0]
    of_trade = groups[found.trade("intent").astype(int)]
    for group in set(of_trade[of_trade >= 0].tolist()):
        legs = of_trade == group
        assert legs.sum() == (groups == group).sum()
        entry_rows, exit_rows = found.trade("entry_row")[legs], found.trade("exit_row")[legs].astype(int)
        assert len(set(entry_rows.tolist())) == 1
        first = int(exit_rows.min())
        for column, left, phase in zip(
            found.trade("column")[legs].astype(int), exit_rows, found.trade("exit_phase")[legs], strict=True
        ):
            if left == first:
                continue
            assert np.isnan(scenario.bars.panel[column, first:left, codes.OPEN]).all()
            assert phase == codes.AT_OPEN or (left == rows - 1 and phase == codes.AT_CLOSE)
    accepted = found.verdict == codes.ACCEPTED
    for group in set(groups[groups >= 0].tolist()):
        assert len(set(accepted[groups == group].tolist())) == 1
