"""The engines under comparison, each in a module of its own so that a process imports only the one it measures."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from benchmarks.engines.contract import Engine
from benchmarks.workload import Workload

_HOME = {
    "backtest": "benchmarks.engines.ours:Backtest",
    "backtest, 1 thread": "benchmarks.engines.ours:BacktestOneThread",
    "vectorbt rust": "benchmarks.engines.vectorbt:VectorbtRust",
    "vectorbt numba": "benchmarks.engines.vectorbt:VectorbtNumba",
    "backtesting.py": "benchmarks.engines.backtesting_py:BacktestingPy",
}
OURS = "backtest"
ENGINES = tuple(_HOME)


def engine(name: str, work: Workload) -> Engine:
    """The engine of that name, its inputs prepared for a workload."""
    module, kind = _HOME[name].split(":")
    made: Callable[[Workload], Engine] = getattr(import_module(module), kind)
    return made(work)
