"""Output of an event study: terminal tables, a JSON document, a folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from backtest import __version__
from backtest.base.display import ABSENT, p_value, percent, plural
from backtest.base.identity import document_of
from backtest.base.schemas import schema_id
from backtest.report.folder import dataset_block, plain, rows_of, to_json, write_text, writing
from backtest.report.spreadsheets import csv_text
from backtest.report.tables import new_table
from backtest.study.abnormal import is_positive
from backtest.study.study import Study

_KEYS = ["measure", "grouping", "group"]


def study_tables(study: Study) -> list[Table]:
    """Everything that fits a terminal: each catalyst, groups, volume and open interest, influencers."""
    effects = effect_table(study)
    tables = [catalyst_table(study), *([effects] if effects.row_count else [])]
    tables += [level_table(study)] if (study.effects["measure"] != "return").any() else []
    return tables + ([influencer_table(study)] if len(study.influencers) else [])


def catalyst_table(study: Study) -> Table:
    """One row per catalyst: run-up, announcement, what came after it was known, volume in the announcement, flags."""
    rows = study.catalysts
    # A terminal has room for two horizons; every one is in the JSON.
    spans = [*study.spans[:3], study.spans[-1]] if len(study.spans) > 4 else list(study.spans)
    title = f"Abnormal returns of {plural(len(rows), 'catalyst', 'catalysts')}"
    table = new_table(title, ("catalyst",), (*map(_header, spans), "volume", "flags"))
    for row in rows.sort_values("endogenous", kind="stable").to_dict("records"):
        flags = (("o", "overlaps"), ("x", "overlaps_other"), ("e", "overlaps_estimation"), ("c", "confounded"),
                 ("m", "endogenous"))  # fmt: skip
        table.add_row(
            escape(str(row["catalyst_id"])),
            *(percent(row[span]) for span in spans),
            _multiple(row["volume_announcement"]),
            "".join(mark for mark, name in flags if row[name]),
        )
    table.caption = (
        "log returns less the model's; volume: multiple of the usual, announcement\n"
        "event window holds another catalyst: o of the coin, x of other coins\n"
        "e: estimation window holds one of the coin; c: confounded, says the calendar\n"
        "m: a move of the price itself, in no mean but that of its group"
    )
    return table


def effect_table(study: Study) -> Table:
    """Mean abnormal return by group and span, of groups of two catalysts and more."""
    rows = study.effects[study.effects["measure"] == "return"]
    several = rows[rows.groupby(["grouping", "group"], sort=False)["n"].transform("max") > 1]
    title = f"Mean abnormal return in %, groups of two and more; adjusted p: {study.config.multiplicity}"
    return _effects(several, title, study, scale=_hundredfold)


def level_table(study: Study) -> Table:
    """Mean abnormal volume, open interest and auxiliary series of all catalysts."""
    rows = study.effects[(study.effects["measure"] != "return") & (study.effects["grouping"] == "all")]
    named = rows.assign(group=rows["measure"].str.replace("_", " "))
    more = ", auxiliary series" if study.market.auxiliary else ""
    title = f"Abnormal volume a bar, open interest{more}, all catalysts, in %"
    signed = {name for name, one in study.market.auxiliary.items() if not is_positive(one)}
    return _effects(named, title, study, scale=_growth, linear=signed)


def _effects(
    rows: pd.DataFrame,
    title: str,
    study: Study,
    scale: Callable[[float], float],
    linear: Collection[str] = (),
) -> Table:
    """One row per group and span; measures in `linear` are shares already, whatever the scale of the others."""
    given = scale
    level, least = f"{study.config.level:.0%}", study.config.minimum_catalysts
    table = new_table(title, ("group", "span"), ("n", "mean", f"{level} interval", "by chance", "found", "p", "adj. p"))
    before = None
    for row in rows.to_dict("records"):
        key = (row["grouping"], row["group"])
        scale = _hundredfold if row["measure"] in linear else given
        table.add_row(
            "" if key == before else escape(_short(str(row["group"]))),
            _header(str(row["span"])),
            str(row["n"]),
            _signed(scale(row["mean"]), 1),
            _between(scale(row["low"]), scale(row["high"])),
            _between(scale(row["chance_low"]), scale(row["chance_high"])),
            _least(scale(row["least_effect"])),
            p_value(row["p_value"]) + ("~" if row["method"] == "placebo" and not math.isnan(row["p_value"]) else " "),
            p_value(row["adjusted_p"]),
        )
        before = key
    table.caption = (
        "n: a coin and day counts once. p, two-sided: Kolari-Pynnonen, adjusted for the correlation\n"
        f"between catalysts whose dates overlap; ~ placebo p, at least {_floor(rows)}, where n is below {least}\n"
        f"by chance: where {level} of the means on shifted dates lie. found: least mean effect that the placebo would "
        "have found at 80% power"
    )
    return table


def _floor(rows: pd.DataFrame) -> str:
    return ABSENT if rows["least_p"].isna().all() else f"{rows['least_p'].min():.2g}"


def _least(effect: float) -> str:
    return "none" if math.isnan(effect) else f"{effect:.1f}"


def lag_table(lags: pd.DataFrame) -> Table:
    """What one catalyst brings where overlapping ones share their bars: `study.lags.distributed_lags`."""
    columns = ("n", "mean", "effect", "error", "p")
    table = new_table("Overlaps shared: distributed-lag regression, returns in %", ("group", "span"), columns)
    before = None
    for row in lags.to_dict("records"):
        key = (row["grouping"], row["group"])
        values = [_signed(_hundredfold(row[name]), 1) for name in ("mean", "effect")]
        error = ABSENT if math.isnan(row["error"]) else f"{_hundredfold(row['error']):.1f}"
        first = "" if key == before else escape(_short(str(row["group"])))
        table.add_row(first, _header(str(row["span"])), str(row["n"]), *values, error, p_value(row["p_value"]))
        before = key
    floor = f"{lags['floor'].iloc[0]:.2g}" if len(lags) else ABSENT
    table.caption = (
        "mean: every bar counted for each catalyst; effect: each bar explained once, by all catalysts of its coin\n"
        f"error: clustered by UTC day; p: two-sided, by common shifts, at least {floor}; n: coin-days"
    )
    return table


def control_table(controls: pd.DataFrame) -> Table:
    """Each catalyst's coin minus its basket of untreated coins: `study.synthetic.synthetic_controls`."""
    columns = ("effect", "error", "space p", "time p")
    table = new_table("Synthetic control, returns in %", ("catalyst", "span"), columns)
    before, reasons = None, {}
    for row in controls.to_dict("records"):
        name = str(row["catalyst_id"])
        if row["reason"]:
            reasons[name] = str(row["reason"])
            continue
        error = f"{_hundredfold(row['error']):.1f}"
        p = [p_value(row[which]) for which in ("space_p", "time_p")]
        first = "" if name == before else escape(name)
        table.add_row(first, _header(str(row["span"])), _signed(_hundredfold(row["effect"]), 1), error, *p)
        before = name
    told = [f"no control for {name}: {reason}" for name, reason in reasons.items()]
    table.caption = "\n".join(
        [
            "effect: the coin less untreated coins weighted to move like it before: a hedge that can be traded",
            "error: of the same sum before; p, two-sided: among untreated coins (of J of them at least 1 / (J + 1)),",
            "and among the coin's other days",
            *map(escape, told),
        ]
    )
    return table


def influencer_table(study: Study) -> Table:
    """Actors ranked by the shrunken abnormal return after their calls."""
    span = _header(str(study.influencers["span"].iloc[0]))
    columns = ("calls", "hit rate", "mean", "error", "kept", "shrunken", "p", "adj. p")
    table = new_table(f"Abnormal return {span} after calls, in the direction called", ("actor",), columns)
    for row in study.influencers.to_dict("records"):
        table.add_row(
            escape(str(row["actor"])),
            str(row["calls"]),
            f"{row['hit_rate']:.0%}",
            percent(row["mean"]),
            f"{row['error']:.1%}",
            f"{row['kept']:.0%}",
            percent(row["shrunken"]),
            p_value(row["placebo_p"]) + "~",
            p_value(row["adjusted_p"]),
        )
    table.caption = "shrunken towards no effect by the error (empirical Bayes)\n~ placebo p"
    return table


def left_out_lines(study: Study) -> list[str]:
    """One line per reason: what was left out of which measure, and the sentence that says why.

    Measures unknown around every catalyst have their note instead.
    """
    known = {"", *study.effects["measure"]}
    names: dict[tuple[str, str, str, str], list[str]] = {}
    for row in study.rejected.to_dict("records"):
        if row["measure"] in known:
            key = (str(row["measure"]), str(row["span"]), str(row["reason"]), str(row["detail"]))
            names.setdefault(key, []).append(f"{row['catalyst_id']}{' (' + row['asset'] + ')' if row['asset'] else ''}")
    lines = []
    for (measure, span, reason, detail), left_out in names.items():
        what = f"{measure} {_header(span) if span else ''}".strip().replace("_", " ")
        lines.append(f"left out{f' of {what}' if what else ''}: {reason} ({detail}): {', '.join(left_out)}")
    return lines


def heading(study: Study) -> str:
    """What was studied, in one line: data, bars, model and windows."""
    market, config, windows = study.market, study.config, study.windows
    timeframe = config.timeframe or market.timeframe
    explained = "" if config.model == "mean_adjusted" else f" on {' and '.join(config.benchmarks)}"
    return (
        f"{market.provenance.name}: {timeframe} bars, {market.index[0]:%Y-%m-%d} to {market.index[-1]:%Y-%m-%d} UTC; "
        f"{config.model.replace('_', '-')} model{explained}; {windows.estimation} estimation bars, gap {windows.gap}, "
        f"event bars {windows.first} to {windows.last}; {config.draws} placebo draws"
    )


def study_document(
    study: Study, lags: pd.DataFrame | None = None, controls: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Versioned JSON document of a study, with distributed lags and synthetic controls where they were asked for.

    NaN is null, times are ISO 8601 UTC, returns are log returns.
    """
    market = study.market
    spans = study.effects[["span", "first", "last"]].drop_duplicates().rename(columns={"span": "name"})
    document = {
        "schema": schema_id("study"),
        "version": __version__,
        "label": market.provenance.label,
        "dataset": dataset_block(market),
        "hashes": study.hashes,
        "config": document_of(study.config),
        "windows": asdict(study.windows),
        "spans": rows_of(spans),
        "catalysts": rows_of(study.catalysts),
        "legs": rows_of(study.legs),
        "rejected": rows_of(study.rejected),
        "effects": rows_of(study.effects),
        "tests": rows_of(study.tests),
        "influencers": rows_of(study.influencers),
        "paths": [
            dict(zip(_KEYS, key, strict=True)) | rows.drop(columns=_KEYS).to_dict("list")
            for key, rows in study.paths.groupby(_KEYS, sort=False)
        ],
        "car": {"bar": study.car.index.tolist(), **study.car.to_dict("list")},
        "notes": list(study.notes),
        "distributed_lags": [] if lags is None else rows_of(lags),
        "synthetic_controls": [] if controls is None else rows_of(controls),
    }
    told: dict[str, Any] = plain(document)
    return told


def write_study_folder(folder: Path, study: Study, document: dict[str, Any]) -> None:
    """Write study.json and a CSV of each table; each file appears whole or not at all.

    Raises
    ------
    UsageError
        Where the folder cannot be written.
    """
    tables = ("catalysts", "legs", "rejected", "effects", "tests", "paths", "influencers")
    with writing("study folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "study.json", to_json(document) + "\n")
        for name in tables:
            write_text(folder / f"{name}.csv", csv_text(getattr(study, name)))


def _header(span: str) -> str:
    """run_up as `run-up`, after_3d as `+3d`."""
    return f"+{span.removeprefix('after_')}" if span.startswith("after_") else span.replace("_", "-")


def _short(name: str) -> str:
    return name if len(name) <= 15 else name[:14] + "."


def _hundredfold(value: float) -> float:
    return 100.0 * value


def _growth(value: float) -> float:
    """A log change as a percentage."""
    return 100.0 * math.expm1(value)


def _multiple(log_change: float) -> str:
    return ABSENT if math.isnan(log_change) else f"x{math.exp(log_change):.1f}"


def _signed(value: float, digits: int) -> str:
    return ABSENT if math.isnan(value) else f"{value:+.{digits}f}"


def _between(low: float, high: float) -> str:
    return ABSENT if math.isnan(low) else f"{low:+.0f} to {high:+.0f}"
