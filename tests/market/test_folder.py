"""A folder is read as an import reads: every layout of `test_layouts`, its units checked, what is not read named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backtest.base.errors import MarketError
from backtest.market.folder import read_folder
from backtest.market.from_store import open_stored
from backtest.market.further import further_series
from backtest.market.importing import import_paths
from backtest.market.plain_files import Said
from backtest.market.profiles import ReadOptions
from backtest.market.record import Market
from backtest.market.rows import Key, Rows
from backtest.market.store import Store
from tests.market.test_archive import KLINE_HEADER, kline, put
from tests.market.test_layouts import (
    BARS,
    COUNT,
    HOUR,
    OCT,
    RATES,
    READ,
    REFUSED,
    SWAP,
    lines,
    ms,
    ohlc,
    price,
    turnover,
    volume,
)

NATIVE = lines(lambda r: f"{ms(r)},{ohlc(r)},{volume(r)}", BARS)


def folder_of(tmp_path: Path, name: str, content: bytes, *, bars: bool) -> Path:
    folder = tmp_path / "my-futures"
    folder.mkdir()
    (folder / name).write_bytes(content)
    if bars:
        (folder / "ZECUSDT-1h.csv").write_bytes(NATIVE)
    return folder


def right(market: Market, program: str) -> None:
    """The market holds the truth of a layout."""
    layout = READ[program]
    column = next(place for place, one in enumerate(market.instruments) if one.base == "ZEC")
    if layout.series == "ohlcv":
        count = COUNT - layout.first
        prices = np.column_stack([market.panel(name)[:, column] for name in ("open", "high", "low", "close")])
        assert prices.tolist() == [list(price(row)) for row in range(count)]
        known = [volume(row) if layout.volume_known else np.nan for row in range(count)]
        np.testing.assert_array_equal(market.volume[:, column], known)
    elif layout.series == "funding":
        settled = {ms(layout.first + row, layout.step): RATES[layout.first + row] for row in range(6)}
        found = {int(close): rate for close, rate in zip(market.open_ms + HOUR, market.funding[:, column], strict=True)}
        inside = {stamp: rate for stamp, rate in settled.items() if stamp in found}
        assert len(inside) >= 4
        assert {stamp: found[stamp] for stamp in inside} == pytest.approx(inside)
    elif layout.series == "oi":
        # A sample is known a period after its stamp.
        np.testing.assert_allclose(market.open_interest[:, column], [turnover(r) * 100 for r in range(COUNT)])
    else:
        name = {"mark": "mark_price", "index": "index_price"}[layout.series]
        assert market.panel(name)[:, column].tolist() == [price(row)[3] for row in range(COUNT)]


@pytest.mark.parametrize("program", READ)
def test_a_layout_is_read_right_or_named_with_its_reason(program: str, tmp_path: Path) -> None:
    layout = READ[program]
    folder = folder_of(tmp_path, layout.name, layout.content(), bars=layout.series != "ohlcv")
    market, refusal = None, ""
    try:
        market = read_folder(folder, kind=layout.said.kind)
    except MarketError as problem:
        refusal = str(problem)
    if market is None:
        assert layout.said != SWAP, f"needs no word of the user, but {refusal}"
        assert layout.name in refusal
        return
    if any(line.startswith(f"{layout.name} not read: ") for line in market.provenance.repairs):
        assert layout.said != SWAP
        return
    right(market, program)


def test_many_layouts_need_no_word_of_the_user() -> None:
    assert sum(layout.said == SWAP for layout in READ.values()) >= 10


@pytest.mark.parametrize("fault", REFUSED)
def test_what_an_import_refuses_a_folder_refuses_or_names(fault: str, tmp_path: Path) -> None:
    name, content, _ = REFUSED[fault]
    folder = folder_of(tmp_path, name, content(), bars=False)
    (folder / "DASHUSDT-1h.csv").write_bytes(NATIVE)
    try:
        market = read_folder(folder)
    except MarketError:
        return
    assert any(line.startswith(f"{name} not read: ") for line in market.provenance.repairs)
    assert market.symbols == ("DASH/USDT:USDT",)


def test_units_of_a_folder_are_checked_as_those_of_an_import(tmp_path: Path) -> None:
    rates = lines(lambda r: f"{ms(r, 8 * HOUR)},0.01", "timestamp,funding_rate")
    folder = folder_of(tmp_path, "ZECUSDT-funding.csv", rates, bars=True)
    with pytest.raises(MarketError, match=r"the median rate is 0\.01, which is 1% per settlement"):
        read_folder(folder)
    (folder / "ZECUSDT-funding.csv").unlink()
    swapped = lines(lambda r: f"{ms(r)},{400_000},{1000}", "timestamp,sum_open_interest,sum_open_interest_value")
    (folder / "ZECUSDT-oi-1h.csv").write_bytes(swapped)
    with pytest.raises(MarketError, match="columns that are swapped, or contracts"):
        read_folder(folder)


def test_an_archive_file_in_a_folder_is_for_the_import(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "ZECUSDT-1h-2025-10.csv", b"x", bars=True)
    assert read_folder(folder).provenance.repairs == (
        "ZECUSDT-1h-2025-10.csv not read: a file of Binance's archive, for `backtest data import`",
    )


def test_bad_rows_of_an_archive_file_are_skipped_on_request_and_the_run_is_told(tmp_path: Path) -> None:
    rows = [kline(OCT + hour * HOUR) for hour in range(31 * 24)]
    rows[3] = rows[3].replace(str(OCT + 3 * HOUR), str(OCT + 3 * HOUR + 60_000), 1)
    rows[5] = rows[5].replace(",", ",oops", 1)
    um = tmp_path / "futures/um/monthly/klines/ZECUSDT/1h"
    put(um, "ZECUSDT-1h-2025-10.zip", "\n".join([KLINE_HEADER, *rows]))
    store, key = Store(tmp_path / "store"), Key.of("binanceusdm", "ZEC/USDT:USDT", "ohlcv", "1h")
    with pytest.raises(MarketError, match="cannot be read as CSV"):
        import_paths([tmp_path / "futures"], store)
    done = import_paths([tmp_path / "futures"], store, Said(options=ReadOptions(skip_bad=True)))
    assert store.read(key).time_ms.size == 31 * 24 - 2
    remarks = [
        "ZECUSDT-1h-2025-10.zip: line 7 skipped: a cell is not a number or time",
        "ZECUSDT-1h-2025-10.zip: line 5 skipped (2025-10-01 03:01): off the 1h grid",
    ]
    assert done.notes == remarks
    manifest = store.manifest(key)
    assert manifest is not None
    # A row that was skipped is not one that the source lacks.
    assert (manifest.remarks, manifest.gaps) == (tuple(remarks), ())
    market = open_stored(store, "binanceusdm")
    assert [line.partition(": ")[2] for line in market.provenance.repairs[:2]] == remarks


@pytest.mark.parametrize(
    ("header", "row", "named"),
    [
        ("t,l,s", lambda r: f"{ms(r) // 1000},{1000.0 + r},{500.0 + r}", "Coinalyze liquidations"),
        ("time,long_liquidations,short_liquidations", lambda r: f"{ms(r)},{1000.0 + r},{500.0 + r}", "columns by name"),
    ],
)
def test_liquidations_are_sums_that_a_bar_knows_at_its_close(
    tmp_path: Path, header: str, row: Callable[[int], str], named: str
) -> None:
    folder = folder_of(tmp_path, "ZECUSDT_liquidations.csv", lines(row, header), bars=True)
    market = read_folder(folder)
    assert market.panel("long_liquidations")[:, 0].tolist() == [1000.0 + r for r in range(COUNT)]
    assert market.panel("short_liquidations")[:, 0].tolist() == [500.0 + r for r in range(COUNT)]
    assert any(named in line for line in market.provenance.repairs)


def test_sums_of_shorter_periods_are_added_up_and_an_incomplete_bar_is_unknown() -> None:
    key = Key.of("gate", "ZEC/USDT:USDT", "liquidations", "1h")
    hours = np.array([0, 1, 2, 3, 4, 5, 7])
    rows = Rows(OCT + hours * HOUR, np.column_stack((hours + 1.0, hours * 0.0)))
    known = further_series({"liquidations": (key, rows)}, 4 * HOUR)["long_liquidations"]
    assert (known.known_ms.tolist(), known.value.tolist()) == ([OCT + 4 * HOUR], [1 + 2 + 3 + 4.0])
    assert further_series({"liquidations": (key, rows)}, 900_000) == {}


def test_the_high_and_the_low_of_a_mark_price_are_those_of_all_parts_of_a_bar() -> None:
    key = Key.of("binanceusdm", "ZEC/USDT:USDT", "mark", "1h")
    hours = np.array([0, 1, 2, 3, 4, 5, 7])
    high, low = np.array([9, 12, 11, 10, 20, 21, 22.0]), np.array([8, 9, 7, 9, 18, 19, 20.0])
    rows = Rows(OCT + hours * HOUR, np.column_stack((low, high, low, high)))
    found = further_series({"mark": (key, rows)}, 4 * HOUR)
    extremes = {name: (found[name].known_ms.tolist(), found[name].value.tolist()) for name in ("mark_high", "mark_low")}
    assert extremes == {"mark_high": ([OCT + 4 * HOUR], [12.0]), "mark_low": ([OCT + 4 * HOUR], [7.0])}
    assert list(further_series({"mark": (key, rows)}, 900_000)) == ["mark_price"]
