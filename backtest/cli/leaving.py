"""How a command ends when something outside ends it: a signal, a full disk, a closed stream, a lost folder."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Any

from backtest.base.errors import UsageError

EXIT_INTERRUPTED = 130
LEAST_DESCRIPTORS, LOOKED_AT = 24, 256
"""Files that any command must be able to open, and the limit from which on nobody counts."""
_ADVICE = {
    errno.ENOSPC: "free some of the disk, or choose another folder",
    errno.EDQUOT: "free some of your quota, or choose another folder",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), or choose another folder",
    errno.EROFS: "it is on a read-only disk: choose another folder",
    errno.EACCES: "choose another folder, or change its permissions",
    errno.EPERM: "choose another folder, or change its permissions",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer workers",
    errno.ENFILE: "this machine has too many open files: close other programs",
    errno.EIO: "the disk or terminal fails: choose another",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its symbolic links lead round in a circle: name the file itself",
    errno.ENOMEM: "there is too little memory: ask for less at a time",
}
"""What to do about faults of the system that any reading or writing may meet."""
_ended_by: list[int] = []


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the command as Ctrl-C does, leaving nothing half written; a second one ends it at
    once.

    If they are ignored already, as under `nohup`, they stay ignored.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    _ended_by.append(number)
    raise KeyboardInterrupt


def interrupted() -> tuple[str, int]:
    """How the command was interrupted, in words, and its exit code: 128 and the number of the signal."""
    if not _ended_by:
        return "interrupted", EXIT_INTERRUPTED
    return f"ended by {signal.Signals(_ended_by[0]).name}", 128 + _ended_by[0]


def check_folder() -> None:
    """Raise `UsageError` if the current folder was deleted."""
    try:
        os.getcwd()
    except OSError:
        raise UsageError("the working directory was deleted or cannot be read: change to another folder") from None


def check_descriptors() -> None:
    """Raise `UsageError` if so few files may be opened that a library would end the process instead of saying so."""
    try:
        import resource
    except ImportError:
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not 0 <= soft < LOOKED_AT:
        return
    held: list[int] = []
    with suppress(OSError):
        while len(held) < LEAST_DESCRIPTORS:
            held.append(os.open(os.devnull, os.O_RDONLY))
    for one in held:
        os.close(one)
    if len(held) < LEAST_DESCRIPTORS:
        raise UsageError(
            f"this process may open {len(held)} more files, but {LEAST_DESCRIPTORS} are needed: raise the limit of "
            f"open files, which is {soft} (ulimit -n {LOOKED_AT})"
        )


def fault_of_system(problem: BaseException) -> UsageError | None:
    """The error to show for a fault of disk, permissions, limits or memory; None for any other exception."""
    if isinstance(problem, MemoryError):
        return UsageError("there is too little memory for this: ask for fewer bars, draws or trials at a time")
    if not isinstance(problem, OSError):
        return None
    try:
        check_folder()
    except UsageError as lost:
        return lost
    advice = _ADVICE.get(problem.errno or 0)
    if advice is None:
        return None
    what: Any = problem.filename
    where = f"{os.fsdecode(what)[:400]}: " if isinstance(what, str | bytes) else ""
    return UsageError(f"{where}{problem.strerror}: {advice}")
