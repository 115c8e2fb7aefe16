"""How often each test rejects on markets in which nothing happened, and how often it finds what was planted.

    python -m benchmarks.calibration --markets 100 --out docs/calibration.md

Markets are made from the returns of the embedded sample by the joint stationary bootstrap (blocks of 48 bars, six
coins, 1,600 hours), or from a GARCH(1, 1) or two regimes of volatility; catalysts are placed as each design says, and
strategy and study see the same ones. Market m of every design has the seed 20251101 + m.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from backtest.catalysts.record import Calendar, Catalyst
from backtest.config import RunConfig
from backtest.engine.prepared import prepare
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.record import Floats, Instrument, Market
from backtest.scoring.bootstrap import stationary_indices
from backtest.scoring.placebo import PlaceboPlan, placebo_intents
from backtest.signals.strategy import Intent, Intents
from backtest.study.alignment import resample
from backtest.study.cumulation import cumulate
from backtest.study.measures import fit, series
from backtest.study.multiplicity import placebo_p
from backtest.study.placebo import placebo_sums, standardised_t, step_of, turn
from backtest.study.sample import enter, observations
from backtest.study.settings import StudyConfig
from backtest.study.significance import significance
from backtest.units import from_ms

SEED, BARS, HOUR, HOLD, BLOCK = 20251101, 1_600, 3_600_000, 24, 48
COINS = ("BTC", "ZEC", "DASH", "XMR", "ZEN", "ROSE")
CONFIG = RunConfig(
    impact=0.0, participation=float("inf"), funding_unknown="zero", fee_rate=0.0, half_spread=0.0, gross_cap=10.0
)
STUDY = StudyConfig(groups=())
Steps = Callable[[np.random.Generator, Floats], Floats]
Places = Callable[[np.random.Generator, Floats], list[tuple[int, int]]]


def bootstrapped(random: np.random.Generator, history: Floats) -> Floats:
    """(T, N) hours of the history in blocks, all coins together; their mean is taken out."""
    (rows,) = stationary_indices(len(history), BLOCK, 1, int(random.integers(2**31)))
    steps = np.concatenate((history[rows[0]], history[rows[0]]))[:BARS]
    return np.asarray(steps - steps.mean(axis=0))


def tenfold(random: np.random.Generator, history: Floats) -> Floats:
    """The same with everything rising tenfold over the bars in which all catalysts lie."""
    steps = bootstrapped(random, history)
    steps[500:1_300] += np.log(10.0) / 800
    return steps


def garch(random: np.random.Generator, history: Floats) -> Floats:
    """GARCH(1, 1) with 0.08 and 0.9 by coin, Student's t with 4 degrees of freedom, the history's correlation."""
    deviation = history.std(axis=0)
    root = np.linalg.cholesky(np.corrcoef(history.T))
    shocks = random.standard_t(4, (BARS, len(deviation))) / np.sqrt(2.0) @ root.T
    steps, variance = np.empty_like(shocks), deviation**2
    for bar, shock in enumerate(shocks):
        steps[bar] = np.sqrt(variance) * shock
        variance = 0.02 * deviation**2 + 0.08 * steps[bar] ** 2 + 0.9 * variance
    return steps


def regimes(random: np.random.Generator, history: Floats) -> Floats:
    """The bootstrap at half or one and a half times its volatility, changing every five days on average."""
    high = np.cumsum(random.random(BARS) < 1.0 / 120.0) % 2 == 1
    return np.asarray(bootstrapped(random, history) * np.where(high, 1.5, 0.5)[:, None])


def _spread(count: int, low: int = 400, high: int = 1_500, coins: int = 5) -> Places:
    def places(random: np.random.Generator, _: Floats) -> list[tuple[int, int]]:
        rows = np.sort(random.integers(low, high, count))
        return [(int(row), int(random.integers(coins)) + 1) for row in rows]

    return places


def one_week(random: np.random.Generator, steps: Floats) -> list[tuple[int, int]]:
    """Twelve within one week."""
    first = int(random.integers(400, 1_300))
    return _spread(12, first, first + 168)(random, steps)


def shared_dates(random: np.random.Generator, _: Floats) -> list[tuple[int, int]]:
    """Three dates, four coins each."""
    return [(int(row), coin) for row in random.integers(400, 1_500, 3) for coin in range(1, 5)]


def after_moves(random: np.random.Generator, steps: Floats) -> list[tuple[int, int]]:
    """Twelve, each at the end of a day in the top tenth of its coin's days."""
    found = []
    for _ in range(12):
        coin = int(random.integers(1, 6))
        moved = np.convolve(steps[:, coin], np.ones(24))[23 : BARS + 23][:1_500]
        rows = np.flatnonzero(moved >= np.quantile(moved, 0.9)) + 23
        rows = rows[(rows >= 400) & (rows < 1_500)]
        found.append((int(random.choice(rows)), coin))
    return sorted(found)


DESIGNS: dict[str, tuple[Steps, Places]] = {
    "uniform": (bootstrapped, _spread(12)),
    "one week": (bootstrapped, one_week),
    "shared dates": (bootstrapped, shared_dates),
    "ZEC only": (bootstrapped, _spread(12, coins=1)),
    "few (5)": (bootstrapped, _spread(5)),
    "many (60)": (bootstrapped, _spread(60)),
    "tenfold season": (tenfold, _spread(12, 550, 1_250)),
    "GARCH": (garch, _spread(12)),
    "volatility regimes": (regimes, _spread(12)),
    "after top-decile moves": (bootstrapped, after_moves),
}
PLACEBOS = ("shift", "far_shift", "dates")
STUDY_TESTS = ("kolari_pynnonen", "bmp", "patell", "kolari_pynnonen_patell", "generalised_rank")


@dataclass(frozen=True, slots=True)
class Case:
    """One market with its catalysts, as strategy and study see it."""

    market: Market
    calendar: Calendar
    intents: Intents


def case(steps: Floats, places: list[tuple[int, int]]) -> Case:
    """Bars of log `steps` and one announcement an hour for each (row, coin); long its coin for a day once known."""
    close = 100.0 * np.exp(np.cumsum(steps, axis=0))
    opens = np.vstack((np.full((1, steps.shape[1]), 100.0), close[:-1]))
    market = Market(
        pd.date_range("2025-08-01", periods=len(steps), freq="h", tz="UTC"),
        "1h",
        tuple(Instrument.parse(f"{coin}/USDT:USDT") for coin in COINS),
        opens,
        np.maximum(opens, close) * 1.002,
        np.minimum(opens, close) / 1.002,
        close,
        np.exp(np.random.default_rng(1).normal(12.0, 0.3, steps.shape)),
        np.full(steps.shape, np.nan),
        np.zeros(steps.shape),
    )
    catalysts, rows = [], []
    for number, (row, coin) in enumerate(places):
        moment = market.start_ms + row * HOUR
        name = f"catalyst-{number}"
        catalysts.append(
            Catalyst(
                id=name,
                assets=(COINS[coin],),
                kind="listing",
                actor="x",
                direction=1,
                precision="hour",
                source="simulated",
                confidence="high",
                announced_at=from_ms(moment),
            )
        )
        rows.append(
            Intent(
                instrument=market.symbols[coin],
                decided_at_ms=moment + HOUR,
                side=1,
                weight=0.1,
                hold_ms=HOLD * HOUR,
                catalyst_id=name,
            )
        )
    return Case(market, Calendar("simulated", tuple(catalysts)), Intents(tuple(rows)))


def p_values(made: Case, kinds: tuple[str, ...] = PLACEBOS) -> dict[str, float]:
    """P of every placebo of a strategy, without drift too, and of the study's tests over run-up and days after."""
    prepared, found = prepare(made.market, CONFIG), {}
    for kind in kinds:
        (one,) = placebo_intents([made.intents], prepared, made.calendar, PlaceboPlan(kind, draws=499))
        found[f"`{kind}`"] = one.p
        if kind == "shift":
            found["`shift`, driftless"] = one.driftless_p
            found["verdict: both"] = max(one.p, one.driftless_p)
    return found | study_p(made)


def study_p(made: Case) -> dict[str, float]:
    """The study's p of returns against BTC over each span: common shift, and the tests of sums from 8 observations."""
    panel = resample(made.market, None)
    windows, spans, names = STUDY.windows(HOUR), STUDY.spans(HOUR), STUDY.span_names()
    source = series(panel, "return", "market", COINS, (0,))
    minimum = STUDY.minimum(windows)
    entered, _ = enter(made.calendar, made.market, panel, source, windows, minimum)
    events = [entered[k] for k in np.unique(observations(entered, panel))]
    rows = [event.row for event in events]
    own = cumulate(fit(source, rows, windows, minimum), spans)
    turns = turn(rows, len(panel.close), step_of(HOUR, weekly=False), windows, 499, SEED)
    drawn = placebo_sums("return", source, turns, windows, minimum, spans, spans).scar[turns.table]
    one = np.ones(len(rows))
    p = placebo_p(standardised_t(own.scar, one), standardised_t(drawn, one))
    found = {f"study {name}: shift": float(value) for name, value in zip(names, p, strict=True)}
    enough = len(rows) >= STUDY.minimum_catalysts
    for test in significance(own, STUDY_TESTS):
        for name, value in zip(names, test.p_value, strict=True):
            if test.name == "kolari_pynnonen" or name == "after_1d":
                found[f"study {name}: {test.name}"] = float(value) if enough else np.nan
    return found


def history() -> Floats:
    """(T, N) log returns of the sample's six coins, hours without a bar left out."""
    market = open_dataset(default_dataset())
    columns = [market.column_of(coin) for coin in COINS]
    steps = np.diff(np.log(market.close[:, [column for column in columns if column is not None]]), axis=0)
    return np.asarray(steps[~np.isnan(steps).any(axis=1)])


def rejected(design: str, first: int, last: int) -> tuple[pd.Series, pd.Series]:
    """How often each test rejects at 5 %, and was defined, over the markets with these numbers."""
    make, put = DESIGNS[design]
    returns, rows = history(), []
    for number in range(first, last):
        random = np.random.default_rng(SEED + number)
        steps = make(random, returns)
        rows.append(p_values(case(steps, put(random, steps))))
    table = pd.DataFrame(rows)
    return (table <= 0.05).sum(), table.notna().sum()


def power(count: int, effect: float, markets: int) -> tuple[float, float]:
    """Share of markets in which shift and the study's common shift find `effect` planted over the day after."""
    found, returns = [], history()
    for number in range(markets):
        random = np.random.default_rng(SEED + number)
        steps, places = bootstrapped(random, returns), _spread(count)(random, returns)
        for row, coin in places:
            steps[row + 2 : row + 14, coin] += np.log1p(effect) / 12
        p = p_values(case(steps, places), ("shift",))
        found.append((p["`shift`"] <= 0.05, p["study after_1d: shift"] <= 0.05))
    share = np.mean(found, axis=0)
    return float(share[0]), float(share[1])


def page(markets: int, power_markets: int) -> str:
    """The calibration page."""
    began = time.monotonic()
    cases = [(count, effect) for count in (1, 5, 20) for effect in (0.02, 0.05, 0.1)]
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        waiting = {design: pool.submit(rejected, design, 0, markets) for design in DESIGNS}
        powers = {one: pool.submit(power, *one, power_markets) for one in cases}
        counts = {design: one.result() for design, one in waiting.items()}
        found = {one: share.result() for one, share in powers.items()}
    rates = pd.DataFrame({design: hits / defined.replace(0, np.nan) for design, (hits, defined) in counts.items()})
    half = 1.96 * np.sqrt(0.05 * 0.95 / markets)
    lines = [
        "# Calibration",
        "",
        "Made by `python -m benchmarks.calibration`; nothing here is typed by hand.",
        "",
        f"Per cent of {markets} markets without any effect on which each test rejects at a nominal 5 %. Markets are",
        "made from the sample's hourly returns by the joint stationary bootstrap (six coins, 1,600 bars, mean taken",
        f"out), seeds {SEED} and up; twelve catalysts unless the design says otherwise; the strategy holds a day,",
        f"long. With {markets} markets a test that keeps its level shows {max(5 - 100 * half, 0):.1f} to",
        f"{5 + 100 * half:.1f} in 95 % of the cells.",
        "Shares in bold lie outside 3 to 7 %.",
        "",
        "| test | " + " | ".join(rates.columns) + " |",
        "|---|" + "---:|" * len(rates.columns),
    ]
    for test, row in rates.iterrows():
        cells = ["-" if np.isnan(x) else f"{100 * x:.1f}" if 0.03 <= x <= 0.07 else f"**{100 * x:.1f}**" for x in row]
        lines.append(f"| {test} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "`shift` and `far_shift` are one-sided, the study's tests two-sided. A dash: too few observations.",
        "",
        "## Power",
        "",
        f"Per cent of {power_markets} markets (uniform design) in which an effect on each catalyst's coin, spread over",
        "the twelve hours after its first tradable bar, has p <= 5 %: the strategy's `shift` / the study's common",
        "shift over the day after.",
        "",
        "| catalysts | +2 % | +5 % | +10 % |",
        "|---:|---:|---:|---:|",
    ]
    for count in (1, 5, 20):
        shares = [found[count, effect] for effect in (0.02, 0.05, 0.1)]
        cells = [" / ".join(f"{100 * share:.0f}" for share in both) for both in shares]
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    print(f"{time.monotonic() - began:.0f} s")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=500)
    parser.add_argument("--power-markets", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("docs/calibration.md"))
    asked = parser.parse_args()
    asked.out.write_text(page(asked.markets, asked.power_markets), encoding="utf-8")


if __name__ == "__main__":
    main()
