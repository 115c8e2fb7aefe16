"""An option that waits for its validator gives what the validator would have given."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer._coercion import build_runtime_param

from backtest.cli import app
from backtest.cli.as_is import build_when_needed

ROOT = Path(__file__).parents[2]


def verbs() -> Iterator[Any]:
    group: Any = typer.main.get_command(app)
    for name in group.list_commands(None):
        verb = group.get_command(None, name)
        yield from getattr(verb, "commands", {name: verb}).values()


def outcome(parameter: Any, runtime: Any, value: object) -> object:
    context: Any = typer.Context(typer.main.get_command(app), info_name="backtest")  # type: ignore[arg-type]
    try:
        return runtime.coerce(value, param=parameter, ctx=context)
    except typer.BadParameter as problem:
        return problem.format_message()


def test_every_option_takes_and_refuses_as_typer_does() -> None:
    compared = refused = 0
    for verb in verbs():
        for parameter in verb.params:
            many = parameter.multiple or parameter.nargs == -1
            for text in ("24h", "7", "-1", "", "zcash-\u00fc", "\udcff", "true", None):
                # The parser gives options as lists, arguments as tuples.
                several = list if parameter.param_type_name == "option" else tuple
                value = None if text is None else several((text, "second")) if many else text
                build_when_needed(verb)
                waiting = parameter.get_runtime_param()
                assert type(waiting).__name__ == "_WhenNeeded"
                found = outcome(parameter, waiting, value)
                assert found == outcome(parameter, build_runtime_param(parameter.type_descriptor), value), (
                    parameter.name
                )
                compared, refused = compared + 1, refused + isinstance(found, str) * ("alid" in str(found))
    assert compared > 500
    assert refused > 20


@pytest.mark.parametrize("verb", [("events", "list", "--asset", "ZEC"), ("events", "show", "zec-2025-10-01-naval")])
def test_to_list_catalysts_builds_no_validator_and_reads_no_arrays(verb: tuple[str, ...], tmp_path: Path) -> None:
    heavy = ("typer._adapters", "pydantic", "backtest.base.config", "backtest.request.request", "numpy", "pandas")
    code = (
        f"import sys; sys.argv = ['backtest', *{verb}]\n"
        "from backtest.cli import main\n"
        "try:\n    main()\n"
        f"finally:\n    print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stderr.splitlines()[-1] == "[]"
