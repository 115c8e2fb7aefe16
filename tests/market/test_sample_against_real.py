"""The page that sets the sample against real hours, held to the bars where they are present."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtest.base.errors import UsageError
from backtest.market.dataset import default_dataset, open_dataset
from tools.sample_against_real import CARD, PAGE, REASONS, Pair, markets, pairs, short_table, table, written


@pytest.fixture(scope="module")
def found(shared: Path) -> tuple[Pair, ...]:
    return pairs(*markets(shared))


def test_the_page_and_the_data_card_are_what_the_bars_say(found: tuple[Pair, ...]) -> None:
    for path, text in ((PAGE, table(found)), (CARD, short_table(found))):
        page = path.read_text(encoding="utf-8")
        assert text.count("\n") > len(found)
        assert written(page, text) == page
        assert text in page
    apart = sum(bool(one.differs) for one in found)
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    assert f"{apart} of {len(found)} differ in the sign of net or the verdict" in " ".join(readme.split())
    said = open_dataset(default_dataset()).provenance.held_against
    assert f"{apart} of {len(found)} strategies differ in the sign of net or the verdict" in said
    assert said.partition(": ")[2].partition(" (")[0] == ", ".join(one.strategy for one in found if one.differs)


def test_signs_verdicts_and_trades_by_days_are_the_same_or_have_a_reason(found: tuple[Pair, ...]) -> None:
    assert {one.strategy for one in found if one.differs} == set(REASONS)
    # Trades that enter and leave at days differ nowhere.
    assert sum(len(one.by_days) for one in found) > 30
    assert not any({"before", "captured"} & set(one.differs) for one in found)


def test_each_promise_can_be_broken() -> None:
    scores = {"net_return": 0.1}
    kept = Pair("one", scores, {"net_return": 0.2}, ("chance", "chance"), np.array([[0.1, 0.2, 0.12, 0.18]]))
    assert kept.differs == ()
    assert replace(kept, real={"net_return": -0.1}).differs == ("sign of net",)
    assert replace(kept, verdicts=("chance", "beats placebo")).differs == ("verdict",)
    assert replace(kept, by_days=np.array([[0.1, 0.2, 0.14, 0.18]])).differs == ("before",)
    assert replace(kept, by_days=np.array([[0.1, 0.2, 0.1, 0.24]])).differs == ("captured",)


def test_without_real_bars_it_says_where_they_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist: name the folder of real bars by BACKTEST_SHARED"):
        markets(tmp_path)
