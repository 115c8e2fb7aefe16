"""`backtest strategies`, and a strategy of one's own in every verb that takes one."""

from __future__ import annotations

import json
from pathlib import Path

from backtest.strategies import REGISTRY
from tests.cli.conftest import Command


def test_all_are_listed_with_their_parameters(backtest: Command) -> None:
    done = backtest("strategies")
    assert done.returncode == 0, done.stderr
    for name, strategy in REGISTRY.items():
        assert f"\n{name}\n" in f"\n{done.stdout}"
        for parameter in strategy.parameters_type.model_fields:
            assert f"    {parameter} = " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_json_holds_the_same(backtest: Command) -> None:
    document = json.loads(backtest("strategies", "--json", "-s", "funding_carry").stdout)
    assert document["schema"] == "backtest.strategies/1"
    (only,) = document["strategies"]
    assert only["name"] == "funding_carry"
    assert only["parameters"]["rich"] == {
        "default": 0.1,
        "description": "least average funding, share of notional a year",
    }


def test_a_new_one_runs_and_is_left_alone_afterwards(backtest: Command, tmp_path: Path) -> None:
    done = backtest("strategies", "new", "my_idea")
    assert done.returncode == 0, done.stderr
    assert "backtest run -s my_idea.py:MyIdea" in " ".join(done.stdout.split())
    run = backtest("run", "-s", "my_idea.py:MyIdea", "-p", "window=48h", "--placebo", "0", "--json", "--out", "here")
    assert run.returncode == 0, run.stderr
    (only,) = json.loads(run.stdout)["strategies"]
    assert only["name"] == "my_idea"
    assert only["parameters"]["window"] == "48h"
    assert len(only["trades"]) > 5
    audited = backtest("audit", "-s", "my_idea.py:MyIdea", "--cuts", "12")
    assert audited.returncode == 0, audited.stderr
    again = backtest("strategies", "new", "my_idea")
    assert again.returncode == 2
    assert again.stderr.strip() == "backtest: my_idea.py is there already: choose another name or --out"


def test_wrong_references_are_one_sentence(backtest: Command, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def (\n")
    (tmp_path / "twin.py").write_text("from backtest.strategies.buy_and_hold import BuyAndHold\n")
    for arguments, sentence in (
        (("run", "-s", "none.py:Mine"), "strategy file none.py does not exist"),
        (("run", "-s", "broken.py:Mine"), "broken.py line 1 is not valid Python"),
        (("run", "-s", "buy_and_hold", "-s", "twin.py:BuyAndHold"), "strategy 'buy_and_hold' is chosen twice"),
        (("audit", "-s", "oi_breakin"), "strategy 'oi_breakin' is unknown; did you mean 'oi_breakout'?"),
        (("strategies", "new", "My Idea"), "strategy name 'My Idea': use lower-case letters"),
    ):
        done = backtest(*arguments)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_strategy_without_its_data_says_so(backtest: Command, shared: Path) -> None:
    folder = shared / "market" / "binance-usdm-2025q4"
    done = backtest("run", "-d", str(folder), "-s", "oi_breakout", "--placebo", "0")
    assert done.returncode == 0, done.stderr
    assert "oi_breakout: open interest is unknown throughout market" in " ".join(done.stdout.split())


def test_two_datasets_are_joined_by_a_plus(backtest: Command, shared: Path) -> None:
    folder = shared / "market"
    both = f"{folder / 'binance-usdm-2025q4'}+{folder / 'binance-spot-2025q4'}"
    done = backtest("run", "-d", both, "-s", "funding_carry", "--placebo", "0", "--json", "--out", "here")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["dataset"]["name"] == "binance-usdm-2025q4+binance-spot-2025q4"
    (only,) = document["strategies"]
    assert {trade["instrument"] for trade in only["trades"]} == {
        "ZEC/USDT:USDT", "ZEC/USDT", "DASH/USDT:USDT", "DASH/USDT",
    }  # fmt: skip
