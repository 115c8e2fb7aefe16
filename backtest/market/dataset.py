"""Datasets: a folder of Parquet files whose metadata describe them and prove that they are complete."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from backtest.base.arguments import checked
from backtest.base.documents import build, datasets_root, first_complaint, read_json, read_whole, table_of, user_path
from backtest.base.errors import MarketError, UsageError, near_miss, shortened
from backtest.base.fields import Duration
from backtest.base.units import duration_ms, format_ms, from_ms, timeframe_ms, to_ms
from backtest.market.arrow_files import read_parquet
from backtest.market.files import LARGEST
from backtest.market.record import RECONSTRUCTED, Floats, Instrument, Market, Origin, Provenance, fields_of
from backtest.market.rows import replace_file
from backtest.market.series import PANELS

METADATA = "metadata.json"
MOST_CELLS = 200_000_000
BARS = "bars.parquet"
FUNDING = "funding.parquet"
COLUMNS = {
    BARS: {
        "timestamp": "bar open, milliseconds since 1970-01-01 UTC",
        "symbol": "unified ccxt symbol",
        "open": "quote currency",
        "high": "quote currency",
        "low": "quote currency",
        "close": "quote currency",
        "volume": "base currency, summed over the bar",
        "open_interest": "quote notional, known at the bar's close; null is unknown",
    },
    FUNDING: {
        "timestamp": "close of the bar it settled in, milliseconds since 1970-01-01 UTC",
        "symbol": "unified ccxt symbol",
        "funding_rate": "share of notional; null is unknown, and a bar without a row settled none",
    },
}
_BAR_PANELS = PANELS[:-1]
_DEFAULT = "privacy-2025-sample"


def _symbol(text: str) -> str:
    try:
        return Instrument.parse(text).symbol
    except UsageError as error:
        raise ValueError(str(error)) from None


class OriginTable(BaseModel):
    """One `Origin` as stored in the metadata."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: Annotated[str, AfterValidator(_symbol)]
    series: str
    words: str
    label: str = Field("", pattern=f"^({RECONSTRUCTED})?$")


class Metadata(BaseModel):
    """The `metadata.json` of a dataset; an unknown key is an error.

    `start` is the open of the first bar and `end` the close of the last one; `files` maps each data file to its
    sha256, and `content_sha256` is `Market.sha256()`, which does not depend on the Parquet writer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    # The length is checked separately: a pattern that counts letters of all alphabets takes too long to compile.
    name: str = Field(pattern=r"^\w[\w .+-]*$", max_length=100, description="names run folders, so it holds no folder")
    label: str = Field(pattern=f"^({RECONSTRUCTED})?$")
    licence: str
    source: str
    how_made: str
    made_by: str
    seed: int | None
    timeframe: Duration
    instruments: tuple[Annotated[str, AfterValidator(_symbol)], ...] = Field(min_length=1)
    start: AwareDatetime
    end: AwareDatetime
    repairs: tuple[str, ...] = ()
    readings: tuple[str, ...] = ()
    origins: tuple[OriginTable, ...] = ()
    held_against: str = ""
    columns: dict[str, dict[str, str]]
    files: dict[Annotated[str, Field(pattern=r"^\w[\w.-]*$", max_length=100)], str]
    content_sha256: str

    @model_validator(mode="after")
    def _whole_bars(self) -> Metadata:
        span, bar_ms = to_ms(self.end) - to_ms(self.start), duration_ms(self.timeframe)
        if span <= 0 or bar_ms == 0 or span % bar_ms:
            raise ValueError(f"start to end must be a whole number of {self.timeframe} bars")
        cells = span // bar_ms * len(self.instruments)
        if cells > MOST_CELLS:
            raise ValueError(f"{cells:,} bars are more than the {MOST_CELLS:,} that a dataset may hold")
        return self


def default_dataset() -> str:
    """Name of the embedded dataset that is used by default."""
    return _DEFAULT


def embedded_datasets() -> tuple[str, ...]:
    """Names of the embedded datasets."""
    return tuple(sorted(path.parent.name for path in datasets_root().glob(f"*/{METADATA}")))


@checked
def open_dataset(name_or_folder: str | Path, timeframe: str | None = None, store: Path | str | None = None) -> Market:
    """Market of an embedded dataset, a name in the store, a dataset folder, or a folder of raw CSV or Feather files.

    An embedded name takes precedence over one in the store, and that over a folder of the same name; `./name` is always
    a folder. `timeframe` chooses if there are several; `store` is the root of the store if it is not the default.

    Raises
    ------
    UsageError
        If it is neither a name nor a folder, or has no bars of `timeframe`.
    MarketError
        If its data cannot be used.
    """
    name_or_folder = str(name_or_folder)
    if name_or_folder in embedded_datasets():
        return _of_timeframe(read_dataset(datasets_root() / name_or_folder), timeframe)
    # What reads stores and folders takes longer to import than the embedded sample takes to read.
    from backtest.market.folder import read_folder
    from backtest.market.from_store import open_stored, stored_names
    from backtest.market.store import Store, store_root

    shelf = Store(store_root(None if store is None else Path(store)))
    names = stored_names(shelf)
    if name_or_folder in names:
        return open_stored(shelf, name_or_folder, timeframe)
    folder = user_path(name_or_folder)
    if os.path.exists(folder / METADATA):
        return _of_timeframe(read_dataset(folder), timeframe)
    if os.path.isdir(folder):
        return read_folder(folder, timeframe)
    if name_or_folder in {path.stem for path in (datasets_root() / "recipes").glob("*.toml")}:
        raise UsageError(
            f"dataset {name_or_folder!r} is not in the store {shelf.root} yet: run backtest fetch {name_or_folder}, or "
            f"leave `dataset` out for the embedded {default_dataset()}"
        )
    raise UsageError(
        f"dataset {shortened(name_or_folder)} is neither a folder, nor embedded, nor in the store {shelf.root}; "
        f"{near_miss(name_or_folder, (*embedded_datasets(), *names))}"
    )


def _of_timeframe(market: Market, timeframe: str | None) -> Market:
    if timeframe is not None and timeframe_ms(timeframe) != market.bar_ms:
        raise UsageError(
            f"dataset {market.provenance.name!r} has {market.timeframe} bars, not {timeframe}: leave it out"
        )
    return market


def write_dataset(
    market: Market,
    folder: Path,
    *,
    how_made: str,
    made_by: str,
    seed: int | None = None,
    readings: Sequence[str] = (),
) -> Metadata:
    """Write a market as a dataset folder, replacing an older one file by file, the metadata last.

    The same market gives the same bytes under one pyarrow version, and the same `content_sha256` under all versions.
    Prices, volumes and rates are stored as given; their description (name, label, repairs and so on) comes from the
    provenance.

    Raises
    ------
    MarketError
        For what these files cannot hold: rules of instruments, further and auxiliary series.
    """
    ruled = [one.symbol for one in market.instruments if one.rules]
    held = [f"rules of {', '.join(ruled)}"] * bool(ruled) + [
        f"series {name}" for name in (*market.series, *market.auxiliary)
    ]
    if held:
        raise MarketError(
            f"market {market.provenance.name!r} has {'; '.join(held)}, which a dataset does not keep: write it without "
            "them, and name them in each run (`rules`, `series`)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    columns = {BARS: _bar_columns(market), FUNDING: _funding_columns(market)}
    contents = {name: _parquet(name, arrays) for name, arrays in columns.items()}
    provenance = market.provenance
    values = {
        "name": provenance.name,
        "label": provenance.label,
        "licence": provenance.licence,
        "source": provenance.source,
        "how_made": how_made,
        "made_by": made_by,
        "seed": seed,
        "timeframe": market.timeframe,
        "instruments": market.symbols,
        "start": from_ms(market.start_ms),
        "end": from_ms(market.end_ms),
        "repairs": provenance.repairs,
        "readings": tuple(readings),
        "origins": tuple(asdict(origin) for origin in provenance.origins),
        "held_against": provenance.held_against,
        "columns": COLUMNS,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
        "content_sha256": market.sha256(),
    }
    metadata = build(Metadata, values, f"dataset {folder}")
    document = json.dumps(metadata.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    for name, content in (*contents.items(), (METADATA, document.encode())):
        replace_file(folder / name, content)
    return metadata


def read_metadata(folder: Path) -> Metadata:
    """Metadata of a dataset folder, strictly validated.

    Raises
    ------
    MarketError
        If the file is missing, is not JSON, or has an unknown, missing or malformed key.
    """
    path = folder / METADATA
    if not os.path.lexists(path):
        raise MarketError(f"{folder} is not a dataset: it has no {METADATA}")
    try:
        metadata = Metadata(**table_of(read_json(path, MarketError), path, MarketError))
    except ValidationError as error:
        raise MarketError(f"{path}: {first_complaint(error, Metadata.model_fields)}") from None
    for name in COLUMNS:
        if name not in metadata.files:
            raise MarketError(f"{path}: files has no sha256 of {name}: write the dataset again")
    return metadata


def read_dataset(folder: Path) -> Market:
    """Market of a dataset folder; every file is checked against its sha256, and the market against its content hash.

    Raises
    ------
    MarketError
        If a file is missing, was changed, or does not match the metadata.
    """
    metadata = read_metadata(folder)
    for name, expected in metadata.files.items():
        _verify(folder / name, expected)
    market = _assemble(metadata, _table(folder / BARS), _table(folder / FUNDING), folder)
    if market.sha256() != metadata.content_sha256:
        raise MarketError(
            f"{folder} holds a market of content {market.sha256()[:16]}, but its {METADATA} says "
            f"{metadata.content_sha256[:16]}: write the dataset again"
        )
    return market


def _bar_columns(market: Market) -> dict[str, npt.NDArray[Any]]:
    columns: dict[str, npt.NDArray[Any]] = {
        "timestamp": np.tile(market.open_ms, len(market.symbols)),
        "symbol": np.repeat(np.array(market.symbols, dtype=object), len(market.index)),
    }
    return columns | {name: getattr(market, name).T.ravel() for name in _BAR_PANELS}


def _funding_columns(market: Market) -> dict[str, npt.NDArray[Any]]:
    rates = market.funding.T
    columns, rows = np.nonzero(rates)
    return {
        "timestamp": market.open_ms[rows] + market.bar_ms,
        "symbol": np.array(market.symbols, dtype=object)[columns],
        "funding_rate": rates[columns, rows],
    }


def _schema(name: str) -> pa.Schema:
    types = {"timestamp": pa.int64(), "symbol": pa.string()}
    return pa.schema([(column, types.get(column, pa.float64())) for column in COLUMNS[name]])


def _parquet(name: str, columns: dict[str, npt.NDArray[Any]]) -> bytes:
    schema = _schema(name)
    arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in schema]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), sink, compression="zstd", compression_level=19)
    return sink.getvalue()


def _verify(path: Path, expected: str) -> None:
    try:
        found = hashlib.sha256(read_whole(path, MarketError, LARGEST)).hexdigest()
    except MarketError as problem:
        raise MarketError(f"{problem}; {METADATA} lists it: restore the file") from None
    if found != expected:
        raise MarketError(
            f"{path} was changed: its sha256 is {found[:16]}, but {METADATA} says {expected[:16]}: restore the file"
        )


def _table(path: Path) -> pa.Table:
    try:
        if pq.read_metadata(path).num_rows > MOST_CELLS:
            raise MarketError(f"{path} has more than the {MOST_CELLS:,} rows that a dataset may hold")
        table = read_parquet(path, _schema(path.name))
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise MarketError(f"{path} is not a Parquet file: {problem}") from None
    if not table.schema.equals(_schema(path.name)):
        found, expected = (
            ", ".join(f"{field.name} {field.type}" for field in schema) for schema in (table.schema, _schema(path.name))
        )
        raise MarketError(f"{path} has columns {found}, but a dataset needs {expected}")
    return table


def _assemble(metadata: Metadata, bars: pa.Table, funding: pa.Table, folder: Path) -> Market:
    instruments = tuple(Instrument.parse(symbol) for symbol in metadata.instruments)
    bar_ms = duration_ms(metadata.timeframe)
    opens = np.arange(to_ms(metadata.start), to_ms(metadata.end), bar_ms, dtype=np.int64)
    shape = (len(opens), len(instruments))
    cells = _cells(bars, metadata, opens, folder / BARS)
    if len(bars) != len(opens) * len(instruments):
        raise MarketError(
            f"{folder / BARS} has {len(bars)} rows, but {len(opens)} bars of {len(instruments)} instruments need "
            f"{len(opens) * len(instruments)}: a missing bar is a row of nulls"
        )
    panels = {name: _panel(shape, cells, bars[name], np.nan) for name in _BAR_PANELS}
    settled = _cells(funding, metadata, opens + bar_ms, folder / FUNDING)
    try:
        return Market(
            index=pd.DatetimeIndex(pd.to_datetime(opens, unit="ms", utc=True)),
            timeframe=metadata.timeframe,
            instruments=instruments,
            **fields_of(panels),
            funding=_panel(shape, settled, funding["funding_rate"], 0.0),
            provenance=Provenance(
                metadata.name,
                metadata.source,
                metadata.label,
                metadata.licence,
                metadata.repairs,
                tuple(Origin(**one.model_dump()) for one in metadata.origins),
                metadata.held_against,
            ),
        )
    except MarketError as problem:
        raise MarketError(f"{folder}: {problem}") from None


def _cells(table: pa.Table, metadata: Metadata, stamps: npt.NDArray[np.int64], path: Path) -> npt.NDArray[np.int64]:
    """Flat position of each row in the (T, N) panel whose rows have the times `stamps`."""
    for name in ("timestamp", "symbol"):
        if table[name].null_count:
            raise MarketError(f"{path} has {table[name].null_count} rows without a {name}: write the dataset again")
    times = table["timestamp"].to_numpy()
    rows = np.searchsorted(stamps, times)
    astray = np.flatnonzero(stamps[np.minimum(rows, len(stamps) - 1)] != times)
    if astray.size:
        stamp = int(times[astray[0]])
        when = format_ms(stamp) if 0 <= stamp < 2**47 else str(stamp)
        raise MarketError(
            f"{path} row {int(astray[0])} is stamped {when}, which is off the grid of {metadata.timeframe} bars that "
            f"{METADATA} describes: write the dataset again"
        )
    positions = {symbol: column for column, symbol in enumerate(metadata.instruments)}
    symbols = table["symbol"].to_pylist()
    unknown = next((symbol for symbol in symbols if symbol not in positions), None)
    if unknown is not None:
        raise MarketError(f"{path} has instrument {unknown!r}; {near_miss(str(unknown), metadata.instruments)}")
    cells = rows * len(positions) + np.array([positions[symbol] for symbol in symbols], dtype=np.int64)
    twice = np.flatnonzero(np.bincount(cells) > 1)
    if twice.size:
        row, column = divmod(int(twice[0]), len(positions))
        raise MarketError(
            f"{path} has {metadata.instruments[column]} at {format_ms(int(stamps[row]))} twice: keep one row"
        )
    return np.asarray(cells, dtype=np.int64)


def _panel(shape: tuple[int, int], cells: npt.NDArray[np.int64], values: pa.ChunkedArray, unset: float) -> Floats:
    panel = np.full(shape, unset)
    panel.ravel()[cells] = values.to_numpy()
    return panel
