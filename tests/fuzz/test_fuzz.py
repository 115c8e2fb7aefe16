"""Some hundred hostile cases a parser: each is read, or refused in one sentence; `make fuzz` runs ten thousand."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from backtest.base.errors import BacktestError, DataError
from tests.fuzz.harness import Target, hunt
from tests.fuzz.targets import TARGETS

CASES = 200


@pytest.mark.parametrize("target", TARGETS, ids=lambda one: one.name)
def test_every_case_is_read_or_refused_in_one_sentence(
    target: Target, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # What is made once for all cases, the compiled kernel among it, is no case's time.
    with suppress(BacktestError):
        target.read(tmp_path_factory.mktemp("first"), Random(0))
    outcome = hunt(target, tmp_path, CASES, seed=7)
    assert outcome.faults == []
    assert outcome.cases == outcome.valid + outcome.errors == CASES
    assert outcome.errors > 0, "nothing hostile was made"


def test_the_harness_finds_what_it_is_there_for(tmp_path: Path) -> None:
    """Planted: a raw exception, a message of two lines' worth, and one that does not name its file."""

    def planted(folder: Path, random: Random) -> None:
        deed = random.randrange(4)
        if deed == 0:
            raise KeyError("raw")
        if deed == 1:
            raise DataError("case.toml is wrong: " + "x" * 2_000)
        if deed == 2:
            raise DataError("something, somewhere, is not right")

    outcome = hunt(Target("planted", planted, "case.toml"), tmp_path, 100, seed=1)
    assert 0 < outcome.valid < 100
    assert len(outcome.faults) == 100 - outcome.valid
    for part in ("KeyError: \"'raw'\"", "message of 2020 characters", "message does not name case.toml"):
        assert any(part in fault for fault in outcome.faults)
