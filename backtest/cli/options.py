"""The options that verbs share, each written once, and the request built from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

if TYPE_CHECKING:
    from backtest.catalysts.record import Calendar
    from backtest.request.request import Request

Dataset = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="Name, or folder of bars; A+B joins two.", show_default="the embedded sample"),
]
Timeframe = Annotated[str | None, typer.Option(help="Timeframe of the bars, if the dataset has several.")]
Store = Annotated[
    Path | None, typer.Option(help="Root of the store.", show_default="BACKTEST_STORE or the user data folder")
]
Calendars = Annotated[
    list[str] | None,
    typer.Option("--calendar", "-c", help="Name, or TOML or CSV file; repeat.", show_default="privacy-2025"),
]
OneStrategy = Annotated[str, typer.Option("--strategy", "-s", help="Name or file.py:Class.")]
Timerange = Annotated[str | None, typer.Option(help="20250901-20251116, end exclusive, or ISO/ISO.")]
Config = Annotated[Path | None, typer.Option(help="TOML file of the run configuration.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="key=value of the run configuration; repeat.")]
FundingOption = Annotated[
    str | None, typer.Option(help="What to do if funding is unknown: error, zero or const.", show_default="const")
]
Detail = Annotated[str | None, typer.Option(help="Name or folder of finer bars that resolve the order inside a bar.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Strategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", "-s", help="Name or file.py:Class; repeat for several.", show_default="all"),
]
ParameterOptions = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="name=value or strategy.name=value; repeat.")
]
Trust = Annotated[
    list[Path] | None,
    typer.Option("--trust", metavar="PATH", help="Strategy file, or folder of them, that a document may run; repeat."),
]
PlaceboOption = Annotated[
    str, typer.Option(metavar="[KIND:]COUNT", help="Placebo calendars, as in 5000 or dates:5000; 0 for none.")
]
StatisticOption = Annotated[
    str, typer.Option(help="Statistic compared with placebos: net_return, sharpe or mean_trade.")
]
Bootstrap = Annotated[int, typer.Option(min=0, help="Draws behind each interval, 100 or more; 0 for none.")]
Axes = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", help="name=24h,48h or name=0.05..0.3/0.05 or, at random, name=24h..96h; repeat."),
]
SpaceFile = Annotated[
    Path | None, typer.Option("--space", help="TOML file: strategy, search, trials and [parameters].")
]
SearchOption = Annotated[str | None, typer.Option("--search", help="grid or random.", show_default="grid")]
TrialsOption = Annotated[int | None, typer.Option("--trials", help="Number of random trials.", show_default="100")]
ClusterOption = Annotated[
    str | None, typer.Option(help="Dask scheduler, tcp://host:8786, or local:N workers here.", show_default="here")
]

EquityOption = Annotated[
    str,
    typer.Option("--equity", help="Equity in the run folder: csv, parquet, or auto, which is csv below 200,000 bars."),
]
LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="FILE",
        help="Research ledger, or none.",
        show_default="BACKTEST_LEDGER or backtest-ledger.sqlite",
    ),
]

AuxiliaryOption = Annotated[
    list[str] | None,
    typer.Option("--series", help="NAME=FILE.csv with available_at,value, for strategies and study; repeat."),
]
Currency = Annotated[
    str | None, typer.Option(help="Convert spot to this currency, by a pair of the dataset or a --series eur_usdt.")
]
RulesOption = Annotated[
    str | None,
    typer.Option("--rules", help="Venue rules: binanceusdm (those of each bar), one of its days, or a file."),
]
Endogenous = Annotated[bool, typer.Option("--endogenous", help="Include catalysts that are moves of the price itself.")]

REQUEST: dict[str, tuple[Any, Any]] = {
    "dataset": (Dataset, None),
    "timeframe": (Timeframe, None),
    "store": (Store, None),
    "calendar": (Calendars, None),
    "strategy": (Strategies, None),
    "param": (ParameterOptions, None),
    "timerange": (Timerange, None),
    "series": (AuxiliaryOption, None),
    "currency": (Currency, None),
    "rules": (RulesOption, None),
    "config": (Config, None),
    "setting": (Settings, None),
    "funding": (FundingOption, None),
    "detail": (Detail, None),
    "placebo": (PlaceboOption, "10000"),
    "statistic": (StatisticOption, "net_return"),
    "bootstrap": (Bootstrap, 1_000),
    "endogenous": (Endogenous, False),
}
"""Options of a request, by the name of the parameter, with their defaults."""
BARS = ("dataset", "timeframe", "store", "timerange", "series", "currency", "rules")
"""Those that say which bars."""
REPLAYED = (*BARS, "calendar", "config", "setting", "funding", "detail", "placebo", "statistic", "endogenous")
"""Those of a verb that replays, but for its strategies."""


def asking(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb, as `request`, the request made of these options of `REQUEST`; its own options follow them.

    The verb is written with a first parameter `request`, which the command line does not see.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(verb, eval_str=True, locals={"Request": Any})
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in REQUEST.items()
            if name in names
        ]
        rest = [
            one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, one in own.parameters.items()
            if name != "request"
        ]

        @wraps(verb)
        def called(**given: Any) -> None:
            mine = {one.name: given.pop(one.name) for one in rest}
            verb(request_of(**given), **mine)

        called.__signature__ = own.replace(parameters=[*shared, *rest])  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in (*shared, *rest)} | {"return": None}
        del called.__wrapped__
        return called

    return decorate


def calendar_asked(names: list[str] | None) -> Calendar:
    """The catalysts of a verb that asks for nothing else: a request and a configuration cost more than to list them."""
    from backtest.request.calendars import calendar_of

    values: dict[str, Any] = {"calendars": tuple(names or ())}
    _fill_from_folder(values)
    return calendar_of(values["calendars"])


def _fill_from_folder(values: dict[str, Any]) -> None:
    """Fill in what the backtest.toml of the working folder says, and tell what that was."""
    if not Path("backtest.toml").exists():
        return
    from backtest.request.workspace import read_workspace

    read = read_workspace(Path.cwd()).fill(values)
    if read:
        typer.echo(f"backtest.toml: {'; '.join(read)}", err=True)


def request_of(**given: Any) -> Request:
    """The request made of the options given; options that a verb lacks keep their defaults."""
    from backtest.request.request import Request, assignments

    values: dict[str, Any] = {
        name: given[name]
        for name in (
            *("dataset", "timeframe", "timerange", "currency", "rules", "detail"),
            *("placebo", "statistic", "bootstrap", "endogenous"),
        )
        if name in given
    }
    for name in ("store", "config"):
        values[name] = str(given[name]) if given.get(name) else None
    values["calendars"] = tuple(given.get("calendar") or ())
    values["strategies"] = tuple(given.get("strategy") or ())
    values["parameters"] = assignments(given.get("param") or (), "-p")
    values["series"] = assignments(given.get("series") or (), "--series")
    values["settings"] = assignments(given.get("setting") or (), "--set")
    if given.get("funding"):
        from backtest.base.config import RunConfig
        from backtest.base.errors import UsageError, near_miss, shortened

        allowed = get_args(RunConfig.model_fields["funding_unknown"].annotation)
        if given["funding"] not in allowed:
            raise UsageError(
                f"--funding {shortened(given['funding'])} is unknown; {near_miss(given['funding'], allowed)}"
            )
        values["settings"]["funding_unknown"] = given["funding"]
    _fill_from_folder(values)
    return Request(**values)
