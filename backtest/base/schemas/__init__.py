"""JSON Schemas (draft 2020-12) of every document that the tool prints or writes.

A document names its schema in its `schema` key: `backtest.run/1` is `run-1.schema.json` in this folder. Adding,
renaming or removing a key, or changing its meaning, makes a new version; the old file stays.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from backtest.base.errors import UsageError

VERSION = {
    "audit": 1,
    "baseline": 2,
    "baseline-check": 1,
    "claims": 1,
    "data": 1,
    "data-compare": 1,
    "events": 1,
    "ledger": 1,
    "run": 2,
    "strategies": 1,
    "study": 2,
    "sweep": 2,
    "walkforward": 2,
}
"""Name of each document, and the version that this release writes."""


def schema_id(name: str) -> str:
    """Value of the `schema` key of a document: `backtest.run/1`."""
    return f"backtest.{name}/{VERSION[name]}"


def schema_text(name: str) -> str:
    """Text of the schema of the documents of this name.

    Raises
    ------
    UsageError
        For a name that no document has.
    """
    if name not in VERSION:
        from backtest.base.errors import near_miss

        raise UsageError(f"schema {name!r} is unknown; {near_miss(name, VERSION)}")
    return (Path(__file__).parent / f"{name}-{VERSION[name]}.schema.json").read_text(encoding="utf-8")


def schema(name: str) -> dict[str, Any]:
    """JSON Schema of the documents of this name; raises as `schema_text` does."""
    read: dict[str, Any] = json.loads(schema_text(name))
    return read
