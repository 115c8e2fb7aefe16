"""From intents to tables: names stand for the right codes, times for the right moments, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from backtest.base.config import RunConfig
from backtest.base.errors import ConfigError, UsageError
from backtest.base.units import from_ms
from backtest.catalysts.record import Calendar, Catalyst
from backtest.engine import layout
from backtest.engine.layout import CUTS, EXITS, PHASES, VERDICTS
from backtest.engine.replay import replay
from backtest.engine.run import Run
from backtest.market.record import Market
from backtest.signals.strategy import Intent, Intents
from tests.engine.test_book import HOUR, random_market, random_run

FREE = {"impact": 0.0, "participation": float("inf"), "fee_rate": 0.0, "half_spread": 0.0}
SWAP, SPOT = "ZEC/USDT:USDT", "ZEC/USDT"


@pytest.fixture(scope="module")
def market() -> Market:
    whole = random_market(21, holes=False)
    volume = np.array(whole.volume)
    volume[60:70] = 0
    return replace(whole, volume=volume)


def at(market: Market, row: int) -> int:
    return market.start_ms + row * HOUR


def run_of(market: Market, *rows: Intent, **settings: object) -> Run:
    return replay(market, Intents(rows), RunConfig(**(FREE | settings)))  # type: ignore[arg-type]


def test_names_stand_for_the_codes_of_the_kernel() -> None:
    for code, (name, *_) in enumerate(VERDICTS):
        other = {"CAPACITY": "CAPACITY_ZERO", "GROUP": "GROUP_REJECTED"}.get(name, name.upper())
        assert getattr(layout, other) == code
    for code, name in enumerate(term.name for term in EXITS):
        assert getattr(layout, {"group": "GROUP_EXIT"}.get(name, name.upper())) == code
    assert [PHASES[code].name for code in (layout.AT_OPEN, layout.INSIDE, layout.AT_CLOSE)] == [
        "open",
        "inside",
        "close",
    ]
    assert [CUTS[code].name for code in (layout.UNCUT, layout.CUT_CAPACITY, layout.CUT_GROSS, layout.CUT_CASH)] == [
        "", "CAPACITY", "GROSS_CAP", "CASH",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "intent", "settings"),
    [
        ("NO_BAR", {"decided_at_ms": 199 * HOUR + 1}, {}),
        ("NO_BAR", {"decided_at_ms": 60 * HOUR}, {"max_wait": "9h"}),
        ("NO_BAR", {"decided_at_ms": -30 * HOUR}, {}),
        ("EXPIRED", {"decided_at_ms": 60 * HOUR, "exit_at_ms": 65 * HOUR}, {}),
        ("SPOT_SHORT", {"instrument": SPOT, "side": -1}, {}),
        ("LIQUIDITY_UNKNOWN", {"decided_at_ms": 5 * HOUR}, {"impact": 1.0}),
        ("LIQUIDITY_UNKNOWN", {"decided_at_ms": 5 * HOUR}, {"participation": 0.1}),
    ],
)
def test_a_rejection_has_its_reason(
    market: Market, reason: str, intent: dict[str, object], settings: dict[str, object]
) -> None:
    values: dict[str, object] = {"instrument": SWAP, "decided_at_ms": 30 * HOUR} | intent
    for name in ("decided_at_ms", "exit_at_ms"):
        if name in values:
            values[name] = market.start_ms + int(values[name])  # type: ignore[call-overload]
    run = run_of(market, Intent(**values), **settings)  # type: ignore[arg-type]
    assert run.rejected["reason"].tolist() == [reason]
    assert len(run.trades) == len(run.fills) == 0
    assert (run.equity == run.config.capital).all()


def test_a_wait_ends_at_the_first_bar_that_trades(market: Market) -> None:
    run = run_of(market, Intent(instrument=SWAP, decided_at_ms=at(market, 60), hold_ms=5 * HOUR), max_wait="10h")
    assert run.trades["entry_time"].tolist() == [market.index[70]]
    assert run.trades["exit_time"].tolist() == [market.index[75]]


def test_reaction_delays_the_order_to_the_next_open(market: Market) -> None:
    rows = Intent(instrument=SWAP, decided_at_ms=at(market, 30), hold_ms=5 * HOUR)
    assert run_of(market, rows).trades["entry_time"].tolist() == [market.index[30]]
    assert run_of(market, rows, reaction="1m").trades["entry_time"].tolist() == [market.index[31]]


def test_in_position_is_ignored_or_prolongs(market: Market) -> None:
    rows = [Intent(instrument=SWAP, decided_at_ms=at(market, row), hold_ms=10 * HOUR, weight=0.3) for row in (30, 35)]
    ignored, extended = run_of(market, *rows), run_of(market, *rows, in_position="extend")
    assert ignored.rejected["reason"].tolist() == ["IN_POSITION"]
    assert extended.rejected["reason"].tolist() == ["EXTENDED"]
    assert ignored.trades["exit_time"].tolist() == [market.index[40]]
    assert extended.trades["exit_time"].tolist() == [market.index[45]]


def test_legs_of_a_group_enter_and_leave_together(market: Market) -> None:
    legs = [
        Intent(instrument=SWAP, decided_at_ms=at(market, 30), side=-1, weight=0.4, group="pair", hold_ms=9 * HOUR),
        Intent(instrument=SPOT, decided_at_ms=at(market, 30), weight=0.4, group="pair"),
    ]
    run = run_of(market, *legs)
    assert run.trades["reason"].tolist() == ["time", "group"]
    assert run.trades["exit_time"].nunique() == 1
    refused = run_of(market, replace(legs[0], side=1), replace(legs[1], side=-1))
    assert refused.rejected["reason"].tolist() == ["GROUP", "SPOT_SHORT"]
    with pytest.raises(ConfigError, match="group 'pair' has legs decided at"):
        run_of(market, legs[0], replace(legs[1], decided_at_ms=at(market, 31)))


def test_exit_at_the_end_is_stamped_with_the_close(market: Market) -> None:
    run = run_of(market, Intent(instrument=SWAP, decided_at_ms=at(market, 30)))
    trade = run.trades.iloc[0]
    assert (trade["reason"], trade["exit_phase"]) == ("end_of_data", "close")
    assert trade["exit_time"] == market.index[-1] + pd.Timedelta(hours=1)
    assert trade["exit_price"] == market.close[-1, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": 0}, "side = 0 must be 1"),
        ({"weight": 0.0}, "weight = 0.0 must be a share of equity of at least 1e-06"),
        ({"weight": 1e-300}, "weight = 1e-300 must be a share of equity of at least 1e-06"),
        ({"stop_loss": 10.0}, "stop_loss = 10.0 is never reached: it must be less than 1; for 10 percent write 0.1"),
        ({"trailing_stop": 15.0}, "trailing_stop = 15.0 is never reached"),
        ({"side": -1, "take_profit": 5.0}, "take_profit = 5.0 is never reached"),
        ({"weight": float("nan")}, "weight = nan must be"),
        ({"hold_ms": 0}, "held for 0 ms: hold must be longer than 0"),
        ({"stop_loss": -0.1}, "stop_loss = -0.1 must be a positive share"),
        ({"take_profit": float("inf")}, "take_profit = inf must be"),
    ],
)
def test_an_intent_out_of_range_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Intents((Intent(**({"instrument": SWAP, "decided_at_ms": 0} | changes)),))  # type: ignore[arg-type]


def test_an_instrument_that_is_not_there_is_refused(market: Market) -> None:
    with pytest.raises(UsageError, match="instrument 'XMR/USDT:USDT' is not in market 'synthetic'"):
        run_of(market, Intent(instrument="XMR/USDT:USDT", decided_at_ms=at(market, 30)))


def a_catalyst(identifier: str, moment: datetime | None, **changes: object) -> Catalyst:
    values: dict[str, object] = {
        "id": identifier, "assets": ("ZEC",), "kind": "listing", "actor": "OKX", "direction": 1, "announced_at": moment,
        "precision": "minute" if moment else "untimed", "source": "test", "confidence": "high",
    }  # fmt: skip
    return Catalyst(**(values | changes))  # type: ignore[arg-type]


def test_every_catalyst_has_an_outcome_and_the_first_move_starts_before_it(market: Market) -> None:
    moment = from_ms(at(market, 29)).replace(minute=17)
    calendar = Calendar(
        "mine",
        (
            a_catalyst("zec-traded", moment),
            a_catalyst("zec-untimed", None),
            a_catalyst("zec-before", datetime(2024, 1, 1, tzinfo=UTC)),
            a_catalyst("xmr-absent", moment, assets=("XMR",)),
            a_catalyst("zec-neutral", moment, direction=0),
            a_catalyst("zec-held", moment),
        ),
    )
    rows = [
        Intent(instrument=SWAP, decided_at_ms=at(market, 30), hold_ms=5 * HOUR, catalyst_id=name)
        for name in ("zec-traded", "zec-held")
    ]
    run = replay(market, Intents(tuple(rows)), RunConfig(**FREE), calendar=calendar)  # type: ignore[arg-type]
    assert dict(zip(run.catalysts["catalyst_id"], run.catalysts["outcome"], strict=True)) == {
        "zec-traded": "traded",
        "zec-held": "IN_POSITION",
        "zec-untimed": "UNTIMED",
        "zec-before": "OUTSIDE_DATA",
        "xmr-absent": "NO_INSTRUMENT",
        "zec-neutral": "NOT_SELECTED",
    }
    trade = run.trades.iloc[0]
    assert trade["before"] == pytest.approx(market.open[30, 0] / market.close[28, 0] - 1, rel=1e-12)
    assert trade["waited"] == 0
    assert trade["captured"] == pytest.approx(market.open[35, 0] / market.open[30, 0] - 1, rel=1e-12)


def test_the_interval_of_the_run_holds_every_stop_order() -> None:
    seen = 0
    for seed in range(12):
        run = random_run(seed)
        assert (run.trades["net_low"] <= run.trades["net"] + 1e-6).all()
        assert (run.trades["net"] <= run.trades["net_high"] + 1e-6).all()
        seen += int(run.trades["ambiguous"].sum())
        assert run.bounds.ambiguous == run.trades["ambiguous"].sum()
        if run.bounds.ambiguous == 0:
            assert run.net_low == run.net_high
        for stop_order in ("optimistic", "adverse_first"):
            other = replay(run.market, run.intents, run.config.model_copy(update={"stop_order": stop_order}))
            net, drawdown, sharpe = (other.statistics[place] for place in (0, layout.MAX_DRAWDOWN, layout.SHARPE))
            assert run.net_low - 1e-6 <= net * run.config.capital <= run.net_high + 1e-6
            assert run.bounds.drawdown_low - 1e-9 <= drawdown <= run.bounds.drawdown_high + 1e-9
            assert np.isnan(sharpe) or run.bounds.sharpe_low - 1e-9 <= sharpe <= run.bounds.sharpe_high + 1e-9
    assert seen > 3


def test_gross_less_costs_is_net_to_the_cent() -> None:
    for seed in range(8):
        run = random_run(seed)
        costs = run.costs
        paid = costs.fees + costs.slippage + costs.impact + costs.funding + costs.liquidation
        assert costs.gross - paid == pytest.approx(costs.net, abs=0.005)
        assert costs.net == pytest.approx(run.equity.iloc[-1] - run.config.capital, abs=0.005)
        assert run.funding_paid.sum() == pytest.approx(costs.funding, abs=0.005)
        rows = run.trades
        paid = rows[["fees", "slippage", "impact", "funding", "liquidation"]].sum(axis=1)
        np.testing.assert_allclose(rows["gross"] - paid, rows["net"], atol=0.005)
