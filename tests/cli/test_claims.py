"""`backtest events claims`: claimed against measured, with the label of the data."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_the_sample_is_labelled_and_its_verdicts_are_printed(backtest: Command) -> None:
    done = backtest("events", "claims")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("RECONSTRUCTED: ")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "zec-10-23-price confirmed $237.84 $238.37 2025-10-23" in lines
    assert "zec-rise-40-days inconsistent 40d 15d 10-23..11-07" in lines
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_real_bars_give_windows_verdicts_and_reasons(backtest: Command, shared: Path) -> None:
    folder = shared / "market" / "binance-usdm-2025q4"
    done = backtest("events", "claims", "-d", str(folder), "--subject", "ZEC", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "backtest.claims/1"
    assert document["label"] == ""
    found = {one["id"]: one for one in document["claims"]}
    assert found["zec-11-07-price"]["measured"] == 534.9
    assert found["zec-11-07-price"]["verdict"] == "confirmed"
    assert found["zec-11-07-price"]["window"] == "2025-11-07 to 2025-11-07"
    assert found["zec-spot-volume-ratio"]["verdict"] == "not measurable"
    assert "has no spot of ZEC" in found["zec-spot-volume-ratio"]["reason"]
    assert "`series zec_shielded_pool=FILE.csv`" in found["zec-pool"]["reason"]


def test_a_claims_file_and_a_series_of_ones_own(backtest: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[[claim]]\nid = "pool-price"\nsays = "A pool of 4 million is worth two billion."\nsubject = "ZEC"\n'
        "claimed = 2e9\nunit = \"USD\"\nmeasure = \"series('pool', '2025-11-07') * close('ZEC', '2025-11-07')\"\n"
    )
    (tmp_path / "pool.csv").write_text("available_at,value\n2025-11-07T10:00Z,4000000\n")
    done = backtest("events", "claims", "mine.toml", "--series", "pool=pool.csv")
    assert done.returncode == 0, done.stderr
    assert "pool-price confirmed $2B $2.581B" not in done.stdout
    # 4 million at 645.27 are 2.581 billion, 29 % more than claimed
    assert "pool-price understated $2B $2.581B 2025-11-07" in " ".join(done.stdout.split())


def test_bad_input_is_one_sentence(backtest: Command, tmp_path: Path) -> None:
    for arguments, code, sentence in (
        (("events", "claims", "privacy"), 2, "did you mean 'privacy-2025'?"),
        (("events", "claims", "none.toml"), 3, "none.toml does not exist"),
        (
            ("events", "claims", "--subject", "DOGE"),
            2,
            "--subject 'DOGE': no claim of 'privacy-2025' is about it; allowed: ",
        ),
        (("events", "claims", "--series", "pool"), 2, "--series 'pool' is not NAME=FILE.csv"),
        (("events", "claims", "--series", "pool=none.csv"), 3, "none.csv does not exist"),
    ):
        done = backtest(*arguments)
        assert done.returncode == code, done.stderr
        assert sentence in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_filters_and_clusters_of_the_catalogue(backtest: Command) -> None:
    done = backtest("events", "list", "--confidence", "low", "--direction", "1", "--json")
    assert {one["confidence"] for one in json.loads(done.stdout)["catalysts"]} == {"low"}
    document = json.loads(backtest("events", "list", "--json").stdout)
    clusters = {one["id"]: one["cluster"] for one in document["catalysts"]}
    assert clusters["zec-2025-10-01-naval"] == clusters["zec-2025-10-01-grayscale-trust"] == 1
    assert clusters["zec-2025-11-12-cypherpunk"] == clusters["zec-2025-11-12-hayes"] == 4
    assert clusters["zec-2025-11-26-grayscale-etf"] is None
    sector = json.loads(backtest("events", "list", "--json", "--sector", "--within", "72h").stdout)["catalysts"]
    assert sum(one["cluster"] is not None for one in sector) > sum(one is not None for one in clusters.values())
    shown = backtest("events", "show", "zec-2025-10-31-hayes", "--within", "0m").stdout
    assert "within 0m       none" in shown
    wrong = backtest("events", "list", "--confidence", "certain")
    assert wrong.returncode == 2
    assert "confidence 'certain' is unknown" in wrong.stderr
