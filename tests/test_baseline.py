"""Baselines as records: what they hold, how they are written and read, and what a comparison says.

Expected figures are arithmetic by hand, and hashes those of `sha256sum`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from backtest.base.errors import BaselineError, DataError, UsageError
from backtest.base.units import TimeRange
from backtest.baseline import (
    METRICS,
    Baseline,
    Checked,
    Checklist,
    Comparison,
    Difference,
    RecordedMetric,
    baseline_of,
    baseline_path,
    baseline_text,
    changes,
    compare,
    data_differences,
    data_of,
    keep_tolerances,
    read_baseline,
    refused,
    rows_of,
    write_baseline,
)
from backtest.baseline.ledger import ledger_change, ledger_hash, ledger_lines, what_stayed
from backtest.catalysts.record import Calendar
from backtest.engine.prepared import prepare
from backtest.market.record import Market
from backtest.report.baseline_formats import check_document, github_annotations, junit_xml, summary_markdown
from backtest.request.request import Request
from backtest.scoring.evaluation import Evaluation
from backtest.scoring.scorecard import scorecard

HOUR = 3_600_000


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return Request(
        strategies=("catalyst_momentum",), bootstrap=0, placebo="19", timerange="20251010-20251116"
    ).evaluate()


@pytest.fixture(scope="module")
def baseline(evaluation: Evaluation) -> Baseline:
    return baseline_of(evaluation, {"strategies": ["catalyst_momentum"]})


def trade(**values: object) -> pd.DataFrame:
    row = {
        "catalyst_id": "zec-one",
        "instrument": "ZEC/USDT:USDT",
        "side": -1,
        "entry_time": pd.Timestamp("2025-10-02T04:00Z"),
        "exit_time": pd.Timestamp("2025-10-03T04:00Z"),
        "reason": "stop_loss",
        "entry_price": 100.0 / 3.0,
        "exit_price": 35.0,
        "quantity": 3_000.0,
        "net": -5_000.123456789,
    }
    return pd.DataFrame([row | values])


def with_metric(baseline: Baseline, name: str, **values: object) -> Baseline:
    metrics = baseline.metrics | {name: baseline.metrics[name].model_copy(update=values)}
    return baseline.model_copy(update={"metrics": metrics})


def metric_differences(baseline: Baseline, evaluation: Evaluation, accept: tuple[str, ...] = ()) -> list[Difference]:
    return [one for one in compare(baseline, evaluation, accept).differences if one.kind == "metric"]


def test_a_ledger_line_is_ten_digits_of_each_price_and_net_as_fine_as_the_notional() -> None:
    line = "zec-one ZEC/USDT:USDT short 2025-10-02T04:00Z 2025-10-03T04:00Z stop_loss 33.33333333 35 -5000.1235"
    # The notional is 100,033: its tenth digit is the fourth decimal.
    assert ledger_lines(trade(net=-5_000.123456789, entry_price=100.0 / 3.0 + 1e-15, quantity=3_001.0)) == (line,)
    assert ledger_lines(trade(catalyst_id="", side=1, net=-0.0))[0].split(" ")[::8] == ["-", "0.0000"]
    assert ledger_lines(trade(catalyst_id="two words"))[0].startswith("two_words ZEC")
    seconds = ledger_lines(trade(entry_time=pd.Timestamp("2025-10-02T04:00:30Z")))[0]
    assert "2025-10-02T04:00:30Z 2025-10-03T04:00Z" in seconds


def test_the_ledger_hash_is_that_of_its_text_and_bears_with_a_last_bit() -> None:
    # printf 'one\ntwo\n' | sha256sum
    assert ledger_hash(["one", "two"]) == "c3f9c8c283a2b1f2"
    shaken = trade(net=np.nextafter(-5_000.123456789, 0), exit_price=np.nextafter(35.0, 36.0))
    assert ledger_lines(shaken) == ledger_lines(trade())
    assert ledger_lines(trade(net=-5_000.1234)) != ledger_lines(trade())
    below = trade(entry_price=np.nextafter(100.0, 0.0), quantity=1_000.0)
    assert ledger_lines(below) == ledger_lines(trade(entry_price=100.0, quantity=1_000.0))


def test_a_change_of_the_ledger_is_counted_and_its_first_place_found() -> None:
    change = ledger_change(["a", "b", "c"], ["a", "x", "c", "d"])
    assert change is not None
    assert (change.changed, change.added, change.removed, change.first) == (1, 1, 0, 1)
    assert (change.was, change.now) == ("b", "x")
    assert change.sentence == "1 trade changed, 1 added, 0 removed"
    gone = ledger_change(["a", "b"], ["b"])
    assert gone is not None
    assert (gone.removed, gone.was, gone.now) == (1, "a", None)
    assert ledger_change(["a"], ["a"]) is None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"entry_time": pd.Timestamp("2025-10-02T06:00Z")}, "is entered 2 bars later: when orders fill"),
        ({"entry_time": pd.Timestamp("2025-10-02T03:00Z")}, "is entered 1 bar earlier: when orders fill"),
        ({"reason": "take_profit"}, "leaves in another or for another reason: how positions leave"),
        ({"entry_price": 33.0}, "at another entry price: half-spread, impact or size"),
        ({"exit_price": 34.0}, "at another price: levels, half-spread or impact"),
        ({"net": -1.0}, "another net: fees, funding, liquidation or size"),
    ],
)
def test_what_the_first_trade_still_shares_says_where_to_look(values: dict[str, object], says: str) -> None:
    change = ledger_change(ledger_lines(trade()), ledger_lines(trade(**values)))
    assert change is not None
    assert says in what_stayed(change, HOUR)


def test_another_decision_says_nothing_of_the_rest() -> None:
    for lines in (ledger_lines(trade(side=1)), ()):
        change = ledger_change(ledger_lines(trade()), lines)
        assert change is not None
        assert what_stayed(change, HOUR) == ""


def test_every_metric_has_a_tolerance_and_no_other_has(baseline: Baseline) -> None:
    assert list(baseline.metrics) == list(METRICS)
    assert (METRICS["trades"].absolute, METRICS["trades"].relative) == (0.0, 0.0)


def test_a_baseline_is_of_one_strategy(evaluation: Evaluation) -> None:
    twice = replace(evaluation, runs=evaluation.runs * 2)
    with pytest.raises(
        UsageError, match="a baseline is of one strategy, and the evaluation holds 2: evaluate each alone"
    ):
        baseline_of(twice, None)


def test_a_baseline_carries_the_family_that_its_verdict_is_adjusted_for(
    baseline: Baseline, evaluation: Evaluation
) -> None:
    """A p of 0.02 alone passes; of three recorded together 0.06 does not, whoever is checked and wherever."""
    (card,) = evaluation.cards
    assert card.placebo is not None
    luck = replace(card.placebo, p=0.02, adjusted=0.02, driftless_p=0.02, floor=0.01, doubtful=0, reason="")
    scores = tuple(replace(one, value=0.1) if one.name == "net_return" else one for one in card.scores)
    good = scorecard(card.strategy, scores, luck, card.capacity)
    lucky = replace(evaluation, cards=(good,))
    family = ("catalyst_momentum", "sector_rotation", "relative_value")
    alone, together = baseline_of(lucky, None), baseline_of(lucky, None, family)
    assert (alone.verdict, together.verdict) == ("beats placebo", "indistinguishable from chance")
    assert alone.metrics == together.metrics
    assert together.placebo is not None
    assert together.placebo.family == family
    assert compare(together, lucky).passed
    assert compare(alone, lucky).passed
    assert '"family"' not in baseline_text(baseline)
    assert '"family": ["catalyst_momentum", "sector_rotation", "relative_value"]' in baseline_text(together)
    assert Baseline.model_validate_json(baseline_text(together)) == together
    # Its family taken away by hand, the verdict differs, and is named.
    assert together.placebo.model_copy(update={"family": ()}) == alone.placebo
    edited = together.model_copy(update={"placebo": alone.placebo})
    told = compare(edited, lucky)
    assert told.sentences == ("verdict: indistinguishable from chance -> beats placebo", *told.notes)


def test_what_is_undefined_is_null_with_its_reason(baseline: Baseline) -> None:
    assert baseline.metrics["cagr"].value is None
    assert "less than one" in baseline.metrics["cagr"].reason
    assert "NaN" not in baseline_text(baseline)


def test_a_file_is_read_as_it_was_written(baseline: Baseline, tmp_path: Path) -> None:
    path = baseline_path(tmp_path, baseline)
    assert path == tmp_path / "privacy-2025-sample" / "catalyst_momentum.json"
    write_baseline(path, baseline)
    assert read_baseline(path) == baseline
    assert path.read_text() == baseline_text(baseline)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    lines = path.read_text().splitlines()
    assert sum('"net_return": {"value"' in line for line in lines) == 1
    assert sum(line.strip().startswith('"zec-2025-10-31-hayes ZEC/USDT:USDT long') for line in lines) == 1
    assert max(map(len, lines)) < 160


def test_names_that_are_no_file_names_stay_in_the_folder(baseline: Baseline, tmp_path: Path) -> None:
    strange = baseline.model_copy(update={"data": baseline.data.model_copy(update={"name": "../a b/c"})})
    assert baseline_path(tmp_path, strange).parent == tmp_path / "-a-b-c"


def test_a_file_that_cannot_be_written_is_one_sentence(baseline: Baseline, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file/x\.json cannot be written"):
        write_baseline(tmp_path / "file" / "x.json", baseline)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            '"schema": "backtest.baseline/2"',
            '"schema": "backtest.baseline/9"',
            "/9', which a later release",
        ),
        ('"verdict"', '"verdigt"', "unknown key 'verdigt'; did you mean 'verdict'"),
        ('"count": 9', '"count": 8', "count is 8, but the ledger has 9 lines"),
        (" long ", " short ", "is not that of the ledger, so it was edited by hand"),
        ('"absolute": 0.01', '"absolute": -0.01', "metrics.net_low.absolute = -0.01: must be at least 0"),
        ('{"value": 1.0,', '{"value": "one",', "metrics."),
        ('"start": "2025-10-10T00:00:00Z"', '"start": "soon"', "data.start = 'soon': not an instant"),
        ('"start": "2025-10-10T00:00:00Z"', '"start": "2025-10-10"', "data.start = '2025-10-10': not an"),
        ('"start": "2025-10-10T00:00:00Z"', '"start": "2026-10-10T00:00:00Z"', "is not after start 2026"),
        ('"timeframe": "1h"', '"timeframe": "1y"', "'1y' is not a duration"),
    ],
)
def test_a_malformed_file_is_named_with_its_key(
    baseline: Baseline, tmp_path: Path, old: str, new: str, says: str
) -> None:
    text = baseline_text(with_metric(baseline, "hit_rate", value=1.0))
    assert old in text
    path = tmp_path / "broken.json"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError) as error:
        read_baseline(path)
    assert str(path) in str(error.value)
    assert says in str(error.value)
    next_step = "upgrade the tool" if "schema" in old else "delete it and record it again"
    assert next_step in str(error.value)


def test_a_file_that_is_not_there_or_no_text_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.json does not exist: write it with `backtest baseline record`"):
        read_baseline(tmp_path / "absent.json")
    for content, says in ((b"\xff\xfe\x00", "UTF-8"), (b'{"schema": ', "JSON"), (b"[" * 100_000, "JSON|deep|nest")):
        (tmp_path / "bytes.json").write_bytes(content)
        with pytest.raises(DataError, match=rf"bytes\.json.*({says})"):
            read_baseline(tmp_path / "bytes.json")


def test_the_same_evaluation_passes(baseline: Baseline, evaluation: Evaluation) -> None:
    found = compare(baseline, evaluation)
    assert found.passed
    assert found.sentences == ()
    assert (found.trades, found.metrics, found.label) == (9, len(METRICS), "RECONSTRUCTED")
    found.check()


def test_the_larger_of_both_tolerances_counts(baseline: Baseline, evaluation: Evaluation) -> None:
    now = baseline.metrics["volatility"].value
    assert now is not None
    for was, absolute, relative, differs in (
        (now - 0.010, 0.011, 0.0, False),
        (now - 0.010, 0.009, 0.0, True),
        (now / 1.10, 0.0, 0.11, False),
        (now / 1.10, 0.0, 0.09, True),
        (now - 0.010, 0.011, 1e-9, False),
    ):
        moved = with_metric(baseline, "volatility", value=was, absolute=absolute, relative=relative)
        assert bool(metric_differences(moved, evaluation)) is differs


def test_better_than_allowed_fails_too_unless_it_is_accepted(baseline: Baseline, evaluation: Evaluation) -> None:
    now = baseline.metrics["sharpe"].value
    assert now is not None
    (better,) = metric_differences(with_metric(baseline, "sharpe", value=now - 0.5), evaluation)
    assert "better than allowed: record it if it is meant" in better.sentence
    assert metric_differences(with_metric(baseline, "sharpe", value=now - 0.5), evaluation, ("sharpe",)) == []
    (worse,) = metric_differences(with_metric(baseline, "sharpe", value=now + 0.5), evaluation, ("sharpe",))
    assert "better" not in worse.sentence
    fall = baseline.metrics["max_drawdown"].value
    assert fall is not None
    (better,) = metric_differences(with_metric(baseline, "max_drawdown", value=fall + 0.01), evaluation)
    assert "better" in better.sentence
    with pytest.raises(UsageError, match="accept 'sharp' is unknown; did you mean 'sharpe'"):
        compare(baseline, evaluation, ("sharp",))


def test_a_metric_that_becomes_or_stops_being_undefined_differs(baseline: Baseline, evaluation: Evaluation) -> None:
    (one,) = metric_differences(with_metric(baseline, "sharpe", value=None, reason="still"), evaluation)
    assert one.sentence.startswith("sharpe: undefined (still) -> ")
    (one,) = metric_differences(with_metric(baseline, "cagr", value=2.0, reason=""), evaluation)
    assert one.sentence.startswith("cagr: 2 -> undefined (the run covers")
    assert metric_differences(with_metric(baseline, "cagr", reason="in other words"), evaluation) == []


def test_a_metric_that_only_one_side_has_differs(baseline: Baseline, evaluation: Evaluation) -> None:
    fewer = baseline.model_copy(update={"metrics": {k: v for k, v in baseline.metrics.items() if k != "sharpe"}})
    assert [one.sentence for one in metric_differences(fewer, evaluation)] == [
        "sharpe is not in the baseline: record it"
    ]
    more = {**baseline.metrics, "omega": RecordedMetric(value=1.0, absolute=0.0, relative=0.0)}
    (one,) = metric_differences(baseline.model_copy(update={"metrics": more}), evaluation)
    assert one.sentence == "omega is in the baseline and no longer computed"


def test_causes_come_first_then_the_trade_then_metrics(baseline: Baseline, evaluation: Evaluation) -> None:
    was = with_metric(baseline, "sharpe", value=0.0)
    lines = ("x " + baseline.trades.ledger[0].partition(" ")[2], *baseline.trades.ledger[1:])
    was = was.model_copy(
        update={
            "strategy": was.strategy.model_copy(
                update={"parameters": was.strategy.parameters | {"hold": "1h", "old": True}, "source": "0" * 16}
            ),
            "config": was.config.model_copy(update={"values": was.config.values | {"fee_rate": 0.5}}),
            "trades": was.trades.model_copy(update={"ledger": lines}),
            "rejected": {"NO_BAR": 2},
            "verdict": "loses money",
            "placebo": None,
        }
    )
    found = compare(was, evaluation)
    kinds = [one.kind for one in found.differences]
    assert list(dict.fromkeys(kinds)) == [
        "config", "placebo", "parameter", "source", "ledger", "trade", "rejected", "metric", "verdict",
    ]  # fmt: skip
    said = "\n".join(found.sentences)
    for sentence in (
        "configuration fee_rate: 0.5 -> 0.0005",
        "parameter hold: 1h -> 72h",
        "parameter old: true -> none",
        "placebo draws: none -> 19",
        "1 trade changed, 0 added, 0 removed",
        "rejected NO_BAR: 2 -> 0",
    ):
        assert sentence in said
    with pytest.raises(BaselineError, match="catalyst_momentum on privacy-2025-sample: not as its baseline: config"):
        found.check()
    accepted = compare(was, evaluation, ("ledger", "verdict", "sharpe"))
    assert {one.kind for one in accepted.differences} == {"config", "placebo", "parameter", "source"}


def test_without_a_cause_the_notes_say_where_to_look(baseline: Baseline, evaluation: Evaluation) -> None:
    """Each outcome moved alone; the last note says what stayed, so that the change is in what it calls."""
    first, *others = baseline.trades.ledger
    *fields, _ = first.split(" ")
    net = (" ".join((*fields, "1.00000")), *others)
    undone = (first.replace(" long ", " short "), *others)
    called = "data, calendar, configuration, parameters and the strategy's source are as recorded: "

    def notes(**changes: object) -> tuple[str, ...]:
        found = compare(baseline.model_copy(update=changes), evaluation)
        assert not found.passed
        return found.notes

    (where, what) = notes(trades=baseline.trades.model_copy(update={"ledger": net}))
    assert "another net: fees, funding, liquidation or size changed" in where
    assert what.startswith(called)
    (what,) = notes(trades=baseline.trades.model_copy(update={"ledger": undone}))
    assert what.startswith(called)
    (what,) = notes(rejected={"NO_BAR": 2})
    assert what.startswith(called)
    (where, what) = notes(verdict="loses money")
    assert where == "trades and all other metrics are as recorded: the placebo test or the verdict on it changed"
    assert what.startswith(called)


def test_a_new_source_that_changes_nothing_is_noted_and_passes(baseline: Baseline, evaluation: Evaluation) -> None:
    edited = baseline.model_copy(update={"strategy": baseline.strategy.model_copy(update={"source": "0" * 16})})
    found = compare(edited, evaluation)
    assert found.passed
    assert len(found.notes) == 1
    assert "the source of catalyst_momentum changed" in found.notes[0]


def test_other_versions_are_told_only_where_something_differs(baseline: Baseline, evaluation: Evaluation) -> None:
    older = baseline.model_copy(update={"versions": baseline.versions | {"numpy": "1.0"}})
    assert compare(older, evaluation).sentences == ()
    found = compare(with_metric(older, "sharpe", value=0.0), evaluation)
    assert any(note.startswith("versions: numpy 1.0 -> ") for note in found.notes)
    assert "the trades are as recorded: how metrics are computed changed, not what was traded" in found.notes


def test_other_data_are_refused_and_nothing_else_is_said(baseline: Baseline, evaluation: Evaluation) -> None:
    hashes = baseline.data.instruments | {"ZEC/USDT:USDT": "0" * 16}
    other = with_metric(baseline, "sharpe", value=0.0).model_copy(
        update={"data": baseline.data.model_copy(update={"instruments": hashes})}
    )
    found = compare(other, evaluation)
    assert found.status == "refused"
    assert found.differences == ()
    assert len(found.sentences) == 1
    assert found.sentences[0].startswith("ZEC/USDT:USDT has other bars (hash 0000000000000000 -> ")
    with pytest.raises(DataError, match="baseline not compared"):
        found.check()


def test_each_way_in_which_data_differ_has_its_sentence(baseline: Baseline, evaluation: Evaluation) -> None:
    market, calendar = evaluation.market, evaluation.calendar

    def said(bars: object = market, rows: Calendar = calendar) -> list[str]:
        differences = data_differences(baseline, data_of(bars), rows_of(rows))  # type: ignore[arg-type]
        return [one.sentence for one in differences]

    assert said() == []
    fewer = market.select(market.symbols[1:])
    assert said(fewer)[0].startswith(f"{market.symbols[0]} is not in the data (hash ")
    assert said(market.select(market.symbols[::-1])) == ["the instruments stand in another order"]
    earlier = market.between(TimeRange(None, market.end_ms - HOUR))
    assert said(earlier)[0] == "end of the bars: 2025-11-16T00:00:00Z -> 2025-11-15T23:00:00Z"
    assert len(said(earlier)) == 1 + len(market.symbols)
    volume = market.volume.copy()
    volume[5, 2] += 1.0
    (found,) = said(replace(market, volume=volume))
    assert found.startswith(f"{market.symbols[2]} has other bars (hash ")
    without = Calendar(calendar.name, calendar.catalysts[1:])
    assert said(rows=without)[0].startswith(f"catalyst {calendar.catalysts[0].id} is not in the calendar")
    turned = Calendar(calendar.name, calendar.catalysts[::-1])
    assert said(rows=turned) == ["the catalysts stand in another order"]
    finer = baseline.model_copy(update={"data": baseline.data.model_copy(update={"detail": "0123abcd"})})
    (other,) = data_differences(finer, baseline.data, rows_of(calendar))
    assert other.sentence.startswith("the finer bars are others (")


def test_finer_bars_are_hashed_inside_the_span_only(evaluation: Evaluation) -> None:
    finer = evaluation.market
    hours = len(finer.index) // 4
    market = replace(
        finer,
        index=finer.index[::4],
        timeframe="4h",
        open=finer.open[::4],
        high=finer.high.reshape(hours, 4, -1).max(axis=1),
        low=finer.low.reshape(hours, 4, -1).min(axis=1),
        close=finer.close[3::4],
        **{name: getattr(finer, name)[3::4] for name in ("volume", "open_interest", "funding")},
    )
    half = market.between(TimeRange(None, market.start_ms + 100 * market.bar_ms))
    late = finer.close.copy()
    late[450, 2] = finer.high[450, 2]
    early = finer.close.copy()
    early[150, 2] = finer.high[150, 2]

    def detail(bars: Market | None) -> str:
        return data_of(half, prepare(half, evaluation.config, bars)).detail

    assert detail(None) == ""
    assert len(detail(finer)) == 16
    assert detail(replace(finer, close=late)) == detail(finer)
    assert detail(replace(finer, close=early)) != detail(finer)


def test_tolerances_edited_by_hand_are_kept(baseline: Baseline) -> None:
    edited = with_metric(baseline, "sharpe", value=9.0, absolute=0.25)
    kept = keep_tolerances(baseline, edited)
    assert kept.metrics["sharpe"].absolute == 0.25
    assert kept.metrics["sharpe"].value == baseline.metrics["sharpe"].value
    assert kept.metrics["volatility"] == baseline.metrics["volatility"]


def test_changes_are_told_however_small(baseline: Baseline) -> None:
    assert changes(baseline, baseline) == ()
    value = baseline.metrics["sharpe"].value
    assert value is not None
    (one,) = changes(with_metric(baseline, "sharpe", value=value + 1e-8, absolute=1.0), baseline)
    assert one.name == "sharpe"


HOSTILE = 'a<b>&"%\r\n::error::x,y:z|`*\x00\x1b]]>\ud7ff'


@pytest.fixture
def hostile() -> Checklist:
    worse = Difference("metric", "sharpe", 1.0, 0.5, 1e-6, f"sharpe: 1 -> 0.5 {HOSTILE}")
    regressed = Comparison(HOSTILE, "data", (), (worse,), (HOSTILE,))
    checked = (
        Checked("a/one.json", Comparison("one", "data", (), (), trades=3, metrics=2)),
        Checked("a,b:c/two.json", regressed),
        Checked("a/three.json", refused("three", "data", "ZEC has other bars")),
    )
    return Checklist(checked, ("four",), True)


def test_the_exit_code_of_data_wins_over_that_of_a_regression(hostile: Checklist) -> None:
    assert hostile.exit_code == 3
    with pytest.raises(DataError, match="3 baselines: 1 passed, 1 regressed, 1 refused, 1 missing: restore the data"):
        hostile.check()
    without = replace(hostile, checked=hostile.checked[:2])
    assert without.exit_code == 4
    with pytest.raises(BaselineError, match="undo what changed"):
        without.check()
    lone = replace(hostile, checked=hostile.checked[:1])
    assert lone.exit_code == 4
    allowed = replace(lone, all_required=False)
    assert allowed.exit_code == 0
    allowed.check()


def test_junit_xml_survives_any_text(hostile: Checklist) -> None:
    root = ElementTree.fromstring(junit_xml(hostile))
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "2", "errors": "1", "skipped": "0",
    }  # fmt: skip
    cases = suite.findall("testcase")
    assert [case.get("classname") for case in cases] == ["a", "a,b:c", "a", "missing"]
    assert [[child.tag for child in case] for case in cases] == [[], ["failure"], ["error"], ["failure"]]
    failure = cases[1][0]
    assert 'a<b>&"%' in (failure.text or "")
    assert "\x00" not in (failure.text or "")
    assert failure.get("message", "").startswith("sharpe: 1 -> 0.5 a<b>")
    assert cases[2][0].get("message") == "ZEC has other bars"


def test_annotations_are_one_line_each_and_escaped(hostile: Checklist) -> None:
    lines = github_annotations(hostile)
    assert len(lines) == 3
    assert all(len(line.splitlines()) == 1 or "\x00" in line for line in lines)
    assert lines[0].startswith('::error file=a%2Cb%3Ac/two.json,title=baseline regressed%3A a<b>&"%25%0D%0A%3A%3Aerror')
    assert '::sharpe: 1 -> 0.5 a<b>&"%25%0D%0A::error::x,y:z' in lines[0]
    assert "\r" not in "".join(lines)
    assert "\n" not in "".join(lines)
    assert lines[2] == "::error title=baseline missing::four has no baseline"


def test_the_summary_is_a_table_that_no_text_breaks(hostile: Checklist) -> None:
    text = summary_markdown(hostile)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    heads = [row for row in rows if set(row) <= set("|- ")]
    assert len(heads) == 2
    columns = [row.replace("\\|", "").count("|") - 1 for row in rows]
    assert columns == [3] * 6 + [5] * 4
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;" in text
    assert any(row.endswith("| metric sharpe | 1 | 0.5 | 1e-06 |") for row in rows)


def test_json_says_all_of_it(hostile: Checklist) -> None:
    document = check_document(hostile)
    json.dumps(document, allow_nan=False)
    assert document["schema"] == "backtest.baseline-check/1"
    assert (document["passed"], document["exit_code"], document["missing"]) == (False, 3, ["four"])
    assert [one["status"] for one in document["files"]] == ["passed", "regressed", "refused"]
    assert document["files"][1]["differences"][0]["allowed"] == 1e-6
    assert document["files"][2]["data_differences"][0]["sentence"] == "ZEC has other bars"
