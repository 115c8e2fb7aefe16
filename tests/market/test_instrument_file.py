"""`instruments.toml` beside a folder of bars: what it says is kept by the replay, what nobody can mean is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.base.config import load_config
from backtest.base.errors import MarketError
from backtest.engine.replay import replay
from backtest.market.folder import read_folder
from backtest.market.instrument import Instrument
from backtest.signals.strategy import Intent, Intents

BARS = "time,open,high,low,close,volume\n" + "".join(
    f"{1759276800000 + 3600000 * row},100,{100 + 4 * (row == 3)},{100 - 4 * (row == 3)},100,1000000\n"
    for row in range(6)
)
FREE = {"impact": 0.0, "participation": float("inf"), "fee_rate": 0.0, "half_spread": 0.0, "capital": 1000.0}
RULES = """
["ZEC/USDT:USDT"]
tick = 2
lot = 3
contract_size = 0.5
least_notional = 5
tiers = [[0, 0.01], [4000, 0.05]]
listed = 2019-09-13
delisted = 2025-10-01T05:00:00Z
omits_empty_bars = true
earlier_names = [["1000ZEC/USDT:USDT", 1000]]
"""


def folder_of(tmp_path: Path, text: str) -> Path:
    folder = tmp_path / "my-futures"
    folder.mkdir(exist_ok=True)
    (folder / "ZECUSDT-1h.csv").write_text(BARS)
    (folder / "instruments.toml").write_text(text)
    return folder


def test_every_rule_is_read_and_named(tmp_path: Path) -> None:
    market = read_folder(folder_of(tmp_path, RULES))
    assert market.instruments == (
        Instrument(
            "ZEC/USDT:USDT",
            "ZEC",
            "USDT",
            "swap",
            "USDT",
            listed_ms=1568332800000,
            delisted_ms=1759294800000,
            omits_empty_bars=True,
            tick=2.0,
            lot=1.5,
            least_notional=5.0,
            tiers=((0.0, 0.01), (4000.0, 0.05)),
            earlier_names=(("1000ZEC/USDT:USDT", 1000.0),),
        ),
    )
    assert any(
        "rules of ZEC/USDT:USDT read from instruments.toml: tick, lot" in one for one in market.provenance.repairs
    )
    plain = read_folder(folder_of(tmp_path, ""))
    assert plain.instruments == (Instrument.parse("ZEC/USDT:USDT"),)
    assert plain.sha256() != market.sha256()


def test_the_replay_keeps_them(tmp_path: Path) -> None:
    market = read_folder(folder_of(tmp_path, RULES))
    intent = Intent(instrument="ZEC/USDT:USDT", decided_at_ms=int(market.open_ms[1]), stop_loss=0.035)
    run = replay(market, Intents((intent,)), load_config(**FREE))
    # Six contracts of half a coin fit into ten coins three times over: nine coins; the stop of 96.5 lies on 96.
    assert run.trades[["quantity", "exit_price", "reason"]].to_numpy().tolist() == [[9.0, 96.0, "stop_loss"]]
    held = replay(market, Intents((Intent(**{**vars_of(intent), "stop_loss": 0.2}),)), load_config(**FREE))
    # Delisted at 05:00: closed at the close of the bar before.
    assert held.trades[["reason", "exit_price"]].to_numpy().tolist() == [["delisted", 100.0]]


def test_changes_keep_what_they_leave_out(tmp_path: Path) -> None:
    text = """["ZEC/USDT:USDT"]
tiers = [[0, 0.01]]
most_leverage = [[0, 50]]
[["ZEC/USDT:USDT".changes]]
since = 2025-10-01T03:00:00Z
tiers = [[0, 0.02]]
[["ZEC/USDT:USDT".changes]]
since = 2025-10-02
most_leverage = [[0, 20], [1000, 5]]
"""
    one = read_folder(folder_of(tmp_path, text)).instruments[0]
    first, second = 1_759_287_600_000, 1_759_363_200_000
    least, raised = ((0.0, 50.0),), ((0.0, 0.02),)
    assert one.changes == ((first, raised, least), (second, raised, ((0.0, 20.0), (1000.0, 5.0))))


def vars_of(intent: Intent) -> dict[str, object]:
    return {name: getattr(intent, name) for name in ("instrument", "decided_at_ms")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('["ZEC/USDT:USDT"]\ntik = 1', "unknown key 'tik'; did you mean 'tick'"),
        ('["ZEC/USDT:USDT"]\ntick = "1"', "tick = '1' must be a positive number"),
        ('["ZEC/USDT:USDT"]\nlot = -1', "lot = -1 must be a positive number"),
        ('["ZEC/USDT:USDT"]\ncontract_size = 10', "give a lot, in contracts"),
        ('["ZEC/USDT:USDT"]\ntiers = [[0, 0.05], [100, 0.01]]', "must begin at a notional of 0 and rise"),
        ('["ZEC/USDT:USDT"]\ntiers = [0.05]', r"must be a list of pairs, as in \[\[0, 0.01\]"),
        (
            '["ZEC/USDT:USDT"]\nmost_leverage = [[0, 10], [100, 20]]',
            "must begin at a notional of 0, rise in it and fall",
        ),
        ('["ZEC/USDT:USDT"]\nmost_leverage = [[0, 0.5]]', r"leverages \[0.5\] must be finite and at least 1"),
        ('["ZEC/USDT:USDT"]\nchanges = [1]', "changes = .* must be tables of an instant and what is in force"),
        ('[["ZEC/USDT:USDT".changes]]\nsince = 2025-10-01', "must be tables of an instant and what is in force"),
        (
            '[["ZEC/USDT:USDT".changes]]\nsince = 2025-10-01\ntier = [[0, 0.1]]',
            "unknown key 'tier'; did you mean 'tiers'",
        ),
        (
            '[["ZEC/USDT:USDT".changes]]\nsince = 2025-10-02\ntiers = [[0, 0.1]]\n'
            '[["ZEC/USDT:USDT".changes]]\nsince = 2025-10-01\ntiers = [[0, 0.2]]',
            "must come in order of time",
        ),
        ('[["ZEC/USDT:USDT".changes]]\nsince = 2025-10-01\ntiers = [[5, 0.1]]', "must begin at a notional of 0"),
        ('["ZEC/USDT:USDT"]\nlisted = "2025-10-01"', "must be a day or an instant without quotes"),
        ('["ZEC/USDT:USDT"]\nlisted = 2025-10-01T00:00:00', "has no zone"),
        ('["ZEC/USDT:USDT"]\nlisted = 2025-10-02\ndelisted = 2025-10-01', "delisted at or before it is listed"),
        ('["ZEC/USDT:USDT"]\nomits_empty_bars = 1', "must be true or false"),
        ("tick = 1", "'tick' must be a table"),
        ("tick = ", "is not valid TOML"),
    ],
)
def test_what_nobody_can_mean_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(MarketError, match=words):
        read_folder(folder_of(tmp_path, text))


def test_a_symbol_without_bars_is_named_with_the_near_one(tmp_path: Path) -> None:
    market = read_folder(folder_of(tmp_path, '["ZEC/USDT"]\ntick = 1'))
    assert "instruments.toml: no bars of 'ZEC/USDT'; did you mean 'ZEC/USDT:USDT'? " in " ".join(
        market.provenance.repairs
    )
