"""Loads a user's own strategy from a Python file, and writes a starting point for a new one."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
import traceback
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

from backtest.base.arguments import checked
from backtest.base.documents import user_path
from backtest.base.errors import UsageError, near_miss, shortened
from backtest.signals.strategy import Parameters, Strategy

_MODULE = "user_strategy_"
_NO_STRATEGY = "it defines no strategy: start one with `backtest strategies new NAME`"
_TITLE = re.compile(r"\w[\w -]{0,59}")
_NAME = re.compile(r"[a-z][a-z0-9_]{1,60}")


def is_file_reference(text: str) -> bool:
    """Whether a strategy is named as `path/to/file.py:Class` or `path/to/file.py`."""
    return text.endswith(".py") or ".py:" in text


def file_of(reference: str) -> Path:
    """Path of `path/to/file.py:Class` or `path/to/file.py`."""
    place = reference.rpartition(":")[0] if ".py:" in reference else reference
    return user_path(place)


def source_of(strategy: type[Strategy[Any]]) -> str:
    """Source of the module that defines a strategy; its byte code if there is no source."""
    try:
        return inspect.getsource(sys.modules[strategy.__module__])
    except (OSError, TypeError):
        return strategy.decide.__code__.co_code.hex()


@checked
def load_strategy(reference: str) -> type[Strategy[Any]]:
    """Strategy of `path/to/file.py:Class`; the class may be left out where the file defines only one.

    The file is executed, as any Python program is: name only files that you trust.

    Raises
    ------
    UsageError
        Where the file is missing or fails when executed, or the class is missing or not a finished strategy.
    """
    path = file_of(reference)
    _, colon, name = reference.rpartition(":") if ".py:" in reference else ("", "", "")
    module = _execute(path)
    own = {key: value for key, value in vars(module).items() if _is_own_strategy(value, module)}
    if not colon:
        if len(own) != 1:
            what = f"{len(own)} strategies ({', '.join(sorted(own))})" if own else "no strategy"
            raise UsageError(f"{path} defines {what}: name one, as in {path}:Class")
        return finished(next(iter(own.values())), str(path))
    found = getattr(module, name, None)
    if found is None:
        raise UsageError(f"{path} has no class {name!r}; {near_miss(name, own) if own else _NO_STRATEGY}")
    if not (inspect.isclass(found) and issubclass(found, Strategy)):
        raise UsageError(f"{name} in {path} is not a Strategy: derive it from backtest.Strategy")
    return finished(found, str(path))


def _execute(path: Path) -> ModuleType:
    if not os.path.isfile(path):
        raise UsageError(
            f"strategy file {str(path)[:400]} does not exist: check the path, or "
            "write one with `backtest strategies new`"
        )
    # Files of one name in two folders stay two modules.
    return execute_again(f"{_MODULE}{path.stem}_{zlib.crc32(str(path.resolve()).encode()):08x}", path)


def is_user_module(name: str) -> bool:
    """Whether a module of this name was executed from a file that a user named."""
    return name.startswith(_MODULE)


def execute_again(title: str, path: Path) -> ModuleType:
    """Execute a strategy file as the module of a title that is known already."""
    spec = importlib.util.spec_from_file_location(title, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"strategy file {path} cannot be imported: give it a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    _make_siblings_importable(path.resolve())
    try:
        spec.loader.exec_module(module)
    except SyntaxError as problem:
        del sys.modules[spec.name]
        line = "" if problem.lineno is None else f" line {problem.lineno}"
        raise UsageError(f"{path}{line} is not valid Python: {problem.msg}") from None
    except (Exception, SystemExit) as problem:
        del sys.modules[spec.name]
        raise UsageError(f"{path} failed when it was read: {type(problem).__name__}: {problem}") from None
    return module


def _make_siblings_importable(path: Path) -> None:
    """Let a strategy import files beside it, as `helpers` or as `strategies.helpers`, however the tool is started."""
    beside = path.parent
    outer = [beside.parent] if beside.name.isidentifier() else []
    for folder in map(str, (beside, *outer)):
        if folder not in sys.path:
            sys.path.insert(0, folder)


def fault_of(problem: Exception) -> UsageError | None:
    """The error to show if a user's strategy file raised an exception; None if no such file was involved."""
    steps = traceback.walk_tb(problem.__traceback__)
    own = [(frame, line) for frame, line in steps if frame.f_globals.get("__name__", "").startswith(_MODULE)]
    if not own:
        return None
    frame, line = own[-1]
    return UsageError(
        f"{frame.f_code.co_filename} line {line} failed: {type(problem).__name__}: {problem}; mend the strategy (set "
        "BACKTEST_DEBUG=1 for the whole traceback)"
    )


def _is_own_strategy(value: object, module: ModuleType) -> bool:
    return (
        inspect.isclass(value)
        and issubclass(value, Strategy)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    )


def finished(found: type[Strategy[Any]], place: str) -> type[Strategy[Any]]:
    """The class, if it is a complete strategy; otherwise `UsageError` that names where it comes from."""
    if not (inspect.isclass(found) and issubclass(found, Strategy)):
        raise UsageError(f"{shortened(found)} in {place} is not a Strategy: derive it from backtest.Strategy")
    what = f"strategy {found.__name__} in {place}"
    if inspect.isabstract(found):
        raise UsageError(f"{what} does not define decide(market, calendar): add it")
    for attribute, kind in (("name", str), ("hypothesis", str)):
        if not isinstance(getattr(found, attribute, None), kind):
            raise UsageError(f'{what} has no {attribute}: add `{attribute} = "..."` to the class')
    if not _TITLE.fullmatch(found.name):
        raise UsageError(
            f"{what} is named {shortened(found.name)}: its name is used in file names, so use letters, digits, "
            "underscores, hyphens and spaces, at most 60"
        )
    if not (inspect.isclass(getattr(found, "parameters_type", None)) and issubclass(found.parameters_type, Parameters)):
        raise UsageError(f"{what} has no parameters_type: set it to a class derived from backtest.Parameters")
    return found


def starting_point(name: str) -> str:
    """Python source of a commented strategy of this name that passes the contract and the audit.

    Raises
    ------
    UsageError
        For a name that is not lower-case letters, digits and underscores.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"strategy name {shortened(name)}: use lower-case letters, digits and underscores, as in my_breakout"
        )
    title = "".join(part.capitalize() for part in name.split("_"))
    return _TEMPLATE.replace("my_strategy", name).replace("MyStrategy", title)


_TEMPLATE = '''\
"""Hypothesis: say in one sentence why the trade should pay.

Figures that no venue quotes come from a CSV of `available_at,value`: `backtest.market.auxiliary.read_series(path)`,
then `series.at(closes_ms(market))` is what was known at each bar's close.
"""

from __future__ import annotations

from pydantic import Field

from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_between
from backtest.base.fields import Duration
from backtest.market.record import Market
from backtest.signals.features import bars_of, change, row_known_at
from backtest.signals.strategy import Intents, Names, Share, Strategy
from backtest.signals.trading import TradeParameters, catalyst_columns


class MyStrategyParameters(TradeParameters):
    """Parameters: `-p name=value` sets one. TradeParameters brings weight, hold, stop_loss and the like."""

    assets: Names = Field((), description="coins; all where empty")
    window: Duration = Field("24h", description="window of the move before the decision")
    most_rise: Share = Field(0.5, description="leave a coin alone that has risen more than this in it")


class MyStrategy(Strategy[MyStrategyParameters]):
    """What it does, in one sentence."""

    name = "my_strategy"
    hypothesis = "A catalyst pays for those who come before the crowd, so buy it unless the price has run already."
    parameters_type = MyStrategyParameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        """One long intent for each coin of each upward catalyst, decided when the catalyst is known."""
        chosen = self.parameters
        # market.close, .volume, .open_interest, .funding are (bars, instruments) arrays; unknown is NaN, never 0.
        # Row t of a feature uses bars up to t, so it is known at that bar's close.
        moves = change(market.close, bars_of(chosen.window, market))
        rows = []
        # known_between gives each catalyst with the moment at which it is certain to have been public.
        for catalyst, known_at in known_between(calendar.filter(directions=(1,)), market.start_ms, market.end_ms):
            # The last bar that had closed by then: a later one would be look-ahead, and `backtest audit` finds it.
            row = row_known_at(known_at, market)
            for column in catalyst_columns(catalyst, chosen.assets, market):
                if row >= 0 and moves[row, column] <= chosen.most_rise:
                    rows.append(chosen.intent(market.symbols[column], known_at, 1, catalyst_id=catalyst.id))
        return Intents(tuple(rows))
'''
