"""Tables of a terminal at any width."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from backtest.report.tables import new_table, show


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_no_width_takes_away_the_column_that_tells_rows_apart(columns: int) -> None:
    """The table is wider than the terminal instead: names are cut first, numbers and words never."""
    table = new_table("Means", ("group", "span"), ("interval", "found", "adj. p"))
    for group in ("influencer_calls", ""):
        for span in ("run-up", "announcement", "+1d"):
            table.add_row(group, span, "-11.9 to +28.8", "184.6", "0.743~")
    output = StringIO()
    show(Console(file=output, width=columns), table)
    rows = [line.partition("-11.9 to +28.8 184.6 0.743~") for line in output.getvalue().splitlines()]
    spans = [before.split()[-1] for before, numbers, _ in rows if numbers]
    assert spans == ["run-up", "announcement", "+1d"] * 2
