"""Runs side by side as a page: scores, overlaid equity, trades that differ and why."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from backtest.base.display import plural
from backtest.report.folder import write_text, writing
from backtest.report.html.blocks import (
    Block,
    Download,
    ReportTable,
    Section,
    TableCell,
    Text,
    columns,
    csv_of,
    drawn,
    figure_cell,
    words,
)
from backtest.report.html.page import page_text
from backtest.report.run_comparison import RunComparison, RunPair, score_text, words_of

MOST_ROWS = 500


def comparison_text(found: RunComparison, *, home: str = "") -> str:
    """The comparison as HTML text."""
    label, titles = found.label, [str(name) for name in found.scores.columns]
    short = [f"Run {place}" for place in range(1, len(titles) + 1)]
    heading: list[Block] = [
        *(Text(f"{name} is {title}.") for name, title in zip(short, titles, strict=True)),
        *(Text(f"{note}.", warning=True) for note in found.notes),
        *(
            Text(f"{short[titles.index(one.first)]} less {short[titles.index(one.other)]}: {one.difference.sentence}.")
            for one in found.pairs
        ),
    ]
    sections = [
        Section("compared", "What is compared", tuple(heading)),
        Section("scores", "Scores", (_scores(found, short),)),
        Section("equity", "Equity", (_equity(found, short, label),)),
        Section("trades", "Trades that differ", tuple(_trades(one, short, titles) for one in found.pairs)),
    ]
    lead = f"{plural(len(titles), 'run', 'runs')} of a strategy; trades and differences are against the first"
    return page_text("Runs side by side", lead, sections, label=label, home=home)


def write_comparison(path: Path, found: RunComparison) -> None:
    """Write the page; it appears whole or not at all, and where it cannot be written `UsageError` says why."""
    text = comparison_text(found)
    with writing("report", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)


def _scores(found: RunComparison, short: list[str]) -> ReportTable:
    rows = []
    for name in found.scores.index:
        values = [float(value) for value in found.scores.loc[name]]
        unit = found.units[name]
        cells = (
            TableCell(score_text(str(name), value, unit), None if math.isnan(value) else value) for value in values
        )
        rows.append((words(words_of(str(name))), *cells))
    return ReportTable(
        "Scores",
        columns("Score", *short, numeric=short),
        tuple(rows),
        "As each run recorded them; - is undefined.",
        Download("scores.csv", csv_of(found.scores.rename_axis("score"))),
    )


def _equity(found: RunComparison, short: list[str], label: str) -> Block:
    from backtest.report import figures

    curves = found.equity.set_axis(short, axis=1)
    return drawn(
        "Equity of all runs",
        "Growth since each run's first bar, after every cost; a run has no line where it has no bars.",
        "equity",
        lambda: curves.rename_axis("bar"),
        lambda: figures.growth(curves, label=label),
    )


def _trades(pair: RunPair, short: list[str], titles: list[str]) -> ReportTable:
    first, other = (short[titles.index(one)] for one in (pair.first, pair.other))
    numeric = (f"Net of {first}", f"Net of {other}")
    rows = [
        (
            words(one.catalyst_id or "no catalyst"),
            words(one.instrument),
            words(one.entry_time[:16].replace("T", " ")),
            *(figure_cell(value, ",.0f") for value in (one.net, one.other_net)),
            words(one.why),
        )
        for one in pair.trades
    ]
    more = f" The first {MOST_ROWS} are shown; the CSV holds all." if len(rows) > MOST_ROWS else ""
    frame = pd.DataFrame(
        [(one.catalyst_id, one.instrument, one.entry_time, one.net, one.other_net, one.why) for one in pair.trades],
        columns=["catalyst_id", "instrument", "entry_time", "net", "other_net", "why"],
    )
    return ReportTable(
        f"{first} and {other}: {plural(pair.same, 'trade is', 'trades are')} the same, {len(rows)} differ",
        columns("Catalyst", "Instrument", "Entry (UTC)", *numeric, "Why", numeric=numeric),
        tuple(rows[:MOST_ROWS]),
        f"Net in quote currency; - where a run has no such trade.{more}",
        Download("trades-that-differ.csv", csv_of(frame)),
    )
