"""Building blocks of a page: sections of sentences, facts, tables and figures, without markup."""

from __future__ import annotations

import base64
import gzip
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import pandas as pd

from backtest.base.display import ABSENT, p_value, percent, plain_percent
from backtest.base.errors import BacktestError
from backtest.report.spreadsheets import rounded_csv_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

PACKED_FROM = 8_192
"""Characters from which a CSV file is carried compressed."""
PACKING = 4
"""Level of compression: 6 takes twice as long, three times for the charts, for 3 to 7 % less."""
Tone = Literal["", "gain", "loss", "strong", "weak"]


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell: its text, the number it is sorted by (None: unknown, sorted last), a smaller second line, a tone."""

    text: str
    value: float | None = None
    below: str = ""
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """Head of a column: cells of a numeric one are flush right and sorted by their value, others by their text."""

    name: str
    numeric: bool = False
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Download:
    """Numbers to take away: the name and the text of a CSV file."""

    name: str
    text: str

    @property
    def packed(self) -> bool:
        """Whether the page carries it compressed."""
        return len(self.text) > PACKED_FROM

    @property
    def file(self) -> str:
        """The name under which it is saved if scripts, which decompress it, are off."""
        return self.name + (".gz" if self.packed else "")

    @property
    def address(self) -> str:
        """The file as a data address, which works from disk and without scripts."""
        if self.packed:
            content = gzip.compress(self.text.encode(), PACKING, mtime=0)
            return "data:application/gzip;base64," + base64.b64encode(content).decode()
        return "data:text/csv;charset=utf-8," + quote(self.text, safe=",:;/@+=*!$-._~()")


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Rows of cells under columns, with a title, a sentence on how to read them, and their numbers to take away."""

    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    how: str = ""
    download: Download | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing as SVG text with a sentence on how to read it and its numbers; no SVG where `reason` says why."""

    title: str
    how: str
    svg: str = ""
    download: Download | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they are, side by side."""

    rows: tuple[tuple[str, str], ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence or more; a warning is set apart, and `answer` is the question that it answers."""

    text: str
    answer: str = ""
    warning: bool = False
    code: bool = False


@dataclass(frozen=True, slots=True)
class Explorer:
    """Interactive charts (hover, zoom, filter): their numbers as packed JSON, and what was left out of them."""

    packed: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Multiple:
    """One small chart among many: what it shows, the line beneath, the SVG, the trade that it links to."""

    title: str
    remark: str
    svg: str
    catalyst: str


@dataclass(frozen=True, slots=True)
class Multiples:
    """Small drawings under one caption, with their numbers to take away."""

    title: str
    how: str
    drawings: tuple[Multiple, ...]
    download: Download | None = None


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks folded behind a line that opens them; all are open in print."""

    title: str
    blocks: tuple[Block, ...]
    remark: str = ""
    open: bool = False


Block = ReportTable | Figure | Facts | Text | Folded | Explorer | Multiples


@dataclass(frozen=True, slots=True)
class Section:
    """One heading of the table of contents."""

    id: str
    title: str
    blocks: tuple[Block, ...]


def share(value: float | None, *, signed: bool = True, below: str = "", toned: bool = False) -> TableCell:
    """A share as a percentage."""
    if value is None or math.isnan(value):
        return TableCell(ABSENT, None, below, "weak")
    tone: Tone = ("gain" if value > 0 else "loss" if value < 0 else "") if toned else ""
    return TableCell(percent(value) if signed else plain_percent(value), value, below, tone)


def figure_cell(value: float | None, form: str = ".2f", below: str = "") -> TableCell:
    """A number in a format."""
    if value is None or math.isnan(value):
        return TableCell(ABSENT, None, below, "weak")
    return TableCell(format(value, form), value, below)


def p_cell(value: float | None, level: float = math.nan) -> TableCell:
    """A p-value, strong at or below the level."""
    if value is None or math.isnan(value):
        return TableCell(ABSENT, None, "", "weak")
    return TableCell(p_value(value), value, "", "strong" if value <= level else "")


def words(text: Any, below: str = "", tone: Tone = "") -> TableCell:
    """Text as it is; `-` where empty."""
    return TableCell(str(text) or ABSENT, None, below, tone)


def csv_of(frame: pd.DataFrame) -> str:
    """CSV text of a table, ten significant digits, its index only where it has a name."""
    named = frame.reset_index() if frame.index.name else frame
    return rounded_csv_text(named)


def drawn(
    title: str,
    how: str,
    name: str,
    numbers: Callable[[], pd.DataFrame],
    draw: Callable[[], Drawing],
) -> Figure:
    """A figure and its numbers; if unavailable, the sentence that says why."""
    from backtest.report.figures import to_svg
    from backtest.report.figures.numbers import computed_once

    try:
        with computed_once():
            frame = numbers()
            return Figure(title, how, to_svg(draw()), Download(f"{name}.csv", csv_of(frame)))
    except BacktestError as problem:
        return Figure(title, how, reason=str(problem))


def columns(*names: str, numeric: Sequence[str] = ()) -> tuple[TableColumn, ...]:
    """Columns by name, numeric if so marked; `name|meaning` adds the text shown when hovering over the head."""
    made = []
    for entry in names:
        name, _, meaning = entry.partition("|")
        made.append(TableColumn(name, name in numeric, meaning))
    return tuple(made)
