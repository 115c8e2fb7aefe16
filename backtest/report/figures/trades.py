"""Distribution of trades: returns, adverse and favourable excursions, and result by coin and month."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from backtest.base.display import plural
from backtest.engine.run import Run
from backtest.report.figures import style
from backtest.report.figures.numbers import shared
from backtest.report.figures.palette import GREEN, INK, MUTED, PAPER, RED
from backtest.report.figures.wording import clean, percent
from backtest.scoring.excursions import excursions

_BINS, _MARKS = 30, 2_000
_EDGE = 0.01
"""Share of trades on either side that the outermost bar of the histogram takes up, so that one does not flatten all."""


@shared
def trades_data(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per trade: strategy, instrument, month of exit (UTC), net return, and excursions (shares of entry)."""
    if not runs:
        return pd.DataFrame(columns=["strategy", "instrument", "month", "net_return", "adverse", "favourable"])
    trades = pd.concat([run.trades[["instrument", "exit_time", "net_return"]] for run in runs], ignore_index=True)
    far = [excursions(run) for run in runs]
    # What leaves at the last close of a month leaves in that month.
    left = trades["exit_time"] - pd.Timedelta(milliseconds=1)
    return pd.DataFrame(
        {
            "strategy": np.repeat([run.strategy for run in runs], [len(run.trades) for run in runs]),
            "instrument": trades["instrument"],
            "month": left.dt.strftime("%Y-%m"),
            "net_return": trades["net_return"],
            "adverse": np.concatenate([one.adverse for one in far]),
            "favourable": np.concatenate([one.favourable for one in far]),
        }
    )


def _label(runs: Sequence[Run]) -> str:
    return runs[0].market.provenance.label if runs else ""


@shared
def trade_returns_data(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per bar of the histogram: `low`, `high` (net return) and `trades`; the outermost hold all beyond them."""
    values = trades_data(runs)["net_return"].dropna().to_numpy(dtype=np.float64)
    if not len(values):
        return pd.DataFrame(columns=["low", "high", "trades"])
    inside = np.clip(values, *np.quantile(values, [_EDGE, 1.0 - _EDGE]))
    # An edge at zero, so that no bar holds gains and losses.
    edges = np.unique(np.append(np.histogram_bin_edges(np.append(inside, 0.0), _BINS), 0.0))
    counts, _ = np.histogram(inside, edges)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "trades": counts})


@style.in_own_style
def trade_returns(runs: Sequence[Run]) -> Figure:
    """Histogram of the net return of every trade."""
    values = trades_data(runs)["net_return"].dropna().to_numpy(dtype=np.float64)
    title = "Net return, trade by trade"
    if not len(values):
        return style.message(title, "No trade was closed.", label=_label(runs))
    told = (
        f"{plural(len(values), 'trade', 'trades')}, {np.mean(values > 0):.0%} of them gained; "
        f"median {percent(float(np.median(values)))}, least {percent(float(values.min()))}, "
        f"greatest {percent(float(values.max()))}. The outermost bars hold all "
        "beyond them."
    )
    made = style.sheet(title, told, [2.3], label=_label(runs))
    (axes,) = made.axes
    bars = trade_returns_data(runs)
    low, high = (bars[name].to_numpy(dtype=np.float64) for name in ("low", "high"))
    looks = [(GREEN, "") if one >= 0.0 else (RED, "////") for one in low]
    axes.bar(
        low, bars["trades"], high - low, align="edge", edgecolor=PAPER, linewidth=0.4,
        color=[colour for colour, _ in looks], hatch=[hatch for _, hatch in looks],
    )  # fmt: skip
    axes.axvline(0.0, color=INK, linewidth=0.8)
    style.percent_axis(axes, upright=False, ticks=8, sign=True)
    style.number_axis(axes, ticks=4)
    axes.set_ylabel("trades")
    return made.figure


@style.in_own_style
def trade_excursions(runs: Sequence[Run]) -> Figure:
    """Maximum adverse against maximum favourable excursion of every trade, gains and losses marked differently."""
    data = trades_data(runs).dropna(subset=["adverse", "favourable"])
    title = "Furthest against and furthest ahead while held"
    if not len(data):
        return style.message(title, "No trade was closed.", label=_label(runs))
    step = -(-len(data) // _MARKS)
    every = f" Drawn is one trade in {step}." if step > 1 else ""
    data = data.iloc[::step]
    against, ahead = (data[name].to_numpy(dtype=np.float64) for name in ("adverse", "favourable"))
    won = data["net_return"].to_numpy(dtype=np.float64) > 0
    left, top = -max(float(np.quantile(-against, 0.98)), 0.01), max(float(np.quantile(ahead, 0.98)), 0.01)
    looks = ((True, GREEN, "o", "gained"), (False, RED, "x", "lost"))
    made = style.sheet(
        title,
        "Each mark is a trade, from its fill: the worst price on the way left, the best upwards. Bars in which it "
        "began or ended inside are left out: both are the least that is certain. Marks beyond 98% stand at the edge."
        + every,
        [2.9],
        label=_label(runs),
        key=[Line2D([], [], color=colour, marker=shape, linestyle="none", markersize=5, label=name)
             for _, colour, shape, name in looks],
    )  # fmt: skip
    (axes,) = made.axes
    for which, colour, shape, _ in looks:
        rows = won == which
        axes.plot(np.maximum(against[rows], left), np.minimum(ahead[rows], top), marker=shape, color=colour,
                  linestyle="none", markersize=4, alpha=0.7)  # fmt: skip
    axes.axhline(0.0, color=MUTED, linewidth=0.8)
    axes.axvline(0.0, color=MUTED, linewidth=0.8)
    style.percent_axis(axes, upright=False, ticks=8)
    style.percent_axis(axes, ticks=5)
    axes.set_ylabel("furthest ahead")
    return made.figure


@shared
def months_data(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per coin and month of exit: mean net return of its trades, and how many they are."""
    found = trades_data(runs).dropna(subset=["net_return"]).groupby(["instrument", "month"], sort=True)["net_return"]
    return found.agg(mean_net="mean", trades="count").reset_index()


@style.in_own_style
def months(runs: Sequence[Run], most: int = 40) -> Figure:
    """Mean net return of a trade by coin and month of exit; the `most` coins with most trades."""
    data = months_data(runs)
    title = "Mean net return of a trade by coin and month of exit"
    if not len(data):
        return style.message(title, "No trade was closed.", label=_label(runs))
    counts = data.groupby("instrument")["trades"].sum().sort_values(ascending=False, kind="stable")
    names = list(counts.index[:most])
    spans = sorted(set(data["month"]))
    many = f" Shown are the {most} coins with most trades." if len(counts) > most else ""
    made = style.sheet(
        title,
        f"In each cell the mean and how many trades it is of; months are UTC, their colours grow with the root.{many}",
        [0.26 * len(names) + 0.1],
        label=_label(runs),
        margins=style.Margins(left=1.5, bottom=0.4),
    )
    (axes,) = made.axes
    greatest = max(float(data["mean_net"].abs().max()), 1e-9)
    for row in data.to_dict("records"):
        if row["instrument"] not in names:
            continue
        x, y, value = spans.index(row["month"]), names.index(row["instrument"]), float(row["mean_net"])
        shade = 0.6 * float(np.sqrt(abs(value) / greatest))
        axes.bar(x, 1.0, 1.0, bottom=y - 0.5, color=GREEN if value > 0 else RED, alpha=shade, linewidth=0.0)
        if len(spans) <= 24:
            told = f"{percent(value)} ({row['trades']})" if len(spans) <= 8 else percent(value, 0)
            axes.text(x, y, told, ha="center", va="center", fontsize=7.5)
    axes.set_xlim(-0.5, len(spans) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    step = max(1, len(spans) // 10)
    style.named_ticks(axes.xaxis, range(0, len(spans), step), spans[::step])
    style.named_ticks(axes.yaxis, range(len(names)), [clean(name, 20) for name in names])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    return made.figure
