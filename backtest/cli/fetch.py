"""`backtest fetch`: download a recipe, or what the options describe, into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.base.errors import MarketError, UsageError
from backtest.cli.options import Store as StoreOption
from backtest.cli.progress import series_bars

if TYPE_CHECKING:
    from backtest.market.download import Report
    from backtest.market.planning import DownloadPlan
    from backtest.market.recipe import Recipe

ConfigOption = Annotated[
    Path | None, typer.Option(help="JSON of ccxt constructor options (proxies, hosts, ...), deep-merged.")
]
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Accept plain http, and certificates that are not verified.")
]
ArchiveUrl = Annotated[str | None, typer.Option(help="Where Binance's archive is served.", show_default=False)]
SeriesOption = Annotated[
    str | None, typer.Option(help="Of ohlcv, oi and funding; separated by commas.", show_default="all")
]


def fetch(
    recipe: Annotated[
        str | None, typer.Argument(help="Name or TOML file of a recipe, as in privacy-2025.", show_default=False)
    ] = None,
    exchange: Annotated[str | None, typer.Option(help="ccxt exchange id, as in bybit.")] = None,
    symbols: Annotated[str | None, typer.Option(help="ccxt symbols, separated by commas.")] = None,
    series: SeriesOption = None,
    timeframe: Annotated[str | None, typer.Option(help="ccxt timeframe.", show_default="1h")] = None,
    timerange: Annotated[str | None, typer.Option(help="20250815-20251201, end exclusive, or 20250815-.")] = None,
    name: Annotated[str | None, typer.Option(help="Name to pass to --dataset.", show_default="the exchange")] = None,
    exchange_config: ConfigOption = None,
    archive: Annotated[bool, typer.Option("--archive", help="From Binance's public archive, with checksums.")] = False,
    archive_url: ArchiveUrl = None,
    again: Annotated[bool, typer.Option("--again", help="Request every stored gap again.")] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only print the requests, their number and duration, and what is refused.")
    ] = False,
    instruments: Annotated[
        bool | None,
        typer.Option(
            "--instruments/--no-instruments",
            help="Keep the venue's rules of today: tick, lot, least notional, tiers, listing.",
            show_default="kept, but for --archive",
        ),
    ] = None,
    insecure: InsecureOption = False,
    workers: Annotated[int, typer.Option(min=1, max=32, help="Series fetched at once.")] = 4,
    store: StoreOption = None,
) -> None:
    """Download bars, open interest and funding into the store; what is there already is not asked for again."""
    chosen = _recipe(recipe, exchange, symbols, series, timeframe, timerange, name)

    from backtest.market.download import Downloader
    from backtest.market.planning import plan_archive, plan_download
    from backtest.market.recipe import merged_deep, read_exchange_config
    from backtest.market.store import Store, store_root

    shelf = Store(store_root(store))
    if archive and instruments:
        raise UsageError("Binance's archive has no --instruments: leave out --archive, or write instruments.toml")
    if archive:
        from backtest.market.archive_download import ArchiveDownloader
        from backtest.market.archive_host import ARCHIVE_URL

        files = ArchiveDownloader(
            chosen, shelf, archive_url or ARCHIVE_URL, workers=workers, again=again, insecure=insecure
        )
        if plan:
            _show_plan(plan_archive(files))
            return
        with series_bars() as files.progress:
            report = files.run()
    else:
        if exchange_config is not None:
            options = merged_deep(chosen.exchange.options, read_exchange_config(exchange_config))
            choice = chosen.exchange.model_copy(update={"options": options})
            chosen = chosen.model_copy(update={"exchange": choice})
        pages = Downloader(
            chosen,
            shelf,
            workers=workers,
            again=again,
            insecure=insecure,
            instruments=instruments is not False,
            say=_say,
        )
        if plan:
            _show_plan(plan_download(pages))
            return
        with series_bars() as pages.progress:
            report = pages.run()
    show_report(report)
    if complaint := report.complaint():
        raise MarketError(complaint)
    typer.echo(f"run on it with: backtest run --dataset {chosen.name}", err=True)


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _show_plan(plan: DownloadPlan) -> None:
    """Print a plan; a series that the venue refuses is an error, after the table of what it serves."""
    from backtest.report.data_tables import plan_parts
    from backtest.report.tables import new_console, show

    show(new_console(), *plan_parts(plan))
    if plan.refused:
        raise UsageError("; ".join(plan.refused))


def show_report(report: Report) -> None:
    """Print the outcome for each series, the venue's gaps, and the notes."""
    from backtest.report.data_tables import fetched_table
    from backtest.report.tables import new_console, show

    show(new_console(), fetched_table(report), *report.remarks())


def _recipe(
    recipe: str | None,
    exchange: str | None,
    symbols: str | None,
    series: str | None,
    timeframe: str | None,
    timerange: str | None,
    name: str | None,
) -> Recipe:
    from backtest.base.documents import build
    from backtest.market.recipe import Recipe, open_recipe
    from backtest.market.rows import series_names

    options = {
        "--exchange": exchange,
        "--symbols": symbols,
        "--series": series,
        "--timeframe": timeframe,
        "--name": name,
    }
    if recipe is not None:
        if extra := [option for option, value in options.items() if value is not None]:
            raise UsageError(f"recipe {recipe!r} says what {', '.join(extra)} would say: leave one of them out")
        chosen = open_recipe(recipe)
        return build(Recipe, {**chosen.model_dump(), "timerange": timerange}, "--timerange") if timerange else chosen
    needed = {"--exchange": exchange, "--symbols": symbols, "--timerange": timerange}
    if absent := [option for option, value in needed.items() if value is None]:
        raise UsageError(f"no recipe was named, so {', '.join(absent)} must be given: see backtest fetch --help")
    values: dict[str, Any] = {
        "name": name or f"{exchange}-{timeframe or '1h'}",
        "exchange": {"id": exchange},
        "symbols": [symbol.strip() for symbol in (symbols or "").split(",") if symbol.strip()],
        "timerange": timerange,
        **({"series": series_names(series)} if series else {}),
        **({"timeframe": timeframe} if timeframe else {}),
    }
    return build(Recipe, values, "fetch")
