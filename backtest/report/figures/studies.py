"""The event study: cumulated abnormal returns around catalysts, and what each actor's calls were worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from backtest.base.errors import UsageError, near_miss
from backtest.base.normal import normal_quantile
from backtest.base.units import UNIT_MS, duration_ms
from backtest.report.figures import style
from backtest.report.figures.numbers import shared
from backtest.report.figures.palette import BLUE, INK, MUTED, PAPER
from backtest.report.figures.wording import clean, words
from backtest.study.study import ALL, Study

_PATHS = ("mean", "median", "low", "high", "chance_low", "chance_high")


@shared
def abnormal_returns_data(study: Study, grouping: str = ALL) -> pd.DataFrame:
    """One row per group and bar: n, mean, median, interval and chance band of the cumulated abnormal return, shares.

    The study's log returns as the growth that they stand for; NaN where unknown. Groups in order of size, then name.

    Raises
    ------
    UsageError
        For a grouping that the study did not make.
    """
    mine = study.paths[study.paths["measure"] == "return"]
    known = list(dict.fromkeys(mine["grouping"]))
    if grouping not in known:
        raise UsageError(f"grouping {grouping!r} is not in the study; {near_miss(grouping, known)}")
    rows = mine[mine["grouping"] == grouping]
    table = pd.DataFrame({"group": rows["group"], "n": rows["n"], "bar": rows["bar"]})
    for name in _PATHS:
        table[name] = np.expm1(rows[name].to_numpy(dtype=np.float64))
    size = table.groupby("group")["n"].transform("max")
    return table.assign(size=size).sort_values(
        ["size", "group", "bar"], ascending=[False, True, True], kind="stable", ignore_index=True
    ).drop(columns="size")  # fmt: skip


@style.in_own_style
def abnormal_returns(study: Study, grouping: str = ALL) -> Figure:
    """Mean cumulated abnormal return from the run-up on, with its interval and the band of chance alone."""
    data = abnormal_returns_data(study, grouping)
    groups = list(dict.fromkeys(data["group"]))
    across = min(len(groups), 3)
    rows = -(-len(groups) // across)
    bar_hours = _bar_ms(study) / UNIT_MS["h"]
    level = f"{study.config.level:.0%}"
    key: list[Artist] = [Line2D([], [], color=BLUE, linewidth=1.6, label="mean")]
    if len(groups) == 1:
        key.append(Line2D([], [], color=INK, linestyle="--", linewidth=1.0, label="median"))
    if data["low"].notna().any():
        key.append(style.band(BLUE, f"{level} interval of the mean", alpha=0.25))
    if data["chance_low"].notna().any():
        key.append(style.band(MUTED, f"{level} of placebo means (chance alone)", alpha=0.28))
    made = style.sheet(
        "Cumulated abnormal returns" if grouping == ALL else f"Cumulated abnormal returns by {words(grouping)}",
        "From the run-up on; 0 is the announcement period, however long: only what lies right of it could be traded.",
        [2.8 if len(groups) == 1 else 1.2] * rows,
        label=study.market.provenance.label,
        key=key,
        columns=across,
        margins=style.Margins(left=0.68, top=0.34, right=0.2, between=0.42, gutter=0.36, bottom=0.5),
    )
    values = data[[name for name in _PATHS if len(groups) == 1 or name != "median"]].to_numpy(dtype=np.float64)
    limits = style.padded(np.append(values.reshape(-1), 0.0))
    for place, (axes, group) in enumerate(zip(made.axes, groups, strict=False)):
        part = data[data["group"] == group]
        _path_panel(axes, part, bar_hours, median=len(groups) == 1)
        axes.set_ylim(*limits)
        style.percent_axis(axes, ticks=6 if len(groups) == 1 else 5, sign=True)
        name = clean(words(group) if grouping == "kind" else group, 28)
        axes.set_title(f"{name}, n = {part['n'].max()}", y=1.0, pad=4)
        if place % across:
            axes.tick_params(axis="y", labelleft=False)
        if place < len(groups) - across:
            axes.tick_params(axis="x", labelbottom=False)
        else:
            axes.set_xlabel(f"{_unit(part, bar_hours)[0]} from the announcement")
    for axes in made.axes[len(groups) :]:
        axes.set_axis_off()
    return made.figure


def _bar_ms(study: Study) -> int:
    return duration_ms(study.config.timeframe or study.market.timeframe)


def _unit(part: pd.DataFrame, bar_hours: float) -> tuple[str, float]:
    """Name and length in bars of the unit of event time."""
    span = (part["bar"].max() - part["bar"].min()) * bar_hours
    return ("days", bar_hours / 24.0) if span > 24.0 * 10 or bar_hours >= 24 else ("hours", bar_hours)


def _path_panel(axes: Axes, part: pd.DataFrame, bar_hours: float, *, median: bool) -> None:
    name, scale = _unit(part, bar_hours)
    x = part["bar"].to_numpy(dtype=np.float64) * scale
    of = {one: part[one].to_numpy(dtype=np.float64) for one in _PATHS}
    style.area(axes, x, of["chance_low"], of["chance_high"], color=MUTED, alpha=0.28)
    style.area(axes, x, of["low"], of["high"], color=BLUE, alpha=0.25)
    axes.axhline(0.0, color=MUTED, linewidth=0.8)
    axes.axvline(0.0, color=INK, linewidth=0.8, linestyle=":")
    if median:
        style.line(axes, x, of["median"], color=INK, linestyle="--", linewidth=1.0)
    style.line(axes, x, of["mean"], color=BLUE, linewidth=1.6)
    axes.set_xlim(x[0], x[-1])
    if name == "hours":
        step = next(one for one in (1, 2, 6, 12, 24, 48, 72) if (x[-1] - x[0]) / one <= 7 or one == 72)
        places = np.arange(np.ceil(x[0] / step), np.floor(x[-1] / step) + 1) * step
        axes.xaxis.set_major_locator(FixedLocator(places.tolist()))


@shared
def influencers_data(study: Study) -> pd.DataFrame:
    """One row per actor: calls, raw `mean` and `shrunken` effect with 95 % intervals (the study's level), p-values.

    Shares: the growth that the study's log returns stand for, in the direction called. `mean_low` and `mean_high` are
    the mean's sampling interval; `low` and `high` the posterior one of the shrunken effect, whose variance is kept *
    error^2 under the model of `backtest.study.influencers.shrink`.
    """
    table = study.influencers
    mean, error, kept, shrunken = (
        table[name].to_numpy(dtype=np.float64) for name in ("mean", "error", "kept", "shrunken")
    )
    reach = normal_quantile((1.0 + study.config.level) / 2.0)
    narrow = np.sqrt(kept) * error
    return pd.DataFrame(
        {
            "actor": table["actor"],
            "calls": table["calls"],
            "hit_rate": table["hit_rate"],
            "mean": np.expm1(mean),
            "mean_low": np.expm1(mean - reach * error),
            "mean_high": np.expm1(mean + reach * error),
            "shrunken": np.expm1(shrunken),
            "low": np.expm1(shrunken - reach * narrow),
            "high": np.expm1(shrunken + reach * narrow),
            "placebo_p": table["placebo_p"],
            "adjusted_p": table["adjusted_p"],
        }
    )


@style.in_own_style
def influencers(study: Study) -> Figure:
    """Actors by the abnormal return after their calls: raw mean hollow, shrunken effect full."""
    data = influencers_data(study)
    label = study.market.provenance.label
    title = "Actors: abnormal return after their calls"
    if data.empty:
        return style.message(
            title, f"No call of a kind in {', '.join(study.config.calls)} could be measured.", label=label
        )
    span = words(str(study.influencers["span"].iloc[0])).replace("after ", "over the ")
    shrunk = (
        "" if study.influencers["kept"].max() > 0 else " The means scatter no more than chance, so nothing is kept."
    )
    key: list[Artist] = [
        Line2D([], [], color=BLUE, marker="o", markersize=6, linewidth=2.2, label="shrunken effect, interval"),
        Line2D(
            [],
            [],
            color=MUTED,
            marker="o",
            markersize=6,
            markerfacecolor=PAPER,
            linewidth=0.9,
            label="raw mean, interval",
        ),
    ]
    made = style.sheet(
        title,
        f"In the direction called, {span} after a call was known; shrunken towards no effect by how little few calls "
        f"can say. Intervals of {study.config.level:.0%}.{shrunk}",
        [0.36 * len(data) + 0.2],
        label=label,
        key=key,
        margins=style.Margins(left=1.95, right=1.5, bottom=0.36),
    )
    (axes,) = made.axes
    y = np.arange(len(data), dtype=np.float64)
    axes.hlines(y + 0.16, data["mean_low"], data["mean_high"], color=MUTED, linewidth=0.9)
    axes.plot(data["mean"], y + 0.16, "o", color=MUTED, markerfacecolor=PAPER, markersize=6)
    axes.hlines(y - 0.12, data["low"], data["high"], color=BLUE, linewidth=2.2)
    axes.plot(data["shrunken"], y - 0.12, "o", color=BLUE, markersize=6)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.set_ylim(len(data) - 0.4, -0.6)
    axes.set_xlim(
        *style.padded(
            np.append(data[["mean_low", "mean_high", "low", "high"]].to_numpy(dtype=np.float64).reshape(-1), 0.0)
        )
    )
    style.named_ticks(axes.yaxis, y.tolist(), [clean(actor, 26) for actor in data["actor"]])
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")
    axes.spines["left"].set_visible(False)
    style.percent_axis(axes, upright=False, ticks=7, sign=True)
    for place, row in enumerate(data.to_dict("records")):
        p = row["adjusted_p"]
        told = f"n = {row['calls']}" + (f", adjusted p {p:.2f}" if p == p else "")
        axes.text(1.02, place, told, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    return made.figure
