"""`backtest events`: the catalogue of catalysts."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from backtest.base.errors import UsageError
from backtest.base.schemas import schema_id
from backtest.cli.claims import claims
from backtest.cli.options import Calendars, Json, Timerange, calendar_asked
from backtest.cli.verbs import Verbs
from backtest.cli.wording import as_typed

if TYPE_CHECKING:
    from backtest.catalysts.record import Catalyst

app = typer.Typer(cls=Verbs, help="List, show and validate catalysts.", no_args_is_help=True)

Within = Annotated[str, typer.Option(help="Catalysts known this close together confound each other.")]
Sector = Annotated[bool, typer.Option("--sector/--same-coin", help="Whether catalysts of other coins confound too.")]


@app.command("list")
def list_events(
    calendar: Calendars = None,
    asset: Annotated[list[str] | None, typer.Option(help="Coin; repeat for several.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Kind; repeat for several.")] = None,
    actor: Annotated[list[str] | None, typer.Option(help="Actor; repeat for several.")] = None,
    timed: Annotated[bool | None, typer.Option("--timed/--untimed", help="Only those with or without a day.")] = None,
    confidence: Annotated[list[str] | None, typer.Option(help="high, medium or low; repeat for several.")] = None,
    endogenous: Annotated[
        bool | None, typer.Option("--endogenous/--exogenous", help="Only moves of the price itself, or none of them.")
    ] = None,
    direction: Annotated[int | None, typer.Option(min=-1, max=1, help="Expected sign: 1, -1 or 0.")] = None,
    timerange: Timerange = None,
    within: Within = "24h",
    sector: Sector = False,
    as_json: Json = False,
) -> None:
    """List catalysts that match every filter, with the cluster that each belongs to."""
    from backtest.base.units import duration_ms, parse_timerange
    from backtest.catalysts.clusters import cluster_numbers, confounding

    whole = calendar_asked(calendar)
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
        endogenous=endogenous,
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
    from backtest.base.units import duration_ms
    from backtest.catalysts.clusters import confounding
    from backtest.report.tables import new_console, show

    chosen = calendar_asked(calendar)
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
def validate(
    calendar: Annotated[list[str] | None, typer.Argument(help="Names, or TOML or CSV files.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 3 on doubts too.")] = False,
) -> None:
    """List every fault of calendars, and each coin or actor that looks misspelt; exit code 3 where there is a fault."""
    from backtest.base.display import plural
    from backtest.base.errors import CalendarError, one_line
    from backtest.base.units import duration_ms
    from backtest.catalysts.clusters import confounding
    from backtest.catalysts.reading import embedded_calendars, survey_calendar

    broken = 0
    for name in calendar or embedded_calendars():
        survey = survey_calendar(name)
        read, bad = survey.calendar, survey.faults + (survey.doubts if strict else ())
        untimed = sum(not one.timed for one in read)
        told = f"hash {read.hash()}" if not bad else plural(len(bad), "fault", "faults")
        typer.echo(f"{name}: {plural(len(read), 'catalyst', 'catalysts')}, {untimed} untimed, {told}")
        for kind, sentences in (("fault", survey.faults), ("doubt", survey.doubts)):
            for sentence in sentences:
                typer.echo(f"  {kind}: {as_typed(one_line(sentence))}")
        near = confounding(read, duration_ms("24h"))
        for one in read:
            far = [other for other in one.confounded_with if other not in near.get(one.id, ())]
            if far and one.timed:
                typer.echo(f"  {one.id}: confounded_with {', '.join(far)}, which is more than 24h away or another coin")
        broken += len(bad)
    if broken:
        raise CalendarError(f"{plural(broken, 'fault', 'faults')} in what was read, each listed above: mend them all")


@app.command("import")
def import_events(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a header; any of , ; tab | separates.")],
    columns: Annotated[
        list[str] | None, typer.Option("--map", help="KEY=COLUMN, as in announced_at=date; repeat.")
    ] = None,
    default: Annotated[
        list[str] | None, typer.Option("--default", help="KEY=VALUE for rows without that key; repeat.")
    ] = None,
    extra_kind: Annotated[list[str] | None, typer.Option(help="Kind of your own; repeat.")] = None,
    zone: Annotated[
        str | None,
        typer.Option(help="Zone of times without one, as in UTC or Europe/Berlin.", show_default="refused"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="TOML file to write.", show_default="FILE with .toml")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write a calendar as TOML from a CSV of any columns; every fault is listed, and then nothing is written."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from backtest.base.display import plural
    from backtest.base.errors import CalendarError, one_line, shortened
    from backtest.catalysts.reading import read_csv_calendar, toml_of
    from backtest.catalysts.rows import keys_of
    from backtest.request.request import assignments

    target = out or file.with_suffix(".toml")
    if target.exists() and not force:
        raise UsageError(f"{target} exists: name another with --out, or replace it with --force")
    try:
        place = ZoneInfo(zone) if zone else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"zone {shortened(zone)} is unknown: write UTC, Europe/Berlin or another IANA name") from None
    given = assignments(default or (), "--default")
    defaults = keys_of(given, tuple(given), {}, {})
    chosen = {key: defaults[key] for key in given if key in defaults}
    reading = read_csv_calendar(file, assignments(columns or (), "--map"), chosen, extra_kind or (), place)
    if reading.faults:
        for fault in reading.faults:
            typer.echo(f"  fault: {as_typed(one_line(fault))}")
        count = plural(len(reading.faults), "fault", "faults")
        raise CalendarError(f"{file} has {count}, listed above: mend them and import again; nothing was written")
    calendar = reading.calendar(file.stem, str(file))
    text = toml_of(calendar)
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise UsageError(f"{target} cannot be written: {problem.strerror}") from None
    typer.echo(f"{target}: {plural(len(calendar), 'catalyst', 'catalysts')}; backtest run -c {target}")


app.command()(claims)


def _confidences(names: list[str]) -> list[str]:
    from backtest.base.errors import near_miss
    from backtest.catalysts.record import Confidence

    for name in names:
        if name not in get_args(Confidence):
            raise UsageError(f"confidence {name!r} is unknown; {near_miss(name, get_args(Confidence))}")
    return names


def _known_at(catalyst: Catalyst) -> datetime | None:
    from backtest.base.units import from_ms
    from backtest.catalysts.timing import known_at_ms

    known = known_at_ms(catalyst)
    return None if known is None else from_ms(known)
