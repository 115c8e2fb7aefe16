"""The style shared by all figures: sheets with a heading, axes, UTC time, marks for reconstructed data.

Figures are matplotlib `Figure` objects laid out in inches, eight inches wide, without pyplot and without any change of
the reader's settings. Times are drawn as days since 1970, UTC.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import (
    FixedFormatter,
    FixedLocator,
    Formatter,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullLocator,
)

from backtest.base.units import DAY_MS, UNIT_MS, from_ms
from backtest.market.record import Floats
from backtest.report.figures.axes import SheetAxes
from backtest.report.figures.palette import ALARM, MUTED, ON_ALARM
from backtest.report.figures.palette import DARK as DARK
from backtest.report.figures.palette import LIGHT as LIGHT
from backtest.report.figures.settings import in_own_style as in_own_style
from backtest.report.figures.svg import to_svg as to_svg
from backtest.report.figures.wording import clean, day, number, percent, percent_tick

WIDTH = 8.0
PIXELS = 400
"""Columns that a line is thinned to: its least and greatest value in each stay."""
LOG_SPAN = 3.0
"""Prices that span more than this factor are drawn on a logarithmic axis."""

_TITLE, _LINE, _KEY, _MARGIN = 0.28, 0.18, 0.22, 0.12


@dataclass(frozen=True, slots=True)
class Sheet:
    """A figure and its axes, row by row; `height` is the figure's, in inches."""

    figure: Figure
    axes: tuple[Axes, ...]
    height: float


@dataclass(frozen=True, slots=True)
class Margins:
    """Inches around and between the axes of a sheet."""

    left: float = 0.72
    top: float = 0.16
    right: float = 0.3
    bottom: float = 0.5
    between: float = 0.16
    gutter: float = 0.3


def sheet(
    title: str,
    subtitle: str,
    heights: Sequence[float],
    *,
    label: str = "",
    key: Sequence[Artist] = (),
    columns: int = 1,
    margins: Margins | None = None,
) -> Sheet:
    """A figure with a heading, a key above the axes and rows of axes of these heights in inches.

    `label` is the market's, shown in a box of its own at the top; `key` holds artists with labels.
    """
    around = margins or Margins()
    shown = textwrap.wrap(clean(subtitle, 330), 112)
    lines = keyed(key)
    header = _MARGIN + _TITLE + _LINE * len(shown) + _KEY * len(lines) + around.top
    height = header + sum(heights) + around.between * (len(heights) - 1) + around.bottom
    figure = Figure(figsize=(WIDTH, height))
    badge = clean(label, 24)
    words = clean(title, 84 - (len(badge) + 4 if badge else 0))
    figure.set_label(f"{words} ({badge})" if badge else words)
    top = height - _MARGIN
    write(figure, 0.12, top, words, fontsize=10.5, fontweight="bold")
    if badge:
        _badge(figure, badge, top)
    top -= _TITLE
    for line in shown:
        write(figure, 0.12, top, line, color=MUTED, fontsize=8.5)
        top -= _LINE
    top -= 0.07
    for row in lines:
        _legend(figure, row, top)
        top -= _KEY
    axes = []
    width = (WIDTH - around.left - around.right - around.gutter * (columns - 1)) / columns
    top = height - header
    for tall in heights:
        for column in range(columns):
            x = around.left + column * (width + around.gutter)
            room = (x / WIDTH, (top - tall) / height, width / WIDTH, tall / height)
            made = figure.add_axes(room, axes_class=SheetAxes)
            # One distance for all, so that the names of stacked axes stand in line.
            made.yaxis.set_label_coords((0.2 - around.left) / width, 0.5)
            axes.append(made)
        top -= tall + around.between
    return Sheet(figure, tuple(axes), height)


def message(title: str, sentence: str, *, label: str = "") -> Figure:
    """A figure with a sentence that says why there is nothing to draw."""
    return sheet(title, sentence, (), label=label, margins=Margins(bottom=0.1)).figure


def write(figure: Figure, x: float, top: float, text: str, **look: Any) -> None:
    """Text placed by its top, in inches from the left and from the bottom of a figure."""
    figure.text(x / WIDTH, top / figure.get_figheight(), text, **{"ha": "left", "va": "top", **look})


def _badge(figure: Figure, label: str, top: float) -> None:
    figure.text(
        (WIDTH - 0.18) / WIDTH,
        (top - 0.005) / figure.get_figheight(),
        label,
        ha="right",
        va="top",
        fontsize=9,
        fontweight="bold",
        color=ON_ALARM,
        bbox={"boxstyle": "square,pad=0.32", "facecolor": ALARM, "edgecolor": ALARM},
        gid="label",
    )


def keyed(key: Sequence[Artist]) -> list[list[Artist]]:
    """The artists of a key in rows that fit the width."""
    rows: list[list[Artist]] = []
    room = 0.0
    for one in key:
        need = 0.42 + 0.068 * len(str(one.get_label()))
        if not rows or need > room:
            rows.append([])
            room = WIDTH - 0.3
        rows[-1].append(one)
        room -= need
    return rows


def _legend(figure: Figure, row: Sequence[Artist], top: float) -> None:
    legend = figure.legend(
        handles=list(row),
        labels=[str(one.get_label()) for one in row],
        loc="upper left",
        bbox_to_anchor=(0.12 / WIDTH, (top + 0.03) / figure.get_figheight()),
        ncols=len(row),
        borderpad=0.0,
        borderaxespad=0.0,
        handlelength=1.7,
        handletextpad=0.5,
        columnspacing=1.4,
    )
    legend.set_in_layout(False)


def band(colour: str, label: str, *, alpha: float = 1.0, hatch: str = "") -> Patch:
    """A patch for the key."""
    return Patch(facecolor=colour if not hatch else "none", edgecolor=colour if hatch else "none", alpha=alpha,
                 hatch=hatch or None, label=label, linewidth=0.0)  # fmt: skip


def days(moments: Any) -> Floats:
    """(T,) times, milliseconds UTC or a DatetimeIndex, as days since 1970: what the x axis holds."""
    values = getattr(moments, "asi8", None)
    if values is None:
        return np.asarray(moments, dtype=np.float64) / DAY_MS
    return np.asarray(moments.as_unit("ms").asi8, dtype=np.float64) / DAY_MS


def kept(values: Floats, most: int = PIXELS) -> npt.NDArray[np.int64]:
    """Places of a series visible in so many pixel columns: first, last, least and greatest of each, and gaps."""
    count = len(values)
    if count <= 3 * most:
        return np.arange(count)
    size = -(-count // most)
    padded = np.full(size * most, np.nan)
    padded[:count] = values
    cells = padded.reshape(most, size)
    gap = np.isnan(cells)
    start = np.arange(most) * size
    places = [
        start + np.where(gap, np.inf, cells).argmin(axis=1),
        start + np.where(gap, -np.inf, cells).argmax(axis=1),
        (start + gap.argmax(axis=1))[gap.any(axis=1)],
        np.array([0, count - 1]),
    ]
    found = np.unique(np.concatenate(places))
    return found[found < count]


def line(axes: Axes, x: Floats, y: Floats, **look: Any) -> None:
    """A line, thinned where it is denser than the pixels."""
    places = kept(y)
    axes.plot(x[places], y[places], **look)


def area(axes: Axes, x: Floats, low: Floats, high: Floats, *, most: int = PIXELS, **look: Any) -> None:
    """The area between two lines, thinned to `most` columns where they are denser."""
    places = np.union1d(kept(low, most), kept(high, most))
    axes.fill_between(x[places], low[places], high[places], linewidth=0.0, **look)


def stems(axes: Axes, x: Floats, y: Floats, **look: Any) -> None:
    """Upright strokes from zero to each value that is known and not zero, as one line."""
    places = kept(np.asarray(y, dtype=np.float64), 2 * PIXELS)
    places = places[~np.isnan(y[places]) & (y[places] != 0)]
    if not len(places):
        return
    across = np.repeat(x[places], 3)
    up = np.stack([np.zeros(len(places)), y[places], np.full(len(places), np.nan)], axis=1).reshape(-1)
    axes.plot(across, up, solid_capstyle="butt", **look)


def named_ticks(axis: Axis, places: Sequence[float], names: Sequence[str]) -> None:
    """Ticks with names of their own; the limits stay as they are."""
    axis.set_major_locator(FixedLocator(list(places)))
    axis.set_major_formatter(FixedFormatter(list(names)))


def time_axis(axes: Axes, first: float, last: float, *, name: bool = True, ticks: int = 9) -> None:
    """Ticks at round UTC times between two days since 1970; the year is shown under the first and where it changes."""
    start, end = first * DAY_MS, last * DAY_MS
    places = _time_ticks(start, end, ticks)
    midnight = all(place % DAY_MS == 0 for place in places)
    labels, year, date = [], 0, -1
    for place in places:
        moment = from_ms(place)
        text = day(place) if midnight else f"{moment:%H:%M}"
        below = []
        if not midnight and place // DAY_MS != date:
            below.append(day(place))
        if moment.year != year:
            below.append(str(moment.year))
        year, date = moment.year, place // DAY_MS
        labels.append("\n".join([text, " ".join(below)]) if below else text)
    axes.set_xlim(first, last)
    axes.xaxis.set_minor_locator(NullLocator())
    named_ticks(axes.xaxis, [place / DAY_MS for place in places], labels if name else [""] * len(places))
    axes.xaxis.grid(True, linewidth=0.4)
    if name:
        # Left of the first tick's label, whose half may reach past the corner.
        axes.annotate(
            "UTC",
            (0.0, 0.0),
            (-20.0, -6.0),
            "axes fraction",
            "offset points",
            ha="right",
            va="top",
            fontsize=8,
            color=MUTED,
        )


def _time_ticks(start: float, end: float, ticks: int) -> list[int]:
    span = max(end - start, 1.0)
    hours = (0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 96, 168, 336)
    for step in (int(one * UNIT_MS["h"]) for one in hours):
        if span / step <= ticks:
            # Weeks begin on Mondays; 1970-01-01 was a Thursday.
            offset = 4 * DAY_MS if step % (7 * DAY_MS) == 0 else 0
            place = math.ceil((start - offset) / step) * step + offset
            return list(range(int(place), int(end) + 1, step))
    months = next((one for one in (1, 2, 3, 6, 12, 24, 60, 120) if span / DAY_MS / 30.4 / one <= ticks), 240)
    begin, stop = from_ms(int(start)), int(end)
    count = begin.year * 12 + begin.month - 1
    count += -count % months
    places: list[int] = []
    while True:
        place = int(np.datetime64(f"{count // 12:04d}-{count % 12 + 1:02d}", "ms").astype(np.int64))
        if place > stop:
            return places
        if place >= start:
            places.append(place)
        count += months


def percent_axis(axes: Axes, *, upright: bool = True, ticks: int = 5, sign: bool = False) -> None:
    """Ticks in percent of a share."""
    axis = axes.yaxis if upright else axes.xaxis
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(_Percentages(sign))


class _Percentages(Formatter):
    """Shares as percentages, with the digits that the distance of the ticks needs."""

    def __init__(self, sign: bool) -> None:
        self.sign = sign

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002 - matplotlib's signature
        return percent(x, sign=self.sign)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        step = abs(values[1] - values[0]) if len(values) > 1 else 0.01
        return [percent(value, percent_tick(step), sign=self.sign) for value in values]


def number_axis(axes: Axes, *, ticks: int = 5, log: bool = False) -> None:
    """Ticks of the y axis in short numbers; logarithmic ones at 1, 2 and 5."""
    if log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        places = _log_ticks(low, high, 2 * ticks)
        axes.yaxis.set_major_locator(FixedLocator(places))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    for subs in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        places = [float(one) for one in LogLocator(subs=subs).tick_values(low, high) if low <= one <= high]
        if len(places) <= most:
            break
    if len(places) >= 2:
        return places
    return [float(f"{one:.2g}") for one in np.geomspace(low, high, 5)[1:-1]]


def spans_much(values: Floats) -> bool:
    """Whether known values are all positive and span more than LOG_SPAN."""
    known = values[~np.isnan(values)]
    return bool(len(known) and known.min() > 0 and known.max() / known.min() > LOG_SPAN)


def padded(values: Floats, log: bool = False, share: float = 0.06) -> tuple[float, float]:
    """Limits of an axis that hold all known values with some room on either side."""
    known = values[np.isfinite(values)]
    if not len(known):
        return (0.0, 1.0)
    low, high = float(known.min()), float(known.max())
    if log:
        room = (high / low) ** share
        return low / room, high * room
    room = share * (high - low) or max(abs(high) * 0.05, 1e-9)
    return low - room, high + room
