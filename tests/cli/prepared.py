"""A process of its own for every command, forked from one that has the imports and the kernel.

`python -m backtest` in a new process spends two to three seconds of a core on imports before it does anything, and some
250 tests ask for one. What decides at import (settings of numba, the interpreter or the locale) asks for a real one.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.forking import forking

AT_RUN_TIME = ("BACKTEST_", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM", "CI", "GITHUB_", "PYTEST_")
"""Variables that are read when a command runs, by how their names begin."""
SET_BY_MAIN = {"PYDANTIC_DISABLE_PLUGINS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""What `backtest.cli.main` sets where nothing else did: in this process too, once a test has called it here."""
SET_BY_LIBRARIES = {"KMP_DUPLICATE_LIB_OK": "True"}
"""What libraries set that some tests import (scikit-learn, which vectorbt asks for): nothing that a command reads."""
SET_HERE = SET_BY_MAIN | SET_BY_LIBRARIES
SECONDS = 300


def load() -> None:
    """What commands import, and the kernel from its cache."""
    import backtest.cli
    import backtest.market.ccxt_source
    import backtest.market.download
    import backtest.report
    import backtest.session
    import backtest.study  # noqa: F401
    from backtest import RunConfig, open_calendar, open_dataset, replay
    from backtest.strategies import REGISTRY

    market, calendar = open_dataset("privacy-2025-sample"), open_calendar("privacy-2025")
    strategy = REGISTRY["buy_and_hold"]()
    replay(market, strategy.decide(market, calendar), RunConfig(), calendar=calendar, strategy=strategy.name)
    # What the collector walks through in a fork is copied for it.
    gc.collect()
    gc.freeze()


@cache
def _at_start() -> dict[str, str]:
    return SET_HERE | dict(os.environ)


def fit(environment: Mapping[str, str]) -> bool:
    """Whether a fork knows all that these variables ask for."""
    then, asked = _at_start(), SET_HERE | dict(environment)
    changed = {name for name in {*then, *asked} if then.get(name) != asked.get(name)}
    return hasattr(os, "fork") and all(name.startswith(AT_RUN_TIME) for name in changed)


def call(arguments: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` of `python -m backtest ARGUMENTS`, with what it printed as text."""
    context = forking("tests.cli.preloaded")
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        handles = (context.reducer.DupFd(output.fileno()), context.reducer.DupFd(complaints.fileno()))
        process = context.Process(target=_command, args=(arguments, str(folder), dict(environment), *handles))
        process.start()
        process.join(SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["backtest", *arguments], SECONDS)
        texts = []
        for file in (output, complaints):
            file.seek(0)
            texts.append(file.read().decode("utf-8").replace("\r\n", "\n"))
        return subprocess.CompletedProcess(["backtest", *arguments], process.exitcode or 0, *texts)


def _command(arguments: tuple[str, ...], folder: str, environment: dict[str, str], *handles: Any) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, handle in enumerate(handles, 1):
        os.dup2(handle.detach(), number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = ["backtest", *arguments]
    sys.path.insert(0, folder)
    from backtest.cli import main

    main()
