"""What the tests of the store run in other processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from backtest.market.download import Downloader
from backtest.market.recipe import Recipe
from backtest.market.rows import UNITS, Key, Rows
from backtest.market.store import Store
from backtest.market.transport import Patience
from backtest.market.venue_rules import RULES, VenueRules
from tests.market.loopback import HOUR, NOW

KEY = Key.of("bybit", "ZEC/USDT:USDT", "ohlcv", "1h")


def rows_of(slots: np.ndarray) -> Rows:
    """Rows whose values follow from their times."""
    base = (slots // HOUR % 1000 + 100).astype(float)
    return Rows(slots, np.column_stack((base, base + 2, base - 2, base + 1, base * 3)))


def append_blocks(root: str, first: int, count: int, step: int, width: int) -> None:
    """Append `count` blocks of `width` hours, `step` hours apart."""
    store = Store(Path(root))
    for block in range(count):
        start = first + block * step * HOUR
        rows = rows_of(start + np.arange(width, dtype=np.int64) * HOUR)
        store.append(KEY, rows, source="test", units=UNITS["ohlcv"], covered=[(start, start + width * HOUR)])
    store.compact(KEY)


def download(root: str, recipe: dict[str, Any], rules: VenueRules) -> None:
    """Download a recipe, with pages as small as `rules` says."""
    one = Recipe(**recipe)
    RULES[one.exchange.id] = rules
    patience = Patience(first=0.002, longest=0.01)
    Downloader(one, Store(Path(root)), patience=patience, workers=3, clock=lambda: NOW).run()
