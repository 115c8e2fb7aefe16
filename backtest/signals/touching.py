"""What a strategy touches besides its market and calendar: files, environment, network, programs.

The audit cannot cut the contents of a file, so it reports what was touched. It sees what Python itself reports to audit
hooks (PEP 578) and readings of `os.environ`; it does not see file status, the clock, or what native code does by
itself. It is a report, not a sandbox.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any
from zoneinfo import TZPATH

MOST_TOUCHED, LONGEST_NAME = 20, 200
SERIES_MODULE = "backtest.market.auxiliary"
"""Its files are not named: the audit cuts what is read there."""

_LIBRARIES = tuple(
    {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


class Touching:
    """Of the process that makes it, from then on: an audit hook cannot be taken back.

    Parameters
    ----------
    module : str
        Name of the strategy's own module; what other modules read while they are imported is theirs.
    """

    def __init__(self, module: str) -> None:
        self._module, self._seen = module, dict[str, None]()
        self._busy = False
        sys.addaudithook(self._hook)
        os.environ._data = _Watched(os.environ._data, self._environment)  # type: ignore[attr-defined]

    @property
    def touched(self) -> tuple[str, ...]:
        """What was touched, each once, in order; no more than `MOST_TOUCHED` are named."""
        names = tuple(self._seen)
        if len(names) <= MOST_TOUCHED:
            return names
        return (*names[:MOST_TOUCHED], f"{len(names) - MOST_TOUCHED} more")

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        name = _EVENTS.get(event)
        if name is None or self._busy:
            return
        self._busy = True
        try:
            what = name(arguments)
            if what and not self._is_a_library_at_work():
                self._add(what)
        finally:
            self._busy = False

    def _environment(self, name: object) -> None:
        # Libraries look for their own settings; what counts is who asks.
        if not _asked_by_a_library() and not self._is_a_library_at_work():
            text = os.fsdecode(name) if isinstance(name, bytes) else str(name)
            self._add(f"environment variable {text}" if text else "environment, all of it")

    def _add(self, what: str) -> None:
        if len(self._seen) < 10 * MOST_TOUCHED:
            self._seen[what[:LONGEST_NAME]] = None

    def _is_a_library_at_work(self) -> bool:
        """Whether a module is being imported, or our own reader of series at work, below the strategy's own code."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            name = frame.f_globals.get("__name__", "")
            if name == self._module:
                return False
            if name in (SERIES_MODULE, "importlib._bootstrap_external", "linecache", "tokenize"):
                return True
            if frame.f_code.co_name == "<module>" and os.path.realpath(frame.f_code.co_filename).startswith(_LIBRARIES):
                return True
            frame = frame.f_back
        return False


def _asked_by_a_library() -> bool:
    frame: FrameType | None = sys._getframe(3)
    while frame is not None and frame.f_globals.get("__name__", "") in ("os", "_collections_abc", "collections.abc"):
        frame = frame.f_back
    return frame is not None and os.path.realpath(frame.f_code.co_filename).startswith(_LIBRARIES)


def _file(arguments: tuple[Any, ...]) -> str:
    path = arguments[0] if arguments else None
    if not isinstance(path, str | bytes | os.PathLike):
        return ""  # A number of a file that is open already, or no place at all.
    text = os.fsdecode(path)
    if text == os.devnull or text.startswith(TZPATH) or f"{os.sep}tzdata{os.sep}" in text:
        return ""
    return f"file {os.path.abspath(text)}"


def _folder(arguments: tuple[Any, ...]) -> str:
    return _file(arguments).replace("file ", "folder ", 1) if arguments and arguments[0] is not None else "folder ."


def _program(arguments: tuple[Any, ...]) -> str:
    return f"program {arguments[0]!s}"


def _network(arguments: tuple[Any, ...]) -> str:
    return f"network {arguments[-1]!s}"


_EVENTS: Mapping[str, Callable[[tuple[Any, ...]], str]] = {
    "open": _file,
    "os.listdir": _folder,
    "os.scandir": _folder,
    "sqlite3.connect": _file,
    "socket.connect": _network,
    "socket.getaddrinfo": lambda arguments: f"network {arguments[0]!s}",
    "subprocess.Popen": _program,
    "os.system": _program,
    "os.posix_spawn": _program,
    "os.exec": _program,
}


class _Watched(dict[Any, Any]):
    """The table behind `os.environ`, which reports what is read from it."""

    def __init__(self, values: Mapping[Any, Any], told: Callable[[object], None]) -> None:
        super().__init__(values)
        self._told = told

    def __getitem__(self, name: Any) -> Any:
        self._told(name)
        return super().__getitem__(name)

    def __iter__(self) -> Any:
        self._told("")
        return super().__iter__()
