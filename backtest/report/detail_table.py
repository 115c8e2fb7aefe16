"""Terminal table of the bars whose finer data would narrow the intervals of trades most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from backtest.base.units import format_ms
from backtest.report.tables import new_table

if TYPE_CHECKING:
    from backtest.engine.useful import UsefulDetail
    from backtest.market.record import Market


def useful_table(bars: Sequence[UsefulDetail], market: Market) -> Table:
    """One row a bar: by how much its finer data can narrow the intervals of how many trades."""
    table = new_table(f"Most useful bars of {market.timeframe}", ("instrument", "opens (UTC)"), ("gain", "trades"))
    for bar in bars:
        table.add_row(escape(bar.symbol), format_ms(bar.open_ms), f"{bar.gain:,.2f}", str(bar.trades))
    return table


def useful_lines(bars: Sequence[UsefulDetail], width: float, market: Market) -> list[str]:
    """What the table says, in sentences."""
    if not bars:
        return ["no bar leaves a doubt: every interval is a point, and finer data would change nothing"]
    names = sorted({name for bar in bars for name in bar.strategies})
    return [
        "the interval of a trade is the least to the greatest net over all price paths that its bars allow; together "
        f"they are {width:,.2f} {market.currency} wide",
        "gain: the most by which finer data of a bar can narrow the intervals of its trades together "
        f"({', '.join(names)})",
    ]
