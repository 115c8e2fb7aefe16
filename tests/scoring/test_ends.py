"""Placebo p at both ends of what the bars allow."""

from __future__ import annotations

import numpy as np
import pytest

from backtest.catalysts.record import Calendar
from backtest.engine.prepared import prepare
from backtest.engine.replay import replay_prepared
from backtest.scoring.ends import Ends, ends_of, p_at_both_ends
from backtest.scoring.placebo import PlaceboPlan, null_of
from tests.scoring.chance import CONFIG, intents_at, market_of


def test_p_counts_each_end_against_the_stop_order_that_speaks_against_it() -> None:
    pessimistic, optimistic = np.arange(0.0, 9.0), np.arange(1.0, 10.0)
    # Of 0 to 8 two reach 7; of 1 to 9 six reach 4.
    assert p_at_both_ends(Ends(4.0, 7.0, 2, exact=True), pessimistic, optimistic) == pytest.approx((0.3, 0.7))
    sound = p_at_both_ends(Ends(4.0, 7.0, 2), pessimistic, optimistic)
    assert sound == pytest.approx((float("nan"), 0.7), nan_ok=True)
    assert not Ends(4.0, 7.0, 0).apart
    assert not Ends(float("nan"), float("nan"), 3).apart


def test_the_ends_of_a_run_hold_its_replay_and_each_draw_has_both_orders() -> None:
    random = np.random.default_rng(4)
    market = market_of(random.normal(0.0, 0.02, (300, 1)))
    intents = intents_at(market, list(range(20, 280, 30)), hold=8, stop=0.01)
    prepared = prepare(market, CONFIG)
    run = replay_prepared(prepared, intents, calendar=Calendar("none", ()))
    ends = ends_of(run, "net_return")
    assert ends.doubtful == len(np.unique(run.intervals.doubts[:, 1]))
    assert ends.least - 1e-12 <= run.book.equity[-1] / CONFIG.capital - 1 <= ends.greatest + 1e-12
    null = null_of(intents, prepared, Calendar("none", ()), PlaceboPlan(draws=299), ends=True)
    assert len(null.pessimistic) == len(null.optimistic) == len(null.values)
    assert np.array_equal(null.values, null.pessimistic), "the default order is the pessimistic one"
    assert ends_of(run, "mean_trade").apart is False
