"""What a file holds, from its columns: time, prices, volume, funding or open interest, and their units.

A program whose files need more than the column names is one row of `PROGRAMS`; any other file is read by names that
many programs share (`NAMES`). What neither gives (a zone, a unit, a column) the user must specify, or the file is
refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backtest.base.errors import MarketError
from backtest.market.raw_cells import RawCells
from backtest.market.rows import COLUMNS, SeriesName

NAMES: dict[str, tuple[str, ...]] = {
    "time": (
        *("open_time", "opentime", "timeopen", "start_at", "start_time", "unix", "unix_timestamp", "timestamp"),
        *("time_utc", "datetime_utc", "date_utc", "datetime", "date", "time", "ts", "t", "snapped_at", "create_time"),
        *("calc_time", "funding_time", "fundingtime", "fundingratetimestamp", "settle_time", "settletime"),
    ),
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price", "max"),
    "low": ("low", "l", "low_price", "min"),
    "close": ("close", "c", "close_price", "last", "price"),
    "volume": ("base_volume", "volume_base", "vol_ccy", "volume", "vol", "v", "amount", "baseassetvolume"),
    "quote_volume": (
        *("quote_volume", "quote_asset_volume", "volume_quote", "vol_quote", "quoteassetvolume", "turnover"),
        *("volume_usd", "volumeusd", "volume_usdt", "total_volume", "volume_24h", "quotevolume"),
    ),
    "rate": ("funding_rate", "last_funding_rate", "fundingrate", "funding", "rate", "realized_rate", "realizedrate"),
    "interval_hours": ("funding_interval_hours", "fundingintervalhours"),
    "settles": ("funding_timestamp",),
    "coins": ("sum_open_interest", "open_interest", "openinterest", "oi", "oi_ccy", "oiccy"),
    "value": ("sum_open_interest_value", "open_interest_value", "open_interest_usd", "openinterestvalue", "oi_usd"),
    "long": (
        "long",
        "long_liquidations",
        "long_liquidation_usd",
        "longliquidationusd",
        "long_volume_usd",
        "longvolusd",
    ),
    "short": (
        *("short", "short_liquidations", "short_liquidation_usd", "shortliquidationusd", "short_volume_usd"),
        "shortvolusd",
    ),
    "symbol": ("symbol", "ticker", "instrument_name", "instid", "contract", "pair"),
}
_MEANING = {
    "time": "time",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "volume": "volume",
    "rate": "funding rate",
    "coins": "open interest in coins",
    "value": "open-interest value",
    "long": "liquidated longs",
    "short": "liquidated shorts",
}


@dataclass(frozen=True, slots=True)
class ProgramLayout:
    """How the files of one program deviate: its name, columns that only it has, and their meaning.

    `columns` take precedence over the shared names; without a header they are in order. `units` and `zone` come from
    its documentation; `drops` are columns that mean something else.
    """

    name: str
    has: frozenset[str]
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    drops: tuple[str, ...] = ()
    refuse: str = ""


def _program(name: str, has: str, **more: object) -> ProgramLayout:
    return ProgramLayout(name, frozenset(has.split()), **more)  # type: ignore[arg-type]


PROGRAMS: tuple[ProgramLayout, ...] = (
    _program(
        "CoinMarketCap",
        "timeopen timeclose open high low close volume marketcap",
        columns={"time": "timeopen"},
        drops=("volume",),
    ),
    _program("Yahoo Finance", "date open high low close adj_close volume", zone="UTC", drops=("volume",)),
    _program(
        "CoinGecko",
        "snapped_at price market_cap total_volume",
        refuse="it has one price per row and no open, high or low: export bars, or read it as a series of your own",
    ),
    _program("MetaTrader 5", "date time open high low close tickvol", columns={"volume": "vol"}),
    _program("OKX candles", "instrument_name open high low close vol vol_ccy", columns={"volume": "vol_ccy"}),
    _program(
        "tardis derivative_ticker",
        "exchange symbol timestamp local_timestamp funding_timestamp funding_rate",
        columns={"time": "timestamp", "rate": "funding_rate", "settles": "funding_timestamp"},
        units={"time": "us"},
    ),
    _program("Binance klines", "open_time close_time open high low close volume", columns={"time": "open_time"}),
    _program("Coinalyze liquidations", "t l s", columns={"time": "t", "long": "l", "short": "s"}, units={"time": "s"}),
    _program("Coinalyze", "t o h l c", columns={"time": "t"}, units={"time": "s"}),
)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a user says about files: `columns` (`time`, `close`, ...) by their names, the `zone` of times without one,
    `units` by column, and whether rows that cannot be used are left out.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""
    units: Mapping[str, str] = field(default_factory=dict)
    skip_bad: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """A recognised file: `places` of its columns by meaning, `times` in one or two columns, and what else was found.

    `units` by meaning, from the program or the user; `notes` are for the reader of a run.
    """

    program: str
    series: SeriesName
    times: tuple[int, ...]
    places: Mapping[str, int]
    units: Mapping[str, str]
    zone: str
    names: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def describe(self, form: str) -> str:
        """One line for people: content, columns, form."""
        shown = ", ".join(f"{meaning} = {name!r}" for meaning, name in self.names.items())
        units = "".join(f", {name} in {unit}" for name, unit in self.units.items())
        zone = f", zone {self.zone}" if self.zone else ""
        return f"{self.program}: {self.series}; {shown}{units}{zone}; {form}"


def plain(name: str) -> str:
    """A column name in lower case, words joined by `_`: `<CLOSE>`, `Adj Close`, `Volume (ZEC)`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def recognised(path: Path, raw: RawCells, options: ReadOptions, series: SeriesName | None, base: str) -> Profile:
    """Profile of a file; `series` if its name or the user gives it, `base` the coin if it is known.

    Raises
    ------
    MarketError
        If the columns are ambiguous, naming what to specify with `map`.
    """
    header = raw.header or _headerless(path, raw, options)
    names = [plain(name) for name in header]
    program = next((one for one in PROGRAMS if one.has <= set(names)), ProgramLayout("columns by name", frozenset()))
    if program.refuse:
        raise MarketError(f"{path} is an export of {program.name}: {program.refuse}")
    places = _places(path, header, names, program, options, base)
    of_series = series or _content(path, header, places)
    times = _times(path, raw, header, names, places, options)
    wanted = _wanted(of_series, places)
    absent = [_MEANING[name] for name in wanted if name not in places and name != "volume"]
    if of_series == "oi" and ("coins" in places or "value" in places):
        absent = []
    if absent:
        raise MarketError(
            f"{path} has no column of {', '.join(absent)}: it has {', '.join(header)[:300]}; say which is, as in "
            f"`map {wanted[-1]}=NAME`"
        )
    notes = []
    if "volume" in wanted and "volume" not in places:
        why = f"that of {program.name} is in quote currency" if program.drops else "the file has none in coins"
        notes.append(f"volume left out: {why}")
    kept = {name: place for name, place in places.items() if name in (*wanted, *_HELPERS)}
    shown = {"time": " + ".join(header[place] for place in times)} | {name: header[at] for name, at in kept.items()}
    return Profile(
        program.name,
        of_series,
        times,
        kept,
        {**program.units, **options.units},
        options.zone or program.zone,
        shown,
        tuple(notes),
    )


_HELPERS = ("quote_volume", "interval_hours", "settles", "symbol")


def _wanted(series: SeriesName, places: Mapping[str, int]) -> tuple[str, ...]:
    if series == "funding" and "rate" not in places and {"open", "high", "low", "close"} <= places.keys():
        return ("open",)
    return {"funding": ("rate",), "oi": ("coins", "value")}.get(series, COLUMNS[series])


def _places(
    path: Path, header: Sequence[str], names: Sequence[str], program: ProgramLayout, options: ReadOptions, base: str
) -> dict[str, int]:
    places: dict[str, int] = {}
    for meaning, known in NAMES.items():
        aliases = (program.columns[meaning],) if meaning in program.columns else known
        found = next((alias for alias in aliases if alias in names and alias not in program.drops), None)
        if found is not None:
            if names.count(found) > 1:
                raise MarketError(f"{path} has {names.count(found)} columns {found!r}: keep one")
            places[meaning] = names.index(found)
    # With both `Volume ZEC` and `Volume USDT`, the one named after the coin is the base volume.
    suffixed = {name.removeprefix("volume_"): at for at, name in enumerate(names) if name.startswith("volume_")}
    if base and base.lower() in suffixed:
        places["volume"] = suffixed[base.lower()]
    elif "volume" not in places and len(suffixed) > 1 and not base:
        raise MarketError(
            f"{path} has volumes {', '.join(suffixed)}: say which is of the coin, as in `map volume=NAME`"
        )
    for name, said in Counter(options.columns.values()).items():
        if said > 1:
            both = ", ".join(f"{meaning}={one}" for meaning, one in options.columns.items() if one == name)
            raise MarketError(f"`map {both}` names one column for {said} things: name one for each")
    for meaning, name in options.columns.items():
        if meaning not in NAMES:
            raise MarketError(f"`map {meaning}={name}`: {meaning!r} is unknown; allowed: {', '.join(NAMES)}")
        if name in header:
            places[meaning] = list(header).index(name)
        elif plain(name) in names:
            places[meaning] = names.index(plain(name))
        else:
            raise MarketError(f"{path} has no column {name!r} for {meaning}: it has {', '.join(header)[:300]}")
    return places


def _content(path: Path, header: Sequence[str], places: Mapping[str, int]) -> SeriesName:
    if {"open", "high", "low", "close"} <= places.keys():
        return "ohlcv"
    if "rate" in places:
        return "funding"
    if "long" in places and "short" in places:
        return "liquidations"
    if "coins" in places or "value" in places:
        return "oi"
    raise MarketError(
        f"{path} does not say what it holds: its columns are {', '.join(header)[:300]}; say which are open, high, low "
        "and close, as in `map time=Date,close=Last`"
    )


def _times(
    path: Path,
    raw: RawCells,
    header: Sequence[str],
    names: Sequence[str],
    places: dict[str, int],
    options: ReadOptions,
) -> tuple[int, ...]:
    place = places.pop("time", None)
    if place is None:
        if names and names[0] in ("", "index", "unnamed_0"):
            # What pandas writes for an index without a name.
            return (0,)
        raise MarketError(
            f"{path} has no column of time: it has {', '.join(header)[:300]}; say which is: `map time=NAME`"
        )
    twins = [at for at, name in enumerate(names) if name in ("timestamp", "open_time", "opentime") and at != place]
    if twins and "time" not in options.columns and names[place] in ("timestamp", "open_time", "opentime"):
        rows = zip(raw.columns[place][:200], raw.columns[twins[0]][:200], strict=True)
        if any(str(one) != str(other) for one, other in rows):
            raise MarketError(
                f"{path} has times {header[place]} and {header[twins[0]]}, which differ: say which is the open of a "
                f"bar, as in `map time={header[twins[0]]}`"
            )
    if names[place] == "date" and "time" in names and "time" not in options.columns:
        return place, names.index("time")
    return (place,)


# Files without a header: the columns in order, recognised by their number and the first row.
_HEADERLESS: dict[int, tuple[str, ...]] = {
    6: ("time", "open", "high", "low", "close", "volume"),
    7: ("time", "open", "high", "low", "close", "volume", "trades"),
    8: ("time", "open", "high", "low", "close", "volume", "close_time", "quote_volume"),
    12: (
        *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades"),
        *("taker_base", "taker_quote", "ignore"),
    ),
}


def _headerless(path: Path, raw: RawCells, options: ReadOptions) -> tuple[str, ...]:
    width = len(raw.columns)
    if options.columns:
        return tuple(str(place + 1) for place in range(width))
    known = _HEADERLESS.get(width)
    if known is None:
        raise MarketError(
            f"{path} has no header and {width} columns: say what they are by number, as in `map time=1,open=2,high=3,"
            "low=4,close=5,volume=6`"
        )
    if width == 6 and raw.rows and _looks_like_gate(raw):
        return ("time", "volume", "close", "high", "low", "open")
    if width == 7 and raw.rows and ":" in str(raw.columns[1][0]):
        return ("date", "time", "open", "high", "low", "close", "volume")
    return known


def _looks_like_gate(raw: RawCells) -> bool:
    """Gate's archive has time, volume, close, high, low, open: whether the prices fit that order better."""

    def orders(high: int, low: int, others: tuple[int, int]) -> int:
        held = 0
        for row in range(min(raw.rows, 200)):
            try:
                cells = [float(str(column[row])) for column in raw.columns[1:6]]
            except ValueError:
                continue
            top, bottom = cells[high], cells[low]
            held += bottom <= min(cells[place] for place in others) <= max(cells[place] for place in others) <= top
        return held

    usual, gate = orders(1, 2, (0, 3)), orders(2, 3, (1, 4))
    return gate > usual
