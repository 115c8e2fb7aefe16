"""`backtest events`: the catalogue of catalysts."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from backtest.catalysts.record import Calendar, embedded_calendars, merge_calendars, open_calendar
from backtest.catalysts.timing import known_at_ms
from backtest.config import format_ms, parse_timerange
from backtest.report.tables import calendar_table, new_console, show

app = typer.Typer(help="List, show and validate catalysts.", no_args_is_help=True)
EVENTS_SCHEMA = "backtest.events/1"

Calendars = Annotated[
    list[str] | None,
    typer.Option("--calendar", "-c", help="Name or TOML file; repeat for several.", show_default="privacy-2025"),
]


def calendar_of(names: list[str] | None) -> Calendar:
    """One calendar of the names given, or the default."""
    calendars = [open_calendar(name) for name in names or ["privacy-2025"]]
    return calendars[0] if len(calendars) == 1 else merge_calendars(calendars)


@app.command("list")
def list_events(
    calendar: Calendars = None,
    asset: Annotated[list[str] | None, typer.Option(help="Coin; repeat for several.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Kind; repeat for several.")] = None,
    actor: Annotated[list[str] | None, typer.Option(help="Actor; repeat for several.")] = None,
    timed: Annotated[bool | None, typer.Option("--timed/--untimed", help="Only those with or without a day.")] = None,
    timerange: Annotated[str | None, typer.Option(help="20250901-20251116, end exclusive.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List catalysts that match every filter."""
    chosen = calendar_of(calendar).filter(
        assets=asset or (),
        kinds=kind or (),
        actors=actor or (),
        timed=timed,
        timerange=parse_timerange(timerange) if timerange else None,
    )
    if as_json:
        rows = [{**asdict(one), "known_at": _known(one.id, chosen)} for one in chosen]
        typer.echo(
            json.dumps({"schema": EVENTS_SCHEMA, "calendar": chosen.name, "catalysts": rows}, indent=2, default=str)
        )
        return
    console = new_console()
    show(console, calendar_table(chosen, console.width))


@app.command("show")
def show_event(identifier: Annotated[str, typer.Argument(metavar="ID")], calendar: Calendars = None) -> None:
    """Show everything known of one catalyst, and when it was known."""
    chosen = calendar_of(calendar)
    one = chosen[identifier]
    lines = [
        f"{name:<16}{', '.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in asdict(one).items()
        if value not in (None, (), "")
    ]
    show(new_console(), *lines, f"{'known_at':<16}{_known(identifier, chosen) or 'never: it has no day'}")


@app.command("validate")
def validate(calendar: Annotated[list[str] | None, typer.Argument(help="Names or TOML files.")] = None) -> None:
    """Read calendars strictly; the first fault ends with exit code 3."""
    for name in calendar or embedded_calendars():
        read = open_calendar(name)
        untimed = sum(not one.timed for one in read)
        typer.echo(f"{name}: {len(read)} catalysts, {untimed} untimed, hash {read.hash()}")


def _known(identifier: str, calendar: Calendar) -> str | None:
    known = known_at_ms(calendar[identifier])
    return None if known is None else format_ms(known) + " UTC"
