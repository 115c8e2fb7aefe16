"""Event backtester for privacy-coin catalysts: point in time, net of every cost, tested against luck.

The names below load on first use, so that `import backtest` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backtest.catalysts.claims import Claim, check_claim, read_claims
    from backtest.catalysts.record import Calendar, Catalyst, read_calendar
    from backtest.config import RunConfig, load_config
    from backtest.engine.replay import Run, replay
    from backtest.errors import BacktestError
    from backtest.market.auxiliary import AuxiliarySeries, read_series
    from backtest.market.dataset import open_dataset
    from backtest.market.joining import join
    from backtest.market.record import Instrument, Market
    from backtest.scoring.batch import Prepared, prepare
    from backtest.scoring.evaluation import Evaluation, evaluate
    from backtest.scoring.metrics import Score, score_run
    from backtest.scoring.placebo import Placebo, PlaceboPlan, placebo_intents
    from backtest.scoring.scorecard import Scorecard, capacity_curve, scorecard
    from backtest.scoring.space import grid_trials, parse_axis, random_trials
    from backtest.scoring.sweep import Sweep, run_sweep
    from backtest.scoring.walkforward import WalkForward, walk_forward
    from backtest.signals.audit import Audit, audit
    from backtest.signals.loading import load_strategy
    from backtest.signals.strategy import Intent, Intents, Parameters, Strategy
    from backtest.signals.trading import TradeParameters
    from backtest.study.settings import StudyConfig
    from backtest.study.study import Study, event_study

_HOME = {
    "Audit": "backtest.signals.audit",
    "AuxiliarySeries": "backtest.market.auxiliary",
    "BacktestError": "backtest.errors",
    "Calendar": "backtest.catalysts.record",
    "Catalyst": "backtest.catalysts.record",
    "Claim": "backtest.catalysts.claims",
    "Evaluation": "backtest.scoring.evaluation",
    "Instrument": "backtest.market.record",
    "Intent": "backtest.signals.strategy",
    "Intents": "backtest.signals.strategy",
    "Market": "backtest.market.record",
    "Parameters": "backtest.signals.strategy",
    "Placebo": "backtest.scoring.placebo",
    "PlaceboPlan": "backtest.scoring.placebo",
    "Prepared": "backtest.scoring.batch",
    "Run": "backtest.engine.replay",
    "RunConfig": "backtest.config",
    "Score": "backtest.scoring.metrics",
    "Scorecard": "backtest.scoring.scorecard",
    "Strategy": "backtest.signals.strategy",
    "Study": "backtest.study.study",
    "StudyConfig": "backtest.study.settings",
    "Sweep": "backtest.scoring.sweep",
    "TradeParameters": "backtest.signals.trading",
    "WalkForward": "backtest.scoring.walkforward",
    "audit": "backtest.signals.audit",
    "capacity_curve": "backtest.scoring.scorecard",
    "check_claim": "backtest.catalysts.claims",
    "evaluate": "backtest.scoring.evaluation",
    "event_study": "backtest.study.study",
    "grid_trials": "backtest.scoring.space",
    "join": "backtest.market.joining",
    "load_config": "backtest.config",
    "load_strategy": "backtest.signals.loading",
    "open_dataset": "backtest.market.dataset",
    "parse_axis": "backtest.scoring.space",
    "placebo_intents": "backtest.scoring.placebo",
    "prepare": "backtest.scoring.batch",
    "random_trials": "backtest.scoring.space",
    "read_calendar": "backtest.catalysts.record",
    "read_claims": "backtest.catalysts.claims",
    "read_series": "backtest.market.auxiliary",
    "replay": "backtest.engine.replay",
    "run_sweep": "backtest.scoring.sweep",
    "score_run": "backtest.scoring.metrics",
    "scorecard": "backtest.scoring.scorecard",
    "walk_forward": "backtest.scoring.walkforward",
}

__all__ = [
    "Audit",
    "AuxiliarySeries",
    "BacktestError",
    "Calendar",
    "Catalyst",
    "Claim",
    "Evaluation",
    "Instrument",
    "Intent",
    "Intents",
    "Market",
    "Parameters",
    "Placebo",
    "PlaceboPlan",
    "Prepared",
    "Run",
    "RunConfig",
    "Score",
    "Scorecard",
    "Strategy",
    "Study",
    "StudyConfig",
    "Sweep",
    "TradeParameters",
    "WalkForward",
    "audit",
    "capacity_curve",
    "check_claim",
    "evaluate",
    "event_study",
    "grid_trials",
    "join",
    "load_config",
    "load_strategy",
    "open_dataset",
    "parse_axis",
    "placebo_intents",
    "prepare",
    "random_trials",
    "read_calendar",
    "read_claims",
    "read_series",
    "replay",
    "run_sweep",
    "score_run",
    "scorecard",
    "walk_forward",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'backtest' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
