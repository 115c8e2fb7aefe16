"""What a notebook may get wrong: arguments swapped, of another type, or misspelt, each answered in one sentence."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import backtest as b
from backtest.base.arguments import checked
from backtest.strategies import REGISTRY

HOLDING = REGISTRY["buy_and_hold"]
MARKET = b.open_dataset("privacy-2025-sample")
CALENDAR = b.open_calendar("privacy-2025")
CONFIG = b.RunConfig()
SESSION = b.Session(MARKET, CALENDAR, CONFIG)
INTENTS = HOLDING().decide(MARKET, CALENDAR)

WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "a session with its arguments swapped": (lambda: b.Session(CALENDAR, MARKET), "market is of type Calendar"),  # type: ignore[arg-type]
    "a session of a name": (lambda: b.Session("privacy-2025-sample"), "market is of type str, 'privacy-2025-sample': "),  # type: ignore[arg-type]
    "settings as a dictionary": (lambda: b.Session(MARKET, CALENDAR, {}), "give RunConfig or None"),  # type: ignore[arg-type]
    "a class of strategies": (lambda: SESSION.replay(HOLDING), "is the class BuyAndHold, not an instance of it: give "),  # type: ignore[arg-type]
    "a strategy by its name": (lambda: SESSION.replay("buy_and_hold"), "decided is of type str"),  # type: ignore[arg-type]
    "one strategy for several": (lambda: SESSION.evaluate(HOLDING()), "strategies is of type BuyAndHold"),  # type: ignore[arg-type]
    "a class among strategies": (lambda: SESSION.evaluate([HOLDING]), r"strategies\[0\] is the class BuyAndHold"),  # type: ignore[list-item]
    "a number for a plan": (lambda: SESSION.evaluate([HOLDING()], plan=99), "plan is of type int, 99: give Placebo"),  # type: ignore[arg-type]
    "a number for a text": (lambda: b.duration_ms(48), "text is of type int, 48: give str"),  # type: ignore[arg-type]
    "truth for a number": (lambda: SESSION.evaluate([HOLDING()], bootstrap=True), "bootstrap is of type bool, True"),
    "a table of variations": (lambda: SESSION.statistics(pd.DataFrame()), "decided is of type DataFrame"),  # type: ignore[arg-type]
    "a replay without settings": (lambda: b.replay(MARKET, INTENTS, None), "config is of type NoneType"),  # type: ignore[arg-type]
    "a replay with a market for a calendar": (
        lambda: b.replay(MARKET, INTENTS, CONFIG, calendar=MARKET),
        "calendar is",
    ),  # type: ignore[arg-type]
    "a study of a calendar": (lambda: b.event_study(CALENDAR, MARKET), "market is of type Calendar"),  # type: ignore[arg-type]
    "a study of a run's settings": (lambda: SESSION.study(CONFIG), "give StudyConfig or None"),  # type: ignore[arg-type]
    "an audit of a class": (lambda: b.audit(HOLDING, MARKET, CALENDAR), "strategy is the class BuyAndHold"),  # type: ignore[arg-type]
    "scores of a market": (lambda: b.score_run(MARKET), "run is of type Market"),  # type: ignore[arg-type]
    "a calendar among markets": (lambda: b.join([MARKET, CALENDAR]), r"markets\[1\] is of type Calendar"),  # type: ignore[list-item]
    "a text for a series": (lambda: MARKET.with_auxiliary("flow"), "series is of type str"),  # type: ignore[arg-type]
    "one run to compare": (lambda: b.compare_runs("runs/first"), "folders is of type str"),
    "a number among intents": (lambda: b.Intents((1,)), "intents hold 1 of type int"),  # type: ignore[arg-type]
    "a setting that is text": (
        lambda: b.RunConfig(fee_rate="5bp"),
        "configuration: fee_rate = '5bp': must be a number",
    ),  # type: ignore[arg-type]
    "a misspelt setting": (lambda: b.RunConfig(fee_rat=0.1), "unknown key 'fee_rat'; did you mean 'fee_rate'?"),  # type: ignore[call-arg]
    "a misspelt model": (lambda: b.StudyConfig(model="markt"), "study: model = 'markt': must be 'market'"),  # type: ignore[arg-type]
    "a misspelt request": (lambda: b.Request(datset="x"), "request: unknown key 'datset'; did you mean 'dataset'?"),  # type: ignore[call-arg]
    "a misspelt strategy": (lambda: REGISTRY["buy_and_hodl"], "did you mean 'buy_and_hold'?"),
    "a catalyst without anything": (lambda: b.Catalyst(id="x"), "catalyst: id = 'x': an id has 3 to 81"),  # type: ignore[call-arg]
    "a calendar of numbers": (lambda: b.Calendar("mine", (1,)), "calendar: .* = 1: input should be a dictionary or an"),  # type: ignore[arg-type]
    "a claim without anything": (lambda: b.Claim(id="x"), "claim: id = 'x'"),  # type: ignore[call-arg]
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_one_sentence(name: str) -> None:
    call, sentence = WRONG[name]
    with pytest.raises(b.BacktestError, match=sentence) as found:
        call()
    assert "\n" not in str(found.value)
    assert "pydantic" not in str(found.value)


def test_every_public_function_checks_its_arguments() -> None:
    found = {name: one for name in dir(b) if inspect.isfunction(one := getattr(b, name))}
    assert len(found) > 40
    assert [name for name, one in found.items() if not hasattr(one, "__wrapped__")] == []


def test_what_the_annotation_allows_is_accepted() -> None:
    @checked
    def called(count: int, share: float, *paths: Path | str, names: list[str] | None = None, **more: int) -> int:
        return count

    assert called(np.int64(3), np.float64(0.5), Path("a"), "b", names=["c"], other=1) == 3
    assert called(3, 1) == 3
    for wrong in ((True, 0.5), (3.0, 0.5), (3, "0.5"), (3, 0.5, 7)):
        with pytest.raises(b.UsageError, match="is of type"):
            called(*wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"called\(\) missing 1 required"):
        called(3)  # type: ignore[call-arg]


def test_paths_may_be_text(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("leverage = 2.0\n")
    assert b.load_config(str(tmp_path / "settings.toml")).leverage == 2.0
    (tmp_path / "flow.csv").write_text("available_at,value\n2025-10-01T00:00:00Z,1\n")
    assert b.read_series(str(tmp_path / "flow.csv")).name == "flow"
    with pytest.raises(b.CalendarError, match="does not exist"):
        b.read_calendar(str(tmp_path / "none.toml"))
    with pytest.raises(b.DataError, match="does not exist"):
        b.rerun(str(tmp_path / "run.json"))
