"""How the kernel is compiled: strict IEEE arithmetic, cached between processes, free of reference counts.

A cached function is not compiled anew when only a function it calls has changed: after an edit under `engine/`, delete
`backtest/engine/__pycache__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Machine code, cached; division by zero gives inf or NaN as numpy's does."""
    return cast(Function, njit(cache=True, error_model="numpy", nogil=True)(function))


def inlined(function: Function) -> Function:
    """The same, merged into its caller and without reference counts, so that it cannot make or copy an array.

    Passing the kernel's records and counting references to their arrays costs more than most of its functions do.
    """
    return cast(Function, njit(cache=True, error_model="numpy", nogil=True, forceinline=True, _nrt=False)(function))
