"""The strategies of this project do on the sample what their baselines say."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.baseline import baseline_files, baseline_path, baseline_text, check_baseline, read_baseline
from backtest.strategies import REGISTRY

FOLDER = Path(__file__).parents[1] / "baselines"
SAMPLE = "privacy-2025-sample"
IDLE = {
    f"levered/{SAMPLE}/funding_carry.json": (" liquidation ", " group "),
    f"levered/{SAMPLE}/random_entry.json": (" liquidation ", " time "),
    f"patient/{SAMPLE}/catalyst_momentum.json": (" take_profit ", " trailing_stop ", '"EXTENDED"', '"NO_BAR"'),
    f"tight/{SAMPLE}/influencer_fade.json": (" take_profit ", " trailing_stop "),
}
"""Baselines under other settings, and what they hold of the rules that the defaults leave idle."""
WITHOUT_ITS_SERIES = "accumulation"
"""It reads flows into exchanges, which the sample does not hold, and trades nothing on it."""
FILES = (*(f"{SAMPLE}/{name}.json" for name in REGISTRY), *IDLE)


def test_every_registered_strategy_has_one_and_no_other_is_there() -> None:
    assert {path.relative_to(FOLDER).as_posix() for path in baseline_files([FOLDER])} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_strategy_does_what_its_baseline_says(file: str) -> None:
    path = FOLDER / file
    baseline = read_baseline(path)
    assert baseline_path(path.parents[1], baseline) == path
    assert baseline_text(baseline) == path.read_text(encoding="utf-8")
    assert baseline.data.label == "RECONSTRUCTED"
    assert (baseline.trades.count == 0) == (baseline.strategy.name == WITHOUT_ITS_SERIES)
    comparison = check_baseline(path)
    assert comparison.passed, comparison.sentences


@pytest.mark.parametrize(("file", "texts"), IDLE.items())
def test_what_the_defaults_leave_idle_is_exercised(file: str, texts: tuple[str, ...]) -> None:
    text = (FOLDER / file).read_text(encoding="utf-8")
    assert all(one in text for one in texts)
