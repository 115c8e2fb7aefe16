"""Reads a ledger again from its first entry: is everything there, and as it was written?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtest.base.arguments import checked
from backtest.base.errors import DataError
from backtest.ledger.store import FIRST, Ledger, LedgerHead, index_of, link_of


@dataclass(frozen=True, slots=True)
class LedgerVerification:
    """Result of reading everything again: counts of intact entries and draws, and a sentence for each fault."""

    entries: int
    draws: int
    head: LedgerHead
    faults: tuple[str, ...]

    def check(self, path: Path) -> None:
        """Raise `DataError` with the first fault."""
        if self.faults:
            raise DataError(f"ledger {path}: {self.faults[0]} ({len(self.faults)} in all): restore it from a copy")


@checked
def verify_ledger(ledger: Ledger, heads: Sequence[LedgerHead] = ()) -> LedgerVerification:
    """Check the file, the chain and each draw; and that `heads`, seen earlier, are still part of it.

    The chain alone cannot show that its last entries were removed; an earlier head can.
    """
    faults = [f"the file is damaged: {line}" for line in ledger.integrity()]
    seen: dict[int, str] = {0: FIRST}
    whole: set[str] = set()
    last = LedgerHead(0, FIRST)
    for row in ledger.raw():
        faults += _faults_of(ledger, row, last, whole)
        last = LedgerHead(int(row[0]), str(row[6]))
        seen[last.seq] = last.hash
    for head in heads:
        if seen.get(head.seq) != head.hash:
            what = "is missing: entries were taken away" if head.seq not in seen else "is another one now"
            faults.append(f"entry #{head.seq}, seen before with hash {head.hash[:12]}, {what}")
    return LedgerVerification(len(seen) - 1, len(whole), last, tuple(faults))


def _faults_of(ledger: Ledger, row: tuple[Any, ...], last: LedgerHead, whole: set[str]) -> Iterator[str]:
    seq, kind, key, time, version, text, chained = row[:7]
    if seq != last.seq + 1:
        yield f"entry #{last.seq + 1} is missing"
    if chained != link_of(last.hash, kind, key, time, version, text):
        yield f"entry #{seq} ({kind} of {time}) was changed after it was written, or the one before it was"
    try:
        body = json.loads(text)
        name = str(body.get("draws", ""))
        numbers = ledger.numbers(name)
        if numbers is None or (name and hashlib.sha256(numbers).hexdigest() != name):
            yield f"the draws of entry #{seq} ({body.get('strategy')}) were changed or are missing"
            return
        if name:
            whole.add(name)
        index = index_of(kind, body, np.frombuffer(numbers, "<f4"))
    except (ValueError, LookupError, TypeError, AttributeError):
        yield f"entry #{seq} cannot be read"
        return
    stands = np.array(row[10:], dtype=np.float64)
    if row[7:10] != index[:3] or not np.allclose(stands, np.array(index[3:]), rtol=1e-6, atol=1e-12):
        yield f"the index of entry #{seq} does not agree with it"
