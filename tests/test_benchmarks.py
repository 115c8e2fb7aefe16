"""The benchmark compares engines that compute the same thing; no time is asserted here."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from benchmarks import agreement, calibration, held, sections
from benchmarks.agreement import agreements, answers
from benchmarks.engines import ENGINES, FOREIGN, OURS, engine
from benchmarks.engines.plain_numpy import PlainNumpy
from benchmarks.process import Job, Whole, interpreter, measure, side_by_side
from benchmarks.scale import DAY_BARS, FITTED, Cost, Model, Size, expected, fit
from benchmarks.scale import measure as measure_size
from benchmarks.table import WIDTH, table
from benchmarks.workload import Workload, workload

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


def test_a_foreign_engine_runs_where_it_is_and_else_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another Python stands in for one that has nautilus_trader: it is asked, and what it answers is read."""
    one = FOREIGN["nautilus_trader"]
    monkeypatch.delenv(one.variable, raising=False)
    assert one.python is None
    assert "nautilus_trader==" in one.how
    assert one.variable in one.how
    monkeypatch.setenv(one.variable, sys.executable)
    assert interpreter("nautilus_trader") == sys.executable
    scores, trades = answers(OURS, 2, 720, sys.executable)
    expected = engine(OURS, workload(2, 720))
    np.testing.assert_array_equal(scores.net_return, expected.scores().net_return)
    np.testing.assert_array_equal(trades.rows, expected.trades().rows)


def test_the_bound_by_hand() -> None:
    """One catalyst: in at 100, the target 10 % above is reached in the bar after; 5 bp on each side."""
    opens = np.array([100.0, 100.0, 100.0, 104.0, 111.0, 111.0])
    close = np.array([100.0, 100.0, 104.0, 111.0, 111.0, 111.0])
    work = Workload(
        opens, np.maximum(opens, close), np.minimum(opens, close), close,
        np.array([False, False, True, True, True, False]), np.array([2]), np.array([0], np.int32),
    )  # fmt: skip
    bound = PlainNumpy(work)
    assert bound.trades().rows.tolist() == [[0, 2, 3]]
    assert bound.trades().prices.tolist() == [[100.0, pytest.approx(110.0)]]
    assert bound.scores().net_return[0] == pytest.approx(1.1 * (1 - 0.0005) / (1 + 0.0005) - 1.0, abs=1e-12)
    assert bound.held() == 2.0


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
    assert "replay,growth,held,sweep,startup,verbs,session,studies,data,scale" in done.stdout


def test_commands_are_measured_beside_each_other() -> None:
    slow, quick = side_by_side([[sys.executable, "-c", f"import time; time.sleep({nap})"] for nap in (0.2, 0.0)], 1)
    # No upper bound of the quick one either: on a busy machine its start may take longer than the nap of the other.
    assert slow.seconds >= 0.2
    assert quick.seconds > 0
    # No upper bound: a child begins with what its parent held, and a worker of the tests may hold a gigabyte.
    assert quick.megabytes > 1


@pytest.mark.parametrize("name", ["startup", "verbs"])
def test_tables_of_commands_fit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Whole(123.456, 1_234.5, 120.0)
    monkeypatch.setattr(sections, "side_by_side", lambda commands, repeats: [taken] * len(commands))
    monkeypatch.setattr(sections, "once", lambda command, folder: taken)
    (text,) = sections.SECTIONS[name](True)
    assert text.count("123.46") >= 12


def test_the_cost_model_finds_what_was_planted() -> None:
    planted = Model(3e-8, 1.2, 2e-6, 5e-9, 2e-9, 2e8, 180.0)
    found = fit(FITTED, [planted.cost(size, expected(size)) for size in FITTED])
    assert astuple(found) == pytest.approx(astuple(planted), rel=1e-6)


def test_a_size_costs_what_it_counts() -> None:
    size = Size(12, 2, 30, 3)
    cost = measure_size(size, 1)
    hold = size.hold_hours * 60
    assert cost.entries == 90
    assert 0 < cost.walked <= size.bars * size.draws
    assert cost.walked <= cost.held <= expected(size).held == 90 * hold
    assert expected(Size(2, 1, 5, 1)).walked == 2 * DAY_BARS
    assert isinstance(cost, Cost)


def test_a_table_stays_within_its_width() -> None:
    text = table("Title", ("engine", "ms"), [("a", "1"), ("longer", "1,000")], ("A note.",))
    assert text.splitlines()[1:] == [
        "Title", "=====", "engine     ms", "------  -----", "a           1", "longer  1,000", "A note.",
    ]  # fmt: skip
    with pytest.raises(AssertionError, match="wider than 80"):
        table("Title", ("engine",), [("x" * (WIDTH + 1),)])


def test_the_calibration_goes_on_where_it_was_and_is_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two markets of two cells: stopped in the middle of a line, it ends with the records of a run that was not."""
    monkeypatch.setattr(calibration, "DESIGNS", {name: calibration.DESIGNS[name] for name in ("uniform", "few (5)")})
    monkeypatch.setattr(calibration, "POWER", {"5 x +10%": (5, 0.1)})
    whole, part = tmp_path / "whole", tmp_path / "part"
    calibration.simulate(whole, 2, 1)
    lines = whole.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    part.write_text(lines[0] + lines[1])
    calibration.simulate(part, 2, 1)
    assert part.read_text() == whole.read_text()
    part.write_text(lines[0] + lines[1][:40])
    assert calibration.read(part) == calibration.read(whole)[:1]
    p = [value for row in calibration.read(whole) for value in row["p"].values() if value is not None]
    assert len(p) > 60
    assert all(0 < value <= 1 for value in p)


def test_the_calibration_names_what_departs() -> None:
    """100 markets: 5 and 9 rejections are a test at 5 %, 12 are not; cells with fewer than 20 say nothing."""

    def rows(cell: str, rejected: int, markets: int = 100) -> list[dict[str, object]]:
        p = [0.01] * rejected + [0.5] * (markets - rejected)
        return [
            {"cell": cell, "market": m, "p": dict.fromkeys(("`shift`", *calibration.POWER_TESTS), value)}
            for m, value in enumerate(p)
        ]

    counts = dict(zip(calibration.DESIGNS, (5, 9, 12, *[5] * 7), strict=True))
    records = [row for cell, count in counts.items() for row in rows(cell, count)]
    told = calibration.page(records + [row for cell in calibration.POWER for row in rows(cell, 5, 19)])
    (line,) = [line for line in told.splitlines() if line.startswith("| `shift` | 5.0 | 9.0 | **12.0** | 5.0")]
    assert line.count("**") == 2
    assert "Headlines whose share is not that of a test at 5 %: `shift`, shared dates 12.0 %;" in told
    assert told.splitlines()[-1].count(" - ") == len(calibration.POWER)


def test_positions_that_are_held_long_are_replayed_to_the_same_bits() -> None:
    bars, *_ = held.measured(10)
    assert bars == "14,400"
