"""Terminal tables: 80 columns wide, plain text in a pipe."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.segment import Segment, Segments
from rich.table import Column, Table
from rich.text import Text

from backtest.base.display import inert, percent, plural

if TYPE_CHECKING:
    from backtest.catalysts.record import Calendar
    from backtest.engine.run import Run

_LEAST_NAME = 8
_LEAST_WORD = 24
INTERVAL = (
    "the least to the greatest net over all price paths that its bars allow, "
    "or an outer bound of it where a note says so"
)
"""What the interval of a trade is, wherever one is shown."""
CROWDED = 1.0 + 1e-9
"""Load of an exit from which it takes more of its bar than an entry may."""
_TRAILING = re.compile(r"(?<![ \t])[ \t]++((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)
_UNWRAPPED = 1_000
BLANK = "    \n"
RULED = Box(f"{BLANK}{BLANK} -- \n{BLANK * 5}", ascii=True)
"""A rule below the head and nothing else, the same for every stream."""


def new_table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    """An empty table: the first column is never folded, the `right` ones are flush right."""
    table = Table(
        title=Text(title, "bold") if title else None,
        title_justify="left",
        caption_justify="left",
        box=RULED,
        pad_edge=False,
        padding=0,
    )
    for place, name in enumerate(left):
        table.add_column(name, no_wrap=place == 0, overflow="fold" if place else "ellipsis")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def trade_table(run: Run) -> Table:
    """One row per trade, with its three moves; a coin with a minus was sold short."""
    from backtest.engine.layout import EXITS

    table = new_table(
        f"Trades of {run.strategy}",
        ("catalyst",),
        ("entry (UTC)", "coin", "before", "waited", "captured", "net", "exit"),
    )
    reasons = {one.name: one.short or one.name for one in EXITS}
    for trade in run.trades.to_dict("records"):
        table.add_row(
            escape(str(trade["catalyst_id"] or trade["instrument"])),
            f"{trade['entry_time']:%y-%m-%d %H:%M}",
            f"{'-' if trade['side'] < 0 else ''}{str(trade['instrument']).partition('/')[0]}",
            percent(trade["before"]),
            percent(trade["waited"]),
            percent(trade["captured"]),
            percent(trade["net_return"]),
            reasons[trade["reason"]]
            + "?" * trade["ambiguous"]
            + "!" * (trade["exit_load"] > CROWDED)
            + f" x{trade['exit_fills']}" * (trade["exit_fills"] > 1),
        )
    told = []
    if run.trades["ambiguous"].any():
        told.append(f"? may end in another way inside a bar: its interval (net_low to net_high) is {INTERVAL}")
    if (run.trades["exit_load"] > CROWDED).any():
        told.append(f"! leaves with more than participation = {run.config.participation:g} of the volume of its bar")
    if (run.trades["exit_fills"] > 1).any():
        told.append(
            "x2, x3, ...: left in so many fills (partial_exits), which fills.csv lists; the exit is the last one"
        )
    table.caption = "\n".join(told) or None
    return table


def rejected_lines(run: Run) -> list[str]:
    """One line per enumerated reason: how many intents it refused, and of which catalysts."""
    lines = []
    for reason, rows in run.rejected.groupby("reason", sort=True):
        names = ", ".join(sorted({str(name) for name in rows["catalyst_id"] if name})) or "no catalyst"
        lines.append(f"{run.strategy}: {len(rows)} rejected {reason}: {names}")
    return lines


def calendar_table(calendar: Calendar, width: int, numbers: Mapping[str, int], within: str) -> Table:
    """One row per catalyst with the number of its cluster; the actor is left out below 100 columns."""
    wide = width >= 100
    columns = ("id", "", "announced (UTC)", "kind", "confidence", *(("actor",) if wide else ()))
    table = new_table(f"{calendar.name}: {plural(len(calendar), 'catalyst', 'catalysts')}", columns, ())
    moves = [one for one in calendar if one.endogenous]
    for one in [one for one in calendar if not one.endogenous] + moves:
        if moves and one is moves[0]:
            table.add_section()
        mark = str(numbers.get(one.id, ""))
        table.add_row(escape(one.id), mark, one.when, one.kind, one.confidence, *((escape(one.actor),) if wide else ()))
    table.caption = f"a number: its cluster, known within {within} of each other; an untimed one is never tradable"
    if moves:
        share = f"{len(moves)} ({len(moves) / len(calendar):.0%})"
        table.caption += f"\nthe last {share}: moves of the price itself, left out of inference"
    return table


def show(console: Console, *parts: Table | str) -> None:
    """Print tables, set off from what precedes them, and lines, which are never read as markup."""
    close = False
    for part in parts:
        if isinstance(part, str):
            _write(console, Text(_hanging(part, console.width)))
            close = bool(part)
        else:
            if close:
                console.print()
            _print(console, part)
            # A table ends in an empty line, its caption does not.
            close = part.caption is not None


def _print(console: Console, table: Table) -> None:
    """Print a table without trailing blanks; names are shortened before numbers, and a number is never cut."""
    widths = [
        max([cell_len(_text(column.header)), *(cell_len(_text(one)) for one in column.cells)])
        for column in table.columns
    ]
    right = sum(width for width, column in zip(widths, table.columns, strict=True) if column.justify == "right")
    loose = [place for place, column in enumerate(table.columns) if column.justify != "right"]
    frame = len(widths) + 1
    least = 0
    for place, (column, width) in enumerate(zip(table.columns, widths, strict=True)):
        if place not in loose:
            column.min_width = width
        elif place != loose[0]:
            # What tells one row from another is folded between words only.
            column.min_width = min(_longest_word(column), _LEAST_WORD)
            least += column.min_width
    if loose:
        others = sum(widths[place] for place in loose[1:])
        table.columns[loose[0]].max_width = max(_LEAST_NAME, console.width - frame - right - others)
        least += min(widths[loose[0]], _LEAST_NAME)
    _write(console, table, max(console.width, frame + right + least))


def _longest_word(column: Column) -> int:
    words = [word for cell in (column.header, *column.cells) for word in _text(cell).split()]
    return max(map(cell_len, words), default=1)


def _write(console: Console, part: Table | Text, width: int | None = None) -> None:
    with console.capture() as captured:
        # `Console.print` takes no width beyond its own.
        wide = part if width is None else Segments(console.render(part, console.options.update(width=width)))
        console.print(wide, crop=False)
    console.file.write(_TRAILING.sub(r"\1", captured.get()))


def _text(cell: object) -> str:
    return Text.from_markup(cell, emoji=False).plain if isinstance(cell, str) else str(cell)


def _hanging(line: str, width: int) -> str:
    """A line that begins with spaces, its continuations indented by two more."""
    lead = len(line) - len(line.lstrip(" "))
    return textwrap.fill(line, width, subsequent_indent=" " * (lead + 2)) if lead else line


class _Console(Console):
    """A console whose texts, whoever wrote them, cannot drive the terminal; its own codes are added after that."""

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return super()._render_buffer(one if one.control else one._replace(text=inert(one.text)) for one in buffer)


def new_console(*, stderr: bool = False) -> Console:
    """Console as wide as the terminal, 80 columns in a pipe; lines of a CI log are not wrapped."""
    on_runner = any(os.environ.get(name) for name in ("GITHUB_ACTIONS", "TF_BUILD")) and "COLUMNS" not in os.environ
    return _Console(stderr=stderr, highlight=False, emoji=False, width=_UNWRAPPED if on_runner else None)
