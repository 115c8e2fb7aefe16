"""`backtest study`: what was abnormal before, at and after each catalyst, and by kind, asset and actor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.base.errors import ConfigError, UsageError
from backtest.cli.options import ClusterOption, Json, asking
from backtest.cli.progress import progress_bar, tell_of
from backtest.cli.wording import as_typed

if TYPE_CHECKING:
    from backtest.request.request import Request


@asking("dataset", "store", "timerange", "series", "currency", "calendar", "endogenous")
def study(
    request: Request,
    timeframe: Annotated[
        str | None, typer.Option(help="Bars to study, a multiple of the data's: 4h, 1d.", show_default="the data's")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="market, market_adjusted or mean_adjusted.", show_default="market")
    ] = None,
    benchmark: Annotated[
        list[str] | None, typer.Option(help="Coin that explains returns; repeat for several.", show_default="BTC")
    ] = None,
    asset: Annotated[list[str] | None, typer.Option(help="Coin; repeat for several.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Kind; repeat for several.")] = None,
    actor: Annotated[list[str] | None, typer.Option(help="Actor; repeat for several.")] = None,
    estimation: Annotated[
        str | None, typer.Option(help="Estimation window.", show_default="14d, or 30d in daily bars")
    ] = None,
    gap: Annotated[str | None, typer.Option(help="Between estimation window and run-up.", show_default="1d")] = None,
    before: Annotated[str | None, typer.Option(help="Run-up before the announcement.", show_default="2d")] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(help="Horizon from when it was known; repeat for several.", show_default="1d 3d"),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="kind, asset, actor, direction or confidence; repeat.", show_default="kind asset actor"),
    ] = None,
    draws: Annotated[int | None, typer.Option(help="Placebo calendars.", show_default="2000")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the placebo.", show_default="20251101")] = None,
    exclude_overlaps: Annotated[
        bool, typer.Option("--exclude-overlaps", help="Leave out catalysts whose window holds another one of the coin.")
    ] = False,
    clean_estimation: Annotated[
        bool, typer.Option("--clean-estimation", help="Leave the coin's other catalysts out of estimation windows.")
    ] = False,
    share_overlaps: Annotated[
        bool, typer.Option("--share-overlaps", help="Distributed lags: overlapping catalysts share their bars.")
    ] = False,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Compare each coin with a basket of untreated coins.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file of the study's configuration.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of the study's configuration; repeat.")
    ] = None,
    cluster: ClusterOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write study.json and CSV tables to.")] = None,
    as_json: Json = False,
) -> None:
    """Study abnormal returns, volume and open interest around catalysts."""
    from backtest.base.documents import build, read_toml
    from backtest.request.request import assignments

    given: dict[str, Any] = {
        "timeframe": timeframe,
        "model": model,
        "benchmarks": tuple(benchmark or ()),
        "assets": tuple(asset or ()),
        "kinds": tuple(kind or ()),
        "actors": tuple(actor or ()),
        "estimation": estimation,
        "gap": gap,
        "before": before,
        "after": tuple(after or ()),
        "groups": tuple(group or ()),
        "draws": draws,
        "seed": seed,
        "exclude_overlaps": exclude_overlaps or None,
        "clean_estimation": clean_estimation or None,
        "endogenous": request.endogenous or None,
    }
    values = read_toml(config, ConfigError) if config else {}
    overrides = assignments(setting or (), "--set")
    options = {key: value for key, value in given.items() if value not in (None, ())}
    for key in overrides:
        if key in options:
            raise UsageError(f"--set {key!r} is also given as an option: keep one")
    catalysts = request.calendar()

    from backtest.study.settings import StudyConfig

    settings = build(StudyConfig, values | overrides | options, f"configuration {config}" if config else "study")

    from backtest.cli.announcing import announce
    from backtest.report.folder import to_json
    from backtest.report.study_tables import (
        control_table,
        heading,
        lag_table,
        left_out_lines,
        study_document,
        study_tables,
        write_study_folder,
    )
    from backtest.report.tables import new_console, show
    from backtest.study.lags import distributed_lags
    from backtest.study.study import event_study, work_of
    from backtest.study.synthetic import synthetic_controls

    market = request.market()
    announce("study", work_of(market, catalysts, settings))
    tell_of(cluster)
    with progress_bar() as progress:
        found = event_study(market, catalysts, settings, cluster=cluster, progress=progress)
    lags = distributed_lags(market, catalysts, settings) if share_overlaps else None
    controls = synthetic_controls(market, catalysts, settings) if synthetic else None
    document = study_document(found, lags, controls) if out or as_json else {}
    if out:
        write_study_folder(out, found, document)
    if as_json:
        typer.echo(to_json(document))
    else:
        show(new_console(), *map(as_typed, found.notes), heading(found), *study_tables(found))
        show(new_console(), *([] if lags is None else [lag_table(lags)]))
        show(new_console(), *([] if controls is None else [control_table(controls)]), *left_out_lines(found))
    if out:
        typer.echo(f"study folder: {out}", err=True)
