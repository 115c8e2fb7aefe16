"""Findings of the look-ahead audit about a strategy."""

from __future__ import annotations

from dataclasses import dataclass

from backtest.base.display import Shown, View
from backtest.base.errors import LookaheadError
from backtest.base.units import UNIT_MS, format_ms
from backtest.signals.strategy import Decision, Intent

VERDICTS = ("look-ahead", "clean", "not exercised", "reads outside", "reads nothing")
"""Look-ahead found; none in what was tested; no decision to test; files or environment touched, which no cut can reach;
nothing known to be read, so that nothing could show."""
FRESH, FORKED, HERE = "a fresh interpreter", "copies of this process", "this process"
APART = (FRESH, FORKED, HERE)
"""Each answer in a copy of a new interpreter, which has never asked the strategy; in a copy of this process, where
earlier calls may have left something; or in this process, where forking is not possible."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A decision that depends on what was not known when it was made.

    Attributes
    ----------
    decision : Intent or Exit
        As on the true data, or, if it was not there, as it appeared on the corrupted data.
    became : str
        How the corruption changed it: `changed`, `removed`, `created`, or the error that came instead.
    cut_ms : int
        Everything known at this instant was left as it was.
    corruption : str
        What was done to the rest.
    read : str
        The input: panels and instrument with the bar, or the catalyst.
    known_at_ms : int or None
        When that became known; None for an untimed catalyst, which never does.
    """

    decision: Decision
    became: str
    cut_ms: int
    corruption: str
    read: str
    known_at_ms: int | None

    @property
    def sentence(self) -> str:
        """The finding as one clause."""
        side = ("long" if self.decision.side == 1 else "short") if isinstance(self.decision, Intent) else "exit"
        when = "which has no day and is never known" if self.known_at_ms is None else (
            f"known at {format_ms(self.known_at_ms)}, "
            f"{(self.known_at_ms - self.decision.decided_at_ms) / UNIT_MS['h']:.4g} h after the decision"
        )  # fmt: skip
        return (
            f"the decision of {format_ms(self.decision.decided_at_ms)} ({side} {self.decision.instrument}) is "
            f"{self.became} when only what followed {format_ms(self.cut_ms)} is corrupted ({self.corruption}); "
            f"it read {self.read}, {when}"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Audit(Shown):
    """What the audit of one strategy found, and what it exercised.

    Attributes
    ----------
    strategy : str
    decisions : int
        Intents on the true data.
    cuts_ms : (C,) tuple of int
        Instants after which everything was corrupted.
    tested : int
        Decisions with a cut at the exact instant they were made, so that no later data could go unnoticed.
    reads : tuple of str
        Panels, `calendar` and `auxiliary series`, whose corruption as a whole changes any decision.
    unread : tuple of str
        Those that were corrupted as well but changed no decision.
    unknown : tuple of str
        Panels without any known value in this market: looking ahead in them could not show.
    hidden : tuple of str
        Ids of the catalysts that were hidden at some cut while not yet known.
    corruptions : tuple of str
        Kinds of corruption applied.
    touched : tuple of str
        Files, environment, network and programs that it also touched, as far as Python reports them.
    apart : str
        Where it was asked: see `APART`.
    leak : Leak or None
    """

    strategy: str
    decisions: int
    cuts_ms: tuple[int, ...]
    tested: int
    reads: tuple[str, ...]
    unread: tuple[str, ...]
    unknown: tuple[str, ...]
    hidden: tuple[str, ...]
    corruptions: tuple[str, ...]
    touched: tuple[str, ...]
    apart: str
    leak: Leak | None

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`: `clean`: what it reads was corrupted, and nothing else was seen to be read."""
        if self.leak is not None:
            return "look-ahead"
        if not self.tested:
            return "not exercised"
        if self.touched:
            return "reads outside"
        return "clean" if self.reads else "reads nothing"

    def _line(self) -> str:
        return f"{self.strategy}: {self.verdict}, {self.tested} of {self.decisions} decisions tested"

    def _view(self) -> View:
        said = {
            "reads": ", ".join(self.reads),
            "corrupted without effect": ", ".join(self.unread),
            "unknown in this market": ", ".join(self.unknown),
            "touched besides": ", ".join(self.touched),
            "asked in": self.apart,
            "corruptions": ", ".join(self.corruptions),
            "instants": f"{len(self.cuts_ms)}",
            "catalysts hidden": f"{len(self.hidden)}",
        }
        rows = [(name, text or "none") for name, text in said.items()]
        return View(("", ""), rows, (self.leak.sentence,) if self.leak else ())

    def check(self) -> None:
        """Raise `LookaheadError` with the first offending decision, if any."""
        if self.leak is not None:
            raise LookaheadError(
                f"strategy {self.strategy!r} looked ahead: {self.leak.sentence}; decide with bars that had closed and "
                "catalysts that were known"
            )
