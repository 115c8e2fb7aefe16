"""The recorder: appends the window that a venue still serves to the store; meant to be run repeatedly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from backtest.base.documents import build
from backtest.base.errors import UsageError
from backtest.base.units import DAY_MS, from_ms
from backtest.market.ccxt_source import serves
from backtest.market.download import Downloader, Report, SeriesProgress, Silent, clock_ms
from backtest.market.recipe import Recipe
from backtest.market.rows import DEFAULT_SERIES, SeriesName
from backtest.market.store import Store
from backtest.market.transport import Patience
from backtest.market.venue_rules import RULES, VenueRules

# For a venue that serves its whole history, a week is enough to bridge the pause between two runs.
WINDOW_DAYS = 7
# Allowance for the time that the requests themselves take.
MARGIN_MS = 3_600_000


def record(
    store: Store,
    venue: str,
    options: Mapping[str, Any],
    symbols: tuple[str, ...],
    series: tuple[SeriesName, ...] | None,
    timeframe: str,
    *,
    progress: SeriesProgress | None = None,
    patience: Patience | None = None,
    clock: Callable[[], int] = clock_ms,
    insecure: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Append what the store lacks of the venue's current window; `series` None means all that the venue serves.

    The window is the open-interest history that the venue serves, at most a month, else a week.

    Raises
    ------
    UsageError
        If the venue serves none of the series, or does not list a symbol.
    MarketError
        As `Downloader.run` does; `insecure` and `say` are its own.
    """
    wanted = series or tuple(name for name in DEFAULT_SERIES if serves(venue, name))
    if not wanted:
        raise UsageError(f"{venue} serves neither bars nor open interest nor funding that ccxt can read")
    rules = RULES.get(venue, VenueRules())
    limits = [days for days in (rules.oi_days, rules.funding_days) if days is not None]
    days = min([30, *limits]) if limits else WINDOW_DAYS
    start = from_ms(clock() - days * DAY_MS + MARGIN_MS).replace(microsecond=0)
    recipe = build(
        Recipe,
        {
            "name": f"{venue}-{timeframe}",
            "exchange": {"id": venue, "options": dict(options)},
            "symbols": symbols,
            "series": wanted,
            "timeframe": timeframe,
            "timerange": f"{start.isoformat()}/",
        },
        "record",
    )
    return Downloader(
        recipe,
        store,
        patience=patience or Patience(),
        progress=progress or Silent(),
        clock=clock,
        named=False,
        insecure=insecure,
        say=say,
    ).run()
