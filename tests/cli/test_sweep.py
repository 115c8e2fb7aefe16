"""`backtest sweep`: the table, the whole trial matrix, JSON, and one clear sentence for every bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Command

SPACE = """
strategy = "catalyst_momentum"
search = "random"
trials = 6
[parameters]
hold = "24h..96h"
stop_loss = [0.1, 0.2]
assets = [["ZEC"], ["ZEC", "DASH"]]
"""


def test_every_trial_is_kept_and_the_best_are_shown(backtest: Command, tmp_path: Path) -> None:
    asked = ("sweep", "-s", "catalyst_momentum", "-p", "hold=24h..72h/24h", "-p", "stop_loss=0.05,0.2", "--out", "here")
    done = backtest(*asked)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert said.startswith("RECONSTRUCTED: ")
    assert "catalyst_momentum: best 6 of 6 trials" in said
    assert "adjusted for multiple testing (2,615 shifted calendars)" in said
    assert "deflated Sharpe ratio of trial" in said
    assert "probability of backtest overfitting:" in said
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr.strip() == "sweep folder: here"
    trials = pd.read_csv(tmp_path / "here" / "trials.csv")
    assert len(trials) == 6
    assert trials["hold"].tolist() == ["24h", "24h", "48h", "48h", "72h", "72h"]
    assert (trials["p_adjusted"] >= trials["p"]).all()
    assert np.load(tmp_path / "here" / "returns.npy").shape == (2616, 6)
    files = {path: path.read_bytes() for path in (tmp_path / "here").rglob("*") if path.is_file()}
    again = backtest(*asked)
    assert again.stdout == done.stdout
    assert files == {path: path.read_bytes() for path in (tmp_path / "here").rglob("*") if path.is_file()}


def test_a_file_of_parameters_and_json(backtest: Command, tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(SPACE)
    done = backtest("sweep", "--space", "space.toml", "--json", "--spa", "--placebo", "dates:199", "--out", "here")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "here" / "sweep.json").read_text())
    assert document["schema"] == "backtest.sweep/2"
    assert document["trials"] == 6
    assert document["placebo"]["kind"] == "dates"
    assert 0.0 <= document["superior_ability"]["p_lower"] <= document["superior_ability"]["p_upper"] <= 1.0
    assert set(document["parameters"]["assets"]) <= {"ZEC", "ZEC,DASH"}
    assert document["best"]["net_return"] == pd.read_csv(tmp_path / "here" / "trials.csv")["net_return"].max()
    assert {(one["row_name"], one["column_name"]) for one in document["heat_maps"]} >= {("hold", "stop_loss")}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("-p", "hold=1d"), 2, "no strategy is named"),
        (("-s", "catalyst_momentum"), 2, "no parameter is searched"),
        (("-s", "catalyst_momentum", "-p", "hodl=1d"), 2, "parameter 'hodl' is unknown to catalyst_momentum"),
        (("-s", "catalyst_momentum", "-p", "hold=1d,soon"), 2, "hold = 'soon': not a duration"),
        (("-s", "catalyst_momentum", "-p", "hold=1d..3d"), 2, "has no step: add one as 1d..3d/STEP"),
        (("-s", "catalyst_momentum", "-p", "hold=1d", "--search", "gird"), 2, "did you mean 'grid'?"),
        (("-s", "catalyst_momentum", "-p", "hold=1d", "--trials", "9"), 2, "belongs to --search random"),
        (("--space", "none.toml"), 2, "none.toml does not exist"),
        (("-s", "catalyst_momentum", "-p", "hold=1d", "--cluster", "tcp://127.0.0.1:1"), 2, "no Dask scheduler"),
    ],
)
def test_bad_input_is_one_sentence(backtest: Command, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    done = backtest("sweep", *arguments)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
