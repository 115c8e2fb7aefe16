"""Hours between the facts: five-minute paths that meet each day's figures, joint over coins.

A day's path passes its open, the prices of known instants, its high and low inside their hours, and its close, and
stays strictly inside its extremes elsewhere. The shocks are normal, correlated between coins, wilder on days of a wider
range and in hours of more activity; their sizes and correlations are set by repetition until hourly log returns over
the whole window have the volatilities and correlations of the facts.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from tools.sample.facts import Coin, Days, Facts
from tools.sample.paths import (
    DAY_MS,
    HOUR_MS,
    Floats,
    autoregressive,
    bridged,
    fold,
    nearest_correlation,
    rhythm,
    strayed,
)

STEPS = 12
A_DAY = 24 * STEPS
# Rounds that set sizes and correlations, before and after each day's shocks are chosen among so many draws.
BEFORE, ROUNDS, DRAWS = 16, 48, 96
PACE = 0.6
HOURS_A_YEAR = 24 * 365
# Five significant digits of a price that begins with 1 are apart by one part in 10,000: so far inside the extremes.
INSIDE = 1.2e-4
# A range this many times the median of the twenty days around it makes nothing wilder: it was one hour's.
WIDEST = 2.0
# Half-life in hours and standard deviation of log volatility.
CLUSTER = (4.0, 0.45)
FREE = 50.0


@dataclass(frozen=True, slots=True)
class Paths:
    """Log paths of five-minute steps, by symbol: (D, A_DAY + 1), the close of a day apart from the next open."""

    of: dict[str, Floats]
    volatility: Floats
    correlation: Floats


def simulate(facts: Facts) -> Paths:
    """Paths of every instrument; the same facts and seed give the same paths."""
    perpetuals = [one for one in facts.days if not one.spot]
    spots = {one.base: one for one in facts.days if one.spot}
    coins = facts.plan.coins
    count, days = len(perpetuals) + len(coins), len(perpetuals[0].open)
    target = _target(facts, perpetuals)
    wanted = np.array([facts.moments.loc[one.base, "volatility_a_year"] for one in perpetuals]) / np.sqrt(HOURS_A_YEAR)
    draws = random(facts, "shocks").standard_normal((days, DRAWS, A_DAY, count))
    clock = facts.start_ms + np.arange(days * A_DAY, dtype=np.int64) * (HOUR_MS // STEPS)
    half, deviation = CLUSTER
    calm = autoregressive(random(facts, "cluster"), days * A_DAY, half * STEPS, deviation)
    common = np.sqrt(rhythm(clock)) * np.exp(calm - deviation**2)
    scale = np.column_stack(
        [np.repeat(_daily(one), A_DAY) for one in perpetuals] + [np.full(days * A_DAY, one.volatility) for one in coins]
    )
    scale *= common[:, None] / np.sqrt(A_DAY)
    knots = [_knots(one, spots.get(one.base), random(facts, f"{one.symbol} knots")) for one in perpetuals]
    mixed, size = nearest_correlation(target), np.ones(count)
    noise = draws[:, 0].reshape(-1, count)
    for turn in range(ROUNDS + 1):
        mixing = np.linalg.cholesky(mixed).T * size
        if turn == BEFORE:
            noise = _least_strayed(perpetuals, knots, draws, mixing, scale, target.sum(axis=1) ** 2)
        shocks = noise @ mixing * scale
        found = [_through(one, shocks[:, n], knots[n]) for n, one in enumerate(perpetuals)]
        found += [_free(one, shocks[:, len(perpetuals) + n], facts.start_ms) for n, one in enumerate(coins)]
        closes = np.column_stack([path[:, STEPS::STEPS].ravel() for path in found])
        returns = np.diff(closes, axis=0)
        measured, correlation = returns.std(axis=0), np.corrcoef(returns.T)
        if turn < ROUNDS:
            size[: len(wanted)] *= wanted / measured[: len(wanted)]
            mixed = nearest_correlation(mixed + PACE * (target - correlation))
    symbols = [one.symbol for one in perpetuals] + [f"{one.base}/USDT:USDT" for one in coins]
    paths = dict(zip(symbols, found, strict=True))
    for base, spot in spots.items():
        perpetual = next(n for n, one in enumerate(perpetuals) if one.base == base)
        paths[spot.symbol] = _beside(spot, found[perpetual], knots[perpetual])
    return Paths(paths, measured, correlation)


def random(facts: Facts, purpose: str) -> np.random.RandomState:
    """A stream for each purpose, so that a coin more leaves the others as they are."""
    # NumPy froze this generator's stream for good (NEP 19), which it did not do for the newer ones.
    return np.random.RandomState([facts.plan.seed, zlib.crc32(purpose.encode())])


def _target(facts: Facts, perpetuals: list[Days]) -> Floats:
    bases = [one.base for one in perpetuals]
    known = facts.moments.loc[bases, bases].to_numpy(float)
    count = len(bases) + len(facts.plan.coins)
    target = np.eye(count)
    target[: len(bases), : len(bases)] = known
    for n, coin in enumerate(facts.plan.coins, start=len(bases)):
        target[n, :n] = target[:n, n] = coin.correlation
    return target


def _daily(days: Days) -> Floats:
    """(D,) standard deviation of a day from its range (Parkinson 1980), one hour's crash held back."""
    ranges = days.high - days.low
    around = np.array([np.median(ranges[max(day - 10, 0) : day + 11]) for day in range(len(ranges))])
    return np.asarray(np.minimum(ranges, WIDEST * around) / np.sqrt(4.0 * np.log(2.0)))


@dataclass(frozen=True, slots=True)
class _DayKnots:
    """Positions and log levels that one day's path passes; of the spot beside it, where there is one, too."""

    positions: list[int]
    levels: Floats
    spot: dict[int, float]


def _knots(days: Days, spot: Days | None, random: np.random.RandomState) -> list[_DayKnots]:
    found = []
    for day in range(len(days.open)):
        offsets = random.randint(2, STEPS // 2 - 1, size=4)
        points = _points(days, day, offsets[0], offsets[1])
        beside: dict[int, float] = {}
        if spot is not None:
            beside = _points(spot, day, offsets[0], offsets[1])
            away = (days.open[day] - spot.open[day] + days.close[day] - spot.close[day]) / 2.0
            for position, level in beside.items():
                # Where the spot had its extreme in another hour the perpetual cannot have been far from its own.
                if position not in points:
                    points[position] = float(np.clip(level + away, days.low[day] + INSIDE, days.high[day] - INSIDE))
        positions = sorted(points)
        found.append(_DayKnots(positions, np.array([points[position] for position in positions]), beside))
    return found


def _points(days: Days, day: int, first: int, second: int) -> dict[int, float]:
    points = {0: float(days.open[day]), A_DAY: float(days.close[day])}
    for hour, level in days.instants.items():
        if hour // 24 == day and hour % 24:
            points[hour % 24 * STEPS] = level
    high, low = int(days.hour_of_high[day]) * STEPS, int(days.hour_of_low[day]) * STEPS
    falling = days.close[day] < days.open[day]
    late = STEPS // 2 + second if high == low else first
    early = first
    for start, level, offset in (
        (high, float(days.high[day]), early if falling else late),
        (low, float(days.low[day]), late if falling else early),
    ):
        if level not in (points[0] if start == 0 else None, points[A_DAY] if start == A_DAY - STEPS else None):
            points[start + offset] = level
    return points


def _least_strayed(
    perpetuals: list[Days],
    knots: list[list[_DayKnots]],
    draws: Floats,
    mixing: Floats,
    scale: Floats,
    weights: Floats,
) -> Floats:
    """(D * A_DAY, N) of each day's draws that which least leaves the extremes: reflection costs correlation."""
    chosen = []
    for day, of_day in enumerate(draws):
        shocks = of_day @ mixing * scale[day * A_DAY : (day + 1) * A_DAY]
        outside = np.zeros(len(of_day))
        for column, one in enumerate(perpetuals):
            known = knots[column][day]
            low, high = one.low[day] + INSIDE, one.high[day] - INSIDE
            outside += weights[column] * strayed(shocks[:, :, column], known.positions, known.levels, low, high)
        chosen.append(of_day[int(np.argmin(outside))])
    return np.concatenate(chosen)


def _through(days: Days, shocks: Floats, knots: list[_DayKnots]) -> Floats:
    paths = np.empty((len(knots), A_DAY + 1))
    for day, known in enumerate(knots):
        low, high = days.low[day] + INSIDE, days.high[day] - INSIDE
        steps = shocks[day * A_DAY : (day + 1) * A_DAY]
        paths[day] = bridged(steps, known.positions, known.levels, low, high)
    return paths


def _beside(spot: Days, paths: Floats, knots: list[_DayKnots]) -> Floats:
    """The spot's path: the perpetual's less a basis that is linear between the instants at which both are known."""
    found = np.empty_like(paths)
    rows = np.arange(A_DAY + 1)
    for day, known in enumerate(knots):
        positions = sorted(known.spot)
        levels = np.array([known.spot[position] for position in positions])
        basis = np.interp(rows, positions, levels - paths[day, positions])
        found[day] = np.clip(paths[day] + basis, spot.low[day] + INSIDE, spot.high[day] - INSIDE)
        found[day, positions] = levels
    return found


def _free(coin: Coin, shocks: Floats, start_ms: int) -> Floats:
    """Path of a coin without days, through its few levels."""
    step_ms = HOUR_MS // STEPS
    knots = [(int(one.at.timestamp() * 1000) - start_ms) // step_ms for one in coin.price]
    levels = np.log([one.level for one in coin.price])
    path = bridged(shocks, knots, levels, -FREE, FREE)
    if coin.within is not None:
        ends = [int(one.timestamp() * 1000 - start_ms) // step_ms for one in (coin.within.start, coin.within.end)]
        span = slice(ends[0], ends[1] + 1)
        path[span] = fold(path[span], np.log(coin.within.low) + INSIDE, np.log(coin.within.high) - INSIDE)
    days = len(shocks) // A_DAY
    assert days * DAY_MS == len(shocks) * step_ms
    return np.stack([path[day * A_DAY : (day + 1) * A_DAY + 1] for day in range(days)])
