"""`backtest sweep`: search a strategy's parameters, keep every trial, and adjust for the whole search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli.options import (
    REPLAYED,
    Axes,
    ClusterOption,
    Json,
    LedgerOption,
    OneStrategy,
    SearchOption,
    SpaceFile,
    TrialsOption,
    asking,
)
from backtest.cli.progress import progress_bar, tell_of

if TYPE_CHECKING:
    from backtest.request.request import Request


@asking(*REPLAYED)
def sweep(
    request: Request,
    strategy: OneStrategy = "",
    param: Axes = None,
    space: SpaceFile = None,
    search: SearchOption = None,
    trials: TrialsOption = None,
    spa: Annotated[
        bool, typer.Option("--spa", help="Test of superior predictive ability and StepM over all trials.")
    ] = False,
    cluster: ClusterOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder; an interrupted search resumes there.", show_default="runs/...")
    ] = None,
    ledger: LedgerOption = None,
    as_json: Json = False,
) -> None:
    """Search a strategy's parameters; every trial is kept, and p and Sharpe ratio are adjusted for multiple testing."""
    from backtest.base.estimate import Workload
    from backtest.cli.announcing import announce
    from backtest.cli.recording import WITHOUT, recorded_by, write_recorded
    from backtest.ledger.recording import record_sweep
    from backtest.report.folder import to_json
    from backtest.report.ledger_tables import search_lines
    from backtest.report.score_tables import sweep_lines, sweep_table
    from backtest.report.search_folder import write_sweep
    from backtest.report.tables import new_console, show
    from backtest.request.request import assignments
    from backtest.request.strategies import strategies_of
    from backtest.scoring.space import space_of
    from backtest.scoring.sweep import Sweep, run_sweep

    settings, catalysts = request.run_config(), request.calendar()
    searched = space_of(strategy, assignments(param or (), "-p"), space, search, trials, settings.seed)
    (one,) = strategies_of([searched.strategy], dict(searched.trials[0].parameters))
    plan = request.plan(settings.seed)
    market = request.market()
    work = Sweep(
        type(one), searched.trials, market, catalysts, settings, plan, request.statistic, request.finer(), spa,
        request.endogenous,
    )  # fmt: skip
    folder = out or Path("runs") / f"sweep-{one.name}-{work.fingerprint()[:8]}"
    bars, coins = market.close.shape
    announce(
        "sweep",
        Workload(bars, coins, len(work.calendar), draws=plan.draws if plan else 0, trials=len(searched.trials)),
    )
    tell_of(cluster)
    with progress_bar() as progress:
        result = run_sweep(work, folder, cluster=cluster, progress=progress)
    recorded = recorded_by(ledger, lambda opened: record_sweep(opened, result))
    document = write_sweep(folder, result)
    write_recorded(folder, recorded)
    if as_json:
        typer.echo(to_json(document))
    else:
        console = new_console()
        label = market.provenance.label
        show(console, *([f"{label}: {market.provenance.source}"] if label else []))
        show(console, sweep_table(result), *sweep_lines(result))
        show(console, *(search_lines(recorded, result.best) if recorded else [WITHOUT]))
    typer.echo(f"sweep folder: {folder}", err=True)
