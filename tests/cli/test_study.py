"""`backtest study`: the tables, the folder, JSON, and one clear sentence for every bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.cli.conftest import Command

QUICK = ("--draws", "100")


def test_the_default_names_every_catalyst_in_80_columns(backtest: Command) -> None:
    done = backtest("study", *QUICK)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("RECONSTRUCTED: ")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    words = " ".join(done.stdout.split())
    for text in (
        "run-up announcement +1d +3d volume flags",
        "zec-2025-11-01-oi-record",
        "market model on BTC",
        "mean 95% interval by chance found p adj. p",
        "Vitalik Buterin",
        "left out: UNTIMED (not even the day of the announcement is known): zec-2025-10-mert, zec-2025-10-hayes-repeat",
    ):
        assert text in words, text
    events = json.loads(backtest("events", "list", "--json").stdout)["catalysts"]
    assert len(events) == 27
    for one in events:
        assert one["id"] in words


def test_one_catalyst_has_no_table_of_means(backtest: Command) -> None:
    """A mean needs two: the table was printed without a row, and told of a least p of "-"."""
    done = backtest("study", "--draws", "20", "--actor", "Naval Ravikant")
    assert done.returncode == 0, done.stderr
    assert "Abnormal returns of 1 catalyst\n" in done.stdout
    assert "groups of two and more" not in done.stdout
    assert "at least -" not in done.stdout


def test_json_and_folder_say_the_same(backtest: Command, tmp_path: Path) -> None:
    done = backtest("study", *QUICK, "--json", "--out", "here")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "study folder: here\n"
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "here" / "study.json").read_text())
    assert document["schema"] == "backtest.study/2"
    assert document["label"] == "RECONSTRUCTED"
    assert document["config"]["draws"] == 100
    assert [span["name"] for span in document["spans"]] == ["run_up", "announcement", "after_1d", "after_3d"]
    assert [span["first"] for span in document["spans"]] == [-48, 0, 1, 1]
    tables = ("catalysts", "legs", "rejected", "effects", "tests", "influencers")
    for name in tables:
        assert len(pd.read_csv(tmp_path / "here" / f"{name}.csv")) == len(document[name]) > 0
    paths = pd.read_csv(tmp_path / "here" / "paths.csv")
    assert len(paths) == sum(len(path["bar"]) for path in document["paths"]) > 0
    assert {path["measure"] for path in document["paths"]} == {"return", "volume", "open_interest"}
    grayscale = document["catalysts"][0]
    assert grayscale["catalyst_id"] == "zec-2025-10-01-grayscale-trust"
    assert grayscale["known_at"] == "2025-10-02T00:00:00+00:00"
    last = document["car"][grayscale["catalyst_id"]][-1]
    assert last == pytest.approx(sum(grayscale[name] for name in ("run_up", "announcement", "after_3d")))


def test_options_reach_the_study(backtest: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('gap = "2d"\nminimum_catalysts = 3\nbefore = "3d"\n')
    done = backtest(
        "study", "--json", "--config", "mine.toml", "--timeframe", "1d", "--model", "market_adjusted", "--benchmark",
        "ETH", "--kind", "influencer_call", "--kind", "listing", "--after", "2d", "--before", "1d", "--group", "actor",
        "--set", "multiplicity=benjamini_hochberg", "--set", "match=hour", "--seed", "7", *QUICK,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    config = document["config"]
    assert (config["gap"], config["before"], config["after"], config["seed"]) == ("2d", "1d", ["2d"], 7)
    assert (config["benchmarks"], config["match"]) == (["ETH"], "hour")
    assert document["windows"] == {"estimation": 30, "gap": 2, "first": -1, "last": 2}
    assert {row["kind"] for row in document["catalysts"]} == {"influencer_call", "listing"}
    assert {row["grouping"] for row in document["effects"]} == {"all", "actor"}
    everything = [row for row in document["effects"] if row["grouping"] == "all" and row["measure"] == "return"]
    assert {row["method"] for row in everything} == {"kolari_pynnonen"}


def test_overlaps_are_shared_and_each_coin_is_set_against_its_basket(backtest: Command, tmp_path: Path) -> None:
    """`--share-overlaps` and `--synthetic` add tables of their own; `--clean-estimation` fits on fewer bars."""
    plain = json.loads(backtest("study", *QUICK, "--json", "--kind", "listing").stdout)
    assert (plain["distributed_lags"], plain["synthetic_controls"]) == ([], [])
    asked = ("--share-overlaps", "--synthetic", "--clean-estimation", "--kind", "listing")
    done = backtest("study", *QUICK, *asked, "--out", "here")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    words = " ".join(done.stdout.split())
    for text in (
        "Overlaps shared: distributed-lag regression",
        "Synthetic control, returns in %",
        "two-sided, by common shifts, at least",
        "Kolari-Pynnonen, adjusted for the correlation between catalysts whose dates overlap; ~ placebo p",
    ):
        assert text in words, text
    document = json.loads((tmp_path / "here" / "study.json").read_text())
    lags = [row for row in document["distributed_lags"] if row["grouping"] == "all"]
    assert [row["span"] for row in lags] == ["run_up", "announcement", "after_1d", "after_3d"]
    assert all(row["floor"] <= row["p_value"] <= 1.0 for row in lags)
    # One coin and day is one observation, in every table.
    assert {row["n"] for row in lags} == {
        row["n"] for row in plain["effects"] if row["grouping"] == "all" and row["measure"] == "return"
    }
    told = {row["catalyst_id"] for row in document["synthetic_controls"]}
    assert told == {row["catalyst_id"] for row in plain["catalysts"]}
    assert any(row["reason"] == "" and 0.0 < row["space_p"] <= 1.0 for row in document["synthetic_controls"])
    bars = [{row["catalyst_id"]: row["estimation_bars"] for row in one["catalysts"]} for one in (plain, document)]
    # One whose clean window is too short is left out, by name.
    short = {row["catalyst_id"] for row in document["rejected"] if row["reason"] == "SHORT_ESTIMATION"}
    assert bars[0].keys() - bars[1].keys() <= short
    assert all(bars[1][name] <= bars[0][name] for name in bars[1])
    assert short or bars[1] != bars[0]
    assert document["config"]["clean_estimation"] is True


def test_overlapping_catalysts_are_left_out_by_name(backtest: Command) -> None:
    done = backtest("study", *QUICK, "--exclude-overlaps", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    # Two of one coin and day are one observation, and no overlap.
    assert {row["catalyst_id"]: row["overlaps"] for row in document["catalysts"] if row["overlaps"]} == {
        "zec-2025-10-01-grayscale-trust": "zec-2025-10-01-naval",
        "zec-2025-10-01-naval": "zec-2025-10-01-grayscale-trust",
    }
    left_out = {row["catalyst_id"] for row in document["rejected"] if row["reason"] == "OVERLAP"}
    assert {"zec-2025-11-12-cypherpunk", "zec-2025-11-12-hayes"} & left_out
    assert left_out.isdisjoint(row["catalyst_id"] for row in document["catalysts"])


BAD = [
    (("--model", "marke"), 2, "model = 'marke': must be 'market', 'market_adjusted' or 'mean_adjusted'"),
    (("--timeframe", "90m"), 2, "timeframe '90m' is not a multiple of the market's 1h"),
    (("--timeframe", "soon"), 2, "timeframe = 'soon': not a duration"),
    (("--before", "90m"), 2, "before = '90m' is not a whole number of bars of 1 h"),
    (("--before", "0d"), 2, "before = '0d' is not a whole number of bars"),
    (("--after", "1d", "--after", "1d"), 2, "'1d' is given twice: keep one"),
    (("--benchmark", "DOGE"), 2, "benchmark 'DOGE' is not in market 'privacy-2025-sample'"),
    (("--kind", "listng"), 2, "has no 'listng'; did you mean 'listing'?"),
    (("--asset", "DOGE"), 2, "assets: calendar 'privacy-2025' has no 'DOGE'"),
    (("--group", "colour"), 2, "groups = 'colour'"),
    (("--draws", "0"), 2, "draws = 0: must be at least 1"),
    (("--set", "drawss=3"), 2, "unknown key 'drawss'; did you mean 'draws'?"),
    (("--set", "draws=3", "--draws", "5"), 2, "--set 'draws' is also given as an option: keep one"),
    (("--config", "absent.toml"), 2, "absent.toml does not exist"),
    (("--timerange", "20240101-20240201"), 2, "holds no bar or extends beyond the data of"),
    (("-d", "privacy-2025-simple"), 2, "did you mean 'privacy-2025-sample'?"),
    (("-c", "absent.toml"), 3, "absent.toml does not exist"),
    (("-c", "privacy-history"), 3, "no catalyst of 'privacy-history' can be studied on 'privacy-2025-sample'"),
    (("--estimation", "300d"), 3, "SHORT_ESTIMATION (too few usable bars in the estimation window)"),
    (("--out", "file.txt/inside", *QUICK), 2, "cannot be written"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "sentence"), BAD, ids=[" ".join(row[0]) for row in BAD])
def test_bad_input_is_one_sentence_and_its_exit_code(
    backtest: Command, tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    (tmp_path / "file.txt").write_text("")
    done = backtest("study", *arguments)
    assert done.returncode == code, done.stderr
    said = done.stderr.strip()
    assert said.startswith("backtest: ")
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_help_answers_without_heavy_imports(backtest: Command) -> None:
    done = backtest("study", "--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "typer" in imported
    assert imported.isdisjoint({"pandas", "numba", "scipy", "statsmodels", "matplotlib", "pyarrow"})


@pytest.mark.parametrize("verb", [("run", "-s", "catalyst_momentum"), ("study",)])
def test_a_cluster_that_does_not_answer_is_said_before_anything_is_worked_out(
    backtest: Command, verb: tuple[str, ...]
) -> None:
    result = backtest(*verb, "--cluster", "tcp://127.0.0.1:9")
    assert result.returncode == 2
    assert "no Dask scheduler answers at 'tcp://127.0.0.1:9'" in result.stderr
    assert not result.stdout
