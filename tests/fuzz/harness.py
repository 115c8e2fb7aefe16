"""Runs hostile cases through one parser and sorts what comes out: a valid object, a typed error, or a fault."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from backtest.base.errors import BacktestError

LONGEST_MESSAGE = 1_500
SLOWEST_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Target:
    """One parser.

    `read(folder, random)` makes one hostile case in an empty folder and reads it; what its error must name, the
    case's file as a rule, is what `named` says.
    """

    name: str
    read: Callable[[Path, Random], None]
    named: str = ""


@dataclass(slots=True)
class Outcome:
    """What became of the cases of one parser."""

    name: str
    cases: int = 0
    valid: int = 0
    errors: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def complaint_about(problem: BacktestError, named: str) -> str:
    """What is wrong with the message of a typed error; empty where it is one sentence that names the file."""
    message = str(problem)
    if not message.isprintable():
        return f"message with control characters: {message[:200]!r}"
    if len(message) > LONGEST_MESSAGE:
        return f"message of {len(message)} characters: {message[:200]}"
    if named not in message:
        return f"message does not name {named}: {message[:300]}"
    return "" if len(message) >= 20 else f"message says nothing: {message!r}"


def hunt(target: Target, folder: Path, cases: int, seed: int) -> Outcome:
    """Run so many cases; each is drawn from the seed and its own number alone, so that one can be run again."""
    outcome = Outcome(target.name)
    start = time.perf_counter()
    for number in range(cases):
        outcome.cases += 1
        begun = time.process_time()  # others may take the machine for seconds
        fault = ""
        try:
            target.read(folder, Random(f"{target.name} {seed} {number}"))
            outcome.valid += 1
        except BacktestError as problem:
            outcome.errors += 1
            fault = complaint_about(problem, target.named)
        except Exception as problem:
            trace = traceback.extract_tb(problem.__traceback__)
            own = [f"{Path(one.filename).name}:{one.lineno}" for one in trace][-4:]
            fault = f"{type(problem).__name__}: {str(problem)[:200]!r} at {' > '.join(own)}"
        took = time.process_time() - begun
        if took > SLOWEST_SECONDS:
            fault = fault or f"took {took:.1f} s"
        if fault:
            outcome.faults.append(f"case {number}: {fault}")
    outcome.seconds = time.perf_counter() - start
    return outcome
