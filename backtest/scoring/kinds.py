"""Placebo kinds: one declaration for each way to make a calendar that never happened.

A kind either moves the intents that a strategy decided (`move`), or moves the catalysts and lets the strategy decide
anew (`move_calendar`). Options, schemas, labels and the table in docs/methods.md follow from `PLACEBO_KINDS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from backtest.scoring import draws, moved_calendars
from backtest.scoring.draws import Mover
from backtest.scoring.moved_calendars import CalendarMover


@dataclass(frozen=True, slots=True)
class PlaceboKind:
    """One way to make placebo calendars.

    Attributes
    ----------
    name : str
        As typed and written into documents.
    calendars : str
        What p counts, in words: `112 of 2591 shifted calendars`.
    keeps, breaks : str
        What the placebo calendars share with the real one, and what they do not.
    move : Mover or None
        Moves decided intents; exactly one of `move` and `move_calendar` is given.
    move_calendar : CalendarMover or None
        Moves catalysts, on which the strategy decides anew.
    """

    name: str
    calendars: str
    keeps: str
    breaks: str
    move: Mover | None = None
    move_calendar: CalendarMover | None = None


PLACEBO_KINDS: dict[str, PlaceboKind] = {
    kind.name: kind
    for kind in (
        PlaceboKind(
            name="shift",
            calendars="shifted calendars",
            keeps="spacing and clustering of catalysts, their coins, every dependence inside the prices",
            breaks="their tie to the prices, to the hour of the day and to regimes",
            move=draws.by_shift,
        ),
        PlaceboKind(
            name="far_shift",
            calendars="calendars shifted by more than four days",
            keeps="what `shift` keeps, and no calendar that holds the events themselves",
            breaks="what `shift` breaks, and the exactness of p",
            move=draws.by_far_shift,
        ),
        PlaceboKind(
            name="dates",
            calendars="calendars of random dates",
            keeps="coin, hour, weekday where five dates share it, clusters of catalysts",
            breaks="the spacing of clusters",
            move=draws.by_date,
        ),
        PlaceboKind(
            name="coins",
            calendars="calendars of other coins",
            keeps="the calendar and the state of the whole market",
            breaks="which coin was meant",
            move=draws.by_coin,
        ),
        PlaceboKind(
            name="calendar",
            calendars="shifted calendars decided anew",
            keeps="what `shift` keeps; the strategy reacts to the prices it would have seen",
            breaks="what `shift` breaks",
            move_calendar=moved_calendars.by_period,
        ),
    )
}
DEFAULT_KIND = "shift"
