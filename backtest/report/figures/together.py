"""Several strategies on one sheet: equity, drawdown and rolling Sharpe ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from backtest.engine.run import Run
from backtest.report.figures import style
from backtest.report.figures.numbers import shared
from backtest.report.figures.palette import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, RED, SKY
from backtest.report.figures.results import equity_data
from backtest.report.figures.wording import clean
from backtest.scoring.excursions import WINDOW_DAYS, rolling_sharpe

_COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, INK)
_LINES = ("-", "--", ":", "-.")


@shared
def equities_data(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per strategy and bar, `time` its close: growth since the start, drawdown, rolling Sharpe at day ends."""
    tables = []
    for run in runs:
        table = equity_data(run)
        ratios = rolling_sharpe(run)
        table.insert(0, "strategy", run.strategy)
        table["growth"] = table.pop("equity") / run.config.capital - 1.0
        table["rolling_sharpe"] = ratios.reindex(pd.DatetimeIndex(table["time"])).to_numpy()
        tables.append(table)
    names = ["strategy", "time", "drawdown", "growth", "rolling_sharpe"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=names)


@style.in_own_style
def equities(runs: Sequence[Run]) -> Figure:
    """Equity of all strategies over one another, their drawdowns and their rolling Sharpe ratios."""
    title = "Every strategy: equity, drawdown, rolling Sharpe ratio"
    if not runs:
        return style.message(title, "No strategy was replayed.")
    data = equities_data(runs)
    count = len(_COLOURS)
    looks: list[dict[str, Any]] = [
        {"color": _COLOURS[k % count], "linestyle": _LINES[k // count % len(_LINES)]} for k in range(len(runs))
    ]
    made = style.sheet(
        title,
        f"Growth since the start after every cost, the fall from the highest so far, and the annualised Sharpe ratio "
        f"of the last {WINDOW_DAYS} daily returns, which overlap from day to day.",
        [2.4, 0.9, 1.1],
        label=runs[0].market.provenance.label,
        key=[Line2D([], [], label=clean(run.strategy, 24), linewidth=1.4, **look)
             for run, look in zip(runs, looks, strict=True)],
    )  # fmt: skip
    top, middle, bottom = made.axes
    factors = 1.0 + data["growth"].to_numpy(dtype=np.float64)
    log = style.spans_much(factors)
    for run, look in zip(runs, looks, strict=True):
        rows = data[data["strategy"] == run.strategy]
        x = style.days(pd.DatetimeIndex(rows["time"]))
        style.line(top, x, 1.0 + rows["growth"].to_numpy(), linewidth=1.1, **look)
        style.line(middle, x, rows["drawdown"].to_numpy(), linewidth=0.9, **look)
        known = rows["rolling_sharpe"].notna().to_numpy()
        style.line(bottom, x[known], rows["rolling_sharpe"].to_numpy()[known], linewidth=0.9, **look)
    top.axhline(1.0, color=MUTED, linewidth=0.8)
    bottom.axhline(0.0, color=MUTED, linewidth=0.8)
    top.set_ylim(*style.padded(np.append(factors, 1.0), log))
    style.number_axis(top, log=log)
    top.set_ylabel("equity, start = 1")
    style.percent_axis(middle, ticks=3)
    middle.set_ylabel("drawdown")
    style.number_axis(bottom, ticks=3)
    bottom.set_ylabel("Sharpe")
    first, last = (float(at) for at in style.days(pd.DatetimeIndex(data["time"]))[[0, -1]])
    for axes in made.axes:
        style.time_axis(axes, first, last, name=axes is bottom)
    return made.figure


@style.in_own_style
def growth(curves: pd.DataFrame, *, label: str = "") -> Figure:
    """Growth of equity curves (T bars by runs, quote currency) since the first value of each."""
    title = "Equity of all runs"
    if not curves.notna().to_numpy().any():
        return style.message(title, "No run has a bar.", label=label)
    count = len(_COLOURS)
    looks: list[dict[str, Any]] = [
        {"color": _COLOURS[k % count], "linestyle": _LINES[k // count % len(_LINES)]} for k in range(curves.shape[1])
    ]
    grown = curves.to_numpy(dtype=np.float64)
    first = np.array([column[~np.isnan(column)][0] if (~np.isnan(column)).any() else np.nan for column in grown.T])
    grown = grown / first
    log = style.spans_much(grown.reshape(-1))
    key = [Line2D([], [], label=clean(str(name), 36), linewidth=1.4, **look)
           for name, look in zip(curves.columns, looks, strict=True)]  # fmt: skip
    made = style.sheet(title, "Equity since the first bar of each, after every cost.", [2.8], label=label, key=key)
    (axes,) = made.axes
    x = style.days(pd.DatetimeIndex(curves.index))
    for column, look in zip(grown.T, looks, strict=True):
        style.line(axes, x, column, linewidth=1.2, **look)
    axes.axhline(1.0, color=MUTED, linewidth=0.8)
    axes.set_ylim(*style.padded(np.append(grown.reshape(-1), 1.0), log))
    style.number_axis(axes, log=log)
    axes.set_ylabel("equity, start = 1")
    style.time_axis(axes, float(x[0]), float(x[-1]))
    return made.figure
