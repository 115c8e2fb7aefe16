"""`backtest doctor`: what is installed, where things are kept, and what is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from backtest import __version__

ENGINE = ("numba", "llvmlite", "numpy", "pandas")
OTHERS = ("vectorbt", "ccxt", "pyarrow", "pydantic", "typer", "scipy", "matplotlib")
OPTIONAL = {"jupyterlab": "notebooks", "distributed": "--cluster"}
REACHED = "api.bybit.com"


def version_line() -> str:
    """The version, with those of the engine and of the data that come with the project."""
    from backtest.base.documents import datasets_root

    engine = ", ".join(f"{name} {_version(name)}" for name in ENGINE)
    data = ", ".join(sorted(path.parent.name for path in datasets_root().glob("*/metadata.json")))
    return f"backtest {__version__} (engine: {engine}; data: {data}; Python {sys.version.split()[0]})"


def doctor(
    network: Annotated[bool, typer.Option("--network", help=f"Also try to reach {REACHED}.")] = False,
) -> None:
    """Say which versions, caches, stores and calendars are here and what is missing; exit code 3 where something is."""
    from backtest.base.errors import DataError

    missing = 0
    for found, line in (*_installed(), *_kept(), *(_reached() if network else ())):
        missing += not found
        typer.echo(f"{'ok     ' if found else 'MISSING'} {line}")
    if missing:
        raise DataError(f"{missing} of what the tool needs is missing, each marked above")


def _version(name: str) -> str:
    """The version that is installed; empty where none is."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _installed() -> Iterator[tuple[bool, str]]:
    yield True, version_line()
    for name in (*ENGINE, *OTHERS):
        yield bool(_version(name)), f"{name} {_version(name) or '(pip install it)'}"
    for name, use in OPTIONAL.items():
        found = _version(name)
        yield True, f"{name} {found}" if found else f"{name} is not installed: only {use} needs it"


def _kept() -> Iterator[tuple[bool, str]]:
    import backtest.engine
    from backtest.catalysts.reading import embedded_calendars
    from backtest.ledger.store import ledger_path
    from backtest.market.dataset import default_dataset
    from backtest.market.store import store_root

    cache = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(str(backtest.engine.__file__)).parent / "__pycache__")
    count = len(list(cache.rglob("*.nbi"))) if cache.is_dir() else 0
    yield (
        True,
        f"kernel cache {cache}: {f'{count} functions' if count else 'empty, the first run compiles for a minute'}",
    )
    place = cache if cache.exists() else cache.parent
    yield os.access(place, os.W_OK), f"kernel cache can be written: {place}"
    store = store_root()
    yield True, f"store {store}: {'there' if store.is_dir() else 'not made yet, backtest fetch makes it'}"
    yield True, f"default dataset {default_dataset()}; calendars {', '.join(embedded_calendars())}"
    workspace = Path("backtest.toml")
    ledger = ledger_path()
    yield (
        True,
        "ledger: none is kept"
        if ledger is None
        else f"ledger {ledger}: {'there' if ledger.is_file() else 'not made yet, the first run makes it'}",
    )
    yield True, f"workspace {workspace.resolve()}: {'read' if workspace.exists() else 'none, defaults are used'}"


def _reached() -> Iterator[tuple[bool, str]]:
    import socket

    try:
        with socket.create_connection((REACHED, 443), timeout=5):
            yield True, f"network: {REACHED} answers"
    except OSError as problem:
        yield False, f"network: {REACHED} cannot be reached ({problem}); fetch needs it, runs do not"
