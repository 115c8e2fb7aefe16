"""How the kernel is compiled: strict IEEE arithmetic, cached between processes, free of reference counts.

A cached function is not compiled anew when only a function it calls has changed: after an edit under `engine/`, delete
`backtest/engine/__pycache__`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.event import Listener, register

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Machine code, cached; division by zero gives inf or NaN as numpy's does."""
    return cast(Function, njit(cache=True, error_model="numpy", nogil=True)(function))


def inlined(function: Function) -> Function:
    """The same, merged into its caller and without reference counts, so that it cannot make or copy an array.

    Passing the kernel's records and counting references to their arrays costs more than most of its functions do.
    """
    return cast(Function, njit(cache=True, error_model="numpy", nogil=True, forceinline=True, _nrt=False)(function))


class _Words(Listener):  # type: ignore[misc]
    """Says once, to a person who waits, why the first replay of an installation takes a minute."""

    def __init__(self) -> None:
        self.told = False

    def on_start(self, event: object) -> None:  # noqa: ARG002
        """Called before a function is compiled; one that is loaded from the cache is not."""
        watched = sys.stderr.isatty() or "ipykernel" in sys.modules
        if self.told or not watched or os.environ.get("BACKTEST_QUIET"):
            return
        self.told = True
        print("compiling the replay kernel, once for this installation: about a minute", file=sys.stderr, flush=True)

    def on_end(self, event: object) -> None:
        """Called when a function has been compiled."""


register("numba:compile", _Words())
