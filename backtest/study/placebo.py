"""The random-date placebo over the study itself: the same events on the same coins on dates when nothing happened.

Events of one onset form a cluster and move together, so cross-correlation within a date stays. A cluster's dates are
its own and every other that lies whole weeks (or days) away, inside the data, outside the event windows of its coins.
A draw picks one date for each cluster, its own among them: under the null all dates of a cluster are alike, so the
observed choice is one of the draws and p = (1 + #{|T*| >= |T|}) / (B + 1) is a randomisation test that cannot fall
below what the number of dates supports. Where few calendars exist all are enumerated. Source: Lehmann and Romano
(2005), Testing Statistical Hypotheses, section 15.2. T is the Kolari-Pynnonen statistic, since a raw mean rejects
wherever events merely bring variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backtest.market.record import Flags, Floats
from backtest.study.alignment import Row
from backtest.study.cumulation import ROUNDING
from backtest.study.models import Ints, Windows

# More dates than this for one cluster say no more; a seeded choice of them is kept.
MOST_DATES = 200
# Most cells of a batch of draws held at once.
_BLOCK = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Dates:
    """Where E events could have fallen.

    Attributes
    ----------
    rows : tuple of R Row
        The observed rows first, then the placebo ones, each once.
    table : (E, D) int64
        Row of event e on the d-th date of its cluster, d = 0 the observed; -1 past its last date.
    cluster : (E,) int64
    count : (E,) int64
        Dates of the event's cluster, the observed one included.
    """

    rows: tuple[Row, ...]
    table: Ints
    cluster: Ints
    count: Ints


def eligible_onsets(cluster: Sequence[Row], blocked: Sequence[Row], bars: int, step: int, windows: Windows) -> Ints:
    """Onsets `step` bars apart from the cluster's whose windows lie inside `bars` and miss all event windows.

    `blocked` are the rows whose event windows are to be missed: all that share a coin with the cluster.
    """
    onset, width = cluster[0].onset, max(row.width for row in cluster)
    longest = windows.last + width - 1
    found: Ints = np.arange(onset % step, bars - longest, step, dtype=np.int64)
    # One bar for the first return.
    found = found[(found != onset) & (found + windows.first >= 1)]
    for row in blocked:
        before = found + longest < row.onset + windows.first
        found = found[before | (found + windows.first > row.onset + row.width - 1 + windows.last)]
    return found


def spread(observed: Sequence[Row], onsets: Sequence[Ints], rng: np.random.Generator) -> Dates:
    """All rows of E observed events and their placebo `onsets` (E,), equal for events of one cluster."""
    own = np.array([row.onset for row in observed], dtype=np.int64)
    first, cluster = np.unique(own, return_index=True, return_inverse=True)[1:]
    dates = [onsets[k] for k in first]
    dates = [np.sort(rng.choice(one, MOST_DATES, replace=False)) if len(one) > MOST_DATES else one for one in dates]
    places: dict[Row, int] = {}
    for row in observed:
        places.setdefault(row, len(places))
    table = np.full((len(observed), 1 + max((len(one) for one in dates), default=0)), -1, dtype=np.int64)
    for event, row in enumerate(observed):
        moved = [row, *(replace(row, onset=int(onset)) for onset in dates[cluster[event]])]
        table[event, : len(moved)] = [places.setdefault(one, len(places)) for one in moved]
    return Dates(tuple(places), table, cluster, (table >= 0).sum(axis=1))


def keep_usable(dates: Dates, kept: Flags) -> Dates:
    """Without the dates on which the model rejected any event of the cluster; the observed one stays."""
    usable = (dates.table >= 0) & kept[dates.table]
    for cluster in range(int(dates.cluster.max(initial=-1)) + 1):
        own = dates.cluster == cluster
        usable[own] = usable[own].all(axis=0)
    usable[:, 0] = True
    order = np.argsort(~usable, axis=1, kind="stable")
    table = np.take_along_axis(np.where(usable, dates.table, -1), order, axis=1)
    return replace(dates, table=table, count=usable.sum(axis=1))


def draw(dates: Dates, draws: int, rng: np.random.Generator) -> Ints:
    """(B, E) rows of B placebo calendars."""
    clusters = int(dates.cluster.max(initial=-1)) + 1
    uniform = rng.random((draws, clusters))[:, dates.cluster]
    return dates.table[np.arange(len(dates.cluster)), (uniform * dates.count).astype(np.int64)]


def every_calendar(dates: Dates, events: Ints, most: int) -> Ints | None:
    """(B, n) rows of all placebo calendars of some events but the observed one; None where there are over `most`."""
    clusters, member = np.unique(dates.cluster[events], return_inverse=True)
    count = [int(dates.count[dates.cluster == cluster][0]) for cluster in clusters]
    if math.prod(count) - 1 > most:
        return None
    choices = np.indices(count).reshape(len(count), -1)[:, 1:]
    return dates.table[events[:, None], choices[member]].T


def overlap_weights(correlation: Floats, onset: Ints, length: int) -> Floats:
    """(R, R) correlation of two rows' sums over a span of `length` bars, as `parametric.mean_correlation` has it."""
    share = np.maximum(0.0, 1.0 - np.abs(onset[:, None] - onset) / length)
    return np.where(share > 0, correlation * share, 0.0)


def kolari_pynnonen_draws(scar: Floats, weights: Sequence[Floats], rows: Ints, sign: Floats) -> Floats:
    """(B, V) Kolari-Pynnonen statistics of B calendars at once; NaN as in `parametric.kolari_pynnonen`.

    Parameters
    ----------
    scar : (R, V) standardised sums, NaN where a bar is missing
    weights : V arrays (R, R) of `overlap_weights`
    rows : (B, n) the rows of each calendar
    sign : (n,) +1 or -1, by which an event's effect is multiplied
    """
    result = np.full((len(rows), scar.shape[1]), np.nan)
    n = rows.shape[1]
    flip = np.outer(sign, sign)
    for part in _blocks(len(rows), n * n):
        chosen = rows[part]
        for span, weight in enumerate(weights):
            values = scar[chosen, span] * sign
            known = ~np.isnan(values)
            count = known.sum(axis=1)
            safe = np.maximum(count, 1)
            mean = np.where(known, values, 0.0).sum(axis=1) / safe
            scatter = np.square(np.where(known, values - mean[:, None], 0.0)).sum(axis=1)
            variance = scatter / np.maximum(count - 1, 1)
            pairs = weight[chosen[:, :, None], chosen[:, None, :]] * flip
            pairs[:, np.arange(n), np.arange(n)] = np.nan
            both = known[:, :, None] & known[:, None, :] & ~np.isnan(pairs)
            shared = both.sum(axis=(1, 2))
            r = np.where(both, pairs, 0.0).sum(axis=(1, 2)) / np.maximum(shared, 1)
            widening = 1.0 + (count - 1) * r
            usable = (count > 1) & (shared > 0) & (variance > ROUNDING * np.square(mean)) & (widening > 0) & (r < 1)
            with np.errstate(divide="ignore", invalid="ignore"):
                value = mean * np.sqrt(count) / np.sqrt(variance) * np.sqrt((1.0 - r) / widening)
            result[part, span] = np.where(usable, value, np.nan)
    return result


def mean_draws(values: Floats, rows: Ints, sign: Floats) -> Floats:
    """(B, V) mean over each calendar's events of `values` (R, V), missing ones left out; NaN where all are."""
    total, count = np.zeros((2, len(rows), values.shape[1]))
    for place in range(rows.shape[1]):
        one = values[rows[:, place]] * sign[place]
        known = ~np.isnan(one)
        total += np.where(known, one, 0.0)
        count += known
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _blocks(count: int, cells: int) -> Iterator[slice]:
    step = max(_BLOCK // max(cells, 1), 1)
    return (slice(start, start + step) for start in range(0, count, step))
