"""Trades against the move that followed a catalyst."""

from __future__ import annotations

from backtest.base.units import duration_ms, to_ms
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_between, last_close_before
from backtest.market.record import Market
from backtest.signals.features import row_known_at
from backtest.signals.strategy import Intent
from backtest.signals.trading import TradeParameters, catalyst_columns


def fades(
    chosen: Calendar,
    market: Market,
    trade: TradeParameters,
    assets: tuple[str, ...],
    delay: str,
    least_rise: float,
) -> tuple[Intent, ...]:
    """One short intent for each coin of each catalyst that rose by `least_rise` until `delay` after it was known.

    The rise runs from the last close before the announcement to the last close known at the decision; if either is
    missing, nothing is decided.
    """
    wait = duration_ms(delay)
    rows = []
    for one, known_at in known_between(chosen, market.start_ms - wait, market.end_ms - wait):
        decided_at = known_at + wait
        before = last_close_before(to_ms(one.announced_at), market.start_ms, market.bar_ms) if one.announced_at else -1
        now = row_known_at(decided_at, market)
        if min(before, now) < 0:
            continue
        for column in catalyst_columns(one, assets, market):
            if market.close[now, column] / market.close[before, column] - 1.0 >= least_rise:
                rows.append(trade.intent(market.symbols[column], decided_at, -1, catalyst_id=one.id))
    return tuple(rows)
