"""Files and JSON of sweeps and walk-forwards: the whole trial matrix, whatever the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtest import __version__
from backtest.base.errors import DataError
from backtest.base.identity import document_of
from backtest.base.schemas import schema_id
from backtest.engine.layout import STATISTICS
from backtest.market.record import Floats, Market
from backtest.report.folder import plain, read_document, to_json, write_text, writing
from backtest.report.score_tables import scorecard_document
from backtest.report.spreadsheets import csv_text
from backtest.scoring.cross_validation import Overfitting
from backtest.scoring.scorecard import Scorecard
from backtest.scoring.space import Trial
from backtest.scoring.sweep import HeatMap, Sweep, SweepResult, heat_maps
from backtest.scoring.walkforward import WalkForward, WalkForwardResult

# Those of 16 blocks are 12,870.
MOST_SPLITS = 1_000_000


def trial_table(result: SweepResult) -> pd.DataFrame:
    """One row per trial: number, parameters as text, STATISTICS, and the evidence of its placebos."""
    rows = []
    for trial, statistics, luck in zip(result.sweep.trials, result.statistics, result.placebos, strict=True):
        row: dict[str, Any] = {"trial": trial.number, **dict(trial.parameters)}
        row |= dict(zip(STATISTICS, statistics.tolist(), strict=True))
        if luck is not None:
            row |= {"p": luck.p, "p_low": luck.low, "p_high": luck.high, "p_adjusted": luck.adjusted}
            row |= {"placebo_mean": luck.mean, "placebo_deviation": luck.deviation, "placebo_reason": luck.reason}
        rows.append(row)
    return pd.DataFrame(rows)


def market_document(market: Market) -> dict[str, Any]:
    """What the JSON of a search records about its bars."""
    return {
        "name": market.provenance.name,
        "label": market.provenance.label,
        "timeframe": market.timeframe,
        "start": market.index[0].isoformat(),
        "end": (market.index[-1] + pd.Timedelta(milliseconds=market.bar_ms)).isoformat(),
    }


def search_document(sweep: Sweep | WalkForward) -> dict[str, Any]:
    """What the JSON of a search records about the search space."""
    return {
        "version": __version__,
        "dataset": market_document(sweep.market),
        "hashes": {
            "config": sweep.config.hash(),
            "data": sweep.market.sha256()[:16],
            "calendar": sweep.calendar.hash(),
        },
        "config": document_of(sweep.config),
        "strategy": sweep.strategy.name,
        "statistic": sweep.statistic,
    }


def parameter_values(trials: Sequence[Trial]) -> dict[str, list[str]]:
    """Every value that each parameter took."""
    tables = [dict(trial.parameters) for trial in trials]
    return {name: list(dict.fromkeys(table[name] for table in tables)) for name in tables[0]}


def sweep_document(result: SweepResult) -> dict[str, Any]:
    """Versioned JSON document of a sweep: NaN is null, shares are fractions."""
    document = {
        "schema": schema_id("sweep"),
        **search_document(result.sweep),
        "placebo": asdict(result.sweep.plan) if result.sweep.plan else None,
        "trials": len(result.sweep.trials),
        "best": None if result.best < 0 else trial_table(result).iloc[result.best].to_dict(),
        "deflated_sharpe": asdict(result.deflated) if result.deflated else None,
        "overfitting": _overfitting_document(result.overfitting) if result.overfitting else None,
        "superior_ability": asdict(result.superior) if result.superior else None,
        "heat_maps": [
            {**asdict(one), "mean": one.mean.tolist(), "adjusted": one.adjusted.tolist()} for one in heat_maps(result)
        ],
        "parameters": parameter_values(result.sweep.trials),
    }
    told: dict[str, Any] = plain(document)
    return told


def _overfitting_document(overfitting: Overfitting) -> dict[str, Any]:
    """PBO and its components; `logits` as distinct values with the number of splits of each."""
    names = ("probability", "loss_probability", "slope", "adjusted_r2", "blocks", "trials", "reason")
    values, splits = np.unique(overfitting.logits[~np.isnan(overfitting.logits)], return_counts=True)
    logits = {"values": values.tolist(), "splits": splits.tolist()}
    return {name: getattr(overfitting, name) for name in names} | {"logits": logits}


@dataclass(frozen=True, slots=True, eq=False)
class SearchFolder:
    """The folder of a sweep: its name, its document, every trial, and the document's numbers as figures take them.

    Attributes
    ----------
    heat_maps : tuple of HeatMap
    logits : (C,) float64
        Of the splits where they are defined, in ascending order; empty where overfitting was not judged.
    probability : float
        PBO; NaN where undefined.
    """

    name: str
    document: dict[str, Any]
    trials: pd.DataFrame
    heat_maps: tuple[HeatMap, ...]
    logits: Floats
    probability: float


def read_search(folder: Path) -> SearchFolder:
    """The folder that `write_sweep` wrote; one that cannot be read raises `DataError`."""
    document = read_document(folder / "sweep.json", "sweep")
    try:
        trials = pd.read_csv(folder / "trials.csv")
        if absent := {"trial", *STATISTICS} - set(trials.columns):
            raise ValueError(f"trials.csv has no column {', '.join(sorted(absent))}")
        overfitting = document["overfitting"] or {"logits": {"values": [], "splits": []}, "probability": None}
        return SearchFolder(
            folder.name,
            document,
            trials,
            tuple(_heat_map(one) for one in document["heat_maps"]),
            _logits(**overfitting["logits"]),
            float(_reals(overfitting["probability"])),
        )
    except (OSError, ValueError, OverflowError) as problem:
        raise DataError(f"sweep folder {folder} cannot be read ({problem}): run the sweep again") from None


def _logits(values: list[float], splits: list[int]) -> Floats:
    counts = np.array(splits, dtype=np.int64)
    if counts.size and not 0 <= counts.min() <= counts.max() <= MOST_SPLITS:
        raise ValueError(f"splits reach {counts.max()}, not between 0 and {MOST_SPLITS:,}")
    if len(values) != len(splits):
        raise ValueError(f"there are {len(values)} logits and counts of {len(splits)}")
    return np.repeat(_reals(values), counts)


def _reals(values: Any) -> Floats:
    """JSON numbers as an array, null as NaN."""
    return np.array(values, dtype=np.float64)


def _heat_map(table: dict[str, Any]) -> HeatMap:
    rows, columns = tuple(map(str, table["rows"])), tuple(map(str, table["columns"]))
    mean, adjusted = _reals(table["mean"]), _reals(table["adjusted"])
    if not mean.shape == adjusted.shape == (len(rows), len(columns)):
        raise ValueError(f"a heat map of {len(rows)} by {len(columns)} values holds {mean.shape} and {adjusted.shape}")
    return HeatMap(str(table["row_name"]), str(table["column_name"]), rows, columns, mean, adjusted)


def write_sweep(folder: Path, result: SweepResult) -> dict[str, Any]:
    """Write sweep.json and trials.csv beside returns.npy; returns the document."""
    document = sweep_document(result)
    with writing("sweep folder", folder):
        write_text(folder / "trials.csv", csv_text(trial_table(result)))
        write_text(folder / "sweep.json", to_json(document) + "\n")
    return document


def walkforward_document(result: WalkForwardResult, card: Scorecard) -> dict[str, Any]:
    """Versioned JSON document of a walk-forward: its cuts and choices, and the scores of what they earned."""
    walk = result.walk
    document = {
        "schema": schema_id("walkforward"),
        **search_document(walk),
        "trials": len(walk.trials),
        "parameters": parameter_values(walk.trials),
        "horizon_ms": walk.horizon_ms,
        "embargo_ms": walk.embargo_ms,
        "memory": walk.memory,
        "folds": [
            {
                "number": choice.fold.number,
                "train": choice.fold.train,
                "purged": choice.fold.purged,
                "test": choice.fold.test,
                "trained_to": pd.Timestamp(choice.fold.cut_ms, unit="ms", tz="UTC"),
                "test_start": pd.Timestamp(choice.fold.test_start_ms, unit="ms", tz="UTC"),
                "test_end": pd.Timestamp(choice.fold.test_end_ms, unit="ms", tz="UTC"),
                "trial": choice.trial.number if choice.trial else None,
                "parameters": dict(choice.trial.parameters) if choice.trial else None,
                "train_statistic": choice.train_statistic,
                "test_statistic": choice.test_statistic,
                "test_trades": choice.test_trades,
                "reason": choice.reason,
            }
            for choice in result.choices
        ],
        "scores": {score.name: {"value": score.value, "reason": score.reason} for score in card.scores},
        "evidence": scorecard_document(card),
    }
    told: dict[str, Any] = plain(document)
    return told
