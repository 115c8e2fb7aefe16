"""How the kernel is compiled: strict IEEE arithmetic, cached between processes, free of reference counts.

A cached function is not compiled anew when only a function it calls has changed: after an edit under `engine/`, delete
`backtest/engine/__pycache__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from llvmlite.ir import Constant
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])
Record = TypeVar("Record", bound=tuple[Any, ...])


def compiled(function: Function) -> Function:
    """Machine code, cached; division by zero gives inf or NaN as numpy's does."""
    return cast(Function, njit(cache=True, error_model="numpy", nogil=True)(function))


def inlined(function: Function) -> Function:
    """The same, merged into its caller: passing the kernel's records costs more than most of its functions do."""
    return cast(Function, njit(cache=True, error_model="numpy", nogil=True, forceinline=True)(function))


def threaded(function: Function) -> Function:
    """The same with `prange` over all cores."""
    return cast(Function, njit(cache=True, error_model="numpy", nogil=True, parallel=True)(function))


@intrinsic  # type: ignore[untyped-decorator]
def _borrowed(typing_context: Any, record: Any) -> Any:  # noqa: ARG001
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        fields = cgutils.unpack_tuple(builder, arguments[0])
        for place, kind in enumerate(signature.args[0].types):
            if isinstance(kind, types.Array):
                view = context.make_array(kind)(context, builder, value=fields[place])
                view.meminfo = Constant(view.meminfo.type, None)
                view.parent = Constant(view.parent.type, None)
                fields[place] = view._getvalue()
        return context.make_tuple(builder, signature.return_type, fields)

    return record(record), codegen


@inlined
def borrowed(record: Record) -> Record:
    """The same named tuple with arrays that are not counted; the caller keeps the original alive.

    Counting references to its arrays costs a replay five times what walking its bars does.
    """
    return _borrowed(record)  # type: ignore[no-any-return]
