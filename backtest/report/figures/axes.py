"""Axes whose scales are drawn at a fraction of the usual cost: one tick serves every place of an axis.

Matplotlib makes five artists for each tick, and measures each label twice, to move names and titles out of the way. In
a sheet these have their places, so one tick is moved from place to place. What the usual way alone can draw is left to
it: ticks that somebody has changed one by one, minor ticks, offsets, a name below an x axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis, YAxis
from matplotlib.ticker import NullLocator

from backtest.market.record import Floats


class _SheetAxis(Axis):
    """An axis whose ticks are made when they are first asked for, as they are to look by then."""

    _clip: tuple[Any, ...] = (None,)

    def set_tick_params(self, *args: Any, **look: Any) -> None:
        """Matplotlib keeps the look for ticks to come."""
        with _none_made(self):
            super().set_tick_params(*args, **look)

    def set_clip_path(self, *clip: Any) -> None:
        """Of ticks to come too."""
        self._clip = clip
        with _none_made(self):
            super().set_clip_path(*clip)

    def _get_tick(self, major: bool) -> Any:
        """A tick that takes no name for a formula, whatever the settings under which it is made later."""
        tick: Any = super()._get_tick(major)  # type: ignore[misc]
        for label in (tick.label1, tick.label2):
            label.set_parse_math(False)
        tick.set_clip_path(*self._clip)
        return tick


@contextmanager
def _none_made(axis: Axis) -> Iterator[None]:
    """Within, an axis without ticks has an empty list of them, where matplotlib would make one to change it."""
    absent = [name for name in ("majorTicks", "minorTicks") if name not in vars(axis)]
    vars(axis).update({name: [] for name in absent})
    try:
        yield
    finally:
        for name in absent:
            vars(axis).pop(name, None)


class _XAxis(_SheetAxis, XAxis):
    def draw(self, renderer: Any) -> None:
        """Ticks along the bottom."""
        if self.get_label_text() or not _drawn(self, renderer, upright=False):
            super().draw(renderer)


class _YAxis(_SheetAxis, YAxis):
    def draw(self, renderer: Any) -> None:
        """Ticks along the left, and the name of the axis."""
        if not _drawn(self, renderer, upright=True):
            super().draw(renderer)


class SheetAxes(Axes):
    """Axes of a sheet; whatever can be asked of matplotlib's can be asked of them."""

    def __init__(self, *where: Any, **look: Any) -> None:
        super().__init__(*where, **look)
        for axis in (self.xaxis, self.yaxis):
            # Made under the settings of the figure, which may be drawn under others.
            axis.get_major_ticks(1)

    def _init_axis(self) -> None:
        self.xaxis = _XAxis(self, clear=False)
        self.yaxis = _YAxis(self, clear=False)
        for axis, sides in ((self.xaxis, ("bottom", "top")), (self.yaxis, ("left", "right"))):
            for side in sides:
                self.spines[side].register_axis(axis)


def _drawn(axis: Axis, renderer: Any, *, upright: bool) -> bool:
    """Whether an axis was drawn with its first tick; if not, nothing was."""
    plain = len(axis.majorTicks) <= 1 and isinstance(axis.get_minor_locator(), NullLocator)
    if not plain or not axis.get_visible():
        return False
    places = np.asarray(axis.get_majorticklocs(), dtype=np.float64)
    formatter = axis.get_major_formatter()
    labels = formatter.format_ticks(places.tolist())
    if formatter.get_offset():
        return False
    tick = axis.get_major_ticks(1)[0]
    if tick.tick2line.get_visible() or tick.label2.get_visible():
        return False
    renderer.open_group("axis", gid=axis.get_gid())
    inside = _inside(axis, places)
    _draw_lines(tick, places[inside], renderer, upright=upright)
    if tick.label1.get_visible():
        for place in np.flatnonzero(inside):
            if labels[place]:
                tick.update_position(places[place])
                tick.label1.set_text(labels[place])
                tick.label1.draw(renderer)
    axis.label.draw(renderer)
    renderer.close_group("axis")
    axis.stale = False
    return True


def _inside(axis: Axis, places: Floats) -> Any:
    """Which places lie between the limits, or on them but for rounding."""
    transform = axis.get_transform()
    first, last = sorted(transform.transform(np.asarray(axis.get_view_interval(), dtype=np.float64)))
    at = transform.transform(places)
    room = 1e-10 * (last - first)
    return (at >= first - room) & (at <= last + room)


def _draw_lines(tick: Any, places: Floats, renderer: Any, *, upright: bool) -> None:
    """Grid lines as one path with gaps, then the marks of the ticks."""
    count = len(places)
    across = (np.repeat(places, 3), np.tile([0.0, 1.0, np.nan], count))
    marks = (places, np.zeros(count))
    for line, along in ((tick.gridline, across), (tick.tick1line, marks)):
        if not count or not line.get_visible() or (line is tick.tick1line and not line.get_markersize()):
            continue
        before = line.get_data(orig=True)
        line.set_data(*(along[::-1] if upright else along))
        line.draw(renderer)
        line.set_data(*before)
