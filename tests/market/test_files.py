"""Readers of CSV and Feather: real data against figures typed from the files, every error, and fuzzed cells."""

from __future__ import annotations

import csv
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backtest.base.errors import BacktestError, MarketError, UsageError
from backtest.market.align import InstrumentData
from backtest.market.assembling import assemble
from backtest.market.files import read_bars, read_funding, read_open_interest
from backtest.market.folder import read_folder
from backtest.market.quality import CheckedBars, OpenInterest
from backtest.market.record import Instrument, Market, Provenance
from backtest.market.series import PANELS

HOUR = 3_600_000
MIDNIGHT = 1_759_276_800_000  # 2025-10-01 00:00 UTC
HEADER = "timestamp,open,high,low,close,volume"
BAR = "10,12,9,11,5"
NAN = float("nan")


def bar_lines(hours: Sequence[int] = range(4)) -> list[str]:
    return [f"{MIDNIGHT + hour * HOUR},{10 + hour},{20 + hour},9,11,{hour}" for hour in hours]


def write(path: Path, *lines: str, header: str = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8", newline="")
    return path


@pytest.fixture
def futures(tmp_path: Path) -> Path:
    """Folder whose name tells that it holds swaps."""
    folder = tmp_path / "my-futures"
    folder.mkdir()
    return folder


@pytest.fixture
def zec(futures: Path) -> Path:
    return write(futures / "ZECUSDT-1h.csv", *bar_lines())


def refused(path: Path, *, kind: str = "bars") -> str:
    """Message of the error that reading the file ends in, without the folder."""
    read = {"bars": read_bars, "funding": read_funding, "oi": read_open_interest}[kind]
    with pytest.raises(MarketError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path)).strip()


def at(market: Market, when: str) -> int:
    return market.bar_at_or_after(int(pd.Timestamp(when, tz="UTC").timestamp() * 1000))


@pytest.fixture(scope="module")
def swaps(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Market:
    """Six of the nine perpetuals of the folder: those whose files begin together."""
    folder = tmp_path_factory.mktemp("six") / "binance-usdm-2025q4"
    folder.mkdir()
    for coin in ("BTC", "DASH", "ETH", "ZEC", "ZEN", "ZK"):
        for path in (shared / "market" / "binance-usdm-2025q4").glob(f"{coin}USDT-*.csv"):
            (folder / path.name).symlink_to(path.resolve())
    return read_folder(folder)


@pytest.fixture(scope="module")
def sampled(shared: Path) -> Market:
    return read_folder(shared / "market" / "binance-usdm-2026q1-oi")


UNDECIDED = (
    "ZEC/USDT:USDT open interest which instant a sample is of is not decided by prices: "
    "taken as a period after its stamp"
)


class TestRealSwaps:
    """binance-usdm-2025q4: six perpetuals, hourly, four of them with funding."""

    def test_shape_and_provenance(self, swaps: Market) -> None:
        assert swaps.open.shape == (2630, 6)
        assert swaps.timeframe == "1h"
        assert swaps.symbols == tuple(f"{base}/USDT:USDT" for base in ("BTC", "DASH", "ETH", "ZEC", "ZEN", "ZK"))
        assert str(swaps.index[0]) == "2025-09-13 10:00:00+00:00"
        assert str(swaps.index[-1]) == "2025-12-31 23:00:00+00:00"
        assert swaps.provenance.name == "binance-usdm-2025q4"
        assert swaps.provenance.repairs == ()
        assert not np.isnan(swaps.close).any()
        assert np.isnan(swaps.open_interest).all()

    @pytest.mark.parametrize(
        ("symbol", "row", "values"),
        [
            ("BTC/USDT:USDT", 0, (115969.70, 116126.00, 115849.90, 115882.70, 2175.527)),
            ("BTC/USDT:USDT", -1, (87695.80, 87702.10, 87583.60, 87608.20, 955.665)),
            ("DASH/USDT:USDT", 0, (25.45, 25.49, 25.31, 25.41, 8808.063)),
            ("DASH/USDT:USDT", -1, (41.48, 41.70, 41.44, 41.62, 12571.728)),
            ("ETH/USDT:USDT", 0, (4730.47, 4738.33, 4707.70, 4716.12, 91613.379)),
            ("ETH/USDT:USDT", -1, (2976.06, 2976.06, 2969.01, 2970.40, 27142.577)),
            ("ZEC/USDT:USDT", 0, (50.08, 50.20, 49.76, 49.88, 6294.164)),
            ("ZEC/USDT:USDT", -1, (511.67, 515.00, 511.05, 511.78, 34519.548)),
            ("ZEN/USDT:USDT", 0, (7.940, 7.972, 7.910, 7.945, 51235.5)),
            ("ZEN/USDT:USDT", -1, (9.153, 9.207, 9.153, 9.165, 39852.0)),
            ("ZK/USDT:USDT", 0, (0.06397, 0.06467, 0.06381, 0.06425, 20095772)),
            ("ZK/USDT:USDT", -1, (0.02884, 0.02897, 0.02880, 0.02896, 2364802)),
        ],
    )
    def test_first_and_last_bars(self, swaps: Market, symbol: str, row: int, values: tuple[float, ...]) -> None:
        column = swaps.column(symbol)
        assert tuple(float(getattr(swaps, name)[row, column]) for name in PANELS[:5]) == values

    def test_funding_is_known_where_there_is_a_file_and_unknown_elsewhere(self, swaps: Market) -> None:
        known = dict(zip(swaps.symbols, swaps.funding_known.sum(axis=0).tolist(), strict=True))
        # The last settlement is 2025-12-31 16:00: whether one falls on 24:00, when the last bar closes, is unknown.
        assert known == {f"{base}/USDT:USDT": 2629 for base in ("BTC", "DASH", "ETH", "ZEC")} | {
            "ZEN/USDT:USDT": 0,
            "ZK/USDT:USDT": 0,
        }
        assert not swaps.funding_known[-1].any()

    @pytest.mark.parametrize("code", ["ZECUSDT", "DASHUSDT"])
    def test_funding_of_a_window_is_the_sum_of_the_rows_of_the_file(
        self, swaps: Market, shared: Path, code: str
    ) -> None:
        start, end = MIDNIGHT, 1_763_251_200_000  # to 2025-11-16 00:00
        with (shared / "market/binance-usdm-2025q4" / f"{code}-funding.csv").open() as file:
            rates = [float(row["funding_rate"]) for row in csv.DictReader(file) if start < int(row["timestamp"]) <= end]
        assert len(rates) == 46 * 3
        column = swaps.column(f"{code.removesuffix('USDT')}/USDT:USDT")
        window = swaps.funding[at(swaps, "2025-10-01") : at(swaps, "2025-11-16"), column]
        assert window.sum() == pytest.approx(sum(rates), rel=1e-12, abs=1e-15)
        assert np.count_nonzero(window) == np.count_nonzero(rates)

    def test_a_settlement_falls_into_the_bar_that_closes_at_it(self, swaps: Market) -> None:
        # ZEC's last row: 2025-12-31 16:00, -0.00052904.
        column = swaps.column("ZEC/USDT:USDT")
        assert swaps.funding[at(swaps, "2025-12-31 15:00"), column] == -0.00052904
        assert swaps.funding[at(swaps, "2025-12-31 16:00"), column] == 0


class TestRealOpenInterest:
    """binance-usdm-2026q1-oi: settlements with jitter, 4-hourly ones of ZK, open interest every 4 h."""

    def test_shape(self, sampled: Market) -> None:
        assert sampled.open.shape == (768, 4)
        assert sampled.symbols == ("BTC/USDT:USDT", "DASH/USDT:USDT", "ZEC/USDT:USDT", "ZK/USDT:USDT")
        assert len(sampled.provenance.repairs) == 4
        assert all("open interest sampled at its stamp" in one for one in sampled.provenance.repairs)

    @pytest.mark.parametrize(
        ("open_", "value"),
        [
            ("2026-02-20 02:00", NAN),  # the first sample is of 04:00, and value by coins is the price at 04:00
            ("2026-02-20 03:00", 123068349.55272000),
            ("2026-02-20 06:00", 123068349.55272000),
            ("2026-02-20 07:00", 122389476.39196548),  # the one of 08:00, when this bar closes
            ("2026-03-18 18:00", 133814140.74252000),  # the one of 2026-03-18 16:00
            ("2026-03-18 19:00", 122679891.90076000),  # the one of 20:00
        ],
    )
    def test_a_sample_is_known_when_the_arithmetic_says_that_it_was_taken(
        self, sampled: Market, open_: str, value: float
    ) -> None:
        known = sampled.open_interest[at(sampled, open_), sampled.column("ZEC/USDT:USDT")]
        np.testing.assert_equal(known, value)

    def test_a_jittered_stamp_belongs_to_the_bar_before(self, sampled: Market) -> None:
        # ZECUSDT 1771142400002 is 2026-02-15 08:00:00.002.
        column = sampled.column("ZEC/USDT:USDT")
        assert sampled.funding[at(sampled, "2026-02-15 07:00"), column] == 0.00001569
        assert sampled.funding[at(sampled, "2026-02-15 08:00"), column] == 0

    def test_four_hourly_funding(self, sampled: Market) -> None:
        column = sampled.column("ZK/USDT:USDT")
        day = sampled.funding[at(sampled, "2026-02-15") : at(sampled, "2026-02-16"), column]
        assert np.flatnonzero(day).tolist() == [3, 7, 11, 15, 19, 23]
        assert day[[3, 7, 11]].tolist() == [-0.00019882, -0.00004433, -0.00055616]
        # The last settlement is 2026-03-18 20:00: one at 24:00 may be missing from the file.
        assert sampled.funding_known[:-1, column].all()
        assert not sampled.funding_known[-1, column]


def test_real_spot_has_no_funding(shared: Path) -> None:
    market = read_folder(shared / "market" / "binance-spot-2025q4")
    assert market.symbols == ("DASH/USDT", "ZEC/USDT")
    assert market.open.shape == (2630, 2)
    assert (market.funding == 0).all()
    assert [market.close[0, 1], market.volume[-1, 0]] == [49.99, 3077.511]
    assert market.provenance.repairs == ()


def test_real_freqtrade_feather(shared: Path) -> None:
    market = read_folder(shared / "market" / "binance-usdm-2025q4" / "freqtrade")
    assert market.symbols == ("ZEC/USDT:USDT",)
    assert market.timeframe == "5m"
    assert market.open.shape == (14112, 1)
    assert str(market.index[0]) == "2025-09-28 00:00:00+00:00"
    assert [float(getattr(market, name)[0, 0]) for name in PANELS[:5]] == [55.57, 55.58, 55.47, 55.56, 218.726]
    assert [float(getattr(market, name)[-1, 0]) for name in PANELS[:5]] == [673.13, 675.15, 667.45, 669.85, 12986.941]
    assert market.provenance.repairs == ()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty: fetch or export it again"),
        (b"\n\r\n ", "is empty: fetch or export it again"),
        (b"\xef\xbb\xbf", "has no column timestamp: its header is empty; rename or add it"),
        (HEADER.encode() + b"\n", "has a header and no rows: fetch or export it again"),
        (HEADER.encode() + b"\n,,,,,\n", "has a header and no rows: fetch or export it again"),
        (HEADER.encode() + b"\n1,\xff\n", "line 2: byte 0xff is not UTF-8: save the file as UTF-8"),
        ("timestamp\n1\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8: save the file as UTF-8"),
        (
            b"timestamp,open,high,low\n1,1,1,1\n",
            "has no column close: it has timestamp, open, high, low; rename or add it",
        ),
        (
            b"when,open,high,low,close,volume\n",
            "has no column timestamp: it has when, open, high, low, close, volume; rename or add it",
        ),
        (
            b"1,2,3,4,5,6\n1,2,3,4,5,6\n",
            "has no column timestamp: its first line is not a header but 1, 2, 3, 4, 5, 6; rename or add it",
        ),
        (b"time,open,Open,high,low,close,volume\n1,1,1,1,1,1,1\n", "has 2 columns 'open': keep one"),
        (
            HEADER.encode() + b"\n1,2,3\n",
            "line 2 has 3 fields under a header of 6: complete or drop it",
        ),
    ],
)
def test_a_file_that_is_no_table_of_bars_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "ZECUSDT-1h.csv"
    path.write_bytes(content)
    assert refused(path) == complaint


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "ZECUSDT-1h.csv") == "does not exist: check the path"
    assert refused(tmp_path) == "is a folder: name a file"


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (f"{MIDNIGHT},ten,12,9,11,5", "column open: 'ten' is not a number: write it plainly, as in 50.25"),
        (f'{MIDNIGHT},10,"1,200",9,11,5', "column high: '1,200' is not a number: write it plainly, as in 50.25"),
        (f"{MIDNIGHT},10,12,1_0,11,5", "column low: '1_0' is not a number: write it plainly, as in 50.25"),
        (f"{MIDNIGHT},10,12,9,１１,5", "column close: '１１' is not a number: write it plainly, as in 50.25"),
        (f"{MIDNIGHT},10,12,9,11,5k", "column volume: '5k' is not a number: write it plainly, as in 50.25"),
        (f"{MIDNIGHT},10,12,9,11,#N/A", "column volume: '#N/A' is not a number: write it plainly, as in 50.25"),
        (f"{MIDNIGHT},,12,9,11,5", "column open: the price is missing: fill it in, or empty the whole bar"),
        (f"{MIDNIGHT},10,null,9,11,5", "column high: the price is missing: fill it in, or empty the whole bar"),
        (f"{MIDNIGHT},10,12,NaN,11,5", "column low: the price is missing: fill it in, or empty the whole bar"),
        (f"{MIDNIGHT},10,12,9,inf,5", "column close: price inf is not positive and finite: fix the row"),
        (f"{MIDNIGHT},1e999,12,9,11,5", "column open: price inf is not positive and finite: fix the row"),
        (f"{MIDNIGHT},-10,12,9,11,5", "column open: price -10.0 is not positive and finite: fix the row"),
        (
            f"2025-10-01 00:00:00,{BAR}",
            "column timestamp: '2025-10-01 00:00:00' has no time zone: add Z for UTC, or write epoch milliseconds",
        ),
        (
            f"2025-10-01,{BAR}",
            "column timestamp: '2025-10-01' has no time zone: add Z for UTC, or write epoch milliseconds",
        ),
        (
            f"yesterday,{BAR}",
            "column timestamp: 'yesterday' is not a time: write epoch milliseconds or 2025-10-01T00:00:00Z",
        ),
        (f",{BAR}", "column timestamp: '' is not a time: write epoch milliseconds or 2025-10-01T00:00:00Z"),
        (
            f"1.7592768e12,{BAR}",
            "column timestamp: '1.7592768e12' is not a time: write epoch milliseconds or 2025-10-01T00:00:00Z",
        ),
        (
            f"99999999999999999999,{BAR}",
            "column timestamp: '99999999999999999999' is not a time: write epoch milliseconds or 2025-10-01T00:00:00Z",
        ),
        (
            f"1759276800,{BAR}",
            "column timestamp: 1759276800 is not a time from 2009 to 2100: write epoch milliseconds "
            "(microseconds and nanoseconds are understood too, seconds are not)",
        ),
        (
            f"1970-01-15T06:00:00Z,{BAR}",
            "column timestamp: 1231200000 is not a time from 2009 to 2100: write epoch milliseconds "
            "(microseconds and nanoseconds are understood too, seconds are not)",
        ),
        (
            f"{MIDNIGHT + HOUR - 1},{BAR}",
            "column timestamp: 2025-10-01 00:59:59 and 999 ms is off the 1h grid: stamp each bar with its open, "
            "a whole multiple of 1h",
        ),
    ],
)
def test_a_cell_that_cannot_be_is_refused_with_its_line_and_column(tmp_path: Path, row: str, complaint: str) -> None:
    path = write(tmp_path / "ZECUSDT-1h.csv", *bar_lines([-2, -1]), row, *bar_lines([5]))
    assert refused(path) == f"line 4, {complaint}"


def test_lines_are_counted_with_blank_and_quoted_ones(tmp_path: Path) -> None:
    first, second = bar_lines([0, 1])
    noted = f'{first},"two\nlines"'
    path = tmp_path / "ZECUSDT-1h.csv"
    for lines, line in (((noted,), 4), (("",), 3), ((noted, "", f"{second},"), 6)):
        write(path, *lines, f"{MIDNIGHT},-1{BAR},", header=f"{HEADER},note")
        assert refused(path) == f"line {line}, column open: price -110.0 is not positive and finite: fix the row"


@pytest.mark.parametrize(
    ("text", "repairs"),
    [
        ("{0}\n{1}\n", ()),
        ("\ufeff{0}\n{1}\n", ()),
        ("{0}\r\n{1}\r\n", ()),
        ("{0}\r{1}\r", ()),
        ("{0}\n{1}", ()),
        ("{0}\n{1}\n\n\n", ()),
        ("{0}\n\n{1}\n", ("1 blank line dropped, first line 3",)),
        ("{0}\n,,,,,\n\n{1}\n", ("2 blank lines dropped, first line 3",)),
    ],
    ids=["plain", "BOM", "CRLF", "CR", "no last line end", "blank end", "blank line", "empty fields"],
)
def test_line_ends_marks_and_blank_lines(tmp_path: Path, text: str, repairs: tuple[str, ...]) -> None:
    path = tmp_path / "ZECUSDT-1h.csv"
    body = text.replace("{0}", "{0}" + ("\r\n" if "\r\n" in text else "\r" if "\r" in text else "\n") + "{2}")
    path.write_bytes(body.format(HEADER, *bar_lines([1, 0])).encode())
    bars = read_bars(path)
    assert bars.open.tolist() == [10, 11]
    assert bars.repairs == repairs


@pytest.mark.parametrize(
    "stamp",
    [
        f"{MIDNIGHT}",
        f"{MIDNIGHT}000",
        f"{MIDNIGHT}000000",
        f"{MIDNIGHT}.0",
        "2025-10-01T00:00:00Z",
        "2025-10-01 00:00:00+00:00",
        "2025-10-01T02:00:00.000+02:00",
        f'"{MIDNIGHT}"',
        f" {MIDNIGHT} ",
    ],
)
def test_forms_of_a_time_mix_row_by_row(tmp_path: Path, stamp: str) -> None:
    path = write(tmp_path / "ZECUSDT-1h.csv", f"{stamp},{BAR}", *bar_lines([1]))
    assert read_bars(path).open_ms.tolist() == [MIDNIGHT, MIDNIGHT + HOUR]


@pytest.mark.parametrize("name", ["timestamp", "open_time", "Date", "datetime", "TIME"])
def test_columns_are_found_by_name(tmp_path: Path, name: str) -> None:
    header = f"note,Volume, CLOSE,low,High,Open,{name},close_time"
    path = write(tmp_path / "ZECUSDT-1h.csv", f"x,5,11,9,12,10,{MIDNIGHT},y", header=header)
    bars = read_bars(path)
    values = [bars.open, bars.high, bars.low, bars.close, bars.volume]
    assert [value.tolist() for value in values] == [[10], [12], [9], [11], [5]]


def test_the_price_read_is_the_closest_to_the_text(tmp_path: Path) -> None:
    text = "0.30000000000000004"
    plain = write(tmp_path / "ZECUSDT-1h.csv", f"{MIDNIGHT},{text},1,0.1,{text},5")
    precise = write(tmp_path / "DASHUSDT-1h.csv", f"2025-10-01T00:00:00Z,{text},1,0.1,{text},5")
    assert read_bars(plain).open[0] == read_bars(precise).open[0] == 0.1 + 0.2


def test_rows_of_another_symbol_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ZECUSDT-funding.csv"
    rows = [f"{MIDNIGHT},ZECUSDT,0.0001", f"{MIDNIGHT + 8 * HOUR},BTCUSDT,0.0002"]
    write(path, *rows, header="timestamp,symbol,funding_rate")
    assert (
        refused(path, kind="funding") == "line 3, column symbol: 'BTCUSDT' is not ZECUSDT: keep one instrument per file"
    )
    other = write(tmp_path / "rates.csv", *rows, header="timestamp,symbol,funding_rate")
    assert refused(other, kind="funding").startswith("line 3, column symbol: 'BTCUSDT' is not ZECUSDT")


@pytest.mark.parametrize("symbol", ["ZECUSDT", "ZEC/USDT:USDT", "ZEC/USDT", "ZEC-USDT-SWAP", "zec_usdt"])
def test_a_symbol_may_be_written_as_any_venue_writes_it(tmp_path: Path, symbol: str) -> None:
    path = write(
        tmp_path / "ZECUSDT-funding.csv", f"{MIDNIGHT},{symbol},0.0001", header="calc_time,symbol,last_funding_rate"
    )
    assert read_funding(path).rate.tolist() == [0.0001]


def test_open_interest_needs_one_of_its_two_columns(tmp_path: Path) -> None:
    path = tmp_path / "ZECUSDT-oi-4h.csv"
    write(path, f"{MIDNIGHT},5", header="timestamp,oi")
    assert refused(path, kind="oi") == (
        "has no column sum_open_interest or sum_open_interest_value: it has timestamp, oi; rename or add it"
    )
    write(path, f"{MIDNIGHT},5", header="timestamp,sum_open_interest")
    samples = read_open_interest(path)
    assert samples.coins.tolist() == [5]
    assert np.isnan(samples.value).tolist() == [True]
    assert samples.period_ms == 4 * HOUR


def test_a_name_that_tells_no_timeframe_needs_one(tmp_path: Path) -> None:
    path = write(tmp_path / "zcash.csv", *bar_lines())
    with pytest.raises(MarketError) as caught:
        read_bars(path)
    assert str(caught.value) == f"{path}: its name has no timeframe: name it as in ZECUSDT-1h.csv, or give one"
    assert read_bars(path, "1h").open.tolist() == [10, 11, 12, 13]


class TestFeather:
    """freqtrade's files, whole and not."""

    def frame(self) -> pd.DataFrame:
        dates = pd.date_range("2025-10-01", periods=3, freq="5min", tz="UTC")
        return pd.DataFrame({"date": dates, "open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 5.0})

    def path(self, folder: Path, frame: pd.DataFrame) -> Path:
        path = folder / "ZEC_USDT_USDT-5m-futures.feather"
        frame.to_feather(path)
        return path

    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    def test_any_resolution(self, tmp_path: Path, unit: str) -> None:
        frame = self.frame()
        frame["date"] = frame["date"].dt.as_unit(unit)
        assert read_bars(self.path(tmp_path, frame)).open_ms.tolist() == [MIDNIGHT + i * 300_000 for i in range(3)]

    def test_epoch_text_and_whole_numbers(self, tmp_path: Path) -> None:
        frame = self.frame().astype({"open": "int64", "volume": "int32"})
        expected = [MIDNIGHT + i * 300_000 for i in range(3)]
        assert read_bars(self.path(tmp_path, frame.assign(date=expected))).open_ms.tolist() == expected
        assert read_bars(self.path(tmp_path, frame.assign(date=frame["date"].astype(str)))).open.tolist() == [10] * 3

    def test_naive_dates_are_refused(self, tmp_path: Path) -> None:
        frame = self.frame().assign(date=lambda frame: frame["date"].dt.tz_localize(None))
        assert refused(self.path(tmp_path, frame)) == (
            "row 0, column date: '2025-10-01 00:00:00' has no time zone: add Z for UTC, or write epoch milliseconds"
        )

    def test_text_and_missing_prices_are_refused(self, tmp_path: Path) -> None:
        text = self.frame().assign(open=["10", "11.5", "abc"])
        assert refused(self.path(tmp_path, text)) == (
            "row 2, column open: 'abc' is not a number: write it plainly, as in 50.25"
        )
        missing = self.frame()
        missing.loc[1, "low"] = NAN
        assert refused(self.path(tmp_path, missing)) == (
            "row 1, column low: the price is missing: fill it in, or empty the whole bar"
        )

    def test_a_bar_of_nothing_is_missing(self, tmp_path: Path) -> None:
        frame = self.frame()
        frame.loc[1, ["open", "high", "low", "close", "volume"]] = NAN
        bars = read_bars(self.path(tmp_path, frame))
        assert len(bars.open) == 2
        assert bars.repairs == ("1 row without prices dropped (a missing bar), first at row 1 (2025-10-01 00:05)",)

    def test_a_row_of_nothing_is_dropped(self, tmp_path: Path) -> None:
        frame = self.frame()
        frame.loc[1, :] = None
        assert read_bars(self.path(tmp_path, frame)).repairs == ("1 blank row dropped, first row 1",)

    def test_no_rows_and_no_columns_are_refused(self, tmp_path: Path) -> None:
        assert refused(self.path(tmp_path, self.frame().iloc[:0])).startswith("has a header and no rows")
        assert refused(self.path(tmp_path, self.frame().drop(columns="low"))) == (
            "has no column low: it has date, open, high, close, volume; rename or add it"
        )

    def test_a_torn_file_is_refused(self, tmp_path: Path) -> None:
        path = self.path(tmp_path, self.frame())
        path.write_bytes(path.read_bytes()[:-40])
        assert refused(path).startswith("is not a whole Feather file (")

    def test_flipped_bytes_never_end_in_a_traceback(self, tmp_path: Path) -> None:
        path = self.path(tmp_path, self.frame())
        whole = path.read_bytes()
        chance = random.Random(7)
        refusals = 0
        for _ in range(200):
            torn = bytearray(whole)
            for _ in range(3):
                torn[chance.randrange(len(torn))] = chance.randrange(256)
            path.write_bytes(torn)
            try:
                read_folder(tmp_path)
            except BacktestError:
                refusals += 1
        assert refusals > 20


class TestFolder:
    """Which files of a folder are read, as what, and what it must tell."""

    @pytest.mark.parametrize(
        ("code", "symbol"),
        [
            ("ZECUSDT", "ZEC/USDT"),
            ("ZECUSDC", "ZEC/USDC"),
            ("ZECUSD", "ZEC/USD"),
            ("ZECBUSD", "ZEC/BUSD"),
            ("ZECFDUSD", "ZEC/FDUSD"),
            ("ZECBTC", "ZEC/BTC"),
            ("ZECETH", "ZEC/ETH"),
            ("zeceur", "ZEC/EUR"),
            ("BTCUSDT", "BTC/USDT"),
            ("ETHBTC", "ETH/BTC"),
            ("1000PEPEUSDT", "1000PEPE/USDT"),
        ],
    )
    def test_ids_of_a_venue_become_unified_symbols(self, tmp_path: Path, code: str, symbol: str) -> None:
        write(tmp_path / f"{code}-1h.csv", *bar_lines())
        assert read_folder(tmp_path, kind="spot").symbols == (symbol,)
        assert read_folder(tmp_path, kind="swap").symbols == (f"{symbol}:{symbol.split('/')[1]}",)

    @pytest.mark.parametrize("code", ["ZEC", "USDT", "ZECJPY"])
    def test_an_id_without_a_known_quote_is_refused(self, futures: Path, code: str) -> None:
        path = write(futures / f"{code}-1h.csv", *bar_lines())
        with pytest.raises(MarketError) as caught:
            read_folder(futures)
        assert str(caught.value) == (
            f"{path}: {code} is not a coin followed by one of FDUSD, USDT, USDC, BUSD, USD, BTC, ETH, EUR: "
            "name the file as in ZECUSDT-1h.csv"
        )

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("binance-usdm-2025", "swap"),
            ("um", "swap"),
            ("um_2025", "swap"),
            ("Futures", "swap"),
            ("swaps", "swap"),
            ("perpetuals", "swap"),
            ("binance-spot", "spot"),
            ("SPOT", "spot"),
        ],
    )
    def test_the_name_of_the_folder_tells_the_kind(self, tmp_path: Path, name: str, kind: str) -> None:
        write(tmp_path / name / "ZECUSDT-1h.csv", *bar_lines())
        assert read_folder(tmp_path / name).instruments[0].kind == kind

    @pytest.mark.parametrize("name", ["data", "volume", "spot-and-perp"])
    def test_a_folder_that_does_not_tell_the_kind_is_asked_about(self, tmp_path: Path, name: str) -> None:
        folder = tmp_path / name
        write(folder / "ZECUSDT-1h.csv", *bar_lines())
        with pytest.raises(MarketError) as caught:
            read_folder(folder)
        assert str(caught.value) == (
            f"{folder} does not say whether its bars are of swaps or of spot: put 'futures' or 'spot' into the name "
            "of the folder, as in my-futures"
        )
        write(folder / "ZECUSDT-funding.csv", f"{MIDNIGHT},0.0001", header="timestamp,funding_rate")
        assert read_folder(folder).instruments[0].kind == "swap"

    def test_the_kind_asked_for_goes_before_the_name(self, zec: Path) -> None:
        assert read_folder(zec.parent, kind="spot").symbols == ("ZEC/USDT",)

    def test_spot_with_funding_is_refused(self, zec: Path) -> None:
        write(zec.parent / "ZECUSDT-funding.csv", f"{MIDNIGHT},0.0001", header="timestamp,funding_rate")
        with pytest.raises(
            MarketError, match=r"ZEC/USDT of market 'my-futures' is spot, which has neither funding nor open interest"
        ):
            read_folder(zec.parent, kind="spot")

    def test_freqtrade_names_tell_the_kind_themselves(self, tmp_path: Path) -> None:
        frame = TestFeather().frame()
        frame.to_feather(tmp_path / "ZEC_USDT_USDT-5m-futures.feather")
        frame.to_feather(tmp_path / "ZEC_USDT-5m.feather")
        market = read_folder(tmp_path)
        assert market.symbols == ("ZEC/USDT", "ZEC/USDT:USDT")
        np.testing.assert_array_equal(market.funding, [[0, NAN]] * 3)
        with pytest.raises(
            MarketError, match=r"ZEC_USDT-5m.feather is a spot by its name, but kind 'swap' was asked for: leave kind"
        ):
            read_folder(tmp_path, kind="swap")

    def test_several_timeframes_need_a_choice(self, zec: Path) -> None:
        folder = zec.parent
        write(folder / "ZECUSDT-4h.csv", f"{MIDNIGHT},{BAR}")
        with pytest.raises(MarketError) as caught:
            read_folder(folder)
        assert str(caught.value) == f"{folder} holds bars of 1h, 4h: choose one with `timeframe`"
        assert len(read_folder(folder, "4h").index) == 1
        assert read_folder(folder, "60m").timeframe == "1h"
        with pytest.raises(MarketError) as caught:
            read_folder(folder, "1d")
        assert str(caught.value) == f"{folder} has no 1d bars: it holds 1h, 4h"
        with pytest.raises(UsageError, match="'hourly' is not a duration"):
            read_folder(folder, "hourly")

    def test_two_files_of_one_series_are_refused(self, zec: Path) -> None:
        write(zec.parent / "zecusdt-60m.csv", *bar_lines())
        with pytest.raises(MarketError, match=r"zecusdt-60m.csv and ZECUSDT-1h.csv both hold bars of ZEC/USDT:USDT"):
            read_folder(zec.parent)

    def test_what_is_not_read_is_named(self, zec: Path) -> None:
        folder = zec.parent
        write(folder / "ZENUSDT-funding.csv", f"{MIDNIGHT},0.0001", header="timestamp,funding_rate")
        for name in ("notes.csv", "ZECUSDT-1M.csv", "BTC_USD_BTC-1h-futures.feather", "BTC-1M.parquet", ".x.csv"):
            (folder / name).write_text("x")
        (folder / "README.md").write_text("x")
        (folder / "deeper.csv").mkdir()
        assert sorted(read_folder(folder).provenance.repairs) == [
            "BTC-1M.parquet not read: is not a table: its first line is 'x'; export it as CSV",
            "BTC_USD_BTC-1h-futures.feather not read: is not a table: its first line is 'x'; export it as CSV",
            "ZECUSDT-1M.csv not read: is not a table: its first line is 'x'; export it as CSV",
            "ZENUSDT-funding.csv not read: there are no 1h bars of ZEN/USDT:USDT",
            "notes.csv not read: is not a table: its first line is 'x'; export it as CSV",
        ]

    def test_a_folder_without_bars_is_refused(self, tmp_path: Path) -> None:
        for number in range(9):
            (tmp_path / f"file{number}").write_text("x")
        with pytest.raises(MarketError, match=r"holds no bars: name files as .* it holds file0, .*, file7 and more"):
            read_folder(tmp_path)
        (tmp_path / "none").mkdir()
        with pytest.raises(MarketError, match=r"it holds nothing$"):
            read_folder(tmp_path / "none")
        with pytest.raises(MarketError, match=r"absent cannot be read as a folder of market files: No such file"):
            read_folder(tmp_path / "absent")
        with pytest.raises(MarketError, match=r"file0 cannot be read as a folder of market files: Not a directory"):
            read_folder(tmp_path / "file0")


class TestAssemble:
    """Alignment of series on one grid."""

    def bars(self, *hours: float) -> CheckedBars:
        ones = np.ones(len(hours))
        return CheckedBars(MIDNIGHT + (np.array(hours) * HOUR).astype(np.int64), ones, ones, ones, ones, ones)

    def of(self, symbol: str, *hours: float) -> InstrumentData:
        return InstrumentData(Instrument.parse(symbol), self.bars(*hours))

    def test_missing_bars_are_rows_of_nan_and_counted(self) -> None:
        market = assemble(
            Provenance("test", "memory", repairs=("earlier",)),
            "1h",
            [self.of("ZEC/USDT", 1, 2, 5, 7), self.of("DASH/USDT", 0, 1, 2, 3, 4, 5, 6, 7)],
        )
        assert market.symbols == ("ZEC/USDT", "DASH/USDT")
        assert np.flatnonzero(np.isnan(market.close[:, 0])).tolist() == [0, 3, 4, 6]
        assert np.isnan(market.volume[:, 0]).sum() == 4
        assert not np.isnan(market.close[:, 1]).any()
        assert (market.funding == 0).all()
        assert market.provenance.repairs == (
            "earlier",
            "ZEC/USDT bars missing: 3 between the first and the last known, first 2025-10-01 03:00; if its venue "
            "writes no bar where nothing traded, say omits_empty_bars = true of it in instruments.toml, else "
            "its liquidity may stay unknown",
            "ZEC/USDT bars only from 2025-10-01 01:00 to 2025-10-01 07:00",
        )

    def test_nothing_to_assemble_is_refused(self) -> None:
        with pytest.raises(MarketError, match="market 'test' has no instruments"):
            assemble(Provenance("test", "memory"), "1h", [])
        with pytest.raises(MarketError, match="market 'test' has no bars of ZEC/USDT: "):
            assemble(Provenance("test", "memory"), "1h", [self.of("ZEC/USDT")])

    def test_grids_that_differ_are_refused(self) -> None:
        with pytest.raises(
            MarketError, match=r"ZEC/USDT: its 1w bars open at 2025-10-02 00:00, which is off the grid of the others"
        ):
            assemble(Provenance("test", "memory"), "1w", [self.of("ZEC/USDT", 24), self.of("DASH/USDT", 0)])

    def test_an_absurd_span_is_refused_before_it_fills_the_memory(self) -> None:
        with pytest.raises(
            MarketError, match=r"from 2025-10-01 00:00 to 2048-07-25 08:00, but only 2 of 720000001 are there"
        ):
            assemble(Provenance("test", "memory"), "1s", [self.of("ZEC/USDT", 0, 200_000)])

    def test_open_interest_that_covers_no_bar_or_goes_stale_is_said(self) -> None:
        def samples(*hours: float) -> OpenInterest:
            stamps = MIDNIGHT + (np.array(hours) * HOUR).astype(np.int64)
            return OpenInterest(stamps, HOUR, np.full(len(hours), NAN), np.full(len(hours), 7.0))

        hours = range(12)
        zec = InstrumentData(Instrument.parse("ZEC/USDT:USDT"), self.bars(*hours), None, samples(0, 1, 8, 9))
        dash = InstrumentData(Instrument.parse("DASH/USDT:USDT"), self.bars(*hours), None, samples(99))
        market = assemble(Provenance("test", "memory"), "1h", [zec, dash])
        # Known at 01:00 and 02:00, stale after 04:00; known again at 09:00.
        assert np.flatnonzero(np.isnan(market.open_interest[:, 0])).tolist() == [4, 5, 6, 7]
        assert market.provenance.repairs == (
            "ZEC/USDT:USDT open interest unknown: 4 between the first and the last known, first 2025-10-01 04:00",
            "DASH/USDT:USDT open interest unknown in every bar",
        )

    def test_a_hole_in_the_funding_is_said(self, zec: Path) -> None:
        write(zec, *bar_lines(range(48)))
        rows = [f"{MIDNIGHT + hour * HOUR},0.0001" for hour in (0, 8, 16, 32, 40, 48)]
        write(zec.parent / "ZECUSDT-funding.csv", *rows, header="timestamp,funding_rate")
        assert read_folder(zec.parent).provenance.repairs == (
            "ZEC/USDT:USDT funding unknown: 16 between the first and the last known, first 2025-10-01 16:00",
        )


def test_repairs_of_every_series_reach_the_provenance(zec: Path) -> None:
    lines = bar_lines([0, 1, 1, 2])
    write(zec, *lines)
    write(
        zec.parent / "ZECUSDT-funding.csv",
        f"{MIDNIGHT + 8 * HOUR},0.01",
        f"{MIDNIGHT},",
        header="timestamp,funding_rate",
    )
    write(
        zec.parent / "ZECUSDT-oi-1h.csv",
        f"{MIDNIGHT},1,10",
        f"{MIDNIGHT + HOUR},,",
        header="timestamp,sum_open_interest,sum_open_interest_value",
    )
    assert read_folder(zec.parent).provenance.repairs == (
        UNDECIDED,
        "ZEC/USDT:USDT bars: 1 exact duplicate row dropped, first at line 4 (2025-10-01 01:00)",
        "ZEC/USDT:USDT funding: 1 row out of order sorted by time, first at line 3 (2025-10-01 00:00)",
        "ZEC/USDT:USDT funding: 1 empty funding rate kept as unknown, first at line 3 (2025-10-01 00:00)",
        "ZEC/USDT:USDT open interest: 1 empty open-interest sample dropped, first at line 3 (2025-10-01 01:00)",
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_shuffled_and_repeated_rows_give_the_same_market_and_say_so(data: st.DataObject) -> None:
    contents = {
        "ZECUSDT-1h.csv": (HEADER, bar_lines(range(12))),
        "ZECUSDT-funding.csv": (
            "timestamp,symbol,funding_rate",
            [f"{MIDNIGHT + 4 * HOUR * i},ZECUSDT,{i}e-4" for i in range(4)],
        ),
        "ZECUSDT-oi-4h.csv": (
            "timestamp,sum_open_interest,sum_open_interest_value",
            [f"{MIDNIGHT + 4 * HOUR * i},{i},{11 * i}" for i in range(4)],
        ),
    }
    with tempfile.TemporaryDirectory(suffix="-futures") as name:
        folder = Path(name)
        for file, (header, lines) in contents.items():
            write(folder / file, *lines, header=header)
        clean = read_folder(folder)
        assert clean.provenance.repairs == (UNDECIDED,)
        changed = 1
        for file, (header, lines) in contents.items():
            repeated = lines + data.draw(st.lists(st.sampled_from(lines), max_size=4))
            shuffled = data.draw(st.permutations(repeated))
            write(folder / file, *shuffled, header=header)
            changed += (len(repeated) > len(lines)) + (list(dict.fromkeys(shuffled)) != lines)
        market = read_folder(folder)
    assert market.sha256() == clean.sha256()
    assert len(market.provenance.repairs) == changed


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["ZECUSDT-1h.csv", "ZECUSDT-funding.csv", "ZECUSDT-oi-4h.csv"]),
    st.integers(0, 5),
    st.integers(0, 3),
    st.one_of(
        st.binary(max_size=12),
        st.text("0123456789.eE+-infa_, \"'", max_size=14).map(str.encode),
        st.integers(-1, 2**70).map(lambda number: str(number).encode()),
        st.datetimes(timezones=st.none() | st.timezones()).map(lambda moment: moment.isoformat().encode()),
    ),
)
@example("ZECUSDT-1h.csv", 0, 0, b"\r")  # Python's csv reader refuses a header with it
@example("ZECUSDT-1h.csv", 0, 0, b"a" * 140_000)  # a header longer than it reads
def test_any_bytes_in_a_cell_end_in_a_market_or_a_typed_error(file: str, line: int, column: int, cell: bytes) -> None:
    with tempfile.TemporaryDirectory(suffix="-futures") as name:
        folder = Path(name)
        write(folder / "ZECUSDT-1h.csv", *bar_lines(range(5)))
        rates = [f"{MIDNIGHT + 8 * HOUR * i},ZECUSDT,0.0001," for i in range(5)]
        write(folder / "ZECUSDT-funding.csv", *rates, header="timestamp,symbol,funding_rate,note")
        samples = [f"{MIDNIGHT + 4 * HOUR * i},ZECUSDT,5,50" for i in range(5)]
        write(folder / "ZECUSDT-oi-4h.csv", *samples, header="time,symbol,sum_open_interest,sum_open_interest_value")
        lines = (folder / file).read_bytes().split(b"\n")
        cells = lines[line].split(b",")
        cells[column] = cell
        lines[line] = b",".join(cells)
        (folder / file).write_bytes(b"\n".join(lines))
        try:
            symbols = read_folder(folder).symbols
        except BacktestError as error:
            complaint = str(error)
            symbols = ()
    assert symbols == ("ZEC/USDT:USDT",) or any(name in complaint for name in (file, "ZEC/USDT", "bars run from"))
