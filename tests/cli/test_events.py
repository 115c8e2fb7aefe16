"""`backtest events`."""

from __future__ import annotations

import json

from tests.cli.conftest import Command


def test_list_filters_and_fits_80_columns(backtest: Command) -> None:
    done = backtest("events", "list", "--actor", "Arthur Hayes")
    assert done.returncode == 0, done.stderr
    assert "privacy-2025: 4 catalysts" in done.stdout
    assert "zec-2025-10-26-hayes" in done.stdout
    assert "grayscale" not in done.stdout
    assert max(map(len, backtest("events", "list").stdout.splitlines())) <= 80


def test_list_as_json_says_when_each_was_known(backtest: Command) -> None:
    document = json.loads(backtest("events", "list", "--json").stdout)
    assert document["schema"] == "backtest.events/1"
    known = {one["id"]: one["known_at"] for one in document["catalysts"]}
    assert len(known) == 19
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
    assert "privacy-2025: 19 catalysts, 2 untimed" in done.stdout
    assert "privacy-history: 14 catalysts, 0 untimed" in done.stdout


def test_a_filter_that_names_nothing_of_the_calendar_is_refused(backtest: Command) -> None:
    done = backtest("events", "list", "--actor", "Arthur Hays")
    assert done.returncode == 2
    assert "actors: calendar 'privacy-2025' has no 'Arthur Hays'; did you mean 'Arthur Hayes'?" in done.stderr


def test_a_group_lists_its_verbs_with_whole_sentences(backtest: Command) -> None:
    said = " ".join(backtest("data", "--help").stdout.split())
    assert "Verify every file against its hash and every row against the rules; exit 3 if one is broken." in said
    assert said.endswith("meant for cron, safe to repeat.")
