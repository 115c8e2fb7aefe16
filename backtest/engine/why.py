"""Why a catalyst was traded or not: filter, rejection, missing bar or conflicting position, and what would change that.

The code of a strategy is not inspected. The strategy decides again with one parameter relaxed, or with one property of
the catalyst changed, and a change that makes it decide is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args

from backtest.base.display import percent
from backtest.base.errors import BacktestError
from backtest.base.units import format_ms
from backtest.catalysts.record import KINDS, Calendar, Catalyst, Confidence
from backtest.catalysts.timing import known_at_ms
from backtest.engine.layout import VERDICTS
from backtest.engine.run import Run
from backtest.market.record import Market
from backtest.signals.strategy import Strategy

REMEDIES = {
    "NO_BAR": "another range of bars, or a longer wait (`max_wait=...`)",
    "EXPIRED": "a longer hold",
    "SPOT_SHORT": "a swap of the coin in the market",
    "IN_POSITION": "`in_position=extend`, or a shorter hold",
    "EXTENDED": "`in_position=ignore`",
    "LIQUIDITY_UNKNOWN": (
        "bars with volume before it (where its venue writes no empty bars, `omits_empty_bars = true` in "
        "instruments.toml), or a shorter `liquidity_window=...`"
    ),
    "CAPACITY": "less capital or a larger `participation=...`",
    "GROSS_CAP": "a larger `gross_cap=...`, or a smaller weight",
    "NO_CASH": "a smaller weight, or more `leverage=...`",
    "UNFILLED": "a level nearer to the price, or a later expiry (`expires_ms` of its intent)",
    "TOO_SMALL": "more capital, or a larger weight",
    "BANKRUPT": "less leverage or smaller weights before it, or `margin=isolated`",
    "LEVERAGE": "less `leverage=...`, or a smaller weight",
    "GROUP": "what let the other leg be filled",
}


@dataclass(frozen=True, slots=True)
class Why:
    """Outcome of one catalyst under one strategy: a word, its reason, and what would change it."""

    strategy: str
    outcome: str
    reason: str
    changes: tuple[str, ...] = ()


def why(strategy: Strategy[Any], run: Run, identifier: str) -> Why:
    """Outcome of a catalyst of the run's calendar.

    Raises
    ------
    UsageError
        For an id that is not in the calendar.
    """
    catalyst, market, calendar = run.calendar[identifier], run.market, run.calendar
    outcome = str(run.catalysts.set_index("catalyst_id").loc[identifier, "outcome"])
    if outcome == "traded":
        trades = run.trades[run.trades["catalyst_id"] == identifier].to_dict("records")
        return Why(strategy.name, "traded", "; ".join(map(_trade, trades)))
    if outcome == "UNTIMED":
        return Why(strategy.name, outcome, "not even its day is known, so it is never tradable", ("an announced_at",))
    known = known_at_ms(catalyst)
    assert known is not None
    if outcome == "OUTSIDE_DATA":
        reason = f"it was known at {format_ms(known)}, and the bars run from {market.span}"
        return Why(strategy.name, outcome, reason, ("bars that cover it (`backtest fetch`, `dataset`, `timerange`)",))
    if outcome == "NO_INSTRUMENT":
        reason = f"none of {', '.join(catalyst.assets)} is in the market, which holds {', '.join(market.symbols)}"
        return Why(strategy.name, outcome, reason, ("bars of its coin",))
    if outcome == "NOT_SELECTED":
        changes = tuple(_openings(strategy, market, calendar, identifier))
        changes += tuple(_otherwise(strategy, market, calendar, catalyst)) if not changes else ()
        reason = "the strategy decided nothing on it"
        return Why(strategy.name, outcome, reason, changes or ("none of the single changes that were tried",))
    words = {one.name: one.words for one in VERDICTS}
    reason = words.get(outcome, outcome)
    clash = _holders(run, identifier) if outcome in ("IN_POSITION", "EXTENDED", "GROSS_CAP", "NO_CASH") else ""
    return Why(strategy.name, outcome, reason + clash, (REMEDIES[outcome],) if outcome in REMEDIES else ())


def _trade(trade: dict[Any, Any]) -> str:
    side = "long" if trade["side"] > 0 else "short"
    three = ", ".join(f"{name} {percent(trade[name])}" for name in ("before", "waited", "captured"))
    start, end = (f"{trade[name]:%Y-%m-%d %H:%M}" for name in ("entry_time", "exit_time"))
    return (
        f"{side} {trade['instrument']} from {start} to {end} ({trade['reason']}): {three}, net "
        f"{percent(trade['net_return'])}"
    )


def _holders(run: Run, identifier: str) -> str:
    """The open positions that prevented the first intent on the catalyst."""
    refused = run.rejected[run.rejected["catalyst_id"] == identifier].iloc[0]
    at, symbol = refused["decided_at"], refused["instrument"]
    held = run.trades[(run.trades["entry_time"] <= at) & (run.trades["exit_time"] > at)]
    if refused["reason"] in ("IN_POSITION", "EXTENDED"):
        held = held[held["instrument"] == symbol]
    told = [
        f"{one['instrument']} on {one['catalyst_id'] or 'a signal'} until {one['exit_time']:%Y-%m-%d %H:%M}"
        for one in held.to_dict("records")[:3]
    ]
    return f" (at {at:%Y-%m-%d %H:%M} it held {'; '.join(told)})" if told else ""


def _decides(strategy: Strategy[Any], market: Market, calendar: Calendar, identifier: str) -> bool:
    return any(one.catalyst_id == identifier for one in strategy.decide(market, calendar).rows)


def _openings(strategy: Strategy[Any], market: Market, calendar: Calendar, identifier: str) -> Iterator[str]:
    """Each parameter that makes the strategy decide on the catalyst when only this one is relaxed."""
    given = strategy.parameters.model_dump()
    for name, value in given.items():
        for opened in _opened(name, value):
            if opened == value:
                continue
            try:
                other = type(strategy)(given | {name: opened})
                found = _decides(other, market, calendar, identifier)
            except BacktestError:
                continue
            if found:
                shown = ",".join(map(str, opened)) if isinstance(opened, tuple) else opened
                was = ",".join(map(str, value)) if isinstance(value, tuple) else value
                yield f"parameter {name} = {was or 'empty'} leaves it out; {name}={shown or 'empty'} takes it"
                break


def _opened(name: str, value: object) -> tuple[object, ...]:
    """Less restrictive values of a parameter."""
    if isinstance(value, tuple):
        return (tuple(get_args(Confidence)),) if name == "confidences" else ((),)
    if name == "direction":
        return ("both",)
    if isinstance(value, float) and name != "weight":
        return (0.0, -1.0)
    if isinstance(value, str) and name in ("delay", "lookback", "window"):
        return ("0h", "1h")
    return ()


def _otherwise(strategy: Strategy[Any], market: Market, calendar: Calendar, catalyst: Catalyst) -> Iterator[str]:
    """Each property of the catalyst that makes the strategy decide on it when only this one is changed."""
    others = [one for one in calendar if one.id != catalyst.id]

    def taken(**changed: Any) -> bool:
        try:
            other = Calendar(calendar.name, (*others, replace(catalyst, **changed)))
            return _decides(strategy, market, other, catalyst.id)
        except (BacktestError, ValueError):
            return False

    kinds = [kind for kind in sorted(KINDS) if kind != catalyst.kind and taken(kind=kind)]
    if kinds:
        yield f"its kind is {catalyst.kind}; this strategy takes {', '.join(kinds)}"
    directions = [one for one in (1, -1) if one != catalyst.direction and taken(direction=one)]
    said = f"{catalyst.direction:+d}" if catalyst.direction else "0 (none is said)"
    if directions:
        yield f"its direction is {said}; with {' or '.join(f'{one:+d}' for one in directions)} it is taken"
    if not kinds and not directions:
        both = [kind for kind in sorted(KINDS) if kind != catalyst.kind and taken(kind=kind, direction=1)]
        if both and catalyst.direction != 1:
            was = f"its kind is {catalyst.kind} and its direction {said}"
            yield f"{was}; {', '.join(both)} with +1 is taken"
