"""CPU seconds and peak memory of `backtest report` on the embedded hours: `python -m benchmarks.sample_report`.

Three cases, each a whole command in a process of its own: the sample as it is, with all strategies; 300 catalysts of
one coin each, in turn of eleven; and 300 catalysts that each name all eleven, both with one strategy. `--tree FOLDER`
takes the package of another checkout, for a comparison.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.process import ROOT, once
from benchmarks.table import table

CATALYSTS = 300
COINS = ("ZEC", "DASH", "ZK", "ZEN", "XMR", "SCRT", "ROSE", "BTC", "ETH", "DCR", "RAIL")
HOURS = 2_592
FIRST = "2025-09-14"


def calendar_text(*, each: bool, catalysts: int = CATALYSTS) -> str:
    """A calendar of that many catalysts at even distances over the sample, of all coins each or of one, as TOML."""
    from datetime import datetime, timedelta

    rows = []
    for number in range(catalysts):
        at = datetime.fromisoformat(FIRST) + timedelta(hours=200 + number * (HOURS - 400) // catalysts)
        rows.append(
            f'[[catalyst]]\nid = "one-{number}"\nkind = "listing"\nactor = "Venue {number % 9}"\n'
            f"assets = {list(COINS) if each else [COINS[number % len(COINS)]]}\n"
            f"direction = {1 - 2 * (number % 2)}\nannounced_at = {at:%Y-%m-%dT%H:%M:%SZ}\n"
            'precision = "hour"\nsource = "drawn"\nconfidence = "high"\n'
        )
    return "\n".join(rows).replace("'", '"')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--tree", default=ROOT, help="checkout whose package is measured")
    parser.add_argument("--case", choices=("sample", "many", "all"), action="append")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "many.toml").write_text(calendar_text(each=False), encoding="utf-8")
        (here / "all.toml").write_text(calendar_text(each=True), encoding="utf-8")
        alone = ["-s", "catalyst_momentum"]
        cases = {"sample": [], "many": ["-c", "many.toml", *alone], "all": ["-c", "all.toml", *alone]}
        for name in asked.case or cases:
            base = [sys.executable, "-m", "backtest"]
            for words in (
                ["run", *cases[name], "--out", f"{name}-run"],
                ["report", f"{name}-run", "--out", f"{name}.html"],
            ):
                took = once([*base, *words], folder, tree=asked.tree)
                rows.append((name, words[0], f"{took.cpu:.1f}", f"{took.megabytes:,.0f}"))
            size = (here / f"{name}.html").stat().st_size / 1e6
            rows.append((name, "page, MB", "", f"{size:.1f}"))
    print(table("run and report", ("case", "verb", "CPU s", "peak MB"), rows, ()))


if __name__ == "__main__":
    main()
