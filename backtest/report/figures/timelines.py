"""What happened when: catalysts over price, volume, open interest and funding, with the fills of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from backtest.base.units import to_ms
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_at_ms
from backtest.engine.run import Run
from backtest.market.record import Floats
from backtest.report.figures import style
from backtest.report.figures.palette import BLUE, INK, MUTED, ORANGE, PAPER, PURPLE, RED, SKY
from backtest.report.figures.wording import clean, day, words

_SERIES = ("price", "volume", "open_interest", "funding")
_STRIP, _LEVEL, _BETWEEN = 0.02, 0.17, 0.1
_KEY_WIDTH = 62


def instrument_of(run: Run, instrument: str | None) -> str:
    """The requested instrument, otherwise the one with most trades, otherwise the market's first."""
    if instrument is not None:
        return run.market.symbols[run.market.column(instrument)]
    counts = run.trades["instrument"].value_counts(sort=False)
    return str(counts.idxmax()) if len(counts) else run.market.symbols[0]


def timeline_data(run: Run, calendar: Calendar, instrument: str | None = None) -> pd.DataFrame:
    """One row per bar, catalyst and fill of one instrument, told apart by `record`, in order of time.

    Bars: `price` (close), `volume` (base), `open_interest` (quote), `funding` (share), at the bar's close. Catalysts
    about the coin that became known inside the data carry `number` and `name`, fills `price`, `name` (of the catalyst),
    `side` and `reason`; NaN elsewhere.
    """
    market, symbol = run.market, instrument_of(run, instrument)
    column = market.column(symbol)
    base = market.instruments[column].base
    closes = market.index + pd.Timedelta(milliseconds=market.bar_ms)
    bars = pd.DataFrame(
        {
            "record": "bar",
            "time": closes,
            "price": market.close[:, column],
            "volume": market.volume[:, column],
            "open_interest": market.open_interest[:, column],
            "funding": market.funding[:, column],
        }
    )
    known = [(one, known_at_ms(one)) for one in calendar if base in one.assets]
    inside = sorted(
        ((one, at) for one, at in known if at is not None and market.start_ms <= at < market.end_ms),
        key=lambda pair: pair[1],
    )
    catalysts = pd.DataFrame(
        {
            "record": "catalyst",
            "time": pd.to_datetime([at for _, at in inside], unit="ms", utc=True),
            "number": np.arange(1, len(inside) + 1),
            "name": [one.id for one, _ in inside],
        }
    )
    mine = run.fills[run.fills["instrument"] == symbol]
    fills = pd.DataFrame(
        {
            "record": "fill",
            "time": mine["bar"] + pd.to_timedelta(np.where(mine["phase"] == "open", 0, market.bar_ms), unit="ms"),
            "price": mine["price"],
            "name": mine["catalyst_id"],
            "side": mine["side"],
            "reason": mine["reason"],
        }
    )
    parts = [part for part in (bars, catalysts, fills) if len(part)]
    return pd.concat(parts, ignore_index=True).reindex(
        columns=["record", "time", *_SERIES, "number", "name", "side", "reason"]
    ).sort_values("time", kind="stable", ignore_index=True)  # fmt: skip


@style.in_own_style
def timeline(run: Run, calendar: Calendar, instrument: str | None = None) -> Figure:
    """Price with fills, volume, open interest and funding of one instrument, its catalysts numbered above."""
    symbol, label = instrument_of(run, instrument), run.market.provenance.label
    data = timeline_data(run, calendar, symbol)
    bars = data[data["record"] == "bar"]
    catalysts, fills = data[data["record"] == "catalyst"], data[data["record"] == "fill"]
    title = f"{clean(run.strategy, 36)}: {symbol} and the catalysts of its coin"
    shown = [name for name in _SERIES if bars[name].notna().any()]
    if "price" not in shown:
        return style.message(title, f"{symbol} has no price in {run.market.provenance.name}.", label=label)
    x = style.days(pd.DatetimeIndex(bars["time"]))
    marks = style.days(pd.DatetimeIndex(catalysts["time"]))
    first, last = float(style.days(run.market.index[:1])[0]), float(x[-1])
    levels = _levels(marks, last - first)
    strip = _STRIP + _LEVEL * (max(levels, default=-1) + 1)
    entries = _key_entries(catalysts, calendar)
    rows = -(-len(entries) // 2)
    heights = [strip] * bool(len(marks)) + [2.3] + [0.62] * (len(shown) - 1)
    absent = [words(name) for name in _SERIES if name not in shown]
    told = "Each number is a catalyst, drawn where it was certainly public; the dates are of announcements."
    if not len(marks):
        told = "No catalyst of this coin became known inside the data."
    if absent:
        told += f" Unknown here: {', '.join(absent)}."
    made = style.sheet(
        title,
        told,
        heights,
        label=label,
        key=_fill_key(fills),
        margins=style.Margins(bottom=0.55 + 0.17 * rows, between=_BETWEEN),
    )
    panels = list(made.axes)
    if len(marks):
        _number_strip(panels.pop(0), marks, levels, (first, last))
    for axes, name in zip(panels, shown, strict=True):
        _series_panel(axes, name, x, bars[name].to_numpy(dtype=np.float64))
        style.time_axis(axes, first, last, name=axes is panels[-1])
        upright = axes.get_xaxis_transform()
        axes.vlines(marks, 0.0, 1.0, transform=upright, color=PURPLE, linewidth=0.6, alpha=0.6, zorder=0.5)
    _mark_fills(panels[0], fills)
    for place, entry in enumerate(entries):
        across, down = divmod(place, rows)
        x_of, top = 0.3 + 3.9 * across, 0.17 * (rows - down) + 0.06
        style.write(
            made.figure, x_of - 0.08, top, str(place + 1), ha="right", fontsize=8, fontweight="bold", color=PURPLE
        )
        style.write(made.figure, x_of, top, entry, fontsize=8)
    return made.figure


def _levels(marks: Floats, span: float) -> list[int]:
    """Row of each number above the axes, chosen so that no two numbers in one row touch."""
    room = 0.19 / 7.0 * span
    ends: list[float] = []
    levels = []
    for mark in marks:
        level = next((k for k, end in enumerate(ends) if mark - end >= room), len(ends))
        ends[level : level + 1] = [mark]
        levels.append(level)
    return levels


def _number_strip(axes: Axes, marks: Floats, levels: list[int], limits: tuple[float, float]) -> None:
    axes.set_xlim(*limits)
    bottom = -0.5 - _STRIP / _LEVEL
    axes.set_ylim(bottom, max(levels) + 0.5)
    axes.set_axis_off()
    axes.vlines(marks, bottom - _BETWEEN / _LEVEL, levels, color=PURPLE, linewidth=0.6, alpha=0.6, clip_on=False)
    for place, (mark, level) in enumerate(zip(marks, levels, strict=True)):
        axes.text(
            mark, level, str(place + 1), ha="center", va="center", fontsize=7, color=PAPER, fontweight="bold",
            bbox={"boxstyle": "round,pad=0.2,rounding_size=0.4", "facecolor": PURPLE, "edgecolor": "none"},
        )  # fmt: skip


def _key_entries(catalysts: pd.DataFrame, calendar: Calendar) -> list[str]:
    entries = []
    for row in catalysts.to_dict("records"):
        one = calendar[str(row["name"])]
        when = day(to_ms(one.announced_at)) if one.announced_at is not None else ""
        entries.append(clean(f"{when}, {words(one.kind)}: {one.actor}", _KEY_WIDTH))
    return entries


def _series_panel(axes: Axes, name: str, x: Floats, values: Floats) -> None:
    axes.set_ylabel(words(name) if name != "open_interest" else "open int.")
    if name == "price":
        log = style.spans_much(values)
        style.line(axes, x, values, color=INK, linewidth=1.0)
        axes.set_ylim(*style.padded(values, log))
        style.number_axis(axes, log=log)
    elif name == "funding":
        for sign, colour in ((1.0, BLUE), (-1.0, ORANGE)):
            style.stems(axes, x, np.where(sign * values > 0, values, np.nan), color=colour, linewidth=1.0)
        axes.axhline(0.0, color=MUTED, linewidth=0.6)
        axes.set_ylim(*style.padded(np.append(values, 0.0), share=0.12))
        style.percent_axis(axes, ticks=3)
    else:
        style.area(
            axes,
            x,
            np.where(np.isnan(values), np.nan, 0.0),
            values,
            color=SKY if name == "volume" else MUTED,
            alpha=0.8,
        )
        axes.set_ylim(0.0, float(np.nanmax(values)) * 1.08 or 1.0)
        style.number_axis(axes, ticks=2)


def marker(side: int, entry: bool) -> dict[str, Any]:
    """Look of a fill: up for bought, down for sold; filled for an entry, hollow for an exit."""
    colour = BLUE if side > 0 else RED
    return {"marker": "^" if side > 0 else "v", "markersize": 6.0, "markerfacecolor": colour if entry else PAPER,
            "markeredgecolor": colour, "markeredgewidth": 1.1, "linestyle": "none"}  # fmt: skip


def _fill_key(fills: pd.DataFrame) -> list[Artist]:
    found = set(zip(fills["side"], fills["reason"] == "entry", strict=True))
    told = {(1, True): "entry, bought", (-1, True): "entry, sold short", (1, False): "exit, bought back",
            (-1, False): "exit, sold"}  # fmt: skip
    return [Line2D([], [], label=text, **marker(*which)) for which, text in told.items() if which in found]


def _mark_fills(axes: Axes, fills: pd.DataFrame) -> None:
    entry = fills["reason"] == "entry"
    for is_entry in (False, True):
        for side in (1, -1):
            rows = fills[(entry == is_entry) & (fills["side"] == side)]
            if len(rows):
                x = style.days(pd.DatetimeIndex(rows["time"]))
                axes.plot(x, rows["price"].to_numpy(dtype=np.float64), **marker(side, is_entry), zorder=4)
