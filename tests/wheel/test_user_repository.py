"""A repository of somebody else: the wheel, a strategy, bars and a calendar of their own, baselines and tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backtest.testing import planted_effect
from tests.wheel.conftest import ROOT, Installed

PAGE = (ROOT / "docs" / "testing.md").read_text()
OWN = ("-d", "my-usdm-bars", "-c", "mine.toml", "--placebo", "200")
PYTEST = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider")


@pytest.fixture(scope="module")
def repository(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What docs/testing.md shows, and data that no one else has."""
    folder = tmp_path_factory.mktemp("repository")
    blocks = re.findall(r"```(python|console)\n(.*?)```", PAGE, flags=re.S)
    files = [text for kind, text in blocks if kind == "python" and re.match(r"# \w+\.py\n", text)]
    assert len(files) == 2
    for text in files:
        (folder / text.split()[1]).write_text(text)
    commands = [line for kind, text in blocks if kind == "console" for line in text.splitlines()]
    assert len(commands) == 2
    for line in commands:
        assert line.startswith("$ backtest ")
        done = installed(line.removeprefix("$ ").split(), folder)
        assert done.returncode == 0, done.stderr
    planted = planted_effect(0.1, after="2h")
    bars = folder / "my-usdm-bars"
    bars.mkdir()
    for symbol in planted.market.symbols:
        columns = {name: planted.market.frame(name)[symbol] for name in ("open", "high", "low", "close", "volume")}
        lines = [
            ",".join(map(repr, (int(moment), *map(float, row))))
            for moment, *row in zip(planted.market.open_ms, *columns.values(), strict=True)
        ]
        path = bars / f"{symbol.partition('/')[0]}USDT-1h.csv"
        path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n")
    (folder / "mine.toml").write_text(
        "\n".join(
            f'[[catalyst]]\nid = "{one.id}"\nassets = ["{one.assets[0]}"]\nkind = "listing"\nactor = "nobody"\n'
            f'direction = 1\nannounced_at = {one.announced_at:%Y-%m-%dT%H:%M:%SZ}\nprecision = "hour"\n'
            f'source = "planted"\nconfidence = "high"\n'
            for one in planted.calendar
        )
    )
    done = installed(("backtest", "baseline", "record", "-s", "my_idea.py:MyIdea", *OWN), folder)
    assert done.returncode == 0, done.stderr
    assert "8 trades" in done.stdout
    return folder


def test_the_page_and_the_data_of_ones_own(installed: Installed, repository: Path) -> None:
    done = installed(PYTEST, repository)
    assert "5 passed" in done.stdout, done.stdout + done.stderr
    check = installed(("backtest", "baseline", "check", "--trust", "my_idea.py"), repository)
    assert check.returncode == 0, check.stdout + check.stderr
    assert "2 passed" in check.stdout


def test_a_broken_strategy_ends_with_4_and_says_what_broke(installed: Installed, repository: Path) -> None:
    strategy = repository / "my_idea.py"
    good = strategy.read_text()
    assert good.count("known_at, 1, catalyst_id") == 1
    strategy.write_text(good.replace("known_at, 1, catalyst_id", "known_at + 3_600_000, 1, catalyst_id"))
    try:
        done = installed(
            ("backtest", "baseline", "check", "baselines/my-usdm-bars", "--trust", "my_idea.py"), repository
        )
        assert done.returncode == 4, done.stdout + done.stderr
        told = " ".join(done.stdout.split())
        assert "the source of my_idea changed" in told
        assert "8 trades changed, 0 added, 0 removed" in told
        assert "was planted-01 ZEC/USDT:USDT long 2025-10-09T05:00Z" in told
        assert "now planted-01 ZEC/USDT:USDT long 2025-10-09T06:00Z" in told
        assert "Traceback" not in done.stderr
    finally:
        strategy.write_text(good)


def test_a_look_ahead_fails_their_test_in_the_words_of_the_audit(installed: Installed, repository: Path) -> None:
    strategy = repository / "my_idea.py"
    good = strategy.read_text()
    assert good.count("row_known_at(known_at, market)") == 1
    strategy.write_text(good.replace("row_known_at(known_at, market)", "row_known_at(known_at, market) + 3"))
    try:
        done = installed((*PYTEST, "-k", "look_ahead or effect"), repository)
        assert done.returncode == 1, done.stdout
        assert "1 failed, 1 passed" in done.stdout
        assert "AssertionError: strategy 'my_idea' looked ahead: the decision of 2025-10-" in done.stdout
        assert "ZEC/USDT:USDT" in done.stdout
    finally:
        strategy.write_text(good)


def test_the_store_is_all_that_data_leave_in_the_home(installed: Installed, repository: Path, tmp_path: Path) -> None:
    for verb in (("import", "my-usdm-bars", "--venue", "gate"), ("list",)):
        done = installed(("backtest", "data", *verb), repository, HOME=str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert "gate" in done.stdout
    left = {path.relative_to(tmp_path).parts[:4] for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {(".local", "share", "backtest", "store")}
