"""`backtest run`: replay strategies over a market and a calendar, and score them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli.events import Calendars, calendar_of
from backtest.config import load_config, near_miss, parse_timerange
from backtest.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from backtest.signals.strategy import Strategy


def assignments(texts: Sequence[str], option: str) -> dict[str, str]:
    """`name=value` texts as a mapping; a malformed or repeated one raises `UsageError`."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {text!r} is not name=value: write for example {option} hold=48h")
        if name in values:
            raise UsageError(f"{option} {name!r} is given twice: keep one")
        values[name] = value
    return values


def strategies_of(names: Sequence[str], parameters: dict[str, str]) -> list[Strategy[Any]]:
    """Strategies by name (all where none is named), each with the parameters meant for it.

    `name=value` goes to every chosen strategy that has such a parameter, `strategy.name=value` to one.

    Raises
    ------
    UsageError
        For an unknown strategy, or a parameter that no chosen strategy has.
    """
    from strategies import REGISTRY

    for name in names:
        if name not in REGISTRY:
            raise UsageError(f"strategy {name!r} is unknown; {near_miss(name, REGISTRY)}")
    chosen = [REGISTRY[name] for name in dict.fromkeys(names or REGISTRY)]
    values: dict[str, dict[str, str]] = {strategy.name: {} for strategy in chosen}
    for key, value in parameters.items():
        owner, _, name = key.rpartition(".")
        takers = [one for one in chosen if owner in ("", one.name) and name in one.parameters_type.model_fields]
        if not takers:
            known = {field for one in chosen for field in one.parameters_type.model_fields}
            who = owner or ", ".join(strategy.name for strategy in chosen)
            raise ConfigError(f"parameter {name!r} is unknown to {who}; {near_miss(name, known)}")
        for strategy in takers:
            values[strategy.name][name] = value
    return [strategy(values[strategy.name]) for strategy in chosen]


def run(
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="Name, or folder of bars.", show_default="the embedded sample")
    ] = None,
    calendar: Calendars = None,
    strategy: Annotated[
        list[str] | None, typer.Option("--strategy", "-s", help="Name; repeat for several.", show_default="all")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="name=value or strategy.name=value; repeat.")
    ] = None,
    timerange: Annotated[str | None, typer.Option(help="20250901-20251116, end exclusive, or ISO/ISO.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of the run configuration.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the run configuration; repeat.")
    ] = None,
    funding: Annotated[
        str | None, typer.Option(help="Where funding is unknown: error, zero or const.", show_default="const")
    ] = None,
    detail: Annotated[
        str | None, typer.Option(help="Name or folder of finer bars that resolve the order inside a bar.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/DATASET-HASH")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Replay strategies over a market and its catalysts, net of every cost."""
    overrides = assignments(setting or (), "--set") | ({"funding_unknown": funding} if funding else {})
    settings = load_config(config, **overrides)
    chosen = strategies_of(strategy or (), assignments(param or (), "-p"))
    catalysts = calendar_of(calendar)
    window = parse_timerange(timerange) if timerange else None

    from backtest.engine.replay import replay
    from backtest.market.dataset import default_dataset, open_dataset
    from backtest.report.folder import run_document, to_json, write_run_folder
    from backtest.report.tables import new_console, rejected_lines, run_table, show, trade_table
    from backtest.scoring.metrics import named, score_run

    market = open_dataset(dataset or default_dataset())
    if window:
        market = market.between(window)
    finer = open_dataset(detail) if detail else None
    runs = [
        replay(market, one.decide(market, catalysts), settings, calendar=catalysts, strategy=one.name, detail=finer)
        for one in chosen
    ]
    scores = [score_run(one) for one in runs]
    document = run_document(runs, scores, [one.parameters.model_dump() for one in chosen])
    hashes = runs[0].hashes
    folder = out or Path("runs") / f"{market.provenance.name}-{hashes['data'][:8]}"
    if as_json:
        typer.echo(to_json(document))
    else:
        console = new_console()
        notes = dict.fromkeys(note for one in runs for note in one.notes)
        span = f"{market.index[0]:%Y-%m-%d %H:%M} to {market.index[-1]:%Y-%m-%d %H:%M} UTC"
        show(console, *notes, f"{market.provenance.name}: {len(market.index)} bars of {market.timeframe}, {span}")
        show(console, run_table(runs, [named(table) for table in scores]))
        show(console, *(trade_table(one) for one in runs if (one.trades["catalyst_id"] != "").any()))
        show(console, *(line for one in runs for line in rejected_lines(one)))
    write_run_folder(folder, runs, document)
    typer.echo(f"run folder: {folder}", err=True)
