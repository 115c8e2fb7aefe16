"""`backtest run`: replay strategies over a market and a calendar, and score them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli.options import REQUEST, ClusterOption, EquityOption, Json, LedgerOption, asking
from backtest.cli.progress import progress_bar, tell_of

if TYPE_CHECKING:
    from backtest.ledger.recording import Recorded
    from backtest.report.run_screen import Wanted
    from backtest.request.request import Request
    from backtest.scoring.evaluation import Evaluation


@asking(*REQUEST)
def run(
    request: Request,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/DATASET-STRATEGY-HASH")] = None,
    report: Annotated[bool, typer.Option("--report", help="Write report.html into the run folder.")] = False,
    trades: Annotated[bool, typer.Option("--trades", help="List every trade too.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Print everything: reasons, capacity, trades.")] = False,
    sort: Annotated[str, typer.Option(help="Column to sort the table by.", show_default="as given")] = "",
    top: Annotated[int, typer.Option(min=0, help="Rows of the table; 0 for all.")] = 0,
    columns: Annotated[
        str, typer.Option(help="Columns by name, as in net,drawdown,captured.", show_default="what fits")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the verdict only.")] = False,
    equity: EquityOption = "auto",
    cluster: ClusterOption = None,
    ledger: LedgerOption = None,
    as_json: Json = False,
) -> None:
    """Replay strategies over a market and its catalysts, net of every cost."""
    from dataclasses import replace

    from backtest.base.estimate import writes_csv
    from backtest.cli.announcing import announce
    from backtest.report.run_screen import Wanted

    writes_csv(equity, 0)  # An unknown format is refused before the run, not after it.
    wanted = Wanted(tuple(name.strip() for name in columns.split(",") if name.strip()), sort, top)
    tell_of(cluster)
    with progress_bar() as progress:
        evaluation = request.evaluate(
            progress=progress, cluster=cluster, announce=lambda work: announce("run", replace(work, equity=equity))
        )

    from backtest.cli.recording import recorded_by, write_recorded
    from backtest.ledger.recording import record_evaluation
    from backtest.report.folder import check_unclaimed, run_document, run_folder_name, to_json, write_run_folder

    document = run_document(evaluation, request.document())
    text = to_json(document)
    folder = out or Path("runs") / run_folder_name(document, text)
    check_unclaimed(folder, document, text)
    recorded = recorded_by(ledger, lambda opened: record_evaluation(opened, evaluation, request))
    write_run_folder(folder, evaluation.runs, document, text, equity=equity)
    write_recorded(folder, recorded)
    if as_json:
        typer.echo(text)
    else:
        shown = replace(evaluation, cards=recorded.cards) if recorded else evaluation
        _print(shown, recorded, wanted, trades=trades or everything, everything=everything, quiet=quiet)
    typer.echo(f"run folder: {folder}", err=True)
    if report:
        from backtest.cli.report import write_report_of

        typer.echo(f"report: {write_report_of(folder, document, evaluation, request, cluster)}", err=True)


def _print(
    evaluation: Evaluation, recorded: Recorded | None, wanted: Wanted, *, trades: bool, everything: bool, quiet: bool
) -> None:
    from backtest.cli.recording import search_parts
    from backtest.cli.wording import as_typed
    from backtest.report.run_screen import brief, data_lines, rows_of, run_table, screen_lines, verdict_sentence
    from backtest.report.score_tables import capacity_table, verdict_lines, verdict_table
    from backtest.report.tables import new_console, rejected_lines, show, trade_table

    console, market = new_console(), evaluation.market
    if quiet:
        label = f"{market.provenance.label}: " if market.provenance.label else ""
        show(console, label + verdict_sentence(evaluation.cards))
        return
    runs = [row.run for row in rows_of(evaluation, wanted)]
    # The label stands before any figure; what else has to be known of them stands below.
    labels = [note for note in evaluation.notes if note.startswith(f"{market.provenance.label}: ")]
    show(console, *(map(as_typed, labels) if market.provenance.label else ()))
    show(console, f"{market.provenance.name}: {len(market.index):,} bars of {market.timeframe}, {market.span}")
    show(console, "", verdict_sentence(evaluation.cards))
    show(console, run_table(evaluation, console.width, wanted), *map(as_typed, screen_lines(evaluation, wanted)))
    rest = (note for note in evaluation.notes if note not in labels or not market.provenance.label)
    show(console, "", *(f"- {as_typed(note if everything else brief(note))}" for note in rest))
    show(console, *map(as_typed, data_lines(market.provenance, everything=everything)))
    show(console, *search_parts(recorded))
    idle = runs if everything else [one for one in runs if not len(one.trades)]
    show(console, *(f"{one.strategy}: {as_typed(note)}" for one in idle for note in one.intents.notes))
    if everything:
        show(console, "", verdict_table(evaluation.cards), *verdict_lines(evaluation.cards))
        show(console, "", capacity_table(evaluation.cards))
    if trades:
        for one in runs:
            if len(one.trades):
                show(console, "", trade_table(one))
    if everything:
        show(console, *(line for one in runs for line in rejected_lines(one)))
    elif not trades:
        show(console, "more: --trades, --all, --columns, --sort, --report; backtest why CATALYST")
