"""Options that several verbs share, and the market they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from backtest.market.record import Market
    from backtest.signals.strategy import Strategy
    from backtest.units import TimeRange

Dataset = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="Name, or folder of bars; A+B joins two.", show_default="the embedded sample"),
]
Timeframe = Annotated[str | None, typer.Option(help="Of the bars, where the dataset has several.")]
Store = Annotated[
    Path | None, typer.Option(help="Root of the store.", show_default="BACKTEST_STORE or the user data folder")
]
OneStrategy = Annotated[str, typer.Option("--strategy", "-s", help="Name or file.py:Class.")]
Timerange = Annotated[str | None, typer.Option(help="20250901-20251116, end exclusive, or ISO/ISO.")]
Config = Annotated[Path | None, typer.Option(help="TOML file of the run configuration.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="key=value of the run configuration; repeat.")]
Funding = Annotated[
    str | None, typer.Option(help="Where funding is unknown: error, zero or const.", show_default="const")
]
Detail = Annotated[str | None, typer.Option(help="Name or folder of finer bars that resolve the order inside a bar.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Strategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", "-s", help="Name or file.py:Class; repeat for several.", show_default="all"),
]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="name=value or strategy.name=value; repeat.")
]
PlaceboOption = Annotated[
    str, typer.Option(metavar="[KIND:]COUNT", help="Placebo calendars, as in 5000 or dates:5000; 0 for none.")
]
StatisticOption = Annotated[str, typer.Option(help="What placebos are compared by: net_return, sharpe or mean_trade.")]


def market_of(dataset: str | None, timeframe: str | None, store: Path | None, window: TimeRange | None) -> Market:
    """The market that the options name, the embedded sample by default."""
    from backtest.market.dataset import default_dataset
    from backtest.market.joining import open_datasets

    market = open_datasets(default_dataset() if dataset is None else dataset, timeframe, store)
    return market.between(window) if window else market


def detail_of(name: str | None, store: Path | None) -> Market | None:
    """The finer bars that the options name, or none."""
    from backtest.market.dataset import open_dataset

    return open_dataset(name, store=store) if name else None


def assignments(texts: Sequence[str], option: str) -> dict[str, str]:
    """`name=value` texts as a mapping; a malformed or repeated one raises `UsageError`."""
    from backtest.errors import shortened

    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {shortened(text)} is not name=value: write for example {option} hold=48h")
        if name in values:
            raise UsageError(f"{option} {shortened(name)} is given twice: keep one")
        values[name] = value
    return values


def settings_of(given: Sequence[str] | None, funding: str | None) -> dict[str, str]:
    """What `--set` and `--funding` change of the run configuration."""
    return assignments(given or (), "--set") | ({"funding_unknown": funding} if funding else {})


def strategies_of(names: Sequence[str], parameters: dict[str, str]) -> list[Strategy[Any]]:
    """Strategies by name or `file.py:Class`, all of the project's where none is named, each with its parameters.

    `name=value` goes to every chosen strategy that has such a parameter, `strategy.name=value` to one.

    Raises
    ------
    UsageError
        For an unknown strategy, or a parameter that no chosen strategy has.
    """
    from backtest.errors import near_miss, shortened
    from backtest.signals.loading import is_file_reference, load_strategy
    from backtest.strategies import REGISTRY

    for name in names:
        if name not in REGISTRY and not is_file_reference(name):
            raise UsageError(
                f"strategy {shortened(name)} is unknown; {near_miss(name, REGISTRY)}; or name a file.py:Class"
            )
    chosen = [REGISTRY.get(name) or load_strategy(name) for name in dict.fromkeys(names or REGISTRY)]
    titles = [strategy.name for strategy in chosen]
    for title in titles:
        if titles.count(title) > 1:
            raise UsageError(f"strategy {title!r} is chosen twice: give yours another name")
    values: dict[str, dict[str, str]] = {strategy.name: {} for strategy in chosen}
    for key, value in parameters.items():
        owner, _, name = key.rpartition(".")
        takers = [one for one in chosen if owner in ("", one.name) and name in one.parameters_type.model_fields]
        if not takers:
            known = {field for one in chosen for field in one.parameters_type.model_fields}
            who = owner or ", ".join(strategy.name for strategy in chosen)
            raise ConfigError(
                f"parameter {shortened(name)} is unknown to {shortened(who)[1:-1]}; {near_miss(name, known)}"
            )
        for strategy in takers:
            values[strategy.name][name] = value
    return [strategy(values[strategy.name]) for strategy in chosen]
