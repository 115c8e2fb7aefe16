"""The matplotlib settings under which figures are drawn, in place of the user's own."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

import matplotlib

from backtest.report.figures.palette import GRID, INK, MUTED, PAPER

# How a reader shows and stores figures stays as it is.
_OWN = ("backend", "interactive", "toolbar", "timezone", "webagg", "tk", "docstring", "date.epoch", "savefig.directory")
SETTINGS: Any = {
    **{name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith(_OWN)},
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.parse_math": False,
    "text.color": INK,
    "figure.facecolor": PAPER,
    "figure.edgecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "lines.linewidth": 1.2,
    "lines.solid_joinstyle": "round",
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "backtest",
}

Call = ParamSpec("Call")
Result = TypeVar("Result")
_within: ContextVar[bool] = ContextVar("within", default=False)


@contextmanager
def own_style() -> Iterator[None]:
    """Draw under the figures' own settings, set once however often it is entered; the user's are left unchanged."""
    if _within.get():
        yield
        return
    outside = _within.set(True)
    try:
        with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
            # The page's fonts may have what the drawing font lacks.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
            yield
    finally:
        _within.reset(outside)


def in_own_style(draw: Callable[Call, Result]) -> Callable[Call, Result]:
    """Run a drawing function under the figures' own settings."""

    @functools.wraps(draw)
    def drawn(*args: Call.args, **kwargs: Call.kwargs) -> Result:
        with own_style():
            return draw(*args, **kwargs)

    return drawn
