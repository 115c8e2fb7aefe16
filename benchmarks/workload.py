"""The replay workload: one synthetic market, ten catalysts, and calendars that are circular shifts of them.

Its rules are those which every engine knows: long with all cash at the open of the catalyst's bar, unless in position;
out at a stop 5 % below or a target 10 % above the fill, the stop first where a bar reaches both; 5 bp a fill. It avoids
what some engines cannot do:

- no bar reaches a stop or target from its own open (vectorbt cannot leave on the bar it entered on);
- every bar opens at the close before (vectorbt cannot leave at an open and enter again at that open);
- nothing trades in the first two bars and the last, which are flat (backtesting.py decides from its second bar on);
- no catalyst falls into the last ten days, so that nothing is open at the end (both libraries then close it as a fill
  of the last bar, this project in the last bar that trades).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SEED = 20251101
CATALYSTS = 10
CAPITAL = 100_000.0
FEE = 0.0005
STOP_LOSS = 0.05
TAKE_PROFIT = 0.10
VOLATILITY = 0.022
"""Standard deviation of an hour's return before clipping: ZEC's from September to December 2025."""
QUIET_END = 240
"""Bars before the end into which no catalyst falls; an eighth of a shorter market."""
FURTHEST = 0.04
"""Largest distance of a bar's high or low from its open."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Workload:
    """Prices (T,), which bars trade (T,), the catalysts' rows (K,) and the shift of each of B calendars (B,)."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    tradable: npt.NDArray[np.bool_]
    catalysts: npt.NDArray[np.int64]
    shifts: npt.NDArray[np.int32]

    @property
    def bars(self) -> int:
        """Number of bars T."""
        return len(self.open)

    @property
    def replays(self) -> int:
        """Number of calendars B."""
        return len(self.shifts)


def workload(replays: int, bars: int) -> Workload:
    """The market of so many hourly bars, and so many calendars over it; the same at every call."""
    random = np.random.default_rng(SEED)
    tradable = np.ones(bars, dtype=np.bool_)
    tradable[[0, 1, -1]] = False
    moves = np.where(tradable, np.clip(random.normal(0.0, VOLATILITY, bars), -FURTHEST, FURTHEST), 0.0)
    wicks = np.where(tradable, random.exponential(VOLATILITY / 4, (2, bars)), 0.0)
    close: Floats = 100.0 * np.cumprod(1.0 + moves)
    opens = np.concatenate(([100.0], close[:-1]))
    high = np.minimum(np.maximum(opens, close) * (1.0 + wicks[0]), opens * (1.0 + FURTHEST))
    low = np.maximum(np.minimum(opens, close) * (1.0 - wicks[1]), opens * (1.0 - FURTHEST))
    catalysts = np.sort(random.choice(bars, CATALYSTS, replace=False))
    allowed = np.flatnonzero(
        ((catalysts + np.arange(bars)[:, None]) % bars < bars - min(QUIET_END, bars // 8)).all(axis=1)
    )
    return Workload(
        open=opens,
        high=np.maximum(high, close),
        low=np.minimum(low, close),
        close=close,
        tradable=tradable,
        catalysts=catalysts,
        shifts=random.choice(allowed, replays).astype(np.int32),
    )
