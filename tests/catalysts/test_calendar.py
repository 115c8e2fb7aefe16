"""Strict reading of calendars, and the two that come with the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.base.errors import CalendarError, UsageError
from backtest.base.units import parse_timerange
from backtest.catalysts.reading import embedded_calendars, merge_calendars, open_calendar, read_calendar, toml_of
from backtest.catalysts.record import Calendar

GOOD = """
name = "mine"
[[catalyst]]
id = "zec-one"
assets = ["ZEC"]
kind = "listing"
actor = "OKX"
direction = 1
announced_at = 2025-11-06T03:15:00Z
precision = "minute"
source = "test"
confidence = "high"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "calendar.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('source = "test"', 'sauce = "test"', r"catalyst 'zec-one': unknown key 'sauce'; did you mean 'source'\?"),
        ('source = "test"', "", r"catalyst 'zec-one': key 'source' is missing; add it"),
        ('name = "mine"', 'nome = "mine"', r"unknown key 'nome'; did you mean 'name'\?"),
        ("03:15:00Z", "03:15:00", r"announced_at = .*2025.*: the timestamp has no time zone: add Z"),
        ("2025-11-06T03:15:00Z", '"2025-11-06 03:15"', r"announced_at = '2025-11-06 03:15': .*no time zone"),
        ("2025-11-06T03:15:00Z", '"soon"', r"announced_at = 'soon': not a date"),
        ("2025-11-06T03:15:00Z", "1762398900", r"announced_at = 1762398900: not a date"),
        ('"minute"', '"day"', r"announced_at 2025-11-06T03:15:00\+00:00 is finer than precision 'day'"),
        ('"minute"', '"untimed"', r"an untimed catalyst has no announced_at"),
        ('"minute"', '"week"', r"precision = 'week': must be 'second', 'minute'"),
        ("announced_at = 2025-11-06T03:15:00Z", "", r"announced_at is missing"),
        ("direction = 1", "direction = 2", r"direction = 2: must be 1, -1 or 0"),
        ('kind = "listing"', 'kind = "lisitng"', r"kind = 'lisitng' is unknown; did you mean 'listing'\?"),
        ('assets = ["ZEC"]', "assets = []", r"assets = \[\]: "),
        ('assets = ["ZEC"]', 'assets = ["zec"]', r"assets = 'zec'"),
        ('assets = ["ZEC"]', 'assets = ["ZEC", "ZEC"]', r"name a coin twice"),
        ('id = "zec-one"', 'id = "ZEC one"', r"id = 'ZEC one'"),
        ('source = "test"', 'source = "test"\nconfounded_with = ["zec-two"]', r"confounded_with 'zec-two', which"),
        ('source = "test"', 'source = "test"\nbetween = [2025-11-01, 2025-11-02]', r"between belongs to an untimed"),
        ("[[catalyst]]", "[[catalyst]", r"is not valid TOML"),
    ],
)
def test_each_fault_is_one_sentence_with_the_file_and_the_value(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert before in GOOD
    path = written(tmp_path, GOOD.replace(before, after))
    with pytest.raises(CalendarError, match=message) as caught:
        read_calendar(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_duplicated_id_is_refused(tmp_path: Path) -> None:
    text = GOOD + GOOD[GOOD.index("[[catalyst]]") :]
    with pytest.raises(CalendarError, match="duplicate id 'zec-one'"):
        read_calendar(written(tmp_path, text))


def test_an_empty_or_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalendarError, match=r"holds no \[\[catalyst\]\] table"):
        read_calendar(written(tmp_path, ""))
    with pytest.raises(CalendarError, match="does not exist"):
        read_calendar(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match=r"did you mean 'privacy-2025'\?"):
        open_calendar("privacy2025")


def test_a_kind_of_ones_own_is_declared(tmp_path: Path) -> None:
    text = GOOD.replace('"listing"', '"airdrop"').replace('name = "mine"', 'extra_kinds = ["airdrop"]')
    assert read_calendar(written(tmp_path, text))["zec-one"].kind == "airdrop"


def test_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "calendar.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert len(read_calendar(path)) == 1


def test_the_order_is_that_of_announcement_whatever_the_file_says(tmp_path: Path) -> None:
    second = GOOD[GOOD.index("[[catalyst]]") :].replace("zec-one", "zec-two").replace("11-06", "11-05")
    assert [one.id for one in read_calendar(written(tmp_path, GOOD + second))] == ["zec-two", "zec-one"]


# Every row of the two tables of facts: (asset, day or first day, kind, actor) must stand in the catalogue.
FACTS_2025 = [
    ("ZEC", "2025-10-01", "trust_relaunch", "Grayscale"),
    ("ZEC", "2025-10-01", "influencer_call", "Naval Ravikant"),
    ("ZEC", "untimed", "influencer_call", "Mert Mumtaz"),
    ("ZEC", "2025-10-24", "technical", "market"),
    ("ZEC", "2025-10-26", "influencer_call", "Arthur Hayes"),
    ("ZEC", "2025-10-31", "influencer_call", "Arthur Hayes"),
    ("ZEC", "2025-11-01", "influencer_call", "Arthur Hayes"),
    ("ZEC", "2025-11-01", "oi_record", "market"),
    ("ZK", "2025-11-01", "influencer_call", "Vitalik Buterin"),
    ("ZK", "untimed", "upgrade", "ZKsync"),
    ("DASH", "untimed", "integration", "Dash"),
    ("RAIL", "2025-10-08", "integration", "Ethereum Foundation"),
    ("BTC", "2025-10-10 21:--", "market_crash", "market"),
    ("ZEC", "2025-10-16", "integration", "Binance"),
    ("ZEC", "untimed", "influencer_call", "Arthur Hayes"),
    ("ZEC", "2025-11-12", "influencer_call", "Arthur Hayes"),
    ("ZEC", "untimed", "treasury", "Cypherpunk Technologies"),
    ("ZEC", "2025-11-26", "etf_filing", "Grayscale"),
    ("SCRT", "untimed", "listing", "Binance, OKX, Bitget"),
    ("ZEN", "2025-11-03 06:00", "listing", "OKX"),
    ("DASH", "2025-11-06 03:00", "listing", "OKX"),
    ("ZEC", "2025-11-06 03:15", "listing", "OKX"),
    ("ZK", "2025-11-04", "tokenomics", "ZKsync"),
    ("ZEC", "2025-11-07", "price_record", "market"),
    ("ZEC", "2025-11-07", "influencer_call", "Arthur Hayes"),
    ("ZEC", "2025-11-12", "treasury", "Cypherpunk Technologies"),
    ("ZEC", "2025-11-10", "oi_record", "market"),
]
FACTS_HISTORY = [
    ("ZEC", "2020-11-18", "protocol"),
    ("DASH", "2021-01-01", "delisting"),
    ("ZEC", "2022-05-31", "protocol"),
    ("ZEN", "2023-12-29", "delisting"),
    ("ZEN", "2024-01-04", "regulation"),
    ("XMR", "2024-02-06", "delisting"),
    ("XMR", "2024-10-01", "delisting"),
    ("ZEC", "2024-11-23", "protocol"),
    ("ZEC", "2025-04-16", "regulation"),
    ("XMR", "2025-05-02", "regulation"),
    ("XMR", "2025-08-12", "security"),
    ("ZEC", "2026-01-07", "governance"),
    ("ZEC", "2026-01-14", "regulation"),
    ("ZEC", "2026-06-05", "security"),
    ("XMR", "2026-01-12", "regulation"),
    ("ZEC", "2026-01-12", "regulation"),
    ("XMR", "2026-01-14 19:--", "price_record"),
    ("BTC", "2026-02-06", "market_crash"),
    ("BTC", "2026-02-06", "regulation"),
]


def test_the_catalogue_of_2025_holds_every_fact_and_no_more() -> None:
    calendar = open_calendar("privacy-2025")
    assert len(calendar) == len(FACTS_2025)
    for asset, when, kind, actor in FACTS_2025:
        found = [
            one
            for one in calendar.filter(assets=[asset], kinds=[kind], actors=[actor])
            if (one.when == when if one.timed else when == "untimed")
        ]
        assert len(found) == 1, (asset, when, kind, actor)


def test_the_history_holds_every_fact_and_no_more() -> None:
    calendar = open_calendar("privacy-history")
    assert len(calendar) == len(FACTS_HISTORY) - 1  # the DFSA's ban stands in it twice, for two coins
    for asset, when, kind in FACTS_HISTORY:
        assert [one.when for one in calendar.filter(assets=[asset], kinds=[kind])].count(when) == 1, (asset, when)
    assert not any("halving" in one.id and one.when.startswith("2025") for one in calendar)


def test_confounded_catalysts_know_each_other_from_either_side() -> None:
    calendar = open_calendar("privacy-2025")
    assert calendar.confounded("zec-2025-10-01-naval") == ("zec-2025-10-01-grayscale-trust",)
    assert calendar.confounded("zec-2025-11-12-hayes") == ("zec-2025-11-12-cypherpunk",)
    assert calendar.confounded("zec-2025-11-12-cypherpunk") == ("zec-2025-11-12-hayes",)
    assert calendar.confounded("zec-2025-11-26-grayscale-etf") == ()


def test_filters_narrow_and_the_hash_follows_the_content() -> None:
    calendar = open_calendar("privacy-2025")
    hayes = calendar.filter(actors=["Arthur Hayes"], timerange=parse_timerange("20251031-20251102"))
    assert [one.when for one in hayes] == ["2025-10-31", "2025-11-01"]
    assert len(calendar.filter(timed=False)) == 6
    assert hayes.hash() != calendar.hash()
    assert Calendar("other name", calendar.catalysts).hash() == calendar.hash()


def test_moves_of_the_price_itself_are_told_by_kind_or_by_the_row(tmp_path: Path) -> None:
    calendar = open_calendar("privacy-2025")
    assert [one.id for one in calendar.filter(endogenous=True)] == [
        "market-2025-10-10-crash",
        "zec-2025-10-24-flag-breakout",
        "zec-2025-11-01-oi-record",
        "zec-2025-11-07-price-record",
        "zec-2025-11-10-oi-billion",
    ]
    assert calendar.left_out.startswith("5 of 27 catalysts (19%) are moves of the price itself and left out")
    assert calendar.filter(endogenous=False).left_out == ""
    plain = read_calendar(written(tmp_path, GOOD))
    assert not plain["zec-one"].endogenous
    said = read_calendar(written(tmp_path, GOOD.replace('"test"', '"test"\nendogenous = true')))
    assert said["zec-one"].endogenous
    assert said.hash() != plain.hash()
    # What the kind says anyway changes no hash, and is not written.
    usual = read_calendar(written(tmp_path, GOOD.replace('"test"', '"test"\nendogenous = false')))
    assert usual.hash() == plain.hash()
    assert "endogenous" not in toml_of(usual)
    assert read_calendar(written(tmp_path, toml_of(said))).hash() == said.hash()
    assert Calendar.from_frame(said.to_frame(), "again").hash() == said.hash()
    with pytest.raises(CalendarError, match="endogenous = 'maybe'"):
        read_calendar(written(tmp_path, GOOD.replace('"test"', '"test"\nendogenous = "maybe"')))


def test_all_embedded_calendars_merge_into_one() -> None:
    calendars = [open_calendar(name) for name in embedded_calendars()]
    assert len(merge_calendars(calendars)) == len(FACTS_2025) + len(FACTS_HISTORY) - 1
    with pytest.raises(CalendarError, match="duplicate id"):
        merge_calendars([calendars[0], calendars[0]])
