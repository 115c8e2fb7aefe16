"""Test helpers for a repository with your own strategies.

    # conftest.py
    pytest_plugins = ["backtest.testing"]

makes each function below a fixture of the same name; `from backtest.testing import synthetic_market` imports it as an
ordinary function. The plugin does not register itself, because every pytest run on the machine would then import
pandas. A runnable example is in docs/testing.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest.base.errors import LookaheadError, UsageError
from backtest.base.units import UNIT_MS, duration_ms, from_ms
from backtest.baseline import Comparison, compare, read_baseline
from backtest.catalysts.record import Calendar, Catalyst
from backtest.catalysts.timing import known_at_ms
from backtest.market.record import Instrument, Market, Provenance
from backtest.scoring.evaluation import Evaluation, evaluate
from backtest.scoring.placebo import PlaceboPlan
from backtest.signals.audit import DEFAULT_CUTS, Audit, audit
from backtest.signals.strategy import Strategy

SYNTHETIC = "SYNTHETIC"
HOUR_MS = UNIT_MS["h"]
START = pd.Timestamp("2025-10-01", tz="UTC")
FIRST_CATALYST_HOURS = 192
"""Of a planted calendar: after the week in which sigma and ADV become known, and a day of reserve."""


def synthetic_market(
    hours: int = 240,
    coins: Sequence[str] = ("ZEC", "DASH"),
    *,
    seed: int = 1,
    volatility: float = 0.01,
    gaps: float = 0.0,
    funding: bool = True,
    open_interest: bool = True,
    spot: Sequence[str] = (),
) -> Market:
    """Hourly random walks without drift from 2025-10-01: one swap per coin, then one spot for each coin in `spot`.

    The same arguments give the same market, which carries the label SYNTHETIC wherever results are shown.

    Parameters
    ----------
    volatility
        Standard deviation of an hour's log return; 0 for constant prices.
    gaps
        Share of bars that are missing (NaN), and of those in which nothing was traded (volume 0); the first bar is
        whole.
    funding, open_interest
        Whether they are known: funding settles every eighth hour. Unknown is NaN; spot has neither.

    Raises
    ------
    UsageError
        For no hours, no coins, a negative volatility, gaps outside [0, 0.5], or spot of a coin that is not there.
    """
    if hours < 1 or not coins or volatility < 0 or not 0 <= gaps <= 0.5:
        raise UsageError(
            f"synthetic market of hours = {hours}, coins = {tuple(coins)}, volatility = {volatility}, gaps = {gaps}: "
            "take an hour and a coin at least, a volatility of 0 or more, and gaps from 0 to 0.5"
        )
    if not set(spot) <= set(coins):
        raise UsageError(f"spot = {tuple(spot)} must be some of the coins, {', '.join(coins)}")
    swaps = len(coins)
    close, wick, size, interest, rate, holes = (
        np.column_stack([_normal(seed, series, column, hours) for column in range(swaps)]) for series in range(6)
    )
    close = 100.0 * np.exp(np.cumsum(volatility * close, axis=0))
    opens = np.vstack((np.full((1, swaps), 100.0), close[:-1]))
    reach = np.exp(0.5 * volatility * np.abs(wick))
    hour = np.arange(hours)[:, None]
    panels = {
        "open": opens,
        "high": np.maximum(opens, close) * reach,
        "low": np.minimum(opens, close) / reach,
        "close": close,
        "volume": 1e5 * np.exp(0.5 * size),
        "open_interest": 1e7 * np.exp(0.02 * np.cumsum(interest, axis=0)) if open_interest else close * np.nan,
        "funding": np.where(hour % 8 == 7, 1e-4 * rate, 0.0) if funding else close * np.nan,
    }
    # Of each coin exactly this share: the hours of its lowest draws are missing, those of its highest without a trade.
    rank = holes.argsort(axis=0).argsort(axis=0)
    whole = hour == 0
    panels["volume"][(rank >= hours - int(gaps * hours)) & ~whole] = 0.0
    missing = (rank < int(gaps * hours)) & ~whole
    for name in ("open", "high", "low", "close", "volume", "open_interest"):
        panels[name] = np.where(missing, np.nan, panels[name])
    beside = [list(coins).index(coin) for coin in spot]
    for name, values in panels.items():
        extra = values[:, beside] * (np.nan if name == "open_interest" else 0.0 if name == "funding" else 1.0)
        panels[name] = np.hstack((values, extra))
    symbols = [*(f"{coin}/USDT:USDT" for coin in coins), *(f"{coin}/USDT" for coin in spot)]
    return Market(
        index=pd.date_range(START, periods=hours, freq="h"),
        timeframe="1h",
        instruments=tuple(Instrument.parse(symbol) for symbol in symbols),
        **panels,
        provenance=Provenance("synthetic", f"random walk of seed {seed}, made in a test", SYNTHETIC, "CC0-1.0"),
    )


def _normal(seed: int, series: int, column: int, hours: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng((seed, series, column)).standard_normal(hours)


@dataclass(frozen=True, slots=True, eq=False)
class Planted:
    """A market in which catalysts move prices, and its twin in which they do not.

    Attributes
    ----------
    market : Market
        Each catalyst moves its coin by `size` inside the one bar that opens `after_ms` after it is known.
    null : Market
        The same random walk without any such move.
    calendar : Calendar
        Of both: `planted-01`, `planted-02`, ... in order, each about one coin, the coins in turn.
    size : float
        The move, share of the price.
    after_ms : int
        From when a catalyst is known to the open of the bar that moves.
    """

    market: Market
    null: Market
    calendar: Calendar
    size: float
    after_ms: int


def planted_effect(
    size: float = 0.1,
    *,
    after: str = "1h",
    catalysts: int = 8,
    hours: int = 960,
    coins: Sequence[str] = ("ZEC", "DASH"),
    seed: int = 1,
    volatility: float = 0.002,
) -> Planted:
    """Catalysts of known ids that move their coin by a known size after a known time, and a null beside it.

    A strategy that enters when a catalyst is known and stays longer than `after` earns `size` less costs, with
    `volatility` 0 exactly; in the null it earns nothing but luck. A negative size has catalysts of direction -1. The
    first catalyst comes after the eight days in which liquidity becomes known, the others at uneven intervals.

    Raises
    ------
    UsageError
        For a size of 0 or below -1, `after` that is no whole number of hours, or too few hours for the catalysts.
    """
    after_ms = duration_ms(after)
    slot = (hours - FIRST_CATALYST_HOURS) // max(catalysts, 1)
    least = after_ms // HOUR_MS + 4
    if size == 0 or size <= -1 or after_ms % HOUR_MS:
        raise UsageError(f"planted effect of size = {size}, after = {after!r}: plant a move, after whole hours")
    if catalysts < 1 or slot < least:
        raise UsageError(
            f"{catalysts} planted catalysts need {FIRST_CATALYST_HOURS + max(catalysts, 1) * least} hours, "
            f"and there are {hours}: take more hours or fewer catalysts"
        )
    null = synthetic_market(hours, coins, seed=seed, volatility=volatility)
    jitter = np.random.default_rng((seed, catalysts)).integers(0, slot - least + 1, catalysts)
    rows = FIRST_CATALYST_HOURS + slot * np.arange(catalysts) + jitter
    calendar = Calendar(
        "planted",
        tuple(
            Catalyst(
                id=f"planted-{number + 1:02d}",
                assets=(coins[number % len(coins)],),
                kind="listing",
                actor="nobody",
                direction=1 if size > 0 else -1,
                precision="hour",
                announced_at=from_ms(null.start_ms + int(row) * HOUR_MS),
                source="planted in a test",
                confidence="high",
            )
            for number, row in enumerate(rows)
        ),
    )
    factor = {name: np.ones(null.close.shape) for name in ("open", "high", "low", "close")}
    for one in calendar:
        column = null.column_of(one.assets[0])
        bar = null.bar_at_or_after((known_at_ms(one) or 0) + after_ms)
        for name, values in factor.items():
            # The bar opens where it would have and closes moved; what it reached lies between or is moved too.
            first = bar + (name == "open" or name == ("low" if size > 0 else "high"))
            values[first:, column] *= 1.0 + size
    moved = {name: getattr(null, name) * values for name, values in factor.items()}
    return Planted(replace(null, **moved), null, calendar, size, after_ms)


def assert_no_lookahead(
    strategy: Strategy[Any], market: Market, calendar: Calendar, *, cuts: int = DEFAULT_CUTS
) -> Audit:
    """Audit a strategy with `backtest.audit`, and fail if it looks ahead or if nothing was tested.

    Raises
    ------
    AssertionError
        In the audit's own words; also if no decision was tested, since that proves nothing.
    UsageError
        As `backtest.audit`.
    """
    __tracebackhide__ = True
    found = audit(strategy, market, calendar, cuts=cuts)
    try:
        found.check()
    except LookaheadError as error:
        raise AssertionError(str(error)) from None
    if not found.tested:
        raise AssertionError(
            f"strategy {strategy.name!r} was not exercised: of its {found.decisions} decisions on market "
            f"{market.provenance.name!r} none was tested, which proves nothing; give it data on which it decides"
        )
    return found


def assert_baseline(
    subject: Evaluation | Strategy[Any],
    path: str | Path,
    market: Market | None = None,
    calendar: Calendar | None = None,
) -> Comparison:
    """Fail if a strategy differs from its baseline file, with one sentence per difference.

    Nothing is ever written: `backtest baseline record` is the only writer, so that a baseline is looked at before it
    counts. The file may have been recorded from Python too, for a market that is in memory only.

    Parameters
    ----------
    subject
        An evaluation of one strategy; or a strategy, which is evaluated on `market` and `calendar` under the default
        configuration and with the placebo of the baseline.

    Raises
    ------
    AssertionError
        If there is no baseline, or if its data, a metric, a trade or the verdict differ.
    UsageError
        For a strategy without a market and a calendar.
    """
    __tracebackhide__ = True
    place = Path(path)
    if not isinstance(subject, Evaluation) and (market is None or calendar is None):
        raise UsageError(f"assert_baseline of strategy {subject.name!r} needs the market and calendar it decides on")
    strategy = subject.strategies[0] if isinstance(subject, Evaluation) else subject
    if not place.is_file():
        raise AssertionError(_how_to_record(strategy, place))
    baseline = read_baseline(place)
    if isinstance(subject, Evaluation):
        evaluation = subject
    else:
        assert market is not None
        assert calendar is not None
        plan = PlaceboPlan(**baseline.placebo.model_dump(exclude={"family"})) if baseline.placebo else None
        evaluation = evaluate([subject], market, calendar, plan=plan, bootstrap=0)
    found = compare(baseline, evaluation)
    if not found.passed:
        raise AssertionError(f"{strategy.name} is not as {place} says: " + "; ".join(found.sentences))
    return found


def _how_to_record(strategy: Strategy[Any], path: Path) -> str:
    """What to type, for data with a name and for data in memory only."""
    kind = type(strategy)
    file = inspect.getsourcefile(kind)
    reference = strategy.name
    if file is not None and not kind.__module__.startswith("backtest.strategies."):
        # What is typed is kept in the baseline, which other machines read.
        here = Path(file).resolve()
        reference = f"{here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here}:{kind.__name__}"
    return (
        f"no baseline of {strategy.name} at {path}: record it, review it and commit it: `backtest baseline record -s "
        f"{reference} --folder {path.parent.parent}` with the -d, -c and -p that it is tested on (which writes "
        f"DATASET/{strategy.name}.json), or for a market in memory with "
        f"`write_baseline(Path({str(path)!r}), baseline_of(evaluation, None))`"
    )


def _fixture(function: Callable[..., Any]) -> Any:
    """A fixture of the function's name whose value is the function."""
    return pytest.fixture(scope="session", name=function.__name__)(lambda: function)


_assert_baseline = _fixture(assert_baseline)
_assert_no_lookahead = _fixture(assert_no_lookahead)
_planted_effect = _fixture(planted_effect)
_synthetic_market = _fixture(synthetic_market)
