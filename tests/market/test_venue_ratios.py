"""Ratios of top traders and takers: read from each venue's own endpoints, joined by time, known one period later."""

from __future__ import annotations

from pathlib import Path

import ccxt
import numpy as np
import pytest

from backtest.market.download import Downloader
from backtest.market.from_store import open_stored
from backtest.market.recipe import ExchangeChoice, Recipe
from backtest.market.rows import COLUMNS, Key
from backtest.market.store import Store
from backtest.market.transport import Patience
from backtest.market.venue_ratios import ENDPOINTS, ratio_cells, ratio_columns
from tests.market.loopback import DAY, FAULTS, HOUR, NOW, Listing, Loopback, options, serving

QUICK = Patience(attempts=9, doubtful=4, first=0.001, longest=0.002)
LAUNCH = NOW // DAY * DAY - 20 * DAY
RATIOS = COLUMNS["ratios"]
OKX = dict(zip(("top_accounts", "top_positions", "taker"), ENDPOINTS["okx"], strict=True))


def fetched(state: Loopback, root: Path, series: tuple[str, ...] = ("ratios",)) -> Store:
    store = Store(root)
    with serving(state):
        recipe = Recipe(
            name="test",
            exchange=ExchangeChoice(id="binanceusdm", options=options("binanceusdm", state.url)),
            symbols=("ZEC/USDT:USDT",),
            series=series,  # type: ignore[arg-type]
            timerange="20251125-20251128",
        )
        Downloader(recipe, store, patience=QUICK, clock=lambda: NOW).run()
    return store


@pytest.mark.parametrize("venue", sorted(ENDPOINTS))
def test_each_endpoint_is_a_method_of_ccxt_and_a_column_of_the_store(venue: str) -> None:
    for endpoint in ENDPOINTS[venue]:
        assert callable(getattr(getattr(ccxt, venue)(), endpoint.method))
        assert endpoint.column in RATIOS
    assert ratio_columns(venue) == RATIOS
    assert ratio_columns("bybit") == ("accounts",)


def test_faults_of_any_endpoint_lose_and_mix_up_nothing(tmp_path: Path) -> None:
    listing = Listing("ZEC", LAUNCH)
    slots = listing.slots(HOUR, 1_764_028_800_000, 1_764_288_000_000 - 1, NOW)
    expected = [[listing.ratio(slot, name) for name in RATIOS] for slot in slots]
    served: set[str] = set()
    for seed in range(6):
        state = Loopback({"ZECUSDT": listing}, rate=0.5, only="Ratio", kinds=FAULTS["binanceusdm"], seed=seed)
        rows = fetched(state, tmp_path / str(seed)).read(Key.of("binanceusdm", "ZEC/USDT:USDT", "ratios", "1h"))
        assert rows.time_ms.tolist() == slots
        np.testing.assert_allclose(rows.values, expected, rtol=1e-9)
        served |= set(state.served)
    assert len(served) >= 10


def test_a_ratio_that_an_endpoint_never_has_is_unknown_and_the_others_are_kept(tmp_path: Path) -> None:
    class Silent(Listing):
        def ratio(self, slot: int, column: str) -> float:
            return float("nan") if column == "taker" and slot % DAY == 5 * HOUR else super().ratio(slot, column)

    listing = Silent("ZEC", LAUNCH)
    state = Loopback({"ZECUSDT": listing})
    rows = fetched(state, tmp_path / "store").read(Key.of("binanceusdm", "ZEC/USDT:USDT", "ratios", "1h"))
    assert rows.time_ms.size == 72
    unknown = np.isnan(rows.values)
    assert unknown.sum() == 3
    assert (rows.time_ms[unknown[:, RATIOS.index("taker")]] % DAY == 5 * HOUR).all()


def test_a_sample_is_known_at_the_close_one_period_after_its_stamp(tmp_path: Path) -> None:
    listing = Listing("ZEC", LAUNCH)
    store = fetched(Loopback({"ZECUSDT": listing}), tmp_path / "store", ("ohlcv", "ratios"))
    market = open_stored(store, "binanceusdm", "1h")
    opens = market.index.as_unit("ms").asi8
    for name, column in (("taker_ratio", "taker"), ("top_trader_ratio", "top_positions")):
        held = market.panel(name)[:, 0]
        # At the close of the bar that opens at t the sample of t is known, and no later one.
        np.testing.assert_allclose(held, [listing.ratio(int(slot), column) for slot in opens], rtol=1e-9)


def test_sold_comes_before_bought_in_volumes_of_okx() -> None:
    accounts = [{"timestamp": 1_764_028_800_000, "longShortRatio": 1.5}]
    (cell,) = ratio_cells(accounts, {OKX["taker"]: [["1764028800000", "200", "380"]]})
    assert cell == (1_764_028_800_000, [None, None, 1.5, 1.9])


def test_nothing_sold_is_no_ratio() -> None:
    assert OKX["taker"].read(["1", "0", "380"]) == ("1", None)
    assert OKX["taker"].read(["1", None, "380"]) == ("1", None)


def test_a_time_told_twice_differently_stands_twice_for_the_page_to_leave_out() -> None:
    rows = [["1764028800000", "0.5"], ["1764028800000", "0.6"], ["1764032400000", "0.7"], ["1764032400000", "0.7"]]
    cells = ratio_cells([], {OKX["top_accounts"]: rows})
    assert [moment for moment, _ in cells] == [1_764_028_800_000] * 2 + [1_764_032_400_000]
