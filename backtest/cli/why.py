"""`backtest why`: what happened to a catalyst, and what would change that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from backtest.cli.options import BARS, asking
from backtest.cli.wording import as_typed

if TYPE_CHECKING:
    from backtest.request.request import Request


@asking(*BARS, "calendar", "strategy", "param", "config", "setting", "funding")
def why(
    request: Request,
    identifier: Annotated[str, typer.Argument(metavar="CATALYST", help="Id of a catalyst of the calendar.")],
) -> None:
    """Say what happened to a catalyst under each strategy: traded, filtered or refused, and what would change that."""
    strategies, catalyst = request.chosen(), request.calendar()[identifier]

    from backtest.base.units import DAY_MS, format_ms
    from backtest.catalysts.clusters import confounding
    from backtest.catalysts.timing import known_at_ms
    from backtest.engine.why import why as explain
    from backtest.report.tables import new_console, show

    session = request.session()
    # A session replays what it is given, so that the answer is there for those that runs leave out too.
    found = [explain(one, session.replay(one), identifier) for one in strategies]
    console, known = new_console(), known_at_ms(catalyst)
    told = "never known to the day" if known is None else f"certain to be public at {format_ms(known)} UTC"
    show(console, f"{catalyst.id}: {catalyst.kind} of {', '.join(catalyst.assets)} by {catalyst.actor}, {told}")
    if catalyst.endogenous:
        show(
            console,
            "a move of the price itself: runs leave it out unless --endogenous, with which it gives the following",
        )
    near = confounding(request.calendar(), DAY_MS)[identifier]
    if near:
        show(console, f"within a day of {', '.join(near)}: their effects cannot be told apart")
    for one in found:
        show(console, f"{one.strategy}: {one.outcome}: {one.reason}")
        show(console, *(f"  would change it: {as_typed(change)}" for change in one.changes))
