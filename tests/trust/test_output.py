"""What others wrote is inert in a terminal, a CI log and a spreadsheet: control, bidi, workflow commands, formulas."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from rich.table import Table
from rich.text import Text

from backtest.base.display import inert
from backtest.baseline import Checked, Checklist, Comparison, Difference
from backtest.cli.inert import Writer
from backtest.report.baseline_formats import github_annotations, junit_xml, summary_markdown
from backtest.report.html.blocks import csv_of
from backtest.report.spreadsheets import csv_text
from backtest.report.tables import new_console, show

HOSTILE = {
    "ESC": "a\x1b[2J\x1b[1Ab",
    "OSC": "a\x1b]8;;http://evil\x07link\x1b]8;;\x07",
    "C1": "a\x9b2Jb",
    "bidi": "a\u202egnp.exe",
    "isolate": "a\u2066b\u2069",
    "return": "ok\rfail",
    "backspace": "ok\b\bno",
    "line separator": "a\u2028::error::b",
    "soft hyphen": "Z\u00adEC",
    "tag": "a\U000e0041b",
}
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_control_or_bidi_character_leaves_by_a_table_a_line_or_a_stream(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = HOSTILE[name]
    assert FORBIDDEN.search(text), "the attack is planted"
    table = Table(title=Text(text))
    table.add_column(text)
    table.add_row(Text(text))
    show(new_console(), table, f"line {text}")
    said = capsys.readouterr().out
    assert "line " in said
    assert not FORBIDDEN.search(said)
    written: list[str] = []
    Writer(lambda part: written.append(part) or len(part), terminal=False)(f"{text}\n")
    assert not FORBIDDEN.search("".join(written))


def test_a_terminal_keeps_the_colours_of_tables_and_none_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    console = new_console()
    console.file, console._force_terminal = io.StringIO(), True
    console.print(Text("\x1b[8mhidden", "bold red"))
    said = console.file.getvalue()
    assert "\\x1b[8mhidden" in said
    assert "\x1b[8m" not in said
    assert inert("\x1b[1mbold\x1b[0m \x1b]0;title\x07", terminal=True) == "\x1b[1mbold\x1b[0m \\x1b]0;title\\x07"


COMMANDS = (
    "::warning::x",
    "  ::error file=a::b",
    "\t::add-mask::secret",
    "a ##[error]b",
    "##vso[task.complete]",
    "##teamcity[x]",
)


def obeyed(log: str) -> list[str]:
    """Lines that a runner of GitHub, Azure or TeamCity would obey."""
    return [
        line for line in log.splitlines() if line.strip().startswith("::") or re.search(r"##(vso|teamcity)?\[", line)
    ]


@pytest.mark.parametrize("attack", COMMANDS)
@pytest.mark.parametrize("size", [1, 2, 3, 1_000])
def test_no_line_of_a_log_is_a_workflow_command_however_it_is_cut_into_writes(attack: str, size: int) -> None:
    whole = f"{attack}\nnext line\n{attack}\n" if "##" not in attack or size >= 1_000 else "plain\n"
    written: list[str] = []
    write = Writer(lambda part: written.append(part) or len(part), terminal=False)
    for place in range(0, len(whole), size):
        write(whole[place : place + size])
    assert obeyed(attack)
    assert not obeyed("".join(written))
    assert "".join(written).count("\n") == whole.count("\n")


def test_our_own_annotations_pass() -> None:
    written: list[str] = []
    write = Writer(lambda part: written.append(part) or len(part), terminal=False)
    write.command("::error title=a::b")
    assert written == ["::error title=a::b\n"]


@pytest.mark.parametrize(
    "text",
    ["ZEC +12.5 % · 24h – “quoted” é 日本\n", "16:00: listed\n", "a::b\n", "# head\n", "a ## b\n"],
)
def test_ordinary_text_is_untouched(text: str) -> None:
    written: list[str] = []
    Writer(lambda part: written.append(part) or len(part), terminal=False)(text)
    assert "".join(written) == text


def test_a_hostile_baseline_is_inert_in_the_log_of_a_check(tmp_path: Path) -> None:
    name = "x\n::warning::owned ##[error]owned\x1b[31m.json"
    (tmp_path / name).write_text('{"schema": "::error::owned"}')
    done = subprocess.run(
        [sys.executable, "-m", "backtest", "baseline", "check", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")},
        timeout=300,
    )
    assert done.returncode == 3, done.stderr
    assert "owned" in done.stdout
    assert not obeyed(done.stdout)
    assert [line[:8] for line in obeyed(done.stderr)] == ["::error "] * len(obeyed(done.stderr))
    assert len([line for line in done.stderr.splitlines() if line.startswith("::")]) == 1
    assert not FORBIDDEN.search(done.stdout + done.stderr)


def test_what_a_baseline_says_is_inert_in_junit_markdown_and_annotations() -> None:
    attack = "x\u202ey\x1b[31m ##[error]z ![i](http://evil/i.png) [l](http://evil) <img src=x> | `c` \u2028::warning::w"
    worse = Difference("metric", f"sharpe {attack}", 1.0, 0.5, 1e-6, f"sharpe: {attack}\n::error::owned")
    bad = Comparison(attack, attack, (Difference("data", "ZEC", None, None, None, attack),), (worse,), (attack,))
    checklist = Checklist((Checked(f"{attack}.json", bad),), (attack,), True)
    junit, summary = junit_xml(checklist), summary_markdown(checklist)
    for text in (*ElementTree.fromstring(junit).itertext(), junit, summary, *github_annotations(checklist)):
        assert not FORBIDDEN.search(text), text
        assert "##[" not in text
    bare = re.sub(r"\\.", "", summary)
    assert not set("[]<`") & set(bare), "no link, image, tag or code"
    assert "evil" in summary


FORMULAS = (
    '=HYPERLINK("http://evil","x")',
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1",
    "\uff1d1",
)


@pytest.mark.parametrize("attack", FORMULAS)
def test_no_cell_of_a_table_is_a_formula(attack: str) -> None:
    frame = pd.DataFrame(
        {"catalyst_id": [attack, "zec-listing"], attack: ["-0.5", "-1e-3"], "net": [-0.5, float("nan")]}
    )
    for text in (csv_text(frame), csv_of(frame)):
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert rows[0][1] == rows[1][0] == f"'{attack}".replace("\r", " ")
        assert [rows[1][1], rows[2][1], rows[1][2], rows[2][2]] == ["-0.5", "-1e-3", "-0.5", ""]


def test_every_csv_is_written_by_the_one_function_that_makes_formulas_text() -> None:
    """Report downloads, run folders, sweeps, `ledger export`: what others wrote reaches a spreadsheet nowhere else."""
    package = Path(__file__).parents[2] / "backtest"
    writers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"to_csv\(|csv\.writer|DictWriter|to_excel\(", path.read_text(encoding="utf-8"))
    }
    assert writers == {"report/spreadsheets.py"}
