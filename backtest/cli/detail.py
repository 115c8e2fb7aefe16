"""`backtest detail`: the bars whose finer data would narrow the intervals most, and the recipe that fetches them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli.options import REPLAYED, Json, asking

if TYPE_CHECKING:
    from backtest.request.request import Request


@asking(*(name for name in REPLAYED if name not in ("placebo", "statistic")), "strategy", "param")
def detail(
    request: Request,
    top: Annotated[int, typer.Option(min=1, help="Number of bars.")] = 10,
    recipe: Annotated[
        Path | None, typer.Option(help="Write the recipe that fetches just these bars.", show_default="none")
    ] = None,
    exchange: Annotated[str, typer.Option(help="ccxt exchange id for the recipe.")] = "binanceusdm",
    finer: Annotated[str, typer.Option(help="Timeframe for the recipe.")] = "1m",
    as_json: Json = False,
) -> None:
    """List the bars whose finer data would narrow the intervals of trades most, with the gain."""
    strategies = request.chosen()

    from backtest.engine.useful import detail_recipe, most_useful, total_width
    from backtest.report.detail_table import useful_document, useful_lines, useful_table
    from backtest.report.folder import to_json
    from backtest.report.tables import new_console, show

    session = request.session()
    runs = [session.replay(one) for one in strategies]
    bars = most_useful(runs)[:top]
    if as_json:
        typer.echo(to_json(useful_document(bars, total_width(runs), session.market)))
    else:
        console = new_console()
        if bars:
            show(console, useful_table(bars, session.market))
        show(console, *useful_lines(bars, total_width(runs), session.market))
    if recipe is not None and bars:
        detail_recipe(bars, session.market, recipe, exchange, finer)
        typer.echo(f"recipe: {recipe}; fetch it with: backtest fetch {recipe}", err=True)
        typer.echo(f"then run with: --detail {recipe.stem}", err=True)
