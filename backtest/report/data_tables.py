"""Terminal tables of the store: what each series holds, and a picture of its coverage."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from backtest.base.documents import read_toml
from backtest.base.errors import MarketError
from backtest.base.units import DAY_MS, format_ms
from backtest.market.instrument_file import INSTRUMENTS
from backtest.report.tables import new_table

if TYPE_CHECKING:
    from backtest.market.comparing import SourceComparison
    from backtest.market.download import Report
    from backtest.market.manifest import Manifest
    from backtest.market.planning import DownloadPlan
    from backtest.market.spans import Span

FULL, PARTLY, GAP, NOTHING = "█", "▒", "!", "·"
LEGEND = f"{FULL} fetched whole   {PARTLY} fetched in part   {GAP} the venue has a gap   {NOTHING} not fetched"
SPANS_SHOWN = 8


def fetched_table(report: Report) -> Table:
    """One row per series: new rows, gaps at the venue, missing spans."""
    table = new_table("Fetched", ("symbol", "series", "period"), ("new rows", "gaps", "missing"))
    for one in report.series:
        key = one.key
        cells = (f"{one.rows:,}", str(len(one.gaps)), str(len(one.missing)))
        table.add_row(key.symbol, key.series, key.timeframe, *cells)
    return table


def plan_parts(plan: DownloadPlan) -> list[Table | str]:
    """One row per series with the requests that it takes, then their sum and what is not served."""
    from backtest.market.planning import plan_lines

    table = new_table("Plan", ("symbol", "series", "period"), ("days to ask for", "requests"))
    for one in plan.series:
        requests = f"{one.least:,}" if one.least == one.most else f"{one.least:,} to {one.most:,}"
        table.add_row(one.key.symbol, one.key.series, one.key.timeframe, f"{one.asked_ms / DAY_MS:,.1f}", requests)
    notes = dict.fromkeys(one.note for one in plan.series if one.note)
    return [*([table] if plan.series else []), *plan_lines(plan), *notes]


def store_table(manifests: Sequence[Manifest]) -> Table:
    """One row per series: rows, first and last time, gaps, and whether all between them was fetched."""
    table = new_table("Store", ("symbol", "venue", "series", "period"), ("rows", "from", "to (UTC)", "gaps"))
    for one in manifests:
        first, last = _ends(one)
        table.add_row(
            one.symbol,
            one.venue,
            one.series,
            one.timeframe,
            f"{one.rows:,}",
            first[:10],
            last[:10],
            str(len(one.gap_spans)),
        )
    return table


def rules_lines(folder: Path, symbols: Collection[str]) -> list[str]:
    """What `instruments.toml` of a venue in the store says of its symbols, a line each."""
    path = folder / INSTRUMENTS
    tables = read_toml(path, MarketError) if path.is_file() else {}
    return [
        f"{folder.name} {symbol}  rules  " + ", ".join(f"{key} {value}" for key, value in tables[symbol].items())
        for symbol in sorted(symbols)
        if isinstance(tables.get(symbol), dict)
    ]


def comparison_parts(found: SourceComparison) -> list[Table | str]:
    """The table of a comparison, one row per series and one figure where A and B agree; what disagrees; the notes."""
    from backtest.market.comparing import duration_words

    table = new_table("Compared", ("series",), ("both", "alone", "A/B", "spread", "cadence", "gap", "confidence"))
    lines = []
    for one in found.series:
        ratio = "-" if math.isnan(one.ratio) else f"{one.ratio:.4g}"
        spread = "-" if math.isnan(one.spread) else f"{one.spread:.2g}"
        share = "" if math.isnan(one.confidence) else f"{one.confidence:.1%} "
        cadence, gap = (
            "/".join(dict.fromkeys(map(duration_words, both))) for both in (one.cadence_ms, one.longest_gap_ms)
        )
        alone = f"{one.only_a:,}/{one.only_b:,}" if one.only_a or one.only_b else "0"
        table.add_row(f"{one.coin} {one.series}", f"{one.both:,}", alone, ratio, spread, cadence, gap, share + one.word)
        lines += [f"{one.coin} {one.series}: {sentence}" for sentence in (*one.findings, one.reason) if sentence]
    return [f"A is {found.names[0]}, B is {found.names[1]}, bars of {found.timeframe}", table, *lines, *found.notes]


def manifest_lines(one: Manifest, width: int) -> list[str]:
    """Everything known of a series, its coverage drawn from its first to its last covered time."""
    first, last = _ends(one)
    lines = [
        str(one.key),
        f"  rows      {one.rows:,} in {len(one.files)} files",
        f"  from      {first}",
        f"  to        {last}",
        f"  units     {', '.join(f'{name}: {unit}' for name, unit in one.units.items())}",
        f"  source    {'; '.join(one.sources)}",
        f"  fetched   {one.fetched_at}",
        f"  sha256    {one.sha256[:16]}",
    ]
    if one.coverage:
        lines.append(f"  coverage  {coverage_picture(one.coverage, one.gap_spans, max(width - 12, 10))}")
    lines += [
        f"  gap       {format_ms(gap.start_ms)} to {format_ms(gap.end_ms)}, asked {gap.asked} "
        f"time{'s' * (gap.asked > 1)}, last {format_ms(gap.last_asked_ms)}"
        for gap in one.gaps[:SPANS_SHOWN]
    ]
    if len(one.gaps) > SPANS_SHOWN:
        lines.append(f"  gap       and {len(one.gaps) - SPANS_SHOWN} more")
    return lines


def coverage_picture(coverage: Sequence[Span], gaps: Sequence[Span], width: int) -> str:
    """`width` characters from the first to the last covered time, see `LEGEND`."""
    start, end = coverage[0][0], coverage[-1][1]
    cells = []
    for place in range(width):
        cell = (start + (end - start) * place // width, start + (end - start) * (place + 1) // width)
        covered = _overlap(cell, coverage)
        if _overlap(cell, gaps):
            cells.append(GAP)
        else:
            cells.append(FULL if covered >= cell[1] - cell[0] else PARTLY if covered else NOTHING)
    return "".join(cells)


def _overlap(cell: Span, spans: Sequence[Span]) -> int:
    return sum(max(min(cell[1], end) - max(cell[0], start), 0) for start, end in spans)


def _ends(one: Manifest) -> tuple[str, str]:
    if not one.files:
        return "-", "-"
    return format_ms(min(file.first_ms for file in one.files)), format_ms(max(file.last_ms for file in one.files))
