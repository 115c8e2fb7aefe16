"""What the file of a ledger may hold beside its tables: nothing that runs but its own triggers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from backtest.base.errors import DataError, shortened


def check_programs(db: sqlite3.Connection, path: Path, statements: Iterable[str]) -> None:
    """Raise `DataError` for a view or trigger that none of the ledger's own statements makes: it runs when read."""
    own = {text.rstrip("; \n") for text in statements}
    for name, text in db.execute("SELECT name, sql FROM sqlite_master WHERE type IN ('view', 'trigger')"):
        if text not in own:
            raise DataError(
                f"ledger {path} has a view or trigger {shortened(name)} that no version writes: restore it from a copy"
            )
