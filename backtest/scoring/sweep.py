"""Search over a strategy's parameters in which every trial is kept, so that p can be adjusted for the search.

Trials are computed in parts of PART. A part is a pure function of the sweep and its number: it depends neither on the
number of cores nor on where it runs, and an interrupted sweep resumes with the missing parts.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest import __version__
from backtest.base.arguments import checked
from backtest.base.config import RunConfig
from backtest.base.display import Shown, View, cell, p_value, percent, whole
from backtest.base.display import number as decimals
from backtest.base.errors import DataError
from backtest.base.identity import document_of
from backtest.base.progress import Progress, silent
from backtest.base.tasks import parts
from backtest.catalysts.record import Calendar
from backtest.engine.layout import EXPOSURE, NET_RETURN, SHARPE, STATISTICS, TRADES
from backtest.engine.prepared import Prepared, prepare
from backtest.engine.replay import replay_statistics, statistic_code
from backtest.market.record import Floats, Market
from backtest.market.rows import replace_file
from backtest.scoring.cross_validation import Overfitting, probability_of_overfitting
from backtest.scoring.metrics import replay_returns
from backtest.scoring.overfitting import DeflatedSharpe, SuperiorAbility, deflate, superior_ability
from backtest.scoring.placebo import Null, Placebo, PlaceboPlan, evidence, null_of, without_events
from backtest.scoring.space import Trial
from backtest.scoring.sweep_folder import Part, claim, part_path, read_part, room_for, written
from backtest.signals.filters import check_filters
from backtest.signals.loading import source_of
from backtest.signals.strategy import Strategy

PART = 8
BLOCKS = 16
SHOWN = 8
"""Best trials that a notebook shows."""


@checked
@dataclass(frozen=True, slots=True, eq=False)
class Sweep:
    """What is searched, on which data, and the placebos that each trial is compared with (None for none).

    `statistic` ranks the trials; `spa` asks for the test of superior predictive ability against holding nothing. As in
    `evaluate`, catalysts that are moves of the price itself are left out of `calendar` unless `endogenous`.
    """

    strategy: type[Strategy[Any]]
    trials: tuple[Trial, ...]
    market: Market
    calendar: Calendar
    config: RunConfig
    plan: PlaceboPlan | None
    statistic: str = "net_return"
    detail: Market | None = None
    spa: bool = False
    endogenous: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "calendar", self.calendar.tested(endogenous=self.endogenous))

    def __repr__(self) -> str:
        return f"<Sweep {self.strategy.name}: {len(self.trials):,} trials by {self.statistic} on {self.market!r}>"

    @property
    def parts(self) -> int:
        """Number of parts of the sweep."""
        return -(-len(self.trials) // PART)

    def fingerprint(self) -> str:
        """First 16 hex digits of the sha256 of everything that the result depends on."""
        said = {
            "version": __version__,
            "strategy": self.strategy.name,
            "source": source_of(self.strategy),
            "trials": [one.parameters for one in self.trials],
            "data": self.market.sha256(),
            "detail": self.detail.sha256() if self.detail else None,
            "calendar": self.calendar.hash(),
            "config": document_of(self.config),
            "plan": asdict(self.plan) if self.plan else None,
            "statistic": self.statistic,
            "spa": self.spa,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SweepResult(Shown):
    """Every trial of a sweep, and the evidence of the search as a whole.

    Attributes
    ----------
    sweep : Sweep
    statistics : (N, 8) float64
        STATISTICS of each trial; NaN where undefined.
    placebos : tuple of N Placebo, or of None
        Evidence of each trial; `adjusted` is adjusted over all that could be tested.
    best : int
        Trial with the highest statistic; -1 if none has one.
    returns : (T, N) float32
        Simple returns per bar of each trial, memory-mapped.
    deflated : DeflatedSharpe or None
        DSR of the best trial among all.
    overfitting : Overfitting or None
        PBO of the search by the Sharpe ratio; None for fewer than two trials or too few bars.
    superior : SuperiorAbility or None
        SPA and StepM of all trials, if requested.
    """

    sweep: Sweep
    statistics: Floats
    placebos: tuple[Placebo | None, ...]
    best: int
    returns: npt.NDArray[np.float32]
    deflated: DeflatedSharpe | None
    overfitting: Overfitting | None
    superior: SuperiorAbility | None

    def _line(self) -> str:
        sweep = self.sweep
        return f"{sweep.strategy.name}: {len(sweep.trials):,} trials by {sweep.statistic}"

    def _label(self) -> str:
        return self.sweep.market.provenance.label

    def _view(self) -> View:
        code = statistic_code(self.sweep.statistic)
        names = [name for name, _ in self.sweep.trials[0].parameters]
        rows = []
        for place in np.argsort(-self.statistics[:, code], kind="stable")[:SHOWN]:
            row, luck = self.statistics[place], self.placebos[place]
            untested = luck.reason if luck else "no placebo was asked for"
            rows.append(
                (
                    *(value for _, value in self.sweep.trials[place].parameters),
                    cell(row[NET_RETURN], percent),
                    cell(row[SHARPE], decimals, "the returns never varied"),
                    cell(row[TRADES], whole),
                    *(cell(p, p_value, untested) for p in ((luck.p, luck.adjusted) if luck else (np.nan, np.nan))),
                )
            )
        notes = [f"the best {len(rows)} of {len(self.placebos):,}"]
        if self.deflated is not None:
            told = self.deflated.reason or p_value(self.deflated.deflated)
            notes.append(f"deflated Sharpe ratio of the best: {told}")
        if self.overfitting is not None:
            told = self.overfitting.reason or p_value(self.overfitting.probability)
            notes.append(f"probability of backtest overfitting: {told}")
        return View((*names, "net", "Sharpe", "trades", "p", "adjusted p"), rows, notes)


@checked
def run_sweep(
    sweep: Sweep, folder: Path | str, *, cluster: str | None = None, progress: Progress = silent
) -> SweepResult:
    """Compute the parts that `folder` lacks, here or on the Dask cluster at an address, and evaluate the whole sweep.

    Raises
    ------
    UsageError
        If the folder holds another sweep, or the strategy does not have a parameter.
    DataError
        If funding is unknown under the policy `error`.
    """
    for trial in sweep.trials:
        check_filters(sweep.strategy(dict(trial.parameters)), sweep.market, sweep.calendar)
    folder = Path(folder)
    with written(folder):
        return _run(sweep, folder, cluster, progress)


def _run(sweep: Sweep, folder: Path, cluster: str | None, progress: Progress) -> SweepResult:
    claim(folder, sweep.fingerprint())
    missing = [number for number in range(sweep.parts) if not part_path(folder, number).is_file()]
    done = sweep.parts - len(missing)
    progress("trials", done, sweep.parts)
    for number, content in parts(sweep_part, sweep, missing, cluster):
        replace_file(part_path(folder, number), content)
        done += 1
        progress("trials", done, sweep.parts)
    return judge(sweep, folder)


@lru_cache(maxsize=1)
def _prepared(sweep: Sweep) -> Prepared:
    return prepare(sweep.market, sweep.config, sweep.detail)


def sweep_part(sweep: Sweep, number: int) -> bytes:
    """One part as the bytes of an npz: statistics (n, 8), returns (n, T), drawn (n, B), reasons (n,) and exact (n,)."""
    prepared = _prepared(sweep)
    statistics, returns, nulls = [], [], []
    for trial in sweep.trials[number * PART : (number + 1) * PART]:
        strategy = sweep.strategy(dict(trial.parameters))
        intents = strategy.decide(sweep.market, sweep.calendar)
        orders = prepared.orders(intents)
        row = replay_statistics(orders, prepared, 1)[0]
        if np.isnan(row[NET_RETURN]):
            raise DataError(
                f"trial {trial.number} of {sweep.strategy.name} holds a position while funding is unknown: fetch it, "
                "or choose `funding_unknown=const` (charged against the position) or `funding_unknown=zero`"
            )
        statistics.append(row)
        returns.append(replay_returns(orders, prepared))
        reason = without_events(row[EXPOSURE], row[TRADES]) if sweep.plan else "no placebo was asked for"
        if reason or sweep.plan is None:
            nulls.append(Null(np.empty(0), reason=reason))
        else:
            nulls.append(null_of(intents, prepared, sweep.calendar, sweep.plan, strategy))
    drawn = np.full((len(nulls), max(len(null.values) for null in nulls)), np.nan)
    for place, null in enumerate(nulls):
        if not null.reason:
            drawn[place] = null.values
    content = io.BytesIO()
    np.savez(
        content,
        statistics=np.array(statistics),
        returns=np.array(returns),
        drawn=drawn,
        reasons=np.array([null.reason for null in nulls]),
        exact=np.array([null.exact for null in nulls]),
    )
    return content.getvalue()


def _parts(sweep: Sweep, folder: Path) -> Iterator[Part]:
    for number in range(sweep.parts):
        trials = len(sweep.trials[number * PART : (number + 1) * PART])
        yield read_part(part_path(folder, number), trials, len(sweep.market.index))


def judge(sweep: Sweep, folder: Path) -> SweepResult:
    """The result of a sweep whose parts are complete; writes `returns.npy` (T, N) beside them."""
    statistics = np.empty((len(sweep.trials), len(STATISTICS)))
    nulls: list[Null] = []
    path = folder / "returns.npy"
    part_of_path = folder / "returns.npy.part"
    shape = (len(sweep.market.index), len(sweep.trials))
    returns = room_for(part_of_path, shape)
    for part in _parts(sweep, folder):
        columns = slice(len(nulls), len(nulls) + len(part.nulls))
        statistics[columns] = part.statistics
        returns[:, columns] = part.returns.T
        nulls += part.nulls
    returns.flush()
    del returns
    part_of_path.replace(path)
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    values = statistics[:, statistic_code(sweep.statistic)]
    best = int(np.nanargmax(values)) if np.isfinite(values).any() else -1
    judged = evidence(values, nulls, sweep.plan) if sweep.plan else (None,) * len(nulls)
    several = len(sweep.trials) > 1 and len(mapped) >= 2 * BLOCKS
    return SweepResult(
        sweep,
        statistics,
        judged,
        best,
        mapped,
        deflate(mapped, best) if best >= 0 else None,
        probability_of_overfitting(mapped, blocks=BLOCKS) if several else None,
        superior_ability(mapped, seed=sweep.config.seed) if sweep.spa else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """Mean statistic (R, C) over all trials with each pair of values of two parameters; NaN where no trial has both."""

    row_name: str
    column_name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    mean: Floats
    adjusted: Floats
    """Least adjusted p (R, C) of those trials; NaN where none was tested."""


@checked
def heat_maps(result: SweepResult) -> tuple[HeatMap, ...]:
    """One map per pair of parameters with at least two and at most fifty values."""
    sweep = result.sweep
    values = result.statistics[:, statistic_code(sweep.statistic)]
    adjusted = np.array([one.adjusted if one else np.nan for one in result.placebos])
    table = [dict(trial.parameters) for trial in sweep.trials]
    names = [name for name in table[0] if 2 <= len({row[name] for row in table}) <= 50]
    maps = []
    for place, row_name in enumerate(names):
        for column_name in names[place + 1 :]:
            rows, columns = (tuple(dict.fromkeys(row[name] for row in table)) for name in (row_name, column_name))
            mean, least = np.full((2, len(rows), len(columns)), np.nan)
            cells: dict[tuple[str, str], list[int]] = {}
            for number, row in enumerate(table):
                cells.setdefault((row[row_name], row[column_name]), []).append(number)
            for (one, other), numbers in cells.items():
                cell = rows.index(one), columns.index(other)
                mean[cell] = _of_known(np.mean, values[numbers])
                least[cell] = _of_known(np.min, adjusted[numbers])
            maps.append(HeatMap(row_name, column_name, rows, columns, mean, least))
    return tuple(maps)


def _of_known(what: Callable[[Floats], Any], values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(what(known)) if len(known) else float("nan")
