"""`backtest data`: list, check and compare stored data, and add data without a download."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.base.errors import MarketError, UsageError
from backtest.base.schemas import schema_id
from backtest.cli.fetch import ArchiveUrl, ConfigOption, InsecureOption, SeriesOption, show_report
from backtest.cli.options import Json, Timeframe
from backtest.cli.options import Store as StoreOption
from backtest.cli.progress import progress_bar, series_bars
from backtest.cli.verbs import Verbs

if TYPE_CHECKING:
    from backtest.market.asking_again import Reasked
    from backtest.market.record import Kind
    from backtest.market.rows import Key
    from backtest.market.store import Store

app = typer.Typer(cls=Verbs, help="List, show, check, compare, import and record market data.", no_args_is_help=True)

VenueArgument = Annotated[str | None, typer.Argument(help="ccxt exchange id.", show_default="all")]
Symbol = Annotated[str | None, typer.Argument(help="ccxt symbol.", show_default="all")]

_EMPTY = "the store {} is empty: fill it with backtest fetch privacy-2025"


@app.command("list")
def list_data(store: StoreOption = None, as_json: Json = False) -> None:
    """List every series of the store."""
    from backtest.market.from_store import stored_names
    from backtest.market.store import Store, store_root
    from backtest.report.data_tables import store_table
    from backtest.report.tables import new_console, show

    shelf = Store(store_root(store))
    manifests = shelf.manifests()
    names = stored_names(shelf)
    if as_json:
        series = [one.summary() for one in manifests]
        document = {"schema": schema_id("data"), "store": str(shelf.root), "datasets": names, "series": series}
        typer.echo(json.dumps(document, indent=2))
    elif manifests:
        show(new_console(), store_table(manifests), f"datasets: {', '.join(names)}")
    else:
        typer.echo(_EMPTY.format(shelf.root), err=True)


@app.command("show")
def show_data(venue: VenueArgument = None, symbol: Symbol = None, store: StoreOption = None) -> None:
    """Show units, source, coverage and gaps of series."""
    from backtest.market.store import Store, store_root
    from backtest.report.data_tables import LEGEND, manifest_lines, rules_lines
    from backtest.report.tables import new_console, show

    shelf = Store(store_root(store))
    console = new_console()
    manifests = shelf.manifests(venue, symbol)
    for one in manifests:
        show(console, *manifest_lines(one, console.width))
    for told in dict.fromkeys(one.venue for one in manifests):
        show(console, *rules_lines(shelf.root / told, {one.symbol for one in manifests if one.venue == told}))
    if not manifests:
        typer.echo(_EMPTY.format(shelf.root), err=True)
    show(console, LEGEND)


@app.command("check")
def check_data(
    venue: VenueArgument = None,
    symbol: Symbol = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Compare a sample of the rows with a venue, or with archive (Binance's)."),
    ] = None,
    windows: Annotated[int, typer.Option(min=1, max=1000, help="Samples per series, of 100 rows or a day.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples.")] = 1,
    exchange_config: ConfigOption = None,
    archive_url: ArchiveUrl = None,
    insecure: InsecureOption = False,
    store: StoreOption = None,
) -> None:
    """Verify every file against its hash and every row against the rules; exit 3 if one is broken, or the source
    says something else.
    """
    from backtest.market.checking import checked_series
    from backtest.market.store import Store, store_root

    shelf = Store(store_root(store))
    keys = shelf.keys(venue, symbol)
    if not keys:
        typer.echo(_EMPTY.format(shelf.root), err=True)
    checked = [checked_series(shelf, key) for key in keys]
    rows, adopted = sum(one.rows for one in checked), sum(one.adopted for one in checked)
    problems = [sentence for one in checked for sentence in one.problems]
    typer.echo(f"{len(keys)} series, {rows:,} rows, {sum(bool(one.problems) for one in checked)} broken")
    if adopted:
        typer.echo(f"{adopted:,} rows of files that no manifest listed were taken in")
    if against is not None and not problems:
        reasked = _reasked(shelf, keys, against, windows, seed, exchange_config, archive_url, insecure=insecure)
        for one in reasked:
            typer.echo(one.line())
            problems += one.problems()
    if problems:
        raise MarketError("; ".join(problems))


@app.command("compare")
def compare_data(
    a: Annotated[str, typer.Argument(metavar="A", help="Venue or name of the store, dataset, or folder.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What A is compared with.")],
    coins: Annotated[
        str | None, typer.Option(help="Coins, separated by commas.", show_default="all that both have")
    ] = None,
    timeframe: Timeframe = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="How far apart prices may be.", show_default="0.005; 0.02 for swap and spot"
        ),
    ] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Compare two sources of the same coins: price, volume ratio, cadence, gaps, and how far they agree."""
    from backtest.market.comparing import compare_markets
    from backtest.market.joining import open_datasets
    from backtest.report.data_tables import comparison_parts
    from backtest.report.tables import new_console, show

    chosen = tuple(coin.strip().upper() for coin in (coins or "").split(",") if coin.strip())
    first, second = (open_datasets(name, timeframe, store) for name in (a, b))
    found = compare_markets(first, second, chosen, tolerance)
    if as_json:
        from dataclasses import asdict

        from backtest.report.folder import plain, to_json

        series = [{**asdict(one), "word": one.word} for one in found.series]
        head = {"schema": schema_id("data-compare"), "names": found.names, "timeframe": found.timeframe}
        typer.echo(to_json(plain({**head, "series": series, "notes": found.notes})))
        return
    show(new_console(), *comparison_parts(found))


@app.command("import")
def import_data(
    paths: Annotated[list[Path], typer.Argument(help="Folders, or files: CSV, JSON, Feather, Parquet, xlsx, gz, zip.")],
    venue: Annotated[
        str | None, typer.Option(help="ccxt exchange id of the data; the archive's files contain it.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="swap or spot, if the files do not say.", show_default=False)] = None,
    series: Annotated[
        str | None,
        typer.Option(help="ohlcv, oi, funding, mark, index, premium, liquidations."),
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="ccxt symbol, if the files do not say.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="Timeframe of the bars, if the files do not say.")] = None,
    columns: Annotated[
        str | None, typer.Option("--map", help="Columns by their names, as in time=Date,close=Last.")
    ] = None,
    zone: Annotated[str | None, typer.Option("--tz", help="Zone of times without one, as in UTC.")] = None,
    units: Annotated[
        str | None, typer.Option("--unit", help="time=s, rate=percent, volume=quote, coins=base, stamp=close.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out rows that cannot be used, each named.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Import Binance archive files (zips with checksums), freqtrade's files, and exports of usual programs."""
    from backtest.market.importing import import_paths
    from backtest.market.plain_files import Said
    from backtest.market.profiles import ReadOptions
    from backtest.market.rows import series_names
    from backtest.market.store import Store, store_root
    from backtest.report.tables import new_console, show

    options = ReadOptions(_pairs(columns, "--map"), zone or "", _pairs(units, "--unit"), skip_bad)
    said = Said(
        venue,
        _kind(kind),
        series_names(series)[0] if series else None,
        symbol or "",
        timeframe or "",
        options,
        lambda line: typer.echo(line, err=True),
    )
    with progress_bar() as progress:
        imported = import_paths(paths, Store(store_root(store)), said, progress=progress)
    show(new_console(), *imported.lines())
    if imported.set_aside:
        raise MarketError("; ".join(imported.set_aside))


@app.command("record")
def record_data(
    exchange: Annotated[str, typer.Option(help="ccxt exchange id.")],
    symbols: Annotated[str, typer.Option(help="ccxt symbols, separated by commas.")],
    series: SeriesOption = None,
    timeframe: Annotated[str, typer.Option(help="ccxt timeframe.")] = "1h",
    exchange_config: ConfigOption = None,
    insecure: InsecureOption = False,
    store: StoreOption = None,
) -> None:
    """Append the window that the venue still remembers; meant for cron, safe to repeat."""
    from backtest.market.recipe import read_exchange_config
    from backtest.market.recorder import record
    from backtest.market.rows import series_names
    from backtest.market.store import Store, store_root

    options = read_exchange_config(exchange_config) if exchange_config else {}
    names = tuple(symbol.strip() for symbol in symbols.split(",") if symbol.strip())
    chosen = series_names(series) if series else None
    with series_bars() as bars:
        report = record(
            Store(store_root(store)),
            exchange,
            options,
            names,
            chosen,
            timeframe,
            progress=bars,
            insecure=insecure,
            say=lambda line: typer.echo(line, err=True),
        )
    show_report(report)
    if complaint := report.complaint():
        raise MarketError(complaint)


def _reasked(
    shelf: Store,
    keys: Sequence[Key],
    against: str,
    windows: int,
    seed: int,
    exchange_config: Path | None,
    archive_url: str | None,
    *,
    insecure: bool,
) -> list[Reasked]:
    from backtest.market.asking_again import ARCHIVE, reask_archive, reask_venue

    if against == ARCHIVE:
        from backtest.market.archive_host import ARCHIVE_URL, ArchiveHost

        return reask_archive(shelf, keys, ArchiveHost(archive_url or ARCHIVE_URL, insecure=insecure), windows, seed)
    from backtest.market.recipe import read_exchange_config

    options = read_exchange_config(exchange_config) if exchange_config else {}
    say = partial(typer.echo, err=True)
    return reask_venue(shelf, keys, against, options, windows, seed, insecure=insecure, say=say)


def _pairs(text: str | None, option: str) -> dict[str, str]:
    from backtest.request.request import assignments

    return assignments([part for part in (text or "").split(",") if part], option)


def _kind(text: str | None) -> Kind | None:
    kinds: dict[str, Kind] = {"swap": "swap", "spot": "spot"}
    if text is not None and text not in kinds:
        raise UsageError(f"--kind {text!r} is unknown; allowed: spot, swap")
    return None if text is None else kinds[text]
