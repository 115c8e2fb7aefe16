"""Walk-forward over catalysts: parameters chosen on earlier catalysts, traded on later ones.

    ├──────── train ────────┤ purge ┤ embargo ┤──────── test ────────┤
                                              first known test catalyst

Catalysts are ordered by `known_at` and cut into folds + 1 blocks; the first is only trained on. For each other block
the market and the calendar end where the embargo begins, and a catalyst whose `horizon` reaches past that is purged:
no training data overlap the test that follows. Each choice decides from the first catalyst of its block to that of the
next, and all decisions are replayed as one portfolio. Lopez de Prado, Advances in Financial Machine Learning (2018),
chapters 7 and 12.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backtest.base.arguments import checked
from backtest.base.config import RunConfig
from backtest.base.display import Shown, View, cell, count, p_value, percent
from backtest.base.display import number as decimals
from backtest.base.errors import UsageError
from backtest.base.progress import Progress, silent
from backtest.base.tasks import parts
from backtest.base.units import TimeRange, duration_ms, format_ms
from backtest.catalysts.record import Calendar, Catalyst
from backtest.catalysts.timing import known_at_ms, known_between
from backtest.engine.layout import TRADES
from backtest.engine.prepared import prepare
from backtest.engine.replay import replay_prepared, replay_statistics, statistic_code
from backtest.engine.run import Run
from backtest.market.record import Floats, Market
from backtest.scoring.placebo import Placebo, PlaceboPlan, placebo_intents
from backtest.scoring.space import Trial
from backtest.signals.filters import check_filters
from backtest.signals.strategy import Intent, Intents, Strategy


@checked
@dataclass(frozen=True, slots=True, eq=False)
class WalkForward:
    """The trials to choose from, the data, and how the catalysts are cut.

    `horizon_ms` is how long the outcome of a catalyst takes, `embargo_ms` the gap before each test, `memory` the number
    of blocks trained on (0: all earlier ones). As in `evaluate`, catalysts that are moves of the price itself are left
    out of `calendar` unless `endogenous`.
    """

    strategy: type[Strategy[Any]]
    trials: tuple[Trial, ...]
    market: Market
    calendar: Calendar
    config: RunConfig
    folds: int
    horizon_ms: int
    embargo_ms: int
    memory: int = 0
    statistic: str = "net_return"
    detail: Market | None = None
    endogenous: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "calendar", self.calendar.tested(endogenous=self.endogenous))

    def __repr__(self) -> str:
        return f"<WalkForward {self.strategy.name}: {len(self.trials):,} trials, {self.folds} folds on {self.market!r}>"


@dataclass(frozen=True, slots=True)
class Fold:
    """One train/test cut, in ids of catalysts.

    Training sees the bars in [train_start_ms, cut_ms); testing decides in [test_start_ms, test_end_ms).
    """

    number: int
    train: tuple[str, ...]
    purged: tuple[str, ...]
    test: tuple[str, ...]
    train_start_ms: int
    cut_ms: int
    test_start_ms: int
    test_end_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The choice of a fold: `trial` is None, with the `reason`, if no trial has the statistic in training."""

    fold: Fold
    train_statistics: Floats
    trial: Trial | None
    train_statistic: float
    test_statistic: float
    test_trades: int
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WalkForwardResult(Shown):
    """The choices, and one continuous replay of all their out-of-sample decisions.

    `run` starts one liquidity window before the first test, so that liquidity is known there.
    """

    walk: WalkForward
    choices: tuple[Choice, ...]
    run: Run
    placebo: Placebo | None

    def _line(self) -> str:
        net = percent(self.run.costs.net / self.run.config.capital)
        return f"{self.run.strategy}: net {net} out of sample over {len(self.choices)} folds"

    def _label(self) -> str:
        return self.run.market.provenance.label

    def _view(self) -> View:
        show = decimals if self.walk.statistic in ("sharpe", "sortino") else percent
        rows = [
            (
                f"{one.fold.number}",
                ", ".join(f"{name}={value}" for name, value in one.trial.parameters) if one.trial else one.reason,
                cell(one.train_statistic, show, one.reason),
                cell(one.test_statistic, show, one.reason or "nothing was traded"),
                count(one.test_trades),
            )
            for one in self.choices
        ]
        luck = self.placebo
        told = () if luck is None else (f"placebo: {luck.reason or f'p {p_value(luck.p)}'}",)
        columns = ("fold", "chosen", f"{self.walk.statistic} in training", "in test", "trades")
        return View(columns, rows, (*told, *self.run.notes))


def folds_of(walk: WalkForward) -> tuple[Fold, ...]:
    """The cuts, in order of time.

    Raises
    ------
    UsageError
        For fewer catalysts than blocks, or a training set without any.
    """
    market = walk.market
    known = known_between(walk.calendar, market.start_ms, market.end_ms)
    if walk.folds < 1 or len(known) < walk.folds + 1:
        raise UsageError(
            f"{walk.folds} folds need at least one catalyst each and one to train on, but {len(known)} became known in "
            "the data: use fewer `folds` or more catalysts"
        )
    blocks = np.array_split(np.arange(len(known)), walk.folds + 1)
    folds = []
    for number in range(1, walk.folds + 1):
        first = blocks[max(0, number - walk.memory)][0] if walk.memory else 0
        test_start = known[blocks[number][0]][1]
        later = blocks[number + 1][0] if number < walk.folds else None
        cut = _floor(test_start - walk.embargo_ms, market)
        seen = [known[place] for place in range(first, blocks[number][0])]
        train = tuple(one.id for one, at in seen if at + walk.horizon_ms <= cut)
        if not train:
            raise UsageError(
                f"fold {number} has nothing to train on before {format_ms(cut)} once purged and embargoed: use fewer "
                "`folds`, or a shorter `horizon` or `embargo`"
            )
        folds.append(
            Fold(
                number=number,
                train=train,
                purged=tuple(one.id for one, _ in seen if one.id not in train),
                test=tuple(known[place][0].id for place in blocks[number]),
                train_start_ms=market.start_ms if first == 0 else _floor(known[first][1], market),
                cut_ms=cut,
                test_start_ms=test_start,
                test_end_ms=market.end_ms if later is None else known[later][1],
            )
        )
    return tuple(folds)


def _floor(moment_ms: int, market: Market) -> int:
    """The moment, or the bar open before it."""
    return moment_ms - (moment_ms - market.start_ms) % market.bar_ms


def _of(calendar: Calendar, ids: tuple[str, ...]) -> Calendar:
    return Calendar(calendar.name, tuple(one for one in calendar if one.id in ids))


def train_part(walk: WalkForward, number: int) -> bytes:
    """Statistic (N,) of each trial in the training of fold `number` (from 1), as the bytes of an npy."""
    fold = folds_of(walk)[number - 1]
    market = walk.market.between(TimeRange(fold.train_start_ms, fold.cut_ms))
    calendar = _of(walk.calendar, fold.train)
    prepared = prepare(market, walk.config, walk.detail)
    values = np.empty(len(walk.trials))
    net_only = walk.statistic in ("net_return", "mean_trade")
    for place, trial in enumerate(walk.trials):
        intents = walk.strategy(dict(trial.parameters)).decide(market, calendar)
        found = replay_statistics(prepared.orders(intents), prepared, 1, net_only=net_only)
        values[place] = found[0, statistic_code(walk.statistic)]
    content = io.BytesIO()
    np.save(content, values)
    return content.getvalue()


@checked
def walk_forward(
    walk: WalkForward, plan: PlaceboPlan | None = None, *, cluster: str | None = None, progress: Progress = silent
) -> WalkForwardResult:
    """Choose on each training set, trade each test, replay all trades as one portfolio, and compare it with placebos.

    Training and placebos run here, or on the Dask cluster at an address.

    Raises
    ------
    UsageError
        For cuts that cannot be made, a parameter that the strategy does not have, or a placebo that decides anew,
        because the choices of several folds are not one strategy.
    """
    if plan is not None:
        plan.check_moves_intents()
    folds = folds_of(walk)
    for trial in walk.trials:
        check_filters(walk.strategy(dict(trial.parameters)), walk.market, walk.calendar)
    numbers = range(1, len(folds) + 1)
    progress("trainings", 0, len(folds))
    done: dict[int, bytes] = {}
    for number, content in parts(train_part, walk, numbers, cluster):
        done[number] = content
        progress("trainings", len(done), len(folds))
    lead = duration_ms(walk.config.liquidity_window)
    start = max(walk.market.start_ms, _floor(folds[0].test_start_ms - lead, walk.market))
    market = walk.market.between(TimeRange(start, None))
    prepared = prepare(market, walk.config, walk.detail)
    code = statistic_code(walk.statistic)
    rows: list[Intent] = []
    choices = []
    for fold in folds:
        trained = np.load(io.BytesIO(done[fold.number]), allow_pickle=False)
        if np.isnan(trained).all():
            reason = f"no trial has a {walk.statistic} in training"
            choices.append(Choice(fold, trained, None, float("nan"), float("nan"), 0, reason))
            continue
        best = int(np.nanargmax(trained))
        own = _decided(walk, walk.trials[best], fold)
        statistics = replay_statistics(prepared.orders(Intents(own)), prepared, 1)[0]
        choices.append(
            Choice(
                fold, trained, walk.trials[best], float(trained[best]), float(statistics[code]), int(statistics[TRADES])
            )
        )
        rows += own
    intents = Intents(tuple(rows))
    tested = tuple(name for fold in folds for name in fold.test)
    calendar = _of(walk.calendar, tested)
    run = replay_prepared(prepared, intents, calendar=calendar, strategy=walk.strategy.name)
    luck = None
    if plan is not None:
        (luck,) = placebo_intents([intents], prepared, calendar, plan, progress, cluster)
    return WalkForwardResult(walk, tuple(choices), run, luck)


def _decided(walk: WalkForward, trial: Trial, fold: Fold) -> tuple[Intent, ...]:
    """The decisions of a trial in the test of a fold, from the bars and catalysts up to its end."""
    market = walk.market.between(TimeRange(None, min(_ceil(fold.test_end_ms, walk.market), walk.market.end_ms)))
    calendar = Calendar(walk.calendar.name, tuple(one for one in walk.calendar if _known(one, fold.test_end_ms)))
    decided = walk.strategy(dict(trial.parameters)).decide(market, calendar)
    return tuple(
        _named_apart(row, fold.number)
        for row in decided.rows
        if fold.test_start_ms <= row.decided_at_ms < fold.test_end_ms
    )


def _named_apart(row: Intent, fold: int) -> Intent:
    """The intent renamed for its fold: two folds may give a group, or the parts of an order, the same name."""
    if row.part_of:
        return replace(row, part_of=f"{fold} {row.part_of}")
    return replace(row, group=f"{fold} {row.group}") if row.group else row


def _ceil(moment_ms: int, market: Market) -> int:
    return market.start_ms - (market.start_ms - moment_ms) // market.bar_ms * market.bar_ms


def _known(catalyst: Catalyst, before_ms: int) -> bool:
    at = known_at_ms(catalyst)
    return at is not None and at < before_ms
