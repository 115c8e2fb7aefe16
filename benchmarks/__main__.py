"""`python -m benchmarks [--quick] [--only SECTION]`: print what was measured, section by section."""

from __future__ import annotations

import argparse

from benchmarks.sections import SECTIONS


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer replays and repeats")
    parser.add_argument("--only", choices=list(SECTIONS), action="append", help="this section; may be repeated")
    options = parser.parse_args()
    for name in options.only or SECTIONS:
        for text in SECTIONS[name](options.quick):
            print(text, flush=True)


if __name__ == "__main__":
    main()
