"""Figures of the concept pages, each computed: docs/concepts shows nothing that was drawn by hand.

`python -m tools.concepts FOLDER` writes them into a folder.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from backtest import Intent, Intents, Market, Session, open_calendar, open_dataset
from backtest.report.figures import style
from backtest.report.figures.palette import BLUE, GREEN, GRID, INK, MUTED, ORANGE, PURPLE, RED
from backtest.strategies import REGISTRY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from backtest.scoring.evaluation import Evaluation

NAMES = ("clocks.png", "moves.png", "intervals.png", "luck.png", "ledger.png")
DAY, MINUTE = "zec-2025-10-01-grayscale-trust", "zen-2025-11-03-okx-perpetual"
"""A catalyst of which the day is known, and one of which the minute is."""


def sample(draws: int = 499) -> Evaluation:
    """`catalyst_momentum` on the embedded sample."""
    from backtest.scoring.placebo import PlaceboPlan

    session = Session(open_dataset("privacy-2025-sample"), open_calendar("privacy-2025"))
    return session.evaluate([REGISTRY["catalyst_momentum"]()], plan=PlaceboPlan(draws=draws), bootstrap=0)


@style.in_own_style
def clocks(found: Evaluation) -> Figure:
    """When two catalysts were announced, certain to be public and traded."""
    (run,) = found.runs
    key = [
        style.band(ORANGE, "announced, no finer than this", alpha=0.35),
        Line2D([], [], color=BLUE, linewidth=1.6, label="certain to be public"),
        Line2D([], [], color=GREEN, linewidth=1.6, linestyle="--", label="filled"),
    ]
    made = style.sheet(
        "Three clocks of two catalysts",
        "Above, only the day is known: it counts as known at the next midnight. Below, the minute is known.",
        [1.6, 0.2, 1.6],  # room for the days between the two
        label=found.market.provenance.label,
        key=key,
    )
    upper, between, lower = made.axes
    between.set_axis_off()
    for axes, name in ((upper, DAY), (lower, MINUTE)):
        row = run.catalysts.set_index("catalyst_id").loc[name]
        trade = run.trades.set_index("catalyst_id").loc[name]
        catalyst, symbol = found.calendar[name], trade["instrument"]
        known = pd.Timestamp(row["known_at"])
        assert catalyst.announced_at is not None
        began = pd.Timestamp(catalyst.announced_at)
        close = found.market.frame("close")[symbol].loc[began - pd.Timedelta("18h") : known + pd.Timedelta("18h")]
        x = style.days(pd.DatetimeIndex(close.index))
        axes.plot(x, close.to_numpy(), color=INK, linewidth=1.2)
        edges = style.days(pd.DatetimeIndex([began, known, trade["entry_time"]]))
        axes.axvspan(edges[0], edges[1], color=ORANGE, alpha=0.25, linewidth=0)
        axes.axvline(edges[1], color=BLUE, linewidth=1.6)
        axes.axvline(edges[2], color=GREEN, linewidth=1.6, linestyle="--")
        axes.set_ylabel(symbol.partition("/")[0])
        style.number_axis(axes, ticks=4)
        style.time_axis(axes, float(x[0]), float(x[-1]))
    return made.figure


@style.in_own_style
def moves(found: Evaluation) -> Figure:
    """Before, waited and captured, the mean of each and every trade."""
    (run,) = found.runs
    names = ("before", "waited", "captured")
    made = style.sheet(
        "Three moves around each traded catalyst",
        f"{run.strategy} on the embedded sample, one dot a trade, signed by its side; the bar is the mean.",
        [2.4],
        label=found.market.provenance.label,
    )
    (axes,) = made.axes
    for place, (name, colour) in enumerate(zip(names, (ORANGE, PURPLE, GREEN), strict=True)):
        values = run.trades[name].to_numpy(dtype=float)
        spread = place + 0.24 * (np.argsort(np.argsort(values)) / max(1, len(values) - 1) - 0.5)
        axes.bar([place], [values.mean()], width=0.6, color=colour, alpha=0.3)
        axes.plot(spread, values, "o", color=colour, markersize=4)
        axes.annotate(
            f"mean {values.mean():+.1%}", (place, values.max()), (0, 7), textcoords="offset points", ha="center"
        )
    axes.axhline(0.0, color=MUTED, linewidth=0.8)
    axes.set_xticks(range(3), ["before: over when it was known", "waited: known to fill", "captured: fill to exit"])
    axes.set_ylim(*style.padded(run.trades[list(names)].to_numpy(dtype=float), share=0.15))
    style.percent_axis(axes, sign=True)
    return made.figure


def one_bar() -> tuple[Market, float, float, float]:
    """A bar that holds both a stop and a target, and the net replayed, the least and the greatest of a trade in it."""
    quiet = 24 * 31  # liquidity is estimated from what came before
    times = pd.date_range("2025-09-01", periods=quiet + 3, freq="h", tz="UTC")
    shape = {"open": (100.0, 103.0), "high": (108.0, 104.0), "low": (95.0, 102.0), "close": (103.0, 103.0)}
    calm = {"open": 100.0, "high": 100.1, "low": 99.9, "close": 100.0}
    bars = pd.DataFrame({name: [calm[name]] * quiet + [first, then, then] for name, (first, then) in shape.items()})
    bars = bars.assign(volume=1e7).set_index(times)
    market = Market.from_frames({"ZEC/USDT:USDT": bars})
    entered = int(times[quiet].value // 10**6)
    intent = Intent(
        instrument="ZEC/USDT:USDT", decided_at_ms=entered, side=1, weight=0.25, stop_loss=0.04, take_profit=0.06
    )
    from backtest import RunConfig, replay

    run = replay(market, Intents((intent,)), RunConfig(funding_unknown="zero"))
    (trade,) = run.trades.to_dict("records")
    notional = float(trade["quantity"] * trade["entry_price"])
    return market, *(float(trade[name]) / notional for name in ("net", "net_low", "net_high"))


@style.in_own_style
def intervals() -> Figure:
    """Two paths that one bar allows, and what a trade with a stop and a target earned on each."""
    market, net, low, high = one_bar()
    made = style.sheet(
        "One bar, two paths, two results",
        f"A long from 100 with a stop at 96 and a target at 106, both inside the bar. Replayed (pessimistic): "
        f"{net:+.1%}. Interval, worked out by the tool: {low:+.1%} to {high:+.1%}.",
        [2.6],
        key=[
            Line2D([], [], color=RED, linewidth=1.6, label=f"low first: the stop, {low:+.1%}"),
            Line2D([], [], color=GREEN, linewidth=1.6, label=f"high first: the target, {high:+.1%}"),
        ],
    )
    (axes,) = made.axes
    opened, top, bottom, closed = (
        float(values[-3, 0]) for values in (market.open, market.high, market.low, market.close)
    )
    axes.plot([0.0, 0.0], [bottom, top], color=INK, linewidth=1.2)
    axes.bar([0.0], [closed - opened], bottom=opened, width=0.12, color=GRID, edgecolor=INK)
    for start, (first, second), colour in ((0.35, (bottom, top), RED), (0.35, (top, bottom), GREEN)):
        axes.plot([start, start + 0.3, start + 0.7, start + 1.0], [opened, first, second, closed], color=colour)
    for level, word in ((106.0, "target"), (96.0, "stop")):
        axes.axhline(level, color=MUTED, linewidth=0.8, linestyle=":")
        axes.text(1.4, level, word, ha="right", va="bottom", color=MUTED)
    axes.set_xlim(-0.2, 1.42)
    axes.set_xticks([0.0, 0.85], ["all that is known", "two of the paths that it allows"])
    axes.set_ylabel("price")
    style.number_axis(axes)
    return made.figure


@style.in_own_style
def luck(found: Evaluation) -> Figure:
    """Net return on the calendar that happened against those that never did."""
    (card,) = found.cards
    placebo = card.placebo
    assert placebo is not None
    drawn = placebo.drawn[np.isfinite(placebo.drawn)]
    made = style.sheet(
        "The calendar that happened among calendars that never did",
        f"Net return of {card.strategy} on {len(drawn)} shifts of its decisions in time. As good or better, the real "
        f"one counted in: {placebo.p:.1%}, which is p.",
        [2.2],
        label=found.market.provenance.label,
        key=[
            style.band(BLUE, "never happened", alpha=0.45),
            Line2D([], [], color=RED, linewidth=1.8, label=f"happened: {placebo.observed:+.1%}"),
        ],
    )
    (axes,) = made.axes
    axes.hist(drawn, bins=40, color=BLUE, alpha=0.45)
    axes.axvline(placebo.observed, color=RED, linewidth=1.8)
    axes.set_ylabel("calendars")
    style.percent_axis(axes, upright=False, sign=True)
    axes.set_xlabel("net return")
    return made.figure


def searched(draws: int = 499) -> list[tuple[str, float, float]]:
    """Strategies tried one command after another: name, p alone, and p of the first one adjusted for all up to then."""
    from backtest.ledger.judgement import judge_trials
    from backtest.ledger.recording import record_evaluation
    from backtest.ledger.store import Ledger
    from backtest.request.request import Request

    names = ("catalyst_momentum", "listing_momentum", "influencer_fade", "sector_rotation", "relative_value",
             "funding_carry", "listing_fade", "random_entry")  # fmt: skip
    told = []
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        for name in names:
            request = Request(strategies=(name,), placebo=str(draws), bootstrap=0)
            found = request.evaluate()
            record_evaluation(ledger, found, request)
            first = judge_trials(ledger)[0]
            placebo = found.cards[0].placebo
            told.append((name, placebo.p if placebo else float("nan"), first.adjusted))
    return told


@style.in_own_style
def ledger() -> Figure:
    """What trying more does to the p of the first trial."""
    told = searched()
    made = style.sheet(
        "Every further trial is paid for",
        f"p of {told[0][0]} on the embedded sample, adjusted for all strategies tried up to then, one command each.",
        [2.4],
        label=open_dataset("privacy-2025-sample").provenance.label,
        key=[
            Line2D([], [], color=BLUE, marker="o", label=f"{told[0][0]}, adjusted"),
            Line2D([], [], color=MUTED, linestyle="none", marker="x", label="p of each trial alone"),
        ],
    )
    (axes,) = made.axes
    x = np.arange(1, len(told) + 1)
    axes.step(x, [one[2] for one in told], where="mid", color=BLUE, linewidth=1.2)
    axes.plot(x, [one[2] for one in told], "o", color=BLUE, markersize=5)
    axes.plot(x, [one[1] for one in told], "x", color=MUTED, markersize=6)
    axes.set_xticks(x, [one[0].replace("_", "\n") for one in told])
    axes.set_ylabel("p")
    axes.set_ylim(0.0, 1.0)
    return made.figure


def drawings(found: Evaluation) -> dict[str, Callable[[], Figure]]:
    """Each figure by the name of its file."""
    return {
        "clocks.png": lambda: clocks(found),
        "moves.png": lambda: moves(found),
        "intervals.png": intervals,
        "luck.png": lambda: luck(found),
        "ledger.png": ledger,
    }


if __name__ == "__main__":
    import matplotlib

    matplotlib.use("Agg")
    for name, draw in drawings(sample()).items():
        draw().savefig(Path(sys.argv[1]) / name, dpi=110, bbox_inches="tight")
