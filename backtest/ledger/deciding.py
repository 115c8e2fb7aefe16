"""Verdicts that are never withdrawn: each is decided once, when its trial is new, and all of them share one 5 %.

p adjusted for everything up to now grows with the ledger, so a verdict based on it alone would be right at any one
moment but, read after every command, wrong far more often than 5 %. Instead each command may use half of what is left
of the 5 %. Of the B + 1 calendars of a family, the real one among them, those on which any trial up to now stands out
as much as a verdict would require are *used up*: had one of them been the real calendar, a search like this one would
have reported something by now. They are found without asking which calendar is the real one, so if there is no effect
the real one is among them with probability (used up) / (B + 1), and their number never passes 5 %. Trials that resemble
earlier ones use up few new calendars, and what they leave is kept for later.

Levels of families with other draws add up (Bonferroni). A registered test has its own level and uses up nothing.
Alpha spending: Lan and DeMets, Biometrika 70 (1983), 659-663; the maximum statistic: Westfall and Young (1993).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backtest.base.arguments import checked
from backtest.ledger.judgement import LEVEL, Judgement, LedgerView
from backtest.ledger.records import Decision
from backtest.ledger.store import Ledger

SHARE = 0.5
"""Of what is left, how much one command may use."""


@checked
def decide_trials(ledger: Ledger, seqs: Sequence[int]) -> tuple[Judgement, ...]:
    """Judgement of the trials of a command; undecided ones are decided, and the decisions written to disk."""
    with ledger.writing():
        view = LedgerView(ledger)
        groups: dict[tuple[str, str], list[Judgement]] = {}
        for trial in ledger.trials(sorted({seq for seq in seqs if seq not in view.decided})):
            one = view.judgement(trial)
            if trial.tested and one.registration is None:
                groups.setdefault((trial.common, trial.scope), []).append(one)
        for (common, scope), members in groups.items():
            made = _decided(view, common, scope, members)
            ledger.add_decision(made)
            view.add(made)
        return tuple(view.judgement(trial) for trial in ledger.trials(seqs))


def _decided(view: LedgerView, common: str, scope: str, members: Sequence[Judgement]) -> Decision:
    family = view.family(common, scope)
    count = len(family.most)
    level = SHARE * max(level_left(view, scope), 0.0)
    families = len({one.common for one in view.neighbours(scope)})
    most = int(level / families * count + 1e-9)
    used = family.most > np.partition(family.most, -1 - most)[-1 - most]
    return Decision(
        common,
        scope,
        tuple(one.trial.seq for one in members),
        tuple(one.adjusted for one in members),
        tuple(one.trials + one.untested for one in members),
        level,
        tuple(int(place) for place in np.flatnonzero(used)),
        count,
    )


def level_left(view: LedgerView, scope: str) -> float:
    """What is left of the 5 % for trials on a scope."""
    used: dict[str, set[int]] = {}
    counts: dict[str, int] = {}
    for one in view.decisions:
        if view.scopes[one.scope].overlaps(view.scopes[scope]):
            used.setdefault(one.common, set()).update(one.calendars)
            counts[one.common] = one.count
    return LEVEL - sum(len(calendars) / counts[common] for common, calendars in used.items())
