"""Sentences about a search: each part defined, undefined with its reason, or not asked for; and money in short."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from backtest.report.score_tables import money, sweep_lines


def result(**parts: Any) -> Any:
    return SimpleNamespace(**({"placebos": (), "deflated": None, "overfitting": None, "superior": None} | parts))


def test_what_was_not_asked_for_is_not_told() -> None:
    assert sweep_lines(result(placebos=(None, None))) == []


def test_what_is_undefined_is_told_with_its_reason() -> None:
    lost = SimpleNamespace(reason="too few bars")
    skipped = (SimpleNamespace(reason="it has no events to move"), SimpleNamespace(reason="nothing was traded"), None)
    assert sweep_lines(result(placebos=skipped, deflated=lost, overfitting=lost, superior=lost)) == [
        "2 trials without a p, the first because it has no events to move",
        "deflated Sharpe ratio: undefined, too few bars",
        "probability of backtest overfitting: undefined, too few bars",
        "superior predictive ability: undefined, too few bars",
    ]


def test_what_is_defined_is_told_in_figures() -> None:
    tested = tuple(SimpleNamespace(reason="", p=p, adjusted=4 * p, n=1_000, kind="dates") for p in (0.01, 0.04, 0.5))
    superior = SimpleNamespace(reason="", p_consistent=0.04, p_lower=0.0004, p_upper=0.06, superior=(2,), trials=3)
    assert sweep_lines(result(placebos=tested, superior=superior)) == [
        "placebo: 2 of 3 trials have p <= 0.05 alone, 1 adjusted for multiple testing "
        "(1,000 calendars of random dates)",
        "superior predictive ability over holding nothing: p 0.040 (bounds <0.001 to 0.060), StepM keeps 1 trial of 3",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(950.0, "950"), (10_000.0, "10k"), (999_700.0, "1M"), (3_162_277.0, "3.16M"), (1e8, "100M")]
)
def test_money_is_short(value: float, text: str) -> None:
    assert money(value) == text
