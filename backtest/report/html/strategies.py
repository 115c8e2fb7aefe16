"""Sections on what the strategies did: the season, each catalyst replayed, each strategy with its trades and costs."""

from __future__ import annotations

from typing import Any

import pandas as pd

from backtest.base.display import ABSENT, percent, plural
from backtest.base.progress import Progress
from backtest.catalysts.record import Calendar
from backtest.engine.layout import COSTS
from backtest.engine.run import Run
from backtest.report.html.blocks import (
    Block,
    Download,
    Facts,
    Folded,
    ReportTable,
    Section,
    TableCell,
    Text,
    columns,
    csv_of,
    drawn,
    figure_cell,
    share,
    words,
)
from backtest.report.html.contents import Contents
from backtest.report.html.explorer import explorer
from backtest.report.html.multiples import catalyst_multiples
from backtest.report.html.summary import outcome_words
from backtest.report.score_tables import SHOWN_CAPITALS, money
from backtest.report.signal_tables import parameter_text
from backtest.report.tables import INTERVAL
from backtest.scoring.evaluation import Evaluation
from backtest.scoring.metric import METRICS, OF_BARS, OF_TRADES
from backtest.scoring.metrics import LEVEL

RISKS = {one.name: one.words for one in OF_BARS}
BY_TRADE = {one.name: one.words for one in OF_TRADES}
"""Scores in the order of the page; the drags of cost stand with the costs."""
MOST_ROWS = 200
"""Trades of a strategy that a table shows at once: a page of many thousands would hardly open."""
_UNSIGNED = {one.name for one in METRICS.values() if not one.signed}


def season(contents: Contents, progress: Progress) -> Section:
    """Interactive charts of bars, trades, catalysts and equity, and the same as figures for print."""
    from backtest.report import figures

    evaluation = _needed(contents)
    lead, calendar = lead_run(evaluation), evaluation.calendar
    progress("timeline", 0, 1)
    runs = evaluation.runs
    printed = (
        drawn(
            f"Catalysts over price, volume, open interest and funding, with the fills of {lead.strategy}",
            "The strategy shown traded most catalysts, whatever it earned. Numbers mark the announcements "
            "listed below; markers are fills. Where fills come after the move, it was over before the catalyst "
            "was certain to be public.",
            "timeline",
            lambda: figures.timeline_data(lead, calendar),
            lambda: figures.timeline(lead, calendar),
        ),
        drawn(
            "Every strategy: equity, drawdown, rolling Sharpe ratio",
            "After every cost. A Sharpe ratio of so few days swings widely, and its windows overlap: it shows when "
            "a strategy earned, and is no test.",
            "equities",
            lambda: figures.equities_data(runs),
            lambda: figures.equities(runs),
        ),
        drawn(
            "Net return, trade by trade",
            "All trades of all strategies together: a catalyst that several strategies traded counts several times.",
            "trade-returns",
            lambda: figures.trade_returns_data(runs),
            lambda: figures.trade_returns(runs),
        ),
        drawn(
            "Furthest against and furthest ahead while held",
            "A stop closer than the worst point of the gaining trades would have ended some of them; only a run "
            "with that stop shows what it would have earned.",
            "excursions",
            lambda: figures.trades_data(runs),
            lambda: figures.trade_excursions(runs),
        ),
        drawn(
            "Mean net return of a trade by coin and month",
            "Cells of a few trades say little, whatever their colour.",
            "months",
            lambda: figures.months_data(runs),
            lambda: figures.months(runs),
        ),
    )
    return Section(
        "season",
        "The season, explored",
        (explorer(evaluation), Folded("The same for print and without scripts", printed, "figures and their numbers")),
    )


def catalysts(contents: Contents, progress: Progress) -> Section:
    """What is known of each catalyst, and a replay of each one that was traded."""
    progress("replays of the catalysts", 0, 1)
    evaluation = _needed(contents)
    blocks: list[Block] = [calendar_table(evaluation.calendar)]
    drawings = catalyst_multiples(evaluation, [lead_run(evaluation), *evaluation.runs])
    if drawings.drawings:
        blocks.append(drawings)
    return Section("catalysts", "The catalysts, replayed", tuple(blocks))


def calendar_table(calendar: Calendar) -> ReportTable:
    """One row per catalyst with everything that the calendar says of it."""
    head = columns(
        "Catalyst", "Announced (UTC)", "Coins", "Kind", "Actor", "Expected", "Confidence, source", "Note",
    )  # fmt: skip
    signs = {1: "up", -1: "down", 0: "either way"}
    return ReportTable(
        f"Calendar {calendar.name}",
        head,
        tuple(
            (
                words(one.id, f"confounded with {', '.join(one.confounded_with)}" if one.confounded_with else ""),
                words(one.when.replace("..", " to ")),
                words(", ".join(one.assets)),
                words(one.kind.replace("_", " ")),
                words(one.actor),
                words(signs[one.direction]),
                words(one.confidence, one.source),
                words(one.note),
            )
            for one in calendar
        ),
        "A catalyst dated only to the day counts as known at the next midnight; an untimed one is never traded.",
    )


def strategies(contents: Contents, progress: Progress) -> Section:
    """Scores of all strategies side by side, then each strategy separately, and their capacity."""
    from backtest.report import figures
    from backtest.scoring.fan import placebo_fan

    evaluation, document = _needed(contents), contents.document
    assert document is not None
    blocks: list[Block] = [*score_tables(document)]
    lead = lead_run(evaluation)
    for done, (one, run) in enumerate(zip(document["strategies"], evaluation.runs, strict=True)):
        progress("equity and costs", done, len(evaluation.runs))
        fan = (
            placebo_fan(
                run.intents, evaluation.prepared, evaluation.calendar, evaluation.plan, cluster=contents.cluster
            )
            if evaluation.plan
            else None
        )
        inside: list[Block] = [Text(f"{one['evidence']['verdict'].capitalize()}: {one['evidence']['reason']}.")]
        inside += [Text(note, warning=note.startswith("funding unknown")) for note in one["notes"]
                   if not note.startswith(str(document["label"]) or " ")]  # fmt: skip
        inside.append(
            drawn(
                f"Equity of {run.strategy} against placebo calendars",
                "The line is equity after every cost, the bands hold the same decisions on calendars that never "
                "happened, bar by bar: a line inside them is what luck does, one outside at some bar proves nothing, "
                "and the verdict is that of the adjusted p. Below, the fall from the last peak.",
                f"equity-{run.strategy}",
                lambda run=run, fan=fan: figures.equity_data(run, fan),  # type: ignore[misc]
                lambda run=run, fan=fan: figures.equity(run, fan),  # type: ignore[misc]
            )
        )
        if len(run.trades):
            inside += [
                drawn(
                    f"From gross to net: {run.strategy}",
                    "Each step is what one kind of cost took from the profit at reference prices.",
                    f"costs-{run.strategy}",
                    lambda run=run: figures.costs_data(run),  # type: ignore[misc]
                    lambda run=run: figures.costs(run),  # type: ignore[misc]
                ),
                _trades(one),
            ]
        inside += [_refused(one)] if one["rejected"] else []
        inside.append(_parameters(one))
        blocks.append(Folded(run.strategy, tuple(inside), _remark(one), open=run is lead))
    blocks += _capacity(evaluation, document)
    return Section("strategies", "The strategies", tuple(blocks))


def lead_run(evaluation: Evaluation) -> Run:
    """The run that traded most catalysts, the first if several did; if none traded any, the one with most trades."""
    return max(
        evaluation.runs,
        key=lambda run: (run.trades.loc[run.trades["catalyst_id"] != "", "catalyst_id"].nunique(), len(run.trades)),
    )


def _needed(contents: Contents) -> Evaluation:
    assert contents.evaluation is not None
    return contents.evaluation


def _remark(one: dict[str, Any]) -> str:
    net, trades = one["scores"]["net_return"]["value"], int(one["scores"]["trades"]["value"])
    return f"net {percent(net)}, {plural(trades, 'trade', 'trades')}, {one['evidence']['verdict']}"


def score_tables(document: dict[str, Any]) -> list[ReportTable]:
    """Scores of all strategies of a run document: return and risk, then trade by trade."""
    frame = pd.DataFrame([{"strategy": one["name"], "score": name, **score} for one in document["strategies"]
                          for name, score in one["scores"].items()])  # fmt: skip
    return [
        ReportTable(
            title,
            columns("Strategy", *names.values(), numeric=tuple(names.values())),
            tuple(
                (words(one["name"]), *(_score(name, one["scores"][name]) for name in names))
                for one in document["strategies"]
            ),
            how,
            Download(file, csv_of(frame[frame["score"].isin(list(names))])),
        )
        for title, names, how, file in (
            ("Return and risk", RISKS, f"Small print is the {LEVEL:.0%} bootstrap interval; - is undefined, with the "
             "reason in the CSV. Longest drawdown is in days.", "return-and-risk.csv"),
            ("Trade by trade", BY_TRADE, "Before, waited and captured are means over trades with a dated catalyst.",
             "trade-by-trade.csv"),
        )
    ]  # fmt: skip


def _score(name: str, score: dict[str, Any]) -> TableCell:
    value, low, high = score["value"], score["low"], score["high"]
    if score["unit"] == "share" or (score["unit"] == "per year" and name != "sharpe"):
        between = "" if low is None else f"{percent(low)} to {percent(high)}"
        return share(value, signed=name not in _UNSIGNED, below=between)
    between = "" if low is None else f"{low:.2f} to {high:.2f}"
    return figure_cell(value, {"count": ".0f", "days": ".1f"}.get(score["unit"], ".2f"), between)


def _trades(one: dict[str, Any]) -> ReportTable:
    rows = one["trades"]
    numeric = ("Before", "Waited", "Captured", "Net", "Net money", *(cost.capitalize() for cost in COSTS))
    head = columns(
        "Catalyst", "Instrument", "Side", "Entry (UTC)", "Exit (UTC)", "Exit by",
        "Before|from the last close before the announcement until an order could have arrived",
        "Waited|from there to the fill: the delay of the strategy",
        "Captured|from fill to exit, after spread and impact and before fees and funding",
        "Net|of the notional, after every cost", "Net money|quote currency",
        *(cost.capitalize() for cost in COSTS), numeric=numeric,
    )  # fmt: skip
    return ReportTable(
        f"Trades of {one['name']}",
        head,
        tuple(
            (
                words(trade["catalyst_id"]),
                words(trade["instrument"]),
                words("long" if trade["side"] > 0 else "short"),
                words(_clock(trade["entry_time"])),
                words(_clock(trade["exit_time"])),
                words(
                    trade["reason"].replace("_", " "),
                    "may end in another way inside a bar" if trade["ambiguous"] else "",
                ),
                share(trade["before"]),
                share(trade["waited"]),
                share(trade["captured"], toned=True),
                share(trade["net_return"], toned=True),
                figure_cell(trade["net"], ",.0f"),
                *(figure_cell(trade[cost], ",.0f") for cost in COSTS),
            )
            for trade in rows[:MOST_ROWS]
        ),
        (
            f"The first {MOST_ROWS} of {len(rows):,}; trades.csv of the answer holds all. "
            if len(rows) > MOST_ROWS
            else ""
        )
        + "The order of prices inside a bar is unknown: the interval of a trade (net_low to net_high of the download) "
        + f"is {INTERVAL}.",
        Download(f"trades-{one['name']}.csv", csv_of(pd.DataFrame(rows))) if len(rows) <= MOST_ROWS else None,
    )


def _clock(text: str) -> str:
    return text[:16].replace("T", " ")


def _refused(one: dict[str, Any]) -> ReportTable:
    counts: dict[str, list[str]] = {}
    for row in one["rejected"]:
        counts.setdefault(row["reason"], []).append(row["catalyst_id"])
    return ReportTable(
        f"Intents of {one['name']} that opened nothing",
        columns("Reason", "Intents", "Catalysts", numeric=("Intents",)),
        tuple(
            (
                words(outcome_words(reason)),
                figure_cell(float(len(ids)), ".0f"),
                words(", ".join(sorted({name for name in ids if name})) or "no catalyst"),
            )
            for reason, ids in sorted(counts.items(), key=lambda item: -len(item[1]))
        ),
        download=Download(f"rejected-{one['name']}.csv", csv_of(pd.DataFrame(one["rejected"]))),
    )


def _parameters(one: dict[str, Any]) -> Facts:
    return Facts(
        tuple((name, parameter_text(tuple(value) if isinstance(value, list) else value).replace(",", ", "))
              for name, value in one["parameters"].items()),
        f"Parameters of {one['name']}",
    )  # fmt: skip


def _capacity(evaluation: Evaluation, document: dict[str, Any]) -> list[Block]:
    from backtest.report import figures

    cards = evaluation.cards
    heads = [money(capital) for capital in SHOWN_CAPITALS]
    rows = []
    for one in document["strategies"]:
        curve = one["evidence"]["capacity"]
        by_capital = dict(zip(curve["capital"], curve["net_return"], strict=True))
        half = curve["half"]
        rows.append((words(one["name"]), *(share(by_capital[capital]) for capital in SHOWN_CAPITALS),
                     TableCell(ABSENT if half is None else money(half), half)))  # fmt: skip
    return [
        drawn(
            "Net return by capital",
            "Impact grows with the size of the orders: a curve that falls early carries little money. The mark is "
            "the first of the capitals tried at which less than half of the return is left; they lie half a decade "
            "apart, and a curve that begins without a gain has none.",
            "capacity",
            lambda: figures.capacity_data(cards),
            lambda: figures.capacity(cards, label=str(document["label"])),
        ),
        ReportTable("Capacity", columns("Strategy", *heads, "Halved at", numeric=(*heads, "Halved at")), tuple(rows)),
    ]
