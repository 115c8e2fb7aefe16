"""Compares a baseline with the strategy of today: causes first, then the first trade that differs, then metrics."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from backtest.base.arguments import checked
from backtest.base.config import RunConfig
from backtest.base.errors import BaselineError, DataError, UsageError, near_miss
from backtest.base.identity import document_of
from backtest.base.units import timeframe_ms
from backtest.baseline.ledger import LedgerChange, ledger_change, what_stayed
from backtest.baseline.record import Baseline, CatalystRows, Data, RecordedMetric, baseline_of
from backtest.scoring.evaluation import Evaluation
from backtest.scoring.metric import METRICS

DifferenceKind = Literal[
    "data", "calendar", "request", "config", "placebo", "parameter", "source", "ledger", "trade", "rejected", "metric",
    "verdict",
]  # fmt: skip
Status = Literal["passed", "regressed", "refused"]
Value = float | str | None
LEDGER, VERDICT = "ledger", "verdict"
"""What `accept` calls the trades and rejections, and the verdict."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference from what was recorded.

    `baseline` and `now` are None if there was or is none; `allowed` is how far a number may move, None for other
    values.
    """

    kind: DifferenceKind
    name: str
    baseline: Value
    now: Value
    allowed: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences between a baseline and the strategy as it is today.

    Attributes
    ----------
    strategy, dataset : str
    data_differences : tuple of Difference
        Where bars or catalysts are others: then nothing else was compared.
    differences : tuple of Difference
        Causes first (configuration, placebo, parameters, source), then trades, then metrics.
    notes : tuple of str
        What follows from the differences with certainty; and a changed source that changed nothing.
    trades, metrics : int
        How many were compared.
    label : str
        Of the data, shown wherever results are.
    """

    strategy: str
    dataset: str
    data_differences: tuple[Difference, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()
    trades: int = 0
    metrics: int = 0
    label: str = ""

    @property
    def status(self) -> Status:
        """Passed, regressed, or refused because the data differ."""
        return "refused" if self.data_differences else "regressed" if self.differences else "passed"

    @property
    def passed(self) -> bool:
        """Whether everything is as recorded, within tolerance."""
        return self.status == "passed"

    @property
    def sentences(self) -> tuple[str, ...]:
        """Every difference and note, in the order in which they lead to the cause."""
        return tuple(one.sentence for one in (*self.data_differences, *self.differences)) + self.notes

    def check(self) -> None:
        """Raise the error that the comparison calls for, if any.

        Raises
        ------
        DataError
            Where it was refused.
        BaselineError
            Where it regressed.
        """
        title = f"{self.strategy} on {self.dataset}"
        if self.status == "refused":
            raise DataError(f"{title}: baseline not compared: {'; '.join(self.sentences)}")
        if self.status == "regressed":
            raise BaselineError(f"{title}: not as its baseline: {'; '.join(self.sentences)}")


def refused(strategy: str, dataset: str, sentence: str) -> Comparison:
    """A comparison that could not be made because the baseline or its data are missing."""
    return Comparison(strategy, dataset, (Difference("data", dataset, None, None, None, sentence),), ())


def failed(baseline: Baseline, sentence: str, config: RunConfig | None) -> Comparison:
    """A comparison of a strategy that can no longer be run; `config` is today's, None if it is the cause."""
    today = document_of(config) if config else baseline.config.values
    causes = _settings("config", baseline.config.values, today, "configuration")
    one = Difference("request", "run", None, None, None, f"it cannot be run as it was recorded: {sentence}")
    return Comparison(baseline.strategy.name, baseline.data.name, (), (*causes, one), label=baseline.data.label)


@checked
def compare(baseline: Baseline, evaluation: Evaluation, accept: Collection[str] = ()) -> Comparison:
    """Compare an evaluation of one strategy with its baseline.

    Parameters
    ----------
    accept
        Metrics that may be better than allowed; `ledger` if trades and rejections may differ, `verdict` if it may.

    Raises
    ------
    UsageError
        For a name in `accept` that is none of these.
    """
    for name in accept:
        if name not in (*METRICS, LEDGER, VERDICT):
            raise UsageError(f"accept {name!r} is unknown; {near_miss(name, (*METRICS, LEDGER, VERDICT))}")
    now = baseline_of(evaluation, baseline.request, baseline.placebo.family if baseline.placebo else ())
    data = data_differences(baseline, now.data, now.calendar)
    if data:
        return Comparison(baseline.strategy.name, baseline.data.name, data, ())
    causes, outcomes = tuple(_causes(baseline, now)), tuple(_outcomes(baseline, now, accept))
    source = tuple(_source(baseline, now))
    notes: tuple[str, ...] = ()
    if causes or outcomes:
        notes = tuple(_notes(baseline, now, bool(causes or source), outcomes))
    elif source:
        notes = (f"{source[0].sentence}; its trades and metrics are as recorded",)
    return Comparison(
        baseline.strategy.name,
        baseline.data.name,
        (),
        (*causes, *(source if causes or outcomes else ()), *outcomes),
        notes,
        now.trades.count,
        len(now.metrics),
        now.data.label,
    )


def changes(before: Baseline, now: Baseline) -> tuple[Difference, ...]:
    """Everything that recording again would change in a file, whatever the tolerances; versions excluded."""
    exact = {name: one.model_copy(update={"absolute": 0.0, "relative": 0.0}) for name, one in before.metrics.items()}
    before = before.model_copy(update={"metrics": exact})
    return (
        *_requests(before, now),
        *data_differences(before, now.data, now.calendar),
        *_causes(before, now),
        *_source(before, now),
        *_outcomes(before, now, ()),
    )


def data_differences(baseline: Baseline, data: Data, calendar: CatalystRows) -> tuple[Difference, ...]:
    """Instruments and catalysts that differ from those of the baseline; names and labels are for information only."""
    return (*_bars(baseline.data, data), *_catalysts(baseline.calendar, calendar))


def _bars(was: Data, now: Data) -> Iterator[Difference]:
    for name in ("timeframe", "start", "end"):
        old, new = getattr(was, name), getattr(now, name)
        if old != new:
            yield Difference("data", name, old, new, None, f"{name} of the bars: {old} -> {new}")
    for symbol, old, new in _mismatches(was.instruments, now.instruments):
        what = "is not in the data" if new is None else "is new in the data" if old is None else "has other bars"
        yield Difference("data", symbol, old, new, None, f"{symbol} {what} {_arrow(old, new)}")
    if was.detail != now.detail:
        sentence = f"the finer bars are others {_arrow(was.detail or None, now.detail or None)}"
        yield Difference("data", "detail", was.detail or None, now.detail or None, None, sentence)
    if was.sha256 != now.sha256 and was.instruments == now.instruments and was.detail == now.detail:
        if list(was.instruments) != list(now.instruments):
            sentence = "the instruments stand in another order"
        else:
            sentence = "the hash of the whole data is another"
        yield Difference("data", "sha256", was.sha256[:16], now.sha256[:16], None, sentence)


def _catalysts(was: CatalystRows, now: CatalystRows) -> Iterator[Difference]:
    for identifier, old, new in _mismatches(was.catalysts, now.catalysts):
        what = "is not in the calendar" if new is None else "is new in the calendar" if old is None else "was changed"
        yield Difference("calendar", identifier, old, new, None, f"catalyst {identifier} {what} {_arrow(old, new)}")
    if was.hash != now.hash and was.catalysts == now.catalysts:
        yield Difference("calendar", "order", was.hash, now.hash, None, "the catalysts stand in another order")


def _mismatches(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Keys whose values differ between two mappings, with both values."""
    for key in dict.fromkeys((*was, *now)):
        if key not in was or key not in now or was[key] != now[key]:
            yield key, was.get(key), now.get(key)


def _arrow(old: str | None, new: str | None) -> str:
    return f"(hash {old or 'none'} -> {new or 'none'})"


def _plain(value: Any) -> Value:
    if isinstance(value, str | float | int) and not isinstance(value, bool):
        return value
    return None if value is None else json.dumps(value)


def _settings(kind: DifferenceKind, was: Mapping[str, Any], now: Mapping[str, Any], words: str) -> Iterator[Difference]:
    for key, old, new in _mismatches(was, now):
        before, after = _plain(old), _plain(new)
        sentence = f"{words} {key}: {'none' if before is None else before} -> {'none' if after is None else after}"
        yield Difference(kind, key, before, after, None, sentence)


def _requests(was: Baseline, now: Baseline) -> Iterator[Difference]:
    yield from _settings("request", was.request or {}, now.request or {}, "request")


def _causes(was: Baseline, now: Baseline) -> Iterator[Difference]:
    if was.strategy.name != now.strategy.name:
        sentence = f"the baseline is of {was.strategy.name}, and its request runs {now.strategy.name}"
        yield Difference("request", "strategy", was.strategy.name, now.strategy.name, None, sentence)
    yield from _settings("config", was.config.values, now.config.values, "configuration")
    old, new = ({} if one.placebo is None else one.placebo.model_dump() for one in (was, now))
    yield from _settings("placebo", old, new, "placebo")
    yield from _settings("parameter", was.strategy.parameters, now.strategy.parameters, "parameter")


def _source(was: Baseline, now: Baseline) -> Iterator[Difference]:
    old, new = was.strategy.source, now.strategy.source
    if old != new:
        sentence = f"the source of {was.strategy.name} changed {_arrow(old, new)}"
        yield Difference("source", was.strategy.name, old, new, None, sentence)


def _outcomes(was: Baseline, now: Baseline, accept: Collection[str]) -> Iterator[Difference]:
    if LEDGER not in accept:
        yield from _ledgers(was, now)
    for name in dict.fromkeys((*was.metrics, *now.metrics)):
        if name == "trades" and LEDGER in accept:
            continue
        one = _metric(name, was.metrics.get(name), now.metrics.get(name), name in accept)
        if one is not None:
            yield one
    if was.verdict != now.verdict and VERDICT not in accept:
        sentence = f"verdict: {was.verdict} -> {now.verdict}"
        yield Difference("verdict", "verdict", was.verdict, now.verdict, None, sentence)


def _ledgers(was: Baseline, now: Baseline) -> Iterator[Difference]:
    change = ledger_change(was.trades.ledger, now.trades.ledger)
    if change is not None:
        yield Difference("ledger", "trades", was.trades.count, now.trades.count, 0.0, change.sentence)
        yield _first_trade(change)
    for reason, old, new in _mismatches(was.rejected, now.rejected):
        sentence = f"rejected {reason}: {old or 0} -> {new or 0}"
        yield Difference("rejected", reason, old or 0, new or 0, 0.0, sentence)


def _first_trade(change: LedgerChange) -> Difference:
    number = change.first + 1
    sentence = f"first at trade {number}: {change.was or 'none'} -> {change.now or 'none'}"
    return Difference("trade", f"trade {number}", change.was, change.now, None, sentence)


def _metric(name: str, was: RecordedMetric | None, now: RecordedMetric | None, accepted: bool) -> Difference | None:
    if was is None:
        if now is None or METRICS[name].added:
            return None
        return Difference("metric", name, None, now.value, None, f"{name} is not in the baseline: record it")
    if now is None:
        sentence = f"{name} is in the baseline and no longer computed"
        return Difference("metric", name, was.value, None, None, sentence)
    if was.value is None or now.value is None:
        if was.value is None and now.value is None:
            return None
        allowed = None
        better = 0.0
    else:
        allowed = max(was.absolute, was.relative * abs(was.value))
        better = (now.value - was.value) * (METRICS[name].better if name in METRICS else 0)
        if abs(now.value - was.value) <= allowed or (accepted and better > 0):
            return None
    sentence = f"{name}: {_shown(was)} -> {_shown(now)}"
    if allowed is not None:
        sentence += f", allowed {allowed:.3g}"
    if better > 0:
        sentence += "; better than allowed: record it if it is meant"
    return Difference("metric", name, was.value, now.value, allowed, sentence)


def _shown(metric: RecordedMetric) -> str:
    if metric.value is None:
        return f"undefined ({metric.reason})" if metric.reason else "undefined"
    return f"{metric.value:.10g}"


def _notes(was: Baseline, now: Baseline, explained: bool, outcomes: tuple[Difference, ...]) -> Iterator[str]:
    """What is known for certain about the cause."""
    kinds = {one.kind for one in outcomes}
    if not explained and outcomes:
        if "ledger" in kinds:
            change = ledger_change(was.trades.ledger, now.trades.ledger)
            stayed = what_stayed(change, timeframe_ms(was.data.timeframe)) if change else ""
            if stayed:
                yield stayed
        elif {one.name for one in outcomes} <= {"placebo_p", "verdict"}:
            yield "trades and all other metrics are as recorded: the placebo test or the verdict on it changed"
        elif "rejected" not in kinds:
            yield "the trades are as recorded: how metrics are computed changed, not what was traded"
        yield (
            "data, calendar, configuration, parameters and the strategy's source are as recorded: the change is in "
            "what they call"
        )
    moved = [f"{name} {old} -> {new}" for name, old, new in _mismatches(was.versions, now.versions)]
    if moved:
        yield f"versions: {', '.join(moved)}"
