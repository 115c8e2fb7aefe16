"""One catalyst in close-up: the move missed before the fill, and the move captured after it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from backtest.base.units import to_ms
from backtest.catalysts.record import Catalyst
from backtest.catalysts.timing import known_at_ms
from backtest.engine.run import Run
from backtest.report.figures import style
from backtest.report.figures.palette import BLUE, INK, MUTED, ORANGE, PURPLE
from backtest.report.figures.timelines import marker
from backtest.report.figures.wording import clean, moment, percent, words

_COLUMNS = ["instrument", "time", "price", "low", "high", "stage"]
_MOST_LEGS = 3
_PRICES = ("entry_price", "exit_price")
# Shortest stretch shown on either side of what happened, in bars.
_ROOM = 12


@dataclass(frozen=True, slots=True)
class _Trade:
    side: int
    entry: int
    exit: int
    entry_price: float
    exit_price: float
    before: float
    waited: float
    captured: float
    net_return: float
    reason: str


@dataclass(frozen=True, slots=True)
class _Leg:
    """One instrument around a catalyst, milliseconds UTC; `trades` is empty where nothing was traded."""

    instrument: str
    announced: int
    known: int
    trades: tuple[_Trade, ...]

    @property
    def last(self) -> int:
        return max([self.known, *(one.exit for one in self.trades)])


def replay_panel_data(run: Run, catalyst: Catalyst) -> pd.DataFrame:
    """One row per bar of each instrument traded on the catalyst (at most three), `time` its close: close, low, high.

    `stage` is before from the announcement until it was known, waited from there to the first fill, captured while a
    trade was open, otherwise earlier or after. Without a trade: the catalyst's first coin in the market; no row where
    there is none, or no bar near it.
    """
    market = run.market
    legs = _legs(run, catalyst)
    first, last = min((one.announced for one in legs), default=0), max((one.last for one in legs), default=0)
    room = max(_ROOM * market.bar_ms, (last - first) // 4)
    rows = slice(market.bar_at_or_after(first - room), market.bar_at_or_after(last + room))
    closes = market.open_ms[rows] + market.bar_ms
    tables = [pd.DataFrame({name: pd.Series(dtype=object) for name in _COLUMNS})]
    for one in legs if len(closes) else ():
        column = market.column(one.instrument)
        prices = {
            name: getattr(market, panel)[rows, column]
            for name, panel in (("price", "close"), ("low", "low"), ("high", "high"))
        }
        table = {"instrument": one.instrument, "time": pd.to_datetime(closes, unit="ms", utc=True), **prices}
        tables.append(pd.DataFrame({**table, "stage": _stages(one, closes)}))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def _stages(leg: _Leg, closes: Any) -> Any:
    stage = np.full(len(closes), "after", dtype=object)
    if leg.trades:
        stage[closes <= min(one.entry for one in leg.trades)] = "waited"
        stage[closes <= min(leg.known, *(one.entry for one in leg.trades))] = "before"
        for one in leg.trades:
            stage[(closes > one.entry) & (closes <= one.exit)] = "captured"
    stage[closes <= leg.announced] = "earlier"
    return stage


def _legs(run: Run, catalyst: Catalyst) -> tuple[_Leg, ...]:
    """The instruments to show; none where the catalyst is untimed or the market lacks its coins."""
    market, known = run.market, known_at_ms(catalyst)
    if catalyst.announced_at is None or known is None:
        return ()
    announced = to_ms(catalyst.announced_at)
    mine = run.trades[run.trades["catalyst_id"] == catalyst.id].sort_values("entry_time", kind="stable")
    if len(mine):
        return tuple(
            _Leg(str(symbol), announced, known, tuple(_trade(row) for row in rows.to_dict("records")))
            for symbol, rows in list(mine.groupby("instrument", sort=False))[:_MOST_LEGS]
        )
    held = [column for column in (market.column_of(asset) for asset in catalyst.assets) if column is not None]
    return (_Leg(market.symbols[held[0]], announced, known, ()),) if held else ()


def _trade(row: dict[Any, Any]) -> _Trade:
    entry, left = (int(row[name].as_unit("ms").value // 1_000_000) for name in ("entry_time", "exit_time"))
    reals = {
        name: float(row[name]) for name in ("entry_price", "exit_price", "before", "waited", "captured", "net_return")
    }
    return _Trade(side=int(row["side"]), entry=entry, exit=left, reason=str(row["reason"]), **reals)


@style.in_own_style
def replay_panel(run: Run, catalyst: Catalyst) -> Figure:
    """Price around one catalyst: announced, known, filled and left; before hatched, waited dotted, captured plain."""
    label = run.market.provenance.label
    title = f"{clean(run.strategy, 36)}: {catalyst.id}"
    data = replay_panel_data(run, catalyst)
    legs = [
        one for one in _legs(run, catalyst) if data.loc[data["instrument"] == one.instrument, "price"].notna().any()
    ]
    if not legs:
        return style.message(title, _nothing(run, catalyst), label=label)
    about = clean(f"{words(catalyst.kind)}, {catalyst.actor}", 70)
    told = "; ".join(_told(one, trade, len(legs) > 1) for one in legs for trade in one.trades)
    made = style.sheet(
        title,
        f"{about} \N{MIDDLE DOT} {told or _outcome(run, catalyst)}",
        [2.5 if len(legs) == 1 else 1.7] * len(legs),
        label=label,
        key=_key(legs),
        margins=style.Margins(between=0.12),
    )
    for axes, one in zip(made.axes, legs, strict=True):
        _panel(axes, one, data[data["instrument"] == one.instrument], name=axes is made.axes[-1])
    return made.figure


def _nothing(run: Run, catalyst: Catalyst) -> str:
    if catalyst.announced_at is None:
        return f"{catalyst.id} is untimed: not even its day is known, so it is never tradable."
    return f"{run.market.provenance.name} holds no price of {', '.join(catalyst.assets)} around {catalyst.when}."


def _outcome(run: Run, catalyst: Catalyst) -> str:
    found = run.catalysts.loc[run.catalysts["catalyst_id"] == catalyst.id, "outcome"]
    return f"Not traded: {words(str(found.iloc[0]))}." if len(found) else "Not traded."


def _told(leg: _Leg, trade: _Trade, named: bool) -> str:
    name = f"{leg.instrument}: " if named else ""
    way = "long" if trade.side > 0 else "short"
    dated = not math.isnan(trade.before)
    missed = f"before {percent(trade.before)}, waited {percent(trade.waited)}, " if dated else ""
    return (
        f"{name}{way}: {missed}captured {percent(trade.captured)}, net {percent(trade.net_return)}; "
        f"left by {words(trade.reason)} {moment(trade.exit)}"
    )


def _key(legs: list[_Leg]) -> list[Artist]:
    key: list[Artist] = [
        Line2D([], [], color=PURPLE, linestyle=":", linewidth=1.4, label="announced"),
        Line2D([], [], color=PURPLE, linewidth=1.4, label="known"),
    ]
    sides = dict.fromkeys(one.side for leg in legs for one in leg.trades)
    for side in sides:
        key += [
            Line2D([], [], label="entry, long" if side > 0 else "entry, short", **marker(side, True)),
            Line2D([], [], label="exit of long" if side > 0 else "exit of short", **marker(-side, False)),
        ]
    if sides:
        key += [
            style.band(ORANGE, "before", hatch="////"),
            style.band(ORANGE, "waited", hatch="...."),
            style.band(BLUE, "captured", alpha=0.22),
        ]
    return key


def _panel(axes: Axes, leg: _Leg, data: pd.DataFrame, *, name: bool) -> None:
    x = style.days(pd.DatetimeIndex(data["time"]))
    low, high, price = (data[one].to_numpy(dtype=np.float64) for one in ("low", "high", "price"))
    announced, known = (float(one) for one in style.days([leg.announced, leg.known]))
    style.area(axes, x, low, high, color=MUTED, alpha=0.25)
    style.line(axes, x, price, color=INK)
    axes.axvline(announced, color=PURPLE, linestyle=":", linewidth=1.4)
    axes.axvline(known, color=PURPLE, linewidth=1.2)
    if leg.trades:
        (filled,) = style.days([min(one.entry for one in leg.trades)])
        until = min(known, float(filled))
        for start, end, hatch in ((announced, until, "////"), (until, float(filled), "....")):
            if end > start:
                axes.axvspan(start, end, facecolor="none", edgecolor=ORANGE, hatch=hatch, linewidth=0.0)
    for one in leg.trades:
        start, end = (float(at) for at in style.days([one.entry, one.exit]))
        axes.axvspan(start, end, color=BLUE, alpha=0.16, linewidth=0.0)
        axes.plot([start, end], [one.entry_price] * 2, color=BLUE, linestyle="--", linewidth=0.9)
        axes.plot([start], [one.entry_price], **marker(one.side, True), zorder=5)
        axes.plot([end], [one.exit_price], **marker(-one.side, False), zorder=5)
    prices = [one.entry_price for one in leg.trades] + [one.exit_price for one in leg.trades]
    held = np.concatenate([low, high, prices])
    log = style.spans_much(held)
    axes.set_ylim(*style.padded(held, log))
    style.number_axis(axes, log=log)
    axes.set_ylabel(clean(leg.instrument, 22))
    style.time_axis(axes, x[0], x[-1], name=name)
