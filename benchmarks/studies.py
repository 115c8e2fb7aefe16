"""What an event study takes as catalysts grow, and its placebo dates by cumulated sums beside fits of each one's bars.

python -m benchmarks.studies [--quick]

CPU seconds of this process, so that other work changes less; catalysts at random on the embedded sample.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from backtest.base.estimate import ROWS
from backtest.catalysts.record import Calendar, Catalyst
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.record import Market
from backtest.study.abnormal import effects, fit, series
from backtest.study.alignment import FitRow, place, resample
from backtest.study.placebo import placebo_sums, step_of, turn, twice
from backtest.study.sample import benchmark_columns
from backtest.study.settings import StudyConfig
from backtest.study.study import event_study
from benchmarks.table import count, table

Found = TypeVar("Found")


def calendar_of(market: Market, catalysts: int) -> Calendar:
    """Catalysts of coins and hours at random, each with room for its windows."""
    random = np.random.default_rng(1)
    coins = sorted({one.base for one in market.instruments})
    hours = random.integers(500, len(market.index) - 200, catalysts)
    return Calendar(
        "random",
        tuple(
            Catalyst(
                id=f"one-{number}", assets=(coins[number % len(coins)],), kind="listing", actor=f"venue {number % 7}",
                direction=1, precision="hour", source="none", confidence="high",
                announced_at=market.index[hour].to_pydatetime(),
            )
            for number, hour in enumerate(hours.tolist())
        ),
    )  # fmt: skip


def timed(work: Callable[[], Found]) -> tuple[float, Found]:
    """CPU seconds of a piece of work, and its result."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def growth(market: Market, sizes: tuple[int, ...]) -> str:
    """A study of each number of catalysts."""
    event_study(market, calendar_of(market, 20))
    rows = []
    for size in sizes:
        calendar = calendar_of(market, size)
        seconds, study = timed(lambda calendar=calendar: event_study(market, calendar))  # type: ignore[misc]
        rows.append((count(size), f"{seconds:.2f}", f"{1e3 * seconds / size:.1f}", count(len(study.paths))))
    head = ("catalysts", "CPU s", "ms a catalyst", "rows of paths")
    return table("Event study of the sample, three measures, with placebo", head, rows, ())


def dates(market: Market, catalysts: int) -> str:
    """The placebo dates of the return by both methods, and how far apart they are."""
    config, panel = StudyConfig(), resample(market, None)
    windows, spans = config.windows(panel.bar_ms), config.spans(panel.bar_ms)
    minimum, coins = config.minimum(windows), tuple(one.base for one in market.instruments)
    source = series(panel, "return", "market", coins, benchmark_columns(market, config))
    rows = [
        FitRow((column,), aligned.onset, aligned.width)
        for one in calendar_of(market, catalysts)
        if (column := market.column_of(one.assets[0])) is not None
        and one.assets[0] not in config.benchmarks
        and (aligned := place(one, (), panel)) is not None
    ]
    turns = turn(rows, len(panel.close), step_of(panel.bar_ms, weekly=False), windows, config.draws, config.seed)
    double = twice(source, turns.bars)

    def one_by_one() -> np.ndarray:
        found = []
        for first in range(0, len(turns.onset), ROWS):
            some = [turns.row(date) for date in range(first, min(first + ROWS, len(turns.onset)))]
            width = np.array([row.width for row in some])
            found.append(effects("return", fit(double, some, windows, minimum), spans, width).scar)
        return np.concatenate(found)

    slow_s, slow = timed(one_by_one)
    fast_s, sums = timed(lambda: placebo_sums("return", source, turns, windows, minimum, spans))
    away = np.nanmax(np.abs(sums.scar - slow))
    same = bool((np.isnan(sums.scar) == np.isnan(slow)).all())
    rows_of_table = [
        ("a fit of each date's bars", f"{slow_s:.3f}", ""),
        ("cumulated sums", f"{fast_s:.3f}", f"{slow_s / fast_s:.0f} times as fast"),
    ]
    told = f"{len(turns.onset):,} dates of {catalysts} catalysts; standardised sums differ by at most {away:.1e}"
    return table("Placebo dates of the return", ("method", "CPU s", ""), rows_of_table, (f"{told}; NaN alike: {same}",))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="Fewer catalysts.")
    quick = parser.parse_args().quick
    market = open_dataset(default_dataset())
    print(growth(market, (50, 200) if quick else (50, 200, 800, 3_200)))
    print(dates(market, 50 if quick else 200))


if __name__ == "__main__":
    main()
