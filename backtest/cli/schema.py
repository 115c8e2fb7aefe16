"""`backtest schema`: the JSON Schema of each document that the tool prints or writes."""

from __future__ import annotations

from typing import Annotated

import typer

from backtest.base.schemas import VERSION, schema, schema_id, schema_text


def print_schema(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Name of a document, as in run.")] = None,
) -> None:
    """Print the JSON Schema of a document, or list all schemas."""
    if name is not None:
        typer.echo(schema_text(name), nl=False)
        return
    for one in VERSION:
        typer.echo(f"{schema_id(one):<28}{schema(one)['title']}")
