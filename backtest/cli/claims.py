"""`backtest events claims`: an article's figures, checked against a market."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backtest.base.errors import UsageError, near_miss, shortened
from backtest.base.schemas import schema_id
from backtest.cli.options import Dataset, Json, request_of
from backtest.cli.progress import progress_bar
from backtest.cli.wording import as_typed

if TYPE_CHECKING:
    from backtest.market.auxiliary import AuxiliarySeries


def claims(
    file: Annotated[str, typer.Argument(metavar="CLAIMS", help="Name or TOML file of claims.")] = "privacy-2025",
    dataset: Dataset = None,
    series: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE.csv with available_at,value; repeat for several.")
    ] = None,
    subject: Annotated[list[str] | None, typer.Option(help="Coin or sector; repeat for several.")] = None,
    all_venues: Annotated[
        bool, typer.Option("--all-venues", help="The volumes and open interest are those of all venues together.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure each figure that an article prints, and say whether it holds."""
    from backtest.catalysts.claims import check_claim, open_claims
    from backtest.report.claim_tables import claim_lines, claim_table
    from backtest.report.tables import new_console, show

    read = open_claims(file)
    subjects = {one.subject for one in read}
    for name in subject or ():
        if name not in subjects:
            raise UsageError(
                f"--subject {shortened(name)}: no claim of {file!r} is about it; {near_miss(name, subjects)}"
            )
    chosen = [one for one in read if not subject or one.subject in subject]
    given = _series_of(series or [])
    market = request_of(dataset=dataset).market()
    checks = []
    with progress_bar() as progress:
        for done, one in enumerate(chosen):
            progress("claims", done, len(chosen))
            checks.append(check_claim(one, market, given, all_venues=all_venues))
    label = market.provenance.label
    if as_json:
        rows = [
            {
                **asdict(one.claim),
                "verdict": one.verdict,
                "measured": one.measured,
                "window": one.window or None,
                "reason": one.reason,
            }
            for one in checks
        ]
        document = {"schema": schema_id("claims"), "dataset": market.provenance.name, "label": label, "claims": rows}
        typer.echo(json.dumps(document, indent=2))
        return
    console = new_console()
    if label:
        show(console, f"{label}: {market.provenance.source}")
    show(console, claim_table(checks, market.provenance.name), *map(as_typed, claim_lines(checks)))


def _series_of(texts: list[str]) -> dict[str, AuxiliarySeries]:
    from backtest.market.auxiliary import read_series

    found = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals:
            raise UsageError(f"--series {text!r} is not NAME=FILE.csv")
        if name in found:
            raise UsageError(f"--series {name!r} is given twice: keep one")
        found[name] = read_series(Path(path), name)
    return found
