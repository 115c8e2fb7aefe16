"""Reconstructed markets: seeded price paths through stated levels.

A plan lists anchors: the price, day's turnover, open interest and premium that a coin must show at an instant.
Between them a path is a Brownian bridge in the clock of its own variance: a common market factor, a sector factor
and a part of the coin's own, each with volatility that clusters. Paths are simulated inside the bar, so that high
and low come from the path too; spot follows the perpetual through the premium, and funding is the mean premium by
the usual formula.

`python -m backtest.market.synthetic FOLDER` writes the embedded reconstruction anew.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from scipy.signal import lfilter

from backtest.documents import datasets_root, first_complaint, read_toml
from backtest.errors import BacktestError, MarketError, UsageError
from backtest.fields import Duration
from backtest.market.dataset import default_dataset, write_dataset
from backtest.market.paths import (
    Candles,
    Integers,
    autoregressive,
    bridge,
    candles,
    fold,
    funding_rate,
    paced,
    rhythm,
    significant,
    turbulence,
)
from backtest.market.record import RECONSTRUCTED, Floats, Instrument, Market, Provenance, fields_of
from backtest.market.series import PANELS
from backtest.units import DAY_MS, UNIT_MS, format_ms, timeframe_ms, to_ms

VERSION = "1"
ANCHORS = "anchors.toml"
# Half-life in hours and standard deviation of each part of log volatility.
VOLATILITY_CLUSTERS = ((8.0, 0.30), (72.0, 0.25))
TURNOVER_NOISE = 0.3
PREMIUM_NOISE = 0.3
OPENING_GAP = 0.0001
SPOT_NOISE = 0.0002
CONTRACTS_VOLATILITY = 0.03
FUNDING_PERIOD_MS = 8 * UNIT_MS["h"]
Level = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Moment(_Table):
    """An instant: `at`, or the close of the UTC `day`."""

    day: date | None = None
    at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _one_clock(self) -> _Moment:
        if (self.day is None) == (self.at is None):
            raise ValueError("give one of day (its close) and at (an instant)")
        return self

    @property
    def ms(self) -> int:
        """Milliseconds UTC."""
        if self.at is not None:
            return to_ms(self.at)
        assert self.day is not None
        return _midnight(self.day) + DAY_MS


class Anchor(_Moment):
    """A level that a path must pass; an `extreme` one is not passed beyond before the neighbouring anchors."""

    level: Level
    extreme: Literal["high", "low"] | None = None


class PremiumAnchor(_Moment):
    """Mean premium of the perpetual over spot at an instant, a share of price; it may be negative."""

    level: Annotated[float, Field(gt=-0.2, lt=0.2)]


class DayTurnover(_Moment):
    """Quote volume of one UTC `day`."""

    day: date
    level: Level


class Coin(_Table):
    """One coin of a plan: how it moves and what it must show.

    Volatility is a standard deviation a day of the coin's own part. `spot_turnover` present means that the coin has
    a spot instrument too.
    """

    base: str
    volatility: Level
    market_beta: float = 0.0
    sector_beta: float = 0.0
    price: tuple[Anchor, ...] = Field(min_length=2)
    open_interest: tuple[Anchor, ...] = Field(min_length=2)
    swap_turnover: tuple[DayTurnover, ...] = Field(min_length=1)
    spot_turnover: tuple[DayTurnover, ...] = ()
    premium: tuple[PremiumAnchor, ...] = Field(min_length=1)


class Plan(_Table):
    """Everything a reconstruction is made from; its first coin is the market factor.

    `steps` is the number of simulated steps inside a bar, `sector_volatility` a standard deviation a day.
    """

    name: str
    source: str
    licence: str
    how_made: str
    readings: tuple[str, ...] = ()
    seed: int = Field(ge=0, lt=2**32)
    timeframe: Duration
    start: AwareDatetime
    end: AwareDatetime
    steps: int = Field(ge=2)
    quote: str
    sector_volatility: Level
    coins: tuple[Coin, ...] = Field(min_length=1)


def read_plan(path: Path) -> Plan:
    """Plan of a TOML file; a malformed one raises `MarketError` naming the key."""
    try:
        return Plan(**read_toml(path, MarketError))
    except ValidationError as error:
        allowed = {key for table in (Plan, Coin, Anchor, DayTurnover) for key in table.model_fields}
        raise MarketError(f"{path}: {first_complaint(error, allowed)}") from None


@dataclass(frozen=True, slots=True)
class Grid:
    """T bars of K steps: T * K + 1 instants from the first open to the last close."""

    start_ms: int
    bar_ms: int
    bars: int
    steps: int

    @classmethod
    def of(cls, plan: Plan) -> Grid:
        """Grid of a plan; an empty or broken span raises `MarketError`."""
        start, end, bar_ms = to_ms(plan.start), to_ms(plan.end), timeframe_ms(plan.timeframe)
        if end <= start or (end - start) % bar_ms or bar_ms % plan.steps:
            raise MarketError(
                f"plan {plan.name!r} runs from {format_ms(start)} to {format_ms(end)}, which is not a whole number of "
                f"{plan.timeframe} bars of {plan.steps} steps: move an end"
            )
        return cls(start, bar_ms, (end - start) // bar_ms, plan.steps)

    @property
    def opens(self) -> Integers:
        """(T,) bar opens, milliseconds UTC."""
        return self.start_ms + self.bar_ms * np.arange(self.bars, dtype=np.int64)

    @property
    def instants(self) -> Integers:
        """(T * K + 1,) step boundaries, milliseconds UTC."""
        return self.start_ms + self.step_ms * np.arange(self.bars * self.steps + 1, dtype=np.int64)

    @property
    def step_ms(self) -> int:
        """Length of one step in milliseconds."""
        return self.bar_ms // self.steps

    def position(self, moment_ms: int, what: str) -> int:
        """Index of an instant among the step boundaries; one off the grid raises `MarketError`."""
        position, rest = divmod(moment_ms - self.start_ms, self.step_ms)
        if rest or not 0 <= position <= self.bars * self.steps:
            raise MarketError(
                f"{what} has an anchor at {format_ms(moment_ms)}, off the grid of {self.step_ms / 60_000:g}-minute "
                f"steps from {format_ms(self.start_ms)} to {format_ms(int(self.instants[-1]))}: move it"
            )
        return position

    def steps_in(self, hours: float) -> float:
        """Number of steps in a span of hours."""
        return hours * UNIT_MS["h"] / self.step_ms


def reconstruct(plan: Plan) -> Market:
    """Market of a plan: a swap of every coin, then the spots; the same plan gives the same market.

    Prices are rounded to five significant digits, volumes to four. Open interest and funding of spot instruments are
    NaN and 0.

    Raises
    ------
    MarketError
        For an anchor off the grid, out of order, or beyond an extreme beside it.
    """
    grid = Grid.of(plan)
    swaps, spots = [], []
    sector = _own_returns(plan, "sector", plan.sector_volatility, grid, np.ones(grid.bars * grid.steps))
    market = np.zeros_like(sector)
    for coin in plan.coins:
        swap = _price_path(plan, coin, grid, market, sector)
        if coin is plan.coins[0]:
            market = np.diff(swap)
        premium = _premium_path(plan, coin, grid, swap)
        swaps.append(_swap(plan, coin, grid, swap, premium))
        if coin.spot_turnover:
            spots.append(_spot(plan, coin, grid, swap - np.log1p(premium)))
    columns = swaps + spots
    return Market(
        index=pd.DatetimeIndex(pd.to_datetime(grid.opens, unit="ms", utc=True)),
        timeframe=plan.timeframe,
        instruments=tuple(Instrument.parse(column.symbol) for column in columns),
        **fields_of({name: np.column_stack([getattr(column, name) for column in columns]) for name in PANELS}),
        provenance=Provenance(plan.name, plan.source, RECONSTRUCTED, plan.licence),
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """One instrument's panels, (T,) each, named as in `Market`."""

    symbol: str
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    open_interest: Floats
    funding: Floats


def _swap(plan: Plan, coin: Coin, grid: Grid, path: Floats, premium: Floats) -> _Column:
    symbol = f"{coin.base}/{plan.quote}:{plan.quote}"
    bars = candles(path, grid.steps, _gaps(plan, symbol, grid))
    quote = _turnover(plan, symbol, coin, grid, bars, coin.swap_turnover)
    knots = _knots(grid, coin.open_interest, f"open interest of {coin.base}")
    contracts = np.log([anchor.level for anchor in coin.open_interest]) - path[knots]
    noise = np.cumsum(_random(plan, symbol, "open interest").standard_normal(len(path)))
    noise *= CONTRACTS_VOLATILITY / np.sqrt(grid.steps_in(24))
    held = bridge(noise, np.arange(len(path), dtype=np.float64), knots, contracts)
    interest = np.exp(held + path)[grid.steps :: grid.steps]
    return _column(symbol, bars, quote, interest, _funding(grid, premium))


def _spot(plan: Plan, coin: Coin, grid: Grid, path: Floats) -> _Column:
    symbol = f"{coin.base}/{plan.quote}"
    noise = autoregressive(_random(plan, symbol, "noise"), len(path), grid.steps_in(0.3), SPOT_NOISE)
    bars = candles(path + noise, grid.steps, _gaps(plan, symbol, grid))
    quote = _turnover(plan, symbol, coin, grid, bars, coin.spot_turnover)
    return _column(symbol, bars, quote, np.full(grid.bars, np.nan), np.zeros(grid.bars))


def _column(symbol: str, bars: Candles, quote: Floats, interest: Floats, funding: Floats) -> _Column:
    return _Column(
        symbol,
        open=significant(bars.open, 5),
        high=significant(bars.high, 5),
        low=significant(bars.low, 5),
        close=significant(bars.close, 5),
        volume=significant(quote / bars.close, 4),
        open_interest=significant(interest, 5),
        funding=np.round(funding, 6),
    )


def _price_path(plan: Plan, coin: Coin, grid: Grid, market: Floats, sector: Floats) -> Floats:
    """Log price at every instant, through the coin's anchors."""
    knots = _knots(grid, coin.price, f"price of {coin.base}")
    if (knots[0], knots[-1]) != (0, grid.bars * grid.steps):
        raise MarketError(f"price of {coin.base} needs an anchor at the plan's start and one at its end: add it")
    levels = np.log([anchor.level for anchor in coin.price])
    common = np.concatenate(([0.0], np.cumsum(coin.market_beta * market + coin.sector_beta * sector)))
    volatility = coin.volatility / np.sqrt(grid.steps_in(24))
    scale = turbulence(knots, levels - common[knots], volatility, grid.steps_in(3))
    own = np.concatenate(([0.0], np.cumsum(_own_returns(plan, coin.base, coin.volatility, grid, scale))))
    clock = np.concatenate(([0.0], np.cumsum(scale**2)))
    path = bridge(common + own, clock, knots, levels)
    for row, anchor in enumerate(coin.price):
        if anchor.extreme is not None:
            beside = slice(knots[max(row - 1, 0)], knots[min(row + 1, len(knots) - 1)] + 1)
            path[beside] = fold(path[beside], float(levels[row]), anchor.extreme, f"{coin.base} {anchor.level:g}")
    return path


def _own_returns(plan: Plan, name: str, volatility: float, grid: Grid, scale: Floats) -> Floats:
    random = _random(plan, name, "returns")
    scale = scale * np.sqrt(rhythm(grid.instants[:-1])) * volatility / np.sqrt(grid.steps_in(24))
    for hours, deviation in VOLATILITY_CLUSTERS:
        # The mean of exp(2 x) over a normal x is exp(2 deviation^2): taken off, the variance stays as asked.
        scale *= np.exp(autoregressive(random, len(scale), grid.steps_in(hours), deviation) - deviation**2)
    return random.standard_normal(len(scale)) * scale


def _premium_path(plan: Plan, coin: Coin, grid: Grid, path: Floats) -> Floats:
    """Premium of the perpetual over spot at every instant: the anchored mean, what the last day moved, and noise."""
    random = _random(plan, coin.base, "premium")
    knots = _knots(grid, coin.premium, f"premium of {coin.base}")
    mean = np.interp(np.arange(len(path)), knots, [anchor.level for anchor in coin.premium])
    mean *= np.exp(autoregressive(random, len(path), grid.steps_in(8), PREMIUM_NOISE))
    day = int(grid.steps_in(24))
    moved = path - np.concatenate((np.full(day, path[0]), path[:-day]))
    noise = autoregressive(random, len(path), grid.steps_in(6), 0.006 * coin.volatility)
    return np.asarray(mean + 0.002 * np.tanh(2.0 * moved) + noise)


def _turnover(
    plan: Plan, symbol: str, coin: Coin, grid: Grid, bars: Candles, anchors: tuple[DayTurnover, ...]
) -> Floats:
    """(T,) quote volume: busy when the price moves, by hour and weekday, with every anchored day's total met."""
    hours = grid.bar_ms / UNIT_MS["h"]
    moves = np.abs(np.log(bars.close / bars.open)) / (coin.volatility * np.sqrt(hours / 24))
    lingering, _ = lfilter([0.2], [1.0, -0.8], moves, zi=[0.8 * moves.mean()])
    noise = autoregressive(_random(plan, symbol, "turnover"), grid.bars, 6 / hours, TURNOVER_NOISE)
    activity = rhythm(grid.opens) * np.exp(noise) * (0.4 + np.minimum(0.5 * moves + lingering, 15.0)) ** 1.2
    _knots(grid, anchors, f"turnover of {symbol}")
    masks = [grid.opens // DAY_MS == anchor.ms // DAY_MS - 1 for anchor in anchors]
    return paced(activity, masks, [anchor.level for anchor in anchors])


def _funding(grid: Grid, premium: Floats) -> Floats:
    """(T,) rates settled in (open, close], each by the mean premium since the settlement before."""
    last = int(grid.instants[-1])
    first = -(-(grid.start_ms + 1) // FUNDING_PERIOD_MS) * FUNDING_PERIOD_MS
    settled = np.arange(first, last + 1, FUNDING_PERIOD_MS)
    ends = (settled - grid.start_ms) // grid.step_ms
    starts = np.maximum(ends - FUNDING_PERIOD_MS // grid.step_ms, 0)
    total = np.concatenate(([0.0], np.cumsum(premium[1:])))
    mean = (total[ends] - total[starts]) / (ends - starts)
    funding = np.zeros(grid.bars)
    np.add.at(funding, -(-(settled - grid.start_ms) // grid.bar_ms) - 1, funding_rate(mean))
    return funding


def _knots(grid: Grid, anchors: Sequence[_Moment], what: str) -> list[int]:
    """Positions of anchors; instants that do not rise raise `MarketError`."""
    knots = [grid.position(anchor.ms, what) for anchor in anchors]
    for before, after, anchor in zip(knots, knots[1:], anchors[1:], strict=False):
        if after <= before:
            raise MarketError(f"{what} has an anchor at {format_ms(anchor.ms)} after a later one: sort them")
    return knots


def _gaps(plan: Plan, symbol: str, grid: Grid) -> Floats:
    return _random(plan, symbol, "gaps").standard_normal(grid.bars) * OPENING_GAP


def _random(plan: Plan, name: str, purpose: str) -> np.random.RandomState:
    """A stream for each name and purpose, so that a coin more leaves the others as they are."""
    # NumPy froze this generator's stream for good (NEP 19), which it did not do for the newer ones.
    return np.random.RandomState([plan.seed, zlib.crc32(f"{name} {purpose}".encode())])


def _midnight(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_MS


def main(arguments: list[str]) -> int:
    """Write the embedded reconstruction anew into the one folder named."""
    try:
        if len(arguments) != 1:
            raise UsageError(f"{len(arguments)} arguments given, one is needed: the folder to write to")
        plan = read_plan(datasets_root() / default_dataset() / ANCHORS)
        metadata = write_dataset(
            reconstruct(plan),
            Path(arguments[0]),
            how_made=plan.how_made,
            made_by=f"backtest.market.synthetic {VERSION}",
            seed=plan.seed,
            readings=plan.readings,
        )
    except BacktestError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{arguments[0]}: {metadata.label} {metadata.name}, content {metadata.content_sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
