"""Runs side by side: what differs between trades and why, and p of the difference."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.base.errors import DataError, UsageError
from backtest.ledger.recording import record_evaluation
from backtest.ledger.store import Ledger
from backtest.report.folder import run_document, to_json, write_run_folder, write_text
from backtest.report.html.compared import comparison_text
from backtest.report.ledger_tables import recorded_document
from backtest.report.run_comparison import compare_runs, trade_differences
from backtest.request.request import Request

TRADE: dict[str, Any] = {
    "catalyst_id": "zec-one", "instrument": "ZEC", "side": 1, "entry_time": "2025-10-02T00:00:00+00:00",
    "exit_time": "2025-10-05T00:00:00+00:00", "reason": "time", "quantity": 2.0, "entry_price": 100.0,
    "exit_price": 110.0, "net": 19.0,
}  # fmt: skip
RUN: dict[str, Any] = {
    "trades": [TRADE],
    "rejected": [],
    "catalysts": [{"catalyst_id": "zec-one", "outcome": "traded"}],
}


def changed(**values: Any) -> dict[str, Any]:
    run = copy.deepcopy(RUN)
    run["trades"][0] |= values
    return run


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (changed(entry_time="2025-10-03T00:00:00+00:00"), "entered 10-02 00:00, not 10-03 00:00"),
        (changed(reason="stop_loss", exit_time="2025-10-03T04:00:00+00:00"),
         "left by time 10-05 00:00, not by stop_loss 10-03 04:00"),
        (changed(entry_price=101.0, quantity=1.9), "another entry price: half-spread, impact or size"),
        (changed(quantity=3.0), "another size: weight, or what was earned before"),
        (changed(exit_price=111.0), "another exit price: level, half-spread or impact"),
        (changed(net=18.0), "other fees, funding or liquidation"),
        ({**RUN, "trades": [], "rejected": [{"catalyst_id": "zec-one", "instrument": "ZEC", "reason": "IN_POSITION"}]},
         "not in the other: rejected, IN_POSITION"),
        ({**RUN, "trades": [], "catalysts": [{"catalyst_id": "zec-one", "outcome": "NOT_DECIDED"}]},
         "not in the other: NOT_DECIDED"),
        ({**RUN, "trades": [], "catalysts": []}, "not in the other: its calendar has no such catalyst"),
    ],
)  # fmt: skip
def test_why_a_trade_differs(other: dict[str, Any], why: str) -> None:
    same, (found,) = trade_differences(RUN, other)
    assert (same, found.why, found.net) == (0, why, 19.0)
    assert np.isnan(found.other_net) == (not other["trades"])
    assert trade_differences(RUN, RUN) == (1, [])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of one strategy written into one ledger, and a third of another configuration without."""
    folder = tmp_path_factory.mktemp("runs")
    for name, parameters, settings in (
        ("a", {"hold": "24h"}, {}), ("b", {"hold": "72h"}, {}), ("c", {"hold": "72h"}, {"fee_rate": "0.002"}),
    ):  # fmt: skip
        request = Request(
            strategies=("catalyst_momentum",), parameters=parameters, settings=settings, placebo="199", bootstrap=0
        )
        evaluation = request.evaluate()
        write_run_folder(folder / name, evaluation.runs, run_document(evaluation, request.model_dump()))
        if name != "c":
            with Ledger(folder / "ledger.sqlite") as ledger:
                recorded = record_evaluation(ledger, evaluation, request)
            write_text(folder / name / "ledger.json", to_json(recorded_document(recorded)))
    return folder


def test_runs_are_compared_with_the_first(runs: Path) -> None:
    with Ledger(runs / "ledger.sqlite") as ledger:
        found = compare_runs([runs / "a", runs / "b", runs / "c"], ledger)
    assert list(found.scores.columns) == [f"{name}: catalyst_momentum" for name in "abc"]
    nets = found.scores.loc["net_return"]
    last = found.equity.iloc[-1]
    assert (last / 100_000 - 1).tolist() == pytest.approx(nets.tolist(), abs=1e-9)
    first, second = found.pairs
    assert first.difference.value == pytest.approx(nets.iloc[0] - nets.iloc[1], abs=1e-6)
    assert 0.0 < first.difference.p <= 1.0
    assert first.difference.draws == 199
    assert all("left by time" in one.why or "not in" in one.why or "another" in one.why for one in first.trades)
    # The third was not written: it is asked for again, and shifts are common to both.
    assert second.difference.draws == 199
    other, *parameters = found.notes
    assert other == f"{runs / 'c'} has another configuration than {runs / 'a'}: fee_rate"
    assert parameters[0] == "b: catalyst_momentum has hold = 72h, not 24h"


def test_the_ledger_and_asking_again_agree(runs: Path) -> None:
    with Ledger(runs / "ledger.sqlite") as ledger:
        kept = compare_runs([runs / "a", runs / "b"], ledger).pairs[0].difference
    again = compare_runs([runs / "a", runs / "b"]).pairs[0].difference
    assert again.p == kept.p
    assert again.value == kept.value


def test_a_run_against_itself_differs_in_nothing(runs: Path) -> None:
    (pair,) = compare_runs([runs / "a", runs / "a"]).pairs
    assert pair.trades == ()
    assert pair.same > 5
    assert pair.difference.reason == "both do the same on every calendar"


def test_what_cannot_be_compared_is_said(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 run is nothing to compare"):
        compare_runs([runs / "a"])
    with pytest.raises(DataError, match=r"run.json does not exist"):
        compare_runs([runs / "a", tmp_path])


def test_parameter_sets_are_compared_in_one_call_and_on_one_page(runs: Path) -> None:
    found = compare_runs([runs / "a"], variants=("hold=72h", "hold=24h stop_loss=10%"))
    assert [str(one) for one in found.scores.columns] == [
        "a: catalyst_momentum", "hold=72h: catalyst_momentum", "hold=24h stop_loss=10%: catalyst_momentum",
    ]  # fmt: skip
    folders = compare_runs([runs / "a", runs / "b"])
    assert found.pairs[0].trades == tuple(
        dataclasses.replace(one, why=one.why.replace("not in b", "not in hold=72h")) for one in folders.pairs[0].trades
    )
    assert found.scores.iloc[:, 1].tolist() == pytest.approx(folders.scores.iloc[:, 1].tolist(), nan_ok=True)
    assert found.pairs[0].difference == folders.pairs[0].difference
    page = comparison_text(found)
    assert page.count("<svg") == 1
    assert "RECONSTRUCTED" in page
    for one in found.pairs:
        assert one.difference.sentence in page
    net = found.scores.loc["net_return"].iloc[2]
    assert f"{net:+.1%}" in page
    with pytest.raises(UsageError, match="did you mean 'hold'"):
        compare_runs([runs / "a"], variants=("hodl=24h",))
    with pytest.raises(UsageError, match="`with` 'hold' is not name=value"):
        compare_runs([runs / "a"], variants=("hold",))
