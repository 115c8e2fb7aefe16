"""The report in a real browser, opened from disk: quiet, sortable, at both widths and themes, deaf to hostile text."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report import browser as chromium
from tests.report.browser import Browser
from tests.report.conftest import HOSTILE, LONG_NOTE, Reported


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def window(folder: Path, reported: Reported) -> Iterator[Browser]:
    """The report, open; absent browser: skipped here, a failure in CI where it could be installed."""
    chromium.required()
    with chromium.browser(folder) as opened:
        opened.prefer("light")
        opened.resize(1440)
        opened.open(reported.path)
        yield opened


def column(window: Browser, title: str, name: str) -> list[str]:
    """Texts of a column of the table whose title begins so."""
    found: list[str] = window.run(
        """const table = [...document.querySelectorAll(".table")].find(
             (one) => one.querySelector("h4").textContent.startsWith(arguments[0])).querySelector("table");
           const place = [...table.tHead.rows[0].cells].findIndex((one) => one.textContent.trim() === arguments[1]);
           return [...table.tBodies[0].rows].map((row) => row.cells[place].querySelector("bdi").textContent);""",
        title,
        name,
    )
    assert found
    return found


def press(window: Browser, title: str, name: str) -> str:
    """Press the button in a column's head with the keyboard; returns its aria-sort."""
    said: str = window.run(
        """const table = [...document.querySelectorAll(".table")].find(
             (one) => one.querySelector("h4").textContent.startsWith(arguments[0])).querySelector("table");
           const head = [...table.tHead.rows[0].cells].find((one) => one.textContent.trim() === arguments[1]);
           const button = head.querySelector("button");
           button.focus();
           if (document.activeElement !== button) return "not reachable by keyboard";
           button.click();
           return head.getAttribute("aria-sort");""",
        title,
        name,
    )
    return said


def test_the_page_is_quiet_and_asks_for_nothing(window: Browser, reported: Reported) -> None:
    window.open(reported.path)
    assert window.run("return document.readyState") == "complete"
    assert window.log("browser") == []
    asked = window.requests()
    assert asked[0] == reported.path.as_uri()
    assert [one for one in asked[1:] if not one.startswith("data:")] == []


def test_the_policy_stops_what_would_leave_the_page(window: Browser, reported: Reported) -> None:
    window.open(reported.path)
    window.run(
        """window.broken = [];
           document.addEventListener("securitypolicyviolation", (one) => window.broken.push(one.effectiveDirective));
           const image = document.createElement("img"); image.src = "http://127.0.0.1:9/x"; document.body.append(image);
           const script = document.createElement("script"); script.textContent = "window.hostile = 1";
           document.body.append(script); image.remove(); script.remove();"""
    )
    window.until("return window.broken.length >= 2")
    assert sorted(window.run("return window.broken")) == ["img-src", "script-src-elem"]
    assert window.run("return window.hostile ?? null") is None
    window.open(reported.path)


def test_tables_sort_by_number_and_by_text_with_the_unknown_last(window: Browser, reported: Reported) -> None:
    title = "Each catalyst"
    assert press(window, title, "Net") == "descending"
    down = column(window, title, "Net")
    assert press(window, title, "Net") == "ascending"
    up = column(window, title, "Net")
    known = [float(text.rstrip("%").replace(",", "")) for text in up if text != "-"]
    assert known == sorted(known)
    assert len(set(known)) > 3
    assert "-" in up
    assert up[len(known) :] == down[len(known) :] == ["-"] * (len(up) - len(known))
    assert [text for text in down if text != "-"] != [text for text in up if text != "-"]
    assert press(window, title, "Catalyst") == "ascending"
    names = column(window, title, "Catalyst")
    assert names == sorted(names)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1440])
def test_nothing_is_wider_than_the_screen(window: Browser, width: int, scheme: str) -> None:
    window.prefer(scheme)
    window.resize(width)
    window.run("for (const one of document.querySelectorAll('details')) one.open = true;")
    wide, inner = window.run("return [document.scrollingElement.scrollWidth, innerWidth]")
    assert inner == width
    assert wide <= width
    # On a narrow screen every number of every table stands on it, and every figure is whole.
    beyond = window.run(
        """return [...document.querySelectorAll(".table td, .drawing svg, .multiples svg, .chart, .plot svg")]
             .map((one) => one.getBoundingClientRect())
             .filter((box) => box.width > 0 && box.right > innerWidth + 1).length"""
    )
    assert beyond == 0 or width == 1440
    if width == 375:
        drawing = "document.querySelector('.drawing')"
        window.run(f"{drawing}.click()")
        assert window.run(f"return {drawing}.querySelector('svg').getBoundingClientRect().width") >= 560
        window.run(f"{drawing}.click()")


def contrast(window: Browser) -> float:
    """Least WCAG contrast between any text of the page outside its drawings and what is behind it."""
    least: float = window.run(
        """const parse = (text) => text.match(/[\\d.]+/g).map(Number)
             .map((c, k) => (text.startsWith("color(") && k < 3 ? 255 * c : c));
           const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255)
             .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
             .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
           const behind = (one) => {
             for (let at = one; at; at = at.parentElement) {
               const rgb = parse(getComputedStyle(at).backgroundColor);
               if (rgb.length === 3 || rgb[3] > 0) return rgb;
             }
           };
           let least = 21;
           const seen = new Set();
           for (const one of document.querySelectorAll("body *:not(svg, svg *, script)")) {
             if (![...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
             const look = [one.tagName, one.className, one.parentElement.tagName, one.parentElement.className].join();
             if (seen.has(look)) continue;
             seen.add(look);
             const [a, b] = [light(parse(getComputedStyle(one).color)), light(behind(one))];
             least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
           }
           return least;"""
    )
    return least


def test_both_themes_can_be_read_and_the_button_changes_between_them(window: Browser) -> None:
    papers = {}
    for scheme in ("light", "dark"):
        window.prefer(scheme)
        papers[scheme] = window.run("return getComputedStyle(document.body).backgroundColor")
        assert contrast(window) >= 4.5, scheme
    assert papers["light"] == "rgb(255, 255, 255)"
    assert papers["dark"] != papers["light"]
    drawn = "return getComputedStyle(document.querySelector('svg text')).fill"
    dark_ink = window.run(drawn)
    window.run("document.getElementById('theme').click()")
    assert window.run("return getComputedStyle(document.body).backgroundColor") == papers["light"]
    assert window.run(drawn) != dark_ink
    window.run("document.getElementById('theme').click()")
    assert window.run("return getComputedStyle(document.body).backgroundColor") == papers["dark"]
    window.medium("print")
    assert window.run("return getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
    assert window.run("return getComputedStyle(document.querySelector('.edge')).position") == "fixed"
    window.medium("screen")


def test_what_is_downloaded_is_what_was_drawn(window: Browser, folder: Path, reported: Reported) -> None:
    from backtest.report import figures
    from backtest.report.html.blocks import csv_of

    run = reported.lead
    assert reported.contents.evaluation is not None
    plain, packed = f"costs-{run.strategy}.csv", "timeline.csv"
    wanted = {
        plain: csv_of(figures.costs_data(run)),
        packed: csv_of(figures.timeline_data(run, reported.contents.evaluation.calendar)),
    }
    for name, content in wanted.items():
        address = window.run(
            "const links = [...document.querySelectorAll('a.save')];"
            "const link = links.find((one) => one.download.startsWith(arguments[0]));"
            "link.click(); return link.href.slice(0, 30)",
            name,
        )
        assert address.startswith("data:")
        saved = folder / "downloads" / name
        # The name may stand before all of the file does.
        deadline = time.monotonic() + chromium.PATIENCE_S
        while not saved.is_file() or saved.read_text(encoding="utf-8") != content:
            assert time.monotonic() < deadline, name
            time.sleep(0.05)
        assert len(content.splitlines()) > 2


def test_hostile_text_is_only_text(window: Browser, reported: Reported) -> None:
    window.open(reported.path)
    window.run("for (const one of document.querySelectorAll('details')) one.open = true;")
    assert window.run("return window.hostile ?? null") is None
    assert window.run("return document.querySelectorAll('script').length") == 1
    assert window.run("return document.querySelectorAll('body img, iframe, object, embed, base, form').length") == 0
    assert window.run(
        "return [...document.querySelectorAll('*')].flatMap((one) => [...one.attributes])"
        ".filter((one) => one.name.startsWith('on') || /^\\s*javascript:/i.test(one.value)).map((one) => one.name)"
    ) == []  # fmt: skip
    assert window.run(
        "const addresses = [...document.querySelectorAll('a')].map((one) => one.getAttribute('href'));"
        "return addresses.filter((one) => !/^(#|data:)/.test(one))"
    ) == ["https://www.tradingview.com/"]  # fmt: skip
    shown = window.run("return [...document.querySelectorAll('#catalysts td')].map((one) => one.textContent)")
    for text in HOSTILE:
        visible = text.replace("\x07", "\u2407").replace("\x1b", "\u241b")
        assert any(visible in one for one in shown), text
    assert any(LONG_NOTE in one for one in shown)
    loose = window.run(
        """const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
           const loose = [];
           while (nodes.nextNode()) {
             const node = nodes.currentNode;
             if (/[\\u202a-\\u202e\\u2066-\\u2069]/.test(node.textContent) && !node.parentElement.closest("bdi"))
               loose.push(node.textContent.slice(0, 40));
           }
           return loose;"""
    )
    assert loose == []
    assert window.log("browser") == []
