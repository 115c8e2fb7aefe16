"""How records are displayed: a line in a terminal, a line and a small table in a notebook.

Nothing here knows a record. Every text is cut and escaped; colours are the notebook's own, except for the label of data
that were not measured, which has its own background.
"""

from __future__ import annotations

import math
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ABSENT = "-"
MOST_ROWS = 24
MOST_CHARACTERS = 160

_LABEL = "background:#9a3412;color:#fff7ed;padding:1px 7px;border-radius:3px;font-weight:700"
_RULE = "1px solid rgba(128,128,128,.55)"
_CELL = "padding:1px 10px 1px 0;background:none;vertical-align:top"
_QUIET = "opacity:.75;font-size:.92em;max-width:60em"


@dataclass(frozen=True, slots=True)
class Cell:
    """A number as text, flush right; `why` gives, on hover, the reason it is missing."""

    text: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What is shown below a record's line: a table of R rows, and sentences below it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    notes: Sequence[str] = ()


class Shown(ABC):
    """A record with a one-line description in a terminal and a small table in a notebook."""

    __slots__ = ()

    @abstractmethod
    def _line(self) -> str:
        """One line that describes the record, without its arrays."""

    @abstractmethod
    def _view(self) -> View:
        """What a notebook shows below the line."""

    def _label(self) -> str:
        """Label of the data behind it: `RECONSTRUCTED`, or empty for measured data and for records without data."""
        return ""

    def __repr__(self) -> str:
        label = f"{self._label()} " if self._label() else ""
        return f"<{type(self).__name__} {label}{plain(self._line())}>"

    def _repr_html_(self) -> str:
        return view_html(type(self).__name__, self._line(), self._view(), self._label())


def percent(value: float, digits: int = 1) -> str:
    """A share as a percentage with its sign; `-` where undefined."""
    # Nothing is minus zero.
    return ABSENT if math.isnan(value) else f"{value + 0.0:+.{digits}%}"


def plain_percent(value: float) -> str:
    """A share as a percentage; `-` where undefined."""
    return ABSENT if math.isnan(value) else f"{value:.1%}"


def number(value: float) -> str:
    """Two decimals; `-` where undefined."""
    return ABSENT if math.isnan(value) else f"{value:.2f}"


def whole(value: float) -> str:
    """A count; `-` where undefined."""
    return ABSENT if math.isnan(value) else f"{value:,.0f}"


def price(value: float) -> str:
    """Six significant digits; `-` where undefined."""
    return ABSENT if math.isnan(value) else f"{value:,.6g}"


def p_value(value: float) -> str:
    """Three decimals; `<0.001` below; `-` where undefined."""
    if math.isnan(value):
        return ABSENT
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def cell(value: float, show: Callable[[float], str], why: str = "") -> Cell:
    """A number as `show` writes it; if undefined, a dash that gives the reason."""
    return Cell(show(value), why if math.isnan(value) else "")


def count(value: int) -> Cell:
    """A whole number with thousands separators."""
    return Cell(f"{value:,}")


def plural(count: int, one: str, many: str) -> str:
    """`1 strategy`, `2 strategies`."""
    return f"{count} {one if count == 1 else many}"


def plain(text: str, most: int = MOST_CHARACTERS) -> str:
    """The text on one line, without control and bidirectional characters, cut after `most` characters."""
    kept = "".join(
        " " if unicodedata.category(one) in ("Zl", "Zp") or one in "\n\r\t" else one
        for one in text[: 4 * most]
        if one in "\n\r\t" or not unicodedata.category(one).startswith("C")
    )
    return kept if len(kept) <= most and len(text) <= 4 * most else f"{kept[: most - 1]}…"


def view_html(kind: str, line: str, view: View, label: str = "") -> str:
    """One element of HTML: the label, the kind of record and its line, the table, the sentences."""
    badge = f'<span style="{_LABEL}">{_escaped(label)}</span> ' if label else ""
    parts = [f"<div>{badge}<b>{_escaped(kind)}</b> {_escaped(line)}</div>"]
    if view.rows:
        parts.append(_table(view))
    notes = [*view.notes]
    if len(view.rows) > MOST_ROWS:
        notes.insert(0, f"{len(view.rows) - MOST_ROWS:,} more rows are not shown")
    parts += [f'<div style="{_QUIET}">{_escaped(note, 4 * MOST_CHARACTERS)}</div>' for note in notes]
    return f'<div style="margin:.4em 0;font-variant-numeric:tabular-nums">{"".join(parts)}</div>'


def _table(view: View) -> str:
    right = [isinstance(value, Cell) for value in view.rows[0]]
    head = "".join(
        f'<th style="{_CELL};border-bottom:{_RULE};text-align:{_side(flush)}">{_escaped(name)}</th>'
        for name, flush in zip(view.columns, right, strict=True)
    )
    body = "".join(
        f'<tr style="background:none">{"".join(_data(value) for value in row)}</tr>' for row in view.rows[:MOST_ROWS]
    )
    named = f"<thead><tr>{head}</tr></thead>" if any(view.columns) else ""
    return f'<table style="border-collapse:collapse;margin:.3em 0;border:none">{named}<tbody>{body}</tbody></table>'


def _data(value: str | Cell) -> str:
    if isinstance(value, str):
        return f'<td style="{_CELL};text-align:left">{_escaped(value)}</td>'
    told = f' title="{_escaped(value.why, 4 * MOST_CHARACTERS)}"' if value.why else ""
    hint = ";cursor:help" if value.why else ""
    return f'<td style="{_CELL};text-align:right{hint}"{told}>{_escaped(value.text)}</td>'


def _side(right: bool) -> str:
    return "right" if right else "left"


def _escaped(text: str, most: int = MOST_CHARACTERS) -> str:
    # For notebooks only: with it come the names of 2,231 characters.
    import html

    return html.escape(plain(text, most), quote=True)


_OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[12]?K|\x1b\[\d*[AG]|\r(?=\x1b\[2K)")
"""Colours, the cursor hidden or shown, a line cleared, a line up: what tables and progress bars send to a terminal."""
_COMMAND = re.compile(r"##(?=vso\[|teamcity\[|\[)")
_KEPT = "\n\t"


def inert(text: str, *, terminal: bool = False) -> str:
    r"""Text whose control, bidirectional and line-separating characters are written as Python's escapes.

    On a terminal the codes of colours and progress bars pass. `##[`, `##vso[` and `##teamcity[`, which runners obey
    anywhere in a line, are broken up.
    """
    if not text.isascii() or not text.isprintable():
        if terminal:
            parts, at = [], 0
            for match in _OURS.finditer(text):
                parts += [_visible(text[at : match.start()]), match[0]]
                at = match.end()
            text = "".join((*parts, _visible(text[at:])))
        else:
            text = _visible(text)
    return _COMMAND.sub("## ", text) if "##" in text else text


def _visible(text: str) -> str:
    return "".join(
        one if one in _KEPT or unicodedata.category(one) not in ("Cc", "Cf", "Zl", "Zp", "Cs") else _named(one)
        for one in text
    )


def _named(character: str) -> str:
    # A lone surrogate of a file name is left to the stream, which writes it in its own way.
    return character if "\ud800" <= character <= "\udfff" else character.encode("unicode_escape").decode()
