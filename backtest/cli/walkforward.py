"""`backtest walkforward`: choose parameters on the catalysts that came before, trade those that came after."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backtest.cli.events import Calendars, calendar_of
from backtest.cli.options import (
    Config,
    Dataset,
    Detail,
    Funding,
    Json,
    OneStrategy,
    PlaceboOption,
    Settings,
    StatisticOption,
    Store,
    Timeframe,
    Timerange,
    detail_of,
    market_of,
    settings_of,
    strategies_of,
)
from backtest.cli.progress import progress_bar
from backtest.cli.sweep import Axes, SearchOption, SpaceFile, TrialsOption, space_of


def walkforward(
    strategy: OneStrategy = "",
    param: Axes = None,
    space: SpaceFile = None,
    search: SearchOption = None,
    trials: TrialsOption = None,
    folds: Annotated[int, typer.Option(min=1, help="Tests, in order of time.")] = 4,
    horizon: Annotated[str, typer.Option(help="How long a catalyst's outcome takes; purged before a test.")] = "72h",
    embargo: Annotated[str, typer.Option(help="Gap before a test that is not trained on.")] = "24h",
    memory: Annotated[int, typer.Option(help="Blocks of catalysts trained on; 0 for all before.")] = 0,
    dataset: Dataset = None,
    timeframe: Timeframe = None,
    store: Store = None,
    calendar: Calendars = None,
    timerange: Timerange = None,
    config: Config = None,
    setting: Settings = None,
    funding: Funding = None,
    detail: Detail = None,
    placebo: PlaceboOption = "10000",
    statistic: StatisticOption = "net_return",
    cluster: Annotated[str | None, typer.Option(help="Dask scheduler, tcp://host:8786.", show_default="here")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/...")] = None,
    as_json: Json = False,
) -> None:
    """Choose parameters on past catalysts, trade the next ones with them, and score that as one run."""
    from backtest.config import load_config
    from backtest.units import duration_ms, parse_timerange

    settings = load_config(config, **settings_of(setting, funding))
    catalysts = calendar_of(calendar)
    window = parse_timerange(timerange) if timerange else None
    purge, gap = duration_ms(horizon), duration_ms(embargo)

    from backtest.report.folder import run_document, to_json, write_run_folder, write_text, writing
    from backtest.report.score_tables import fold_table, verdict_lines, verdict_table
    from backtest.report.search_folder import walkforward_document
    from backtest.report.tables import new_console, run_table, show, trade_table
    from backtest.scoring.batch import prepare
    from backtest.scoring.evaluation import Evaluation
    from backtest.scoring.metrics import named, score_run
    from backtest.scoring.placebo import parse_plan
    from backtest.scoring.scorecard import capacity_curve, scorecard
    from backtest.scoring.walkforward import WalkForward, walk_forward

    searched = space_of(strategy, param or (), space, search, trials, settings.seed)
    (one,) = strategies_of([searched.strategy], dict(searched.trials[0].parameters))
    plan = parse_plan(placebo, statistic, settings.seed)
    market = market_of(dataset, timeframe, store, window)
    finer = detail_of(detail, store)
    walk = WalkForward(
        type(one), searched.trials, market, catalysts, settings, folds, purge, gap, memory, statistic, finer
    )
    with progress_bar() as progress:
        result = walk_forward(walk, plan, cluster=cluster, progress=progress)
    scores = score_run(result.run)
    prepared = prepare(result.run.market, settings, finer)
    curve = capacity_curve(result.run.intents, prepared)
    card = scorecard(one.name, scores, result.placebo, curve, label=market.provenance.label)
    evaluation = Evaluation(prepared, catalysts, plan, (one,), (result.run,), (card,))
    document = walkforward_document(result, card)
    folder = out or Path("runs") / f"walkforward-{one.name}-{market.sha256()[:8]}"
    write_run_folder(folder, [result.run], run_document(evaluation))
    with writing("run folder", folder):
        write_text(folder / "walkforward.json", to_json(document) + "\n")
    if as_json:
        typer.echo(to_json(document))
    else:
        console = new_console()
        show(console, *result.run.notes, fold_table(result), run_table([result.run], [named(scores)]))
        show(console, verdict_table([card]), *verdict_lines([card]), trade_table(result.run))
    typer.echo(f"run folder: {folder}", err=True)
