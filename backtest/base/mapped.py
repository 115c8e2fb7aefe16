"""An object whose arrays lie in one file that every process of a host maps: one copy in memory, however many read it.

pickle keeps the arrays of an object apart from the rest (protocol 5, PEP 574). They are written once into a file named
after their sha256, and mapped privately: a process that writes into its arrays changes its own copy of the page,
neither the file nor what another process reads.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import pickle
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtest.base.errors import BacktestError

FOLDER = "BACKTEST_ARRAYS"
"""Variable of the environment that names the folder of the files."""
MAPPED_BYTES = 2**27
"""Working arrays of so many bytes and more lie in a mapped file, where they can."""
KEPT_SECONDS = 24 * 3600.0
"""A file that nobody asked for in so long was left by a process that was killed."""
_ALIGNED = 64
_LEAST = 4_096


class UnmappedError(BacktestError):
    """The file of some arrays is not on this host, or not whole."""


@dataclass(frozen=True, slots=True)
class Packed:
    """An object without its arrays (`head`), the name and size (bytes) of the file with them, and where each lies."""

    head: bytes
    name: str
    size: int
    places: tuple[tuple[int, int], ...]


def pack(value: Any, dumps: Callable[..., bytes] = pickle.dumps) -> Packed:
    """Write the arrays of an object into their file, unless it is there; `dumps` is that of pickle or of a like it."""
    buffers: list[pickle.PickleBuffer] = []

    def apart(buffer: pickle.PickleBuffer) -> bool:
        large = buffer.raw().nbytes >= _LEAST
        if large:
            buffers.append(buffer)
        return not large

    head = dumps(value, protocol=5, buffer_callback=apart)
    hashed, places, size = hashlib.sha256(), [], 0
    for buffer in buffers:
        raw = buffer.raw()
        places.append((size, raw.nbytes))
        size += -(-raw.nbytes // _ALIGNED) * _ALIGNED
        hashed.update(raw)
    packed = Packed(head, hashed.hexdigest(), size, tuple(places))
    if size and not holds(packed.name, size):
        _write(packed, [buffer.raw() for buffer in buffers])
    return packed


def unpack(packed: Packed) -> Any:
    """The object again, its arrays mapped from the file of this host.

    Raises
    ------
    UnmappedError
        Where the file is missing or incomplete.
    """
    if not packed.size:
        return pickle.loads(packed.head)
    if not holds(packed.name, packed.size):
        raise UnmappedError(f"the arrays {packed.name[:16]} are not in {folder()}: they are sent again")
    with (folder() / packed.name).open("rb") as file:
        # Private and writable: the kernel is compiled for arrays that can be written, and nothing shared can be.
        pages = memoryview(mmap.mmap(file.fileno(), packed.size, access=mmap.ACCESS_COPY))
    return pickle.loads(packed.head, buffers=[pages[start : start + length] for start, length in packed.places])


def folder() -> Path:
    """The folder of the files on this host, made for this user alone.

    Raises
    ------
    BacktestError
        Where it belongs to someone else, who could replace what is mapped.
    """
    named = os.environ.get(FOLDER)
    path = Path(named) if named else Path(tempfile.gettempdir()) / f"backtest-arrays-{_user()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = path.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != _user():
        raise BacktestError(f"{path} is no folder of this user: remove it, or name another one in {FOLDER}")
    return path


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def holds(name: str, size: int) -> bool:
    """Whether the file of that name and size is on this host."""
    path = folder() / name
    try:
        there = path.stat().st_size == size
    except FileNotFoundError:
        return False
    if there:
        with suppress(OSError):
            os.utime(path)
    return there


def forget(name: str) -> None:
    """Delete a file; what is mapped from it stays readable."""
    (folder() / name).unlink(missing_ok=True)


def receive(name: str, size: int, offset: int, content: bytes, sender: str) -> None:
    """Write a piece of the file; it takes its name with its last byte."""
    partial = folder() / f"{name}.{sender}"
    with partial.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(content)
    if offset + len(content) == size:
        partial.replace(folder() / name)


def _write(packed: Packed, raws: list[memoryview]) -> None:
    _sweep_up()
    handle, partial = tempfile.mkstemp(dir=folder())
    try:
        with os.fdopen(handle, "wb") as file:
            for (start, _), raw in zip(packed.places, raws, strict=True):
                file.seek(start)
                file.write(raw)
            file.truncate(packed.size)
        Path(partial).replace(folder() / packed.name)
    except OSError as problem:
        Path(partial).unlink(missing_ok=True)
        raise BacktestError(
            f"{packed.size / 1e6:,.0f} MB of arrays cannot be written to {folder()} ({problem}): free space there, or "
            f"name another folder in {FOLDER}"
        ) from None


def _sweep_up() -> None:
    for path in folder().iterdir():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink()
