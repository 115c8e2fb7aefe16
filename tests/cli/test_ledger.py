"""`backtest ledger`, and what the other verbs write into it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import Command

QUICK = ("--placebo", "99", "--bootstrap", "0", "--ledger", "l.sqlite")
MOMENTUM = ("-s", "catalyst_momentum")


def folder_of(told: str) -> Path:
    return Path(told.strip().splitlines()[-1].partition(": ")[2])


def test_the_verdict_does_not_depend_on_what_is_named(backtest: Command, tmp_path: Path) -> None:
    together = backtest("run", *MOMENTUM, "-s", "sector_rotation", *QUICK, "--out", "both")
    assert together.returncode == 0, together.stderr
    assert "adj.p is adjusted for 2 trials on these catalysts" in " ".join(together.stdout.split())
    alone = backtest("run", *MOMENTUM, *QUICK)
    folder = tmp_path / folder_of(alone.stderr)
    assert folder.name.startswith("privacy-2025-sample-catalyst_momentum-")
    was, now = (json.loads((path / "ledger.json").read_text()) for path in (tmp_path / "both", folder))
    assert now["trials"] == was["trials"][:1]
    # run.json knows nothing of it: the same bytes as without a ledger.
    without = backtest("run", *MOMENTUM, *QUICK[:-1], "none", "--out", "without")
    assert "no ledger: p is adjusted within this command only" in " ".join(without.stdout.split())
    assert (tmp_path / "without" / "run.json").read_bytes() == (folder / "run.json").read_bytes()
    assert not (tmp_path / "without" / "ledger.json").exists()


def test_runs_never_overwrite_other_runs(backtest: Command, tmp_path: Path) -> None:
    folders = set()
    for arguments in (("-p", "hold=24h"), ("-p", "hold=48h"), ("--timerange", "20250920-20251116"), ()):
        done = backtest("run", *MOMENTUM, *QUICK, *arguments)
        assert done.returncode == 0, done.stderr
        folders.add(folder_of(done.stderr))
    assert len(folders) == 4
    first = (tmp_path / min(folders) / "run.json").read_bytes()
    refused = backtest("run", "-s", "sector_rotation", *QUICK, "--out", str(min(folders)))
    assert refused.returncode == 2
    assert f"run folder {min(folders)} holds another run: choose another with --out" in refused.stderr
    assert (tmp_path / min(folders) / "run.json").read_bytes() == first
    again = backtest("run", *MOMENTUM, *QUICK)
    assert folder_of(again.stderr) in folders


def test_sweep_and_walkforward_write_their_trials(backtest: Command, tmp_path: Path) -> None:
    search = (*MOMENTUM, "-p", "hold=24h,48h", "--placebo", "99", "--ledger", "l.sqlite")
    swept = backtest("sweep", *search, "--out", "sweep")
    assert swept.returncode == 0, swept.stderr
    assert "pass once everything tried is counted" in " ".join(swept.stdout.split())
    walked = backtest("walkforward", *search, "--out", "walk")
    assert walked.returncode == 0, walked.stderr
    told = " ".join(walked.stdout.split())
    assert "adj.p is adjusted for 3 trials in 2 families on these catalysts" in told
    listed = json.loads(backtest("ledger", "list", "--json", "--ledger", "l.sqlite").stdout)
    parents = sorted(one["parent"].split()[0] for one in listed["trials"])
    assert parents == ["sweep", "sweep", "walk-forward"]
    assert json.loads((tmp_path / "walk" / "ledger.json").read_text())["trials"][0]["families"] == 2


def test_a_test_is_registered_and_found(backtest: Command) -> None:
    where = ("--ledger", "l.sqlite")
    made = backtest("ledger", "register", "momentum lasts", *MOMENTUM, "--placebo", "99", *where)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("registered as #1 on 20")
    assert '"momentum lasts"' in backtest("ledger", "list", *where).stdout
    done = backtest("run", *MOMENTUM, *QUICK)
    told = " ".join(done.stdout.split())
    assert "catalyst_momentum: registered as #1 on" in told
    late = backtest("ledger", "register", "rotation", "-s", "sector_rotation", "--placebo", "99", *where)
    assert late.returncode == 0
    told = " ".join(backtest("run", "-s", "sector_rotation", *QUICK).stdout.split())
    assert "after #3 had looked at these catalysts: it is adjusted for all" in told


def test_reading_it(backtest: Command, tmp_path: Path) -> None:
    where = ("--ledger", "l.sqlite")
    for hold in ("24h", "48h"):
        assert backtest("run", *MOMENTUM, "-p", f"hold={hold}", *QUICK, "--out", hold).returncode == 0
    shown = backtest("ledger", "show", "2", *where).stdout
    assert shown.startswith("#2 catalyst_momentum of 20")
    assert "hold=24h" in shown
    told = " ".join(backtest("ledger", "diff", "2", "4", *where).stdout.split())
    assert "parameters.hold 24h 48h" in told
    assert "on 99 common draws" in told
    assert backtest("ledger", "export", "t.csv", "--draws", *where).returncode == 0
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 3
    assert (tmp_path / "t.npz").is_file()
    whole = backtest("ledger", "verify", "24h", "48h", *where)
    assert (whole.returncode, "5 entries and 2 sets of draws are as they were" in " ".join(whole.stdout.split())) == (
        0,
        True,
    )
    assert backtest("ledger", "compact", *where).returncode == 0
    db = sqlite3.connect(tmp_path / "l.sqlite")
    db.execute("DROP TRIGGER no_update")
    db.execute("UPDATE entries SET body = replace(body, '48h', '49h') WHERE seq = 4")
    db.commit()
    db.close()
    broken = backtest("ledger", "verify", *where)
    assert broken.returncode == 3
    assert "entry #4 (trial of" in broken.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("ledger", "show", "9", "--ledger", "l"), 2, "ledger l does not exist: `backtest run` makes it"),
        (("ledger", "list", "--ledger", "none"), 2, "no ledger is in use"),
        (("ledger", "list", "--ledger", "text"), 3, "ledger text is damaged or no ledger"),
        (("run", *MOMENTUM, "--placebo", "99", "--ledger", "text"), 3, "ledger text is damaged or no ledger"),
        (("ledger", "verify", "nowhere"), 3, "ledger.json does not exist"),
        (("ledger", "register", "two", "--placebo", "99"), 2, "a registration is of one test, and 15 strategies"),
    ],
)
def test_bad_input_is_one_sentence(
    backtest: Command, tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    (tmp_path / "text").write_text("no database\n" * 50)
    done = backtest(*arguments, BACKTEST_LEDGER="l")
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()
