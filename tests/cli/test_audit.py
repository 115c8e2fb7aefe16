"""`backtest audit`: exit code 5 with the first offending decision, and what was exercised."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command

PEEKING = '''
from backtest.signals.strategy import Intent, Intents, Parameters, Strategy


class Peeking(Strategy[Parameters]):
    """Buys at the open of the bar that will close 5 % higher."""

    name = "peeking"
    hypothesis = "The future pays."
    parameters_type = Parameters

    def decide(self, market, calendar):
        column = market.column("ZEC/USDT:USDT")
        rows = (market.close[:, column] > 1.05 * market.open[:, column]).nonzero()[0]
        return Intents(
            tuple(
                Intent(instrument="ZEC/USDT:USDT", decided_at_ms=int(market.open_ms[row]), weight=0.1) for row in rows
            )
        )
'''


def test_our_own_are_clean(backtest: Command) -> None:
    # Many more cuts of each are tried where strategies are tested as they all are; here, what is said of them.
    done = backtest("audit", "--cuts", "3")
    assert done.returncode == 0, done.stderr
    assert "look-ahead" not in done.stdout.replace("Look-ahead audit", "")
    assert "funding_carry" in done.stdout
    assert "catalysts hidden while not yet known: zec-2025-10-01-grayscale-trust" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_look_ahead_ends_with_5_and_names_decision_input_and_time(backtest: Command, tmp_path: Path) -> None:
    (tmp_path / "peeking.py").write_text(PEEKING)
    done = backtest("audit", "-s", "peeking.py:Peeking", "--timerange", "20251001-20251115", "--cuts", "20")
    assert done.returncode == 5
    assert "look-ahead" in done.stdout
    said = done.stderr.strip()
    assert len(said.splitlines()) == 1
    assert said.startswith("backtest: strategy 'peeking' looked ahead: the decision of 2025-1")
    assert "(long ZEC/USDT:USDT) is" in said
    assert "close of ZEC/USDT:USDT in the bar of 2025-1" in said
    assert "1 h after the decision" in said


def test_json_says_what_was_read_and_when_it_was_known(backtest: Command, tmp_path: Path) -> None:
    (tmp_path / "peeking.py").write_text(PEEKING)
    done = backtest("audit", "-s", "peeking.py", "-s", "listing_fade", "--cuts", "10", "--json")
    assert done.returncode == 5
    document = json.loads(done.stdout)
    assert document["schema"] == "backtest.audit/1"
    peeking, fade = document["audits"]
    assert (peeking["verdict"], fade["verdict"]) == ("look-ahead", "clean")
    assert peeking["leak"]["decided_at"] < peeking["leak"]["known_at"]
    assert "close" in peeking["leak"]["read"]
    assert fade["leak"] is None
    assert fade["reads"] == ["close", "calendar"]
    assert len(fade["hidden"]) == 27


def test_silence_is_not_called_safety(backtest: Command) -> None:
    done = backtest("audit", "-s", "listing_fade", "-p", "least_rise=9", "--cuts", "5")
    assert done.returncode == 0
    assert "listing_fade: not exercised: it made no decision inside this market, which proves nothing" in " ".join(
        done.stdout.split()
    )
    assert " clean" not in done.stdout


def test_what_lies_outside_is_named(backtest: Command, tmp_path: Path) -> None:
    honest = PEEKING.replace("market.open_ms[row])", "market.open_ms[row]) + market.bar_ms")
    (tmp_path / "peeking.py").write_text(honest.replace("rows = (", 'open("peeking.py").close()\n        rows = ('))
    done = backtest("audit", "-s", "peeking.py:Peeking", "--timerange", "20251001-20251115", "--cuts", "4")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "reads outside" in said
    assert "peeking: touches file" in said
    assert "whether that was known in time is not tested" in said


def test_too_few_cuts_are_refused(backtest: Command) -> None:
    done = backtest("audit", "--cuts", "2")
    assert done.returncode == 2
    assert "cuts = 2 is too few to audit anything" in done.stderr
