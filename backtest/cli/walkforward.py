"""`backtest walkforward`: choose on what came before, trade what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli.options import (
    REPLAYED,
    Axes,
    Cluster,
    Json,
    OneStrategy,
    SearchOption,
    SpaceFile,
    TrialsOption,
    asking,
)
from backtest.cli.progress import progress_bar

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
    folds: Annotated[int, typer.Option(min=1, help="Tests, in order of time.")] = 4,
    horizon: Annotated[str, typer.Option(help="How long a catalyst's outcome takes; purged before a test.")] = "72h",
    embargo: Annotated[str, typer.Option(help="Gap before a test that is not trained on.")] = "24h",
    memory: Annotated[int, typer.Option(help="Blocks of catalysts trained on; 0 for all before.")] = 0,
    cluster: Cluster = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/...")] = None,
    as_json: Json = False,
) -> None:
    """Choose parameters on past catalysts, trade the next ones with them, and score that as one run."""
    from backtest.report.folder import run_document, to_json, write_run_folder, write_text, writing
    from backtest.report.run_screen import run_table
    from backtest.report.score_tables import fold_table, verdict_lines, verdict_table
    from backtest.report.search_folder import walkforward_document
    from backtest.report.tables import new_console, show, trade_table
    from backtest.request.request import assignments
    from backtest.request.strategies import strategies_of
    from backtest.scoring.evaluation import judged, scores_of
    from backtest.scoring.space import space_of
    from backtest.scoring.walkforward import WalkForward, walk_forward
    from backtest.units import duration_ms

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
    )
    with progress_bar() as progress:
        result = walk_forward(walk, plan, cluster=cluster, progress=progress)
        (scores,) = scores_of([result.run], 0)
        evaluation = judged(
            (one,), result.run.prepared, catalysts, plan, [result.run], [scores], [result.placebo], progress
        )
    (card,) = evaluation.cards
    document = walkforward_document(result, card)
    folder = out or Path("runs") / f"walkforward-{one.name}-{market.sha256()[:8]}"
    write_run_folder(folder, [result.run], run_document(evaluation))
    with writing("run folder", folder):
        write_text(folder / "walkforward.json", to_json(document) + "\n")
    if as_json:
        typer.echo(to_json(document))
    else:
        console = new_console()
        show(console, *result.run.notes, fold_table(result), run_table(evaluation, console.width))
        show(console, verdict_table([card]), *verdict_lines([card]), trade_table(result.run))
    typer.echo(f"run folder: {folder}", err=True)
