"""Files as some thirty programs write them, each with its truth: read right, or refused with the next step."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from backtest.base.errors import BacktestError, MarketError
from backtest.market.importing import import_paths
from backtest.market.plain_files import Said
from backtest.market.profiles import ReadOptions
from backtest.market.rows import Key
from backtest.market.store import Store

HOUR, DAY = 3_600_000, 86_400_000
OCT = 1_759_276_800_000  # 2025-10-01 00:00 UTC
COUNT = 48
NAN = float("nan")


def price(row: int) -> tuple[float, float, float, float]:
    open_ = 400.0 + (row * 37 % 23)
    close = 400.0 + (row * 53 % 29)
    return open_, max(open_, close) + 2.5, min(open_, close) - 3.5, close


def volume(row: int) -> float:
    return 10.0 + row % 7


def turnover(row: int) -> float:
    return volume(row) * (price(row)[1] + price(row)[2]) / 2


def when(row: int, step: int = HOUR) -> datetime:
    return datetime.fromtimestamp((OCT + row * step) / 1000, UTC)


def ms(row: int, step: int = HOUR) -> int:
    return OCT + row * step


def lines(form: Callable[[int], str], *head: str, newest_first: bool = False) -> bytes:
    rows = [form(row) for row in range(COUNT)]
    return "\n".join([*head, *(reversed(rows) if newest_first else rows)]).encode() + b"\n"


def ohlc(row: int, between: str = ",") -> str:
    return between.join(str(cell) for cell in price(row))


def zipped(name: str, data: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    return sink.getvalue()


def frame(step: int = HOUR, *, naive: bool = False) -> pd.DataFrame:
    times = pd.to_datetime([ms(row, step) for row in range(COUNT)], unit="ms", utc=not naive)
    cells = np.array([(*price(row), volume(row)) for row in range(COUNT)])
    return pd.DataFrame({"date": times} | {name: cells[:, at] for at, name in enumerate(NAMES)})


NAMES = ("open", "high", "low", "close", "volume")


def feather(table: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    table.to_feather(sink)
    return sink.getvalue()


def parquet(table: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    table.to_parquet(sink, index=False)
    return sink.getvalue()


def candles(row: int) -> list[object]:
    return [ms(row), *price(row), volume(row)]


RATES = [round(0.0001 + 0.00003 * ((row * 7) % 5 - 2), 8) for row in range(COUNT)]


def rate_frame() -> pd.DataFrame:
    table = frame(8 * HOUR)
    table["open"] = RATES
    return table.assign(high=0.0, low=0.0, close=0.0, volume=0.0)


def berlin(row: int) -> str:
    return when(row).astimezone(ZoneInfo("Europe/Berlin")).strftime("%Y-%m-%d %H:%M:%S")


def excel() -> bytes:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    book = openpyxl.Workbook()
    book.active.append(["Date", "Open", "High", "Low", "Close", "Volume"])
    for row in range(COUNT):
        book.active.append([when(row).replace(tzinfo=None), *price(row), volume(row)])
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


SWAP = Said(venue="gate", kind="swap")


@dataclass(frozen=True)
class Layout:
    """A file of one program; `series`, `period` and `volume_known` are its truth, `said` what a user has to say."""

    name: str
    content: Callable[[], bytes]
    said: Said = SWAP
    series: str = "ohlcv"
    step: int = HOUR
    volume_known: bool = True
    symbol: str = "ZEC/USDT:USDT"
    first: int = 0


ZEC = Said(venue="gate", symbol="ZEC/USDT:USDT")


def said(**options: object) -> Said:
    return Said(venue="gate", symbol="ZEC/USDT:USDT", options=ReadOptions(**options))  # type: ignore[arg-type]


READ: dict[str, Layout] = {
    "plain CSV": Layout(
        "ZECUSDT-1h.csv",
        lambda: lines(lambda r: f"{ms(r)},{ohlc(r)},{volume(r)}", "timestamp,open,high,low,close,volume"),
    ),
    "freqtrade feather": Layout("ZEC_USDT_USDT-1h-futures.feather", lambda: feather(frame())),
    "freqtrade spot feather": Layout(
        "ZEC_USDT-1h.feather", lambda: feather(frame()), Said(venue="gate"), symbol="ZEC/USDT"
    ),
    "freqtrade parquet": Layout("ZEC_USDT_USDT-1h-futures.parquet", lambda: parquet(frame())),
    "freqtrade json": Layout(
        "ZEC_USDT_USDT-1h-futures.json", lambda: json.dumps([candles(row) for row in range(COUNT)]).encode()
    ),
    "freqtrade json.gz": Layout(
        "ZEC_USDT_USDT-1h-futures.json.gz",
        lambda: gzip.compress(json.dumps([candles(row) for row in range(COUNT)]).encode()),
    ),
    "freqtrade funding": Layout(
        "ZEC_USDT_USDT-8h-funding_rate.feather", lambda: feather(rate_frame()), series="funding", step=8 * HOUR
    ),
    "freqtrade mark": Layout("ZEC_USDT_USDT-1h-mark.feather", lambda: feather(frame()), series="mark"),
    "CryptoDataDownload, seconds": Layout(
        "Binance_ZECUSDT_1h.csv",
        lambda: lines(
            lambda r: (
                f"{ms(r) // 1000},{when(r):%Y-%m-%d %H:%M:%S},ZEC/USDT,{ohlc(r)},{volume(r)},{turnover(r)},{r + 5}"
            ),
            "https://www.CryptoDataDownload.com",
            "unix,date,symbol,open,high,low,close,Volume ZEC,Volume USDT,tradecount",
            newest_first=True,
        ),
    ),
    "CryptoDataDownload, milliseconds": Layout(
        "Binance_ZECUSDT_2025_hour.csv",
        lambda: lines(
            lambda r: f"{ms(r)},{when(r):%Y-%m-%d %H:%M:%S},ZECUSDT,{ohlc(r)},{turnover(r)},{volume(r)}",
            "https://www.CryptoDataDownload.com",
            "Unix,Date,Symbol,Open,High,Low,Close,Volume USDT,Volume ZEC",
            newest_first=True,
        ),
    ),
    "TradingView, seconds": Layout(
        "BINANCE_ZECUSDT.P, 60.csv",
        lambda: lines(lambda r: f"{ms(r) // 1000},{ohlc(r)},{volume(r)}", "time,open,high,low,close,Volume"),
    ),
    "TradingView, ISO with an offset": Layout(
        "BINANCE_ZECUSDT, 60.csv",
        lambda: lines(
            lambda r: f"{when(r).astimezone(ZoneInfo('Europe/Berlin')).isoformat()},{ohlc(r)},{volume(r)}",
            "time,open,high,low,close,Volume",
        ),
    ),
    "Yahoo Finance": Layout(
        "ZEC-USD.csv",
        lambda: lines(
            lambda r: f"{when(r, DAY):%Y-%m-%d},{ohlc(r)},{price(r)[3]},{turnover(r)}",
            "Date,Open,High,Low,Close,Adj Close,Volume",
        ),
        Said(venue="coinbase", kind="spot"),
        step=DAY,
        volume_known=False,
        symbol="ZEC/USD",
    ),
    "CoinMarketCap": Layout(
        "Zcash_10_1_2025-historical_data_coinmarketcap.csv",
        lambda: lines(
            lambda r: ";".join(
                (
                    f'"{when(r, DAY):%Y-%m-%dT%H:%M:%S.000Z}"',
                    f'"{when(r + 1, DAY) - timedelta(milliseconds=1):%Y-%m-%dT%H:%M:%S.999Z}"',
                    f'"{when(r, DAY):%Y-%m-%dT05:00:00.000Z}"',
                    f'"{when(r, DAY):%Y-%m-%dT07:00:00.000Z}"',
                    '"2781"',
                    ohlc(r, ";"),
                    f"{turnover(r)};{9e9};"
                    + f'"{when(r + 1, DAY) - timedelta(milliseconds=1):%Y-%m-%dT%H:%M:%S.999Z}"',
                )
            ),
            "timeOpen;timeClose;timeHigh;timeLow;name;open;high;low;close;volume;marketCap;timestamp",
            newest_first=True,
        ),
        Said(venue="coinbase", symbol="ZEC/USD"),
        step=DAY,
        volume_known=False,
        symbol="ZEC/USD",
    ),
    "Kraken OHLCVT": Layout(
        "ZECUSD_60.csv",
        lambda: lines(lambda r: f"{ms(r) // 1000},{ohlc(r)},{volume(r)},{r + 3}"),
        Said(venue="kraken", kind="spot"),
        symbol="ZEC/USD",
    ),
    "Bybit kline export": Layout(
        "ZECUSDT_60_2025-10-01_2025-10-31.csv.gz",
        lambda: gzip.compress(
            lines(
                lambda r: f"{ms(r) // 1000},ZECUSDT,60,{ohlc(r)},{volume(r)},{turnover(r)}",
                "start_at,symbol,period,open,high,low,close,volume,turnover",
            )
        ),
    ),
    "Bybit for MetaTrader": Layout(
        "ZECUSDT_60_2025-10.csv",
        lambda: lines(lambda r: f"{when(r):%Y.%m.%d %H:%M},{ohlc(r)},{volume(r)}"),
        said(zone="UTC"),
    ),
    "MetaTrader 5, tabs": Layout(
        "ZECUSDT_H1.csv",
        lambda: lines(
            lambda r: f"{when(r):%Y.%m.%d}\t{when(r):%H:%M:%S}\t{ohlc(r, chr(9))}\t{r + 9}\t{volume(r)}\t12",
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
        ),
        said(zone="UTC"),
    ),
    "MetaTrader 4, no header": Layout(
        "ZECUSDT60.csv",
        lambda: lines(lambda r: f"{when(r):%Y.%m.%d},{when(r):%H:%M},{ohlc(r)},{volume(r)}"),
        said(zone="UTC"),
    ),
    "pandas, a named index with a zone": Layout("zec.csv", lambda: frame().set_index("date").to_csv().encode(), ZEC),
    "pandas, an unnamed index": Layout(
        "zec.csv", lambda: frame().set_index("date").rename_axis(None).to_csv().encode(), ZEC
    ),
    "pandas, naive times": Layout(
        "zec.csv", lambda: frame(naive=True).set_index("date").to_csv().encode(), said(zone="UTC")
    ),
    "naive times of Berlin": Layout(
        "zec.csv",
        lambda: lines(lambda r: f"{berlin(r)},{ohlc(r)},{volume(r)}", "time,open,high,low,close,volume"),
        said(zone="Europe/Berlin"),
    ),
    "pandas parquet, naive times": Layout("zec.parquet", lambda: parquet(frame(naive=True)), said(zone="UTC")),
    "ccxt rows as JSON": Layout("zec.json", lambda: json.dumps([candles(row) for row in range(COUNT)]).encode(), ZEC),
    "ccxt rows as CSV without a header": Layout(
        "zec.csv", lambda: lines(lambda r: f"{ms(r)},{ohlc(r)},{volume(r)}"), ZEC
    ),
    "Binance API klines as JSON": Layout(
        "klines.json",
        lambda: json.dumps(
            [
                [ms(r), *map(str, price(r)), str(volume(r)), ms(r + 1) - 1, str(turnover(r)), 9, "1", "400", "0"]
                for r in range(COUNT)
            ]
        ).encode(),
        ZEC,
    ),
    "Gate archive, close before open": Layout(
        "ZEC_USDT-202510.csv.gz",
        lambda: gzip.compress(
            lines(lambda r: f"{ms(r) // 1000},{volume(r)},{price(r)[3]},{price(r)[1]},{price(r)[2]},{price(r)[0]}")
        ),
    ),
    "OKX candle archive": Layout(
        "ZEC-USDT-SWAP-candlesticks-2025-10-01.csv",
        lambda: lines(
            lambda r: f"ZEC-USDT-SWAP,{ohlc(r)},{volume(r) * 10},{volume(r)},{turnover(r)},{ms(r)},1",
            "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm",
        ),
    ),
    "OKX funding archive": Layout(
        "ZEC-USDT-SWAP-fundingrates-2025-10.csv",
        lambda: lines(
            lambda r: f"ZEC-USDT-SWAP,{RATES[r]},{ms(r, 8 * HOUR)}", "instrument_name,funding_rate,funding_time"
        ),
        series="funding",
        step=8 * HOUR,
    ),
    "tardis derivative_ticker": Layout(
        "deribit_derivative_ticker_2025-10-01_ZECUSDT.csv.gz",
        lambda: gzip.compress(
            "\n".join(
                [
                    "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,"
                    "open_interest,last_price,index_price,mark_price",
                    *(
                        f"bybit,ZECUSDT,{(ms(r, 8 * HOUR) + tick * 600_000) * 1000},"
                        f"{(ms(r, 8 * HOUR) + tick * 600_000) * 1000 + 9},{ms(r + 1, 8 * HOUR) * 1000},"
                        f"{RATES[(r + 1) % COUNT] if tick > 40 else 0.5},,1000,400,400,400"
                        for r in range(COUNT)
                        for tick in range(48)
                    ),
                ]
            ).encode()
        ),
        series="funding",
        step=8 * HOUR,
        first=1,
    ),
    "Coinalyze OHLCV": Layout(
        "coinalyze.json",
        lambda: json.dumps(
            [
                {
                    "symbol": "ZECUSDT_PERP.A",
                    "history": [
                        dict(zip("tohlcv", [ms(r) // 1000, *price(r), volume(r)], strict=True)) for r in range(COUNT)
                    ],
                }
            ]
        ).encode(),
        ZEC,
    ),
    "CoinGlass funding in percent": Layout(
        "zec-funding.csv",
        lambda: lines(lambda r: f"{ms(r, 8 * HOUR)},{RATES[r] * 100:.8f}", "time,fundingRate"),
        said(units={"rate": "percent"}),
        series="funding",
        step=8 * HOUR,
    ),
    "CoinGlass open interest": Layout(
        "zec-oi.csv",
        lambda: lines(lambda r: f"{ms(r)},{turnover(r) * 100}", "time,open_interest_usd"),
        ZEC,
        series="oi",
    ),
    "semicolons and a mapped close": Layout(
        "export.csv",
        lambda: lines(
            lambda r: f"{ms(r) // 1000};{price(r)[0]};{price(r)[1]};{price(r)[2]};{price(r)[3]};{volume(r)}",
            "Stamp;First;Top;Bottom;Final;Coins",
        ),
        said(
            columns={
                "time": "Stamp",
                "open": "First",
                "high": "Top",
                "low": "Bottom",
                "close": "Final",
                "volume": "Coins",
            }
        ),
    ),
    "zipped CSV of UTF-16": Layout(
        "ZECUSDT.zip",
        lambda: zipped(
            "any.csv",
            lines(lambda r: f"{ms(r)},{ohlc(r)},{volume(r)}", "time,open,high,low,close,volume")
            .decode()
            .encode("utf-16"),
        ),
        ZEC,
    ),
    "Excel": Layout("ZECUSDT.xlsx", excel, said(zone="UTC")),
    "microseconds": Layout(
        "zec.csv", lambda: lines(lambda r: f"{ms(r) * 1000},{ohlc(r)},{volume(r)}", "ts,o,h,l,c,v"), ZEC
    ),
}


@pytest.mark.parametrize("program", READ)
def test_a_layout_is_read_right(program: str, tmp_path: Path) -> None:
    layout = READ[program]
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / layout.name
    path.write_bytes(layout.content())
    store = Store(tmp_path / "store")
    import_paths([path], store, layout.said)
    (key,) = store.contents()
    assert (key.symbol, key.series) == (layout.symbol, layout.series)
    rows = store.read(key)
    count = COUNT - layout.first
    assert rows.time_ms.tolist() == [ms(layout.first + row, layout.step) for row in range(count)]
    if layout.series == "funding":
        wanted = [RATES[layout.first + row] for row in range(count)]
        np.testing.assert_allclose(rows.values[:, 0], wanted, rtol=1e-9)
    elif layout.series == "oi":
        assert np.isnan(rows.values[:, 0]).all()
        np.testing.assert_allclose(rows.values[:, 1], [turnover(row) * 100 for row in range(count)], rtol=1e-12)
    else:
        assert rows.values[:, :4].tolist() == [list(price(row)) for row in range(count)]
        if layout.series == "ohlcv":
            known = [volume(row) if layout.volume_known else NAN for row in range(count)]
            np.testing.assert_array_equal(rows.values[:, 4], known)


BARS = "timestamp,open,high,low,close,volume"
REFUSED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "naive times": (
        "zec.csv",
        lambda: lines(lambda r: f"{when(r):%Y-%m-%d %H:%M:%S},{ohlc(r)},{volume(r)}", BARS),
        "has no time zone: say which with `tz`",
    ),
    "CoinGecko": (
        "zec.csv",
        lambda: lines(
            lambda r: f"{when(r, DAY):%Y-%m-%d 00:00:00 UTC},{price(r)[0]},9,9",
            "snapped_at,price,market_cap,total_volume",
        ),
        "an export of CoinGecko: it has one price per row",
    ),
    "Investing.com": (
        "zec.csv",
        lambda: lines(
            lambda r: (
                f'"{when(r, DAY):%m/%d/%Y}","{price(r)[3]}","{price(r)[0]}","{price(r)[1]}","{price(r)[2]}","4.1K","1%"'
            ),
            '"Date","Price","Open","High","Low","Vol.","Change %"',
        ),
        "is not a (time|number)",
    ),
    "two times that differ": (
        "zec.csv",
        lambda: lines(lambda r: f"{ms(r + 1)},{ms(r)},{ohlc(r)},{volume(r)}", "timestamp,open_time" + BARS[9:]),
        "which differ: say which is the open of a bar, as in `map time=",
    ),
    "no column of prices": (
        "zec.csv",
        lambda: lines(lambda r: f"{ms(r)},{r}", "timestamp,sentiment"),
        "does not say what it holds: .* `map time=Date,close=Last`",
    ),
    "two instruments": (
        "zec.csv",
        lambda: lines(
            lambda r: f"{ms(r)},{'ZEC' if r % 2 else 'DASH'},{ohlc(r)},{volume(r)}", "time,symbol" + BARS[9:]
        ),
        r"holds 2 instruments \(.*\): keep one per file",
    ),
    "quote volume under the name of volume": (
        "zec.csv",
        lambda: lines(lambda r: f"{ms(r)},{ohlc(r)},{turnover(r)},{volume(r)}", BARS + ",quote_volume"),
        "the two are the other way round; say with `map volume=NAME`",
    ),
    "ticks of a running rate": (
        "zec.csv",
        lambda: lines(lambda r: f"{OCT + r * 1000},{RATES[r]}", "time,funding_rate"),
        "settlements are an hour apart at least: these are samples of a running rate",
    ),
    "the rate per 8 hours each hour": (
        "zec.csv",
        lambda: lines(lambda r: f"{ms(r)},{RATES[r // 8]}", "time,funding_rate"),
        "a rate sampled each hour is charged eight times",
    ),
    "hourly rows of settlements each 8 hours": (
        "zec.csv",
        lambda: lines(lambda r: f"{ms(r)},8,{RATES[r]}", "calc_time,funding_interval_hours,last_funding_rate"),
        "1 hours apart in the median, but it says that 8 hours lie between settlements",
    ),
    "percent": (
        "zec.csv",
        lambda: lines(lambda r: f"{ms(r, 8 * HOUR)},{RATES[r] * 100}", "time,funding_rate"),
        "in percent or per year. say which with `unit rate=percent`",
    ),
    "percent of a quiet market": (
        "zec.csv",
        lambda: lines(lambda r: f"{ms(r, 8 * HOUR)},{0.01 if r % 3 else 0.001}", "time,funding_rate"),
        "(in percent or per year|most common rate is 0.01 instead of 0.0001)",
    ),
    "per year": (
        "zec.csv",
        lambda: lines(lambda r: f"{ms(r, 8 * HOUR)},{RATES[r] * 1095}", "time,funding_rate"),
        "in percent or per year",
    ),
    "a row off the grid": (
        "zec.csv",
        lambda: lines(lambda r: f"{ms(r) + (60_000 if r == 9 else 0)},{ohlc(r)},{volume(r)}", BARS),
        "line 11, column time: 2025-10-01 09:01 is off the 1h grid",
    ),
    "no pair in the name": (
        "export.csv",
        lambda: lines(lambda r: f"{ms(r)},{ohlc(r)},{volume(r)}", BARS),
        "does not name its instrument: give `symbol`",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_a_file_does_not_tell_is_refused_with_the_next_step(fault: str, tmp_path: Path) -> None:
    name, content, complaint = REFUSED[fault]
    path = tmp_path / name
    path.write_bytes(content())
    store = Store(tmp_path / "store")
    told = Said(venue="gate", kind="swap") if fault.startswith("no pair") else ZEC
    with pytest.raises(BacktestError, match=complaint):
        import_paths([path], store, told)
    assert store.contents() == ()


def test_rows_that_cannot_be_used_are_left_out_on_request_and_each_named(tmp_path: Path) -> None:
    rows = [f"{ms(r)},{ohlc(r)},{volume(r)}" for r in range(COUNT)]
    rows[3] = f"{ms(3) + 60_000},{ohlc(3)},{volume(3)}"
    rows[5] = f"{ms(5)},400,oops,399,400,1"
    rows[7] = f"{ms(7)},400,399,401,400,1"
    rows[9] = f"{ms(9)},-1,402,399,400,1"
    path = tmp_path / "zec.csv"
    path.write_text("\n".join([BARS, *rows]) + "\n")
    store = Store(tmp_path / "store")
    done = import_paths([path], store, said(skip_bad=True))
    assert store.read(Key.of("gate", "ZEC/USDT:USDT", "ohlcv", "1h")).time_ms.size == COUNT - 4
    assert [note.partition(": ")[2] for note in done.notes] == [
        "line 7 skipped: a cell is not a number or time",
        "line 5 skipped (2025-10-01 03:01): off the 1h grid",
        "line 9 skipped (2025-10-01 07:00): the high is below the low",
        "line 11 skipped (2025-10-01 09:00): a price that is not positive",
    ]


def test_what_a_file_is_taken_for_is_said_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ZEC-USD.csv"
    path.write_bytes(READ["Yahoo Finance"].content())
    heard: list[str] = []
    import_paths([path], Store(tmp_path / "store"), Said(venue="coinbase", kind="spot", say=heard.append))
    assert heard == [
        "ZEC-USD.csv: Yahoo Finance: ohlcv; time = 'Date', open = 'Open', high = 'High', low = 'Low', close = 'Close', "
        "zone UTC; comma"
    ]


def _bars(store: Store, shift: int = 0) -> None:
    path = store.root.parent / "ZECUSDT-1h.csv"
    path.write_bytes(lines(lambda r: f"{ms(r)},{ohlc(r)},{volume(r)}", BARS))
    import_paths([path], store, Said(venue="bybit", kind="swap"))


@pytest.mark.parametrize("fault", ["swapped", "contracts", "value alone under coins"])
def test_open_interest_is_checked_against_the_bars_of_the_store(fault: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    _bars(store)
    coins, value = (lambda r: 1000.0 + r), (lambda r: (1000.0 + r) * price(r)[3])
    cells = {
        "swapped": lambda r: f"{ms(r)},{value(r)},{coins(r)}",
        "contracts": lambda r: f"{ms(r)},{coins(r) * 100},{value(r)}",
        "value alone under coins": lambda r: f"{ms(r)},{value(r) * 40},",
    }[fault]
    path = tmp_path / "oi.csv"
    path.write_bytes(lines(cells, "timestamp,sum_open_interest,sum_open_interest_value"))
    with pytest.raises(MarketError, match=r"(swapped, or contracts|value in the column of coins).*`unit coins=base`"):
        import_paths([path], store, ZEC)
    import_paths([path], store, said(units={"coins": "base"}))
    right = tmp_path / "right.csv"
    right.write_bytes(
        lines(lambda r: f"{ms(r)},{coins(r)},{value(r)}", "timestamp,sum_open_interest,open_interest_usd")
    )
    import_paths([right], store, Said(venue="okx", symbol="ZEC/USDT:USDT"))


def test_bars_stamped_with_their_close_are_found_out_by_a_second_source(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    _bars(store)
    path = tmp_path / "zec.csv"
    path.write_bytes(
        lines(lambda r: f"{ms(r + 1)},{','.join(str(cell + 0.01) for cell in price(r))},{volume(r)}", BARS)
    )
    with pytest.raises(MarketError, match=r"one bar earlier .*stamped with their close. say `unit stamp=close`"):
        import_paths([path], store, Said(venue="okx", symbol="ZEC/USDT:USDT"))
    import_paths(
        [path], store, Said(venue="okx", symbol="ZEC/USDT:USDT", options=ReadOptions(units={"stamp": "close"}))
    )
    assert store.read(Key.of("okx", "ZEC/USDT:USDT", "ohlcv", "1h")).time_ms[0] == OCT
