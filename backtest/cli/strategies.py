"""`backtest strategies`: list strategies, or write a starting point for your own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from backtest.base.errors import UsageError
from backtest.base.schemas import schema_id
from backtest.cli.options import Json, Strategies, request_of
from backtest.cli.verbs import Verbs

app = typer.Typer(
    cls=Verbs, help="List strategies with their parameters, or start a new one.", invoke_without_command=True
)


@app.callback()
def list_strategies(
    context: typer.Context,
    strategy: Strategies = None,
    as_json: Json = False,
) -> None:
    """List strategies with their hypotheses, parameters and defaults."""
    if context.invoked_subcommand is not None:
        return
    from backtest.report.signal_tables import strategy_lines
    from backtest.report.tables import new_console, show

    chosen = [type(one) for one in request_of(strategy=strategy).chosen()]
    if as_json:
        rows = [
            {
                "name": one.name,
                "hypothesis": one.hypothesis,
                "parameters": {
                    name: {"default": one().parameters.model_dump(mode="json")[name], "description": field.description}
                    for name, field in one.parameters_type.model_fields.items()
                },
            }
            for one in chosen
        ]
        typer.echo(json.dumps({"schema": schema_id("strategies"), "strategies": rows}, indent=2))
        return
    show(new_console(), *strategy_lines(chosen))


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower case, as in my_breakout.")],
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="NAME.py")] = None,
) -> None:
    """Write a commented starting point that passes the contract; an existing file is left alone."""
    from backtest.signals.loading import starting_point

    text = starting_point(name)
    path = out or Path(f"{name}.py")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already: choose another name or --out") from None
    except OSError as problem:
        raise UsageError(f"{path} cannot be written: {problem.strerror}") from None
    title = "".join(part.capitalize() for part in name.split("_"))
    typer.echo(
        f"{path}: run it with `backtest run -s {path}:{title}`, audit it with `backtest audit -s {path}:{title}`"
    )
