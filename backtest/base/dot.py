"""Scalar products whose last digits do not depend on the number of cores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_PIECE = 10_000
"""Up to so many values OpenBLAS multiplies in one thread."""


def dot(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Sum of the products of two vectors (T,), in pieces that no library of linear algebra shares between threads.

    A longer product is added up in another order for each number of threads, and on a busy machine they wait for each
    other: 60,000 values at 250 lags took 0.40 s of CPU with two threads, and 0.01 s in pieces.
    """
    starts = range(0, len(one), _PIECE)
    return float(sum(one[first : first + _PIECE] @ other[first : first + _PIECE] for first in starts))
