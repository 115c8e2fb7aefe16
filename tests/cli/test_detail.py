"""`backtest detail`: the bars whose finer data would narrow the intervals, and the recipe that fetches them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backtest.base.errors import ConfigError
from backtest.market.dataset import open_dataset
from backtest.market.recipe import open_recipe
from tests.cli.conftest import Command
from tests.market.loopback import Listing, Loopback, options, serving

STRATEGY = ("-s", "listing_momentum", "-p", "trailing_stop=0.02")


def test_the_recipe_fetches_the_windows_and_detail_uses_them(backtest: Command, tmp_path: Path) -> None:
    done = backtest("detail", *STRATEGY, "--top", "2", "--recipe", "finer.toml", "--exchange", "bybit")
    assert done.returncode == 0, done.stderr
    assert "Most useful bars of 1h" in done.stdout
    assert "the interval of a trade is the least to the greatest net" in " ".join(done.stdout.split())
    assert "fetch it with: backtest fetch finer.toml" in done.stderr
    recipe = open_recipe(str(tmp_path / "finer.toml"))
    assert (recipe.name, recipe.timeframe, recipe.series, len(recipe.windows)) == ("finer", "1m", ("ohlcv",), 2)
    wanted = {symbol: recipe.spans_of(symbol) for symbol in recipe.symbols}
    assert sum(end - start for spans in wanted.values() for start, end in spans) == 2 * 3_600_000
    listings = {
        f"{symbol.partition('/')[0]}USDT": Listing(symbol.partition("/")[0], 1_600_000_000_000) for symbol in wanted
    }
    with serving(Loopback(listings)) as state:
        (tmp_path / "gateway.json").write_text(json.dumps(options("bybit", state.url)))
        shelf = ("--store", str(tmp_path / "shelf"))
        fetched = backtest("fetch", "finer.toml", "--exchange-config", "gateway.json", *shelf)
        assert fetched.returncode == 0, fetched.stderr
        asked = [query for _, path, query in state.asked if path.endswith("kline")]
    assert asked
    finer = open_dataset("finer", store=tmp_path / "shelf")
    known = finer.frame("open").notna()
    assert int(known.to_numpy().sum()) == 120
    ran = backtest("run", *STRATEGY, "--placebo", "0", "--bootstrap", "0", "--detail", "finer", *shelf)
    assert ran.returncode == 0, ran.stderr
    again = backtest("detail", *STRATEGY, "--recipe", "finer.toml")
    assert again.returncode == 2
    assert "finer.toml is there already: name another file, or remove it" in again.stderr


def test_json_holds_the_same_bars_and_a_recipe_may_follow(backtest: Command, tmp_path: Path) -> None:
    done = backtest("detail", *STRATEGY, "--top", "2", "--json", "--recipe", "finer.toml")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["timeframe"], found["currency"], len(found["bars"])) == ("1h", "USDT", 2)
    assert found["width"] >= found["bars"][0]["gain"] >= found["bars"][1]["gain"] > 0
    assert found["bars"][0]["strategies"] == ["listing_momentum"]
    windows = open_recipe(str(tmp_path / "finer.toml")).windows
    assert [bar["instrument"] for bar in found["bars"]] == [window.symbol for window in windows]


def test_a_timeframe_that_does_not_divide_the_bars_is_refused(backtest: Command) -> None:
    done = backtest("detail", *STRATEGY, "--recipe", "finer.toml", "--finer", "2h")
    assert done.returncode == 2
    assert "--finer 2h does not divide bars of 1h: give a shorter one, as in 1m" in done.stderr


def test_windows_belong_to_symbols_and_have_both_ends(tmp_path: Path) -> None:
    text = 'name = "a"\nsymbols = ["ZEC/USDT:USDT"]\ntimerange = "20251101-20251102"\n[exchange]\nid = "bybit"\n'
    path = tmp_path / "a.toml"
    path.write_text(text + '[[windows]]\nsymbol = "DASH/USDT:USDT"\ntimerange = "20251101-20251102"\n')
    with pytest.raises(ConfigError, match="DASH/USDT:USDT is not among symbols"):
        open_recipe(str(path))
    path.write_text(text + '[[windows]]\nsymbol = "ZEC/USDT:USDT"\ntimerange = "20251101-"\n')
    with pytest.raises(ConfigError, match="of a window is open"):
        open_recipe(str(path))
