"""What a setting's name in a message becomes for whoever types options."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import typer

from backtest.cli import app
from backtest.cli.wording import OPTIONS, as_typed

BACKTEST = Path(__file__).parents[2] / "backtest"
VERBS = {"backtest", "run", "sweep"}
NAMED = re.compile(r"`([a-z_]+)(?:[ =][^`]*)?`")


@pytest.mark.parametrize(
    ("told", "typed"),
    [
        ("choose another with `out`", "choose another with --out"),
        ("`funding_unknown=const` or", "--funding const or"),
        ("a larger `gross_cap=...`", "a larger --set gross_cap=..."),
        ("as in `param assets=ZEC`", "as in -p assets=ZEC"),
        ("`map time=1,open=2`", "--map time=1,open=2"),
        ("(`archive_url`)", "(--archive-url)"),
        ("`series inflow=FILE.csv`", "--series inflow=FILE.csv"),
        ("a `word` and `backtest fetch x`", "a `word` and `backtest fetch x`"),
        ("nothing is named", "nothing is named"),
    ],
)
def test_settings_become_options(told: str, typed: str) -> None:
    assert as_typed(told) == typed


def test_the_options_are_those_of_all_verbs() -> None:
    found: set[str] = set()

    def walk(command: object) -> None:
        for one in getattr(command, "params", ()):
            found.update(option for option in one.opts if option.startswith("--"))
        for verb in getattr(command, "commands", {}).values():
            walk(verb)

    walk(typer.main.get_command(app))
    assert {f"--{name.replace('_', '-')}" for name in OPTIONS} == found


def test_every_setting_that_an_error_names_is_one() -> None:
    """A name that no option and no setting has would be printed in backquotes: a typo."""
    wrong = []
    for path in sorted(BACKTEST.rglob("*.py")):
        raised = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Raise))
        for node in (inner for one in raised for inner in ast.walk(one)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                wrong += [
                    f"{path.name}: {one[0]}"
                    for one in NAMED.finditer(node.value)
                    if as_typed(one[0]) == one[0] and one[1] not in VERBS
                ]
    assert wrong == []
