"""A hundred wrong inputs: what each is answered with, judged line by line.

A line is right where it names what was typed, says what is allowed or what to do next, and ends with the documented
exit code. They run in one process, since none of them reaches a replay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from backtest.base.errors import UsageError
from backtest.cli import _exit_code, app

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
    "my-bars/ZECUSDT-1h.csv": "timestamp,open,high,low,close,volume\n2025-11-01T00:00Z,1,2,0.5,1.5,10\n",
    "bare-futures/zec.csv": "timestamp,open,high,low,close,volume\n2025-11-01T00:00Z,1,2,0.5,1.5,10\n",
    "short-futures/ZECUSDT-1h.csv": "timestamp,open,high,low,close\n2025-11-01T00:00Z,1,2,0.5,1.5\n",
    "naive-futures/ZECUSDT-1h.csv": "timestamp,open,high,low,close,volume\n2025-11-01 00:00,1,2,0.5,1.5,10\n",
    "cell-futures/ZECUSDT-1h.csv": "timestamp;open;high;low;close;volume\n2025-11-01T00:00Z;1;2;0.5;abc;10\n",
    "high-futures/ZECUSDT-1h.csv": "timestamp,open,high,low,close,volume\n2025-11-01T00:00Z,1,0.9,0.5,1.5,10\n",
    "head-futures/ZECUSDT-1h.csv": "timestamp,open,high,low,close,volume\n",
    "empty-futures/ZECUSDT-1h.csv": "",
    "one-futures/ZECUSDT-1h.csv": "timestamp,open,high,low,close,volume\n2025-11-01T00:00Z,1,2,0.5,1.5,10\n",
}
WRONG: list[tuple[str, int, str]] = [
    ("run --dataset privacy-2025", 2, r"'privacy-2025' is not in the store .* yet: run backtest fetch privacy-2025"),
    ("run --dataset privacy-2025-sampel", 2, r"'privacy-2025-sampel' .*did you mean 'privacy-2025-sample'"),
    ("run --dataset nofolder", 2, r"'nofolder' is neither a folder, nor embedded, nor in the store .*allowed: "),
    ("run -c privacy2025", 2, r"'privacy2025' is neither a TOML or CSV file nor .*did you mean 'privacy-2025'"),
    ("run -c absent.toml", 3, r"absent.toml does not exist: check the path"),
    ("run -c absent.csv", 3, r"absent.csv does not exist: check the path"),
    ("run -c semicolon.csv", 3, r"semicolon.csv: line 2: announced_at = 'soon': not a date: write 2025-10-01"),
    ("run -c short.csv", 3, r"short.csv line 2 has 2 fields under a header of 3: .*complete the row"),
    ("run -c kind.csv", 3, r"line 2: kind = 'lisitng' is unknown; did you mean 'listing'"),
    (
        "run -c column.csv",
        3,
        r"has a column 'coin', which is not a key of a catalyst; .*events import column.csv --map",
    ),
    (
        "run -c naive.csv",
        3,
        r"line 2: announced_at = '2025-11-06 03:15:00': .* no time zone: add Z for UTC or an offset",
    ),
    ("run -c empty.csv", 3, r"empty.csv is empty: a calendar needs a header such as announced_at,assets,kind"),
    ("run -c head.csv", 3, r"holds a header and no row: add at least one catalyst"),
    ("run -c broken.toml", 3, r"broken.toml is not valid TOML: .*line 1"),
    ("run -c key.toml", 3, r"key.toml: unknown key 'nome'; did you mean 'name'"),
    (
        "run -s catalyst_momentum -p second_trailing_stop=5%",
        2,
        r"strategy catalyst_momentum: second_trailing_stop = 0.05 and second_activation = 0 need each other: give both",
    ),
    (
        "run -s relative_value -p scale_out=10%",
        2,
        r"leaves together, .* give the group, or targets with shares \(-p sc",
    ),
    ("run -s listing_momentun", 2, r"strategy 'listing_momentun' is unknown; did you mean 'listing_momentum'"),
    (
        "run -s absent.py:Mine",
        2,
        r"absent.py does not exist: check the path, or write one with `backtest strategies new`",
    ),
    (
        "run -s mine.py:Mine",
        2,
        r"mine.py has no class 'Mine'; it defines no strategy: start one with `backtest strategies new NAME`",
    ),
    ("run -s listing_momentum -p hodl=48h", 2, r"'hodl' is unknown to listing_momentum; did you mean 'hold'"),
    ("run -s listing_momentum -p hold", 2, r"-p 'hold' is not name=value: write for example -p hold=48h"),
    ("run -s listing_momentum -p hold=1h -p hold=2h", 2, r"-p 'hold' is given twice: keep one"),
    (
        "run -s listing_momentum -p hold=2y",
        2,
        r"hold = '2y': not a duration: write a whole number and one of s m h d w",
    ),
    ("run -s listing_momentum -p stop_loss=-1", 2, r"stop_loss = '-1': must be at least 0$"),
    ("run -s listing_momentum -p stop_loss=abc", 2, r"stop_loss = 'abc': must be a number"),
    (
        "run -s listing_momentum -p stop_loss=10",
        2,
        r"stop_loss = '10': a share is less than 1; for 10 percent write 0.1 or 10%",
    ),
    ("run -s listing_momentum -p weight=0", 2, r"weight = '0': must be above 0$"),
    ("run -s catalyst_momentum -p direction=upp", 2, r"direction = 'upp': must be 'both', 'up' or 'down'"),
    ("run -s catalyst_momentum -p confidences=hihg", 2, r"confidences = 'hihg': must be 'high', 'medium' or 'low'"),
    ("run --set fee_rte=0.1", 2, r"unknown key 'fee_rte'; did you mean 'fee_rate'"),
    ("run --set fee_rate=free", 2, r"fee_rate = 'free': must be a number"),
    ("run --set leverage=0", 2, r"leverage = '0': must be at least 1$"),
    ("run --set stop_order=worst", 2, r"stop_order = 'worst': must be 'pessimistic', 'optimistic' or"),
    ("run --funding free", 2, r"--funding 'free' is unknown; allowed: const, error, zero"),
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
        r"holds no bar or extends beyond the data of 'privacy-2025-sample', which runs from",
    ),
    ("run --placebo moon:10", 2, r"--placebo 'moon:10' is not KIND, .*allowed: calendar"),
    ("run --placebo many", 2, r"--placebo 'many' is not KIND, COUNT or KIND:COUNT: write 10000"),
    ("run --statistic sharp", 2, r"'sharp'.*did you mean 'sharpe'"),
    ("run --columns nett", 2, r"--columns 'nett' is not a column; did you mean 'net'"),
    ("run --sort draw", 2, r"--sort 'draw' is not a column; did you mean 'drawdown'"),
    ("run --bootstrap 20 --placebo 0 -s buy_and_hold", 2, r"20 draws \(--bootstrap\) are too few .*use 100 or more"),
    ("why zec-2025-11-06-okx-perp", 2, r"no catalyst 'zec-2025-11-06-okx-perp'; did you mean 'zec-2025-11-06-okx-"),
    ("events list --kind lisitng", 2, r"kinds: calendar 'privacy-2025' has no 'lisitng'; did you mean 'listing'"),
    ("events list --actor Hayes", 2, r"actors: calendar 'privacy-2025' has no 'Hayes'"),
    ("events list --confidence hihg", 2, r"confidence 'hihg' is unknown; did you mean 'high'"),
    ("events import absent.csv", 3, r"absent.csv does not exist: check the path"),
    ("events import kind.csv --zone Mars/Base", 2, r"zone 'Mars/Base' is unknown: write UTC, Europe/Berlin"),
    ("sweep -p hold=1h,2h", 2, r"no strategy is named: write -s catalyst_momentum"),
    ("sweep --space space.toml", 2, r"unknown key 'strategi'; did you mean 'strategy'"),
    ("report absent", 2, r"^backtest: absent does not exist: name the folder that `backtest run` told of"),
    ("ruun", 2, r"backtest has no verb 'ruun'; did you mean 'run'\? allowed: .*backtest --help tells more"),
    ("events shwo x", 2, r"backtest events has no verb 'shwo'; did you mean 'show'"),
    ("run --datset x", 2, r"backtest run has no option '--datset'; did you mean '--dataset'.*run --help tells more"),
    ("run --half-spread 0.001", 2, r"half_spread is a setting: write --set half_spread="),
    ("study --minimum-catalysts 3", 2, r"minimum_catalysts is a setting: write --set minimum_catalysts="),
    ("study --capital 3", 2, r"backtest study has no option '--capital'; allowed"),
    ("--verson", 2, r"backtest has no option '--verson'; did you mean '--version'"),
    ("run -s", 2, r"option '-s' requires an argument"),
    ("run zec", 2, r"backtest run takes no argument 'zec': name options with two hyphens"),
    ("why", 2, r"backtest why needs CATALYST: name it; backtest why --help"),
    ("compare", 2, r"backtest compare needs RUN"),
    ("report", 2, r"backtest report needs FOLDER"),
    ("run --top -1", 2, r"--top '-1': must be at least 0"),
    ("run --top abc", 2, r"--top 'abc': must be a whole number"),
    ("serve --port 99999", 2, r"--port '99999': must be at most 65535"),
    ("events list --direction up", 2, r"--direction 'up': must be a whole number"),
    ("run --placebo -5", 2, r"--placebo '-5' is not KIND, COUNT or KIND:COUNT: write 10000, dates"),
    ("run --placebo shift:abc", 2, r"'shift:abc' is not KIND, COUNT or KIND:COUNT"),
    ("run --timeframe 7m", 2, r"'privacy-2025-sample' has 1h bars, not 7m: leave it out"),
    ("run --series shielded", 2, r"--series 'shielded' is not name=value: write for example --series \w+=\w+.csv"),
    (
        "run --currency usdt",
        2,
        r"cannot be converted to --currency 'usdt'.*\(--series \w+=FILE.csv\); did you mean 'USDT'",
    ),
    ("run --series shielded=absent.csv", 3, r"absent.csv does not exist: check the path"),
    ("run --series shielded=text.txt", 3, r"text.txt begins with 'hello': a series needs the header available_at,val"),
    ("run --set leverage", 2, r"--set 'leverage' is not name=value: write for example --set leverage=2"),
    ("run --set leverage=200", 2, r"leverage = 200 .*: choose leverage below"),
    ("run --config my-bars", 2, r"my-bars is a folder: name a file"),
    ("run -s catalyst_momentum -p x.hold=3h", 2, r"-p x.hold: no strategy 'x' is run; allowed: catalyst_momentum"),
    ("run --timerange 2025-13-01/2025-12-01", 2, r"'2025-13-01' is not a date: write 20250901"),
    ("run --dataset my-bars", 3, r"my-bars does not say .* swaps or of spot: put 'futures' or 'spot' into the name"),
    ("run --dataset bare-futures", 3, r"bare-futures holds no bars: name files as in ZECUSDT-1h.csv .*holds zec.csv"),
    ("run --dataset short-futures", 3, r"ZECUSDT-1h.csv has no column volume: it has timestamp, .*; rename or add it"),
    ("run --dataset naive-futures", 3, r"line 2, column timestamp: '2025-11-01 00:00' has no time zone: add Z for UTC"),
    ("run --dataset cell-futures", 3, r"line 2, column close: 'abc' is not a number: write it plainly, as in 50.25"),
    ("run --dataset high-futures", 3, r"line 2, column open: 1.0 is outside \[low, high\] = \[0.5, 0.9\]: fix the row"),
    ("run --dataset head-futures", 3, r"ZECUSDT-1h.csv has a header and no rows: fetch or export it again"),
    ("run --dataset empty-futures", 3, r"ZECUSDT-1h.csv is empty: fetch or export it again"),
    ("run --dataset one-futures --timeframe 4h", 3, r"one-futures has no 4h bars: it holds 1h"),
    ("sweep -s catalyst_momentum", 2, r"no parameter is searched: write for example -p hold=24h,48h,72h"),
    ("sweep -s catalyst_momentum -p hold=1h..", 2, r"hold = '1h..' is not a range .*: write 0.05..0.30/0.05 or"),
    ("sweep -s catalyst_momentum -p hold=1h,2h --search best", 2, r"search 'best' is unknown; allowed: grid, random"),
    ("sweep -s catalyst_momentum -p hold=1h,2h --trials 9", 2, r"trials = 9 belongs to --search random"),
    ("walkforward -p hold=1h,2h", 2, r"no strategy is named: write -s catalyst_momentum"),
    ("fetch absent.toml", 2, r"recipe 'absent.toml' is neither a file nor an embedded recipe; allowed: "),
    ("data import absent.csv", 3, r"absent.csv does not exist: check the path"),
    ("data verify x", 2, r"backtest data has no verb 'verify'; allowed: check, compare, import"),
    ("schema rnu", 2, r"schema 'rnu' is unknown; did you mean 'run'"),
    ("strategies new my-idea", 2, r"strategy name 'my-idea': use lower-case letters, digits and underscores"),
    ("ledger list --ledger absent.sqlite", 2, r"ledger absent.sqlite does not exist: `backtest run` makes it, or name"),
    ("compare absent other", 2, r"^backtest: absent does not exist: name the folder that `backtest run` told of"),
    ("compare my-bars", 2, r"1 run is nothing to compare: name at least two run folders, or --with hold=24h"),
    ("events import column.csv --map coin=assets", 3, r"map coin=assets has its sides swapped: .*write assets=coin"),
    ("events import column.csv --map coin", 2, r"--map 'coin' is not name=value: write for example --map announced_at"),
    ("events claims --subject ZEK", 2, r"--subject 'ZEK': no claim of 'privacy-2025' is about it; did you mean 'ZK'"),
    ("serve absent", 2, r"absent is not a folder: run `backtest run` first, or name the folder that holds run folders"),
    ("baseline check absent", 2, r"no baseline in absent: write one with `backtest baseline record`"),
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
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKTEST_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("sys.argv", ["backtest", *line.split()])
    found = _exit_code()
    told = capsys.readouterr().err.strip()
    assert (found, told.count("\n")) == (code, 0), told
    assert re.search(message, told), told
    assert not re.search(r"pydantic|Traceback|\binput should\b|\^\[", told), told


def test_there_are_a_hundred() -> None:
    assert len(WRONG) >= 100


def every_verb() -> Iterator[tuple[str, Any]]:
    """Each verb by the words that call it."""
    group: Any = typer.main.get_command(app)
    for name in group.list_commands(None):
        verb = group.get_command(None, name)
        for own, one in getattr(verb, "commands", {"": verb}).items():
            yield f"{name} {own}".strip(), one


def test_no_option_and_no_argument_takes_a_text_that_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    """`--rules "$RULES"` with a variable that is not set is refused: it ran without rules, `--out` into this folder."""
    asked = 0
    for path, verb in every_verb():
        for parameter in verb.params:
            if getattr(parameter, "is_flag", False) or "--help" in parameter.opts:
                continue
            for name in parameter.opts if parameter.param_type_name == "option" else ("",):
                with pytest.raises(UsageError, match=r"is empty: give it a value, or leave it"):
                    verb.make_context(path, [*([name] if name else []), ""])
                asked += 1
    assert asked > 150
    assert capsys.readouterr() == ("", "")
