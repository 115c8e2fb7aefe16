"""Scores and trades of one engine as an npz on stdout: `python -m benchmarks.elsewhere ENGINE REPLAYS BARS`.

Run by an interpreter that has the engine and numpy, and nothing else of the project's.
"""

from __future__ import annotations

import io
import sys

import numpy as np

from benchmarks.engines import engine
from benchmarks.workload import workload


def main(name: str, replays: int, bars: int) -> None:
    """Answer once."""
    one = engine(name, workload(replays, bars))
    scores, trades = one.scores(), one.trades()
    content = io.BytesIO()
    np.savez(content, net_return=scores.net_return, sharpe=scores.sharpe, rows=trades.rows, prices=trades.prices)
    sys.stdout.buffer.write(content.getvalue())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
