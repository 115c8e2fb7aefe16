"""The bars for which finer data would help most, over several runs, and the recipe that fetches only these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from backtest.base.documents import build
from backtest.base.errors import ConfigError, UsageError
from backtest.base.units import from_ms, timeframe_ms
from backtest.engine.bounds import useful_bars
from backtest.engine.run import Run
from backtest.market.recipe import Recipe
from backtest.market.record import Market


@dataclass(frozen=True, slots=True)
class UsefulDetail:
    """A bar whose finer data may narrow the intervals of net of some trades.

    Attributes
    ----------
    symbol : str
    open_ms : int
        Open of the bar, milliseconds UTC.
    gain : float
        The most by which the intervals of its trades can shrink in total, quote currency.
    trades : int
    strategies : tuple of str
        Strategies of these trades.
    """

    symbol: str
    open_ms: int
    gain: float
    trades: int
    strategies: tuple[str, ...]


def most_useful(runs: Sequence[Run]) -> tuple[UsefulDetail, ...]:
    """Doubtful bars of runs over one market, the most useful first; those that cannot narrow anything are left out.

    Raises
    ------
    ConfigError
        For a run under cross margin, whose intervals finer bars do not narrow.
    """
    if any(run.config.margin == "cross" for run in runs):
        raise ConfigError(
            "margin = 'cross': intervals are outer bounds, which finer bars do not narrow; choose margin = 'isolated'"
        )
    found: dict[tuple[int, int], list[tuple[str, float, int]]] = {}
    for run in runs:
        for bar in useful_bars(run.intervals, run.book):
            found.setdefault((bar.column, bar.row), []).append((run.strategy, bar.gain, bar.trades))
    bars = [
        UsefulDetail(
            runs[0].market.symbols[column],
            int(runs[0].market.open_ms[row]),
            sum(gain for _, gain, _ in parts),
            sum(trades for _, _, trades in parts),
            tuple(name for name, _, _ in parts),
        )
        for (column, row), parts in found.items()
    ]
    return tuple(sorted((bar for bar in bars if bar.gain > 0), key=lambda bar: (-bar.gain, bar.open_ms, bar.symbol)))


def total_width(runs: Sequence[Run]) -> float:
    """Sum of the widths of the intervals of all trades, quote currency."""
    return sum(float(np.nansum(run.intervals.net_high - run.intervals.net_low)) for run in runs)


def detail_recipe(bars: Sequence[UsefulDetail], market: Market, path: Path, exchange: str, timeframe: str) -> Recipe:
    """Write the recipe that fetches the finer bars of these bars only; it is named like its file.

    Raises
    ------
    UsageError
        For a timeframe that does not divide that of the market, a file name that is not a dataset name, or an existing
        file.
    """
    finer_ms = timeframe_ms(timeframe)
    if market.bar_ms % finer_ms or finer_ms >= market.bar_ms:
        raise UsageError(
            f"`finer={timeframe}` does not divide bars of {market.timeframe}: give a shorter one, as in 1m"
        )
    if path.exists():
        raise UsageError(f"{path} is there already: name another file, or remove it")
    windows = [
        {"symbol": bar.symbol, "timerange": f"{_iso(bar.open_ms)}/{_iso(bar.open_ms + market.bar_ms)}"} for bar in bars
    ]
    first, last = min(bar.open_ms for bar in bars), max(bar.open_ms for bar in bars) + market.bar_ms
    values = {
        "name": path.stem,
        "description": f"Finer bars that narrow the intervals of trades on {market.provenance.name} most",
        "exchange": {"id": exchange},
        "symbols": tuple(dict.fromkeys(bar.symbol for bar in bars)),
        "series": ("ohlcv",),
        "timeframe": timeframe,
        "timerange": f"{_iso(first)}/{_iso(last)}",
        "windows": windows,
    }
    recipe = build(Recipe, values, f"recipe {path}")
    path.write_text(_toml(recipe), encoding="utf-8")
    return recipe


def _iso(moment_ms: int) -> str:
    moment: datetime = from_ms(moment_ms)
    return f"{moment:%Y-%m-%dT%H:%MZ}"


def _toml(recipe: Recipe) -> str:
    quoted = ", ".join(f'"{symbol}"' for symbol in recipe.symbols)
    lines = [
        f'name = "{recipe.name}"',
        f'description = "{recipe.description}"',
        f"symbols = [{quoted}]",
        'series = ["ohlcv"]',
        f'timeframe = "{recipe.timeframe}"',
        f'timerange = "{recipe.timerange}"',
        'unlisted = "skip"',
        "",
        "[exchange]",
        f'id = "{recipe.exchange.id}"',
    ]
    for window in recipe.windows:
        lines += ["", "[[windows]]", f'symbol = "{window.symbol}"', f'timerange = "{window.timerange}"']
    return "\n".join(lines) + "\n"
