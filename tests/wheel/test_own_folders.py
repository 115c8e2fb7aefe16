"""A repository laid out as a user would: strategies/ with a helper, datasets/, notebooks/ and tests/ of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wheel.conftest import Installed

MINE = '''"""Hypothesis: their own folder is found, with what lies beside it."""

from strategies.helpers import SIDE

from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.strategy import Intent, Intents, Parameters, Strategy


class Mine(Strategy[Parameters]):
    """Holds the first coin from the second day on."""

    name = "mine"
    hypothesis = "Their own folder is found."
    parameters_type = Parameters

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        """One intent."""
        decided = market.start_ms + 2 * 86_400_000
        return Intents((Intent(instrument=market.symbols[0], decided_at_ms=decided, side=SIDE, hold_ms=86_400_000),))
'''
NOTEBOOK = """
from strategies.mine import Mine
from backtest import Session, open_calendar, open_dataset
from backtest.strategies import REGISTRY

run = Session(open_dataset("privacy-2025-sample"), open_calendar("privacy-2025")).replay(Mine())
print(len(run.trades), len(REGISTRY) > 10)
"""
THEIR_TEST = """
from strategies.mine import Mine
from datasets.mine import ANSWER
from backtest import open_calendar, open_dataset

def test_it_decides():
    intents = Mine().decide(open_dataset("privacy-2025-sample"), open_calendar("privacy-2025"))
    assert len(intents) == 1 and ANSWER == 42
"""
QUICK = ("--placebo", "0", "--bootstrap", "0")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("theirs")
    files = {
        "strategies/mine.py": MINE,
        "strategies/helpers.py": "SIDE = 1\n",
        "strategies/__init__.py": "",
        "datasets/__init__.py": "",
        "datasets/mine.py": "ANSWER = 42\n",
        "notebooks/backtest_notes.py": "raise RuntimeError('nobody imports this')\n",
        "tests/__init__.py": "",
        "tests/test_mine.py": THEIR_TEST,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


PROGRAMS = (("backtest",), ("python", "-m", "backtest"), ("python", "-P", "-m", "backtest"))
NAMES = ("mine", "strategies/mine.py", "strategies/mine.py:Mine")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_every_name_is_found_by_every_way_of_calling(
    installed: Installed, theirs: Path, program: tuple[str, ...], name: str
) -> None:
    done = installed([*program, "strategies", "-s", name, "-s", "catalyst_momentum"], theirs)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.strip() and line[0] != " "] == [
        "mine",
        "catalyst_momentum",
    ]


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_every_way_of_calling_runs_it(installed: Installed, theirs: Path, program: tuple[str, ...]) -> None:
    done = installed([*program, "run", "-s", "mine", *QUICK], theirs)
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout


def test_a_notebook(installed: Installed, theirs: Path) -> None:
    done = installed(["python", "-c", "import sys; sys.path.insert(0, '')\n" + NOTEBOOK], theirs)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "True"]


def test_their_pytest(installed: Installed, theirs: Path) -> None:
    done = installed(["python", "-m", "pytest", "-q", "-p", "no:cacheprovider"], theirs)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_near_miss_of_their_own_is_told(installed: Installed, theirs: Path) -> None:
    done = installed(["backtest", "run", "-s", "mien", *QUICK], theirs)
    assert done.returncode == 2
    assert "did you mean 'mine'?" in " ".join(done.stderr.split())


def test_an_installed_package_offers_strategies(installed: Installed, theirs: Path, tmp_path: Path) -> None:
    """By an entry point, found in a folder on the path as it is in site-packages."""
    (tmp_path / "offered.py").write_text(MINE.replace("from strategies.helpers import SIDE", "SIDE = 1"))
    about = tmp_path / "offered-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[backtest.strategies]\ngiven = offered:Mine\nbroken = offered:Absent\n")
    done = installed(["backtest", "run", "-s", "given", *QUICK], theirs, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    done = installed(["backtest", "run", "-s", "broken", *QUICK], theirs, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "strategy 'broken' of entry point 'offered:Absent' cannot be loaded" in " ".join(done.stderr.split())
