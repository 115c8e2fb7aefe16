"""`make bench`: this project beside vectorbt and backtesting.py, in one run on one machine.

    python -m benchmarks [--quick] [--only agreement|replay|growth|startup|data]

Every engine has a process of its own, and repeats run in turn, so that drift of the machine cancels in the ratios.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable

from benchmarks.process import Measurement, measure, whole_process

BARS = 2_880
OUT = tempfile.gettempdir() + "/backtest-bench"
OURS, ONE_THREAD, RUST, NUMBA, PYTHON = (
    "backtest",
    "backtest, 1 thread",
    "vectorbt rust",
    "vectorbt numba",
    "backtesting.py",
)
MILLION_SECONDS, MILLION_MEGABYTES, TIMES = 10.0, 300.0, 500.0


def agreement(quick: bool) -> None:
    """The engines compute the same thing, or nothing below means anything; in a process of its own."""
    print(f"Agreement: the same trades and results, largest differences (limit 1e-9), {3 if quick else 20} replays")
    code = (
        "from benchmarks.agreement import agreements\n"
        f"for a in agreements({3 if quick else 20}, {BARS}):\n"
        "    print(f'  {a.engine:<20}{a.trades:>6} trades  price {a.price:.0e}  net {a.net_return:.0e}  "
        'Sharpe {a.sharpe:.0e}  {"agrees" if a.holds else "DIFFERS"}\')\n'
        "    assert a.holds\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit("the engines do not agree: the comparison below would mean nothing")


def row(one: Measurement, ours: Measurement) -> str:
    """One engine's line."""
    return (
        f"  {one.engine:<20}{one.replays:>9,}{one.bars:>9,}{one.ms_per_thousand:>12.2f}"
        f"{one.ms_per_thousand / ours.ms_per_thousand:>9,.0f}x{one.bars_per_second:>10.1e}{one.megabytes:>7.0f}"
    )


HEAD = f"  {'engine':<20}{'replays':>9}{'bars':>9}{'ms per 1000':>12}{'ratio':>10}{'bars/s':>10}{'MB':>7}"


def replay(quick: bool) -> None:
    """Ten catalysts, stop, target, fees, Sharpe: this kernel against the libraries."""
    found = measure(
        [
            (OURS, 10_000, BARS),
            (RUST, 1_000, BARS),
            (NUMBA, 1_000, BARS),
            (PYTHON, 20, BARS),
            (ONE_THREAD, 10_000, BARS),
        ],
        3 if quick else 7,
    )
    ours, fastest = found[0], min((one for one in found[1:3]), key=lambda one: one.ms_per_thousand)
    print("Replays of ten catalysts with stop, target, fees and Sharpe (vectorbt: columns of one call)")
    print(HEAD)
    for one in found:
        print(row(one, ours))
    ratio = fastest.ms_per_thousand / ours.ms_per_thousand
    print(f"  {ratio:,.0f} times the faster vectorbt engine, {fastest.engine} (goal {TIMES:,.0f})")


def growth(quick: bool) -> None:
    """With the number of replays, with the length of the market, and the million."""
    print("Growth with replays and with bars")
    print(HEAD)
    jobs = [(OURS, 1_000, BARS), (OURS, 10_000, BARS), (OURS, 100_000, BARS), (RUST, 100, BARS), (RUST, 1_000, BARS)]
    jobs += [] if quick else [(RUST, 4_000, BARS)]
    jobs += [(OURS, 10_000, 28_800), (OURS, 10_000, 288_000), (RUST, 100, 28_800)]
    jobs += [] if quick else [(RUST, 20, 288_000)]
    # One after the other: together they would not fit into memory.
    found = [measure([job], 3)[0] for job in jobs]
    for one in found:
        print(row(one, found[1]))
    (million,) = measure([(OURS, 1_000_000, BARS)], 3)
    print(
        f"  a million replays: {million.seconds:.2f} s (goal {MILLION_SECONDS:.0f}), "
        f"{million.megabytes:.0f} MB at most (goal {MILLION_MEGABYTES:.0f})"
    )


def startup(quick: bool) -> None:
    """What starting costs, whole processes."""
    verb = [sys.executable, "-m", "backtest"]
    quiet = ["--placebo", "0", "--bootstrap", "0", "--out", OUT]
    pairs = [
        ("backtest --help", [*verb, "--help"], "import typer"),
        ("backtest events list", [*verb, "events", "list"], "import typer"),
        ("backtest run, no placebo", [*verb, "run", *quiet], "import vectorbt"),
        ("backtest run", [*verb, "run", "--out", OUT], "import vectorbt"),
    ]
    print("Start-up, median seconds of whole processes")
    for name, command, other in pairs:
        mine = whole_process(command, 3 if quick else 5)
        theirs = whole_process([sys.executable, "-c", other], 3 if quick else 5)
        print(f"  {name:<26}{mine:>7.2f} s   {other:<18}{theirs:>7.2f} s   ratio {mine / theirs:.2f}")


def data(quick: bool) -> None:  # noqa: ARG001
    """Loading five years of one-minute bars from the store against plain pyarrow."""
    from benchmarks.data import main

    main()


SECTIONS: dict[str, Callable[[bool], None]] = {
    "agreement": agreement,
    "replay": replay,
    "growth": growth,
    "startup": startup,
    "data": data,
}


def main() -> None:
    """Run the sections asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats and no long rows")
    parser.add_argument("--only", choices=SECTIONS, help="one section")
    asked = parser.parse_args()
    for name, section in SECTIONS.items():
        if asked.only in (None, name):
            section(asked.quick)
            print(flush=True)


if __name__ == "__main__":
    main()
