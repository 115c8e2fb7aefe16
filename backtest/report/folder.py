"""The run folder and its JSON: everything a program, a notebook or a reviewer needs of a run."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from backtest import __version__
from backtest.engine.replay import Run
from backtest.errors import UsageError
from backtest.scoring.metrics import Score

RUN_SCHEMA = "backtest.run/1"


def run_document(
    runs: Sequence[Run], scores: Sequence[Sequence[Score]], parameters: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Versioned JSON document of runs over one market: NaN is null, times are ISO 8601 UTC, shares are fractions."""
    market, config = runs[0].market, runs[0].config
    document = {
        "schema": RUN_SCHEMA,
        "version": __version__,
        "label": market.provenance.label,
        "dataset": {
            "name": market.provenance.name,
            "source": market.provenance.source,
            "licence": market.provenance.licence,
            "repairs": list(market.provenance.repairs),
            "timeframe": market.timeframe,
            "start": market.index[0].isoformat(),
            "end": (market.index[-1] + pd.Timedelta(milliseconds=market.bar_ms)).isoformat(),
            "instruments": list(market.symbols),
        },
        "hashes": runs[0].hashes,
        "config": config.model_dump(),
        "strategies": [
            {
                "name": run.strategy,
                "parameters": values,
                "scores": {score.name: _score(score) for score in table},
                "ledger": asdict(run.ledger),
                "net_low": run.net_low,
                "net_high": run.net_high,
                "notes": list(run.notes),
                "trades": _rows(run.trades),
                "rejected": _rows(run.rejected),
                "catalysts": _rows(run.catalysts),
            }
            for run, table, values in zip(runs, scores, parameters, strict=True)
        ],
    }
    plain: dict[str, Any] = _plain(document)
    return plain


def _score(score: Score) -> dict[str, Any]:
    return {name: value for name, value in asdict(score).items() if name != "name"}


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, bool | str):
        return value
    if hasattr(value, "item"):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(document: dict[str, Any]) -> str:
    """Text of a document: two spaces of indent, keys in the order written."""
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)


def write_run_folder(folder: Path, runs: Sequence[Run], document: dict[str, Any]) -> None:
    """Write run.json, fills.csv, trades.csv and equity.csv; each file appears whole or not at all.

    Raises
    ------
    UsageError
        Where the folder cannot be written.
    """
    tables = {
        "fills.csv": _joined(runs, "fills"),
        "trades.csv": _joined(runs, "trades"),
        "equity.csv": pd.DataFrame({run.strategy: run.equity for run in runs}).rename_axis("bar").reset_index(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / "run.json", to_json(document) + "\n")
        for name, table in tables.items():
            _replace(folder / name, table.to_csv(index=False, lineterminator="\n"))
    except OSError as problem:
        raise UsageError(f"run folder {folder} cannot be written ({problem}): choose another with --out") from None


def _joined(runs: Sequence[Run], name: str) -> pd.DataFrame:
    tables = [getattr(run, name).assign(strategy=run.strategy) for run in runs]
    filled = [table for table in tables if len(table)] or tables[:1]
    joined: pd.DataFrame = pd.concat(filled, ignore_index=True)
    return joined[["strategy", *(column for column in joined.columns if column != "strategy")]]


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="")
    part.replace(path)
