"""What large work costs: measured at sizes that fit here, a cost model fitted to them, and what it says of larger ones.

    prepare = p cells ^ q,  cells = bars x coins          seconds: liquidity and the kernel's panel
    replay  = a entries + b held + c walked               seconds on one core
        entries: catalysts x draws; held: bars that each trade lasts, summed over trades and draws;
        walked: bars on which anything is held, summed over draws
    memory  = m0 + m1 cells                               bytes, at the peak of preparing

`python -m benchmarks.scale [--quick]` prints the measurements with their residuals, one more that the fit has not seen,
and the extrapolation. Each size runs in processes of its own (`benchmarks.scale_worker`).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from benchmarks.process import QUIET
from benchmarks.table import count, short, table

DAY_BARS = 1_440
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Size:
    """How much work: days of one-minute bars, coins, catalysts, placebo draws, hours that a trade is held."""

    days: int
    coins: int
    catalysts: int
    draws: int
    hold_hours: int = 72

    @property
    def bars(self) -> int:
        """Bars of one coin."""
        return self.days * DAY_BARS

    @property
    def cells(self) -> int:
        """Bars times coins."""
        return self.bars * self.coins


FITTED = (
    Size(60, 10, 20, 400),
    Size(60, 10, 400, 200, 4),
    Size(120, 20, 60, 100),
    Size(120, 20, 400, 50, 24),
    Size(240, 20, 2_000, 50, 4),
    Size(240, 20, 1_000, 20),
)
UNSEEN = Size(365, 40, 2_000, 20)
QUICK = (Size(30, 5, 20, 100), Size(30, 10, 300, 100, 4), Size(60, 10, 100, 50))
QUICK_UNSEEN = Size(90, 10, 150, 40)
TARGET = Size(1_826, 200, 10_000, 100_000)
"""Five years of one-minute bars."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a size costs: seconds on one core, entries, bars held and walked over all draws, peak bytes."""

    prepare_s: float
    replay_s: float
    entries: float
    held: float
    walked: float
    peak_bytes: float


@dataclass(frozen=True, slots=True)
class Model:
    """The fitted coefficients, in seconds and bytes a unit; preparing is `prepare_s * cells ** prepare_power`."""

    prepare_s: float
    prepare_power: float
    entry_s: float
    held_s: float
    walked_s: float
    base_bytes: float
    cell_bytes: float

    def cost(self, size: Size, counts: Cost) -> Cost:
        """What the model says of a size with the counts given."""
        replay_s = self.entry_s * counts.entries + self.held_s * counts.held + self.walked_s * counts.walked
        peak_bytes = self.base_bytes + self.cell_bytes * size.cells
        prepare_s = self.prepare_s * size.cells**self.prepare_power
        return Cost(prepare_s, replay_s, counts.entries, counts.held, counts.walked, peak_bytes)


def fit(sizes: Sequence[Size], costs: Sequence[Cost]) -> Model:
    """Coefficients, none negative, of least squares of the relative errors (of preparing: of the logarithms)."""
    cells = np.array([size.cells for size in sizes], dtype=np.float64)
    work = np.array([(cost.entries, cost.held, cost.walked) for cost in costs])
    power, level = np.polyfit(np.log(cells), np.log([cost.prepare_s for cost in costs]), 1)
    replay = _relative(work, np.array([cost.replay_s for cost in costs]))
    memory = _relative(np.column_stack((np.ones_like(cells), cells)), np.array([cost.peak_bytes for cost in costs]))
    return Model(math.exp(level), float(power), *(float(one) for part in (replay, memory) for one in part))


def _relative(terms: Floats, measured: Floats) -> Floats:
    shares = terms / measured[:, None]
    scale = shares.max(axis=0)
    found, _ = nnls(shares / scale, np.ones(len(measured)))
    return np.asarray(found / scale, dtype=np.float64)


def expected(size: Size) -> Cost:
    """Counts of a size whose catalysts fall at random and whose trades all enter and last their whole time."""
    entries = float(size.catalysts * size.draws)
    hold = size.hold_hours * 60
    # A bar is walked unless no catalyst fell into the hold before it.
    walked = -math.expm1(size.catalysts * math.log1p(-hold / size.bars)) if hold < size.bars else 1.0
    return Cost(0.0, 0.0, entries, entries * hold, walked * size.bars * size.draws, 0.0)


def measure(size: Size, repeats: int) -> Cost:
    """The fastest seconds of the repeats, and the largest peak."""
    command = [sys.executable, "-m", "benchmarks.scale_worker", *(str(part) for part in asdict(size).values())]
    found = [
        Cost(**json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=QUIET).stdout))
        for _ in range(repeats)
    ]
    return Cost(
        min(one.prepare_s for one in found),
        min(one.replay_s for one in found),
        found[0].entries,
        found[0].held,
        found[0].walked,
        max(one.peak_bytes for one in found),
    )


def _row(size: Size, cost: Cost, model: Model) -> tuple[str, ...]:
    said = model.cost(size, cost)
    pairs = ((cost.prepare_s, said.prepare_s), (cost.replay_s, said.replay_s), (cost.peak_bytes, said.peak_bytes))
    shown = [(f"{was:.2f}", f"{now / was - 1:+.0%}") for was, now in pairs[:2]]
    memory = (count(cost.peak_bytes / 1e6), f"{said.peak_bytes / cost.peak_bytes - 1:+.0%}")
    name = f"{size.days} d x {size.coins}"
    return (name, count(size.catalysts), count(size.draws), f"{size.hold_hours} h", *shown[0], *shown[1], *memory)


def main(quick: bool) -> None:
    """Measure, fit, compare, extrapolate, print."""
    sizes, unseen, repeats = (QUICK, QUICK_UNSEEN, 1) if quick else (FITTED, UNSEEN, 3)
    costs = [measure(size, repeats) for size in sizes]
    model = fit(sizes, costs)
    rows = [_row(size, cost, model) for size, cost in zip(sizes, costs, strict=True)]
    rows.append(_row(unseen, measure(unseen, repeats), model))
    head = ("bars x coins", "catal.", "draws", "hold", "prep. s", "fit", "replay s", "fit", "MB", "fit")
    notes = (
        "Seconds of one core; fit: by how much the model is off. The last is not fitted.",
        f"Prepare {model.prepare_s * 1e9:.3g} ns x cells^{model.prepare_power:.2f}; an entry "
        f"{model.entry_s * 1e9:.0f} ns, a bar held {model.held_s * 1e9:.2f} ns,",
        f"a bar walked {model.walked_s * 1e9:.2f} ns; memory {model.base_bytes / 1e6:.0f} MB and "
        f"{model.cell_bytes:.0f} bytes a cell.",
    )
    print(table("Scale: measured and fitted", head, rows, notes))
    far = model.cost(TARGET, expected(TARGET))
    hours = far.replay_s / 3600
    print(
        f"\nFive years of one-minute bars x {TARGET.coins} coins ({short(TARGET.cells)} cells), "
        f"{count(TARGET.catalysts)} catalysts,\n{count(TARGET.draws)} placebos, extrapolated: prepare "
        f"{far.prepare_s:.0f} s, replays {hours:.1f} hours of one core\n({hours / 16:.1f} h on 16, "
        f"{hours * 60 / 256:.0f} min on 256), peak {far.peak_bytes / 1e9:.0f} GB in each process."
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        from benchmarks.scale_run import main as run

        run(sys.argv[2:])
    else:
        main("--quick" in sys.argv[1:])
