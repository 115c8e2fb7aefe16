"""Terminal table and document of the bars whose finer data would narrow the intervals of trades most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from backtest.base.units import format_ms, from_ms
from backtest.report.tables import INTERVAL, new_table

if TYPE_CHECKING:
    from backtest.engine.useful import UsefulDetail
    from backtest.market.record import Market


def useful_table(bars: Sequence[UsefulDetail], market: Market) -> Table:
    """One row per bar: by how much its finer data can narrow the intervals of how many trades."""
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
        f"the interval of a trade is {INTERVAL}; together they are {width:,.2f} {market.currency} wide",
        "gain: the most by which finer data of a bar can narrow the intervals of its trades together "
        f"({', '.join(names)})",
    ]


def useful_document(bars: Sequence[UsefulDetail], width: float, market: Market) -> dict[str, Any]:
    """The table as `--json` prints it; `width` is that of the intervals of all trades together."""
    rows = [
        {
            "instrument": bar.symbol,
            "open_time": from_ms(bar.open_ms).isoformat(),
            "gain": bar.gain,
            "trades": bar.trades,
            "strategies": list(bar.strategies),
        }
        for bar in bars
    ]
    return {"timeframe": market.timeframe, "currency": market.currency, "width": width, "bars": rows}
