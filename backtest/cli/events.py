"""`backtest events`: the catalogue of catalysts."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from backtest.cli.options import Json, Timerange
from backtest.cli.verbs import Verbs
from backtest.errors import UsageError
from backtest.schemas import schema_id

if TYPE_CHECKING:
    from backtest.catalysts.record import Calendar, Catalyst

app = typer.Typer(cls=Verbs, help="List, show and validate catalysts.", no_args_is_help=True)

Calendars = Annotated[
    list[str] | None,
    typer.Option("--calendar", "-c", help="Name or TOML file; repeat for several.", show_default="privacy-2025"),
]

Within = Annotated[str, typer.Option(help="Catalysts known this close together confound each other.")]
Sector = Annotated[bool, typer.Option("--sector/--same-coin", help="Whether other coins confound too.")]


def calendar_of(names: list[str] | None) -> Calendar:
    """One calendar of the names given, or the default."""
    from backtest.catalysts.record import merge_calendars, open_calendar

    calendars = [open_calendar(name) for name in names or ["privacy-2025"]]
    return calendars[0] if len(calendars) == 1 else merge_calendars(calendars)


@app.command("list")
def list_events(
    calendar: Calendars = None,
    asset: Annotated[list[str] | None, typer.Option(help="Coin; repeat for several.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Kind; repeat for several.")] = None,
    actor: Annotated[list[str] | None, typer.Option(help="Actor; repeat for several.")] = None,
    timed: Annotated[bool | None, typer.Option("--timed/--untimed", help="Only those with or without a day.")] = None,
    confidence: Annotated[list[str] | None, typer.Option(help="high, medium or low; repeat for several.")] = None,
    direction: Annotated[int | None, typer.Option(min=-1, max=1, help="Expected sign: 1, -1 or 0.")] = None,
    timerange: Timerange = None,
    within: Within = "24h",
    sector: Sector = False,
    as_json: Json = False,
) -> None:
    """List catalysts that match every filter, with the cluster that each belongs to."""
    from backtest.catalysts.clusters import cluster_numbers, confounding
    from backtest.units import duration_ms, parse_timerange

    whole = calendar_of(calendar)
    numbers = cluster_numbers(whole, duration_ms(within), sector=sector)
    near = confounding(whole, duration_ms(within), sector=sector)
    whole.check_names(assets=asset or (), kinds=kind or (), actors=actor or ())
    chosen = whole.filter(
        assets=asset or (),
        kinds=kind or (),
        actors=actor or (),
        confidences=_confidences(confidence or []),
        directions=() if direction is None else (direction,),
        timed=timed,
        timerange=parse_timerange(timerange) if timerange else None,
    )
    if as_json:
        rows = [
            {
                **asdict(one),
                "known_at": _known_at(one),
                "cluster": numbers.get(one.id),
                "known_near": near[one.id],
            }
            for one in chosen
        ]
        document = {"schema": schema_id("events"), "calendar": chosen.name, "catalysts": rows}
        typer.echo(json.dumps(document, indent=2, default=datetime.isoformat))
        return
    from backtest.report.tables import calendar_table, new_console, show

    console = new_console()
    show(console, calendar_table(chosen, console.width, numbers, within))


@app.command("show")
def show_event(
    identifier: Annotated[str, typer.Argument(metavar="ID")],
    calendar: Calendars = None,
    within: Within = "24h",
    sector: Sector = False,
) -> None:
    """Show everything known of one catalyst, when it was known, and what else was known near it."""
    from backtest.catalysts.clusters import confounding
    from backtest.report.tables import new_console, show
    from backtest.units import duration_ms

    chosen = calendar_of(calendar)
    one = chosen[identifier]
    lines = [
        f"{name:<16}{', '.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in asdict(one).items()
        if value not in (None, (), "")
    ]
    near = confounding(chosen, duration_ms(within), sector=sector)[identifier]
    known = _known_at(one)
    lines.append(f"{'known_at':<16}{'never: it has no day' if known is None else f'{known:%Y-%m-%d %H:%M} UTC'}")
    show(new_console(), *lines, f"{f'within {within}':<16}{', '.join(near) or 'none'}")


@app.command("validate")
def validate(calendar: Annotated[list[str] | None, typer.Argument(help="Names or TOML files.")] = None) -> None:
    """Read calendars strictly; the first fault ends with exit code 3."""
    from backtest.catalysts.clusters import confounding
    from backtest.catalysts.record import embedded_calendars, open_calendar
    from backtest.units import duration_ms

    for name in calendar or embedded_calendars():
        read = open_calendar(name)
        untimed = sum(not one.timed for one in read)
        typer.echo(f"{name}: {len(read)} catalysts, {untimed} untimed, hash {read.hash()}")
        near = confounding(read, duration_ms("24h"))
        for one in read:
            far = [other for other in one.confounded_with if other not in near[one.id]]
            if far and one.timed:
                typer.echo(f"  {one.id}: confounded_with {', '.join(far)}, which is more than 24h away or another coin")


def _confidences(names: list[str]) -> list[str]:
    from backtest.catalysts.record import Confidence
    from backtest.errors import near_miss

    for name in names:
        if name not in get_args(Confidence):
            raise UsageError(f"confidence {name!r} is unknown; {near_miss(name, get_args(Confidence))}")
    return names


def _known_at(catalyst: Catalyst) -> datetime | None:
    from backtest.catalysts.timing import known_at_ms
    from backtest.units import from_ms

    known = known_at_ms(catalyst)
    return None if known is None else from_ms(known)
