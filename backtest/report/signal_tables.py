"""Terminal tables of strategies, audits and claims."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from backtest.base.units import format_ms
from backtest.report.tables import new_table
from backtest.signals.finding import FRESH

if TYPE_CHECKING:
    from backtest.signals.audit import Audit
    from backtest.signals.strategy import Strategy


def strategy_lines(strategies: Iterable[type[Strategy[Any]]]) -> list[str]:
    """Name and hypothesis of each strategy, and a line for each of its parameters."""
    lines = []
    for one in strategies:
        lines += [one.name, f"  {one.hypothesis}"]
        for name, field in one.parameters_type.model_fields.items():
            default = field.get_default(call_default_factory=True)
            lines.append(f"    {name} = {parameter_text(default)}: {field.description}")
        lines.append("")
    return lines


def parameter_text(value: object) -> str:
    """A default as typed after `-p name=`."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "(none)"
    return str(value)


def audit_table(audits: Sequence[Audit]) -> Table:
    """One row per strategy: decisions, how many had a cut of their own, what it reads, and the verdict."""
    table = new_table("Look-ahead audit", ("strategy", "reads", "verdict"), ("decisions", "tested", "cuts"))
    for one in audits:
        table.add_row(
            escape(one.strategy),
            ", ".join(one.reads) or "no value",
            one.verdict,
            str(one.decisions),
            str(one.tested),
            str(len(one.cuts_ms)),
        )
    return table


def audit_lines(audits: Sequence[Audit]) -> list[str]:
    """What was tested and what was not, so that silence is not mistaken for safety."""
    first = audits[0]
    cuts = [cut for one in audits for cut in one.cuts_ms]
    lines = [f"exercised: {', '.join(first.corruptions)}"]
    if cuts:
        lines.append(f"cut points: {format_ms(min(cuts))} to {format_ms(max(cuts))} UTC")
    hidden = dict.fromkeys(name for one in audits for name in one.hidden)
    lines.append(f"catalysts hidden while not yet known: {', '.join(hidden) or 'none'}")
    if first.unknown:
        lines.append(f"not exercised, unknown throughout this market: {', '.join(first.unknown)}")
    lines += [
        f"{one.strategy}: not exercised: it made no decision inside this market, which proves nothing"
        for one in audits
        if one.verdict == "not exercised"
    ]
    lines += [
        f"{one.strategy}: reads nothing that was corrupted, which proves nothing: no value of this market or calendar "
        "changes a decision"
        for one in audits
        if one.verdict == "reads nothing"
    ]
    lines += [
        f"{one.strategy}: touches {', '.join(one.touched)}, which no cut can reach: whether that was known in time is "
        "not tested"
        for one in audits
        if one.touched
    ]
    lines += [
        f"{one.strategy}: asked in {one.apart}, where earlier calls may have left something: name it by its file to "
        "have it asked in a fresh interpreter"
        for one in audits
        if one.apart != FRESH
    ]
    return lines
