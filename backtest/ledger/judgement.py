"""p adjusted for everything in the ledger on the same catalysts.

Trials *overlap* if their data share a catalyst of the same coin and day (`Scope.overlaps`). For a trial, those that
overlap it and were moved by the same draws are its *family*, over which the maximum statistic is exact. Overlapping
trials with other draws (another span or timeframe, another kind of placebo or seed) form K - 1 families more, and each
of the K has an equal share of the level (Bonferroni). U overlapping trials were replayed without placebos, so that only
their number is known: each adds one p. With p the trial's own and q adjusted in its family,

    p adjusted = min(1, K q + U p).

For families that all overlap each other, the chance that any trial without effect gets a p adjusted <= a is at most a:
the shares add up to it. Families that share no catalyst are not adjusted for each other. A registered trial is
separate: if its registration was written before any overlapping trial, it is adjusted for the R registered tests on
these catalysts alone, R p.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from backtest.base.arguments import checked
from backtest.base.errors import UsageError
from backtest.ledger.family import step_down
from backtest.ledger.records import Decision, KeptTrial, Registration, Singles
from backtest.ledger.store import Ledger, TrialGroup

LEVEL = 0.05
"""Chance that a ledger in which nothing is to be found ever tells of something."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Judgement of a trial given everything in the ledger; p are NaN, with the `reason`, if it was not tested.

    Attributes
    ----------
    trial : KeptTrial
    p, command : float
        Alone, and adjusted within the command that first ran it.
    family : float
        Adjusted for the overlapping trials with the same draws.
    adjusted : float
        Adjusted for every overlapping trial; of a registered trial, for the registered tests.
    trials, families, untested : int
        Overlapping trials with draws, this one too; the families they form; those without draws.
    registration : Registration or None
        The registration that counts for it.
    note : str
        Why a registration of it does not count; empty if there is no such registration.
    registered : int
        Registered tests that a registered one is adjusted for; 0 for another.
    decided, level : float
        The adjusted p by which its verdict was decided, and what it had to be at most: when it was new, or, for a
        registered test, now. NaN where it was not decided yet.
    paid : int
        Trials that `decided` is adjusted for.
    """

    trial: KeptTrial
    p: float
    command: float
    family: float
    adjusted: float
    trials: int
    families: int
    untested: int
    registration: Registration | None = None
    note: str = ""
    registered: int = 0
    decided: float = math.nan
    level: float = math.nan
    paid: int = 0
    reason: str = ""

    @property
    def passes(self) -> bool:
        """Whether the decided verdict is that the trial beats chance."""
        return self.decided <= self.level

    @property
    def pays_for(self) -> str:
        """`34 trials in 2 families and 3 without placebos`."""
        if self.registration is not None:
            tests = "registered test" if self.registered == 1 else "registered tests"
            return f"{self.registered} {tests} (#{self.registration.seq} of {self.registration.time[:10]})"
        told = f"{self.trials:,} trial{'s' if self.trials != 1 else ''}"
        if self.families > 1:
            told += f" in {self.families} families"
        return told + (f" and {self.untested} without placebos" if self.untested else "")


@checked
def judge_trials(ledger: Ledger, seqs: Sequence[int] | None = None) -> tuple[Judgement, ...]:
    """Judgement of the trials at some places, or of all, in the order given."""
    view = LedgerView(ledger)
    return tuple(view.judgement(one) for one in ledger.trials(seqs))


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """Result for a family: adjusted p by place, and the greatest statistic on each calendar (`StepDown.most`)."""

    p: dict[int, float]
    most: Singles


class LedgerView:
    """The ledger as it is now; each family is computed once."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.scopes = ledger.scopes()
        self.groups = ledger.groups()
        self.registrations = ledger.registrations()
        tested = ledger.tested_again()
        self.untested = [one for one in ledger.untested() if one.body["what"] not in tested]
        self.decisions: list[Decision] = []
        self.decided: dict[int, tuple[float, float, int]] = {}
        for one in ledger.decisions():
            self.add(one)
        self.neighbours = lru_cache(maxsize=None)(self._neighbours)
        self.worked_out = lru_cache(maxsize=None)(self._worked_out)
        self.blind = lru_cache(maxsize=None)(self._blind)

    def add(self, decision: Decision) -> None:
        """Add a decision made since."""
        self.decisions.append(decision)
        for seq, p, paid in zip(decision.trials, decision.adjusted, decision.paid, strict=True):
            self.decided[seq] = (p, decision.level, paid)

    def judgement(self, trial: KeptTrial) -> Judgement:
        """Judgement of a trial in this ledger."""
        if not trial.tested:
            reason = trial.body["reason"] or "no placebo was asked for"
            return Judgement(trial, math.nan, math.nan, math.nan, math.nan, 0, 0, 0, reason=reason)
        groups = self.neighbours(trial.scope)
        families = {one.common for one in groups}
        trials = sum(one.trials for one in groups)
        blind = self.blind(trial.scope)
        p, command = (_number(trial.body[name]) for name in ("p", "command"))
        # p counts ties of float64, the family those of float32: whichever is greater is the safe one.
        family = max(self.family(trial.common, trial.scope).p[trial.seq], p)
        adjusted = min(1.0, len(families) * family + blind * p)
        registration, note = self._registered(trial, groups)
        registered = self._registered_tests(trial) if registration else 0
        decided, level, paid = self.decided.get(trial.seq, (math.nan, math.nan, 0))
        if registration:
            adjusted = min(1.0, registered * p)
            decided, level, paid = adjusted, LEVEL, registered
        return Judgement(
            trial, p, command, family, adjusted, trials, len(families), blind, registration, note, registered,
            decided, level, paid,
        )  # fmt: skip

    def family(self, common: str, scope: str) -> Family:
        """The trials moved by some draws that overlap a scope."""
        mine = sorted(one.scope for one in self.neighbours(scope) if one.common == common)
        return self.worked_out(common, tuple(mine))

    def _neighbours(self, scope: str) -> tuple[TrialGroup, ...]:
        own = self.scopes[scope]
        return tuple(one for one in self.groups if self.scopes[one.scope].overlaps(own))

    def _blind(self, scope: str) -> int:
        own = self.scopes[scope]
        return len({one.body["what"] for one in self.untested if self.scopes[one.scope].overlaps(own)})

    def _worked_out(self, common: str, scopes: tuple[str, ...]) -> Family:
        places = self.ledger.ranking(common, scopes)
        found = step_down(self.ledger.blocks(common, scopes))
        return Family(dict(zip(places, found.p.tolist(), strict=True)), found.most)

    def _registered(self, trial: KeptTrial, groups: Iterable[TrialGroup]) -> tuple[Registration | None, str]:
        """The registration that counts for a trial, or why an existing one does not."""
        asked = trial.body["asked"]
        found = next((one for one in self.registrations if asked and one.asked == asked), None)
        if found is None:
            return None, ""
        own = self.scopes[trial.scope]
        looked = [one.first for one in groups]
        looked += [one.seq for one in self.untested if self.scopes[one.scope].overlaps(own)]
        if min(looked) > found.seq:
            return found, ""
        return (
            None,
            f"registered as #{found.seq}, after #{min(looked)} had looked at these catalysts: it is adjusted for all",
        )

    def _registered_tests(self, trial: KeptTrial) -> int:
        """Registered tests on these catalysts, including those not run yet, since they may still be run."""
        own = self.scopes[trial.scope]
        ran = self.ledger.scopes_asked([one.asked for one in self.registrations])
        elsewhere = {
            asked for asked, scopes in ran.items() if scopes and not any(self.scopes[s].overlaps(own) for s in scopes)
        }
        return sum(one.asked not in elsewhere for one in self.registrations)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def known(ledger: Ledger, number: int) -> KeptTrial:
    """The trial of a number; another raises `UsageError`."""
    found = ledger.trials([number])
    if not found:
        raise UsageError(f"#{number} is not a trial of {ledger.path}: `backtest ledger list` shows them")
    return found[0]


def leading(judgements: Sequence[Judgement], most: int) -> list[Judgement]:
    """At most so many, smallest adjusted p first, those without p last, ties in order of writing."""

    def order(one: Judgement) -> tuple[bool, float, float, int]:
        untested = math.isnan(one.adjusted)
        return (untested, 0.0 if untested else one.adjusted, 0.0 if untested else one.p, one.trial.seq)

    return sorted(judgements, key=order)[:most]
