"""A renamed name keeps working for one minor release with a warning, and is then removed (docs/stability.md)."""

from __future__ import annotations

import warnings
from typing import Any


def warn_deprecated(old: str, instead: str, gone_in: str, *, depth: int = 1) -> None:
    """Warn, at the caller's line, that `old` goes away in version `gone_in`, and say what to write instead.

    `depth` counts the frames of ours between the caller's line and this function.
    """
    sentence = f"{old} is deprecated and goes away in {gone_in}: write {instead}"
    warnings.warn(sentence, DeprecationWarning, stacklevel=depth + 2)


class RenamedAttribute:
    """The old name of an attribute: reads the new one, and warns."""

    def __init__(self, instead: str, gone_in: str) -> None:
        self.instead, self.gone_in = instead, gone_in
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object | None, owner: type) -> Any:
        """Value of the attribute under its new name; the descriptor itself on the class."""
        if instance is None:
            return self
        kind = owner.__name__
        warn_deprecated(f"{kind}.{self.name}", f"{kind}.{self.instead}", self.gone_in)
        return getattr(instance, self.instead)
