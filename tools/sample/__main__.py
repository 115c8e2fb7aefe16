"""Writes the embedded sample anew: `python -m tools.sample FOLDER` (`make sample`)."""

from __future__ import annotations

import sys
from pathlib import Path

from backtest.base.documents import datasets_root
from backtest.base.errors import BacktestError, UsageError
from backtest.market.dataset import default_dataset, write_dataset
from tools.sample.bars import reconstruct
from tools.sample.facts import read_facts

VERSION = "2"
READINGS = (
    "A day is a UTC day; its open, high, low, close (five digits), turnover and hours of extremes are facts.",
    "The path between them is simulated: an hour's price is a guess unless a fact gives it.",
    "Volume of Binance alone, not of all venues; a day's volume is its turnover, spread over hours by a guess.",
    "Open interest of ZEC is all venues' by three public figures; that of every other coin is unknown.",
    "Funding of ZEC, DASH, BTC and ETH is each day's sum, split over three settlements; others' is unknown.",
    "RAIL and DCR are invented through few public figures, and are labelled by themselves.",
)


def main(arguments: list[str]) -> int:
    """Write the sample into the one folder named, from the tables of the embedded one."""
    try:
        if len(arguments) != 1:
            raise UsageError(f"{len(arguments)} arguments given, one is needed: the folder to write to")
        facts = read_facts(datasets_root() / default_dataset())
        metadata = write_dataset(
            reconstruct(facts),
            Path(arguments[0]),
            how_made=facts.plan.how_made,
            made_by=f"tools.sample {VERSION}",
            seed=facts.plan.seed,
            readings=READINGS,
        )
    except BacktestError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{arguments[0]}: {metadata.label} {metadata.name}, content {metadata.content_sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
