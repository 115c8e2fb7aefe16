"""`backtest walkforward`: choose parameters on the past, trade what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli.options import (
    REPLAYED,
    Axes,
    ClusterOption,
    EquityOption,
    Json,
    LedgerOption,
    OneStrategy,
    SearchOption,
    SpaceFile,
    TrialsOption,
    asking,
)
from backtest.cli.progress import progress_bar, tell_of
from backtest.cli.wording import as_typed

if TYPE_CHECKING:
    from backtest.request.request import Request


@asking(*REPLAYED)
def walkforward(
    request: Request,
    strategy: OneStrategy = "",
    param: Axes = None,
    space: SpaceFile = None,
    search: SearchOption = None,
    trials: TrialsOption = None,
    folds: Annotated[int, typer.Option(min=1, help="Number of tests, in order of time.")] = 4,
    horizon: Annotated[str, typer.Option(help="How long a catalyst's outcome takes; purged before a test.")] = "72h",
    embargo: Annotated[str, typer.Option(help="Gap before a test, left out of training.")] = "24h",
    memory: Annotated[int, typer.Option(help="Earlier blocks of catalysts to train on; 0 for all.")] = 0,
    cluster: ClusterOption = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/...")] = None,
    equity: EquityOption = "auto",
    ledger: LedgerOption = None,
    as_json: Json = False,
) -> None:
    """Choose parameters on past catalysts, trade the next ones with them, and score that as one run."""
    from dataclasses import replace

    from backtest.base.estimate import Workload, writes_csv
    from backtest.base.units import duration_ms
    from backtest.cli.announcing import announce
    from backtest.cli.recording import WITHOUT, recorded_by, write_recorded
    from backtest.ledger.recording import record_walk_forward
    from backtest.report.folder import (
        check_unclaimed,
        run_document,
        run_folder_name,
        to_json,
        write_run_folder,
        write_text,
        writing,
    )
    from backtest.report.ledger_tables import recorded_lines
    from backtest.report.run_screen import run_table
    from backtest.report.score_tables import fold_table, verdict_lines, verdict_table
    from backtest.report.search_folder import walkforward_document
    from backtest.report.tables import new_console, show, trade_table
    from backtest.request.request import assignments
    from backtest.request.strategies import strategies_of
    from backtest.scoring.evaluation import judged, scores_of
    from backtest.scoring.space import space_of
    from backtest.scoring.walkforward import WalkForward, walk_forward

    writes_csv(equity, 0)  # An unknown format is refused before the search, not after it.
    settings, catalysts = request.run_config(), request.calendar()
    searched = space_of(strategy, assignments(param or (), "-p"), space, search, trials, settings.seed)
    (one,) = strategies_of([searched.strategy], dict(searched.trials[0].parameters))
    plan = request.plan(settings.seed)
    market = request.market()
    walk = WalkForward(
        type(one),
        searched.trials,
        market,
        catalysts,
        settings,
        folds,
        duration_ms(horizon),
        duration_ms(embargo),
        memory,
        request.statistic,
        request.finer(),
        request.endogenous,
    )
    bars, coins = market.close.shape
    # Each fold replays every trial on the catalysts before it, and only what was chosen is compared with placebos.
    announce("sweep", Workload(bars, coins, len(walk.calendar), trials=folds * len(searched.trials)))
    tell_of(cluster)
    with progress_bar() as progress:
        result = walk_forward(walk, plan, cluster=cluster, progress=progress)
        (scores,) = scores_of([result.run], 0)
        evaluation = judged(
            (one,), result.run.prepared, walk.calendar, plan, [result.run], [scores], [result.placebo], progress
        )
    document = walkforward_document(result, evaluation.cards[0])
    found = run_document(evaluation)
    folder = out or Path("runs") / f"walkforward-{run_folder_name(found)}"
    check_unclaimed(folder, found)
    recorded = recorded_by(ledger, lambda opened: record_walk_forward(opened, evaluation, result))
    cards = recorded.cards if recorded else evaluation.cards
    write_run_folder(folder, [result.run], found, equity=equity)
    write_recorded(folder, recorded)
    with writing("run folder", folder):
        write_text(folder / "walkforward.json", to_json(document) + "\n")
    if as_json:
        typer.echo(to_json(document))
    else:
        console = new_console()
        judged_now = replace(evaluation, cards=cards)
        show(console, *map(as_typed, result.run.notes), fold_table(result), run_table(judged_now, console.width))
        show(console, verdict_table(cards), *verdict_lines(cards))
        show(console, *(recorded_lines(recorded) if recorded else [WITHOUT]), trade_table(result.run))
    typer.echo(f"run folder: {folder}", err=True)
