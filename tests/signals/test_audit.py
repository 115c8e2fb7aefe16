"""The audit finds every planted look-ahead, names what was read, and raises no false alarm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.base.errors import LookaheadError, UsageError
from backtest.base.units import parse_timerange, to_ms
from backtest.catalysts.reading import open_calendar
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_at_ms
from backtest.market.dataset import open_dataset
from backtest.market.joining import open_datasets
from backtest.market.record import Market
from backtest.market.series import PANELS
from backtest.signals import asking
from backtest.signals.audit import audit
from backtest.signals.corruption import (
    MARKET_CORRUPTIONS,
    _uniform,
    corrupt,
    corrupt_calendar,
    corrupt_panel,
    hidden_at,
)
from backtest.signals.examining import STATE_QUESTIONS
from backtest.signals.finding import FRESH
from backtest.signals.strategy import Intent, Strategy
from backtest.strategies import REGISTRY
from tests.signals import planted


@pytest.fixture(scope="module")
def market(sample: Market) -> Market:
    """Four weeks of three coins, with open interest read every sixth hour only."""
    few = sample.select(("ZEC/USDT:USDT", "DASH/USDT:USDT", "ZEN/USDT:USDT"))
    few = few.between(parse_timerange("20251016-20251113"))
    interest = few.open_interest.copy()
    interest[np.arange(len(interest)) % 6 != 0] = np.nan
    return replace(few, open_interest=interest)


@pytest.fixture(scope="module")
def calendar() -> Calendar:
    return open_calendar("privacy-2025")


def told(function: Any, market: Market, sample: Market) -> Market:
    """The reading that is six hours old is no reading; the period of the other one needs each hour."""
    if function is not planted.open_interest_without_its_period:
        return market
    return replace(
        market, open_interest=sample.select(market.symbols).between(parse_timerange("20251016-20251113")).open_interest
    )


@pytest.mark.parametrize("function", planted.PLANTED, ids=lambda one: one.__name__)
def test_a_planted_look_ahead_is_caught_and_named(
    function: Any, market: Market, sample: Market, calendar: Calendar
) -> None:
    found = audit(planted.strategy_of(function), told(function, market, sample), calendar, cuts=40)
    assert (found.verdict, found.apart) == ("look-ahead", FRESH), found
    leak = found.leak
    assert leak is not None
    assert planted.PLANTED[function] in leak.read
    if function is planted.untimed_catalyst:
        assert leak.known_at_ms is None
    else:
        assert leak.known_at_ms is not None
        assert leak.decision.decided_at_ms <= leak.cut_ms < leak.known_at_ms
    with pytest.raises(LookaheadError, match=f"strategy '{function.__name__}' looked ahead: the decision of 2025-"):
        found.check()


@pytest.mark.parametrize("function", planted.HONEST, ids=lambda one: one.__name__)
def test_an_honest_strategy_that_resembles_one_is_clean(function: Any, market: Market, calendar: Calendar) -> None:
    found = audit(planted.strategy_of(function), market, calendar, cuts=40)
    assert found.leak is None, found.leak.sentence
    assert (found.tested > 1, found.apart) == (True, FRESH)


def test_the_bar_that_was_read_is_named_to_the_hour(market: Market, calendar: Calendar) -> None:
    leak = audit(planted.strategy_of(planted.same_bar_close), market, calendar, cuts=20).leak
    assert leak is not None
    # Decided at the open of the bar whose close it read: known one bar later.
    assert leak.known_at_ms == leak.decision.decided_at_ms + market.bar_ms
    assert "known at" in leak.sentence
    assert "1 h after the decision" in leak.sentence


def test_the_day_that_was_read_is_named(market: Market, calendar: Calendar) -> None:
    leak = audit(planted.strategy_of(planted.unknown_hour_used_early), market, calendar).leak
    assert leak is not None
    first = next(one for one in calendar if one.announced_at and to_ms(one.announced_at) > market.start_ms)
    assert leak.read == f"catalyst {first.id}"
    assert leak.known_at_ms == known_at_ms(first) == leak.decision.decided_at_ms + 24 * planted.HOUR


def test_no_false_alarm_on_real_bars(shared: Path, calendar: Calendar) -> None:
    folder = shared / "market"
    real = open_datasets(f"{folder / 'binance-usdm-2025q4'}+{folder / 'binance-spot-2025q4'}")
    found = [audit(strategy(), real, calendar, cuts=12) for strategy in REGISTRY.values()]
    assert {one.strategy for one in found if one.verdict == "not exercised"} == {
        "accumulation",
        "rail_divergence",
        "oi_breakout",
        "oi_divergence",
    }
    assert {one.strategy for one in found if one.verdict == "reads nothing"} == {"buy_and_hold", "random_entry"}
    assert {one.verdict for one in found} == {"not exercised", "reads nothing", "clean"}
    assert found[0].unknown == ("open_interest",)


@pytest.mark.parametrize("name", ["oi_breakout", "oi_divergence"])
def test_no_false_alarm_on_real_open_interest(name: str, shared: Path, calendar: Calendar) -> None:
    found = audit(REGISTRY[name](), open_dataset(str(shared / "market" / "binance-usdm-2026q1-oi")), calendar)
    assert found.verdict == "clean"
    assert found.tested == found.decisions > 0
    assert found.reads == ("close", "open_interest")


def test_the_report_says_what_was_exercised(sample: Market, calendar: Calendar) -> None:
    found = audit(REGISTRY["sector_rotation"](), sample, calendar)
    assert found.reads == ("close", "calendar")
    assert set(found.unread) == {"open", "high", "low", "volume", "open_interest", "funding"}
    assert set(found.hidden) == {one.id for one in calendar}
    assert found.tested == found.decisions
    assert set(found.corruptions) > {*MARKET_CORRUPTIONS, "truncation", "removed"}
    assert list(found.cuts_ms) == sorted(set(found.cuts_ms))


@pytest.mark.parametrize("forking", [True, False])
def test_an_audit_tells_each_question_and_how_many_there_are(
    forking: bool, market: Market, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(market: Market, calendar: Calendar) -> list[Intent]:
        return []

    monkeypatch.setattr(asking, "CAN_FORK", forking)
    told: list[tuple[str, int, int]] = []
    found = audit(planted.strategy_of(silent), market, calendar, cuts=5, progress=lambda *step: told.append(step))
    assert {(name, total) for name, _, total in told} == {("silent", told[0][2])}
    # Per cut a shorter market, four corruptions of it, four of the calendar and, in another process, the series.
    questions = len(found.cuts_ms) * (9 + forking) + STATE_QUESTIONS + len(found.reads) + len(found.unread)
    assert told[0][2] in range(questions, questions + 2)
    assert [done for _, done, _ in told][: told[0][2]] == list(range(told[0][2]))
    assert all(done < total for _, done, total in told)


def test_a_strategy_that_decides_nothing_is_not_called_clean(market: Market, calendar: Calendar) -> None:
    def silent(market: Market, calendar: Calendar) -> list[Intent]:
        return []

    assert audit(planted.strategy_of(silent), market, calendar, cuts=5).verdict == "not exercised"


def test_a_strategy_that_fails_without_its_future_is_caught(market: Market, calendar: Calendar) -> None:
    def needs_the_end(market: Market, calendar: Calendar) -> list[Intent]:
        end = parse_timerange("20251101-").start_ms or 0
        if market.end_ms < end:
            raise RuntimeError("no November")
        return [planted.long(market, market.start_ms + 48 * planted.HOUR)]

    leak = audit(planted.strategy_of(needs_the_end), market, calendar).leak
    assert leak is not None
    assert leak.corruption == "truncation"
    assert "no November" in leak.sentence
    assert leak.read == "the bar of 2025-10-31 23:00"


def test_draws_without_a_seed_are_refused(market: Market, calendar: Calendar) -> None:
    generator = np.random.default_rng(1)

    def restless(market: Market, calendar: Calendar) -> list[Intent]:
        return [planted.long(market, market.start_ms + int(generator.integers(24, 600)) * planted.HOUR)]

    with pytest.raises(UsageError, match="'restless' decides otherwise when asked again"):
        audit(planted.strategy_of(restless), market, calendar)
    with pytest.raises(UsageError, match="cuts = 2 is too few"):
        audit(planted.strategy_of(restless), market, calendar, cuts=2)


@pytest.mark.parametrize("kind", MARKET_CORRUPTIONS)
def test_a_corruption_changes_the_future_and_nothing_else(kind: str, sample: Market) -> None:
    wrong = corrupt(sample, kind, slice(1000, None))
    for name in PANELS:
        before, after = getattr(sample, name), getattr(wrong, name)
        np.testing.assert_array_equal(after[:1000], before[:1000])
        # Between settlements the rate is known to be zero, which no factor and no turn changes.
        known = ~np.isnan(before[1000:]) & ((name != "funding") | (before[1000:] != 0) | (kind == "missing"))
        assert known.any(), name
        changed = after[1000:][known] != before[1000:][known]
        assert changed.mean() > 0.95, name


@pytest.mark.parametrize("kind", MARKET_CORRUPTIONS)
@pytest.mark.parametrize("rows", [slice(0, None), slice(1000, None), slice(1000, 1003), slice(2_615, None)])
def test_a_corrupted_market_would_pass_the_checks_it_is_spared(kind: str, rows: slice, sample: Market) -> None:
    for wrong in (corrupt(sample, kind, rows), *(corrupt_panel(sample, name, rows, room=True) for name in PANELS)):
        checked = replace(wrong, **{name: np.array(getattr(wrong, name)) for name in PANELS})
        assert checked.sha256() == wrong.sha256()
        assert not wrong.close.flags.writeable


def test_rows_before_a_corruption_change_none_of_its_numbers() -> None:
    whole = np.random.default_rng(7).uniform(-1.0, 1.0, (50, 3))
    for cells in ((slice(0, None), slice(None)), (slice(20, None), slice(1, 2)), (slice(49, 50), slice(0, 2))):
        np.testing.assert_array_equal(_uniform(-1.0, 1.0, (50, 3), cells, 7), whole[cells])
    assert _uniform(-1.0, 1.0, (50, 3), (slice(50, None), slice(None)), 7).shape == (0, 3)


@pytest.mark.parametrize("panel", PANELS)
def test_one_panel_is_corrupted_alone(panel: str, sample: Market) -> None:
    wrong = corrupt_panel(sample, panel, slice(1000, None))
    for name in PANELS:
        same = np.array_equal(getattr(sample, name), getattr(wrong, name), equal_nan=True)
        assert same == (name != panel)


def test_a_corrupted_calendar_keeps_what_is_known(calendar: Calendar) -> None:
    moment = to_ms(next(one for one in calendar if one.id == "zk-2025-11-01-vitalik").announced_at or 0)  # type: ignore[arg-type]
    hidden = hidden_at(calendar, moment)
    known = [one.id for one in calendar if one not in hidden]
    assert len(known) == 8
    assert "zk-2025-11-01-vitalik" not in known
    for kind in ("removed", "changed", "moved", "added"):
        wrong = corrupt_calendar(calendar, kind, hidden, moment)
        for identifier in known:
            assert repr(wrong[identifier]) == repr(calendar[identifier])
        assert wrong.hash() != calendar.hash()
    assert [one.id for one in corrupt_calendar(calendar, "removed", hidden, moment)] == known


def test_every_strategy_is_a_strategy() -> None:
    assert len(REGISTRY) == 15
    assert all(issubclass(one, Strategy) for one in REGISTRY.values())
