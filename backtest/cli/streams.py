"""What stdout and stderr can carry, and the reader who leaves before the end."""

from __future__ import annotations

import codecs
import io
import os
import sys

from backtest.cli.inert import Writer

PLAIN = {"…": "~", "█": "#", "▒": "+", "·": ".", "─": "-", "━": "-", "•": "*", "–": "-", "—": "-", "×": "x"}
"""What tables and bars are drawn with, for a stream that carries ASCII only: one character for one."""
_C_LOCALES = ("C", "POSIX")


def prepare_streams() -> None:
    r"""Let no character end a command: what a stream cannot carry is written plainly, or as its `\u` escape.

    What others wrote is made inert on both streams: see `backtest.cli.inert`.

    Python writes UTF-8 under the C locale; whoever asks for that locale by name gets ASCII.
    """
    codecs.register_error("plainly", _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="ascii" if _asked_for_ascii() else None, errors="plainly")
            stream.write = Writer(stream.write, stream.isatty())  # type: ignore[method-assign]


def workflow_command(line: str) -> None:
    """Write one workflow command of ours to stderr, past what breaks those of others."""
    write = sys.stderr.write
    if isinstance(write, Writer):
        write.command(line)
    else:
        sys.stderr.write(f"{line}\n")


def leave_quietly() -> None:
    """Let nothing more be written or complained of: the reader of a pipe has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.__stdout__, sys.__stderr__):
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
