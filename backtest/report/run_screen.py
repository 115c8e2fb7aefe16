"""The first screen of a run: the verdict, then one table that is as wide as the terminal allows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from backtest.base.display import ABSENT, number, p_value, percent, plain_percent, plural
from backtest.base.errors import UsageError, near_miss
from backtest.engine.layout import COSTS
from backtest.report.tables import new_table
from backtest.scoring.metrics import named

if TYPE_CHECKING:
    from backtest.engine.run import Run
    from backtest.market.instrument import Provenance
    from backtest.scoring.evaluation import Evaluation
    from backtest.scoring.scorecard import Scorecard

SHORT = {
    "beats placebo": "beats",
    "beats placebo on every path": "beats (all)",
    "depends on the order inside bars": "order",
    "indistinguishable from chance": "chance",
    "too few trades": "too few",
    "not an event strategy": "n/a",
    "not tested": "untested",
    "loses money": "loses",
}
"""A verdict in a column; one that is not here is written whole."""
REMARKS_SHOWN, NAMES_SHOWN = 3, 2
_LIST = re.compile(r"(?:[\w/:.-]*\w(?: \d+ of \d+)?, ){3,}[\w/:.-]*\w(?: \d+ of \d+)?")
"""Four names or more, each with its share or without."""
_PAID = tuple(cost for cost in COSTS if cost != "funding")


@dataclass(frozen=True, slots=True)
class ScreenRow:
    """One strategy: its run, its card, and the values of its scores by name."""

    run: Run
    card: Scorecard

    def score(self, name: str) -> float:
        """Value of a score, NaN where undefined."""
        return named(self.card.scores)[name].value

    @property
    def paid(self) -> float:
        """Fees, slowness of fills, borrowing and liquidation as an effect on the capital: never above zero."""
        return 0.0 - sum(self.score(f"{cost}_drag") for cost in _PAID)

    @property
    def funding(self) -> float:
        """Funding as an effect on the capital: above zero where it was received."""
        return 0.0 - self.score("funding_drag")

    @property
    def weight(self) -> float:
        """Median weight of its intents, share of equity."""
        weights = sorted(abs(one.weight) for one in self.run.intents.rows)
        return weights[len(weights) // 2] if weights else math.nan

    @property
    def adjusted(self) -> float:
        """P adjusted for multiple testing, NaN without placebos."""
        return self.card.placebo.adjusted if self.card.placebo else math.nan


@dataclass(frozen=True, slots=True)
class ScreenColumn:
    """One column: its name on the command line, its head, its sort value and how that is formatted."""

    name: str
    head: str
    value: Callable[[ScreenRow], float]
    show: Callable[[float], str]


def _share(value: float) -> str:
    return ABSENT if math.isnan(value) else f"{value:.0%}"


def _count(value: float) -> str:
    return f"{value:.0f}"


def _of(name: str) -> Callable[[ScreenRow], float]:
    return lambda row: row.score(name)


COLUMNS: dict[str, ScreenColumn] = {
    one.name: one
    for one in (
        ScreenColumn("p", "p", lambda row: row.card.placebo.p if row.card.placebo else math.nan, p_value),
        ScreenColumn("adjusted", "adj.p", lambda row: row.adjusted, p_value),
        ScreenColumn("net", "net", _of("net_return"), percent),
        ScreenColumn("price", "price", lambda row: row.score("net_return") - row.paid - row.funding, percent),
        ScreenColumn("costs", "costs", lambda row: row.paid, percent),
        ScreenColumn("funding", "funding", lambda row: row.funding, percent),
        ScreenColumn("sharpe", "Sharpe", _of("sharpe"), number),
        ScreenColumn("sortino", "Sortino", _of("sortino"), number),
        ScreenColumn("drawdown", "drawdown", _of("max_drawdown"), plain_percent),
        ScreenColumn("exposure", "exposed", _of("exposure"), plain_percent),
        ScreenColumn("weight", "weight", lambda row: row.weight, number),
        ScreenColumn("trades", "trades", _of("trades"), _count),
        ScreenColumn("hit", "hit", _of("hit_rate"), _share),
        ScreenColumn("mean", "mean", _of("mean_trade"), percent),
        ScreenColumn("before", "before", _of("before"), percent),
        ScreenColumn("waited", "waited", _of("waited"), percent),
        ScreenColumn("captured", "captured", _of("captured"), percent),
    )
}
"""In the order in which they are shown."""
BY_NEED = (
    "net", "adjusted", "trades", "captured", "before", "waited", "funding", "costs", "drawdown", "sharpe", "hit",
    "weight", "price", "p", "mean", "sortino", "exposure",
)  # fmt: skip
"""Which of them a narrow terminal keeps: the first that fit."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked to see: columns by name, sort column, number of rows."""

    columns: tuple[str, ...] = ()
    sort: str = ""
    top: int = 0

    def __post_init__(self) -> None:
        for option, names in (("columns", self.columns), ("sort", (self.sort,) if self.sort else ())):
            allowed = [*COLUMNS, "strategy", "verdict"] if option == "sort" else list(COLUMNS)
            for name in names:
                if name not in allowed:
                    raise UsageError(f"`{option}` {name!r} is not a column; {near_miss(name, allowed)}")


def verdict_sentence(cards: Sequence[Scorecard]) -> str:
    """Which strategies beat their placebos, and how many could be tested."""
    tested = [card for card in cards if card.placebo is not None and not card.placebo.reason]
    winners = [card.strategy for card in cards if card.verdict.startswith("beats placebo")]
    if not tested:
        return "Verdict: no strategy was tested against placebos, so nothing here says that it was more than luck."
    level = " or ".join(sorted({f"{card.thresholds.level:.3g}" for card in tested}, key=float))
    of = f"of {plural(len(tested), 'strategy', 'strategies')} tested"
    if len(tested) == 1:
        does = "beats" if winners else "does not beat"
        return f"Verdict: {tested[0].strategy} {does} its placebos at an adjusted p of {level}."
    if not winners:
        return f"Verdict: none {of} beats its placebos at an adjusted p of {level}."
    beats = "beats its" if len(winners) == 1 else "beat their"
    return f"Verdict: {len(winners)} {of} {beats} placebos at an adjusted p of {level}: {', '.join(winners)}."


def brief(note: str) -> str:
    """The note, of a long list of names the first few."""

    def cut(match: re.Match[str]) -> str:
        names = match[0].split(", ")
        return f"{', '.join(names[:NAMES_SHOWN])} and {len(names) - NAMES_SHOWN} more"

    return _LIST.sub(cut, note)


def data_lines(provenance: Provenance, *, everything: bool) -> list[str]:
    """What a reconstruction was compared with, and repairs and omissions; the first few unless `everything`."""
    held, remarks = provenance.held_against, provenance.repairs
    shown = list(remarks if everything else remarks[:REMARKS_SHOWN])
    left = len(remarks) - len(shown)
    more = [f"- data: {left} more remarks: `all`"] if left else []
    return [f"- {held}"] * bool(held) + [f"- data: {one}" for one in shown] + more


def rows_of(evaluation: Evaluation, wanted: Wanted) -> list[ScreenRow]:
    """The strategies to show, sorted (undefined values last) and cut as wanted."""
    rows = [ScreenRow(run, card) for run, card in zip(evaluation.runs, evaluation.cards, strict=True)]
    if wanted.sort in ("strategy", "verdict"):
        rows.sort(key=lambda row: (row.card.verdict if wanted.sort == "verdict" else "", row.card.strategy))
    elif wanted.sort:
        column = COLUMNS[wanted.sort]
        sign = 1 if wanted.sort in ("p", "adjusted", "drawdown") else -1
        values = [column.value(row) for row in rows]
        order = sorted(range(len(rows)), key=lambda place: (math.isnan(values[place]), sign * values[place]))
        rows = [rows[place] for place in order]
    return rows[: wanted.top] if wanted.top else rows


def run_table(evaluation: Evaluation, width: int, wanted: Wanted | None = None) -> Table:
    """One row per strategy, with as many columns as `width` holds; those asked for by name are all shown."""
    wanted = wanted or Wanted()
    rows = rows_of(evaluation, wanted)
    cells = {name: [column.show(column.value(row)) for row in rows] for name, column in COLUMNS.items()}
    verdicts = [SHORT.get(row.card.verdict, row.card.verdict) for row in rows]
    names = [row.card.strategy for row in rows]
    shown = wanted.columns or _that_fit(cells, names, verdicts, width)
    table = new_table("", ("strategy", "verdict"), tuple(COLUMNS[name].head for name in shown))
    for place, name in enumerate(names):
        table.add_row(escape(name), verdicts[place], *(cells[column][place] for column in shown))
    return table


def _that_fit(
    cells: dict[str, list[str]], names: Sequence[str], verdicts: Sequence[str], width: int
) -> tuple[str, ...]:
    def needed(texts: Sequence[str], head: str) -> int:
        return max(map(cell_len, (head, *texts))) + 1

    longest = needed(names, "strategy")
    # A narrow terminal shortens names before it loses the columns that carry the answer.
    left = width - 1 - needed(verdicts, "verdict") - (longest if width >= 76 else min(longest, 13))
    kept: set[str] = set()
    for name in BY_NEED:
        need = needed(cells[name], COLUMNS[name].head)
        if need <= left:
            left -= need
            kept.add(name)
        elif len(kept) >= 3:
            break
    return tuple(name for name in COLUMNS if name in kept)


def screen_lines(evaluation: Evaluation, wanted: Wanted) -> list[str]:
    """How to read the table, the basis of the verdicts, and which further options exist."""
    cards = evaluation.cards
    hidden = len(cards) - len(rows_of(evaluation, wanted))
    lines = [f"{plural(hidden, 'strategy is', 'strategies are')} not shown (`top={wanted.top}`)"] if hidden > 0 else []
    lines.append(
        "net = price + costs + funding (+ was received), of the capital; before: until known, waited: until the fill, "
        "captured: from fill to exit, means over trades"
    )
    held = {card.verdict for card in cards}
    meaning = [f"{short}: {whole}" for whole, short in SHORT.items() if whole in held and not whole.startswith(short)]
    if meaning:
        lines.append("; ".join(meaning))
    return lines
