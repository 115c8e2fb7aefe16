"""Adding a setting or a series changes no recorded run, and documents of earlier releases are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field

from backtest.base.config import RunConfig
from backtest.base.errors import BacktestError, DataError, MarketError
from backtest.base.identity import document_of, hash_of, neutral
from backtest.base.schemas import VERSION, schema
from backtest.base.schemas.checking import fault_of
from backtest.base.schemas.upgrades import UPGRADES, upgraded
from backtest.baseline.comparison import compare
from backtest.baseline.files import baseline_text, read_baseline
from backtest.baseline.record import baseline_of, data_of
from backtest.market.record import Market
from backtest.report.folder import read_document
from backtest.scoring.evaluation import evaluate
from backtest.strategies import REGISTRY
from backtest.testing import planted_effect
from tests.market.test_record import a_market

RELEASED = Path(__file__).parent / "released"


class Borrowing(RunConfig):
    """The configuration with one more setting."""

    borrow_rate: float = Field(0.0, description="a year", json_schema_extra=neutral(0.0))


def test_a_neutral_setting_is_in_no_hash_and_no_document() -> None:
    assert hash_of(Borrowing()) == RunConfig().hash() == "4920b381e5a9151f"
    assert document_of(Borrowing()) == document_of(RunConfig())
    assert hash_of(Borrowing(borrow_rate=0.1)) != RunConfig().hash()
    assert document_of(Borrowing(borrow_rate=0.1))["borrow_rate"] == 0.1
    assert hash_of(Borrowing(fee_rate=0.0)) == RunConfig(fee_rate=0.0).hash() != RunConfig().hash()


def test_a_neutral_setting_leaves_a_baseline_as_it_was() -> None:
    planted = planted_effect(0.1, after="2h")
    strategies = [REGISTRY["catalyst_momentum"]()]
    once = evaluate(strategies, planted.market, planted.calendar, RunConfig(), plan=None, bootstrap=0)
    baseline = baseline_of(once, None)
    again = evaluate(strategies, planted.market, planted.calendar, Borrowing(), plan=None, bootstrap=0)
    assert compare(baseline, again).passed
    assert baseline_text(baseline_of(again, None)) == baseline_text(baseline)
    costly = evaluate(strategies, planted.market, planted.calendar, Borrowing(borrow_rate=0.1), plan=None, bootstrap=0)
    assert compare(baseline, costly).sentences[0] == "configuration borrow_rate: none -> 0.1"


def test_a_further_series_is_in_the_hash_only_where_it_is_known() -> None:
    plain = a_market()
    unknown = a_market(series={"mark_price": np.full((6, 3), np.nan)})
    one = np.full((6, 3), np.nan)
    one[:, 0] = 100.5
    known = a_market(series={"mark_price": one})
    assert unknown.sha256() == plain.sha256() != known.sha256()
    assert (unknown.series, list(known.series)) == ({}, ["mark_price"])
    hashes, others = data_of(plain).instruments, data_of(known).instruments
    assert [symbol for symbol in hashes if hashes[symbol] != others[symbol]] == [known.symbols[0]]


def test_a_further_series_goes_where_the_bars_go() -> None:
    values = np.arange(1.0, 19.0).reshape(6, 3)
    market: Market = a_market(series={"index_price": values})
    assert np.array_equal(market.panel("index_price"), values)
    assert np.isnan(market.panel("mark_price")).all()
    assert np.array_equal(market.select((market.symbols[1],)).panel("index_price"), values[:, 1:2])
    assert np.array_equal(market.frame("index_price").to_numpy(), values)
    assert not market.panel("index_price").flags.writeable
    assert np.array_equal(market.with_panels({"index_price": 2 * values}).panel("index_price"), 2 * values)


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ({"mark_prise": np.ones((6, 3))}, "series 'mark_prise' is not declared; did you mean 'mark_price'"),
        ({"mark_price": np.ones((5, 3))}, r"mark_price has shape \(5, 3\)"),
        ({"mark_price": np.zeros((6, 3))}, "has a value of mark price that is not positive .*mark_price 0"),
    ],
)
def test_a_series_that_cannot_be_is_refused(series: dict[str, Any], message: str) -> None:
    with pytest.raises(MarketError, match=message):
        a_market(series=series)


@pytest.mark.parametrize("release", sorted(RELEASED.iterdir()), ids=lambda path: path.name)
def test_documents_of_earlier_releases_are_read(release: Path) -> None:
    documents = sorted(release.glob("*.json"))
    assert {path.stem for path in documents} == {"baseline", "run", "sweep", "walkforward"}
    for path in documents:
        written = json.loads(path.read_text())
        assert written["schema"] != f"backtest.{path.stem}/{VERSION[path.stem]}"
        now = upgraded(written, path.stem, path, DataError)
        assert fault_of(now, schema(path.stem)) == "", path
        if path.stem == "baseline":
            assert read_baseline(path).trades.count > 0
        else:
            assert read_document(path, path.stem)["schema"] == f"backtest.{path.stem}/{VERSION[path.stem]}"


def test_every_version_before_the_last_has_an_upgrade() -> None:
    for name, version in VERSION.items():
        assert [step for step in range(1, version) if (name, step) not in UPGRADES] == []


@pytest.mark.parametrize("said", [5, "backtest.run/0", "backtest.sweep/1", "run/1", "backtest.run/99999"])
def test_a_document_of_another_kind_is_refused(said: object) -> None:
    with pytest.raises(DataError, match="is of schema"):
        upgraded({"schema": said}, "run", "file", DataError)
    with pytest.raises(DataError, match="key 'schema' is missing"):
        upgraded({}, "run", "file", DataError)
    with pytest.raises(BacktestError, match="a later release wrote"):
        upgraded({"schema": f"backtest.run/{VERSION['run'] + 1}"}, "run", "file", BacktestError)
