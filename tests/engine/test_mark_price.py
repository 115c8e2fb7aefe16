"""Liquidation and stops on the mark price: expected values by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest import Intent, Intents, load_config, replay
from backtest.base.errors import ConfigError
from backtest.engine import ends as columns
from backtest.engine import layout as codes
from backtest.engine.costs import kernel_bars
from backtest.market.record import Instrument, Market
from tests.engine.markets import RULES, bars_of, orders_of, recorded
from tests.engine.test_intervals import table_of

FLAT = (100, 100, 100, 100)
QUIET = (100, 100, 100)
FIVE = {"leverage": 5.0, "maintenance_margin": 0.02}
"""A margin of 200 on 10 coins from 100: a long is liquidated at 80 / 0.98, a short at 120 / 1.02."""

LONG, SHORT = 80 / 0.98, 120 / 1.02
Prices = Sequence[tuple[float, ...]]


def marked(prices: Prices, mark: Prices) -> codes.Bars:
    """Bars of one swap (open, high, low, close) and of its mark price (low, high, close)."""
    return bars_of(np.array([prices], dtype=float), mark_bars=np.array([mark], dtype=float))


@pytest.mark.parametrize(
    ("side", "last", "mark", "stop_order", "expected"),
    [
        # The last price falls through the level for a moment, the mark price does not.
        (1, (100, 101, 80, 99), (90, 100, 99), codes.PESSIMISTIC, ("end_of_data", -10)),
        # The mark price reaches it: out at the worst last price of the bar, or at the one nearest to the level.
        (1, (100, 101, 80.5, 99), (81, 100, 99), codes.PESSIMISTIC, ("liquidation", -195)),
        (1, (100, 101, 80.5, 99), (81, 100, 99), codes.ADVERSE_FIRST, ("liquidation", 10 * (LONG - 100))),
        (1, (100, 101, 80.5, 99), (81, 100, 99), codes.OPTIMISTIC, ("liquidation", 10 * (LONG - 100))),
        # The last price never came so low: its low is the nearest.
        (1, (100, 101, 85, 99), (81, 100, 99), codes.OPTIMISTIC, ("liquidation", -150)),
        (-1, (100, 119, 99, 101), (99, 118, 101), codes.PESSIMISTIC, ("liquidation", -190)),
        (-1, (100, 119, 99, 101), (99, 118, 101), codes.ADVERSE_FIRST, ("liquidation", 10 * (100 - SHORT))),
        (-1, (100, 119, 99, 101), (99, 117, 101), codes.PESSIMISTIC, ("end_of_data", -10)),
    ],
)
def test_the_mark_price_liquidates(
    side: int, last: tuple[float, ...], mark: tuple[float, ...], stop_order: int, expected: tuple[str, float]
) -> None:
    bars = marked([FLAT, last], [QUIET, mark])
    found = recorded(orders_of([{"side": side}]), bars, RULES._replace(**FIVE, stop_order=stop_order))
    reason, net = expected
    assert codes.EXITS[int(found.trade("reason")[0])].name == reason
    assert found.trade("net")[0] == pytest.approx(net)


@pytest.mark.parametrize(
    ("low", "stop_order", "expected"),
    [
        (96, codes.PESSIMISTIC, ("end_of_data", -10)),
        (94, codes.PESSIMISTIC, ("stop_loss", -70)),
        (94, codes.ADVERSE_FIRST, ("stop_loss", -50)),
        # On its way to a liquidation the mark price passes the stop.
        (70, codes.ADVERSE_FIRST, ("stop_loss", -50)),
    ],
)
def test_a_stop_may_act_on_the_mark_price(low: float, stop_order: int, expected: tuple[str, float]) -> None:
    bars = marked([FLAT, (100, 101, 93, 99)], [QUIET, (low, 100, 99)])
    rules = RULES._replace(**FIVE, stop_order=stop_order, stops_on_mark=True)
    found = recorded(orders_of([{"stop_loss": 0.05}]), bars, rules)
    reason, net = expected
    assert codes.EXITS[int(found.trade("reason")[0])].name == reason
    assert found.trade("net")[0] == pytest.approx(net)


def test_funding_moves_the_level_on_the_mark_price() -> None:
    prices, mark = [FLAT, FLAT, (100, 100, 82, 100)], [QUIET, QUIET, (82.6, 100, 100)]
    bars = marked(prices, mark)
    assert recorded(orders_of([{}]), bars, RULES._replace(**FIVE)).trade("net")[0] == pytest.approx(0)
    # 1 % of 1,000 leaves a margin of 190: the level rises to 81 / 0.98 = 82.65.
    bars.panel[0, 1, codes.FUNDING] = 0.01
    found = recorded(orders_of([{}]), bars, RULES._replace(**FIVE))
    assert codes.EXITS[int(found.trade("reason")[0])].name == "liquidation"
    assert found.trade("net")[0] == pytest.approx(-180 - 10)


def test_the_interval_of_an_exit_on_the_mark_price_holds_every_last_price() -> None:
    bars = marked([FLAT, (100, 101, 80.5, 99), FLAT], [QUIET, (81, 100, 99), QUIET])
    table, _, _ = table_of(orders_of([{}]), bars, RULES._replace(**FIVE))
    assert table[0, [columns.NET_LOW, columns.NET_HIGH]] == pytest.approx([-195, 10])
    assert table[0, columns.IS_OUTER] == 1
    # A stop on the last price is met before anything below it.
    table, _, _ = table_of(orders_of([{"stop_loss": 0.05, "take_profit": 0.005}]), bars, RULES._replace(**FIVE))
    assert table[0, [columns.NET_LOW, columns.NET_HIGH]] == pytest.approx([-50, 5])


def market_of(symbol: str, mark_low: Sequence[float] | None) -> Market:
    """Four hourly bars; the last price falls to 80 in the second."""
    column: Any = lambda values: np.array(values, dtype=float)[:, None]  # noqa: E731
    series = {}
    if mark_low is not None:
        close = [99.0 if low == low else np.nan for low in mark_low]
        series = {"mark_low": column(mark_low), "mark_high": column([101.0] * 4), "mark_price": column(close)}
    return Market(
        index=pd.date_range("2025-01-01", periods=4, freq="h", tz="UTC"),
        timeframe="1h",
        instruments=(Instrument.parse(symbol),),
        open=column([100] * 4),
        high=column([100, 100, 101, 100]),
        low=column([100, 100, 80, 100]),
        close=column([100] * 4),
        volume=column([1e6] * 4),
        open_interest=column([np.nan] * 4),
        funding=column([0.0] * 4),
        series=series,
    )


COSTLESS = {"fee_rate": 0, "half_spread": 0, "impact": 0, "liquidation_fee": 0, "participation": float("inf")}


def test_a_run_liquidates_on_the_mark_price_where_it_is_known_and_says_so() -> None:
    config = load_config(leverage=5, gross_cap=5, **COSTLESS)
    intents = Intents((Intent(instrument="ZEC/USDT:USDT", decided_at_ms=1_735_689_600_000),))
    nets, notes = {}, {}
    for name, low in {
        "above": [90.0] * 4,
        "below": [90.0, 90.0, 81.0, 90.0],
        "unknown": [90.0, 90.0, np.nan, 90.0],
    }.items():
        run = replay(market_of("ZEC/USDT:USDT", low), intents, config)
        nets[name], notes[name] = float(run.trades["net"].iloc[0]), " ".join(run.notes)
    assert nets == pytest.approx({"above": 0, "below": -100_000 / 5, "unknown": -100_000 / 5})
    assert "liquidation acts on the mark price of ZEC/USDT:USDT" in notes["above"]
    last = replay(market_of("ZEC/USDT:USDT", None), intents, config)
    assert float(last.trades["net"].iloc[0]) == pytest.approx(100_000 * (LONG / 100 - 1))
    assert "mark price unknown of ZEC/USDT:USDT: liquidation acts on the last price" in " ".join(last.notes)
    by_last = replay(
        market_of("ZEC/USDT:USDT", [90.0] * 4), intents, config.model_copy(update={"liquidation_trigger": "last"})
    )
    assert float(by_last.trades["net"].iloc[0]) == pytest.approx(100_000 * (LONG / 100 - 1))


def test_the_mark_bars_of_an_inverse_contract_are_turned_with_its_price() -> None:
    bars = kernel_bars(market_of("ZEC/USD:ZEC", [90.0, np.nan, 90.0, 90.0]), load_config())
    assert bars.mark[0].tolist() == pytest.approx(
        np.array([[1 / 101, 1 / 90, 1 / 99], [0.01, 0.01, 0.01], *[[1 / 101, 1 / 90, 1 / 99]] * 2])
    )
    plain = kernel_bars(market_of("ZEC/USD:ZEC", [90.0] * 4), load_config(liquidation_trigger="last"))
    assert (plain.mark.shape, plain.marked.tolist()) == ((1, 0, 3), [False])


def test_stops_on_a_mark_price_that_nobody_knows_are_refused() -> None:
    intents = Intents((Intent(instrument="ZEC/USDT:USDT", decided_at_ms=1_735_689_600_000, stop_loss=0.05),))
    with pytest.raises(
        ConfigError, match=r"no bars of the mark price of ZEC/USDT:USDT: fetch them with the series mark"
    ):
        replay(market_of("ZEC/USDT:USDT", None), intents, load_config(stop_trigger="mark"))
    run = replay(market_of("ZEC/USDT:USDT", [96.0] * 4), intents, load_config(stop_trigger="mark", **COSTLESS))
    assert run.trades["reason"].tolist() == ["end_of_data"]
