"""Each traded catalyst in close-up: a grid of small charts under one caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from backtest.base.display import percent
from backtest.base.units import to_ms
from backtest.catalysts.record import Catalyst
from backtest.catalysts.timing import known_at_ms
from backtest.engine.run import Run
from backtest.market.record import Floats
from backtest.report.html.blocks import Download, Multiple, Multiples, csv_of
from backtest.report.html.plain import flat
from backtest.scoring.evaluation import Evaluation

_WIDTH, _HEIGHT, _EDGE = 240.0, 96.0, 5.0
_ROOM = 12
"""Bars shown at least on either side of what happened."""
_POINTS = 72
"""Places of a line: where there are more bars, the last close of each group is drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """The first trade of a run on a catalyst, and the bars around it; instants in milliseconds UTC."""

    run: Run
    catalyst: Catalyst
    trade: dict[str, object]
    announced: int
    known: int
    entry: int
    exit: int
    times: Floats
    closes: Floats


def catalyst_multiples(evaluation: Evaluation, order: Sequence[Run]) -> Multiples:
    """One drawing for each catalyst that was traded: by the first run in `order` that did, its first trade."""
    by_catalyst: dict[str, tuple[Run, dict[str, object]]] = {}
    for run in order:
        firsts = run.trades.sort_values("entry_time", kind="stable").drop_duplicates("catalyst_id")
        for row in firsts.to_dict("records"):
            by_catalyst.setdefault(str(row["catalyst_id"]), (run, {str(key): value for key, value in row.items()}))
    scenes = [_scene(*by_catalyst[one.id], one) for one in evaluation.calendar
              if one.id in by_catalyst and one.announced_at is not None]  # fmt: skip
    return Multiples(
        "Each catalyst that was traded, at close range",
        "Closes around the first trade on it. Dotted line: announced; full line: certain to be public. Red is the "
        "move before it was known, amber the wait of the strategy, blue what was captured from fill to exit; the "
        "triangle is the fill, the circle the exit. A drawing leads to its trade in the chart above.",
        tuple(_multiple(one) for one in scenes),
        Download("catalysts-at-close-range.csv", csv_of(_frame(scenes))),
    )


def _scene(run: Run, trade: dict[str, object], catalyst: Catalyst) -> _Scene:
    market = run.market
    announced, known = to_ms(catalyst.announced_at), known_at_ms(catalyst) or 0  # type: ignore[arg-type]
    entry, left = (int(pd.Timestamp(trade[name]).timestamp() * 1000) for name in ("entry_time", "exit_time"))  # type: ignore[arg-type]
    first, last = min(announced, entry), max(known, left)
    room = max(_ROOM * market.bar_ms, (last - first) // 5)
    rows = slice(market.bar_at_or_after(first - room), market.bar_at_or_after(last + room))
    closes = market.close[rows, market.column(str(trade["instrument"]))]
    return _Scene(run, catalyst, trade, announced, known, entry, left,
                  (market.open_ms[rows] + market.bar_ms).astype(np.float64), closes)  # fmt: skip


def _frame(scenes: Sequence[_Scene]) -> pd.DataFrame:
    """One row per close that is drawn."""
    parts = [
        pd.DataFrame(
            {
                "catalyst_id": one.catalyst.id,
                "strategy": one.run.strategy,
                "instrument": str(one.trade["instrument"]),
                "time": pd.to_datetime(one.times[_thin(one)], unit="ms", utc=True),
                "close": one.closes[_thin(one)],
            }
        )
        for one in scenes
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["catalyst_id"])


def _thin(scene: _Scene) -> slice:
    step = max(1, math.ceil(len(scene.times) / _POINTS))
    return slice((len(scene.times) - 1) % step, None, step)


def _multiple(scene: _Scene) -> Multiple:
    trade = scene.trade
    moves = ", ".join(f"{name} {_share(trade[name])}" for name in ("before", "waited", "captured"))
    side = "long" if trade["side"] == 1 else "short"
    coin = str(trade["instrument"]).partition("/")[0]
    remark = f"{side} {coin} by {scene.run.strategy}: {moves}, net {_share(trade['net_return'])}"
    return Multiple(scene.catalyst.id, remark, _drawing(scene, f"{scene.catalyst.id}: {remark}"), scene.catalyst.id)


def _share(value: object) -> str:
    number = float(value)  # type: ignore[arg-type]
    return "unknown" if math.isnan(number) else percent(number)


def _drawing(scene: _Scene, title: str) -> str:
    """SVG text of one scene; colours are the page's variables."""
    entry_price, exit_price = (float(scene.trade[name]) for name in ("entry_price", "exit_price"))  # type: ignore[arg-type]
    kept = _thin(scene)
    times, closes = scene.times[kept], scene.closes[kept]
    first, last = float(scene.times[0]), float(scene.times[-1])
    low = float(np.nanmin([*closes, entry_price, exit_price]))
    high = float(np.nanmax([*closes, entry_price, exit_price]))

    def x(at: float) -> str:
        return f"{_WIDTH * min(max((at - first) / max(last - first, 1.0), 0.0), 1.0):.1f}"

    def y(price: float) -> str:
        return f"{_HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * (price - low) / max(high - low, 1e-12):.1f}"

    until = min(scene.known, scene.entry)
    spans = (
        (scene.announced, until, "red", 0.3),
        (until, scene.entry, "orange", 0.35),
        (scene.entry, scene.exit, "blue", 0.2),
    )
    parts = [
        f'<rect x="{x(start)}" y="0" width="{float(x(end)) - float(x(start)):.1f}" height="{_HEIGHT:.0f}" '
        f'fill="var(--{colour})" fill-opacity="{alpha}"/>'
        for start, end, colour, alpha in spans
        if end > start
    ]
    parts += [
        f'<line x1="{x(at)}" x2="{x(at)}" y1="0" y2="{_HEIGHT:.0f}" stroke="var(--purple)"{dash}/>'
        for at, dash in ((scene.announced, ' stroke-dasharray="2 2"'), (scene.known, ""))
    ]
    # A gap lifts the pen.
    pen, steps = "M", []
    for at, price in zip(times, closes, strict=True):
        if math.isnan(price):
            pen = "M"
            continue
        steps.append(f"{pen}{x(at)} {y(price)}")
        pen = "L"
    parts.append(f'<path d="{"".join(steps)}" fill="none" stroke="var(--ink)"/>')
    way = -1.0 if scene.trade["side"] == 1 else 1.0
    left, down = float(x(scene.entry)), float(y(entry_price))
    parts.append(f'<path d="M{left:.1f} {down + 4 * way:.1f}l4 {-8 * way:.0f}h-8z" fill="var(--blue)"/>')
    parts.append(f'<circle cx="{x(scene.exit)}" cy="{y(exit_price)}" r="3.2" fill="var(--paper)" stroke="var(--blue)" '
                 'stroke-width="1.6"/>')  # fmt: skip
    label = escape(flat(scene.run.market.provenance.label), quote=True)
    if label:
        parts.append(f'<text x="3" y="{_HEIGHT - 4:.0f}" font-size="8" fill="var(--muted)">{label}</text>')
    title = f"{label}: {title}" if label else title
    label = escape(flat(title), quote=True)
    return f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
