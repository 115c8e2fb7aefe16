"""A file from any common program as named columns: compression, encoding, separator, preamble and header are detected.

plain, .gz or one file inside a .zip     text with , ; tab or | between its cells, or JSON
.xlsx                                    the first sheet (needs openpyxl)
.feather .parquet                        read directly
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from backtest.base.documents import read_whole
from backtest.base.errors import MarketError
from backtest.market.arrow_files import MOST_COLUMNS, read_arrow_file, room_for
from backtest.market.parsing import NUMBER

LARGEST = 2 * 2**30
"""Bytes of the largest file that is read into memory, unpacked or not."""
MOST_SHEET_CELLS = 20_000_000
_SEPARATORS = (",", ";", "\t", "|")
_LOOKED_AT = 40


@dataclass(frozen=True, slots=True, eq=False)
class RawCells:
    """Columns of a file, unchanged.

    Attributes
    ----------
    header : tuple of str
        Names as written, empty if the file has no header.
    columns : tuple of Arrow arrays
        Text, or numbers and timestamps if the file has types.
    first : int
        Line (or row, in a file with types) of the first row.
    unit : str
        `line` or `row`.
    form : str
        What was detected, for people: `semicolon, 1 line before the header`.
    """

    header: tuple[str, ...]
    columns: tuple[Any, ...]
    first: int
    unit: str
    form: str

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns[0]) if self.columns else 0


def read_raw_cells(path: Path, most: int | None = None) -> RawCells:
    """Columns of a file, by its content rather than its name; of plain text, at most the first `most` bytes.

    Raises
    ------
    MarketError
        If it is empty, damaged, larger than allowed, or in an unknown format.
    """
    data = read_whole(path, MarketError, LARGEST) if most is None else _head(path, most)
    if not data.strip():
        raise MarketError(f"{path} is empty: fetch or export it again")
    packed = ""
    if data[:2] == b"\x1f\x8b":
        data, packed = _gunzipped(path, data), "gzip, "
    if data[:4] == b"PK\x03\x04":
        if path.suffix.lower() == ".xlsx":
            return _of_sheet(path, data)
        data, packed = _unzipped(path, data), "zip, "
    if data[:6] == b"ARROW1" or data[:4] in (b"PAR1", b"FEA1"):
        return _of_arrow(path, data)
    text = _decoded(path, data)
    if text.lstrip()[:1] in ("[", "{"):
        return _of_json(path, text, packed)
    return _of_text(path, text, packed)


def _head(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most)
    except OSError as problem:
        raise MarketError(f"{path} cannot be read ({problem.strerror})") from None
    return data if len(data) < most else data[: data.rfind(b"\n") + 1]


def _gunzipped(path: Path, data: bytes) -> bytes:
    most = min(LARGEST, room_for(len(data)))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            text = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise MarketError(f"{path} is not a complete gzip file ({problem}): export it again") from None
    return _within(path, text, most)


def _within(path: Path, text: bytes, most: int) -> bytes:
    if len(text) > most:
        raise MarketError(f"{path} unpacks to more than {most:,} bytes, which bars of its size never do: split it")
    return text


def _unzipped(path: Path, data: bytes) -> bytes:
    most = min(LARGEST, room_for(len(data)))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            if len(names) != 1:
                raise MarketError(f"{path} holds {len(names)} files, but one is expected: unpack it")
            with archive.open(names[0]) as member:
                text = member.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as problem:
        raise MarketError(f"{path} is not a complete zip file ({problem}): export it again") from None
    return _within(path, text, most)


def _decoded(path: Path, data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
        # Some programs still end lines as the first Macintosh did.
        return text if "\n" in text else text.replace("\r", "\n")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise MarketError(
            f"{path} line {line}: byte {data[problem.start]:#04x} is not UTF-8: save the file as UTF-8"
        ) from None


def _of_arrow(path: Path, data: bytes) -> RawCells:
    form = "Parquet" if data[:4] == b"PAR1" else "Feather"
    table = read_arrow_file(path, data)
    columns = tuple(column.combine_chunks() for column in table.columns)
    return RawCells(tuple(table.column_names), columns, 0, "row", form)


def _of_json(path: Path, text: str, packed: str) -> RawCells:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise MarketError(f"{path} cannot be read as JSON: {str(problem)[:200]}: export it again") from None
    rows = _longest(document)
    if not rows:
        raise MarketError(f"{path} holds no list of rows: export bars as [[time, open, high, low, close, volume], ...]")
    if all(isinstance(row, dict) for row in rows):
        header = tuple(dict.fromkeys(name for row in rows for name in row))
        if len(header) > MOST_COLUMNS:
            raise MarketError(f"{path} has {len(header):,} keys, at most {MOST_COLUMNS:,} are read: keep those of bars")
        cells = [[_text(row.get(name)) for row in rows] for name in header]
    else:
        width = len(rows[0]) if isinstance(rows[0], list) else 0
        wrong = next(
            (number for number, row in enumerate(rows) if not isinstance(row, list) or len(row) != width), None
        )
        if wrong is not None or width == 0:
            raise MarketError(
                f"{path} row {wrong or 0} is not a list of {width} values like the first: export it again"
            )
        header, cells = (), [[_text(row[place]) for row in rows] for place in range(width)]
    columns = tuple(pa.array(column, pa.string()) for column in cells)
    return RawCells(header, columns, 0, "row", f"{packed}JSON")


def _longest(document: Any, depth: int = 4) -> list[Any]:
    if isinstance(document, list) and document and isinstance(document[0], (list, dict)):
        inner = [found for row in document if isinstance(row, dict) and (found := _longest(row, depth - 1))]
        return max([document, *inner], key=len)
    values = document.values() if isinstance(document, dict) and depth else ()
    return max((_longest(value, depth - 1) for value in values), key=len, default=[])


def _text(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else json.dumps(value)


def _of_sheet(path: Path, data: bytes) -> RawCells:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(one.file_size for one in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as problem:
        raise MarketError(f"{path} is not a complete Excel file ({problem}): save it as CSV") from None
    if unpacked > room_for(len(data)):
        raise MarketError(f"{path} would unpack to {unpacked:,} bytes, which no sheet of its size does: save it as CSV")
    try:
        import openpyxl
    except ImportError:
        raise MarketError(f"{path} is an Excel file: pip install openpyxl, or save it as CSV") from None
    try:
        sheet = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True).worksheets[0]
        # A sheet may claim any size, and openpyxl allocates all of it.
        sheet.reset_dimensions()
        rows: list[list[str]] = []
        cells = 0
        for row in sheet.iter_rows(values_only=True):
            cells += len(row) + 1
            if cells > MOST_SHEET_CELLS:
                raise MarketError(f"{path} has more than {MOST_SHEET_CELLS:,} cells: save it as CSV")
            rows.append([_cell_text(cell) for cell in row])
    except (LookupError, OSError, SyntaxError, TypeError, ValueError, zipfile.BadZipFile) as problem:
        raise MarketError(f"{path} is not a complete Excel file ({problem}): save it as CSV") from None
    lines = ["\t".join(row) for row in rows if any(row)]
    if not lines:
        raise MarketError(f"{path} is not a table: its first sheet is empty; save the sheet that has the bars as CSV")
    raw = _of_text(path, "\n".join(lines) + "\n", "")
    return RawCells(raw.header, raw.columns, raw.first, "row", "Excel")


def _cell_text(cell: Any) -> str:
    return "" if cell is None else cell.isoformat() if hasattr(cell, "isoformat") else str(cell)


def _of_text(path: Path, text: str, packed: str) -> RawCells:
    lines = text.split("\n", _LOOKED_AT)[:_LOOKED_AT]
    separator, width, start = _separator(lines)
    if width < 2:
        raise MarketError(f"{path} is not a table: its first line is {lines[0][:80]!r}; export it as CSV")
    if width > MOST_COLUMNS:
        raise MarketError(f"{path} has {width:,} columns, at most {MOST_COLUMNS:,} are read: keep those of bars")
    names = [cell.strip().strip('"').strip() for cell in lines[start].rstrip("\r").split(separator)]
    header = () if any(_is_value(name) for name in names) else tuple(names)
    skipped = start + bool(header)
    body = text.encode()
    bad: list[Any] = []

    def wrong(row: Any) -> str:
        bad.append(row)
        return "skip"

    try:
        table = pa.csv.read_csv(
            pa.BufferReader(body),
            pa.csv.ReadOptions(column_names=[str(place) for place in range(width)], skip_rows=skipped),
            pa.csv.ParseOptions(delimiter=separator, invalid_row_handler=wrong, ignore_empty_lines=True),
            pa.csv.ConvertOptions(
                column_types={str(place): pa.string() for place in range(width)}, strings_can_be_null=False
            ),
        )
    except pa.ArrowException as problem:
        raise MarketError(f"{path} cannot be read as CSV: {' '.join(str(problem).split())[:200]}") from None
    if bad:
        raise MarketError(
            f"{path} line {bad[0].number or '?'} has {bad[0].actual_columns} fields under {width}: complete or drop it"
        )
    word = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}[separator]
    form = f"{packed}{word}" + (f", {start} line{'s' * (start > 1)} before the header" if start else "")
    form += "" if header else ", no header"
    columns = tuple(column.combine_chunks() for column in table.columns)
    return RawCells(header, columns, skipped + 1, "line", form)


def _separator(lines: list[str]) -> tuple[str, int, int]:
    """Separator, number of fields, and number of lines before the first line with that number."""
    best = (",", 1, 0)
    whole = [line for line in lines if line.strip()]
    for separator in _SEPARATORS:
        counts = Counter(line.count(separator) + 1 for line in whole)
        width, often = counts.most_common(1)[0]
        if width > best[1] and often >= len(whole) // 2:
            start = next(place for place, line in enumerate(lines) if line.count(separator) + 1 == width)
            best = (separator, width, start)
    return best


def _is_value(cell: str) -> bool:
    return bool(NUMBER.fullmatch(cell)) or bool(re.match(r"\d{2,4}[-./]\d{1,2}[-./]\d{1,4}", cell))
