"""`backtest run` says whether a strategy was more than luck."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Command


def test_the_verdict_is_printed_by_default_with_its_thresholds(backtest: Command) -> None:
    done = backtest("run", "-s", "catalyst_momentum", "-s", "buy_and_hold", "--all")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "buy_and_hold not an event strategy - - -" in said
    assert "catalyst_momentum beats placebo" in said or "catalyst_momentum indistinguishable from chance" in said
    assert "net return on shifted calendars, all 2,615 there are" in said
    assert "p is one-sided, at least 0.00038, adjusted for multiple testing over 1 strategy" in said
    assert "thresholds: beats placebo at a one-sided adjusted p <= 0.05, p <= 0.05 without drift, with a net" in said
    assert "Net return by capital" in said
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_json_holds_the_evidence(backtest: Command) -> None:
    done = backtest("run", "--json", "-s", "catalyst_momentum", "--placebo", "dates:500", "--statistic", "mean_trade")
    assert done.returncode == 0, done.stderr
    (only,) = json.loads(done.stdout)["strategies"]
    evidence = only["evidence"]
    luck = evidence["placebo"]
    assert (luck["kind"], luck["statistic"], luck["n"], luck["exact"]) == ("dates", "mean_trade", 500, False)
    assert luck["observed"] == pytest.approx(only["scores"]["mean_trade"]["value"], rel=1e-9)
    assert 1 / 501 <= luck["low"] + 1 / 501 <= luck["p"] + 1 / 501 <= luck["high"] + 1 / 501
    assert evidence["verdict"] in ("beats placebo", "indistinguishable from chance")
    assert len(evidence["capacity"]["capital"]) == len(evidence["capacity"]["net_return"]) == 9
    at_default = evidence["capacity"]["net_return"][evidence["capacity"]["capital"].index(100_000.0)]
    assert at_default == pytest.approx(only["scores"]["net_return"]["value"], rel=1e-9)


def test_none_is_asked_for_and_none_is_given(backtest: Command) -> None:
    done = backtest("run", "--json", "-s", "catalyst_momentum", "--placebo", "0")
    (only,) = json.loads(done.stdout)["strategies"]
    assert only["evidence"]["placebo"] is None
    assert only["evidence"]["verdict"] == "not tested"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--placebo", "date"),
            "or 0 for none; as a kind did you mean 'dates'?",
        ),
        (("--placebo", "dates:x"), "--placebo 'dates:x' is not KIND, COUNT or KIND:COUNT"),
        (("--placebo", "7"), "7 placebo draws cannot reach p = 0.05"),
        (("--statistic", "profit"), "statistic 'profit' is unknown; allowed: mean_trade, net_return, sharpe"),
    ],
)
def test_a_placebo_that_cannot_be_is_refused(backtest: Command, arguments: tuple[str, ...], sentence: str) -> None:
    done = backtest("run", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
