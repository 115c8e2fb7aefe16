"""Progress of a long computation: the computation reports it, a listener shows it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Hears what is being worked on, how much of it is done, and of how much."""


def silent(what: str, done: int, total: int) -> None:
    """Reports to nobody."""
