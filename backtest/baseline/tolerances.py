"""How far each metric may leave its baseline, and which way is better."""

from __future__ import annotations

from typing import Literal, NamedTuple

from backtest.engine.layout import COSTS


class Tolerance(NamedTuple):
    """A metric may move by the larger of `absolute` and `relative` times its baseline.

    `better` is the sign of an improvement, 0 where neither way is one.
    """

    absolute: float
    relative: float
    better: Literal[1, -1, 0]


_HIGHER, _LOWER, _EITHER = (Tolerance(1e-6, 1e-6, better) for better in (1, -1, 0))

METRICS: dict[str, Tolerance] = {
    "net_return": _HIGHER,
    "cagr": _HIGHER,
    "volatility": _LOWER,
    "sharpe": _HIGHER,
    "sortino": _HIGHER,
    "max_drawdown": _LOWER,
    "longest_drawdown": _LOWER,
    "calmar": _HIGHER,
    "exposure": _EITHER,
    "turnover": _EITHER,
    "trades": Tolerance(0.0, 0.0, 0),
    "hit_rate": _HIGHER,
    "mean_trade": _HIGHER,
    "median_trade": _HIGHER,
    "profit_factor": _HIGHER,
    "run_up": _LOWER,
    "captured": _HIGHER,
    "captured_per_run_up": _HIGHER,
    **{f"{cost}_drag": _LOWER for cost in COSTS},
    "net_low": Tolerance(0.01, 1e-6, 1),
    "net_high": Tolerance(0.01, 1e-6, 1),
    "placebo_p": Tolerance(1e-9, 0.0, -1),
}
"""What `record` writes for each metric: a millionth, far above what two machines differ by and far below a basis point.

`net_low` and `net_high` are money: a hundredth of the quote currency. p counts calendars, so it is exact.
"""
