"""What each venue serves, its paging and its units, where ccxt does not say: one row per venue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backtest.base.units import DAY_MS, timeframe_ms
from backtest.market.record import Kind
from backtest.market.rows import PRICE_SERIES, SeriesName

OiUnit = Literal["base", "contracts"]
Paging = Literal["windows", "pages", "whole"]
ROOM_MS = 5 * 60_000
_OI_PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What a venue serves and its units, where ccxt does not say.

    Attributes
    ----------
    ohlcv_rows, oi_rows, funding_rows : int
        Largest number of rows in a page.
    price_rows : int or None
        Largest number of mark price, index or premium bars in a page; None for the same as bars.
    spot_depth, swap_depth, price_depth : int or None
        How many of the newest bars a venue serves in any timeframe, the last one for mark prices, indices and premiums;
        None for all since the listing.
    oi_days, funding_days : int or None
        How far back the history goes; None for all since the listing.
    oi_depth : int or None
        How many samples of open interest and ratios it keeps in any period.
    lacks : tuple of SeriesName
        Series that ccxt offers, but no request returns their past.
    omits_empty_bars : bool
        Whether its documentation says that it writes no bar where nothing traded.
    tiers_in_money : bool
        Whether its maintenance tiers begin at amounts of the currency of settlement.
    ratio_window : (str, str)
        Parameters for the start and end of a page of ratios; without the first, ccxt sets the start.
    oi_unit : OiUnit or None
        Unit of its open interest; None if unknown.
    oi_both : bool
        Whether samples have both coins and value.
    oi_until : bool
        Whether a page of open interest can have an end.
    volume_in_contracts : bool
        Whether ccxt returns the volume of swaps in contracts.
    swap_limit : bool
        Whether a page of swap bars may be requested with a limit.
    funding_paging : Paging
        By windows of time, by numbered pages from the newest on, or the whole history with each request.
    funding_page : str
        Parameter for the number of the page, from 1.
    funding_until : str
        Parameter for the end of a funding page.
    funding_since : bool
        Whether a funding page can have a start; if not, each page is full, and complete if it goes back to its window.
    funding_field : str
        Field of the venue's own row that holds the settled rate, if ccxt returns another.
    funding_sampled : bool
        Whether its funding history samples a running rate instead of listing settlements.
    checked_rows : bool
        Whether a null in its rows is an error.
    """

    ohlcv_rows: int | None = None
    oi_rows: int = 100
    funding_rows: int = 100
    price_rows: int | None = None
    spot_depth: int | None = None
    swap_depth: int | None = None
    oi_days: int | None = None
    funding_days: int | None = None
    price_depth: int | None = None
    oi_depth: int | None = None
    oi_unit: OiUnit | None = None
    oi_periods: tuple[str, ...] = _OI_PERIODS
    oi_both: bool = False
    oi_until: bool = True
    volume_in_contracts: bool = False
    swap_limit: bool = True
    funding_paging: Paging = "windows"
    funding_page: str = ""
    funding_until: str = "until"
    funding_since: bool = True
    funding_field: str = ""
    funding_sampled: bool = False
    checked_rows: bool = False
    lacks: tuple[SeriesName, ...] = ()
    omits_empty_bars: bool = False
    tiers_in_money: bool = False
    ratio_window: tuple[str, str] = ("", "until")

    def oldest_ms(self, series: SeriesName, kind: Kind, period: str, now_ms: int) -> int:
        """Earliest time of a series that is served, with an allowance for slow requests; 0 for the listing."""
        depths = {"oi": self.oi_depth, "ratios": self.oi_depth, **dict.fromkeys(PRICE_SERIES, self.price_depth)}
        depth = (self.spot_depth if kind == "spot" else self.swap_depth) if series == "ohlcv" else depths.get(series)
        if depth is not None:
            # The newest bar is still open.
            period_ms = timeframe_ms(period)
            return now_ms // period_ms * period_ms - (depth - 1) * period_ms
        days = {"oi": self.oi_days, "ratios": self.oi_days, "funding": self.funding_days}.get(series)
        return 0 if days is None else now_ms - days * DAY_MS + ROOM_MS


_FEW_PERIODS = ("5m", "15m", "30m", "1h", "4h", "1d")
_BINANCE = VenueRules(1000, 500, 1000, oi_days=30, oi_unit="base", checked_rows=True, oi_both=True)
RULES: dict[str, VenueRules] = {
    "binance": _BINANCE,
    "binanceusdm": _BINANCE,
    "bybit": VenueRules(
        1000,
        200,
        200,
        oi_unit="base",
        oi_periods=_FEW_PERIODS,
        checked_rows=True,
        ratio_window=("startTime", "endTime"),
        tiers_in_money=True,
    ),
    "okx": VenueRules(
        300,
        100,
        100,
        price_rows=100,
        funding_days=90,
        oi_unit="contracts",
        oi_periods=("5m", "1h", "1d"),
        funding_until="after",
        oi_depth=1440,
    ),
    "gate": VenueRules(
        1000,
        100,
        100,
        spot_depth=10_000,
        oi_unit="contracts",
        oi_periods=_FEW_PERIODS,
        oi_until=False,
        volume_in_contracts=True,
        # Gate's help, "Risk Limit": BTCUSDT's first tier ends at a position value of 20,000 USDT.
        tiers_in_money=True,
    ),
    "kucoinfutures": VenueRules(
        500,
        200,
        100,
        oi_unit="contracts",
        oi_periods=_FEW_PERIODS,
        volume_in_contracts=True,
        # KuCoin's documentation of contracts: the unit of a risk limit is the currency of settlement.
        tiers_in_money=True,
    ),
    "htx": VenueRules(
        1000,
        200,
        100,
        oi_depth=200,
        oi_unit="base",
        oi_periods=("1h", "4h", "12h", "1d"),
        oi_until=False,
        swap_limit=False,
        price_rows=2000,
        price_depth=2000,
        lacks=("index",),
        funding_until="end_time",
    ),
    "mexc": VenueRules(
        500, volume_in_contracts=True, funding_rows=1000, funding_paging="pages", funding_page="page_num"
    ),
    "bitget": VenueRules(
        200,
        funding_rows=100,
        funding_paging="pages",
        funding_page="pageNo",
        lacks=("ratios",),
        # Bitget's own SDK documents startUnit and endUnit as the least and greatest value of a position.
        tiers_in_money=True,
    ),
    "hyperliquid": VenueRules(5000, funding_rows=500, spot_depth=5000, swap_depth=5000),
    "krakenfutures": VenueRules(2000, funding_paging="whole"),
    "kraken": VenueRules(720, spot_depth=720),
    # "No data is published for intervals where there are no ticks": Coinbase, Get product candles.
    "coinbase": VenueRules(300, omits_empty_bars=True),
    "bingx": VenueRules(1440, funding_rows=1000),
    "deribit": VenueRules(1000, funding_rows=744, funding_field="interest_1h"),
    "bitfinex": VenueRules(10_000, funding_sampled=True),
    "dydx": VenueRules(1000, funding_rows=100, funding_since=False),
}
