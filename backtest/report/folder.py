"""The run folder and its JSON: everything a program, a notebook or a reviewer needs of a run."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from backtest import __version__
from backtest.base.documents import read_json, read_whole, table_of
from backtest.base.errors import BacktestError, DataError, UsageError
from backtest.base.estimate import writes_csv
from backtest.base.identity import document_of
from backtest.base.schemas import schema, schema_id
from backtest.base.schemas.checking import fault_of
from backtest.base.schemas.upgrades import upgraded
from backtest.market.rows import replace_file
from backtest.report.spreadsheets import csv_text

# A study writes its folder too, and needs neither the kernel nor what compiles it.
if TYPE_CHECKING:
    from backtest.engine.run import Run
    from backtest.market.record import Market
    from backtest.scoring.evaluation import Evaluation
    from backtest.scoring.metrics import Score

CURVES_TEXT, CURVES = "equity.csv", "equity.parquet"
"""Equity of all strategies by bar, in either format; a run folder holds one of them."""


def run_document(evaluation: Evaluation, request: dict[str, Any] | None = None) -> dict[str, Any]:
    """Versioned JSON document of an evaluation: NaN is null, times are ISO 8601 UTC, shares are fractions.

    `request` lets `backtest report` run it again; None if that is impossible.
    """
    from backtest.report.score_tables import scorecard_document

    market, config, runs = evaluation.market, evaluation.config, evaluation.runs
    document = {
        "schema": schema_id("run"),
        "version": __version__,
        "label": market.provenance.label,
        "dataset": dataset_block(market),
        "request": request,
        "hashes": runs[0].hashes,
        "config": document_of(config),
        "strategies": [
            {
                "name": run.strategy,
                "parameters": document_of(strategy.parameters),
                "scores": {score.name: _score(score) for score in card.scores},
                "evidence": scorecard_document(card),
                "ledger": asdict(run.costs),
                "net_low": run.net_low,
                "net_high": run.net_high,
                "bounds": asdict(run.bounds),
                "notes": [*run.notes, *run.intents.notes],
                "trades": rows_of(run.trades),
                "rejected": rows_of(run.rejected),
                "catalysts": rows_of(run.catalysts),
            }
            for strategy, run, card in zip(evaluation.strategies, runs, evaluation.cards, strict=True)
        ],
    }
    result: dict[str, Any] = plain(document)
    return result


def dataset_block(market: Market) -> dict[str, Any]:
    """What a document records of its market."""
    return {
        "name": market.provenance.name,
        "source": market.provenance.source,
        "licence": market.provenance.licence,
        "repairs": list(market.provenance.repairs),
        "origins": [asdict(one) for one in market.provenance.origins],
        "timeframe": market.timeframe,
        "start": market.index[0].isoformat(),
        "end": (market.index[-1] + pd.Timedelta(milliseconds=market.bar_ms)).isoformat(),
        "instruments": list(market.symbols),
    }


def _score(score: Score) -> dict[str, Any]:
    return {name: value for name, value in asdict(score).items() if name != "name"}


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One mapping a row of a table."""
    names = [str(name) for name in table.columns]
    columns = [table[name].tolist() for name in table.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def plain(value: Any) -> Any:
    """The value in JSON types: NaN and infinity are null, times ISO 8601, numpy numbers Python's."""
    kind = type(value)  # Nearly all values are of these types, and a document has 100,000 of them.
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is str or kind is int:
        return value
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, bool | str):
        return value
    if hasattr(value, "item"):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(document: dict[str, Any]) -> str:
    """Text of a document: two spaces of indent, keys in the order written."""
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)


def read_document(path: Path, name: str) -> dict[str, Any]:
    """A JSON document by the name of its schema, upgraded to this release; another or a broken one is `DataError`."""
    document = table_of(read_json(path, DataError), path, DataError)
    document = upgraded(document, name, path, DataError)
    if fault := fault_of(document, schema(name)):
        raise DataError(f"{path}: {fault}: make the folder again")
    return document


def run_folder_name(document: dict[str, Any], text: str | None = None) -> str:
    """Name of the folder of a run: data, strategy, and a hash of its run.json, so that no other run has it.

    Here and below `text` is `to_json(document)`, for a caller that has it already.
    """
    strategies = [str(one["name"]) for one in document["strategies"]]
    title = strategies[0] if len(strategies) == 1 else f"{len(strategies)}-strategies"
    content = hashlib.sha256(_content(document, text)).hexdigest()[:8]
    return "-".join((re.sub(r"[^\w.+-]", "_", document["dataset"]["name"])[:80], title[:80], content))


def _content(document: dict[str, Any], text: str | None) -> bytes:
    """The bytes of run.json."""
    return f"{to_json(document) if text is None else text}\n".encode("utf-8", "backslashreplace")


def check_unclaimed(folder: Path, document: dict[str, Any], text: str | None = None) -> None:
    """Raise `UsageError` where a folder holds the run.json of another run: it is never overwritten."""
    try:
        found = (folder / "run.json").read_bytes()
    except OSError:
        return
    if found != _content(document, text):
        raise UsageError(f"run folder {folder} holds another run: choose another with `out`, or remove it")


def write_run_folder(
    folder: Path, runs: Sequence[Run], document: dict[str, Any], text: str | None = None, *, equity: str = "auto"
) -> None:
    """Write fills.csv, trades.csv, equity and, last, run.json: a folder that has it holds one complete run. The
    tables are written beside those of an earlier run before that run's files are removed, so that a full disk leaves it
    intact. `equity` is csv (equity.csv), parquet (equity.parquet), or auto: CSV below `LONG_EQUITY` bars.

    Raises
    ------
    UsageError
        Where the folder cannot be written, or holds another run, or for a format that is not known.
    """
    text = to_json(document) if text is None else text
    check_unclaimed(folder, document, text)
    curves = pd.DataFrame({run.strategy: run.equity for run in runs}).rename_axis("bar").reset_index()
    tables = {"fills.csv": _joined(runs, "fills"), "trades.csv": _joined(runs, "trades")}
    as_text = writes_csv(equity, len(curves))
    tables |= {CURVES_TEXT: curves} if as_text else {}
    with writing("run folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
        contents: dict[str, str | bytes] = {name: csv_text(table) for name, table in tables.items()}
        contents |= {} if as_text else {CURVES: _parquet(curves)}
        staged = [(folder / f".{name}.{os.getpid()}.new", folder / name) for name in contents]
        head = folder / f".run.json.{os.getpid()}.new"
        try:
            for (new, _), content in zip(staged, contents.values(), strict=True):
                if isinstance(content, str):
                    write_text(new, content)
                else:
                    replace_file(new, content)
            write_text(head, f"{text}\n")
            (folder / "run.json").unlink(missing_ok=True)
            (folder / (CURVES if as_text else CURVES_TEXT)).unlink(missing_ok=True)
            for new, path in (*staged, (head, folder / "run.json")):
                new.replace(path)
        finally:
            for new, _ in (*staged, (head, None)):
                new.unlink(missing_ok=True)


def read_equity(folder: Path, strategy: str) -> pd.Series[float]:
    """Equity (T,) of a strategy by bar, as a run folder holds it; `DataError` where it cannot be read."""
    long, path = folder / CURVES, folder / CURVES_TEXT
    try:
        if long.is_file():
            path = long
            from backtest.market.arrow_files import read_arrow_file

            # What a file says of pandas is its author's, and is not needed.
            read = read_arrow_file(path, read_whole(path, DataError)).replace_schema_metadata()
            table = read.to_pandas().set_index("bar")
        else:
            table = pd.read_csv(io.BytesIO(read_whole(path, DataError)), parse_dates=["bar"]).set_index("bar")
        return pd.Series(table[strategy].to_numpy(dtype=np.float64), table.index)
    except (OSError, ValueError, LookupError, BacktestError) as problem:
        raise DataError(f"{path} cannot be read ({problem}): run it again") from None


def _parquet(table: pd.DataFrame) -> bytes:
    """A table of bars and numbers, without what changes from one version of pandas to the next."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    plain_table = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    pq.write_table(plain_table, sink, compression="snappy", use_dictionary=False)
    return sink.getvalue()


def _joined(runs: Sequence[Run], name: str) -> pd.DataFrame:
    tables = [getattr(run, name).assign(strategy=run.strategy) for run in runs]
    filled = [table for table in tables if len(table)] or tables[:1]
    joined: pd.DataFrame = pd.concat(filled, ignore_index=True)
    return joined[["strategy", *(column for column in joined.columns if column != "strategy")]]


@contextmanager
def writing(what: str, path: Path, option: str = "`out`") -> Iterator[None]:
    """Raise `UsageError` for a file or folder that cannot be written; it names the option that chooses another."""
    try:
        yield
    except OSError as problem:
        reason = f"{problem.filename or path}: {problem.strerror or problem}"
        raise UsageError(f"{what} {path} cannot be written ({reason}): choose another with `{option}`") from None


def write_text(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    # A lone surrogate, of a file name that is not UTF-8, is written as JSON's own escape.
    replace_file(path, text.encode("utf-8", "backslashreplace"))
