"""From evaluations and searches to the ledger: common draws, and verdicts that do not depend on the command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtest import RunConfig, Session, open_calendar
from backtest.base.errors import UsageError
from backtest.base.units import parse_timerange
from backtest.catalysts.record import Calendar
from backtest.ledger.export import export_draws, trial_frame
from backtest.ledger.judgement import judge_trials
from backtest.ledger.recording import Recorded, common_draws, record_evaluation, record_sweep
from backtest.ledger.records import Scope
from backtest.ledger.registering import register_test
from backtest.ledger.store import Ledger, ledger_path, open_ledger
from backtest.market.record import Market
from backtest.request.request import Request
from backtest.scoring.placebo import PlaceboPlan
from backtest.scoring.space import grid_trials, parse_axis
from backtest.scoring.sweep import Sweep, run_sweep
from backtest.scoring.walkforward import WalkForward
from backtest.strategies import REGISTRY

PLAN = PlaceboPlan(draws=199)
NAMES = ("catalyst_momentum", "relative_value", "sector_rotation")


@pytest.fixture(scope="module")
def session(sample: Market) -> Session:
    return Session(sample, open_calendar("privacy-2025"))


def test_the_verdict_is_the_same_whatever_else_is_named(session: Session, tmp_path: Path) -> None:
    strategies = [REGISTRY[name]() for name in NAMES]
    with Ledger(tmp_path / "l") as ledger:
        together = session.evaluate(strategies, plan=PLAN, bootstrap=0)
        first = record_evaluation(ledger, together)
        # In an empty ledger the adjusted p is that of the command.
        assert [one.adjusted for one in first.judgements] == pytest.approx(
            [card.placebo.adjusted for card in together.cards if card.placebo]
        )
        for number, one in enumerate(strategies):
            alone = record_evaluation(ledger, session.evaluate([one], plan=PLAN, bootstrap=0))
            assert alone.judgements == first.judgements[number : number + 1]
            assert alone.cards[0].verdict == first.cards[number].verdict
            assert alone.cards[0].reason == first.cards[number].reason
            assert alone.deflated == first.deflated[number : number + 1]
        assert len(ledger.trials()) == 3
        # A single evaluation told p alone.
        assert alone.judgements[0].adjusted > alone.judgements[0].p


def test_a_trial_of_a_sweep_is_that_of_a_run(session: Session, tmp_path: Path) -> None:
    trials = grid_trials([parse_axis("hold", "24h,72h")])
    sweep = Sweep(REGISTRY["catalyst_momentum"], trials, session.market, session.calendar, RunConfig(), PLAN)
    with Ledger(tmp_path / "l") as ledger:
        searched = record_sweep(ledger, run_sweep(sweep, tmp_path / "sweep"))
        one = session.evaluate([REGISTRY["catalyst_momentum"]({"hold": "72h"})], plan=PLAN, bootstrap=0)
        (alone,) = record_evaluation(ledger, one).judgements
        assert len(ledger.trials()) == 2
        assert alone == searched.judgements[1]
        assert alone.trial.body["parent"].startswith("sweep ")
        assert 0.0 < searched.deflated[0] < 1.0
        table = trial_frame(ledger)
        assert table["p_adjusted"].tolist() == [one.adjusted for one in searched.judgements]
        export_draws(ledger, tmp_path / "draws.npz")
        with np.load(tmp_path / "draws.npz") as draws:
            assert draws["seq_2"].tolist() == ledger.draws_of(2).tolist()


def test_order_grouping_and_naming_of_commands_change_no_adjusted_p(session: Session, tmp_path: Path) -> None:
    """Five trials as one run, one by one backwards, and partly by a sweep under other names of data and calendar."""
    momentum, day, days = REGISTRY["catalyst_momentum"], {"hold": "24h"}, {"hold": "72h"}
    strategies = [*(REGISTRY[name]() for name in NAMES[1:]), *(momentum(one) for one in (day, days, {"weight": "0.1"}))]
    told = replace(session.market.provenance, name="another-name")
    renamed = Session(replace(session.market, provenance=told), Calendar("other words", session.calendar.catalysts))
    sweep = Sweep(momentum, grid_trials([parse_axis("hold", "72h,24h")]), renamed.market, renamed.calendar,
                  RunConfig(), PLAN)  # fmt: skip
    commands: dict[str, list[Callable[[Ledger], Recorded]]] = {
        "together": [lambda ledger: record_evaluation(ledger, session.evaluate(strategies, plan=PLAN, bootstrap=0))],
        "backwards": [
            lambda ledger, one=one: record_evaluation(ledger, session.evaluate([one], plan=PLAN, bootstrap=0))
            for one in reversed(strategies)
        ],
        "in parts": [
            lambda ledger: record_sweep(ledger, run_sweep(sweep, tmp_path / "swept")),
            lambda ledger: record_evaluation(ledger, renamed.evaluate(strategies[:1], plan=PLAN, bootstrap=0)),
            lambda ledger: record_evaluation(ledger, session.evaluate(strategies[1:], plan=PLAN, bootstrap=0)),
        ],
    }
    found = {}
    for name, steps in commands.items():
        with Ledger(tmp_path / name) as ledger:
            for step in steps:
                step(ledger)
            found[name] = sorted(
                (one.trial.body["what"], one.p, one.adjusted, one.pays_for) for one in judge_trials(ledger)
            )
    assert len({adjusted for _, _, adjusted, _ in found["together"]}) >= 3
    assert all(one == found["together"] for one in found.values())


def test_a_search_leaves_out_what_an_evaluation_leaves_out(session: Session) -> None:
    """Moves of the price itself, unless they are asked for, from Python as by a command."""
    trials, given = grid_trials([parse_axis("hold", "24h")]), (session.market, session.calendar, RunConfig())
    assert session.calendar.left_out
    for endogenous in (False, True):
        whole = session.calendar if endogenous else session.calendar.filter(endogenous=False)
        sweep = Sweep(REGISTRY["catalyst_momentum"], trials, *given, PLAN, endogenous=endogenous)
        walk = WalkForward(REGISTRY["catalyst_momentum"], trials, *given, 2, 0, 0, endogenous=endogenous)
        assert sweep.calendar == walk.calendar == whole
        evaluated = session.evaluate([REGISTRY["catalyst_momentum"]()], plan=None, bootstrap=0, endogenous=endogenous)
        assert evaluated.calendar == whole


def test_draws_are_common_over_days(session: Session) -> None:
    """The name of the draws says that they are the same moves: for shifts the grid decides, else data and calendar."""
    market, calendar = session.market, session.calendar
    shorter = Session(market.between(parse_timerange("20250920-20251116")), calendar)
    dearer = Session(market, calendar, RunConfig(fee_rate=0.001))
    fewer = Session(market.select(market.symbols[:3]), calendar.filter(assets=("ZEC",)))
    shift, other_seed = PlaceboPlan(draws=199), PlaceboPlan(draws=199, seed=7)
    every, dates = PlaceboPlan(), PlaceboPlan("dates", 199)

    def name(plan: PlaceboPlan, of: Session, n: int = 199) -> str:
        return common_draws(plan, of.prepared, of.calendar, n)

    bars = len(market.index) - 1
    assert name(shift, session) == name(PlaceboPlan(draws=199, statistic="sharpe"), session)
    assert name(shift, session) == name(shift, dearer) == name(shift, fewer)
    assert name(shift, session) != name(other_seed, session)
    assert name(every, session, bars) == name(PlaceboPlan(seed=7), session, bars)
    assert name(shift, session) != name(shift, shorter)
    assert name(dates, session) == name(dates, dearer)
    assert len({name(dates, one) for one in (session, shorter, fewer)}) == 3


def test_the_scope_is_what_was_looked_at(session: Session) -> None:
    scope = Scope.of(session.market, session.calendar)
    assert ("ZEC", 20_362) in scope.events  # the trust of 2025-10-01
    assert "ZEC" in scope.coins
    early, late = (
        Scope.of(session.market.between(parse_timerange(text)), session.calendar)
        for text in ("20250914-20251009", "20251016-20251120")
    )
    assert early.events
    assert late.events
    assert not early.overlaps(late)
    assert early.overlaps(scope)
    assert late.overlaps(scope)


def test_a_registration_is_found_by_its_request(session: Session, tmp_path: Path) -> None:
    request = Request(strategies=("catalyst_momentum",), placebo="199", bootstrap=0)
    with Ledger(tmp_path / "l") as ledger:
        found = register_test(ledger, "a catalyst  lifts\nits coin", request)
        assert found.hypothesis == "a catalyst lifts its coin"
        both = request.model_copy(update={"strategies": ("catalyst_momentum", "relative_value")})
        one, other = record_evaluation(ledger, both.evaluate(), both).judgements
        assert one.registration == found
        assert (one.adjusted, other.registration) == (one.p, None)
        assert other.adjusted > other.p
        with pytest.raises(UsageError, match=r"registered already, as #1 of .*lifts its coin"):
            register_test(ledger, "it falls", request)
        for wrong, sentence in (
            (both, "2 strategies are asked for"),
            (request.model_copy(update={"placebo": "0"}), "needs a placebo"),
        ):
            with pytest.raises(UsageError, match=sentence):
                register_test(ledger, "it falls", wrong)
        with pytest.raises(UsageError, match="needs words"):
            register_test(ledger, "  ", request)


def test_the_ledger_is_where_it_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ledger_path() is None
    with pytest.raises(UsageError, match="no ledger is in use"):
        open_ledger()
    monkeypatch.setenv("BACKTEST_LEDGER", "elsewhere.sqlite")
    assert ledger_path() == Path("elsewhere.sqlite")
    assert ledger_path("none") is None
    monkeypatch.delenv("BACKTEST_LEDGER")
    with open_ledger() as ledger:
        assert ledger.path == Path("backtest-ledger.sqlite")
