"""A smaller copy of `python -m benchmarks.report`, which holds the page of 20,000 trades below 10 MB and 20 s."""

from __future__ import annotations

import re
from pathlib import Path

from backtest.catalysts.reading import open_calendar
from backtest.report.html import render
from benchmarks.report import contents
from benchmarks.sample_report import calendar_text


def test_calendars_of_the_measured_reports_name_one_coin_or_all(tmp_path: Path) -> None:
    for each, coins in ((False, 1), (True, 11)):
        (tmp_path / "many.toml").write_text(calendar_text(each=each))
        calendar = open_calendar(str(tmp_path / "many.toml"))
        assert len(calendar) == 300
        assert {len(one.assets) for one in calendar} == {coins}
        assert len({coin for one in calendar for coin in one.assets}) == 11


def test_many_trades_are_cut_in_tables_and_whole_in_the_files() -> None:
    held = contents(trades=2_000, catalysts=40, coins=4, days=120)
    text = render(held)
    assert held.document is not None
    counts = [len(one["trades"]) for one in held.document["strategies"]]
    assert sum(counts) == 2_000
    assert len(text.encode()) < 3_000_000
    assert text.count("The first 200 of 500; trades.csv of the answer holds all.") == 4
    assert not re.search(r'download="trades-many_0', text)
    assert re.search(r'download="trades\.csv', text)
    assert len(re.findall(r'<li><a href="#explore" data-catalyst=', text)) == 40
