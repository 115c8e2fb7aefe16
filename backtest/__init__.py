"""Event backtester for privacy-coin catalysts: point in time, net of every cost, tested against luck.

The names below load on first use, so that `import backtest` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backtest.baseline.comparison import Comparison, Difference, compare
    from backtest.baseline.files import read_baseline, write_baseline
    from backtest.baseline.record import Baseline, record_baseline
    from backtest.catalysts.claims import Check, Claim, check_claim, open_claims, read_claims
    from backtest.catalysts.reading import open_calendar, read_calendar
    from backtest.catalysts.record import Calendar, Catalyst
    from backtest.catalysts.timing import known_between
    from backtest.config import RunConfig, load_config
    from backtest.engine.replay import Run, replay
    from backtest.errors import (
        BacktestError,
        BaselineError,
        CalendarError,
        ConfigError,
        DataError,
        LookaheadError,
        MarketError,
        UsageError,
    )
    from backtest.market.auxiliary import AuxiliarySeries, read_series
    from backtest.market.dataset import open_dataset
    from backtest.market.instrument import Instrument, Provenance
    from backtest.market.joining import join
    from backtest.market.record import Market
    from backtest.scoring.batch import Prepared, prepare
    from backtest.scoring.evaluation import Evaluation, evaluate
    from backtest.scoring.fan import Fan, placebo_fan
    from backtest.scoring.metrics import Score, score_run
    from backtest.scoring.placebo import Placebo, PlaceboPlan, placebo_intents
    from backtest.scoring.scorecard import CapacityCurve, Scorecard, Thresholds, capacity_curve, scorecard
    from backtest.scoring.space import Axis, Trial, grid_trials, parse_axis, random_trials
    from backtest.scoring.sweep import HeatMap, Sweep, SweepResult, heat_maps, run_sweep
    from backtest.scoring.walkforward import WalkForward, WalkForwardResult, walk_forward
    from backtest.signals.audit import Audit, Leak, audit
    from backtest.signals.loading import load_strategy
    from backtest.signals.strategy import Intent, Intents, Parameters, Strategy
    from backtest.signals.trading import TradeParameters
    from backtest.study.models import Windows
    from backtest.study.settings import StudyConfig
    from backtest.study.study import Study, event_study
    from backtest.units import TimeRange, duration_ms, parse_timerange

_HOME = {
    "Audit": "backtest.signals.audit",
    "AuxiliarySeries": "backtest.market.auxiliary",
    "Axis": "backtest.scoring.space",
    "BacktestError": "backtest.errors",
    "Baseline": "backtest.baseline.record",
    "BaselineError": "backtest.errors",
    "Calendar": "backtest.catalysts.record",
    "CalendarError": "backtest.errors",
    "CapacityCurve": "backtest.scoring.scorecard",
    "Catalyst": "backtest.catalysts.record",
    "Check": "backtest.catalysts.claims",
    "Claim": "backtest.catalysts.claims",
    "Comparison": "backtest.baseline.comparison",
    "ConfigError": "backtest.errors",
    "DataError": "backtest.errors",
    "Difference": "backtest.baseline.comparison",
    "Evaluation": "backtest.scoring.evaluation",
    "Fan": "backtest.scoring.fan",
    "HeatMap": "backtest.scoring.sweep",
    "Instrument": "backtest.market.instrument",
    "Intent": "backtest.signals.strategy",
    "Intents": "backtest.signals.strategy",
    "Leak": "backtest.signals.audit",
    "LookaheadError": "backtest.errors",
    "Market": "backtest.market.record",
    "MarketError": "backtest.errors",
    "Parameters": "backtest.signals.strategy",
    "Placebo": "backtest.scoring.placebo",
    "PlaceboPlan": "backtest.scoring.placebo",
    "Prepared": "backtest.scoring.batch",
    "Provenance": "backtest.market.instrument",
    "Run": "backtest.engine.replay",
    "RunConfig": "backtest.config",
    "Score": "backtest.scoring.metrics",
    "Scorecard": "backtest.scoring.scorecard",
    "Strategy": "backtest.signals.strategy",
    "Study": "backtest.study.study",
    "StudyConfig": "backtest.study.settings",
    "Sweep": "backtest.scoring.sweep",
    "SweepResult": "backtest.scoring.sweep",
    "Thresholds": "backtest.scoring.scorecard",
    "TimeRange": "backtest.units",
    "TradeParameters": "backtest.signals.trading",
    "Trial": "backtest.scoring.space",
    "UsageError": "backtest.errors",
    "WalkForward": "backtest.scoring.walkforward",
    "WalkForwardResult": "backtest.scoring.walkforward",
    "Windows": "backtest.study.models",
    "audit": "backtest.signals.audit",
    "capacity_curve": "backtest.scoring.scorecard",
    "check_claim": "backtest.catalysts.claims",
    "compare": "backtest.baseline.comparison",
    "duration_ms": "backtest.units",
    "evaluate": "backtest.scoring.evaluation",
    "event_study": "backtest.study.study",
    "grid_trials": "backtest.scoring.space",
    "heat_maps": "backtest.scoring.sweep",
    "join": "backtest.market.joining",
    "known_between": "backtest.catalysts.timing",
    "load_config": "backtest.config",
    "load_strategy": "backtest.signals.loading",
    "open_calendar": "backtest.catalysts.reading",
    "open_claims": "backtest.catalysts.claims",
    "open_dataset": "backtest.market.dataset",
    "parse_axis": "backtest.scoring.space",
    "parse_timerange": "backtest.units",
    "placebo_fan": "backtest.scoring.fan",
    "placebo_intents": "backtest.scoring.placebo",
    "prepare": "backtest.scoring.batch",
    "random_trials": "backtest.scoring.space",
    "read_baseline": "backtest.baseline.files",
    "read_calendar": "backtest.catalysts.reading",
    "read_claims": "backtest.catalysts.claims",
    "read_series": "backtest.market.auxiliary",
    "record_baseline": "backtest.baseline.record",
    "replay": "backtest.engine.replay",
    "run_sweep": "backtest.scoring.sweep",
    "score_run": "backtest.scoring.metrics",
    "scorecard": "backtest.scoring.scorecard",
    "walk_forward": "backtest.scoring.walkforward",
    "write_baseline": "backtest.baseline.files",
}

__all__ = [
    "Audit",
    "AuxiliarySeries",
    "Axis",
    "BacktestError",
    "Baseline",
    "BaselineError",
    "Calendar",
    "CalendarError",
    "CapacityCurve",
    "Catalyst",
    "Check",
    "Claim",
    "Comparison",
    "ConfigError",
    "DataError",
    "Difference",
    "Evaluation",
    "Fan",
    "HeatMap",
    "Instrument",
    "Intent",
    "Intents",
    "Leak",
    "LookaheadError",
    "Market",
    "MarketError",
    "Parameters",
    "Placebo",
    "PlaceboPlan",
    "Prepared",
    "Provenance",
    "Run",
    "RunConfig",
    "Score",
    "Scorecard",
    "Strategy",
    "Study",
    "StudyConfig",
    "Sweep",
    "SweepResult",
    "Thresholds",
    "TimeRange",
    "TradeParameters",
    "Trial",
    "UsageError",
    "WalkForward",
    "WalkForwardResult",
    "Windows",
    "audit",
    "capacity_curve",
    "check_claim",
    "compare",
    "duration_ms",
    "evaluate",
    "event_study",
    "grid_trials",
    "heat_maps",
    "join",
    "known_between",
    "load_config",
    "load_strategy",
    "open_calendar",
    "open_claims",
    "open_dataset",
    "parse_axis",
    "parse_timerange",
    "placebo_fan",
    "placebo_intents",
    "prepare",
    "random_trials",
    "read_baseline",
    "read_calendar",
    "read_claims",
    "read_series",
    "record_baseline",
    "replay",
    "run_sweep",
    "score_run",
    "scorecard",
    "walk_forward",
    "write_baseline",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'backtest' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
