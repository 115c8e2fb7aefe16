"""Files as people have them that nobody should read wrong: local hours, other cadences, other worlds' text."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest

from backtest.base.errors import MarketError
from backtest.market.importing import import_paths
from backtest.market.plain_files import Said
from backtest.market.profiles import ReadOptions
from backtest.market.store import Store
from tests.market.loopback import HOUR, MINUTE
from tests.market.test_store import JAN

NEW_YORK = "America/New_York"
BARS = "timestamp,open,high,low,close,volume"
DATED = BARS.replace("timestamp", "Date")
Times = Callable[[int], object]


def text(header: str, times: Times, count: int = 48, edit: Callable[[int, str], str] = lambda _, row: row) -> str:
    rows = (f"{times(row)},{100 + row % 7},{102 + row % 7},{99 + row % 7},{101 + row % 7},5" for row in range(count))
    return "\n".join([header, *(edit(number, row) for number, row in enumerate(rows))]) + "\n"


def read(folder: Path, name: str, content: str | bytes, **said: object) -> tuple[np.ndarray, list[str]]:
    """Times that were stored, and the notes of the import."""
    place = folder / "futures"
    place.mkdir()
    (place / name).write_bytes(content.encode() if isinstance(content, str) else content)
    store = Store(folder / "store")
    done = import_paths([place / name], store, Said("bybit", "swap", options=ReadOptions(**said)))  # type: ignore[arg-type]
    (key,) = store.contents()
    return store.read(key).time_ms, done.notes


def shown(start: str, count: int, step: timedelta = timedelta(hours=1)) -> tuple[list[str], list[int]]:
    """What clocks of New York show from a local time on, and the instants."""
    first = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(NEW_YORK)).astimezone(UTC)
    moments = [first + number * step for number in range(count)]
    local = [moment.astimezone(ZoneInfo(NEW_YORK)).strftime("%Y-%m-%d %H:%M:%S") for moment in moments]
    return local, [int(moment.timestamp() * 1000) for moment in moments]


@pytest.mark.parametrize(
    ("name", "start", "count", "step"),
    [
        ("ZECUSDT-1h.csv", "2025-11-01T00:00:00", 72, timedelta(hours=1)),
        ("ZECUSDT-1h.csv", "2025-03-08T00:00:00", 72, timedelta(hours=1)),
        ("ZECUSDT-1m.csv", "2025-11-02T00:30:00", 300, timedelta(minutes=1)),
    ],
)
@pytest.mark.parametrize("falling", [False, True])
def test_hours_that_clocks_skip_or_show_twice_are_told_apart_by_their_order(
    name: str, start: str, count: int, step: timedelta, falling: bool, tmp_path: Path
) -> None:
    local, instants = shown(start, count, step)
    local = local[::-1] if falling else local
    times, _ = read(tmp_path, name, text(DATED, local.__getitem__, count), zone=NEW_YORK)
    assert times.tolist() == instants


def test_a_feather_of_local_times_is_read_as_the_text_is(tmp_path: Path) -> None:
    local, instants = shown("2025-11-01T00:00:00", 72)
    values = {name: np.full(72, 100.0) for name in ("open", "high", "low", "close", "volume")}
    dates = pa.array([datetime.fromisoformat(one) for one in local], pa.timestamp("ms"))
    pa.feather.write_feather(pa.table({"date": dates, **values}), tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    times, _ = read(tmp_path, "ZEC_USDT_USDT-1h-futures.feather", data, zone=NEW_YORK)
    assert times.tolist() == instants


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("2025-11-01", r"line 27, column Date: 2025-11-02 01:00:00 is shown twice by the clocks of America/New_York"),
        ("2025-03-08", r"line 28, column Date: 2025-03-09 02:00:00 does not exist in America/New_York"),
    ],
)
def test_an_hour_that_cannot_be_placed_is_refused_or_left_out(first: str, said: str, tmp_path: Path) -> None:
    start = datetime.fromisoformat(first)
    content = text(DATED, lambda row: start + timedelta(hours=row), 72)
    with pytest.raises(MarketError, match=said + ".*or leave such rows out with `skip_bad`"):
        read(tmp_path, "ZECUSDT-1h.csv", content, zone=NEW_YORK)
    (tmp_path / "again").mkdir()
    times, notes = read(tmp_path / "again", "ZECUSDT-1h.csv", content, zone=NEW_YORK, skip_bad=True)
    assert times.size == 71
    assert any("skipped" in note for note in notes)


def test_bars_of_another_length_after_the_first_are_no_bars_with_gaps(tmp_path: Path) -> None:
    mixed = text(BARS, lambda row: JAN + (row * HOUR if row < 40 else 40 * HOUR + (row - 40) * 4 * HOUR), 80)
    with pytest.raises(MarketError, match=r"from 2025-01-02 16:00 on 39 rows are 240 minutes apart, in a file of 1h"):
        read(tmp_path, "ZECUSDT-1h.csv", mixed)


def test_gaps_of_a_quiet_market_are_gaps(tmp_path: Path) -> None:
    times, _ = read(tmp_path, "ZECUSDT-1m.csv", text(BARS, lambda row: JAN + (row + row // 5 + row // 3) * MINUTE, 200))
    assert times.size == 200


def test_lines_that_end_as_the_first_macintosh_did_are_lines(tmp_path: Path) -> None:
    times, _ = read(tmp_path, "ZECUSDT-1h.csv", text(BARS, lambda row: JAN + row * HOUR).replace("\n", "\r"))
    assert times.size == 48


HOUR_OF: Times = lambda row: JAN + row * HOUR  # noqa: E731


def _cells(edit: Callable[[int, str], str]) -> Callable[[int, str], str]:
    """Edit every cell but the time, told its place."""
    return lambda _, row: ",".join(
        cell if not place else edit(place, cell) for place, cell in enumerate(row.split(","))
    )


REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "comma for point": (
        "ZECUSDT-1h.csv",
        text(BARS, HOUR_OF, edit=lambda _, row: row.replace(",", ",25;").replace(",25;", ";", 1)).replace(
            BARS, BARS.replace(",", ";")
        ),
        "is not a number",
    ),
    "thousands": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF, edit=_cells(lambda _, cell: f'"1,{cell}"')), "is not a number"),
    "dollars": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF, edit=_cells(lambda _, cell: f"${cell}")), "is not a number"),
    "K for thousands": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF, edit=lambda _, row: row + ".1K"), "'5.1K' is not a num"),
    "hexadecimal": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF, edit=lambda _, row: row[:-1] + "0x10"), "is not a number"),
    "underscores": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF, edit=lambda _, row: row[:-1] + "1_0"), "is not a number"),
    "Arabic digits": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF, edit=lambda _, row: row[:-1] + "\u0665"), "not a number"),
    "full-width digits": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF, edit=lambda _, row: row[:-1] + "\uff15"), "not a num"),
    "infinite": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF, edit=lambda _, row: row[:-1] + "inf"), "negative or infinite"),
    "formula": (
        "ZECUSDT-1h.csv",
        text(BARS, HOUR_OF, edit=lambda _, row: row[:-1] + "=1+4"),
        "'=1\\+4' is not a number",
    ),
    "NUL": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF, edit=lambda _, row: row + "\0"), "is not a number"),
    "sum below": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF) + "Total,,,,,240\n", "'Total' is not a time"),
    "two files in one": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF) * 2, "'timestamp' is not a time"),
    "other coin": (
        "ZECUSDT-1h.csv",
        text(BARS + ",symbol", HOUR_OF, edit=lambda row, cells: f"{cells},{'ZEC' if row < 9 else 'DASH'}USDT"),
        "line 11, column symbol: 'DASHUSDT' is not ZECUSDT",
    ),
    "US dates": ("ZECUSDT-1d.csv", text(DATED, lambda row: f"01/{row + 1:02}/2025", 20), "'01/01/2025' is not a time"),
    "Excel days": ("ZECUSDT-1d.csv", text(DATED, lambda row: 45_658.5 + row, 20), "is not a time"),
    "epoch minutes": (
        "ZECUSDT-1h.csv",
        text(BARS, lambda row: (JAN + row * HOUR) // MINUTE),
        "is not a time from 2009",
    ),
    "rounded times": ("ZECUSDT-1h.csv", text(BARS, lambda row: f"{JAN + row * HOUR:.6e}"), "is not a time"),
    "closes as times": ("ZECUSDT-1h.csv", text("close_time" + BARS[9:], HOUR_OF), "has no column timestamp"),
    "contracts": ("ZECUSDT-1h.csv", text(BARS + "_contracts", HOUR_OF), "has no column volume"),
    "bid for close": ("ZECUSDT-1h.csv", text(BARS.replace("close", "bid_close"), HOUR_OF), "has no column close"),
    "Heikin-Ashi": ("ZECUSDT ha 1h.csv", text("timestamp,ha_open,ha_high,ha_low,ha_close,volume", HOUR_OF), "does not"),
    "per cent": ("ZECUSDT-funding.csv", "timestamp,funding_rate\n" + f"{JAN},0.01%\n" * 9, "'0.01%' is not a number"),
    "a page of an error": ("ZECUSDT-1h.csv", "<!doctype html>\n<body>403</body>\n", "has no column timestamp"),
    "a pointer of git-lfs": ("ZECUSDT-1h.csv", "version https://git-lfs\noid sha256:4d\n", "has no column timestamp"),
    "an error of a venue": ("ZECUSDT-1h.json", '{"code":-1121,"msg":"Invalid symbol."}', "holds no list of rows"),
    "true and false": (
        "ZECUSDT-1h.json",
        json.dumps([[JAN + row * HOUR, *[True] * 5] for row in range(9)]),
        "not a num",
    ),
    "UTF-32": ("ZECUSDT-1h.csv", text(BARS, HOUR_OF).encode("utf-32"), "is not UTF-8"),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_what_could_be_read_wrong_is_refused_with_the_place(case: str, tmp_path: Path) -> None:
    name, content, said = REFUSED[case]
    with pytest.raises(MarketError, match=said):
        read(tmp_path, name, content)


@pytest.mark.parametrize("zone", [None, "UTC"])
def test_a_time_that_is_missing_is_named(zone: str | None, tmp_path: Path) -> None:
    values = {name: np.full(3, 100.0) for name in ("open", "high", "low", "close", "volume")}
    table = pa.table({"date": pa.array([JAN, None, JAN + 2 * HOUR], pa.timestamp("ms", zone)), **values})
    pa.feather.write_feather(table, tmp_path / "x")
    with pytest.raises(MarketError, match="row 1, column date"):
        read(tmp_path, "ZEC_USDT_USDT-1h-futures.feather", (tmp_path / "x").read_bytes(), zone="" if zone else NEW_YORK)
