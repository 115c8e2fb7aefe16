from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtest.base import documents
from backtest.base.documents import datasets_root
from backtest.base.errors import BacktestError, MarketError, UsageError
from backtest.market.dataset import (
    Metadata,
    default_dataset,
    embedded_datasets,
    open_dataset,
    read_dataset,
    read_metadata,
    write_dataset,
)
from backtest.market.record import Instrument, Market, Provenance
from backtest.market.series import PANELS

BASE_MS = 1_761_955_200_000  # 2025-11-01 00:00 UTC
HOUR_MS = 3_600_000
NAN = float("nan")


@pytest.fixture
def market() -> Market:
    """Four hours of a swap that misses its third bar and of a spot; funding settled, none, unknown, none."""
    swap = np.array([[10, 11, 9, 10.5, 7], [10.5, 12, 10, 11, 8], [NAN] * 5, [11, 11.5, 10.5, 11.2, 0]])
    spot = np.array([[10.1, 11, 9, 10.4, 70], [10.4, 12, 10, 11, NAN], [11, 11, 11, 11, 5], [11, 12, 11, 12, 6]])
    names = ("open", "high", "low", "close", "volume")
    return Market(
        index=pd.date_range("2025-11-01", periods=4, freq="1h", tz="UTC"),
        timeframe="1h",
        instruments=(Instrument.parse("ZEC/USDT:USDT"), Instrument.parse("ZEC/USDT")),
        **{name: np.column_stack((swap[:, i], spot[:, i])) for i, name in enumerate(names)},
        open_interest=np.array([[700.0, NAN], [NAN, NAN], [NAN, NAN], [800.0, NAN]]),
        funding=np.array([[0.0, 0.0], [-0.0125, 0.0], [NAN, 0.0], [0.0, NAN]]),
        provenance=Provenance("tiny", "made by hand", "", "CC0-1.0", ("one bar was missing",)),
    )


@pytest.fixture
def folder(market: Market, tmp_path: Path) -> Path:
    write_dataset(market, tmp_path / "tiny", how_made="typed", made_by="a person", seed=None, readings=["as is"])
    return tmp_path / "tiny"


def amend(folder: Path, **changes: object) -> None:
    """Change the metadata, and bring the hashes of the files in line with the files."""
    path = folder / "metadata.json"
    values = json.loads(path.read_text())
    values["files"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in values["files"]}
    path.write_text(json.dumps(values | changes))


def rewrite(folder: Path, name: str, table: pa.Table) -> None:
    pq.write_table(table, folder / name)
    amend(folder)


def test_a_market_comes_back_as_it_was_written(market: Market, folder: Path) -> None:
    back = read_dataset(folder)
    assert back.sha256() == market.sha256()
    assert back.index.equals(market.index)
    assert back.provenance == market.provenance
    assert (back.timeframe, back.instruments) == (market.timeframe, market.instruments)
    for panel in PANELS:
        np.testing.assert_array_equal(getattr(back, panel), getattr(market, panel), err_msg=panel)


def test_the_files_hold_the_documented_columns(folder: Path) -> None:
    bars, funding = pq.read_table(folder / "bars.parquet"), pq.read_table(folder / "funding.parquet")
    assert bars.num_rows == 8
    assert bars.slice(1, 1).to_pylist() == [
        {
            "timestamp": BASE_MS + HOUR_MS,
            "symbol": "ZEC/USDT:USDT",
            "open": 10.5,
            "high": 12.0,
            "low": 10.0,
            "close": 11.0,
            "volume": 8.0,
            "open_interest": None,
        }
    ]
    # Funding is stamped with the close of its bar; a bar that settled none has no row.
    assert funding.to_pylist() == [
        {"timestamp": BASE_MS + 2 * HOUR_MS, "symbol": "ZEC/USDT:USDT", "funding_rate": -0.0125},
        {"timestamp": BASE_MS + 3 * HOUR_MS, "symbol": "ZEC/USDT:USDT", "funding_rate": None},
        {"timestamp": BASE_MS + 4 * HOUR_MS, "symbol": "ZEC/USDT", "funding_rate": None},
    ]


def test_the_metadata_says_what_was_given(market: Market, folder: Path) -> None:
    metadata = read_metadata(folder)
    assert isinstance(metadata, Metadata)
    assert (metadata.name, metadata.label, metadata.licence) == ("tiny", "", "CC0-1.0")
    assert (metadata.how_made, metadata.made_by, metadata.seed) == ("typed", "a person", None)
    assert (metadata.readings, metadata.repairs) == (("as is",), ("one bar was missing",))
    assert metadata.start.isoformat() == "2025-11-01T00:00:00+00:00"
    assert metadata.end.isoformat() == "2025-11-01T04:00:00+00:00"
    assert metadata.content_sha256 == market.sha256()
    for name in ("bars.parquet", "funding.parquet"):
        assert metadata.files[name] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert set(metadata.columns[name]) == set(pq.read_schema(folder / name).names)


def test_writing_twice_gives_the_same_bytes_and_no_leftovers(market: Market, folder: Path) -> None:
    names = {"bars.parquet", "funding.parquet", "metadata.json"}
    first = {name: (folder / name).read_bytes() for name in names}
    write_dataset(market, folder, how_made="typed", made_by="a person", readings=["as is"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_a_label_that_nobody_shows_is_refused(market: Market, tmp_path: Path) -> None:
    odd = replace(market, provenance=replace(market.provenance, label="SIMULATED"))
    with pytest.raises(UsageError, match="label = 'SIMULATED'"):
        write_dataset(odd, tmp_path, how_made="", made_by="")
    assert not list(tmp_path.iterdir())


def test_what_a_dataset_does_not_keep_is_refused(market: Market, tmp_path: Path) -> None:
    """It was left out, and the folder could not be read, since its content was another."""
    ruled = replace(market, instruments=tuple(replace(one, least_notional=5.0) for one in market.instruments))
    marked = replace(market, series={"mark_price": np.ones(market.close.shape)})
    for odd, held in ((ruled, f"rules of {', '.join(market.symbols)}"), (marked, "series mark_price")):
        with pytest.raises(MarketError, match=re.escape(f"has {held}, which a dataset does not keep")):
            write_dataset(odd, tmp_path / "odd", how_made="", made_by="")
        assert not (tmp_path / "odd").exists()


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "funding.parquet").unlink()
    with pytest.raises(MarketError, match=r"funding\.parquet does not exist.*restore the file"):
        read_dataset(folder)


def test_a_changed_file_is_named(folder: Path) -> None:
    with (folder / "bars.parquet").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(MarketError, match=r"bars\.parquet was changed: its sha256 is [0-9a-f]{16}, but"):
        read_dataset(folder)


def test_metadata_that_lists_no_bars_is_refused(folder: Path) -> None:
    amend(folder, files={"funding.parquet": "0" * 64})
    with pytest.raises(MarketError, match=r"files has no sha256 of bars\.parquet"):
        read_dataset(folder)


def test_a_folder_without_metadata_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(MarketError, match=r"is not a dataset: it has no metadata\.json"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(("text", "complaint"), [("{", "cannot be read as JSON"), ("[1]", "holds a list")])
def test_metadata_that_is_no_table_is_refused(folder: Path, text: str, complaint: str) -> None:
    (folder / "metadata.json").write_text(text)
    with pytest.raises(MarketError, match=complaint):
        read_dataset(folder)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"licens": "CC0"}, r"unknown key 'licens'; did you mean 'licence'\?"),
        ({"label": "REAL"}, "label = 'REAL'"),
        ({"format": 2}, "format = 2"),
        ({"start": "2025-11-01T00:00:00"}, "start = '2025-11-01T00:00:00'"),
        ({"timeframe": "1 hour"}, "timeframe = '1 hour'"),
        ({"timeframe": "0h"}, "start to end must be a whole number of 0h bars"),
        ({"timeframe": "3h"}, "start to end must be a whole number of 3h bars"),
        ({"end": "2025-11-01T00:00:00Z"}, "start to end must be a whole number of 1h bars"),
        ({"instruments": ["ZEC-PERP"]}, r"instruments = 'ZEC-PERP'"),
        ({"instruments": []}, r"instruments = \[\]"),
    ],
)
def test_metadata_is_validated_strictly(folder: Path, changes: dict[str, object], complaint: str) -> None:
    amend(folder, **changes)
    with pytest.raises(MarketError, match=complaint):
        read_dataset(folder)


def test_a_missing_key_is_named(folder: Path) -> None:
    values = json.loads((folder / "metadata.json").read_text())
    del values["seed"]
    (folder / "metadata.json").write_text(json.dumps(values))
    with pytest.raises(MarketError, match="key 'seed' is missing"):
        read_dataset(folder)


def test_a_file_that_is_not_parquet_is_named(folder: Path) -> None:
    (folder / "bars.parquet").write_bytes(b"timestamp,open\n")
    amend(folder)
    with pytest.raises(MarketError, match=r"bars\.parquet is not a Parquet file"):
        read_dataset(folder)


def test_wrong_columns_are_named(folder: Path) -> None:
    table = pq.read_table(folder / "funding.parquet").rename_columns(["timestamp", "symbol", "rate"])
    rewrite(folder, "funding.parquet", table)
    with pytest.raises(MarketError, match=r"has columns .* rate double, but a dataset needs .* funding_rate double"):
        read_dataset(folder)


def test_a_row_off_the_grid_is_named(folder: Path) -> None:
    table = pq.read_table(folder / "bars.parquet")
    stamps = pa.chunked_array([[value + 60_000 for value in table["timestamp"].to_pylist()]], pa.int64())
    rewrite(folder, "bars.parquet", table.set_column(0, "timestamp", stamps))
    with pytest.raises(MarketError, match="row 0 is stamped 2025-11-01 00:01, which is off the grid of 1h bars"):
        read_dataset(folder)


def test_a_row_outside_the_span_is_named(folder: Path) -> None:
    amend(folder, end="2025-11-01T03:00:00Z")
    with pytest.raises(MarketError, match="row 3 is stamped 2025-11-01 03:00"):
        read_dataset(folder)


def test_an_unlisted_instrument_is_named(folder: Path) -> None:
    amend(folder, instruments=["ZEC/USDT:USDT", "ZEN/USDT"])
    with pytest.raises(MarketError, match=r"has instrument 'ZEC/USDT'; did you mean"):
        read_dataset(folder)


def test_a_row_that_stands_twice_is_named(folder: Path) -> None:
    table = pq.read_table(folder / "bars.parquet")
    rewrite(folder, "bars.parquet", pa.concat_tables([table.slice(0, 7), table.slice(0, 1)]))
    with pytest.raises(MarketError, match="has ZEC/USDT:USDT at 2025-11-01 00:00 twice"):
        read_dataset(folder)


def test_a_missing_row_is_counted(folder: Path) -> None:
    rewrite(folder, "bars.parquet", pq.read_table(folder / "bars.parquet").slice(0, 7))
    with pytest.raises(MarketError, match="has 7 rows, but 4 bars of 2 instruments need 8"):
        read_dataset(folder)


def test_content_that_the_metadata_does_not_name_is_refused(folder: Path) -> None:
    amend(folder, content_sha256="0" * 64)
    with pytest.raises(MarketError, match=r"holds a market of content [0-9a-f]{16}, but its metadata\.json says 0000"):
        read_dataset(folder)


def test_an_embedded_name_opens() -> None:
    assert default_dataset() in embedded_datasets()
    assert open_dataset(default_dataset()).provenance.name == default_dataset()


def test_a_dataset_folder_opens(market: Market, folder: Path) -> None:
    assert open_dataset(str(folder)).sha256() == market.sha256()


def test_a_folder_of_raw_files_opens(tmp_path: Path) -> None:
    rows = "".join(f"{BASE_MS + i * HOUR_MS},10,11,9,10,5\n" for i in range(3))
    folder = tmp_path / "spot"
    folder.mkdir()
    (folder / "ZECUSDT-1h.csv").write_text("timestamp,open,high,low,close,volume\n" + rows)
    opened = open_dataset(str(folder))
    assert (len(opened.index), opened.symbols) == (3, ("ZEC/USDT",))


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"'privacy-2025-sampel' is neither .* did you mean 'privacy-2025-sample'"):
        open_dataset("privacy-2025-sampel")


def test_the_installed_package_goes_before_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (datasets_root() / default_dataset() / "metadata.json").is_file()
    monkeypatch.setattr(documents, "__file__", str(tmp_path / "site" / "backtest" / "base" / "documents.py"))
    with pytest.raises(BacktestError, match=r"no datasets at .*_datasets"):
        datasets_root()
    (tmp_path / "site" / "datasets").mkdir(parents=True)
    assert datasets_root() == tmp_path / "site" / "datasets"
    (tmp_path / "site" / "backtest" / "_datasets").mkdir(parents=True)
    assert datasets_root() == tmp_path / "site" / "backtest" / "_datasets"
