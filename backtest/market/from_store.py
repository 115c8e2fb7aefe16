"""Markets from the store: a fetched name, or everything of one venue in a timeframe."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import ValidationError

from backtest.base.documents import first_complaint, read_json, table_of
from backtest.base.errors import MarketError, UsageError, near_miss
from backtest.base.units import DAY_MS, format_ms, timeframe_ms
from backtest.market.align import InstrumentData
from backtest.market.assembling import assemble
from backtest.market.further import further_series
from backtest.market.instrument_file import with_rules
from backtest.market.quality import (
    SNAP_MS,
    CheckedFunding,
    OpenInterest,
    RawTable,
    clean_bars,
    clean_funding,
    clean_open_interest,
    clean_price_bars,
    clean_ratios,
)
from backtest.market.recipe import StoredDataset, dataset_path
from backtest.market.record import Instrument, Market, Provenance
from backtest.market.redenomination import continued
from backtest.market.rows import COLUMNS, Key, Rows
from backtest.market.series import SERIES
from backtest.market.store import Store


def stored_names(store: Store) -> tuple[str, ...]:
    """Names that `open_stored` accepts: fetched names, and venues."""
    fetched = (path.stem for path in (store.root / "datasets").glob("*.json"))
    venues = (key.venue for key in store.contents() if key.series == "ohlcv")
    return tuple(sorted({*fetched, *venues}))


def open_stored(store: Store, name: str, timeframe: str | None = None) -> Market:
    """Market of a fetched name or of a venue.

    Its instruments have the rules of the venue's `instruments.toml`, fetched or written by hand. For a fetched name,
    `timeframe` defaults to its own; for a venue it must be given if there are several.

    Raises
    ------
    UsageError
        If the store has no such name, or not in this timeframe.
    MarketError
        If its data cannot be used.
    """
    dataset = _fetched(store, name) or _of_venue(store, name, timeframe)
    wanted = timeframe or dataset.timeframe
    keys = store.contents()
    bars = {
        key.symbol: key
        for key in keys
        if key.venue == dataset.venue and key.series == "ohlcv" and timeframe_ms(key.timeframe) == timeframe_ms(wanted)
    }
    symbols = [symbol for symbol in dataset.symbols if symbol in bars]
    if not symbols:
        have = sorted({key.timeframe for key in keys if key.venue == dataset.venue and key.series == "ohlcv"})
        raise UsageError(
            f"dataset {name!r} has no {wanted} bars; the store has {', '.join(have) or 'none'}: fetch them"
        )
    notes = [f"{symbol} left out: the store has no bars of it" for symbol in dataset.symbols if symbol not in bars]
    own: dict[str, list[Key]] = {symbol: [] for symbol in symbols}
    for key in keys:
        if key.venue == dataset.venue and key.symbol in own:
            own[key.symbol].append(key)
    series = []
    for symbol in symbols:
        one = _series(store, bars[symbol], own[symbol], dataset)
        if one is None:
            notes.append(f"{symbol} left out: it has no bars from {format_ms(dataset.start_ms)} on")
        else:
            series.append(one)
    notes += [
        f"{key.symbol} {key.series} {key.timeframe}: {remark}"
        for symbol in sorted(own)
        for key in own[symbol]
        if key.series != "ohlcv" or key == bars[symbol]
        for remark in _remarks(store, key)
    ]
    ruled, told = with_rules(store.root / dataset.venue, (one.instrument for one in series), name_others=False)
    series = [replace(one, instrument=ruled[one.instrument.symbol]) for one in series]
    notes += told
    sources = sorted({source for key in bars.values() for source in _sources(store, key)})
    return continued(assemble(Provenance(name, "; ".join(sources), repairs=tuple(notes)), wanted, series))


def unusable(store: Store, key: Key) -> list[str]:
    """The sentence about the first row of a series that a market cannot hold; empty if there is none."""
    table = _table(key, store.read(key))
    try:
        if key.series == "ohlcv":
            clean_bars(table, key.timeframe)
        elif key.series == "oi":
            clean_open_interest(table, key.timeframe)
        elif key.series == "funding":
            clean_funding(table)
        elif key.series in ("ratios", "liquidations"):
            clean_ratios(table, key.timeframe)
        else:
            clean_price_bars(table, key.timeframe, positive=key.series != "premium")
    except MarketError as problem:
        return [str(problem)]
    return []


def _fetched(store: Store, name: str) -> StoredDataset | None:
    path = dataset_path(store.root, name)
    if not os.path.lexists(path):
        return None
    try:
        dataset = StoredDataset(**table_of(read_json(path, MarketError), path, MarketError))
    except ValidationError as error:
        raise MarketError(f"{path}: {first_complaint(error, StoredDataset.model_fields)}; fetch it again") from None
    if dataset.name != name:
        raise MarketError(f"{path} says that it is {dataset.name!r}: fetch {name!r} again")
    return dataset


def _of_venue(store: Store, name: str, timeframe: str | None) -> StoredDataset:
    keys = [key for key in store.contents() if key.venue == name and key.series == "ohlcv"]
    if not keys:
        raise UsageError(f"the store {store.root} has no dataset {name!r}; {near_miss(name, stored_names(store))}")
    there = sorted({key.timeframe for key in keys}, key=timeframe_ms)
    if timeframe is None and len(there) > 1:
        raise UsageError(f"{name} has bars of {', '.join(there)} in the store: choose one with `timeframe`")
    return StoredDataset(
        name=name,
        venue=name,
        symbols=tuple(dict.fromkeys(key.symbol for key in keys)),
        series=tuple(COLUMNS),
        timeframe=timeframe or there[0],
        start_ms=0,
        end_ms=None,
    )


def _series(store: Store, bars: Key, keys: Sequence[Key], dataset: StoredDataset) -> InstrumentData | None:
    def rows(key: Key) -> Rows:
        # A sample from before the first bar is known in it, and the last settlement may be stamped a little late.
        before = 0 if key.series == "ohlcv" else 3 * DAY_MS
        after = SNAP_MS + 1 if key.series == "funding" else 0
        end = None if dataset.end_ms is None else dataset.end_ms + after
        return store.read(key, max(dataset.start_ms - before, 0), end)

    own = rows(bars)
    if own.time_ms.size == 0:
        return None
    instrument = Instrument.parse(bars.symbol)
    funding: CheckedFunding | None = None
    samples: OpenInterest | None = None
    if instrument.kind == "swap":
        settled = Key.of(bars.venue, bars.symbol, "funding", bars.timeframe)
        if settled in keys and "funding" in dataset.series:
            funding = clean_funding(_table(settled, rows(settled)))
        sampled = _best_samples([key for key in keys if key.series == "oi"], bars)
        if sampled is not None and "oi" in dataset.series:
            samples = clean_open_interest(_table(sampled, rows(sampled)), sampled.timeframe)
    stored: dict[str, tuple[Key, Rows]] = {}
    for series in dict.fromkeys(declared.stored[0] for declared in SERIES.values()):
        found = _best_samples([key for key in keys if key.series == series], bars)
        if found is not None:
            stored[found.series] = found, rows(found)
    further = further_series(stored, timeframe_ms(bars.timeframe))
    return InstrumentData(instrument, clean_bars(_table(bars, own), bars.timeframe), funding, samples, further)


def _best_samples(keys: list[Key], bars: Key) -> Key | None:
    """The longest period that is not longer than a bar, else the shortest available."""
    bar_ms = timeframe_ms(bars.timeframe)
    ordered = sorted(keys, key=lambda key: timeframe_ms(key.timeframe))
    fitting = [key for key in ordered if timeframe_ms(key.timeframe) <= bar_ms]
    return fitting[-1] if fitting else ordered[0] if ordered else None


def _sources(store: Store, key: Key) -> tuple[str, ...]:
    manifest = store.manifest(key)
    return manifest.sources if manifest else ()


def _remarks(store: Store, key: Key) -> tuple[str, ...]:
    manifest = store.manifest(key)
    return manifest.remarks if manifest else ()


def _table(key: Key, rows: Rows) -> RawTable:
    return RawTable(
        f"store {key}",
        ("timestamp", *COLUMNS[key.series]),
        rows.time_ms,
        rows.values,
        np.arange(rows.time_ms.size, dtype=np.int64),
    )
