"""Terminal tables of claims checked against a market."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from backtest.base.display import ABSENT
from backtest.report.tables import new_table

if TYPE_CHECKING:
    from backtest.catalysts.claims import Check

_SENSE = {"about": "", "at_least": ">", "at_most": "<"}


def figure(value: float, unit: str) -> str:
    """A value in its unit, short: 22.0%, 1.4x, $17.5B, 15d."""
    if unit == "share":
        return f"{value:.1%}" if abs(value) >= 0.01 else f"{value:.2%}"
    for size, letter in ((1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            text = f"{value / size:.4g}{letter}"
            break
    else:
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.5g}" if unit == "USD" else f"{value:.3g}"
    return {"USD": f"${text}", "times": f"{text}x", "days": f"{text}d", "seconds": f"{text}s"}.get(unit, text)


def claim_table(checks: Sequence[Check], market: str) -> Table:
    """One row per claim: what is claimed, what was measured in which window, and the verdict."""
    table = new_table(f"Claims against {market}", ("claim", "verdict"), ("claimed", "measured", "window"))
    for one in checks:
        claim = one.claim
        table.add_row(
            escape(claim.id),
            one.verdict,
            _SENSE[claim.sense] + figure(claim.claimed, claim.unit),
            ABSENT if one.measured is None else figure(one.measured, claim.unit),
            short_window(one.window) or ABSENT,
        )
    return table


def plain_window(window: str) -> str:
    """`2025-10-23 to 2025-11-07` as it is, one day as itself."""
    first, _, last = window.partition(" to ")
    return first if first == last else window


def short_window(window: str) -> str:
    """`2025-10-23 to 2025-11-07` as `10-23..11-07`, one day as itself; the year stays where the two differ."""
    first, _, last = window.partition(" to ")
    if not last or first == last:
        return first
    return f"{first[5:]}..{last[5:]}" if first[:4] == last[:4] else f"{first}..{last}"


def claim_lines(checks: Sequence[Check]) -> list[str]:
    """How many of each verdict, and why each figure that was not simply measured was not."""
    counts: dict[str, int] = {}
    reasons: dict[str, list[str]] = {}
    for one in checks:
        counts[one.verdict] = counts.get(one.verdict, 0) + 1
        if one.verdict in ("inconsistent", "not measurable"):
            reasons.setdefault(f"{one.verdict}: {one.reason}", []).append(one.claim.id)
    total = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return [f"{len(checks)} claims: {total}", *(f"{', '.join(ids)}: {reason}" for reason, ids in reasons.items())]
