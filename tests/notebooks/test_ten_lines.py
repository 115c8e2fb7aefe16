"""Notebook 04 leads with one's own data: from three frames and a CSV of twenty events to a verdict in ten lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

BOOK = Path(__file__).parents[2] / "notebooks" / "04_your_own_data_and_strategy.ipynb"


def test_own_bars_and_events_reach_a_verdict_in_ten_lines() -> None:
    import nbformat  # four seconds: only in the process that runs this test

    book = nbformat.read(BOOK, as_version=4)
    codes = [cell.source for cell in book.cells if cell.cell_type == "code"]
    place = next(k for k, source in enumerate(codes) if "Market.from_frames" in source)
    assert len([line for line in codes[place].splitlines() if line.strip()]) <= 10
    # Before it stand only imports and the making of data.
    assert not any("evaluate(" in source or "open_calendar(" in source for source in codes[:place])
    names: dict[str, Any] = {}
    for source in codes[: place + 1]:
        exec("\n".join(line for line in source.splitlines() if not line.startswith("%")), names)
    assert len(names["coins"]) == 3
    assert len(names["calendar"].catalysts) == 20
    (card,) = names["found"].cards
    assert card.verdict in ("beats placebo", "indistinguishable from chance", "loses money", "too few trades")
    assert codes[place].splitlines()[-1] == "found.cards[0]"
    assert card.verdict in str(card)
