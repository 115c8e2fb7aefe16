"""Recipes: strict keys, the embedded ones, names in the store, and options merged deep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backtest.base.errors import ConfigError, MarketError, UsageError
from backtest.market.dataset import open_dataset
from backtest.market.from_store import open_stored, stored_names
from backtest.market.recipe import (
    StoredDataset,
    dataset_path,
    embedded_recipes,
    merged_deep,
    open_recipe,
    read_exchange_config,
)
from backtest.market.rows import Key
from backtest.market.store import Store
from tests.market.children import append_blocks

JAN = 1_735_689_600_000
GOOD = """
name = "mine"
symbols = ["ZEC/USDT:USDT"]
timerange = "20250101-20250201"
[exchange]
id = "bybit"
"""


def write(folder: Path, text: str) -> str:
    path = folder / "recipe.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("name", "timeframe", "start", "end"),
    [("privacy-2025", "1h", 1_755_216_000_000, 1_764_547_200_000), ("privacy-history", "1d", 1_514_764_800_000, None)],
)
def test_the_embedded_recipes(name: str, timeframe: str, start: int, end: int | None) -> None:
    assert name in embedded_recipes()
    recipe = open_recipe(name)
    assert recipe.exchange.id == "bybit"
    assert recipe.series == ("ohlcv", "oi", "funding")
    assert recipe.timeframe == timeframe
    assert recipe.span == (start, end)
    bases = {symbol.split("/")[0] for symbol in recipe.symbols}
    assert bases == {"ZEC", "DASH", "ZK", "ZEN", "DCR", "SCRT", "ROSE", "XMR", "RAIL", "BTC", "ETH"}


def test_a_file_is_read_and_a_near_miss_is_named(tmp_path: Path) -> None:
    recipe = open_recipe(write(tmp_path, GOOD))
    assert (recipe.name, recipe.timeframe, recipe.unlisted) == ("mine", "1h", "error")
    with pytest.raises(UsageError, match="did you mean 'privacy-2025'"):
        open_recipe("privacy-2024")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("timerange", "time_range", "unknown key 'time_range'; did you mean 'timerange'"),
        ('"bybit"', '"bybit"\nsecret = 1', "unknown key 'exchange.secret'"),
        ('"20250101-20250201"', '"-20250201"', "has no start: write 20250815-20251201"),
        ('"20250101-20250201"', '"20250201-20250101"', "is empty: its end must be after its start"),
        ('"ZEC/USDT:USDT"', '"ZECUSDT"', "'ZECUSDT' is not a ccxt symbol"),
        ('["ZEC/USDT:USDT"]', "[]", "symbols"),
        ('name = "mine"', 'name = "../mine"', "name"),
        ('name = "mine"', 'name = "mine"\ntimeframe = "hourly"', "'hourly' is not a duration"),
        ('name = "mine"', 'name = "mine"\nseries = ["candles"]', "series"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        open_recipe(write(tmp_path, GOOD.replace(old, new)))
    assert complaint in str(caught.value)
    assert "recipe.toml" in str(caught.value)


def test_options_are_merged_deep() -> None:
    base = {"options": {"a": 1, "fetchMarkets": {"types": ["linear"]}}, "timeout": 5}
    over = {"options": {"fetchMarkets": {"types": ["spot"]}, "b": 2}, "httpsProxy": "http://p"}
    assert merged_deep(base, over) == {
        "options": {"a": 1, "fetchMarkets": {"types": ["spot"]}, "b": 2},
        "timeout": 5,
        "httpsProxy": "http://p",
    }
    assert base["options"] == {"a": 1, "fetchMarkets": {"types": ["linear"]}}


def test_an_exchange_config_that_is_no_object_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "options.json"
    for text, complaint in (("[1]", "holds a list"), ("{", "cannot be read as JSON")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=complaint):
            read_exchange_config(path)
    with pytest.raises(ConfigError, match="does not exist"):
        read_exchange_config(tmp_path / "absent.json")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Ten days of hourly bars of one swap, fetched under the name `mine` as its last five days."""
    append_blocks(str(tmp_path / "store"), JAN, 1, 240, 240)
    store = Store(tmp_path / "store")
    StoredDataset(
        name="mine",
        venue="bybit",
        symbols=("ZEC/USDT:USDT", "DASH/USDT:USDT"),
        series=("ohlcv", "oi", "funding"),
        timeframe="1h",
        start_ms=JAN + 5 * 86_400_000,
        end_ms=None,
    ).write(store.root)
    return store


def test_names_in_the_store_are_datasets(store: Store) -> None:
    assert stored_names(store) == ("bybit", "mine")
    market = open_dataset("mine", store=store.root)
    assert market.provenance.name == "mine"
    assert market.provenance.source == "test"
    assert market.provenance.repairs[0] == "DASH/USDT:USDT left out: the store has no bars of it"
    assert len(market.index) == 120
    assert len(open_dataset("bybit", store=store.root).index) == 240
    assert len(open_dataset("mine", "60m", store.root).index) == 120


def test_names_and_timeframes_that_the_store_has_not_are_named(store: Store) -> None:
    with pytest.raises(UsageError, match=r"dataset 'mine' has no 4h bars; the store has 1h: fetch them"):
        open_dataset("mine", "4h", store.root)
    with pytest.raises(UsageError, match=r"dataset 'mime' is neither a folder.* did you mean 'mine'"):
        open_dataset("mime", store=store.root)
    with pytest.raises(UsageError, match="has no dataset 'okx'"):
        open_stored(store, "okx")
    with pytest.raises(UsageError, match=r"dataset 'privacy-2025-sample' has 1h bars, not 5m"):
        open_dataset("privacy-2025-sample", "5m")


def test_a_name_that_was_edited_is_read_strictly(store: Store) -> None:
    path = dataset_path(store.root, "mine")
    values = json.loads(path.read_text())
    for text, complaint in ((json.dumps({**values, "colour": 1}), "unknown key 'colour'"), ("{", "cannot be read")):
        path.write_text(text)
        with pytest.raises(MarketError, match=complaint):
            open_stored(store, "mine")


def test_several_timeframes_of_a_venue_need_a_choice(store: Store) -> None:
    rows = store.read(Key.of("bybit", "ZEC/USDT:USDT", "ohlcv", "1h"))
    day = rows.between(JAN, JAN + 1)
    store.append(
        Key.of("bybit", "ZEC/USDT:USDT", "ohlcv", "1d"), day, source="test", units={"price": "quote", "volume": "base"}
    )
    with pytest.raises(UsageError, match="bybit has bars of 1h, 1d in the store: choose one with `timeframe`"):
        open_stored(store, "bybit")
    assert open_stored(store, "bybit", "1d").timeframe == "1d"
