"""The engines under comparison, each in a module of its own so that a process imports only the one it measures."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from benchmarks.engines.contract import Engine
from benchmarks.workload import Workload

_HOME = {
    "backtest": "benchmarks.engines.ours:Backtest",
    "backtest, 1 thread": "benchmarks.engines.ours:BacktestOneThread",
    "vectorbt rust": "benchmarks.engines.vectorbt:VectorbtRust",
    "vectorbt numba": "benchmarks.engines.vectorbt:VectorbtNumba",
    "backtesting.py": "benchmarks.engines.backtesting_py:BacktestingPy",
    "numpy, lower bound": "benchmarks.engines.plain_numpy:PlainNumpy",
    "backtest, net only": "benchmarks.engines.ours:BacktestNetOnly",
    "vectorbt rust, net only": "benchmarks.engines.vectorbt:VectorbtRustNetOnly",
}
OURS = "backtest"
ENGINES = tuple(_HOME)


@dataclass(frozen=True, slots=True)
class Foreign:
    """An engine that is no dependency of the project: its class, the variable that names a Python that has it, and how
    to make one.
    """

    home: str
    variable: str
    how: str

    @property
    def python(self) -> str | None:
        """The interpreter that has it; None where none was named."""
        return os.environ.get(self.variable)


FOREIGN = {
    "nautilus_trader": Foreign(
        "benchmarks.engines.nautilus:NautilusTrader",
        "BENCHMARK_NAUTILUS",
        "python -m venv DIR, DIR/bin/pip install\nnautilus_trader==1.221.0, BENCHMARK_NAUTILUS=DIR/bin/python",
    )
}


def engine(name: str, work: Workload) -> Engine:
    """The engine of that name, its inputs prepared for a workload."""
    module, kind = (FOREIGN[name].home if name in FOREIGN else _HOME[name]).split(":")
    made: Callable[[Workload], Engine] = getattr(import_module(module), kind)
    return made(work)
