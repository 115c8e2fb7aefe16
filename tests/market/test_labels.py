"""When open interest was sampled, decided by the price that value by coins gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backtest.market.align import InstrumentData, align
from backtest.market.archive import read_archive_file
from backtest.market.labels import sample_label
from backtest.market.quality import CheckedBars, OpenInterest
from backtest.market.record import Instrument

PERIOD = 300_000
START = 1_761_955_200_000


def made(lag: int, count: int = 40) -> tuple[OpenInterest, np.ndarray, np.ndarray]:
    open_ms = START + PERIOD * np.arange(count + 2, dtype=np.int64)
    opens = 400.0 * np.exp(np.cumsum(np.random.RandomState(3).standard_normal(count + 2)) * 0.01)
    stamps, coins = open_ms[:count], np.full(count, 5e5)
    return OpenInterest(stamps, PERIOD, coins, coins * opens[lag : lag + count], ()), open_ms, opens


@pytest.mark.parametrize("lag", [0, 1])
def test_the_instant_whose_price_fits_is_taken(lag: int) -> None:
    label = sample_label(*made(lag))
    assert (label.decided, label.lag_ms) == (True, lag * PERIOD)
    assert ("at its stamp" in label.words) == (lag == 0)


def test_what_prices_do_not_decide_is_taken_as_the_later_instant() -> None:
    samples, open_ms, opens = made(0)
    for known in ((open_ms, np.full(opens.size, 400.0)), (open_ms[:4], opens[:4])):
        label = sample_label(samples, *known)
        assert (label.decided, label.lag_ms) == (False, PERIOD)
        assert "not decided" in label.words
    alone = OpenInterest(samples.sampled_ms, PERIOD, samples.coins, np.full(40, np.nan), ())
    assert sample_label(alone, open_ms, opens).words == ""


def bars_of(path: Path, columns: tuple[str, ...]) -> CheckedBars:
    table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_feather(path)
    time = table["timestamp"].to_numpy(np.int64) if "timestamp" in table else None
    if time is None:
        time = ((table["date"] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta("1ms")).to_numpy(np.int64)
    return CheckedBars(time, *(table[name].to_numpy(float) for name in columns), ())


def test_metrics_of_binance_are_of_five_minutes_after_their_stamp(shared: Path) -> None:
    """The bar 02:00-03:00 of 2025-11-01 carries 238.70 M; the sample of 03:00 (246.76 M) is known at 03:05."""
    market = shared / "market"
    name = "ZECUSDT-metrics-2025-11-01.csv"
    text = (market / "binance-metrics-2025-11-01" / name).read_bytes()
    rows = read_archive_file(name, name, text, vouched=False).rows
    samples = OpenInterest(rows.time_ms, PERIOD, rows.values[:, 0], rows.values[:, 1], ())
    prices = ("open", "high", "low", "close", "volume")
    five = next((market / "binance-usdm-2025q4" / "freqtrade").rglob("*5m*.feather"))
    found = {}
    for timeframe, path in (("5m", five), ("1h", market / "binance-usdm-2025q4" / "ZECUSDT-1h.csv")):
        bars = bars_of(path, prices)
        kept = (bars.open_ms >= START) & (bars.open_ms < START + 6 * 3_600_000)
        bars = CheckedBars(bars.open_ms[kept], *(getattr(bars, price)[kept] for price in prices), ())
        aligned = align("x", timeframe, [InstrumentData(Instrument.parse("ZEC/USDT:USDT"), bars, None, samples)])
        close = START + 3 * 3_600_000 - aligned.open_ms[0] - (aligned.open_ms[1] - aligned.open_ms[0])
        row = int(close // (aligned.open_ms[1] - aligned.open_ms[0]))
        found[timeframe] = (aligned.panels["open_interest"][row, 0], "; ".join(aligned.repairs))
    assert found["5m"][0] == found["1h"][0] == 238_701_560
    assert "sampled a period after its stamp" in found["5m"][1]
    assert "not decided" in found["1h"][1]


def test_four_hourly_open_interest_is_of_its_stamp(shared: Path) -> None:
    folder = shared / "market" / "binance-usdm-2026q1-oi"
    for coin in ("ZEC", "DASH", "ZK", "BTC"):
        table = pd.read_csv(folder / f"{coin}USDT-oi-4h.csv")
        bars = pd.read_csv(folder / f"{coin}USDT-1h.csv")
        columns = (table[name].to_numpy(float) for name in ("sum_open_interest", "sum_open_interest_value"))
        samples = OpenInterest(table["timestamp"].to_numpy(np.int64), 4 * 3_600_000, *columns, ())
        label = sample_label(samples, bars["timestamp"].to_numpy(np.int64), bars["open"].to_numpy(float))
        assert (label.decided, label.lag_ms) == (True, 0)
