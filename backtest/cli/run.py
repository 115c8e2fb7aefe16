"""`backtest run`: replay strategies over a market and a calendar, and score them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli.options import REQUEST, Json, asking
from backtest.cli.progress import progress_bar

if TYPE_CHECKING:
    from backtest.request.request import Request


@asking(*REQUEST)
def run(
    request: Request,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/DATASET-HASH")] = None,
    report: Annotated[bool, typer.Option("--report", help="Write report.html into the run folder.")] = False,
    as_json: Json = False,
) -> None:
    """Replay strategies over a market and its catalysts, net of every cost."""
    with progress_bar() as progress:
        evaluation = request.evaluate(progress=progress)

    from backtest.report.folder import run_document, to_json, write_run_folder
    from backtest.report.score_tables import capacity_table, verdict_lines, verdict_table
    from backtest.report.tables import new_console, rejected_lines, run_table, show, trade_table
    from backtest.scoring.metrics import named

    market, runs, cards = evaluation.market, evaluation.runs, evaluation.cards
    document = run_document(evaluation, request.model_dump())
    folder = out or Path("runs") / f"{market.provenance.name}-{runs[0].hashes['data'][:8]}"
    write_run_folder(folder, runs, document)
    if as_json:
        typer.echo(to_json(document))
    else:
        console = new_console()
        span = f"{market.index[0]:%Y-%m-%d %H:%M} to {market.index[-1]:%Y-%m-%d %H:%M} UTC"
        show(
            console,
            *evaluation.notes,
            f"{market.provenance.name}: {len(market.index)} bars of {market.timeframe}, {span}",
        )
        show(console, run_table(runs, [named(card.scores) for card in cards]))
        show(console, verdict_table(cards), *verdict_lines(cards), capacity_table(cards))
        show(console, *(trade_table(one) for one in runs if (one.trades["catalyst_id"] != "").any()))
        show(console, *(f"{one.strategy}: {note}" for one in runs for note in one.intents.notes))
        show(console, *(line for one in runs for line in rejected_lines(one)))
    typer.echo(f"run folder: {folder}", err=True)
    if report:
        from backtest.cli.report import write_report_of

        typer.echo(f"report: {write_report_of(folder, document, evaluation, request)}", err=True)
