"""When a catalyst was known and when it could be traded: the only module that compares clocks.

    announced_at ── width(precision) ──> known_at ── reaction ──> tradable_at ──> first bar open at or after it

`announced_at` is the start of the period in which the announcement fell; only at the period's end is it certain
that it was public. A bar is stamped with its open and known at its close; an order fills at an open.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from backtest.base.arguments import checked
from backtest.base.units import UNIT_MS, to_ms
from backtest.catalysts.record import Catalyst

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PRECISION_MS = {"second": UNIT_MS["s"], "minute": UNIT_MS["m"], "hour": UNIT_MS["h"], "day": UNIT_MS["d"]}


def known_at_ms(catalyst: Catalyst) -> int | None:
    """When the catalyst is certain to have been public: `announced_at + width(precision)`; None where untimed."""
    if catalyst.announced_at is None:
        return None
    return to_ms(catalyst.announced_at) + PRECISION_MS[catalyst.precision]


@checked
def known_between(catalysts: Iterable[Catalyst], start_ms: int, end_ms: int) -> list[tuple[Catalyst, int]]:
    """Timed catalysts that became known in [start, end), each with its `known_at`, earliest first."""
    known = ((catalyst, known_at_ms(catalyst)) for catalyst in catalysts)
    inside = [(catalyst, at) for catalyst, at in known if at is not None and start_ms <= at < end_ms]
    return sorted(inside, key=lambda pair: pair[1])


def last_close_before(moment_ms: int, first_open_ms: int, bar_ms: int) -> int:
    """Row of the last bar whose close is at or before `moment_ms`; -1 where there is none.

    A bar with open o closes at o + bar, so the row is floor((moment - first_open) / bar) - 1.
    """
    return max((moment_ms - first_open_ms) // bar_ms - 1, -1)


def first_open_at_or_after(moments_ms: npt.NDArray[np.int64], first_open_ms: int, bar_ms: int) -> npt.NDArray[np.int64]:
    """Rows of the first bars that open at or after each moment, 0 for moments before the data.

    Rows past the last bar are returned as they are: the caller knows how many bars there are.
    """
    return (-((first_open_ms - moments_ms) // bar_ms)).clip(min=0)
