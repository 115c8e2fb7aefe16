"""Verification of a stored series: its manifest, its files, and every row against the rules."""

from __future__ import annotations

from dataclasses import dataclass

from backtest.base.errors import MarketError
from backtest.market.from_store import unusable
from backtest.market.rows import Key
from backtest.market.store import Store


@dataclass(frozen=True, slots=True)
class CheckedSeries:
    """A series after its check: its rows, those just adopted from unlisted files, and its faults."""

    key: Key
    rows: int = 0
    adopted: int = 0
    problems: tuple[str, ...] = ()


def checked_series(store: Store, key: Key) -> CheckedSeries:
    """Adopt files that no manifest lists, then verify everything; every fault is a sentence, never raised."""
    try:
        recovered = store.recover(key)
        manifest = store.manifest(key)
    except MarketError as problem:
        return CheckedSeries(key, problems=(str(problem),))
    problems = [*recovered.set_aside, *(store.problems(key) or unusable(store, key))]
    return CheckedSeries(key, manifest.rows if manifest else 0, recovered.adopted, tuple(problems))
