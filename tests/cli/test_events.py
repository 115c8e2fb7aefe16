"""`backtest events`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_list_filters_and_fits_80_columns(backtest: Command) -> None:
    done = backtest("events", "list", "--actor", "Arthur Hayes")
    assert done.returncode == 0, done.stderr
    assert "privacy-2025: 6 catalysts" in done.stdout
    assert "zec-2025-10-26-hayes" in done.stdout
    assert "grayscale" not in done.stdout
    assert max(map(len, backtest("events", "list").stdout.splitlines())) <= 80


def test_list_as_json_says_when_each_was_known(backtest: Command) -> None:
    document = json.loads(backtest("events", "list", "--json").stdout)
    assert document["schema"] == "backtest.events/1"
    known = {one["id"]: one["known_at"] for one in document["catalysts"]}
    assert len(known) == 27
    assert known["zec-2025-10-01-grayscale-trust"] == "2025-10-02T00:00:00+00:00"
    assert known["zec-2025-11-06-okx-perpetual"] == "2025-11-06T03:16:00+00:00"
    assert known["zec-2025-10-mert"] is None


def test_show_names_source_and_confidence(backtest: Command) -> None:
    text = backtest("events", "show", "zec-2025-10-mert").stdout
    assert "never: it has no day" in text
    assert "low" in text
    assert "article" in text


def test_validate_reads_all_calendars(backtest: Command) -> None:
    done = backtest("events", "validate")
    assert done.returncode == 0
    assert "privacy-2025: 27 catalysts, 6 untimed" in done.stdout
    assert "privacy-history: 18 catalysts, 0 untimed" in done.stdout


def test_a_filter_that_names_nothing_of_the_calendar_is_refused(backtest: Command) -> None:
    done = backtest("events", "list", "--actor", "Arthur Hays")
    assert done.returncode == 2
    assert "actors: calendar 'privacy-2025' has no 'Arthur Hays'; did you mean 'Arthur Hayes'?" in done.stderr


def test_a_group_lists_its_verbs_with_whole_sentences(backtest: Command) -> None:
    said = " ".join(backtest("data", "--help").stdout.split())
    assert "every row against the rules; exit 3 if one is broken, or the source says something else." in said
    assert said.endswith("meant for cron, safe to repeat.")


CSV = "Date;Coin;Type;Who\n2025-11-06 03:15;ZEC;listing;OKX\n2025-11-02;DASH;integration;Maya Protocol\n"
MAP = ("--map", "announced_at=Date", "--map", "assets=Coin", "--map", "kind=Type", "--map", "actor=Who")


def test_a_csv_is_imported_validated_listed_and_run(backtest: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(CSV)
    refused = backtest("events", "import", "mine.csv", *MAP)
    assert refused.returncode == 3
    assert "the timestamp has no time zone" in refused.stdout
    assert not (tmp_path / "mine.toml").exists()
    done = backtest("events", "import", "mine.csv", *MAP, "--zone", "UTC", "--default", "direction=1")
    assert (done.returncode, done.stdout) == (0, "mine.toml: 2 catalysts; backtest run -c mine.toml\n"), done.stderr
    again = backtest("events", "import", "mine.csv", *MAP, "--zone", "UTC")
    assert (again.returncode, "mine.toml exists: name another with --out" in again.stderr) == (2, True)
    assert "mine.toml: 2 catalysts, 0 untimed, hash" in backtest("events", "validate", "mine.toml").stdout
    ran = backtest("run", "-c", "mine.toml", "-s", "listing_momentum", "--placebo", "0")
    assert ran.returncode == 0, ran.stderr
    assert "zec-2025-11-06-okx" in (tmp_path / "runs").glob("*/trades.csv").__next__().read_text()


def test_validate_lists_all_faults_and_ends_with_3(backtest: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("announced_at,assets,kind\nsoon,ZEC,lisitng\n2025-11-02,ZCE,listing\n")
    done = backtest("events", "validate", "bad.csv")
    assert done.returncode == 3
    assert "fault: line 2: announced_at = 'soon': not a date" in done.stdout
    assert "did you mean ZEC?" in done.stdout
    assert "2 faults in what was read" in done.stderr
    (tmp_path / "bad.csv").write_text("announced_at,assets,kind\n2025-11-02,ZCE,listing\n")
    assert backtest("events", "validate", "bad.csv").returncode == 0
    assert backtest("events", "validate", "--strict", "bad.csv").returncode == 3
