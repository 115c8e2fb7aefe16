"""The folder of a sweep: which sweep it belongs to, the computed parts, and the matrix of all returns."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backtest.base.errors import DataError, UsageError
from backtest.base.locks import locked
from backtest.engine.layout import STATISTICS
from backtest.market.record import Floats
from backtest.market.rows import replace_file
from backtest.scoring.placebo import Null

LOCK = ".lock"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Results of the n trials of a part: statistics (n, 8), returns (n, T), and n placebo distributions."""

    statistics: Floats
    returns: npt.NDArray[np.float32]
    nulls: tuple[Null, ...]


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """Lock a folder for this process; a folder that cannot be written, or vanishes meanwhile, raises `UsageError`.

    Without the lock two processes would write the file of all returns at the same time.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / LOCK, 0.0):
            yield
    except TimeoutError:
        raise UsageError(
            f"folder {folder} is being written by another command: wait until it ends, or choose another with `out`"
        ) from None
    except OSError as problem:
        raise UsageError(
            f"folder {folder} cannot be written or read ({problem}): choose another with `out`, or run it again; "
            "parts that are whole are kept"
        ) from None


def claim(folder: Path, fingerprint: str) -> None:
    """Claim a folder for this sweep, or confirm that it belongs to it; that of another raises `UsageError`."""
    mark = folder / "fingerprint"
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    if not mark.is_file():
        replace_file(mark, fingerprint.encode())
    found = mark.read_text(encoding="utf-8", errors="replace")[:80]
    if found != fingerprint:
        raise UsageError(
            f"folder {folder} holds another sweep ({found}, not {fingerprint}): choose another with `out`, or remove it"
        )


def part_path(folder: Path, number: int) -> Path:
    """File of one part."""
    return folder / "parts" / f"{number:06d}.npz"


def read_part(path: Path, trials: int, bars: int) -> Part:
    """A part of `trials` trials over `bars` bars.

    Raises
    ------
    DataError
        If the file is damaged or holds something else; nothing in it is executed.
    """
    try:
        _check_size(path)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as part:
            arrays = [np.asarray(part[name]) for name in ("statistics", "returns", "drawn", "reasons", "exact")]
    except FileNotFoundError:
        raise
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, LookupError, MemoryError, OSError, RuntimeError),
        *(SyntaxError, TypeError, ValueError, AttributeError),
    ) as problem:
        raise DataError(
            f"{path} is damaged ({str(problem)[:200]}): remove it, and run the same command again"
        ) from None
    statistics, returns, drawn, reasons, exact = arrays
    shapes = [(trials, len(STATISTICS)), (trials, bars), (trials, *drawn.shape[1:2]), (trials,), (trials,)]
    if [one.shape for one in arrays] != shapes or [one.dtype.str[1:] for one in arrays[:3]] != ["f8", "f4", "f8"]:
        raise DataError(f"{path} holds no part of this sweep: remove it, and run the same command again")
    if drawn.ndim != 2 or (reasons.dtype.kind, exact.dtype.kind) != ("U", "b"):
        raise DataError(f"{path} holds no part of this sweep: remove it, and run the same command again")
    nulls = tuple(
        Null(np.empty(0) if reason else values, bool(certain), str(reason))
        for values, certain, reason in zip(drawn, exact, reasons, strict=True)
    )
    return Part(statistics, returns, nulls)


def _check_size(path: Path) -> None:
    """Raise `ValueError` for what is no file, or is packed as no part is: a part unpacks to its own size."""
    if path.exists() and not path.is_file():
        raise ValueError("it is a folder, pipe or device")
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(one.file_size for one in archive.infolist())
    if unpacked > 2 * path.stat().st_size + 2**20:
        raise ValueError(f"it would unpack to {unpacked:,} bytes")


def room_for(path: Path, shape: tuple[int, int]) -> np.memmap[Any, np.dtype[np.float32]]:
    """A new memory-mapped (T, N) file with its disk space allocated; `OSError` if the disk does not have enough.

    Without the allocation a full disk would end the process in the middle of an assignment.
    """
    try:
        mapped: np.memmap[Any, np.dtype[np.float32]] = np.lib.format.open_memmap(
            path, mode="w+", dtype=np.float32, shape=shape
        )
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    return mapped
