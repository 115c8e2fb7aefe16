"""A fresh Python interpreter that has never run a strategy, started once; strategies are audited in copies of it.

The parent sends a job, the interpreter forks, and the fork reads the strategy's file, examines it and answers: the
interpreter itself stays unchanged. It ends when its input closes, that is, with the process that started it.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from backtest.base.errors import BacktestError
from backtest.base.progress import Progress
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.asking import CAN_FORK, Asker
from backtest.signals.examining import examine
from backtest.signals.finding import FRESH, Audit
from backtest.signals.loading import execute_again, is_user_module
from backtest.signals.strategy import Strategy
from backtest.signals.touching import Touching

_LENGTH = struct.Struct("<Q")
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from backtest.signals.interpreter import serve; serve()"
)


class Unreachable(Exception):  # noqa: N818 - caught here and in `audit`, never shown
    """A strategy cannot be loaded in another interpreter."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where another interpreter finds a strategy: its module, the module's file, and the class."""

    module: str
    file: str
    name: str
    parameters: dict[str, Any]

    @classmethod
    def of(cls, strategy: Strategy[Any]) -> Reference:
        """Raises `Unreachable` for a class of a notebook, script or function, or an object with its own state."""
        kind = type(strategy)
        module: Any = sys.modules.get(kind.__module__)
        if module is None or kind.__module__ in ("__main__", "builtins") or "<locals>" in kind.__qualname__:
            raise Unreachable
        found = reduce(lambda owner, name: getattr(owner, name, None), kind.__qualname__.split("."), module)
        values = strategy.parameters.model_dump()
        try:
            same = found is kind and kind(values).parameters == strategy.parameters
        except Exception:
            same = False
        if not same or set(vars(strategy)) != {"parameters"}:
            raise Unreachable
        file = os.path.abspath(module.__file__ or "") if is_user_module(module.__name__) else ""
        return cls(kind.__module__, file, kind.__qualname__, values)

    def strategy(self) -> Strategy[Any]:
        """The strategy, made anew from its file."""
        module = execute_again(self.module, Path(self.file)) if self.file else importlib.import_module(self.module)
        kind: Any = reduce(getattr, self.name.split("."), module)
        made: Strategy[Any] = kind(self.parameters)
        return made


@dataclass(frozen=True, slots=True)
class Job:
    """One audit, and the environment to run it in."""

    reference: Reference
    market: Market
    calendar: Calendar
    cuts: int
    seed: int
    path: tuple[str, ...]
    folder: str
    environment: dict[str, str]


class Interpreter:
    """The new Python, seen from the process that started it."""

    def __init__(self) -> None:
        # Another seed of hashes than ours: a strategy that depends on the order of a set decides otherwise.
        environment = {**os.environ, "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, json.dumps([os.path.abspath(one) for one in sys.path])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, process_group=0,
        )  # fmt: skip

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def audit(self, job: Job, progress: Progress) -> Audit:
        """The audit's result; `Unreachable` if it cannot load the strategy or answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, job)
            for kind, told in _messages(self._process.stdout):
                if kind == "progress":
                    progress(*told)
                elif kind == "audit":
                    assert isinstance(told, Audit)
                    return told
                elif kind == "error":
                    raise told
                else:
                    break
        except BacktestError:
            raise
        except (OSError, pickle.PickleError, EOFError, TypeError, AttributeError):
            self.end()
        except BaseException:
            self.end()
            raise
        raise Unreachable

    def end(self) -> None:
        """Stop it and everything it started."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._process.wait()


_started: list[Interpreter] = []


def interpreter() -> Interpreter:
    """The interpreter of this process, started when first needed.

    Raises
    ------
    Unreachable
        Where none can be started, or processes cannot be copied.
    """
    if not CAN_FORK or not sys.executable:
        raise Unreachable
    if not _started or not _started[0].alive:
        try:
            new = Interpreter()
        except OSError:
            raise Unreachable from None
        if not _started:
            atexit.register(lambda: _started[0].end())
        _started[:] = [new]
    return _started[0]


def job_of(reference: Reference, market: Market, calendar: Calendar, cuts: int, seed: int) -> Job:
    """One audit here and now: with the import path, the folder and the environment of this moment."""
    path = tuple(os.path.abspath(one) for one in sys.path)
    return Job(reference, market, calendar, cuts, seed, path, os.getcwd(), dict(os.environ))


def serve() -> None:
    """Runs in the new interpreter: one copy of it per job, until there are no more."""
    jobs, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, _leave)
    while True:
        data = _received(jobs)
        if not data:
            return
        child = os.fork()
        if child == 0:
            _serve_one(data, answers)
        _, status = os.waitpid(child, 0)
        if status:
            _send(answers, ("unreachable", status))


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


def _serve_one(data: bytes, answers: BinaryIO) -> None:
    code = 1
    try:
        _send(answers, _answer(data, answers))
        code = 0
    finally:
        os._exit(code)


def _answer(data: bytes, answers: BinaryIO) -> tuple[str, Any]:
    job: Job = pickle.loads(data)
    os.chdir(job.folder)
    os.environ.clear()
    os.environ.update(job.environment)
    sys.path[:] = job.path
    touching = Touching(job.reference.module)
    strategy = job.reference.strategy()
    asker = Asker(strategy, FRESH, touching.touched)
    try:
        found = examine(
            asker, job.market, job.calendar, cuts=job.cuts, seed=job.seed,
            progress=lambda *told: _send(answers, ("progress", told)),
        )  # fmt: skip
    except BacktestError as problem:
        return "error", problem
    return "audit", found


def _send(stream: BinaryIO | Any, message: Any) -> None:
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def _received(stream: BinaryIO | Any) -> bytes:
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return b""
    data: bytes = stream.read(_LENGTH.unpack(head)[0])
    return data


def _messages(stream: BinaryIO | Any) -> Iterator[tuple[str, Any]]:
    while data := _received(stream):
        yield pickle.loads(data)
