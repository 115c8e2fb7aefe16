"""Every parser reads hostile text in time that grows with its length; what is packed unpacks to what its size allows.

Time is that of the processor in this process, and the limit is generous: a pattern that backtracks takes minutes for
what a linear one reads in a tenth of a second.
"""

from __future__ import annotations

import gzip
import io
import json
import resource
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from backtest.base.config import RunConfig, load_config
from backtest.base.display import inert, plain
from backtest.base.documents import read_json, read_toml
from backtest.base.errors import BacktestError, DataError, MarketError, near_miss, one_line, shortened
from backtest.base.fields import read_percent
from backtest.base.units import duration_ms, from_iso, parse_timerange, timeframe_ms
from backtest.catalysts.claims import read_claims
from backtest.catalysts.reading import open_calendar
from backtest.cli.inert import Writer
from backtest.market import arrow_files
from backtest.market.archive import read_archive_file
from backtest.market.auxiliary import read_series
from backtest.market.files import read_bars
from backtest.market.instrument import Instrument
from backtest.market.parsing import parse_number, parse_time
from backtest.market.raw_cells import read_raw_cells
from backtest.report import tables
from backtest.report.spreadsheets import csv_text
from backtest.request.request import assignments
from backtest.scoring.space import parse_axis

SIZE, LIMIT_SECONDS = 100_000, 12.0
PATTERNS = (
    "9", "9.", "9e", "e9", ".", " ", "\n", " \n", "\t", "a", "A", "a.", "a,", "a;", "|", '"', "'", '\\"', "[", "{", "}",
    "=", "-", "/", ":", "..", "_", "1d", "1h,", "0", "a=1\n", "\x1b", "\x1b[", "\x1b[0m ", "::", "##[", "é", "\u202e",
    "1%", "2025-10-01", "#", '"a b".', " .", "\0", "a.b=1\n", "[a]\n", "1,2,3,4,5,6\n",
)  # fmt: skip
BARS = "timestamp,open,high,low,close,volume\n"


class TooSlow(BaseException):
    """Raised by the clock of the processor, so that no parser takes it for an error of its own."""


@contextmanager
def limited() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def quoted(text: str) -> str:
    return json.dumps(text.replace("\\", "/"), ensure_ascii=True).replace("\\u0000", " ")


def of_file(name: str, read: Callable[[Path], Any], head: str = "", tail: str = "") -> Callable[[str, Path], Any]:
    def parse(text: str, folder: Path) -> Any:
        path = folder / name
        path.write_text(head + text + tail, encoding="utf-8", newline="")
        return read(path)

    return parse


def of_text(read: Callable[[str], Any]) -> Callable[[str, Path], Any]:
    return lambda text, folder: read(text)


PARSERS: dict[str, Callable[[str, Path], Any]] = {
    "a line of an error": of_text(one_line),
    "a near miss": of_text(lambda text: near_miss(text, [text, f"{text}a", text[:50]])),
    "many near misses": of_text(
        lambda text: near_miss("zec", [text[place : place + 50] for place in range(0, SIZE, 50)])
    ),
    "a value of an error": of_text(shortened),
    "a number": of_text(lambda text: parse_number(text, "cell")),
    "a broken number": of_text(lambda text: parse_number(f"{text}x", "cell")),
    "a time": of_text(lambda text: parse_time(text, "cell")),
    "an instrument": of_text(Instrument.parse),
    "a duration": of_text(duration_ms),
    "a timeframe": of_text(timeframe_ms),
    "a time range": of_text(parse_timerange),
    "an instant": of_text(from_iso),
    "a percentage": of_text(lambda text: read_percent(RunConfig, {"fee_rate": text})),
    "an axis": of_text(lambda text: parse_axis("a", text)),
    "an assignment": of_text(lambda text: assignments([text], "-p")),
    "text of a log": of_text(inert),
    "text of a terminal": of_text(lambda text: inert(text, terminal=True)),
    "text of a page": of_text(plain),
    "a stream": of_text(lambda text: Writer(len, terminal=False)(text)),
    "a printed table": of_text(lambda text: tables._TRAILING.sub(r"\1", f"{text}x")),
    "a cell of a spreadsheet": of_text(lambda text: csv_text(pd.DataFrame({"a": [text]}))),
    "TOML": of_file("a.toml", lambda path: read_toml(path, DataError)),
    "a TOML key": of_file("a.toml", lambda path: read_toml(path, DataError), tail="a=1\n"),
    "a TOML text": of_file("a.toml", lambda path: read_toml(path, DataError), 'a="""', '"""'),
    "JSON": of_file("a.json", lambda path: read_json(path, DataError)),
    "a JSON text": lambda text, folder: of_file("a.json", lambda path: read_json(path, DataError))(
        json.dumps([text]), folder
    ),
    "a table of any program": of_file("a.csv", read_raw_cells),
    "bars": of_file("ZECUSDT-1h.csv", read_bars),
    "a cell of bars": of_file("ZECUSDT-1h.csv", read_bars, f"{BARS}1,2,3,4,5,"),
    "a time of bars": of_file("ZECUSDT-1h.csv", read_bars, BARS, ",2,3,4,5,6\n"),
    "a series": of_file("a.csv", read_series),
    "a value of a series": of_file("a.csv", read_series, "available_at,value\n2025-10-01T00:00Z,"),
    "a CSV calendar": of_file("a.csv", lambda path: open_calendar(str(path))),
    "a row of a CSV calendar": of_file("a.csv", lambda path: open_calendar(str(path)), "id,kind,assets,actor\n"),
    "a TOML calendar": of_file("a.toml", lambda path: open_calendar(str(path))),
    "an id of a calendar": lambda text, folder: of_file("a.toml", lambda path: open_calendar(str(path)))(
        f"[[catalyst]]\nid = {quoted(text)}\n", folder
    ),
    "claims": lambda text, folder: of_file("c.toml", read_claims)(f"[[claim]]\nid = {quoted(text)}\n", folder),
    "a configuration": lambda text, folder: of_file("c.toml", load_config)(
        f"initial_capital = {quoted(text)}\n", folder
    ),
}


@pytest.mark.parametrize("name", PARSERS)
def test_time_grows_with_the_length(name: str, tmp_path: Path) -> None:
    for pattern in PATTERNS:
        text = pattern * (SIZE // len(pattern))
        try:
            with limited():
                try:
                    PARSERS[name](text, tmp_path)
                except BacktestError as error:
                    said = len(str(error))
                else:
                    said = 1
        except TooSlow:
            pytest.fail(f"{name} takes more than {LIMIT_SECONDS:g} s for {SIZE:,} characters of {pattern!r}")
        assert 0 < said <= 8_000


def test_a_pattern_that_backtracks_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    monkeypatch.setattr(sys.modules[__name__], "LIMIT_SECONDS", 0.5)  # it would take minutes
    slow = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")
    with pytest.raises(TooSlow), limited():
        slow.fullmatch("9" * SIZE + "x")


def wide(rows: int) -> pa.Table:
    names = ("timestamp", "open", "high", "low", "close", "volume")
    return pa.table({name: pa.array(np.ones(rows, np.int64 if name == "timestamp" else np.float64)) for name in names})


def bytes_of(name: str, rows: int) -> bytes:
    sink = io.BytesIO()
    if name.endswith(".parquet"):
        pa.parquet.write_table(wide(rows), sink, compression="zstd")
    else:
        pa.feather.write_feather(wide(rows), sink, compression="zstd", chunksize=rows)
    return sink.getvalue()


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> int:
    """A megabyte for any file, so that a bomb of the test may be small."""
    monkeypatch.setattr(arrow_files, "LEAST_ROOM", 2**20)
    return 2**20


@pytest.mark.parametrize("name", ["ZECUSDT-1h.parquet", "ZECUSDT-1h.feather"])
@pytest.mark.parametrize("read", [read_bars, read_raw_cells])
def test_a_small_file_of_endless_rows_is_refused_before_it_is_unpacked(
    name: str, read: Callable[[Path], Any], tmp_path: Path, little_room: int
) -> None:
    rows = 1_000_000
    path = tmp_path / name
    path.write_bytes(bytes_of(name, rows))
    assert little_room + arrow_files.MOST_UNPACKED * path.stat().st_size < 48 * rows, "it is small"
    before = pa.total_allocated_bytes()
    with pytest.raises(MarketError, match=r"would unpack to [\d,]+ bytes, but at most"), limited():
        read(path)
    assert pa.total_allocated_bytes() - before < 2**20


@pytest.mark.parametrize("name", ["ZECUSDT-1h.parquet", "ZECUSDT-1h.feather"])
@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1.0], [2.0]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, b"1" * 16], pa.binary(16))),
        pa.array([1.0, 2.0]).dictionary_encode(),
        pa.array([1, 2], pa.decimal128(9, 2)),
        pa.array([b"a", b"b"]),
        pa.array([True, False]),
        pa.nulls(2),
    ],
    ids=lambda column: str(column.type)[:20],
)
def test_columns_of_other_types_are_read_or_refused_in_a_sentence(name: str, column: Any, tmp_path: Path) -> None:
    table = wide(2).set_column(2, "high", column)
    path = tmp_path / name
    (pa.parquet.write_table if name.endswith("parquet") else pa.feather.write_feather)(table, path)
    for read in (read_bars, read_raw_cells):
        said = name
        try:
            read(path)
        except BacktestError as error:
            said = str(error)
        assert name in said


def long_text(form: str, path: Path) -> None:
    """A column of 2,000 texts of 20 kB each, 40 MB of them, in a file of some kilobytes."""
    rows, text = 2_000, "x" * 20_000
    one = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))
    if form == "views":
        # Every view is of the same bytes, as a writer that is not Arrow's may have them.
        view = pa.array([text]).cast(pa.string_view())
        views = pa.py_buffer(bytes(view.buffers()[1])[:16] * rows)
        shared = pa.Array.from_buffers(pa.string_view(), rows, [None, views, *view.buffers()[2:]])
        pa.feather.write_feather(pa.table({"timestamp": shared}), path, compression="zstd")
    elif form == "dictionary of Feather":
        pa.feather.write_feather(pa.table({"timestamp": one}), path, compression="zstd")
    elif form == "beginnings in common":
        texts = pa.table({"timestamp": [f"{text}{number}" for number in range(rows)]})
        coding = {"timestamp": "DELTA_BYTE_ARRAY"}
        pa.parquet.write_table(texts, path, use_dictionary=False, column_encoding=coding, compression="zstd")
    else:
        stored = form == "dictionary with its type"
        pa.parquet.write_table(pa.table({"timestamp": one}), path, compression="zstd", store_schema=stored)


TEXTS = (
    "dictionary", "dictionary with its type", "beginnings in common", "dictionary of Feather", "views",
)  # fmt: skip


@pytest.mark.parametrize("form", TEXTS)
@pytest.mark.parametrize("read", [read_bars, read_raw_cells])
def test_one_long_text_does_not_stand_for_a_million_rows(
    form: str, read: Callable[[Path], Any], tmp_path: Path, little_room: int
) -> None:
    path = tmp_path / ("ZECUSDT-1h.feather" if form in ("views", "dictionary of Feather") else "ZECUSDT-1h.parquet")
    long_text(form, path)
    assert little_room + arrow_files.MOST_UNPACKED * path.stat().st_size < 40_000_000, "it is small"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MarketError, match=r"would unpack to [\d,]+ bytes of text, but at most"), limited():
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 24 * 1024, "it was refused after unpacking"


@pytest.mark.parametrize("form", ["dictionary", "beginnings in common"])
def test_a_file_of_a_dataset_with_other_columns_has_no_rows_read(form: str, tmp_path: Path, little_room: int) -> None:
    path = tmp_path / "bars.parquet"
    long_text(form, path)
    expected = pa.schema([("timestamp", pa.int64())])
    assert arrow_files.read_parquet(path, expected).num_rows == 0
    with pytest.raises(MarketError, match="bytes of text, but at most"):
        arrow_files.read_parquet(path, pa.schema([("timestamp", pa.parquet.read_schema(path).field(0).type)]))


def test_texts_that_fit_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = pa.table({"timestamp": [f"2025-10-{1 + number % 30:02d}" for number in range(5_000)], "v": range(5_000)})
    for more in ({}, {"use_dictionary": False, "column_encoding": {"timestamp": "DELTA_BYTE_ARRAY"}}):
        pa.parquet.write_table(texts, path, **more)
        assert arrow_files.read_arrow_file(path, path.read_bytes()).equals(texts)


@pytest.mark.parametrize("form", ["gz", "zip", "archive", "xlsx"])
def test_a_bomb_is_refused(form: str, tmp_path: Path, little_room: int) -> None:
    zeros = b"0" * (32 * little_room)
    read: Callable[[Path], Any] = read_raw_cells
    if form == "gz":
        path = tmp_path / "ZECUSDT-1h.csv.gz"
        path.write_bytes(gzip.compress(zeros, 9))
    else:
        path = tmp_path / ("bars.xlsx" if form == "xlsx" else "ZECUSDT-1h-2025-10.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.writestr("xl/sharedStrings.xml" if form == "xlsx" else "ZECUSDT-1h-2025-10.csv", zeros)
    if form == "archive":
        read = lambda path: read_archive_file(str(path), path.name, path.read_bytes())  # noqa: E731
    with pytest.raises(MarketError, match="unpack"), limited():
        read(path)


def test_json_rows_of_a_key_each_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{f"k{number}": 1} for number in range(60_000)]))
    with pytest.raises(MarketError, match="60,000 keys"), limited():
        read_raw_cells(path)


def test_a_megabyte_is_read_in_seconds(tmp_path: Path) -> None:
    """The bound of a parser is no bound on what is real: a file of bars of a megabyte is read."""
    rows = 25_000
    start = 1_699_999_200_000
    lines = [f"{start + 3_600_000 * row},41.5,42.25,40.75,41.875,1234.5678" for row in range(rows)]
    path = tmp_path / "ZECUSDT-1h.csv"
    path.write_text(BARS + "\n".join(lines) + "\n")
    assert path.stat().st_size > 2**20
    began = time.process_time()
    with limited():
        read_bars(path)
    assert time.process_time() - began < LIMIT_SECONDS
