"""Records show themselves in a line and a small table, whatever stands in them, on light and on dark."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest import (
    Calendar,
    Catalyst,
    Intent,
    Intents,
    Market,
    PlaceboPlan,
    RunConfig,
    StudyConfig,
    Sweep,
    WalkForward,
    audit,
    duration_ms,
    evaluate,
    event_study,
    grid_trials,
    open_calendar,
    open_dataset,
    parse_axis,
    run_sweep,
    walk_forward,
)
from backtest.base.display import ABSENT, MOST_ROWS, Cell, Shown, View, cell, number, plain, view_html
from backtest.market.record import Instrument
from backtest.strategies import REGISTRY

HOSTILE = '<script>alert("x")</script>\'&\x00\x1b[31m\u202egnp.exe\u2028'


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One record of each kind, of the sample."""
    market, calendar = open_dataset("privacy-2025-sample"), open_calendar("privacy-2025")
    plan, momentum = PlaceboPlan(draws=50), REGISTRY["catalyst_momentum"]
    trials = grid_trials([parse_axis("hold", "24h,48h")])
    found = evaluate([momentum(), REGISTRY["buy_and_hold"]()], market, calendar, plan=plan, bootstrap=0)
    sweep = Sweep(momentum, trials, market, calendar, RunConfig(), plan)
    day = duration_ms("24h")
    walk = WalkForward(momentum, trials, market, calendar, RunConfig(), 2, 3 * day, day)
    return {
        "Market": market,
        "Calendar": calendar,
        "Catalyst": calendar["zec-2025-10-01-grayscale-trust"],
        "Evaluation": found,
        "Run": found.runs[0],
        "Scorecard": found.cards[0],
        "Placebo": found.cards[0].placebo,
        "SweepResult": run_sweep(sweep, tmp_path_factory.mktemp("sweep")),
        "WalkForwardResult": walk_forward(walk, plan),
        "Audit": audit(momentum(), market, calendar, cuts=3),
        "Study": event_study(market, calendar, StudyConfig(draws=199)),
        "Sweep": sweep,
        "WalkForward": walk,
        "Prepared": found.prepared,
        "Intents": found.runs[0].intents,
    }


def test_each_is_a_line_in_a_terminal(records: dict[str, Any]) -> None:
    for name, record in records.items():
        said = repr(record)
        assert said.startswith(f"<{name} ")
        assert "\n" not in said
        assert len(said) < 320, said
    assert "catalyst_momentum on privacy-2025-sample: net +31.6% in 12 trades" in repr(records["Run"])


def test_each_is_a_small_table_in_a_notebook(records: dict[str, Any]) -> None:
    shown = {name: record for name, record in records.items() if isinstance(record, Shown)}
    assert len(shown) == 11
    for name, record in shown.items():
        html = record._repr_html_()
        page = Page(html)
        assert page.text.removeprefix("RECONSTRUCTED ").startswith(f"{name} ")
        assert [tag for tag, _ in page.tags].count("table") == 1
        assert {tag for tag, _ in page.tags} <= {"div", "span", "b", "table", "thead", "tbody", "tr", "th", "td"}
        assert len(html) < 40_000
        assert "nan" not in page.text.lower().split()
        # Ink and paper are the notebook's: only the label, which brings its own background, has colours.
        assert re.findall(r"(?<!-)color:#\w+|background:#\w+", html) in ([], ["background:#9a3412", "color:#fff7ed"])


def test_data_that_were_not_measured_are_labelled(records: dict[str, Any]) -> None:
    of_data = ("Market", "Evaluation", "Run", "Scorecard", "SweepResult", "WalkForwardResult", "Study")
    for name in of_data:
        assert Page(records[name]._repr_html_()).text.startswith("RECONSTRUCTED ")
        assert repr(records[name]).startswith(f"<{name} RECONSTRUCTED ")
    index = pd.date_range("2025-10-01", periods=3, freq="h", tz="UTC")
    panel = np.ones((3, 1))
    measured = Market(index, "1h", (Instrument.parse("ZEC/USDT"),), *(panel,) * 5, panel * np.nan, panel * 0)
    assert "RECONSTRUCTED" not in repr(measured) + measured._repr_html_()


def test_what_is_undefined_is_a_dash_that_tells_why(records: dict[str, Any]) -> None:
    reasons = [told.get("title") for tag, told in Page(records["Scorecard"]._repr_html_()).tags if tag == "td"]
    assert "the run covers 0.30 years, less than one" in reasons
    assert cell(float("nan"), number, "why") == Cell(ABSENT, "why")
    assert cell(1.0, number, "why") == Cell("1.00")
    undated = Page(records["Evaluation"].runs[1]._repr_html_()).tags
    assert "no trade has a catalyst with a close before it" in [told.get("title") for _, told in undated]


def test_hostile_text_is_inert() -> None:
    one = Catalyst(
        id="abc", assets=("ZEC",), kind="listing", actor=HOSTILE, direction=1, precision="untimed",
        source=HOSTILE, confidence="low", note=HOSTILE * 200,
    )  # fmt: skip
    calendar = Calendar(HOSTILE, (one,))
    for html in (one._repr_html_(), calendar._repr_html_()):
        assert {tag for tag, _ in Page(html).tags} <= {"div", "b", "table", "thead", "tbody", "tr", "th", "td"}
        assert not set(html) & set("\x00\x1b\u202e\u2028")
        assert len(html) < 5_000
    assert not set(repr(calendar)) & set("\x00\x1b\u202e\u2028\n")
    assert Page(view_html("Kind", "line", View(("a",), [(Cell("-", '" onmouseover="x'),)]))).tags[-1][1].keys() == {
        "style",
        "title",
    }


def test_long_tables_and_texts_are_cut() -> None:
    html = view_html("Kind", "x" * 1_000, View(("n",), [(Cell(f"{row}"),) for row in range(100)]))
    assert html.count("<tr") == MOST_ROWS + 1
    assert f"{100 - MOST_ROWS} more rows are not shown" in html
    assert "x" * 161 not in html
    assert plain("é\nb", 3) == "é b"
    assert plain("abcdef", 4) == "abc…"


def test_many_intents_are_counted() -> None:
    rows = tuple(Intent(instrument="ZEC/USDT", decided_at_ms=at) for at in range(500))
    assert repr(Intents(rows)) == "<Intents 500 decisions>"
