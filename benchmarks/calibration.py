"""How often each test rejects on markets in which nothing happened, and how often it finds what was planted.

    python -m benchmarks.calibration --markets 500 --out docs/calibration.md

Each market's p are appended to a file of records as soon as they are known, so that a run that was stopped goes on
where it was, and the page says how many markets each of its cells has. Markets are made from the returns of the
embedded sample by the joint stationary bootstrap (blocks of 48 bars, six coins, 1,600 hours), or from a GARCH(1, 1) or
two regimes of volatility; catalysts are placed as each design says, and strategy and study see the same ones. Market m
of every design has the seed 20251101 + m.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtest.base.config import RunConfig
from backtest.base.units import from_ms
from backtest.catalysts.record import Calendar, Catalyst
from backtest.engine.prepared import prepare
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.record import Floats, Instrument, Market
from backtest.scoring.bootstrap import stationary_indices
from backtest.scoring.placebo import PlaceboPlan, clopper_pearson, placebo_intents
from backtest.signals.strategy import Intent, Intents
from backtest.study.abnormal import fit, series
from backtest.study.alignment import resample
from backtest.study.cumulation import cumulate
from backtest.study.lags import distributed_lags
from backtest.study.multiplicity import placebo_p
from backtest.study.placebo import placebo_sums, standardised_t, step_of, turn, twice
from backtest.study.sample import enter, observations
from backtest.study.settings import StudyConfig
from backtest.study.significance import significance
from backtest.study.synthetic import FEWEST_DONORS, effects_of, gaps

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
CHUNK = 20
"""Markets of one cell before the next cell has its turn."""
POWER = {f"{count} x {effect:+.0%}": (count, effect) for count in (1, 5, 20) for effect in (0.0, 0.02, 0.05, 0.1)}
"""Cells of the power curve: how many catalysts of ZEC and DASH, and what each adds to its coin's day after."""
POWER_TESTS = (
    "`shift`",
    "`far_shift`",
    "verdict: both",
    "study after_1d: each event apart (0.1)",
    "study after_1d: shift",
    "study after_1d: synthetic control",
)
HEADLINES = (
    "`shift`",
    "verdict: both",
    *(f"study {span}: {p}" for p in ("shift", "kolari_pynnonen", "distributed lag") for span in STUDY.span_names()),
)
READING = """`shift`, `far_shift` and `dates` are one-sided, the study's tests two-sided. Dash: fewer than 20 defined.

- *verdict: both* is what `backtest run` goes by: the greater p of `shift` with and without the drift of each fortnight.
  In a season that rises tenfold `shift` alone, `far_shift` and `dates` take the rise for an effect.
- *study: shift* is the common shift of all events, the default and the p of groups below eight observations; *each
  event apart* is what 0.1 did. They part where catalysts share a week or their dates.
- *distributed lag* is the p of `--share-overlaps`: t of the regression under the same common shifts.
- *kolari_pynnonen* is the headline of larger groups: BMP, adjusted for the correlation between events. `patell`, its
  adjusted form and `generalised_rank` are printed for comparison with the literature and decide nothing here: hourly
  returns have fatter tails and rougher variance than they assume.
- Run-ups after top-decile moves reject by construction: the catalysts were picked for them.
"""
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
    return found | study_p(made) | lag_p(made)


def lag_p(made: Case) -> dict[str, float]:
    """P of each span's effect by the distributed lag of all catalysts."""
    table = distributed_lags(made.market, made.calendar, STUDY)
    table = table[table["grouping"] == "all"]
    return {
        f"study {name}: distributed lag": float(value)
        for name, value in zip(table["span"], table["p_value"], strict=True)
    }


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
    if not len(rows):
        return {}
    turns = turn(rows, len(panel.close), step_of(HOUR, weekly=False), windows, 499, SEED)
    drawn = placebo_sums("return", source, turns, windows, minimum, spans).scar[turns.table]
    one = np.ones(len(rows))
    p = placebo_p(standardised_t(own.scar, one), standardised_t(drawn, one))
    found = {f"study {name}: shift": float(value) for name, value in zip(names, p, strict=True)}
    # What 0.1 did: every event on a turn of its own, so that clusters break.
    random = np.random.default_rng(SEED)
    apart = np.stack([random.permutation(drawn[:, event]) for event in range(len(rows))], axis=1)
    before = placebo_p(standardised_t(own.scar, one), standardised_t(apart, one))
    found |= {f"study {name}: each event apart (0.1)": float(value) for name, value in zip(names, before, strict=True)}
    enough = len(rows) >= STUDY.minimum_catalysts
    untreated = np.setdiff1d(np.arange(1, len(COINS)), [row.columns[0] for row in rows])
    if len(untreated) >= FEWEST_DONORS:
        double = twice(source, turns.bars).values
        ratio = [
            np.divide(
                *effects_of(*gaps(double, row.columns[0], untreated, row.onset, row.width, windows), windows, spans)
            )
            for row in (*rows, *(turns.row(date) for date in range(len(turns.onset))))
        ]
        observed, moved = np.array(ratio[: len(rows)]), np.array(ratio[len(rows) :])[turns.table]
        p = placebo_p(standardised_t(observed, one), standardised_t(moved, one))
        found |= {f"study {name}: synthetic control": float(value) for name, value in zip(names, p, strict=True)}
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


def market_p(design: str, number: int, returns: Floats) -> dict[str, float]:
    """Every p on market `number` of a design, nothing planted."""
    make, put = DESIGNS[design]
    random = np.random.default_rng(SEED + number)
    steps = make(random, returns)
    return p_values(case(steps, put(random, steps)))


def planted_p(count: int, effect: float, number: int, returns: Floats) -> dict[str, float]:
    """Every p on market `number` of the uniform design with `effect` planted over the day after each catalyst."""
    random = np.random.default_rng(SEED + number)
    steps, places = bootstrapped(random, returns), _spread(count, coins=2)(random, returns)
    for row, coin in places:
        steps[row + 2 : row + 14, coin] += np.log1p(effect) / 12
    return p_values(case(steps, places), ("shift", "far_shift"))


def simulate(records: Path, markets: int, power_markets: int) -> None:
    """Append what the file does not hold yet: some markets of each cell in turn, so that a stop leaves all alike."""
    known = {(row["cell"], row["market"]) for row in read(records)}
    returns = history()
    with records.open("a", encoding="utf-8") as file:
        for first in range(0, markets, CHUNK):
            for cell in (*DESIGNS, *POWER):
                most = power_markets if cell in POWER else markets
                for number in range(first, min(first + CHUNK, most)):
                    if (cell, number) not in known:
                        p = (
                            planted_p(*POWER[cell], number, returns)
                            if cell in POWER
                            else market_p(cell, number, returns)
                        )
                        told = {name: None if np.isnan(value) else float(value) for name, value in p.items()}
                        file.write(json.dumps({"cell": cell, "market": number, "p": told}) + "\n")
                        file.flush()


def read(records: Path) -> list[dict[str, Any]]:
    """The records of a file, one a cell and market: later lines of one add tests to it; a cut last line is left out."""
    if not records.exists():
        return []
    lines = records.read_text(encoding="utf-8").splitlines(keepends=True)
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for line in lines:
        if line.endswith("\n"):
            row = json.loads(line)
            found.setdefault((row["cell"], row["market"]), {**row, "p": {}})["p"].update(row["p"])
    return list(found.values())


FEWEST_MARKETS = 20


def shares(records: list[dict[str, Any]], cells: Iterable[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Share of markets with p <= 0.05, and on how many p was defined, tests by cells; NaN where on fewer than 20."""
    wanted = list(cells)
    table = pd.DataFrame([{"cell": row["cell"], **row["p"]} for row in records if row["cell"] in wanted])
    p = table.drop(columns="cell").astype(float)
    hits, defined = (part.groupby(table["cell"]).sum().reindex(wanted).T for part in (p <= 0.05, p.notna()))
    return hits / defined.where(defined >= FEWEST_MARKETS), defined


def page(records: list[dict[str, Any]]) -> str:
    """The calibration page of what was simulated."""
    rates, defined = shares(records, DESIGNS)
    markets = defined.loc["`shift`"]
    least, most = int(markets.min()), int(markets.max())
    half = 196 * np.sqrt(0.05 * 0.95 / least)
    many = f"{least}" if least == most else f"{least} to {most}"
    lines = [
        "# Calibration",
        "",
        "Made by `python -m benchmarks.calibration`; no figure is typed by hand.",
        "",
        f"Per cent of {many} markets without any effect on which each test rejects at a nominal 5 %. Markets are",
        "made from the sample's hourly returns by the joint stationary bootstrap (blocks of 48 hours, six coins, 1,600",
        f"bars, mean taken out), market m with the seed {SEED} + m; twelve catalysts unless the design says otherwise;",
        f"the strategy holds a day, long. With {least} markets, 95 % of the cells of a test that keeps its level lie",
        f"between {max(5 - half, 0):.1f} and {5 + half:.1f}. Bold: outside 3 to 7 %, and further from 5 % than chance",
        "brings (95 % Clopper-Pearson interval).",
        "",
        "| test | " + " | ".join(rates.columns) + " |",
        "|---|" + "---:|" * len(rates.columns),
        "| markets | " + " | ".join(f"{count:.0f}" for count in markets) + " |",
    ]
    named = []
    for test in rates.index[rates.notna().sum(axis=1) > 1]:
        cells = [(rates.loc[test, cell], defined.loc[test, cell]) for cell in rates.columns]
        lines.append(f"| {test} | " + " | ".join(_rate(*cell) for cell in cells) + " |")
        far = [name for name, cell in zip(rates.columns, cells, strict=True) if test in HEADLINES and _departs(*cell)]
        named += [f"{test}, {name} {100 * rates.loc[test, name]:.1f} %" for name in far]
    told = "Headlines whose share is not that of a test at 5 %: " + ("; ".join(named) or "none") + "."
    return "\n".join([*lines, "", told, "", READING, *_power_lines(records)]) + "\n"


def _departs(share: float, markets: float) -> bool:
    """Whether a share lies outside 3 to 7 %, and its 95 % Clopper-Pearson interval leaves 5 % out."""
    if np.isnan(share) or 0.03 <= share <= 0.07:
        return False
    low, high = clopper_pearson(round(share * markets), int(markets))
    return not low <= 0.05 <= high


def _rate(share: float, markets: float) -> str:
    if np.isnan(share):
        return "-"
    return f"**{100 * share:.1f}**" if _departs(share, markets) else f"{100 * share:.1f}"


def _power_lines(records: list[dict[str, Any]]) -> list[str]:
    rates, defined = shares(records, POWER)
    markets = defined.loc["`shift`"]
    lines = [
        "## Power",
        "",
        f"Per cent of {markets.min():.0f} markets in which each test finds an effect on each",
        "catalyst's coin, spread over the twelve hours after its first tradable bar; catalysts of ZEC and DASH at",
        "random hours, four coins without one. `each event apart` is what 0.1 did; the common shift and the synthetic",
        "control came with 0.2. +0 % is the share found where nothing was planted.",
        "",
        "| test | " + " | ".join(rates.columns) + " |",
        "|---|" + "---:|" * len(rates.columns),
    ]
    for test in POWER_TESTS:
        cells = [f"{100 * share:.0f}" if share == share else "-" for share in rates.loc[test]]
        lines.append(f"| {test} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Simulate what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=500)
    parser.add_argument("--power-markets", type=int, default=200)
    parser.add_argument("--records", type=Path, default=Path("calibration.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("docs/calibration.md"))
    asked = parser.parse_args()
    simulate(asked.records, asked.markets, asked.power_markets)
    asked.out.write_text(page(read(asked.records)), encoding="utf-8")


if __name__ == "__main__":
    main()
