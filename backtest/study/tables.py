"""The tables of an event study that hold one row per catalyst, a leg or an actor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_at_ms
from backtest.market.record import Floats, Market
from backtest.study.abnormal import take
from backtest.study.alignment import Panel
from backtest.study.cross_section import Group, MeasuredEffects, chance
from backtest.study.influencers import mean_variance, shrink
from backtest.study.multiplicity import adjust
from backtest.study.parametric import overlap_correlation
from backtest.study.sample import Event, dates_of, neighbours


def catalyst_table(
    found: dict[str, MeasuredEffects],
    events: Sequence[Event],
    wholes: Sequence[int],
    calendar: Calendar,
    panel: Panel,
    other_dates: int,
    names: Sequence[str],
) -> pd.DataFrame:
    """One row per catalyst that entered, as `Study.catalysts` says; `wholes` are its rows among the events."""
    first = found["return"]
    config = first.config
    returns, rows = first.cumulated.returns, np.array(wholes, dtype=np.int64)
    dates = dates_of(calendar, panel)
    near = [neighbours(events[k].catalyst, calendar, dates, returns.windows) for k in wholes]
    catalysts = [events[k].catalyst for k in wholes]
    known = [known_at_ms(one) for one in catalysts]
    held: dict[str, list[str]] = {}
    for event in events:
        held.setdefault(event.catalyst.id, []).extend([event.asset] if event.asset else [])
    table = pd.DataFrame(
        {
            "catalyst_id": pd.Series([one.id for one in catalysts], dtype=str),
            "assets": pd.Series([",".join(held[one.id]) for one in catalysts], dtype=str),
            "kind": pd.Series([one.kind for one in catalysts], dtype=str),
            "actor": pd.Series([one.actor for one in catalysts], dtype=str),
            "direction": np.array([one.direction for one in catalysts], dtype=np.int64),
            "confidence": pd.Series([one.confidence for one in catalysts], dtype=str),
            "endogenous": np.array([not events[k].counts(config) for k in wholes], dtype=np.bool_),
            "announced": pd.Series([one.when for one in catalysts], dtype=str),
            "known_at": pd.to_datetime(np.array(known, dtype=np.int64), unit="ms", utc=True),
            "announcement_bars": np.array([events[k].row.width for k in wholes], dtype=np.int64),
            "alpha": returns.alpha[rows],
            "sigma": returns.sigma[rows],
            "estimation_bars": returns.usable[rows],
        }
    )
    for place, name in enumerate(names):
        table[name] = first.cumulated.car[rows, place]
        table[f"t_{name}"] = first.cumulated.scar[rows, place]
    for measure in list(found)[1:]:
        for place, name in enumerate(names):
            table[f"{measure}_{name}"] = found[measure].cumulated.car[rows, place]
    table["run_up_rank"] = run_up_ranks(first, wholes, names.index("run_up"))
    table["overlaps"] = pd.Series([",".join(one.same_coin) for one in near], dtype=str)
    table["overlaps_other"] = pd.Series([",".join(one.other_coin) for one in near], dtype=str)
    table["overlaps_estimation"] = pd.Series([",".join(one.estimation) for one in near], dtype=str)
    table["confounded"] = pd.Series([",".join(one.confounded) for one in near], dtype=str)
    table["placebo_dates"] = other_dates
    return table


def run_up_ranks(data: MeasuredEffects, rows: Sequence[int], span: int) -> Floats:
    """Share of its coin's other dates, those of the common shifts, with a smaller sum over a span; NaN without any."""
    ranks = np.full(len(rows), np.nan)
    for place, row in enumerate(rows):
        drawn = data.placebo.car[data.turns.table[:, row], span]
        drawn = drawn[~np.isnan(drawn)]
        if len(drawn) and data.cumulated.known[row, span]:
            ranks[place] = float((drawn < data.cumulated.car[row, span]).mean())
    return ranks


def leg_table(
    data: MeasuredEffects, events: Sequence[Event], benchmarks: Sequence[int], market: Market, names: Sequence[str]
) -> pd.DataFrame:
    """One row per catalyst and coin, as `Study.legs` says."""
    legs = [k for k, event in enumerate(events) if event.asset]
    returns, rows = data.cumulated.returns, np.array(legs, dtype=np.int64)
    table = pd.DataFrame(
        {
            "catalyst_id": pd.Series([events[k].catalyst.id for k in legs], dtype=str),
            "asset": pd.Series([events[k].asset for k in legs], dtype=str),
            "instrument": pd.Series([market.symbols[events[k].row.columns[0]] for k in legs], dtype=str),
            "alpha": returns.alpha[rows],
            "sigma": returns.sigma[rows],
            "estimation_bars": returns.usable[rows],
        }
    )
    for benchmark in benchmarks:
        coin = market.instruments[benchmark].base
        # A benchmark that is the leg's own coin has no coefficient, and those after it move up.
        places = [
            [one for one in benchmarks if market.instruments[one].base != events[k].asset].index(benchmark)
            if coin != events[k].asset
            else -1
            for k in legs
        ]
        betas = [returns.beta[row, place] if place >= 0 else np.nan for row, place in zip(rows, places, strict=True)]
        table[f"beta_{coin}"] = np.array(betas, dtype=np.float64)
    for place, name in enumerate(names):
        table[name] = data.cumulated.car[rows, place]
    return table


def influencer_table(data: MeasuredEffects, events: Sequence[Event], names: Sequence[str]) -> pd.DataFrame:
    """Actors by the shrunken mean of direction * CAR over the longest span after their calls.

    The error of a mean is the larger of the model's forecast error and the scatter on placebo dates, since a quiet
    estimation window understates what a few days can bring.
    """
    config, span = data.config, int(np.argmax(data.spans[:, 1]))
    cumulated, returns = data.cumulated, data.cumulated.returns
    calls: dict[str, list[int]] = {}
    for k, event in enumerate(events):
        one = event.catalyst
        if (
            event.whole
            and event.counts(config)
            and one.kind in config.calls
            and one.direction
            and cumulated.known[k, span]
        ):
            calls.setdefault(one.actor, []).append(k)
    deviation: Floats = returns.sigma * np.sqrt(cumulated.correction[:, span])
    rows, variances = [], []
    for actor, members in calls.items():
        own = data.kept(Group("actor", actor, tuple(members)))
        sign = np.array([events[k].catalyst.direction for k in own], dtype=np.float64)
        effect = sign * cumulated.car[own, span]
        luck = chance(data, own, sign)
        pairs = data.pairs.among(own, len(returns.onset))
        weights = overlap_correlation(take(returns, own), int(cumulated.length[span]), pairs)
        modelled = mean_variance(deviation[own], weights, sign)
        variances.append(np.fmax(modelled, np.square(luck.deviation[span])))
        hits = float((effect > 0).mean())
        rows.append((actor, len(own), hits, effect.mean(), luck.p_value[span], luck.p_mean[span]))
    table = pd.DataFrame(rows, columns=["actor", "calls", "hit_rate", "mean", "placebo_p", "placebo_p_mean"])
    shrunken = shrink(table["mean"].to_numpy(dtype=np.float64), np.array(variances))
    table.insert(1, "span", names[span])
    table.insert(5, "error", np.sqrt(variances))
    table.insert(6, "kept", shrunken.weight)
    table.insert(7, "shrunken", shrunken.effect)
    table["adjusted_p"] = adjust(table["placebo_p"].to_numpy(dtype=np.float64), config.multiplicity)
    return table.sort_values(["shrunken", "mean"], ascending=False, ignore_index=True, kind="stable")
