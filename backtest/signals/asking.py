"""Asks a strategy in separate processes, so that nothing it keeps from one answer can reach the next."""

from __future__ import annotations

import gc
import os
import pickle
import random
import signal
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backtest.catalysts.record import Calendar
from backtest.market.auxiliary import corrupt_after, first_corrupted
from backtest.market.record import Market
from backtest.signals.finding import FORKED, HERE
from backtest.signals.strategy import Decision, Strategy
from backtest.signals.touching import Touching

CAN_FORK = hasattr(os, "fork")
_ANSWERED, _ALL = b"+", b"="
"""What a process writes after each answer, and before it sends them all."""


@dataclass(frozen=True, slots=True)
class Question:
    """A market and a calendar to decide on; auxiliary readings available after `series_after_ms` are corrupted."""

    market: Market
    calendar: Calendar
    series_after_ms: int | None = None
    series_seed: int = 1


Later = Callable[[], Question]
"""A question that is made where it is answered, so that only one of many is held at a time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a strategy decided, or the error it ended with; and when the first corrupted reading was available."""

    rows: tuple[Decision, ...] = ()
    error: str = ""
    series_at_ms: int | None = None


class Asker:
    """Puts questions to one strategy, each group of them in a process that has asked it nothing before.

    Attributes
    ----------
    apart : str
        One of `APART`.
    """

    def __init__(self, strategy: Strategy[Any], apart: str = FORKED, touched: Sequence[str] = ()) -> None:
        self.strategy, self.apart = strategy, apart if CAN_FORK else HERE
        self._touched = dict.fromkeys(touched)

    @property
    def touched(self) -> tuple[str, ...]:
        """Everything touched by the answers so far, each once."""
        return tuple(self._touched)

    def ask(self, question: Question) -> Answer:
        """The answer of a process that has asked nothing before."""
        return self.ask_in_turn([lambda: question])[0]

    def ask_in_turn(
        self, questions: Sequence[Later], seed: int = 0, heard: Callable[[], None] = lambda: None
    ) -> list[Answer]:
        """Answers of one process, one after the other; `seed` is that of Python's and numpy's shared generators.

        If one of them ends the process, each is asked in its own process. `heard` is called after each answer.
        """
        if not CAN_FORK:
            answers = []
            for one in questions:
                answers.append(_answer(self.strategy, one()))
                heard()
            return answers
        told = _in_a_copy(self.strategy, questions, seed, heard)
        if told is None:
            if len(questions) > 1:
                return [answer for one in questions for answer in self.ask_in_turn([one], seed)]
            return [Answer(error="it ended its process")]
        self._touched |= dict.fromkeys(told[1])
        return told[0]


def _answer(strategy: Strategy[Any], question: Question) -> Answer:
    """A strategy that fails on a changed future would have failed live: its error is an answer too."""
    if question.series_after_ms is not None:
        corrupt_after(question.series_after_ms, question.series_seed)
    try:
        return Answer(strategy.decide(question.market, question.calendar).decisions, "", first_corrupted())
    except Exception as error:
        return Answer((), f"{type(error).__name__}: {error}", first_corrupted())


def _in_a_copy(
    strategy: Strategy[Any], questions: Sequence[Later], seed: int, heard: Callable[[], None]
) -> tuple[list[Answer], tuple[str, ...]] | None:
    """What a copy of this process answered and touched; None if it ended without answering."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of threads; the copy runs the strategy alone, and leaves by `_exit`.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _answer_and_leave(write, strategy, questions, seed)
    os.close(write)
    try:
        with os.fdopen(read, "rb") as pipe:
            while pipe.read(1) == _ANSWERED:
                heard()
            data = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if status or not data:
        return None
    told: tuple[list[Answer], tuple[str, ...]] = pickle.loads(data)
    return told


def _answer_and_leave(write: int, strategy: Strategy[Any], questions: Sequence[Later], seed: int) -> None:
    """In the copy: answer, send the answers, and leave without a trace in the files of the original."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # What it prints, hundreds of times, is nobody's to read.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the generator that all of a process share
        gc.freeze()  # What was there before need not be looked through, which would copy it.
        touching = Touching(type(strategy).__module__)
        answers = []
        for one in questions:
            answers.append(_answer(strategy, one()))
            os.write(write, _ANSWERED)
        with os.fdopen(write, "wb") as pipe:
            pipe.write(_ALL)
            pickle.dump((answers, touching.touched), pipe)
        code = 0
    except BaseException:
        code = 1
    finally:
        os._exit(code)
