"""Calendars from CSV files, frames and lists of dicts: columns mapped, cautious defaults, every fault at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from backtest.base.errors import CalendarError
from backtest.base.units import format_ms
from backtest.catalysts.reading import (
    embedded_calendars,
    open_calendar,
    read_calendar,
    read_csv_calendar,
    survey_calendar,
    toml_of,
)
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_at_ms

HEADER = "announced_at,assets,kind,actor,direction\n"


def written(folder: Path, text: str, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_of_three_columns_is_a_calendar_of_cautious_catalysts(tmp_path: Path) -> None:
    path = written(
        tmp_path, "announced_at,assets,kind\n2025-11-06 03:15Z,ZEC,listing\n2025-11-02,dash;ZEC,Trust relaunch\n"
    )
    day, minute = open_calendar(str(path))
    assert (day.assets, day.kind, day.precision) == (("DASH", "ZEC"), "trust_relaunch", "day")
    assert (day.confidence, day.direction, day.actor, day.source) == ("low", 0, "unknown", "mine.csv")
    assert minute.id == "zec-2025-11-06-unknown"
    known = [known_at_ms(one) for one in (day, minute)]
    assert [format_ms(one) for one in known if one is not None] == ["2025-11-03 00:00", "2025-11-06 03:16"]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_the_header_tells_the_separator(tmp_path: Path, separator: str) -> None:
    text = (HEADER + "2025-11-06,ZEC,listing,OKX,+1\n").replace(",", separator)
    (one,) = read_calendar(written(tmp_path, text))
    assert (one.actor, one.direction) == ("OKX", 1)


def test_midnight_sharp_is_a_day_and_a_blank_time_is_untimed(tmp_path: Path) -> None:
    rows = "2025-11-06T00:00Z,ZEC,listing,OKX,1\n,ZEC,listing,OKX,1\n"
    timed, untimed = read_calendar(written(tmp_path, HEADER + rows))
    assert (timed.precision, untimed.precision) == ("day", "untimed")


def test_times_without_a_zone_are_refused_or_read_in_the_zone_that_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "2025-11-06 03:15,ZEC,listing,OKX,1\n")
    with pytest.raises(CalendarError, match="the timestamp has no time zone"):
        read_calendar(path)
    reading = read_csv_calendar(path, {}, {}, zone=ZoneInfo("Asia/Tokyo"))
    assert reading.catalysts[0].when == "2025-11-05 18:15"


def test_columns_are_mapped_and_the_others_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "Date,Coin,Type,Who,Upvotes\n2025-11-06,ZEC,listing,OKX,17\n")
    mapping = {"announced_at": "Date", "assets": "Coin", "kind": "Type", "actor": "Who"}
    assert read_csv_calendar(path, mapping, {"confidence": "high"}).catalysts[0].confidence == "high"
    with pytest.raises(CalendarError, match=r"map kind=Typ: .* has no column 'Typ'; did you mean 'Type'\?"):
        read_csv_calendar(path, mapping | {"kind": "Typ"}, {})
    with pytest.raises(CalendarError, match=r"map kinds=Type: a catalyst has no key 'kinds'; did you mean 'kind'\?"):
        read_csv_calendar(path, {"kinds": "Type"}, {})
    with pytest.raises(
        CalendarError,
        match=r"has a column 'Date', which is not a key of a catalyst; .*events import .* --map assets=COLUMN",
    ):
        read_calendar(path)


def test_frames_and_records_are_the_same_calendar() -> None:
    records: list[dict[str, Any]] = [
        {
            "id": "one-a",
            "assets": ["ZEC"],
            "kind": "listing",
            "announced_at": pd.Timestamp("2025-11-06 03:15", tz="UTC"),
        },
        {"id": "two-b", "assets": "ZEC, DASH", "kind": "upgrade", "announced_at": "2025-11-07", "note": float("nan")},
    ]
    calendar = Calendar.from_records(records, "mine")
    assert [one.precision for one in calendar] == ["minute", "day"]
    assert Calendar.from_frame(pd.DataFrame(records), "mine").hash() == calendar.hash()
    renamed = pd.DataFrame(records).rename(columns={"announced_at": "when"})
    assert Calendar.from_frame(renamed, "mine", columns={"announced_at": "when"}).hash() != ""
    with pytest.raises(CalendarError, match=r"'mine' has a column 'when', .*read: columns={'assets': 'COLUMN'}"):
        Calendar.from_frame(renamed, "mine")
    with pytest.raises(CalendarError, match="calendar 'none' has no row"):
        Calendar.from_records([], "none")


@pytest.mark.parametrize("name", embedded_calendars())
def test_every_calendar_goes_to_a_frame_and_to_toml_and_back(name: str, tmp_path: Path) -> None:
    calendar = open_calendar(name)
    assert Calendar.from_frame(calendar.to_frame(), name).hash() == calendar.hash()
    assert read_calendar(written(tmp_path, toml_of(calendar), "back.toml")).hash() == calendar.hash()


def test_strings_that_toml_could_misread_come_back(tmp_path: Path) -> None:
    told = 'a "quote" \\ back\tslash \x7f é [x] # no comment'
    row = {"assets": "ZEC", "kind": "airdrop", "announced_at": "2025-11-06", "actor": told}
    calendar = Calendar.from_records([row], "odd", extra_kinds=["airdrop"])
    assert read_calendar(written(tmp_path, toml_of(calendar), "odd.toml")).hash() == calendar.hash()


def test_every_fault_is_told_at_once_and_each_doubt_with_what_it_comes_close_to(tmp_path: Path) -> None:
    rows = [
        "2025-11-06,ZEC,lisitng,OKX,1",
        "soon,ZEC,lisitng,OKX,3",
        "2025-11-07,ZCE,influencer_call,Arthur Hays,1",
        "2025-11-08,ZEC,influencer_call,Arthur Hayes,1",
    ]
    survey = survey_calendar(str(written(tmp_path, HEADER + "\n".join(rows) + "\n")))
    told = "\n".join(survey.faults)
    assert len(survey.faults) == 4
    assert "kind = 'lisitng' is unknown; did you mean 'listing'?" in told
    assert "announced_at = 'soon': not a date" in told
    assert "direction = '3': must be 1, -1 or 0" in told
    doubts = "\n".join(survey.doubts)
    assert "coin ZCE is in no dataset or calendar of this project; did you mean ZEC?" in doubts
    assert "actor 'Arthur Hays' comes close to 'Arthur Hayes'" in doubts
    assert len(survey.doubts) == 2
    with pytest.raises(CalendarError, match=r"lisitng.*\(and 3 more: backtest events validate .*mine.csv lists all\)"):
        open_calendar(str(tmp_path / "mine.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: a calendar needs a header"),
        (HEADER, "holds a header and no row"),
        (HEADER + "2025-11-06,ZEC\n", "line 2 has 2 fields under a header of 5"),
        ("kind,kind\nlisting,listing\n", "has 2 columns 'kind': keep one"),
    ],
)
def test_a_csv_that_is_no_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CalendarError, match=message):
        read_calendar(written(tmp_path, text))
