"""Plain tables of at most 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

WIDTH = 80


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """A title, columns (the first left-aligned, the others right-aligned), and notes below."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    text = ["", title, "=" * len(title)]
    for number, line in enumerate(lines):
        cells = [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
        text.append("  ".join(cells))
        if number == 0:
            text.append("  ".join("-" * w for w in widths))
    assert max(map(len, text)) <= WIDTH, f"{title}: a line is wider than {WIDTH} columns"
    return "\n".join([*text, *notes])


def count(number: float) -> str:
    """A count with its thousands apart."""
    return f"{number:,.0f}"


def short(number: float) -> str:
    """Three significant digits, with a suffix above a thousand."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g}{suffix}"
    return f"{number:.3g}"
