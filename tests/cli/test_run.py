"""`backtest run`: the table, the run folder, JSON, and one clear sentence for every bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Command

CALENDAR = """
[[catalyst]]
id = "zec-one"
assets = ["ZEC"]
kind = "listing"
actor = "OKX"
direction = 1
announced_at = 2025-10-06T03:15:00Z
precision = "minute"
source = "test"
confidence = "high"
"""
BARS = "timestamp,open,high,low,close,volume\n" + "".join(
    f"{1759276800000 + 3_600_000 * row},{100 + row},{102 + row},{99 + row},{101 + row},1000\n" for row in range(96)
)


def test_the_default_shows_both_strategies_and_the_label(backtest: Command, tmp_path: Path) -> None:
    done = backtest("run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("RECONSTRUCTED: ")
    assert "buy_and_hold" in done.stdout
    assert "catalyst_momentum" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    folder = tmp_path / done.stderr.strip().removeprefix("run folder: ")
    assert {path.name for path in folder.iterdir()} == {"run.json", "fills.csv", "trades.csv", "equity.csv"}


def test_json_and_run_folder_say_the_same_and_once_more_in_the_same_bytes(backtest: Command, tmp_path: Path) -> None:
    done = backtest("run", "--json", "--out", "here")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "here" / "run.json").read_text())
    assert document["schema"] == "backtest.run/2"
    assert document["label"] == "RECONSTRUCTED"
    momentum = next(one for one in document["strategies"] if one["name"] == "catalyst_momentum")
    trades = pd.read_csv(tmp_path / "here" / "trades.csv")
    mine = trades[trades["strategy"] == "catalyst_momentum"]
    assert len(mine) == len(momentum["trades"]) == momentum["scores"]["trades"]["value"] > 5
    ledger = momentum["ledger"]
    costs = sum(ledger[kind] for kind in ("fees", "slippage", "impact", "funding", "liquidation"))
    assert ledger["gross"] - costs == pytest.approx(ledger["net"], abs=0.01)
    equity = pd.read_csv(tmp_path / "here" / "equity.csv")
    assert equity["catalyst_momentum"].iloc[-1] == pytest.approx(100_000 + ledger["net"], abs=1e-6)
    fills = pd.read_csv(tmp_path / "here" / "fills.csv")
    assert (fills["strategy"] == "catalyst_momentum").sum() == 2 * len(mine)
    assert {row["outcome"] for row in momentum["catalysts"]} >= {"traded", "UNTIMED", "IN_POSITION"}
    again = backtest("run", "--json", "--out", "again")
    assert again.stdout == done.stdout
    for file in ("run.json", "fills.csv", "trades.csv", "equity.csv"):
        assert (tmp_path / "here" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_equity_is_parquet_on_request_and_an_unknown_format_is_refused_before_the_run(
    backtest: Command, tmp_path: Path
) -> None:
    few = ("-s", "buy_and_hold", "--placebo", "0", "--bootstrap", "0")
    assert backtest("run", *few, "--out", "text").returncode == 0
    assert backtest("run", *few, "--out", "table", "--equity", "parquet").returncode == 0
    assert {path.name for path in (tmp_path / "table").iterdir()} >= {"equity.parquet", "run.json"}
    assert (tmp_path / "table" / "run.json").read_bytes() == (tmp_path / "text" / "run.json").read_bytes()
    text, table = pd.read_csv(tmp_path / "text" / "equity.csv"), pd.read_parquet(tmp_path / "table" / "equity.parquet")
    assert text["buy_and_hold"].tolist() == table["buy_and_hold"].tolist()
    refused = backtest("run", "--equity", "parket", "--out", "none")
    assert refused.returncode == 2
    assert "equity 'parket' is unknown; did you mean 'parquet'" in refused.stderr
    assert not (tmp_path / "none").exists()


def test_options_reach_the_run(backtest: Command) -> None:
    done = backtest(
        "run", "--json", "-s", "catalyst_momentum", "-p", "hold=24h", "-p", "kinds=trust_relaunch,oi_record",
        "--timerange", "20250914-20251116", "--set", "fee_rate=0.001", "--funding", "error",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["config"]["fee_rate"] == 0.001
    assert document["config"]["funding_unknown"] == "error"
    assert document["dataset"]["end"] == "2025-11-16T00:00:00+00:00"
    (only,) = document["strategies"]
    assert only["parameters"]["hold"] == "24h"
    assert {trade["catalyst_id"] for trade in only["trades"]} <= {
        "zec-2025-10-01-grayscale-trust",
        "zec-2025-11-01-oi-record",
    }


def test_a_folder_and_a_calendar_of_ones_own(backtest: Command, tmp_path: Path) -> None:
    folder = tmp_path / "my-usdm-bars"
    folder.mkdir()
    (folder / "ZECUSDT-1h.csv").write_text(BARS)
    (tmp_path / "mine.toml").write_text(CALENDAR.replace("2025-10-06", "2025-10-02"))
    done = backtest(
        "run", "-d", "my-usdm-bars", "-c", "mine.toml", "-s", "catalyst_momentum", "-p", "hold=24h", "--trades"
    )
    assert done.returncode == 0, done.stderr
    assert "RECONSTRUCTED" not in done.stdout
    assert "zec-one 25-10-02 04:00" in " ".join(done.stdout.split())
    assert "funding unknown for ZEC/USDT:USDT" in done.stdout


BAD = [
    (("run", "-s", "catalyst_momentun"), 2, "'catalyst_momentun' is unknown; did you mean 'catalyst_momentum'?"),
    (("run", "-p", "hodl=3d"), 2, "parameter 'hodl' is unknown to accumulation, basis_reversion, buy_and_hold"),
    (("run", "-p", "hold=soon"), 2, "hold = 'soon': not a duration"),
    (("run", "-p", "hold"), 2, "-p 'hold' is not name=value"),
    (("run", "-p", "hold=1d", "-p", "hold=2d"), 2, "-p 'hold' is given twice"),
    (("run", "--set", "fee=0.1"), 2, "unknown key 'fee'; did you mean 'fee_rate'?"),
    (("run", "--set", "fee_rate=2"), 2, "fee_rate = '2': a share is less than 1; for 2 percent write 0.02 or 2%"),
    (("run", "--funding", "free"), 2, "--funding 'free' is unknown; allowed: const, error, zero"),
    (("run", "--timerange", "20240101-20240201"), 2, "holds no bar or extends beyond the data of"),
    (("run", "--timerange", "20251101-20251001"), 2, "its end must be after its start"),
    (("run", "--timerange", "yesterday"), 2, "timerange 'yesterday' is not START-END"),
    (("run", "--timerange", "2025-09-01T00:00/2025-10-01"), 2, "2025-09-01T00:00:00 has no time zone: add Z"),
    (("run", "-d", "privacy-2025-simple"), 2, "did you mean 'privacy-2025-sample'?"),
    (("run", "-d", "empty"), 3, "empty"),
    (("run", "-d", "text-price-usdm"), 3, "ZECUSDT-1h.csv"),
    (("run", "-d", "empty-file-usdm"), 3, "ZECUSDT-1h.csv"),
    (("run", "-d", "naive-usdm"), 3, "ZECUSDT-1h.csv"),
    (("run", "-c", "absent.toml"), 3, "absent.toml does not exist"),
    (("run", "-c", "unknown-key.toml"), 3, "catalyst 'zec-one': unknown key 'colour'"),
    (("run", "-c", "twice.toml"), 3, "duplicate id 'zec-one'"),
    (("run", "-c", "naive.toml"), 3, "the timestamp has no time zone: add Z"),
    (("run", "--config", "absent.toml"), 2, "absent.toml does not exist"),
    (("run", "--out", "file.txt/inside"), 2, "cannot be written"),
    (("run", "-p", "assets=DOGE"), 2, "assets: 'DOGE' is not in market 'privacy-2025-sample'"),
    (("run", "--no-such-option",), 2, "has no option '--no-such-option'"),
    (("walk",), 2, "backtest has no verb 'walk'; did you mean 'walkforward'?"),
    (("events", "show", "zec-2025"), 2, "has no catalyst 'zec-2025'"),
]  # fmt: skip


@pytest.fixture
def bad_files(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    broken = {
        "text-price-usdm": BARS.replace(",103,", ",ten,", 1),
        "empty-file-usdm": "",
        "naive-usdm": BARS.replace("1759276800000", "2025-10-01 00:00:00", 1),
    }
    for name, text in broken.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "ZECUSDT-1h.csv").write_text(text)
    (tmp_path / "unknown-key.toml").write_text(CALENDAR + 'colour = "red"\n')
    (tmp_path / "twice.toml").write_text(CALENDAR + CALENDAR)
    (tmp_path / "naive.toml").write_text(CALENDAR.replace("03:15:00Z", "03:15:00"))
    (tmp_path / "file.txt").write_text("")


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize(("arguments", "code", "sentence"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input_is_one_sentence_and_its_exit_code(
    backtest: Command, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    done = backtest(*arguments)
    assert done.returncode == code, done.stderr
    said = done.stderr.strip()
    assert sentence in said
    assert "Traceback" not in said
    if code == 3 or said.startswith("backtest: "):
        assert said.startswith("backtest: ")
        assert len(said.splitlines()) == 1


def test_a_text_price_names_file_row_and_column(backtest: Command, bad_files: None) -> None:
    said = backtest("run", "-d", "text-price-usdm").stderr
    assert "row 3" in said or "line 3" in said
    assert "'ten'" in said
    assert "high" in said


def test_a_run_loads_no_library_for_one_function(backtest: Command, tmp_path: Path) -> None:
    done = backtest("run", "-s", "catalyst_momentum", "--out", str(tmp_path / "run"), PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "pandas" in imported
    assert imported.isdisjoint({"arch", "statsmodels", "matplotlib", "vectorbt", "ccxt", "scipy.stats", "sklearn"})


def test_help_and_events_answer_without_heavy_imports(backtest: Command) -> None:
    for arguments in (("--help",), ("run", "--help"), ("events", "list"), ("--version",)):
        done = backtest(*arguments, PYTHONPROFILEIMPORTTIME="1")
        assert done.returncode == 0
        imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
        assert "typer" in imported
        assert imported.isdisjoint({"pandas", "numba", "vectorbt", "ccxt", "matplotlib", "pyarrow", "scipy"}), arguments
