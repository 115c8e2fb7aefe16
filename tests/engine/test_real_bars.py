"""Trades on real bars, pinned by hand arithmetic.

Prices and rates below are typed from the exchange's files: opens of the entry and exit bars, the last close before the
announcement, and the settlements inside the holding period with the close of the bar that each one ended.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backtest.base.config import RunConfig
from backtest.catalysts.reading import open_calendar
from backtest.catalysts.timing import known_at_ms
from backtest.engine.book import audited_equity
from backtest.engine.replay import replay
from backtest.engine.run import Run
from backtest.market.dataset import open_dataset
from backtest.market.record import Market
from backtest.signals.strategy import Intent, Intents
from backtest.strategies import REGISTRY

PLAIN = {"impact": 0.0, "participation": float("inf"), "funding_unknown": "zero"}
FEE = HALF_SPREAD = 0.0005
NOTIONAL = 25_000.0


@pytest.fixture(scope="module")
def market(shared: Path) -> Market:
    return open_dataset(str(shared / "market" / "binance-usdm-2025q4"))


def run_of(market: Market, **settings: object) -> Run:
    calendar = open_calendar("privacy-2025")
    strategy = REGISTRY["catalyst_momentum"]({"hold": "48h", "stop_loss": 0.0})
    config = RunConfig(**(PLAIN | settings))  # type: ignore[arg-type]
    return replay(market, strategy.decide(market, calendar), config, calendar=calendar, strategy=strategy.name)


@pytest.fixture(scope="module")
def run(market: Market) -> Run:
    return run_of(market)


# catalyst, entry, exit, open in, open out, last close before the announcement, ((close, rate), ...)
HAND = [
    (
        "zec-2025-10-01-grayscale-trust",
        ("2025-10-02 00:00", "2025-10-04 00:00"),
        (120.79, 127.42, 74.14),
        ((143.01, 1e-4), (132.55, 1e-4), (131.31, 1e-4), (141.21, 4.206e-05), (150.05, -3.132e-05), (127.44, 1e-4)),
        0.0523549876,
    ),
    (
        "dash-2025-11-06-okx-perpetual",
        ("2025-11-06 04:00", "2025-11-08 04:00"),
        (99.03, 90.57, 98.20),
        ((105.45, -1.1e-05), (115.02, -0.00619824), (113.18, -0.01022107), (117.13, -0.01073695), (108.59, -0.00345912),
         (101.19, 0.0001)),
        -0.0520347128,
    ),
    ("zk-2025-11-01-vitalik", ("2025-11-02 00:00", "2025-11-04 00:00"), (0.05177, 0.0526, 0.02886), (), 0.0140094181),
]  # fmt: skip


@pytest.mark.parametrize(("catalyst", "times", "prices", "funding", "net_return"), HAND, ids=[row[0] for row in HAND])
def test_three_trades_by_hand(
    run: Run,
    catalyst: str,
    times: tuple[str, str],
    prices: tuple[float, float, float],
    funding: tuple[tuple[float, float], ...],
    net_return: float,
) -> None:
    trade = run.trades.set_index("catalyst_id").loc[catalyst]
    assert (trade["entry_time"], trade["exit_time"]) == tuple(pd.Timestamp(time, tz="UTC") for time in times)
    opened, closed, before = prices
    bought, sold = opened * (1 + HALF_SPREAD), closed * (1 - HALF_SPREAD)
    assert trade["entry_price"] == pytest.approx(bought, rel=1e-12)
    assert trade["exit_price"] == pytest.approx(sold, rel=1e-12)
    assert (1 + trade["before"]) * (1 + trade["waited"]) == pytest.approx(bought / before, rel=1e-12)
    assert trade["waited"] == pytest.approx(HALF_SPREAD, abs=1e-12)
    assert trade["captured"] == pytest.approx(sold / bought - 1, rel=1e-12)
    per_unit = sold - bought - sum(close * rate for close, rate in funding) - FEE * (bought + sold)
    assert trade["net_return"] == pytest.approx(per_unit / bought, rel=1e-9)
    assert trade["net_return"] == pytest.approx(net_return, abs=1e-9)


def test_the_first_trade_wants_a_quarter_of_the_capital(run: Run) -> None:
    first = run.trades.iloc[0]
    assert first["quantity"] * first["entry_price"] == pytest.approx(NOTIONAL, rel=1e-12)


def test_every_entry_is_the_first_open_after_its_catalyst_was_known(run: Run, market: Market) -> None:
    calendar = open_calendar("privacy-2025")
    assert len(run.trades) >= 10
    for trade in run.trades.to_dict("records"):
        known = known_at_ms(calendar[trade["catalyst_id"]])
        assert known is not None
        entry = trade["entry_time"].value // 10**6
        assert known <= entry < known + market.bar_ms


def test_nothing_of_2025_10_01_is_bought_before_the_next_midnight(run: Run) -> None:
    fills = run.fills[run.fills["catalyst_id"].str.startswith("zec-2025-10-01")]
    assert len(fills) > 0
    assert (fills["bar"] >= pd.Timestamp("2025-10-02", tz="UTC")).all()


def test_equity_equals_the_vectorbt_portfolio(market: Market) -> None:
    for settings in ({}, {"impact": 1.0, "participation": 0.1, "funding_unknown": "const"}):
        run = run_of(market, **settings)
        assert (audited_equity(run) - run.equity).abs().max() < 1e-9 * run.config.capital


def test_a_november_of_dash_pays_what_its_settlements_sum_to(market: Market, shared: Path) -> None:
    """A long from 2025-11-06 00:00 to 2025-11-20 00:00, against a sum over the exchange's own rows."""
    start, end = (int(pd.Timestamp(day, tz="UTC").value // 10**6) for day in ("2025-11-06", "2025-11-20"))
    folder = shared / "market" / "binance-usdm-2025q4"
    rates = pd.read_csv(folder / "DASHUSDT-funding.csv")
    closes = pd.read_csv(folder / "DASHUSDT-1h.csv").set_index("timestamp")["close"]
    rates = rates[(rates["timestamp"] > start) & (rates["timestamp"] <= end)]
    assert len(rates) == 42
    for side in (1, -1):
        intent = Intent(instrument="DASH/USDT:USDT", decided_at_ms=start, side=side, exit_at_ms=end, weight=0.5)
        run = replay(market, Intents((intent,)), RunConfig(**PLAIN))  # type: ignore[arg-type]
        quantity = run.trades["quantity"].iloc[0]
        by_hand = sum(
            side * quantity * closes[int(stamp) // 3_600_000 * 3_600_000 - 3_600_000] * rate
            for stamp, rate in zip(rates["timestamp"], rates["funding_rate"], strict=True)
        )
        assert abs(by_hand) > 100
        assert run.trades["funding"].iloc[0] == pytest.approx(by_hand, rel=1e-12)
        assert (by_hand < 0) == (side > 0), "funding was negative: longs received it"


def test_unknown_funding_is_an_error_where_asked_and_never_silent(market: Market) -> None:
    with pytest.raises(Exception, match=r"funding of ZK/USDT:USDT is unknown at 2025-11-02 00:00") as caught:
        run_of(market, funding_unknown="error")
    assert getattr(caught.value, "exit_code", None) == 3
    zero, const = run_of(market), run_of(market, funding_unknown="const")
    assert any("funding unknown for ZEN/USDT:USDT, ZK/USDT:USDT: counted as zero" in note for note in zero.notes)
    assert any("charged at 0.0100% per 8 h against the position" in note for note in const.notes)
    held = const.trades.set_index("catalyst_id").loc["zk-2025-11-01-vitalik"]
    assert held["unknown_funding_bars"] == 48
    assert held["funding"] > 0


def test_detail_bars_replace_the_guess_inside_the_bar(market: Market, shared: Path) -> None:
    """A stop and a target inside the same hour of ZEC: the 5 m bars say which came first."""
    finer = open_dataset(str(shared / "market" / "binance-usdm-2025q4" / "freqtrade"))
    start, end = (pd.Timestamp(day, tz="UTC").value // 10**6 for day in ("2025-10-01", "2025-11-10"))
    rows = tuple(
        Intent(
            instrument="ZEC/USDT:USDT", decided_at_ms=int(moment), weight=0.5, stop_loss=0.02, take_profit=0.02,
            hold_ms=6 * market.bar_ms,
        )
        for moment in range(start, end, 7 * market.bar_ms)
    )  # fmt: skip
    coarse = replay(market, Intents(rows), RunConfig(**PLAIN))  # type: ignore[arg-type]
    fine = replay(market, Intents(rows), RunConfig(**PLAIN), detail=finer)  # type: ignore[arg-type]
    entries = coarse.trades.set_index("decided_at")
    resolved = fine.trades.set_index("decided_at")
    doubtful = entries.index[entries["ambiguous"]]
    assert len(doubtful) >= 5
    assert not resolved["ambiguous"].loc[doubtful].all()
    better = 0
    for moment in doubtful:
        bar = entries.loc[moment, "exit_time"]
        inside = finer.frame("high")["ZEC/USDT:USDT"].loc[bar : bar + pd.Timedelta(minutes=55)]
        lows = finer.frame("low")["ZEC/USDT:USDT"].loc[inside.index]
        price = entries.loc[moment, "entry_price"]
        up, down = (inside >= price * 1.02).to_numpy().argmax(), (lows <= price * 0.98).to_numpy().argmax()
        if up < down:
            better += 1
            assert resolved.loc[moment, "reason"] == "take_profit"
        elif down < up:
            assert resolved.loc[moment, "reason"] == "stop_loss"
    assert better > 0


@pytest.mark.parametrize(
    ("symbol", "folder"),
    [("ZEC/USDT:USDT", "binance-usdm-2025q4/freqtrade"), ("ZEN/USDT:USDT", "binance-usdm-5m-2025q4")],
)
def test_finer_bars_never_leave_the_interval_of_the_hours(
    market: Market, shared: Path, symbol: str, folder: str
) -> None:
    """Trailing stops of 0.5 to 5 %: what each stop order does on the 5 m bars lies in what the hours allow.

    Funding is left out: the folders of finer bars have none.
    """
    hours, finer = (
        replace(one, funding=np.zeros_like(one.funding))
        for one in (market, open_dataset(str(shared / "market" / folder)))
    )
    start, end = finer.start_ms, finer.end_ms
    for trail in (0.005, 0.01, 0.02, 0.05):
        rows = tuple(
            Intent(
                instrument=symbol, decided_at_ms=moment, weight=0.5, trailing_stop=trail, hold_ms=5 * hours.bar_ms
            )
            for moment in range(start, end, 6 * hours.bar_ms)
        )  # fmt: skip
        coarse = replay(hours, Intents(rows), RunConfig(**PLAIN)).trades.set_index("decided_at")  # type: ignore[arg-type]
        for stop_order in ("pessimistic", "optimistic", "adverse_first"):
            settings = RunConfig(**(PLAIN | {"stop_order": stop_order}))  # type: ignore[arg-type]
            runs = (replay(finer, Intents(rows), settings), replay(hours, Intents(rows), settings, detail=finer))
            for fine in (run.trades.set_index("decided_at") for run in runs):
                both = coarse.index.intersection(fine.index)
                assert len(both) > 100
                notional = (coarse["quantity"] * coarse["entry_price"]).loc[both]
                share = fine["net_return"].loc[both]
                assert (share >= coarse["net_low"].loc[both] / notional - 1e-9).all()
                assert (share <= coarse["net_high"].loc[both] / notional + 1e-9).all()
        width = (coarse["net_high"] - coarse["net_low"]).sum()
        assert (fine["net_high"] - fine["net_low"]).sum() < 0.5 * width
