"""`backtest why`, the workspace file and the doctor."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def test_each_outcome_says_its_reason_and_what_would_change_it(backtest: Command) -> None:
    def told(identifier: str, *options: str) -> str:
        done = backtest("why", identifier, *options, COLUMNS="400")
        assert done.returncode == 0, done.stderr
        return done.stdout

    kind = told("zec-2025-11-01-oi-record", "-s", "listing_momentum")
    assert "its kind is oi_record; this strategy takes listing" in kind
    traded = told("zec-2025-11-06-okx-perpetual", "-s", "listing_momentum")
    assert "traded: long ZEC/USDT:USDT from 2025-11-06" in traded
    assert "waited " in traded
    chosen = ("-s", "catalyst_momentum", "-p", "assets=DASH")
    asset = told("zec-2025-11-06-okx-perpetual", *chosen)
    assert "parameter assets = DASH leaves it out; assets=empty takes it" in asset
    assert "UNTIMED: not even its day is known" in told("zec-2025-10-mert", "-s", "catalyst_momentum")
    outside = told("zec-2025-11-12-cypherpunk", "-s", "catalyst_momentum", "--timerange", "20250914-20251101")
    assert "OUTSIDE_DATA: it was known at 2025-11-1" in outside
    held = told("zec-2025-11-01-hayes", "-s", "catalyst_momentum", "-p", "hold=240h")
    assert "IN_POSITION" in held
    assert "it held ZEC/USDT:USDT on zec-2025-10-" in held
    assert "would change it: --set in_position=extend" in held


def test_a_workspace_gives_defaults_that_are_told_and_never_a_strategy(backtest: Command, tmp_path: Path) -> None:
    (tmp_path / "backtest.toml").write_text('calendars = ["privacy-history"]\n')
    done = backtest("why", "zec-2025-04-sec", "-s", "catalyst_momentum")
    assert "backtest.toml: calendars = privacy-history" in done.stderr
    assert "calendar 'privacy-history' has no catalyst" in done.stderr
    named = backtest("why", "zec-2025-11-06-okx-perpetual", "-s", "listing_momentum", "-c", "privacy-2025")
    assert (named.returncode, named.stderr) == (0, "")
    (tmp_path / "backtest.toml").write_text('ledger = "kept/trials.sqlite"\n')
    (tmp_path / "kept").mkdir()
    assert "ledger kept/trials.sqlite: not made yet" in backtest("doctor", BACKTEST_LEDGER="").stdout
    assert "ledger: none is kept" in backtest("doctor", BACKTEST_LEDGER="none").stdout
    (tmp_path / "backtest.toml").write_text('strategy = "mine.py:Mine"\n')
    refused = backtest("run")
    assert refused.returncode == 2
    assert "backtest.toml: unknown key 'strategy'" in refused.stderr


def test_doctor_version_and_log_level(backtest: Command) -> None:
    done = backtest("doctor")
    assert done.returncode == 0, done.stdout
    assert "default dataset privacy-2025-sample" in done.stdout
    assert "MISSING" not in done.stdout
    version = backtest("--version").stdout
    assert "numba" in version
    assert "privacy-2025-sample" in version
    loud = backtest("--log-level", "lound", "doctor")
    assert loud.returncode == 2
    assert "--log-level 'lound' is unknown" in loud.stderr
