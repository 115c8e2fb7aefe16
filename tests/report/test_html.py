"""The report as text: what it says, that all of it is escaped, and that it needs nothing but itself."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from backtest.base.errors import DataError, UsageError
from backtest.base.progress import silent
from backtest.catalysts.record import Calendar, Catalyst
from backtest.report.folder import run_document
from backtest.report.html import Missing
from backtest.report.html.blocks import PACKED_FROM, Download, Facts, Figure, ReportTable, Text, csv_of, drawn, share
from backtest.report.html.contents import Contents, gather, verify
from backtest.report.html.evidence import claims_section, search_section, study_section
from backtest.report.html.page import render
from backtest.report.html.plain import flat, visible
from backtest.report.html.strategies import lead_run
from backtest.report.html.summary import summary
from backtest.study.study import Study
from tests.report.conftest import FLAG, HOSTILE, Reported

CLAIMS = """
name = "elsewhere"
[[claim]]
id = "doge-close"
says = "DOGE closed at 1 USD"
subject = "DOGE"
claimed = 1.0
unit = "USD"
measure = "close('DOGE', '2025-10-01')"
"""


class Outline(HTMLParser):
    """Elements with their attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self._open[-1:]):
            self.texts.append(data)


@pytest.fixture(scope="module")
def outline(reported: Reported) -> Outline:
    return Outline(reported.text)


def test_nothing_outside_the_file_is_referred_to(outline: Outline, reported: Reported) -> None:
    addresses = [value for _, attributes in outline.elements for name, value in attributes.items()
                 if name in ("href", "src", "srcset", "action", "data", "xlink:href", "poster")]  # fmt: skip
    assert len(addresses) > 30
    # The charting library's licence asks for this link; following it is left to the reader.
    assert [one for one in addresses if not one.startswith(("#", "data:"))] == ["https://www.tradingview.com/"]
    style = re.search(r"<style>(.*?)</style>", reported.text, re.S)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {one[1:] for one in addresses if one.startswith("#")} <= set(ids)


def test_only_its_own_script_may_run(outline: Outline, reported: Reported) -> None:
    policy = next(attributes["content"] for tag, attributes in outline.elements
                  if attributes.get("http-equiv") == "Content-Security-Policy")  # fmt: skip
    assert policy.startswith("default-src 'none'; ")
    scripts = re.findall(r"<script>(.*?)</script>", reported.text, re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "http" not in policy


def test_the_charting_library_is_the_published_file_with_its_licence() -> None:
    folder = files("backtest.report.html") / "vendor"
    held = (folder / "lightweight-charts.js").read_bytes()
    # dist/lightweight-charts.standalone.production.js of the npm package lightweight-charts 5.2.1.
    assert hashlib.sha256(held).hexdigest() == "e21cc5caa0226ef30bd8549c50b9ef926615f2a4ee6b4e486353477a55f598cf"
    assert len(held) < 250_000
    assert b"Apache License 2.0" in held[:400]
    licence = (folder / "lightweight-charts.LICENSE").read_text()
    assert "Copyright 2023 TradingView, Inc." in licence
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in licence


def test_hostile_text_is_escaped(outline: Outline) -> None:
    tags = [tag for tag, _ in outline.elements]
    assert tags.count("script") == 1
    assert not {"img", "iframe", "object", "embed", "base", "form", "textarea"} & set(tags)
    assert not [name for _, attributes in outline.elements for name in attributes if name.startswith("on")]
    said = "".join(outline.texts)
    for text in HOSTILE:
        assert visible(text) in said
    assert f"javascript:{FLAG}" in said
    assert "49" not in said[said.index("{{ 7 * 7 }}") - 3 : said.index("{{ 7 * 7 }}")]


def test_control_characters_show_and_directions_stay_out_of_titles() -> None:
    assert visible("a\x00b\x1b\nc\x85\ud800") == "a\u2400b\u241b\nc\ufffd\ufffd"
    assert flat("a\u202eb\x07c\u2066") == "abc"


def test_a_reconstruction_says_so_everywhere(reported: Reported, outline: Outline) -> None:
    assert re.search(r"<title>RECONSTRUCTED: ", reported.text)
    classes = [attributes.get("class") for _, attributes in outline.elements]
    assert classes.count("label") == classes.count("edge") == 1
    drawings = re.findall(r"<svg.*?</svg>", reported.text.partition("<script>")[0], re.S)
    assert len(drawings) > 10
    assert all("RECONSTRUCTED" in one for one in drawings)


def test_measured_data_carry_no_label(reported: Reported) -> None:
    (search,) = reported.contents.searches
    missing = Missing("not asked for")
    texts = {}
    for label in ("RECONSTRUCTED", ""):
        dataset = {**search.document["dataset"], "label": label}
        measured = replace(search, document={**search.document, "dataset": dataset})
        texts[label] = render(Contents(None, None, missing, missing, (measured,), ""))
    for mark in ("<title>RECONSTRUCTED: ", 'class="label"', 'class="edge"'):
        assert mark in texts["RECONSTRUCTED"]
        assert mark not in texts[""]


def test_every_figure_has_a_sentence_and_its_numbers(outline: Outline, reported: Reported) -> None:
    figures = re.findall(r"<figure>.*?</figure>", reported.text, re.S)
    assert len(figures) > 10
    for one in figures:
        assert re.search(r'<p class="how"><bdi>[^<]{30,}', one)
        assert "<svg" in one
        assert re.search(r'<a class="save" download="[^"]+\.csv(\.gz)?"', one)


def test_a_figure_that_cannot_be_drawn_says_why() -> None:
    def refused() -> Any:
        raise DataError("there are no bars on that day")

    figure = drawn("Title", "How to read it.", "name", refused, refused)
    assert figure == Figure("Title", "How to read it.", reason="there are no bars on that day")


@pytest.mark.parametrize("rows", [2, PACKED_FROM])
def test_a_download_holds_the_text(rows: int) -> None:
    text = csv_of(pd.DataFrame({"actor": ['a "b", \u202e#%&'] * rows, "value": [0.1] * rows}))
    download = Download("numbers.csv", text)
    head, _, content = download.address.partition(",")
    if download.packed:
        assert (head, download.file) == ("data:application/gzip;base64", "numbers.csv.gz")
        assert gzip.decompress(base64.b64decode(content)).decode() == text
    else:
        assert (head, download.file) == ("data:text/csv;charset=utf-8", "numbers.csv")
        assert unquote(content) == text
        assert not set(content) & set('"<> \n#')
    assert download.packed == (rows > 2)


def catalyst(identifier: str, direction: int = 1) -> Catalyst:
    return Catalyst(
        id=identifier, assets=("ZEC",), kind="listing", actor="X", direction=direction,  # type: ignore[arg-type]
        precision="day", source="s", confidence="high", announced_at="2025-10-01",  # type: ignore[arg-type]
    )  # fmt: skip


def trade(
    identifier: str, side: int, before: float | None, captured: float, net: float, coin: str = "ZEC"
) -> dict[str, Any]:
    return {
        "catalyst_id": identifier,
        "instrument": f"{coin}/USDT:USDT",
        "side": side,
        "before": before,
        "waited": None if before is None else 0.0,
        "captured": captured,
        "net_return": net,
    }


def card(verdict: str, adjusted: float | None) -> dict[str, Any]:
    placebo = {"adjusted": adjusted, "p": adjusted, "reason": "", "n": 99, "exact": False, "kind": "shift", "family": 2,
               "statistic": "net_return", "quantiles": [None] * 7}  # fmt: skip
    return {"verdict": verdict, "reason": "why", "placebo": placebo, "thresholds": {"level": 0.05, "trades": 5}}


def answered(verdict: str, adjusted: float) -> tuple[list[str], list[ReportTable]]:
    """Sentences and tables of the summary of two strategies on three catalysts, worked out by hand below."""
    score = {"value": 0.1, "low": None, "high": None}
    names = ("net_return", "max_drawdown", "sharpe", "trades", "fees_drag", "slippage_drag", "impact_drag",
             "funding_drag", "liquidation_drag")  # fmt: skip
    scores = dict.fromkeys(names, score)
    outcomes = [{"catalyst_id": "one-a", "outcome": "traded"}, {"catalyst_id": "two-b", "outcome": "traded"},
                {"catalyst_id": "three-c", "outcome": "NO_BAR"}]  # fmt: skip
    strategies = [
        {"name": "first", "scores": scores, "evidence": card(verdict, adjusted), "catalysts": outcomes,
         "trades": [trade("one-a", 1, 0.1, 0.3, 0.2), trade("two-b", -1, 0.5, -0.4, -0.5)]},
        {"name": "second", "scores": scores, "evidence": card("too few trades", 0.5), "catalysts": outcomes,
         "trades": [trade("one-a", 1, 0.3, 0.1, 0.0), trade("one-a", -1, None, -0.1, -0.2),
                    trade("one-a", 1, 0.9, 0.9, 0.9, "XMR")]},
    ]  # fmt: skip
    calendar = Calendar("c", (catalyst("one-a"), catalyst("two-b", -1), catalyst("three-c")))
    missing = Missing("")
    contents = Contents(
        {"strategies": strategies, "label": ""}, SimpleNamespace(calendar=calendar), missing, missing, (), ""
    )  # type: ignore[arg-type]
    blocks = summary(contents).blocks
    return [one.text for one in blocks if isinstance(one, Text)], [
        one for one in blocks if isinstance(one, ReportTable)
    ]


def test_the_answer_counts_and_takes_medians() -> None:
    texts, (_, catalysts) = answered("indistinguishable from chance", 0.2)
    # Along the catalyst: one-a long ZEC twice (medians 0.2, 0.2, 0.1), two-b short once (0.5, -0.4, -0.5).
    assert texts[0] == (
        "2 of 3 catalysts were traded by at least one strategy, 2 on their own coin in the direction that they "
        "called for; on 1 of these 2 the median trade gained after every cost. With each of them counted once, four "
        "medians: +35.0% had gone before it was known (before), +0.0% while the strategy waited to enter (waited), "
        "-10.0% came between fill and exit (captured), and -20.0% was left net of costs. Against that direction 1 "
        "was traded, and on 0 of these the median trade gained. "
        "Trades in other coins, the other leg of a pair among them, are not in these figures."
    )
    assert texts[1].endswith(
        "none beats them: the nearest is first with p 0.2, adjusted for multiple testing over all of them."
    )
    assert "not how they were chosen" in texts[2]
    rows = [[cell.text for cell in row] for row in catalysts.rows]
    assert [row[0] for row in rows] == ["one-a", "one-a", "one-a", "two-b", "three-c"]
    assert rows[0][2:] == ["long ZEC", "2 strategies", "+20.0%", "+0.0%", "+20.0%", "+10.0%"]
    assert catalysts.rows[0][-1].below == "+0.0% to +20.0%"
    assert rows[1][2:] == ["short ZEC", "1 strategy", "-", "-", "-10.0%", "-20.0%"]
    assert catalysts.rows[1][-1].below == ""
    assert rows[2][2:4] == ["long XMR", "1 strategy"]
    assert catalysts.rows[2][2].below == "other coins"
    assert rows[4][2:] == ["-", "no strategy", "-", "-", "-", "-"]
    assert catalysts.rows[4][3].below == "no bar opened in time (NO_BAR)"


def test_a_winner_is_named() -> None:
    texts, (verdicts, _) = answered("beats placebo", 0.01)
    assert texts[1].endswith("; first (adjusted p 0.01) beats them at the level 0.05.")
    assert [cell.tone for cell in verdicts.rows[0]][4] == "strong"
    assert [cell.tone for cell in verdicts.rows[1]][4] == ""


def test_a_small_p_without_a_win_says_why_it_is_none() -> None:
    texts, _ = answered("loses money", 0.01)
    assert texts[1].endswith(
        "the nearest is first with p 0.01, adjusted for multiple testing over all of them, "
        "but its verdict is: loses money."
    )


def test_the_answer_on_labelled_bars_carries_the_label(reported: Reported) -> None:
    luck = next(one.text for one in summary(reported.contents).blocks if isinstance(one, Text) and "luck" in one.answer)
    assert "placebo calendars of RECONSTRUCTED bars" in luck


def test_intervals_have_their_level_and_p_its_price(reported: Reported) -> None:
    study = reported.contents.study
    assert not isinstance(study, Missing)
    said = re.sub(r"\s+", " ", reported.text)
    for sentence in (
        "90% bootstrap interval",
        "go by the adjusted one",
        "Low and high are the 95% interval of the mean",
        "not over several groupings",
        "Both bands hold 95% bar by bar",
        "lines are 95% intervals, one actor at a time",
        "p is unadjusted; adjusted p is adjusted for multiple testing over every trial",
    ):
        assert sentence in said, sentence


def test_claims_on_a_reconstruction_are_confirmed_by_construction(reported: Reported) -> None:
    document = reported.contents.document
    assert document is not None
    for label, warnings in (("RECONSTRUCTED", 1), ("", 0)):
        contents = replace(reported.contents, document={**document, "label": label})
        said = [one.text for one in claims_section(contents, silent).blocks if isinstance(one, Text) and one.warning]
        assert len(said) == warnings
        assert all("confirmed by construction" in one for one in said)


def test_what_must_be_shown_with_a_study_is_on_the_page(reported: Reported) -> None:
    study = reported.contents.study
    assert not isinstance(study, Missing)
    label = study.notes[0]
    assert label.startswith("RECONSTRUCTED: ")
    told = replace(study, notes=(label, "no placebo date for zec-news: every week alike lies in an event window"))
    warnings = [one.text for one in study_section(replace(reported.contents, study=told), silent).blocks
                if isinstance(one, Text) and one.warning]  # fmt: skip
    assert warnings == ["No placebo date for zec-news: every week alike lies in an event window."]


def test_the_unknown_has_no_value_to_sort_by() -> None:
    assert share(None).value is None
    assert share(float("nan")).value is None
    assert share(0.5).value == 0.5


def test_a_run_that_changed_is_refused(reported: Reported) -> None:
    evaluation = reported.contents.evaluation
    assert evaluation is not None
    document = run_document(evaluation)
    verify(document, evaluation, "runs/x")
    for what, error, said in (
        ("data", DataError, "the data of runs/x has changed since: privacy-2025-sample had hash 0"),
        ("calendar", DataError, "the calendar of runs/x has changed since: hostile had hash 0"),
        ("config", UsageError, "the configuration of runs/x has changed since"),
    ):
        with pytest.raises(error, match=said):
            verify({**document, "hashes": {**document["hashes"], what: "0"}}, evaluation, "runs/x")
    first, *others = document["strategies"]
    fewer = {**document, "strategies": [{**first, "trades": first["trades"][1:]}, *others]}
    count = len(first["trades"])
    with pytest.raises(UsageError, match=f"made {count - 1} trades then and makes {count} now, .* run it again"):
        verify(fewer, evaluation, "runs/x")


def test_a_part_that_cannot_be_made_says_why(reported: Reported, tmp_path: Path) -> None:
    evaluation = reported.contents.evaluation
    assert evaluation is not None
    untimed = replace(catalyst("zec-untimed"), announced_at=None, precision="untimed")
    claims = tmp_path / "claims.toml"
    claims.write_text(CLAIMS)
    contents = gather(None, replace(evaluation, calendar=Calendar("none", (untimed,)), whole=None), claims=str(claims))
    assert isinstance(contents.study, Missing)
    assert "UNTIMED" in contents.study.reason
    assert contents.checks == Missing(f"No claim of {claims} can be measured on privacy-2025-sample.")
    with pytest.raises(UsageError, match="claims 'absent' are neither"):
        gather(None, evaluation, claims="absent")


def test_a_study_shows_what_it_has(reported: Reported) -> None:
    """Without kinds and actors there is one figure; without a study, the reason."""
    study = reported.contents.study
    assert isinstance(study, Study)
    whole = study_section(reported.contents, silent)
    bare = replace(
        study,
        paths=study.paths[study.paths["grouping"] == "all"],
        influencers=study.influencers.iloc[:0],
        rejected=study.rejected.iloc[:0],
    )
    blocks = study_section(replace(reported.contents, study=bare), silent).blocks
    figures = [[one for one in part if isinstance(one, Figure)] for part in (whole.blocks, blocks)]
    assert [len(part) for part in figures] == [3, 1]
    assert [one.title for one in blocks if isinstance(one, ReportTable)] == ["Mean abnormal return by group and span"]
    none = study_section(replace(reported.contents, study=Missing("No catalyst has a day.")), silent)
    assert none.blocks == (Text("No catalyst has a day."),)


def test_a_search_on_other_bars_is_not_taken_for_the_run(reported: Reported) -> None:
    (search,) = reported.contents.searches
    document = reported.contents.document
    assert document is not None
    told = search_section(search, 1, reported.contents, silent).blocks[0]
    assert isinstance(told, Text)
    assert not told.warning
    assert "4 trials on privacy-2025-sample, 1h bars, 2025-09-14 to 2026-01-01." in told.text
    other = {**document, "hashes": {**document["hashes"], "data": "0" * 16, "config": "0" * 16}}
    told = search_section(search, 1, replace(reported.contents, document=other), silent).blocks[0]
    assert isinstance(told, Text)
    assert told.warning
    assert told.text.endswith("Its data and config are not those of the run in this report.")
    alone = search_section(search, 1, replace(reported.contents, document=None), silent).blocks[0]
    assert isinstance(alone, Text)
    assert not alone.warning


def test_a_search_that_could_not_be_judged_says_so(reported: Reported) -> None:
    (search,) = reported.contents.searches
    lost = {"reason": "too few bars", "probability": None}
    document = {**search.document, "overfitting": lost, "deflated_sharpe": None, "superior_ability": None}
    section = search_section(
        replace(search, document=document, logits=np.empty(0), heat_maps=()), 1, reported.contents, silent
    )
    assert not [one for one in section.blocks if isinstance(one, Figure)]
    (facts,) = [one for one in section.blocks if isinstance(one, Facts)]
    assert [str(value) for _, value in facts.rows] == ["undefined", "undefined, too few bars", "not asked for"]


def test_the_lead_traded_most_catalysts(reported: Reported) -> None:
    evaluation = reported.contents.evaluation
    assert evaluation is not None
    counts = {run.strategy: run.trades["catalyst_id"].replace("", None).nunique() for run in evaluation.runs}
    assert counts[lead_run(evaluation).strategy] == max(counts.values()) > 0
