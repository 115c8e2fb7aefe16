"""The charts of the report in a real browser: hovered, zoomed, filtered, walked by keyboard; and their numbers."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from backtest.report.html.explorer import MOST_BARS, _plain, explorer
from backtest.report.html.plain import flat
from tests.report import browser as chromium
from tests.report.browser import Browser
from tests.report.conftest import Reported

EXPLORE = "const place = document.getElementById('explore');"


def unpacked(packed: str) -> dict[str, Any]:
    held: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))
    return held


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory, reported: Reported) -> Iterator[Browser]:
    """The report, open and drawn; absent browser: skipped here, a failure in CI where it could be installed."""
    chromium.required()
    with chromium.browser(tmp_path_factory.mktemp("explorer")) as opened:
        opened.prefer("light")
        opened.resize(1440)
        opened.open(reported.path)
        ready(opened)
        yield opened


def ready(window: Browser) -> None:
    window.until(f"{EXPLORE} return place.dataset.ready === 'yes'")
    window.frames()


def text_of(window: Browser, name: str) -> str:
    told: str = window.run(f"{EXPLORE} return place.querySelector('.{name}').textContent")
    return told


def choose(window: Browser, name: str, value: str) -> None:
    window.run(
        f"{EXPLORE} const select = place.querySelector('select[name={name}]'); select.value = arguments[0];"
        "select.dispatchEvent(new Event('change'));",
        value,
    )
    window.frames()


def ranges(window: Browser) -> list[list[float]]:
    """First and last bar that each chart shows."""
    found: list[list[float]] = window.run(
        f"{EXPLORE} return ['price', 'worth'].map((name) => place.charts[name].timeScale().getVisibleLogicalRange())"
        ".map((one) => [one.from, one.to]);"
    )
    return found


def press(window: Browser, key: str, times: int = 1) -> None:
    """A key as a keyboard sends it, to whatever has the focus."""
    value = {"Tab": "\ue004", "ArrowRight": "\ue014", "ArrowLeft": "\ue012", "Enter": "\ue007", "Home": "\ue011"}.get(
        key, key
    )
    keys = [{"type": kind, "value": value} for _ in range(times) for kind in ("keyDown", "keyUp")]
    window.call("POST", "/actions", actions=[{"type": "key", "id": "keys", "actions": keys}])


def point_at(window: Browser, x: float, y: float) -> None:
    """The mouse at a place of the window."""
    move = {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)}
    window.call("POST", "/actions", actions=[{"type": "pointer", "id": "mouse", "actions": [move]}])
    window.frames()


def box_of(window: Browser, name: str) -> list[float]:
    """Left, top, width and height of a chart, scrolled into the window."""
    found: list[float] = window.run(
        f"{EXPLORE} const chart = place.querySelector('.{name}'); chart.scrollIntoView({{ block: 'center' }});"
        "const box = chart.getBoundingClientRect(); return [box.left, box.top, box.width, box.height];"
    )
    return found


@pytest.mark.parametrize("digits", [4, 5, 6, 8])
def test_numbers_are_rounded_as_format_rounds_them(digits: int) -> None:
    rng = np.random.default_rng(digits)
    tens = 10.0 ** np.arange(-20, 22)
    halves = rng.integers(-(10**9), 10**9, 5_000)  # Many of these lie between two numbers of so many digits.
    values = np.concatenate(
        [
            [0.0, -0.0, np.nan, 5e-324, 1.7e308, 999_999.5, 9.999_995, 0.000_123_455, 1e15 + 0.5],
            rng.normal(size=5_000) * 10.0 ** rng.integers(-14, 17, 5_000),
            halves / 2.0, halves / 64.0, halves / 1_000.0,
            tens, np.nextafter(tens, 0.0), np.nextafter(tens, np.inf),
        ]
    )  # fmt: skip
    wanted = [None if one != one else float(f"{one:.{digits}g}") for one in values.tolist()]
    assert list(map(repr, _plain(values, digits))) == list(map(repr, wanted))


def test_what_is_carried_is_what_happened(reported: Reported) -> None:
    evaluation = reported.contents.evaluation
    assert evaluation is not None
    market = evaluation.market
    held = unpacked(explorer(evaluation).packed)
    assert [one["name"] for one in held["strategies"]] == [run.strategy for run in evaluation.runs]
    assert len(held["trades"]) == sum(len(run.trades) for run in evaluation.runs) >= 9
    for coin in held["coins"]:
        column = market.column(coin["name"])
        for name in ("open", "high", "low", "close", "volume", "open_interest", "funding"):
            values = market.panel(name)[:, column]
            drawn = np.array([np.nan if one is None else one for one in coin[name]])
            assert np.allclose(drawn, values, rtol=1e-5, equal_nan=True), (coin["name"], name)
    rows = [dict(zip(held["fields"], row, strict=True)) for row in held["trades"]]
    wanted = [(run, row) for run in evaluation.runs for row in run.trades.to_dict("records")]
    for drawn, (run, row) in zip(rows, wanted, strict=True):
        assert held["coins"][drawn["coin"]]["name"] == row["instrument"]
        assert held["strategies"][drawn["strategy"]]["name"] == run.strategy
        assert drawn["entry_price"] == pytest.approx(row["entry_price"], rel=1e-6)
        assert held["start"] + drawn["entry"] * held["step"] == row["entry_time"].timestamp()
        # The exit lies inside the bar that it is marked at.
        high, low = (market.panel(name)[drawn["exit"], market.column(row["instrument"])] for name in ("high", "low"))
        assert low * 0.98 <= row["exit_price"] <= high * 1.02
        assert drawn["adverse"] <= min(0.0, row["captured"]) + 1e-4
        assert drawn["favourable"] >= max(0.0, row["captured"]) - 1e-4


def test_long_histories_are_joined_and_say_so(reported: Reported, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = reported.contents.evaluation
    assert evaluation is not None
    monkeypatch.setattr("backtest.report.html.explorer.MOST_BARS", 2_000)
    made = explorer(evaluation)
    held, market = unpacked(made.packed), evaluation.market
    joined = held["step"] * 1000 // market.bar_ms
    assert joined == 18
    assert made.notes == (f"Each candle joins {joined} bars of {market.timeframe}.",)
    coin = held["coins"][0]
    column = market.column(coin["name"])
    for candle in (0, 7, len(coin["close"]) - 1):
        rows = slice(candle * joined, (candle + 1) * joined)
        assert coin["high"][candle] == pytest.approx(np.nanmax(market.high[rows, column]), rel=1e-5)
        assert coin["low"][candle] == pytest.approx(np.nanmin(market.low[rows, column]), rel=1e-5)
        assert coin["open"][candle] == pytest.approx(market.open[rows, column][0], rel=1e-5)
        assert coin["close"][candle] == pytest.approx(market.close[rows, column][-1], rel=1e-5)
        assert coin["volume"][candle] == pytest.approx(np.nansum(market.volume[rows, column]), rel=1e-5)
    monkeypatch.setattr("backtest.report.html.explorer.MOST_JOINED", 6)
    fewer = explorer(evaluation)
    assert len(unpacked(fewer.packed)["coins"]) < len(market.symbols)
    assert fewer.notes[1].startswith("Not carried, because they were traded least: ")
    assert len(market.index) * len(market.symbols) < MOST_BARS


def test_hovering_a_fill_tells_its_time_price_and_catalyst(window: Browser, reported: Reported) -> None:
    lead = reported.lead
    trade = lead.trades.iloc[0]
    choose(window, "coin", trade["instrument"])
    left, top, _, _ = box_of(window, "candles")
    row = int((trade["entry_time"].timestamp() * 1000 - lead.market.start_ms) // lead.market.bar_ms)
    at = "place.charts.price.timeScale()"
    window.run(f"{EXPLORE} {at}.setVisibleLogicalRange({{ from: arguments[0] - 20, to: arguments[0] + 20 }})", row)
    window.frames()
    x = window.run(f"{EXPLORE} return {at}.logicalToCoordinate(arguments[0])", row)
    point_at(window, left + x, top + 100)
    told = text_of(window, "events")
    assert f"entry {'long' if trade['side'] > 0 else 'short'} at " in told
    price = float(re.search(r"entry \w+ at ([\d,.]+)", told)[1].replace(",", ""))  # type: ignore[index]
    assert price == pytest.approx(trade["entry_price"], rel=1e-5)
    assert trade["catalyst_id"] in told
    assert lead.strategy in told
    bar = text_of(window, "bar")
    assert f"{trade['entry_time']:%Y-%m-%d %H:%M} UTC" in bar
    column = lead.market.column(trade["instrument"])
    assert f"O {lead.market.open[row, column]:,.6g}" in bar
    # The chart of equity tells the same instant.
    assert text_of(window, "moment") == f"{trade['entry_time']:%Y-%m-%d %H:%M} UTC"
    window.run(f"{EXPLORE} place.querySelector('.all').click()")


def test_zoom_and_drag_keep_all_panes_on_one_stretch_of_time(window: Browser) -> None:
    window.run(f"{EXPLORE} place.querySelector('[data-act=whole]').click()")
    window.frames()
    whole = ranges(window)
    assert whole[0] == pytest.approx(whole[1], abs=1.0)
    left, top, width, height = box_of(window, "candles")
    # Over the pane of funding, the lowest one.
    x, y = round(left + width / 2), round(top + height - 60)
    wheel = {"type": "scroll", "duration": 0, "x": x, "y": y, "deltaX": 0, "deltaY": -300}
    window.call("POST", "/actions", actions=[{"type": "wheel", "id": "wheel", "actions": [wheel] * 6}])
    window.frames()
    near = ranges(window)
    assert near[0][1] - near[0][0] < 0.8 * (whole[0][1] - whole[0][0])
    assert near[0] == pytest.approx(near[1], abs=1.0)
    drag = [
        {"type": "pointerMove", "duration": 0, "x": x, "y": y},
        {"type": "pointerDown", "button": 0},
        *({"type": "pointerMove", "duration": 20, "x": x + far, "y": y} for far in (20, 60, 120, 200)),
        {"type": "pointerUp", "button": 0},
    ]
    window.call("POST", "/actions", actions=[{"type": "pointer", "id": "mouse", "actions": drag}])
    window.frames()
    moved = ranges(window)
    assert moved[0][0] < near[0][0] - 1
    assert moved[0] == pytest.approx(moved[1], abs=1.0)
    assert window.run(f"{EXPLORE} return place.charts.price.panes().length") == 4
    window.run(f"{EXPLORE} place.querySelector('[data-act=whole]').click()")


@pytest.mark.parametrize("name", ["coin", "strategy", "kind", "actor"])
def test_a_filter_hides_the_others(window: Browser, reported: Reported, name: str) -> None:
    window.run(f"{EXPLORE} place.querySelector('.all').click()")
    evaluation = reported.contents.evaluation
    assert evaluation is not None
    every = int(window.run(f"{EXPLORE} return place.dataset.shown"))
    options = window.run(
        f"{EXPLORE} return [...place.querySelector('select[name={name}]').options].map((o) => o.value)"
    )
    value = options[-1]
    known = {one.id: one for one in evaluation.calendar}
    tables = [(run.strategy, row) for run in evaluation.runs for row in run.trades.to_dict("records")]
    held = {
        "coin": lambda who, row: row["instrument"] == value,
        "strategy": lambda who, row: who == value,
        "kind": lambda who, row: row["catalyst_id"] in known and known[row["catalyst_id"]].kind == value,
        "actor": lambda who, row: row["catalyst_id"] in known and flat(known[row["catalyst_id"]].actor) == value,
    }[name]
    wanted = [row for who, row in tables if held(who, row)]
    assert 0 < len(wanted) < every == len(tables)
    choose(window, name, value)
    assert int(window.run(f"{EXPLORE} return place.dataset.shown")) == len(wanted)
    assert text_of(window, "count").startswith(f"{len(wanted)} of {every} trades")
    coins = [row["instrument"] for row in wanted]
    shown = max(coins.count(one) for one in set(coins))
    assert int(window.run(f"{EXPLORE} return place.dataset.fills")) == 2 * shown
    months = window.run(
        f"{EXPLORE} return [...place.querySelectorAll('.months td small')].map((one) => parseInt(one.textContent))"
    )
    assert sum(months) == len(wanted)
    if name == "strategy":
        keys = window.run(f"{EXPLORE} return [...place.querySelectorAll('.keys bdi')].map((one) => one.textContent)")
        assert keys == [value]
    window.run(f"{EXPLORE} place.querySelector('.all').click()")
    assert int(window.run(f"{EXPLORE} return place.dataset.shown")) == every


def test_the_keyboard_reaches_everything(window: Browser, reported: Reported) -> None:
    window.run("scrollTo(0, 0); document.activeElement.blur(); document.querySelector('nav li:nth-child(2) a').focus()")
    reached: list[str] = []
    for _ in range(70):
        press(window, "Tab")
        reached.append(
            window.run(
                "const one = document.activeElement; return one.name || one.dataset.act || one.className || one.id"
            )
        )
        if any("months" in one for one in reached):
            break
    for name in ("coin", "strategy", "kind", "actor", "all", "in", "out", "whole", "next-fill", "previous-fill",
                 "next-catalyst", "previous-catalyst", "chart candles", "chart worth", "plot returns", "plot scatter",
                 "plot months scroll"):  # fmt: skip
        assert name in reached, name
    window.run(f"{EXPLORE} place.querySelector('.candles').focus()")
    press(window, "Home")
    assert text_of(window, "bar").startswith(f"{reported.lead.market.index[0]:%Y-%m-%d %H:%M} UTC")
    press(window, "n")
    assert re.search(r"(entry|exit of) \w+ at [\d.,]+ by", text_of(window, "events"))
    press(window, "c")
    assert "catalyst" in text_of(window, "events")
    before = ranges(window)[0]
    press(window, "+")
    window.frames()
    after = ranges(window)[0]
    assert after[1] - after[0] < 0.6 * (before[1] - before[0])
    press(window, "0")
    window.run(f"{EXPLORE} place.querySelector('.scatter').focus()")
    press(window, "ArrowRight", 2)
    said = window.run(f"{EXPLORE} return place.querySelector('.scatter').nextElementSibling.textContent")
    assert re.search(r"furthest against -?\d+\.\d%, furthest ahead \+?\d+\.\d%", said)
    press(window, "Enter")
    assert window.run("return document.activeElement.classList.contains('candles')")
    window.run(f"{EXPLORE} place.querySelector('.returns').focus()")
    press(window, "ArrowRight")
    assert re.match(r"\d+ trades with net", window.run(
        f"{EXPLORE} return place.querySelector('.returns').nextElementSibling.textContent"))  # fmt: skip


def test_a_small_drawing_leads_to_its_trade(window: Browser, reported: Reported) -> None:
    name = window.run("return document.querySelector('.multiples a').dataset.catalyst")
    window.run("document.querySelector('.multiples a').click()")
    window.frames()
    assert name in text_of(window, "events")
    span = ranges(window)[0]
    assert span[1] - span[0] < 0.5 * len(reported.lead.market.index)
    drawings = window.run("return document.querySelectorAll('.multiples svg[role=img][aria-label]').length")
    traded = {one for run in reported.contents.evaluation.runs for one in run.trades["catalyst_id"] if one}  # type: ignore[union-attr]
    assert drawings == len(traded) > 3


def test_both_themes_repaint_the_charts_and_print_shows_the_figures(window: Browser, reported: Reported) -> None:
    paper = f"{EXPLORE} return place.charts.price.options().layout.background.color"
    window.prefer("light")
    window.frames()
    light = window.run(paper)
    window.prefer("dark")
    window.frames()
    assert window.run(paper) != light
    window.prefer("light")
    window.medium("print")
    assert window.run(f"{EXPLORE} return getComputedStyle(place).display") == "none"
    window.run("dispatchEvent(new Event('beforeprint'))")
    tall = window.run("return document.querySelector('#season figure svg').getBoundingClientRect().height")
    assert tall > 200
    window.run("dispatchEvent(new Event('afterprint'))")
    window.medium("screen")
    window.open(reported.path)
    ready(window)
    assert window.log("browser") == []
    assert [one for one in window.requests() if not one.startswith(("data:", "file:"))] == []
