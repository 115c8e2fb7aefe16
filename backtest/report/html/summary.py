"""The answer at the top: which catalysts could have been traded net of costs, and whether it was more than luck."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from backtest.base.display import percent, plural
from backtest.catalysts.record import Calendar
from backtest.engine.layout import COSTS
from backtest.report.html.blocks import (
    Block,
    Download,
    ReportTable,
    Section,
    TableCell,
    Text,
    Tone,
    columns,
    csv_of,
    figure_cell,
    p_cell,
    share,
    words,
)
from backtest.report.html.contents import Contents
from backtest.scoring.kinds import PLACEBO_KINDS
from backtest.scoring.metrics import LEVEL
from backtest.scoring.scorecard import Thresholds

OUTCOMES = {
    "UNTIMED": "not even its day is known",
    "OUTSIDE_DATA": "outside the bars",
    "NO_INSTRUMENT": "none of its coins is in the market",
    "NOT_SELECTED": "no strategy chose it",
    "NO_BAR": "no bar opened in time",
    "EXPIRED": "its exit came before the first bar it could enter",
    "SPOT_SHORT": "spot cannot be sold short",
    "IN_POSITION": "the instrument was already held",
    "EXTENDED": "it prolonged a position already held",
    "LIQUIDITY_UNKNOWN": "volume or volatility before it is unknown",
    "CAPACITY": "too little volume to fill it",
    "GROSS_CAP": "the limit on gross exposure was reached",
    "NO_CASH": "no cash was left",
    "GROUP": "another leg of its group was refused",
    "TOO_SMALL": "smaller than the venue takes",
    "BANKRUPT": "the account was used up",
    "LEVERAGE": "more leverage than the venue allows at its size",
}
"""Why a catalyst or an intent opened nothing."""
_BEATS = ("beats placebo", "beats placebo on every path")
_VERDICT_TONES: dict[str, Tone] = {**dict.fromkeys(_BEATS, "gain"), "loses money": "loss"}
_MARKS = {**dict.fromkeys(_BEATS, "● "), "loses money": "▼ ", "indistinguishable from chance": "○ "}


@dataclass(frozen=True, slots=True)
class _Traded:
    """All trades on one side that one catalyst led to, in its own coins or in others."""

    catalyst: str
    side: int
    own: bool
    coins: tuple[str, ...]
    strategies: tuple[str, ...]
    before: tuple[float, ...]
    waited: tuple[float, ...]
    captured: tuple[float, ...]
    net: tuple[float, ...]


def outcome_words(code: str) -> str:
    """An outcome or rejection in words, with its code."""
    return f"{OUTCOMES[code]} ({code})" if code in OUTCOMES else code


def summary(contents: Contents) -> Section:
    """The answer, the verdict on each strategy, and each catalyst's moves before, while waiting, and captured."""
    document, evaluation = contents.document, contents.evaluation
    if document is None or evaluation is None:
        return Section("answer", "The answer", (Text(contents.study.reason),))  # type: ignore[union-attr]
    calendar = evaluation.calendar
    traded = _traded(document, calendar)
    blocks: list[Block] = [
        Text(_tradable(traded, calendar), "Could they have been traded?"),
        Text(_luck(document), "Was it more than luck?"),
    ]
    if contents.label:
        blocks.append(Text(f"The bars are {contents.label}: this answers nothing about the market.", warning=True))
    blocks += [_verdicts(document), Text(_terms(document)), _catalysts(traded, document, calendar)]
    return Section("answer", "The answer", tuple(blocks))


def _traded(document: dict[str, Any], calendar: Calendar) -> list[_Traded]:
    """Trades by catalyst, own coins or others, and side, in the calendar's order."""
    assets = {one.id: one.assets for one in calendar}
    rows: dict[tuple[str, bool, int], list[tuple[str, dict[str, Any]]]] = {}
    for one in document["strategies"]:
        for trade in one["trades"]:
            own = _coin(trade) in assets.get(trade["catalyst_id"], ())
            rows.setdefault((trade["catalyst_id"], own, trade["side"]), []).append((one["name"], trade))

    def known(trades: Iterable[tuple[str, dict[str, Any]]], field: str) -> tuple[float, ...]:
        return tuple(trade[field] for _, trade in trades if trade[field] is not None)

    return [
        _Traded(
            one.id,
            side,
            own,
            tuple(dict.fromkeys(_coin(trade) for _, trade in rows[one.id, own, side])),
            tuple(dict.fromkeys(name for name, _ in rows[one.id, own, side])),
            *(known(rows[one.id, own, side], field) for field in ("before", "waited", "captured", "net_return")),
        )
        for one in calendar
        for own in (True, False)
        for side in (1, -1)
        if (one.id, own, side) in rows
    ]


def _coin(trade: dict[str, Any]) -> str:
    return str(trade["instrument"]).partition("/")[0]


def _middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _tradable(traded: Sequence[_Traded], calendar: Calendar) -> str:
    """How many were traded, and how the trades on their own coin did, in the expected direction or against it.

    Each catalyst counts once, by the medians of its trades: several strategies that trade one are not several answers.
    """
    total = plural(len(calendar), "catalyst", "catalysts")
    if not traded:
        return f"No strategy traded any of {total}."
    direction = {one.id: one.direction for one in calendar}
    told = f"{len({one.catalyst for one in traded})} of {total} were traded by at least one strategy"
    along = [one for one in traded if one.own and one.side == direction[one.catalyst]]
    if not along:
        return f"{told}, none on its own coin in the direction that it called for."
    by_name = {name: [_middle(getattr(one, name)) for one in along] for name in ("before", "waited", "captured", "net")}
    medians = (_middle([value for value in values if value is not None]) for values in by_name.values())
    before, waited, captured, net = ("an unknown share" if value is None else percent(value) for value in medians)
    against = [one for one in traded if one.own and one.side == -direction[one.catalyst]]
    contrary = (
        f" Against that direction {len(against)} {'was' if len(against) == 1 else 'were'} traded, and on "
        f"{_gained(against)} of these the median trade gained."
        if against
        else ""
    )
    apart = " Trades in other coins, the other leg of a pair among them, are not in these figures." if any(
        not one.own for one in traded) else ""  # fmt: skip
    return (
        f"{told}, {len(along)} on their own coin in the direction that they called for; on {_gained(along)} of these "
        f"{len(along)} the median trade gained after every cost. With each of them counted once, four medians: "
        f"{before} had gone before it was known (before), {waited} while the strategy waited to enter (waited), "
        f"{captured} came between fill and exit (captured), and {net} was left net of costs.{contrary}{apart}"
    )


def _gained(groups: Sequence[_Traded]) -> int:
    return sum((_middle(one.net) or 0.0) > 0 for one in groups)


def _luck(document: dict[str, Any]) -> str:
    """Who beats the placebos at which level, or who came nearest; on labelled bars the sentence carries the label."""
    cards = [(one["name"], one["evidence"]) for one in document["strategies"]]
    tested = [(card["placebo"]["adjusted"], name, card["verdict"]) for name, card in cards
              if card["placebo"] and card["placebo"]["adjusted"] is not None]  # fmt: skip
    winners = [f"{name} (adjusted p {card['placebo']['adjusted']:.3g})" for name, card in cards
               if card["verdict"] in _BEATS]  # fmt: skip
    if not tested:
        return "No strategy could be held against placebos, so nothing here says so."
    least, name, verdict = min(tested)
    where = f" of {document['label']} bars" if document["label"] else ""
    of = (
        f"{len(tested)} of {plural(len(cards), 'strategy', 'strategies')} could be held against placebo calendars"
        f"{where}"
    )
    level = cards[0][1]["thresholds"]["level"]
    if winners:
        return f"{of}; {', '.join(winners)} {'beats' if len(winners) == 1 else 'beat'} them at the level {level:g}."
    but = f", but its verdict is: {verdict}" if least <= level else ""
    return (
        f"{of}, and none beats them: the nearest is {name} with p {least:.3g}, adjusted for multiple testing over all "
        f"of them{but}."
    )


def _verdicts(document: dict[str, Any]) -> ReportTable:
    head = columns(
        "Strategy",
        "Verdict",
        f"Net return|share of the starting capital, after every cost; below, its {LEVEL:.0%} bootstrap interval",
        "p|unadjusted: share of calendars, the real one included, that did at least as well",
        "Adjusted p|adjusted for multiple testing over every strategy that was tried",
        "Placebos|where the middle nine in ten placebo calendars lie; sorted by the upper end",
        "Sharpe|annualised, 365 days",
        "Drawdown|largest fall from a peak of equity",
        "Trades",
        "Costs|fees, spread, impact, borrowing and liquidation: what they did to the capital",
        "Funding|what it did to the capital: above zero it was received",
        numeric=("Net return", "p", "Adjusted p", "Placebos", "Sharpe", "Drawdown", "Trades", "Costs", "Funding"),
    )  # fmt: skip
    return ReportTable(
        "Verdict on each strategy",
        head,
        tuple(_verdict_row(one) for one in document["strategies"]),
        f"Net return, with its {LEVEL:.0%} bootstrap interval in small print, beside what the same decisions earned on "
        "calendars that never happened. The least of many p is small by chance: go by the adjusted one.",
    )


def _verdict_row(one: dict[str, Any]) -> tuple[TableCell, ...]:
    scores, card = one["scores"], one["evidence"]
    luck, verdict = card["placebo"] or {}, card["verdict"]
    of_ratio = luck.get("statistic") == "sharpe"
    quantiles = luck.get("quantiles") or [None] * 7
    net, fall = scores["net_return"], scores["max_drawdown"]
    between = "" if net["low"] is None else f"{percent(net['low'])} to {percent(net['high'])}"
    low, high = (figure_cell(value) if of_ratio else share(value) for value in (quantiles[1], quantiles[5]))
    costs = -sum(scores[f"{cost}_drag"]["value"] for cost in COSTS if cost != "funding")
    return (
        words(one["name"]),
        words(_MARKS.get(verdict, "") + verdict, card["reason"], _VERDICT_TONES.get(verdict, "")),
        share(net["value"], below=between, toned=True),
        p_cell(luck.get("p")),
        p_cell(luck.get("adjusted"), card["thresholds"]["level"]),
        low if low.value is None else TableCell(f"{low.text} to {high.text}", high.value),
        figure_cell(scores["sharpe"]["value"]),
        share(fall["value"], signed=False),
        figure_cell(scores["trades"]["value"], ".0f"),
        share(costs),
        share(-scores["funding_drag"]["value"], toned=True),
    )


def _terms(document: dict[str, Any]) -> str:
    cards = [one["evidence"] for one in document["strategies"]]
    luck = next((card["placebo"] for card in cards if card["placebo"] and not card["placebo"]["reason"]), None)
    told = Thresholds(**cards[0]["thresholds"]).sentence
    told = told[0].upper() + told[1:] + "."
    if luck is None:
        return told
    calendars = PLACEBO_KINDS[luck["kind"]].calendars
    how = f"all {luck['n']:,} there are" if luck["exact"] else f"{luck['n']:,} drawn"
    return (
        f"Placebos: {luck['statistic'].replace('_', ' ')} on {calendars}, {how}. p is one-sided, adjusted "
        f"for multiple testing over {plural(luck['family'], 'strategy', 'strategies')}. {told} "
        "Placebos ask whether these dates were better "
        "than others, not how they were chosen: catalysts that were picked once their outcome was known, that are "
        "themselves moves of the price, or that fall where everything rose can beat them without having foretold "
        "anything."
    )


def _catalysts(traded: Sequence[_Traded], document: dict[str, Any], calendar: Calendar) -> ReportTable:
    """One row per catalyst and side that was traded, own coins apart from others; one for each that was not."""
    head = columns(
        "Catalyst",
        "Announced (UTC)|no finer than it is known",
        "Trades",
        "Traded by|or why it was not",
        "Before|from the last close before the announcement until an order could have arrived, median over its trades",
        "Waited|from there to the fill: the delay of the strategy",
        "Captured|from fill to exit, after spread and impact and before fees and funding, median over its trades",
        "Net|of the notional, after every cost, median over its trades; below it the worst and the best of them",
        numeric=("Before", "Waited", "Captured", "Net"),
    )
    by_catalyst: dict[str, list[_Traded]] = {}
    for group in traded:
        by_catalyst.setdefault(group.catalyst, []).append(group)
    rows: list[tuple[TableCell, ...]] = []
    for one in calendar:
        about = (words(one.id, f"{one.kind.replace('_', ' ')}, {one.actor}"), words(one.when.replace("..", " to ")))
        if one.id not in by_catalyst:
            rows.append((*about, words(""), words("no strategy", _untraded(one.id, document), "weak"),
                         *(share(None) for _ in range(4))))  # fmt: skip
        rows += [
            (
                *about,
                words(
                    ("long " if group.side > 0 else "short ") + ", ".join(group.coins),
                    "" if group.own else "other coins",
                ),
                words(plural(len(group.strategies), "strategy", "strategies"), ", ".join(group.strategies)),
                share(_middle(group.before)),
                share(_middle(group.waited)),
                share(_middle(group.captured), toned=True),
                share(_middle(group.net), below=_ends(group.net), toned=True),
            )
            for group in by_catalyst.get(one.id, ())
        ]
    return ReportTable(
        "Each catalyst: before, waited, captured",
        head,
        tuple(rows),
        "All three are signed in the direction of the trade: a large before beside a small captured is a headline move "
        "that was over before the catalyst was certain to be public. Medians over the strategies that traded it.",
        Download("trades.csv", csv_of(_trade_frame(document))),
    )


def _ends(values: Sequence[float]) -> str:
    """The worst and the best of several; empty for one or none."""
    return f"{percent(min(values))} to {percent(max(values))}" if len(values) > 1 else ""


def _untraded(catalyst_id: str, document: dict[str, Any]) -> str:
    """Why no strategy traded a catalyst: rejections first, then the lack of any decision."""
    found = [row["outcome"] for one in document["strategies"] for row in one["catalysts"]
             if row["catalyst_id"] == catalyst_id]  # fmt: skip
    refusals = [code for code in dict.fromkeys(found) if code != "NOT_SELECTED"]
    return "; ".join(outcome_words(code) for code in refusals or ["NOT_SELECTED"])


def _trade_frame(document: dict[str, Any]) -> pd.DataFrame:
    rows = [{"strategy": one["name"], **trade} for one in document["strategies"] for trade in one["trades"]]
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["strategy"])
