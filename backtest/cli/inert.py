"""The two streams that every verb writes through: no line can control a terminal or command a CI runner."""

from __future__ import annotations

from collections.abc import Callable

from backtest.base.display import inert


class Writer:
    """The `write` of a stream, through `inert`; a line that begins as `::` loses the shape of a workflow command."""

    def __init__(self, write: Callable[[str], int], terminal: bool) -> None:
        self._write, self._terminal = write, terminal
        self._begun, self._colons = False, 0

    def __call__(self, text: str) -> int:
        """Write the text; returns its length, as a stream does."""
        self._write(self._broken(inert(text, terminal=self._terminal)))
        return len(text)

    def command(self, line: str) -> None:
        """Write a workflow command of our own, whose texts are encoded already."""
        self._write(f"{inert(line)}\n")
        self._begun, self._colons = False, 0

    def _broken(self, text: str) -> str:
        if ":" not in text:
            for line in text.splitlines(keepends=True):
                self._begun = not line.endswith("\n") and (self._begun or bool(line.strip()))
            self._colons = 0
            return text
        out = []
        for one in text:
            if one == "\n":
                self._begun, self._colons = False, 0
            elif not self._begun and one == ":":
                self._colons += 1
                if self._colons == 2:
                    out.append(" ")
                    self._begun = True
            elif not one.isspace():
                self._begun = True
            out.append(one)
        return "".join(out)
