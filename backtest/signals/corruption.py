"""Corrupted futures: a market or calendar changed only in what was not known yet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.base.units import from_ms
from backtest.catalysts.record import Calendar, Catalyst
from backtest.catalysts.timing import known_at_ms
from backtest.market.record import Floats, Market
from backtest.market.series import SERIES

PRICES = ("open", "high", "low", "close")
SOURCES = ("prices", "volume", *SERIES)
"""What is corrupted together: the four prices keep their order."""
Cells = tuple[slice, slice]
CALENDAR_CORRUPTIONS = ("removed", "changed", "moved", "added")
_SHIFT = timedelta(days=3)


MARKET_CORRUPTIONS = ("noise", "reversal", "surge", "missing")
"""Noise of a factor from 1/2 to 2, rises made falls, all ten times as large, all unknown."""


def corrupt(
    market: Market,
    kind: str,
    rows: slice,
    columns: slice = slice(None),
    sources: Collection[str] = SOURCES,
    seed: int = 1,
) -> Market:
    """The market with some cells of some sources corrupted; every other cell is as it was.

    The noise of a cell depends on the seed and its place alone, so that fewer cells are corrupted in the same way.
    """
    cells = (rows, columns)
    panels: dict[str, Any] = {}
    for place, source in enumerate(SOURCES):
        names = [name for name in (PRICES if source == "prices" else (source,)) if name in market.panels]
        # In what is unknown no corruption can show.
        if source not in sources or not names or np.isnan(market.panel(names[0])).all():
            continue
        if kind == "reversal":
            anchor = _last_known(market.panel("close" if source == "prices" else source), rows.start)[None, columns]
        else:
            factor = _factor(kind, market.close.shape, cells, seed + place)
        for name in names:
            if kind != "reversal":
                values = market.panel(name)[cells] * factor
            elif name == "funding":
                values = -market.funding[cells]
            else:
                # What was the highest price becomes the lowest.
                twin = {"high": "low", "low": "high"}.get(name, name)
                values = _mirrored(market.panel(twin)[cells], anchor)
            panels[name] = _with(market, name, cells, values)
    return market.with_panels(panels, check=False)


def _factor(kind: str, shape: tuple[int, int], cells: Cells, seed: int) -> Floats | float:
    if kind == "noise":
        return np.asarray(np.exp2(_uniform(-1.0, 1.0, shape, cells, seed)))
    return {"surge": 10.0, "missing": np.nan}[kind]


def _uniform(low: float, high: float, shape: tuple[int, int], cells: Cells, seed: int) -> Floats:
    """Those cells of uniform numbers (T, N); the rows before them are skipped, which changes no number."""
    rows, columns = cells
    first, last, _ = rows.indices(shape[0])
    drawn = np.random.PCG64(seed)
    drawn.advance(first * shape[1])
    return np.random.Generator(drawn).uniform(low, high, (max(last - first, 0), shape[1]))[:, columns]


def _mirrored(values: Floats, anchor: Floats) -> Floats:
    """Values mirrored at an anchor, in logarithms; a value that cannot be mirrored stays."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        turned = anchor * (anchor / values)
    return np.where(np.isfinite(turned) & (turned > 0), turned, values)


def corrupt_panel(
    market: Market, panel: str, rows: slice, columns: slice = slice(None), *, room: bool = False, seed: int = 1
) -> Market:
    """The market with one panel corrupted by noise.

    An open or close stays between its bar's low and high, unless `room` widens these first.
    """
    cells = (rows, columns)
    panels: dict[str, Any] = {}
    values = market.panel(panel)[cells]
    share = _uniform(0.0, 1.0, market.close.shape, cells, seed)
    if panel in ("open", "close"):
        low, high = market.low[cells], market.high[cells]
        if room:
            low, high = 0.5 * low, 2.0 * high
            panels |= {"low": _with(market, "low", cells, low), "high": _with(market, "high", cells, high)}
        values = low + share * (high - low)
    elif panel == "low":
        values = values * (0.5 + 0.5 * share)
    elif panel == "high":
        values = values * (1.0 + share)
    else:
        values = values * np.exp2(2.0 * share - 1.0)
    panels[panel] = _with(market, panel, cells, values)
    return market.with_panels(panels, check=False)


def known_panels(market: Market) -> tuple[str, ...]:
    """Panels with any known value, in which a corruption can show."""
    return tuple(name for name, values in market.panels.items() if not np.isnan(values).all())


def hidden_at(calendar: Calendar, moment_ms: int) -> tuple[Catalyst, ...]:
    """Catalysts not known at a moment, including the untimed ones."""
    return tuple(one for one in calendar if (known := known_at_ms(one)) is None or known > moment_ms)


def corrupt_calendar(calendar: Calendar, kind: str, hidden: Collection[Catalyst], moment_ms: int) -> Calendar:
    """The calendar with the hidden catalysts removed, changed, moved to later, or with invented ones added. Catalysts
    that are not hidden no longer list hidden ones as confounded.
    """
    ids = {one.id for one in hidden}
    kept = tuple(
        replace(one, confounded_with=tuple(other for other in one.confounded_with if other not in ids))
        for one in calendar
        if one.id not in ids
    )
    ordered = [one for one in calendar if one.id in ids]
    if kind == "changed":
        coins = sorted({coin for one in calendar for coin in one.assets})
        kept += tuple(_changed(one, coins) for one in ordered)
    elif kind == "moved":
        kept += tuple(
            replace(
                one, announced_at=None if one.announced_at is None else one.announced_at + _SHIFT, confounded_with=()
            )
            for one in ordered
        )
    elif kind == "added":
        kept = tuple(calendar) + tuple(_invented(one, number, moment_ms) for number, one in enumerate(calendar))
    return Calendar(calendar.name, kept)


def _changed(one: Catalyst, coins: list[str]) -> Catalyst:
    other = coins[(coins.index(one.assets[0]) + 1) % len(coins)]
    return replace(
        one,
        assets=(other,),
        kind="governance" if one.kind != "governance" else "listing",
        actor="another actor",
        direction=-1 if one.direction == 1 else 1,
        confounded_with=(),
        note="changed",
    )


def _invented(one: Catalyst, number: int, moment_ms: int) -> Catalyst:
    day = from_ms(moment_ms).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return replace(
        one,
        id=f"invented-by-the-audit-{number}",
        announced_at=day,
        precision="day",
        between=None,
        effective_at=None,
        direction=-1 if one.direction == 1 else 1,
        confounded_with=(),
    )


def _last_known(values: Floats, row: int | None) -> Floats:
    """(N,) last known value before a row, the first known one where there is none, 1 where nothing is known."""
    result = np.ones(values.shape[1])
    for column in range(values.shape[1]):
        known = ~np.isnan(values[:, column])
        before = known[: row or 0][::-1]
        if before.any():
            result[column] = values[len(before) - 1 - before.argmax(), column]
        elif known.any():
            result[column] = values[known.argmax(), column]
    return result


def _with(market: Market, panel: str, cells: Cells, values: npt.NDArray[np.float64]) -> Floats:
    result = market.panel(panel).copy()
    result[cells] = values
    result.flags.writeable = False
    return np.asarray(result)
