"""Whether a market fits into memory, checked before preparing it: a process killed by the system gives no message.

The peak of preparing is 240 MB plus 168 bytes per cell (bars x coins): least squares over six sizes from 0.9 to 7
million cells, off by at most 4 % there and by 2 % at 21 million, which was not fitted (docs/scale.md). The first arrays
of a preparation are a fraction of this, so Linux would grant them and end the process later.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from backtest.base.errors import UsageError

BASE_BYTES, CELL_BYTES = 240_000_000, 168
_GROUP = Path("/sys/fs/cgroup/memory.max")


def bytes_to_prepare(bars: int, coins: int) -> int:
    """Peak memory of preparing `bars` bars of `coins` coins, bytes, as measured."""
    return BASE_BYTES + CELL_BYTES * bars * coins


def machine_bytes() -> int | None:
    """Memory available to a process here, bytes: of the machine or of its container; None if unknown."""
    limits = []
    with suppress(OSError, ValueError, AttributeError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):
        limits.append(int(_GROUP.read_text(encoding="ascii")))
    return min((one for one in limits if one > 0), default=None)


def check_room(bars: int, coins: int) -> None:
    """Raise `UsageError` if preparing needs more memory than there is; an unknown limit passes."""
    needed, there = bytes_to_prepare(bars, coins), machine_bytes()
    if there is not None and needed > there:
        raise UsageError(
            f"{bars:,} bars x {coins:,} coins need about {needed / 1e9:.1f} GB to be replayed, and "
            f"{there / 1e9:.1f} GB are all that this process may have: choose a shorter `timerange`, fewer coins or a "
            "coarser `timeframe`, with finer bars as `detail`"
        )
