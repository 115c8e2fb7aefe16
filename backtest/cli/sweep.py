"""`backtest sweep`: search a strategy's parameters, keep every trial, and pay for the search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    assignments,
    detail_of,
    market_of,
    settings_of,
    strategies_of,
)
from backtest.cli.progress import progress_bar
from backtest.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from backtest.scoring.space import Trial

Axes = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", help="name=24h,48h or name=0.05..0.3/0.05 or, at random, name=24h..96h; repeat."),
]
SpaceFile = Annotated[
    Path | None, typer.Option("--space", help="TOML file: strategy, search, trials and [parameters].")
]
SearchOption = Annotated[str | None, typer.Option("--search", help="grid or random.", show_default="grid")]
TrialsOption = Annotated[int | None, typer.Option("--trials", help="How many to draw at random.", show_default="100")]


@dataclass(frozen=True, slots=True)
class Space:
    """What is to be searched, from the file and the flags; flags win."""

    strategy: str
    trials: tuple[Trial, ...]


def space_of(
    strategy: str, param: Sequence[str], file: Path | None, search: str | None, trials: int | None, seed: int
) -> Space:
    """The trials of a search.

    Raises
    ------
    ConfigError
        For an unknown key of the file, or no parameter at all.
    UsageError
        For a search that is neither grid nor random, or trials of a grid.
    """
    from backtest.documents import build, read_toml
    from backtest.errors import near_miss, shortened
    from backtest.scoring.space import SpaceTable, axes_of, grid_trials, random_trials

    said = build(SpaceTable, read_toml(file, ConfigError), str(file)) if file else SpaceTable()
    named = strategy or said.strategy
    if not named:
        raise UsageError("no strategy is named: write -s catalyst_momentum, or strategy = ... in the file of --space")
    parameters = {**said.parameters, **assignments(param, "-p")}
    if not parameters:
        raise UsageError("no parameter is searched: write for example -p hold=24h,48h,72h")
    how = search or said.search
    count = trials if trials is not None else said.trials
    axes = axes_of(parameters)
    if how == "grid":
        if count is not None:
            raise UsageError(f"trials = {shortened(count)} belongs to --search random: a grid tries every combination")
        return Space(named, grid_trials(axes))
    if how == "random":
        return Space(named, random_trials(axes, 100 if count is None else count, seed))
    raise UsageError(f"search {shortened(how)} is unknown; {near_miss(how, ('grid', 'random'))}")


def sweep(
    strategy: OneStrategy = "",
    param: Axes = None,
    space: SpaceFile = None,
    search: SearchOption = None,
    trials: TrialsOption = None,
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
    spa: Annotated[bool, typer.Option("--spa", help="Test of superior predictive ability and StepM over all.")] = False,
    cluster: Annotated[str | None, typer.Option(help="Dask scheduler, tcp://host:8786.", show_default="here")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; a search goes on there.", show_default="runs/...")] = None,
    as_json: Json = False,
) -> None:
    """Search a strategy's parameters; every trial is kept, and p, Sharpe ratio and choice pay for all of them."""
    from backtest.config import load_config
    from backtest.units import parse_timerange

    settings = load_config(config, **settings_of(setting, funding))
    catalysts = calendar_of(calendar)
    window = parse_timerange(timerange) if timerange else None

    from backtest.report.folder import to_json
    from backtest.report.score_tables import sweep_lines, sweep_table
    from backtest.report.search_folder import write_sweep
    from backtest.report.tables import new_console, show
    from backtest.scoring.placebo import parse_plan
    from backtest.scoring.sweep import Sweep, run_sweep

    searched = space_of(strategy, param or (), space, search, trials, settings.seed)
    (one,) = strategies_of([searched.strategy], dict(searched.trials[0].parameters))
    plan = parse_plan(placebo, statistic, settings.seed)
    market = market_of(dataset, timeframe, store, window)
    work = Sweep(
        type(one), searched.trials, market, catalysts, settings, plan, statistic, detail_of(detail, store), spa
    )
    folder = out or Path("runs") / f"sweep-{one.name}-{work.fingerprint()[:8]}"
    with progress_bar() as progress:
        result = run_sweep(work, folder, cluster=cluster, progress=progress)
    document = write_sweep(folder, result)
    if as_json:
        typer.echo(to_json(document))
    else:
        console = new_console()
        label = market.provenance.label
        show(console, *([f"{label}: {market.provenance.source}"] if label else []))
        show(console, sweep_table(result), *sweep_lines(result))
    typer.echo(f"sweep folder: {folder}", err=True)
