"""Markets side by side on one grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtest.base.errors import MarketError
from backtest.base.units import parse_timerange
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.joining import join, open_datasets
from backtest.market.record import Market
from backtest.market.series import PANELS


@pytest.fixture(scope="module")
def market() -> Market:
    return open_dataset(default_dataset())


def test_what_was_parted_comes_together(market: Market) -> None:
    parts = [market.select(market.symbols[:4]), market.select(market.symbols[4:])]
    joined = join(parts)
    assert joined.symbols == market.symbols
    assert joined.sha256() == market.sha256()
    assert joined.provenance.name == "privacy-2025-sample+privacy-2025-sample"
    assert joined.provenance.label == "RECONSTRUCTED"


def test_other_spans_are_unknown_and_spot_pays_no_funding(market: Market) -> None:
    swap = market.select(("ZEC/USDT:USDT",)).between(parse_timerange("20251001-20251010"))
    spot = market.select(("ZEC/USDT",)).between(parse_timerange("20251005-20251020"))
    joined = join([swap, spot])
    assert len(joined.index) == 19 * 24
    assert np.isnan(joined.close[: 4 * 24, 1]).all()
    assert np.isnan(joined.close[9 * 24 :, 0]).all()
    assert np.isnan(joined.funding[9 * 24 :, 0]).all()
    assert (joined.funding[:, 1] == 0).all()
    for name in PANELS:
        np.testing.assert_array_equal(getattr(joined, name)[: 9 * 24, 0], getattr(swap, name)[:, 0])


def test_what_does_not_fit_is_refused(market: Market) -> None:
    with pytest.raises(MarketError, match="no market to join"):
        join([])
    with pytest.raises(MarketError, match="duplicate instrument 'ZEC/USDT:USDT'"):
        join([market, market])
    shifted = replace(market.select(("ZEC/USDT",)), index=market.index.shift(30, freq="min"))
    with pytest.raises(MarketError, match="do not fit those of 1h"):
        join([market.select(("ZEC/USDT:USDT",)), shifted])


def test_real_spot_beside_real_perpetuals(shared: Path) -> None:
    folder = shared / "market"
    joined = open_datasets(f"{folder / 'binance-usdm-2025q4'}+{folder / 'binance-spot-2025q4'}")
    assert [one.symbol for one in joined.instruments if one.kind == "spot"] == ["DASH/USDT", "ZEC/USDT"]
    assert joined.provenance.label == ""
    row = joined.bar_at_or_after(1762876800000)  # 2025-11-11 16:00
    assert joined.open[row, joined.column("DASH/USDT:USDT")] == 69.29
    assert joined.open[row, joined.column("DASH/USDT")] == 69.32


def test_one_name_is_opened_as_it_is(market: Market) -> None:
    assert open_datasets(default_dataset()).sha256() == market.sha256()
