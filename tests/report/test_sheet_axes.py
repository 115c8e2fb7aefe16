"""Scales drawn with one tick say and show what matplotlib's own axes show; downloads hold what pandas would write."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backtest.report.figures import style
from backtest.report.figures.axes import SheetAxes
from backtest.report.html.blocks import csv_of


def percentages(axes: Axes) -> None:
    axes.set_ylim(-0.031, 0.12)
    style.percent_axis(axes, sign=True)


def logarithmic(axes: Axes) -> None:
    axes.set_ylim(0.8, 900.0)
    style.number_axis(axes, log=True)


def upside_down(axes: Axes) -> None:
    axes.set_ylim(2.5, -0.5)
    style.named_ticks(axes.yaxis, range(6), ["one", "", "<three>", "out of sight", "5", "6"])


def over_time(axes: Axes) -> None:
    style.number_axis(axes)
    style.time_axis(axes, 20_000.0, 20_400.5)


def by_hand(axes: Axes) -> None:
    axes.set_yticks([0.25, 0.5], ["small", "print"], fontsize=6.0)


def named_below(axes: Axes) -> None:
    axes.set_xlabel("hours")


def without_grid(axes: Axes) -> None:
    axes.grid(visible=False)
    axes.tick_params(axis="x", labelbottom=False)


def far_away(axes: Axes) -> None:
    axes.set_ylim(1e9, 1e9 + 1.0)  # Told with an offset, which the quick way leaves to matplotlib's.


def anew(axes: Axes) -> None:
    axes.tick_params(axis="both", reset=True, labelsize=6.0, length=2.0, grid_alpha=0.5)


def with_minor_ticks(axes: Axes) -> None:
    axes.minorticks_on()
    axes.tick_params(axis="x", which="minor", length=2.0)
    axes.grid(True, which="minor", linewidth=0.2)


@style.in_own_style
def svg_of(kind: type[Axes], prepare: Callable[[Axes], None]) -> str:
    figure = Figure(figsize=(6.0, 3.0))
    axes = figure.add_axes((0.2, 0.2, 0.6, 0.6), axes_class=kind)
    axes.yaxis.set_label_coords(-0.2, 0.5)
    axes.set_ylabel("level")
    axes.plot([0.0, 1.0], [0.0, 1.0])
    prepare(axes)
    return style.to_svg(figure)


def shown(svg: str) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """Texts with their places, and strokes."""
    strokes = (" ".join(one.split()) for path in re.findall(r' d="([^"]+)"', svg) for one in path.split("M")[1:])
    return Counter(re.findall(r"<text ([^>]*)>([^<]*)<", svg)), Counter(strokes)


@pytest.mark.parametrize(
    "prepare",
    [
        percentages,
        logarithmic,
        upside_down,
        over_time,
        by_hand,
        named_below,
        without_grid,
        far_away,
        anew,
        with_minor_ticks,
    ],
    ids=lambda one: one.__name__,
)
def test_a_sheet_shows_what_matplotlib_shows(prepare: Callable[[Axes], None]) -> None:
    ours, theirs = shown(svg_of(SheetAxes, prepare)), shown(svg_of(Axes, prepare))
    assert ours[0] == theirs[0]
    assert len(ours[0]) >= 3
    # Marks of no length are left out: they are defined once, and never seen.
    assert ours[1] - theirs[1] == Counter()
    assert sum((theirs[1] - ours[1]).values()) <= 1


def test_a_figure_drawn_twice_is_the_same() -> None:
    made = style.sheet("t", "", [1.0])
    over_time(made.axes[0])
    first = style.to_svg(made.figure)
    assert [one.get_text() for one in made.axes[0].get_yticklabels()]
    assert shown(style.to_svg(made.figure))[0] == shown(first)[0]


def test_a_figure_keeps_its_resolution() -> None:
    figure = style.sheet("t", "", [1.0]).figure
    before = figure.dpi
    style.to_svg(figure)
    assert figure.dpi == before != 72


def test_text_is_never_taken_for_markup() -> None:
    said = '1.23456789 #0072b2 url(#a) id="b" href="#c"  two  blanks &lt;'
    figure = style.sheet("t", "", [1.0]).figure
    style.write(figure, 0.1, 0.5, said)
    assert said.replace("&", "&amp;") in style.to_svg(figure)


def test_a_download_is_what_pandas_writes() -> None:
    known = [0.1, -1e-7, 123456789012.5, np.nan, np.inf, -0.0]
    at = pd.to_datetime(["2025-10-01 03:04:05"] * 5 + [None], utc=True)
    frame = pd.DataFrame(
        {"number": known, "at": at, "count": range(6), "flag": [True, False] * 3,
         "text": ["a,b", 'say "x"', "two\nlines", None, "", "é"]}
    )  # fmt: skip
    frame["mixed"] = pd.Series([1, 0.5, None, "x", True, (1, 2)], dtype=object)
    written = frame.to_csv(index=False, lineterminator="\n", float_format="%.10g", date_format="%Y-%m-%dT%H:%M:%SZ")
    assert csv_of(frame) == written
    assert csv_of(frame.iloc[:0]) == "number,at,count,flag,text,mixed\n"
