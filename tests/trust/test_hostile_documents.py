"""Folders, ledgers, sheets and options that others made: refused in a sentence, without a wait and without a harm."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.base.errors import BacktestError, DataError, MarketError
from backtest.ledger.store import open_ledger
from backtest.market.importing import import_paths
from backtest.market.plain_files import Said
from backtest.market.profiles import ReadOptions
from backtest.market.seen_files import SEEN
from backtest.market.store import Store
from backtest.report.folder import read_equity
from backtest.scoring.sweep_folder import read_part

JAN, HOUR = 1_735_689_600_000, 3_600_000
BARS = "Date,O,H,L,C,V\n" + "".join(f"{JAN + row * HOUR},1,2,1,2,1\n" for row in range(40))
MAP = {"time": "Date", "open": "O", "high": "H", "low": "L", "close": "C", "volume": "V"}


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    def late(*_: object) -> None:
        pytest.fail("it waits for ever")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def imported(path: Path, **columns: str) -> int:
    options = ReadOptions(columns=columns)
    said = Said("bybit", "swap", symbol="ZEC/USDT:USDT", timeframe="1h", options=options)
    return sum(import_paths([path], Store(path.parent / "store"), said).rows.values())


@pytest.mark.parametrize("name", ["ZECUSDT-1h.csv", "ZECUSDT-1h-2025-10.zip", "ZECUSDT-1h.feather"])
def test_a_pipe_is_not_waited_for_by_an_import(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(MarketError, match="pipe or device: name a file"):
        imported(tmp_path / name)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.write_text("[" * 100_000)])
def test_a_cache_that_is_none_is_left_aside(make: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(BARS)
    (tmp_path / "store").mkdir()
    make(tmp_path / "store" / SEEN)
    assert imported(tmp_path / "m.csv", **MAP) == 40


@pytest.mark.parametrize(("meaning", "name"), [("close", "O"), ("volume", "Date"), ("time", "O")])
def test_one_column_is_not_two_things(meaning: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(BARS)
    with pytest.raises(MarketError, match=rf"{meaning}={name}.* names one column for 2 things: name one for each"):
        imported(tmp_path / "m.csv", **{**MAP, meaning: name})


NAMESPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
LAUGHS = "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
SHEETS = {
    "a thousand million laughs": f'<!DOCTYPE w [<!ENTITY a "aaaaaaaaaa">{LAUGHS}]><w {NAMESPACE}>&j;</w>',
    "a file of ours": f'<!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]><w {NAMESPACE}>&x;</w>',
    "a text that is not there": (
        f'<worksheet {NAMESPACE}><sheetData><row r="1"><c r="A1" t="s"><v>99</v></c></row></sheetData></worksheet>'
    ),
    "a column beyond the last": (
        f'<worksheet {NAMESPACE}><sheetData><row r="1"><c r="ZZZZZZ1"><v>1</v></c></row></sheetData></worksheet>'
    ),
    "no XML": "<a><b></a>",
    "no rows": f"<worksheet {NAMESPACE}></worksheet>",
}


def sheet(text: str) -> bytes:
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook {NAMESPACE} xmlns:r="{office}"><sheets><sheet name="a" sheetId="1" r:id="r"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": text,
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return packed.getvalue()


@pytest.mark.parametrize("case", sorted(SHEETS))
def test_a_sheet_made_by_hand_is_refused_in_a_sentence(case: str, tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    (tmp_path / "bars.xlsx").write_bytes(sheet(SHEETS[case]))
    with pytest.raises(MarketError, match=r"bars\.xlsx "):
        imported(tmp_path / "bars.xlsx")


def _table(columns: dict[str, list[object]], pandas: bytes = b"") -> Callable[[Path], object]:
    table = pa.table(columns).replace_schema_metadata({b"pandas": pandas} if pandas else None)
    return lambda path: pq.write_table(table, path)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("equity.csv", os.mkfifo),
        ("equity.csv", os.mkdir),
        ("equity.csv", lambda path: path.write_bytes(b"\0" * 100)),
        ("equity.parquet", lambda path: path.write_bytes(b"PAR1xxxxPAR1")),
        ("equity.parquet", _table({"bar": [1], "a": ["x"]})),
        ("equity.parquet", _table({"a": [1.0]})),
        ("equity.parquet", _table({"bar": [1], "b": [1.0]})),
    ],
)
def test_an_equity_of_others_is_read_or_refused(name: str, make: Callable[[Path], object], tmp_path: Path) -> None:
    make(tmp_path / name)
    with pytest.raises(DataError, match=rf"{name} cannot be read"):
        read_equity(tmp_path, "a")


@pytest.mark.parametrize("pandas", [b"{", b'{"index_columns":7,"columns":"x"}', b'{"index_columns":["zz"]}'])
def test_what_a_parquet_says_of_pandas_is_not_believed(pandas: bytes, tmp_path: Path) -> None:
    _table({"bar": [1], "a": [2.0]}, pandas)(tmp_path / "equity.parquet")
    assert read_equity(tmp_path, "a").tolist() == [2.0]


@pytest.mark.parametrize(
    "attack",
    [
        "ALTER TABLE entries RENAME TO e; CREATE VIEW entries AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL "
        "SELECT x + 1 FROM r) SELECT e.* FROM e, r",
        "CREATE TRIGGER evil AFTER INSERT ON entries BEGIN DELETE FROM draws; END",
        "DROP TRIGGER no_delete; CREATE TRIGGER no_delete BEFORE INSERT ON entries BEGIN DELETE FROM draws; END",
    ],
)
def test_a_ledger_with_a_program_of_its_own_is_refused(attack: str, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with open_ledger(path) as ledger:
        assert ledger.trials() == ()
    with sqlite3.connect(path) as other:
        other.executescript(attack)
    other.close()
    with pytest.raises(DataError, match=r"has a view or trigger '?(entries|evil|no_delete|no_update)"):
        open_ledger(path)


def _bomb(path: Path) -> None:
    np.savez_compressed(path, returns=np.zeros(20_000_000))


@pytest.mark.parametrize("make", [_bomb, os.mkfifo, os.mkdir, lambda path: np.savez(path, a=np.array([{}], object))])
def test_a_part_of_a_sweep_is_not_unpacked_waited_for_or_executed(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    make(tmp_path / "000000.npz")
    with pytest.raises(BacktestError, match=r"000000\.npz is damaged"):
        read_part(tmp_path / "000000.npz", 1, 10)
