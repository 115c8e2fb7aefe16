"""p-values adjusted for multiple testing, and p-values from placebo dates."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from backtest.base.errors import UsageError
from backtest.market.record import Floats

Adjustment = Literal["holm", "benjamini_hochberg"]


def adjust(p_values: npt.ArrayLike, method: Adjustment) -> Floats:
    """p-values adjusted for multiple testing, in the shape given (windows by kinds, say); NaN stays and is not counted.

    `holm` bounds the chance of any false rejection: Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70.
    `benjamini_hochberg` bounds the expected share of false ones among the rejected: Benjamini and Hochberg (1995),
    Journal of the Royal Statistical Society B 57(1), 289-300, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    adjusted = np.array(p_values, dtype=np.float64)
    tested = ~np.isnan(adjusted)
    if tested.any():
        adjusted[tested] = (_holm if method == "holm" else _benjamini_hochberg)(adjusted[tested])
    return adjusted


def _holm(p_values: Floats) -> Floats:
    """Step down: the least p times their number, the next times one fewer, none below the one before it."""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    return np.minimum(stepped, 1.0)[np.argsort(order)]


def _benjamini_hochberg(p_values: Floats) -> Floats:
    """Step up: each p times their number over its rank, none above the one behind it."""
    order = np.argsort(p_values)
    stepped = p_values[order] * (len(order) / np.arange(1, len(order) + 1))
    return np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)[np.argsort(order)]


def placebo_p(observed: npt.ArrayLike, draws: npt.ArrayLike) -> Floats:
    """Placebo p = (1 + #{|T*| >= |T|}) / (B + 1), two-sided, of `observed` (V,) against placebo `draws` (B, V).

    The observed one counts among the draws, so p is never 0: Phipson and Smyth (2010), Statistical Applications in
    Genetics and Molecular Biology 9(1), 39, doi:10.2202/1544-6115.1585. An undefined draw is no draw and lowers B;
    an undefined observed statistic gives NaN, and so does B = 0.

    Raises
    ------
    UsageError
        If the columns of `draws` are not those of `observed`.
    """
    observed, draws = np.asarray(observed, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    if draws.ndim != observed.ndim + 1 or draws.shape[1:] != observed.shape:
        raise UsageError(f"draws has shape {draws.shape}, but observed asks for {('B', *observed.shape)}")
    count = (~np.isnan(draws)).sum(axis=0)
    # A draw that repeats the observed statistic may differ by the rounding of another order of sums.
    reached = (np.abs(draws) >= np.abs(observed) * (1.0 - 1e-12)).sum(axis=0)
    return np.where(np.isnan(observed) | (count == 0), np.nan, (1.0 + reached) / (count + 1.0))
