"""The series that a bar may have beside its prices and volume, each declared once.

A further series is one more row of `SERIES` and a source that reads it. The hash of a market without it does not
change, so no recorded run changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BASE = ("open", "high", "low", "close", "volume")
"""Panels of every bar."""


@dataclass(frozen=True, slots=True)
class BarSeries:
    """One series: the meaning of a value, the possible values, and the value for spot.

    Attributes
    ----------
    name : str
        Name of the (T, N) panel, float64, NaN where unknown.
    unit, words : str
        Unit and description of a value, for people.
    values : str
        `positive`, `zero or more` or `finite`: other values are refused.
    of_spot : float
        Value for spot if it was not given: NaN (unknown), or 0 if there can be none.
    stored : pair of str
        Series and column of the store that it is read from, as last known at the bar's close; empty if it has its own
        reader.
    stale_periods : int
        Periods after which the last known value is unknown again; 0 if it must be from the close itself.
    over_bar : str
        What a bar makes of the stored values of its parts: the `last`, their `sum`, their `max` or their `min`; but for
        the last, a bar that lacks a part is unknown.
    """

    name: str
    unit: str
    words: str
    values: Literal["positive", "zero or more", "finite"]
    of_spot: float = float("nan")
    stored: tuple[str, str] = ("", "")
    stale_periods: int = 0
    over_bar: Literal["last", "sum", "max", "min"] = "last"

    @property
    def in_quote(self) -> bool:
        """Whether a value is money in the quote currency of its instrument."""
        return self.unit.startswith("quote")


SERIES: dict[str, BarSeries] = {
    one.name: one
    for one in (
        BarSeries("open_interest", "quote notional, known at the bar's close", "open interest", "zero or more"),
        BarSeries("funding", "sum of the rates settled in (open, close]", "funding rate", "finite", of_spot=0.0),
        BarSeries(
            "mark_price", "quote currency, at the bar's close", "mark price", "positive", stored=("mark", "close")
        ),
        BarSeries(
            "mark_high",
            "quote currency, highest in the bar",
            "highest mark price",
            "positive",
            stored=("mark", "high"),
            over_bar="max",
        ),
        BarSeries(
            "mark_low",
            "quote currency, lowest in the bar",
            "lowest mark price",
            "positive",
            stored=("mark", "low"),
            over_bar="min",
        ),
        BarSeries(
            "index_price", "quote currency, at the bar's close", "index price", "positive", stored=("index", "close")
        ),
        BarSeries(
            "premium",
            "share of the index price, at the bar's close",
            "premium index",
            "finite",
            stored=("premium", "close"),
        ),
        BarSeries(
            "long_short_ratio",
            "accounts that are long by those that are short",
            "long/short ratio",
            "zero or more",
            stored=("ratios", "accounts"),
            stale_periods=2,
        ),
        BarSeries(
            "top_trader_ratio",
            "positions of top traders, long by short",
            "top traders' long/short ratio",
            "zero or more",
            stored=("ratios", "top_positions"),
            stale_periods=2,
        ),
        BarSeries(
            "taker_ratio",
            "volume that takers bought by what they sold",
            "taker ratio",
            "zero or more",
            stored=("ratios", "taker"),
            stale_periods=2,
        ),
        *(
            BarSeries(
                f"{side}_liquidations",
                "quote notional, summed over the bar",
                f"liquidated {side} positions",
                "zero or more",
                stored=("liquidations", side),
                over_bar="sum",
            )
            for side in ("long", "short")
        ),
    )
}
"""By name. The first two are fields of every `Market`; the others are present if a source has them."""

PANELS = (*BASE, "open_interest", "funding")
"""The fields of every market, in the order in which its hash takes them."""
EXTRA = tuple(name for name in SERIES if name not in PANELS)
