"""Strategies that read auxiliary series: point in time, declared, and by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backtest.base.errors import ConfigError, UsageError
from backtest.base.units import UNIT_MS, TimeRange, from_ms
from backtest.catalysts.record import Calendar
from backtest.market.auxiliary import AuxiliarySeries
from backtest.market.record import Market
from backtest.signals.features import closes_ms
from backtest.signals.strategy import Exit, Intent, Intents, Parameters, Strategy
from backtest.strategies import REGISTRY
from backtest.testing import assert_no_lookahead

HOUR = UNIT_MS["h"]
NONE = Calendar("none", ())


def at(market: Market, hours: list[int], values: list[float], name: str = "zec_exchange_inflow") -> AuxiliarySeries:
    """Readings available ten minutes into these hours of the market."""
    return AuxiliarySeries(name, market.start_ms + HOUR * np.array(hours) + 600_000, np.array(values))


def test_a_fall_of_the_inflow_is_bought_at_the_first_close_after_it_was_published(sample: Market) -> None:
    carried = sample.with_auxiliary(at(sample, [0, 100, 300], [41.8e6, 3.66e6, 3.0e6]))
    strategy = REGISTRY["accumulation"]()
    (row,) = strategy.decide(carried, NONE).rows
    # The fall is published at 100:10 and seen at the close of that hour; from 3.66 to 3.0 is no half.
    assert (row.instrument, row.side, row.decided_at_ms) == ("ZEC/USDT:USDT", 1, sample.start_ms + 101 * HOUR)
    assert REGISTRY["accumulation"]({"least_fall": "0.95"}).decide(carried, NONE).rows == ()
    outflow = sample.with_auxiliary(at(sample, [0, 100], [-5e6, -50e6]))
    assert REGISTRY["accumulation"]().decide(outflow, NONE).rows == ()
    (note,) = REGISTRY["accumulation"]().decide(sample, NONE).notes
    assert note.startswith("series zec_exchange_inflow is not supplied (`series zec_exchange_inflow=FILE.csv`)")


def test_a_rise_away_from_rail_is_sold_and_invented_prices_are_named(sample: Market) -> None:
    flat = sample.with_auxiliary(at(sample, [0], [2.5], "rail_price"))
    strategy = REGISTRY["rail_divergence"]()
    rows = strategy.decide(flat, NONE).rows
    close = sample.frame("close")["ZEC/USDT:USDT"]
    rise = close / close.shift(168) - 1
    known = rise.to_numpy() >= 0.3
    # A reading at 00:10 is first seen at 01:00, and a rise needs a reading at both ends of its week.
    known[:168] = False
    begun = np.flatnonzero(known & ~np.concatenate(([False], known[:-1])))
    assert [row.decided_at_ms for row in rows] == (closes_ms(sample)[begun]).tolist()
    assert {row.side for row in rows} == {-1}
    assert any("RAIL/USDT:USDT are reconstructed" in note for note in strategy.decide(sample, NONE).notes)
    assert strategy.decide(flat, NONE).notes == ()


def test_a_dear_perpetual_is_sold_against_spot_until_it_is_fair(sample: Market) -> None:
    intents = REGISTRY["basis_reversion"]().decide(sample, NONE)
    assert len(intents.rows) > 0
    close = sample.frame("close")
    closes = closes_ms(sample)
    for short, long in zip(intents.rows[::2], intents.rows[1::2], strict=True):
        assert (short.side, long.side, short.group) == (-1, 1, long.group)
        coin = short.instrument.partition("/")[0]
        basis = (close[f"{coin}/USDT:USDT"] / close[f"{coin}/USDT"] - 1).to_numpy()
        row = int(np.searchsorted(closes, short.decided_at_ms))
        assert basis[row] >= 0.006
        after = np.flatnonzero(basis[row + 1 : row + 49] <= 0.001)
        if after.size:
            assert short.exit_at_ms == long.exit_at_ms == closes[row + 1 + after[0]]
    assert all(isinstance(one, Exit) for one in intents.exits)


class Reader(Strategy[Parameters]):
    """Buys at the first close at which a series is above 1; subclasses look where they may not."""

    name = "reader"
    hypothesis = "A test."
    parameters_type = Parameters

    def reads(self) -> tuple[str, ...]:
        return ("pool",)

    def seen(self, market: Market) -> Any:
        return self.reading("pool", market)

    def decide(self, market: Market, calendar: Calendar) -> Intents:
        above = np.flatnonzero(self.seen(market) > 1)
        rows = [
            Intent(instrument="ZEC/USDT:USDT", decided_at_ms=int(closes_ms(market)[row]), weight=0.1)
            for row in above[::200]
        ]
        return Intents(tuple(rows))


class Early(Reader):
    """Reads a day before the reading was available."""

    def seen(self, market: Market) -> Any:
        return market.auxiliary["pool"].at(closes_ms(market) + 24 * HOUR)


def test_the_audit_corrupts_and_delays_what_the_market_carries(sample: Market) -> None:
    available = sample.start_ms + 24 * HOUR * np.arange(1, 100)
    values = np.random.RandomState(5).uniform(0.5, 1.8, 99)
    carried = sample.with_auxiliary(AuxiliarySeries("pool", available, values))
    assert_no_lookahead(Reader(), carried, NONE, cuts=12)
    with pytest.raises(AssertionError, match=r"looked ahead.*a reading of an auxiliary series, known at"):
        assert_no_lookahead(Early(), carried, NONE, cuts=12)


def test_only_what_is_declared_is_read(sample: Market) -> None:
    class Undeclared(Reader):
        def reads(self) -> tuple[str, ...]:
            return ()

    with pytest.raises(ConfigError, match=r"reads series 'pool', which it does not declare: return it by reads\(\)"):
        Undeclared().decide(sample, NONE)


def test_a_market_carries_series_point_in_time(sample: Market) -> None:
    series = at(sample, [10, 50, 90], [1.0, 2.0, 3.0], "pool")
    carried = sample.with_auxiliary(series)
    reading = carried.reading("pool")
    assert np.isnan(reading[:10]).all()
    assert reading[[10, 49, 50, 90]].tolist() == [1.0, 1.0, 2.0, 3.0]
    cut = carried.between(TimeRange(None, sample.start_ms + 60 * HOUR))
    assert cut.auxiliary["pool"].values.tolist() == [1.0, 2.0]
    assert from_ms(int(cut.auxiliary["pool"].available_ms[-1])) < from_ms(cut.end_ms)
    assert carried.sha256() != sample.sha256()
    assert replace(carried, auxiliary={}).sha256() == sample.sha256()
    assert np.isnan(sample.reading("pool")).all()
    with pytest.raises(UsageError, match="series 'pool' is in market"):
        carried.with_auxiliary(series)
