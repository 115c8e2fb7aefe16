"""A user's strategy: every way in which a file can be wrong is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.base.errors import ConfigError, UsageError
from backtest.catalysts.reading import open_calendar
from backtest.catalysts.record import Calendar
from backtest.market.auxiliary import read_series
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.record import Market
from backtest.signals.audit import audit
from backtest.signals.features import closes_ms
from backtest.signals.loading import is_file_reference, load_strategy, starting_point
from backtest.signals.strategy import Intent, Intents, Parameters, Strategy

GOOD = starting_point("mine")
BARE = """
from backtest.signals.strategy import Intents, Parameters, Strategy

class Mine(Strategy[Parameters]):
    name = "mine"
    hypothesis = "It pays."
    parameters_type = Parameters

    def decide(self, market, calendar):
        return Intents()
"""


def test_the_starting_point_passes_the_contract_and_the_audit(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    for reference in (f"{path}:Mine", str(path)):
        assert is_file_reference(reference)
        mine = load_strategy(reference)
        assert (mine.name, mine.__name__) == ("mine", "Mine")
    assert mine.hypothesis.endswith(".")
    for name, field in mine.parameters_type.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name
    with pytest.raises(ConfigError, match="strategy mine: unknown key 'colour'"):
        mine({"colour": "red"})
    market, calendar = open_dataset(default_dataset()), open_calendar("privacy-2025")
    assert isinstance(mine().decide(market, Calendar("empty", ())), Intents)
    found = audit(mine(), market, calendar, cuts=20)
    assert found.verdict == "clean"
    assert found.reads == ("close", "calendar")
    assert found.decisions > 10


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("x = (\n", "Mine", r"line 1 is not valid Python: '\(' was never closed"),
        ("1 / 0\n", "Mine", "failed when it was read: ZeroDivisionError: division by zero"),
        ("import no_such_module\n", "Mine", "failed when it was read: ModuleNotFoundError"),
        ("Mine = 1\n", "Mine", "Mine in .* is not a Strategy: derive it from backtest.Strategy"),
        ("class Mine: ...\n", "Mine", "is not a Strategy"),
        (BARE, "Mime", "has no class 'Mime'; did you mean 'Mine'"),
        ("", "Mine", "has no class 'Mine'; it defines no strategy"),
        (BARE.replace("decide", "decided"), "Mine", r"does not define decide\(market, calendar\)"),
        (BARE.replace('    name = "mine"\n', ""), "Mine", "has no name: add"),
        (BARE.replace('    hypothesis = "It pays."\n', ""), "Mine", "has no hypothesis: add"),
        (BARE.replace("parameters_type = Parameters", "parameters_type = dict"), "Mine", "has no parameters_type"),
        (BARE + BARE.replace("Mine", "Other"), "", r"defines 2 strategies \(Mine, Other\): name one"),
        ("", "", "defines no strategy: name one"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path: Path, text: str, name: str, sentence: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=sentence) as caught:
        load_strategy(f"{path}:{name}" if name else str(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_bad_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist: check the path"):
        load_strategy(f"{tmp_path / 'none.py'}:Mine")
    assert not is_file_reference("catalyst_momentum")
    for name in ("Mine", "my-thing", "", "2nd"):
        with pytest.raises(UsageError, match="use lower-case letters"):
            starting_point(name)


def test_an_auxiliary_series_is_point_in_time_in_a_strategy(tmp_path: Path) -> None:
    """Buys when the shielded pool grew; the reading about 10-20 was published on 10-22."""
    (tmp_path / "pool.csv").write_text(
        "available_at,value\n2025-10-10T00:00Z,4000000\n2025-10-22T06:30Z,4500000\n2025-11-07T00:00Z,4400000\n"
    )
    series = read_series(tmp_path / "pool.csv")

    class PoolGrowth(Strategy[Parameters]):
        name = "pool_growth"
        hypothesis = "A growing pool is demand."
        parameters_type = Parameters

        def decide(self, market: Market, calendar: Calendar) -> Intents:
            known = series.at(closes_ms(market))
            grown = [row for row in range(1, len(known)) if known[row] > known[row - 1]]
            return Intents(
                tuple(
                    Intent(instrument="ZEC/USDT:USDT", decided_at_ms=int(closes_ms(market)[row]), weight=0.1)
                    for row in grown
                )
            )

    market, calendar = open_dataset(default_dataset()), open_calendar("privacy-2025")
    (row,) = PoolGrowth().decide(market, calendar).rows
    assert row.decided_at_ms == 1761116400000  # 2025-10-22 07:00, the first close after 06:30
    assert audit(PoolGrowth(), market, calendar, cuts=12).verdict == "clean"
