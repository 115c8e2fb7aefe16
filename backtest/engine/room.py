"""Whether a market fits into memory, and where its panel lies: a process killed by the system gives no message.

A panel of 128 MB and more lies in a file without a name, mapped: the system may write its pages back and read them
again, where memory of its own could only be swapped, and pages that are not read for a while can be given back.

The peak of preparing is 240 MB plus 168 bytes per cell (bars x coins): least squares over six sizes from 0.9 to 7
million cells, off by at most 4 % there and by 2 % at 21 million, which was not fitted (docs/scale.md). The first arrays
of a preparation are a fraction of this, so Linux would grant them and end the process later.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from backtest.base.errors import BacktestError, UsageError
from backtest.base.mapped import FOLDER, MAPPED_BYTES, folder
from backtest.engine.layout import F8, PANEL_WIDTH

BASE_BYTES, CELL_BYTES = 240_000_000, 168
MAPPED_SHARE = 8
"""A panel of more than this part of the memory must lie in a file."""
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
    if is_mapped(bars, coins, PANEL_WIDTH):
        needed -= 8 * PANEL_WIDTH * bars * coins
    if there is not None and needed > there:
        raise UsageError(
            f"{bars:,} bars x {coins:,} coins need about {needed / 1e9:.1f} GB to be replayed, and "
            f"{there / 1e9:.1f} GB are all that this process may have: choose a shorter `timerange`, fewer coins or a "
            "coarser `timeframe`, with finer bars as `detail`"
        )


def is_mapped(*shape: int) -> bool:
    """Whether a float64 panel of that shape must lie in a file; not if the memory there is is unknown."""
    there = machine_bytes()
    return there is not None and 8 * math.prod(shape) > there // MAPPED_SHARE


def in_file(panel: F8) -> bool:
    """Whether a panel lies in a file of its own, which `empty_panel` made."""
    return isinstance(panel.base, np.memmap) and panel.base.mode == "w+"


def give_back(panel: F8) -> None:
    """Let the system take the pages of a panel in a file: they stay in the file, and are read again when needed.

    With them goes what was freed and is still held: arrays of a coin lie below the size that is returned at once.
    """
    if in_file(panel) and hasattr(mmap, "MADV_DONTNEED"):
        pages: Any = panel.base
        pages.base.madvise(mmap.MADV_DONTNEED)
        with suppress(OSError, TypeError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def empty_panel(*shape: int) -> Any:
    """Room for a float64 panel: a mapped file that ends with the array where it is large, or else memory.

    Raises
    ------
    UsageError
        If the file does not fit on its disk.
    """
    needed = 8 * math.prod(shape)
    if is_mapped(*shape):
        return _file(needed, shape)
    if needed >= MAPPED_BYTES:
        # A file is better, but memory will do.
        with suppress(OSError, BacktestError):
            return _file(needed, shape, spare=3 * needed)
    return np.empty(shape)


def _file(needed: int, shape: tuple[int, ...], spare: int = 0) -> Any:
    place = folder()
    free = shutil.disk_usage(place).free
    if needed + spare > free:
        raise UsageError(
            f"a panel of {needed / 1e9:.1f} GB does not fit into {place}, where {free / 1e9:.1f} GB are free: name "
            f"another folder in {FOLDER}, or choose fewer coins"
        )
    with tempfile.TemporaryFile(dir=place) as file:
        return np.asarray(np.memmap(file, np.float64, "w+", shape=shape))
