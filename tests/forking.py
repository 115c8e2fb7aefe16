"""Processes of the tests, forked from one that has imported what they need."""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

_imported: list[str] = []


def forking(module: str) -> ForkServerContext:
    """A context whose processes begin with that module imported.

    There is one server for all contexts, and it takes no further module once it runs: one that has another ends first.
    """
    context = multiprocessing.get_context("forkserver")
    if _imported != [module]:
        forkserver._forkserver._stop()  # type: ignore[attr-defined]
        context.set_forkserver_preload([module])
        _imported[:] = [module]
    return context


def leave_by(module: str) -> None:
    """End with 0 where that module is imported already, else with 1."""
    sys.exit(module not in sys.modules)
