"""Event backtester for privacy-coin catalysts: point in time, net of every cost, tested against luck.

The names below load on first use, so that `import backtest` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backtest.catalysts.record import Calendar, Catalyst, read_calendar
    from backtest.config import RunConfig, load_config
    from backtest.engine.replay import Run, replay
    from backtest.errors import BacktestError
    from backtest.market.dataset import open_dataset
    from backtest.market.record import Instrument, Market
    from backtest.scoring.metrics import Score, score_run
    from backtest.signals.strategy import Intent, Intents, Parameters, Strategy

_HOME = {
    "BacktestError": "backtest.errors",
    "Calendar": "backtest.catalysts.record",
    "Catalyst": "backtest.catalysts.record",
    "Instrument": "backtest.market.record",
    "Intent": "backtest.signals.strategy",
    "Intents": "backtest.signals.strategy",
    "Market": "backtest.market.record",
    "Parameters": "backtest.signals.strategy",
    "Run": "backtest.engine.replay",
    "RunConfig": "backtest.config",
    "Score": "backtest.scoring.metrics",
    "Strategy": "backtest.signals.strategy",
    "load_config": "backtest.config",
    "open_dataset": "backtest.market.dataset",
    "read_calendar": "backtest.catalysts.record",
    "replay": "backtest.engine.replay",
    "score_run": "backtest.scoring.metrics",
}

__all__ = [
    "BacktestError",
    "Calendar",
    "Catalyst",
    "Instrument",
    "Intent",
    "Intents",
    "Market",
    "Parameters",
    "Run",
    "RunConfig",
    "Score",
    "Strategy",
    "load_config",
    "open_dataset",
    "read_calendar",
    "replay",
    "score_run",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'backtest' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
