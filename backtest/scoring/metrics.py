"""What a run earned and risked, each number with its unit and, where it is undefined, the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from backtest.base.arguments import checked
from backtest.base.progress import Progress, silent
from backtest.base.units import DAY_MS
from backtest.engine.costs import DAYS_PER_YEAR, bars_per_year
from backtest.engine.layout import COSTS, LEAST_RATIO
from backtest.engine.prepared import Prepared
from backtest.engine.replay import recorded
from backtest.engine.run import Run
from backtest.engine.variations import Orders
from backtest.scoring.block_length import FEWEST, block_length
from backtest.scoring.bootstrap import Interval, Statistics, drawn_together, row_intervals
from backtest.scoring.long_bootstrap import Resampled, resampled_sums, suits, suits_copies, summed_together
from backtest.scoring.metric import METRICS

NAN = float("nan")
LEVEL = 0.9
"""Default level of the intervals of scores."""
Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Score:
    """One number about a run.

    `value` is NaN where undefined, with the `reason`; `low` and `high` bound it where an interval was computed, else
    NaN, with the reason where it could not be. `n` is what it was measured on (bars or trades); `unit` is `share`,
    `ratio`, `days`, `count` or `per year`.
    """

    name: str
    value: float
    unit: str
    n: int
    low: float = NAN
    high: float = NAN
    reason: str = ""


def bar_returns(equity: Vector, capital: float) -> Vector:
    """(T,) simple returns of equity from bar to bar, the first from the starting capital; 0 once equity is 0."""
    before = np.concatenate(([capital], equity[:-1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0, equity / before - 1.0, 0.0)


def sharpe_ratio(returns: Vector, per_year: float) -> float:
    """Mean over standard deviation (ddof 1) of returns, times the root of bars a year; no risk-free rate.

    NaN if the deviation is 0 or only rounding.
    Sharpe, Journal of Portfolio Management (1994), doi:10.3905/jpm.1994.409501.
    """
    return float(sharpe_ratios(returns[np.newaxis], per_year)[0]) if len(returns) > 1 else NAN


def sharpe_ratios(returns: Vector, per_year: float) -> Vector:
    """(C,) Sharpe ratios of each row of returns (C, T), T > 1; see `sharpe_ratio`."""
    deviation = returns.std(axis=1, ddof=1)
    least = np.maximum(np.sqrt(LEAST_RATIO * np.mean(returns**2, axis=1)), LEAST_RATIO)
    return _ratios(returns.mean(axis=1), deviation, deviation > least, per_year)


def _ratios(mean: Vector, deviation: Vector, defined: npt.NDArray[np.bool_], per_year: float) -> Vector:
    return np.where(defined, mean / np.where(defined, deviation, 1.0) * math.sqrt(per_year), NAN)


def sortino_ratio(returns: Vector, per_year: float) -> float:
    """Mean over downside deviation sqrt(mean(min(r, 0)^2)), annualised like the Sharpe ratio.

    NaN if there are no losses beyond rounding.
    Sortino and Price, Journal of Investing (1994), doi:10.3905/joi.3.3.59.
    """
    return float(sortino_ratios(returns[np.newaxis], per_year)[0])


def sortino_ratios(returns: Vector, per_year: float) -> Vector:
    """(C,) Sortino ratios of each row of returns (C, T); see `sortino_ratio`."""
    downside = np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2, axis=1))
    return _ratios(returns.mean(axis=1), downside, downside > LEAST_RATIO, per_year)


def max_drawdown(equity: Vector, capital: float) -> float:
    """Largest fall from a running peak (the capital at first), as a share of the peak."""
    return float(max_drawdowns(equity[np.newaxis], capital)[0])


def max_drawdowns(equity: Vector, capital: float) -> Vector:
    """(C,) largest falls of each row of equity (C, T); see `max_drawdown`."""
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), capital)
    # Before the first bar equity is the capital, and the drawdown is 0.
    return np.asarray(np.maximum(np.max(1.0 - equity / peak, axis=1), 0.0))


def bar_statistics(returns: Vector, per_year: float) -> Vector:
    """(5, C) net return, volatility, Sharpe and Sortino ratio and drawdown of each row of returns (C, T), T > 1.

    To the last bit what each by itself gives, from fewer passes; `returns` is overwritten.
    """
    mean = returns.mean(axis=1, keepdims=True)
    deviation = returns.std(axis=1, ddof=1, mean=mean)
    mean = mean[:, 0]
    work = np.square(returns)
    least = np.maximum(np.sqrt(LEAST_RATIO * np.mean(work, axis=1)), LEAST_RATIO)
    np.square(np.minimum(returns, 0.0, out=work), out=work)
    downside = np.sqrt(np.mean(work, axis=1))
    equity = np.cumprod(np.add(returns, 1.0, out=returns), axis=1, out=work)
    net = equity[:, -1] - 1.0
    peak = np.maximum(np.maximum.accumulate(equity, axis=1, out=returns), 1.0, out=returns)
    kept = np.divide(equity, peak, out=work).min(axis=1)
    return np.stack(
        (
            net,
            deviation * math.sqrt(per_year),
            _ratios(mean, deviation, deviation > least, per_year),
            _ratios(mean, downside, downside > LEAST_RATIO, per_year),
            np.maximum(1.0 - kept, 0.0),
        )
    )


def longest_drawdown(equity: Vector, capital: float) -> int:
    """Largest number of consecutive bars that ended below the running peak."""
    path = np.concatenate(([capital], equity))
    below = path < np.maximum.accumulate(path)
    ends = np.flatnonzero(np.diff(np.concatenate(([0], below.astype(np.int8), [0]))))
    return int(np.max(ends[1::2] - ends[::2])) if len(ends) else 0


def scored(name: str, value: float, n: int, reason: str = "") -> Score:
    """The score of a declared metric, in its unit."""
    return Score(name, value, METRICS[name].unit, n, reason=reason)


@checked
def score_run(run: Run) -> tuple[Score, ...]:
    """Every core metric of a run, in the order in which it is shown."""
    capital, bar_ms = run.config.capital, run.market.bar_ms
    equity = np.asarray(run.equity, dtype=np.float64)
    bars, per_year = len(equity), bars_per_year(bar_ms)
    returns = bar_returns(equity, capital)
    years = bars * bar_ms / (DAYS_PER_YEAR * DAY_MS)
    net = equity[-1] / capital - 1.0
    fall = max_drawdown(equity, capital)
    short = f"the run covers {years:.2f} years, less than one" if years < 1 else ""
    cagr = (1.0 + net) ** (1.0 / years) - 1.0 if not short else NAN
    still = "equity never moved" if not np.any(returns) else ""
    lossless = "no bar lost" if not np.any(returns < 0) else ""
    fills = run.fills
    turnover = float(fills["notional"].sum()) / float(equity.mean()) if equity.mean() > 0 else NAN
    on_bars = (
        scored("net_return", net, bars),
        scored("cagr", cagr, bars, reason=short),
        scored("volatility", float(returns.std(ddof=1)) * math.sqrt(per_year) if bars > 1 else NAN, bars),
        scored("sharpe", sharpe_ratio(returns, per_year), bars, reason=still),
        scored("sortino", sortino_ratio(returns, per_year), bars, reason=lossless),
        scored("max_drawdown", fall, bars),
        scored("longest_drawdown", longest_drawdown(equity, capital) * bar_ms / DAY_MS, bars),
        scored("calmar", cagr / fall if fall > 0 else NAN, bars, reason=short or ("" if fall > 0 else still)),
        scored("exposure", run.exposure, bars),
        scored("turnover", turnover, len(fills)),
    )
    drag = tuple(scored(f"{cost}_drag", getattr(run.costs, cost) / capital, len(run.trades)) for cost in COSTS)
    return on_bars + _trade_scores(run) + drag


def _trade_scores(run: Run) -> tuple[Score, ...]:
    trades = run.trades
    n = len(trades)
    net, shares = (trades[name].to_numpy(dtype=np.float64) for name in ("net", "net_return"))
    none = "" if n else "no trade was closed"
    lost = float(-net[net < 0].sum())
    three = {name: trades[name].to_numpy(dtype=np.float64) for name in ("before", "waited", "captured")}
    dated = np.isfinite(three["before"])
    undated = "" if dated.any() else "no trade has a catalyst with a close before it"
    means = {name: _mean(values[dated]) for name, values in three.items()}
    missed, kept = means["before"], means["captured"]
    flat = undated or ("mean move before is not positive, so the share of it that was captured says nothing")
    return (
        scored("trades", float(n), n),
        scored("hit_rate", _mean((net > 0).astype(np.float64)), n, reason=none),
        scored("mean_trade", _mean(shares), n, reason=none),
        scored("median_trade", float(np.median(shares)) if n else NAN, n, reason=none),
        scored(
            "profit_factor",
            float(net[net > 0].sum()) / lost if lost > 0 else NAN,
            n,
            reason=none or ("" if lost > 0 else "no trade lost"),
        ),
        *(scored(name, value, int(dated.sum()), reason=undated) for name, value in means.items()),
        scored(
            "captured_per_before",
            kept / missed if missed > 0 else NAN,
            int(dated.sum()),
            reason="" if missed > 0 else flat,
        ),
    )


def _mean(values: Vector) -> float:
    return float(np.mean(values)) if len(values) else NAN


def draws_of_bars(runs: Sequence[Run], draws: int, progress: Progress = silent) -> list[Vector | None]:
    """(5, draws) `bar_statistics` of resamples of each of the runs on one market, under one configuration.

    None for a run that is not resampled so: with few returns, or so many bars that sums over blocks are faster.
    """
    drawn: list[Vector | None] = [None] * len(runs)
    series = [bar_returns(np.asarray(run.equity, dtype=np.float64), run.config.capital) for run in runs]
    blocks = [whole_trades(run, values) for run, values in zip(runs, series, strict=True)]
    asked = [
        place
        for place, (values, block) in enumerate(zip(series, blocks, strict=True))
        if block is not None and np.count_nonzero(values) >= FEWEST and not suits(values, block)
    ]
    if asked:
        found = _draws_of(
            [series[place] for place in asked],
            [blocks[place] or 1.0 for place in asked],
            draws,
            runs[0].config.seed,
            bars_per_year(runs[0].market.bar_ms),
            lambda done: progress("intervals", done, draws),
        )
        for place, values in zip(asked, found, strict=True):
            drawn[place] = values
    return drawn


def _draws_of(
    series: Sequence[Vector],
    blocks: Sequence[float],
    draws: int,
    seed: int,
    per_year: float,
    report: Callable[[int], object] = lambda _: None,
) -> list[Vector]:
    """(5, draws) `bar_statistics` of resamples of each of S series (T,), summed by blocks where these are long."""
    by_blocks = [suits_copies(values, block) for values, block in zip(series, blocks, strict=True)]
    summed, copied = (
        [(values, block) for values, block, one in zip(series, blocks, by_blocks, strict=True) if one is wanted]
        for wanted in (True, False)
    )
    sums = summed_together([one for one, _ in summed], [block for _, block in summed], draws, seed, report)
    measured = drawn_together(
        partial(bar_statistics, per_year=per_year),
        [one for one, _ in copied],
        [block for _, block in copied],
        draws,
        seed,
        report,
    )
    found = iter(of_sums(one, len(series[0]), per_year) for one in sums), iter(measured)
    return [next(found[0] if one else found[1]) for one in by_blocks]


def with_intervals(
    run: Run,
    scores: Iterable[Score],
    *,
    draws: int = 1_000,
    level: float = LEVEL,
    drawn: Vector | None = None,
) -> tuple[Score, ...]:
    """The scores with `low` and `high` by stationary bootstrap, over bars or over trades in order of entry.

    If there is a value but no interval, `reason` says why. The seed is that of the run's configuration. `drawn` is the
    run's part of `draws_of_bars`, if several runs were resampled together.
    """
    per_year = bars_per_year(run.market.bar_ms)
    returns = bar_returns(np.asarray(run.equity, dtype=np.float64), run.config.capital)
    shares = run.trades["net_return"].to_numpy(dtype=np.float64)
    of_bars: dict[str, Statistics] = {
        "net_return": lambda drawn: np.prod(1.0 + drawn, axis=1) - 1.0,
        "volatility": lambda drawn: drawn.std(axis=1, ddof=1) * math.sqrt(per_year),
        "sharpe": lambda drawn: sharpe_ratios(drawn, per_year),
        "sortino": lambda drawn: sortino_ratios(drawn, per_year),
        "max_drawdown": lambda drawn: max_drawdowns(np.cumprod(1.0 + drawn, axis=1, dtype=np.float64), 1.0),
    }
    of_trades: dict[str, Statistics] = {
        "hit_rate": lambda drawn: np.mean(drawn > 0.0, axis=1),
        "mean_trade": lambda drawn: np.mean(drawn, axis=1),
        "median_trade": lambda drawn: np.median(drawn, axis=1),
    }

    def by_blocks(series: Vector, block: float, draws: int, seed: int) -> Vector | None:
        if drawn is not None:
            return drawn
        if not suits(series, block):
            return _draws_of([series], [block], draws, seed, per_year)[0]
        return of_sums(resampled_sums(series, block, draws, seed), len(series), per_year)

    bounds: dict[str, Interval] = {}
    for statistics, values in ((of_bars, returns), (of_trades, shares)):
        block = whole_trades(run, values) if statistics is of_bars else None
        found = row_intervals(
            tuple(statistics.values()),
            values,
            seed=run.config.seed,
            level=level,
            draws=draws,
            block=block,
            drawing=by_blocks if statistics is of_bars else None,
        )
        bounds |= dict(zip(statistics, found, strict=True))
    return tuple(
        replace(score, low=bound.low, high=bound.high, reason=score.reason or bound.reason)
        if (bound := bounds.get(score.name))
        else score
        for score in scores
    )


def of_sums(sums: Resampled, bars: int, per_year: float) -> Vector:
    """(5, D) net return, volatility, Sharpe ratio, Sortino ratio and drawdown of resamples of `bars` bars."""
    mean = sums.total / bars
    deviation = np.sqrt(np.maximum(sums.squares - sums.total * mean, 0.0) / (bars - 1))
    least = np.maximum(np.sqrt(LEAST_RATIO * sums.squares / bars), LEAST_RATIO)
    downside = np.sqrt(np.maximum(sums.losses, 0.0) / bars)
    return np.stack(
        (
            np.expm1(sums.growth),
            deviation * math.sqrt(per_year),
            _ratios(mean, deviation, deviation > least, per_year),
            _ratios(mean, downside, downside > LEAST_RATIO, per_year),
            -np.expm1(-sums.fall),
        )
    )


def whole_trades(run: Run, returns: npt.NDArray[np.float64]) -> float | None:
    """Mean block length in bars for `returns` (T,), at least the run's longest trade; None if undefined.

    Shorter blocks would cut trades into pieces that a resample mixes, so the intervals of few long trades would be too
    narrow.
    """
    length = block_length(returns)
    if math.isnan(length):
        return None
    held = (run.trades["exit_time"] - run.trades["entry_time"]).max() if len(run.trades) else None
    bars = 0.0 if held is None else held.total_seconds() * 1000.0 / run.market.bar_ms
    return float(min(max(length, bars), len(returns)))


def named(scores: Iterable[Score]) -> dict[str, Score]:
    """Scores by name."""
    return {score.name: score for score in scores}


def replay_returns(orders: Orders, prepared: Prepared) -> npt.NDArray[np.float32]:
    """(T,) simple returns per bar of variation 0."""
    book, _ = recorded(orders, prepared)
    return bar_returns(book.equity, prepared.config.capital).astype(np.float32)
