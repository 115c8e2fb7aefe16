"""Fifty wrong inputs: what each is answered with, judged line by line.

A line is right where it names what was typed, says what is allowed or what to do next, and ends with the documented
exit code. They run in one process, since none of them reaches a replay.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backtest.cli import _exit_code

CALENDAR = "announced_at,assets,kind\n"
FILES = {
    "semicolon.csv": "announced_at;assets;kind\nsoon;ZEC;listing\n",
    "short.csv": CALENDAR + "2025-11-06,ZEC\n",
    "kind.csv": CALENDAR + "2025-11-06,ZEC,lisitng\n",
    "column.csv": "announced_at,coin,kind\n2025-11-06,ZEC,listing\n",
    "naive.csv": CALENDAR + "2025-11-06 03:15,ZEC,listing\n",
    "empty.csv": "",
    "head.csv": CALENDAR,
    "broken.toml": "[[catalyst]\n",
    "key.toml": "nome = 'x'\n",
    "run.toml": "leverag = 2\n",
    "space.toml": "strategi = 'x'\n",
    "mine.py": "x = 1\n",
    "text.txt": "hello\n",
}
WRONG: list[tuple[str, int, str]] = [
    ("run --dataset privacy-2025", 2, r"'privacy-2025' is not in the store .* yet: run backtest fetch privacy-2025"),
    ("run --dataset privacy-2025-sampel", 2, r"'privacy-2025-sampel' .*did you mean 'privacy-2025-sample'"),
    ("run --dataset nofolder", 2, r"'nofolder' is neither a folder, nor embedded, nor in the store .*allowed: "),
    ("run -c privacy2025", 2, r"'privacy2025' is neither a TOML or CSV file nor .*did you mean 'privacy-2025'"),
    ("run -c absent.toml", 3, r"absent.toml does not exist: check the path"),
    ("run -c absent.csv", 3, r"absent.csv does not exist: check the path"),
    ("run -c semicolon.csv", 3, r"semicolon.csv: .*announced_at = 'soon': not a date: write 2025-10-01"),
    ("run -c short.csv", 3, r"short.csv line 2 has 2 fields under a header of 3: .*complete the row"),
    ("run -c kind.csv", 3, r"kind = 'lisitng' is unknown; did you mean 'listing'"),
    ("run -c column.csv", 3, r"has a column 'coin', which is no key of a catalyst; .*map the columns"),
    ("run -c naive.csv", 3, r"no time zone: add Z for UTC or an offset"),
    ("run -c empty.csv", 3, r"empty.csv is empty: a calendar needs a header such as announced_at,assets,kind"),
    ("run -c head.csv", 3, r"holds a header and no row: add at least one catalyst"),
    ("run -c broken.toml", 3, r"broken.toml is not valid TOML: .*line 1"),
    ("run -c key.toml", 3, r"key.toml: unknown key 'nome'; did you mean 'name'"),
    ("run -s listing_momentun", 2, r"strategy 'listing_momentun' is unknown; did you mean 'listing_momentum'"),
    ("run -s absent.py:Mine", 2, r"absent.py.* does not exist|absent.py"),
    ("run -s mine.py:Mine", 2, r"mine.py.*Mine"),
    ("run -s listing_momentum -p hodl=48h", 2, r"'hodl' is unknown to listing_momentum; did you mean 'hold'"),
    ("run -s listing_momentum -p hold", 2, r"-p 'hold' is not name=value: write for example -p hold=48h"),
    ("run -s listing_momentum -p hold=1h -p hold=2h", 2, r"-p 'hold' is given twice: keep one"),
    ("run -s listing_momentum -p hold=2y", 2, r"'2y' is not a duration: write a whole number and one of s m h d w"),
    ("run -s listing_momentum -p stop_loss=-1", 2, r"stop_loss = '-1': must be at least 0"),
    ("run -s listing_momentum -p stop_loss=abc", 2, r"stop_loss = 'abc': must be a number"),
    ("run -s listing_momentum -p stop_loss=10", 2, r"stop_loss.*10.*"),
    ("run -s listing_momentum -p weight=0", 2, r"weight = '0': must be above 0"),
    ("run -s catalyst_momentum -p direction=upp", 2, r"direction = 'upp': must be 'both', 'up' or 'down'"),
    ("run -s catalyst_momentum -p confidences=hihg", 2, r"confidences.* must be 'high', 'medium' or 'low'"),
    ("run --set fee_rte=0.1", 2, r"unknown key 'fee_rte'; did you mean 'fee_rate'"),
    ("run --set fee_rate=free", 2, r"fee_rate = 'free': must be a number"),
    ("run --set leverage=0", 2, r"leverage = '0': must be at least 1"),
    ("run --set stop_order=worst", 2, r"stop_order = 'worst': must be 'pessimistic', 'optimistic' or"),
    ("run --funding free", 2, r"funding_unknown = 'free': must be 'error', 'zero' or 'const'"),
    ("run --config absent.toml", 2, r"absent.toml does not exist: check the path"),
    ("run --config run.toml", 2, r"run.toml.*unknown key 'leverag'; did you mean 'leverage'"),
    ("run --config text.txt", 2, r"text.txt is not valid TOML"),
    ("run --timerange 2025", 2, r"timerange '2025' is not START-END: write 20250901-20251116"),
    (
        "run --timerange 20251101-20251001",
        2,
        r"timerange '20251101-20251001' is empty: its end must be after its start",
    ),
    (
        "run --timerange 20301101-20311001",
        2,
        r"holds no bar or leaves the data of 'privacy-2025-sample', which runs from",
    ),
    ("run --placebo moon:10", 2, r"'moon.*allowed: "),
    ("run --placebo many", 2, r"'many'"),
    ("run --statistic sharp", 2, r"'sharp'.*did you mean 'sharpe'"),
    ("run --columns nett", 2, r"--columns 'nett' is no column; did you mean 'net'"),
    ("run --sort draw", 2, r"--sort 'draw' is no column; did you mean 'drawdown'"),
    ("run --bootstrap 20 --placebo 0 -s buy_and_hold", 2, r"20 draws \(--bootstrap\) are too few .*use 100 or more"),
    ("why zec-2025-11-06-okx-perp", 2, r"no catalyst 'zec-2025-11-06-okx-perp'; did you mean 'zec-2025-11-06-okx-"),
    ("events list --kind lisitng", 2, r"kinds: calendar 'privacy-2025' has no 'lisitng'; did you mean 'listing'"),
    ("events list --actor Hayes", 2, r"actors: calendar 'privacy-2025' has no 'Hayes'"),
    ("events list --confidence hihg", 2, r"confidence 'hihg' is unknown; did you mean 'high'"),
    ("events import absent.csv", 3, r"absent.csv does not exist: check the path"),
    ("events import kind.csv --zone Mars/Base", 2, r"zone 'Mars/Base' is unknown: write UTC, Europe/Berlin"),
    ("sweep -p hold=1h,2h", 2, r"no strategy is named: write -s catalyst_momentum"),
    ("sweep --space space.toml", 2, r"unknown key 'strategi'; did you mean 'strategy'"),
    ("report absent", 2, r"absent"),
]


@pytest.mark.parametrize(("line", "code", "message"), WRONG, ids=[line for line, _, _ in WRONG])
def test_a_wrong_input_is_one_sentence_that_names_it(
    line: str,
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKTEST_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("sys.argv", ["backtest", *line.split()])
    found = _exit_code()
    told = capsys.readouterr().err.strip()
    assert (found, told.count("\n")) == (code, 0), told
    assert re.search(message, told), told
    assert not re.search(r"pydantic|Traceback|\binput should\b|\^\[", told), told


def test_there_are_fifty() -> None:
    assert len(WRONG) >= 50
