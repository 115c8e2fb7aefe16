"""The model of `backtest.base.estimate`: the work of each verb measured at several sizes, fitted, tried on one unseen.

python -m benchmarks.planner [--only VERB]

Every size runs in a process of its own, with random walks of minute bars and catalysts at random; seconds are CPU of
that process and its children, so that a busy machine changes less. The sizes of `UNSEEN` are not fitted.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from backtest.base.estimate import MODELS, REFERENCE_S, CostTerm, Estimate, Workload, estimate, slowness
from benchmarks.process import QUIET
from benchmarks.table import count, table

Floats = npt.NDArray[np.float64]
SIZES: dict[str, tuple[Workload, ...]] = {
    "run": (
        Workload(2_880, 3, 20, 1, 1_000, 200),
        Workload(20_160, 2, 20, 1, 200, 200),
        Workload(20_160, 8, 60, 2, 1_000, 100),
        Workload(12_960, 3, 200, 1, 5_000, 0),
        Workload(144_000, 2, 20, 1, 100, 200),
        Workload(288_000, 3, 20, 1, 100, 0),
        Workload(60_480, 6, 100, 2, 1_000, 300),
        Workload(262_080, 10, 60, 1, 500, 200),
        Workload(1_036_800, 3, 20, 1, 1_000, 200),
    ),
    "study": (
        Workload(5_760, 3, 10, draws=3, window=2_260, event=376),
        Workload(20_160, 3, 200, draws=13, window=2_260, event=376),
        Workload(12_960, 6, 600, draws=8, window=1_130, event=188),
        Workload(43_200, 3, 300, draws=29, window=9_000, event=1_500),
        Workload(86_400, 3, 100, draws=59, window=9_000, event=1_500),
        Workload(43_200, 3, 600, draws=2, window=13_000, event=1_500),
        Workload(43_200, 3, 1_500, draws=29, window=1_130, event=188),
        Workload(259_200, 3, 400, draws=150, window=13_000, event=3_000),
        Workload(64_800, 4, 800, draws=44, window=6_000, event=900),
    ),
    "sweep": (
        Workload(2_880, 3, 20, draws=500, trials=10),
        Workload(30_240, 3, 20, draws=100, trials=20),
        Workload(5_760, 6, 100, draws=1_000, trials=20),
        Workload(60_480, 3, 60, draws=500, trials=15),
    ),
    "audit": (
        Workload(2_880, 3, 20, cuts=10),
        Workload(30_240, 3, 20, cuts=10),
        Workload(30_240, 3, 20, cuts=40),
        Workload(60_480, 6, 40, cuts=20),
        Workload(288_000, 3, 20, cuts=12),
        Workload(144_000, 6, 20, cuts=20),
        Workload(10_080, 3, 200, cuts=20),
    ),
}
"""Sizes that are fitted."""
UNSEEN: dict[str, tuple[Workload, ...]] = {
    "run": (Workload(43_200, 5, 50, 1, 3_000, 300), Workload(720_000, 5, 40, 1, 2_000, 500)),
    "study": (
        Workload(28_800, 4, 200, draws=19, window=1_500, event=250),
        Workload(60_480, 3, 500, draws=41, window=1_130, event=188),
    ),
    "sweep": (
        Workload(20_160, 4, 50, draws=300, trials=12),
        Workload(129_600, 3, 40, draws=400, trials=30),
    ),
    "audit": (Workload(14_400, 4, 30, cuts=15), Workload(432_000, 3, 20, cuts=24)),
}
"""Sizes on which the model is tried: chosen before it was fitted, and measured after."""


def carry_out(verb: str, work: Workload) -> None:
    """The work of a verb, through the public functions."""
    from backtest.catalysts.record import Calendar, Catalyst
    from backtest.strategies.catalyst_momentum import CatalystMomentum
    from benchmarks.scale import DAY_BARS, Size
    from benchmarks.scale_worker import market_of

    market = market_of(Size(work.bars // DAY_BARS, work.coins, work.catalysts, 1))
    random = np.random.default_rng(7)
    rows = np.sort(random.integers(work.bars // 3, work.bars * 9 // 10, work.catalysts))
    catalysts = tuple(
        Catalyst(
            id=f"one-{place}", assets=(f"C{place % work.coins}",), kind="listing", actor="venue", direction=1,
            precision="minute", source="none", confidence="high", announced_at=market.index[row].to_pydatetime(),
        )
        for place, row in enumerate(rows.tolist())
    )  # fmt: skip
    calendar = Calendar("random", catalysts)
    strategies = [CatalystMomentum({"hold": "4h"}) for _ in range(work.strategies)]
    with tempfile.TemporaryDirectory() as folder:
        if verb == "run":
            from backtest.report.folder import run_document, write_run_folder
            from backtest.scoring.evaluation import evaluate
            from backtest.scoring.placebo import PlaceboPlan

            found = evaluate(strategies, market, calendar, plan=PlaceboPlan(draws=work.draws), bootstrap=work.bootstrap)
            write_run_folder(Path(folder) / "run", found.runs, run_document(found))
        elif verb == "study":
            from backtest.report.study_tables import study_document
            from backtest.study.settings import StudyConfig
            from backtest.study.study import event_study

            # A constant volume has nothing abnormal.
            volume = market.volume * np.exp(random.standard_normal(market.volume.shape))
            market = replace(market, volume=volume)
            half = work.event // 3
            settings = StudyConfig(
                benchmarks=("C0",),
                estimation=f"{work.window - work.event}m",
                gap="0m",
                before=f"{2 * half}m",
                after=(f"{half}m",),
                draws=work.draws,
            )
            study_document(event_study(market, calendar, settings))
        elif verb == "sweep":
            from backtest.base.config import load_config
            from backtest.scoring.placebo import PlaceboPlan
            from backtest.scoring.space import Trial
            from backtest.scoring.sweep import Sweep, run_sweep

            trials = tuple(Trial(number, (("hold", f"{number + 1}h"),)) for number in range(work.trials))
            plan = PlaceboPlan(draws=work.draws)
            run_sweep(Sweep(CatalystMomentum, trials, market, calendar, load_config(), plan), Path(folder) / "sweep")
        else:
            from backtest.signals.audit import audit

            audit(strategies[0], market, calendar, cuts=work.cuts)


def measure(verb: str, work: Workload) -> Estimate:
    """CPU seconds and peak bytes of one size, in a process of its own; imports are not counted."""
    command = [sys.executable, "-m", "benchmarks.planner", "--case", verb, json.dumps(asdict(work))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=QUIET)
    return Estimate(*json.loads(done.stdout.splitlines()[-1]))


def _case(verb: str, text: str) -> None:
    # What is imported, compiled and read from the cache is not part of the work: a small case comes before.
    small = Workload(2_880, 2, 4, 1, 100, 100, 2, 3, 700, 60)
    carry_out(verb, small)
    before = _used()
    carry_out(verb, Workload(**json.loads(text)))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps([_used() - before, peak * 1024.0]))


def _used() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both) + sum(map(_used_by, _children(os.getpid())))


def _children(process: int) -> list[int]:
    """Processes that one has started and not yet waited for, and theirs: an audit keeps its interpreter."""
    found = []
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *_children(child)]
    return found


def _used_by(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def fit(terms: tuple[CostTerm, ...], sizes: tuple[Workload, ...], found: list[Estimate]) -> list[tuple[float, float]]:
    """Seconds and bytes a unit of each term, none negative, by least squares of relative errors."""
    counts = np.array([[term.count(work) for term in terms] for work in sizes], dtype=np.float64)
    seconds = _relative(counts, np.array([one.seconds for one in found]))
    return list(zip(seconds, _relative(counts, np.array([one.bytes for one in found])), strict=True))


def _relative(counts: Floats, measured: Floats) -> list[float]:
    shares = counts / measured[:, None]
    scale = np.where(shares.max(axis=0) > 0, shares.max(axis=0), 1.0)
    found, _ = nnls(shares / scale, np.ones(len(measured)))
    return [float(value) for value in found / scale]


def main() -> None:
    """Measure, fit, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", choices=list(SIZES), action="append")
    parser.add_argument("--case", nargs=2)
    asked = parser.parse_args()
    if asked.case:
        _case(*asked.case)
        return
    for verb in asked.only or SIZES:
        found = measured_beside_told(f"{verb}: sizes that are fitted", verb, SIZES[verb])
        measured_beside_told(f"{verb}: sizes that are not", verb, UNSEEN[verb])
        for number, (seconds, size) in enumerate(fit(MODELS[verb], SIZES[verb], found)):
            print(f"  {verb} term {number}: seconds={seconds:.3g}, bytes={size:.4g}", flush=True)


def measured_beside_told(title: str, verb: str, sizes: tuple[Workload, ...]) -> list[Estimate]:
    """Measure sizes and print them beside what the model says; seconds are those of the machine of the model."""
    found, rows = [], []
    for work in sizes:
        before = slowness()
        one = measure(verb, work)
        one = Estimate(one.seconds * 2.0 / (before + slowness()), one.bytes)
        told = estimate(verb, work)
        name = "x".join(map(str, (work.bars, work.coins, work.catalysts, work.draws or work.cuts)))
        rows.append(
            (
                name,
                f"{one.seconds:.2f}",
                f"{told.seconds:.2f}",
                f"{told.seconds / one.seconds - 1:+.0%}",
                count(one.bytes / 1e6),
                count(told.bytes / 1e6),
                f"{told.bytes / one.bytes - 1:+.0%}",
            )
        )
        found.append(one)
    head = ("bars x coins x catalysts x draws", "CPU s", "told", "off", "MB", "told", "off")
    print(table(title, head, rows, (f"Seconds where small_work takes {REFERENCE_S:.4f} s of CPU.",)))
    return found


if __name__ == "__main__":
    main()
