"""Progress bars if stderr is a terminal; otherwise nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING, Any

from backtest.base.progress import Progress, silent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

    from backtest.market.download import SeriesProgress
    from backtest.market.rows import Key

PATIENCE_S = 2.0
"""What answers sooner says nothing on the way."""


def terminal() -> Console | None:
    """The console of stderr if it is a terminal that can redraw a line; otherwise None."""
    from backtest.report.tables import new_console

    if not sys.stderr.isatty():
        return None
    console = new_console(stderr=True)
    return console if console.is_interactive else None


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """One bar with the current step and the time left, shown after two seconds and removed at the end."""
    console = terminal()
    if console is None:
        yield silent
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    bars = Bars(*columns, console=console, transient=True, redirect_stdout=False)
    steps = _Steps(bars)
    patience = Timer(PATIENCE_S, bars.start)
    patience.daemon = True
    patience.start()
    try:
        yield steps
    finally:
        patience.cancel()
        patience.join()
        bars.stop()


def tell_of(cluster: str | None) -> None:
    """One line to stderr about the cluster that the work goes to, with the link to its dashboard; none without one."""
    if cluster is not None:
        import typer

        from backtest.base.tasks import described

        typer.echo(described(cluster), err=True)


class _Steps:
    """Shows the step reported last."""

    def __init__(self, bars: Bars) -> None:
        self._bars, self._what = bars, "reading"
        self._task = bars.add_task(self._what, total=None)

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self._what = what
            self._bars.reset(self._task, description=what, total=total, completed=done)
        else:
            self._bars.update(self._task, total=total, completed=done)


@contextmanager
def series_bars() -> Iterator[SeriesProgress]:
    """One bar per downloaded series, with rate and time left; the bars stay."""
    from backtest.market.download import Silent

    console = terminal()
    if console is None:
        with _interrupted():
            yield Silent()
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with _interrupted(), Bars(*columns, console=console) as bars:
        yield _Series(bars)


@contextmanager
def _interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("what came is in the store, the same command goes on from there") from None


class _Series:
    """One bar per series."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[Key, Any] = {}

    def begin(self, key: Key, total: int) -> None:
        self._tasks[key] = self._bars.add_task(str(key), total=max(total, 1), completed=0 if total else 1, rate="")

    def advance(self, key: Key, amount: int, rows: int) -> None:
        task = self._tasks[key]
        elapsed = self._bars.tasks[task].elapsed or 0.0
        rate = f"{rows / elapsed:,.0f} rows/s" if elapsed > 0 else ""
        self._bars.update(task, advance=amount, rate=rate)
