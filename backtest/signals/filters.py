"""Checks the names that a strategy's parameters filter by against the data."""

from __future__ import annotations

from typing import Any

from backtest.base.errors import ConfigError, near_miss
from backtest.catalysts.record import Calendar
from backtest.market.record import Market
from backtest.signals.strategy import Strategy


def check_filters(strategy: Strategy[Any], market: Market, calendar: Calendar) -> None:
    """Refuse a name in `assets`, `actors` or `kinds` that matches nothing: it would silently filter out everything.
    Defaults of parameters are not checked: they may name more than a given market or calendar holds.

    Raises
    ------
    ConfigError
        For a coin that the market does not hold, or an actor or kind that no catalyst of the calendar has.
    UsageError
        For an argument of another type, as where two are swapped.
    """
    held = {
        "assets": (f"market {market.provenance.name!r}", {one.base for one in market.instruments}),
        "actors": (f"calendar {calendar.name!r}", {one.actor for one in calendar}),
        "kinds": (f"calendar {calendar.name!r}", {one.kind for one in calendar}),
    }
    for key, (where, names) in held.items():
        field = type(strategy.parameters).model_fields.get(key)
        given = getattr(strategy.parameters, key, ())
        if field is None or not isinstance(given, tuple) or given == field.get_default(call_default_factory=True):
            continue
        for name in given:
            if isinstance(name, str) and name not in names:
                raise ConfigError(
                    f"strategy {strategy.name!r}: {key}: {name[:80]!r} is not in {where}, so that nothing would match; "
                    f"{near_miss(name, names)}"
                )
