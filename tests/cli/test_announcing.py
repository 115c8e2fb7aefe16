"""What a command will take is said before it, only where it matters, and what cannot fit is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest

from backtest.base import estimate as model
from backtest.base.errors import UsageError
from backtest.base.estimate import FACTOR, MEMORY_OFF, MODELS, Estimate, Workload, estimate, slowness
from backtest.cli.announcing import announce
from backtest.engine import prepared, room
from backtest.engine.layout import PANEL_WIDTH
from backtest.scoring import block_length
from backtest.study import placebo

SAMPLE = Workload(2_592, 13, 30, 15, 10_000, 1_000)
MINUTES = Workload(1_500_000, 3, 20, 1, 10_000, 1_000)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """16 GB, as fast as the one that was measured."""
    monkeypatch.setattr(room, "machine_bytes", lambda: 16_000_000_000)
    monkeypatch.setattr("backtest.cli.announcing.slowness", lambda: 1.0)
    return


@pytest.mark.parametrize("verb", list(MODELS))
def test_more_work_never_takes_less(verb: str) -> None:
    small = Workload(3_000, 3, 20, 1, 100, 100, 2, 5, 400, 100)
    more = {name: 2 * value for name, value in asdict(small).items() if name != "equity"} | {"equity": "csv"}
    for name, value in more.items():
        larger = replace(small, **{name: value})
        assert estimate(verb, larger).seconds >= estimate(verb, small).seconds
        assert estimate(verb, larger).bytes >= estimate(verb, small).bytes


MEASURED = [
    ("run", Workload(2_880, 3, 20, 1, 1_000, 200), 0.16, 337),
    ("run", Workload(20_160, 2, 20, 1, 200, 200), 0.46, 373),
    ("run", Workload(20_160, 8, 60, 2, 1_000, 100), 1.01, 409),
    ("run", Workload(12_960, 3, 200, 1, 5_000, 0), 1.14, 330),
    ("run", Workload(144_000, 2, 20, 1, 100, 200), 2.07, 390),
    ("run", Workload(288_000, 3, 20, 1, 100, 0), 1.13, 539),
    ("run", Workload(60_480, 6, 100, 2, 1_000, 300), 3.85, 532),
    ("run", Workload(262_080, 10, 60, 1, 500, 200), 5.43, 671),
    ("run", Workload(1_036_800, 3, 20, 1, 1_000, 200), 6.26, 783),
    ("run", Workload(43_200, 5, 50, 1, 3_000, 300), 1.48, 424),
    ("run", Workload(720_000, 5, 40, 1, 2_000, 500), 10.13, 821),
    ("study", Workload(5_760, 3, 10, draws=3, window=2_260, event=376), 0.32, 254),
    ("study", Workload(20_160, 3, 200, draws=13, window=2_260, event=376), 1.26, 292),
    ("study", Workload(12_960, 6, 600, draws=8, window=1_130, event=188), 1.69, 315),
    ("study", Workload(43_200, 3, 300, draws=29, window=9_000, event=1_500), 3.34, 359),
    ("study", Workload(86_400, 3, 100, draws=59, window=9_000, event=1_500), 2.79, 347),
    ("study", Workload(43_200, 3, 600, draws=2, window=13_000, event=1_500), 10.2, 434),
    ("study", Workload(43_200, 3, 1_500, draws=29, window=1_130, event=188), 2.71, 353),
    ("study", Workload(259_200, 3, 400, draws=150, window=13_000, event=3_000), 17.3, 582),
    ("study", Workload(64_800, 4, 800, draws=44, window=6_000, event=900), 8.24, 433),
    ("study", Workload(28_800, 4, 200, draws=19, window=1_500, event=250), 1.38, 289),
    ("sweep", Workload(2_880, 3, 20, draws=500, trials=10), 0.19, 298),
    ("sweep", Workload(30_240, 3, 20, draws=100, trials=20), 0.29, 332),
    ("sweep", Workload(5_760, 6, 100, draws=1_000, trials=20), 1.04, 309),
    ("sweep", Workload(60_480, 3, 60, draws=500, trials=15), 0.73, 360),
    ("sweep", Workload(20_160, 4, 50, draws=300, trials=12), 0.56, 314),
    ("sweep", Workload(129_600, 3, 40, draws=400, trials=30), 1.93, 508),
    ("audit", Workload(2_880, 3, 20, cuts=10), 0.77, 228),
    ("audit", Workload(30_240, 3, 20, cuts=10), 1.58, 249),
    ("audit", Workload(30_240, 3, 20, cuts=40), 2.95, 249),
    ("audit", Workload(60_480, 6, 40, cuts=20), 6.36, 314),
    ("audit", Workload(288_000, 3, 20, cuts=12), 4.53, 440),
    ("audit", Workload(144_000, 6, 20, cuts=20), 6.05, 435),
    ("audit", Workload(10_080, 3, 200, cuts=20), 5.81, 233),
    ("audit", Workload(14_400, 4, 30, cuts=15), 1.06, 241),
    ("audit", Workload(432_000, 3, 20, cuts=24), 9.82, 546),
]
"""CPU seconds and megabytes that `python -m benchmarks.planner` measured, of the sizes that were not fitted too."""


@pytest.mark.parametrize(("verb", "work", "seconds", "megabytes"), MEASURED)
def test_what_was_measured_is_within_the_stated_factor(
    verb: str, work: Workload, seconds: float, megabytes: float
) -> None:
    found = estimate(verb, work)
    assert seconds / FACTOR < found.seconds < seconds * FACTOR
    assert found.bytes == pytest.approx(megabytes * 1e6, rel=MEMORY_OFF)


def test_sizes_from_which_another_method_is_used_are_those_of_the_methods() -> None:
    assert (model.LONG_BARS, model.ROWS) == (block_length.LONG, placebo._ROWS)
    assert prepared.TOGETHER == model.TOGETHER
    assert abs(8 * PANEL_WIDTH * model.TOGETHER / room.MAPPED_BYTES - 1.0) < 0.05


def test_a_run_of_the_sample_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    told = announce("run", SAMPLE)
    assert 1.0 < told.seconds < 10.0
    assert capsys.readouterr() == ("", "")


def test_long_work_is_told_in_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    announce("run", MINUTES)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("run: about ")
    assert "for 1,500,000 bars x 3 coins, 20 catalysts; " in err
    assert err.endswith("; intervals from sums over blocks, if these have 64 bars or more\n")
    assert err.count("\n") == 1


def test_a_slow_machine_is_told_more(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backtest.cli.announcing.slowness", lambda: 100.0)
    assert announce("run", SAMPLE).seconds == pytest.approx(100.0 * estimate("run", SAMPLE).seconds)
    assert "run: about " in capsys.readouterr().err


def test_a_quarter_of_the_memory_is_told_however_fast(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Workload(2_592, 13, 5, draws=50, window=500, event=100)
    monkeypatch.setattr(room, "machine_bytes", lambda: int(3 * estimate("study", small).bytes))
    announce("study", small)
    assert "of memory, for 2,592 bars x 13 coins, 5 catalysts" in capsys.readouterr().err


def test_what_cannot_fit_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "machine_bytes", lambda: 100_000_000)
    with pytest.raises(UsageError, match=r"study of 2,592 bars x 13 coins, 30 catalysts needs .* 0\.1 GB .*`draws`"):
        announce("study", Workload(2_592, 13, 30, draws=50, window=500, event=100))
    monkeypatch.setattr(room, "machine_bytes", lambda: None)
    announce("study", Workload(2_592, 13, 30, draws=50, window=500, event=100))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Estimate(0.2, 2.1e8), "about 1 s of one core and 300 MB of memory"),
        (Estimate(47.0, 9.99e8), "about 50 s of one core and 1000 MB of memory"),
        (Estimate(600.0, 3.21e9), "about 10 min of one core and 3.2 GB of memory"),
        (Estimate(9_000.0, 3.21e9), "about 2.5 h of one core and 3.2 GB of memory"),
    ],
)
def test_an_estimate_is_said_no_finer_than_it_is_known(found: Estimate, text: str) -> None:
    assert found.text == text


def test_what_a_command_does_besides_is_added() -> None:
    one, other = Estimate(3.0, 5e8), Estimate(4.0, 2e8)
    assert one + other == Estimate(7.0, 5e8)


def test_the_machine_is_measured_by_a_fixed_piece_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert model.small_work() == model.small_work()
    times = iter((0.0, 0.3, 1.0, 1.2, 2.0, 2.4))
    monkeypatch.setattr(model.time, "process_time", lambda: next(times))
    assert slowness() == pytest.approx(0.2 / model.REFERENCE_S)
