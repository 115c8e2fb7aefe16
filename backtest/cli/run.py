"""`backtest run`: replay strategies over a market and a calendar, and score them."""

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
    Parameters,
    PlaceboOption,
    Settings,
    StatisticOption,
    Store,
    Strategies,
    Timeframe,
    Timerange,
    assignments,
    detail_of,
    market_of,
    strategies_of,
)
from backtest.config import load_config, parse_timerange


def run(
    dataset: Dataset = None,
    timeframe: Timeframe = None,
    store: Store = None,
    calendar: Calendars = None,
    strategy: Strategies = None,
    param: Parameters = None,
    timerange: Timerange = None,
    config: Config = None,
    setting: Settings = None,
    funding: Funding = None,
    detail: Detail = None,
    placebo: PlaceboOption = "10000",
    statistic: StatisticOption = "net_return",
    bootstrap: Annotated[int, typer.Option(min=0, help="Draws behind each interval; 0 for none.")] = 1_000,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/DATASET-HASH")] = None,
    as_json: Json = False,
) -> None:
    """Replay strategies over a market and its catalysts, net of every cost."""
    overrides = assignments(setting or (), "--set") | ({"funding_unknown": funding} if funding else {})
    settings = load_config(config, **overrides)
    chosen = strategies_of(strategy or (), assignments(param or (), "-p"))
    catalysts = calendar_of(calendar)
    window = parse_timerange(timerange) if timerange else None

    from backtest.engine.replay import replay
    from backtest.report.folder import run_document, to_json, write_run_folder
    from backtest.report.score_tables import capacity_table, verdict_lines, verdict_table
    from backtest.report.tables import new_console, rejected_lines, run_table, show, trade_table
    from backtest.scoring.batch import prepare
    from backtest.scoring.metrics import named, score_run, with_intervals
    from backtest.scoring.placebo import parse_plan
    from backtest.scoring.recalendar import placebo_strategies
    from backtest.scoring.scorecard import capacity_curve, scorecard

    plan = parse_plan(placebo, statistic, settings.seed)

    market, finer = market_of(dataset, timeframe, store, window), detail_of(detail, store)
    runs = [
        replay(market, one.decide(market, catalysts), settings, calendar=catalysts, strategy=one.name, detail=finer)
        for one in chosen
    ]
    scores = [with_intervals(one, score_run(one), draws=bootstrap) if bootstrap else score_run(one) for one in runs]
    prepared = prepare(market, settings, finer)
    decided = [one.intents for one in runs]
    tested = placebo_strategies(chosen, decided, prepared, catalysts, plan) if plan else [None] * len(runs)
    cards = [
        scorecard(one.strategy, table, luck, capacity_curve(one.intents, prepared))
        for one, table, luck in zip(runs, scores, tested, strict=True)
    ]
    document = run_document(runs, cards, [one.parameters.model_dump() for one in chosen])
    hashes = runs[0].hashes
    folder = out or Path("runs") / f"{market.provenance.name}-{hashes['data'][:8]}"
    write_run_folder(folder, runs, document)
    if as_json:
        typer.echo(to_json(document))
    else:
        console = new_console()
        notes = dict.fromkeys(note for one in runs for note in one.notes)
        span = f"{market.index[0]:%Y-%m-%d %H:%M} to {market.index[-1]:%Y-%m-%d %H:%M} UTC"
        show(console, *notes, f"{market.provenance.name}: {len(market.index)} bars of {market.timeframe}, {span}")
        show(console, run_table(runs, [named(table) for table in scores]))
        show(console, verdict_table(cards), *verdict_lines(cards), capacity_table(cards))
        show(console, *(trade_table(one) for one in runs if (one.trades["catalyst_id"] != "").any()))
        show(console, *(f"{one.strategy}: {note}" for one in runs for note in one.intents.notes))
        show(console, *(line for one in runs for line in rejected_lines(one)))
    typer.echo(f"run folder: {folder}", err=True)
