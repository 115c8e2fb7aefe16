"""What stdout and stderr can carry, and readers of a pipe that close it early."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable
from typing import Any

from backtest.base.errors import UsageError
from backtest.cli.inert import Writer

PLAIN = {"…": "~", "█": "#", "▒": "+", "·": ".", "─": "-", "━": "-", "•": "*", "–": "-", "—": "-", "×": "x"}
"""What tables and bars are drawn with, for a stream that carries ASCII only: one character for one."""
_C_LOCALES = ("C", "POSIX")


class UnwritableError(UsageError):
    """Stdout cannot be written: its disk is full, or it was closed before the command began."""


def prepare_streams() -> None:
    r"""Make sure that no character ends a command: what a stream cannot encode is written plainly, or as its `\u`
    escape.

    Text from others is made inert on both streams: see `backtest.cli.inert`. A stderr that cannot be written is
    ignored.

    Python writes UTF-8 under the C locale; whoever asks for that locale by name gets ASCII.

    Raises
    ------
    UnwritableError
        Where stdout is closed; also by later writing, where its disk is full.
    """
    codecs.register_error("plainly", _plainly)
    closed = _fill_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="ascii" if _asked_for_ascii() else None, errors="plainly")
            guard = _or_refused if stream is sys.stdout else _or_dropped
            stream.write = Writer(guard(stream.write), stream.isatty())  # type: ignore[method-assign]
            stream.flush = guard(stream.flush)  # type: ignore[method-assign]
    if closed:
        raise UnwritableError("stdout is closed: send it to a file, or to /dev/null if you do not need it")


def _fill_closed() -> bool:
    """Replace closed streams, so that no file opened later gets their number."""
    closed = sys.stdout is None
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115
    return closed


def _or_refused(write: Callable[..., Any]) -> Callable[..., Any]:
    def refused(*arguments: Any) -> Any:
        try:
            return write(*arguments)
        except BrokenPipeError:
            raise
        except OSError as problem:
            raise UnwritableError(
                f"stdout cannot be written ({problem.strerror}): the output is not whole; send it elsewhere and run "
                "the command again"
            ) from None

    return refused


def _or_dropped(write: Callable[..., Any]) -> Callable[..., Any]:
    def dropped(*arguments: Any) -> Any:
        try:
            return write(*arguments)
        except BrokenPipeError:
            raise
        except OSError:
            return len(arguments[0]) if arguments else None

    return dropped


def workflow_command(line: str) -> None:
    """Write one workflow command of our own to stderr, past the filter that breaks those of others."""
    write = sys.stderr.write
    if isinstance(write, Writer):
        write.command(line)
    else:
        sys.stderr.write(f"{line}\n")


def leave_quietly(*, stdout_only: bool = False) -> None:
    """Suppress all further output and errors: the reader of a pipe has gone, or stdout cannot be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__)[: 1 if stdout_only else 2]:
        if stream is not None:
            os.dup2(nowhere, stream.fileno())


def _asked_for_ascii() -> bool:
    if os.environ.get("PYTHONIOENCODING") or os.environ.get("PYTHONUTF8"):
        return False
    # Python itself sets LC_CTYPE where it finds the C locale, so LANG is looked at before it.
    return (os.environ.get("LC_ALL") or os.environ.get("LANG", "")) in _C_LOCALES


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(one) or _escape(one) for one in text), error.end


def _escape(character: str) -> str:
    """As JSON writes it: two escapes for what lies beyond the basic plane."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
