"""`python -m tests.fuzz [CASES [SEED [NAME]]]`: hunt in every parser and print what came of it; exit 1 at a fault."""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

from tests.fuzz.harness import hunt
from tests.fuzz.targets import TARGETS

ROW = "{:<28}{:>8}{:>8}{:>14}{:>8}{:>10}"


def main(cases: int = 10_000, seed: int = 0, part: str = "") -> int:
    """Print a row a parser, then the faults; their number is the result."""
    warnings.simplefilter("error")
    print(ROW.format("parser", "cases", "valid", "typed errors", "faults", "seconds"))
    faults = []
    for target in TARGETS:
        if part not in target.name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            one = hunt(target, Path(folder), cases, seed)
        print(ROW.format(one.name, one.cases, one.valid, one.errors, len(one.faults), f"{one.seconds:.1f}"), flush=True)
        faults += [f"{one.name}, {fault}" for fault in one.faults]
    for fault in faults[:400]:
        print(fault)
    return len(faults)


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(main(*(int(text) for text in given[:2]), *given[2:]) > 0)
