"""The trades of a run as text, one line each; the same on every machine."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from backtest.base.display import plural

DIGITS = 10
"""Significant digits of every number written: machines differ in the last of sixteen."""


class Line(NamedTuple):
    """One trade of a ledger, field by field, as text."""

    catalyst_id: str
    instrument: str
    side: str
    entry_time: str
    exit_time: str
    reason: str
    entry_price: str
    exit_price: str
    net: str


def ledger_lines(trades: pd.DataFrame) -> tuple[str, ...]:
    """One line per closed position, in order of exit: the fields of `Line`, separated by spaces."""
    return tuple(" ".join(_line(row)) for row in trades.to_dict("records"))


def _line(row: dict[Any, Any]) -> Line:
    return Line(
        "_".join(str(row["catalyst_id"]).split()) or "-",
        str(row["instrument"]),
        "long" if row["side"] > 0 else "short",
        _minute(row["entry_time"]),
        _minute(row["exit_time"]),
        str(row["reason"]),
        f"{row['entry_price']:.{DIGITS}g}",
        f"{row['exit_price']:.{DIGITS}g}",
        _like(float(row["net"]), float(row["entry_price"] * row["quantity"])),
    )


def _minute(moment: pd.Timestamp) -> str:
    return moment.strftime("%Y-%m-%dT%H:%MZ" if moment.second == 0 else "%Y-%m-%dT%H:%M:%SZ")


def _like(net: float, notional: float) -> str:
    """Net as fine as the tenth digit of the notional: it is a difference, whose own digits may all be rounding."""
    # Nudged, since a notional of a power of ten may come out a last bit below it.
    places = DIGITS - 1 - math.floor(math.log10(notional * (1.0 + 1e-9)))
    return f"{round(net, places) + 0.0:.{max(places, 0)}f}"


def ledger_hash(lines: Sequence[str]) -> str:
    """First 16 hex digits of the sha256 of the lines, a line feed after each."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class LedgerChange:
    """How two ledgers differ: counts of trades, and the first place where they differ, from 0."""

    added: int
    removed: int
    changed: int
    first: int
    was: str | None
    now: str | None

    @property
    def sentence(self) -> str:
        """`2 trades changed, 1 added, 0 removed`."""
        return f"{plural(self.changed, 'trade', 'trades')} changed, {self.added} added, {self.removed} removed"


def ledger_change(was: Sequence[str], now: Sequence[str]) -> LedgerChange | None:
    """How two ledgers differ; None if they are equal."""
    blocks = [
        code for code in difflib.SequenceMatcher(None, was, now, autojunk=False).get_opcodes() if code[0] != "equal"
    ]
    if not blocks:
        return None
    sizes = [(before - start, after - begin) for _, start, before, begin, after in blocks]
    _, start, before, begin, after = blocks[0]
    return LedgerChange(
        added=sum(max(new - old, 0) for old, new in sizes),
        removed=sum(max(old - new, 0) for old, new in sizes),
        changed=sum(min(old, new) for old, new in sizes),
        first=start,
        was=was[start] if before > start else None,
        now=now[begin] if after > begin else None,
    )


def what_stayed(change: LedgerChange, bar_ms: int) -> str:
    """What the first trade that differs still shares with the recorded one, which tells where the change must be.

    Later trades are sized by what earlier ones earned, so only the first is informative. Empty if it came from another
    decision.
    """
    if change.was is None or change.now is None:
        return ""
    was, now = Line(*change.was.split(" ")), Line(*change.now.split(" "))
    if was[:3] != now[:3]:
        return ""
    if was.entry_time != now.entry_time:
        bars = (pd.Timestamp(now.entry_time) - pd.Timestamp(was.entry_time)) / pd.Timedelta(milliseconds=bar_ms)
        when = f"{abs(bars):g} bar{'' if abs(bars) == 1 else 's'} {'later' if bars > 0 else 'earlier'}"
        what, where = f"is entered {when}", "when orders fill, or when decisions are made"
    elif (was.exit_time, was.reason) != (now.exit_time, now.reason):
        what, where = "is entered in its bar and leaves in another or for another reason", "how positions leave"
    elif was.entry_price != now.entry_price:
        what, where = "is entered and left in its bars, at another entry price", "half-spread, impact or size"
    elif was.exit_price != now.exit_price:
        what, where = "is entered as recorded and left in its bar at another price", "levels, half-spread or impact"
    else:
        what, where = "has its bars and prices and another net", "fees, funding, liquidation or size"
    return f"the first trade that differs {what}: {where} changed"
