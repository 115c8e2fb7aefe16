"""What a run was worth: equity against luck, where the money went, and how much capital it can carry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from backtest.engine.layout import COSTS
from backtest.engine.run import Run
from backtest.market.record import Floats
from backtest.report.figures import style
from backtest.report.figures.numbers import shared
from backtest.report.figures.palette import BLUE, GREEN, INK, MUTED, ORANGE, PAPER, RED
from backtest.report.figures.wording import clean, number, percent
from backtest.scoring.fan import Fan
from backtest.scoring.scorecard import Scorecard


@shared
def equity_data(run: Run, fan: Fan | None = None) -> pd.DataFrame:
    """One row per bar, `time` its close: equity, drawdown (share of the highest so far, capital included, negative).

    With a fan that has quantiles: `placebo_05` and so on, quote currency.
    """
    held = run.equity.to_numpy(dtype=np.float64)
    peak = np.maximum.accumulate(np.maximum(held, run.config.capital))
    table = pd.DataFrame(
        {
            "time": run.market.index + pd.Timedelta(milliseconds=run.market.bar_ms),
            "equity": held,
            "drawdown": held / peak - 1.0,
        }
    )
    if fan is not None and not fan.reason:
        for level, row in zip(fan.levels, fan.quantiles, strict=True):
            table[_quantile(level)] = row
    return table


def _quantile(level: float) -> str:
    return f"placebo_{round(100 * level):02d}"


@style.in_own_style
def equity(run: Run, fan: Fan | None = None) -> Figure:
    """Equity over the fan of its placebo calendars, with the drawdown below."""
    data = equity_data(run, fan)
    levels = [] if fan is None or fan.reason else [(level, _quantile(level)) for level in fan.levels.tolist()]
    pairs = list(zip(levels, levels[::-1], strict=True))[: len(levels) // 2]
    middle = [name for level, name in levels if level == 0.5]
    final = float(data["equity"].iloc[-1]) / run.config.capital - 1.0
    key: list[Artist] = [Line2D([], [], color=BLUE, linewidth=1.5, label="equity")] if levels else []
    if middle:
        key.append(Line2D([], [], color=INK, linestyle="--", linewidth=1.0, label="placebos, median"))
    shades = [0.2, 0.32, 0.44]
    through = 1.0
    for shade, ((low, _), (high, _)) in zip(shades, pairs, strict=False):
        # A band lies on the wider ones, and shows darker for it.
        through *= 1.0 - shade
        key.append(style.band(MUTED, f"placebos, {low:.0%} to {high:.0%}", alpha=1.0 - through))
    behind = f" Behind it, {fan.draws} placebo calendars ({fan.kind})." if fan is not None and levels else ""
    why = f" No placebo: {fan.reason}." if fan is not None and fan.reason else ""
    made = style.sheet(
        f"{clean(run.strategy, 36)}: equity and drawdown",
        f"Net {percent(final)}, greatest drawdown {percent(float(data['drawdown'].min()))}.{behind}{why}",
        [2.4, 0.9],
        label=run.market.provenance.label,
        key=key,
    )
    top, bottom = made.axes
    x = style.days(pd.DatetimeIndex(data["time"]))
    drawn = data[["equity", *(name for _, name in levels)]].to_numpy(dtype=np.float64)
    log = style.spans_much(drawn)
    for shade, ((_, low), (_, high)) in zip(shades, pairs, strict=False):
        style.area(
            top, x, data[low].to_numpy(), data[high].to_numpy(), most=style.PIXELS // 2, color=MUTED, alpha=shade
        )
    for name in middle:
        style.line(top, x, data[name].to_numpy(), color=INK, linestyle="--", linewidth=1.0)
    top.axhline(run.config.capital, color=MUTED, linewidth=0.8)
    style.line(top, x, data["equity"].to_numpy(), color=BLUE, linewidth=1.5)
    top.set_ylim(*style.padded(np.append(drawn.reshape(-1), run.config.capital), log))
    style.number_axis(top, log=log)
    top.set_ylabel("equity (quote)")
    fall = data["drawdown"].to_numpy()
    style.area(bottom, x, fall, np.zeros_like(fall), color=RED, alpha=0.55)
    bottom.set_ylim(min(float(fall.min()) * 1.08, -0.01), 0.0)
    style.percent_axis(bottom, ticks=3)
    bottom.set_ylabel("drawdown")
    style.time_axis(top, x[0], x[-1], name=False)
    style.time_axis(bottom, x[0], x[-1])
    return made.figure


@shared
def costs_data(run: Run) -> pd.DataFrame:
    """One row per step from gross to net: `amount` and where its bar runs `from_level` and `to_level`, quote currency.

    A cost lowers the level; what was received (negative funding) raises it. `share` is the amount over the capital.
    """
    costs = run.costs
    names = ["gross", *COSTS, "net"]
    amounts = [costs.gross, *(-float(getattr(costs, name)) for name in COSTS), costs.net]
    levels = np.cumsum(amounts[:-1])
    return pd.DataFrame(
        {
            "step": names,
            "amount": amounts,
            "from_level": [0.0, *levels[:-1], 0.0],
            "to_level": [*levels, costs.net],
            "share": np.array(amounts) / run.config.capital,
        }
    )


@style.in_own_style
def costs(run: Run) -> Figure:
    """Waterfall from the gross result through each cost to the net one."""
    data = costs_data(run)
    label = run.market.provenance.label
    title = f"{clean(run.strategy, 36)}: from gross to net"
    if not len(run.trades):
        return style.message(title, "No trade was closed, so nothing was earned or paid.", label=label)
    change = float(data["share"].iloc[1:-1].sum())
    told = (
        f"together they took {percent(-change, 2, sign=False)}"
        if change <= 0
        else f"more was received than paid: {percent(change, 2)}"
    )
    levels = data[["from_level", "to_level"]].to_numpy(dtype=np.float64)
    low, high, cut = _waterfall_limits(levels)
    made = style.sheet(
        title,
        f"Profit at reference prices, less each cost; {told} of the capital."
        + (" The axis is cut, since the costs are small beside the profit: it does not begin at zero." if cut else ""),
        [2.5],
        label=label,
        margins=style.Margins(bottom=0.32),
    )
    (axes,) = made.axes
    looks = [(BLUE, "") if step in ("gross", "net") else (ORANGE, "////") if amount <= 0 else (GREEN, "xxxx")
             for step, amount in zip(data["step"], data["amount"], strict=True)]  # fmt: skip
    axes.bar(
        range(len(data)), levels[:, 1] - levels[:, 0], bottom=levels[:, 0], width=0.62, edgecolor=PAPER, linewidth=0.0,
        color=[colour for colour, _ in looks], hatch=[hatch for _, hatch in looks],
    )  # fmt: skip
    for place, row in enumerate(data.to_dict("records")):
        amount, start, end = float(row["amount"]), float(row["from_level"]), float(row["to_level"])
        if amount == 0.0:
            axes.plot([place - 0.31, place + 0.31], [end, end], color=MUTED, linewidth=0.8)
        if place < len(data) - 1:
            axes.plot([place + 0.31, place + 0.69], [end, end], color=MUTED, linewidth=0.8)
        if cut and row["step"] in ("gross", "net"):
            near = low if end > 0.0 else high
            mark = 0.06 * (high - low) * (1.0 if end > 0.0 else -1.0)
            across = place + np.array([-0.36, -0.12, 0.12, 0.36])
            axes.plot(across, near + mark * np.array([0.6, 1.2, 0.6, 1.2]), color=PAPER, linewidth=2.5)
        above = max(start, end) > 0.0 or max(start, end) == min(start, end) == 0.0
        at = max(start, end) + 0.015 * (high - low) if above else min(start, end) - 0.015 * (high - low)
        written = f"{number(amount)}\n{percent(float(row['share']), 2)}"
        axes.text(place, at, written, ha="center", va="bottom" if above else "top", fontsize=7.5)
    if not cut:
        axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.set_ylim(low, high)
    style.named_ticks(axes.xaxis, range(len(data)), list(data["step"]))
    axes.tick_params(axis="x", length=0)
    style.number_axis(axes)
    axes.set_ylabel("quote currency")
    return made.figure


def _waterfall_limits(levels: Floats) -> tuple[float, float, bool]:
    """Limits of the axis, and whether it leaves out zero, as it does if the costs would be too thin to tell apart."""
    steps = levels[1:-1]
    least, greatest = float(steps.min()), float(steps.max())
    span = greatest - least
    nearest = min(abs(least), abs(greatest)) if least * greatest > 0.0 else 0.0
    if span > 0.0 and nearest > 2.0 * span:
        room = (0.8, 0.45) if least > 0.0 else (0.45, 0.8)
        return least - room[0] * span, greatest + room[1] * span, True
    return *style.padded(np.append(levels.reshape(-1), 0.0), share=0.2), False


@shared
def capacity_data(cards: Sequence[Scorecard]) -> pd.DataFrame:
    """One row per strategy and starting capital: `net_return` (share) and whether it is the `half_point`."""
    tables = [
        pd.DataFrame(
            {
                "strategy": card.strategy,
                "capital": card.capacity.capital,
                "net_return": card.capacity.net_return,
                "half_point": card.capacity.capital == card.capacity.half,
            }
        )
        for card in cards
    ]
    empty = pd.DataFrame(columns=["strategy", "capital", "net_return", "half_point"])
    return pd.concat(tables, ignore_index=True) if tables else empty


@style.in_own_style
def capacity(cards: Sequence[Scorecard], *, label: str = "") -> Figure:
    """Net return against starting capital, a panel per strategy; the half point is where half of it is lost."""
    title = "Capacity: net return against capital"
    if not cards:
        return style.message(title, "No strategy was evaluated.", label=label)
    data = capacity_data(cards)
    across = min(len(cards), 3)
    rows = -(-len(cards) // across)
    key: list[Artist] = [
        Line2D([], [], color=ORANGE, marker="D", markersize=6, markerfacecolor="none", linestyle="none",
               markeredgewidth=1.3, label="half point: less than half of the return at the smallest capital"),
    ]  # fmt: skip
    made = style.sheet(
        title,
        "The same intents started with each capital, quote: impact grows with it, and the cap on participation "
        "leaves ever more of it out of the market.",
        [2.4 if rows == 1 and across == 1 else 1.25] * rows,
        label=label,
        key=key if data["half_point"].any() else (),
        columns=across,
        margins=style.Margins(left=0.62, top=0.34, right=0.2, between=0.5, gutter=0.62, bottom=0.34),
    )
    for axes, card in zip(made.axes, cards, strict=False):
        _capacity_panel(axes, card)
    for axes in made.axes[len(cards) :]:
        axes.set_axis_off()
    return made.figure


def _capacity_panel(axes: Axes, card: Scorecard) -> None:
    capital, net = card.capacity.capital, card.capacity.net_return
    axes.set_title(clean(card.strategy, 30), y=1.0, pad=4)
    axes.plot(capital, net, color=BLUE, marker="o", markersize=3)
    half = capital == card.capacity.half
    if half.any():
        axes.plot(capital[half], net[half], marker="D", markersize=7, markerfacecolor="none", markeredgecolor=ORANGE,
                  markeredgewidth=1.4, linestyle="none", zorder=4)  # fmt: skip
    axes.set_xscale("log")
    powers = [float(10**power) for power in range(-2, 19)]
    axes.xaxis.set_major_locator(FixedLocator([one for one in powers if capital.min() <= one <= capital.max()]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.set_xlim(capital.min() / 1.4, capital.max() * 1.4)
    axes.set_ylim(*(style.padded(np.append(net, 0.0), share=0.1) if net.any() else (-0.01, 0.01)))
    axes.axhline(0.0, color=MUTED, linewidth=0.8)
    style.percent_axis(axes, ticks=4)
