"""`backtest data import | list | show | check` over files on disk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Command
from tests.market.test_archive import OCT, clock_times, day_of_hours, metrics, put
from tests.market.test_comparing import bars

HOUR = 3_600_000


def frame(hours: int = 48) -> pd.DataFrame:
    stamps = OCT + np.arange(hours, dtype=np.int64) * HOUR
    columns = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 5.0}
    return pd.DataFrame({"timestamp": stamps, **columns})


def test_the_archive_and_what_check_finds(backtest: Command, tmp_path: Path) -> None:
    um = tmp_path / "data/futures/um/daily"
    put(um / "klines/ZECUSDT/1h", "ZECUSDT-1h-2025-10-01.zip", day_of_hours(hours=range(20)))
    put(um / "metrics/ZECUSDT", "ZECUSDT-metrics-2025-10-01.zip", metrics(clock_times(OCT + 300_000, 288)))
    done = backtest("data", "import", "data", "--store", "shelf")
    assert done.returncode == 0, done.stderr
    assert "binanceusdm ZEC/USDT:USDT ohlcv 1h: 20 new rows" in done.stdout
    assert "binanceusdm ZEC/USDT:USDT oi 5m: 288 new rows" in done.stdout
    shown = backtest("data", "show", "--store", "shelf").stdout
    assert "gap       2025-10-01 20:00 to 2025-10-02 00:00" in shown
    assert "█" * 30 in shown
    assert "!" * 5 in shown
    assert backtest("data", "check", "--store", "shelf").stdout == "3 series, 596 rows, 0 broken\n"
    file = next((tmp_path / "shelf/binanceusdm/ZEC_USDT_USDT/oi").rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    broken = backtest("data", "check", "--store", "shelf")
    assert broken.returncode == 3
    assert broken.stdout == "3 series, 596 rows, 1 broken\n"
    assert f"binanceusdm ZEC/USDT:USDT oi 5m: {file.name} was changed" in broken.stderr


@pytest.mark.parametrize("form", ["feather", "csv", "parquet"])
def test_plain_files_and_freqtrade(backtest: Command, tmp_path: Path, form: str) -> None:
    folder = tmp_path / "futures"
    folder.mkdir()
    if form == "feather":
        dated = frame().rename(columns={"timestamp": "date"})
        dated["date"] = pd.to_datetime(dated["date"], unit="ms", utc=True)
        dated.to_feather(folder / "ZEC_USDT_USDT-1h-futures.feather")
    elif form == "csv":
        frame().to_csv(folder / "ZECUSDT-1h.csv", index=False)
    else:
        frame().to_parquet(folder / "ZECUSDT-1h.parquet", index=False)
    (folder / "notes.csv").write_text("x")
    done = backtest("data", "import", "futures", "--venue", "gate", "--store", "shelf")
    assert done.returncode == 0, done.stderr
    assert "gate ZEC/USDT:USDT ohlcv 1h: 48 new rows" in done.stdout
    assert "notes.csv not read" in done.stdout


def test_a_second_import_adds_nothing_and_a_venue_is_needed(backtest: Command, tmp_path: Path) -> None:
    (tmp_path / "futures").mkdir()
    frame().to_csv(tmp_path / "futures/ZECUSDT-1h.csv", index=False)
    refused = backtest("data", "import", "futures", "--store", "shelf")
    assert refused.returncode == 3
    assert "does not name its venue: give --venue" in refused.stderr
    for said in ("gate ZEC/USDT:USDT ohlcv 1h: 48 new rows", "1 files not read: imported before, by their sha256"):
        done = backtest("data", "import", "futures", "--venue", "gate", "--store", "shelf")
        assert said in done.stdout
    listed = backtest("data", "list", "--store", "shelf").stdout
    assert "ZEC/USDT:USDT gate ohlcv 1h 48 2025-10-01 2025-10-02 0" in [
        " ".join(line.split()) for line in listed.splitlines()
    ]
    assert "datasets: gate" in listed
    assert all(len(line) <= 80 for line in listed.splitlines())


def test_real_files_become_a_dataset(backtest: Command, shared: Path, tmp_path: Path) -> None:
    done = backtest(
        "data", "import", str(shared / "market/binance-usdm-2026q1-oi"), "--venue", "binanceusdm", "--store", "shelf"
    )
    assert done.returncode == 0, done.stderr
    assert "binanceusdm ZEC/USDT:USDT ohlcv 1h: 768 new rows" in done.stdout
    assert "binanceusdm ZK/USDT:USDT oi 4h:" in done.stdout
    checked = backtest("data", "check", "--store", "shelf")
    assert checked.returncode == 0, checked.stderr


def test_an_empty_store_says_how_to_fill_it(backtest: Command) -> None:
    done = backtest("data", "list", "--store", "nowhere")
    assert done.returncode == 0
    assert done.stdout == ""
    assert "backtest fetch privacy-2025" in done.stderr


def test_the_verb_prints_a_table_or_json(backtest: Command, tmp_path: Path) -> None:
    for name, seed in (("one-usdm", 1), ("two-usdm", 2)):
        folder = tmp_path / name
        folder.mkdir()
        frame = bars(seed)
        frame.insert(0, "timestamp", frame.index.as_unit("ms").asi8)
        frame.to_csv(folder / "ZECUSDT-1h.csv", index=False)
    done = backtest("data", "compare", "one-usdm", "two-usdm", "--coins", "zec")
    assert done.returncode == 0, done.stderr
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "A is one-usdm, B is two-usdm, bars of 1h" in rows
    assert any(row.startswith("ZEC close 960 0 1 ") and row.endswith("100.0% high") for row in rows)
    document = json.loads(backtest("data", "compare", "one-usdm", "two-usdm", "--json").stdout)
    assert document["schema"] == "backtest.data-compare/1"
    assert [(one["series"], one["word"]) for one in document["series"]] == [("close", "high"), ("volume", "high")]
    refused = backtest("data", "compare", "one-usdm", "two-usdm", "--coins", "XMR")
    assert refused.returncode == 2
    assert "have no coin XMR" in refused.stderr
