"""Figures of claims: claimed against measured values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from backtest.report.claim_tables import figure as in_unit
from backtest.report.figures import style
from backtest.report.figures.numbers import shared
from backtest.report.figures.palette import BLUE, GRID, INK, MUTED, ORANGE, PAPER, PURPLE, RED, SKY
from backtest.report.figures.wording import clean, minus

if TYPE_CHECKING:
    from backtest.catalysts.claims import Check

_LOOKS = {
    "confirmed": (BLUE, "o"),
    "overstated": (ORANGE, "v"),
    "understated": (SKY, "^"),
    "contradicted": (RED, "X"),
    "inconsistent": (PURPLE, "D"),
    "not measurable": (MUTED, "o"),
}
_SENSE = {"about": "", "at_least": "\N{GREATER-THAN OR EQUAL TO} ", "at_most": "\N{LESS-THAN OR EQUAL TO} "}
_REACH = 8.0
_ROW = 0.19
_LEFT, _RIGHT = 2.75, 1.65
# Where the columns of figures end, in widths of the axes.
_COLUMNS = tuple(1.0 + inches / (style.WIDTH - _LEFT - _RIGHT) for inches in (0.78, 1.53))
_MARK = 0.56 / (style.WIDTH - _LEFT - _RIGHT)


def _look(verdict: str) -> dict[str, Any]:
    colour, mark = _LOOKS[verdict]
    hollow = verdict == "not measurable"
    return {"marker": mark, "color": colour, "markersize": 6, "markerfacecolor": PAPER if hollow else colour}


@shared
def claims_data(checks: Sequence[Check]) -> pd.DataFrame:
    """One row per claim: what it says, verdict, claimed and measured value in `unit`, and `ratio` measured / claimed.

    `measured` and `ratio` are NaN where nothing could be measured; those claims come last.
    """
    table = pd.DataFrame(
        {
            "claim": [one.claim.id for one in checks],
            "says": [one.claim.says for one in checks],
            "verdict": [str(one.verdict) for one in checks],
            "sense": [one.claim.sense for one in checks],
            "claimed": [one.claim.claimed for one in checks],
            "measured": [math.nan if one.measured is None else one.measured for one in checks],
            "ratio": [math.nan if one.measured is None else one.measured / one.claim.claimed for one in checks],
            "unit": [one.claim.unit for one in checks],
            "tolerance": [one.claim.tolerance for one in checks],
            "window": [one.window for one in checks],
        }
    )
    return table.iloc[np.argsort(table["ratio"].isna(), kind="stable")].reset_index(drop=True)


@style.in_own_style
def claims(checks: Sequence[Check], *, label: str = "") -> Figure:
    """Measured over claimed, a row per claim, on a logarithmic axis around one; the verdict by colour and by marker."""
    data = claims_data(checks)
    title = "Claims: claimed against measured"
    if data.empty:
        return style.message(title, "There is no claim to check.", label=label)
    counts = data["verdict"].value_counts(sort=False).to_dict()
    key: list[Artist] = [
        Line2D([], [], linestyle="none", label=f"{verdict} ({counts[verdict]})", **_look(verdict))
        for verdict in _LOOKS
        if verdict in counts
    ]
    made = style.sheet(
        title,
        "Measured over claimed: at 1x the figure is as claimed. The bar around 1x is each claim's tolerance; "
        f"beyond {_REACH:g}x, or of the other sign, marks stand at the edge.",
        [_ROW * len(data) + 0.1],
        label=label,
        key=key,
        margins=style.Margins(left=_LEFT, right=_RIGHT, bottom=0.4),
    )
    (axes,) = made.axes
    beside = axes.get_yaxis_transform()
    axes.set_xscale("log")
    axes.set_xlim(1.0 / _REACH / 1.2, _REACH * 1.2)
    axes.set_ylim(len(data) - 0.4, -1.5)
    known = data["ratio"].notna().to_numpy()
    places = np.arange(len(data), dtype=np.float64)
    ratio, tolerance = (data[name].to_numpy(dtype=np.float64) for name in ("ratio", "tolerance"))
    shown = np.clip(ratio, 1.0 / _REACH, _REACH)
    low = np.where(data["sense"] == "at_most", 1.0 / _REACH / 1.2, 1.0 - tolerance)
    high = np.where(data["sense"] == "at_least", _REACH * 1.2, 1.0 + tolerance)
    axes.hlines(places[known], low[known].clip(0.01), high[known], color=GRID, linewidth=5.0, zorder=1)
    for verdict, (colour, _) in _LOOKS.items():
        mine = (data["verdict"] == verdict).to_numpy()
        axes.hlines(places[mine & known], 1.0, shown[mine & known], color=colour, linewidth=0.9, zorder=2)
        axes.plot(shown[mine & known], places[mine & known], linestyle="none", zorder=3, **_look(verdict))
        # What could not be measured has its mark beside the word.
        aside = np.full(np.count_nonzero(mine & ~known), _COLUMNS[1] - _MARK)
        axes.plot(aside, places[mine & ~known], linestyle="none", transform=beside, clip_on=False, **_look(verdict))
    for place, row in enumerate(data.to_dict("records")):
        unit, unknown = str(row["unit"]), math.isnan(row["measured"])
        measured = "unknown" if unknown else minus(in_unit(float(row["measured"]), unit))
        claimed = _SENSE[str(row["sense"])] + minus(in_unit(float(row["claimed"]), unit))
        for x, text, shade in zip(_COLUMNS, (claimed, measured), (INK, MUTED if unknown else INK), strict=True):
            axes.text(x, place, text, transform=beside, ha="right", va="center", fontsize=7.5, color=shade)
    for x, text in zip(_COLUMNS, ("claimed", "measured"), strict=True):
        axes.text(x, -1.0, text, transform=beside, ha="right", va="center", fontsize=7.5, color=MUTED)
    axes.axvline(1.0, color=INK, linewidth=0.8)
    axes.xaxis.set_major_locator(FixedLocator([1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x" if value >= 1 else f"1/{1 / value:g}x"))
    axes.set_yticks(np.arange(len(data)), [clean(one, 40) for one in data["claim"]], fontsize=7.5)
    axes.grid(False, axis="y")
    axes.grid(True, axis="x")
    axes.spines["left"].set_visible(False)
    return made.figure
