"""Records what a verb tried in the research ledger, before any result is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from backtest.ledger.recording import Recorded
    from backtest.ledger.store import Ledger

LEDGER_FILE = "ledger.json"
WITHOUT = "no ledger: p is adjusted within this command only, and nothing of it is kept"


def recorded_by(chosen: str | None, record: Callable[[Ledger], Recorded]) -> Recorded | None:
    """Result of `record` on the chosen ledger; None if no ledger is used."""
    from backtest.ledger.store import Ledger, ledger_path

    path = ledger_path(chosen)
    if path is None:
        return None
    with Ledger(path) as ledger:
        return record(ledger)


def write_recorded(folder: Path, recorded: Recorded | None) -> None:
    """Write ledger.json into the folder of a run or search; without a ledger, none."""
    from backtest.report.folder import to_json, write_text, writing
    from backtest.report.ledger_tables import recorded_document

    if recorded is not None:
        with writing("run folder", folder):
            write_text(folder / LEDGER_FILE, to_json(recorded_document(recorded)) + "\n")


def search_parts(recorded: Recorded | None) -> list[Table | str]:
    """What the p of a run is adjusted for, and each p if they differ."""
    from backtest.report.ledger_tables import adjusted_table, recorded_lines

    if recorded is None:
        return [WITHOUT]
    lines: list[Table | str] = [*recorded_lines(recorded)]
    return [*lines, "", adjusted_table(recorded.judgements)] if recorded.others else lines
