"""Limit and stop entries, sizes and decided exits, each by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest.base.config import load_config
from backtest.base.errors import ConfigError
from backtest.catalysts.record import Calendar
from backtest.engine.replay import Run, replay
from backtest.market.instrument import Instrument
from backtest.market.record import Market
from backtest.signals.audit import audit
from backtest.signals.strategy import Exit, Intent, Intents, Parameters, Strategy

ZEC, INVERSE = "ZEC/USDT:USDT", "ZEC/USD:ZEC"
HOUR = 3_600_000
FREE = {"impact": 0.0, "participation": float("inf"), "fee_rate": 0.0, "half_spread": 0.0, "maker_fee_rate": 0.0}
FLAT = (100.0, 100.0, 100.0, 100.0)


def market_of(*bars: tuple[float, float, float, float], symbol: str = ZEC) -> Market:
    """Hourly bars of open, high, low, close, after a flat one at 100."""
    prices = np.array([FLAT, *bars])[:, :, None]
    return Market(
        index=pd.date_range("2025-10-01", periods=len(prices), freq="h", tz="UTC"),
        timeframe="1h",
        instruments=(Instrument.parse(symbol),),
        open=prices[:, 0],
        high=prices[:, 1],
        low=prices[:, 2],
        close=prices[:, 3],
        volume=np.full_like(prices[:, 0], 1e6),
        open_interest=np.full_like(prices[:, 0], np.nan),
        funding=np.zeros_like(prices[:, 0]),
    )


def run_of(
    market: Market, *, exits: tuple[Exit, ...] = (), settings: dict[str, Any] | None = None, **entry: Any
) -> Run:
    """One intent, decided at the close of the flat bar."""
    intent = Intent(**{"instrument": market.symbols[0], "decided_at_ms": int(market.open_ms[1]), **entry})
    config = load_config(**{"capital": 1000.0, **FREE, **(settings or {})})
    return replay(market, Intents((intent,), exits=exits), config)


def entry_of(run: Run) -> tuple[str, str, float]:
    """Bar, phase and price of the entry."""
    fill = run.fills.iloc[0]
    return f"{fill['bar']:%H}", fill["phase"], pytest.approx(fill["price"])


@pytest.mark.parametrize(
    ("bars", "entry", "expected"),
    [
        # A buy limit 5 % below the close of 100: through it inside the second bar, as maker at 95.
        ([FLAT, (98, 99, 94, 97)], {"limit": 0.05}, ("02", "inside", 95)),
        # Touched only: not filled.
        ([FLAT, (98, 99, 95, 97), FLAT], {"limit": 0.05}, None),
        # A later open beyond it: filled at its price, not better.
        ([FLAT, (90, 92, 89, 91)], {"limit": 0.05}, ("02", "open", 95)),
        # Passed when it arrives: a market order at that open.
        ([(90, 92, 89, 91)], {"limit": 0.05}, ("01", "open", 90)),
        # A sell limit 5 % above.
        ([FLAT, (101, 106, 100, 104)], {"limit": 0.05, "side": -1}, ("02", "inside", 105)),
        # A buy stop 5 % above: reached is enough; an open beyond it fills there.
        ([FLAT, (101, 105, 100, 104)], {"stop_entry": 0.05}, ("02", "inside", 105)),
        ([FLAT, (107, 108, 106, 107)], {"stop_entry": 0.05}, ("02", "open", 107)),
        ([FLAT, (99, 100, 94, 96)], {"stop_entry": 0.05, "side": -1}, ("02", "inside", 95)),
        # Decided at 01:00, reached in the bar that opens at 03:00: an order that ends then has ended, at its open too.
        ([FLAT, FLAT, (98, 99, 94, 97)], {"limit": 0.05, "expires_ms": HOUR}, None),
        ([FLAT, FLAT, (98, 99, 94, 97)], {"limit": 0.05, "expires_ms": 2 * HOUR}, None),
        ([FLAT, FLAT, (94, 99, 94, 97)], {"limit": 0.05, "expires_ms": 2 * HOUR}, None),
        ([FLAT, FLAT, (101, 106, 100, 104)], {"stop_entry": 0.05, "expires_ms": 2 * HOUR}, None),
        ([FLAT, FLAT, (98, 99, 94, 97)], {"limit": 0.05, "expires_ms": 2 * HOUR + 1}, ("03", "inside", 95)),
        ([FLAT, FLAT, (101, 106, 100, 104)], {"stop_entry": 0.05, "expires_ms": 2 * HOUR + 1}, ("03", "inside", 105)),
        # By default it rests for `max_wait`: twenty-four bars.
        ([FLAT] * 23 + [(98, 99, 94, 97)], {"limit": 0.05}, ("00", "inside", 95)),
        ([FLAT] * 24 + [(98, 99, 94, 97)], {"limit": 0.05}, None),
    ],
)
def test_where_a_resting_order_fills(bars: Any, entry: dict[str, Any], expected: tuple[str, str, float] | None) -> None:
    run = run_of(market_of(*bars), **entry)
    if expected is None:
        assert run.rejected["reason"].tolist() == ["UNFILLED"]
    else:
        assert entry_of(run) == expected


def test_a_limit_pays_the_maker_fee_and_no_spread_a_stop_the_takers() -> None:
    # 1000 bought at 95 for 0.02 % (0.2); sold at 97 less 1 %: 96.03, for 0.1 % of 10.5263 * 96.03.
    costs = {"fee_rate": 0.001, "maker_fee_rate": 0.0002, "half_spread": 0.01, "gross_cap": 0.5}
    run = run_of(market_of(FLAT, (98, 99, 94, 97)), limit=0.05, weight=0.5, settings=costs)
    quantity = 500 / 95
    assert run.fills["fees"].tolist() == pytest.approx([0.1, 0.001 * quantity * 97 * 0.99])
    assert run.fills["slippage"].tolist() == pytest.approx([0.0, quantity * 97 * 0.01])
    stopped = run_of(market_of(FLAT, (101, 106, 100, 104)), stop_entry=0.05, weight=0.5, settings=costs)
    assert stopped.fills["price"].iloc[0] == pytest.approx(105 * 1.01)
    assert stopped.fills["fees"].iloc[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("bar", "entry", "order", "reason", "price"),
    [
        # Bought at 95 on the way to 90: the low is to come, the stop at 92.15 is met for certain.
        ((98, 99, 90, 97), {"limit": 0.05, "stop_loss": 0.03}, "optimistic", "stop_loss", 92.15),
        # The high of 99 may have been before the fill: no stop order takes a target of 98.
        ((98, 99, 94, 96), {"limit": 0.05, "take_profit": 3 / 95}, "pessimistic", "end_of_data", 96),
        ((98, 99, 94, 96), {"limit": 0.05, "take_profit": 3 / 95}, "optimistic", "end_of_data", 96),
        # A close beyond the target is after the fill on every path.
        ((98, 99, 94, 98.5), {"limit": 0.05, "take_profit": 3 / 95}, "pessimistic", "take_profit", 98),
        # A buy stop at 105: the low of 100 may be past, the stop at 102.9 is met on the worse path only.
        ((101, 106, 100, 104), {"stop_entry": 0.05, "stop_loss": 0.02}, "pessimistic", "stop_loss", 102.9),
        ((101, 106, 100, 104), {"stop_entry": 0.05, "stop_loss": 0.02}, "optimistic", "end_of_data", 104),
    ],
)
def test_the_rest_of_the_bar_of_an_entry(
    bar: Any, entry: dict[str, Any], order: str, reason: str, price: float
) -> None:
    run = run_of(market_of(FLAT, bar), settings={"stop_order": order}, **entry)
    trade = run.trades.iloc[0]
    assert (trade["reason"], trade["exit_price"]) == (reason, pytest.approx(price))


def test_levels_of_an_inverse_contract_are_where_its_price_is_quoted() -> None:
    run = run_of(market_of(FLAT, (98, 99, 94, 97), symbol=INVERSE), limit=0.05)
    assert entry_of(run) == ("02", "inside", 95)
    run = run_of(market_of(FLAT, (101, 106, 100, 104), symbol=INVERSE), stop_entry=0.05)
    assert entry_of(run) == ("02", "inside", 105)


def test_a_fixed_notional_and_a_risk_per_stop_size_a_trade() -> None:
    fixed = run_of(market_of(FLAT, FLAT), notional=250.0)
    assert fixed.fills["notional"].iloc[0] == pytest.approx(250)
    # 1 % of 1,000 is lost at a stop 4 % away by 250 of notional.
    risked = run_of(market_of((100, 100, 90, 95)), risk=0.01, stop_loss=0.04)
    assert risked.fills["notional"].iloc[0] == pytest.approx(250)
    assert risked.trades["net"].tolist() == pytest.approx([-10])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"risk": 0.01}, "risk = 0.01 needs a stop_loss"),
        ({"notional": 0.0}, "notional = 0.0 must be positive and finite"),
        ({"limit": 0.1, "stop_entry": 0.1}, "give a limit or a stop_entry, not both"),
        ({"limit": 95.0}, "limit = 95.0 must be a share of the price between -1 and 1"),
        ({"limit": 0.1, "group": "pair"}, "group 'pair' enters at market"),
        ({"expires_ms": 0}, "expires_ms = 0 must be positive"),
        ({"weight": 1e-300}, "weight = 1e-300 must be a share of equity of at least"),
        ({"stop_loss": 10.0}, "stop_loss = 10.0 is never reached: it must be less than 1; for 10 percent write 0.1"),
    ],
)
def test_an_order_that_cannot_be_meant_is_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_of(market_of(FLAT), **entry)


def test_a_decided_exit_closes_what_was_decided_before_it() -> None:
    market = market_of(FLAT, (100, 110, 100, 108), (108, 109, 107, 107), FLAT)
    leave = Exit(instrument=ZEC, decided_at_ms=int(market.open_ms[3]))
    trade = run_of(market, exits=(leave,)).trades.iloc[0]
    assert (trade["reason"], trade["exit_price"], f"{trade['exit_time']:%H}") == ("signal", 108, "03")
    others = (replace(leave, instrument="DASH/USDT:USDT"), replace(leave, catalyst_id="zec-other"))
    assert run_of(market, exits=others).trades["reason"].tolist() == ["end_of_data"]
    before = replace(leave, decided_at_ms=int(market.open_ms[1]))
    assert run_of(market, exits=(before,)).trades["reason"].tolist() == ["end_of_data"]
    assert run_of(market, exits=(leave,), limit=0.05).rejected["reason"].tolist() == ["UNFILLED"]


class BelowItsMean(Strategy[Parameters]):
    """Buys on the tenth bar and leaves when a close crosses below the mean of three."""

    name = "below_its_mean"
    hypothesis = "A trend ends where the price crosses below its mean."
    parameters_type = Parameters
    foresees = False

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        close = market.close[:, 0]
        mean = (close[2:] + close[1:-1] + close[:-2]) / 3
        crossed = np.flatnonzero(close[2:] < mean) + 2
        closes = market.open_ms + market.bar_ms
        leave = [int(closes[row]) for row in crossed if row > 10]
        if len(close) < 11:
            return Intents()
        if self.foresees:
            early = min(leave, default=2**62)
            return Intents((Intent(instrument=ZEC, decided_at_ms=int(closes[10]), exit_at_ms=early),))
        entry = Intent(instrument=ZEC, decided_at_ms=int(closes[10]))
        return Intents((entry,), exits=tuple(Exit(instrument=ZEC, decided_at_ms=at) for at in leave))


class ForeseesItsExit(BelowItsMean):
    """The same with the exit written into the entry, which nobody could know then."""

    foresees = True


def test_a_causal_exit_passes_the_audit_and_a_foreseen_one_does_not() -> None:
    random = np.random.default_rng(5)
    closes = 100 * np.exp(np.cumsum(random.normal(0, 0.01, 60)))
    opens = np.concatenate(([100.0], closes[:-1]))
    bars = zip(opens, np.maximum(opens, closes), np.minimum(opens, closes), closes, strict=True)
    market = market_of(*bars)
    clean, leak = audit(BelowItsMean(), market, Calendar("none", ())), audit(
        ForeseesItsExit(), market, Calendar("none", ())
    )  # fmt: skip
    assert clean.leak is None
    assert clean.decisions > 5
    assert leak.leak is not None
    run = replay(market, BelowItsMean().decide(market, Calendar("none", ())), load_config(**FREE))
    assert run.trades["reason"].tolist() == ["signal"]
