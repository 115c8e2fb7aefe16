"""The strategies of this project do on the sample what their baselines say."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.baseline import baseline_path, baseline_text, read_baseline
from backtest.cli.baseline import baseline_files, check_file
from strategies import REGISTRY

FOLDER = Path(__file__).parents[1] / "baselines"


def test_every_registered_strategy_has_one_and_no_other_is_there() -> None:
    found = baseline_files([FOLDER])
    assert {path.relative_to(FOLDER).as_posix() for path in found} == {
        f"privacy-2025-sample/{name}.json" for name in REGISTRY
    }


@pytest.mark.parametrize("name", REGISTRY)
def test_a_strategy_does_what_its_baseline_says(name: str) -> None:
    path = FOLDER / "privacy-2025-sample" / f"{name}.json"
    baseline = read_baseline(path)
    assert baseline_path(FOLDER, baseline) == path
    assert baseline_text(baseline) == path.read_text(encoding="utf-8")
    assert baseline.data.label == "RECONSTRUCTED"
    assert baseline.trades.count > 0
    comparison = check_file(path)
    assert comparison.passed, comparison.sentences
