"""Placebo p by hand arithmetic; what each null keeps; and calibration on markets without signal.

Tolerances: over 2,000 markets KS rejects uniformity at 1 % above 1.63 / sqrt(2000) = 0.036. Over 600 markets the
family-wise error of a 5 % test has a standard error of 0.9 %; it must lie in 3..7 %.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from scipy.stats import kstest

from backtest.base.config import RunConfig
from backtest.base.errors import UsageError
from backtest.base.tasks import THREADS, one_thread_each
from backtest.base.units import from_ms, to_ms
from backtest.catalysts.reading import open_calendar
from backtest.catalysts.record import Calendar, Catalyst
from backtest.engine import prepared as preparing
from backtest.engine import room
from backtest.engine.layout import NET_RETURN, STATISTICS
from backtest.engine.prepared import Prepared, prepare
from backtest.engine.replay import replay, replay_statistics
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.record import Floats, Market
from backtest.scoring import drawing
from backtest.scoring.cross_validation import probability_of_overfitting
from backtest.scoring.draws import BLOCK, Moved, Subject, event_rows, shifts_of, subject_of
from backtest.scoring.drift import drift_of
from backtest.scoring.familywise import westfall_young
from backtest.scoring.kinds import PLACEBO_KINDS
from backtest.scoring.metrics import replay_returns
from backtest.scoring.moved_calendars import circle_of, moved_calendar, statistics_anew
from backtest.scoring.overfitting import deflate
from backtest.scoring.placebo import (
    Null,
    Placebo,
    PlaceboPlan,
    clopper_pearson,
    evidence,
    null_of,
    observed_statistics,
    parse_plan,
    placebo_intents,
    placebo_strategies,
)
from backtest.signals.strategy import Intent, Intents
from backtest.strategies import REGISTRY
from tests.scoring.chance import BARS, CONFIG, HOUR, ZEC, intents_at, market_of, quiet_market, random_rows

NOTHING = Calendar("nothing", ())
PLAN = PlaceboPlan()


def moved(subject: Subject, prepared: Prepared, kind: str, calendar: Calendar, draws: int) -> list[Any]:
    move = PLACEBO_KINDS[kind].move
    assert move is not None
    found = move(subject, prepared, calendar, draws, 7)
    assert isinstance(found, Moved)
    return list(found.blocks)


def record_of(observed: float, values: list[float], exact: bool = False) -> Placebo:
    return evidence(np.array([observed]), [Null(np.array(values), exact)], PLAN)[0]


def test_p_by_hand() -> None:
    """Two of four placebos reach 3, so p = 3 / 5; with none p = 1 / 5; with all p = 1."""
    assert record_of(3.0, [1.0, 2.0, 3.0, 4.0]).p == 3 / 5
    assert record_of(5.0, [1.0, 2.0, 3.0, 4.0]).p == 1 / 5
    assert record_of(0.0, [1.0, 2.0, 3.0, 4.0]).p == 1.0
    one = record_of(3.0, [1.0, 2.0, 3.0, 4.0])
    assert (one.n, one.family, one.adjusted, one.mean) == (4, 1, 3 / 5, 2.5)
    assert one.quantiles[3] == 2.5


def test_the_bounds_of_p() -> None:
    """Clopper and Pearson for 1 of 10: 0.0025 and 0.4450; none of 10: 0 and 1 - 0.025 ** (1 / 10) = 0.3085."""
    assert clopper_pearson(1, 10) == pytest.approx((0.00253, 0.44502), abs=1e-5)
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 0.30850), abs=1e-5)
    exact = record_of(3.0, [1.0, 2.0, 3.0, 4.0], exact=True)
    assert exact.low == exact.high == exact.p


def test_an_undefined_placebo_counts_as_less_and_many_of_them_leave_no_p() -> None:
    nan = float("nan")
    few = record_of(3.0, [1.0, 2.0, 3.0, 4.0, nan])
    assert (few.p, few.undefined) == (3 / 6, 1)
    many = record_of(3.0, [1.0, 4.0, nan])
    assert np.isnan(many.p)
    assert many.reason == "net_return is undefined on 1 of 3 placebo calendars"
    assert "is undefined" in record_of(nan, [1.0, 2.0]).reason


def test_calendars_that_change_nothing_are_no_evidence() -> None:
    same = record_of(3.0, [3.0, 3.0, 3.0])
    assert np.isnan(same.p)
    assert same.reason == "its net_return is the same on every placebo calendar: it reads none of them"


def test_adjusted_p_by_hand() -> None:
    """Both members hold 0, 1, 2, 3, so z is alike. Maxima with the observed: 3, 3, 1, 2.

    Single step: 2 of 4 reach 3; 3 of 4 reach 2. Step down, the second stands alone: 2 of 4 reach 2.
    """
    observed = np.array([3.0, 2.0])
    drawn = np.array([[0.0, 3.0], [1.0, 0.0], [2.0, 1.0]])
    assert westfall_young(observed, drawn, step_down=False).tolist() == [2 / 4, 3 / 4]
    assert westfall_young(observed, drawn).tolist() == [2 / 4, 2 / 4]
    reversed_order = westfall_young(observed[::-1], drawn[:, ::-1], step_down=False)
    assert reversed_order.tolist() == [3 / 4, 2 / 4]


def test_adjusted_p_of_one_is_p_and_scale_does_not_matter() -> None:
    random = np.random.default_rng(3)
    drawn, observed = random.normal(size=(99, 4)), random.normal(1.0, 1.0, 4)
    alone = westfall_young(observed[:1], drawn[:, :1])
    assert alone[0] == (1 + np.count_nonzero(drawn[:, 0] >= observed[0])) / 100
    scaled = westfall_young(observed * [1, 10, 100, 0.01] + 5, drawn * [1, 10, 100, 0.01] + 5)
    np.testing.assert_array_equal(scaled, westfall_young(observed, drawn))
    assert (westfall_young(observed, drawn) <= westfall_young(observed, drawn, step_down=False)).all()


def test_a_member_that_never_varies_or_is_undefined_cannot_win() -> None:
    random = np.random.default_rng(4)
    drawn = random.normal(size=(99, 3))
    drawn[:, 1], drawn[:, 2] = 7.0, np.nan
    p = westfall_young(np.array([5.0, 7.0, np.nan]), drawn)
    assert p.tolist() == [1 / 100, 1.0, 1.0]


def test_shifts_are_all_there_are_or_drawn_without_repetition() -> None:
    np.testing.assert_array_equal(shifts_of(10, 9, 1), np.arange(1, 10))
    some = shifts_of(10_000, 500, 1)
    assert len(set(some.tolist())) == 500
    assert some.min() >= 1
    assert some.max() <= 9_999
    np.testing.assert_array_equal(some, shifts_of(10_000, 500, 1))
    assert not np.array_equal(some, shifts_of(10_000, 500, 2))


def test_a_shifted_replay_is_the_replay_of_intents_decided_so_much_later() -> None:
    random = np.random.default_rng(5)
    market = quiet_market(random)
    rows = random_rows(random, 6)
    values = null_of(intents_at(market, rows, stop=0.02), prepare(market, CONFIG), NOTHING, PLAN)
    assert values.exact
    assert len(values.values) == BARS - 1
    for shift in (1, 40, 149):
        by_hand = replay(market, intents_at(market, [(row + shift) % BARS for row in rows], stop=0.02), CONFIG)
        assert values.values[shift - 1] == pytest.approx(by_hand.equity.iloc[-1] / CONFIG.capital - 1, abs=1e-12)


def week_market(random: np.random.Generator, coins: int = 6, weeks: int = 12) -> Market:
    return quiet_market(random, weeks * 7 * 24, coins)


def catalyst(market: Market, identifier: str, row: int, asset: str = "ZEC") -> Catalyst:
    return Catalyst(
        id=identifier, assets=(asset,), kind="listing", actor="OKX", direction=1, precision="hour", source="test",
        confidence="high", announced_at=from_ms(market.start_ms + row * HOUR),
    )  # fmt: skip


def test_dates_keep_hour_and_weekday_leave_events_alone_and_move_units_together() -> None:
    market = week_market(np.random.default_rng(6))
    calendar = Calendar("two", (catalyst(market, "first", 300), catalyst(market, "second", 900)))
    rows = (
        Intent(instrument=ZEC, decided_at_ms=market.start_ms + 301 * HOUR, catalyst_id="first"),
        Intent(instrument=ZEC, decided_at_ms=market.start_ms + 305 * HOUR, catalyst_id="first"),
        Intent(instrument=ZEC, decided_at_ms=market.start_ms + 901 * HOUR, catalyst_id="second", group="pair"),
        Intent(instrument="C1/USDT:USDT", decided_at_ms=market.start_ms + 901 * HOUR, side=-1, group="pair"),
    )
    prepared = prepare(market, CONFIG)
    subject = subject_of(Intents(rows), prepared)
    assert subject.names == ("first", "second")
    assert subject.unit.tolist() == [0, 0, 1, 1]
    blocks = moved(subject, prepared, "dates", calendar, BLOCK + 10)
    earliest = np.concatenate([orders.earliest for orders in blocks])
    assert earliest.shape == (BLOCK + 10, 4)
    assert (earliest[:, 1] - earliest[:, 0] == 4).all()
    assert (earliest[:, 2] == earliest[:, 3]).all()
    assert ((earliest[:, 0] - 301) % 168 == 0).all()
    assert ((earliest[:, 2] - 901) % 168 == 0).all()
    inside = event_rows(prepared, calendar)[0]
    assert inside[300 - 24 : 301 + 72].all()
    assert not inside[300 - 25]
    assert not inside[301 + 72]
    # The real date is a choice; the window of the other cluster is none.
    first, second = set(earliest[:, 0].tolist()), set(earliest[:, 2].tolist())
    assert 301 in first
    assert 901 in second
    assert not any(event_rows(prepared, calendar.catalysts[1:])[0][row] for row in first)
    assert len(first) == 12
    assert len(np.unique(earliest[:, [0, 2]], axis=0)) > 80


def test_catalysts_whose_windows_touch_move_together() -> None:
    """Known at 301 and 350: within four days, so one cluster; 900 is another. Each keeps its own hour."""
    market = week_market(np.random.default_rng(6))
    calendar = Calendar("three", tuple(catalyst(market, f"c{row}", row) for row in (300, 350, 900)))
    prepared = prepare(market, CONFIG)
    subject = subject_of(intents_at(market, [300, 350, 900]), prepared)
    (orders,) = moved(subject, prepared, "dates", calendar, 400)
    gaps = orders.earliest - orders.earliest[:, :1]
    assert (gaps[:, 1] == 50).all()
    assert len(np.unique(gaps[:, 2])) > 10


def test_far_shifts_leave_no_intent_near_the_real_calendar_and_foreknowledge_is_counted() -> None:
    """A jump in the bars before each entry: shifts up to four days earlier beat the real calendar."""
    steps = np.random.default_rng(3).normal(0.0, 0.001, (1_200, 1))
    rows = [200, 517, 903]
    for row in rows:
        steps[row - 5 : row] += 0.05
    market = market_of(steps)
    prepared = prepare(market, CONFIG)
    (orders,) = moved(subject_of(intents_at(market, rows), prepared), prepared, "far_shift", NOTHING, 5_000)
    assert sorted(orders.shift.tolist()) == list(range(97, 1_200 - 96))
    (found,) = placebo_intents([intents_at(market, rows)], prepare(market, CONFIG), NOTHING, PLAN)
    early = null_of(intents_at(market, rows), prepared, NOTHING, PLAN).values[-96:]
    assert found.foreknown == np.count_nonzero(early >= found.observed - 1e-12) > 5


def test_what_could_have_been_found_is_found_four_times_of_five() -> None:
    """The least effect planted into every bar that a trade earns, at 100 other calendars: about 80 % have p <= 5 %."""
    random, bars = np.random.default_rng(11), 1_500
    steps, rows = random.normal(0.0, 0.01, (bars, 1)), [200, 450, 713, 950, 1_220]
    prepared = prepare(market_of(steps), CONFIG)
    (blank,) = placebo_intents([intents_at(prepared.market, rows)], prepared, NOTHING, PLAN)
    found = []
    for shift in range(1, bars, 15):
        planted = steps.copy()
        moved_rows = [(row + shift) % (bars - 8) for row in rows]
        for row in moved_rows:
            planted[row + 1 : row + 6] += np.log1p(blank.least_effect) / 5
        market = market_of(planted)
        (one,) = placebo_intents([intents_at(market, moved_rows)], prepare(market, CONFIG), NOTHING, PLAN)
        found.append(one.p <= 0.05)
    assert blank.floor == 1 / bars
    assert np.mean(found) == pytest.approx(0.8, abs=0.13)
    few = record_of(3.0, [1.0, 2.0, 2.5])
    assert few.floor == 1 / 4
    assert few.found == "no effect could be found: the least p is 0.25"


def test_a_rise_of_everything_is_no_evidence_once_its_drift_is_gone() -> None:
    """Prices rise in the season of the catalysts alone: p is small, p without drift is not."""
    steps = np.random.default_rng(12).normal(0.0, 0.002, (2_400, 1))
    steps[900:1_500] += 0.004
    market = market_of(steps)
    rows = [1_000, 1_080, 1_150, 1_260, 1_390]
    (found,) = placebo_intents([intents_at(market, rows)], prepare(market, CONFIG), NOTHING, PLAN)
    assert found.p < 0.3
    assert found.driftless_p > 0.05
    level = np.log(np.cumprod(np.full((1, 400), 1.001), axis=1))
    assert np.allclose(np.diff(drift_of(np.exp(level), 24)), np.log(1.001))


def test_panels_in_files_are_drawn_on_one_after_the_other_with_the_same_evidence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    market = week_market(np.random.default_rng(13), coins=3)
    members = [intents_at(market, rows) for rows in ([300, 500, 900], [310, 640, 1_200])]
    plan = PlaceboPlan("shift", 700)
    held = placebo_intents(members, prepare(market, CONFIG), NOTHING, plan)
    monkeypatch.setenv("BACKTEST_ARRAYS", str(tmp_path))
    monkeypatch.setattr(room, "MAPPED_BYTES", 1)
    monkeypatch.setattr(preparing, "TOGETHER", 1)
    prepared = prepare(market, CONFIG)
    assert room.in_file(prepared.bars.panel)
    given_back: list[int] = []
    real = drawing.give_back
    monkeypatch.setattr(drawing, "give_back", lambda panel: (given_back.append(id(panel)), real(panel)))
    assert placebo_intents(members, prepared, NOTHING, plan) == held
    # The bars as they are for all members, then those without their drift: each panel is given back once.
    assert len(given_back) == len(set(given_back)) == 2
    assert given_back[0] == id(prepared.bars.panel)


def test_dates_are_the_same_for_every_member_that_trades_the_catalyst() -> None:
    market = week_market(np.random.default_rng(8))
    prepared = prepare(market, CONFIG)
    one = subject_of(intents_at(market, [300, 500]), prepared)
    other = subject_of(intents_at(market, [200, 300, 500], hold=3), prepared)
    blocks = [moved(subject, prepared, "dates", NOTHING, 100) for subject in (one, other)]
    first, second = (block[0].earliest for block in blocks)
    np.testing.assert_array_equal(first, second[:, 1:])
    assert not np.array_equal(second[:, 0] - 200, second[:, 1] - 300)


def test_too_few_dates_are_said_and_no_p_is_given() -> None:
    market = market_of(np.random.default_rng(9).normal(0.0, 0.01, (90, 1)))
    (found,) = placebo_intents([intents_at(market, [40])], prepare(market, CONFIG), NOTHING, PlaceboPlan("dates", 99))
    assert np.isnan(found.p)
    assert found.reason.startswith("the cluster of c40 has 4 dates of its hour")


def test_coins_become_others_of_their_kind_and_stay_apart() -> None:
    market = week_market(np.random.default_rng(10), coins=7)
    gone = market.close.copy()
    gone[:400, 3] = np.nan
    market = replace(market, **{name: np.where(np.isnan(gone), np.nan, getattr(market, name))
                                for name in ("open", "high", "low", "close", "volume")})  # fmt: skip
    moment = market.start_ms + 300 * HOUR
    rows = (
        Intent(instrument=ZEC, decided_at_ms=moment, catalyst_id="first", group="pair"),
        Intent(instrument="C1/USDT:USDT", decided_at_ms=moment, side=-1, group="pair"),
    )
    prepared = prepare(market, CONFIG)
    blocks = moved(subject_of(Intents(rows), prepared), prepared, "coins", NOTHING, 4_000)
    column = np.concatenate([orders.column for orders in blocks])
    assert (column[:, 0] != column[:, 1]).all()
    assert set(np.unique(column)) == {0, 1, 2, 4, 5, 6}
    counts = np.unique(column[:, 0], return_counts=True)[1]
    assert (abs(counts - 4_000 / 6) < 120).all()


def test_results_do_not_depend_on_the_number_of_cores() -> None:
    market = week_market(np.random.default_rng(11))
    prepared = prepare(market, CONFIG)
    members = [intents_at(market, [300, 500, 900])]
    plan = PlaceboPlan("coins", 9_000)
    found = placebo_intents(members, prepared, NOTHING, plan)
    before = numba.config.NUMBA_NUM_THREADS
    try:
        numba.config.NUMBA_NUM_THREADS = 1
        assert placebo_intents(members, prepared, NOTHING, plan) == found
    finally:
        numba.config.NUMBA_NUM_THREADS = before
    assert placebo_intents(members, prepared, NOTHING, replace(plan, seed=2)) != found


def test_who_always_holds_has_no_events_to_move() -> None:
    market = quiet_market(np.random.default_rng(12))
    holder = Intents((Intent(instrument=ZEC, decided_at_ms=market.start_ms + HOUR),))
    longish = intents_at(market, [10], hold=60)
    fine = intents_at(market, [10, 60], hold=6)
    found = placebo_intents([holder, longish, fine], prepare(market, CONFIG), NOTHING, PLAN)
    assert found[0].reason == "it holds in 99% of the bars (limit 80%), so it has no events to move"
    assert found[1].reason.startswith("a trade of it lasts 40% of the data")
    assert np.isnan([found[0].p, found[1].p, found[0].adjusted]).all()
    assert found[2].family == 1
    assert found[2].p > 0


@pytest.mark.parametrize(
    ("text", "kind", "draws"),
    [("500", "shift", 500), ("dates", "dates", 10_000), ("coins:77", "coins", 77), ("calendar:19", "calendar", 19)],
)
def test_plans_are_read(text: str, kind: str, draws: int) -> None:
    plan = parse_plan(text, "sharpe", 3)
    assert plan == PlaceboPlan(kind, draws, "sharpe", 3)


def test_plans_that_cannot_be() -> None:
    assert parse_plan("0", "net_return", 1) is None
    for text, said in (
        ("date", "did you mean 'dates'"),
        ("dates:x", "`placebo` 'dates:x' is not KIND, COUNT or KIND:COUNT"),
        ("18", "18 placebo draws cannot reach p = 0.05"),
    ):
        with pytest.raises(UsageError, match=said):
            parse_plan(text, "net_return", 1)
    with pytest.raises(UsageError, match="statistic 'profit' is unknown; allowed: mean_trade, net_return, sharpe"):
        parse_plan("500", "profit", 1)


@pytest.fixture(scope="module")
def sample() -> tuple[Market, Calendar, Prepared]:
    market = open_dataset(default_dataset())
    return market, open_calendar("privacy-2025"), prepare(market, RunConfig())


def test_moved_calendars_keep_precision_spacing_and_everything_else(sample: tuple[Market, Calendar, Prepared]) -> None:
    market, calendar, prepared = sample
    circle = circle_of(prepared, calendar)
    assert (circle.period_ms, circle.periods) == (24 * HOUR, 109)
    later = moved_calendar(calendar, circle, 60)
    assert moved_calendar(calendar, circle, 0).hash() == calendar.hash()
    inside = [one for one in calendar if one.timed and market.start_ms <= to_ms(one.announced_at) < market.end_ms]  # type: ignore[arg-type]
    assert len(inside) > 10
    gaps = set()
    for one in inside:
        new = later[one.id]
        gap = to_ms(new.announced_at) - to_ms(one.announced_at)  # type: ignore[arg-type]
        gaps.add(gap)
        assert market.start_ms <= to_ms(new.announced_at) < market.end_ms  # type: ignore[arg-type]
        assert replace(new, announced_at=one.announced_at, effective_at=one.effective_at) == one
    assert gaps == {60 * 24 * HOUR, (60 - 109) * 24 * HOUR}


def test_deciding_anew_without_equity_gives_the_same_draws_to_the_last_bit(
    sample: tuple[Market, Calendar, Prepared],
) -> None:
    _, calendar, prepared = sample
    circle = circle_of(prepared, calendar)
    calendars = [moved_calendar(calendar, circle, shift) for shift in (3, 17, 40)]
    whole, net = (
        statistics_anew(REGISTRY["catalyst_momentum"](), [prepared], calendars, net_only=net_only)
        for net_only in (False, True)
    )
    kept = [STATISTICS.index(name) for name in ("net_return", "mean_trade", "trades", "exposure")]
    assert (whole[..., STATISTICS.index("trades")] > 3).all()
    np.testing.assert_array_equal(net[..., kept], whole[..., kept])
    assert np.isnan(net[..., STATISTICS.index("sharpe")]).all()
    assert np.isfinite(whole[..., STATISTICS.index("sharpe")]).all()


def test_deciding_anew_is_shifting_for_a_strategy_that_reads_no_prices(
    sample: tuple[Market, Calendar, Prepared],
) -> None:
    market, calendar, prepared = sample
    strategy = REGISTRY["catalyst_momentum"]()
    decided = strategy.decide(market, calendar)
    plan = PlaceboPlan("calendar", 10_000)
    (anew,) = placebo_strategies([strategy], [decided], prepared, calendar, plan)
    assert anew.exact
    assert anew.n == 108
    shifted = null_of(decided, prepared, calendar, PlaceboPlan()).values
    by_day = (1 + np.count_nonzero(shifted[23::24] >= anew.observed - 1e-12)) / 109
    assert anew.p == pytest.approx(by_day, abs=2 / 109)
    (few,) = placebo_strategies([strategy], [decided], prepared, calendar, PlaceboPlan("calendar", 20))
    assert (few.n, few.exact) == (20, False)


def p_of(seed: int, **how: Any) -> float:
    random = np.random.default_rng(seed)
    market = quiet_market(random)
    return placebo_intents([intents_at(market, random_rows(random, 5), **how)], prepare(market, CONFIG), NOTHING, PLAN)[
        0
    ].p


def test_processes_begin_with_one_thread_each_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with one_thread_each():
        command = [sys.executable, "-c", "import os, sys; print(*map(os.environ.get, sys.argv[1:]))", *THREADS]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert told == ["3", "1", "1", "1"]
    assert [os.environ.get(name) for name in THREADS] == ["3", None, None, None]


def test_p_is_uniform_on_markets_without_signal() -> None:
    p = np.array([p_of(seed, stop=0.03) for seed in range(2_000)])
    assert kstest(p, "uniform").statistic < 0.036
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_a_planted_edge_is_found_and_its_absence_is_not() -> None:
    random = np.random.default_rng(1)
    found = []
    for _ in range(40):
        steps = random.normal(0.0, 0.01, (BARS, 1))
        rows = [20, 45, 70, 95, 120]
        for row in rows:
            steps[row : row + 6] += 0.01
        found.append(
            placebo_intents([intents_at(market_of(steps), rows)], prepare(market_of(steps), CONFIG), NOTHING, PLAN)[0].p
        )
    assert np.mean(np.array(found) <= 0.05) > 0.9


GRID = [
    (hold, stop, side)
    for hold in (2, 4, 6, 9, 12)
    for stop in (0.01, 0.02, 0.03, 0.05, 0.08)
    for side in (1, -1)
]  # fmt: skip


def market_and_rows(seed: int) -> tuple[Market, list[int]]:
    random = np.random.default_rng(seed)
    return quiet_market(random), random_rows(random, 5)


def grid_on(seed: int) -> tuple[Floats, Floats]:
    """Observed (50,) and placebo (B, 50) net returns of a grid: holds by stops by sides on one quiet market.

    Every member at every shift is one replay of one batch, shift 0 the observed one.
    """
    market, rows = market_and_rows(seed)
    prepared = prepare(market, CONFIG)
    hold, stop, side = (np.repeat(np.array(values), BARS)[:, None] for values in zip(*GRID, strict=True))
    orders = prepared.orders(intents_at(market, rows, stop=0.5))
    orders = orders._replace(
        hold=np.broadcast_to(hold, (hold.size, 5)).astype(np.int32),
        stop_loss=np.broadcast_to(stop, (stop.size, 5)).copy(),
        side=np.broadcast_to(side, (side.size, 5)).astype(np.float64),
        shift=np.tile(np.arange(BARS, dtype=np.int32), len(GRID)),
    )
    net = replay_statistics(orders, prepared, hold.size, net_only=True)[:, NET_RETURN].reshape(len(GRID), BARS).T
    return net[0], net[1:]


def test_the_batch_of_a_grid_is_what_its_members_draw() -> None:
    market, rows = market_and_rows(3)
    prepared = prepare(market, CONFIG)
    members = [intents_at(market, rows, hold=hold, stop=stop, side=side) for hold, stop, side in GRID]
    observed, drawn = grid_on(3)
    np.testing.assert_array_equal(observed, observed_statistics(members, prepared)[:, NET_RETURN])
    each = np.stack([null_of(one, prepared, NOTHING, PLAN).values for one in members], axis=1)
    np.testing.assert_array_equal(drawn[np.lexsort(drawn.T)], each[np.lexsort(each.T)])


def test_the_adjusted_p_pays_for_a_grid_of_fifty() -> None:
    adjusted, naive, uncorrected = [], [], 0
    for seed in range(600):
        observed, drawn = grid_on(seed)
        adjusted.append(westfall_young(observed, drawn).min())
        naive.append(((1 + (drawn >= observed - 1e-12).sum(axis=0)) / (len(drawn) + 1)).min())
    uncorrected = np.mean(np.array(naive) <= 0.05)
    assert 0.03 <= np.mean(np.array(adjusted) <= 0.05) <= 0.07
    assert uncorrected > 0.2


def test_the_best_of_two_hundred_random_rules_is_called_chance() -> None:
    """By the adjusted p and the deflated Sharpe ratio, though p alone admires it; PBO sees its lead go."""
    random = np.random.default_rng(2)
    adjusted, alone, deflated, overfitting = [], [], [], []
    for _ in range(20):
        market = quiet_market(random)
        rules = [
            intents_at(
                market, random_rows(random, 5), side=int(random.choice((1, -1))), hold=int(random.integers(2, 9))
            )
            for _ in range(200)
        ]
        prepared = prepare(market, CONFIG)
        found = placebo_intents(rules, prepared, NOTHING, PLAN)
        best = max(found, key=lambda one: one.observed)
        assert best.family == 200
        adjusted.append(best.adjusted)
        alone.append(best.p)
        returns = np.stack([replay_returns(prepared.orders(rule), prepared) for rule in rules], axis=1)
        deflated.append(deflate(returns).deflated)
        overfitting.append(probability_of_overfitting(returns, blocks=8).probability)
    assert np.mean(np.array(alone) <= 0.05) > 0.8
    assert np.mean(np.array(adjusted) <= 0.05) <= 0.15
    assert np.mean(np.array(deflated) >= 0.95) <= 0.15
    assert np.median(overfitting) > 0.3
