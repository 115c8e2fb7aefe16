"""Placebo tests: how often calendars that never happened did as well, unadjusted and adjusted for multiple testing.

p = (1 + #{T* >= T}) / (B + 1) over B placebo statistics T* and the observed T: Phipson and Smyth, Statistical
Applications in Genetics and Molecular Biology 9 (2010), doi:10.2202/1544-6115.1585. For several strategies or a grid
the same draws move every member, and p is adjusted by the maximum statistic (`backtest.scoring.familywise`).

An undefined placebo statistic (a draw on which nothing traded, or that met unknown funding under the policy `error`)
counts as less than any other. If the observed statistic is undefined, or more than a fifth of the draws are, p is NaN
with the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from backtest.base.arguments import checked
from backtest.base.display import Shown, View, cell, number, p_value, percent
from backtest.base.errors import UsageError, near_miss, shortened
from backtest.base.progress import Progress, silent
from backtest.catalysts.record import Calendar
from backtest.engine.layout import EXPOSURE, STATISTICS, TRADES
from backtest.engine.prepared import Prepared
from backtest.engine.replay import replay_statistics, statistic_code
from backtest.market.record import Flags, Floats
from backtest.scoring.drawing import Drawing, Member, drawn
from backtest.scoring.draws import EntryRows, Impossible, event_bars
from backtest.scoring.drift import without_drift
from backtest.scoring.ends import Ends, both_orders, p_at_both_ends
from backtest.scoring.familywise import rounding, westfall_young
from backtest.scoring.kinds import DEFAULT_KIND, PLACEBO_KINDS
from backtest.scoring.power import LEVEL, clopper_pearson, least_effect, slope
from backtest.signals.strategy import Intents, Strategy

Statistic = Literal["net_return", "sharpe", "mean_trade"]
KINDS: tuple[str, ...] = tuple(PLACEBO_KINDS)
TESTABLE: tuple[str, ...] = get_args(Statistic)

NAN, MOST_DRAWS = float("nan"), 10_000_000
MOST_UNDEFINED, MOST_EXPOSURE, LONGEST_TRADE = 0.2, 0.8, 0.2
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class PlaceboPlan:
    """Which calendars, how many at most, and which statistic is compared on them.

    Raises
    ------
    UsageError
        For an unknown kind or statistic, or fewer than 19 draws (p could not reach 0.05).
    """

    kind: str = DEFAULT_KIND
    draws: int = 10_000
    statistic: Statistic = "net_return"
    seed: int = 20251101

    def check_moves_intents(self) -> None:
        """Raise `UsageError` for a kind that requires strategies to decide anew."""
        if PLACEBO_KINDS[self.kind].move is None:
            moving = (name for name, kind in PLACEBO_KINDS.items() if kind.move)
            raise UsageError(
                f"placebo {self.kind!r} lets a strategy decide anew, and here are only intents: "
                f"choose {', '.join(moving)}"
            )

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"placebo {shortened(self.kind)} is unknown; {near_miss(self.kind, KINDS)}")
        if self.statistic not in TESTABLE:
            raise UsageError(f"statistic {shortened(self.statistic)} is unknown; {near_miss(self.statistic, TESTABLE)}")
        if self.draws < 19:
            raise UsageError(f"{self.draws} placebo draws cannot reach p = 0.05: use at least 19, or 0 for none")
        if self.draws > MOST_DRAWS:
            raise UsageError(f"{shortened(self.draws)} placebo draws are more than {MOST_DRAWS:,}: draw fewer")


def parse_plan(text: str, statistic: str, seed: int) -> PlaceboPlan | None:
    """Plan of `10000`, `dates` or `dates:5000`; None for `0`.

    Raises
    ------
    UsageError
        For another form.
    """
    kind, _, count = text.rpartition(":") if ":" in text or text.isdecimal() else (text, "", "10000")
    if not re.fullmatch(r"[0-9]{1,18}", count) or (kind and kind not in KINDS):
        raise UsageError(
            f"`placebo` {shortened(text)} is not KIND, COUNT or KIND:COUNT: write 10000, dates, coins:5000, calendar, "
            f"or 0 for none; as a kind {near_miss(kind, KINDS)}"
        )
    if int(count) == 0:
        return None
    return PlaceboPlan(kind or DEFAULT_KIND, int(count), statistic, seed)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, repr=False)
class Placebo(Shown):
    """Evidence of one strategy against calendars that never happened.

    Attributes
    ----------
    kind, statistic : str
    observed : float
        The statistic on the calendar that did happen.
    p : float
        Share of calendars, the real one included, that did at least as well; NaN with the `reason`.
    low, high : float
        95 % Clopper-Pearson bounds of the p that infinitely many draws would give; both equal p if `exact`.
    adjusted : float
        p adjusted for multiple testing over the family (step-down maximum statistic); p itself in a family of one.
    n, undefined : int
        Number of placebo calendars, and of those on which the statistic was undefined.
    family : int
        Number of members tested together.
    exact : bool
        Whether all possible calendars of this kind were used.
    mean, deviation : float
        Mean and standard deviation of the defined placebo statistics.
    quantiles : tuple of float
        Their QUANTILES.
    reason : str
        Why there is no p; empty if there is one.
    drawn : (n,) float64
        The statistic on each placebo calendar, NaN where undefined; empty if there is no p. Not written to documents.
    floor : float
        Least p that this number of calendars can give.
    least_effect : float
        Least gain per trade, share of its notional, that would have lifted 80 % of the placebo calendars above the 5 %
        critical value without it; NaN if no gain could, or if unknown.
    foreknown : float
        Number of placebo calendars that did as well and lie up to four days before the real one, so that an intent on
        them knew the catalyst in advance; NaN if calendars are not moved by a common shift.
    driftless_p : float
        p on bars without their drift (`backtest.scoring.drift`): what is left of the effect if everything rose anyway.
    least_p, greatest_p : float
        p of the greatest and of the least value of the statistic that the bars allow (`backtest.scoring.ends`); NaN if
        they allow one value only, or the statistic has no such bounds; `least_p` also if no path is known to reach the
        greatest.
    doubtful : int
        Number of bars whose order of prices decides where in between it lies.
    """

    kind: str
    statistic: Statistic
    observed: float
    p: float = NAN
    low: float = NAN
    high: float = NAN
    adjusted: float = NAN
    n: int = 0
    undefined: int = 0
    family: int = 0
    exact: bool = False
    mean: float = NAN
    deviation: float = NAN
    quantiles: tuple[float, ...] = (NAN,) * len(QUANTILES)
    reason: str = ""
    drawn: Floats = field(default_factory=lambda: np.empty(0), compare=False)
    floor: float = NAN
    least_effect: float = NAN
    foreknown: float = NAN
    driftless_p: float = NAN
    least_p: float = NAN
    greatest_p: float = NAN
    doubtful: int = 0

    def document(self) -> dict[str, Any]:
        """Fields that documents hold: everything but the draws."""
        return {name: value for name, value in asdict(self).items() if name != "drawn"}

    def _line(self) -> str:
        return f"{self.statistic} on {self.n:,} calendars of kind {self.kind}: {self.reason or f'p {p_value(self.p)}'}"

    def _view(self) -> View:
        show = number if self.statistic == "sharpe" else percent
        numbers = {"observed": self.observed, "mean": self.mean, "5%": self.quantiles[1], "95%": self.quantiles[5]}
        row = [cell(value, show, self.reason) for value in numbers.values()]
        row += [cell(value, p_value, self.reason) for value in (self.p, self.adjusted)]
        notes = [f"p is one-sided, at least {p_value(self.floor)}; {self.found}"] if not self.reason else []
        if self.family > 1:
            notes.append(f"p is adjusted for multiple testing over {self.family} tested together")
        return View((*numbers, "p", "adjusted p"), [row], notes)

    @property
    def found(self) -> str:
        """What the placebo could have found, in words."""
        if self.floor > LEVEL:
            return f"no effect could be found: the least p is {self.floor:.2g}"
        if np.isnan(self.least_effect):
            return "the least effect that could be found is unknown"
        return f"80% power from {self.least_effect:+.1%} a trade"


@dataclass(frozen=True, slots=True, eq=False)
class Null:
    """Placebo statistics (B,) of one member; empty, with the reason, if there are none.

    Attributes
    ----------
    calendars : float
        Number of different calendars, the observed one included; inf if not counted.
    shifts : (B,) int32
        Bars by which the intents moved; empty if they did not move together.
    response : float
        Gain of the statistic if every trade gains 1, share of its notional: its slope on the mean trade over the
        draws. NaN if unknown.
    driftless : (B + 1,) float64
        The observed statistic, then the B placebo ones, on bars without their drift; empty if not requested.
    early : int
        First shift that moves the intents earlier by at most an event window, around the circle of the data.
    pessimistic, optimistic : (B,) float64
        The statistic on each draw replayed in that stop order; empty if not requested.
    """

    values: Floats
    exact: bool = False
    reason: str = ""
    calendars: float = math.inf
    shifts: EntryRows = field(default_factory=lambda: np.empty(0, np.int32))
    response: float = NAN
    driftless: Floats = field(default_factory=lambda: np.empty(0))
    early: int = 0
    pessimistic: Floats = field(default_factory=lambda: np.empty(0))
    optimistic: Floats = field(default_factory=lambda: np.empty(0))


def observed_statistics(members: Sequence[Intents], prepared: Prepared) -> Floats:
    """STATISTICS (M, 8) of each member on the real calendar."""
    rows = [replay_statistics(prepared.orders(intents), prepared, 1)[0] for intents in members]
    return np.array(rows).reshape(len(members), len(STATISTICS))


def without_events(exposure: float, trades: float) -> str:
    """Why moving the intents of a run with this exposure, share of bars, is not a test; empty if it is one.

    A strategy that is nearly always invested has no events to shift. A trade that lasts for much of the data is cut by
    its end when it is moved around the circle, and would be compared with unlike trades.
    """
    if exposure > MOST_EXPOSURE:
        return f"it holds in {exposure:.0%} of the bars (limit {MOST_EXPOSURE:.0%}), so it has no events to move"
    if trades > 0 and exposure / trades > LONGEST_TRADE:
        return (
            f"a trade of it lasts {exposure / trades:.0%} of the data (limit {LONGEST_TRADE:.0%}), so a moved one "
            "would be cut by the end"
        )
    return ""


def null_of(
    intents: Intents,
    prepared: Prepared,
    calendar: Calendar,
    plan: PlaceboPlan,
    strategy: Strategy[Any] | None = None,
    driftless: Prepared | None = None,
    ends: bool = False,
) -> Null:
    """Placebo statistics of one member; a kind that decides anew needs its `strategy`.

    `driftless` is the same market without its drift, on which the same calendars are also replayed; with `ends` they
    are also replayed in both stop orders.

    Raises
    ------
    UsageError
        If the kind decides anew and no strategy is given.
    """
    (found,) = nulls_of([_member(intents, prepared, strategy, driftless, ends)], calendar, plan)
    return found


def _member(
    intents: Intents, prepared: Prepared, strategy: Strategy[Any] | None, driftless: Prepared | None, ends: bool
) -> Member:
    others = [*([] if driftless is None else [driftless]), *(both_orders(prepared) if ends else ())]
    return Member(intents, strategy, (prepared, *others))


def nulls_of(
    members: Sequence[Member],
    calendar: Calendar,
    plan: PlaceboPlan,
    cluster: str | None = None,
    progress: Progress = silent,
) -> list[Null]:
    """Placebo statistics of each member, worked out here or on a cluster."""
    if any(member.strategy is None for member in members):
        plan.check_moves_intents()
    work = Drawing(tuple(members), calendar, plan.kind, plan.draws, plan.seed, net_only=plan.statistic != "sharpe")
    nulls = []
    for member, found in zip(members, drawn(work, cluster, progress), strict=True):
        if isinstance(found, Impossible):
            nulls.append(Null(np.empty(0), reason=found.reason))
            continue
        null = Null(np.empty(0), found.exact, calendars=found.calendars, shifts=found.shifts)
        nulls.append(_completed(null, found.statistics, member, plan))
    return nulls


def _completed(found: Null, drawn: Floats, member: Member, plan: PlaceboPlan) -> Null:
    """The null with what is worked out of the STATISTICS (P, B, 8) of its draws."""
    code, replayed = statistic_code(plan.statistic), member.replayed
    without = np.empty(0)
    if len(replayed) in (2, 4) and len(member.intents):
        own = replayed[0].orders(member.intents)
        without = np.append(replay_statistics(own, replayed[1], 1)[0, code], drawn[1, :, code])
    return replace(
        found,
        values=np.ascontiguousarray(drawn[0, :, code]),
        response=slope(drawn[0, :, statistic_code("mean_trade")], drawn[0, :, code]),
        driftless=without,
        early=replayed[0].bar_count - event_bars(replayed[0].market.bar_ms),
        pessimistic=np.ascontiguousarray(drawn[-2, :, code]) if len(replayed) > 2 else np.empty(0),
        optimistic=np.ascontiguousarray(drawn[-1, :, code]) if len(replayed) > 2 else np.empty(0),
    )


@checked
def placebo_intents(
    members: Sequence[Intents],
    prepared: Prepared,
    calendar: Calendar,
    plan: PlaceboPlan,
    progress: Progress = silent,
    cluster: str | None = None,
) -> tuple[Placebo, ...]:
    """Evidence of each member from moving its intents; p adjusted over all that can be tested.

    Raises
    ------
    UsageError
        For a kind that decides anew, which needs strategies.
    """
    return _placebos([None] * len(members), members, prepared, calendar, plan, cluster, progress)


def placebo_strategies(
    strategies: Sequence[Strategy[Any]],
    members: Sequence[Intents],
    prepared: Prepared,
    calendar: Calendar,
    plan: PlaceboPlan,
    progress: Progress = silent,
    ends: Sequence[Ends] = (),
    cluster: str | None = None,
) -> tuple[Placebo, ...]:
    """Evidence of each strategy and its decisions; p adjusted over all that can be tested.

    `ends` are the bounds of each strategy's statistic, in their order; empty for no p at the bounds.
    """
    return _placebos(strategies, members, prepared, calendar, plan, cluster, progress, ends)


def _placebos(
    strategies: Sequence[Strategy[Any] | None],
    members: Sequence[Intents],
    prepared: Prepared,
    calendar: Calendar,
    plan: PlaceboPlan,
    cluster: str | None,
    progress: Progress,
    ends: Sequence[Ends] = (),
) -> tuple[Placebo, ...]:
    observed = observed_statistics(members, prepared)
    driftless = Prepared(
        prepared.market, prepared.config, without_drift(prepared.bars, prepared.market.bar_ms), prepared.rules
    )
    bounds = ends or [Ends()] * len(members)
    nulls = [Null(np.empty(0), reason=without_events(row[EXPOSURE], row[TRADES])) for row in observed]
    tested = [place for place, null in enumerate(nulls) if not null.reason]
    moving = [_member(members[k], prepared, strategies[k], driftless, bounds[k].apart) for k in tested]
    for place, null in zip(tested, nulls_of(moving, calendar, plan, cluster, progress) if moving else (), strict=True):
        nulls[place] = null
    records = list(evidence(observed[:, statistic_code(plan.statistic)], nulls, plan))
    for place, (null, end) in enumerate(zip(nulls, bounds, strict=True)):
        if end.apart and not records[place].reason:
            least, greatest = p_at_both_ends(end, null.pessimistic, null.optimistic)
            records[place] = replace(records[place], least_p=least, greatest_p=greatest, doubtful=end.doubtful)
    return tuple(records)


def evidence(observed: Floats, nulls: Sequence[Null], plan: PlaceboPlan) -> tuple[Placebo, ...]:
    """Placebo records of M members from their observed statistics (M,) and their nulls, adjusted over those tested."""
    records = [_one(float(value), null, plan) for value, null in zip(observed, nulls, strict=True)]
    tested = [place for place, record in enumerate(records) if not record.reason]
    if tested:
        drawn = np.stack([nulls[place].values for place in tested], axis=1)
        adjusted = westfall_young(observed[tested], drawn)
        for place, value in zip(tested, adjusted, strict=True):
            records[place] = replace(records[place], adjusted=float(value), family=len(tested))
    return tuple(records)


def _one(observed: float, null: Null, plan: PlaceboPlan) -> Placebo:
    n = len(null.values)
    defined = null.values[~np.isnan(null.values)]
    undefined = n - len(defined)
    blank = Placebo(plan.kind, plan.statistic, observed, n=n, undefined=undefined)
    if null.reason:
        return replace(blank, reason=null.reason)
    if np.isnan(observed):
        return replace(blank, reason=f"its {plan.statistic} is undefined: nothing was traded, or it never varied")
    if undefined > MOST_UNDEFINED * n:
        return replace(blank, reason=f"{plan.statistic} is undefined on {undefined} of {n} placebo calendars")
    if not undefined and np.ptp(np.append(defined, observed)) <= rounding(observed):
        return replace(
            blank, reason=f"its {plan.statistic} is the same on every placebo calendar: it reads none of them"
        )
    reached = null.values >= observed - rounding(observed)
    above = int(np.count_nonzero(reached))
    p = (1 + above) / (n + 1)
    low, high = (p, p) if null.exact else clopper_pearson(above, n)
    quantiles = tuple(float(value) for value in np.quantile(defined, QUANTILES))
    return replace(
        blank,
        p=p,
        low=low,
        high=high,
        adjusted=p,
        family=1,
        exact=null.exact,
        mean=float(defined.mean()),
        deviation=float(defined.std(ddof=1)),
        quantiles=quantiles,
        drawn=null.values,
        floor=max(1.0 / (n + 1), 1.0 / null.calendars),
        least_effect=least_effect(null.values, null.response, null.calendars),
        foreknown=foreknown(null, reached),
        driftless_p=_driftless_p(null.driftless),
    )


def foreknown(null: Null, reached: Flags) -> float:
    """Number of the shifts (B,) that did as well and move the intents earlier by at most an event window."""
    if not len(null.shifts):
        return NAN
    return float(np.count_nonzero(reached & (null.shifts >= null.early)))


def _driftless_p(values: Floats) -> float:
    if not len(values) or np.isnan(values[0]):
        return NAN
    return float(np.count_nonzero(values >= values[0] - rounding(values[0]))) / len(values)
