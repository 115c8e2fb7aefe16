"""The benchmark compares engines that compute the same thing; no time is asserted here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import agreement
from benchmarks.agreement import agreements
from benchmarks.engines import ENGINES, OURS
from benchmarks.process import Job, measure
from benchmarks.table import WIDTH, table

ROOT = Path(__file__).parents[1]


@pytest.mark.filterwarnings("ignore")
def test_every_engine_agrees_trade_by_trade() -> None:
    found = agreements(3, 720)
    assert [one.engine for one in found] == list(ENGINES)
    for one in found:
        assert one.trades > 10
        assert one.holds, one


def test_a_difference_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "TOLERANCE", -1.0)
    assert not agreements(2, 720, (OURS,))[0].holds
    assert agreement._furthest(np.array([1.0, np.nan]), np.array([1.0, 2.0])) == np.inf
    assert agreement._furthest(np.array([1.0, np.nan]), np.array([1.5, np.nan])) == 0.5


def test_an_engine_is_measured_in_a_process_of_its_own() -> None:
    job = Job(OURS, 10, 720)
    (one,) = measure([job], 2)
    assert one.job == job
    assert one.seconds > 0
    assert one.megabytes > 50


def test_sections_are_named_in_the_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "replay,growth,sweep,startup,data" in done.stdout


def test_a_table_stays_within_its_width() -> None:
    text = table("Title", ("engine", "ms"), [("a", "1"), ("longer", "1,000")], ("A note.",))
    assert text.splitlines()[1:] == [
        "Title", "=====", "engine     ms", "------  -----", "a           1", "longer  1,000", "A note.",
    ]  # fmt: skip
    with pytest.raises(AssertionError, match="wider than 80"):
        table("Title", ("engine",), [("x" * (WIDTH + 1),)])
