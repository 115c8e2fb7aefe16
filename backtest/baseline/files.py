"""Baseline files: JSON laid out for review, read strictly, written whole or not at all."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from backtest.base.arguments import checked
from backtest.base.documents import first_complaint, read_json, table_of
from backtest.base.errors import DataError, UsageError
from backtest.base.schemas.upgrades import upgraded
from backtest.baseline.record import Baseline
from backtest.market.rows import replace_file

WIDTH = 110
"""A list or table of plain values this short stands on one line, so that a metric is a line of the diff."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


def baseline_path(folder: Path, baseline: Baseline) -> Path:
    """`<folder>/<dataset>/<strategy>.json`."""
    dataset, strategy = (
        _UNSAFE.sub("-", name).strip(".") or "-" for name in (baseline.data.name, baseline.strategy.name)
    )
    return folder / dataset / f"{strategy}.json"


@checked
def read_baseline(path: Path | str) -> Baseline:
    """Baseline of a file.

    Raises
    ------
    DataError
        Naming the file, the key and the next step where it is missing or malformed.
    """
    if not os.path.lexists(path):
        raise DataError(f"{path} does not exist: write it with `backtest baseline record`")
    values = upgraded(table_of(read_json(Path(path), DataError), Path(path), DataError), "baseline", path, DataError)
    try:
        return Baseline.model_validate(values)
    except ValidationError as error:
        allowed = [field.alias or name for name, field in Baseline.model_fields.items()]
        raise DataError(
            f"{path} is not a baseline: {first_complaint(error, allowed)}: restore it, or delete it and "
            "record it again with `backtest baseline record`"
        ) from None


def baseline_text(baseline: Baseline) -> str:
    """The text of a baseline's file."""
    return _text(baseline.model_dump(mode="json", by_alias=True, exclude_defaults=True), 0) + "\n"


def _text(value: Any, depth: int) -> str:
    """JSON with containers of short plain values on one line each; numbers and order as they are."""
    whole = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not isinstance(value, dict | list) or not value:
        return whole
    parts = list(value.values()) if isinstance(value, dict) else value
    if depth and len(whole) <= WIDTH and not any(isinstance(part, dict | list) for part in parts):
        return whole
    pad = "  " * (depth + 1)
    keys = (
        [json.dumps(key, ensure_ascii=False) + ": " for key in value] if isinstance(value, dict) else [""] * len(value)
    )
    inner = ",\n".join(pad + key + _text(part, depth + 1) for key, part in zip(keys, parts, strict=True))
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}\n{'  ' * depth}{closing}"


@checked
def write_baseline(path: Path | str, baseline: Baseline) -> None:
    """Write a baseline whole or not at all.

    Raises
    ------
    UsageError
        Where it cannot be written.
    """
    place = Path(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, baseline_text(baseline).encode("utf-8", "backslashreplace"))
    except OSError as problem:
        raise UsageError(f"baseline {path} cannot be written ({problem}): choose another folder") from None
