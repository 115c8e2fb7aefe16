"""What a search found and what that is worth: the map of its parameters, and the probability of overfitting."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from backtest.market.record import Flags
from backtest.report.figures import style
from backtest.report.figures.numbers import shared
from backtest.report.figures.palette import BLUE, FIXED_DARK, FIXED_LIGHT, INK, MUTED, ORANGE
from backtest.report.figures.wording import clean, number, percent, words
from backtest.scoring.sweep import HeatMap

SIGNIFICANT = 0.05
SHARES = ("net_return", "max_drawdown", "hit_rate", "mean_trade", "exposure")
_MOST_WRITTEN = 14


@shared
def heat_map_data(heat: HeatMap, statistic: str) -> pd.DataFrame:
    """One row per cell: values of both parameters, mean `statistic`, least `adjusted_p`, whether it is significant."""
    rows, columns = np.meshgrid(np.arange(len(heat.rows)), np.arange(len(heat.columns)), indexing="ij")
    return pd.DataFrame(
        {
            "row": np.array(heat.rows, dtype=object)[rows.reshape(-1)],
            "column": np.array(heat.columns, dtype=object)[columns.reshape(-1)],
            statistic: heat.mean.reshape(-1),
            "adjusted_p": heat.adjusted.reshape(-1),
            "significant": heat.adjusted.reshape(-1) <= SIGNIFICANT,
        }
    )


@style.in_own_style
def heat_map(heat: HeatMap, statistic: str, *, label: str = "") -> Figure:
    """Mean statistic over each pair of two parameters' values; cells with a significant trial are outlined."""
    data = heat_map_data(heat, statistic)
    shape = (len(heat.rows), len(heat.columns))
    values = data[statistic].to_numpy(dtype=np.float64).reshape(shape)
    significant = data["significant"].to_numpy(dtype=np.bool_).reshape(shape)
    title = f"Search: mean {words(statistic)} by {clean(heat.row_name, 24)} and {clean(heat.column_name, 24)}"
    if not np.isfinite(values).any():
        return style.message(
            title, f"No trial has a {words(statistic)}: nothing was traded, or it never varied.", label=label
        )
    key: list[Artist] = []
    if significant.any():
        key.append(
            Line2D(
                [],
                [],
                color=INK,
                linewidth=2.6,
                label=f"least adjusted p of the cell's trials \N{LESS-THAN OR EQUAL TO} {SIGNIFICANT:g}",
            )
        )
    tested = "" if np.isfinite(heat.adjusted).any() else " No trial was tested against placebos."
    none = "" if significant.any() or tested else f" No cell has an adjusted p at or below {SIGNIFICANT:g}."
    tall = min(max(0.3 * shape[0], 0.9), 6.0)
    made = style.sheet(
        title,
        f"Each cell is the mean over all trials with both values; p is adjusted for multiple testing "
        f"over the whole search.{none}{tested}",
        [tall],
        label=label,
        key=key,
        margins=style.Margins(left=1.5, right=1.1, bottom=0.5),
    )
    (axes,) = made.axes
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    shades = matplotlib.colormaps["cividis"]
    norm = matplotlib.colors.Normalize(low, high if high > low else low + 1e-9)
    axes.pcolormesh(np.arange(shape[1] + 1) - 0.5, np.arange(shape[0] + 1) - 0.5, np.ma.masked_invalid(values),
                           cmap=shades, norm=norm, edgecolors="none", rasterized=False)  # fmt: skip
    if max(shape) <= _MOST_WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            dark = math.isnan(value) or norm(value) > 0.5
            colour = MUTED if math.isnan(value) else FIXED_DARK if dark else FIXED_LIGHT
            axes.text(
                column,
                row,
                _told(float(value), statistic) or "none",
                ha="center",
                va="center",
                fontsize=7.5,
                color=colour,
            )
    edges, width = _outline(significant), 2.0 if max(shape) <= 20 else 1.0
    axes.add_collection(
        LineCollection(edges, colors=FIXED_LIGHT, linewidths=2.0 * width, capstyle="projecting", clip_on=False)
    )
    axes.add_collection(
        LineCollection(edges, colors=FIXED_DARK, linewidths=width, capstyle="projecting", clip_on=False)
    )
    axes.grid(False)
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim(shape[0] - 0.5, -0.5)
    for axis, names, room in ((axes.xaxis, heat.columns, 16), (axes.yaxis, heat.rows, 24)):
        step = -(-len(names) // room)
        most = max(4, 66 // len(names[::step]) - 1) if axis is axes.xaxis else 16
        style.named_ticks(axis, range(0, len(names), step), [clean(one, most) for one in names[::step]])
        axis.set_tick_params(length=0)
    axes.set_xlabel(clean(heat.column_name, 60))
    axes.set_ylabel(clean(heat.row_name, int(12 * tall)))
    for spine in axes.spines.values():
        spine.set_visible(False)
    if high > low:
        _scale(made, low, high, statistic)
    return made.figure


def _scale(made: style.Sheet, low: float, high: float, statistic: str) -> None:
    """A narrow scale of the colours right of the map."""
    (axes,) = made.axes
    box = axes.get_position()
    scale = made.figure.add_axes((box.x1 + 0.15 / style.WIDTH, box.y0, 0.14 / style.WIDTH, box.height))
    steps = np.linspace(low, high, 25)
    middle = (steps[1:] + steps[:-1]) / 2.0
    scale.pcolormesh([0.0, 1.0], steps, middle[:, None], cmap="cividis", vmin=steps[0], vmax=steps[-1])
    scale.set_xticks([])
    scale.yaxis.tick_right()
    scale.grid(False)
    for spine in scale.spines.values():
        spine.set_visible(False)
    if statistic in SHARES:
        style.percent_axis(scale, ticks=6)
    else:
        style.number_axis(scale, ticks=6)


def _told(value: float, statistic: str) -> str:
    return percent(value) if statistic in SHARES else number(value)


def _outline(inside: Flags) -> list[list[tuple[float, float]]]:
    """Edges between cells inside a region and those outside it."""
    padded = np.pad(inside, 1)
    edges = []
    for row, column in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]):
        edges.append([(column - 0.5, row - 0.5), (column + 0.5, row - 0.5)])
    for row, column in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]):
        edges.append([(column - 0.5, row - 0.5), (column - 0.5, row + 0.5)])
    return edges


@shared
def overfitting_data(logits: npt.NDArray[np.float64], probability: float) -> pd.DataFrame:
    """Histogram of the logits that are defined, bins open on the left so that zero counts as overfit.

    `low` and `high` of each bin, `splits` in it, `overfit` where it lies at or below zero, and the `probability` (PBO)
    that the search reported. Infinite logits go into the outermost bins.
    """
    values = np.asarray(logits, dtype=np.float64)
    values = values[~np.isnan(values)]
    finite = np.abs(values[np.isfinite(values)])
    reach = max(float(finite.max(initial=0.0)), 0.5)
    half = int(np.clip(np.sqrt(len(values)) / 2.0, 5, 20))
    edges = np.linspace(-reach, reach, 2 * half + 1)
    edges[half] = 0.0
    place = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, 2 * half - 1)
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "splits": np.bincount(place, minlength=2 * half),
            "overfit": edges[1:] <= 0.0,
            "probability": probability,
        }
    )


@style.in_own_style
def overfitting(logits: npt.NDArray[np.float64], probability: float, *, label: str = "") -> Figure:
    """Histogram of PBO logits: how the best in sample ranks out of sample, at or below the median left of zero."""
    data = overfitting_data(logits, probability)
    total = int(data["splits"].sum())
    title = "Probability of backtest overfitting"
    if not total:
        return style.message(title, "No split of the bars gave a logit: too few trials or bars that vary.", label=label)
    below = int(data.loc[data["overfit"], "splits"].sum())
    made = style.sheet(
        title,
        f"PBO {percent(probability, sign=False)}: in {below:,} of {total:,} splits the trial that was best in sample "
        "ranks at or below the median out of sample.",
        [2.4],
        label=label,
        key=[style.band(ORANGE, f"at or below zero: {percent(below / total, sign=False)}", hatch="////"),
             style.band(BLUE, f"above zero: {percent(1 - below / total, sign=False)}")],
    )  # fmt: skip
    (axes,) = made.axes
    width = (data["high"] - data["low"]).to_numpy()
    for overfit, look in ((True, {"facecolor": "none", "edgecolor": ORANGE, "hatch": "////", "linewidth": 0.8}),
                          (False, {"facecolor": BLUE, "edgecolor": "none"})):  # fmt: skip
        part = data["overfit"].to_numpy() == overfit
        axes.bar(data["low"][part], data["splits"][part], width=width[part], align="edge", **look)
    axes.axvline(0.0, color=INK, linewidth=1.2)
    axes.set_xlabel("logit of the relative rank out of sample")
    axes.set_ylabel("splits")
    axes.set_ylim(0.0, float(data["splits"].max()) * 1.08)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    return made.figure
