"""Sections on what the data say beyond the strategies: event study, searches, claims."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from backtest.base.display import ABSENT, plural
from backtest.base.progress import Progress
from backtest.catalysts.claims import VERDICTS
from backtest.report.claim_tables import figure as claim_figure
from backtest.report.claim_tables import plain_window
from backtest.report.html.blocks import (
    Block,
    Download,
    Facts,
    ReportTable,
    Section,
    TableCell,
    Text,
    Tone,
    columns,
    csv_of,
    drawn,
    figure_cell,
    p_cell,
    share,
    words,
)
from backtest.report.html.contents import Contents, Missing
from backtest.report.search_folder import SearchFolder
from backtest.report.study_tables import heading
from backtest.study.study import Study

_CLAIM_MARKS: dict[str, tuple[str, Tone]] = {
    "confirmed": ("● ", "gain"),
    "overstated": ("▲ ", "loss"),
    "understated": ("▽ ", "loss"),
    "contradicted": ("✕ ", "loss"),
    "inconsistent": ("≠ ", "loss"),
    "not measurable": ("– ", "weak"),
}
_MOST_TRIALS = 50


def study_section(contents: Contents, progress: Progress) -> Section:
    """Abnormal returns around the catalysts, by kind and by actor."""
    from backtest.report import figures

    study = contents.study
    if isinstance(study, Missing):
        return Section("study", "The event study", (Text(study.reason),))
    progress("figures of the event study", 0, 1)
    blocks: list[Block] = [
        Text(heading(study) + "."),
        *(Text(f"{note[0].upper()}{note[1:]}.", warning=True) for note in study.notes if not _labels(note, study)),
        drawn(
            "Cumulated abnormal return around the announcement, all catalysts",
            "What the coins did beyond the benchmark's share, from the run-up on: the growth that a mean log return "
            f"stands for. Both bands hold {study.config.level:.0%} bar by bar, and a sum that left one stays out for "
            "many bars: a line outside the chance band is a reason to read the adjusted p below, not a test.",
            "abnormal-returns",
            lambda: figures.abnormal_returns_data(study),
            lambda: figures.abnormal_returns(study),
        ),
    ]
    if (study.paths["grouping"] == "kind").any():
        blocks.append(
            drawn(
                "The same by kind of catalyst",
                f"n is the number of catalysts: a kind with one or two says little, whatever its line does. Bands hold "
                f"{study.config.level:.0%} bar by bar and are adjusted for neither bars nor kinds.",
                "abnormal-returns-by-kind",
                lambda: figures.abnormal_returns_data(study, "kind"),
                lambda: figures.abnormal_returns(study, "kind"),
            )
        )
    blocks.append(_effects(study))
    if len(study.influencers):
        blocks += [
            drawn(
                "Abnormal return after the calls of each actor",
                "The filled dot is the mean shrunken for the small number of calls, the hollow one the raw mean; "
                f"lines are {study.config.level:.0%} intervals, one actor at a time, and one across zero is no "
                "evidence. Growth: the table below has the log returns.",
                "influencers",
                lambda: figures.influencers_data(study),
                lambda: figures.influencers(study),
            ),
            _influencers(study),
        ]
    blocks += [_left_out(study)] if len(study.rejected) else []
    return Section("study", "The event study", tuple(blocks))


def _labels(note: str, study: Study) -> bool:
    """Whether a note is the label of the data, which the page carries at its top."""
    label = study.market.provenance.label
    return bool(label) and note.startswith(label)


def _effects(study: Study) -> ReportTable:
    rows = study.effects[study.effects["measure"] == "return"]
    head = columns(
        "Group", "Span", "n", "Mean", "Low", "High", "Chance low", "Chance high", "Found", "p", "Adjusted p",
        "Test", numeric=("n", "Mean", "Low", "High", "Chance low", "Chance high", "Found", "p", "Adjusted p"),
    )  # fmt: skip
    level, share_of = 1.0 - study.config.level, f"{study.config.level:.0%}"
    return ReportTable(
        "Mean abnormal return by group and span",
        head,
        tuple(
            (
                words(row["group"], "" if row["grouping"] == row["group"] else str(row["grouping"])),
                words(str(row["span"]).replace("_", " ")),
                figure_cell(row["n"], ".0f"),
                share(row["mean"], toned=True),
                *(share(row[name]) for name in ("low", "high", "chance_low", "chance_high", "least_effect")),
                p_cell(row["p_value"]),
                p_cell(row["adjusted_p"], level),
                words(str(row["method"]).replace("_", " ")),
            )
            for row in rows.to_dict("records")
        ),
        f"Log returns less the model's. Low and high are the {share_of} interval of the mean, chance low and high hold "
        f"{share_of} of the means on placebo dates; found is the least mean effect that the placebo would have found "
        "at 80 % power, empty where none could be found. p is two-sided and unadjusted: Kolari-Pynnonen, adjusted for "
        "the correlation between catalysts whose dates overlap, or of the placebo, at least "
        f"{rows['least_p'].min():.2g}; adjusted p ({study.config.multiplicity}) is "
        "adjusted for multiple testing over the spans and groups of one grouping, not over several groupings. n counts "
        "observations: catalysts of one coin and day are one.",
        Download("effects.csv", csv_of(study.effects)),
    )


def _influencers(study: Study) -> ReportTable:
    numeric = ("Calls", "Hit rate", "Mean", "Error", "Kept", "Shrunken", "p", "Adjusted p")
    return ReportTable(
        "Actors, ranked",
        columns("Actor", *numeric, numeric=numeric),
        tuple(
            (
                words(row["actor"]),
                figure_cell(row["calls"], ".0f"),
                share(row["hit_rate"], signed=False),
                share(row["mean"]),
                share(row["error"], signed=False),
                share(row["kept"], signed=False),
                share(row["shrunken"], toned=True),
                p_cell(row["placebo_p"]),
                p_cell(row["adjusted_p"], 1.0 - study.config.level),
            )
            for row in study.influencers.to_dict("records")
        ),
        "Mean log return in the direction called, its standard error, and the share of it that shrinking keeps. p is "
        f"that of placebo dates, unadjusted; adjusted p is adjusted for multiple testing over every "
        f"actor ({study.config.multiplicity}).",
    )


def _left_out(study: Study) -> ReportTable:
    rows = study.rejected.fillna("").to_dict("records")
    return ReportTable(
        "Left out of the study",
        columns("Catalyst", "Coin", "Measure", "Span", "Reason"),
        tuple(
            (
                words(row["catalyst_id"]),
                words(row["asset"]),
                words(str(row["measure"]).replace("_", " ") or "all"),
                words(str(row["span"]).replace("_", " ") or "all"),
                words(row["detail"]),
            )
            for row in rows
        ),
        download=Download("left-out.csv", csv_of(study.rejected)),
    )


def claims_section(contents: Contents, progress: Progress) -> Section:
    """The figures that an article prints, checked against the bars."""
    from backtest.report import figures

    checks = contents.checks
    if isinstance(checks, Missing):
        return Section("claims", "The article's claims", (Text(checks.reason),))
    progress("claims", 0, 1)
    settled = [one for one in checks if one.verdict != "not measurable"]
    counts = {verdict: sum(one.verdict == verdict for one in checks) for verdict in VERDICTS}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    source = f"The bars are {contents.label}: a figure that they were made from is confirmed by construction."
    circular = [Text(source, warning=True)] if contents.label else []
    rows = []
    for one in checks:
        mark, tone = _CLAIM_MARKS[one.verdict]
        unit = one.claim.unit
        rows.append(
            (
                words(one.claim.id, one.claim.says),
                words(mark + one.verdict, one.reason if one.verdict != "confirmed" else "", tone),
                words(claim_figure(one.claim.claimed, unit), one.claim.sense.replace("_", " ")),
                words(ABSENT if one.measured is None else claim_figure(one.measured, unit)),
                TableCell(ABSENT) if one.measured is None else figure_cell(one.measured / one.claim.claimed),
                words(plain_window(one.window)),
            )
        )
    return Section(
        "claims",
        "The article's claims",
        (
            Text(f"{plural(len(checks), 'claim', 'claims')}: {told}."),
            *circular,
            drawn(
                "Claimed against measured",
                "Each claim that can be measured is a row; on the line, measured equals claimed. Shape and colour both "
                "show the verdict.",
                "claims",
                lambda: figures.claims_data(settled),
                lambda: figures.claims(settled, label=contents.label),
            ),
            ReportTable(
                "Every claim",
                columns("Claim", "Verdict", "Claimed", "Measured", "Measured / claimed", "Window",
                        numeric=("Measured / claimed",)),
                tuple(rows),
            ),
        ),
    )  # fmt: skip


def search_section(search: SearchFolder, number: int, contents: Contents, progress: Progress) -> Section:
    """A sweep: heat maps, what the search was worth, and its best trials."""
    from backtest.report import figures

    document, statistic = search.document, str(search.document["statistic"])
    label = str(document["dataset"]["label"])
    progress("searches", number - 1, len(contents.searches))
    blocks: list[Block] = [_same_bars(document, contents), _worth(document)]
    for place, heat in enumerate(search.heat_maps):
        blocks.append(
            drawn(
                f"{heat.row_name} by {heat.column_name}: mean {statistic.replace('_', ' ')}",
                "Outlined cells hold a trial whose p adjusted for multiple testing over the whole search is at most "
                "0.05, "
                "whatever the mean of the cell; without an outline the best cell cannot be told from the best "
                "by chance.",
                f"{search.name}-heat-map-{place + 1}",
                lambda heat=heat: figures.heat_map_data(heat, statistic),  # type: ignore[misc]
                lambda heat=heat: figures.heat_map(heat, statistic, label=label),  # type: ignore[misc]
            )
        )
    logits, probability = search.logits, search.probability
    if len(logits):
        blocks.append(
            drawn(
                "Overfitting: rank of the chosen trial out of sample",
                "Each count is one split of the bars; at or below zero the trial that was best in one half was worse "
                "than the median in the other. Their share is the probability of backtest overfitting.",
                f"{search.name}-overfitting",
                lambda: figures.overfitting_data(logits, probability),
                lambda: figures.overfitting(logits, probability, label=label),
            )
        )
    blocks.append(_trials(search, statistic))
    return Section(f"sweep-{number}", f"Search: {document['strategy']} ({search.name})", tuple(blocks))


def _same_bars(document: dict[str, Any], contents: Contents) -> Text:
    """What was searched, with a warning if it was not the run's bars and catalysts."""
    bars = document["dataset"]
    told = (
        f"{plural(document['trials'], 'trial', 'trials')} on {bars['name']}, {bars['timeframe']} bars, "
        f"{bars['start'][:10]} to {bars['end'][:10]}."
    )
    if contents.document is None:
        return Text(told)
    other = [what for what in ("data", "calendar", "config")
             if document["hashes"][what] != contents.document["hashes"][what]]  # fmt: skip
    if not other:
        return Text(told)
    return Text(f"{told} Its {' and '.join(other)} are not those of the run in this report.", warning=True)


def _worth(document: dict[str, Any]) -> Facts:
    """Deflated Sharpe ratio, probability of overfitting, superior predictive ability: number or reason."""
    rows = []
    for key, name, field in (
        (
            "deflated_sharpe",
            "Deflated Sharpe ratio: share of estimates below this one, were the true ratio the best by chance",
            "deflated",
        ),
        ("overfitting", "Probability of backtest overfitting", "probability"),
        ("superior_ability", "Superior predictive ability, p", "p_consistent"),
    ):
        one = document[key]
        if one is None:
            rows.append((name, "not asked for" if key == "superior_ability" else "undefined"))
        elif one["reason"]:
            rows.append((name, f"undefined, {one['reason']}"))
        else:
            rows.append((name, f"{one[field]:.3f}"))
    return Facts(tuple(rows), "What the search was worth")


def _trials(search: SearchFolder, statistic: str) -> ReportTable:
    ranked = search.trials.sort_values(statistic, ascending=False, kind="stable").head(_MOST_TRIALS)
    searched = [name for name, values in search.document["parameters"].items() if len(values) > 1]
    numeric = ("Trial", "Net return", "Sharpe", "Trades", "p", "Adjusted p")
    rows = [
        (
            figure_cell(row["trial"], ".0f"),
            *(words(row[name]) for name in searched),
            share(row["net_return"], toned=True),
            figure_cell(row["sharpe"]),
            figure_cell(row["trades"], ".0f"),
            p_cell(row.get("p", math.nan)),
            p_cell(row.get("p_adjusted", math.nan), 0.05),
        )
        for row in pd.DataFrame(ranked).to_dict("records")
    ]
    return ReportTable(
        f"The best {len(rows)} of {plural(len(search.trials), 'trial', 'trials')}",
        columns(numeric[0], *searched, *numeric[1:], numeric=numeric),
        tuple(rows),
        "Ranked by the statistic of the search, so that luck is part of why the first is first. p is unadjusted; "
        "adjusted p is adjusted for multiple testing over every trial. The CSV holds all of them.",
        Download(f"{search.name}-trials.csv", csv_of(search.trials)),
    )
