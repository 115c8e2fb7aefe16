"""Contents of a baseline: the request, its data, its configuration, and the results."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numba
import numpy as np
import pandas as pd
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from backtest import __version__
from backtest.base.arguments import checked
from backtest.base.errors import UsageError
from backtest.base.identity import document_of
from backtest.base.units import TimeRange, from_ms, timeframe_ms, to_ms
from backtest.baseline.ledger import DIGITS, ledger_hash, ledger_lines
from backtest.catalysts.record import Calendar, Catalyst
from backtest.engine.prepared import Prepared
from backtest.market.record import Market
from backtest.market.series import PANELS
from backtest.scoring.evaluation import Evaluation
from backtest.scoring.metric import METRICS
from backtest.scoring.metrics import Score, scored
from backtest.scoring.scorecard import Scorecard, scorecard
from backtest.signals.strategy import Strategy

NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
SHORT = 16


def _instant(text: str) -> str:
    try:
        to_ms(datetime.fromisoformat(text))
    except (ValueError, UsageError):
        raise ValueError("not an instant such as 2025-10-01T00:00:00Z") from None
    return text


def _timeframe(text: str) -> str:
    try:
        timeframe_ms(text)
    except UsageError as problem:
        raise ValueError(str(problem)) from None
    return text


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Data(_Section):
    """Which bars: their name, their span (end exclusive), and hashes of what a replay reads. `instruments` hashes each
    instrument's own bars; `detail` the finer bars, empty if there were none.
    """

    name: str
    label: str
    timeframe: Annotated[str, AfterValidator(_timeframe)]
    start: Annotated[str, AfterValidator(_instant)]
    end: Annotated[str, AfterValidator(_instant)]
    sha256: str
    instruments: dict[str, str]
    detail: str = ""

    @property
    def span(self) -> TimeRange:
        """The recorded bars as a time range."""
        start, end = (to_ms(datetime.fromisoformat(text)) for text in (self.start, self.end))
        return TimeRange(start, end)

    @model_validator(mode="after")
    def _spanned(self) -> Data:
        start, end = self.span
        if start is None or end is None or end <= start:
            raise ValueError(f"end {self.end} is not after start {self.start}")
        return self


class CatalystRows(_Section):
    """Which catalysts: the calendar's name and hash, and the hash of each row by its id."""

    name: str
    hash: str
    catalysts: dict[str, str]


class Configuration(_Section):
    """The whole RunConfig, given and default values alike."""

    hash: str
    values: dict[str, JsonValue]


class Decider(_Section):
    """The strategy: every parameter, and the hash of its module's source (null where it has no file)."""

    name: str
    parameters: dict[str, JsonValue]
    source: str | None


class Plan(_Section):
    """The placebo that p comes from.

    `family` names the strategies that were recorded together, for which the verdict's p is adjusted: each is evaluated
    alone, so by Bonferroni, their number times p. None for this strategy alone.
    """

    kind: str
    draws: int
    statistic: str
    seed: int
    family: tuple[str, ...] = ()


class Trades(_Section):
    """Every closed trade: how many, one line each, and the hash of exactly these lines."""

    count: Count
    ledger_hash: str
    ledger: tuple[str, ...]

    @model_validator(mode="after")
    def _whole(self) -> Trades:
        if self.count != len(self.ledger):
            raise ValueError(f"count is {self.count}, but the ledger has {len(self.ledger)} lines")
        if self.ledger_hash != ledger_hash(self.ledger):
            raise ValueError(f"ledger_hash {self.ledger_hash} is not that of the ledger, so it was edited by hand")
        return self


class RecordedMetric(_Section):
    """One number and how far it may move: by the larger of `absolute` and `relative` times its value.

    `value` is null where undefined, with the reason.
    """

    value: float | None
    absolute: NonNegative
    relative: NonNegative
    reason: str = ""


class Baseline(_Section):
    """What one strategy did on one dataset, as it was recorded.

    `request` is what the user asked for, which `check` runs again; null if recorded from Python. `versions` are for
    information and never compared.
    """

    schema_: Literal["backtest.baseline/2"] = Field(alias="schema")
    request: dict[str, JsonValue] | None
    strategy: Decider
    data: Data
    calendar: CatalystRows
    config: Configuration
    placebo: Plan | None
    versions: dict[str, str]
    verdict: str
    metrics: dict[str, RecordedMetric]
    rejected: dict[str, Count]
    trades: Trades


def in_family(card: Scorecard, size: int) -> Scorecard:
    """The scorecard of one of several strategies, each evaluated alone: the verdict uses p times their number."""
    luck = card.placebo
    if luck is None or luck.reason or size < 2:
        return card
    placebo = replace(luck, adjusted=min(1.0, size * luck.p), family=size)
    return scorecard(card.strategy, card.scores, placebo, card.capacity, card.thresholds, card.label)


@checked
def baseline_of(evaluation: Evaluation, request: dict[str, Any] | None, family: Sequence[str] = ()) -> Baseline:
    """Baseline of an evaluation of one strategy, with the default tolerances.

    `family` names the strategies recorded together, this one too, for which the verdict's p is adjusted.

    Raises
    ------
    UsageError
        Where the evaluation holds another number of strategies: p is adjusted for all that are tested together.
    """
    if len(evaluation.runs) != 1:
        raise UsageError(
            f"a baseline is of one strategy, and the evaluation holds {len(evaluation.runs)}: evaluate each alone"
        )
    (strategy,), (run,), (card,) = evaluation.strategies, evaluation.runs, evaluation.cards
    card = in_family(card, len(family))
    scores = [
        *card.scores,
        scored("net_low", run.net_low, len(run.trades)),
        scored("net_high", run.net_high, len(run.trades)),
    ]
    if card.placebo is not None:
        scores.append(scored("placebo_p", card.placebo.p, card.placebo.n, card.placebo.reason))
    lines = ledger_lines(run.trades)
    counts = run.rejected["reason"].value_counts()
    plan = evaluation.plan
    return Baseline(
        schema="backtest.baseline/2",
        request=request,
        strategy=Decider(
            name=strategy.name,
            parameters=document_of(strategy.parameters),
            source=source_hash(strategy),
        ),
        data=data_of(evaluation.market, evaluation.prepared),
        calendar=rows_of(evaluation.calendar),
        config=Configuration(hash=evaluation.config.hash(), values=document_of(evaluation.config)),
        placebo=None
        if plan is None
        else Plan(kind=plan.kind, draws=plan.draws, statistic=plan.statistic, seed=plan.seed, family=tuple(family)),
        versions={
            "backtest": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pandas": pd.__version__,
            "numba": numba.__version__,
        },
        verdict=card.verdict,
        metrics={score.name: _metric(score) for score in scores},
        rejected={str(reason): int(counts[reason]) for reason in sorted(counts.index)},
        trades=Trades(count=len(lines), ledger_hash=ledger_hash(lines), ledger=lines),
    )


def _metric(score: Score) -> RecordedMetric:
    allowed = METRICS[score.name]
    defined = math.isfinite(score.value)
    value = float(f"{score.value:.{DIGITS}g}") if defined else None
    return RecordedMetric(
        value=value, absolute=allowed.absolute, relative=allowed.relative, reason="" if defined else score.reason
    )


def data_of(market: Market, prepared: Prepared | None = None) -> Data:
    """What a baseline records of a market; the finer bars are read from `prepared`."""
    digests = {}
    for column, symbol in enumerate(market.symbols):
        digest = hashlib.sha256()
        for name, values in market.panels.items():
            # A further series that is unknown of this instrument leaves its hash alone.
            if name in PANELS:
                digest.update((values[:, column] + 0.0).tobytes())
            elif not np.isnan(values[:, column]).all():
                digest.update(name.encode() + (values[:, column] + 0.0).tobytes())
        digests[symbol] = digest.hexdigest()[:SHORT]
    return Data(
        name=market.provenance.name,
        label=market.provenance.label,
        timeframe=market.timeframe,
        start=_iso(market.start_ms),
        end=_iso(market.end_ms),
        sha256=market.sha256(),
        instruments=digests,
        detail="" if prepared is None else _detail_hash(prepared),
    )


def _detail_hash(prepared: Prepared) -> str:
    """Hash of the finer bars inside the market's own span; empty where there are none."""
    bars = prepared.bars
    if not bars.detail.size:
        return ""
    first = max(int(bars.detail_first), 0)
    inside = bars.detail[:, first : max(int(bars.detail_first) + prepared.bar_count * int(bars.detail_ratio), first)]
    place = repr((inside.shape, bars.detail_column.tolist(), min(int(bars.detail_first), 0), int(bars.detail_ratio)))
    return hashlib.sha256(place.encode() + np.ascontiguousarray(inside + 0.0).tobytes()).hexdigest()[:SHORT]


def _iso(milliseconds: int) -> str:
    return from_ms(milliseconds).isoformat().replace("+00:00", "Z")


def rows_of(calendar: Calendar) -> CatalystRows:
    """What a baseline records of a calendar."""
    return CatalystRows(
        name=calendar.name, hash=calendar.hash(), catalysts={one.id: _row_hash(one) for one in calendar}
    )


def _row_hash(one: Catalyst) -> str:
    return hashlib.sha256(json.dumps(one.said(), default=str, sort_keys=True).encode()).hexdigest()[:SHORT]


def source_hash(strategy: Strategy[Any]) -> str | None:
    """Hash of the text of the strategy's module, whatever its line endings; None where it has no file."""
    file = getattr(sys.modules.get(type(strategy).__module__), "__file__", None)
    if file is None or not Path(file).is_file():
        return None
    return hashlib.sha256(Path(file).read_text(encoding="utf-8").encode()).hexdigest()[:SHORT]


def keep_tolerances(baseline: Baseline, before: Baseline) -> Baseline:
    """The baseline with the tolerances of the one before it, which may have been edited by hand."""
    kept = {
        name: metric.model_copy(update={"absolute": old.absolute, "relative": old.relative})
        if (old := before.metrics.get(name))
        else metric
        for name, metric in baseline.metrics.items()
    }
    return baseline.model_copy(update={"metrics": kept})
