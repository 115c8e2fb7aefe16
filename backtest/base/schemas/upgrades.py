"""Reads documents of earlier releases as documents of this one.

Promised: every document that a release wrote can be read by all later releases of the same major version, and by the
next one. A key may be added to a version while it is unreleased; after that, adding, renaming or removing a key, or
changing its meaning, makes a new version, with a function here that turns the old document into the new one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from backtest.base.errors import BacktestError, shortened
from backtest.base.schemas import VERSION, schema_id

Document = dict[str, Any]


def _unchanged(document: Document) -> Document:
    """A version whose keys all mean the same in the next one."""
    return document


def _study_of_observations(document: Document) -> Document:
    """Version 2 counts observations in `n`, where version 1 counted catalysts and called observations `distinct`."""
    for row in document.get("effects", ()):
        row["catalysts"], row["n"] = row["n"], row.pop("distinct")
        row["least_p"] = row["least_effect"] = None
    return document


def _run_2(document: Document) -> Document:
    """The older version recorded the move up to the fill as one, not split into before and waited: both are unknown."""
    for one in document.get("strategies", ()):
        for name in ("run_up", "captured_per_run_up"):
            one.get("scores", {}).pop(name, None)
        one["trades"] = [_moves_unknown(trade) for trade in one.get("trades", ())]
    if document.get("request") is not None:
        # 0.1 traded them.
        document["request"]["endogenous"] = True
    return _evidence_of_power(document)


def _moves_unknown(trade: Document) -> Document:
    renamed: Document = {}
    for name, value in trade.items():
        renamed |= {"before": None, "waited": None} if name == "run_up" else {name: value}
    # 0.1 did not record what an order got of what it wanted.
    return {"cut": None, "granted": None, "young": None, "exit_load": None, "exit_fills": None} | renamed


def _metrics_2(document: Document) -> Document:
    """Metrics of the move up to the fill, which this release splits in two."""
    for name in ("run_up", "captured_per_run_up"):
        document.get("metrics", {}).pop(name, None)
    return document


def _walkforward_2(document: Document) -> Document:
    """Both the metrics and the placebo of a walk-forward."""
    return _evidence_of_power(_metrics_2(document))


def _placebo_of_power(placebo: Document | None) -> None:
    """Version 2 records what a placebo could have found; for older documents this is unknown."""
    if placebo is not None:
        unknown = dict.fromkeys(("least_effect", "foreknown", "driftless_p", "least_p", "greatest_p"))
        placebo.update(floor=1.0 / (placebo["n"] + 1), **unknown, doubtful=0)


def _evidence_of_power(document: Document) -> Document:
    """The placebo of every strategy, or of the one that a walk-forward tests."""
    for one in document.get("strategies", [document]):
        _placebo_of_power(one.get("evidence", {}).get("placebo"))
    return document


UPGRADES: dict[tuple[str, int], Callable[[Document], Document]] = {
    ("baseline", 1): _metrics_2,
    ("run", 1): _run_2,
    ("study", 1): _study_of_observations,
    ("sweep", 1): _unchanged,
    ("walkforward", 1): _walkforward_2,
}
"""By name and version: what makes a document of that version one of the next; it may change its argument."""


def upgraded(document: Document, name: str, place: object, error: type[BacktestError]) -> Document:
    """The document as this release writes it; `place` is the file it came from.

    Raises
    ------
    BacktestError
        `error`, where its `schema` is that of another document, or of a later release.
    """
    said = document.get("schema")
    found = re.fullmatch(rf"backtest\.{re.escape(name)}/([1-9][0-9]{{0,3}})", said) if isinstance(said, str) else None
    if said is None:
        raise error(f"{place} is not a {name}: key 'schema' is missing: name another file, or restore it")
    if found is None:
        raise error(f"{place} is of schema {shortened(said)}, not {schema_id(name)!r}: name another file")
    version = int(found[1])
    if version > VERSION[name]:
        raise error(
            f"{place} is of schema {said!r}, which a later release wrote; this one reads up to {schema_id(name)!r}: "
            "upgrade the tool"
        )
    result = dict(document)
    for step in range(version, VERSION[name]):
        result = UPGRADES[name, step](result)
    result["schema"] = schema_id(name)
    return result
