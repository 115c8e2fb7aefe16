"""The sample, the calendars, the strategies, the hashes and one trade that was worked out by hand."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.base.config import load_config
from backtest.base.documents import datasets_root
from backtest.base.errors import MarketError
from backtest.base.schemas import VERSION, schema, schema_id
from backtest.catalysts.claims import check_claim, open_claims
from backtest.catalysts.reading import embedded_calendars, open_calendar
from backtest.catalysts.record import Calendar
from backtest.engine.replay import replay
from backtest.market.dataset import default_dataset, open_dataset, read_dataset, read_metadata
from backtest.market.recipe import embedded_recipes, open_recipe
from backtest.market.record import RECONSTRUCTED, Market
from backtest.signals.strategy import Intent, Intents, Parameters, Strategy
from backtest.strategies import REGISTRY
from backtest.testing import HOUR_MS, assert_no_lookahead, planted_effect, synthetic_market

SWAP = "ZEC/USDT:USDT"


@pytest.fixture(scope="module")
def sample() -> Market:
    """The embedded market."""
    return open_dataset(default_dataset())


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    """The catalysts of the sample's window."""
    return open_calendar("privacy-2025")


def test_the_sample_is_whole_and_says_what_it_is(sample: Market) -> None:
    """2,616 hours of eleven perpetuals and two spot markets without a hole, labelled as the reconstruction it is."""
    assert sample.provenance.label == RECONSTRUCTED
    assert (len(sample.index), sample.timeframe) == (2616, "1h")
    assert [one.kind for one in sample.instruments].count("swap") == 11
    assert [one.kind for one in sample.instruments].count("spot") == 2
    assert not np.isnan(sample.close).any()
    assert sample.sha256() == read_metadata(datasets_root() / default_dataset()).content_sha256


def test_a_changed_byte_of_the_sample_is_refused(tmp_path: Path) -> None:
    """A copy opens; the copy with one byte changed does not."""
    folder = tmp_path / "copy"
    shutil.copytree(datasets_root() / default_dataset(), folder)
    assert len(read_dataset(folder).index) == 2616
    bars = bytearray((folder / "bars.parquet").read_bytes())
    bars[len(bars) // 2] ^= 1
    (folder / "bars.parquet").write_bytes(bytes(bars))
    with pytest.raises(MarketError, match="was changed"):
        read_dataset(folder)


def test_the_sample_contradicts_the_article_where_the_days_did(sample: Market) -> None:
    """ZEC rose 62.9 % on 10-01, not the 22 % printed; the 40 % after 10-24 hold."""
    checks = {one.id: check_claim(one, sample, {}) for one in open_claims("privacy-2025")}
    assert checks["zec-10-01-22-percent"].measured == pytest.approx(120.8 / 74.14 - 1.0, abs=1e-9)
    assert checks["zec-10-01-22-percent"].verdict != "confirmed"
    assert checks["zec-10-24-40-percent"].verdict == "confirmed"
    assert checks["zec-20x"].verdict == "not measurable"


def test_calendars_and_recipes_can_be_read() -> None:
    """Every one that comes with the package, strictly."""
    calendars = [open_calendar(name) for name in embedded_calendars()]
    assert len(calendars) >= 2
    assert all(len(one) for one in calendars)
    assert [open_recipe(name).name for name in embedded_recipes()]


def test_every_document_has_its_schema() -> None:
    """Each is JSON and names the document it is of."""
    assert len(VERSION) >= 11
    for name in VERSION:
        assert schema(name)["properties"]["schema"]["const"] == schema_id(name)


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - {"accumulation"}))
def test_a_strategy_keeps_the_contract(name: str, sample: Market, calendar: Calendar) -> None:
    """It is named, says why it should pay, documents its parameters, trades, and does not look ahead."""
    strategy = REGISTRY[name]()
    assert strategy.name == name
    assert strategy.hypothesis.endswith(".")
    assert all(field.description for field in strategy.parameters_type.model_fields.values())
    assert_no_lookahead(strategy, sample, calendar, cuts=5)
    run = replay(sample, strategy.decide(sample, calendar), load_config(), calendar=calendar, strategy=name)
    assert len(run.trades)
    assert run.costs.net == pytest.approx(run.equity.iloc[-1] - run.config.capital, abs=1e-6)


def test_a_strategy_without_its_series_says_so(sample: Market, calendar: Calendar) -> None:
    """Flows into exchanges are not in the sample: nothing is decided, with the reason."""
    decided = REGISTRY["accumulation"]().decide(sample, calendar)
    assert not len(decided)
    assert "is not supplied" in decided.notes[0]


def test_a_look_ahead_is_caught() -> None:
    """A strategy that buys the catalyst's coin only where its next bar rises does not pass."""

    class Peeking(Strategy[Parameters]):
        """Reads the bar that is to come."""

        name = "peeking"
        hypothesis = "The future pays."
        parameters_type = Parameters

        def decide(self, market: Market, calendar: Calendar) -> Intents:  # noqa: ARG002 - the interface
            rows = np.flatnonzero(market.close[:, 0] > 1.05 * market.open[:, 0])
            return Intents(tuple(Intent(instrument=SWAP, decided_at_ms=int(market.open_ms[row])) for row in rows))

    made = planted_effect(0.1, after="3h")
    with pytest.raises(AssertionError, match="strategy 'peeking' looked ahead"):
        assert_no_lookahead(Peeking(), made.market, made.calendar, cuts=10)


def test_hashes_are_those_of_every_other_machine(sample: Market) -> None:
    """Of the default configuration and of the sample: any change of either, the last bit of a price, changes them."""
    assert load_config().hash() == "4920b381e5a9151f"
    assert sample.sha256()[:16] == "22bffc28cd1fed07"
    assert load_config(fee_rate=0.0006).hash() != load_config().hash()
    close = np.array(sample.close)
    row, column = np.argwhere(close > sample.low)[0]
    close[row, column] = np.nextafter(close[row, column], sample.low[row, column])
    assert replace(sample, close=close).sha256() != sample.sha256()


def test_a_trade_worked_out_by_hand() -> None:
    """Half of 100,000 long at an open of 100, left three hours later at an open of 110.

    Half-spread 5 bp: bought at 100.05 and sold at 109.945, 50,000 / 100.05 = 499.750124938 coins. Gross 10 a coin.
    Fee 5 bp of 50,000 and of 499.750124938 x 109.945. One funding of 0.01 % at a close of 105 is paid. No impact.
    """
    still = synthetic_market(12, ("ZEC",), volatility=0.0)
    column = np.array([100.0, 100, 100, 105, 105, 110, 110, 110, 110, 110, 110, 110])[:, None]
    close = np.vstack((column[1:], column[-1:]))
    market = replace(
        still,
        open=column,
        high=np.maximum(column, close),
        low=np.minimum(column, close),
        close=close,
        funding=np.where(np.arange(12)[:, None] == 3, 1e-4, 0.0),
    )
    decided = market.start_ms + 2 * HOUR_MS
    intents = Intents((Intent(instrument=SWAP, decided_at_ms=decided, weight=0.5, hold_ms=3 * HOUR_MS),))
    config = load_config(impact=0.0, participation=float("inf"), funding_unknown="error")
    run = replay(market, intents, config)
    (trade,) = run.trades.to_dict("records")
    expected: dict[str, Any] = {
        "quantity": 499.750124938,
        "entry_price": 100.05,
        "exit_price": 109.945,
        "gross": 4997.501249375,
        "fees": 52.472513743,
        "slippage": 52.473763118,
        "impact": 0.0,
        "funding": 5.247376312,
        "liquidation": 0.0,
        "net": 4887.307596202,
    }
    assert {name: trade[name] for name in expected} == pytest.approx(expected, abs=1e-8)
    assert trade["reason"] == "time"
    assert [str(trade[name]) for name in ("entry_time", "exit_time")] == [
        "2025-10-01 02:00:00+00:00",
        "2025-10-01 05:00:00+00:00",
    ]
    assert run.equity.iloc[-1] == pytest.approx(104_887.307596202, abs=1e-8)
