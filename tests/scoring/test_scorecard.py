"""The verdict follows its thresholds, and capital beyond what the market carries earns less of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backtest.base.config import RunConfig
from backtest.engine.prepared import prepare
from backtest.engine.replay import replay
from backtest.scoring.metrics import Score
from backtest.scoring.placebo import Placebo
from backtest.scoring.scorecard import CAPITALS, CapacityCurve, Thresholds, capacity_curve, scorecard
from tests.scoring.chance import CONFIG, intents_at, market_of

FLAT = CapacityCurve(np.array(CAPITALS), np.zeros(len(CAPITALS)), float("nan"))
LUCK = Placebo("shift", "net_return", 0.3, p=0.02, low=0.02, high=0.02, adjusted=0.03, n=99, family=2, exact=True)


def scores(net: float = 0.3, trades: float = 12, exposure: float = 0.3) -> tuple[Score, ...]:
    return (
        Score("net_return", net, "share", 100),
        Score("trades", trades, "count", 12),
        Score("exposure", exposure, "share", 100),
    )


SEVERAL = " adjusted for multiple testing over 2 strategies"
UNKNOWN = "; the least effect that could be found is unknown"


@pytest.mark.parametrize(
    ("earned", "luck", "verdict", "reason"),
    [
        ({}, LUCK, "beats placebo", "only 1 of 99 shifted calendars did as well, p 0.03" + SEVERAL),
        ({}, replace(LUCK, adjusted=0.06), "indistinguishable from chance",
         "1 of 99 shifted calendars did as well, p 0.06" + SEVERAL + UNKNOWN),
        ({"net": -0.1}, LUCK, "loses money",
         "net -10.0%, though only 1 of 99 shifted calendars did as well, p 0.03" + SEVERAL),
        ({"trades": 4}, LUCK, "too few trades", "4 closed, at least 5 are needed"),
        ({"trades": 0, "exposure": 0.0}, LUCK, "too few trades", "0 closed, at least 5 are needed"),
        ({"exposure": 0.95}, LUCK, "not an event strategy",
         "it holds in 95% of the bars (limit 80%), so it has no events to move"),
        ({}, replace(LUCK, floor=0.125), "no power", "no effect could be found: the least p is 0.12"),
        ({}, replace(LUCK, driftless_p=0.21), "indistinguishable from chance",
         f"only 1 of 99 shifted calendars did as well, p 0.03{SEVERAL}, but p is 0.21 on bars without the drift of "
         "each fortnight"),
        ({}, replace(LUCK, least_p=0.01, greatest_p=0.02, doubtful=3), "beats placebo on every path",
         f"only 1 of 99 shifted calendars did as well, p 0.03{SEVERAL}; at most p 0.04 on every path"),
        ({}, replace(LUCK, least_p=0.01, greatest_p=0.3, doubtful=3), "depends on the order inside bars",
         "the order inside 3 bars decides: p 0.02 to 0.6; 1 of 99 shifted calendars did as well, p 0.03" + SEVERAL),
        ({}, replace(LUCK, adjusted=0.2, least_p=0.01, greatest_p=0.4, doubtful=1), "depends on the order inside bars",
         "the order inside 1 bar decides: p 0.02 to 0.8; 1 of 99 shifted calendars did as well, p 0.2" + SEVERAL),
        ({}, replace(LUCK, adjusted=0.2, greatest_p=0.4, doubtful=1), "indistinguishable from chance",
         "1 of 99 shifted calendars did as well, p 0.2" + SEVERAL + UNKNOWN),
        ({}, replace(LUCK, greatest_p=0.4, doubtful=1), "beats placebo",
         "only 1 of 99 shifted calendars did as well, p 0.03" + SEVERAL),
        ({}, replace(LUCK, adjusted=0.2, least_p=0.1, greatest_p=0.4, doubtful=1), "indistinguishable from chance",
         "1 of 99 shifted calendars did as well, p 0.2" + SEVERAL + UNKNOWN),
        ({}, replace(LUCK, reason="no dates"), "not tested", "no dates"),
        ({}, None, "not tested", "no placebo was asked for"),
    ],
)  # fmt: skip
def test_the_verdict_and_its_reason(earned: dict[str, float], luck: Placebo | None, verdict: str, reason: str) -> None:
    card = scorecard("one", scores(**earned), luck, FLAT)
    assert (card.verdict, card.reason) == (verdict, reason)


def test_thresholds_are_used_and_said() -> None:
    strict = Thresholds(level=0.01, trades=20)
    assert scorecard("one", scores(), LUCK, FLAT, strict).verdict == "too few trades"
    assert scorecard("one", scores(trades=30), LUCK, FLAT, strict).verdict == "indistinguishable from chance"
    assert "p <= 0.01, p <= 0.05 without drift, with a net gain, from 20 trades" in strict.sentence


def test_capital_is_carried_until_the_market_is_full() -> None:
    """Volume is 1e6 coins of some 100 a bar: a tenth of it is 10M, so 100M earns about a fifth of what 20M would."""
    steps = np.full((150, 1), 0.001)
    market = market_of(steps)
    intents = intents_at(market, [40, 80], hold=20)
    config = CONFIG.model_copy(update={"participation": 0.1})
    curve = capacity_curve(intents, prepare(market, config))
    assert curve.capital.tolist() == list(CAPITALS)
    assert curve.capital[0] == 1e4
    assert curve.capital[-1] == 1e8
    assert (np.diff(curve.net_return) <= 1e-12).all()
    np.testing.assert_allclose(curve.net_return[:7], curve.net_return[0], rtol=1e-9)
    assert curve.net_return[-1] == pytest.approx(curve.net_return[0] * 0.21, rel=0.05)
    assert curve.half == 1e8
    by_hand = replay(market, intents, config.model_copy(update={"capital": 1e8}))
    assert curve.net_return[-1] == pytest.approx(by_hand.equity.iloc[-1] / 1e8 - 1.0, rel=1e-12)


def test_a_strategy_that_earns_nothing_has_no_capital_at_which_it_halves() -> None:
    market = market_of(np.full((150, 1), -0.001))
    curve = capacity_curve(intents_at(market, [40, 80], hold=20), prepare(market, RunConfig(funding_unknown="zero")))
    assert (curve.net_return[:5] < 0).all()
    assert np.isnan(curve.half)
