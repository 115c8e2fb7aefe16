"""`backtest walkforward`: its choices, one run out of sample, and JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Command

ASKED = ("walkforward", "-s", "catalyst_momentum", "-p", "hold=24h,72h", "-p", "stop_loss=0.05,0.2", "--folds", "3")


def test_choices_and_the_run_out_of_sample(backtest: Command, tmp_path: Path) -> None:
    done = backtest(*ASKED, "--out", "here")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert said.startswith("RECONSTRUCTED: ")
    assert "catalyst_momentum: 4 trials, net return" in said
    assert "thresholds: beats placebo" in said
    assert max(map(len, done.stdout.splitlines())) <= 80
    document = json.loads((tmp_path / "here" / "walkforward.json").read_text())
    assert document["schema"] == "backtest.walkforward/2"
    assert [fold["number"] for fold in document["folds"]] == [1, 2, 3]
    tested = [name for fold in document["folds"] for name in fold["test"]]
    assert len(tested) == len(set(tested)) == 12
    for fold in document["folds"]:
        assert fold["trained_to"] < fold["test_start"] < fold["test_end"]
        assert not set(fold["train"]) & set(fold["test"])
    trades = pd.read_csv(tmp_path / "here" / "trades.csv")
    assert 0 < len(trades) == document["scores"]["trades"]["value"]
    assert set(trades["catalyst_id"]) <= set(tested)
    equity = pd.read_csv(tmp_path / "here" / "equity.csv")["catalyst_momentum"]
    assert equity.iloc[-1] / 100_000 - 1 == pytest.approx(document["scores"]["net_return"]["value"], abs=1e-9)


def test_json_is_the_file(backtest: Command, tmp_path: Path) -> None:
    done = backtest(*ASKED, "--json", "--placebo", "0", "--memory", "2", "--horizon", "24h", "--out", "here")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "here" / "walkforward.json").read_text())
    assert document["evidence"]["verdict"] == "not tested"
    assert document["memory"] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--folds", "40"), "40 folds need at least one catalyst each"),
        (("--horizon", "soon"), "'soon' is not a duration"),
        (("--horizon", "90d"), "fold 1 has nothing to train on"),
    ],
)
def test_bad_input_is_one_sentence(backtest: Command, arguments: tuple[str, ...], sentence: str) -> None:
    done = backtest(*ASKED, *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
