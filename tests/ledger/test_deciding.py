"""Verdicts are decided once, never withdrawn, and paid out of one 5 % whatever comes later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backtest.ledger.deciding import decide_trials, level_left
from backtest.ledger.judgement import LEVEL, LedgerView, judge_trials
from backtest.ledger.records import TrialRecord
from backtest.ledger.store import Ledger
from backtest.ledger.verification import verify_ledger
from tests.ledger.ledgers import blind, family, made

STEPS = np.arange(199.0)


def best(above: int, name: str, **values: object) -> TrialRecord:
    """A trial whose observed statistic `above` of 199 draws reach."""
    return made(198.5 - above, STEPS, name=name, **values)  # type: ignore[arg-type]


def test_levels_by_hand(tmp_path: Path) -> None:
    """200 calendars, of which 10 are 5 %: 5 are used up first, then 2, then 1, then 1, and then none is left."""
    chance = np.random.default_rng(3)
    with Ledger(tmp_path / "l") as ledger:
        levels, left = [], []
        for number in range(6):
            draws = chance.permutation(STEPS) * (1.0 + 1e-6 * number)
            (one,) = decide_trials(ledger, ledger.append([made(-1.0, draws, name=f"t{number}")]))
            assert not one.passes
            levels.append(round(one.level * 200, 6))
            left.append(round(level_left(LedgerView(ledger), one.trial.scope) * 200))
        assert levels[0] == 5.0
        assert left[0] == 5
        assert levels[1] == 2.5
        assert left == sorted(left, reverse=True)
        assert min(left) >= 0
        used = {place for one in ledger.decisions() for place in one.calendars}
        assert len(used) == 10 - left[-1]


def test_a_first_command_has_half_of_the_level(tmp_path: Path) -> None:
    """Four draws and the real calendar are 5 of 200; five and the real one are 6."""
    for above, passes in ((4, True), (5, False)):
        with Ledger(tmp_path / str(above)) as ledger:
            (one,) = decide_trials(ledger, ledger.append([best(above, "one")]))
            assert (one.decided, one.level) == (pytest.approx((above + 1) / 200), 0.025)
            assert one.passes == passes


def test_the_same_trial_in_other_words_uses_up_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        (first,) = decide_trials(ledger, ledger.append([best(50, "one")]))
        left = level_left(LedgerView(ledger), first.trial.scope)
        decide_trials(ledger, ledger.append([best(50, "its copy")]))
        assert level_left(LedgerView(ledger), first.trial.scope) == left


def test_a_verdict_is_never_withdrawn_and_is_the_same_beside_others(tmp_path: Path) -> None:
    observed, draws = family(60, 199, 4)
    crowd = [made(value, row) for value, row in zip(observed, draws, strict=True)]
    winner = best(0, "winner")
    with Ledger(tmp_path / "l") as ledger:
        (first,) = decide_trials(ledger, ledger.append([winner]))
        assert first.passes
        decide_trials(ledger, ledger.append(crowd))
        again = decide_trials(ledger, ledger.append([crowd[3], winner]))[1]
        assert again.adjusted > first.adjusted
        assert (again.decided, again.level, again.passes) == (first.decided, first.level, True)
        assert len(ledger.decisions()) == 2
        assert verify_ledger(ledger).faults == ()


def test_a_registered_test_has_the_whole_level_and_uses_up_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.register("it rises", "mine", "asked", {})
        (one,) = decide_trials(ledger, ledger.append([best(8, "mine", asked="asked")]))
        assert (one.decided, one.level, one.passes) == (pytest.approx(0.045), LEVEL, True)
        assert ledger.decisions() == ()


def test_other_families_and_trials_without_placebos_are_paid_for(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        decide_trials(ledger, ledger.append([best(50, "one")]))
        ledger.append([blind("seen")])
        (other,) = decide_trials(ledger, ledger.append([best(0, "other", common="dates b")]))
        assert other.level == pytest.approx((LEVEL - 5 / 200) / 2)
        # Two families and one untested trial: (2 + 1) / 200, and more than 2.5 / 200 does not pass.
        assert other.decided == pytest.approx(3 / 200)
        assert not other.passes
        # Half of its share of the level: one calendar of 200.
        assert len(ledger.decisions()[-1].calendars) == 1


def test_null_workspaces_ever_tell_of_one_in_twenty_at_most(tmp_path: Path) -> None:
    """A small lock of `benchmarks/ledger.py`: 60 workspaces, 60 null trials in 12 commands, verdicts read each time."""
    ever = drifting = 0
    used = []
    for seed in range(60):
        observed, draws = family(60, 199, 5_000 + seed, shared=0.1)
        tried = [made(value, row) for value, row in zip(observed, draws, strict=True)]
        with Ledger(tmp_path / str(seed)) as ledger:
            ledger._connection.execute("PRAGMA synchronous = OFF")
            found = [decide_trials(ledger, ledger.append(tried[first : first + 5])) for first in range(0, 60, 5)]
            final = judge_trials(ledger)
            used.append(len({place for one in ledger.decisions() for place in one.calendars}) / 200)
        ever += any(one.passes for command in found for one in command)
        drifting += any(one.adjusted <= LEVEL for command in found for one in command)
        assert all(one.adjusted >= one.decided - 1e-12 for one in final)
    # By construction, and the share that it must come to.
    assert max(used) <= LEVEL
    assert ever <= 7  # of 60 at 4 % or so; more has a chance of 0.5 %
    assert drifting >= ever + 2
