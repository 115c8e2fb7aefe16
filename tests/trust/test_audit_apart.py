"""The audit asks in processes that never ran the strategy, names what it touched, and calls nothing unseen clean."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import pytest

from backtest.base.errors import LookaheadError, UsageError
from backtest.base.units import parse_timerange
from backtest.catalysts.reading import open_calendar
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.audit import audit
from backtest.signals.finding import FORKED, FRESH
from backtest.signals.interpreter import interpreter
from backtest.signals.loading import load_strategy

HEAD = """
import os
import random
from pathlib import Path

import numpy as np

from backtest.market.auxiliary import read_series
from backtest.signals.strategy import Intent, Intents, Parameters, Strategy

HOUR = 3_600_000


def every_day(market, level=0.0):
    close = market.close[:, 0]
    rows = [row for row in range(24, len(close) - 1, 24) if close[row] > level]
    return Intents(tuple(Intent(instrument=market.symbols[0], decided_at_ms=int(market.open_ms[row]) + HOUR, weight=0.1)
                         for row in rows))


class Mine(Strategy[Parameters]):
    name = "mine"
    hypothesis = "None."
    parameters_type = Parameters
"""

FITTED_ONCE = """
    level = None

    def decide(self, market, calendar):
        if Mine.level is None:
            Mine.level = float(np.nanmean(market.close[:, 0]))
        return every_day(market, Mine.level)
"""

HONEST = """
    def decide(self, market, calendar):
        return every_day(market, 270.0)
"""


@pytest.fixture(scope="module")
def market(sample: Market) -> Market:
    few = sample.select(("ZEC/USDT:USDT", "DASH/USDT:USDT"))
    return few.between(parse_timerange("20251016-20251101"))


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return open_calendar("privacy-2025")


def written(folder: Path, body: str, name: str = "mine.py") -> Any:
    (folder / name).write_text(HEAD + textwrap.indent(textwrap.dedent(body), "    "))
    return load_strategy(f"{folder / name}:Mine")()


def test_what_is_fitted_once_on_all_data_and_kept_in_the_class_is_caught(
    tmp_path: Path, market: Market, calendar: Calendar
) -> None:
    strategy = written(tmp_path, FITTED_ONCE)
    strategy.decide(market, calendar)  # The whole was seen here already: only a new interpreter knows nothing of it.
    assert type(strategy).level is not None
    found = audit(strategy, market, calendar, cuts=6)
    assert (found.verdict, found.apart) == ("look-ahead", FRESH)
    assert found.leak is not None
    assert "of ZEC/USDT:USDT in the bar of 2025-10-" in found.leak.read
    with pytest.raises(LookaheadError, match="strategy 'mine' looked ahead"):
        found.check()


def test_the_same_in_a_notebook_is_caught_where_it_was_not_run_before(
    tmp_path: Path, market: Market, calendar: Calendar
) -> None:
    kind = type(written(tmp_path, FITTED_ONCE))
    kind.__module__ = "__main__"
    found = audit(kind(), market, calendar, cuts=6)
    assert (found.verdict, found.apart) == ("look-ahead", FORKED)
    assert kind.level is None, "the copies leave nothing behind"


def test_an_honest_one_is_clean(tmp_path: Path, market: Market, calendar: Calendar) -> None:
    found = audit(written(tmp_path, HONEST), market, calendar, cuts=6)
    assert (found.verdict, found.touched, found.apart) == ("clean", (), FRESH)


def test_a_state_that_other_data_leave_is_refused(tmp_path: Path, market: Market, calendar: Calendar) -> None:
    """Keeps what cannot show in a single answer: only one given after another differs."""
    strategy = written(
        tmp_path,
        """
        asked = 0

        def decide(self, market, calendar):
            Mine.asked += 1
            return every_day(market, 270.0 if Mine.asked < 3 else 300.0)
        """,
    )
    with pytest.raises(UsageError, match="'mine' decides otherwise when asked again"):
        audit(strategy, market, calendar, cuts=3)


@pytest.mark.parametrize("draw", ["random.random()", "np.random.random()"])
def test_a_draw_of_the_shared_generators_is_refused(
    draw: str, tmp_path: Path, market: Market, calendar: Calendar
) -> None:
    strategy = written(tmp_path, f"def decide(self, market, calendar):\n    return every_day(market, 600.0 * {draw})\n")
    with pytest.raises(UsageError, match="shared random generators in another state"):
        audit(strategy, market, calendar, cuts=3)


TOUCHING = {
    "file": ("Path('levels.txt').read_text()", "file {folder}/levels.txt"),
    "folder": ("os.listdir('.')", "folder "),
    "variable": ("os.environ.get('LEVEL')", "environment variable LEVEL"),
    "getenv": ("os.getenv('LEVEL')", "environment variable LEVEL"),
    "environment": ("dict(os.environ)", "environment, all of it"),
    "program": ("os.system('true')", "program "),
    "network": ("__import__('socket').getaddrinfo('127.0.0.1', 1)", "network 127.0.0.1"),
    "numpy": ("np.loadtxt('levels.txt')", "file {folder}/levels.txt"),
}


@pytest.mark.parametrize("how", TOUCHING)
@pytest.mark.parametrize("when", ["deciding", "imported"])
def test_what_is_touched_is_named_and_never_clean(
    how: str, when: str, tmp_path: Path, market: Market, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "levels.txt").write_text("30\n")
    act, told = TOUCHING[how]
    (tmp_path / "mine.py").write_text(
        HEAD + ("    at_import = str(" + act + ")\n" if when == "imported" else "")
        + "    def decide(self, market, calendar):\n"
        + (f"        {act}\n" if when == "deciding" else "")
        + "        return every_day(market, 270.0)\n"
    )  # fmt: skip
    found = audit(load_strategy("mine.py")(), market, calendar, cuts=3)
    assert found.verdict == "reads outside"
    assert any(one.startswith(told.format(folder=tmp_path)) for one in found.touched), found.touched


def test_what_reads_nothing_is_not_called_clean(tmp_path: Path, market: Market, calendar: Calendar) -> None:
    blind = """
    def decide(self, market, calendar):
        at = market.start_ms + 48 * HOUR
        return Intents((Intent(instrument=market.symbols[0], decided_at_ms=at, weight=0.1),))
    """
    assert audit(written(tmp_path, blind, "blind.py"), market, calendar, cuts=4).verdict == "reads nothing"


SERIES = """
    def decide(self, market, calendar):
        series = read_series(Path({path!r}))
        known = {how}
        rows = [row for row in range(1, len(known)) if known[row] > known[row - 1]]
        return Intents(tuple(Intent(instrument=market.symbols[0], decided_at_ms=int(market.open_ms[row]) + HOUR,
                                    weight=0.1) for row in rows))
"""


@pytest.mark.parametrize(
    ("how", "verdict"),
    [("series.at(market.open_ms + HOUR)", "clean"), ("series.at(market.open_ms + 24 * HOUR)", "look-ahead")],
)
def test_an_auxiliary_series_is_cut_too(
    how: str, verdict: str, tmp_path: Path, market: Market, calendar: Calendar
) -> None:
    lines = ["available_at,value", *(f"2025-10-{day:02d}T06:30:00Z,{day % 5}" for day in range(14, 31))]
    path = tmp_path / "pool.csv"
    path.write_text("\n".join(lines) + "\n")
    found = audit(written(tmp_path, SERIES.format(path=str(path), how=how)), market, calendar, cuts=30)
    assert found.verdict == verdict, found
    assert (found.touched, "auxiliary series" in found.reads) == ((), True)
    if found.leak is not None:
        assert found.leak.read == "a reading of an auxiliary series"
        assert found.leak.known_at_ms is not None
        assert found.leak.decision.decided_at_ms < found.leak.known_at_ms


def test_a_strategy_that_ends_its_process_ends_no_audit(tmp_path: Path, market: Market, calendar: Calendar) -> None:
    body = """
    def decide(self, market, calendar):
        if len(market.index) < 380:
            os._exit(3)
        return every_day(market, 270.0)
    """
    found = audit(written(tmp_path, body), market, calendar, cuts=20)
    assert found.leak is not None
    assert "it ended its process" in found.leak.sentence


def test_the_interpreter_ends_with_its_process(tmp_path: Path) -> None:
    started = interpreter()
    assert started.alive
    pid = started._process.pid
    started.end()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert interpreter().alive
    assert interpreter()._process.pid != pid
