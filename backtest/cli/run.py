"""`backtest run`: replay strategies over a market and a calendar, and score them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli.options import REQUEST, Json, asking
from backtest.cli.progress import progress_bar

if TYPE_CHECKING:
    from backtest.report.run_screen import Wanted
    from backtest.request.request import Request
    from backtest.scoring.evaluation import Evaluation


@asking(*REQUEST)
def run(
    request: Request,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/DATASET-HASH")] = None,
    report: Annotated[bool, typer.Option("--report", help="Write report.html into the run folder.")] = False,
    trades: Annotated[bool, typer.Option("--trades", help="List every trade too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Print all there is: reasons, capacity, trades.")] = False,
    sort: Annotated[str, typer.Option(help="Column to sort the table by.", show_default="as given")] = "",
    top: Annotated[int, typer.Option(min=0, help="Rows of the table; 0 for all.")] = 0,
    columns: Annotated[
        str, typer.Option(help="Columns by name, as in net,drawdown,captured.", show_default="what fits")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict only.")] = False,
    as_json: Json = False,
) -> None:
    """Replay strategies over a market and its catalysts, net of every cost."""
    from backtest.report.run_screen import Wanted

    wanted = Wanted(tuple(name.strip() for name in columns.split(",") if name.strip()), sort, top)
    with progress_bar() as progress:
        evaluation = request.evaluate(progress=progress)

    from backtest.report.folder import run_document, to_json, write_run_folder

    document = run_document(evaluation, request.model_dump())
    folder = out or Path("runs") / f"{evaluation.market.provenance.name}-{evaluation.runs[0].hashes['data'][:8]}"
    write_run_folder(folder, evaluation.runs, document)
    if as_json:
        typer.echo(to_json(document))
    else:
        _print(evaluation, wanted, trades=trades or everything, everything=everything, quiet=quiet)
    typer.echo(f"run folder: {folder}", err=True)
    if report:
        from backtest.cli.report import write_report_of

        typer.echo(f"report: {write_report_of(folder, document, evaluation, request)}", err=True)


def _print(evaluation: Evaluation, wanted: Wanted, *, trades: bool, everything: bool, quiet: bool) -> None:
    from backtest.report.run_screen import rows_of, run_table, screen_lines, verdict_sentence
    from backtest.report.score_tables import capacity_table, verdict_lines, verdict_table
    from backtest.report.tables import new_console, rejected_lines, show, trade_table

    console, market = new_console(), evaluation.market
    if quiet:
        label = f"{market.provenance.label}: " if market.provenance.label else ""
        show(console, label + verdict_sentence(evaluation.cards))
        return
    runs = [row.run for row in rows_of(evaluation, wanted)]
    show(console, *evaluation.notes)
    show(console, f"{market.provenance.name}: {len(market.index):,} bars of {market.timeframe}, {market.span}")
    show(console, "", verdict_sentence(evaluation.cards))
    show(console, run_table(evaluation, console.width, wanted), *screen_lines(evaluation, wanted))
    if everything:
        show(console, "", verdict_table(evaluation.cards), *verdict_lines(evaluation.cards))
        show(console, "", capacity_table(evaluation.cards))
    if trades:
        for one in runs:
            if len(one.trades):
                show(console, "", trade_table(one))
    if everything:
        show(console, *(f"{one.strategy}: {note}" for one in runs for note in one.intents.notes))
        show(console, *(line for one in runs for line in rejected_lines(one)))
    elif not trades:
        show(console, "more: --trades, --all, --columns, --sort; backtest why CATALYST")
