"""What the research ledger promises, measured: `python -m benchmarks.ledger [WHAT|all] [COUNT]`, WHAT one of these.

workspaces: 1,000 null strategies over 50 commands of 20, in 400 workspaces, at the level of arrays: each trial is
an observed statistic and 199 draws, exchangeable, with a common factor and its own scale, written through the ledger's
own `append` and decided by `decide_trials`, as every command does. Seeds 0 to the number of workspaces less 1.
runs: searches through `Session.evaluate` and `record_evaluation`, as `backtest run` makes them, in 60 workspaces: 20
commands of 5 strategies that trade each catalyst of a market without effects by the toss of coins (side, delay, hold).
cost: CPU seconds of `backtest run` with the ledger and with `--ledger none`, in ten pairs whose order alternates.
size: 100,000 trials of 2,591 draws in one family: seconds and memory of adjusting all of them.
kills: 50 writers killed at random while they append.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from backtest import Session
from backtest.catalysts.record import Calendar
from backtest.ledger.deciding import decide_trials
from backtest.ledger.family import step_down
from backtest.ledger.judgement import LEVEL, judge_trials
from backtest.ledger.recording import record_evaluation
from backtest.ledger.records import Scope, TrialRecord
from backtest.ledger.store import Ledger
from backtest.ledger.verification import verify_ledger
from backtest.market.record import Market
from backtest.scoring.familywise import westfall_young
from backtest.scoring.placebo import PlaceboPlan
from backtest.signals.strategy import Intent, Intents, Parameters, Strategy
from benchmarks.calibration import CONFIG, DESIGNS, HOUR, case, history

COMMANDS, TRIALS, DRAWS = 50, 20, 999
RUN_COMMANDS, RUN_TRIALS, RUN_WORKSPACES, PAIRS = 20, 5, 60, 10
SCOPE = Scope(0, 86_400_000, frozenset({"ZEC"}), frozenset({("ZEC", 0)}))
WRITER = """
import sys
from pathlib import Path
import numpy as np
from backtest.ledger.store import Ledger
from benchmarks.ledger import null_trial

with Ledger(Path(sys.argv[1])) as ledger:
    for number in range(int(sys.argv[2]), int(sys.argv[2]) + 1_000):
        draws = np.random.default_rng(number).standard_normal(2_591)
        print(number, *ledger.append([null_trial(f"trial {number}", 1.0, draws)]), flush=True)
"""


def null_trial(name: str, observed: float, draws: np.ndarray) -> TrialRecord:
    """A trial made of numbers."""
    singles = draws.astype(np.float32)
    p = (1 + np.count_nonzero(singles >= np.float32(observed))) / (len(singles) + 1)
    hashes = {"data": "", "calendar": "", "config": "", "detail": ""}
    return TrialRecord(
        name, "", {}, hashes, "null", "null", {"kind": "shift"}, SCOPE,
        {"net_return": observed}, observed=observed, p=float(p), draws=singles, common="shift null",
    )  # fmt: skip


def workspaces(count: int, shared: float) -> str:
    """Share of workspaces with any 'beats placebo' ever told; at the end; with p adjusted up to now alone; without."""
    ever = final = drifting = without = 0
    for seed in range(count):
        generator = np.random.default_rng(seed)
        total = COMMANDS * TRIALS
        values = np.sqrt(1 - shared) * generator.standard_normal((total, DRAWS + 1))
        values += np.sqrt(shared) * generator.standard_normal(DRAWS + 1)
        values *= generator.lognormal(0.0, 1.0, (total, 1))
        told = least = alone = False
        with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "l") as ledger:
            ledger._connection.execute("PRAGMA synchronous = OFF")
            for first in range(0, total, TRIALS):
                part = values[first : first + TRIALS]
                trials = [null_trial(f"{first + m}", row[0], row[1:]) for m, row in enumerate(part)]
                found = decide_trials(ledger, ledger.append(trials))
                told |= any(one.passes for one in found)
                least |= any(one.adjusted <= LEVEL for one in found)
                alone |= westfall_young(part[:, 0], part[:, 1:].T).min() <= LEVEL
            final += min(one.adjusted for one in judge_trials(ledger)) <= LEVEL
        ever, drifting, without = ever + told, drifting + least, without + alone
    return (
        f"{count} workspaces, common factor {shared:g}: any 'beats placebo' ever told {ever / count:.1%}; an adjusted "
        f"p of at most {LEVEL:g} at the end {final / count:.1%}, at the time {drifting / count:.1%}; without the "
        f"ledger {without / count:.1%}"
    )


class TossParameters(Parameters):
    """Parameters of `toss`."""

    seed: int = Field(0, description="seed of the coins")


class Toss(Strategy[TossParameters]):
    """Trades the coin of each catalyst by the toss of coins: side, hours until it enters, hours that it holds."""

    name = "toss"
    hypothesis = "None: what it earns on a market without effects is luck."
    parameters_type = TossParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        """One intent a catalyst."""
        coins = np.random.default_rng(self.parameters.seed)
        made = []
        for catalyst in calendar:
            column = market.column_of(catalyst.assets[0])
            assert column is not None
            assert catalyst.announced_at is not None
            known = int(catalyst.announced_at.timestamp() * 1_000) + HOUR
            made.append(
                Intent(
                    instrument=market.symbols[column],
                    decided_at_ms=known + int(coins.integers(0, 24)) * HOUR,
                    side=int(coins.choice((-1, 1))),
                    weight=0.1,
                    hold_ms=int(coins.integers(6, 73)) * HOUR,
                    catalyst_id=catalyst.id,
                )
            )
        return Intents(tuple(made))


def runs(count: int = RUN_WORKSPACES) -> str:
    """Share of searches through evaluations in which any verdict ever says 'beats placebo', and without the ledger."""
    steps_of, places = DESIGNS["uniform"]
    returns, plan = history(), PlaceboPlan(draws=DRAWS)
    told = statistic = alone = 0
    for seed in range(count):
        chance = np.random.default_rng(seed)
        steps = steps_of(chance, returns)
        made = case(steps, places(chance, steps))
        session = Session(made.market, made.calendar, CONFIG)
        beaten = passed = unkept = False
        with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "l") as ledger:
            ledger._connection.execute("PRAGMA synchronous = OFF")
            for first in range(0, RUN_COMMANDS * RUN_TRIALS, RUN_TRIALS):
                strategies = [Toss({"seed": 10_000 * seed + first + number}) for number in range(RUN_TRIALS)]
                evaluation = session.evaluate(strategies, plan=plan, bootstrap=0)
                recorded = record_evaluation(ledger, evaluation)
                unkept |= _beaten([card.verdict for card in evaluation.cards])
                beaten |= _beaten([card.verdict for card in recorded.cards])
                passed |= any(one.passes for one in recorded.judgements)
        told, statistic, alone = told + beaten, statistic + passed, alone + unkept
        # An hour's work: whoever ends it early keeps what was seen.
        print(f"{seed + 1} workspaces: with the ledger {told}, without {alone}", file=sys.stderr, flush=True)
    return (
        f"{count} workspaces of {RUN_COMMANDS} evaluations of {RUN_TRIALS} strategies, {DRAWS} shifts: 'beats placebo' "
        f"ever told in {told} ({told / count:.1%}; by p alone, drift kept, in {statistic / count:.1%}); without "
        f"the ledger in {alone} ({alone / count:.1%})"
    )


def _beaten(verdicts: Sequence[str]) -> bool:
    return any(one.startswith("beats placebo") for one in verdicts)


def cost(pairs: int = PAIRS) -> str:
    """CPU seconds that the ledger adds to `backtest run` of one strategy and of all, over pairs of runs in turn."""
    told = []
    for name, asked in (("one strategy", ("-s", "catalyst_momentum")), ("all strategies", ())):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "backtest", "run", *asked, "--out", "same", "--ledger"]
            ledgers = ("l.sqlite", "none")
            for ledger in ledgers:
                _cpu([*command, ledger], folder)
            spent: dict[str, list[float]] = {ledger: [] for ledger in ledgers}
            for pair in range(pairs):
                # A new file each time: a trial that is known is not written again.
                for beside in Path(folder).glob("l.sqlite*"):
                    beside.unlink()
                for ledger in ledgers if pair % 2 else ledgers[::-1]:
                    spent[ledger].append(_cpu([*command, ledger], folder))
        kept, without = (np.array(spent[ledger]) for ledger in ledgers)
        more = kept - without
        error = more.std(ddof=1) / np.sqrt(pairs)
        told.append(
            f"{name}: {np.median(without):.2f} s of CPU without, {np.median(more):+.2f} s with it (median of {pairs} "
            f"pairs; mean {more.mean():+.2f} s, standard error {error:.2f}), {np.median(more) / np.median(without):.1%}"
        )
    return "\n".join(told)


def _cpu(command: Sequence[str], folder: str) -> float:
    """CPU seconds of a child, its own children among them."""
    before = os.times()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def size(trials: int = 100_000, draws: int = 2_591) -> str:
    """Seconds and memory of adjusting a family of so many trials."""
    generator = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "l") as ledger:
        ledger._connection.execute("PRAGMA synchronous = OFF")
        started = time.perf_counter()
        for first in range(0, trials, 500):
            rows = generator.standard_normal((500, draws))
            ledger.append([null_trial(f"{first + m}", row[0], row) for m, row in enumerate(rows)])
        written = time.perf_counter() - started
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, busy = time.perf_counter(), time.process_time()
        scopes = [one.scope for one in ledger.groups()]
        p = step_down(ledger.blocks("shift null", scopes)).p
        took, busy = time.perf_counter() - started, time.process_time() - busy
        whole, whole_busy = time.perf_counter(), time.process_time()
        judge_trials(ledger, [2])
        whole, whole_busy = time.perf_counter() - whole, time.process_time() - whole_busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        bytes_each = (Path(folder) / "l").stat().st_size / trials
    return (
        f"{len(p):,} trials of {draws:,} draws adjusted in {took:.1f} s ({busy:.1f} s of one core), a verdict "
        f"among them in {whole:.1f} s ({whole_busy:.1f} s of one core), at most {peak / 1024:.0f} MB resident "
        f"({before / 1024:.0f} MB before); {written / trials * 1e3:.2f} ms and {bytes_each:,.0f} bytes to write one"
    )


def kills(count: int = 50) -> str:
    """Trials told of, and kept, by writers that were killed."""
    chance, told = random.Random(1), {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "l"
        for attempt in range(count):
            command = [sys.executable, "-c", WRITER, str(path), str(1_000 * attempt)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                lines = [process.stdout.readline()]
                time.sleep(chance.uniform(0.0, 0.2))
                process.send_signal(signal.SIGKILL)
                lines += process.stdout.read().splitlines(keepends=True)
            told |= {line.split()[0]: int(line.split()[1]) for line in lines if line.endswith("\n")}
        with Ledger(path) as ledger:
            found = verify_ledger(ledger)
            kept = {one.body["strategy"].split()[1]: one.seq for one in ledger.trials()}
    lost = sum(kept.get(number) != place for number, place in told.items())
    return (
        f"{count} kills: {len(told)} trials told of, {lost} lost, {len(found.faults)} faults, {found.entries} entries"
    )


def main(what: str = "all", count: str = "400") -> None:
    """Print what was asked for; the number of runs, pairs or kills stays as it is where all is asked for."""
    every = what == "all"
    if what in ("size", "all"):
        print(size(), flush=True)
    if what in ("kills", "all"):
        print(kills(), flush=True)
    if what in ("cost", "all"):
        print(cost(PAIRS if every else int(count)), flush=True)
    if what in ("runs", "all"):
        print(runs(RUN_WORKSPACES if every else int(count)), flush=True)
    if what in ("workspaces", "all"):
        for shared in (0.0, 0.5):
            print(workspaces(int(count), shared), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
