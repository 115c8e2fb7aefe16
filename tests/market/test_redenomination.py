"""Earlier names and multipliers: one instrument, in one unit, without a move of its price."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backtest.market.dataset import open_dataset
from backtest.market.record import Instrument, Market
from backtest.market.redenomination import continued

POL, MATIC, THOUSAND, PEPE = "POL/USDT:USDT", "MATIC/USDT:USDT", "1000PEPE/USDT:USDT", "PEPE/USDT:USDT"


def market_of(new: Instrument, old: Instrument, before: float, after: float) -> Market:
    """Six bars: the old name trades in the first four, the new one from the fourth on."""
    close = np.array([[np.nan, before]] * 3 + [[after, before]] + [[after, np.nan]] * 2)
    return Market(
        index=pd.date_range("2024-09-10", periods=6, freq="h", tz="UTC"),
        timeframe="1h",
        instruments=(new, old),
        open=close, high=close, low=close, close=close,
        volume=np.where(np.isnan(close), np.nan, 1_000.0),
        open_interest=np.where(np.isnan(close), np.nan, 5e6),
        funding=np.where(np.isnan(close), np.nan, 1e-4),
        series={"mark_price": close},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("new", "old", "many", "before", "after"), [(POL, MATIC, 1.0, 0.4, 0.4), (THOUSAND, PEPE, 1000.0, 1e-5, 1e-2)]
)
def test_an_earlier_name_is_read_in_the_unit_of_today(
    new: str, old: str, many: float, before: float, after: float
) -> None:
    renamed = replace(Instrument.parse(new), earlier_names=((old, many),), listed_ms=1_725_937_200_000)
    market = market_of(renamed, replace(Instrument.parse(old), listed_ms=1_600_000_000_000), before, after)
    told = continued(market)
    assert told.symbols == (new,)
    for name in ("open", "high", "low", "close"):
        assert getattr(told, name)[:, 0] == pytest.approx([after] * 6)
    assert told.panel("mark_price")[:, 0] == pytest.approx([after] * 6)
    assert told.volume[:, 0] == pytest.approx([1_000 / many] * 3 + [1_000] * 3)
    assert told.open_interest[:, 0] == pytest.approx([5e6] * 6)
    assert told.funding[:, 0] == pytest.approx([1e-4] * 6)
    assert told.instruments[0].listed_ms == 1_600_000_000_000
    said = f"{old} is read as {new} until 2024-09-10 03:00, prices times {many:g}"
    assert told.provenance.repairs == (said,)
    # A catalyst may name either coin.
    assert told.column_of(old.partition("/")[0]) == told.column_of(new.partition("/")[0]) == 0


def test_a_name_without_bars_changes_nothing_but_what_finds_it() -> None:
    renamed = replace(Instrument.parse(POL), earlier_names=((MATIC, 1.0),))
    market = market_of(renamed, Instrument.parse("ZEC/USDT:USDT"), 0.4, 0.4)
    assert continued(market) is market
    assert market.column_of("MATIC") == 0


def test_a_folder_continues_an_earlier_name(tmp_path: Path) -> None:
    folder = tmp_path / "my-futures"
    folder.mkdir()
    for name, start, count in (("MATICUSDT", 0, 30), ("POLUSDT", 24, 48)):
        rows = [f"{1725926400000 + hour * 3_600_000},1,1,1,1,10" for hour in range(start, start + count)]
        (folder / f"{name}-1h.csv").write_text("\n".join(("timestamp,open,high,low,close,volume", *rows)))
    (folder / "instruments.toml").write_text(f'["{POL}"]\nearlier_names = [["{MATIC}", 1]]\n')
    market = open_dataset(str(folder))
    assert market.symbols == (POL,)
    assert not np.isnan(market.close).any()
    assert len(market.index) == 72
    assert market.provenance.repairs[0] == f"{MATIC} is read as {POL} until 2024-09-11 00:00, prices times 1"
