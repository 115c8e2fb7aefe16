"""A sample of stored rows asked for again: equal rows pass, and each way to differ is counted and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backtest.base.errors import UsageError
from backtest.market.archive_host import ArchiveHost
from backtest.market.asking_again import Reasked, reask_archive, reask_venue
from backtest.market.rows import Rows
from backtest.market.store import Store
from backtest.market.transport import Patience
from tests.market.loopback import HOUR, Listing, Loopback, options, serving
from tests.market.test_archive import downloader, mirror, served  # noqa: F401
from tests.market.test_ccxt_source import LAUNCH, download, recipe

PATIENCE = Patience(attempts=9, doubtful=5, first=0.001, longest=0.002)


def filled(root: Path, **more: object) -> tuple[Store, Loopback]:
    """A store with a month of three series, and the venue they came from."""
    state = Loopback({"ZECUSDT": Listing("ZEC", LAUNCH)}, **more)  # type: ignore[arg-type]
    store = Store(root)
    with serving(state):
        assert download(store, recipe("bybit", state, "20251101-20251120")).complaint() == ""
    return store, state


def asked(store: Store, state: Loopback, windows: int = 1000) -> list[Reasked]:
    with serving(state):
        chosen = options("bybit", state.url)
        return reask_venue(store, store.contents(), "bybit", chosen, windows, patience=PATIENCE)


def test_rows_that_are_as_they_were_pass_whole_through_faults(tmp_path: Path) -> None:
    store, state = filled(tmp_path / "store")
    state.rate, state.kinds = 0.3, ("short page", "disorder", "duplicates", "503", "html")
    for one in asked(store, state):
        manifest = store.manifest(one.key)
        assert manifest is not None
        assert (one.asked, one.same) == (manifest.rows, manifest.rows)
        assert one.problems() == []
    assert state.served


def test_a_sample_is_drawn_by_its_seed_and_no_larger_than_asked(tmp_path: Path) -> None:
    store, state = filled(tmp_path / "store")
    bars = next(one for one in asked(store, state, 2) if one.key.series == "ohlcv")
    assert 100 < bars.asked <= 200


def test_each_way_to_differ_is_counted_and_named(tmp_path: Path) -> None:
    store, state = filled(tmp_path / "store")
    key = next(key for key in store.contents() if key.series == "ohlcv")
    manifest = store.manifest(key)
    assert manifest is not None
    rows = store.read(key)
    # Stored: the tenth close is off by a hundredth, the twentieth row is lost, and one row too many stands at the end.
    values = rows.values.copy()
    values[10, 3] *= 1.0001
    kept = np.arange(rows.time_ms.size) != 20
    extra = int(rows.time_ms[-1]) + HOUR
    times = np.append(rows.time_ms[kept], extra)
    forged = Store(tmp_path / "forged")
    forged.append(key, Rows(times, np.vstack((values[kept], values[-1]))), source="test", units=manifest.units)
    state.listings["ZECUSDT"] = Listing("ZEC", LAUNCH, absent=frozenset({extra}))
    with serving(state):
        (one,) = reask_venue(forged, [key], "bybit", options("bybit", state.url), 1000, patience=PATIENCE)
    assert one.differing == (int(rows.time_ms[10]),)
    assert one.more == (int(rows.time_ms[20]),)
    assert one.lacking == (extra,)
    assert one.same == one.asked - 2
    sentences = one.problems()
    assert len(sentences) == 3
    assert "1 rows differ at the source" in sentences[0]
    assert "2025-11-01 10:00" in sentences[0]


def test_what_is_not_served_or_listed_is_not_asked_for_and_said(tmp_path: Path) -> None:
    store, state = filled(tmp_path / "store")
    state.listings = {"DASHUSDT": Listing("DASH", LAUNCH)}
    assert {one.note for one in asked(store, state)} == {"not asked for: bybit does not list it now"}
    with pytest.raises(UsageError, match="nothing that was chosen is of okx: name a venue of the store, or archive"):
        reask_venue(store, store.contents(), "okx", {})


def test_the_archive_is_a_source_too(
    served: Callable[[bool], tuple[str, dict[str, int]]],  # noqa: F811
    tmp_path: Path,
) -> None:
    url, _ = served(False)
    store = Store(tmp_path / "store")
    downloader(store, url, series=("ohlcv", "oi", "funding")).run()
    host = ArchiveHost(url, PATIENCE)
    for one in reask_archive(store, store.contents(), host, 40):
        assert one.problems() == []
        assert one.same == one.asked > 40
    key = next(key for key in store.contents() if key.series == "oi")
    rows, manifest = store.read(key), store.manifest(key)
    assert manifest is not None
    values = rows.values.copy()
    values[:, 0] += 1
    forged = Store(tmp_path / "forged")
    forged.append(key, Rows(rows.time_ms, values), source="test", units=manifest.units)
    (one,) = reask_archive(forged, [key], host, 2)
    assert len(one.differing) == one.asked > 200
    with pytest.raises(UsageError, match="plain http"):
        ArchiveHost("http://mirror.example/data")
