"""Terminal tables: 80 columns wide, plain text in a pipe."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import Box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from backtest.display import ABSENT, number, percent, plain_percent

if TYPE_CHECKING:
    from backtest.catalysts.record import Calendar
    from backtest.engine.run import Run
    from backtest.scoring.metrics import Score

BLANK = "    \n"
RULED = Box(f"{BLANK}{BLANK} -- \n{BLANK * 5}", ascii=True)
"""A rule below the head and nothing else, the same for every stream."""


def new_table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    """An empty table: the first column is never folded, the `right` ones are flush right."""
    table = Table(
        title=Text(title, "bold"),
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


def run_table(runs: Sequence[Run], scores: Sequence[dict[str, Score]]) -> Table:
    """One row a strategy: what it earned, risked, traded and missed; costs are a share of the capital."""
    from backtest.engine.layout import COSTS

    columns = ("net", "Sharpe", "max DD", "trades", "hit", "run-up", "captured", "costs")
    table = new_table("Strategies", ("strategy",), columns)
    for run, score in zip(runs, scores, strict=True):
        table.add_row(
            escape(run.strategy),
            percent(score["net_return"].value),
            number(score["sharpe"].value),
            plain_percent(score["max_drawdown"].value),
            f"{score['trades'].value:.0f}",
            ABSENT if math.isnan(score["hit_rate"].value) else f"{score['hit_rate'].value:.0%}",
            percent(score["run_up"].value),
            percent(score["captured"].value),
            plain_percent(sum(score[f"{cost}_drag"].value for cost in COSTS)),
        )
    return table


def trade_table(run: Run) -> Table:
    """One row a trade: coin (with a minus where short), what was missed before the fill, what was captured after it."""
    from backtest.engine.layout import EXITS

    table = new_table(
        f"Trades of {run.strategy}", ("catalyst",), ("entry (UTC)", "coin", "run-up", "capt.", "net", "exit")
    )
    reasons = {one.name: one.short or one.name for one in EXITS}
    for trade in run.trades.to_dict("records"):
        table.add_row(
            escape(str(trade["catalyst_id"] or trade["instrument"])),
            f"{trade['entry_time']:%m-%d %H:%M}",
            f"{'-' if trade['side'] < 0 else ''}{str(trade['instrument']).partition('/')[0]}",
            percent(trade["run_up"]),
            percent(trade["captured"]),
            percent(trade["net_return"]),
            f"{reasons[trade['reason']]}{'?' if trade['ambiguous'] else ''}",
        )
    if run.trades["ambiguous"].any():
        table.caption = "? both orders inside the bar were possible; the worse one is counted"
    return table


def rejected_lines(run: Run) -> list[str]:
    """One line an enumerated reason: how many intents it refused, and of which catalysts."""
    lines = []
    for reason, rows in run.rejected.groupby("reason", sort=True):
        names = ", ".join(sorted({str(name) for name in rows["catalyst_id"] if name})) or "no catalyst"
        lines.append(f"{run.strategy}: {len(rows)} rejected {reason}: {names}")
    return lines


def calendar_table(calendar: Calendar, width: int, numbers: Mapping[str, int], within: str) -> Table:
    """One row a catalyst with the number of its cluster; the actor is left out below 100 columns."""
    wide = width >= 100
    columns = ("id", "", "announced (UTC)", "kind", "confidence", *(("actor",) if wide else ()))
    table = new_table(f"{calendar.name}: {len(calendar)} catalysts", columns, ())
    for one in calendar:
        mark = str(numbers.get(one.id, ""))
        table.add_row(escape(one.id), mark, one.when, one.kind, one.confidence, *((escape(one.actor),) if wide else ()))
    table.caption = f"a number: its cluster, known within {within} of each other; an untimed one is never tradable"
    return table


def show(console: Console, *parts: Table | str) -> None:
    """Print tables, apart from what stands before them, and lines, which are never read as markup."""
    close = False
    for part in parts:
        if isinstance(part, str):
            console.print(Text(_hanging(part, console.width)))
            close = bool(part)
        else:
            if close:
                console.print()
            console.print(part)
            # A table ends in an empty line, its caption does not.
            close = part.caption is not None


def _hanging(line: str, width: int) -> str:
    """A line that begins with spaces, its continuations indented by two more."""
    lead = len(line) - len(line.lstrip(" "))
    return textwrap.fill(line, width, subsequent_indent=" " * (lead + 2)) if lead else line


def new_console(*, stderr: bool = False) -> Console:
    """Console as wide as the terminal, 80 columns in a pipe."""
    return Console(stderr=stderr, highlight=False, emoji=False)
