"""The numbers of a figure, computed once for its download and its drawing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec

import pandas as pd

Call = ParamSpec("Call")
_found: ContextVar[dict[tuple[Any, ...], tuple[Any, pd.DataFrame]] | None] = ContextVar("found", default=None)


@contextmanager
def computed_once() -> Iterator[None]:
    """Within, a `shared` function that is asked again with the same objects answers as before."""
    outside = _found.set({})
    try:
        yield
    finally:
        _found.reset(outside)


def shared(numbers: Callable[Call, pd.DataFrame]) -> Callable[Call, pd.DataFrame]:
    """Decorator of a function that computes the numbers of a figure; whoever asks has a table of his own."""

    @functools.wraps(numbers)
    def answered(*args: Call.args, **kwargs: Call.kwargs) -> pd.DataFrame:
        found = _found.get()
        if found is None:
            return numbers(*args, **kwargs)
        key = (numbers, *map(id, args), *((name, id(value)) for name, value in kwargs.items()))
        if key not in found:
            # Kept with its arguments, so that no other object has their identity meanwhile.
            found[key] = (args, kwargs), numbers(*args, **kwargs)
        return found[key][1].copy(deep=False)

    return answered
