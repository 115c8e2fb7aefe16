"""Runs side by side: scores, trades that differ and why, overlaid equity, and p of the difference on common draws."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from backtest.base.arguments import checked
from backtest.base.display import ABSENT, Cell, Shown, View, p_value, percent, plain_percent
from backtest.base.errors import BacktestError, UsageError
from backtest.base.progress import Progress, silent
from backtest.ledger.difference import TrialDifference, difference_of, two_sided
from backtest.ledger.recording import common_draws
from backtest.ledger.store import Ledger
from backtest.report.folder import plain, read_document, read_equity, run_document
from backtest.request.request import asked_in, assignments, rerun
from backtest.scoring.metric import METRICS

RunRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TradeDifference:
    """A trade that two runs do not share: its strategy, its entry time, its net in each (NaN for none), and why."""

    catalyst_id: str
    instrument: str
    entry_time: str
    net: float
    other_net: float
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class RunPair:
    """A strategy of the first run against one of another.

    Attributes
    ----------
    first, other : str
        Titles of the two.
    same : int
        Trades that are equal in every figure.
    trades : tuple of TradeDifference
        The rest, in order of entry.
    difference : TrialDifference
        Of the statistic that both were tested by.
    """

    first: str
    other: str
    same: int
    trades: tuple[TradeDifference, ...]
    difference: TrialDifference


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RunComparison(Shown):
    """Runs against the first of them.

    Attributes
    ----------
    scores : DataFrame
        One row per score, one column per strategy of a run; NaN where undefined.
    units : dict of str
        Unit of each score.
    equity : DataFrame
        Quote currency by bar open, one column per strategy of a run; NaN where a run has no such bar.
    pairs : tuple of RunPair
    notes : tuple of str
        What differs between the runs apart from their strategies: data, calendar, configuration.
    label : str
        Label of the bars, if those of any run have one.
    """

    scores: pd.DataFrame
    units: dict[str, str]
    equity: pd.DataFrame
    pairs: tuple[RunPair, ...]
    notes: tuple[str, ...]
    label: str = ""

    def _label(self) -> str:
        return self.label

    def _line(self) -> str:
        return f"{len(self.scores.columns)} strategies compared: {', '.join(map(str, self.scores.columns))}"

    def _view(self) -> View:
        names = [str(name) for name in self.scores.index]
        values = self.scores.to_numpy(dtype=np.float64)
        rows: list[tuple[str | Cell, ...]] = [
            (words_of(name), *(Cell(score_text(name, float(value), self.units[name])) for value in row))
            for name, row in zip(names, values, strict=True)
        ]
        told = [f"{one.other} against {one.first}: {one.difference.sentence}" for one in self.pairs]
        return View(("score", *map(str, self.scores.columns)), rows, (*told, *self.notes))


def words_of(name: str) -> str:
    """A metric in words; an unknown one (from a later version) by its name."""
    return METRICS[name].words if name in METRICS else name


def score_text(name: str, value: float, unit: str) -> str:
    """A score as people read it: shares as percentages, with a sign where the metric has one; `-` where undefined."""
    if unit == "share" and name.endswith("_p"):
        return p_value(value)
    if unit in ("share", "per year"):
        return percent(value) if name not in METRICS or METRICS[name].signed else plain_percent(value)
    if math.isnan(value):
        return ABSENT
    return format(value, {"count": ".0f", "days": ".1f", "quote": ",.0f"}.get(unit, ".2f"))


@dataclass(frozen=True, slots=True, eq=False)
class _Member:
    title: str
    folder: Path
    document: RunRow
    strategy: RunRow
    equity: pd.Series[float]


@checked
def compare_runs(
    folders: Sequence[Path | str],
    ledger: Ledger | None = None,
    *,
    variants: Sequence[str] = (),
    again: bool = True,
    progress: Progress = silent,
) -> RunComparison:
    """Compare run folders with the first of them, strategy by strategy of the same name, or one with one.

    Parameters
    ----------
    folders
        Run folders.
    ledger
        Its stored draws give the p of a difference; without them the runs are repeated.
    variants
        Parameter sets, each `name=value name=value`: the first run is repeated with each of them.
    again
        Whether a run may be repeated for a p that the ledger does not give.

    Raises
    ------
    UsageError
        For fewer than two folders, or runs that share no strategy.
    DataError
        For a folder that holds no run.
    """
    paths = [Path(one) for one in folders]
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist: name the folder that `backtest run` told of as its run folder")
    if len(paths) + len(variants) < 2 or not paths:
        raise UsageError(f"{len(paths)} run is nothing to compare: name at least two run folders, or `with hold=24h`")
    runs = [list(_members(path)) for path in paths]
    for done, text in enumerate(variants):
        progress("parameter sets", done, len(variants))
        runs.append(list(_varied(paths[0], text)))
    pairs = [(one, other) for others in runs[1:] for one, other in _matched(runs[0], others)]
    if not pairs:
        raise UsageError(f"the runs share no strategy with {paths[0]}: name runs of the same strategy, or of one each")
    kept = list({id(one): one for pair in pairs for one in pair}.values())
    kept.sort(key=lambda one: [id(other) for run in runs for other in run].index(id(one)))
    scores = pd.DataFrame(
        {one.title: {name: _real(score["value"]) for name, score in one.strategy["scores"].items()} for one in kept}
    )
    units = {name: score["unit"] for one in kept for name, score in one.strategy["scores"].items()}
    return RunComparison(
        scores=scores,
        units=units,
        equity=pd.concat({one.title: one.equity for one in kept}, axis=1),
        pairs=tuple(_pair(one, other, ledger, again) for one, other in pairs),
        notes=(
            *(note for one in runs[1:] for note in _unlike(runs[0][0], one[0])),
            *(note for one, other in pairs for note in _other_parameters(one, other)),
        ),
        label=next((str(one.document["label"]) for one in kept if one.document["label"]), ""),
    )


def _members(folder: Path) -> Iterator[_Member]:
    document = read_document(folder / "run.json", "run")
    for strategy in document["strategies"]:
        title = f"{folder.name}: {strategy['name']}"
        yield _Member(title, folder, document, strategy, read_equity(folder, strategy["name"]))


def _varied(folder: Path, text: str) -> Iterator[_Member]:
    """The strategies of a run, repeated with other parameters."""
    request, within = asked_in(read_document(folder / "run.json", "run"), folder / "run.json")
    changed = request.model_copy(update={"parameters": request.parameters | assignments(text.split(), "`with`")})
    evaluation = changed.evaluate(within)
    document = run_document(evaluation, changed.model_dump())
    for strategy, run in zip(document["strategies"], evaluation.runs, strict=True):
        yield _Member(f"{text}: {strategy['name']}", folder / text, document, strategy, run.equity)


def _matched(first: list[_Member], others: list[_Member]) -> list[tuple[_Member, _Member]]:
    if len(first) == len(others) == 1:
        return [(first[0], others[0])]
    named = {one.strategy["name"]: one for one in others}
    return [(one, named[one.strategy["name"]]) for one in first if one.strategy["name"] in named]


def _real(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _unlike(first: _Member, other: _Member) -> Iterator[str]:
    was, now = first.document, other.document
    for what in ("data", "calendar", "config"):
        if was["hashes"][what] != now["hashes"][what]:
            changed = [key for key in was["config"] if was["config"][key] != now["config"].get(key)]
            more = f": {', '.join(changed)}" if what == "config" and changed else ""
            words = "configuration" if what == "config" else what
            yield f"{other.folder} has another {words} than {first.folder}{more}"


def _other_parameters(first: _Member, other: _Member) -> Iterator[str]:
    was, now = first.strategy["parameters"], other.strategy["parameters"]
    changed = [f"{key} = {now.get(key)}, not {was.get(key)}" for key in {**was, **now} if was.get(key) != now.get(key)]
    if changed:
        yield f"{other.title} has {'; '.join(changed)}"


def _pair(first: _Member, other: _Member, ledger: Ledger | None, again: bool) -> RunPair:
    same, trades = trade_differences(first.strategy, other.strategy, first.folder.name, other.folder.name)
    return RunPair(first.title, other.title, same, tuple(trades), _difference(first, other, ledger, again))


def trade_differences(
    first: RunRow, other: RunRow, name: str = "the first", other_name: str = "the other"
) -> tuple[int, list[TradeDifference]]:
    """Number of trades that two strategies of `run.json` share, and the others, each with its reason."""
    mine, theirs = _numbered(first["trades"]), _numbered(other["trades"])
    same, found = 0, []
    for key in sorted({*mine, *theirs}, key=lambda one: ((mine.get(one) or theirs[one])["entry_time"], one)):
        was, now = mine.get(key), theirs.get(key)
        if was is not None and now is not None:
            why = _changed(was, now)
            if not why:
                same += 1
                continue
        elif was is not None:
            why = f"not in {other_name}: {_absent(was, other)}"
        else:
            assert now is not None
            why = f"not in {name}: {_absent(now, first)}"
        row = was or theirs[key]
        net, other_net = (math.nan if one is None else float(one["net"]) for one in (was, now))
        found.append(TradeDifference(row["catalyst_id"], row["instrument"], row["entry_time"], net, other_net, why))
    return same, found


def _numbered(trades: list[RunRow]) -> dict[tuple[str, str, int, int], RunRow]:
    """Trades by catalyst, instrument, side and number of earlier trades alike."""
    found: dict[tuple[str, str, int, int], RunRow] = {}
    seen: dict[tuple[str, str, int], int] = {}
    for row in trades:
        key = (row["catalyst_id"], row["instrument"], int(row["side"]))
        seen[key] = seen.get(key, 0) + 1
        found[*key, seen[key]] = row
    return found


def _absent(trade: RunRow, run: RunRow) -> str:
    """Why a run lacks a trade that another has."""
    for row in run["rejected"]:
        if (row["catalyst_id"], row["instrument"]) == (trade["catalyst_id"], trade["instrument"]):
            return f"rejected, {row['reason']}"
    if not trade["catalyst_id"]:
        return "not decided at that time"
    for row in run["catalysts"]:
        if row["catalyst_id"] == trade["catalyst_id"]:
            told = "not decided for this instrument" if row["outcome"] == "traded" else row["outcome"]
            return f"{told}"
    return "its calendar has no such catalyst"


def _changed(was: RunRow, now: RunRow) -> str:
    """What distinguishes two trades on the same catalyst; empty if nothing does."""
    if was["entry_time"] != now["entry_time"]:
        return f"entered {_short(was['entry_time'])}, not {_short(now['entry_time'])}"
    if (was["reason"], was["exit_time"]) != (now["reason"], now["exit_time"]):
        return f"left by {was['reason']} {_short(was['exit_time'])}, not by {now['reason']} {_short(now['exit_time'])}"
    for field, words in (
        ("entry_price", "another entry price: half-spread, impact or size"),
        ("quantity", "another size: weight, or what was earned before"),
        ("exit_price", "another exit price: level, half-spread or impact"),
        ("net", "other fees, funding or liquidation"),
    ):
        if not math.isclose(_real(was[field]), _real(now[field]), rel_tol=1e-9, abs_tol=1e-9):
            return words
    return ""


def _short(time: str) -> str:
    return time[5:16].replace("T", " ")


def _difference(first: _Member, other: _Member, ledger: Ledger | None, again: bool) -> TrialDifference:
    places = [_place(one, ledger) for one in (first, other)]
    if ledger is not None and None not in places:
        one, two = (place for place in places if place is not None)
        found = difference_of(ledger, one, two)
        if not found.reason:
            return found
    if not again:
        reason = "the ledger does not keep draws of both: `backtest compare` asks for the runs again"
        return TrialDifference(math.nan, math.nan, 0, reason)
    try:
        return two_sided_again(first, other)
    except BacktestError as problem:
        return TrialDifference(math.nan, math.nan, 0, str(problem))


def _place(one: _Member, ledger: Ledger | None) -> int | None:
    """Number of the trial recorded for a strategy of a run folder, if the ledger still has it."""
    if ledger is None or not (one.folder / "ledger.json").is_file():
        return None
    for row in read_document(one.folder / "ledger.json", "ledger")["trials"]:
        if row["strategy"] == one.strategy["name"]:
            kept = ledger.trials([int(row["seq"])])
            parameters = plain(one.strategy["parameters"])
            if kept and kept[0].body["strategy"] == row["strategy"] and kept[0].body["parameters"] == parameters:
                return kept[0].seq
    return None


def two_sided_again(first: _Member, other: _Member) -> TrialDifference:
    """P of the difference of two runs, which are repeated for it."""
    found = []
    for one in (first, other):
        evaluation = rerun(one.document, one.folder / "run.json")
        place = [strategy.name for strategy in evaluation.strategies].index(one.strategy["name"])
        luck = evaluation.cards[place].placebo
        if luck is None or luck.reason or evaluation.plan is None:
            reason = f"{one.title} was not tested" + (f": {luck.reason}" if luck is not None else "")
            return TrialDifference(math.nan, math.nan, 0, reason)
        common = common_draws(evaluation.plan, evaluation.prepared, evaluation.calendar, luck.n)
        found.append((luck, f"{common} {luck.statistic}"))
    (one_luck, common), (two_luck, other_common) = found
    if common != other_common:
        return TrialDifference(math.nan, math.nan, 0, "the two have other draws or another statistic")
    draws, others = (luck.drawn.astype(np.float32) for luck in (one_luck, two_luck))
    return two_sided(one_luck.observed, two_luck.observed, draws, others)
