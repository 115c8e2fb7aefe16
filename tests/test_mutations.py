"""Planted changes, each in its own copy of the tree, and the sentence by which `baseline check` leads to it.

The copies run without numba's compiler: its cache would not see that a function called by a cached one was changed. The
baselines are recorded in an unchanged copy, in the same way, and hold trades that touch what is planted: stops and
targets inside one bar, liquidations, funding that is not known, draws from a seed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from backtest.baseline import baseline_files, check_baseline, read_baseline
from backtest.market.dataset import read_dataset, write_dataset

ROOT = Path(__file__).parents[1]
SAMPLE = Path("datasets/privacy-2025-sample")
WHEN = ("--timerange", "20251010-20251101")
CRASH = ("--timerange", "20251008-20251018")
"""Ten days in which a position with leverage is liquidated."""
TIGHT = ("-p", "stop_loss=0.005", "-p", "take_profit=0.005")
RECORDED = (
    ("plain", "-s", "catalyst_momentum", "--placebo", "19", *WHEN),
    ("tight", "-s", "catalyst_momentum", "--placebo", "0", *TIGHT, *WHEN),
    ("levered", "-s", "random_entry", "--placebo", "0", "--set", "leverage=10", *CRASH),
    ("unfunded", "-s", "random_entry", "--placebo", "0", "--dataset", "unfunded", *CRASH),
)
TRADES = "first difference, trade "
CALLED = "configuration, parameters and the strategy's source are as recorded"


@dataclass(frozen=True)
class Planted:
    """A change of one place of one file, the exit code it must lead to, and what `check` says of a baseline."""

    name: str
    file: str
    old: str
    new: str
    says: tuple[str, ...]
    code: int = 4
    baseline: str = "tight"

    def plant(self, tree: Path) -> None:
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        assert text.count(self.old) == 1, f"{self.file} holds {text.count(self.old)} times: {self.old}"
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
        os.utime(path, (0, 0))  # never the time of what Python compiled before


CONFIG, PATH, CATALYSTS = "backtest/base/config.py", "backtest/engine/path.py", "datasets/catalysts/privacy-2025.toml"
PLANTED = (
    Planted(
        "a fee dearer by one basis point",
        CONFIG,
        "fee_rate: Share = Field(0.0005,",
        "fee_rate: Share = Field(0.0006,",
        ("configuration fee_rate: 0.0005 -> 0.0006", TRADES + "1", "fees_drag"),
    ),
    Planted(
        "a wider half-spread",
        CONFIG,
        '0.0005, description="half the bid-ask',
        '0.0006, description="half the bid-ask',
        ("configuration half_spread: 0.0005 -> 0.0006", "slippage_drag"),
    ),
    Planted(
        "the other stop order by default",
        CONFIG,
        '"pessimistic", description="which of',
        '"optimistic", description="which of',
        ("configuration stop_order: pessimistic -> optimistic", TRADES),
    ),
    Planted(
        "another maintenance margin",
        CONFIG,
        '0.02, description="of notional; below',
        '0.03, description="of notional; below',
        ("configuration maintenance_margin: 0.02 -> 0.03", TRADES),
        baseline="levered",
    ),
    Planted(
        "unknown funding counted as zero",
        CONFIG,
        '"const", description="where a swap',
        '"zero", description="where a swap',
        ("configuration funding_unknown: const -> zero", "funding_drag"),
        baseline="unfunded",
    ),
    Planted(
        "another seed of the run",
        CONFIG,
        'seed: int = Field(20251101, description="seed of every',
        'seed: int = Field(20251102, description="seed of every',
        ("configuration seed: 20251101 -> 20251102", "placebo seed: 20251101 -> 20251102"),
        baseline="plain",
    ),
    Planted(
        "another seed of random_entry",
        "strategies/random_entry.py",
        "Field(20251101,",
        "Field(20251102,",
        ("parameter seed: 20251101 -> 20251102", "the source of random_entry changed", TRADES + "1"),
        baseline="levered",
    ),
    Planted(
        "a shorter default hold",
        "backtest/signals/trading.py",
        'hold: Duration = Field("72h"',
        'hold: Duration = Field("71h"',
        ("parameter hold: 72h -> 71h", TRADES),
        baseline="plain",
    ),
    Planted(
        "a strategy that bets against the catalyst",
        "strategies/catalyst_momentum.py",
        "known_at, one.direction,",
        "known_at, -one.direction,",
        ("the source of catalyst_momentum changed", TRADES + "1", "net_return"),
    ),
    Planted(
        "a fill one bar later",
        "backtest/engine/schedule.py",
        "min(row, bar_count), bars)",
        "min(row + 1, bar_count), bars)",
        ("the first trade that differs is entered 1 bar later: when orders fill", CALLED),
    ),
    Planted(
        "the favourable level before the adverse one",
        "backtest/engine/segments.py",
        "(stop_order != OPTIMISTIC or high < target)",
        "(stop_order == OPTIMISTIC or high < target)",
        ("is entered in its bar and leaves in another or for another reason: how positions leave changed", CALLED),
    ),
    Planted(
        "an exit without its fee",
        PATH,
        "fee = (rules.maker_fee_rate if maker else rules.fee_rate) * quantity * price",
        "fee = 0.0 * quantity * price",
        ("has its bars and prices and another net: fees, funding, liquidation or size changed", "fees_drag", CALLED),
    ),
    Planted(
        "a maintenance margin of the wrong sign",
        "backtest/engine/tiers.py",
        "        return side * (price - side * margin / quantity) / (1.0 - side",
        "        return side * (price - side * margin / quantity) / (1.0 + side",
        ("is entered in its bar and leaves in another or for another reason", "liquidation_drag", CALLED),
        baseline="levered",
    ),
    Planted(
        "funding received where it is paid",
        "backtest/engine/exits.py",
        "    return funding_of(state",
        "    return -funding_of(state",
        ("has its bars and prices and another net: fees, funding, liquidation or size changed", "funding_drag", CALLED),
        baseline="levered",
    ),
    Planted(
        "a year of 252 days",
        "backtest/engine/costs.py",
        "DAYS_PER_YEAR = 365",
        "DAYS_PER_YEAR = 252",
        ("the trades are as recorded: how metrics are computed changed", "volatility", "sharpe"),
    ),
    Planted(
        "a p that leaves the real calendar out",
        "backtest/scoring/placebo.py",
        "p = (1 + above) / (n + 1)",
        "p = above / (n + 1)",
        ("placebo_p", "trades and all other metrics are as recorded: the placebo test"),
        baseline="plain",
    ),
    Planted(
        "a catalyst moved by a day",
        CATALYSTS,
        "announced_at = 2025-10-16\n",
        "announced_at = 2025-10-17\n",
        ("catalyst zec-2025-10-16-bnb-chain was changed", "refused"),
        code=3,
    ),
    Planted(
        "a catalyst under another id",
        CATALYSTS,
        'id = "zec-2025-10-16-bnb-chain"',
        'id = "zec-2025-10-16-bnb"',
        ("catalyst zec-2025-10-16-bnb-chain is not in the calendar", "zec-2025-10-16-bnb is new"),
        code=3,
    ),
)


@dataclass(frozen=True)
class PlantedClose(Planted):
    """One close of one instrument moved inside its bar, and the dataset written anew."""

    def plant(self, tree: Path) -> None:
        market = read_dataset(tree / self.file)
        column, close = market.column("DASH/USDT:USDT"), market.close.copy()
        close[1000, column] = (market.low[1000, column] + market.high[1000, column]) / 2.0
        assert close[1000, column] != market.close[1000, column]
        write_dataset(replace(market, close=close), tree / self.file, how_made="by hand", made_by="a test")


@dataclass(frozen=True)
class PlantedByte(Planted):
    """The last byte of a file turned."""

    def plant(self, tree: Path) -> None:
        path = tree / self.file
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


DATA = (
    PlantedClose(
        "one close of one coin", str(SAMPLE), "", "", ("DASH/USDT:USDT has other bars (hash ", "refused"), code=3
    ),
    PlantedByte("a spoilt data file", str(SAMPLE / "bars.parquet"), "", "", ("bars.parquet", "refused"), code=3),
)
ALL = (*PLANTED, *DATA)


FORKING = """
import gc, json, os, runpy, sys
import numba, pandas, pyarrow.dataset, pyarrow.feather, pyarrow.parquet, pydantic.dataclasses, pydantic.main
import pydantic.type_adapter, rich.console, rich.table, scipy.special, typer, xml.etree.ElementTree
gc.freeze()
jobs, running, codes = json.load(sys.stdin), {}, {}
waiting = list(range(len(jobs)))
while waiting or running:
    while waiting and len(running) < 2:
        number = waiting.pop(0)
        child = os.fork()
        if child == 0:
            tree, arguments, output = jobs[number]
            os.chdir(tree)
            sys.path.insert(0, tree)
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
            os.dup2(1, 2)
            sys.argv = ["backtest", *arguments]
            try:
                runpy.run_module("backtest", run_name="__main__", alter_sys=True)
                code = 0
            except SystemExit as end:
                code = end.code or 0
            # Without taking apart all that was imported, which takes as long as a replay.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        running[child] = number
    child, status = os.wait()
    codes[running.pop(child)] = os.waitstatus_to_exitcode(status)
json.dump([codes[number] for number in range(len(jobs))], sys.stdout)
"""
"""Imports what is no part of the tree once, then runs each command in a child of its own, two at a time."""


@dataclass(frozen=True)
class Done:
    """How a command ended, and all that it printed."""

    code: int
    said: str


def commands(calls: Sequence[tuple[Path, tuple[str, ...]]], folder: Path, **environment: str) -> list[Done]:
    """`backtest ARGUMENTS` of the copy in each tree."""
    outputs = [folder / f"{number}.txt" for number in range(len(calls))]
    jobs = [[str(tree), arguments, str(output)] for (tree, arguments), output in zip(calls, outputs, strict=True)]
    # The first commands write the bytecode that all copies of their tree then use.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    plain = {"COLUMNS": "400", "NO_COLOR": "1", "GITHUB_ACTIONS": ""}
    runner = subprocess.run(
        [sys.executable, "-c", FORKING],
        cwd=folder,
        env={**kept, **one_thread, **plain, "NUMBA_DISABLE_JIT": "1", **environment},
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )
    said = [output.read_text(encoding="utf-8") for output in outputs]
    return [Done(code, text) for code, text in zip(json.loads(runner.stdout), said, strict=True)]


def copied(source: Path, target: Path) -> Path:
    """A copy of everything that a run reads; of the checkout without what other tests may be compiling just now."""
    names, left_out = ("backtest", "strategies", "datasets"), ("__pycache__",)
    if source is not ROOT:
        names, left_out = (*names, "baselines", "unfunded"), ()
    for name in names:
        shutil.copytree(source / name, target / name, symlinks=True, ignore=shutil.ignore_patterns(*left_out))
    return target


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with its baselines, one of them on data whose funding is not known."""
    tree = copied(ROOT, tmp_path_factory.mktemp("unchanged"))
    market = read_dataset(tree / SAMPLE)
    write_dataset(
        replace(market, funding=np.full_like(market.funding, np.nan)), tree / "unfunded", how_made="", made_by="a test"
    )
    calls = [(tree, ("baseline", "record", "--folder", f"baselines/{name}", *more)) for name, *more in RECORDED]
    for done in commands(calls, tmp_path_factory.mktemp("recorded")):
        assert done.code == 0, done.said
    return tree


@pytest.fixture(scope="module")
def outcomes(unchanged: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """What `check` said of each planted change, by name, and of none."""
    folder = tmp_path_factory.mktemp("planted")
    trees = [copied(unchanged, folder / f"tree{number}") for number in range(len(ALL))]
    for planted, tree in zip(ALL, trees, strict=True):
        planted.plant(tree)
    # One baseline each: four would replay four times, without a compiler, what one of them shows.
    calls = [(unchanged, ("baseline", "check"))]
    calls += [
        (tree, ("baseline", "check", f"baselines/{planted.baseline}")) for planted, tree in zip(ALL, trees, strict=True)
    ]
    done = commands(calls, folder, PYTHONDONTWRITEBYTECODE="1")
    for tree in trees:
        shutil.rmtree(tree)
    return dict(zip(("nothing", *(one.name for one in ALL)), done, strict=True))


def test_nothing_planted_passes(outcomes: dict[str, Done]) -> None:
    assert outcomes["nothing"].code == 0, outcomes["nothing"].said
    assert "4 baselines: 4 passed" in outcomes["nothing"].said


def test_the_baselines_touch_what_is_planted(unchanged: Path) -> None:
    plain, tight, levered = (
        read_baseline(unchanged / "baselines" / folder / "privacy-2025-sample" / f"{name}.json")
        for folder, name in (
            ("plain", "catalyst_momentum"),
            ("tight", "catalyst_momentum"),
            ("levered", "random_entry"),
        )
    )
    assert tight.metrics["net_low"].value != tight.metrics["net_high"].value
    assert any(" liquidation " in line for line in levered.trades.ledger)
    assert plain.metrics["placebo_p"].value is not None


@pytest.mark.parametrize("planted", ALL, ids=lambda one: one.name)
def test_a_planted_change_is_caught_and_led_to(planted: Planted, outcomes: dict[str, Done]) -> None:
    done = outcomes[planted.name]
    assert done.code == planted.code, done.said
    assert "Traceback" not in done.said
    for sentence in planted.says:
        assert sentence in done.said, done.said
    if planted.code == 3:
        assert "net_return" not in done.said
        assert TRADES not in done.said


def test_more_than_ten_kinds_of_change_are_planted() -> None:
    assert len({one.name for one in ALL}) == len(ALL) >= 15


def test_nothing_planted_passes_compiled_too(unchanged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(unchanged)
    compiled = [check_baseline(path) for path in baseline_files([Path("baselines")])]
    assert [one.sentences for one in compiled] == [()] * 4
